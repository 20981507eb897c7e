//! Ways to sign in beside the password. The passkeys are those of a software authenticator that nobody here wrote.

use std::time::Duration;

use directory::authenticator::passkey::{self, New, PasskeyError, Passkeys};
use directory::authenticator::{self, Kind, MOST_OF_A_KIND, recovery_code, totp};
use directory::user::User;
use directory::{DirectoryError, authenticator::totp::Seed};
use kernel::id::AuthenticatorId;
use kernel::{Ctx, Secret};
use keys::SealingKeys;
use store::sql;
use tokio::task::JoinSet;
use url::Url;
use webauthn_authenticator_rs::WebauthnAuthenticator as _;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use crate::house::{House, change};
use crate::people::{create, profile, set_active};

on_both_engines! {
    a_one_time_password_is_added_found_and_used_once,
    of_twenty_who_come_with_one_code_one_is_let_in,
    recovery_codes_work_once_each_and_new_ones_replace_the_old,
    a_passkey_is_added_verifies_and_counts,
    an_answer_for_another_challenge_origin_or_user_proves_nothing,
    a_passkey_belongs_to_one_account,
    what_was_taken_away_signs_nobody_in,
    nobody_collects_authenticators_without_end,
    an_account_that_has_ended_gets_nothing_new,
    seeds_and_codes_are_sealed_to_their_rows,
}

fn sealing() -> SealingKeys {
    SealingKeys::generate(&Ctx::for_tests(7))
}

async fn ada(house: &House) -> User {
    create(&house.db, &profile("ada")).await.unwrap()
}

async fn add_totp(house: &House, sealing: &SealingKeys, user: &User) -> (AuthenticatorId, Seed) {
    let seed = Seed::generate(house.db.ctx());
    let step =
        seed.step_of(&seed.code_at(house.db.ctx().now()).unwrap(), house.db.ctx().now(), None).unwrap();
    let id =
        change(&house.db, async |tx| totp::add(tx, sealing, user.id, " My\u{7} phone ", &seed, step).await)
            .await
            .unwrap();
    (id, seed)
}

async fn a_one_time_password_is_added_found_and_used_once(house: House) {
    let (sealing, ada) = (sealing(), ada(&house).await);
    let (id, seed) = add_totp(&house, &sealing, &ada).await;
    let listed = authenticator::of_user(&house.db, ada.id).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].kind(), listed[0].name.as_deref()), (Some(Kind::Totp), Some("My phone")));
    let matching = async |code: &str| totp::matching(&house.db, &sealing, ada.id, code).await.unwrap();
    let first = seed.code_at(house.db.ctx().now()).unwrap();
    assert_eq!(matching(&first).await, None, "the code that proved the phone is used up");
    house.advance(Duration::from_secs(30));
    let second = seed.code_at(house.db.ctx().now()).unwrap();
    let (found, step) = matching(&second).await.expect("the next one matches");
    assert_eq!(found, id);
    let use_up =
        async || change(&house.db, async |tx| totp::use_up(tx, ada.id, id, step).await).await.unwrap();
    assert!(use_up().await);
    assert!(!use_up().await, "a code works once");
    assert_eq!(matching(&second).await, None);
    let listed = authenticator::of_user(&house.db, ada.id).await.unwrap();
    assert_eq!(listed[0].last_used_at, Some(house.db.ctx().now()));
}

async fn of_twenty_who_come_with_one_code_one_is_let_in(house: House) {
    let (sealing, ada) = (sealing(), ada(&house).await);
    let (id, seed) = add_totp(&house, &sealing, &ada).await;
    house.advance(Duration::from_secs(30));
    let code = seed.code_at(house.db.ctx().now()).unwrap();
    let (_, step) = totp::matching(&house.db, &sealing, ada.id, &code).await.unwrap().unwrap();
    let mut coming = JoinSet::new();
    for _ in 0..20 {
        let (db, user) = (house.db.clone(), ada.id);
        coming.spawn(
            async move { change(&db, async |tx| totp::use_up(tx, user, id, step).await).await.unwrap() },
        );
    }
    let let_in = coming.join_all().await.into_iter().filter(|in_| *in_).count();
    assert_eq!(let_in, 1);
}

