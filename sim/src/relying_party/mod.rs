//! An app that signs people in with OpenID Connect: code flow with PKCE, state and nonce.
//!
//! It is two things at once. To a person it is a small web app at [`RelyingParty::home`], which asks the provider at
//! every page load whether the session still holds. To a script it is a witness: it verifies ID tokens with the
//! crate `openidconnect`, none of whose code is ours, and says what userinfo, introspection and revocation answered.
//!
//! It hears of ends by back-channel logout and believes a logout token only after checking all of it by itself; an
//! access token that has expired it refreshes, once it is asked for.
//!
//! Deliberately not here: encrypted tokens, symmetric signatures, signing out at the provider.
//!
//! - `provider` speaks to the provider, `app` to browsers and to the provider's back channel, `back_channel` says
//!   what a logout token must be, `page` is what browsers show, `sign_in` plays the person.

mod app;
mod back_channel;
mod page;
mod provider;
mod sign_in;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::watch;
use url::Url;

use crate::Now;
use crate::browser::{Browser, BrowserError};
use crate::http::{Request, Responder};
use app::App;
pub use back_channel::LogoutToken;
use provider::Provider;

/// What an app is made of.
#[derive(Clone)]
pub struct RelyingPartyOptions {
    /// What it calls itself.
    pub name: String,
    /// Where it listens; port 0 takes a free one. It calls itself `localhost` whatever the address.
    pub bind: SocketAddr,
    /// The clock by which ID tokens expire.
    pub now: Now,
}

impl RelyingPartyOptions {
    /// An app of that name on a free loopback port.
    #[must_use]
    pub fn new(name: impl Into<String>, now: Now) -> Self {
        Self { name: name.into(), bind: (Ipv4Addr::LOCALHOST, 0).into(), now }
    }
}

/// What the provider knows the app by.
#[derive(Clone)]
pub struct Registration {
    /// The issuer, exactly as the provider states it.
    pub issuer: String,
    /// The client id.
    pub client_id: String,
    /// The client secret, sent by HTTP Basic; a client without one is public.
    pub client_secret: Option<String>,
    /// Scopes besides `openid`.
    pub scopes: Vec<String>,
}

/// Somebody is signed in: what the provider said, verified.
#[derive(Clone, PartialEq)]
pub struct Session {
    /// The payload of the ID token: signature, issuer, audience, expiry, nonce and `at_hash` hold.
    pub claims: Value,
    /// The answer of userinfo at sign-in, about the same subject.
    pub userinfo: Value,
    /// The access token.
    pub access_token: String,
    /// The ID token as it came.
    pub id_token: String,
    /// The refresh token, if one came.
    pub refresh_token: Option<String>,
}

impl Session {
    /// Who it is, by the provider's identifier.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.claims["sub"].as_str().unwrap_or_default()
    }
}

impl fmt::Debug for Session {
    /// Without the tokens, which are as good as the person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut session = f.debug_struct("Session");
        session.field("claims", &self.claims).field("userinfo", &self.userinfo).finish_non_exhaustive()
    }
}

/// What the app itself keeps of somebody who signed in: OpenID Connect's "local session".
#[derive(Clone, Debug, PartialEq)]
pub struct LocalSession {
    /// What the provider said at sign-in.
    pub session: Session,
    /// Since when it is over, and why. One that is over opens nothing; it is remembered to be shown.
    pub ended: Option<Ended>,
}

/// The end of a local session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When, by the app's clock.
    pub at: jiff::Timestamp,
    /// Why.
    pub by: EndedBy,
}

/// Why a local session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The provider sent a logout token.
    LogoutToken,
    /// The provider refused the access token, and would not refresh it.
    Refusal,
}

/// A logout token that was heard and believed.
#[derive(Clone, Debug)]
pub struct Logout {
    /// What it said.
    pub token: LogoutToken,
    /// When it was heard, by the app's clock.
    pub at: jiff::Timestamp,
    /// The same, to be compared with other moments of this process.
    pub heard: Instant,
    /// How many local sessions ended for it.
    pub ended: usize,
}

