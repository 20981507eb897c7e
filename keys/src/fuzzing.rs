//! Tokens verified with a key set that is given, at a time that is given: the door of the fuzz target `jwt`.
//!
//! What it is not: a way to verify. [`KeyRing`](crate::KeyRing) knows which keys are in force.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use kernel::Timestamp;
use serde_json::Value;

use crate::jwt::{self, Expect, JwtError, MAX_JWT_BYTES};
use crate::pair::Alg;

/// Keys by their ids, each for one algorithm.
pub struct Published(Vec<(String, Alg, DecodingKey)>);

impl Published {
    /// Reads a JSON Web Key Set (RFC 7517, section 5); keys of other algorithms are passed over.
    pub fn read(jwks: &[u8]) -> Option<Self> {
        let set: JwkSet = serde_json::from_slice(jwks).ok()?;
        Some(Self(set.keys.iter().filter_map(key).collect()))
    }

    /// What [`KeyRing::verify_jwt`](crate::KeyRing::verify_jwt) does with its own keys and its own clock.
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, token: &str, expect: &Expect<'_>, now: Timestamp) -> Result<Value, JwtError> {
        if token.len() > MAX_JWT_BYTES {
            return Err(JwtError::TooLarge);
        }
        let find =
            |kid: &str| self.0.iter().find(|(known, ..)| known == kid).map(|(_, alg, key)| (*alg, key));
        let claims = jwt::open(token, expect.typ, expect.algs, find)?;
        jwt::check_claims(&claims, expect, now)?;
        Ok(claims)
    }
}

fn key(jwk: &Jwk) -> Option<(String, Alg, DecodingKey)> {
    let alg = match jwk.common.key_algorithm {
        Some(KeyAlgorithm::ES256) => Alg::Es256,
        Some(KeyAlgorithm::RS256) => Alg::Rs256,
        _ => return None,
    };
    Some((jwk.common.key_id.clone()?, alg, DecodingKey::from_jwk(jwk).ok()?))
}
