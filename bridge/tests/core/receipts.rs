//! Receipts: what they say, when a new edition is signed, and that they verify.

use std::time::Duration;

use bridge::connector::AckLevel;
use bridge::facts::ReceiptIssued;
use keys::{Evidence, VerifyError, verify_evidence};
use sim::uhppote::Misbehaviour;
use store::{Sink as _, delivery, sql};

use crate::world::{ISSUER, World};

on_every_engine! {
    the_first_edition_says_pending_and_the_next_says_revoked,
    a_receipt_says_what_it_rests_on,
    a_receipt_names_nobody,
    a_receipt_verifies_against_the_published_keys_and_nothing_else_does,
    who_had_no_credential_gets_a_complete_receipt_at_once,
    nothing_new_makes_no_new_edition,
    editions_that_two_nodes_sign_at_once_are_numbered_one_after_the_other,
    who_came_back_gets_no_further_edition_of_the_old_end,
    every_end_has_a_receipt_of_its_own,
    an_end_that_the_clock_puts_before_the_return_has_a_receipt_as_well,
    every_card_and_every_door_is_named,
    what_is_not_known_any_more_is_never_signed_as_nothing,
    what_was_signed_once_is_said_again_when_the_body_of_the_fact_is_erased,
    a_receipt_says_what_was_tested_although_the_door_system_cannot_be_opened,
    the_journal_holds_the_digest_of_each_edition,
}

async fn the_first_edition_says_pending_and_the_next_says_revoked(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.node.drain_receipts().await;
    let first = world.receipt(user).await.unwrap();
    assert_eq!((first.revision, first.complete), (1, false));
    let door = &first.doors[0];
    assert_eq!(
        (door.status.as_str(), door.level, door.access_point.as_str()),
        ("pending", AckLevel::Recorded, "main")
    );
    assert!(door.read_back_at.is_none() && door.latency_ms.is_none() && door.requested_at == first.cause.at);
    assert_eq!(first.exposure[1].what, format!("credential {} at main (hq)", card.id));
    world.settle().await;
    let second = world.receipt(user).await.unwrap();
    assert_eq!((second.revision, second.complete), (2, true));
    let door = &second.doors[0];
    assert_eq!(
        (door.status.as_str(), door.level, door.level_words.as_str()),
        ("revoked", AckLevel::ReadBack, "read back")
    );
    assert!(door.latency_ms >= Some(0) && second.exposure.len() == 2, "token and passcodes: {second:?}");
    let issued: Vec<ReceiptIssued> = world.facts().await;
    let said: Vec<_> =
        issued.iter().map(|fact| (fact.revision, fact.complete, fact.proven, fact.doors)).collect();
    assert_eq!(said, [(1, false, 0, 1), (2, true, 1, 1)]);
}

async fn a_receipt_says_what_it_rests_on(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let receipt = world.receipt(user).await.unwrap();
    assert_eq!(
        (receipt.document.as_str(), receipt.v, receipt.issuer.as_str()),
        ("cardea-receipt", 1, ISSUER)
    );
    assert_eq!(
        (receipt.user, receipt.cause.kind.as_str(), receipt.cause.actor.as_str()),
        (user, "user.deactivated", "system")
    );
    assert_eq!(receipt.ended_at_commit.credentials, [card.id]);
    let door = &receipt.doors[0];
    assert_eq!((door.connector.as_str(), door.revocation_class.as_str()), ("uhppote", "R1"));
    let tested = "contract-tested against PyPI uhppoted 0.9.1.1 and our simulator; not device-tested";
    assert_eq!(door.tested_against, tested);
    assert!(receipt.exposure[0].until > receipt.cause.at, "a token that nobody asks about");
}