async fn recovery_codes_work_once_each_and_new_ones_replace_the_old(house: House) {
    let (sealing, ada) = (sealing(), ada(&house).await);
    let make = async || {
        let codes = recovery_code::generate(house.db.ctx());
        change(&house.db, async |tx| recovery_code::replace(tx, &sealing, ada.id, &codes).await)
            .await
            .unwrap();
        codes
    };
    let matching = async |code: &Secret<String>| {
        recovery_code::matching(&house.db, &sealing, ada.id, &code.expose().to_uppercase()).await.unwrap()
    };
    let old = make().await;
    let id = matching(&old[3]).await.expect("one of them");
    let use_up =
        async |id| change(&house.db, async |tx| recovery_code::use_up(tx, ada.id, id).await).await.unwrap();
    assert!(use_up(id).await);
    assert!(!use_up(id).await);
    assert_eq!(matching(&old[3]).await, None);
    assert!(matching(&old[4]).await.is_some());
    let new = make().await;
    assert_eq!(matching(&old[4]).await, None);
    assert!(matching(&new[0]).await.is_some());
    assert_eq!(authenticator::of_user(&house.db, ada.id).await.unwrap().len(), recovery_code::COUNT);
    let other = create(&house.db, &profile("grace")).await.unwrap();
    let of_other = recovery_code::matching(&house.db, &sealing, other.id, new[0].expose()).await.unwrap();
    assert_eq!(of_other, None, "a code is its owner's");
}

const ORIGIN: &str = "http://localhost:8080";

fn origin() -> Url {
    Url::parse(ORIGIN).unwrap()
}

fn passkeys() -> Passkeys {
    Passkeys::new(&origin(), "Nordnetz").unwrap()
}

async fn make(house: &House, device: &mut SoftPasskey, user: &User) -> New {
    let (asked, state) = passkeys().begin_adding(&house.db, user).await.unwrap();
    let answer = device.do_registration(origin(), asked).unwrap();
    passkeys().finish_adding(&answer, &state).unwrap()
}

async fn add_passkey(house: &House, device: &mut SoftPasskey, user: &User) -> AuthenticatorId {
    let new = make(house, device, user).await;
    change(&house.db, async |tx| passkey::add(tx, user.id, "Key", &new).await).await.unwrap()
}

/// Soft devices claim to have verified their user.
fn device() -> SoftPasskey {
    SoftPasskey::new(true)
}

async fn a_passkey_is_added_verifies_and_counts(house: House) {
    let (ada, mut device) = (ada(&house).await, device());
    assert!(passkeys().ask_user(&house.db, ada.id).await.unwrap().is_none(), "there is none to ask for");
    let new = make(&house, &mut device, &ada).await;
    assert!(new.is_device_bound(), "a soft device synchronises nothing");
    let id = change(&house.db, async |tx| passkey::add(tx, ada.id, "Key", &new).await).await.unwrap();
    let listed = authenticator::of_user(&house.db, ada.id).await.unwrap();
    assert_eq!((listed[0].kind(), listed[0].is_device_bound()), (Some(Kind::Passkey), Some(true)));
    for _ in 0..2 {
        let (asked, state) = passkeys().ask_user(&house.db, ada.id).await.unwrap().expect("one to ask for");
        let answer = device.do_authentication(origin(), asked).unwrap();
        let proof = passkeys().verify(&house.db, &answer, state).await.unwrap();
        assert_eq!((proof.user, proof.authenticator), (ada.id, id));
        assert!(proof.user_verified && proof.device_bound);
        assert!(change(&house.db, async |tx| passkey::used(tx, &proof).await).await.unwrap());
        let again = change(&house.db, async |tx| passkey::used(tx, &proof).await).await.unwrap();
        assert!(!again, "one answer counts once");
    }
}

async fn an_answer_for_another_challenge_origin_or_user_proves_nothing(house: House) {
    let (ada, mut device) = (ada(&house).await, device());
    add_passkey(&house, &mut device, &ada).await;
    let grace = create(&house.db, &profile("grace")).await.unwrap();
    let mut other_device = self::device();
    add_passkey(&house, &mut other_device, &grace).await;
    let ask = async |user: &User| passkeys().ask_user(&house.db, user.id).await.unwrap().unwrap();

    let (asked, _) = ask(&ada).await;
    let answer = device.do_authentication(origin(), asked).unwrap();
    let (_, another) = ask(&ada).await;
    let refused = passkeys().verify(&house.db, &answer, another).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "another challenge: {refused:?}");

    let (asked, _) = ask(&grace).await;
    let answer = other_device.do_authentication(origin(), asked).unwrap();
    let (_, adas) = ask(&ada).await;
    let refused = passkeys().verify(&house.db, &answer, adas).await;
    assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "another user: {refused:?}");

    for elsewhere in ["http://localhost:8081", "https://localhost:8080", "http://sub.localhost:8080"] {
        let elsewhere = Url::parse(elsewhere).unwrap();
        let (asked, state) = ask(&ada).await;
        // A client may refuse to ask at all: then there is nothing to verify.
        if let Ok(answer) = device.do_authentication(elsewhere.clone(), asked) {
            let refused = passkeys().verify(&house.db, &answer, state).await;
            assert!(matches!(refused, Err(PasskeyError::NotVerified(_))), "{elsewhere}: {refused:?}");
        }
    }
}

