//! Clients that hold on to the server: each is cut off in its time, and all of them together stop nobody else.
//!
//! The times are the real ones, so this takes half a minute; all wait at once.

use std::time::{Duration, Instant};

use server::stage::StageOptions;
use tokio::time::{sleep, timeout};
use web::connection::QUIET;
use world::{Scene, Wire};

/// How long a client may take for its first head and rest between two requests (`server::http`), and how long it may
/// take for a body (`web::body`).
const HEAD: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(5);
const BODY: Duration = Duration::from_secs(30);
/// How much later than it should something may come on a busy machine.
const LATE: Duration = Duration::from_secs(15);
/// Whoever is still there then was forgotten. All clients together wait no longer.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// As slow as it gets.
const PAUSE: Duration = Duration::from_secs(1);

/// Not long after its time.
#[track_caller]
fn by_then(began: Instant, after: Duration, who: &str) {
    let took = began.elapsed();
    assert!(took <= after + LATE, "{who} was cut off after {took:?}, not {after:?}");
}

/// Nor before it: who is slow for a reason has so long.
#[track_caller]
fn in_time(began: Instant, after: Duration, who: &str) {
    by_then(began, after, who);
    let took = began.elapsed();
    // Some timers of the server are as fine as half a second.
    assert!(took + PAUSE >= after, "{who} was cut off after {took:?} already, not {after:?}");
}

/// A client that ends because it is cut off, at some time.
async fn is_cut_off(who: &str, client: impl Future<Output = ()>) {
    assert!(timeout(FORGOTTEN, client).await.is_ok(), "{who} was not cut off at all");
}

async fn slow_head(server: &str) {
    let (mut wire, began) = (Wire::to(server).await, Instant::now());
    assert!(wire.say(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nx: ").await);
    let heard = wire.trickle(b"y", PAUSE).await;
    assert!(heard.as_ref().is_none_or(|heard| heard.status == 408), "{heard:?}");
    wire.end().await;
    in_time(began, HEAD, "a slow head");
}

async fn slow_second_head(server: &str) {
    let mut wire = Wire::to(server).await;
    let first = wire.ask(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(first.status, 200);
    let began = Instant::now();
    assert!(wire.trickle(b"G", PAUSE).await.is_none(), "it is no request");
    in_time(began, QUIET, "a slow second head");
}

/// Somebody who was answered and asks nothing more.
async fn at_rest(server: &str) {
    let mut wire = Wire::to(server).await;
    let first = wire.ask(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(first.status, 200);
    let began = Instant::now();
    wire.end().await;
    in_time(began, REST, "one at rest");
}

async fn slow_body(server: &str) {
    let (mut wire, began) = (Wire::to(server).await, Instant::now());
    let head = "POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\
                content-type: application/x-www-form-urlencoded\r\n\r\n";
    assert!(wire.say(head.as_bytes()).await);
    let heard = wire.trickle(b"y", PAUSE).await.unwrap();
    assert_eq!(heard.status, 408);
    assert!(heard.body.contains("\"error\":\"invalid_request\""), "in the protocol's form: {heard:?}");
    in_time(began, BODY, "a slow body");
    wire.end().await;
}

/// The body of a request that was answered already, and that goes on and on.
async fn endless_body(server: &str) {
    let mut wire = Wire::to(server).await;
    let head = b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
    assert_eq!(wire.ask(head).await.unwrap().status, 404);
    let began = Instant::now();
    assert!(wire.trickle(b"1\r\nx\r\n", PAUSE).await.is_none(), "it has its answer");
    by_then(began, QUIET, "an endless body");
}

/// Asks and asks, and reads no answer.
async fn deaf(server: &str) {
    let (mut wire, began) = (Wire::to(server).await, Instant::now());
    let requests = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    while wire.say(requests.as_bytes()).await {}
    in_time(began, QUIET, "one who reads nothing");
}

/// Somebody in no hurry who is answered all the while.
async fn somebody(server: &str) {
    for _ in 0..300 {
        let asked = async {
            let mut wire = Wire::to(server).await;
            wire.ask(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n").await
        };
        let heard = timeout(Duration::from_secs(5), asked).await.expect("an answer for who behaves");
        assert_eq!(heard.unwrap().status, 200);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_slow_is_cut_off_and_stops_nobody() {
    let scene = Scene::light(StageOptions::default()).await;
    let server = format!("127.0.0.1:{}", scene.stage.house.issuer.port());
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(Wire::to(&server).await);
    }
    tokio::join!(
        is_cut_off("a slow head", slow_head(&server)),
        is_cut_off("a slow second head", slow_second_head(&server)),
        is_cut_off("one at rest", at_rest(&server)),
        is_cut_off("a slow body", slow_body(&server)),
        is_cut_off("an endless body", endless_body(&server)),
        is_cut_off("one who reads nothing", deaf(&server)),
        somebody(&server),
    );
    // Who never said anything was cut off long ago.
    for mut wire in idle {
        timeout(Duration::from_secs(5), wire.end()).await.expect("the end");
    }
    scene.end().await;
}
