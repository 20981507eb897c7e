//! PyPI `uhppoted`, a client that nobody here wrote, drives the simulated controller.
//!
//! The environment variable `CARDEA_PYTHON` names a Python that has `uhppoted` 0.9.1.1.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use sim::uhppote::{Controller, ControllerOptions, Rejection};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

const SERIAL: u32 = 405_419_896;

#[tokio::test]
async fn an_independent_client_agrees_with_every_operation() {
    let Ok(python) = std::env::var("CARDEA_PYTHON") else {
        return skip("CARDEA_PYTHON names no Python with uhppoted 0.9.1.1");
    };
    let now = date(2026, 3, 2).at(12, 0, 0, 0).in_tz("UTC").unwrap().timestamp();
    let controller = Controller::start(SERIAL, ControllerOptions::new(Arc::new(move || now))).await.unwrap();

    let mut client = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/uhppoted_client.py"))
        .args([SERIAL.to_string(), controller.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut answers = client.stdin.take().unwrap();
    let mut wishes = BufReader::new(client.stdout.take().unwrap()).lines();
    while let Some(wish) = wishes.next_line().await.unwrap() {
        let words: Vec<_> = wish.split(' ').collect();
        let ["swipe", card, door] = words[..] else { panic!("not a wish: {wish}") };
        let swipe = controller.swipe(card.parse().unwrap(), door.parse().unwrap());
        let answer = format!("{} {} {}\n", swipe.granted, swipe.reason, swipe.event);
        answers.write_all(answer.as_bytes()).await.unwrap();
    }
    assert!(client.wait().await.unwrap().success(), "the client was not satisfied: see above");

    assert!(controller.cards().is_empty());
    assert_eq!(controller.passcodes(1), [111_111, 222_222, 0, 0]);
    assert!(controller.records_special_events());
    // The operation that the panel does not have may still be on its way.
    let rejected = async {
        while controller.rejected() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), rejected).await.unwrap();
    assert_eq!(controller.rejections(), [Rejection::Opcode(0xa2)]);
}

/// Says why this test is skipped, on the output and in the file that `CARDEA_TEST_SKIPS` names.
fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI skips nothing: {reason}");
    let line = format!("{}: {reason}\n", std::thread::current().name().unwrap_or("a test"));
    // A reason that cannot be told is no reason to fail.
    let _ = write!(std::io::stdout(), "SKIP {line}");
    if let Ok(file) = std::env::var("CARDEA_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
