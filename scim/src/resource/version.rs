//! Versions as entity tags, and requests that depend on them (RFC 7644, section 3.14; RFC 9110, section 13.1).
//!
//! The tag is weak: it stands for what was written of the resource itself. The groups of a user and the name
//! of a manager belong to other resources, and change without it.

use crate::ScimError;

/// `meta.version` and `ETag` of a version.
pub(crate) fn tag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// A list of entity tags, or `*`, from `If-Match` or `If-None-Match`. A tag that is none of ours matches
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`: whatever there is.
    Any,
    /// One of these.
    Versions(Vec<i64>),
}

impl Tags {
    /// Reads the values of a header; `None` when there is none.
    pub(crate) fn parse<'v>(values: impl Iterator<Item = &'v str>) -> Option<Self> {
        let tags: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        match &*tags {
            [] => None,
            tags if tags.contains(&"*") => Some(Self::Any),
            tags => Some(Self::Versions(tags.iter().filter_map(|tag| version(tag)).collect())),
        }
    }

    /// Whether the version is among them.
    pub(crate) fn hold(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

/// What `If-Match` demands of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition(pub(crate) Option<Tags>);

impl Condition {
    /// Refuses a version that the client did not mean.
    pub(super) fn check(&self, version: i64) -> Result<(), ScimError> {
        match &self.0 {
            Some(tags) if !tags.hold(version) => {
                let why = format!("the resource is at version {} by now: read it again", tag(version));
                Err(ScimError::plain(412, why))
            }
            _ => Ok(()),
        }
    }

    /// Whether the change is meant for certain versions only.
    pub(super) fn names_version(&self) -> bool {
        matches!(self.0, Some(Tags::Versions(_)))
    }
}

/// The version of a tag, weak or strong: clients drop the `W/`.
fn version(tag: &str) -> Option<i64> {
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_read_back_and_foreign_ones_match_nothing() {
        for (header, holds_three) in [
            (&[r#"W/"3""#][..], true),
            (&[r#""3""#], true),
            (&[r#"W/"2", W/"3""#], true),
            (&[r#"W/"2""#, r#"W/"3""#], true),
            (&["*"], true),
            (&[r#"W/"2""#], false),
            (&["3"], false),
            (&[r#"W/"three""#], false),
            (&[""], false),
        ] {
            let tags = Tags::parse(header.iter().copied()).unwrap();
            assert_eq!(tags.hold(3), holds_three, "{header:?}");
        }
        assert_eq!(Tags::parse(std::iter::empty()), None);
        assert_eq!(Tags::parse([tag(3).as_str()].into_iter()), Some(Tags::Versions(vec![3])));
    }

    #[test]
    fn a_change_of_another_version_is_refused() {
        let named = Condition(Some(Tags::Versions(vec![3])));
        assert!(named.check(3).is_ok() && named.names_version());
        assert_eq!(named.check(4).unwrap_err().status, 412);
        for open in [Condition(None), Condition(Some(Tags::Any))] {
            assert!(open.check(4).is_ok() && !open.names_version());
        }
    }
}
