mod projection;
mod reading;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::samples::{any_json, created_user, stored_user, user_type};
use crate::schema::ENTERPRISE_URN;

#[test]
fn date_times_are_compared_by_instant_and_returned_as_given() {
    let utc = DateTime::parse("2026-01-01T12:00:00Z").unwrap();
    let paris = DateTime::parse("2026-01-01T13:00:00+01:00").unwrap();
    assert_eq!(utc, paris);
    assert_eq!(Value::DateTime(paris).to_json(), json!("2026-01-01T13:00:00+01:00"));
    assert_eq!(DateTime::parse("2026-01-01T12:00:00"), Some(utc), "without an offset it is UTC");
    for wrong in ["", "2026-01-01", "12:00:00Z", "yesterday", "2026-13-01T00:00:00Z"] {
        assert_eq!(DateTime::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn what_the_registry_does_not_know_is_stored_in_order_and_never_shown() {
    let stored = json!({
        "id": "u1",
        "urn:example:withdrawn:User": {"secret": ["a", {"b": 1}]},
        "userName": "kim",
        "legacy": 7,
        "active": "not a boolean any more",
        "name": {"givenName": 7, "familyName": "Dahl"},
        "emails": [{"value": "kim@x", "label": "old"}],
        ENTERPRISE_URN: {"department": "Grid", "floor": 3},
    });
    let tree = stored_user(&stored);
    assert_eq!(tree.to_json().to_string(), stored.to_string(), "same content, same order");
    let shown = write(user_type(), &tree, &Projection::default());
    assert_eq!(
        shown,
        json!({
            "schemas": [crate::schema::USER_URN, ENTERPRISE_URN],
            "id": "u1",
            "userName": "kim",
            "name": {"familyName": "Dahl"},
            "emails": [{"value": "kim@x"}],
            ENTERPRISE_URN: {"department": "Grid"},
        })
    );
}

#[test]
fn an_emptied_extension_disappears() {
    let mut tree = created_user(&json!({
        "schemas": [crate::schema::USER_URN],
        "userName": "kim",
        ENTERPRISE_URN: {"department": "Grid"},
    }));
    assert!(tree.extension(ENTERPRISE_URN).is_some());
    tree.put(Some(&ENTERPRISE_URN.into()), &"department".into(), None);
    assert!(tree.extension(ENTERPRISE_URN).is_none());
    tree.put(Some(&ENTERPRISE_URN.into()), &"department".into(), None);
    assert_eq!(tree.entries().len(), 1);
}

#[test]
fn bodies_are_bounded_in_length_and_depth() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(deep(16).as_bytes()).is_ok());
    for (body, status) in [
        (deep(17), 400),
        (deep(100_000), 400),
        ("{".into(), 400),
        ("<html>".into(), 400),
        (String::new(), 400),
        (" ".repeat(MAX_BODY_BYTES + 1), 413),
    ] {
        assert_eq!(parse(body.as_bytes()).unwrap_err().status, status);
    }
}

#[test]
fn a_name_stands_once_in_an_object_and_everything_else_reads_as_usual() {
    for twice in [
        r#"{"active": true, "active": false}"#,
        r#"{"Operations": [{"op": "replace", "value": {"title": "a", "title": "b"}}]}"#,
        r#"{"a": 1, "\u0061": 2}"#,
    ] {
        let why = parse(twice.as_bytes()).unwrap_err();
        assert_eq!(why.scim_type, Some(crate::ScimType::InvalidSyntax), "{twice}");
        assert!(why.detail.contains("given twice"), "{why}");
    }
    let all = r#"{"a": [null, true, -7, 18446744073709551615, 1.5e3, "x\n", {"a": {}}], "b": [], "A": 1}"#;
    let usual: serde_json::Value = serde_json::from_str(all).unwrap();
    assert_eq!(parse(all.as_bytes()).unwrap(), usual);
    assert!(parse(b"1e999").is_err() && parse(b"{} {}").is_err());
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(json in any_json()) {
        let _ = read(user_type(), &json);
        let _ = read(crate::samples::group_type(), &json);
    }

    #[test]
    fn a_stored_tree_comes_back_whole(json in any_json()) {
        let tree = stored_user(&json);
        prop_assert_eq!(stored_user(&tree.to_json()), tree);
    }

    #[test]
    fn what_was_read_is_what_is_stored(json in any_json()) {
        if let Ok(body) = read(user_type(), &json) {
            prop_assert_eq!(stored_user(&body.tree.to_json()), body.tree);
        }
    }
}
