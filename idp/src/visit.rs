//! One request of a person's browser, with what every page's handler needs.

use std::cell::RefCell;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::error::ErrorInternalServerError;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use directory::user::{self, User};
use kernel::id::UserId;
use kernel::{Actor, Principal, Token};
use store::{StoreError, Tx};
use web::body::{BodyError, Form};
use web::browser::Browser;
use web::{Params, Passage};

use crate::error::{IdpError, answer_as_page};
use crate::{Idp, origin};

/// A browser at the door of a handler: `async fn get(visitor: Visitor) -> HttpResponse { visitor.sees(show).await }`.
pub(crate) struct Visitor {
    idp: Data<Idp>,
    passage: Passage,
    request: HttpRequest,
}

/// What a handler of a form is given.
pub(crate) type Sent = Result<Form, BodyError>;

impl FromRequest for Visitor {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    /// Fails only where [`crate::routes`] was not mounted as it must be.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let passage = Passage::from_request(request, payload).into_inner();
        let idp = request.app_data::<Data<Idp>>().cloned();
        ready(passage.and_then(|passage| {
            let idp = idp.ok_or_else(|| ErrorInternalServerError("not mounted"))?;
            Ok(Self { idp, passage, request: request.clone() })
        }))
    }
}

impl Visitor {
    /// Answers with a page, or with that of an error.
    pub(crate) async fn sees(
        self,
        show: impl AsyncFnOnce(&Visit<'_>) -> Result<HttpResponse, IdpError>,
    ) -> HttpResponse {
        let visit = Visit::new(&self.idp, &self.passage, &self.request);
        answer_as_page(&self.passage, show(&visit).await)
    }

    /// The same for a form, which must have been made for this browser and sent from our page.
    pub(crate) async fn sends(
        self,
        form: Sent,
        act: impl AsyncFnOnce(&Visit<'_>, &Params) -> Result<HttpResponse, IdpError>,
    ) -> HttpResponse {
        self.sees(async |visit| {
            let Form(form) = form?;
            visit.sent(&form)?;
            act(visit, &form).await
        })
        .await
    }
}

/// A browser that asks for something.
pub(crate) struct Visit<'a> {
    pub(crate) idp: &'a Idp,
    pub(crate) passage: &'a Passage,
    pub(crate) request: &'a HttpRequest,
    pub(crate) browser: Browser,
    /// Whom policy was asked about already.
    principal: RefCell<Option<(UserId, i64, Principal)>>,
}

impl<'a> Visit<'a> {
    fn new(idp: &'a Idp, passage: &'a Passage, request: &'a HttpRequest) -> Self {
        let browser = Browser::of(idp.ctx(), request);
        Self { idp, passage, request, browser, principal: RefCell::default() }
    }

    fn sent(&self, form: &Params) -> Result<(), IdpError> {
        if self.browser.sent_form(self.request, &self.idp.issuer, form) {
            Ok(())
        } else {
            Err(IdpError::ForeignForm)
        }
    }

    /// What policies may ask about a user, read once for all questions of this request about the user as read here:
    /// a password that waited to be hashed may have been waited for by a change.
    pub(crate) async fn principal(&self, user: &User) -> Result<Principal, StoreError> {
        let known = self.principal.borrow().clone();
        if let Some((_, _, known)) =
            known.filter(|(id, version, _)| (*id, *version) == (user.id, user.version))
        {
            return Ok(known);
        }
        let principal = user::principal(&self.idp.db, user).await?;
        self.principal.replace(Some((user.id, user.version, principal.clone())));
        Ok(principal)
    }

    /// A transaction on behalf of a user.
    pub(crate) async fn write_as(&self, user: UserId) -> Result<Tx, StoreError> {
        self.idp.db.write(origin(Actor::User(user), self.passage.id())).await
    }

    /// As its owner would call this browser: "Firefox, Windows".
    pub(crate) fn device(&self) -> String {
        let agent = self.request.headers().get(header::USER_AGENT);
        in_words(agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default())
    }

    /// The same for facts: `None` when the browser says nothing that we know.
    pub(crate) fn named_device(&self) -> Option<String> {
        Some(self.device()).filter(|device| !device.is_empty())
    }
}

/// A session that was just opened or renewed, with what goes into its cookie.
pub(crate) type Opened = (directory::session::Session, Token);

/// The name of the browser and of the system that a `User-Agent` claims. The more particular names come first: most
/// browsers claim to be several.
fn in_words(agent: &str) -> String {
    let browsers = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox", "Firefox"),
        ("FxiOS", "Firefox"),
        ("CriOS", "Chrome"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
    ];
    let systems = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name)
    };
    let words: Vec<&str> = [named(&browsers), named(&systems)].into_iter().flatten().collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_called_as_its_owner_would() {
        for (agent, expect) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox, Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 \
                 Safari/537.36 Edg/142.0.0.0",
                "Edge, Windows",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Mobile Safari/537.36",
                "Chrome, Android",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.1 Mobile/15E148 Safari/604.1",
                "Safari, iPhone",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 \
                 Safari/605.1.15",
                "Safari, macOS",
            ),
            ("curl/8.10", ""),
            ("", ""),
        ] {
            assert_eq!(in_words(agent), expect, "{agent}");
        }
    }
}
