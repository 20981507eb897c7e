//! What weakens our promise at a door is told, and receipts name it.

use std::sync::Arc;

use bridge::alert;
use bridge::condition::tell;
use bridge::connector::{Connector, Finding, SET_OTHERWISE_TOLD, STAYS_UNLOCKED, WAS_SET_OTHERWISE};
use bridge::facts::AlertOpened;
use serde_json::json;
use sim::uhppote::Misbehaviour;

use crate::asked::{DEVICE, GATE, Open};
use crate::world::{HQ, World, until};

on_every_engine! {
    a_door_that_stays_unlocked_is_told_and_closed_when_it_is_set_right,
    a_receipt_names_a_door_that_stays_unlocked_and_the_passcodes_that_nobody_can_read,
    a_part_that_does_not_answer_closes_nothing,
    that_a_device_was_set_otherwise_is_told_for_a_while_also_by_nodes_that_it_does_not_ask,
    a_running_house_looks_by_itself,
}

/// Sets door 1 of the first panel, as an installer would.
async fn set_main(world: &World, mode: u8) {
    let mut packet = [0_u8; 64];
    packet[..2].copy_from_slice(&[0x17, 0x80]);
    packet[4..8].copy_from_slice(&world.panels[0].serial().to_le_bytes());
    packet[8..11].copy_from_slice(&[1, mode, 5]);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&packet, world.panels[0].address()).await.unwrap();
    socket.recv(&mut packet).await.unwrap();
}

const UNLOCKED: u8 = 1;
const CONTROLLED: u8 = 3;

async fn look(world: &World) -> usize {
    tell(world.db(), HQ, &world.node.connector().health().await).await.unwrap()
}

async fn open(world: &World) -> Vec<(String, String)> {
    let open = alert::open_alerts(world.db()).await.unwrap();
    open.into_iter().map(|alert| (alert.kind, alert.subject)).collect()
}

async fn a_door_that_stays_unlocked_is_told_and_closed_when_it_is_set_right(world: World) {
    assert_eq!(look(&world).await, 0);
    set_main(&world, UNLOCKED).await;
    for _ in 0..2 {
        assert_eq!(look(&world).await, 1);
    }
    assert_eq!(open(&world).await, [(STAYS_UNLOCKED.to_owned(), "access_point:main".to_owned())]);
    let told: Vec<AlertOpened> = world.facts().await;
    assert_eq!(told.len(), 1);
    assert!(told[0].detail.contains("set to stay unlocked: no revocation shuts it"), "{told:?}");
    set_main(&world, CONTROLLED).await;
    look(&world).await;
    assert_eq!(open(&world).await, []);
}

async fn a_receipt_names_a_door_that_stays_unlocked_and_the_passcodes_that_nobody_can_read(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    set_main(&world, UNLOCKED).await;
    look(&world).await;
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let exposure: Vec<String> =
        world.receipt(user).await.unwrap().exposure.into_iter().map(|exposure| exposure.what).collect();
    assert_eq!(exposure.len(), 3, "{exposure:?}");
    assert_eq!(exposure[1], "main (hq) is set to stay unlocked: it opens for everybody");
    assert!(exposure[2].starts_with("a supervisor passcode at hq"), "{exposure:?}");
}

async fn a_part_that_does_not_answer_closes_nothing(world: World) {
    set_main(&world, UNLOCKED).await;
    look(&world).await;
    world.panels[0].misbehave(Misbehaviour::Silent);
    look(&world).await;
    assert_eq!(open(&world).await.len(), 1);
}

/// Has a node look, and says whether that one finds that the device was set otherwise.
async fn is_found(world: &World, connector: &Arc<dyn Connector>) -> bool {
    let health = connector.health().await;
    tell(world.db(), GATE, &health).await.unwrap();
    health.units[0].findings.contains(&Finding::WasSetOtherwise)
}

/// The devices of which it is told.
async fn set_otherwise(world: &World) -> Vec<String> {
    let open = alert::open_of_kind(world.db(), WAS_SET_OTHERWISE).await.unwrap();
    open.into_iter().map(|alert| alert.subject).collect()
}

async fn that_a_device_was_set_otherwise_is_told_for_a_while_also_by_nodes_that_it_does_not_ask(
    world: World,
) {
    let open = Open::new(&world).await;
    // Somebody has it decide alone while nobody looks, and another node takes over.
    open.attending.abort();
    open.gate.hand("set_configuration", json!({ "general": { "online": "0" } })).await;
    let other = world.another_node().await.systems.connector(GATE).unwrap();
    let attending = other.clone();
    tokio::spawn(async move { attending.attend().await });
    until("it is set right", || async { is_found(&world, &other).await.then_some(()) }).await;
    let device = [format!("door_unit:{GATE}/{DEVICE}")];
    assert_eq!(set_otherwise(&world).await, device);
    assert!(!is_found(&world, &open.connector).await, "it asks another node");
    assert_eq!(set_otherwise(&world).await, device);
    world.pass(SET_OTHERWISE_TOLD);
    assert!(!is_found(&world, &open.connector).await);
    assert_eq!(set_otherwise(&world).await, [""; 0]);
}

async fn a_running_house_looks_by_itself(world: World) {
    set_main(&world, UNLOCKED).await;
    let working = world.node.run();
    until("an alert", || async { (!open(&world).await.is_empty()).then_some(()) }).await;
    working.stop().await;
}
