//! The key ring on a database: first keys, rotation, two nodes, wrong sealing keys, tampering.

use std::time::Duration;

use crate::house::{House, on_both_engines};
use keys::{
    Alg, Evidence, Expect, JwtError, KeyRing, KeysError, RotationPolicy, SealError, SealingKeys, VerifyError,
    verify_evidence,
};
use serde_json::{Value, json};
use store::{Db, sql};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ISSUER: &str = "https://id.example";
const EXPECT: Expect<'static> =
    Expect { typ: "at+jwt", algs: &Alg::ALL, issuer: ISSUER, audience: Some("app") };

on_both_engines! {
    an_empty_database_gets_its_keys_and_each_is_recorded
    the_next_process_finds_the_same_keys
    one_that_only_reads_makes_no_key_and_verifies_what_others_signed
    a_key_is_published_before_it_signs_verifies_for_a_while_and_is_gone
    two_nodes_that_start_at_once_have_one_set_of_keys
    two_nodes_that_rotate_at_once_make_one_key
    a_node_verifies_what_another_signs_with_a_key_it_learnt_by_upkeep
    evidence_verifies_years_later_and_its_old_keys_cannot_sign
    a_key_of_one_purpose_does_not_pass_for_the_other
    the_wrong_sealing_key_is_one_clear_error_and_changes_nothing
    a_key_written_without_the_sealing_key_is_never_published
    keys_exchanged_between_rows_do_not_open
    tokens_are_bounded_and_expire_by_the_houses_clock
    a_token_whose_time_is_over_is_taken_where_it_is_a_hint_and_must_be_ours_all_the_same
    a_senseless_rotation_is_refused
}

fn sealing(db: &Db) -> SealingKeys {
    SealingKeys::generate(db.ctx())
}

async fn ring(db: &Db, sealing: &SealingKeys) -> KeyRing {
    KeyRing::open(db.clone(), sealing.clone(), RotationPolicy::default()).await.unwrap()
}

fn claims(db: &Db) -> Value {
    json!({"iss": ISSUER, "aud": "app", "exp": db.ctx().now().as_secs() + 300})
}

async fn sign(ring: &KeyRing, db: &Db, alg: Alg) -> String {
    ring.sign_jwt(alg, "at+jwt", &claims(db)).await.unwrap()
}

