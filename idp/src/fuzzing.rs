//! What strangers send, read without a database: the doors of the fuzz targets `redirect_uri` and `jwt`.
//!
//! What it is not: a part of the provider. Nothing of the house goes through it.

use directory::client::Client;
use web::Params;

use crate::authorize::{self, Wishes};

/// Whether an answer to this client may go there.
#[must_use]
pub fn may_redirect(client: &Client, uri: &str) -> bool {
    authorize::may_redirect(client, uri)
}

/// Whether an authorization request, encoded, asks for something that can be given. An ID token that it brings along as
/// a hint is read, and not verified.
pub fn can_be_asked(encoded: &[u8]) -> bool {
    Params::parse(encoded).is_ok_and(|params| Wishes::read(&params).is_ok())
}
