//! What letters begin and end with. No fact carries a link.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{FactBody, FactKind};

/// Every kind of fact that this room records.
pub const FACTS: &[FactKind] = &[
    FactKind::of::<InvitationAsked>(),
    FactKind::of::<RecoveryAsked>(),
    FactKind::of::<LetterSent>(),
    FactKind::of::<LetterNotSent>(),
];

/// The administrator wants a user to be sent an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationAsked {}
impl FactBody for InvitationAsked {
    const KIND: &'static str = "invitation.asked";
    const ABOUT: &'static [&'static str] = &["user"];
}

/// Somebody who gave a user name wants its owner to be sent a link to set another password. Of a name that
/// nobody has, the subject is `user:unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryAsked {
    /// The language of the page where it was asked.
    pub language: String,
}
impl FactBody for RecoveryAsked {
    const KIND: &'static str = "recovery.asked";
    const ABOUT: &'static [&'static str] = &["user"];
}

/// The mail server took a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetterSent {
    /// `invitation`, `recovery`, `password-set`, `authenticator-added`, `authenticator-removed`.
    pub letter: String,
    /// The address.
    pub to: String,
    /// The letter's `Message-ID`.
    pub message_id: String,
}
impl FactBody for LetterSent {
    const KIND: &'static str = "letter.sent";
    const ABOUT: &'static [&'static str] = &["user", "delivery"];
}

/// A letter that was due was not sent, and will not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetterNotSent {
    /// As in `letter.sent`.
    pub letter: String,
    /// `no-address`, `bad-address`, `not-active`, `link-over`, `body-erased` (of the fact that asked for it).
    pub reason: String,
}
impl FactBody for LetterNotSent {
    const KIND: &'static str = "letter.not-sent";
    const ABOUT: &'static [&'static str] = &["user", "delivery"];
}
