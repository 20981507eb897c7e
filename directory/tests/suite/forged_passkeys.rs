//! A device that signs whatever it is told to: what a stolen or faulty one could send. Whether an answer holds is then
//! decided here alone, and by no client that refuses to ask.
//!
//! To add something that must not hold: a line of [`FORGED`].

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::authenticator;
use directory::authenticator::passkey::{self, New, PasskeyError, Passkeys, Proof};
use directory::user::User;
use kernel::sha256;
use serde_json::{Value, json};
use url::Url;

use crate::house::{House, change};
use crate::people::{create, profile};

on_both_engines! {
    only_an_answer_for_exactly_our_origin_name_and_state_holds,
    a_key_is_made_for_exactly_our_origin_and_name,
    a_synced_key_is_told_from_one_that_cannot_leave_its_device,
    a_key_that_can_be_copied_since_it_was_made_counts_for_less_and_for_good,
}

const ORIGIN: &str = "https://id.example.org";
const NAME: &str = "id.example.org";
/// User present, user verified (WebAuthn, section 6.1).
const UP: u8 = 0x01;
const UV: u8 = 0x04;
/// The key may be copied to other devices.
const BE: u8 = 0x08;
/// It has been.
const BS: u8 = 0x10;
/// A key follows.
const AT: u8 = 0x40;

/// What an answer claims.
#[derive(Clone, Copy)]
struct Claims {
    origin: &'static str,
    name: &'static str,
    ceremony: &'static str,
    flags: u8,
    counter: u32,
}

const RIGHT: Claims =
    Claims { origin: ORIGIN, name: NAME, ceremony: "webauthn.get", flags: UP | UV, counter: 7 };

const FORGED: [(&str, Claims); 13] = [
    ("a subdomain", Claims { origin: "https://sub.id.example.org", ..RIGHT }),
    ("the domain above", Claims { origin: "https://example.org", ..RIGHT }),
    ("a name that ends like ours", Claims { origin: "https://badid.example.org", ..RIGHT }),
    ("a name that begins like ours", Claims { origin: "https://id.example.org.evil.example", ..RIGHT }),
    ("another port", Claims { origin: "https://id.example.org:8443", ..RIGHT }),
    ("another scheme", Claims { origin: "http://id.example.org", ..RIGHT }),
    ("for another name", Claims { name: "example.org", ..RIGHT }),
    ("for a name that ends like ours", Claims { name: "badid.example.org", ..RIGHT }),
    ("of another ceremony", Claims { ceremony: "webauthn.create", ..RIGHT }),
    ("nobody was there", Claims { flags: UV, ..RIGHT }),
    ("nobody was verified", Claims { flags: UP, ..RIGHT }),
    ("a copy of what cannot be copied", Claims { flags: UP | UV | BS, ..RIGHT }),
    ("a counter that went back", Claims { counter: 4, ..RIGHT }),
];

struct Device {
    key: EcdsaKeyPair,
    id: Vec<u8>,
}

impl Device {
    fn new(id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
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

    /// Makes a key, without attestation (sections 6.5 and 8.7).
    fn register(&self, asked: &Value, claims: Claims) -> Value {
        let claims = Claims { ceremony: "webauthn.create", flags: claims.flags | AT, counter: 5, ..claims };
        let (client, mut data) = Self::said(claims, &asked["publicKey"]["challenge"]);
        let point = &self.key.public_key().as_ref()[1..];
        let length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        data.extend([&[0; 16][..], &length, &self.id].concat());
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y} (RFC 9053, section 7.1.1).
        data.extend(
            [&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20][..], &point[..32]].concat(),
        );
        data.extend([&[0x22, 0x58, 0x20][..], &point[32..]].concat());
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        attestation.push(u8::try_from(data.len()).unwrap());
        attestation.extend(data);
        self.answer(&json!({ "attestationObject": encoded(&attestation), "clientDataJSON": encoded(client.as_bytes()) }))
    }

    /// The handle says whose key it is, to whoever did not ask for somebody's.
    fn authenticate(&self, asked: &Value, claims: Claims, handle: Option<&User>) -> Value {
        let (client, data) = Self::said(claims, &asked["publicKey"]["challenge"]);
        let signed = [&data[..], &sha256(client.as_bytes())].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        self.answer(&json!({
            "authenticatorData": encoded(&data), "clientDataJSON": encoded(client.as_bytes()),
            "signature": encoded(signature.as_ref()), "userHandle": handle.map(|user| encoded(&handle_of(user))),
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

/// The bytes of the user's id (WebAuthn, section 5.4.3).
fn handle_of(user: &User) -> Vec<u8> {
    let digits = user.id.to_string().replace('-', "");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn passkeys() -> Passkeys {
    Passkeys::new(&Url::parse(ORIGIN).unwrap(), "Nordnetz").unwrap()
}

async fn made(house: &House, user: &User, device: &Device, claims: Claims) -> Result<New, PasskeyError> {
    let (asked, state) = passkeys().begin_adding(&house.db, user).await.unwrap();
    let answer = device.register(&serde_json::to_value(asked).unwrap(), claims);
    passkeys().finish_adding(&serde_json::from_value(answer).unwrap(), &state)
}

async fn verified(
    house: &House,
    user: &User,
    device: &Device,
    claims: Claims,
) -> Result<Proof, PasskeyError> {
    let (asked, state) = passkeys().ask_user(&house.db, user.id).await.unwrap().unwrap();
    let answer = device.authenticate(&serde_json::to_value(asked).unwrap(), claims, None);
    passkeys().verify(&house.db, &serde_json::from_value(answer).unwrap(), state).await
}

/// The same where nobody said who is there.
async fn found(
    house: &House,
    handle: Option<&User>,
    device: &Device,
    claims: Claims,
) -> Result<Proof, PasskeyError> {
    let (asked, state) = passkeys().ask_anybody().unwrap();
    let answer = device.authenticate(&serde_json::to_value(asked).unwrap(), claims, handle);
    passkeys().verify(&house.db, &serde_json::from_value(answer).unwrap(), state).await
}

async fn only_an_answer_for_exactly_our_origin_name_and_state_holds(house: House) {
    let ada = create(&house.db, &profile("ada")).await.unwrap();
    let device = Device::new("a-key-that-can-be-told-anything");
    let new = made(&house, &ada, &device, RIGHT).await.unwrap();
    change(&house.db, async |tx| passkey::add(tx, ada.id, "Key", &new).await).await.unwrap();
    for (what, claims) in FORGED {
        let refused = verified(&house, &ada, &device, claims).await;
        assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "{what}: {refused:?}");
        let refused = found(&house, Some(&ada), &device, claims).await;
        assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "{what}, by itself: {refused:?}");
    }
    let bo = create(&house.db, &profile("bo")).await.unwrap();
    let refused = found(&house, Some(&bo), &device, RIGHT).await;
    assert!(matches!(refused, Err(PasskeyError::Unknown)), "another's handle: {refused:?}");
    let refused = found(&house, None, &device, RIGHT).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "no handle: {refused:?}");
    let thief = Device { key: Device::new("").key, id: device.id.clone() };
    let refused = verified(&house, &ada, &thief, RIGHT).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "another key by the same id: {refused:?}");
    let refused = found(&house, Some(&ada), &thief, RIGHT).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "another key, by itself: {refused:?}");
    let proof = verified(&house, &ada, &device, RIGHT).await.unwrap();
    assert!(proof.user == ada.id && proof.user_verified);
    assert_eq!(found(&house, Some(&ada), &device, RIGHT).await.unwrap(), proof);
}

