//! How the device says no.
//!
//! Confirmed by two people with hardware are the status 400 and the words for a wrong type, `{"error":"Invalid member
//! 'sun' (int expected, got boolean)","code":1}`, and for configuration `Invalid data (string expected)` and `Node or
//! attribute not found. Node path: …`. The other words are in their manner; no client should read them.

use serde_json::json;

/// A request that is not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) words: String,
}

impl Refusal {
    /// The request is wrong in itself, or does not fit what the device holds.
    pub(super) fn bad(words: impl Into<String>) -> Self {
        Self { status: 400, words: words.into() }
    }

    /// There is no session, or none any more.
    pub(super) fn no_session() -> Self {
        Self { status: 401, words: "Invalid session".to_owned() }
    }

    /// The login or the password is wrong.
    pub(super) fn no_login() -> Self {
        Self { status: 401, words: "Invalid login or password".to_owned() }
    }

    /// A member of another type than it should be.
    pub(super) fn of_type(name: &str, expected: &str, got: &str) -> Self {
        Self::bad(format!("Invalid member '{name}' ({expected} expected, got {got})"))
    }

    /// A member that nobody knows.
    pub(super) fn unknown(name: &str) -> Self {
        Self::bad(format!("Invalid member '{name}' (unknown)"))
    }

    /// A member that has to be there.
    pub(super) fn missing(name: &str) -> Self {
        Self::bad(format!("Invalid member '{name}' (missing)"))
    }

    /// A row that does not fit the others, in the words of the device's database.
    pub(super) fn constraint(words: &str) -> Self {
        Self::bad(format!("{words} constraint failed"))
    }

    /// There is no room for another card.
    pub(super) fn full() -> Self {
        Self::bad("Database is full")
    }

    pub(super) fn body(&self) -> String {
        json!({ "error": self.words, "code": 1 }).to_string()
    }
}
