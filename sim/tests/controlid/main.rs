//! The Control iD device on its port: who may ask what, and what comes of it. Beside it: what it sends by itself,
//! online mode, and its misbehaviour.

mod faults;
mod online;
mod push;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, COOKIE};
use serde_json::{Value, json};
use sim::controlid::{Decided, DeviceOptions, Swipe, card_value, event};

use support::{Bench, CARD, DEVICE, noon, options, read, wall};

#[tokio::test]
async fn whoever_is_not_logged_in_gets_nothing() {
    let mut bench = Bench::start().await;
    let session = std::mem::take(&mut bench.session);
    let no_session = json!({ "error": "Invalid session", "code": 1 });
    let commands = [
        "logout",
        "change_login",
        "create_objects",
        "load_objects",
        "modify_objects",
        "destroy_objects",
        "create_or_modify_objects",
        "get_configuration",
        "set_configuration",
        "system_information",
        "set_system_time",
        "execute_actions",
    ];
    for command in commands {
        assert_eq!(bench.post(command, &json!({})).await, (401, no_session.clone()), "{command}");
    }
    assert_eq!(bench.ask("session_is_valid", json!({})).await, json!({ "session_is_valid": false }));
    let url = format!("{}system_information.fcgi", bench.device.base_url());
    let cookie = bench.client.post(url).header(COOKIE, format!("a=b; session={session}"));
    assert_eq!(read(cookie).await.0, 200);
}

#[tokio::test]
async fn a_login_is_exact() {
    let bench = Bench::start().await;
    let check = async |body: Value, status: u16, words: &str| {
        let (got, answer) = bench.post("login", &body).await;
        assert_eq!((got, answer["error"].as_str()), (status, Some(words)), "{body}");
    };
    check(json!({ "login": "admin", "password": "wrong" }), 401, "Invalid login or password").await;
    check(json!({ "login": "root", "password": "admin" }), 401, "Invalid login or password").await;
    check(json!({ "login": "admin" }), 400, "Invalid member 'password' (missing)").await;
    let number = "Invalid member 'password' (string expected, got integer)";
    check(json!({ "login": "admin", "password": 5 }), 400, number).await;
    let more = json!({ "login": "admin", "password": "admin", "device": 1 });
    check(more, 400, "Invalid member 'device' (unknown)").await;
    check(json!([]), 400, "Invalid data (object expected, got array)").await;
}

