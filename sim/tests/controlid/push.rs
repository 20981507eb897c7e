//! What the device tells its monitor.

use std::time::Duration;

use serde_json::json;
use sim::controlid::{Misbehaviour, event};

use crate::support::{Bench, CARD, DEVICE, Server, eventually, wall};

/// Tells the device where its monitor is.
async fn watch(bench: &Bench, monitor: &Server, alive_interval: &str) {
    let port = monitor.address.port().to_string();
    let monitor = json!({
        "hostname": "127.0.0.1", "port": port, "path": "secret/deep", "request_timeout": "5000",
        "alive_interval": alive_interval,
    });
    bench.ask("set_configuration", json!({ "monitor": monitor })).await;
}

#[tokio::test]
async fn the_monitor_hears_of_logs_and_cards_in_their_order_and_in_strings() {
    let (bench, monitor) = (Bench::start().await, Server::start().await);
    bench.person(CARD + 1).await;
    watch(&bench, &monitor, "0").await;
    let user = bench.person(CARD).await;
    bench.device.swipe(2, CARD).await;
    bench.revoke(CARD).await;
    bench.device.swipe(1, CARD).await;
    let heard = monitor.hears(4).await;
    assert!(heard.iter().all(|heard| heard.path == "/secret/deep/dao"), "{heard:?}");
    let bodies: Vec<_> = heard.iter().map(|heard| heard.json()).collect();
    assert!(bodies.iter().all(|body| body["device_id"] == json!(DEVICE)));
    let changes: Vec<_> = bodies.iter().map(|body| &body["object_changes"][0]).collect();
    let what = changes.iter().map(|change| (change["object"].as_str(), change["type"].as_str()));
    let (cards, logs) = (Some("cards"), Some("access_logs"));
    let expect = [(cards, "inserted"), (logs, "inserted"), (cards, "deleted"), (logs, "inserted")];
    assert_eq!(what.collect::<Vec<_>>(), expect.map(|(object, kind)| (object, Some(kind))));

    let check =
        |name: &str, expect: i64| assert_eq!(changes[1]["values"][name], expect.to_string(), "{name}");
    check("id", 1);
    check("event", event::GRANTED.into());
    check("user_id", user);
    check("portal_id", 2);
    check("card_value", CARD);
    check("time", wall());
    check("device_id", DEVICE);
    check("log_type_id", -1);
    assert_eq!(changes[3]["values"]["event"], event::NOT_IDENTIFIED.to_string());
    eventually("they are counted", || bench.device.counters().notified == 4).await;
}

#[tokio::test]
async fn signs_of_life_come_by_themselves_and_on_demand() {
    let (bench, monitor) = (Bench::start().await, Server::start().await);
    bench.device.report_alive().await;
    watch(&bench, &monitor, "0").await;
    bench.device.report_alive().await;
    let heard = monitor.heard();
    assert_eq!(heard.len(), 1, "without a monitor nobody hears anything");
    assert_eq!(heard[0].path, "/secret/deep/device_is_alive");
    assert_eq!(heard[0].json(), json!({ "access_logs": 0, "device_id": DEVICE, "time": wall() }));
    watch(&bench, &monitor, "20").await;
    monitor.hears(4).await;
}

#[tokio::test]
async fn what_the_monitor_does_not_take_does_not_come_again() {
    let (bench, monitor) = (Bench::start().await, Server::start().await);
    watch(&bench, &monitor, "0").await;
    monitor.says(500, "");
    bench.device.swipe(1, CARD).await;
    eventually("it is lost", || bench.device.counters().lost == 1).await;
    monitor.says(200, "");
    bench.device.misbehave(Misbehaviour::Cut);
    bench.device.swipe(1, CARD).await;
    eventually("it is lost, too", || bench.device.counters().lost == 2).await;
    bench.device.behave();
    bench.device.swipe(1, CARD).await;
    eventually("it is taken", || bench.device.counters().notified == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(monitor.heard().len(), 2);
}
