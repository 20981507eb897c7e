//! The OpenID Connect provider: a folder per journey.
//!
//! - [`discovery`]: what we are and which keys we sign with; bytes made beforehand.
//! - [`authorize`]: an application asks for a sign-in (OpenID Connect Core, section 3.1.2).
//! - [`sign_in`]: a person gives a user name and a password, or a passkey; [`step_up`]: one thing more.
//! - [`arrive`]: the one place that decides where a browser goes next, and whether a code is granted.
//! - [`consent`]: a person is asked what an application of somebody else may know.
//! - [`enrol`]: a person adds something to sign in with; [`account`]: what a person sees and ends.
//! - [`token`]: the application exchanges its code (RFC 6749, section 4.1.3; RFC 9700); a service asks for itself.
//! - [`userinfo`], [`introspect`], [`revoke`]: what becomes of a token. Each asks the directory whether the
//!   grant is alive, so a token is dead at the commit that ends its user, session or grant.
//! - [`logout`]: an application signs a person out, and all applications of the session are told.
//! - [`invite`]: a person sets a first password, or one instead of a forgotten one.
//! - [`set_up`]: the first administrator is made.
//! - [`recover`]: a person has forgotten the password, and asks for a link by mail.
//! - [`mail`]: the sink that writes to people: links, and notice of what changed about their account.
//!
//! What it is not: it keeps no state of its own. Users, sessions, grants and codes are the directory's; what
//! is allowed is policy's; what must be told to others begins with the facts that are recorded here.
//!
//! To add an endpoint: a folder with its handler, a line in [`routes`].

mod account;
mod arrive;
mod assurance;
mod authorize;
mod bearer;
mod ceremony;
mod client_auth;
mod consent;
mod destination;
mod device;
mod discovery;
mod enrol;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod home;
mod introspect;
mod invite;
mod judge;
pub mod logout;
pub mod mail;
mod pages;
mod recover;
mod revoke;
mod sealed;
mod session;
mod set_up;
mod sign_in;
mod step_up;
mod steps;
mod texts;
mod token;
mod userinfo;
mod visit;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix_web::web::to;
use directory::authenticator::passkey::Passkeys;
use directory::authenticator::password::Hasher;
use jiff::tz::TimeZone;
use kernel::{Assurance, Ctx, RequestId};
use keys::{KeyRing, SealingKeys};
use policy::Policies;
use store::{Db, Ephemeral, Origin};
use tokio::sync::watch;
use web::{Issuer, Method, Networks, Passage, Prebuilt, Route, Visibility};

pub use error::{refuse_as_oauth, refuse_as_page};
pub use invite::invitation_link;
pub use set_up::set_up_link;

/// The room and all it needs. Handlers are given it as actix `Data<Idp>`.
pub struct Idp {
    db: Db,
    keys: KeyRing,
    sealing: SealingKeys,
    policies: watch::Receiver<Arc<Policies>>,
    hasher: Hasher,
    ephemeral: Ephemeral,
    issuer: Issuer,
    /// None where passkeys cannot work: at an address without a name.
    passkeys: Option<Passkeys>,
    settings: Settings,
    metadata: Prebuilt,
    published: discovery::Published,
    rs256_is_ready: AtomicBool,
    noted: token::Noted,
}

/// What can be set. The defaults are safe.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a session lasts at most, by its rung, the lowest first. Default: 24 hours, 24 hours, 24 hours, 12 hours
    /// (NIST SP 800-63B-4, 2.1.3, 2.2.3 and 2.3.3; aal1 might last for a month, which no working day does).
    pub session_times: [Duration; 4],
    /// How long its browser may stay away, by the rung of the session, the lowest first. Default: for ever, 1 hour, 1
    /// hour, 15 minutes (NIST SP 800-63B-4, 2.1.3, 2.2.3 and 2.3.3).
    pub idle_times: [Option<Duration>; 4],
    /// How long ID and access tokens are valid. Default, and at most: 5 minutes. An access token is dead at
    /// userinfo and introspection earlier, at the commit that ends what it rests on.
    pub token_time: Duration,
    /// The organisation's own networks: `Network::"internal"` in policies. Default: none.
    pub internal_networks: Networks,
    /// Where policies' hours and weekdays are reckoned. Default: UTC.
    pub time_zone: TimeZone,
    /// Whether who forgot a password may ask for a link by mail: mail is configured. Default: no.
    pub recovery_by_mail: bool,
}

const MINUTE: Duration = Duration::from_secs(60);

/// The longest life of a token that is verified without asking us.
const LONGEST_TOKEN: Duration = Duration::from_secs(5 * 60);

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_times: [24, 24, 24, 12].map(|hours| 60 * hours * MINUTE),
            idle_times: [None, Some(60 * MINUTE), Some(60 * MINUTE), Some(15 * MINUTE)],
            token_time: LONGEST_TOKEN,
            internal_networks: Networks::default(),
            time_zone: TimeZone::UTC,
            recovery_by_mail: false,
        }
    }
}

impl Settings {
    fn session_time(&self, rung: Assurance) -> Duration {
        // The shortest for a rung that has none: there is no such rung.
        self.session_times.get(usize::from(rung.rung()) - 1).copied().unwrap_or_default()
    }

    fn idle_time(&self, rung: Assurance) -> Option<Duration> {
        self.idle_times.get(usize::from(rung.rung()) - 1).copied().flatten()
    }
}

