//! The door systems we can speak to.

use std::sync::Arc;

use kernel::{Ctx, Secret};

use super::{ConfigError, Connector, Descriptor};
use crate::{controlid, uhppote};

/// Every kind of door system. To add one: a folder of its own and a line here.
pub const CONNECTORS: &[ConnectorKind] = &[controlid::KIND, uhppote::KIND];

/// What makes a connector from its configuration.
pub type Open =
    fn(&Ctx, &serde_json::Value, Option<Secret<String>>) -> Result<Arc<dyn Connector>, ConfigError>;

/// A kind of door system.
#[derive(Clone, Copy, Debug)]
pub struct ConnectorKind {
    /// What configuration calls it.
    pub name: &'static str,
    /// What can be said of it before one is configured.
    pub describe: fn() -> Descriptor,
    /// Makes a connector from its configuration and, where the system wants one, a secret. No IO: a
    /// system that is out of reach is found by its verbs.
    pub open: Open,
}

/// Makes a connector of the named kind.
///
/// # Errors
/// [`OpenError`] says what to change in the configuration.
pub fn open(
    ctx: &Ctx,
    kind: &str,
    config: &serde_json::Value,
    secret: Option<Secret<String>>,
) -> Result<Arc<dyn Connector>, OpenError> {
    let kind = CONNECTORS.iter().find(|known| known.name == kind).ok_or_else(|| OpenError::unknown(kind))?;
    Ok((kind.open)(ctx, config, secret)?)
}

/// Why there is no connector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No such kind of door system.
    #[error("unknown kind of door system `{asked}`: known are {known}")]
    UnknownKind {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: String,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl OpenError {
    fn unknown(asked: &str) -> Self {
        let known = CONNECTORS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        Self::UnknownKind { asked: asked.chars().take(64).collect(), known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_what_describe_says_agrees() {
        let mut names: Vec<&str> = CONNECTORS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONNECTORS.len());
        for kind in CONNECTORS {
            let described = (kind.describe)();
            assert_eq!(described.kind, kind.name);
            assert!(described.acks.is_sorted(), "{}", kind.name);
            assert!(!described.tested_against.is_empty(), "{}", kind.name);
        }
    }

    #[test]
    fn an_unknown_kind_names_the_known_ones() {
        let error = open(&Ctx::for_tests(1), "prism", &serde_json::json!({}), None).unwrap_err();
        assert_eq!(error.to_string(), "unknown kind of door system `prism`: known are controlid, uhppote");
    }
}
