//! A leaver does not wait for five hundred joiners.

use sim::uhppote::Misbehaviour;
use std::time::Duration;

use crate::world::{World, number, until};

on_every_engine! {
    a_revocation_overtakes_five_hundred_grants_at_a_slow_controller,
    a_revocation_reaches_the_door_while_somebody_else_is_writing,
}

const PUT: u8 = 0x50;
const DELETE: u8 = 0x52;

async fn a_revocation_overtakes_five_hundred_grants_at_a_slow_controller(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    for n in 0..500 {
        world.hire(&format!("joiner{n}"), "Staff").await;
    }
    world.node.drain_entitlement().await;
    let waiting: (i64,) = world
        .one(store::sql!("SELECT COUNT(*) FROM delivery WHERE sink = 'door:hq' AND due_at IS NOT NULL"))
        .await;
    assert_eq!(waiting.0, 500);
    for panel in &world.panels {
        panel.forget_requests();
        panel.misbehave(Misbehaviour::Slow(Duration::from_millis(10)));
    }
    let working = world.node.run();
    until("grants are under way", || async {
        let puts = world.panels[0].requests().iter().filter(|seen| seen.operation == PUT).count();
        (puts >= 3).then_some(())
    })
    .await;
    let before = world.panels[0].requests().len();
    world.set_active(user, false).await;
    until("the revocation is proven", || async {
        world.placement(&card).await.is_proven_absent().then_some(())
    })
    .await;
    let requests = world.panels[0].requests();
    let deleted =
        requests.iter().position(|seen| seen.operation == DELETE && seen.card == Some(number(&card)));
    let overtaken = requests[before..deleted.unwrap()].iter().filter(|seen| seen.operation == PUT).count();
    // Those that were under way at that moment, and no more: one at a time goes over the wire, and each of the
    // lane's places holds one.
    assert!(overtaken <= 12, "{overtaken} grants went first");
    let (granted,): (i64,) =
        world.one(store::sql!("SELECT COUNT(*) FROM placement WHERE wanted = 'present' AND ack >= 2")).await;
    assert!(granted < 250, "{granted} of 500 grants were done before");
    working.stop().await;
}

/// Nothing is written before a card is taken off: on SQLite whoever writes holds the only writer, on PostgreSQL this
/// one holds the row in which the proof is noted.
async fn a_revocation_reaches_the_door_while_somebody_else_is_writing(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    let mut writing = world.db().write(store::Origin::system()).await.unwrap();
    let sql = store::sql!("UPDATE placement SET points = points");
    writing.run(sql, ()).await.unwrap();
    let working = world.node.run();
    until("the card is off the list", || async { world.opens(&card).is_none().then_some(()) }).await;
    assert!(!world.placement(&card).await.is_proven_absent(), "it cannot have been noted yet");
    writing.refuse().await.unwrap();
    until("it is noted", || async { world.placement(&card).await.is_proven_absent().then_some(()) }).await;
    working.stop().await;
}
