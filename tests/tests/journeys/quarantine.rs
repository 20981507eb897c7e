//! A card of nobody, and what people decide about it: with the binary, beside a house that serves.

use serde_json::{Value, json};
use sim::uhppote::Card;
use world::{Served, parts, skip, until};

use crate::steps::{hire_at, holds};

/// As the controller knows it: h10301:42:1.
const STRANGER: u32 = 4_200_001;
const WRITTEN: &str = "h10301:42:1";

async fn cards(house: &Served, which: &[&str]) -> Vec<Value> {
    let said = house.must(&[&["quarantine", "list", "--json"][..], which].concat()).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["brakes"], json!([]));
    said["cards"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_of_nobody_is_taken_off_where_that_is_declared_and_tolerated_by_name() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let mira = hire_at(&house, "Mira").await;
    let hers = house.controller.cards().remove(0);
    assert!(house.controller.plant(Card { number: STRANGER, doors: [0, 1, 0, 0], ..hers }));

    // Declaring it opens the door system anew, and what is opened is swept at once.
    let quarantined = "connector = \"uhppote\"\nunknown_cards = \"quarantine\"\n";
    let declared = house.declaration().replace("connector = \"uhppote\"\n", quarantined);
    house.write("quarantine.toml", &declared);
    let said = house.must(&["apply", "--yes", &house.path("quarantine.toml")]).await;
    assert!(said.contains("unknown_cards: - → \"quarantine\""), "{said}");
    let card = until("it is proven to be off", async || {
        cards(&house, &[]).await.pop().filter(|card| card["state"] == "off")
    })
    .await;
    assert!(!holds(&house.controller, STRANGER) && holds(&house.controller, mira.card));
    assert_eq!((&card["card"], &card["door_system"]), (&json!(WRITTEN), &json!("headquarters")));
    assert_eq!(card["opened"], json!(["transformer-hall-door"]));
    let shown = house.must(&["quarantine", "list"]).await;
    let line = format!("OFF    {WRITTEN} at headquarters: opened transformer-hall-door; first found ");
    assert!(shown.starts_with(&line), "{shown}");
    house.must(&["exposure"]).await;

    let release = async |door_system: &str, card: &str, who: &str| {
        let because = "the lift engineer's";
        let which = ["quarantine", "release", door_system, card, "--who", who, "--because", because];
        house.cardea(&which).await
    };
    let hers = format!("h10301:{}:{}", mira.card / 100_000, mira.card % 100_000);
    for (door_system, card, who, code, says) in [
        ("headquarters", "h10301:42:7", "Jo Field", 1, "no card of nobody at headquarters"),
        ("nowhere", WRITTEN, "Jo Field", 1, "no card of nobody at nowhere"),
        ("headquarters", hers.as_str(), "Jo Field", 1, "is somebody's"),
        ("headquarters", "card 1", "Jo Field", 64, "not a card"),
        ("headquarters", WRITTEN, " ", 64, "say who tolerates the card"),
    ] {
        let said = release(door_system, card, who).await;
        assert_eq!(said.code, Some(code), "{card} at {door_system} by {who:?}: {said:?}");
        assert!(said.err.contains(says), "{card} at {door_system} by {who:?}: {said:?}");
    }
    let said = release("headquarters", WRITTEN, "Jo Field").await;
    assert!(said.code == Some(0) && said.out.contains("Nothing was put on a list"), "{said:?}");
    assert_eq!(release("headquarters", WRITTEN, "Jo Field").await.code, Some(1), "it is tolerated already");
    assert_eq!(cards(&house, &[]).await, Vec::<Value>::new());
    let all = cards(&house, &["--all"]).await;
    assert_eq!((&all[0]["state"], &all[0]["released"]["by"]), (&json!("tolerated"), &json!("Jo Field")));
    let exposed = house.must(&["exposure"]).await;
    let known = exposed.lines().find(|line| line.starts_with("KNOWN ")).unwrap();
    assert!(known.contains(WRITTEN) && known.contains("tolerated by Jo Field since "), "{known}");

    let back = ["quarantine", "take-back", "headquarters", WRITTEN, "--who", "Sam Reed"];
    house.must(&back).await;
    let twice = house.cardea(&back).await;
    assert!(twice.code == Some(1) && twice.err.contains("nothing to take back"), "{twice:?}");
    let confirm = ["quarantine", "confirm", "headquarters", "--who", "Jo Field"];
    let idle = house.cardea(&[&confirm[..], &["--found", "11"]].concat()).await;
    assert!(idle.code == Some(1) && idle.err.contains("nothing at headquarters waits"), "{idle:?}");
    let unseen = house.cardea(&confirm).await;
    assert!(unseen.code == Some(64) && unseen.err.contains("--found"), "{unseen:?}");
    let told = house.must(&["audit", "search", "--kind", "door.", "--json"]).await;
    for kind in ["door.card-quarantined", "door.quarantine-released", "door.quarantine-taken-back"] {
        assert_eq!(told.matches(&format!("\"{kind}\"")).count(), 1, "{kind}: {told}");
    }
}
