//! The demo in a process of its own, as a visitor meets it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use world::{parts, skip};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_is_proven_from_outside_and_ends_with_0() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let told = Command::new(&binary).args(["demo", "--script"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&told.stderr));
    let place = |what: &str| said.find(what).unwrap_or_else(|| panic!("no {what:?} in\n{said}"));
    assert!(place("ends the employment") < place("introspection says the token is inactive"), "{said}");
    for what in [
        "essential entity under NIS2",
        "not device-tested",
        "for the control room only",
        "signs in without a question",
        "asks for the passkey, and for nothing else",
        "Switchgear Control: a valid logout token came",
        "shows no such card",
        "observed denial",
        "with one character changed: refused",
        "Every step was proven by the apps or the doors themselves.",
    ] {
        place(what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_hires_swipes_ends_and_reads_the_receipt() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut demo = Command::new(&binary)
        .arg("demo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut hand = demo.stdin.take().unwrap();
    let mut said = BufReader::new(demo.stdout.take().unwrap()).lines();
    let about = until_said(&mut said, "quit ").await;
    assert!(about.contains("essential entity under NIS2") && about.contains("not device-tested"), "{about}");
    for (word, answer) in [
        ("swipe", "Nobody has a card yet: type hire."),
        ("receipt", "Nobody is hired yet: type hire."),
        ("hire", "Then sign in:"),
        ("swipe", "The control room's door opens."),
        ("swipe", "The substation's gate opens."),
        ("end", "The employment has ended."),
    ] {
        hand.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        until_said(&mut said, answer).await;
    }
    // The doors are told within moments; a person would try twice as well.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (word, answer) in [
        ("swipe", "The control room's door stays shut."),
        ("swipe", "The substation's gate stays shut."),
        ("receipt", "\"status\": \"revoked\""),
    ] {
        hand.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        until_said(&mut said, answer).await;
    }
    hand.write_all(b"quit\n").await.unwrap();
    assert_eq!(demo.wait().await.unwrap().code(), Some(0));
}

/// Reads until a line contains this; everything that was read.
async fn until_said(said: &mut Lines<BufReader<ChildStdout>>, what: &str) -> String {
    let mut read = String::new();
    let reading = async {
        while let Some(line) = said.next_line().await.unwrap() {
            read.push_str(&line);
            read.push('\n');
            if line.contains(what) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap_or(false);
    assert!(found, "no {what:?} in:\n{read}");
    read
}
