//! Door systems come, change and go while everything works.

use bridge::placement::sink_name;
use directory::declared::{Item, Kind};
use serde_json::json;

use crate::world::{HQ, World, door_system, until};

on_every_engine! {
    a_door_system_that_changes_goes_on_with_its_new_configuration,
    a_door_system_that_cannot_be_opened_keeps_what_is_recorded_for_it,
    a_door_system_that_is_new_is_filled_with_those_who_are_entitled,
    what_was_changed_by_hand_while_nobody_worked_is_found_at_the_start,
    a_door_system_that_is_deleted_leaves_nothing_due,
    nothing_is_put_on_the_list_of_a_configuration_that_is_over,
}

async fn a_door_system_that_changes_goes_on_with_its_new_configuration(mut world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    let working = world.node.run();
    // Another controller takes the place of the first one, with an empty list.
    world.panels[0] = crate::world::panel(crate::world::SERIALS[0], &world.clock).await;
    world.declare(door_system(&world.panels, &json!({}))).await;
    until("the card is on the new controller", || async { world.opens(&card).map(drop) }).await;
    world.set_active(user, false).await;
    until("it is off again", || async { world.placement(&card).await.is_proven_absent().then_some(()) })
        .await;
    assert_eq!(world.opens(&card), None);
    working.stop().await;
}

async fn a_door_system_that_cannot_be_opened_keeps_what_is_recorded_for_it(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    let good = door_system(&world.panels, &json!({}));
    world
        .declare(Item::new(
            Kind::DoorSystem,
            HQ,
            json!({"connector": "uhppote", "config": {"controllers": []}}),
        ))
        .await;
    world.reload().await;
    assert!(world.node.systems.connector(HQ).is_none());
    world.set_active(user, false).await;
    let (priority,): (i64,) = world
        .db()
        .one(
            store::sql!(
                "SELECT priority FROM delivery WHERE sink = $1 AND subject = $2 AND due_at IS NOT NULL"
            ),
            (sink_name(HQ), card.id.subject()),
        )
        .await
        .unwrap();
    assert_eq!(priority, 1);
    world.declare(good).await;
    world.reload().await;
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    assert!(world.placement(&card).await.is_proven_absent());
}

async fn a_door_system_that_is_new_is_filled_with_those_who_are_entitled(world: World) {
    let (_, card) = world.carded("ada", "Staff").await;
    let annex = crate::world::panel(909_090, &world.clock).await;
    let config = json!({
        "controllers": [{"serial": 909_090, "address": annex.address().to_string(), "doors": {"1": "annex"}}],
    });
    let working = world.node.run();
    world
        .declare(Item::new(Kind::DoorSystem, "annex", json!({"connector": "uhppote", "config": config})))
        .await;
    world
        .declare(Item::new(Kind::AccessPoint, "annex", json!({"door_system": "annex", "area": "house"})))
        .await;
    world.declare(crate::world::access_profile("staff", &["main", "annex"])).await;
    until("the card is at the annex", || async { annex.cards().first().map(drop) }).await;
    assert_eq!(annex.cards()[0].number, crate::world::number(&card));
    working.stop().await;
}

async fn what_was_changed_by_hand_while_nobody_worked_is_found_at_the_start(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let first = world.placement(&card).await;
    assert!(world.panels[0].plant(crate::world::held(crate::world::number(&card), [1, 0, 0, 0])));
    let working = world.node.run();
    until("it is found, taken off and proven anew", || async {
        let placed = world.placement(&card).await;
        (placed.is_proven_absent() && placed.read_back_at > first.read_back_at).then_some(())
    })
    .await;
    assert_eq!(world.opens(&card), None);
    working.stop().await;
}

async fn a_door_system_that_is_deleted_leaves_nothing_due(world: World) {
    let annex = crate::world::panel(909_090, &world.clock).await;
    let config = json!({
        "controllers": [{"serial": 909_090, "address": annex.address().to_string(), "doors": {"1": "annex"}}],
    });
    world
        .declare(Item::new(Kind::DoorSystem, "annex", json!({"connector": "uhppote", "config": config})))
        .await;
    world.reload().await;
    world.carded("ada", "Staff").await;
    let due = || store::sql!("SELECT COUNT(*) FROM delivery WHERE sink = 'door:annex'");
    let (before,): (i64,) = world.one(due()).await;
    assert!(before > 0, "every door system hears of every card");
    world.undeclare(Kind::DoorSystem, "annex").await;
    world.reload().await;
    world.node.systems.forget_gone(world.db()).await.unwrap();
    let (after,): (i64,) = world.one(due()).await;
    assert_eq!(after, 0);
}

/// The lane of the configuration before finishes what it has claimed. What it would put now, nobody would take off.
async fn nothing_is_put_on_the_list_of_a_configuration_that_is_over(world: World) {
    world.hire("ada", "Staff").await;
    world.node.drain_entitlement().await;
    let systems = directory::door::systems(world.db()).await.unwrap();
    let connector = world.node.connector();
    let door =
        bridge::placement::Door::new(world.db().clone(), HQ, connector).as_configured(systems[0].version);
    world.declare(door_system(&world.panels, &json!({"attempts": 3}))).await;
    assert_eq!(world.node.drain(&sink_name(HQ), std::sync::Arc::new(door)).await, 1);
    assert!(world.panels.iter().all(|panel| panel.requests().is_empty()), "nothing was sent");
}
