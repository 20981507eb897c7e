//! A code for the tokens of a grant, once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::client::Client;
use directory::session::code::{self, Code, Redemption};
use directory::session::grant::LiveGrant;
use directory::session::refresh::PREFIX;
use kernel::{Actor, RequestId, Timestamp, Token, constant_time_eq, sha256};
use store::Origin;
use web::Params;

use super::decide;
use crate::error::IdpError;
use crate::judge::Verdict;
use crate::{Idp, origin};

/// Parameters that may come once.
const ONCE: [&str; 3] = ["code", "redirect_uri", "code_verifier"];

/// What a client presents.
#[derive(Debug, PartialEq)]
pub(super) struct TokenRequest<'a> {
    code: &'a str,
    redirect_uri: &'a str,
    /// What the verifier makes of itself, if there is one: RFC 7636, section 4.6.
    challenge: Option<String>,
}

impl<'a> TokenRequest<'a> {
    /// Reads a token request. A code that comes without all that it must be bound to is not judged, and not used up.
    pub(super) fn read(form: &'a Params, requires_pkce: bool) -> Result<Self, IdpError> {
        if let Some(repeated) = form.repeated(&ONCE) {
            return Err(repeated.into());
        }
        let code = form.one("code")?.ok_or(IdpError::invalid_request("code is missing"))?;
        let redirect_uri = form.one("redirect_uri")?;
        let redirect_uri = redirect_uri.ok_or(IdpError::invalid_request("redirect_uri is missing"))?;
        let challenge = form.one("code_verifier")?.map(challenge_of).transpose()?;
        if challenge.is_none() && requires_pkce {
            return Err(IdpError::invalid_request("code_verifier is missing; PKCE is required"));
        }
        Ok(Self { code, redirect_uri, challenge })
    }

    /// Why the code is not for whoever presents it like this: for the client, and as the fact says it.
    fn objection(
        &self,
        code: &Code,
        client: &Client,
        now: Timestamp,
    ) -> Option<(&'static str, &'static str)> {
        if code.used_at.is_some() {
            return Some(("the code was used before", "code-reused"));
        }
        if code.basis.granted.grant.client_id != client.id {
            return Some(("the code was given to another client", "code-misused"));
        }
        if code.redirect_uri != self.redirect_uri {
            return Some(("redirect_uri differs from the one the code was sent to", "code-misused"));
        }
        if let Some(why) = self.unproven(code) {
            return Some((why, "code-misused"));
        }
        (code.expires_at <= now).then_some(("the code has expired", "code-expired"))
    }

    /// A verifier where no challenge was sent is refused: somebody took the challenge away on the way to us (RFC
    /// 9700, section 4.8.2).
    fn unproven(&self, code: &Code) -> Option<&'static str> {
        match (code.challenge(), &self.challenge) {
            (None, None) => None,
            (Some(sent), Some(proven)) if constant_time_eq(sent.as_bytes(), proven.as_bytes()) => None,
            (Some(_), Some(_)) => Some("code_verifier does not match the code_challenge"),
            (Some(_), None) => Some("code_verifier is missing; a code_challenge was sent"),
            (None, Some(_)) => Some("code_verifier came, but no code_challenge was sent"),
        }
    }
}

/// RFC 7636, sections 4.1 and 4.2.
fn challenge_of(verifier: &str) -> Result<String, IdpError> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        return Err(IdpError::invalid_request(
            "code_verifier must be 43 to 128 letters, digits, -, ., _ or ~",
        ));
    }
    Ok(URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())))
}

/// What a code is worth.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) grant: LiveGrant,
    pub(super) nonce: Option<String>,
    /// The first one, for a client that is given any.
    pub(super) refresh: Option<Token>,
}

/// An exchange that is being made by an authenticated client.
pub(super) struct Exchange<'a> {
    pub(super) idp: &'a Idp,
    pub(super) client: &'a Client,
    pub(super) request: &'a TokenRequest<'a>,
    pub(super) id: &'a RequestId,
}

impl Exchange<'_> {
    /// Exchanges the code that was found for what is presented, for an access token with this `jti`.
    ///
    /// A code that is presented wrongly, with another verifier, redirect URI or client, is used up by it and its
    /// grant ends: it has left the hands it was meant for (code injection: RFC 9700, section 4.5), and whoever
    /// holds it gets one try. The most that a thief gains is that its owner must ask again. A code that is
    /// presented again ends the grant with all tokens made from it (RFC 6749, sections 4.1.2 and 10.5).
    ///
    /// Policy is asked again: what it says now counts, not what it said when the person signed in. It is asked
    /// before the transaction, which judges nothing; whatever ends meanwhile is seen by the redemption.
    pub(super) async fn run(&self, found: Option<Code>, token: &str) -> Result<Exchanged, IdpError> {
        let code = found.ok_or(IdpError::InvalidGrant("there is no such code"))?;
        if let Some((why, reason)) = self.request.objection(&code, self.client, self.idp.ctx().now()) {
            return Err(self.spoil(&code, why, reason).await?);
        }
        let ended = IdpError::InvalidGrant("the sign-in has ended");
        if !code.lives {
            return Err(ended);
        }
        self.ask_policy(&code).await?;
        let (db, presented) = (&self.idp.db, self.request.code);
        let first = Token::generate(self.idp.ctx(), PREFIX);
        match code::redeem(db, self.origin(), presented, &code, &first, token).await? {
            Redemption::Done => {
                let refresh = self.client.may_refresh().then_some(first);
                Ok(Exchanged { grant: code.basis.granted.grant, nonce: code.nonce, refresh })
            }
            Redemption::Reused => Err(IdpError::InvalidGrant("the code was used before")),
            Redemption::Dead => Err(ended),
        }
    }

    fn origin(&self) -> Origin {
        origin(Actor::Client(self.client.id.clone()), self.id)
    }

    /// Uses the code up, and says why.
    async fn spoil(&self, code: &Code, why: &'static str, reason: &str) -> Result<IdpError, IdpError> {
        let mut tx = self.idp.db.write(self.origin()).await?;
        let spoiled = code::spoil(&mut tx, self.request.code, code, reason).await;
        tx.end(spoiled).await?;
        Ok(IdpError::InvalidGrant(why))
    }

    /// What policy says about this person now, from where the person signed in, with what was proven then.
    async fn ask_policy(&self, code: &Code) -> Result<(), IdpError> {
        let decision = decide(self.idp, self.client, &code.basis);
        let Some(verdict) = Verdict::of(&decision) else { return Ok(()) };
        let mut tx = self.idp.db.write(self.origin()).await?;
        let spoiled = code::spoil(&mut tx, self.request.code, code, verdict.reason).await;
        verdict.record(&mut tx, code.basis.granted.grant.user_id, &self.client.id);
        tx.end(spoiled).await?;
        Err(IdpError::InvalidGrant("policy no longer allows this sign-in"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[track_caller]
    fn check(form: &str, expect: Result<&str, &str>) {
        let params = Params::parse(form.as_bytes()).unwrap();
        let read = TokenRequest::read(&params, true);
        let got = match &read {
            Ok(request) => Ok(request.challenge.as_deref().unwrap_or_default()),
            Err(IdpError::InvalidRequest(_)) => Err("invalid_request"),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(got, expect, "{form}");
    }

    #[test]
    fn a_token_request_is_whole_or_refused() {
        let base = format!("code=c&redirect_uri=u&code_verifier={VERIFIER}");
        // The pair of RFC 7636, appendix B.
        check(&base, Ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        check(&format!("{base}&more=1&more=2"), Ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        for name in ["code", "redirect_uri", "code_verifier"] {
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
