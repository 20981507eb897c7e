//! What an answer shows.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::samples::{BADGE, any_json, any_name, group_type, stored_user, user_type};
use crate::schema::{AttrPath, ENTERPRISE_URN, USER_URN};
use crate::value::{Projection, Tree, write};

fn projection(attributes: Option<&str>, excluded: &str) -> Projection {
    let paths = |list: &str| -> Vec<AttrPath> { list.split(' ').filter_map(AttrPath::parse).collect() };
    Projection::new(user_type(), attributes.map(paths).as_deref(), &paths(excluded))
}

fn kim() -> Tree {
    stored_user(&json!({
        "id": "u1",
        "userName": "kim",
        "name": {"givenName": "Kim", "familyName": "Dahl"},
        "password": "must never be here, and if it were",
        "emails": [{"value": "kim@x", "type": "work"}, {"type": "home"}],
        ENTERPRISE_URN: {"department": "Grid", "costCenter": "7"},
        BADGE: {
            "hint": "blue",
            "hidden": "x",
            "tags": ["a"],
            "keys": [{"value": "k", "type": "spare", "note": "n", "code": "c"}],
        },
        "meta": {"resourceType": "User", "version": "W/\"1\""},
    }))
}

fn check(attributes: Option<&str>, excluded: &str, want: Json) {
    let mut got = write(user_type(), &kim(), &projection(attributes, excluded));
    let shown = got.as_object_mut().unwrap();
    assert_eq!(shown.shift_remove("id"), Some(json!("u1")), "the id is always there");
    let schemas = shown.shift_remove("schemas").unwrap();
    let mut expected = vec![json!(USER_URN)];
    expected.extend(shown.keys().filter(|key| key.starts_with("urn:")).map(|urn| json!(urn)));
    assert_eq!(schemas, Json::from(expected), "schemas lists exactly the extensions present");
    assert_eq!(got, want, "attributes={attributes:?} excludedAttributes={excluded}");
}

#[test]
fn everything_but_never_and_request_is_shown_by_default() {
    let whole = json!({
        "userName": "kim",
        "name": {"givenName": "Kim", "familyName": "Dahl"},
        "emails": [{"value": "kim@x", "type": "work"}, {"type": "home"}],
        ENTERPRISE_URN: {"department": "Grid", "costCenter": "7"},
        BADGE: {"tags": ["a"], "keys": [{"value": "k", "type": "spare"}]},
        "meta": {"resourceType": "User", "version": "W/\"1\""},
    });
    check(None, "", whole.clone());
    check(None, "nosuch id schemas", whole);
}

#[test]
fn attributes_show_only_what_is_asked() {
    check(Some("userName"), "", json!({"userName": "kim"}));
    check(Some("USERNAME title"), "", json!({"userName": "kim"}));
    check(Some(""), "", json!({}));
    check(Some("nosuch"), "", json!({}));
    check(Some("name.givenName"), "", json!({"name": {"givenName": "Kim"}}));
    check(Some("emails.value"), "", json!({"emails": [{"value": "kim@x"}]}));
    check(Some("meta.version"), "", json!({"meta": {"version": "W/\"1\""}}));
    check(Some(ENTERPRISE_URN), "", json!({ENTERPRISE_URN: {"department": "Grid", "costCenter": "7"}}));
    let department = format!("{ENTERPRISE_URN}:department");
    check(Some(&department), "", json!({ENTERPRISE_URN: {"department": "Grid"}}));
    check(Some("userName name"), "name.familyName", json!({"userName": "kim", "name": {"givenName": "Kim"}}));
}

#[test]
fn excluded_attributes_are_left_out() {
    let most = format!("name emails meta {BADGE}");
    check(None, &format!("{most} {ENTERPRISE_URN}"), json!({"userName": "kim"}));
    let all_but_department = json!({"userName": "kim", ENTERPRISE_URN: {"costCenter": "7"}});
    check(None, &format!("{most} {ENTERPRISE_URN}:department"), all_but_department);
    let rest = format!("userName name meta {BADGE} {ENTERPRISE_URN}");
    check(None, &format!("{rest} emails.type"), json!({"emails": [{"value": "kim@x"}]}));
    check(None, &format!("{rest} emails.type emails.value"), json!({}));
}

