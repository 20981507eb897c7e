//! An authorization request of a known client, whose answer has a known place to go.

use directory::client::{self, Client};
use kernel::Timestamp;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use web::Params;

use super::{Refusal, Wishes};
use crate::Idp;
use crate::error::IdpError;
use crate::sealed::{self, Purpose};
use crate::visit::Visit;

/// The longest request, encoded.
pub(crate) const LONGEST_REQUEST: usize = 8 * 1024;

/// Parameters of ours that travel beside a request: which way a person chose, and when the sign-in began. What an
/// application sends under these names is not heard.
pub(crate) const WAY: &str = "way";
const BEGAN: &str = "began";

/// How long a sign-in that must be new may take.
const BEGINNING: Purpose = Purpose::new("began", 30);

/// When the sign-in that answers a request began.
#[derive(Serialize, Deserialize)]
struct Beginning {
    at: Timestamp,
    /// Of which request: that of another says nothing.
    request: [u8; 32],
}

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) client: Client,
    /// One of the client's own, letter by letter.
    pub(crate) redirect_uri: String,
    state: Option<String>,
    pub(crate) wishes: Wishes,
    /// The whole request, encoded: what travels to the next step.
    pub(crate) request: String,
    /// As it was presented; nothing is read from it but by [`Asked::recall`].
    presented: Option<String>,
    /// When the sign-in for it began, and the same sealed.
    began: Option<(Timestamp, String)>,
    /// Whether the person has just consented to it, in this very request of the browser: never read from anywhere.
    pub(crate) consented: bool,
}

impl Asked {
    /// Reads a request from its encoded form.
    ///
    /// # Errors
    /// A page when it is not known where an answer may go, else [`IdpError::Elsewhere`].
    pub(crate) async fn read(idp: &Idp, encoded: &str) -> Result<Self, IdpError> {
        if encoded.len() > LONGEST_REQUEST {
            return Err(IdpError::invalid_request("the request is too long"));
        }
        let params = Params::parse(encoded.as_bytes())?;
        let id = params.one("client_id")?.ok_or(IdpError::UnknownClient)?;
        let client = client::get(&idp.db, id).await?.ok_or(IdpError::UnknownClient)?;
        let redirect_uri = params.one("redirect_uri")?.ok_or(IdpError::UnregisteredRedirect)?;
        if !may_redirect(&client, redirect_uri) {
            return Err(IdpError::UnregisteredRedirect);
        }
        let asked = Self {
            client,
            redirect_uri: redirect_uri.to_owned(),
            state: params.one("state").ok().flatten().map(str::to_owned),
            wishes: Wishes::default(),
            request: without_ours(encoded),
            presented: params.one(BEGAN).ok().flatten().map(str::to_owned),
            began: None,
            consented: false,
        };
        match Wishes::read(&params) {
            Ok(wishes) if wishes.code_challenge.is_none() && asked.client.requires_pkce() => {
                Err(asked.send_back(idp, Refusal::NO_PKCE))
            }
            Ok(wishes) => Ok(Self { wishes, ..asked }),
            Err(refusal) => Err(asked.send_back(idp, refusal)),
        }
    }

    /// When the sign-in that answers this began, if it had to.
    pub(crate) fn began(&self) -> Option<Timestamp> {
        self.began.as_ref().map(|(at, _)| *at)
    }

    /// Reads what an earlier step of this browser noted with [`Asked::begin`].
    pub(crate) fn recall(&mut self, visit: &Visit<'_>) {
        let Some(sealed) = self.presented.take() else { return };
        let kept = sealed::open::<Beginning>(visit.idp, &visit.browser, BEGINNING, &sealed);
        let kept = kept.filter(|kept| kept.value.request == kernel::sha256(self.request.as_bytes()));
        self.began = kept.map(|kept| (kept.value.at, sealed));
    }

    /// Notes that a sign-in begins now, if only a new one will do and none has begun: whoever signed in earlier has
    /// not answered this, and whoever signs in now is not asked without end.
    pub(crate) fn begin(&mut self, visit: &Visit<'_>) -> Result<(), IdpError> {
        if self.wishes.only_new() && self.began.is_none() {
            let at = visit.idp.ctx().now();
            let beginning = Beginning { at, request: kernel::sha256(self.request.as_bytes()) };
            let sealed = sealed::seal(visit.idp, &visit.browser, BEGINNING, beginning)?;
            self.began = Some((at, sealed));
        }
        Ok(())
    }

    /// What travels to the next step: the request, with the beginning.
    pub(crate) fn carried(&self) -> String {
        match &self.began {
            // Sealed values need no encoding.
            Some((_, sealed)) => format!("{BEGAN}={sealed}&{}", self.request),
            None => self.request.clone(),
        }
    }

    /// Where the application is told that the person turned back.
    pub(crate) fn location_of_denied(&self, idp: &Idp) -> String {
        self.location_of(idp, &Refusal::DENIED)
    }

