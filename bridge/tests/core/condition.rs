//! What weakens our promise at a door is told, and receipts name it.

use std::sync::Arc;

use bridge::alert;
use bridge::condition::tell;
use bridge::connector::{Connector, Finding, SET_OTHERWISE_TOLD, STAYS_UNLOCKED, WAS_SET_OTHERWISE};
use bridge::facts::{AlertClosed, AlertOpened, DeviationFound};
use bridge::sweep::sweep;
use directory::declared::{Item, Kind};
use kernel::Subject;
use serde_json::json;
use sim::uhppote::Misbehaviour;

use crate::asked::{DEVICE, GATE, Open};
use crate::world::{HQ, SERIALS, World, door_system, held, panel, until};

on_every_engine! {
    a_door_that_stays_unlocked_is_told_and_closed_when_it_is_set_right,
    a_receipt_names_a_door_that_stays_unlocked_and_the_passcodes_that_nobody_can_read,
    a_part_that_does_not_answer_closes_nothing,
    that_a_device_was_set_otherwise_is_told_for_a_while_also_by_nodes_that_it_does_not_ask,
    what_is_told_of_a_door_system_ends_with_it_and_is_told_again_of_another_of_its_name,
    what_is_told_of_an_access_point_ends_with_it,
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

async fn what_is_told_of_a_door_system_ends_with_it_and_is_told_again_of_another_of_its_name(world: World) {
    let annex = panel(909_090, &world.clock).await;
    let config = json!({
        "controllers": [{"serial": 909_090, "address": annex.address().to_string(), "doors": {"1": "gate"}}],
    });
    let system = Item::new(Kind::DoorSystem, "annex", json!({"connector": "uhppote", "config": config}));
    assert!(annex.plant(held(4_200_001, [1, 0, 0, 0])));
    assert!(world.panels[0].plant(held(4_200_002, [1, 0, 0, 0])));
    world.sweep().await;
    let ours = (alert::ORPHAN.to_owned(), "card:hq/h10301:42:2".to_owned());
    for time in 1..=2 {
        world.declare(system.clone()).await;
        world.reload().await;
        let connector = world.node.systems.connector("annex").unwrap();
        assert_eq!(sweep(world.db(), "annex", &connector).await.unwrap().orphans, 1);
        let found: Vec<DeviationFound> = world.facts().await;
        let there = found.iter().filter(|found| found.door_system == "annex").count();
        assert_eq!(there, time, "it is news each time");
        for (kind, about, id) in [
            (alert::TOO_MANY_UNKNOWN, "door_system", "annex"),
            (alert::QUARANTINED, "card", "annex/h10301:42:3"),
            (alert::CANNOT_HOLD, "placement", "annex/somebody"),
            (STAYS_UNLOCKED, "access_point", "gate"),
            ("door-clock", "door_unit", "annex/909090"),
        ] {
            assert!(alert::open(world.db(), kind, &Subject::new(about, id), "a test").await.unwrap());
        }
        world.node.systems.forget_gone(world.db()).await.unwrap();
        assert_eq!(alert::open_count(world.db()).await.unwrap(), 7, "all of it is configured");
        world.undeclare(Kind::DoorSystem, "annex").await;
        world.reload().await;
        world.node.systems.forget_gone(world.db()).await.unwrap();
        assert_eq!(open(&world).await, std::slice::from_ref(&ours));
    }
    assert_eq!(world.facts::<AlertClosed>().await.len(), 12);
}

async fn what_is_told_of_an_access_point_ends_with_it(world: World) {
    for point in ["main", "lab"] {
        let about = Subject::new("access_point", point);
        assert!(alert::open(world.db(), STAYS_UNLOCKED, &about, "a test").await.unwrap());
    }
    world.node.systems.forget_gone(world.db()).await.unwrap();
    // Not declared any more, and still a door that the connector names.
    world.undeclare(Kind::AccessPoint, "lab").await;
    let [first, second] = [0, 1].map(|n| world.panels[n].address().to_string());
    let with = |doors: serde_json::Value| {
        let controllers = json!([
            {"serial": SERIALS[0], "address": first, "doors": doors},
            {"serial": SERIALS[1], "address": second, "doors": {"1": "yard"}},
        ]);
        door_system(&world.panels, &json!({ "controllers": controllers }))
    };
    let told_of = |point: &str| (STAYS_UNLOCKED.to_owned(), format!("access_point:{point}"));
    for (doors, told) in [
        (json!({"1": "main", "2": "lab", "3": "side"}), vec![told_of("lab"), told_of("main")]),
        (json!({"1": "main"}), vec![told_of("main")]),
    ] {
        world.declare(with(doors)).await;
        world.reload().await;
        world.node.systems.forget_gone(world.db()).await.unwrap();
        let mut open = open(&world).await;
        open.sort();
        assert_eq!(open, told);
    }
}

async fn a_running_house_looks_by_itself(world: World) {
    set_main(&world, UNLOCKED).await;
    let working = world.node.run();
    until("an alert", || async { (!open(&world).await.is_empty()).then_some(()) }).await;
    working.stop().await;
}