#[tokio::test]
async fn a_session_ends_with_logout_a_new_login_and_time() {
    let seconds = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&seconds);
    let now = move || Timestamp::from_second(clock.load(Ordering::SeqCst)).expect("a moment");
    let session = SignedDuration::from_secs(60);
    let mut bench = Bench::of(DeviceOptions { session, ..DeviceOptions::new(DEVICE, Arc::new(now)) }).await;
    let valid = json!({ "session_is_valid": true });
    assert_eq!(bench.ask("session_is_valid", json!({})).await, valid);

    bench.ask("logout", json!({})).await;
    assert_eq!(bench.post("system_information", &json!({})).await.0, 401);

    bench.log_in().await;
    seconds.store(59, Ordering::SeqCst);
    assert_eq!(bench.ask("session_is_valid", json!({})).await, valid);
    seconds.store(60, Ordering::SeqCst);
    assert_ne!(bench.ask("session_is_valid", json!({})).await, valid);

    bench.log_in().await;
    let empty = json!({ "login": "", "password": "x" });
    assert_eq!(bench.post("change_login", &empty).await.0, 400);
    bench.ask("change_login", json!({ "login": "cardea", "password": "long" })).await;
    assert_eq!(bench.post("system_information", &json!({})).await.0, 401);
    let old = json!({ "login": "admin", "password": "admin" });
    assert_eq!(bench.post("login", &old).await.0, 401);
    bench.ask("login", json!({ "login": "cardea", "password": "long" })).await;
    assert!(!format!("{:?}", bench.device.requests()).contains("long"), "a password is remembered");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let bench = Bench::start().await;
    let body = json!({ "object": "cards" });
    let post = || bench.request("load_objects");
    let cases = [
        ("no such command", bench.request("load_object").json(&body), 404),
        ("no body", post().header(CONTENT_TYPE, "application/json"), 400),
        ("no type", post().body(body.to_string()), 400),
        ("another type", post().header(CONTENT_TYPE, "text/plain").body(body.to_string()), 400),
        ("no JSON", post().header(CONTENT_TYPE, "application/json").body("object=cards"), 400),
        ("too large", post().json(&json!({ "object": "c".repeat(70_000) })), 400),
        (
            "a type with a parameter",
            post().header(CONTENT_TYPE, "application/json; charset=utf-8").body(body.to_string()),
            200,
        ),
    ];
    for (name, request, expect) in cases {
        assert_eq!(read(request).await.0, expect, "{name}");
    }
    let url = format!("{}load_objects.fcgi", bench.device.base_url());
    let get = bench.client.get(url).query(&[("session", &bench.session)]).json(&body);
    assert_eq!(read(get).await.0, 405);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_words() {
    let bench = Bench::start().await;
    let user = bench.person(CARD).await;
    let check = async |command: &str, body: Value, words: &str| {
        let (status, answer) = bench.post(command, &body).await;
        assert_eq!(
            (status, &answer["error"], &answer["code"]),
            (400, &json!(words), &json!(1)),
            "{command} {body}"
        );
    };
    let card = |values: Value| json!({ "object": "cards", "values": [values] });
    let create = "create_objects";
    check(create, json!({ "object": "doors", "values": [{}] }), "Invalid object 'doors'").await;
    check(create, json!({ "values": [{}] }), "Invalid member 'object' (missing)").await;
    check(create, json!({ "object": "cards" }), "Invalid member 'values' (missing)").await;
    check(create, json!({ "object": "cards", "values": [] }), "Invalid member 'values' (empty)").await;
    let object = json!({ "object": "cards", "values": { "value": 1 } });
    check(create, object, "Invalid member 'values' (array expected, got object)").await;
    let more = json!({ "object": "cards", "values": [{ "value": 1 }], "where": {} });
    check(create, more, "Invalid member 'where' (unknown)").await;
    let two = json!([{ "value": 1, "user_id": 1 }, { "id": 9, "value": 2, "user_id": 1 }]);
    let uneven = json!({ "object": "cards", "values": two });
    check(create, uneven, "Invalid member 'values' (all must have the same fields)").await;
    check(create, card(json!({ "value": 1 })), "Invalid member 'user_id' (missing)").await;
    let text = card(json!({ "value": "1", "user_id": user }));
    check(create, text, "Invalid member 'value' (int expected, got string)").await;
    check(create, card(json!({ "value": 1, "user_id": user + 1 })), "FOREIGN KEY constraint failed").await;
    check(create, card(json!({ "value": CARD, "user_id": user })), "UNIQUE constraint failed: cards.value")
        .await;
    let log = json!({ "object": "access_logs", "values": [{ "event": 7 }] });
    check(create, log, "Object 'access_logs' is read only").await;
    let nothing = json!({ "object": "users", "values": {}, "where": { "users": { "id": user } } });
    check("modify_objects", nothing, "Invalid member 'values' (empty)").await;
    let other = json!({ "object": "cards", "where": { "users": { "id": user } } });
    check("destroy_objects", other, "Invalid object 'users' in where").await;
    let logs = json!({ "object": "access_logs" });
    check("destroy_objects", logs, "Object 'access_logs' is read only").await;
    let field = json!({ "object": "cards", "fields": ["number"] });
    check("load_objects", field, "Invalid member 'number' (unknown)").await;
    check("set_configuration", json!({ "general": { "online": 1 } }), "Invalid data (string expected)").await;
    let path = "Node or attribute not found. Node path: config->general->param[name=door]";
    check("get_configuration", json!({ "general": ["door"] }), path).await;
    let time = json!({ "day": 30, "month": 2, "year": 2026, "hour": 0, "minute": 0, "second": 0 });
    check("set_system_time", time, "Invalid date or time").await;
    let action = json!({ "actions": [{ "action": "door" }] });
    check("execute_actions", action, "Invalid member 'parameters' (missing)").await;
    assert_eq!(bench.device.cards(), [CARD], "what is refused is not done");
}

