//! The device and the server that decides for it.

use serde_json::{Value, json};
use sim::controlid::{Contingency, Decided, DeviceOptions, Swipe, card_value, event};

use crate::support::{Bench, CARD, DEVICE, Heard, Server, eventually, options, wall};

/// Sends the device to the server. Pro mode is `"1"`.
async fn ask(bench: &Bench, server: &Server, local_identification: &str, online_client: Value) {
    let ip = format!("http://{}/base/", server.address);
    let row = json!({ "name": "Server", "ip": ip, "public_key": "" });
    let server_id = bench.create("devices", row).await.to_string();
    let mut sections = json!({
        "online_client": online_client,
        "general": { "online": "1", "local_identification": local_identification },
    });
    sections["online_client"]["server_id"] = server_id.into();
    bench.ask("set_configuration", sections).await;
}

fn patient() -> Value {
    json!({ "request_timeout": "5000" })
}

/// It asks twice and soon goes on alone.
fn hasty() -> Value {
    json!({ "request_timeout": "300", "max_request_attempts": "2" })
}

fn says(event: u8, door: u8) -> Value {
    let door = format!("door={door}");
    json!({ "result": { "event": event, "actions": [{ "action": "door", "parameters": door }] } })
}

fn check_form(heard: &Heard, path: &str, fields: &[(&str, String)]) {
    assert_eq!(heard.path, path);
    for (name, expect) in fields {
        assert_eq!(&heard.form(name), expect, "{name}");
    }
}

#[tokio::test]
async fn in_pro_mode_the_device_identifies_and_the_server_decides() {
    let (bench, server) = (Bench::start().await, Server::start().await);
    let user = bench.person(CARD).await;
    ask(&bench, &server, "1", patient()).await;
    let cases = [
        // The device says whom it knows; the server may say another.
        (
            CARD,
            says(7, 1),
            Swipe { event: 7, user_id: user, log: Some(1), opened: true, by: Decided::Server },
        ),
        (
            CARD,
            says(6, 2),
            Swipe { event: 6, user_id: user, log: Some(2), opened: false, by: Decided::Server },
        ),
        (
            CARD + 1,
            json!({ "result": { "event": 7, "user_id": 40 } }),
            Swipe { event: 7, user_id: 40, log: Some(3), opened: false, by: Decided::Server },
        ),
        (
            CARD,
            json!({ "result": { "event": 14 } }),
            Swipe { event: 14, user_id: user, log: None, opened: false, by: Decided::Server },
        ),
    ];
    for (card, answer, expect) in &cases {
        server.says(200, answer);
        assert_eq!(bench.device.swipe(1, *card).await, *expect, "{answer}");
    }
    let heard = server.heard();
    assert_eq!(heard.len(), cases.len());
    let path = "/base/new_user_identified.fcgi";
    let fields = |card: i64, event: u8, user: i64, name: &str| {
        [
            ("device_id", DEVICE.to_string()),
            ("card_value", card.to_string()),
            ("portal_id", "1".to_owned()),
            ("time", wall().to_string()),
            ("event", event.to_string()),
            ("user_id", user.to_string()),
            ("user_name", name.to_owned()),
        ]
    };
    check_form(&heard[0], path, &fields(CARD, event::PENDING, user, "Ana Lima"));
    check_form(&heard[2], path, &fields(CARD + 1, event::NOT_IDENTIFIED, 0, ""));
    assert_eq!(bench.device.counters().asked, 4);
}

#[tokio::test]
async fn in_enterprise_mode_the_server_does_both() {
    let (bench, server) = (Bench::start().await, Server::start().await);
    ask(&bench, &server, "0", patient()).await;
    server.says(200, says(7, 2));
    let swipe = bench.device.swipe(2, CARD).await;
    assert_eq!(swipe, Swipe { event: 7, user_id: 0, log: Some(1), opened: true, by: Decided::Server });
    let fields = [("card_value", CARD.to_string()), ("portal_id", "2".to_owned())];
    check_form(&server.heard()[0], "/base/new_card.fcgi", &fields);
}