/// Why the app could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum RelyingPartyError {
    /// `connect` has not succeeded yet.
    #[error("the app is not connected to a provider")]
    NotConnected,
    /// The provider's metadata or keys could not be had, or contradict themselves.
    #[error("discovery: {0}")]
    Discovery(String),
    /// The provider does not announce that endpoint.
    #[error("the provider has no {0}")]
    NoEndpoint(&'static str),
    /// The provider could not be reached, or broke off.
    #[error("{step}: no answer")]
    Network {
        /// What was being done.
        step: &'static str,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The provider said no.
    #[error("{step}: {status} {error} {description}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// The HTTP status.
        status: u16,
        /// The OAuth error code, from the body or from `WWW-Authenticate`; empty if there is none.
        error: String,
        /// What it said besides.
        description: String,
    },
    /// The provider said something that is not an answer.
    #[error("{step}: {reason}")]
    Malformed {
        /// What was being done.
        step: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A token that must not be believed.
    #[error("the ID token does not hold: {0}")]
    IdToken(String),
    /// The provider sent the browser back with an error (OpenID Connect Core, section 3.1.2.6).
    #[error("sent back with {error}: {description}")]
    SentBack {
        /// The code: `login_required`, `access_denied` and so on.
        error: String,
        /// What it said besides.
        description: String,
    },
    /// The browser is on a page from which this person gets no further.
    #[error("stuck at {url} (status {status}): {text}")]
    Stuck {
        /// The page.
        url: Box<Url>,
        /// Its status.
        status: u16,
        /// Its words.
        text: String,
    },
    /// The browser did not arrive.
    #[error(transparent)]
    Browser(#[from] BrowserError),
}

impl RelyingPartyError {
    /// The OAuth error code, if there is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } | Self::SentBack { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The HTTP status with which the provider said no, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// An app with a web page. Dropping it closes its port.
pub struct RelyingParty {
    app: Arc<App>,
    home: Url,
    now: Now,
    /// Answers browsers for as long as it lives.
    _responder: Responder,
}

impl RelyingParty {
    /// Opens the app. It can be looked at, but nobody can sign in before [`connect`](Self::connect): first the
    /// provider must know [`redirect_uri`](Self::redirect_uri).
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn start(options: RelyingPartyOptions) -> io::Result<Self> {
        let app = Arc::new(App::new(options.name, Arc::clone(&options.now)));
        let handler = Arc::clone(&app);
        let answer = move |request: Request| {
            let app = Arc::clone(&handler);
            async move { app.answer(&request).await }
        };
        let responder = Responder::start(options.bind, answer).await?;
        let port = responder.address().port();
        app.listen_at(port);
        let home = Url::parse(&format!("http://localhost:{port}/")).map_err(io::Error::other)?;
        Ok(Self { app, home, now: options.now, _responder: responder })
    }

    /// The address of the app's page.
    #[must_use]
    pub fn home(&self) -> &Url {
        &self.home
    }

    /// Where the provider is to send browsers back to.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}callback", self.home)
    }

    /// Where the provider is to send logout tokens.
    #[must_use]
    pub fn backchannel_logout_uri(&self) -> String {
        format!("{}backchannel", self.home)
    }

    /// What it calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        self.app.name()
    }

    /// The local sessions, oldest first, those that are over included.
    #[must_use]
    pub fn sessions(&self) -> Vec<LocalSession> {
        self.app.sessions()
    }

    /// The local session of a browser, if it has one.
    #[must_use]
    pub fn session_of(&self, browser: &Browser) -> Option<LocalSession> {
        self.app.session(&browser.cookie(&self.app.session_cookie())?.value)
    }

    /// The logout tokens that were heard and believed, oldest first.
    #[must_use]
    pub fn logouts(&self) -> Vec<Logout> {
        self.app.logouts()
    }

    /// Changes whenever a local session comes or ends.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.app.changes()
    }

    /// Reads the provider's metadata and keys, and lets people sign in from then on. May be repeated.
    ///
    /// # Errors
    /// [`RelyingPartyError::Discovery`].
    pub async fn connect(&self, registration: Registration) -> Result<(), RelyingPartyError> {
        let provider = Provider::discover(registration, self.redirect_uri(), Arc::clone(&self.now)).await?;
        self.app.connect(provider);
        Ok(())
    }

    /// Signs in as a person would: from the app's page through the provider's forms and back.
    ///
    /// # Errors
    /// See [`RelyingPartyError`]; a wrong password is [`RelyingPartyError::Stuck`] on the provider's page.
    pub async fn sign_in(
        &self,
        browser: &mut Browser,
        username: &str,
        password: &str,
    ) -> Result<Session, RelyingPartyError> {
        self.sign_in_with(browser, username, password, &[]).await
    }

    /// Signs in with more parameters in the request to the provider: `acr_values`, `max_age`, `prompt`,
    /// `login_hint` or `ui_locales`; others are left out.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    pub async fn sign_in_with(
        &self,
        browser: &mut Browser,
        username: &str,
        password: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Session, RelyingPartyError> {
        let person = sign_in::Person { username, password };
        sign_in::walk(&self.app, &self.home, browser, parameters, Some(person)).await
    }

    /// Signs in without asking the person anything (`prompt=none`): holds the session at the provider?
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in); without a session it is [`RelyingPartyError::SentBack`] with `login_required`.
    pub async fn sign_in_silently(&self, browser: &mut Browser) -> Result<Session, RelyingPartyError> {
        sign_in::walk(&self.app, &self.home, browser, &[("prompt", "none")], None).await
    }

    /// Trades a session's refresh token for new tokens (RFC 6749, section 6; OpenID Connect Core, section 12).
    ///
    /// # Errors
    /// [`RelyingPartyError::Refused`] with `invalid_grant` once the session has ended; an ID token about anybody or
    /// anything else than the session is not believed.
    pub async fn refresh(&self, session: &Session) -> Result<Session, RelyingPartyError> {
        self.app.provider()?.refresh(session).await
    }

    /// What userinfo says to this access token now (OpenID Connect Core, section 5.3).
    ///
    /// # Errors
    /// [`RelyingPartyError::Refused`] with status and code if the token is not accepted.
    pub async fn userinfo(&self, access_token: &str) -> Result<Value, RelyingPartyError> {
        self.app.provider()?.userinfo(access_token).await
    }

    /// What introspection says about a token now (RFC 7662), asked with the client's own secret.
    ///
    /// # Errors
    /// [`RelyingPartyError::Refused`] if the client is not accepted.
    pub async fn introspect(&self, token: &str) -> Result<Value, RelyingPartyError> {
        self.app.provider()?.introspect(token).await
    }

    /// Gives a token back (RFC 7009).
    ///
    /// # Errors
    /// [`RelyingPartyError::Refused`] if the client is not accepted.
    pub async fn revoke(&self, token: &str) -> Result<(), RelyingPartyError> {
        self.app.provider()?.revoke(token).await
    }
}

#[cfg(test)]
mod tests;