#[tokio::test]
async fn rows_are_created_read_changed_and_destroyed() {
    let bench = Bench::start().await;
    let user = bench.create("users", json!({ "name": "Ana", "registration": "" })).await;
    let large = i64::MAX - 1;
    let two =
        json!([{ "id": large, "value": CARD, "user_id": user }, { "id": 1, "value": 7, "user_id": user }]);
    let created = bench.ask("create_objects", json!({ "object": "cards", "values": two })).await;
    assert_eq!(created, json!({ "ids": [large, 1] }), "numbers keep 64 bits");

    let asked = json!({ "object": "cards", "fields": ["id"], "order": ["id", "descending"], "limit": 1 });
    assert_eq!(bench.ask("load_objects", asked).await, json!({ "cards": [{ "id": large }] }));
    let clause = json!({ "field": "value", "operator": "<", "value": CARD, "connector": ") AND (" });
    assert_eq!(bench.load("cards", json!([clause])).await, [json!({ "id": 1, "value": 7, "user_id": user })]);

    let by_value = |value: i64| json!({ "cards": { "value": value } });
    let moved = json!({ "object": "cards", "values": { "value": 8 }, "where": by_value(7) });
    assert_eq!(bench.ask("modify_objects", moved.clone()).await, json!({ "changes": 1 }));
    assert_eq!(bench.ask("modify_objects", moved).await, json!({ "changes": 0 }));
    assert_eq!(bench.device.cards(), [CARD, 8]);

    let put = json!({ "object": "users", "values": [{ "id": user, "name": "Bea", "registration": "" }] });
    assert_eq!(bench.ask("create_or_modify_objects", put).await, json!({ "changes": 1 }));
    assert_eq!(bench.load("users", json!({ "users": { "id": user } })).await[0]["name"], "Bea");

    assert_eq!(bench.revoke(8).await, json!({ "changes": 1 }));
    assert_eq!(bench.revoke(8).await, json!({ "changes": 0 }));
    assert_eq!(bench.ask("destroy_objects", json!({ "object": "users" })).await, json!({ "changes": 1 }));
    assert!(bench.device.cards().is_empty(), "cards follow their user, if the options say so");
}

#[tokio::test]
async fn a_swipe_is_decided_and_written_down() {
    let bench = Bench::start().await;
    let user = bench.person(CARD).await;
    let denied = card_value(9, 9);
    let late = json!({ "name": "Bob", "registration": "", "begin_time": 0, "end_time": wall() - 1 });
    let bob = bench.create("users", late).await;
    bench.create("user_groups", json!({ "user_id": bob, "group_id": 1 })).await;
    bench.create("cards", json!({ "value": denied, "user_id": bob })).await;
    let cases = [
        (1, CARD, event::GRANTED, user),
        (2, CARD, event::GRANTED, user),
        (3, CARD, event::DENIED, user),
        (1, denied, event::DENIED, bob),
        (1, CARD + 1, event::NOT_IDENTIFIED, 0),
    ];
    for (number, (portal, card, event, user_id)) in (1..).zip(cases) {
        let opened = event == event::GRANTED;
        let expect = Swipe { event, user_id, log: Some(number), opened, by: Decided::Device };
        assert_eq!(bench.device.swipe(portal, card).await, expect, "{card} at {portal}");
        let log = &bench.load("access_logs", json!({ "access_logs": { "id": number } })).await[0];
        let got = ["event", "user_id", "portal_id", "card_value", "time", "device_id"]
            .map(|name| log[name].as_i64());
        assert_eq!(got, [i64::from(event), user_id, portal, card, wall(), DEVICE].map(Some));
    }
    let ana = &bench.load("users", json!({ "users": { "id": user } })).await[0];
    assert_eq!(ana["last_access"], wall());

    bench.ask("set_configuration", json!({ "identifier": { "verbose_logging": "0" } })).await;
    let unknown = bench.device.swipe(1, CARD + 1).await;
    assert_eq!((unknown.event, unknown.log), (event::NOT_IDENTIFIED, None));
    assert_eq!(bench.device.swipe(1, denied).await.log, Some(6));
}