#[tokio::test]
async fn what_is_no_answer_leads_to_contingency() {
    let cases = [
        (0, String::new()),
        (500, says(7, 1).to_string()),
        (302, String::new()),
        (200, String::new()),
        (200, "granted".to_owned()),
        (200, "{}".to_owned()),
        (200, json!({ "result": { "event": "7" } }).to_string()),
    ];
    for (status, body) in cases {
        let (bench, server) = (Bench::start().await, Server::start().await);
        let user = bench.person(CARD).await;
        ask(&bench, &server, "1", hasty()).await;
        server.says(status, &body);
        let swipe = bench.device.swipe(1, CARD).await;
        let expect = Swipe { event: 7, user_id: user, log: Some(1), opened: true, by: Decided::Contingency };
        assert_eq!(swipe, expect, "{status} {body}");
        assert!(bench.device.in_contingency());
        assert_eq!(server.heard().len(), 2, "{status} {body}");
        bench.device.swipe(1, CARD).await;
        assert_eq!(server.heard().len(), 2, "in contingency it does not ask");
    }
}

#[tokio::test]
async fn in_contingency_the_records_open_or_the_list_alone() {
    let listed = card_value(2, 2);
    let cases = [
        (Contingency::Records, CARD, true),
        (Contingency::Records, listed, true),
        (Contingency::Records, CARD + 1, false),
        (Contingency::CardsOnly, CARD, false),
        (Contingency::CardsOnly, listed, true),
    ];
    for (contingency, card, expect) in cases {
        let bench = Bench::of(DeviceOptions { contingency, ..options() }).await;
        bench.person(CARD).await;
        bench.create("contingency_cards", json!({ "value": listed })).await;
        bench.ask("set_configuration", json!({ "general": { "online": "1" } })).await;
        let swipe = bench.device.swipe(1, card).await;
        assert_eq!((swipe.opened, swipe.by), (expect, Decided::Contingency), "{contingency:?} {card}");
    }
}

#[tokio::test]
async fn contingency_ends_when_the_server_is_back() {
    let (bench, server) = (Bench::start().await, Server::start().await);
    ask(&bench, &server, "1", hasty()).await;
    assert!(!bench.device.knock().await, "it is not in contingency");
    server.says(500, "");
    bench.device.swipe(1, CARD).await;
    assert!(!bench.device.knock().await && bench.device.in_contingency());
    server.says(200, "");
    assert!(bench.device.knock().await && !bench.device.in_contingency());
    let knocks = server.heard().into_iter().filter(|heard| heard.path == "/base/device_is_alive.fcgi");
    let bodies: Vec<_> = knocks.map(|heard| heard.json()).collect();
    assert_eq!(bodies, [json!({ "access_logs": 1 }), json!({ "access_logs": 1 })]);

    server.says(500, "");
    bench.device.swipe(1, CARD).await;
    bench.ask("set_configuration", json!({ "online_client": { "alive_interval": "20" } })).await;
    server.says(200, "");
    eventually("it knocks by itself", || !bench.device.in_contingency()).await;

    server.says(500, "");
    bench.ask("set_configuration", json!({ "online_client": { "alive_interval": "0" } })).await;
    bench.device.swipe(1, CARD).await;
    assert!(bench.device.in_contingency());
    bench.ask("set_configuration", json!({ "general": { "online": "0" } })).await;
    assert!(!bench.device.in_contingency(), "standalone is no contingency");
}

#[tokio::test]
async fn without_contingency_nothing_opens_and_nothing_is_written_down() {
    let (bench, server) = (Bench::start().await, Server::start().await);
    bench.person(CARD).await;
    let mut online_client = hasty();
    online_client["contingency_enabled"] = "0".into();
    ask(&bench, &server, "1", online_client).await;
    server.says(500, "");
    for asked in [2, 4] {
        let swipe = bench.device.swipe(1, CARD).await;
        let expect =
            Swipe { event: event::NO_RESPONSE, user_id: 0, log: None, opened: false, by: Decided::Nobody };
        assert_eq!(swipe, expect);
        assert_eq!(server.heard().len(), asked);
    }
}
