//! Mail: a letter that no text in it can turn into another, and the SMTP server that takes it.
//!
//! - [`Letter`]: to one person, the same content as text and as HTML. Its [`MessageId`] is made from what it is
//!   about, so a letter that is sent twice carries the same one twice.
//! - [`Mailer`]: hands letters in over TLS. [`Post`] is what a sink needs of it, so that a test can stand in.
//!
//! What it is not: it keeps no letter and tries none again. That is a lane's work, which holds the order and
//! counts attempts; this says only whether trying again can help ([`MailError`]). It knows no template, either:
//! the room that writes renders.

mod letter;
mod mailer;

pub use letter::{Letter, MailAddress, MessageId, NotAMailAddress, Sender};
pub use mailer::{BadSmtp, MailError, Mailer, Place, Post, Security, Smtp};
