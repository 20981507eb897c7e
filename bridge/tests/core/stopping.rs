//! A door system that is stopped or changed ends soon, whatever its events and sweeps are at.

use std::time::{Duration, Instant};

use sim::uhppote::Misbehaviour;

use crate::world::{World, door_system, held, until};

on_every_engine! {
    stopping_does_not_wait_for_a_sweep,
    a_revocation_does_not_wait_for_the_sweep_of_the_configuration_before,
}

/// A list that takes a minute to sweep.
async fn slow_list(world: &World) {
    for n in 0..600 {
        assert!(world.panels[1].plant(held(4_200_000 + n, [1, 0, 0, 0])));
    }
    world.panels[1].misbehave(Misbehaviour::DelayReplies(Duration::from_millis(100)));
}

async fn is_swept(world: &World) {
    let sweeps =
        |world: &World| world.panels[1].requests().iter().filter(|seen| seen.operation == 0x5c).count();
    until("a sweep has begun", || async { (sweeps(world) > 2).then_some(()) }).await;
}

async fn stopping_does_not_wait_for_a_sweep(world: World) {
    slow_list(&world).await;
    let working = world.node.run();
    is_swept(&world).await;
    let asked = Instant::now();
    working.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
}

async fn a_revocation_does_not_wait_for_the_sweep_of_the_configuration_before(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    slow_list(&world).await;
    let working = world.node.run();
    is_swept(&world).await;
    world.declare(door_system(&world.panels, &serde_json::json!({"attempts": 3}))).await;
    world.reload().await;
    let asked = Instant::now();
    world.set_active(user, false).await;
    until("the card is off", || async { world.opens(&card).is_none().then_some(()) }).await;
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    working.stop().await;
}
