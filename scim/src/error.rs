//! The error every SCIM request can end in (RFC 7644, section 3.12).

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// URN of the error message.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// The detail keyword of a SCIM error (RFC 7644, table 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ScimType {
    /// The filter is malformed, or compares what cannot be compared. 400.
    InvalidFilter,
    /// The filter yields more than we are willing to work out. 400.
    TooMany,
    /// Another resource has this value already. 409.
    Uniqueness,
    /// The attribute may not be changed so. 400.
    Mutability,
    /// The body is not of the request's form. 400.
    InvalidSyntax,
    /// The PATCH path is malformed or names nothing. 400.
    InvalidPath,
    /// The PATCH path matches no value, or is needed and missing. 400.
    NoTarget,
    /// A value is missing, or not of its attribute's type. 400.
    InvalidValue,
    /// The protocol version is not supported. 400.
    InvalidVers,
    /// What was asked must not stand in a URL. 403.
    Sensitive,
}

impl ScimType {
    fn status(self) -> u16 {
        match self {
            Self::Uniqueness => 409,
            Self::Sensitive => 403,
            _ => 400,
        }
    }
}

/// A refused request: serialises to the SCIM error message, its status as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The keyword, where RFC 7644 has one for the case.
    pub scim_type: Option<ScimType>,
    /// What was wrong and what to do next, for a person. Never holds a secret.
    pub detail: String,
}

impl ScimError {
    /// An error with a keyword; the status follows from it.
    #[must_use]
    pub fn new(scim_type: ScimType, detail: impl Into<String>) -> Self {
        Self { status: scim_type.status(), scim_type: Some(scim_type), detail: detail.into() }
    }

    /// An error that only has a status: 401, 403, 404, 405, 412, 413, 428, 429, 500, 501.
    #[must_use]
    pub fn plain(status: u16, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into() }
    }

    /// The same error, said of something inside `parent`.
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.detail = format!("{parent}.{}", self.detail);
        self
    }

    /// The same error, said of the nth operation of a PATCH (counted from 1).
    pub(crate) fn in_operation(mut self, nth: usize) -> Self {
        self.detail = format!("operation {nth}: {}", self.detail);
        self
    }
}

impl Serialize for ScimError {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut body = to.serialize_struct("Error", 4)?;
        body.serialize_field("schemas", &[ERROR_URN])?;
        if let Some(scim_type) = self.scim_type {
            body.serialize_field("scimType", &scim_type)?;
        }
        body.serialize_field("detail", &self.detail)?;
        body.serialize_field("status", &self.status.to_string())?;
        body.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_is_text_and_follows_the_keyword() {
        for (scim_type, word, status) in [
            (ScimType::InvalidFilter, "invalidFilter", "400"),
            (ScimType::TooMany, "tooMany", "400"),
            (ScimType::Uniqueness, "uniqueness", "409"),
            (ScimType::Mutability, "mutability", "400"),
            (ScimType::InvalidSyntax, "invalidSyntax", "400"),
            (ScimType::InvalidPath, "invalidPath", "400"),
            (ScimType::NoTarget, "noTarget", "400"),
            (ScimType::InvalidValue, "invalidValue", "400"),
            (ScimType::InvalidVers, "invalidVers", "400"),
            (ScimType::Sensitive, "sensitive", "403"),
        ] {
            let body = serde_json::to_value(ScimError::new(scim_type, "why")).unwrap();
            let want = json!({"schemas": [ERROR_URN], "scimType": word, "detail": "why", "status": status});
            assert_eq!(body, want);
        }
    }

    #[test]
    fn an_error_without_keyword_leaves_it_out() {
        let body = serde_json::to_value(ScimError::plain(404, "no such user")).unwrap();
        assert_eq!(body, json!({"schemas": [ERROR_URN], "detail": "no such user", "status": "404"}));
    }
}
