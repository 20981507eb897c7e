//! Whether a person has signed in with this browser before: a sealed cookie that says who did.
//!
//! It is a sign for the assessment of risk and opens nothing. It is sealed, so that nobody can claim it, and not kept
//! here, so that it costs nothing. Whoever clears cookies is new, which is a little unusual and no more.

use actix_web::cookie::Cookie;
use actix_web::cookie::time::Duration as CookieTime;
use kernel::id::UserId;
use keys::SealedColumn;
use serde::{Deserialize, Serialize};
use web::browser;

use crate::visit::Visit;

const COOKIE: &str = "__Host-cardea-device";
const SEALED: SealedColumn = SealedColumn::new("device", "users", "version");
/// The longest that browsers keep a cookie (RFC 6265bis).
const DAYS: i64 = 400;
/// So many people can be known on one device; the ones who came last.
const MOST: usize = 5;

#[derive(Default, Serialize, Deserialize)]
struct Known(Vec<UserId>);

/// Whether this user has signed in with this browser before.
pub(crate) fn is_known(visit: &Visit<'_>, user: UserId) -> bool {
    known(visit).0.contains(&user)
}

/// The cookie that makes it known; `None` when it is.
pub(crate) fn cookie(visit: &Visit<'_>, user: UserId) -> Option<Cookie<'static>> {
    let Known(mut users) = known(visit);
    if users.contains(&user) {
        return None;
    }
    users.insert(0, user);
    users.truncate(MOST);
    let bytes = serde_json::to_vec(&Known(users)).ok()?;
    let sealed = visit.idp.sealing.seal(visit.idp.ctx(), SEALED.at("1"), &bytes);
    let mut cookie = browser::cookie(COOKIE, sealed);
    cookie.set_max_age(CookieTime::days(DAYS));
    Some(cookie)
}

/// What does not open says nothing.
fn known(visit: &Visit<'_>) -> Known {
    let presented = visit.request.cookie(COOKIE);
    let opened = presented.and_then(|cookie| visit.idp.sealing.open(SEALED.at("1"), cookie.value()).ok());
    opened.and_then(|bytes| serde_json::from_slice(bytes.expose()).ok()).unwrap_or_default()
}
