//! PyPI `uhppoted`, a client that nobody here wrote, drives the simulated controller.
//!
//! The environment variable `CARDEA_PYTHON` names a Python that has `uhppoted` 0.9.1.1.

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
        return parts::report_skip("CARDEA_PYTHON names no Python with uhppoted 0.9.1.1");
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
