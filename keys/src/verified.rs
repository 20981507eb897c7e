//! Tokens whose signature was found right, so that it is reckoned once: an ES256 signature takes some 55 µs to verify,
//! and the digest by which a token is known again one.
//!
//! What it is not: it says nothing about whether a token is in force. A right signature stays right, and that is all
//! that is remembered; type, key, times and parties are looked at each time, and what the token rests on is the
//! directory's to say.
//!
//! It is bounded: two generations, the older of which is forgotten when the younger is full.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use jsonwebtoken::DecodingKey;
use kernel::sha256;
use serde_json::Value;

use crate::Alg;
use crate::jwt::{self, JwtError};

/// How many tokens a generation holds: about a megabyte.
const GENERATION: usize = 1 << 15;

/// By the SHA-256 of the whole token, its signature included. The key is named in it (`kid`), by its thumbprint.
#[derive(Debug, Default)]
pub(crate) struct Verified(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    younger: HashSet<[u8; 32]>,
    older: HashSet<[u8; 32]>,
}

impl Verified {
    /// The claims of a token whose header was looked at, if the key has signed it.
    pub(crate) fn decode(&self, token: &str, alg: Alg, key: &DecodingKey) -> Result<Value, JwtError> {
        let digest = sha256(token.as_bytes());
        if self.with(|known| known.holds(&digest)) {
            return jwt::decode_claims(token);
        }
        let claims = jwt::decode_signed(token, alg, key)?;
        self.with(|known| known.add(digest));
        Ok(claims)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Generations) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Generations {
    fn holds(&self, digest: &[u8; 32]) -> bool {
        self.younger.contains(digest) || self.older.contains(digest)
    }

    fn add(&mut self, digest: [u8; 32]) {
        if self.younger.len() >= GENERATION {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(digest);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pair::KeyPair;

    #[test]
    fn a_signature_is_reckoned_once_and_a_wrong_one_is_never_remembered() {
        let pair = KeyPair::generate(Alg::Es256).unwrap();
        let key = |pair: &KeyPair| DecodingKey::from_jwk(&pair.public_jwk()).unwrap();
        let (right, foreign) = (key(&pair), key(&KeyPair::generate(Alg::Es256).unwrap()));
        let claims = json!({ "sub": "u" });
        let token = jwt::sign(&pair, Alg::Es256, "k", "at+jwt", &claims).unwrap();
        let verified = Verified::default();
        for _ in 0..2 {
            let refused = verified.decode(&token, Alg::Es256, &foreign);
            assert_eq!(refused, Err(JwtError::Signature), "not even the second time");
        }
        assert_eq!(verified.decode(&token, Alg::Es256, &right), Ok(claims.clone()));
        // With a key that would refuse it: nothing is reckoned again.
        assert_eq!(verified.decode(&token, Alg::Es256, &foreign), Ok(claims));
        let (message, _) = token.rsplit_once('.').unwrap();
        let other = jwt::sign(&pair, Alg::Es256, "k", "at+jwt", &json!({ "sub": "v" })).unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        let swapped = format!("{message}.{signature}");
        assert_eq!(verified.decode(&swapped, Alg::Es256, &right), Err(JwtError::Signature), "another whole");
    }

    #[test]
    fn it_holds_the_last_and_no_more_than_two_generations() {
        let digest = |n: usize| sha256(&n.to_be_bytes());
        let mut known = Generations::default();
        (0..3 * GENERATION).for_each(|n| known.add(digest(n)));
        assert!(known.holds(&digest(3 * GENERATION - 1)) && known.holds(&digest(2 * GENERATION - 1)));
        assert!(!known.holds(&digest(GENERATION - 1)));
        assert_eq!(known.younger.len() + known.older.len(), 2 * GENERATION);
    }
}
