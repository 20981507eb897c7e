//! A passkey's device that can be told what to say: flags, counters and origins that no device and no browser would
//! send, and kinds of key that soft devices do not make, signed with a real key.
//!
//! What it is not: a browser. It asks nobody, and answers from any page.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// User present, user verified (WebAuthn, section 6.1).
pub const UP: u8 = 0x01;
/// See [`UP`].
pub const UV: u8 = 0x04;
/// The key may be copied to other devices.
pub const BE: u8 = 0x08;
/// It has been.
pub const BS: u8 = 0x10;
/// A key follows.
const AT: u8 = 0x40;

/// What an answer claims.
#[derive(Clone, Copy)]
pub struct Claims {
    /// Where the browser is.
    pub origin: &'static str,
    /// The relying party's id.
    pub name: &'static str,
    /// `webauthn.get` or `webauthn.create`.
    pub ceremony: &'static str,
    /// [`UP`] and its like.
    pub flags: u8,
    /// How often the key was used, as it says.
    pub counter: u32,
}

impl Claims {
    /// What an honest device says at this origin: somebody was there, and was verified.
    #[must_use]
    pub const fn right(origin: &'static str, name: &'static str) -> Self {
        Self { origin, name, ceremony: "webauthn.get", flags: UP | UV, counter: 7 }
    }
}

/// A device that signs whatever it is told to.
pub struct Device {
    key: EcdsaKeyPair,
    id: Vec<u8>,
}

impl Device {
    /// With a new key by this id.
    ///
    /// # Panics
    /// If the machine gives no random numbers.
    #[must_use]
    pub fn new(id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        Self { key, id: id.as_bytes().to_vec() }
    }

    /// Client data as JSON, and what the device says of itself (WebAuthn, sections 5.8.1 and 6.1).
    fn said(claims: Claims, challenge: &Value) -> (String, Vec<u8>) {
        let Claims { origin, name, ceremony, flags, counter } = claims;
        let client =
            json!({ "type": ceremony, "challenge": challenge, "origin": origin, "crossOrigin": false });
        let data = [&sha256(name.as_bytes())[..], &[flags], &counter.to_be_bytes()].concat();
        (client.to_string(), data)
    }

    /// Makes a key for what a page asks, without attestation (sections 6.5 and 8.7).
    ///
    /// # Panics
    /// If the id has more than some seventy bytes, for which this has no encoding.
    #[must_use]
    pub fn register(&self, asked: &Value, claims: Claims) -> Value {
        let claims = Claims { ceremony: "webauthn.create", flags: claims.flags | AT, counter: 5, ..claims };
        let (client, mut data) = Self::said(claims, &asked["publicKey"]["challenge"]);
        let point = &self.key.public_key().as_ref()[1..];
        let length = u16::try_from(self.id.len()).expect("a short id").to_be_bytes();
        data.extend([&[0; 16][..], &length, &self.id].concat());
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y} (RFC 9053, section 7.1.1).
        data.extend(
            [&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20][..], &point[..32]].concat(),
        );
        data.extend([&[0x22, 0x58, 0x20][..], &point[32..]].concat());
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        attestation.push(u8::try_from(data.len()).expect("a short id"));
        attestation.extend(data);
        self.answer(&json!({ "attestationObject": encoded(&attestation), "clientDataJSON": encoded(client.as_bytes()) }))
    }

    /// Signs what a page asks. The handle says whose key it is, to whoever did not ask for somebody's.
    ///
    /// # Panics
    /// As [`Device::new`].
    #[must_use]
    pub fn authenticate(&self, asked: &Value, claims: Claims, handle: Option<&[u8]>) -> Value {
        let (client, data) = Self::said(claims, &asked["publicKey"]["challenge"]);
        let signed = [&data[..], &sha256(client.as_bytes())].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).expect("a signature");
        self.answer(&json!({
            "authenticatorData": encoded(&data), "clientDataJSON": encoded(client.as_bytes()),
            "signature": encoded(signature.as_ref()), "userHandle": handle.map(encoded),
        }))
    }

    fn answer(&self, response: &Value) -> Value {
        let id = encoded(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "extensions": {} })
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}
