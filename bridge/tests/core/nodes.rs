//! Two processes on one database, each with connectors of its own: no memory guards one against the other.

use std::time::Duration;

use bridge::facts::PlacementProven;
use bridge::placement::sink_name;
use store::Lane;

use crate::hand::{Hand, Stop};
use crate::world::{HQ, World};

on_every_engine! {
    a_grant_that_comes_late_from_another_node_is_taken_off_again_and_proven_anew,
    a_revocation_that_comes_late_does_not_write_over_a_newer_grant,
    both_nodes_read_the_same_events_and_each_is_recorded_once,
}

async fn a_grant_that_comes_late_from_another_node_is_taken_off_again_and_proven_anew(world: World) {
    let slow = world.another_node().await;
    let user = world.hire("ada", "Staff").await;
    world.node.drain_entitlement().await;
    let card = world.card(user).await;
    let hand = Hand::on(slow.connector(), Stop::BeforeApply);
    let late = tokio::spawn({
        let (door, db) = (slow.door_over(hand.clone()), slow.db.clone());
        async move { Lane::new(sink_name(HQ)).drain(&db, door).await }
    });
    hand.reached().await;
    world.set_active(user, false).await;
    world.settle().await;
    let first = world.placement(&card).await;
    assert!(first.is_proven_absent(), "what was intended was found and taken off");
    world.pass(Duration::from_secs(1));
    hand.go_on();
    late.await.unwrap().unwrap();
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let second = world.placement(&card).await;
    assert!(second.is_proven_absent() && second.read_back_at > first.read_back_at, "{second:?}");
    let proven: Vec<PlacementProven> = world.facts().await;
    assert!(proven.iter().all(|fact| fact.wanted == "absent"), "the late grant proves nothing: {proven:?}");
}

async fn a_revocation_that_comes_late_does_not_write_over_a_newer_grant(world: World) {
    let slow = world.another_node().await;
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    let hand = Hand::on(slow.connector(), Stop::AfterRevoke);
    let late = tokio::spawn({
        let (door, db) = (slow.door_over(hand.clone()), slow.db.clone());
        async move { Lane::new(sink_name(HQ)).drain(&db, door).await }
    });
    hand.reached().await;
    world.set_active(user, true).await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    hand.go_on();
    late.await.unwrap().unwrap();
    world.settle().await;
    let placed = world.placement(&card).await;
    assert!(placed.wanted == "present" && placed.is_proven(), "{placed:?}");
    assert_eq!(world.opens(&card), Some(vec!["main"]));
}

async fn both_nodes_read_the_same_events_and_each_is_recorded_once(world: World) {
    let other = world.another_node().await;
    let (_, card) = world.carded("ada", "Staff").await;
    for _ in 0..5 {
        assert!(world.panels[0].swipe(crate::world::number(&card), 1).granted);
    }
    let (ours, theirs) = (world.node.feed(), other.feed());
    let (ours, theirs) = tokio::join!(ours.read(), theirs.read());
    assert_eq!(ours.unwrap().recorded + theirs.unwrap().recorded, 5);
    assert_eq!(world.facts::<bridge::facts::DoorEventSeen>().await.len(), 5);
}
