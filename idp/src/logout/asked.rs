//! What a logout request says, as far as it can be believed (RP-Initiated Logout 1.0, sections 2 and 3).

use directory::client::{self, Client};
use directory::session::Session;
use keys::{Alg, Expect};
use serde::Deserialize;
use url::form_urlencoded;
use web::Params;

use crate::Idp;
use crate::authorize::LONGEST_REQUEST;
use crate::error::IdpError;
use crate::token::ID_TOKEN;

/// Parameters that may come once. Others are ignored.
const ONCE: [&str; 6] =
    ["id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"];

/// What an ID token of ours says about whose session it is.
#[derive(Debug, Deserialize)]
struct Hint {
    aud: String,
    sub: String,
    sid: String,
}

/// A request to sign out.
#[derive(Debug)]
pub(super) struct Asked {
    hint: Option<Hint>,
    /// Where the browser goes afterwards: one of the client's own, and only with a valid hint.
    pub(super) return_to: Option<String>,
    state: Option<String>,
    pub(super) ui_locales: Vec<String>,
    /// The whole request, encoded: what travels to the next step.
    pub(super) request: String,
}

impl Asked {
    /// Reads a request from its encoded form. A hint that is not an ID token of ours, or not the named client's, is
    /// as good as none.
    ///
    /// # Errors
    /// [`IdpError::UnregisteredRedirect`] when the client that the hint proves has not registered the address.
    pub(super) async fn read(idp: &Idp, encoded: &str) -> Result<Self, IdpError> {
        if encoded.len() > LONGEST_REQUEST {
            return Err(IdpError::invalid_request("the request is too long"));
        }
        let params = Params::parse(encoded.as_bytes())?;
        if let Some(repeated) = params.repeated(&ONCE) {
            return Err(repeated.into());
        }
        let named = params.one("client_id")?;
        let hint = params.one("id_token_hint")?.and_then(|hint| verified(idp, hint));
        let hint = hint.filter(|hint| named.is_none_or(|named| named == hint.aud));
        let return_to = match (&hint, params.one("post_logout_redirect_uri")?) {
            (Some(hint), Some(uri)) => registered(client::get(&idp.db, &hint.aud).await?, uri)?,
            _ => None,
        };
        let words = |list: &str| list.split(' ').map(str::to_owned).collect();
        Ok(Self {
            hint,
            return_to,
            state: params.one("state")?.map(str::to_owned),
            ui_locales: params.one("ui_locales")?.map(words).unwrap_or_default(),
            request: params.encode(),
        })
    }

    /// Whether the hint is an ID token of this session.
    pub(super) fn is_about(&self, session: &Session) -> bool {
        let (sub, sid) = (session.user_id.to_string(), session.id.to_string());
        self.hint.as_ref().is_some_and(|hint| hint.sub == sub && hint.sid == sid)
    }

    /// The address that the browser goes back to, with the application's `state`.
    pub(super) fn back(&self) -> Option<String> {
        let uri = self.return_to.as_ref()?;
        let Some(state) = &self.state else { return Some(uri.clone()) };
        let separator = if uri.contains('?') { '&' } else { '?' };
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
        Some(format!("{uri}{separator}{query}"))
    }
}

/// An ID token of ours, of whatever age (section 2: also one that has expired).
fn verified(idp: &Idp, hint: &str) -> Option<Hint> {
    let expect = Expect { typ: ID_TOKEN, algs: &Alg::ALL, issuer: idp.issuer.as_str(), audience: None };
    let claims = idp.keys.verify_past_jwt(hint, &expect).ok()?;
    serde_json::from_value(claims).ok()
}

/// Exactly one of the client's own (section 3). A client that was deleted since has none.
fn registered(client: Option<Client>, uri: &str) -> Result<Option<String>, IdpError> {
    match client {
        Some(client) if client.allows_return_to(uri) => Ok(Some(uri.to_owned())),
        Some(_) => Err(IdpError::UnregisteredRedirect),
        None => Ok(None),
    }
}
