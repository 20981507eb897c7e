//! A device that signs whatever it is told to: what a stolen or faulty one could send. Whether an answer holds is then
//! decided here alone, and by no client that refuses to ask.
//!
//! To add something that must not hold: a line of [`FORGED`].

use directory::authenticator;
use directory::authenticator::passkey::{self, New, PasskeyError, Passkeys, Proof};
use directory::user::User;
use parts::passkey::{BE, BS, Claims, Device, UP, UV};
use url::Url;

use crate::house::{House, change};
use crate::people::{create, profile};

on_both_engines! {
    only_an_answer_for_exactly_our_origin_name_and_state_holds,
    a_key_is_made_for_exactly_our_origin_and_name,
    a_synced_key_is_told_from_one_that_cannot_leave_its_device,
    a_key_that_says_that_it_can_be_copied_since_it_was_made_is_refused,
}

const ORIGIN: &str = "https://id.example.org";
const NAME: &str = "id.example.org";
const RIGHT: Claims = Claims::right(ORIGIN, NAME);

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
    let answer =
        device.authenticate(&serde_json::to_value(asked).unwrap(), claims, handle.map(handle_of).as_deref());
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
    let thief = Device::new("a-key-that-can-be-told-anything");
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

async fn a_key_that_says_that_it_can_be_copied_since_it_was_made_is_refused(house: House) {
    let ada = create(&house.db, &profile("ada")).await.unwrap();
    let device = Device::new("key");
    let new = made(&house, &ada, &device, RIGHT).await.unwrap();
    change(&house.db, async |tx| passkey::add(tx, ada.id, "Key", &new).await).await.unwrap();
    let synced = Claims { flags: RIGHT.flags | BE, ..RIGHT };
    for claims in [synced, Claims { flags: synced.flags | BS, ..RIGHT }] {
        let refused = found(&house, Some(&ada), &device, claims).await;
        assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "by itself: {refused:?}");
        let refused = verified(&house, &ada, &device, claims).await;
        assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "{refused:?}");
    }
    assert!(verified(&house, &ada, &device, RIGHT).await.unwrap().device_bound, "it is what it was");
}
