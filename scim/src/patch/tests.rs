mod entra;
mod okta;
mod properties;
mod put;
mod rfc;

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::samples::{group_type, stored_user, user_type};
use crate::schema::{ENTERPRISE_URN, ResourceType};

/// A user with a little of everything.
fn kim() -> Json {
    json!({
        "id": "u1",
        "userName": "kim",
        "active": true,
        "title": "Lead",
        "name": {"givenName": "Kim", "familyName": "Dahl"},
        "emails": [
            {"value": "kim@work.example", "type": "work", "primary": true},
            {"value": "kim@home.example", "type": "home"},
        ],
        ENTERPRISE_URN: {"department": "Grid", "manager": {"value": "m1"}},
        "meta": {"resourceType": "User", "version": "W/\"1\""},
    })
}

/// A user with nothing but a name.
fn bare() -> Json {
    json!({"id": "u1", "userName": "kim", "active": true})
}

/// A group as the store hands it over: without members.
fn group() -> Json {
    json!({"id": "g1", "displayName": "Operators", "externalId": "x1", "meta": {"resourceType": "Group"}})
}

/// What an outcome changes, as JSON: new values by path, null for cleared ones; members, secrets and
/// ignored names under keys of their own. A refusal is its keyword, or its status.
fn changes(kind: &ResourceType, current: &Json, outcome: Result<Outcome, crate::ScimError>) -> Json {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => return why.scim_type.map_or(json!(why.status), |keyword| json!(keyword)),
    };
    let mut replayed = Tree::from_stored(kind, current);
    let mut changes = Map::new();
    for change in &outcome.delta.changes {
        assert_ne!(change.before, change.after);
        let after = change.after.as_ref().map_or(Json::Null, crate::value::Value::to_json);
        changes.insert(change.path(), after);
        replayed.put(change.schema.as_ref(), &change.attribute, change.after.clone());
    }
    assert_eq!(replayed, outcome.tree, "the changes are the whole difference");
    if let Some(members) = outcome.delta.members.as_ref().filter(|members| !members.is_empty()) {
        changes.insert("members".into(), member_changes(members));
    }
    for secret in &outcome.delta.secrets {
        let value = secret.value.as_ref().map_or(Json::Null, |value| json!(value.expose()));
        assert_eq!(
            changes.insert(format!("secret {}", secret.path), value),
            None,
            "one change for each secret"
        );
    }
    if !outcome.ignored.is_empty() {
        changes.insert("ignored".into(), json!(outcome.ignored));
    }
    Json::Object(changes)
}

fn member_changes(members: &MemberDelta) -> Json {
    let mut json = Map::new();
    if members.replace_all {
        json.insert("replaceAll".into(), json!(true));
    }
    let added: Vec<&str> = members.add.keys().map(String::as_str).collect();
    for (name, ids) in [("add", added), ("remove", members.remove.iter().map(String::as_str).collect())] {
        if !ids.is_empty() {
            json.insert(name.into(), json!(ids));
        }
    }
    if !members.remove_matching.is_empty() {
        json.insert("removeMatching".into(), json!(members.remove_matching.len()));
    }
    Json::Object(json)
}

fn patch(kind: &Arc<ResourceType>, current: &Json, operations: &Json) -> Json {
    let body = json!({"schemas": [PATCH_URN], "Operations": operations});
    let current_tree = Tree::from_stored(kind, current);
    let outcome = read(&body).and_then(|operations| apply(kind, &current_tree, &operations));
    changes(kind, current, outcome)
}

/// Applies operations to a user: what changes, or the keyword of the refusal.
fn check(current: Json, operations: Json, want: Json) {
    assert_eq!(patch(user_type(), &current, &operations), want, "{operations}");
}

/// The same on a group without members.
fn check_group(operations: Json, want: Json) {
    assert_eq!(patch(group_type(), &group(), &operations), want, "{operations}");
}

