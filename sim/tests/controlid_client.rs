//! PyPI `controlid-sdk`, a client that nobody here wrote, drives the simulated device.
//!
//! It is `controlid-sdk` 0.4.7, in the Python that [`parts::python`] gives. Where the two differ, and why, is the list
//! `DEVIATIONS` in `controlid_client.py`; each is tried.

use std::path::Path;
use std::sync::Arc;

use jiff::civil::date;
use serde_json::{Value, json};
use sim::controlid::{Device, DeviceOptions, Misbehaviour};

const DEVICE: i64 = 14_227_560_204_340_541;

#[tokio::test]
async fn an_independent_client_sees_what_the_device_holds() {
    let Some(python) = parts::python() else { return parts::report_skip(parts::NO_PYTHON) };
    // The device is three hours west of Greenwich, where it is noon of a Monday.
    let noon = date(2026, 3, 2).at(15, 0, 0, 0).in_tz("UTC").unwrap().timestamp();
    let options = DeviceOptions { portals: 2, ..DeviceOptions::new(DEVICE, Arc::new(move || noon)) };
    let device = Device::start(options).await.unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/controlid_client.py");
    let arguments = [device.base_url().to_string(), DEVICE.to_string()];
    let fulfil = async |wish: &str| fulfil(&device, wish).await.to_string();
    parts::run_python_client(&python, &script, &arguments, fulfil).await;

    assert!(device.sessions().is_empty(), "it logged out");
    assert!(device.cards().is_empty(), "it took every card away");
}

/// Does, or looks at, what the client's side cannot over the network.
async fn fulfil(device: &Device, wish: &str) -> Value {
    let words: Vec<_> = wish.split(' ').collect();
    match words[..] {
        ["rows", object] => device.rows(object).into(),
        ["requests"] => {
            let seen = device.requests().into_iter().map(|seen| json!([seen.path, seen.body, seen.status]));
            let seen = seen.collect();
            device.forget_requests();
            Value::Array(seen)
        }
        ["forget"] => {
            device.misbehave(Misbehaviour::ForgetSessions);
            Value::Null
        }
        ["swipe", portal, card] => {
            let [portal, card] = [portal, card].map(|number| number.parse().expect("a number"));
            let swipe = device.swipe(portal, card).await;
            json!([swipe.event, swipe.user_id, swipe.opened])
        }
        _ => panic!("not a wish: {wish}"),
    }
}
