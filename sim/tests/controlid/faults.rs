//! A device with something wrong, and what a client then sees.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sim::controlid::{Misbehaviour, event};

use crate::support::{Bench, CARD, DEVICE, eventually, read, wall};

/// How long to wait for what should never come.
const A_WHILE: Duration = Duration::from_millis(150);

fn destroy(card: i64) -> Value {
    json!({ "object": "cards", "where": { "cards": { "value": card } } })
}

fn everything() -> Value {
    json!({ "object": "cards" })
}

/// A device with somebody's card, and something wrong.
async fn with(misbehaviour: Misbehaviour) -> Bench {
    let bench = Bench::start().await;
    bench.person(CARD).await;
    bench.device.misbehave(misbehaviour);
    bench
}

#[tokio::test]
async fn a_wire_that_is_silent_or_cut_carries_no_request() {
    let cases = [(Misbehaviour::Silent, true, A_WHILE), (Misbehaviour::Cut, false, A_WHILE * 60)];
    for (misbehaviour, waits, patience) in cases {
        let bench = with(misbehaviour).await;
        let request = bench.request("destroy_objects").json(&destroy(CARD));
        let error = request.timeout(patience).send().await.unwrap_err();
        assert_eq!(error.is_timeout(), waits, "{misbehaviour:?}: {error}");
        assert_eq!(bench.device.swipe(1, CARD).await.event, event::GRANTED, "{misbehaviour:?}");
        bench.device.behave();
        assert_eq!(bench.revoke(CARD).await, json!({ "changes": 1 }), "{misbehaviour:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_or_spoilt_says_nothing_about_the_request() {
    let cases = [Misbehaviour::Garbage, Misbehaviour::Truncate, Misbehaviour::LoseAnswers(1)];
    for misbehaviour in cases {
        let bench = with(misbehaviour).await;
        let answer = bench.request("destroy_objects").json(&destroy(CARD)).send().await;
        match misbehaviour {
            Misbehaviour::LoseAnswers(_) => assert!(answer.is_err()),
            Misbehaviour::Truncate => assert!(answer.unwrap().text().await.is_err()),
            _ => assert!(serde_json::from_str::<Value>(&answer.unwrap().text().await.unwrap()).is_err()),
        }
        assert!(!bench.device.holds(CARD), "{misbehaviour:?}");
        if misbehaviour != Misbehaviour::LoseAnswers(1) {
            bench.device.behave();
        }
        assert_eq!(bench.revoke(CARD).await, json!({ "changes": 0 }), "{misbehaviour:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_server_is_not_carried_out() {
    let bench = with(Misbehaviour::ServerError).await;
    for command in ["login", "destroy_objects", "nonsense"] {
        assert_eq!(bench.post(command, &destroy(CARD)).await.0, 500, "{command}");
    }
    assert!(bench.device.holds(CARD));
}

#[tokio::test]
async fn a_slow_device_gets_there() {
    let bench = with(Misbehaviour::Slow(A_WHILE)).await;
    let start = Instant::now();
    assert_eq!(bench.revoke(CARD).await, json!({ "changes": 1 }));
    assert!(start.elapsed() >= A_WHILE);
}

#[tokio::test]
async fn a_card_that_is_made_late_is_made_although_nobody_waits_for_it() {
    let bench = with(Misbehaviour::LateCards(1, A_WHILE * 4)).await;
    let card = json!({ "object": "cards", "values": [{ "value": 5, "user_id": 1 }] });
    let request = bench.request("create_objects").json(&card).timeout(A_WHILE / 3);
    assert!(request.send().await.unwrap_err().is_timeout());
    assert_eq!(bench.revoke(5).await, json!({ "changes": 0 }), "nothing else waits, and it is not there yet");
    eventually("it is made", || bench.device.holds(5)).await;
    let other = json!({ "object": "cards", "values": [{ "value": 6, "user_id": 1 }] });
    bench.ask("create_objects", other).await;
}

#[tokio::test]
async fn a_device_that_forgot_its_sessions_takes_a_new_login() {
    let mut bench = with(Misbehaviour::ForgetSessions).await;
    assert_eq!(bench.post("load_objects", &everything()).await.0, 401);
    bench.log_in().await;
    assert_eq!(bench.load("cards", json!([])).await.len(), 1);
}

#[tokio::test]
async fn a_device_that_lies_says_that_it_did_what_it_did_not() {
    let bench = with(Misbehaviour::Lie).await;
    assert_eq!(bench.revoke(CARD).await, json!({ "changes": 1 }));
    let card = json!({ "object": "cards", "values": [{ "value": 5, "user_id": 1 }] });
    assert_eq!(bench.ask("create_objects", card).await, json!({ "ids": [2] }));
    assert_eq!(bench.device.cards(), [CARD]);
    let wrong = json!({ "object": "cards", "values": [{ "value": CARD, "user_id": 1 }] });
    assert_eq!(bench.post("create_objects", &wrong).await.0, 400, "what is wrong is still refused");
    bench.device.behave();
    bench.revoke(CARD).await;
    assert!(bench.device.cards().is_empty());
}

#[tokio::test]
async fn a_full_device_changes_and_destroys_but_takes_nothing_new() {
    let bench = with(Misbehaviour::Full).await;
    let new = json!({ "object": "cards", "values": [{ "value": 5, "user_id": 1 }] });
    for command in ["create_objects", "create_or_modify_objects"] {
        let (status, answer) = bench.post(command, &new).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some("Database is full")), "{command}");
    }
    let known = json!({ "object": "cards", "values": [{ "id": 1, "value": 5, "user_id": 1 }] });
    assert_eq!(bench.ask("create_or_modify_objects", known).await, json!({ "changes": 1 }));
    assert_eq!(bench.revoke(5).await, json!({ "changes": 1 }));
}

#[tokio::test]
async fn an_old_device_shows_more_than_was_asked_for() {
    let bench = with(Misbehaviour::IgnoreFilters).await;
    bench.person(CARD + 1).await;
    let one = json!({ "object": "cards", "limit": 1, "where": { "cards": { "value": CARD } } });
    let answer = bench.ask("load_objects", one).await;
    assert_eq!(answer["cards"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_device_without_its_clock_lives_in_1970_until_it_is_set() {
    let bench = with(Misbehaviour::LoseClock).await;
    assert_eq!(bench.ask("system_information", json!({})).await["time"], 0);
    let from_now = json!({ "object": "users", "values": { "begin_time": wall() } });
    bench.ask("modify_objects", from_now).await;
    assert_eq!(bench.device.swipe(1, CARD).await.event, event::DENIED);
    let noon = json!({ "day": 2, "month": 3, "year": 2026, "hour": 12, "minute": 0, "second": 0 });
    bench.ask("set_system_time", noon).await;
    assert_eq!(bench.device.swipe(1, CARD).await.event, event::GRANTED);
    let times: Vec<_> = bench.device.rows("access_logs").iter().map(|log| log["time"].as_i64()).collect();
    assert_eq!(times, [Some(0), Some(wall())]);
}

#[tokio::test]
async fn a_device_that_was_reset_knows_nobody_and_counts_anew() {
    let mut bench = Bench::start().await;
    bench.person(CARD).await;
    bench.ask("set_configuration", json!({ "general": { "online": "1" } })).await;
    bench.device.swipe(1, CARD).await;
    bench.device.misbehave(Misbehaviour::ForgetObjects);
    assert_eq!(bench.post("load_objects", &everything()).await.0, 401);
    bench.log_in().await;
    assert!(
        bench.load("cards", json!([])).await.is_empty()
            && bench.load("access_logs", json!([])).await.is_empty()
    );
    let general = bench.ask("get_configuration", json!({ "general": ["online"] })).await;
    assert_eq!(general, json!({ "general": { "online": "0" } }));
    let swipe = bench.device.swipe(1, CARD).await;
    assert_eq!((swipe.event, swipe.log), (event::NOT_IDENTIFIED, Some(1)));
}

#[tokio::test]
async fn another_device_says_so_everywhere() {
    let bench = with(Misbehaviour::OtherDevice(DEVICE + 1)).await;
    let expect = DEVICE + 1;
    let information = bench.ask("system_information", json!({})).await;
    assert_eq!(information["device_id"], expect.to_string());
    bench.device.swipe(1, CARD).await;
    assert_eq!(bench.load("access_logs", json!([])).await[0]["device_id"], expect);
}

#[tokio::test]
async fn a_device_that_is_gone_answers_nobody() {
    let bench = Bench::start().await;
    let url = bench.device.base_url().clone();
    let Bench { device, client, .. } = bench;
    assert_eq!(read(client.post(url.clone())).await.0, 404);
    drop(device);
    tokio::time::sleep(A_WHILE).await;
    assert!(client.post(url).send().await.is_err());
}
