//! The app towards browsers: who is signed in, and is it still so? And towards the provider, which says when not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use openidconnect::CsrfToken;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::sync::watch;

use super::page;
use super::provider::{Begun, Provider};
use super::{Ended, EndedBy, LocalSession, Logout, LogoutToken, RelyingPartyError, Session};
use crate::Now;
use crate::http::{Request, Response};

/// How many sign-ins may be under way, and how many people signed in; the oldest give way.
const REMEMBERED: usize = 1_000;

/// What a request to sign in may hand on to the provider.
const PARAMETERS: [&str; 5] = ["acr_values", "max_age", "prompt", "login_hint", "ui_locales"];

/// The app behind the socket.
pub(super) struct App {
    name: String,
    now: Now,
    port: OnceLock<u16>,
    state: Mutex<State>,
    /// How often local sessions have changed.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    provider: Option<Arc<Provider>>,
    begun: VecDeque<Begun>,
    sessions: VecDeque<Kept>,
    logouts: VecDeque<Logout>,
}

/// A local session, and the value of the cookie that leads to it.
struct Kept {
    key: String,
    local: LocalSession,
}

impl App {
    pub(super) fn new(name: String, now: Now) -> Self {
        let changes = watch::Sender::new(0);
        Self { name, now, port: OnceLock::new(), state: Mutex::default(), changes }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Ports do not separate cookies, so their names must.
    pub(super) fn listen_at(&self, port: u16) {
        self.port.get_or_init(|| port);
    }

    fn cookie(&self, what: &str) -> String {
        format!("{what}-{}", self.port.get().copied().unwrap_or_default())
    }

    pub(super) fn connect(&self, provider: Provider) {
        self.lock().provider = Some(Arc::new(provider));
    }

    pub(super) fn provider(&self) -> Result<Arc<Provider>, RelyingPartyError> {
        self.lock().provider.clone().ok_or(RelyingPartyError::NotConnected)
    }

    /// The name of the cookie by which a browser is signed in here.
    pub(super) fn session_cookie(&self) -> String {
        self.cookie("session")
    }

    /// The local session behind that value of the session cookie.
    pub(super) fn session(&self, key: &str) -> Option<LocalSession> {
        self.lock().sessions.iter().find(|kept| kept.key == key).map(|kept| kept.local.clone())
    }

    pub(super) fn sessions(&self) -> Vec<LocalSession> {
        self.lock().sessions.iter().map(|kept| kept.local.clone()).collect()
    }

    pub(super) fn logouts(&self) -> Vec<Logout> {
        self.lock().logouts.iter().cloned().collect()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) async fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => self.home(request).await,
            ("GET", "/sign-in") => self.begin(request),
            ("GET", "/callback") => self.finish(request).await,
            ("POST", "/sign-out") => self.sign_out(request),
            ("POST", "/backchannel") => self.back_channel(request).await,
            _ => page::missing(&self.name),
        }
    }

    /// The page, after asking the provider whether it still vouches for the person.
    async fn home(&self, request: &Request) -> Response {
        let Ok(provider) = self.provider() else { return page::unconnected(&self.name) };
        let key = request.cookie(&self.session_cookie()).unwrap_or_default();
        let Some(LocalSession { session, ended }) = self.session(key) else {
            return page::nobody(&self.name);
        };
        if let Some(ended) = ended {
            return page::signed_out(&self.name, &session, ended);
        }
        match self.vouched_for(&provider, key, &session).await {
            Ok(userinfo) => page::somebody(&self.name, &session, &userinfo),
            Err(error @ RelyingPartyError::Refused { .. }) => {
                self.end(EndedBy::Refusal, |kept| kept.key == key);
                page::ended(&self.name, &session, &error)
            }
            Err(error) => page::unsure(&self.name, &error),
        }
    }

    /// What the provider says of the person now. An access token that it refuses may only be old: then the app
    /// asks once more with a new one.
    async fn vouched_for(
        &self,
        provider: &Provider,
        key: &str,
        session: &Session,
    ) -> Result<Value, RelyingPartyError> {
        let refused = match provider.userinfo(&session.access_token).await {
            Err(error @ RelyingPartyError::Refused { status: 401, .. }) => error,
            answer => return answer,
        };
        if session.refresh_token.is_none() {
            return Err(refused);
        }
        let session = provider.refresh(session).await?;
        let userinfo = provider.userinfo(&session.access_token).await?;
        if let Some(kept) = self.lock().sessions.iter_mut().find(|kept| kept.key == key) {
            kept.local.session = session;
        }
        Ok(userinfo)
    }

    /// The provider says that sessions have ended (OpenID Connect Back-Channel Logout 1.0, section 2.5).
    async fn back_channel(&self, request: &Request) -> Response {
        match self.hear(request).await {
            // Section 2.8: 200, and nothing is to be kept of it on the way.
            Ok(()) => Response::new(200, "text/plain", "").with("Cache-Control", "no-store"),
            Err(reason) => {
                let said = json!({ "error": "invalid_request", "error_description": reason });
                Response::new(400, "application/json", said.to_string()).with("Cache-Control", "no-store")
            }
        }
    }

    async fn hear(&self, request: &Request) -> Result<(), String> {
        let token = request.form("logout_token").ok_or("no logout_token")?;
        let provider = self.provider().map_err(|error| error.to_string())?;
        let token = provider.verify_logout(&token).await.map_err(|error| error.to_string())?;
        let mut state = self.lock();
        if state.logouts.iter().any(|heard| heard.token.jti == token.jti) {
            return Err(format!("the jti {} was heard before", token.jti));
        }
        let ended = end_in(&mut state, self.ended(EndedBy::LogoutToken), |kept| is_ended_by(kept, &token));
        let (at, heard) = ((self.now)(), Instant::now());
        remember(&mut state.logouts, Logout { token, at, heard, ended });
        drop(state);
        self.changed();
        Ok(())
    }

    fn end(&self, by: EndedBy, is_meant: impl Fn(&Kept) -> bool) {
        end_in(&mut self.lock(), self.ended(by), is_meant);
        self.changed();
    }

    fn ended(&self, by: EndedBy) -> Ended {
        Ended { at: (self.now)(), by }
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn begin(&self, request: &Request) -> Response {
        let Ok(provider) = self.provider() else { return page::unconnected(&self.name) };
        let parameters: Vec<_> =
            PARAMETERS.into_iter().filter_map(|name| Some((name, request.query(name)?))).collect();
        let (url, begun) = provider.begin(&parameters);
        let cookie =
            format!("{}={}; Path=/callback; HttpOnly; SameSite=Lax", self.cookie("state"), begun.state);
        remember(&mut self.lock().begun, begun);
        Response::see_other(url).with("Set-Cookie", cookie)
    }

    async fn finish(&self, request: &Request) -> Response {
        let outcome = self.signed_in(request).await;
        let session = match outcome {
            Ok(session) => session,
            Err(error) => return page::failed(&self.name, &error),
        };
        let key = CsrfToken::new_random().into_secret();
        let cookie = format!("{}={key}; Path=/; HttpOnly; SameSite=Lax", self.session_cookie());
        let local = LocalSession { session, ended: None };
        remember(&mut self.lock().sessions, Kept { key, local });
        self.changed();
        Response::see_other("/").with("Set-Cookie", cookie)
    }

    async fn signed_in(&self, request: &Request) -> Result<Session, RelyingPartyError> {
        let provider = self.provider()?;
        let malformed =
            |reason: &str| RelyingPartyError::Malformed { step: "callback", reason: reason.into() };
        let state = request.query("state").unwrap_or_default();
        // The browser that comes back must be the one that was sent away.
        let same_browser = request.cookie(&self.cookie("state")) == Some(&state);
        let begun = self.take_begun(&state).filter(|_| same_browser);
        let begun = begun.ok_or_else(|| malformed("no sign-in was begun with this state in this browser"))?;
        if !provider.is_from_here(request.query("iss").as_deref()) {
            return Err(malformed("iss is not the issuer"));
        }
        if let Some(error) = request.query("error") {
            let description = request.query("error_description").unwrap_or_default();
            return Err(RelyingPartyError::SentBack { error, description });
        }
        let code = request.query("code").ok_or_else(|| malformed("neither code nor error"))?;
        provider.finish(code, begun).await
    }

    fn take_begun(&self, state: &str) -> Option<Begun> {
        let mut held = self.lock();
        let at = held.begun.iter().position(|begun| begun.state == state)?;
        held.begun.remove(at)
    }

    /// Out of this app only: the session at the provider goes on.
    fn sign_out(&self, request: &Request) -> Response {
        self.forget(request);
        let cookie = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", self.session_cookie());
        Response::see_other("/").with("Set-Cookie", cookie)
    }

    fn forget(&self, request: &Request) {
        let Some(key) = request.cookie(&self.session_cookie()) else { return };
        self.lock().sessions.retain(|kept| kept.key != key);
        self.changed();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_ended_by(kept: &Kept, token: &LogoutToken) -> bool {
    token.ends(&kept.local.session.claims)
}

/// Ends those that are meant and still live; how many that were.
fn end_in(state: &mut State, ended: Ended, is_meant: impl Fn(&Kept) -> bool) -> usize {
    let living = state.sessions.iter_mut().filter(|kept| kept.local.ended.is_none() && is_meant(kept));
    living.map(|kept| kept.local.ended = Some(ended)).count()
}

fn remember<T>(memory: &mut VecDeque<T>, item: T) {
    if memory.len() == REMEMBERED {
        memory.pop_front();
    }
    memory.push_back(item);
}
