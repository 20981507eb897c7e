//! JWTs out and in: compact JWS (RFC 7515) over JSON claims (RFC 7519), checked as RFC 8725 says.
//!
//! Reading goes through `jsonwebtoken` for the signature only. Its own checks of time read the machine's
//! clock; ours take it as a parameter.
//!
//! What it is not: it verifies what this house signed. Tokens of others (upstream sign-in) come with their
//! own keys and rules and are the business of the room that asked for them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Validation};
use kernel::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pair::KeyPair;
use crate::{Alg, KeysError};

/// No token of ours comes near; whoever sends more wants to keep us busy.
pub(crate) const MAX_JWT_BYTES: usize = 16 * 1024;
/// How far the clocks of nodes may differ: twice what a node tolerates towards its database, and a little.
const LEEWAY_SECS: i64 = 5;

/// What a token must be to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// The exact `typ`: `at+jwt`, `JWT`, `logout+jwt` … so that no kind of token passes for another (RFC
    /// 8725, section 3.11).
    pub typ: &'a str,
    /// The algorithms allowed.
    pub algs: &'a [Alg],
    /// The exact `iss`.
    pub issuer: &'a str,
    /// Who must be in `aud`. `None`: the caller looks at it.
    pub audience: Option<&'a str>,
}

/// Why a token is not taken. For logs: whoever presented it is told only that it is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Longer than 16 KiB.
    #[error("the token is too large")]
    TooLarge,
    /// Not three parts of base64url, or not JSON in them, or a header that asks for an extension.
    #[error("the token is malformed")]
    Malformed,
    /// An algorithm that is not allowed here, or not the key's.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// Another kind of token.
    #[error("the token is of another type")]
    Type,
    /// No key of ours, or one that is retired.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// `exp` is past, or not there.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYet,
    /// Another issuer.
    #[error("the token is from another issuer")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
}

#[derive(Serialize)]
struct HeaderOut<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

/// The members of a header that decide anything. A key that a header brings along (`jwk`, `jku`, `x5c`) is
/// never looked at.
#[derive(Deserialize)]
struct HeaderIn {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Signs claims, which must be a JSON object.
pub(crate) fn sign(
    pair: &KeyPair,
    alg: Alg,
    kid: &str,
    typ: &str,
    claims: &impl Serialize,
) -> Result<String, KeysError> {
    let json = serde_json::to_vec(claims).map_err(|error| KeysError::NotAnObject(error.to_string()))?;
    if json.first() != Some(&b'{') {
        return Err(KeysError::NotAnObject("it is another kind of JSON value".into()));
    }
    let header = serde_json::to_vec(&HeaderOut { typ, alg: alg.as_str(), kid })
        .map_err(|error| KeysError::NotAnObject(error.to_string()))?;
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(json, &mut token);
    let signature = pair.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Checks form, type, algorithm, key and signature, not the claims. `find` gives a key by its id, and with it
/// the one algorithm that it is for.
pub(crate) fn open<'k>(
    token: &str,
    typ: &str,
    algs: &[Alg],
    find: impl FnOnce(&str) -> Option<(Alg, &'k DecodingKey)>,
) -> Result<Value, JwtError> {
    open_by(token, typ, algs, find, decode_signed)
}

/// The same with `decode` in the place of [`decode_signed`].
pub(crate) fn open_by<'k>(
    token: &str,
    typ: &str,
    algs: &[Alg],
    find: impl FnOnce(&str) -> Option<(Alg, &'k DecodingKey)>,
    decode: impl FnOnce(&str, Alg, &DecodingKey) -> Result<Value, JwtError>,
) -> Result<Value, JwtError> {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| JwtError::Malformed)?;
    let header: HeaderIn = serde_json::from_slice(&header).map_err(|_| JwtError::Malformed)?;
    // We understand no extension, so one that must be understood ends it (RFC 7515, section 4.1.11).
    if header.crit.is_some() {
        return Err(JwtError::Malformed);
    }
    let alg = algs.iter().find(|alg| alg.as_str() == header.alg).ok_or(JwtError::Algorithm)?;
    if header.typ.as_deref() != Some(typ) {
        return Err(JwtError::Type);
    }
    let kid = header.kid.ok_or(JwtError::UnknownKey)?;
    let (key_alg, key) = find(&kid).ok_or(JwtError::UnknownKey)?;
    // A key is for one algorithm: what the header says only chooses among the keys (RFC 8725, section 3.1).
    if key_alg != *alg {
        return Err(JwtError::Algorithm);
    }
    let claims = decode(token, key_alg, key)?;
    if claims.is_object() { Ok(claims) } else { Err(JwtError::Malformed) }
}

/// The claims, whoever has signed them: of a token whose signature is known to be right.
pub(crate) fn decode_claims(token: &str) -> Result<Value, JwtError> {
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| JwtError::Malformed)?;
    serde_json::from_slice(&claims).map_err(|_| JwtError::Malformed)
}

