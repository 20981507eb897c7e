//! Tokens as strangers present them: access tokens, ID tokens as hints, receipts.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Timestamp;
use keys::fuzzing::Published;
use keys::{Alg, Evidence, Expect, verify_evidence};
use url::form_urlencoded::byte_serialize;

const ISSUER: &str = "https://id.example.org";
/// Of two keys whose private halves were thrown away when they had signed what is in the corpus: nobody can sign more.
const JWKS: &str = include_str!("jwks.json");
const NOW: i64 = 1_795_305_600;

static KEYS: LazyLock<Published> =
    LazyLock::new(|| Published::read(JWKS.as_bytes()).expect("a key set that a test reads"));

/// A token of the corpus, and what it is taken as.
struct Known {
    token: &'static str,
    expect: Expect<'static>,
}

const KNOWN: [Known; 2] = [
    Known {
        token: include_str!("../corpus/jwt/access-token"),
        expect: Expect { typ: "at+jwt", algs: &[Alg::Es256], issuer: ISSUER, audience: Some(ISSUER) },
    },
    Known {
        token: include_str!("../corpus/jwt/id-token"),
        expect: Expect { typ: "JWT", algs: &Alg::ALL, issuer: ISSUER, audience: None },
    },
];
const RECEIPT: &str = include_str!("../corpus/jwt/receipt");

/// Nothing is taken but what the two keys have signed, each as what it is. Bytes are a token, or one taken apart:
/// header and claims in clear and the signature, a line each.
pub fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let token = if text.starts_with('{') { assembled(text) } else { text.to_owned() };
    let now = Timestamp::from_secs(NOW);
    for known in &KNOWN {
        if KEYS.verify(&token, &known.expect, now).is_ok() {
            assert_eq!(token, known.token, "taken as {}", known.expect.typ);
        }
    }
    if verify_evidence(Evidence::Receipt, &token, JWKS.as_bytes()).is_ok() {
        assert_eq!(token.trim(), RECEIPT);
    }
    assert!(verify_evidence(Evidence::Checkpoint, &token, JWKS.as_bytes()).is_err());
    let hint: String = byte_serialize(token.as_bytes()).collect();
    idp::fuzzing::can_be_asked(format!("response_type=code&scope=openid&id_token_hint={hint}").as_bytes());
    idp::fuzzing::can_be_asked(data);
}

fn assembled(apart: &str) -> String {
    let mut lines = apart.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (header, claims, signature) = (line(), line(), line());
    format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_keys_have_signed_is_taken() {
        for known in &KNOWN {
            let verified = KEYS.verify(known.token, &known.expect, Timestamp::from_secs(NOW));
            assert!(verified.is_ok(), "{}: {verified:?}", known.expect.typ);
        }
        assert!(verify_evidence(Evidence::Receipt, RECEIPT, JWKS.as_bytes()).is_ok());
        let apart = include_str!("../corpus/jwt/access-token-apart");
        assert_eq!(assembled(apart), KNOWN[0].token);
    }
}