impl Idp {
    /// The room over its parts.
    #[must_use]
    pub fn new(
        db: Db,
        keys: KeyRing,
        policies: watch::Receiver<Arc<Policies>>,
        hasher: Hasher,
        ephemeral: Ephemeral,
        issuer: Issuer,
        settings: Settings,
    ) -> Self {
        let settings = Settings { token_time: settings.token_time.min(LONGEST_TOKEN), ..settings };
        let metadata = discovery::metadata(&issuer);
        let rs256_is_ready = AtomicBool::new(false);
        let published = discovery::Published::default();
        let passkeys = passkeys(&issuer);
        let sealing = keys.sealing().clone();
        Self {
            db,
            keys,
            sealing,
            policies,
            hasher,
            ephemeral,
            issuer,
            passkeys,
            settings,
            metadata,
            published,
            rs256_is_ready,
            noted: token::Noted::default(),
        }
    }

    fn ctx(&self) -> &Ctx {
        self.db.ctx()
    }
}

/// Passkeys for exactly the issuer's origin, named after its host.
fn passkeys(issuer: &Issuer) -> Option<Passkeys> {
    let origin = issuer.as_str().parse().ok()?;
    match Passkeys::new(&origin, issuer.host()) {
        Ok(passkeys) => Some(passkeys),
        Err(error) => {
            tracing::warn!(%error, "passkeys are switched off");
            None
        }
    }
}

/// On whose behalf a change is made in answer to a request.
fn origin(actor: kernel::Actor, request: &RequestId) -> Origin {
    Origin { actor, request: Some(request.clone()) }
}

/// No form or query of ours is longer,
const FORM: usize = 16 * 1024;
/// but for what goes to and fro with a passkey: of twenty that one may have, the state of each.
const CEREMONY: usize = 48 * 1024;

/// Every endpoint of this room.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Get, Post};
    use Visibility::{Browser, Client, Public, Token};
    let page = |method, path, handler: fn() -> actix_web::Route| {
        Route::new(method, path, Browser, handler).refused_by(refuse_as_page)
    };
    let call = |method, path, visibility, handler: fn() -> actix_web::Route| {
        Route::new(method, path, visibility, handler).refused_by(refuse_as_oauth)
    };
    vec![
        Route::new(Get, home::PATH, Public, || to(home::get)).refused_by(refuse_as_page),
        call(Get, discovery::OPENID_CONFIGURATION, Public, || to(discovery::show)).cross_origin(),
        call(Get, discovery::AUTHORIZATION_SERVER, Public, || to(discovery::show)).cross_origin(),
        call(Get, discovery::JWKS, Public, || to(discovery::show_keys)).cross_origin(),
        page(Get, authorize::PATH, || to(authorize::get)),
        page(Post, authorize::PATH, || to(authorize::post)).body_limit(FORM),
        page(Get, sign_in::PATH, || to(sign_in::get)),
        page(Post, sign_in::PATH, || to(sign_in::post)).body_limit(FORM),
        page(Get, step_up::PATH, || to(step_up::get)),
        page(Post, step_up::PATH, || to(step_up::post)).body_limit(CEREMONY),
        page(Get, consent::PATH, || to(consent::get)),
        page(Post, consent::PATH, || to(consent::post)).body_limit(FORM),
        page(Get, enrol::PATH, || to(enrol::get)),
        page(Post, enrol::PATH, || to(enrol::post)).body_limit(CEREMONY),
        page(Get, account::PATH, || to(account::get)),
        page(Get, account::METHODS, || to(account::methods::get)),
        page(Post, account::METHODS, || to(account::methods::post)).body_limit(FORM),
        page(Get, account::SESSIONS, || to(account::sessions::get)),
        page(Post, account::SESSIONS, || to(account::sessions::post)).body_limit(FORM),
        page(Get, account::APPS, || to(account::apps::get)),
        page(Post, account::APPS, || to(account::apps::post)).body_limit(FORM),
        page(Get, account::BADGE, || to(account::badge::get)),
        page(Post, account::BADGE, || to(account::badge::post)).body_limit(FORM),
        page(Get, account::ACTIVITY, || to(account::activity::get)),
        page(Get, logout::PATH, || to(logout::get)),
        page(Post, logout::PATH, || to(logout::post)).body_limit(FORM),
        page(Get, invite::PATH, || to(invite::get)),
        page(Post, invite::PATH, || to(invite::post)).body_limit(FORM),
        page(Get, set_up::PATH, || to(set_up::get)),
        page(Post, set_up::PATH, || to(set_up::post)).body_limit(FORM),
        page(Get, recover::PATH, || to(recover::get)),
        page(Post, recover::PATH, || to(recover::post)).body_limit(FORM),
        call(Post, token::PATH, Client, || to(token::post)).body_limit(FORM).cross_origin(),
        call(Get, userinfo::PATH, Token, || to(userinfo::get)).cross_origin(),
        call(Post, userinfo::PATH, Token, || to(userinfo::post)).body_limit(FORM).cross_origin(),
        call(Post, introspect::PATH, Client, || to(introspect::post)).body_limit(FORM),
        call(Post, revoke::PATH, Client, || to(revoke::post)).body_limit(FORM).cross_origin(),
    ]
}

/// The language of a page: what the application asked for, else what the browser accepts.
fn locale(passage: &Passage, ui_locales: &[String]) -> web::Locale {
    web::Locale::first_of(ui_locales.iter().map(String::as_str)).unwrap_or(passage.locale())
}