async fn a_receipt_names_nobody(world: World) {
    // A name that no id spells: those are hexadecimal.
    let (user, _) = world.carded("mira", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    let said = serde_json::to_string(&world.receipt(user).await.unwrap()).unwrap();
    for personal in ["mira", "person", "example.org\"", "@", "Grounds"] {
        let found = said.replace(ISSUER, "").contains(personal);
        assert!(!found, "{personal} in {said}");
    }
}

async fn a_receipt_verifies_against_the_published_keys_and_nothing_else_does(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let document = bridge::receipt::latest(world.db(), user).await.unwrap().unwrap().document;
    let jwks = world.node.keys.evidence_jwks();
    assert!(verify_evidence(Evidence::Receipt, &document, &jwks.bytes).is_ok());
    let pending: (String,) = world
        .one(sql!(
            "SELECT document FROM receipt WHERE revision = 1 OR revision = 2 ORDER BY revision LIMIT 1"
        ))
        .await;
    let (_, signature) = pending.0.rsplit_once('.').unwrap();
    let (said, own) = document.rsplit_once('.').unwrap();
    let forged = if signature == own { format!("{said}x.{own}") } else { format!("{said}.{signature}") };
    assert!(verify_evidence(Evidence::Receipt, &forged, &jwks.bytes).is_err());
    let unknown = verify_evidence(Evidence::Receipt, &document, br#"{"keys": []}"#);
    assert_eq!(unknown, Err(VerifyError::UnknownSigner));
    assert_eq!(verify_evidence(Evidence::Checkpoint, &document, &jwks.bytes), Err(VerifyError::Bad));
}

async fn who_had_no_credential_gets_a_complete_receipt_at_once(world: World) {
    let user = world.hire("ada", "Office at home").await;
    world.settle().await;
    world.set_active(user, false).await;
    world.settle().await;
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.complete && receipt.doors.is_empty() && receipt.revision == 1, "{receipt:?}");
    let issued: Vec<ReceiptIssued> = world.facts().await;
    assert_eq!((issued.len(), issued[0].level, issued[0].doors), (1, None, 0));
}

async fn nothing_new_makes_no_new_edition(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let before = world.receipt(user).await.unwrap();
    look_again(&world, user).await;
    assert_eq!(world.node.drain_receipts().await, 1);
    assert_eq!(world.receipt(user).await.unwrap(), before);
}

async fn look_again(world: &World, user: kernel::id::UserId) {
    let address = store::Address::reconcile(bridge::receipt::SINK, user.subject());
    let fact = kernel::id::FactId::new(world.db().ctx());
    crate::world::in_tx(world.db(), async |tx| {
        delivery::hint(tx, address, fact);
        Ok(())
    })
    .await;
}

/// Both nodes hold a claim of the same row, as after a lease that ran out, and both have something to say.
async fn editions_that_two_nodes_sign_at_once_are_numbered_one_after_the_other(world: World) {
    let other = world.another_node().await;
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    let lease = Duration::from_secs(30);
    let mut claims = delivery::claim(world.db(), bridge::receipt::SINK, lease, 1, false).await.unwrap();
    world.node.drain_door().await;
    world.pass(Duration::from_secs(31));
    claims.extend(delivery::claim(world.db(), bridge::receipt::SINK, lease, 1, false).await.unwrap());
    assert_eq!(claims.len(), 2);
    for _ in 0..2 {
        let (ours, theirs) = (world.node.receipts(), other.receipts());
        let (ours, theirs) = tokio::join!(ours.deliver(&claims[0]), theirs.deliver(&claims[1]));
        assert!(ours.is_ok() && theirs.is_ok(), "{ours:?} {theirs:?}");
    }
    world.settle().await;
    let editions: Vec<(i64,)> = world
        .db()
        .all(sql!("SELECT revision FROM receipt WHERE user_id = $1 ORDER BY revision"), (user,))
        .await
        .unwrap();
    let numbers: Vec<i64> = editions.into_iter().map(|(revision,)| revision).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    assert!(world.receipt(user).await.unwrap().complete);
}

async fn who_came_back_gets_no_further_edition_of_the_old_end(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let before = world.receipt(user).await.unwrap();
    world.set_active(user, true).await;
    world.settle().await;
    assert_eq!(world.receipt(user).await.unwrap(), before);
}

async fn every_end_has_a_receipt_of_its_own(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    let mut causes = Vec::new();
    for _ in 0..2 {
        world.pass(Duration::from_secs(1));
        world.set_active(user, false).await;
        world.settle().await;
        let receipt = world.receipt(user).await.unwrap();
        assert!(receipt.complete);
        causes.push(receipt.cause.fact);
        world.pass(Duration::from_secs(1));
        world.set_active(user, true).await;
        world.settle().await;
    }
    causes.dedup();
    assert_eq!(causes.len(), 2);
}

async fn an_end_that_the_clock_puts_before_the_return_has_a_receipt_as_well(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let first = world.receipt(user).await.unwrap();
    let ahead = Duration::from_secs(3_600);
    world.pass(ahead);
    let returned = world.db().ctx().now();
    world.set_active(user, true).await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    world.set_back(ahead);
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let second = world.receipt(user).await.unwrap();
    assert!(second.complete && second.cause.fact != first.cause.fact, "{second:?}");
    assert!(second.cause.at < returned.to_string(), "the return is the later fact: {second:?}");
}

async fn every_card_and_every_door_is_named(world: World) {
    let (user, first) = world.carded("ada", "Grounds").await;
    // The first card was lost: it is revoked, and another one is handed out.
    let seen = first.clone();
    crate::world::in_tx(world.db(), async |tx| {
        let ended = directory::credential::end(tx, &seen, directory::credential::State::Revoked, None).await;
        ended.map_err(|error| store::StoreError::Inconsistent(error.to_string()))?;
        let address = store::Address::reconcile(bridge::entitlement::SINK, user.subject());
        let fact = kernel::id::FactId::new(tx.ctx());
        delivery::hint(tx, address, fact);
        Ok(())
    })
    .await;
    world.settle().await;
    assert_eq!(world.cards(user).await.len(), 2);
    assert_eq!(world.opens(&first), None);
    world.set_active(user, false).await;
    world.settle().await;
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.complete);
    let mut doors: Vec<_> =
        receipt.doors.iter().map(|door| (door.credential.clone(), door.access_point.clone())).collect();
    doors.sort();
    let mut expect: Vec<_> = world
        .cards(user)
        .await
        .iter()
        .flat_map(|card| ["main", "yard"].map(|point| (card.id.to_string(), point.to_owned())))
        .collect();
    expect.sort();
    assert_eq!(doors, expect);
}

