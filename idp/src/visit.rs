//! One request of a person's browser, with what every page's handler needs.

use actix_web::HttpRequest;
use actix_web::http::header;
use kernel::id::UserId;
use kernel::{Actor, Token};
use store::{StoreError, Tx};
use web::browser::Browser;
use web::{Params, Passage};

use crate::error::IdpError;
use crate::{Idp, origin};

/// A browser that asks for something.
pub(crate) struct Visit<'a> {
    pub(crate) idp: &'a Idp,
    pub(crate) passage: &'a Passage,
    pub(crate) request: &'a HttpRequest,
    pub(crate) browser: Browser,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(idp: &'a Idp, passage: &'a Passage, request: &'a HttpRequest) -> Self {
        Self { idp, passage, request, browser: Browser::of(idp.ctx(), request) }
    }

    /// Holds a posted form to have been made for this browser and sent from our page.
    pub(crate) fn sent(&self, form: &Params) -> Result<(), IdpError> {
        if self.browser.sent_form(self.request, &self.idp.issuer, form) {
            Ok(())
        } else {
            Err(IdpError::ForeignForm)
        }
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
