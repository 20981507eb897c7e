//! How strictly a connection's requests are read.

/// The two readings of a request. A connection has one of them; answers are the same in both.
///
/// Lenient is what Entra ID, Okta and their kin need; strict is the letter of RFC 7643 and 7644 together
/// with draft-zollner-scim-interop-profile-02.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interop {
    /// Unknown attributes and URNs are ignored and reported; booleans may be text; a PATCH may leave out
    /// its path; a filtered `replace` that matches nothing creates the element.
    #[default]
    Lenient,
    /// All of these are refused.
    Strict,
}

impl Interop {
    /// Whether this is [`Interop::Lenient`].
    #[must_use]
    pub fn is_lenient(self) -> bool {
        self == Self::Lenient
    }
}