#[test]
fn returned_rules_outrank_the_request() {
    check(Some("password"), "", json!({}));
    check(Some(&format!("{BADGE}:hidden")), "", json!({}));
    check(Some(&format!("{BADGE}:hint")), "", json!({BADGE: {"hint": "blue"}}));
    // Asking for the parent is not asking for a part that is returned on request only; `value` is always.
    check(Some(&format!("{BADGE}:keys")), "", json!({BADGE: {"keys": [{"value": "k", "type": "spare"}]}}));
    check(Some(&format!("{BADGE}:keys.note")), "", json!({BADGE: {"keys": [{"value": "k", "note": "n"}]}}));
    check(Some(&format!("{BADGE}:keys.code")), "", json!({BADGE: {"keys": [{"value": "k"}]}}));
}

#[test]
fn what_is_always_returned_comes_whole() {
    let sealed =
        stored_user(&json!({"id": "u1", "userName": "kim", BADGE: {"seal": {"mark": "m"}, "size": 7}}));
    for asked in ["userName", &format!("{BADGE}:size")] {
        let shown = write(user_type(), &sealed, &projection(Some(asked), &format!("{BADGE}:seal")));
        assert_eq!(shown[BADGE]["seal"], json!({"mark": "m"}), "{asked}");
    }
}

#[test]
fn entra_reads_groups_without_members_scim_md_2_1_item_9() {
    let paths = [AttrPath::parse("members").unwrap()];
    let without = Projection::new(group_type(), None, &paths);
    assert!(!without.shows(group_type(), "members"));
    assert!(without.shows(group_type(), "displayName"));
    assert!(Projection::new(group_type(), Some(&paths), &[]).shows(group_type(), "members"));
    assert!(!Projection::new(group_type(), Some(&[]), &[]).shows(group_type(), "members"));
    assert!(Projection::default().shows(group_type(), "members"));
}

/// Every key of the document, at any depth.
fn keys(json: &Json) -> Vec<String> {
    match json {
        Json::Object(entries) => {
            entries.iter().flat_map(|(key, value)| [vec![key.clone()], keys(value)].concat()).collect()
        }
        Json::Array(items) => items.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}

proptest! {
    #[test]
    fn no_projection_shows_what_is_never_returned(
        asked in prop::option::of(prop::collection::vec(any_name(), 0..6)),
        excluded in prop::collection::vec(any_name(), 0..4),
        hidden in prop::collection::vec(prop::sample::select(vec!["password", "hidden", "code"]), 0..3),
        json in any_json(),
    ) {
        let mut tree = kim();
        if let Some(more) = json.as_object() {
            let known = stored_user(&Json::Object(more.clone()));
            known.entries().iter().for_each(|(name, value)| tree.set(name.clone(), value.clone()));
        }
        tree.set("id", crate::value::Value::text("u1"));
        let mut wanted: Vec<String> = hidden.iter().map(|name| format!("{BADGE}:{name}")).collect();
        wanted.push("password".into());
        let paths = |names: &[String]| -> Vec<AttrPath> { names.iter().filter_map(|name| AttrPath::parse(name)).collect() };
        let asked = asked.map(|names| paths(&[names, wanted].concat()));
        let shown = write(user_type(), &tree, &Projection::new(user_type(), asked.as_deref(), &paths(&excluded)));
        let keys = keys(&shown);
        for never in ["password", "hidden", "code", "pin"] {
            prop_assert!(!keys.iter().any(|key| key == never), "{never} in {shown}");
        }
        prop_assert_eq!(&shown["id"], "u1");
        prop_assert_eq!(&shown["schemas"][0], USER_URN);
    }
}
