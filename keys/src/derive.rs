//! Secrets that follow from others: whoever has the sealing key can make them again, and nobody else can.
//!
//! They are kept nowhere, are the same on all nodes and after a restart, and change with the sealing key. What
//! was derived with an older key is found again by trying all that are there.
//!
//! What it is not: it seals nothing, and no derived value tells anything about the key or another value.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};

/// Separates these keys from those that seal.
const LABEL: &[u8] = b"cardea.derive.v1";

/// A key that derives, made from one that seals.
pub(crate) struct DerivingKey(Key);

impl DerivingKey {
    pub(crate) fn of(sealing_key: &[u8]) -> Self {
        let own = hmac::sign(&Key::new(HMAC_SHA256, sealing_key), LABEL);
        Self(Key::new(HMAC_SHA256, own.as_ref()))
    }

    /// HMAC-SHA-256 over purpose and input. Purposes contain no NUL.
    pub(crate) fn derive(&self, purpose: &str, input: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_bytes());
        context.update(b"\0");
        context.update(input);
        let mut derived = [0; 32];
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_depends_on_key_purpose_and_input_and_on_nothing_else() {
        let key = |byte: u8| DerivingKey::of(&[byte; 32]);
        let base = key(1).derive("refresh", b"token");
        assert_eq!(key(1).derive("refresh", b"token"), base);
        for other in [
            key(2).derive("refresh", b"token"),
            key(1).derive("refres", b"htoken"),
            key(1).derive("refresh", b"tokem"),
            key(1).derive("refresh", b""),
        ] {
            assert_ne!(other, base);
        }
    }

    #[test]
    fn the_sealing_key_itself_derives_nothing() {
        let direct = hmac::sign(&Key::new(HMAC_SHA256, &[1; 32]), b"refresh\0token");
        assert_ne!(direct.as_ref(), DerivingKey::of(&[1; 32]).derive("refresh", b"token"));
    }
}
