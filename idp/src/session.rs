//! The session of a browser: which living one it presents, and how a sign-in opens or raises one.

use std::time::Duration;

use actix_web::cookie::Cookie;
use directory::DirectoryError;
use directory::session::{self, Session, SignIn};
use kernel::Token;
use kernel::id::UserId;
use policy::Method;
use store::Tx;
use web::browser;

use crate::assurance;
use crate::error::IdpError;
use crate::visit::{Opened, Visit};

const COOKIE: &str = "__Host-cardea-session";

/// The living session of this browser, if it is signed in and did not stay away for too long.
pub(crate) async fn of(visit: &Visit<'_>) -> Result<Option<Session>, IdpError> {
    match visit.request.cookie(COOKIE) {
        Some(presented) => Ok(session::by_token(&visit.idp.db, presented.value()).await?),
        None => Ok(None),
    }
}

/// The same, also when it stayed away: whoever signs in now may keep it.
pub(crate) async fn of_or_idle(visit: &Visit<'_>) -> Result<Option<Session>, IdpError> {
    match visit.request.cookie(COOKIE) {
        Some(presented) => Ok(session::by_token_or_idle(&visit.idp.db, presented.value()).await?),
        None => Ok(None),
    }
}

/// The cookie of a session that was just opened or renewed.
pub(crate) fn cookie(token: &Token) -> Cookie<'static> {
    browser::cookie(COOKIE, token.expose().clone())
}

/// What somebody proved, for whom and why.
pub(crate) struct Proven<'a> {
    pub(crate) user: UserId,
    /// All that the session rests on from now on.
    pub(crate) methods: &'a [Method],
    pub(crate) client: Option<String>,
    pub(crate) because: Vec<String>,
}

impl Proven<'_> {
    /// `left` is what is left of a session that goes on.
    fn sign_in(self, visit: &Visit<'_>, left: Option<Duration>) -> SignIn {
        let rung = assurance::of(self.methods);
        let most = visit.idp.settings.session_time(rung);
        SignIn {
            user: self.user,
            client: self.client,
            assurance: rung,
            amr: assurance::amr(self.methods),
            because: self.because,
            lasts: left.map_or(most, |left| left.min(most)),
            methods: assurance::in_words(self.methods),
            idle: visit.idp.settings.idle_time(rung),
            device: visit.device(),
        }
    }
}

/// Signs a person in, in this transaction. The browser's token is a new one in any case: nothing from before a
/// sign-in is valid after it.
///
/// Whoever was signed in here already keeps the session, and with it what other applications were granted; it rests on
/// what was proven now. The session of somebody else ends: it may have been planted.
pub(crate) async fn open(
    tx: &mut Tx,
    visit: &Visit<'_>,
    earlier: Option<&Session>,
    proven: Proven<'_>,
) -> Result<Opened, DirectoryError> {
    let sign_in = proven.sign_in(visit, None);
    match earlier {
        Some(earlier) if earlier.user_id == sign_in.user => {
            if let Some(renewed) = session::renew(tx, earlier.id, &sign_in).await? {
                return Ok(renewed);
            }
        }
        Some(earlier) => drop(session::end(tx, earlier.id).await?),
        None => {}
    }
    session::open(tx, &sign_in).await
}

/// One more thing was proven in a session: it rises, gets another token, and lasts no longer than before. `None` when
/// it has ended meanwhile.
pub(crate) async fn raise(
    tx: &mut Tx,
    visit: &Visit<'_>,
    session: &Session,
    method: Method,
    client: Option<String>,
    because: Vec<String>,
) -> Result<Option<Opened>, DirectoryError> {
    let mut methods = assurance::proven_in(session);
    if !methods.contains(&method) {
        methods.push(method);
    }
    let left = session.expires_at.since(tx.now());
    let proven = Proven { user: session.user_id, methods: &methods, client, because };
    Ok(session::renew(tx, session.id, &proven.sign_in(visit, Some(left))).await?)
}

/// Has the browser forget its session.
pub(crate) fn forget() -> Cookie<'static> {
    browser::forget(COOKIE)
}
