//! A code for a grant, once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::client::Client;
use directory::session::code::{self, Code};
use directory::session::grant::{self, LiveGrant};
use kernel::{constant_time_eq, sha256};
use store::{StoreError, Tx};
use web::Params;

use crate::error::IdpError;

/// Parameters that may come once.
const ONCE: [&str; 4] = ["grant_type", "code", "redirect_uri", "code_verifier"];

/// What a client presents.
#[derive(Debug, PartialEq)]
pub(super) struct TokenRequest<'a> {
    code: &'a str,
    redirect_uri: &'a str,
    /// What the verifier makes of itself: RFC 7636, section 4.6.
    challenge: String,
}

impl<'a> TokenRequest<'a> {
    /// Reads a token request. A code that comes without all that it is bound to is not looked at, and not
    /// used up.
    pub(super) fn read(form: &'a Params) -> Result<Self, IdpError> {
        if let Some(repeated) = form.repeated(&ONCE) {
            return Err(repeated.into());
        }
        match form.one("grant_type")? {
            Some("authorization_code") => {}
            Some(_) => return Err(IdpError::UnsupportedGrantType),
            None => return Err(IdpError::invalid_request("grant_type is missing")),
        }
        let code = form.one("code")?.ok_or(IdpError::invalid_request("code is missing"))?;
        let redirect_uri = form.one("redirect_uri")?;
        let redirect_uri = redirect_uri.ok_or(IdpError::invalid_request("redirect_uri is missing"))?;
        let verifier = form.one("code_verifier")?;
        let verifier =
            verifier.ok_or(IdpError::invalid_request("code_verifier is missing; PKCE is required"))?;
        if !is_verifier(verifier) {
            return Err(IdpError::invalid_request(
                "code_verifier must be 43 to 128 letters, digits, -, ., _ or ~",
            ));
        }
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        Ok(Self { code, redirect_uri, challenge })
    }

    /// Why the code is not for whoever presents it like this.
    fn mismatch(&self, code: &Code, client: &Client) -> Option<&'static str> {
        if code.client_id != client.id {
            return Some("the code was given to another client");
        }
        if code.redirect_uri != self.redirect_uri {
            return Some("redirect_uri differs from the one the code was sent to");
        }
        let proven = constant_time_eq(code.code_challenge.as_bytes(), self.challenge.as_bytes());
        (!proven).then_some("code_verifier does not match the code_challenge")
    }
}

/// RFC 7636, section 4.1.
fn is_verifier(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

/// What became of a code. Either way there is something to commit.
#[derive(Debug)]
pub(super) enum Exchange {
    /// It was this client's, and everything it rests on is alive.
    Granted { grant: Box<LiveGrant>, nonce: Option<String> },
    /// It was not. If there was such a code, it is used up and its grant has ended.
    Refused(&'static str),
}

/// Exchanges a code.
///
/// A code that is presented wrongly, with another verifier, redirect URI or client, is used up by it and its
/// grant ends: it has left the hands it was meant for (code injection: RFC 9700, section 4.5), and whoever
/// holds it gets one try. The most that a thief gains is that its owner must ask again. A code that is
/// presented again ends the grant with all tokens made from it (RFC 6749, sections 4.1.2 and 10.5).
pub(super) async fn exchange(
    tx: &mut Tx,
    request: &TokenRequest<'_>,
    client: &Client,
) -> Result<Exchange, StoreError> {
    let Some(code) = code::find(tx, request.code).await? else {
        return Ok(Exchange::Refused("there is no such code"));
    };
    if !code::redeem(tx, request.code, &code).await? {
        return Ok(Exchange::Refused("the code was used before"));
    }
    if let Some(why) = request.mismatch(&code, client) {
        grant::end(tx, code.grant_id, "code-misused").await?;
        return Ok(Exchange::Refused(why));
    }
    if code.expires_at <= tx.now() {
        grant::end(tx, code.grant_id, "code-expired").await?;
        return Ok(Exchange::Refused("the code has expired"));
    }
    Ok(match grant::live_in(tx, code.grant_id).await? {
        Some(grant) => Exchange::Granted { grant: Box::new(grant), nonce: code.nonce },
        None => Exchange::Refused("the sign-in has ended"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[track_caller]
    fn check(form: &str, expect: Result<&str, &str>) {
        let params = Params::parse(form.as_bytes()).unwrap();
        let read = TokenRequest::read(&params);
        let got = match &read {
            Ok(request) => Ok(request.challenge.as_str()),
            Err(IdpError::InvalidRequest(_)) => Err("invalid_request"),
            Err(IdpError::UnsupportedGrantType) => Err("unsupported_grant_type"),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(got, expect, "{form}");
    }

    #[test]
    fn a_token_request_is_whole_or_refused() {
        let base = format!("grant_type=authorization_code&code=c&redirect_uri=u&code_verifier={VERIFIER}");
        // The pair of RFC 7636, appendix B.
        check(&base, Ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        check(&format!("{base}&more=1&more=2"), Ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        check(&base.replace("authorization_code", "password"), Err("unsupported_grant_type"));
        check(&base.replace("authorization_code", "refresh_token"), Err("unsupported_grant_type"));
        for name in ["grant_type", "code", "redirect_uri", "code_verifier"] {
            let without = base.replace(&format!("{name}="), "x=");
            check(&without, Err("invalid_request"));
            check(&format!("{base}&{name}=again"), Err("invalid_request"));
        }
        for bad in
            [&VERIFIER[1..], &"v".repeat(129), &VERIFIER.replace('-', "%2B"), &VERIFIER.replace('-', "%20")]
        {
            check(&base.replace(VERIFIER, bad), Err("invalid_request"));
        }
    }
}