/// The claims, if the key has signed them.
pub(crate) fn decode_signed(token: &str, alg: Alg, key: &DecodingKey) -> Result<Value, JwtError> {
    use jsonwebtoken::errors::ErrorKind;
    let mut validation = Validation::new(alg.jose());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode::<Value>(token, key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidSignature => JwtError::Signature,
            _ => JwtError::Malformed,
        }),
    }
}

/// Checks what the claims say about issuer, audience and time (RFC 7519, section 4.1).
pub(crate) fn check_claims(claims: &Value, expect: &Expect<'_>, now: Timestamp) -> Result<(), JwtError> {
    check_parties(claims, expect)?;
    check_times(claims, now)
}

/// Issuer and audience.
pub(crate) fn check_parties(claims: &Value, expect: &Expect<'_>) -> Result<(), JwtError> {
    if claims["iss"].as_str() != Some(expect.issuer) {
        return Err(JwtError::Issuer);
    }
    if expect.audience.is_some_and(|audience| !names(&claims["aud"], audience)) {
        return Err(JwtError::Audience);
    }
    Ok(())
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), JwtError> {
    let now = now.as_secs();
    match numeric_date(&claims["exp"])? {
        Some(exp) if now < exp.saturating_add(LEEWAY_SECS) => {}
        _ => return Err(JwtError::Expired),
    }
    for begins in ["nbf", "iat"] {
        if numeric_date(&claims[begins])?.is_some_and(|begins| begins > now.saturating_add(LEEWAY_SECS)) {
            return Err(JwtError::NotYet);
        }
    }
    Ok(())
}

