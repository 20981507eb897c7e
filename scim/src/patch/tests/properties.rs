//! Laws that hold for any patch.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::samples::{BADGE, any_json, any_name};
use crate::value::Value;

/// Additions and replacements that may well succeed. Filters name a part that the operation does not
/// change: `emails[value eq "a"].value = b` finds nothing the second time, and rightly.
fn sensible() -> impl Strategy<Value = Json> {
    let text = prop::sample::select(vec!["a", "b", "A", "work", "home"]);
    let email = (
        text.clone(),
        prop::option::of(prop::sample::select(vec!["work", "home"])),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(value, kind, primary)| json!({"value": value, "type": kind, "primary": primary}));
    let targets = prop_oneof![
        (
            prop::sample::select(vec!["title", "userName", "nickName", "name.givenName", "NAME.familyName"]),
            text.clone()
        )
            .prop_map(|(path, value)| (path.to_owned(), json!(value))),
        any::<bool>().prop_map(|value| ("active".to_owned(), json!(value))),
        (
            prop::sample::select(vec!["work", "home", "other"]),
            prop::sample::select(vec!["value", "display"]),
            text.clone()
        )
            .prop_map(|(kind, sub, value)| (format!("emails[type eq \"{kind}\"].{sub}"), json!(value))),
        prop::sample::select(vec!["work", "home"])
            .prop_map(|kind| (format!("emails[type eq \"{kind}\"].primary"), json!(true))),
        prop::collection::vec(email, 0..3).prop_map(|emails| ("emails".to_owned(), json!(emails))),
        (text.clone(), text.clone())
            .prop_map(|(a, b)| ("name".to_owned(), json!({"givenName": a, "middleName": b}))),
        (text.clone(), text.clone()).prop_map(|(a, b)| (format!("{BADGE}:tags"), json!([a, b]))),
        text.clone().prop_map(|value| (format!("{ENTERPRISE_URN}:manager"), json!(value))),
        text.prop_map(|value| (ENTERPRISE_URN.to_owned(), json!({"department": value}))),
    ];
    (prop::sample::select(vec!["add", "replace"]), targets)
        .prop_map(|(op, (path, value))| json!({"op": op, "path": path, "value": value}))
}

fn any_operations() -> impl Strategy<Value = Json> {
    let op = prop::sample::select(vec!["add", "Replace", "remove", "Remove"]);
    let operation =
        (op, prop::option::of(any_name()), prop::option::of(any_json())).prop_map(|(op, path, value)| {
            let mut operation = json!({"op": op});
            path.into_iter().for_each(|path| operation["path"] = json!(path));
            value.into_iter().for_each(|value| operation["value"] = value);
            operation
        });
    prop::collection::vec(prop_oneof![2 => operation, 1 => sensible()], 1..6).prop_map(Json::from)
}

fn run(current: &Tree, operations: &Json) -> Option<Outcome> {
    let operations = read(&json!({"schemas": [PATCH_URN], "Operations": operations})).ok()?;
    apply(user_type(), current, &operations).ok()
}

fn primaries(tree: &Tree) -> usize {
    let emails = tree.get("emails").map(Value::elements).unwrap_or_default();
    emails
        .iter()
        .filter(|email| email.as_complex().and_then(|parts| parts.get("primary")?.as_bool()) == Some(true))
        .count()
}

proptest! {
    #[test]
    fn an_addition_or_replacement_twice_is_once(operation in sensible(), full in any::<bool>()) {
        let current = stored_user(&if full { kim() } else { bare() });
        if let Some(once) = run(&current, &json!([operation])) {
            let twice = run(&once.tree, &json!([operation])).expect("it worked before");
            prop_assert!(twice.delta.changes.is_empty() && twice.delta.secrets.is_empty(), "{operation}: {:?}", twice.delta);
            let in_one = run(&current, &json!([operation, operation])).expect("it worked before");
            prop_assert_eq!(in_one.tree, once.tree);
        }
    }

    #[test]
    fn sensible_operations_succeed_and_keep_one_primary(operations in prop::collection::vec(sensible(), 1..8)) {
        if let Some(outcome) = run(&stored_user(&kim()), &json!(operations)) {
            prop_assert!(primaries(&outcome.tree) <= 1, "{:?}", outcome.tree);
        }
    }

    #[test]
    fn any_patch_applies_or_is_refused_and_keeps_what_it_must(operations in any_operations(), full in any::<bool>()) {
        let json = if full { kim() } else { bare() };
        let current = stored_user(&json);
        if let Some(outcome) = run(&current, &operations) {
            prop_assert_eq!(outcome.tree.text("id"), Some("u1"));
            prop_assert!(outcome.tree.text("userName").is_some_and(|name| !name.is_empty()));
            prop_assert_eq!(outcome.tree.get("meta"), current.get("meta"));
            prop_assert_eq!(outcome.tree.get("password"), None);
            prop_assert_eq!(outcome.delta.changes.is_empty(), outcome.tree == current);
            let stored = stored_user(&outcome.tree.to_json());
            prop_assert_eq!(stored, outcome.tree, "what is stored comes back");
        }
        let body = json!({"Operations": operations});
        if let Ok(operations) = read(&body) {
            let _ = apply(group_type(), &Tree::from_stored(group_type(), &group()), &operations);
        }
    }

    #[test]
    fn any_json_is_a_patch_or_an_error(json in any_json()) {
        let _ = read(&json);
    }

    /// The delta is the whole truth about members: it does to a set what the operations say one by one.
    #[test]
    fn member_deltas_do_what_the_operations_say(
        before in prop::collection::btree_set("[a-f]", 0..5),
        steps in prop::collection::vec((0..5u8, prop::collection::vec("[a-f]", 0..3)), 1..8),
    ) {
        let mut expected = before.clone();
        let mut operations = Vec::new();
        for (verb, ids) in steps {
            let values: Vec<Json> = ids.iter().map(|id| json!({"value": id})).collect();
            operations.push(match verb {
                0 => { expected.extend(ids); json!({"op": "add", "path": "members", "value": values}) }
                1 => { ids.iter().for_each(|id| { expected.remove(id); }); json!({"op": "remove", "path": "members", "value": values}) }
                2 => { expected = ids.into_iter().collect(); json!({"op": "replace", "path": "members", "value": values}) }
                3 => { expected.remove("a"); json!({"op": "remove", "path": "members[value eq \"a\"]"}) }
                _ => {
                    expected.retain(|id| &**id < "d");
                    json!({"op": "remove", "path": "members[not (value lt \"d\")]"})
                }
            });
        }
        let operations = read(&json!({"Operations": operations})).expect("well-formed");
        let current = Tree::from_stored(group_type(), &group());
        let delta = apply(group_type(), &current, &operations).expect("legal").delta;
        let after = delta.members.map_or(before.clone(), |members| {
            let goes = |id: &String| {
                let element = Value::Complex([("value".into(), Value::text(id.clone()))].into_iter().collect());
                members.replace_all
                    || members.remove.contains(id)
                    || members.remove_matching.iter().any(|filter| filter.matches_element(&element))
            };
            let kept = before.iter().filter(|id| !goes(id)).cloned();
            kept.chain(members.add.keys().cloned()).collect()
        });
        prop_assert_eq!(after, expected);
    }
}
