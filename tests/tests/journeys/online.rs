//! A door system that asks us at each swipe, in a whole house: what opens is what we say at that moment, whatever
//! stands on the device's list.

use std::time::Duration;

use kernel::Ctx;
use serde_json::{Value, json};
use server::stage::{SUBSTATION, at_device, payload};
use sim::controlid::{Decided, Misbehaviour, event};
use store::{Db, Sinks};
use world::{Engines, Served, parts, skip, until, within};

use crate::catalogue::has_every_fact_of;
use crate::steps::{Employee, card_gone, hire_at};

/// A device that did not take the first telling is told again after 30 s.
const TOLD: Duration = Duration::from_secs(90);

/// Has the device at the substation ask, at a port that the house takes when it is served.
async fn declare_that_the_gate_asks(house: &Served) {
    let mut declaration = house.declaration();
    for (alone, online) in [
        ("login = \"cardea\"\n", "login = \"cardea\"\nmode = \"online\"\nlisten = \"127.0.0.1:0\"\n"),
        (
            "portals = { 1 = \"substation-gate\" }",
            "portals = { 1 = { name = \"substation-gate\", door = 1 } }",
        ),
    ] {
        assert!(declaration.contains(alone), "{alone:?} is not in {declaration}");
        declaration = declaration.replace(alone, online);
    }
    house.write("online.toml", &declaration);
    house.must(&["apply", "--yes", &house.path("online.toml")]).await;
}

/// Whether the device has taken the last of what makes it ask: that it must not decide while it cannot. A swipe would
/// tell as well, but each that we answer is a decision in the journal.
fn is_told_to_ask(house: &Served) -> bool {
    house.device.requests().iter().any(|seen| {
        let forbidden = seen.body["online_client"]["contingency_enabled"] == "0";
        seen.path == "/set_configuration.fcgi" && seen.status == 200 && forbidden
    })
}

/// What we have decided at the gate, oldest first, once it was so often.
async fn decisions(house: &Served, count: usize) -> Vec<Value> {
    let at_gate = ["audit", "search", "--door", "substation-gate", "--kind", "door.decided", "--json"];
    let mut found = until("what was decided in the journal", async || {
        let said = house.cardea(&at_gate).await;
        let facts: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (facts.len() >= count).then_some(facts)
    })
    .await;
    // Several may be recorded at one moment.
    found.sort_by_key(|fact| fact["body"]["at"].as_i64());
    found
}

async fn a_leaver_is_refused_by_us(engines: Engines) {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare_on(&binary, engines).await;
    declare_that_the_gate_asks(&house).await;
    house.serve().await;
    within(TOLD, "a gate that asks us", async || is_told_to_ask(&house).then_some(())).await;
    let Employee { id, card, .. } = hire_at(&house, "Mira").await;
    let number = at_device(card);
    until("the card on the gate's list", async || house.device.holds(number).then_some(())).await;
    let swipe = house.device.swipe(SUBSTATION, number).await;
    assert_eq!((swipe.opened, swipe.event, swipe.by), (true, event::GRANTED, Decided::Server));

    // Nothing reaches the device any more; what it asks still leaves.
    house.device.misbehave(Misbehaviour::Silent);
    house.hr().end_employment(&id).await.unwrap();
    let swipe = house.device.swipe(SUBSTATION, number).await;
    assert_eq!((swipe.opened, swipe.event, swipe.by), (false, event::DENIED, Decided::Server));
    assert!(house.device.holds(number), "its list has not heard of it");
    let decided = decisions(&house, 2).await;
    let said = decided.iter().map(|fact| {
        let body = &fact["body"];
        json!([body["user"], body["card"], body["granted"], body["because"], body["policies"]])
    });
    let written = format!("h10301:{}:{}", card / 100_000, card % 100_000);
    let granted = "An access profile that you hold opens this area.";
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            json!([id, written, true, [granted], ["enter"]]),
            json!([id, written, false, ["This card is suspended."], []]),
        ]
    );

    // Its list is put right all the same, and the receipt says at which door it is we who decide.
    house.device.behave();
    card_gone(&house.controller, card).await;
    until("the card off the gate's list", async || (!house.device.holds(number)).then_some(())).await;
    let receipt = until("a complete receipt", async || {
        let said = house.cardea(&["receipt", "show", &id, "--signed"]).await;
        payload(said.out.trim()).filter(|receipt| receipt["complete"] == true)
    })
    .await;
    let doors = receipt["doors"].as_array().unwrap().iter();
    let doors = doors.map(|door| json!([door["access_point"], door["revocation_class"], door["status"]]));
    assert_eq!(
        doors.collect::<Vec<_>>(),
        [json!(["control-room-door", "R1", "revoked"]), json!(["substation-gate", "R0", "revoked"])]
    );
    assert!(house.must(&["audit", "verify"]).await.contains(" 0 findings"));
    assert_eq!(house.stop().await, Some(0));
    let db = Db::open_existing(&house.database(), Ctx::system(), Sinks::default()).await.unwrap();
    has_every_fact_of(&db).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaver_is_refused_by_us_at_the_next_swipe_on_sqlite_and_memory() {
    a_leaver_is_refused_by_us(Engines::light()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaver_is_refused_by_us_at_the_next_swipe_on_postgres_and_redis() {
    let Some(engines) = Engines::heavy() else { skip!("{}", world::NO_ENGINES) };
    a_leaver_is_refused_by_us(engines).await;
}