fn kids(jwks: &[u8]) -> Vec<String> {
    let jwks: Value = serde_json::from_slice(jwks).unwrap();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

async fn facts(db: &Db, kind: &str) -> i64 {
    db.one::<(i64,)>(sql!("SELECT COUNT(*) FROM fact WHERE kind = $1"), (kind,)).await.unwrap().0
}

async fn an_empty_database_gets_its_keys_and_each_is_recorded(house: House) {
    let ring = ring(&house.one, &sealing(&house.one)).await;
    assert!(!kids(&ring.jwks().bytes).is_empty(), "ES256 is there at once");
    for alg in Alg::ALL {
        let token = sign(&ring, &house.one, alg).await;
        assert_eq!(ring.verify_jwt(&token, &EXPECT).unwrap()["aud"], "app");
        assert_eq!(jsonwebtoken::decode_header(&token).unwrap().typ.as_deref(), Some("at+jwt"));
    }
    assert_eq!(kids(&ring.jwks().bytes).len(), 2);
    assert_eq!(kids(&ring.evidence_jwks().bytes).len(), 1);
    assert_eq!(facts(&house.one, "signing_key.created").await, 3);
    ring.maintain().await.unwrap();
    assert_eq!(facts(&house.one, "signing_key.created").await, 3, "nothing is due");
    let plain = sql!("SELECT COUNT(*) FROM signing_key WHERE sealed NOT LIKE 's1.%'");
    assert_eq!(house.count(plain).await, 0);
}

async fn the_next_process_finds_the_same_keys(house: House) {
    let sealing = sealing(&house.one);
    let first = ring(&house.one, &sealing).await;
    let tokens = [sign(&first, &house.one, Alg::Es256).await, sign(&first, &house.one, Alg::Rs256).await];
    let next = ring(&house.two, &sealing).await;
    assert_eq!(next.jwks(), first.jwks());
    assert_eq!(next.evidence_jwks(), first.evidence_jwks());
    for token in tokens {
        assert!(next.verify_jwt(&token, &EXPECT).is_ok());
    }
    assert_eq!(facts(&house.one, "signing_key.created").await, 3);
    assert_eq!(KeyRing::check(&house.two, &sealing).await.unwrap(), 3);
}

async fn one_that_only_reads_makes_no_key_and_verifies_what_others_signed(house: House) {
    let sealing = sealing(&house.one);
    let read =
        async || KeyRing::read(house.two.clone(), sealing.clone(), RotationPolicy::default()).await.unwrap();
    assert!(matches!(
        read().await.sign_evidence(Evidence::Receipt, &json!({})),
        Err(KeysError::NotReady(Alg::Es256))
    ));
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM signing_key")).await, 0);
    let signing = ring(&house.one, &sealing).await;
    let reading = read().await;
    assert!(reading.verify_jwt(&sign(&signing, &house.one, Alg::Es256).await, &EXPECT).is_ok());
    assert_eq!(reading.evidence_jwks(), signing.evidence_jwks());
}

async fn a_key_is_published_before_it_signs_verifies_for_a_while_and_is_gone(house: House) {
    let ring = ring(&house.one, &sealing(&house.one)).await;
    let old = sign(&ring, &house.one, Alg::Rs256).await;
    let before = ring.jwks();
    let expect_later = |now: i64| json!({"iss": ISSUER, "aud": "app", "exp": now + 30 * 24 * 3600});

    house.advance(DAY * 89);
    ring.maintain().await.unwrap();
    let announced = ring.jwks();
    assert_ne!(announced.etag, before.etag);
    assert_eq!(kids(&announced.bytes).len(), 4, "both algorithms have their next key published");
    let last =
        ring.sign_jwt(Alg::Rs256, "at+jwt", &expect_later(house.one.ctx().now().as_secs())).await.unwrap();
    assert_eq!(kid_of(&last), kid_of(&old), "but it does not sign yet");

    house.advance(DAY);
    let new = sign(&ring, &house.one, Alg::Rs256).await;
    assert_ne!(kid_of(&new), kid_of(&old), "it signs on time, without upkeep");
    assert!(kids(&announced.bytes).contains(&kid_of(&new)));
    ring.maintain().await.unwrap();
    assert!(ring.verify_jwt(&last, &EXPECT).is_ok(), "the old key still verifies");
    assert!(kids(&ring.jwks().bytes).contains(&kid_of(&old)));

    house.advance(DAY);
    assert_eq!(ring.verify_jwt(&last, &EXPECT), Err(JwtError::UnknownKey), "gone on time, without upkeep");
    ring.maintain().await.unwrap();
    assert_eq!(kids(&ring.jwks().bytes).len(), 2);
    assert!(!kids(&ring.jwks().bytes).contains(&kid_of(&old)));
    assert_eq!(facts(&house.one, "signing_key.retired").await, 2);
    let left = sql!("SELECT COUNT(*) FROM signing_key WHERE retired_at IS NOT NULL AND sealed IS NOT NULL");
    assert_eq!(house.count(left).await, 0, "the private half is destroyed");
    ring.maintain().await.unwrap();
    assert_eq!(facts(&house.one, "signing_key.retired").await, 2);
}

async fn two_nodes_that_start_at_once_have_one_set_of_keys(house: House) {
    let sealing = sealing(&house.one);
    let (one, two) = tokio::join!(ring(&house.one, &sealing), ring(&house.two, &sealing));
    for alg in Alg::ALL {
        let (a, b) = tokio::join!(sign(&one, &house.one, alg), sign(&two, &house.two, alg));
        assert_eq!(kid_of(&a), kid_of(&b), "{alg}");
        assert!(two.verify_jwt(&a, &EXPECT).is_ok() && one.verify_jwt(&b, &EXPECT).is_ok());
    }
    assert_eq!(one.jwks(), two.jwks());
    assert_eq!(facts(&house.one, "signing_key.created").await, 3);
}

async fn two_nodes_that_rotate_at_once_make_one_key(house: House) {
    let sealing = sealing(&house.one);
    let (one, two) = (ring(&house.one, &sealing).await, ring(&house.two, &sealing).await);
    sign(&one, &house.one, Alg::Rs256).await;
    house.advance(DAY * 89);
    let (a, b) = tokio::join!(one.maintain(), two.maintain());
    a.and(b).unwrap();
    // Whoever found the lease taken learns of the new keys by the next pass.
    one.maintain().await.unwrap();
    two.maintain().await.unwrap();
    assert_eq!(one.jwks(), two.jwks());
    assert_eq!(kids(&one.jwks().bytes).len(), 4);
    assert_eq!(facts(&house.one, "signing_key.created").await, 5);
}

async fn a_node_verifies_what_another_signs_with_a_key_it_learnt_by_upkeep(house: House) {
    let sealing = sealing(&house.one);
    let (one, two) = (ring(&house.one, &sealing).await, ring(&house.two, &sealing).await);
    house.advance(DAY * 89);
    one.maintain().await.unwrap();
    two.maintain().await.unwrap();
    house.advance(DAY);
    let token = sign(&one, &house.one, Alg::Es256).await;
    assert!(two.verify_jwt(&token, &EXPECT).is_ok());
}

async fn evidence_verifies_years_later_and_its_old_keys_cannot_sign(house: House) {
    let sealing = sealing(&house.one);
    let first = ring(&house.one, &sealing).await;
    let receipt = first.sign_evidence(Evidence::Receipt, &json!({"ack": 4})).unwrap();
    for _ in 0..3 {
        house.advance(DAY * 364);
        first.maintain().await.unwrap();
        house.advance(DAY * 2);
        first.maintain().await.unwrap();
    }
    let newer = first.sign_evidence(Evidence::Receipt, &json!({"ack": 3})).unwrap();
    assert_ne!(kid_of(&newer), kid_of(&receipt));
    let after_restart = ring(&house.two, &sealing).await;
    assert_eq!(after_restart.evidence_jwks(), first.evidence_jwks());
    let jwks = after_restart.evidence_jwks();
    assert_eq!(verify_evidence(Evidence::Receipt, &receipt, &jwks.bytes), Ok(json!({"ack": 4})));
    assert_eq!(verify_evidence(Evidence::Receipt, &newer, &jwks.bytes), Ok(json!({"ack": 3})));
    assert_eq!(kids(&jwks.bytes).len(), 4);
    let retired =
        sql!("SELECT COUNT(*) FROM signing_key WHERE purpose = 'evidence' AND retired_at IS NOT NULL");
    assert_eq!(house.count(retired).await, 3);
}

async fn a_key_of_one_purpose_does_not_pass_for_the_other(house: House) {
    let ring = ring(&house.one, &sealing(&house.one)).await;
    let token = ring.sign_jwt(Alg::Es256, Evidence::Receipt.typ(), &json!({"ack": 4})).await.unwrap();
    let jwks = ring.evidence_jwks();
    assert_eq!(verify_evidence(Evidence::Receipt, &token, &jwks.bytes), Err(VerifyError::UnknownSigner));
    let receipt = ring.sign_evidence(Evidence::Receipt, &claims(&house.one)).unwrap();
    let as_token = Expect { typ: Evidence::Receipt.typ(), ..EXPECT };
    assert_eq!(ring.verify_jwt(&receipt, &as_token), Err(JwtError::UnknownKey));
    let (tokens, evidence) = (kids(&ring.jwks().bytes), kids(&jwks.bytes));
    assert!(tokens.iter().all(|kid| !evidence.contains(kid)));
}

async fn the_wrong_sealing_key_is_one_clear_error_and_changes_nothing(house: House) {
    let right = sealing(&house.one);
    let first = ring(&house.one, &right).await;
    sign(&first, &house.one, Alg::Rs256).await;
    let wrong = sealing(&house.two);
    let error = KeyRing::open(house.two.clone(), wrong.clone(), RotationPolicy::default()).await.unwrap_err();
    let missing = SealError::UnknownKey { kid: right.current() };
    assert!(matches!(&error, KeysError::Sealed { source, .. } if *source == missing), "{error}");
    let text = error.to_string();
    assert!(text.contains(&right.current()) && text.contains("put that key's line back"), "{text}");
    assert!(KeyRing::check(&house.two, &wrong).await.is_err());
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM signing_key")).await, 3);
    assert!(
        ring(&house.two, &right)
            .await
            .verify_jwt(&sign(&first, &house.one, Alg::Es256).await, &EXPECT)
            .is_ok()
    );
}

async fn a_key_written_without_the_sealing_key_is_never_published(house: House) {
    let sealing = sealing(&house.one);
    let ring = ring(&house.one, &sealing).await;
    sign(&ring, &house.one, Alg::Rs256).await;
    let before = ring.jwks();
    let stranger = SealingKeys::generate(house.two.ctx());
    let sealed = stranger.seal(house.two.ctx(), keys::SIGNING_KEY.at("mine"), b"key");
    let renamed = sealed.replacen(&stranger.current(), &sealing.current(), 1);
    for forged in [sealed, renamed, "{}".to_owned()] {
        house
            .tamper(
                sql!(
                    "INSERT INTO signing_key (kid, purpose, alg, generation, sealed, created_at, signs_from) \
                     VALUES ('mine', 'token', 'ES256', 9, $1, 0, 0)"
                ),
                (forged,),
            )
            .await;
        let error = ring.maintain().await.unwrap_err();
        assert!(matches!(&error, KeysError::Sealed { kid, .. } if kid == "mine"), "{error}");
        assert_eq!(ring.jwks(), before, "what is known stays in use");
        assert!(KeyRing::check(&house.one, &sealing).await.is_err());
        house.tamper(sql!("DELETE FROM signing_key WHERE kid = 'mine'"), ()).await;
    }
    ring.maintain().await.unwrap();
}

async fn keys_exchanged_between_rows_do_not_open(house: House) {
    let sealing = sealing(&house.one);
    let ring = ring(&house.one, &sealing).await;
    sign(&ring, &house.one, Alg::Rs256).await;
    let broken = async |what: &str| {
        let error = KeyRing::check(&house.one, &sealing).await.unwrap_err();
        assert!(matches!(&error, KeysError::Sealed { source: SealError::Broken, .. }), "{what}: {error}");
    };
    let sealed = sql!("SELECT sealed FROM signing_key WHERE purpose = $1 AND alg = 'ES256'");
    let (token,): (String,) = house.one.one(sealed.clone(), ("token",)).await.unwrap();
    let (evidence,): (String,) = house.one.one(sealed, ("evidence",)).await.unwrap();
    let put = sql!("UPDATE signing_key SET sealed = $1 WHERE purpose = 'token' AND alg = 'ES256'");
    house.tamper(put.clone(), (evidence,)).await;
    broken("another row's value").await;
    house.tamper(put, (token,)).await;
    assert!(KeyRing::check(&house.one, &sealing).await.is_ok());
    house.tamper(sql!("UPDATE signing_key SET alg = 'PS256' WHERE alg = 'RS256'"), ()).await;
    broken("an algorithm that is not ours").await;
    house.tamper(sql!("UPDATE signing_key SET alg = 'RS256', retired_at = 1 WHERE alg = 'PS256'"), ()).await;
    broken("a key pair where a public key should be").await;
}

async fn tokens_are_bounded_and_expire_by_the_houses_clock(house: House) {
    let ring = ring(&house.one, &sealing(&house.one)).await;
    let token = sign(&ring, &house.one, Alg::Es256).await;
    house.advance(Duration::from_secs(304));
    assert!(ring.verify_jwt(&token, &EXPECT).is_ok(), "nodes' clocks may differ a little");
    house.advance(Duration::from_secs(2));
    assert_eq!(ring.verify_jwt(&token, &EXPECT), Err(JwtError::Expired));
    let mut large = claims(&house.one);
    large["padding"] = "x".repeat(16 * 1024).into();
    let token = ring.sign_jwt(Alg::Es256, "at+jwt", &large).await.unwrap();
    assert_eq!(ring.verify_jwt(&token, &EXPECT), Err(JwtError::TooLarge));
    assert!(matches!(ring.sign_jwt(Alg::Es256, "JWT", &json!([])).await, Err(KeysError::NotAnObject(_))));
}

async fn a_senseless_rotation_is_refused(house: House) {
    let mut policy = RotationPolicy::default();
    policy.token.signs = Duration::from_secs(60);
    let refused = KeyRing::open(house.one.clone(), sealing(&house.one), policy).await;
    assert!(matches!(refused, Err(KeysError::Rotation)));
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM signing_key")).await, 0);
}

async fn a_token_whose_time_is_over_is_taken_where_it_is_a_hint_and_must_be_ours_all_the_same(house: House) {
    let ring = ring(&house.one, &sealing(&house.one)).await;
    let past = json!({"iss": ISSUER, "aud": "app", "exp": house.one.ctx().now().as_secs() - 3_600});
    let token = ring.sign_jwt(Alg::Es256, "at+jwt", &past).await.unwrap();
    assert_eq!(ring.verify_jwt(&token, &EXPECT), Err(JwtError::Expired));
    assert_eq!(ring.verify_past_jwt(&token, &EXPECT), Ok(past));
    let refused = |expect: Expect<'_>| ring.verify_past_jwt(&token, &expect).unwrap_err();
    assert_eq!(refused(Expect { typ: "JWT", ..EXPECT }), JwtError::Type);
    assert_eq!(refused(Expect { issuer: "https://other.example", ..EXPECT }), JwtError::Issuer);
    assert_eq!(refused(Expect { audience: Some("other"), ..EXPECT }), JwtError::Audience);
    assert_eq!(refused(Expect { algs: &[Alg::Rs256], ..EXPECT }), JwtError::Algorithm);
    let changed = format!("{}AAAA", &token[..token.len() - 4]);
    assert_eq!(ring.verify_past_jwt(&changed, &EXPECT), Err(JwtError::Signature));
}