#[test]
fn a_body_must_have_the_form_of_a_patch() {
    let many = vec![json!({"op": "remove", "path": "title"}); MAX_OPERATIONS + 1];
    for (body, want) in [
        (json!({"Operations": [{"op": "remove", "path": "title"}]}), None),
        (json!({"operations": [{"OP": "Remove", "Path": "title", "name": "x"}]}), None),
        (json!({"Operations": many[1..]}), None),
        (json!([]), Some("invalidSyntax")),
        (json!({}), Some("invalidSyntax")),
        (json!({"Operations": {}}), Some("invalidSyntax")),
        (json!({"Operations": []}), Some("invalidSyntax")),
        (json!({"Operations": many}), Some("invalidSyntax")),
        (json!({"Operations": ["remove"]}), Some("invalidSyntax")),
        (json!({"Operations": [{"path": "title"}]}), Some("invalidSyntax")),
        (json!({"Operations": [{"op": "move", "path": "title"}]}), Some("invalidSyntax")),
        (json!({"Operations": [{"op": "remove", "path": 7}]}), Some("invalidPath")),
        (json!({"Operations": [{"op": "remove", "path": "a b"}]}), Some("invalidPath")),
        (json!({"Operations": [{"op": "remove", "path": "emails[x"}]}), Some("invalidFilter")),
    ] {
        let got = read(&body).err().and_then(|why| why.scim_type).map(|keyword| json!(keyword));
        assert_eq!(got, want.map(|keyword| json!(keyword)));
    }
}

#[test]
fn errors_name_the_operation() {
    let operations = json!([{"op": "add", "path": "title", "value": "x"}, {"op": "add", "path": "emails.primary", "value": 7}]);
    let body = json!({"schemas": [PATCH_URN], "Operations": operations});
    let operations = read(&body).unwrap();
    let why = apply(user_type(), &stored_user(&bare()), &operations).unwrap_err();
    assert_eq!(why.detail, "operation 2: emails.primary: expected true or false");
    let body = json!({"Operations": [{"op": "remove", "path": "title"}, {"op": "add", "path": "]"}]});
    let why = read(&body).unwrap_err();
    assert_eq!(why.detail, "operation 2: expected an attribute at character 1, found \"]\"");
}

#[test]
fn no_patch_of_legal_size_takes_long() {
    let list = |length: usize| -> Vec<String> { (0..length).map(|n| format!("r{n}")).collect() };
    let add = json!({"op": "add", "path": "roles", "value": list(900)});
    check(bare(), json!(vec![add; 1000]), json!(413));
    let remove = json!({"op": "remove", "path": "roles", "value": list(900)});
    let current = json!({"id": "u1", "userName": "kim", "roles": (0..900).map(|n| json!({"value": format!("x{n}")})).collect::<Vec<_>>()});
    check(current.clone(), json!(vec![remove; 1000]), json!(413));
    let replace = json!({"op": "replace", "path": "roles", "value": list(900)});
    check(bare(), json!(vec![replace; 1000]), json!(413));
    let filter = vec!["value eq \"y\""; 1000].join(" or ");
    let filtered = json!({"op": "remove", "path": format!("roles[{filter}]")});
    check(current.clone(), json!(vec![filtered; 100]), json!(413));
    // Merged into every element: keys that nobody knows, long texts, whole elements.
    let unknown: Map<String, Json> = (0..140).map(|n| (format!("k{n}"), json!(n))).collect();
    let merge = json!({"op": "add", "path": "roles[value sw \"x\"]", "value": unknown});
    check(current.clone(), json!(vec![merge; 1000]), json!(413));
    let long = json!({"op": "replace", "path": "roles[value sw \"x\"].display", "value": "y".repeat(60_000)});
    check(current.clone(), json!(vec![long; 1000]), json!(413));
    let exchange =
        json!({"op": "replace", "path": "roles[value sw \"x\"]", "value": {"value": "x".repeat(60_000)}});
    check(current, json!(vec![exchange; 1000]), json!(413));
}

#[test]
fn a_user_at_the_limit_can_be_changed_and_only_not_grow() {
    let title = "x".repeat(crate::value::MAX_TEXT_BYTES);
    let roles: Vec<Json> = (0..8).map(|n| json!({"value": format!("{n}{}", &title[1..])})).collect();
    let groups: Vec<Json> =
        (0..9_000).map(|n| json!({"value": format!("g{n:060}"), "type": "direct"})).collect();
    let current = json!({"id": "u1", "userName": "kim", "active": true, "roles": roles, "groups": groups});
    check(
        current.clone(),
        json!([{"op": "replace", "path": "active", "value": false}]),
        json!({"active": false}),
    );
    check(current.clone(), json!([{"op": "replace", "path": "title", "value": "y"}]), json!(413));
    check(current, json!([{"op": "replace", "path": "userName", "value": "al"}]), json!({"userName": "al"}));
}
