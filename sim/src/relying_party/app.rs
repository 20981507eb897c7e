//! The app towards browsers: who is signed in, and is it still so?

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use openidconnect::CsrfToken;

use super::page;
use super::provider::{Begun, Provider};
use super::{RelyingPartyError, Session};
use crate::http::{Request, Response};

/// How many sign-ins may be under way, and how many people signed in; the oldest give way.
const REMEMBERED: usize = 1_000;

/// What a request to sign in may hand on to the provider.
const PARAMETERS: [&str; 5] = ["acr_values", "max_age", "prompt", "login_hint", "ui_locales"];

/// The app behind the socket.
pub(super) struct App {
    name: String,
    port: OnceLock<u16>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    provider: Option<Arc<Provider>>,
    begun: VecDeque<Begun>,
    sessions: VecDeque<(String, Session)>,
}

impl App {
    pub(super) fn new(name: String) -> Self {
        Self { name, port: OnceLock::new(), state: Mutex::default() }
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

    /// Who is signed in with that value of the session cookie.
    pub(super) fn session(&self, key: &str) -> Option<Session> {
        let state = self.lock();
        state.sessions.iter().find(|(known, _)| known == key).map(|(_, session)| session.clone())
    }

    pub(super) async fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => self.home(request).await,
            ("GET", "/sign-in") => self.begin(request),
            ("GET", "/callback") => self.finish(request).await,
            ("POST", "/sign-out") => self.sign_out(request),
            _ => page::missing(&self.name),
        }
    }

    /// The page, after asking the provider whether it still vouches for the person.
    async fn home(&self, request: &Request) -> Response {
        let signed_in = request.cookie(&self.session_cookie()).and_then(|key| self.session(key));
        let Ok(provider) = self.provider() else { return page::unconnected(&self.name) };
        let Some(session) = signed_in else { return page::nobody(&self.name) };
        match provider.userinfo(&session.access_token).await {
            Ok(userinfo) => page::somebody(&self.name, &session, &userinfo),
            Err(error @ RelyingPartyError::Refused { .. }) => {
                self.forget(request);
                page::ended(&self.name, &session, &error)
            }
            Err(error) => page::unsure(&self.name, &error),
        }
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
        remember(&mut self.lock().sessions, (key, session));
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
        self.lock().sessions.retain(|(known, _)| known != key);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember<T>(memory: &mut VecDeque<T>, item: T) {
    if memory.len() == REMEMBERED {
        memory.pop_front();
    }
    memory.push_back(item);
}