    /// Tells the application.
    pub(crate) fn send_back(&self, idp: &Idp, refusal: Refusal) -> IdpError {
        IdpError::Elsewhere(self.location_of(idp, &refusal))
    }

    /// Where the application is told of a refusal.
    pub(crate) fn location_of(&self, idp: &Idp, refusal: &Refusal) -> String {
        self.location(idp, &[("error", refusal.error), ("error_description", refusal.description)])
    }

    /// The redirect URI with an answer. `iss` lets a client of several providers tell who answered (RFC 9207).
    pub(super) fn location(&self, idp: &Idp, answer: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(answer);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", idp.issuer.as_str());
        let separator = if self.redirect_uri.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.redirect_uri, query.finish())
    }
}

/// A request without what is ours.
fn without_ours(encoded: &str) -> String {
    let all = form_urlencoded::parse(encoded.as_bytes());
    let theirs = all.filter(|(name, _)| name != WAY && name != BEGAN);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(theirs).finish()
}

/// Exactly one of the client's own (RFC 9700, section 4.1.3), and of a kind that can carry an answer: a browser
/// would run `javascript:` and `data:` in our name, and a fragment would swallow the answer.
pub(crate) fn may_redirect(client: &Client, uri: &str) -> bool {
    let scheme = uri.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let runs = ["javascript", "data", "vbscript", "blob", "about", "file"].contains(&scheme.as_str());
    client.allows_redirect_to(uri)
        && !runs
        && !uri.contains('#')
        && uri.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use store::JsonText;

    use super::*;

    const REGISTERED: &str = "https://app.example.org/callback?tenant=1";

    fn client(uris: &[&str]) -> Client {
        Client {
            id: "app".into(),
            version: 1,
            name: "App".into(),
            secret_hash: None,
            redirect_uris: JsonText(uris.iter().map(|uri| (*uri).to_owned()).collect()),
            sensitivity: "low".into(),
            project: None,
            id_token_alg: "RS256".into(),
            pkce: "required".into(),
            refresh_tokens: None,
            post_logout_redirect_uris: JsonText(Vec::new()),
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            third_party: false,
        }
    }

    #[test]
    fn only_a_registered_address_is_redirected_to() {
        let client = client(&[REGISTERED, "org.example.app:/callback"]);
        assert!(may_redirect(&client, REGISTERED));
        assert!(may_redirect(&client, "org.example.app:/callback"));
        for other in [
            "",
            "https://app.example.org/callback",
            "https://app.example.org/callback?tenant=1&x=2",
            "https://app.example.org/callback?tenant=2",
            "https://app.example.org/callback?tenant=1#",
            "https://app.example.org/callback?tenant=1#x",
            "https://app.example.org/callback/?tenant=1",
            "https://app.example.org/Callback?tenant=1",
            "https://app.example.org:443/callback?tenant=1",
            "https://app.example.org:8443/callback?tenant=1",
            "https://APP.example.org/callback?tenant=1",
            "https://app.example.org./callback?tenant=1",
            "https://app.example.org/./callback?tenant=1",
            "https://app.example.org/x/../callback?tenant=1",
            "https://app.example.org/%63allback?tenant=1",
            "https://app%2Eexample.org/callback?tenant=1",
            "https://appxexample.org/callback?tenant=1",
            "https://app.example.org.evil.example/callback?tenant=1",
            "https://evil.example/https://app.example.org/callback?tenant=1",
            "https://app.example.org@evil.example/callback?tenant=1",
            "https://user@app.example.org/callback?tenant=1",
            "https://evil.example\\@app.example.org/callback?tenant=1",
            "https://app.example.org\\.evil.example/callback?tenant=1",
            "https:/app.example.org/callback?tenant=1",
            "https:app.example.org/callback?tenant=1",
            "//app.example.org/callback?tenant=1",
            "http://app.example.org/callback?tenant=1",
            " https://app.example.org/callback?tenant=1",
            "https://app.example.org/callback?tenant=1 ",
            "https://app.example.org/callback?tenant=1\r\nset-cookie: a=b",
            "javascript:alert(1)",
        ] {
            assert!(!may_redirect(&client, other), "{other}");
        }
    }

    #[test]
    fn an_address_that_runs_or_swallows_is_not_redirected_to_although_it_is_registered() {
        for bad in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "https://app.example.org/#",
            "https://app.example.org/\u{e4}",
        ] {
            assert!(!may_redirect(&client(&[bad]), bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_the_registered_text_passes(
            at in any::<prop::sample::Index>(),
            remove in 0usize..4,
            insert in "[@\\\\/.:#?&%0-9a-zA-Z ]{0,4}",
        ) {
            let at = at.index(REGISTERED.len());
            let end = (at + remove).min(REGISTERED.len());
            let mut changed = REGISTERED.to_owned();
            changed.replace_range(at..end, &insert);
            prop_assert_eq!(may_redirect(&client(&[REGISTERED]), &changed), changed == REGISTERED);
        }
    }
}
