//! An application that a test plays by hand: each step of the code flow on its own, so that a step may be wrong.

use reqwest::StatusCode;
use serde_json::Value;
use sim::browser::{Browser, BrowserError, Page, Redirects};
use url::Url;

/// A code verifier and the challenge that belongs to it (RFC 7636, appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The challenge of [`VERIFIER`].
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What an endpoint answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; `Null` if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// Status and OAuth error code (RFC 6749, section 5.2).
    #[must_use]
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap_or_default())
    }
}

/// The application `grid-console` in the tester's hands.
#[derive(Clone, Debug)]
pub struct App {
    issuer: String,
    redirect_uri: String,
    secret: String,
    http: reqwest::Client,
}

impl App {
    /// As registered at `issuer`.
    #[must_use]
    pub fn new(issuer: &str, redirect_uri: &str, secret: &str) -> Self {
        let http = reqwest::Client::new();
        Self { issuer: issuer.into(), redirect_uri: redirect_uri.into(), secret: secret.into(), http }
    }

    /// The address of an authorization request; `changes` replace or add parameters.
    ///
    /// # Panics
    /// If the issuer is no URL.
    #[must_use]
    pub fn authorization(&self, changes: &[(&str, &str)]) -> String {
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", "grid-console"),
            ("redirect_uri", &self.redirect_uri),
            ("scope", "openid profile"),
            ("state", "a-state"),
            ("nonce", "a-nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        parameters.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let mut url = Url::parse(&format!("{}/authorize", self.issuer)).expect("an issuer is a URL");
        url.query_pairs_mut().extend_pairs(parameters).extend_pairs(changes);
        url.into()
    }

    /// The code that a browser brings back after the person has signed in; with a session no form is shown.
    ///
    /// # Errors
    /// As [`Browser::get`].
    ///
    /// # Panics
    /// If the application is not reached.
    pub async fn code(
        &self,
        browser: &mut Browser,
        user: &str,
        password: &str,
    ) -> Result<String, BrowserError> {
        Ok(code_in(&self.arrive(browser, user, password).await?))
    }

    /// The same for somebody who may be refused: `None` where the person gets no further.
    ///
    /// # Errors
    /// As [`Browser::get`].
    pub async fn try_code(
        &self,
        browser: &mut Browser,
        user: &str,
        password: &str,
    ) -> Result<Option<String>, BrowserError> {
        Ok(brought(&self.arrive(browser, user, password).await?, "code"))
    }

    /// The error that a browser brings back when nobody may be asked (`prompt=none`): `None` where a session lives.
    /// Where it is not led back at all, what stands on the page.
    ///
    /// # Errors
    /// As [`Browser::get`].
    pub async fn silently(&self, browser: &mut Browser) -> Result<Option<String>, BrowserError> {
        browser.redirects = Redirects::Until(self.redirect_uri.clone());
        let page = browser.get(&self.authorization(&[("prompt", "none")])).await?;
        browser.redirects = Redirects::Follow;
        let stuck = || format!("stuck at {}: {}", page.url, page.text());
        Ok(brought(&page, "error").or_else(|| page.stopped_at.is_none().then(stuck)))
    }

    async fn arrive(&self, browser: &mut Browser, user: &str, password: &str) -> Result<Page, BrowserError> {
        browser.redirects = Redirects::Until(self.redirect_uri.clone());
        let mut page = browser.get(&self.authorization(&[])).await?;
        if page.stopped_at.is_none() {
            let form = page.form_with("password")?;
            page = browser.submit(&form, &[("username", user), ("password", password)]).await?;
        }
        browser.redirects = Redirects::Follow;
        Ok(page)
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn exchange(&self, code: &str, verifier: &str) -> Result<Answer, reqwest::Error> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
        ];
        self.post("/token", &form).await
    }

    /// What introspection says of a token.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn introspect(&self, token: &str) -> Result<Answer, reqwest::Error> {
        self.post("/introspect", &[("token", token)]).await
    }

    /// A form, sent with the client's id and secret.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        let request =
            self.http.post(format!("{}{path}", self.issuer)).basic_auth("grid-console", Some(&self.secret));
        answer(request.form(form).send().await?).await
    }

    /// What userinfo says to a token.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn userinfo(&self, token: &str) -> Result<Answer, reqwest::Error> {
        answer(self.http.get(format!("{}/userinfo", self.issuer)).bearer_auth(token).send().await?).await
    }
}

async fn answer(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let status: StatusCode = response.status();
    let body = serde_json::from_str(&response.text().await?).unwrap_or_default();
    Ok(Answer { status: status.as_u16(), body })
}

fn code_in(page: &Page) -> String {
    let at = page.stopped_at.as_ref().unwrap_or_else(|| panic!("stuck at {}: {}", page.url, page.text()));
    brought(page, "code").unwrap_or_else(|| panic!("no code in {at}"))
}

/// A parameter that the browser brings back to the application, if it gets there.
fn brought(page: &Page, name: &str) -> Option<String> {
    let mut parameters = page.stopped_at.as_ref()?.query_pairs();
    parameters.find(|(parameter, _)| parameter == name).map(|(_, value)| value.into_owned())
}
