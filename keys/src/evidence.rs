//! Signed documents that must still verify years later: receipts and checkpoints.
//!
//! They are compact JWS like tokens, but signed with keys of their own purpose, which stay published for
//! ever, and without `exp`. Verifying one is a pure function of the document and a JWKS, so that an auditor
//! needs neither the server nor trust in it.
//!
//! To add a kind: a variant of [`Evidence`].

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, KeyAlgorithm};
use serde_json::Value;

use crate::Alg;
use crate::jwt::{self, JwtError};

/// Evidence is signed with ES256 alone.
pub(crate) const ALG: Alg = Alg::Es256;
/// A receipt has a line for each door; a JWKS gains a key a year.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A kind of signed document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// How far a revocation is proven, door by door.
    Receipt,
    /// How the journal's chain stood at one moment.
    Checkpoint,
}

impl Evidence {
    /// The `typ` of the document's header: no kind passes for another.
    #[must_use]
    pub const fn typ(self) -> &'static str {
        match self {
            Evidence::Receipt => "cardea-receipt+jwt",
            Evidence::Checkpoint => "cardea-checkpoint+jwt",
        }
    }
}

/// Why a document is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It was changed, or is another kind of document.
    #[error("the signature does not fit: the document was changed, or is of another kind")]
    Bad,
    /// None of the keys given has signed it: ask whoever handed it over for their keys.
    #[error("none of the keys given has signed it")]
    UnknownSigner,
    /// The document is none, or the two are too large.
    #[error("{0}")]
    Malformed(&'static str),
    /// The key set cannot be read, so nothing was verified.
    #[error("the key set is not a JSON Web Key Set (an object with keys)")]
    Keys,
}

/// Verifies a document against a published key set (RFC 7517, section 5) and gives its content. Pure and
/// offline. White space around the document is ignored.
pub fn verify_evidence(kind: Evidence, document: &str, jwks: &[u8]) -> Result<Value, VerifyError> {
    let document = document.trim();
    if document.len() > MAX_BYTES || jwks.len() > MAX_BYTES {
        return Err(VerifyError::Malformed("the document or the key set is larger than 4 MiB"));
    }
    let jwks: JwkSet = serde_json::from_slice(jwks).map_err(|_| VerifyError::Keys)?;
    let keys: Vec<(String, DecodingKey)> = jwks.keys.iter().filter_map(usable).collect();
    let find = |kid: &str| keys.iter().find(|(known, _)| known == kid).map(|(_, key)| (ALG, key));
    jwt::open(document, kind.typ(), &[ALG], find).map_err(|error| match error {
        JwtError::UnknownKey => VerifyError::UnknownSigner,
        JwtError::Malformed => {
            VerifyError::Malformed("the document is not a compact JWS (three parts with dots)")
        }
        _ => VerifyError::Bad,
    })
}

/// A key set may hold keys for other uses: they are passed over.
fn usable(jwk: &jsonwebtoken::jwk::Jwk) -> Option<(String, DecodingKey)> {
    let on_p256 =
        matches!(&jwk.algorithm, AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256);
    let for_es256 = matches!(jwk.common.key_algorithm, None | Some(KeyAlgorithm::ES256));
    let kid = jwk.common.key_id.clone()?;
    (on_p256 && for_es256).then(|| DecodingKey::from_jwk(jwk).ok().map(|key| (kid, key)))?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pair::KeyPair;

    fn signer() -> (KeyPair, String, Value) {
        let pair = KeyPair::generate(Alg::Es256).unwrap();
        let jwk = pair.public_jwk();
        let kid = jwk.common.key_id.clone().unwrap();
        (pair, kid, json!({"keys": [jwk]}))
    }

    fn bytes(jwks: &Value) -> Vec<u8> {
        serde_json::to_vec(jwks).unwrap()
    }

    #[test]
    fn a_receipt_verifies_offline_and_shows_its_content() {
        let (pair, kid, jwks) = signer();
        let content = json!({"doors": [{"name": "north", "ack": 4}]});
        let document = jwt::sign(&pair, ALG, &kid, Evidence::Receipt.typ(), &content).unwrap();
        assert_eq!(verify_evidence(Evidence::Receipt, &document, &bytes(&jwks)), Ok(content.clone()));
        let in_a_file = format!("{document}\n");
        assert_eq!(verify_evidence(Evidence::Receipt, &in_a_file, &bytes(&jwks)), Ok(content));
    }

    #[test]
    fn bad_unknown_and_malformed_are_told_apart() {
        let (pair, kid, jwks) = signer();
        let (_, _, others) = signer();
        let document = jwt::sign(&pair, ALG, &kid, Evidence::Receipt.typ(), &json!({"ack": 1})).unwrap();
        let check = |kind, document: &str, jwks: &[u8], expect| {
            assert_eq!(verify_evidence(kind, document, jwks).unwrap_err(), expect, "{document}");
        };
        check(Evidence::Receipt, &document, &bytes(&others), VerifyError::UnknownSigner);
        check(Evidence::Receipt, &document, br#"{"keys": []}"#, VerifyError::UnknownSigner);
        check(Evidence::Checkpoint, &document, &bytes(&jwks), VerifyError::Bad);

        let better = jwt::sign(&pair, ALG, &kid, Evidence::Receipt.typ(), &json!({"ack": 4})).unwrap();
        let (message, _) = better.rsplit_once('.').unwrap();
        let (_, signature) = document.rsplit_once('.').unwrap();
        check(Evidence::Receipt, &format!("{message}.{signature}"), &bytes(&jwks), VerifyError::Bad);

        check(Evidence::Receipt, &document, b"[]", VerifyError::Keys);
        check(Evidence::Receipt, &document, b"", VerifyError::Keys);
        let large = vec![b' '; MAX_BYTES + 1];
        for (document, jwks) in [("", &bytes(&jwks)), ("{}", &bytes(&jwks)), (document.as_str(), &large)] {
            let error = verify_evidence(Evidence::Receipt, document, jwks).unwrap_err();
            assert!(matches!(error, VerifyError::Malformed(_)), "{document}");
        }
    }

    #[test]
    fn a_foreign_key_under_the_signers_id_proves_nothing() {
        let (pair, kid, _) = signer();
        let (_, _, mut others) = signer();
        let document = jwt::sign(&pair, ALG, &kid, Evidence::Receipt.typ(), &json!({})).unwrap();
        others["keys"][0]["kid"] = json!(kid);
        assert_eq!(verify_evidence(Evidence::Receipt, &document, &bytes(&others)), Err(VerifyError::Bad));
    }

    #[test]
    fn keys_for_other_uses_are_passed_over() {
        let (pair, kid, mut jwks) = signer();
        let rsa = KeyPair::generate(Alg::Rs256).unwrap().public_jwk();
        let keys = jwks["keys"].as_array_mut().unwrap();
        keys.insert(0, json!(rsa));
        keys.insert(0, json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "ed"}));
        let document = jwt::sign(&pair, ALG, &kid, Evidence::Receipt.typ(), &json!({})).unwrap();
        assert_eq!(verify_evidence(Evidence::Receipt, &document, &bytes(&jwks)), Ok(json!({})));
    }
}