#[tokio::test]
async fn old_access_logs_give_way_and_numbers_go_on() {
    let bench = Bench::of(DeviceOptions { logs: 2, ..options() }).await;
    for _ in 0..5 {
        bench.device.swipe(1, CARD).await;
    }
    let after = json!({ "access_logs": { "id": { ">": 3 } } });
    let page = json!({ "object": "access_logs", "fields": ["id"], "where": after });
    let expect = json!({ "access_logs": [{ "id": 4 }, { "id": 5 }] });
    assert_eq!(bench.ask("load_objects", page).await, expect);
}

#[tokio::test]
async fn it_says_who_it_is_and_does_what_it_is_told() {
    let bench = Bench::start().await;
    let information = bench.ask("system_information", json!({})).await;
    assert_eq!(information["device_id"], DEVICE.to_string());
    assert_eq!((&information["time"], &information["online"]), (&json!(wall()), &json!(false)));
    assert_eq!(information["network"]["web_server_port"], bench.device.address().port());

    let open = json!({ "actions": [
        { "action": "door", "parameters": "door=2" },
        { "action": "door", "parameters": "id=1" },
    ] });
    assert_eq!(bench.ask("execute_actions", open).await, Value::Null);
    let logs = bench.load("access_logs", json!([])).await;
    assert_eq!(logs.len(), 1, "what opens nothing is not written down");
    assert_eq!((&logs[0]["event"], &logs[0]["portal_id"]), (&json!(event::REMOTE), &json!(2)));

    let time = json!({ "day": 1, "month": 1, "year": 1970, "hour": 1, "minute": 2, "second": 3 });
    bench.ask("set_system_time", time).await;
    assert_eq!(bench.ask("system_information", json!({})).await["time"], 3723);
}

#[tokio::test]
async fn hands_at_the_device_leave_what_the_network_then_finds() {
    let bench = Bench::start().await;
    let user = bench.person(CARD).await;
    let (orphan, supervisor, listed) = (card_value(1, 1), card_value(1, 2), card_value(1, 3));
    assert!(bench.device.plant(orphan) && bench.device.plant_supervisor(supervisor));
    assert!(bench.device.plant_contingency(listed));
    assert!(!bench.device.plant(CARD), "it is taken");
    assert_eq!(bench.device.rows("users").len(), 3, "what does not fit leaves nothing behind");
    assert_eq!(bench.load("cards", json!([])).await.len(), 3);
    let roles = bench.load("user_roles", json!([])).await;
    assert_eq!(roles, [json!({ "user_id": user + 2, "role": 1 })]);

    let device = &bench.device;
    let held =
        |card: i64| (device.holds(card), device.holds_for_contingency(card), device.opens(2, card, noon()));
    assert_eq!(held(orphan), (true, false, true));
    assert_eq!(held(listed), (false, true, false));
    assert!(device.opens_in_contingency(2, listed, noon()));
    assert!(device.uproot(orphan) && !device.uproot(orphan));
    assert_eq!(held(orphan), (false, false, false));
    assert!(device.rows("users").iter().all(|user| user.get("password").is_none()));
}

#[tokio::test]
async fn requests_are_remembered_without_secrets_until_they_are_forgotten() {
    let bench = Bench::start().await;
    bench.ask("load_objects", json!({ "object": "cards" })).await;
    bench.post("nonsense", &json!({})).await;
    let seen: Vec<_> =
        bench.device.requests().into_iter().map(|seen| (seen.path, seen.body, seen.status)).collect();
    let login = json!({ "login": "admin", "password": "(struck)" });
    let expect = [
        ("/login.fcgi".to_owned(), login, 200),
        ("/load_objects.fcgi".to_owned(), json!({ "object": "cards" }), 200),
        ("/nonsense.fcgi".to_owned(), json!({}), 404),
    ];
    assert_eq!(seen, expect);
    let counters = bench.device.counters();
    assert_eq!((counters.requests, counters.refused), (3, 1));
    bench.device.forget_requests();
    assert!(bench.device.requests().is_empty());
}
