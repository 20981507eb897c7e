//! The session cookie: which living session a browser presents.

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use directory::session::{self, Session};
use kernel::Token;
use web::browser;

use crate::Idp;
use crate::error::IdpError;

const COOKIE: &str = "__Host-cardea-session";

/// The living session of this browser, if it is signed in.
pub(crate) async fn of(idp: &Idp, request: &HttpRequest) -> Result<Option<Session>, IdpError> {
    match request.cookie(COOKIE) {
        Some(presented) => Ok(session::by_token(&idp.db, presented.value()).await?),
        None => Ok(None),
    }
}

/// The cookie of a session that was just opened.
pub(crate) fn cookie(token: &Token) -> Cookie<'static> {
    browser::cookie(COOKIE, token.expose().clone())
}

/// Has the browser forget its session.
pub(crate) fn forget() -> Cookie<'static> {
    browser::forget(COOKIE)
}
