//! The process dies between HR's answer and the door; nothing is lost.

use std::time::Duration;

use server::stage::{CONTROL_ROOM, payload};
use sim::uhppote::Misbehaviour;
use world::{Served, parts, skip, until, within};

use crate::steps::{Employee, card_gone, hire_at, holds};

/// A claim of the dead process runs out after 30 s.
const LEASE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_survives_kill_9_at_once() {
    survives(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_survives_kill_9_while_it_is_tried() {
    survives(Duration::from_millis(400)).await;
}

/// The process is killed so long after HR was answered; an attempt at a silent controller takes 1.5 s.
async fn survives(after: Duration) {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, card, .. } = hire_at(&house, "Mira").await;

    house.controller.misbehave(Misbehaviour::Silent);
    house.hr().end_employment(&id).await.unwrap();
    tokio::time::sleep(after).await;
    house.kill().await;
    assert!(holds(&house.controller, card), "the door has heard nothing yet");
    assert!(house.controller.swipe(card, CONTROL_ROOM).granted);

    house.controller.behave();
    house.serve().await;
    within(LEASE, "the card absent from the controller", async || {
        (!holds(&house.controller, card)).then_some(())
    })
    .await;
    card_gone(&house.controller, card).await;
    assert!(!house.controller.swipe(card, CONTROL_ROOM).granted);
    let receipt = until("a complete receipt", async || {
        let said = house.cardea(&["receipt", "show", &id, "--signed"]).await;
        payload(said.out.trim()).filter(|receipt| receipt["complete"] == true)
    })
    .await;
    assert_eq!(receipt["cause"]["kind"], "user.deactivated");
    assert_eq!(receipt["doors"][0]["status"], "revoked");
    let said = house.must(&["audit", "verify"]).await;
    assert!(said.contains("0 findings"), "{said}");
    assert_eq!(house.stop().await, Some(0), "SIGTERM ends it well");
}
