//! Being told to stop: what was begun is ended first.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use sim::uhppote::Misbehaviour;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use world::{PATIENCE, Served, parts, skip, until};

use crate::steps::{Employee, hire_at, holds};

/// What is said when a head was read: from then on its request is under way.
const GO_ON: [u8; 25] = *b"HTTP/1.1 100 Continue\r\n\r\n";

/// HR's PATCH, its head and its body: a request that is under way for as long as we like.
fn ending(house: &Served, id: &str) -> (String, String) {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "active", "value": false }],
    })
    .to_string();
    let head = format!(
        "PATCH /scim/v2/Users/{id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\
         Connection: close\r\n\r\n",
        house.hr_token,
        body.len()
    );
    (head, body)
}

async fn logged(log: &Path, what: &str) {
    until(what, async || std::fs::read_to_string(log).ok()?.contains(what).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_employment_that_ends_while_we_stop_closes_its_door_before_we_are_gone() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, card, .. } = hire_at(&house, "Mira").await;
    let (head, body) = ending(&house, &id);
    let (first, rest) = body.split_at(10);
    let mut hr = TcpStream::connect(house.issuer.trim_start_matches("http://")).await.unwrap();
    hr.write_all(head.as_bytes()).await.unwrap();
    // What nobody has read by then is no request under way, and its connection ends.
    let mut heard = [0; GO_ON.len()];
    hr.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, GO_ON);
    hr.write_all(first.as_bytes()).await.unwrap();
    let log = house.node.log_file();
    let (code, answer) = tokio::join!(house.stop(), async {
        logged(&log, "stopping: requests under way may end").await;
        hr.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        hr.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(code, Some(0));
    assert!(!holds(&house.controller, card), "the process is gone, and the card still opens");
}

/// It listens before it looks at anything, and may be told to stop from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_to_stop_while_it_begins_ends_well() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    let address = house.issuer.trim_start_matches("http://").to_owned();
    for _ in 0..3 {
        house.start();
        let listens = async {
            while TcpStream::connect(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.expect("it listens");
        assert_eq!(house.stop().await, Some(0), "{}", house.log());
    }
    house.serve().await;
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_does_not_end_keeps_nobody_from_stopping() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, .. } = hire_at(&house, "Mira").await;
    let (head, _) = ending(&house, &id);
    let mut hr = TcpStream::connect(house.issuer.trim_start_matches("http://")).await.unwrap();
    hr.write_all(head.as_bytes()).await.unwrap();
    let mut heard = [0; GO_ON.len()];
    hr.read_exact(&mut heard).await.unwrap();
    let began = Instant::now();
    let stopped = tokio::time::timeout(Duration::from_secs(40), house.stop()).await;
    assert_eq!(stopped, Ok(Some(0)));
    assert!(began.elapsed() >= Duration::from_secs(9), "it has ten seconds, in which it might end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_door_keeps_nobody_from_stopping() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, .. } = hire_at(&house, "Mira").await;
    house.controller.misbehave(Misbehaviour::Silent);
    house.hr().end_employment(&id).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(20), house.stop()).await;
    assert_eq!(stopped, Ok(Some(0)));
    let waits = house.must(&["deliveries"]).await;
    assert!(waits.contains("REVOKES") && waits.contains("door:headquarters"), "{waits}");
}
