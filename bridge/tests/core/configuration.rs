//! What an administrator changes reaches everybody whom it concerns, and nobody else.

use std::sync::Arc;

use bridge::configuration::{SINK, look_again};
use directory::declared::Kind;
use kernel::id::FactId;
use policy::{BASELINE, Policies};
use store::{Address, delivery, sql};

use crate::world::{World, access_profile, door_system, in_tx, until};

on_every_engine! {
    a_door_that_leaves_a_profile_is_lost_and_overtakes,
    a_door_that_joins_a_profile_is_gained_by_those_who_hold_it,
    a_profile_that_is_deleted_is_lost_by_all,
    a_change_that_concerns_nobodys_doors_bothers_no_door,
    policies_that_come_into_force_later_are_asked_again,
    what_waits_for_a_door_system_that_is_gone_is_forgotten,
}

/// What waits for the doors: how many, and how many of them overtake.
async fn waiting(world: &World) -> (i64, i64) {
    world
        .one(sql!(
            "SELECT COUNT(*), COUNT(*) FILTER (WHERE priority = 1) FROM delivery \
             WHERE sink = 'door:hq' AND due_at IS NOT NULL"
        ))
        .await
}

/// As one records who has not heard that the door system is gone.
async fn what_waits_for_a_door_system_that_is_gone_is_forgotten(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    in_tx(world.db(), async |tx| {
        for lane in ["door:gone", "door:hq", "doors"] {
            let address = Address::reconcile(lane, card.id.subject()).revoking(true);
            delivery::hint(tx, address, FactId::new(tx.ctx()));
        }
        Ok(())
    })
    .await;
    world.set_active(user, false).await;
    // A process that starts, and so does not know what has gone.
    world.another_node().await.systems.forget_gone(world.db()).await.unwrap();
    let (waits,): (String,) = world
        .one(sql!("SELECT COALESCE(MIN(sink) || ' ' || MAX(sink), '') FROM delivery WHERE sink LIKE 'door%'"))
        .await;
    assert_eq!(waits, "door:hq doors", "what has a lane, and what is no door system's, stays");
}

async fn look(world: &World) {
    let configuration = Arc::new(bridge::configuration::Configuration::new(world.db().clone()));
    assert_eq!(world.node.drain(SINK, configuration).await, 1);
}

async fn a_door_that_leaves_a_profile_is_lost_and_overtakes(world: World) {
    let (_, ada) = world.carded("ada", "Grounds").await;
    let (_, bo) = world.carded("bo", "Research").await;
    world.declare(access_profile("grounds", &["lab"])).await;
    look(&world).await;
    assert_eq!(waiting(&world).await, (1, 1), "only who loses a door");
    world.settle().await;
    assert_eq!(world.opens(&ada), Some(vec!["main", "lab"]));
    assert_eq!(world.opens(&bo), Some(vec!["lab"]));
}

async fn a_door_that_joins_a_profile_is_gained_by_those_who_hold_it(world: World) {
    let (_, ada) = world.carded("ada", "Staff").await;
    let (_, bo) = world.carded("bo", "Research").await;
    world.declare(access_profile("staff", &["main", "yard"])).await;
    look(&world).await;
    assert_eq!(waiting(&world).await, (1, 0));
    world.settle().await;
    assert_eq!(world.opens(&ada), Some(vec!["main", "yard"]));
    assert_eq!(world.opens(&bo), Some(vec!["lab"]));
}

async fn a_profile_that_is_deleted_is_lost_by_all(world: World) {
    let (_, ada) = world.carded("ada", "Grounds").await;
    world.undeclare(Kind::AccessProfile, "staff").await;
    world.settle().await;
    assert_eq!(world.opens(&ada), Some(vec!["yard"]));
}

async fn a_change_that_concerns_nobodys_doors_bothers_no_door(world: World) {
    world.carded("ada", "Grounds").await;
    let (user, _) = world.carded("bo", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    world.panels.iter().for_each(sim::uhppote::Controller::forget_requests);
    world.declare(door_system(&world.panels, &serde_json::json!({"attempts": 3}))).await;
    world.settle().await;
    assert!(world.panels.iter().all(|panel| panel.requests().is_empty()));
}

/// A change is recorded before any node has loaded what it says.
async fn policies_that_come_into_force_later_are_asked_again(world: World) {
    let (_, ada) = world.carded("ada", "Staff").await;
    let nobody = Arc::new(Policies::parse(&[BASELINE]).unwrap());
    look_again(world.db()).await.unwrap();
    world.settle().await;
    assert_eq!(world.opens(&ada), Some(vec!["main"]), "decided by the policies in force");
    let working = world.node.run();
    world.node.policies.send_replace(nobody);
    until("nobody holds anything", || async { world.opens(&ada).is_none().then_some(()) }).await;
    working.stop().await;
}
