//! Logout tokens: what one must be before a local session ends for it (OpenID Connect Back-Channel Logout 1.0,
//! section 2.6). Nothing here is shared with the provider that signs them.
//!
//! What it is not: it ends nothing. That is the app's part, which also knows which tokens it has heard already.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey as _, JsonWebKeyId};
use serde_json::Value;

/// How far the two clocks may be apart, in seconds.
const SKEW: i64 = 5;
/// How long ago a token may have been made, in seconds: the longest life that section 2.4 recommends.
const LASTS: i64 = 120;
/// What a logout token is about (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token whose signature and claims hold.
#[derive(Clone, Debug, PartialEq)]
pub struct LogoutToken {
    /// Its id, good for one hearing.
    pub jti: String,
    /// Whose sessions end.
    pub sub: Option<String>,
    /// The one session that ends; all of the subject's, if there is none.
    pub sid: Option<String>,
    /// All that it says.
    pub claims: Value,
}

impl LogoutToken {
    /// Whether it ends a session with these claims of its ID token.
    pub(super) fn ends(&self, id_token: &Value) -> bool {
        let fits =
            |said: &Option<String>, claim: &str| said.as_deref().is_none_or(|it| id_token[claim] == it);
        fits(&self.sub, "sub") && fits(&self.sid, "sid")
    }
}

/// Why a logout token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unbelieved {
    /// None of the keys that were looked at has this id: look at those of now.
    #[error("no key of the provider has the id {0:?}")]
    Key(String),
    /// It will not be believed with other keys either.
    #[error("{0}")]
    For(String),
}

fn because(reason: impl Into<String>) -> Unbelieved {
    Unbelieved::For(reason.into())
}

/// Who expects a logout token, and when.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// Unix seconds.
    pub(super) now: i64,
    pub(super) algorithms: &'a [CoreJwsSigningAlgorithm],
}

/// Reads a token and holds everything in it against what is expected.
pub(super) fn verify(
    token: &str,
    keys: &CoreJsonWebKeySet,
    expected: &Expected<'_>,
) -> Result<LogoutToken, Unbelieved> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(because("not a signed token")) };
    check_signature(&json(header)?, &format!("{header}.{payload}"), &bytes(signature)?, keys, expected)?;
    check_claims(json(payload)?, expected)
}

fn bytes(part: &str) -> Result<Vec<u8>, Unbelieved> {
    URL_SAFE_NO_PAD.decode(part).map_err(|error| because(format!("not base64url: {error}")))
}

fn json(part: &str) -> Result<Value, Unbelieved> {
    serde_json::from_slice(&bytes(part)?).map_err(|error| because(format!("not JSON: {error}")))
}

fn check_signature(
    header: &Value,
    signed: &str,
    signature: &[u8],
    keys: &CoreJsonWebKeySet,
    expected: &Expected<'_>,
) -> Result<(), Unbelieved> {
    // Without its type an ID token that lacks a nonce could pass for one (section 2.4).
    if header["typ"] != "logout+jwt" {
        return Err(because(format!("typ is {}, not logout+jwt", header["typ"])));
    }
    let algorithm: CoreJwsSigningAlgorithm = serde_json::from_value(header["alg"].clone())
        .map_err(|_| because(format!("alg is {}", header["alg"])))?;
    if !expected.algorithms.contains(&algorithm) {
        return Err(because(format!("alg is {}, which the provider does not announce", header["alg"])));
    }
    let kid = header["kid"].as_str().unwrap_or_default();
    let wanted = JsonWebKeyId::new(kid.to_owned());
    let key: Option<&CoreJsonWebKey> = keys.keys().iter().find(|key| key.key_id() == Some(&wanted));
    let key = key.ok_or_else(|| Unbelieved::Key(kid.to_owned()))?;
    key.verify_signature(&algorithm, signed.as_bytes(), signature)
        .map_err(|error| because(format!("signature: {error}")))
}

fn check_claims(claims: Value, expected: &Expected<'_>) -> Result<LogoutToken, Unbelieved> {
    let text = |name: &str| claims[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let time = |name: &str| claims[name].as_i64().ok_or_else(|| because(format!("no {name}")));
    if claims["iss"] != expected.issuer {
        return Err(because(format!("iss is {}", claims["iss"])));
    }
    let is_for_us = claims["aud"] == expected.client_id
        || claims["aud"].as_array().is_some_and(|all| all.iter().any(|one| *one == expected.client_id));
    if !is_for_us {
        return Err(because(format!("aud is {}", claims["aud"])));
    }
    let (iat, exp) = (time("iat")?, time("exp")?);
    if iat > expected.now + SKEW || iat < expected.now - LASTS - SKEW {
        return Err(because(format!("iat is {iat}, now is {}", expected.now)));
    }
    if exp <= expected.now - SKEW {
        return Err(because(format!("exp is {exp}, now is {}", expected.now)));
    }
    if !claims["events"][EVENT].is_object() {
        return Err(because(format!("events is {}", claims["events"])));
    }
    // Not even an empty one: with it, it could be an ID token (section 2.4).
    if claims.get("nonce").is_some() {
        return Err(because("it has a nonce"));
    }
    let (sub, sid) = (text("sub"), text("sid"));
    if sub.is_none() && sid.is_none() {
        return Err(because("neither sub nor sid"));
    }
    let jti = text("jti").ok_or_else(|| because("no jti"))?;
    Ok(LogoutToken { jti, sub, sid, claims })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_ends_the_session_it_names_or_all_of_its_subject() {
        let session = json!({ "sub": "u-1", "sid": "s-1" });
        let check = |sub: Option<&str>, sid: Option<&str>, expect: bool| {
            let (sub, sid) = (sub.map(str::to_owned), sid.map(str::to_owned));
            let token = LogoutToken { jti: "j".into(), sub, sid, claims: Value::Null };
            assert_eq!(token.ends(&session), expect, "{token:?}");
        };
        check(Some("u-1"), None, true);
        check(Some("u-1"), Some("s-1"), true);
        check(None, Some("s-1"), true);
        check(Some("u-2"), None, false);
        check(Some("u-1"), Some("s-2"), false);
        check(Some("u-2"), Some("s-1"), false);
        check(None, Some("s-2"), false);
    }
}