async fn a_key_is_made_for_exactly_our_origin_and_name(house: House) {
    let ada = create(&house.db, &profile("ada")).await.unwrap();
    // What a registration says of ceremony and counter, this device says right.
    for (what, claims) in
        FORGED.into_iter().filter(|(_, claims)| claims.ceremony == "webauthn.get" && claims.counter == 7)
    {
        let refused = made(&house, &ada, &Device::new("key"), claims).await;
        assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "{what}: {refused:?}");
    }
    made(&house, &ada, &Device::new("key"), RIGHT).await.unwrap();
}

async fn a_synced_key_is_told_from_one_that_cannot_leave_its_device(house: House) {
    let ada = create(&house.db, &profile("ada")).await.unwrap();
    let synced = Claims { flags: RIGHT.flags | BE, ..RIGHT };
    for (id, claims, is_bound) in [("bound", RIGHT, true), ("synced", synced, false)] {
        let device = Device::new(id);
        let new = made(&house, &ada, &device, claims).await.unwrap();
        assert_eq!(new.is_device_bound(), is_bound, "{id}");
        let added = change(&house.db, async |tx| passkey::add(tx, ada.id, id, &new).await).await.unwrap();
        assert_eq!(verified(&house, &ada, &device, claims).await.unwrap().device_bound, is_bound, "{id}");
        let held = authenticator::of_user(&house.db, ada.id).await.unwrap();
        let listed = held.iter().find(|held| held.id == added).unwrap();
        assert_eq!(listed.is_device_bound(), Some(is_bound), "{id}");
    }
    // A copy of a synced key on a device that denies it.
    let device = Device::new("another");
    let new = made(&house, &ada, &device, synced).await.unwrap();
    change(&house.db, async |tx| passkey::add(tx, ada.id, "another", &new).await).await.unwrap();
    let refused = verified(&house, &ada, &device, RIGHT).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "{refused:?}");
    let refused = found(&house, Some(&ada), &device, RIGHT).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "by itself: {refused:?}");
}

/// WebAuthn, section 7.2, has every change of this flag refused. The library lets this one through where a known user
/// is asked.
async fn a_key_that_can_be_copied_since_it_was_made_counts_for_less_and_for_good(house: House) {
    let ada = create(&house.db, &profile("ada")).await.unwrap();
    let device = Device::new("key");
    let new = made(&house, &ada, &device, RIGHT).await.unwrap();
    change(&house.db, async |tx| passkey::add(tx, ada.id, "Key", &new).await).await.unwrap();
    let synced = Claims { flags: RIGHT.flags | BE, ..RIGHT };
    let refused = found(&house, Some(&ada), &device, synced).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "by itself: {refused:?}");
    let proof = verified(&house, &ada, &device, synced).await.unwrap();
    assert!(!proof.device_bound);
    assert!(change(&house.db, async |tx| passkey::used(tx, &proof).await).await.unwrap());
    let held = authenticator::of_user(&house.db, ada.id).await.unwrap();
    assert_eq!(held[0].is_device_bound(), Some(false));
    let refused = verified(&house, &ada, &device, Claims { counter: 8, ..RIGHT }).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "bound again: {refused:?}");
    assert!(!verified(&house, &ada, &device, Claims { counter: 8, ..synced }).await.unwrap().device_bound);
}
