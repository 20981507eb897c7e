//! What a client hears when the directory or the database refuses, and what only the log hears.

use std::error::Error;

use directory::DirectoryError;
use store::StoreError;

use crate::error::{ScimError, ScimType};

impl From<DirectoryError> for ScimError {
    /// Writes the log line of a failure on our side: the one place where it is handled.
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Taken(what) => {
                let why = format!("{what}: another resource has this value; look it up with a filter");
                Self::new(ScimType::Uniqueness, why)
            }
            DirectoryError::Invalid(why) => Self::new(ScimType::InvalidValue, why),
            DirectoryError::NotFound(what) => not_found(what),
            DirectoryError::VersionMismatch => overtaken(),
            DirectoryError::Store(StoreError::Busy) => {
                tracing::warn!("the database was busy for too long");
                Self::plain(503, "the database is busy: try again in a moment")
            }
            DirectoryError::Store(error @ StoreError::Clock(_)) => {
                tracing::error!(%error, "a change was refused");
                Self::plain(503, "nothing can be changed just now: try again in a moment")
            }
            DirectoryError::Store(StoreError::OutcomeUnknown) => {
                tracing::error!("the outcome of a commit is unknown");
                Self::plain(
                    503,
                    "it is not known whether the change was made: read the resource, then try again",
                )
            }
            error @ DirectoryError::Sealed(_) => {
                tracing::error!(error = chain(&error), "a sealed value does not open");
                Self::plain(500, "something failed on our side: the log has more under the x-request-id")
            }
            DirectoryError::Store(error) => {
                tracing::error!(error = chain(&error), "the database failed");
                Self::plain(500, "something failed on our side: the log has more under the x-request-id")
            }
        }
    }
}

impl From<StoreError> for ScimError {
    fn from(error: StoreError) -> Self {
        DirectoryError::from(error).into()
    }
}

/// There is no such resource (any more).
pub(crate) fn not_found(what: &str) -> ScimError {
    ScimError::plain(404, format!("there is no such {what}"))
}

/// Others changed the resource again and again while we tried.
fn overtaken() -> ScimError {
    tracing::warn!("a change was overtaken too often");
    ScimError::plain(503, "others change this resource at the same time: try again in a moment")
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status_and_tells_nothing_of_the_inside() {
        for (error, status, scim_type) in [
            (DirectoryError::Taken("userName"), 409, Some(ScimType::Uniqueness)),
            (DirectoryError::Invalid("too long".into()), 400, Some(ScimType::InvalidValue)),
            (DirectoryError::NotFound("user"), 404, None),
            (DirectoryError::VersionMismatch, 503, None),
            (StoreError::Busy.into(), 503, None),
            (StoreError::Clock(5_000).into(), 503, None),
            (StoreError::OutcomeUnknown.into(), 503, None),
            (StoreError::Inconsistent("column secret".into()).into(), 500, None),
            (StoreError::Taken { table_and_columns: "users_secret".into() }.into(), 500, None),
        ] {
            let answer = ScimError::from(error);
            assert_eq!((answer.status, answer.scim_type), (status, scim_type), "{answer}");
            assert!(!answer.detail.contains("secret"), "{answer}");
        }
    }

    #[test]
    fn a_taken_name_is_a_conflict_however_it_is_found_out() {
        let taken = StoreError::Taken { table_and_columns: "users_external_id".into() };
        let answer = ScimError::from(taken);
        assert_eq!((answer.status, answer.scim_type), (409, Some(ScimType::Uniqueness)));
        assert!(answer.detail.starts_with("externalId: "), "{answer}");
    }
}