/// A text, or a list with it in it.
fn names(claim: &Value, audience: &str) -> bool {
    match claim {
        Value::String(one) => one == audience,
        Value::Array(many) => many.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

/// Seconds since 1970, perhaps with a fraction; `None` when the claim is absent.
fn numeric_date(claim: &Value) -> Result<Option<i64>, JwtError> {
    match claim {
        Value::Null => Ok(None),
        // A float converts by saturating; JSON has no NaN.
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|secs| secs as i64))
            .map(Some)
            .ok_or(JwtError::Malformed),
        _ => Err(JwtError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_795_305_600;

    struct Keys {
        pairs: Vec<(Alg, String, KeyPair, DecodingKey)>,
    }

    impl Keys {
        fn new() -> Self {
            let pairs = Alg::ALL.into_iter().map(|alg| {
                let pair = KeyPair::generate(alg).unwrap();
                let jwk = pair.public_jwk();
                (alg, jwk.common.key_id.clone().unwrap(), pair, DecodingKey::from_jwk(&jwk).unwrap())
            });
            Self { pairs: pairs.collect() }
        }

        fn kid(&self, alg: Alg) -> &str {
            &self.pairs.iter().find(|(of, ..)| *of == alg).unwrap().1
        }

        fn sign(&self, alg: Alg, typ: &str, claims: &Value) -> String {
            let (_, kid, pair, _) = self.pairs.iter().find(|(of, ..)| *of == alg).unwrap();
            sign(pair, alg, kid, typ, claims).unwrap()
        }

        /// A token with any header, signed over what it says with a key of ours.
        fn sign_header(&self, with: Alg, header: &Value, claims: &Value) -> String {
            let (_, _, pair, _) = self.pairs.iter().find(|(of, ..)| *of == with).unwrap();
            let message = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(header.to_string()),
                URL_SAFE_NO_PAD.encode(claims.to_string())
            );
            let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()).unwrap());
            format!("{message}.{signature}")
        }

        fn open(&self, token: &str) -> Result<Value, JwtError> {
            open(token, "at+jwt", &Alg::ALL, |kid| {
                self.pairs.iter().find(|(_, known, ..)| known == kid).map(|(alg, _, _, key)| (*alg, key))
            })
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example", "aud": "app", "exp": NOW + 60, "sub": "u"})
    }

    #[test]
    fn what_we_sign_we_open() {
        let keys = Keys::new();
        for alg in Alg::ALL {
            assert_eq!(keys.open(&keys.sign(alg, "at+jwt", &claims())), Ok(claims()), "{alg}");
        }
    }

    #[test]
    fn only_objects_are_signed() {
        let pair = KeyPair::generate(Alg::Es256).unwrap();
        for other in [json!([1]), json!("text"), json!(null), json!(1)] {
            let refused = sign(&pair, Alg::Es256, "k", "JWT", &other);
            assert!(matches!(refused, Err(KeysError::NotAnObject(_))), "{other}");
        }
    }

    #[test]
    fn no_header_talks_its_way_past_the_signature() {
        let keys = Keys::new();
        let es_kid = keys.kid(Alg::Es256);
        let rs_kid = keys.kid(Alg::Rs256);
        let own = KeyPair::generate(Alg::Es256).unwrap().public_jwk();
        let signed = |header: Value| keys.sign_header(Alg::Es256, &header, &claims());
        let check = |header: Value, expect: JwtError| {
            assert_eq!(keys.open(&signed(header.clone())), Err(expect), "{header}");
        };
        check(json!({"alg": "none", "typ": "at+jwt", "kid": es_kid}), JwtError::Algorithm);
        check(json!({"alg": "None", "typ": "at+jwt", "kid": es_kid}), JwtError::Algorithm);
        check(json!({"alg": "ES384", "typ": "at+jwt", "kid": es_kid}), JwtError::Algorithm);
        check(json!({"alg": "HS256", "typ": "at+jwt", "kid": es_kid}), JwtError::Algorithm);
        check(json!({"alg": "RS256", "typ": "at+jwt", "kid": es_kid}), JwtError::Algorithm);
        check(json!({"alg": "ES256", "typ": "at+jwt", "kid": rs_kid}), JwtError::Algorithm);
        check(json!({"typ": "at+jwt", "kid": es_kid}), JwtError::Malformed);
        check(json!({"alg": "ES256", "typ": "JWT", "kid": es_kid}), JwtError::Type);
        check(json!({"alg": "ES256", "typ": "AT+JWT", "kid": es_kid}), JwtError::Type);
        check(json!({"alg": "ES256", "typ": "logout+jwt", "kid": es_kid}), JwtError::Type);
        check(json!({"alg": "ES256", "kid": es_kid}), JwtError::Type);
        check(json!({"alg": "ES256", "typ": "at+jwt"}), JwtError::UnknownKey);
        check(json!({"alg": "ES256", "typ": "at+jwt", "kid": "other"}), JwtError::UnknownKey);
        check(json!({"alg": "ES256", "typ": "at+jwt", "kid": "../../etc/passwd"}), JwtError::UnknownKey);
        check(json!({"alg": "ES256", "typ": "at+jwt", "kid": "' OR 1=1 --"}), JwtError::UnknownKey);
        check(json!({"alg": "ES256", "typ": "at+jwt", "kid": 1}), JwtError::Malformed);
        check(json!({"alg": "ES256", "typ": "at+jwt", "kid": "x", "jwk": own}), JwtError::UnknownKey);
        check(json!({"alg": "ES256", "typ": "at+jwt", "kid": es_kid, "crit": ["exp"]}), JwtError::Malformed);
        check(
            json!({"alg": "ES256", "typ": "at+jwt", "kid": es_kid, "crit": ["b64"], "b64": false}),
            JwtError::Malformed,
        );
    }

    #[test]
    fn a_key_that_the_token_brings_along_is_not_looked_at() {
        let keys = Keys::new();
        let foreign = KeyPair::generate(Alg::Es256).unwrap();
        let header = json!({
            "alg": "ES256", "typ": "at+jwt", "kid": keys.kid(Alg::Es256), "jwk": foreign.public_jwk(),
            "jku": "https://evil.example/jwks",
        });
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        let signature = URL_SAFE_NO_PAD.encode(foreign.sign(message.as_bytes()).unwrap());
        assert_eq!(keys.open(&format!("{message}.{signature}")), Err(JwtError::Signature));
    }

    #[test]
    fn a_public_key_is_no_hmac_secret() {
        let keys = Keys::new();
        for alg in Alg::ALL {
            let (_, kid, pair, _) = keys.pairs.iter().find(|(of, ..)| *of == alg).unwrap();
            let jwk = serde_json::to_vec(&pair.public_jwk()).unwrap();
            let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
            header.typ = Some("at+jwt".into());
            header.kid = Some(kid.clone());
            let secret = jsonwebtoken::EncodingKey::from_secret(&jwk);
            let token = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
            assert_eq!(keys.open(&token), Err(JwtError::Algorithm));
        }
    }

    #[test]
    fn an_algorithm_that_is_not_asked_for_is_refused_although_we_have_its_key() {
        let keys = Keys::new();
        let token = keys.sign(Alg::Rs256, "at+jwt", &claims());
        let find = |kid: &str| {
            keys.pairs.iter().find(|(_, known, ..)| known == kid).map(|(alg, _, _, key)| (*alg, key))
        };
        assert_eq!(open(&token, "at+jwt", &[Alg::Es256], find), Err(JwtError::Algorithm));
        assert_eq!(open(&token, "at+jwt", &[], |_| None), Err(JwtError::Algorithm));
    }

    #[test]
    fn malformed_tokens_are_refused() {
        let keys = Keys::new();
        let token = keys.sign(Alg::Es256, "at+jwt", &claims());
        let (message, signature) = token.rsplit_once('.').unwrap();
        for malformed in [
            String::new(),
            ".".into(),
            "..".into(),
            "a.b.c".into(),
            message.into(),
            format!("{token}."),
            format!("{token}.x"),
            format!(" {token}"),
            format!("{token}="),
            format!("{message}."),
        ] {
            let refused = keys.open(&malformed);
            assert!(
                matches!(refused, Err(JwtError::Malformed | JwtError::Signature)),
                "{malformed}: {refused:?}"
            );
        }
        let other = keys.sign(Alg::Es256, "at+jwt", &json!({"sub": "admin"}));
        let swapped = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
        assert_eq!(keys.open(&swapped), Err(JwtError::Signature));
        let list = json!({"alg": "ES256", "typ": "at+jwt", "kid": keys.kid(Alg::Es256)});
        assert_eq!(keys.open(&keys.sign_header(Alg::Es256, &list, &json!([1]))), Err(JwtError::Malformed));
    }

    #[test]
    fn claims_are_checked_against_the_given_clock() {
        #[track_caller]
        fn check(change: Value, expect: Result<(), JwtError>) {
            let mut claims = claims();
            for (name, value) in change.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let expected =
                Expect { typ: "at+jwt", algs: &[], issuer: "https://id.example", audience: Some("app") };
            assert_eq!(check_claims(&claims, &expected, Timestamp::from_secs(NOW)), expect, "{change}");
        }
        check(json!({}), Ok(()));
        check(json!({"iss": "https://id.example/"}), Err(JwtError::Issuer));
        check(json!({"iss": null}), Err(JwtError::Issuer));
        check(json!({"iss": ["https://id.example"]}), Err(JwtError::Issuer));
        check(json!({"aud": ["other", "app"]}), Ok(()));
        check(json!({"aud": ["other"]}), Err(JwtError::Audience));
        check(json!({"aud": "app2"}), Err(JwtError::Audience));
        check(json!({"aud": {"app": true}}), Err(JwtError::Audience));
        check(json!({"aud": null}), Err(JwtError::Audience));
        check(json!({"exp": NOW - 4}), Ok(()));
        check(json!({"exp": NOW - 5}), Err(JwtError::Expired));
        check(json!({"exp": NOW as f64 - 5.5}), Err(JwtError::Expired));
        check(json!({"exp": NOW as f64 + 0.5}), Ok(()));
        check(json!({"exp": null}), Err(JwtError::Expired));
        check(json!({"exp": "1795305660"}), Err(JwtError::Malformed));
        check(json!({"exp": i64::MAX}), Ok(()));
        check(json!({"exp": -1e300}), Err(JwtError::Expired));
        check(json!({"nbf": NOW + 5}), Ok(()));
        check(json!({"nbf": NOW + 6}), Err(JwtError::NotYet));
        check(json!({"iat": NOW + 6}), Err(JwtError::NotYet));
        check(json!({"iat": 1e300}), Err(JwtError::NotYet));
        check(json!({"iat": NOW - 1_000_000}), Ok(()));
        check(json!({"nbf": true}), Err(JwtError::Malformed));
    }

    #[test]
    fn without_an_expected_audience_the_caller_looks_at_it() {
        let expect = Expect { typ: "JWT", algs: &[], issuer: "https://id.example", audience: None };
        assert_eq!(check_claims(&claims(), &expect, Timestamp::from_secs(NOW)), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_changed_character_of_a_token_is_found(at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
            let keys = Keys { pairs: {
                let pair = KeyPair::generate(Alg::Es256).unwrap();
                let jwk = pair.public_jwk();
                let key = DecodingKey::from_jwk(&jwk).unwrap();
                vec![(Alg::Es256, jwk.common.key_id.unwrap(), pair, key)]
            } };
            let token = keys.sign(Alg::Es256, "at+jwt", &claims());
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            prop_assert!(keys.open(&changed).is_err(), "{}", changed);
        }

        #[test]
        fn no_text_makes_opening_panic(text in "\\PC{0,200}|[A-Za-z0-9_-]{0,80}(\\.[A-Za-z0-9_-]{0,80}){0,4}") {
            prop_assert!(open(&text, "JWT", &Alg::ALL, |_| None).is_err());
        }
    }
}
