//! What stands on the substation's device beside its list of cards: nothing that opens, and nothing twice.

use std::collections::BTreeSet;

use kernel::Ctx;
use serde_json::Value;
use sim::controlid::Device;

/// Ours opens the gate, at any time; the other one came with the device.
const RULES: [&str; 2] = ["Always", "cardea portal 1 always"];

/// Whether all that belongs to cards is there and nothing else; how many users are left behind without a card, which
/// open nothing and are taken up again with it.
pub(crate) fn left_behind(device: &Device) -> usize {
    let (users, cards) = (device.rows("users"), device.rows("cards"));
    let rules = device.rows("access_rules");
    let names: Vec<&str> = rules.iter().filter_map(|rule| rule["name"].as_str()).collect();
    assert!(names.iter().all(|name| RULES.contains(name)) && names.len() <= RULES.len(), "{rules:?}");
    let (zones, spans) = (device.rows("time_zones"), device.rows("time_spans"));
    assert!(zones.len() <= 2 && spans.len() <= 2, "{zones:?} {spans:?}");
    for none in ["user_groups", "user_roles", "contingency_cards"] {
        assert_eq!(device.rows(none), Vec::<Value>::new(), "{none}");
    }
    let now = Ctx::system().now().to_jiff().expect("now is a time");
    let links = device.rows("user_access_rules");
    for card in &cards {
        let value = card["value"].as_i64().expect("a card has a number");
        assert!(device.opens(1, value, now), "{card} opens nothing");
        let holder = Value::from(format!("cardea:{value}"));
        let holders: Vec<&Value> = users.iter().filter(|user| user["registration"] == holder).collect();
        assert!(
            matches!(holders[..], [one] if one["id"] == card["user_id"]),
            "{card} belongs to {holders:?}"
        );
        let linked: Vec<&Value> = links.iter().filter(|link| link["user_id"] == card["user_id"]).collect();
        assert_eq!(linked.len(), 1, "{card} has the rules {linked:?}");
    }
    let held: BTreeSet<i64> = cards.iter().filter_map(|card| card["user_id"].as_i64()).collect();
    users.iter().filter(|user| user["id"].as_i64().is_none_or(|id| !held.contains(&id))).count()
}