async fn a_passkey_belongs_to_one_account(house: House) {
    let (ada, mut device) = (ada(&house).await, device());
    let new = make(&house, &mut device, &ada).await;
    change(&house.db, async |tx| passkey::add(tx, ada.id, "Key", &new).await).await.unwrap();
    let grace = create(&house.db, &profile("grace")).await.unwrap();
    let taken = change(&house.db, async |tx| passkey::add(tx, grace.id, "Key", &new).await).await;
    assert!(matches!(taken, Err(DirectoryError::Taken("passkey"))), "{taken:?}");
}

async fn what_was_taken_away_signs_nobody_in(house: House) {
    let (sealing, ada, mut device) = (sealing(), ada(&house).await, device());
    let (totp_id, seed) = add_totp(&house, &sealing, &ada).await;
    let key_id = add_passkey(&house, &mut device, &ada).await;
    let (asked, state) = passkeys().ask_user(&house.db, ada.id).await.unwrap().unwrap();
    let answer = device.do_authentication(origin(), asked).unwrap();
    let grace = create(&house.db, &profile("grace")).await.unwrap();
    let remove = async |user: &User, id| {
        change(&house.db, async |tx| authenticator::remove(tx, user.id, id).await).await.unwrap()
    };
    assert!(!remove(&grace, totp_id).await, "nobody takes away another's");
    assert!(remove(&ada, totp_id).await && remove(&ada, key_id).await);
    assert!(!remove(&ada, key_id).await);
    house.advance(Duration::from_secs(30));
    let code = seed.code_at(house.db.ctx().now()).unwrap();
    assert_eq!(totp::matching(&house.db, &sealing, ada.id, &code).await.unwrap(), None);
    let refused = passkeys().verify(&house.db, &answer, state).await;
    assert!(matches!(refused, Err(PasskeyError::Unknown)), "{refused:?}");
    assert!(passkeys().ask_user(&house.db, ada.id).await.unwrap().is_none());
}

async fn nobody_collects_authenticators_without_end(house: House) {
    let (sealing, ada) = (sealing(), ada(&house).await);
    for _ in 0..MOST_OF_A_KIND {
        add_totp(&house, &sealing, &ada).await;
    }
    let seed = Seed::generate(house.db.ctx());
    let refused = change(&house.db, async |tx| totp::add(tx, &sealing, ada.id, "", &seed, 1).await).await;
    assert!(matches!(refused, Err(DirectoryError::Invalid(_))), "{refused:?}");
}

async fn an_account_that_has_ended_gets_nothing_new(house: House) {
    let (sealing, ada, mut device) = (sealing(), ada(&house).await, device());
    let new = make(&house, &mut device, &ada).await;
    set_active(&house.db, &ada, false).await.unwrap();
    let (seed, codes) = (Seed::generate(house.db.ctx()), recovery_code::generate(house.db.ctx()));
    let gone = |refused: Result<(), DirectoryError>| matches!(refused, Err(DirectoryError::NotFound(_)));
    let totp =
        change(&house.db, async |tx| totp::add(tx, &sealing, ada.id, "", &seed, 1).await.map(drop)).await;
    let key = change(&house.db, async |tx| passkey::add(tx, ada.id, "", &new).await.map(drop)).await;
    let code = change(&house.db, async |tx| recovery_code::replace(tx, &sealing, ada.id, &codes).await).await;
    assert!(gone(totp) && gone(key) && gone(code));
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM authenticator")).await, 0);
}

async fn seeds_and_codes_are_sealed_to_their_rows(house: House) {
    let (sealing, ada) = (sealing(), ada(&house).await);
    let (_, seed) = add_totp(&house, &sealing, &ada).await;
    let codes = recovery_code::generate(house.db.ctx());
    change(&house.db, async |tx| recovery_code::replace(tx, &sealing, ada.id, &codes).await).await.unwrap();
    let sql = sql!("SELECT COUNT(*) FROM authenticator WHERE sealed LIKE 's1.%' AND verifier = ''");
    assert_eq!(house.count(sql).await, 1 + i64::try_from(recovery_code::COUNT).unwrap());
    // The seed of one row in another's place.
    add_totp(&house, &sealing, &ada).await;
    change::<_, store::StoreError>(&house.db, async |tx| {
        let swap = sql!(
            "UPDATE authenticator SET sealed = (SELECT MAX(sealed) FROM authenticator WHERE kind = 'totp') \
             WHERE kind = 'totp'"
        );
        tx.run(swap, ()).await
    })
    .await
    .unwrap();
    house.advance(Duration::from_secs(60));
    let code = seed.code_at(house.db.ctx().now()).unwrap();
    let broken = totp::matching(&house.db, &sealing, ada.id, &code).await;
    assert!(matches!(broken, Err(DirectoryError::Sealed(_))), "{broken:?}");
}