/// The fact that ended the access was erased before its receipt was signed.
async fn what_is_not_known_any_more_is_never_signed_as_nothing(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    let erase = sql!("UPDATE fact SET body = NULL, salt = NULL WHERE kind = 'user.deactivated'");
    world.db().change(store::Origin::system(), erase, (), vec![]).await.unwrap();
    world.settle().await;
    assert!(world.receipt(user).await.is_none());
    let open = bridge::alert::open_of_kind(world.db(), bridge::alert::NO_RECEIPT).await.unwrap();
    assert_eq!(
        open.iter().map(|alert| alert.subject.clone()).collect::<Vec<_>>(),
        [user.subject().to_string()]
    );
}

/// A door that was out of reach for longer than bodies are kept.
async fn what_was_signed_once_is_said_again_when_the_body_of_the_fact_is_erased(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.node.drain_receipts().await;
    assert!(!world.receipt(user).await.unwrap().complete);
    let erase = sql!("UPDATE fact SET body = NULL, salt = NULL WHERE kind = 'user.deactivated'");
    world.db().change(store::Origin::system(), erase, (), vec![]).await.unwrap();
    world.settle().await;
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.complete && receipt.ended_at_commit.credentials == [card.id], "{receipt:?}");
    assert!(bridge::alert::open_of_kind(world.db(), bridge::alert::NO_RECEIPT).await.unwrap().is_empty());
}

async fn a_receipt_says_what_was_tested_although_the_door_system_cannot_be_opened(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    let broken = serde_json::json!({"connector": "uhppote", "config": {"controllers": []}});
    world.declare(directory::declared::Item::new(directory::declared::Kind::DoorSystem, "hq", broken)).await;
    world.reload().await;
    world.set_active(user, false).await;
    world.node.drain_receipts().await;
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.doors[0].tested_against.ends_with("not device-tested"), "{receipt:?}");
}

async fn the_journal_holds_the_digest_of_each_edition(world: World) {
    use base64::Engine as _;
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let document = bridge::receipt::latest(world.db(), user).await.unwrap().unwrap().document;
    let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(kernel::sha256(document.as_bytes()));
    let issued: Vec<ReceiptIssued> = world.facts().await;
    assert_eq!(issued.last().unwrap().digest, digest);
}
