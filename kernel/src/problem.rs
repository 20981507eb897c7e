//! The answer of our own API when something is wrong: RFC 9457 problem details with stable codes.

use serde::Serialize;

/// A problem document (RFC 9457, section 3). OAuth and SCIM have error forms of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `about:blank#<code>`; the code is stable across releases.
    #[serde(rename = "type")]
    pub kind: String,
    /// One short line, the same for every occurrence of the code.
    pub title: String,
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// What happened this time and what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    /// A problem with a stable code.
    #[must_use]
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self { kind: format!("about:blank#{code}"), title: title.into(), status, detail: None }
    }

    /// The same with a line about this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
