//! A door system that cannot be reached, and what people do meanwhile: with the binary, beside a house that serves.

use serde_json::{Value, json};
use sim::uhppote::Misbehaviour;
use world::{Served, parts, skip, until};

use crate::steps::{Employee, card_gone, hire_at};

async fn tasks(house: &Served) -> Vec<Value> {
    let said = house.must(&["task", "list", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    said["tasks"].as_array().unwrap().clone()
}

/// The latest receipt, once it says so.
async fn receipt(house: &Served, id: &str, says: impl Fn(&Value) -> bool) -> Value {
    until("a receipt that says so", async || {
        let said = house.cardea(&["receipt", "show", id]).await;
        serde_json::from_str(&said.out).ok().filter(&says)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaver_at_a_silent_controller_is_a_task_at_once_and_who_takes_the_risk_stands_in_the_receipt() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    assert_eq!(tasks(&house).await, Vec::<Value>::new());

    house.controller.misbehave(Misbehaviour::Silent);
    house.hr().end_employment(&id).await.unwrap();
    // The control room is of class 3: nobody waits for five minutes.
    let task = until("a task", async || tasks(&house).await.pop()).await;
    assert_eq!((&task["user"], &task["state"]), (&json!(id), &json!("open")));
    assert_eq!(task["doors"][0]["access_point"], "control-room-door");
    assert_eq!(task["proposed"][0], "put a guard at control-room-door");
    let shown = house.must(&["task", "list"]).await;
    let line = shown.lines().find(|line| line.starts_with("OPEN ")).unwrap();
    let says = format!("of {user_name} at control-room-door [Control room, class 3] (headquarters)");
    assert!(line.contains(&says) && line.contains("until the panel can be reached again"), "{line}");
    assert!(shown.ends_with("1 open, 0 accepted\n"), "{shown}");

    let task = task["id"].as_str().unwrap();
    let accept = async |task: &str, who: &str, until: &str| {
        let because = ["--because", "the room is guarded"];
        house
            .cardea(&[&["task", "accept", task, "--who", who, "--until", until], &because[..]].concat())
            .await
    };
    for (task, who, until, code, says) in [
        ("0198c5a0-0000-7000-8000-000000000000", "Jo Field", "1h", 1, "there is no task"),
        ("7", "Jo Field", "1h", 64, "not a task id"),
        (task, " ", "1h", 64, "say who accepts the risk"),
        (task, "Jo Field", "2020-01-01", 64, "is not to come"),
        (task, "Jo Field", "91d", 64, "90 days at most"),
        (task, "Jo Field", "soon", 64, "for so long from now"),
    ] {
        let said = accept(task, who, until).await;
        assert_eq!(said.code, Some(code), "{who} until {until}: {said:?}");
        assert!(said.err.contains(says), "{who} until {until}: {said:?}");
    }
    let nobody = house.cardea(&["task", "accept", task, "--because", "x", "--until", "1h"]).await;
    assert_eq!(nobody.code, Some(64), "nobody accepts a risk without a name: {nobody:?}");

    let said = accept(task, "Jo Field", "24h").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    house.must(&["task", "done", task, "--who", "Sam Reed", "--what", "stands before the door"]).await;
    assert_eq!(tasks(&house).await[0]["state"], "accepted");
    let exposed = house.cardea(&["exposure"]).await;
    assert_eq!(exposed.code, Some(1), "an accepted risk is one: {exposed:?}");
    assert!(exposed.out.contains("the risk is accepted by Jo Field until "), "{exposed:?}");
    let pending = receipt(&house, &id, |receipt| receipt["doors"][0]["task"]["done"].is_object()).await;
    let named = &pending["doors"][0]["task"];
    assert_eq!((&named["id"], &named["accepted"]["by"]), (&json!(task), &json!("Jo Field")));
    assert_eq!((&named["done"]["by"], &pending["complete"]), (&json!("Sam Reed"), &json!(false)));

    house.controller.behave();
    card_gone(&house.controller, card).await;
    until("no task", async || tasks(&house).await.is_empty().then_some(())).await;
    let proven = receipt(&house, &id, |receipt| receipt["complete"] == true).await;
    assert_eq!(
        (&proven["doors"][0]["status"], &proven["doors"][0]["task"]),
        (&json!("revoked"), &Value::Null)
    );
    let all = house.must(&["task", "list", "--all"]).await;
    assert!(all.lines().any(|line| line.starts_with("CLOSED") && line.contains(task)), "{all}");
    let late = accept(task, "Jo Field", "1h").await;
    assert!(late.code == Some(1) && late.err.contains("was closed at"), "{late:?}");
    let told = house.must(&["audit", "search", "--person", &id, "--kind", "task.", "--json"]).await;
    for kind in ["task.opened", "task.risk-accepted", "task.compensated", "task.closed"] {
        assert_eq!(told.matches(&format!("\"{kind}\"")).count(), 1, "{kind}: {told}");
    }
}
