//! Secrets as types: never printed, wiped when dropped, compared in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Ctx;

/// Something that must not be logged: shown as `[secret]`, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each call is a place to look at in review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> serde::Deserialize<'de> for Secret<String> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self)
    }
}

/// A bearer secret that we hand out: a typed prefix and 256 random bits, e.g. `cdi_Jx0…`.
///
/// The prefix lets a person (and a secret scanner) tell what leaked. We keep only its [`TokenHash`].
pub type Token = Secret<String>;

impl Token {
    /// A new token. `prefix` is 2 to 6 lower-case letters, without the underscore.
    #[must_use]
    pub fn generate(ctx: &Ctx, prefix: &str) -> Self {
        let mut random = ctx.random::<32>();
        let token = Secret::new(format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(random)));
        random.zeroize();
        token
    }

    /// What the database keeps. A fast hash is right here: 256 random bits cannot be guessed.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }
}

/// SHA-256 of a bearer secret, in base64url: what we store and look up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(String);

impl TokenHash {
    /// The hash of a presented secret, whatever its form.
    #[must_use]
    pub fn of(presented: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(sha256(presented.as_bytes())))
    }

    /// The hash of a presented secret that is good at one address only: whoever moves the database, or changes the
    /// issuer, makes nothing good there that was made for the other.
    #[must_use]
    pub fn at(issuer: &str, presented: &str) -> Self {
        Self::of(&format!("{issuer}\n{presented}"))
    }

    /// The text as stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a stored hash is this one, in constant time.
    #[must_use]
    pub fn matches(&self, stored: &str) -> bool {
        constant_time_eq(self.0.as_bytes(), stored.as_bytes())
    }
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0u8; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// Whether two byte strings are equal, in time that depends on their lengths only.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let token = Token::generate(&Ctx::for_tests(1), "cdi");
        assert_eq!(format!("{token:?}"), "[secret]");
        assert!(token.expose().starts_with("cdi_"));
        assert_eq!(token.expose().len(), 4 + 43, "256 bits in base64url");
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        let token = Token::generate(&Ctx::for_tests(1), "cdi");
        let other = Token::generate(&Ctx::for_tests(2), "cdi");
        assert!(token.hash().matches(TokenHash::of(token.expose()).as_str()));
        assert!(!token.hash().matches(other.hash().as_str()));
        assert!(!token.hash().matches(""));
    }
}
