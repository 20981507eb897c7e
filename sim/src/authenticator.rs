//! What a person signs in with beside a password: an app that shows one-time codes, and a security key.
//!
//! The codes are those of `totp-rs`, the key is the software passkey of `webauthn-authenticator-rs`: neither
//! shares a line with the provider's own checks. The key does in a [`Browser`] what the provider's script does in a
//! real one: it reads the options off the page's form, asks the key, and posts its answer.
//!
//! Deliberately not here: discoverable credentials (the software key must be told which key is meant), and a person
//! who says no.

use serde::Serialize;
use serde::de::DeserializeOwned;
use totp_rs::Totp;
use url::Url;
use webauthn_authenticator_rs::WebauthnAuthenticator as _;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use crate::Now;
use crate::browser::{Browser, BrowserError, Page};

/// Why somebody could not show what they have.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticatorError {
    /// The page offers no key for an app.
    #[error("no otpauth: link at {url}: {text}")]
    NoSeed {
        /// The page.
        url: Box<Url>,
        /// Its words.
        text: String,
    },
    /// The page's key is none.
    #[error("the otpauth: link is none: {0}")]
    BadSeed(String),
    /// The page asks for no passkey.
    #[error("no passkey is asked for at {url}: {text}")]
    NotAsked {
        /// The page.
        url: Box<Url>,
        /// Its words.
        text: String,
    },
    /// What the page asks a passkey for cannot be read.
    #[error("the options of the passkey form cannot be read")]
    Options(#[from] serde_json::Error),
    /// The key refused.
    #[error("the security key: {0}")]
    Key(String),
    /// The browser did not arrive.
    #[error(transparent)]
    Browser(#[from] BrowserError),
}

/// An app on a phone that has scanned a key and shows codes for it.
pub struct AuthenticatorApp {
    totp: Totp,
    now: Now,
}

impl AuthenticatorApp {
    /// Scans the key that a page offers.
    ///
    /// # Errors
    /// [`AuthenticatorError::NoSeed`] or [`AuthenticatorError::BadSeed`].
    pub fn scan(page: &Page, now: Now) -> Result<Self, AuthenticatorError> {
        let link = page.links().into_iter().find(|link| link.url.scheme() == "otpauth");
        let link = link.ok_or_else(|| AuthenticatorError::NoSeed {
            url: Box::new(page.url.clone()),
            text: page.text(),
        })?;
        let totp = Totp::from_url(link.url.as_str())
            .map_err(|error| AuthenticatorError::BadSeed(error.to_string()))?;
        Ok(Self { totp, now })
    }

    /// The code that it shows now.
    #[must_use]
    pub fn code(&self) -> String {
        let now = u64::try_from((self.now)().as_second()).unwrap_or(0);
        self.totp.generate(now).to_string()
    }
}

/// A security key that knows its owner by a touch, and does not let its keys out.
pub struct SecurityKey(SoftPasskey);

impl Default for SecurityKey {
    fn default() -> Self {
        Self(SoftPasskey::new(true))
    }
}

/// What a page asks a key for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ceremony {
    Create,
    Get,
}

impl SecurityKey {
    /// Whether a page asks for a passkey that there is.
    #[must_use]
    pub fn is_asked_for(page: &Page) -> bool {
        page.forms().iter().any(|form| form.attribute("data-passkey") == Some("get"))
    }

    /// Makes the passkey that a page asks for, and sends it.
    ///
    /// # Errors
    /// See [`AuthenticatorError`].
    pub async fn register(&mut self, browser: &mut Browser, page: &Page) -> Result<Page, AuthenticatorError> {
        self.answer(browser, page, Ceremony::Create).await
    }

    /// Shows the passkey that a page asks for.
    ///
    /// # Errors
    /// See [`AuthenticatorError`]; a key that has none for this place is [`AuthenticatorError::Key`].
    pub async fn show(&mut self, browser: &mut Browser, page: &Page) -> Result<Page, AuthenticatorError> {
        self.answer(browser, page, Ceremony::Get).await
    }

    async fn answer(
        &mut self,
        browser: &mut Browser,
        page: &Page,
        ceremony: Ceremony,
    ) -> Result<Page, AuthenticatorError> {
        let name = if ceremony == Ceremony::Create { "create" } else { "get" };
        let form = page.forms().into_iter().find(|form| form.attribute("data-passkey") == Some(name));
        let not_asked =
            || AuthenticatorError::NotAsked { url: Box::new(page.url.clone()), text: page.text() };
        let form = form.ok_or_else(not_asked)?;
        let options = form.attribute("data-options").unwrap_or_default();
        // The browser says where it is; a page cannot.
        let origin = form.page_url().clone();
        let answer = match ceremony {
            Ceremony::Create => said(self.0.do_registration(origin, read(options)?))?,
            Ceremony::Get => said(self.0.do_authentication(origin, read(options)?))?,
        };
        Ok(browser.submit(&form, &[("passkey", &answer)]).await?)
    }
}

fn read<T: DeserializeOwned>(options: &str) -> Result<T, AuthenticatorError> {
    Ok(serde_json::from_str(options)?)
}

fn said<T: Serialize, E: std::fmt::Debug>(answer: Result<T, E>) -> Result<String, AuthenticatorError> {
    let answer = answer.map_err(|error| AuthenticatorError::Key(format!("{error:?}")))?;
    Ok(serde_json::to_string(&answer)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(second: i64) -> Now {
        Arc::new(move || jiff::Timestamp::from_second(second).unwrap())
    }

    /// RFC 6238, appendix B: the last six digits of its SHA-1 rows.
    #[test]
    fn the_app_shows_the_codes_of_the_standard() {
        let page = Page::for_tests(
            "http://localhost:1/",
            "<a href='otpauth://totp/Cardea:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&amp;issuer=Cardea'>open</a>",
        );
        for (second, expect) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(AuthenticatorApp::scan(&page, at(second)).unwrap().code(), expect, "{second}");
        }
        for (body, expect) in [
            ("<a href=/x>x</a>", "no otpauth: link"),
            ("<a href='otpauth://totp/x?secret=!'>x</a>", "is none"),
        ] {
            let page = Page::for_tests("http://localhost:1/", body);
            let error = AuthenticatorApp::scan(&page, at(0)).err().unwrap();
            assert!(error.to_string().contains(expect), "{error}");
        }
    }

    #[tokio::test]
    async fn a_key_answers_only_what_is_asked_and_only_with_what_it_has() {
        let mut browser = Browser::new(at(0));
        let mut key = SecurityKey::default();
        let options = "{\"publicKey\":{\"challenge\":\"AAAA\",\"rpId\":\"localhost\",\"allowCredentials\":\
                       [{\"type\":\"public-key\",\"id\":\"AAAA\"}],\"userVerification\":\"required\"}}";
        let form = format!(
            "<form method=post data-passkey=get data-options='{options}'><input name=passkey type=hidden></form>"
        );
        let page = Page::for_tests("http://localhost:1/", &form);
        assert!(SecurityKey::is_asked_for(&page));
        let error = key.show(&mut browser, &page).await.unwrap_err();
        assert!(matches!(error, AuthenticatorError::Key(_)), "{error}");
        let error = key.register(&mut browser, &page).await.unwrap_err();
        assert!(matches!(error, AuthenticatorError::NotAsked { .. }), "{error}");
        let plain = Page::for_tests("http://localhost:1/", "<form method=post><button>Go</button></form>");
        assert!(!SecurityKey::is_asked_for(&plain));
        assert!(matches!(key.show(&mut browser, &plain).await, Err(AuthenticatorError::NotAsked { .. })));
    }
}
