//! TOML that an administrator writes: the configuration, and a declaration for `cardea apply`.

use std::path::Path;

use bridge::connector::{CONNECTORS, Opening};
use directory::declared::{Item, Kind};
use kernel::{Ctx, Secret};
use serde_json::Value;
use server::apply::Declaration;
use server::config::Config;

/// What every file holds: a secret that is long enough, for whoever asks for one.
const FILE: &str = "0123456789abcdef0123456789abcdef\n";
/// Deeper than any setting, and far from what a stack bears.
const DEEPEST: usize = 40;

/// A text is a configuration, a declaration, or an error in words.
pub fn toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, Path::new("")) {
        Ok(config) => {
            if let Err(why) = config.check() {
                assert!(!why.to_string().is_empty());
            }
        }
        Err(why) => assert!(!why.is_empty()),
    }
    match Declaration::parse(text).and_then(|declared| declared.items_with(&|_| Ok(FILE.into()))) {
        Ok(items) => items.iter().for_each(declared),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

/// In canonical form, which is compared with what the database holds.
fn declared(item: &Item) {
    assert!(item.fields.values().all(|value| !value.is_null()), "{item:?}");
    assert!(item.fields.values().all(|value| depth(value) <= DEEPEST), "{item:?}");
    let again = Item::new(item.kind, &*item.name, item.fields.clone().into_iter().collect());
    assert_eq!(again.fields, item.fields);
    let text = |field: &str| item.fields.get(field).and_then(Value::as_str).unwrap_or_default();
    let number = |field: &str| item.fields.get(field).and_then(Value::as_i64).unwrap_or(-1);
    match item.kind {
        Kind::DoorSystem => {
            let config = item.fields.get("config").cloned().unwrap_or_default();
            for kind in CONNECTORS {
                // What it is refused for is the connector's to say; here it only may not panic.
                for secret in [item.secret.clone(), Some(Secret::new(FILE.to_owned()))] {
                    let _ = (kind.open)(Opening { secret, ..Opening::new(&Ctx::for_tests(1), &config) });
                }
            }
        }
        Kind::CardPool => {
            let _ = bridge::placement::card(text("format"), number("facility"), number("first"));
            let _ = bridge::placement::card(text("format"), number("facility"), number("last"));
        }
        _ => {}
    }
}

fn depth(value: &Value) -> usize {
    let inside = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(entries) => entries.values().map(depth).max(),
        _ => None,
    };
    1 + inside.unwrap_or(0)
}
