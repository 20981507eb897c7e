//! A process dies between two steps, or is late: nothing stays open, and nothing is called proven that is not.

use std::time::Duration;

use bridge::placement::sink_name;
use directory::credential::Credential;
use kernel::id::UserId;
use store::{Lane, Sink as _, SinkError, StoreError, delivery};

use crate::hand::{Hand, Stop};
use crate::world::{HQ, World};

on_every_engine! {
    dying_between_sending_and_noting_a_grant_leaves_a_row_that_a_leaver_finds,
    dying_between_sending_and_noting_a_grant_is_made_good_after_the_lease,
    dying_while_a_card_comes_back_does_not_leave_the_old_proof_standing,
    dying_between_sending_and_noting_a_revocation_is_made_good_after_the_lease,
    a_grant_that_was_overtaken_before_it_was_noted_is_never_sent,
}

/// A user whose card is issued, and not yet at any door.
async fn issued(world: &World) -> (UserId, Credential) {
    let user = world.hire("ada", "Staff").await;
    world.node.drain_entitlement().await;
    (user, world.card(user).await)
}

/// Works on what is due at the doors, and dies at a step.
async fn die_at(world: &World, stop: Stop) {
    let hand = Hand::on(world.node.connector(), stop);
    let (door, db) = (world.node.door_over(hand.clone()), world.db().clone());
    let working = tokio::spawn(async move { Lane::new(sink_name(HQ)).drain(&db, door).await });
    hand.reached().await;
    working.abort();
    assert!(working.await.expect_err("it died").is_cancelled());
}

async fn dying_between_sending_and_noting_a_grant_leaves_a_row_that_a_leaver_finds(world: World) {
    let (user, card) = issued(&world).await;
    die_at(&world, Stop::AfterApply).await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    assert!(!world.placement(&card).await.is_proven());
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    assert!(world.placement(&card).await.is_proven_absent());
    assert!(world.receipt(user).await.unwrap().complete);
}

async fn dying_between_sending_and_noting_a_grant_is_made_good_after_the_lease(world: World) {
    let (_, card) = issued(&world).await;
    die_at(&world, Stop::AfterApply).await;
    world.settle().await;
    assert!(!world.placement(&card).await.is_proven(), "the lease has not run out");
    world.pass(Duration::from_secs(31));
    world.settle().await;
    assert!(world.placement(&card).await.is_proven());
    assert_eq!(world.opens(&card), Some(vec!["main"]));
}

async fn dying_while_a_card_comes_back_does_not_leave_the_old_proof_standing(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let before = world.placement(&card).await;
    assert!(before.is_proven_absent());
    world.set_active(user, true).await;
    world.node.drain_entitlement().await;
    die_at(&world, Stop::AfterApply).await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    assert!(!world.placement(&card).await.is_proven_absent(), "it is on the list");
    world.pass(Duration::from_secs(1));
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let after = world.placement(&card).await;
    assert!(after.is_proven_absent() && after.read_back_at > before.read_back_at, "{after:?}");
}

async fn dying_between_sending_and_noting_a_revocation_is_made_good_after_the_lease(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    die_at(&world, Stop::AfterRevoke).await;
    assert_eq!(world.opens(&card), None);
    world.node.drain_receipts().await;
    assert!(!world.receipt(user).await.unwrap().complete, "nobody has read it back");
    world.pass(Duration::from_secs(31));
    world.settle().await;
    assert!(world.placement(&card).await.is_proven_absent());
    assert!(world.receipt(user).await.unwrap().complete);
}

/// All was read as it stood before the leaver left; then somebody else looked and found nothing to take off.
async fn a_grant_that_was_overtaken_before_it_was_noted_is_never_sent(world: World) {
    let (user, card) = issued(&world).await;
    let claimed =
        delivery::claim(world.db(), &sink_name(HQ), Duration::from_secs(30), 1, false).await.unwrap();
    let hand = Hand::on(world.node.connector(), Stop::Check);
    let door = world.node.door_over(hand.clone());
    let late = tokio::spawn(async move { door.deliver(&claimed[0]).await });
    hand.reached().await;
    world.set_active(user, false).await;
    world.settle().await;
    assert!(world.placed(&card).await.is_none());
    hand.go_on();
    assert!(matches!(late.await.unwrap(), Err(SinkError::Store(StoreError::Conflict))));
    assert!(world.placed(&card).await.is_none());
    assert!(world.panels.iter().all(|panel| panel.requests().is_empty()), "nothing was ever sent");
}
