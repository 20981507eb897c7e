//! The door systems we can speak to.

use std::sync::Arc;

use jiff::tz::TimeZone;
use kernel::{Ctx, Secret};

use super::{ConfigError, Connector, Decider, Descriptor, Nobody};
use crate::{controlid, uhppote};

/// Every kind of door system. To add one: a folder of its own and a line here.
pub const CONNECTORS: &[ConnectorKind] = &[controlid::KIND, uhppote::KIND];

/// What a connector is opened with.
#[derive(Clone)]
pub struct Opening<'a> {
    /// Clock and entropy.
    pub ctx: &'a Ctx,
    /// The connector's own settings.
    pub config: &'a serde_json::Value,
    /// The system's secret, where it wants one.
    pub secret: Option<Secret<String>>,
    /// Who decides where the system asks us.
    pub decider: Arc<dyn Decider>,
}

impl<'a> Opening<'a> {
    /// Without a secret, and with nobody who lets anybody in.
    #[must_use]
    pub fn new(ctx: &'a Ctx, config: &'a serde_json::Value) -> Self {
        Self { ctx, config, secret: None, decider: Arc::new(Nobody) }
    }
}

/// What makes a connector from its configuration.
pub type Open = fn(Opening<'_>) -> Result<Arc<dyn Connector>, ConfigError>;

/// A kind of door system.
#[derive(Clone, Copy, Debug)]
pub struct ConnectorKind {
    /// What configuration calls it.
    pub name: &'static str,
    /// What can be said of one that is configured so, without its secret and without asking it; of `null`, before one
    /// is configured.
    pub describe: fn(&serde_json::Value) -> Descriptor,
    /// Makes a connector. No IO: a system that is out of reach is found by its verbs, and what it asks is
    /// answered once somebody [attends](Connector::attend).
    pub open: Open,
}

/// Makes a connector of the named kind.
///
/// # Errors
/// [`OpenError`] says what to change in the configuration.
pub fn open(kind: &str, opening: Opening<'_>) -> Result<Arc<dyn Connector>, OpenError> {
    let kind = CONNECTORS.iter().find(|known| known.name == kind).ok_or_else(|| OpenError::unknown(kind))?;
    Ok((kind.open)(opening)?)
}

/// What can be said of a door system that is configured so, whether or not it can be opened. `None` when there is no
/// such kind.
#[must_use]
pub fn described(kind: &str, config: &serde_json::Value) -> Option<Descriptor> {
    CONNECTORS.iter().find(|known| known.name == kind).map(|known| (known.describe)(config))
}

/// The local time of a door system's doors, by which it counts days: what the configuration of every kind calls
/// `time_zone`, UTC where nothing is said. A name that is none cannot be opened ([`open`]), and counts as UTC here.
#[must_use]
pub fn time_zone(config: &serde_json::Value) -> TimeZone {
    let named = config.get("time_zone").and_then(serde_json::Value::as_str);
    named.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
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
            let described = (kind.describe)(&serde_json::Value::Null);
            assert_eq!(described.kind, kind.name);
            assert!(described.acks.is_sorted(), "{}", kind.name);
            assert!(!described.tested_against.is_empty(), "{}", kind.name);
        }
    }

    #[test]
    fn an_unknown_kind_names_the_known_ones() {
        let (ctx, config) = (Ctx::for_tests(1), serde_json::json!({}));
        let error = open("prism", Opening::new(&ctx, &config)).unwrap_err();
        assert_eq!(error.to_string(), "unknown kind of door system `prism`: known are controlid, uhppote");
    }
}
