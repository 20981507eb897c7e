//! One life: hired, carded, moved, gone, back, gone for good.

use bridge::connector::AckLevel;
use bridge::facts::PlacementProven;

use crate::world::{World, number};

on_every_engine! {
    a_card_comes_to_the_doors_that_policy_says,
    a_leaver_is_on_no_list_and_it_is_proven,
    who_comes_back_has_the_same_card_and_it_is_proven_anew,
    gone_back_and_gone_again_quickly_ends_gone_and_proven_for_the_last_time,
    back_and_gone_between_two_looks_is_proven_for_the_second_end,
    a_deletion_revokes_for_good_and_is_proven_for_itself,
    who_moves_loses_the_old_doors_and_gains_the_new_ones_with_the_same_card,
    who_moves_to_nothing_is_on_no_list_and_keeps_the_card,
    looking_again_leaves_the_first_proof_as_it_stands,
    a_card_that_was_never_put_anywhere_has_nothing_to_be_taken_off,
}

async fn a_card_comes_to_the_doors_that_policy_says(world: World) {
    let (_, staff) = world.carded("ada", "Staff").await;
    let (_, grounds) = world.carded("bo", "Grounds").await;
    assert_eq!(world.opens(&staff), Some(vec!["main"]));
    assert_eq!(world.opens(&grounds), Some(vec!["main", "yard"]));
    let placed = world.placement(&grounds).await;
    assert_eq!((placed.wanted.as_str(), placed.level(), placed.attempts), ("present", AckLevel::ReadBack, 1));
    let points: Vec<String> = placed.points().keys().map(ToString::to_string).collect();
    assert_eq!(points, ["main", "yard"]);
    let proven: Vec<PlacementProven> = world.facts().await;
    assert_eq!(proven.len(), 2);
    assert!(proven.iter().all(|fact| fact.wanted == "present" && fact.missing.is_empty()), "{proven:?}");
    assert!(
        world.panels[0].swipe(number(&grounds), 1).granted
            && world.panels[1].swipe(number(&grounds), 1).granted
    );
}

async fn a_leaver_is_on_no_list_and_it_is_proven(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let placed = world.placement(&card).await;
    assert!(placed.is_proven_absent());
    assert!(placed.requested_at <= placed.sent_at.unwrap(), "{placed:?}");
    assert!(placed.sent_at <= placed.accepted_at && placed.accepted_at <= placed.read_back_at, "{placed:?}");
    let points: Vec<String> = placed.points().keys().map(ToString::to_string).collect();
    assert_eq!(points, ["main", "yard"], "the doors that it opened");
    assert!(!world.panels[0].swipe(number(&card), 1).granted);
}

async fn who_comes_back_has_the_same_card_and_it_is_proven_anew(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    world.set_active(user, true).await;
    world.settle().await;
    let back = world.card(user).await;
    assert_eq!((back.id, back.number, back.state.as_str()), (card.id, card.number, "active"));
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    let placed = world.placement(&card).await;
    assert_eq!((placed.wanted.as_str(), placed.level()), ("present", AckLevel::ReadBack));
}

async fn gone_back_and_gone_again_quickly_ends_gone_and_proven_for_the_last_time(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    for active in [false, true, false] {
        world.set_active(user, active).await;
    }
    let last_end = world.db().ctx().now();
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    assert_eq!(world.card(user).await.state, "suspended");
    let placed = world.placement(&card).await;
    assert!(placed.is_proven_absent() && placed.read_back_at.unwrap() >= last_end, "{placed:?}");
    assert!(world.receipt(user).await.unwrap().complete);
}

/// The door is seen absent for the first end, and not looked at before the second. What was proven before an
/// end proves nothing about it.
async fn back_and_gone_between_two_looks_is_proven_for_the_second_end(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let first = world.placement(&card).await;
    world.pass(std::time::Duration::from_secs(60));
    world.set_active(user, true).await;
    world.node.drain_entitlement().await;
    assert_eq!(world.card(user).await.state, "active");
    world.set_active(user, false).await;
    world.node.drain_receipts().await;
    let pending = world.receipt(user).await.unwrap();
    assert!(!pending.complete && pending.doors[0].read_back_at.is_none(), "{pending:?}");
    world.settle().await;
    let second = world.placement(&card).await;
    assert!(second.is_proven_absent() && second.credential_version > first.credential_version);
    assert!(second.requested_at > first.read_back_at.unwrap(), "{second:?}");
    let receipt = world.receipt(user).await.unwrap();
    assert!(
        receipt.complete && receipt.doors[0].read_back_at > Some(receipt.cause.at.clone()),
        "{receipt:?}"
    );
}

async fn a_deletion_revokes_for_good_and_is_proven_for_itself(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let suspended = world.receipt(user).await.unwrap();
    world.pass(std::time::Duration::from_secs(60));
    world.delete(user).await;
    world.settle().await;
    assert_eq!(world.card(user).await.state, "revoked");
    assert_eq!(world.opens(&card), None);
    let deleted = world.receipt(user).await.unwrap();
    assert_eq!(
        (suspended.cause.kind.as_str(), deleted.cause.kind.as_str()),
        ("user.deactivated", "user.deleted")
    );
    assert!(
        deleted.complete && deleted.doors[0].read_back_at > suspended.doors[0].read_back_at,
        "{deleted:?}"
    );
}

async fn who_moves_loses_the_old_doors_and_gains_the_new_ones_with_the_same_card(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.move_to(user, "Research").await;
    world.settle().await;
    assert_eq!(world.card(user).await.id, card.id);
    assert_eq!(world.opens(&card), Some(vec!["lab"]));
    let placed = world.placement(&card).await;
    assert_eq!((placed.wanted.as_str(), placed.level()), ("present", AckLevel::ReadBack));
    assert!(world.receipt(user).await.is_none(), "nobody's access ended");
}

async fn who_moves_to_nothing_is_on_no_list_and_keeps_the_card(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.move_to(user, "Somewhere else").await;
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    assert_eq!(world.card(user).await.state, "active");
    assert!(world.placement(&card).await.is_proven_absent());
    world.move_to(user, "Staff").await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
}

async fn looking_again_leaves_the_first_proof_as_it_stands(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let (first, facts) = (world.placement(&card).await, world.facts::<PlacementProven>().await.len());
    world.pass(std::time::Duration::from_secs(60));
    world.panels[0].forget_requests();
    look_again(&world, &card).await;
    world.settle().await;
    assert_eq!(world.placement(&card).await, first);
    assert_eq!(world.facts::<PlacementProven>().await.len(), facts);
    let asked: Vec<u8> = world.panels[0].requests().iter().map(|seen| seen.operation).collect();
    assert_eq!(asked, [0x5a], "it was read, and nothing was written");
}

/// A hint without any change.
async fn look_again(world: &World, card: &directory::credential::Credential) {
    let address =
        store::Address::reconcile(bridge::placement::sink_name(crate::world::HQ), card.id.subject());
    let fact = kernel::id::FactId::new(world.db().ctx());
    crate::world::in_tx(world.db(), async |tx| {
        store::delivery::hint(tx, address, fact);
        Ok(())
    })
    .await;
}

async fn a_card_that_was_never_put_anywhere_has_nothing_to_be_taken_off(world: World) {
    let user = world.hire("ada", "Staff").await;
    world.node.drain_entitlement().await;
    let card = world.card(user).await;
    world.set_active(user, false).await;
    world.settle().await;
    assert!(world.placed(&card).await.is_none());
    assert!(world.panels.iter().all(|panel| panel.requests().is_empty()));
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.complete && receipt.doors.is_empty());
}
