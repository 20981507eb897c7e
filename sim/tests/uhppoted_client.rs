//! PyPI `uhppoted`, a client that nobody here wrote, drives the simulated controller.
//!
//! It is `uhppoted` 0.9.1.1, in the Python that [`parts::python`] gives.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use sim::uhppote::{Controller, ControllerOptions, Rejection};

const SERIAL: u32 = 405_419_896;

#[tokio::test]
async fn an_independent_client_agrees_with_every_operation() {
    let Some(python) = parts::python() else { return parts::report_skip(parts::NO_PYTHON) };
    let now = date(2026, 3, 2).at(12, 0, 0, 0).in_tz("UTC").unwrap().timestamp();
    let controller = Controller::start(SERIAL, ControllerOptions::new(Arc::new(move || now))).await.unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/uhppoted_client.py");
    let arguments = [SERIAL.to_string(), controller.address().to_string()];
    let fulfil = async |wish: &str| {
        let words: Vec<_> = wish.split(' ').collect();
        let ["swipe", card, door] = words[..] else { panic!("not a wish: {wish}") };
        let swipe = controller.swipe(card.parse().unwrap(), door.parse().unwrap());
        format!("{} {} {}", swipe.granted, swipe.reason, swipe.event)
    };
    parts::run_python_client(&python, &script, &arguments, fulfil).await;

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
