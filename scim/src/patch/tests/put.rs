//! PUT: RFC 7644, section 3.5.1, and scim.md 2.3 item 3.

use serde_json::json;

use super::*;
use crate::samples::BADGE;
use crate::schema::{GROUP_URN, USER_URN};
use crate::value;

fn put(kind: &Arc<ResourceType>, current: &Json, body: &Json) -> Json {
    let body = value::read(kind, body).unwrap();
    changes(kind, current, replace(kind, &Tree::from_stored(kind, current), body))
}

#[test]
fn what_is_left_out_is_cleared_but_not_what_silence_must_not_change() {
    assert_eq!(
        put(user_type(), &kim(), &json!({"schemas": [USER_URN], "userName": "kim", "title": "Head"})),
        json!({
            "name": null,
            "title": "Head",
            "emails": null,
            format!("{ENTERPRISE_URN}:department"): null,
            format!("{ENTERPRISE_URN}:manager"): null,
        }),
        "active is left as it is"
    );
    let disabled = json!({"schemas": [USER_URN], "userName": "kim", "active": false, "password": "t0p"});
    assert_eq!(put(user_type(), &bare(), &disabled), json!({"active": false, "secret password": "t0p"}));
}

#[test]
fn putting_back_what_was_read_changes_nothing() {
    let kind = user_type();
    let read_back = value::write(kind, &stored_user(&kim()), &value::Projection::default());
    assert_eq!(put(kind, &kim(), &read_back), json!({}));
}

#[test]
fn a_put_of_a_group_changes_members_only_when_it_names_them() {
    let body = |members: Option<Json>| {
        let mut body = json!({"schemas": [GROUP_URN], "displayName": "Operators", "externalId": "x1"});
        if let Some(members) = members {
            body["members"] = members;
        }
        put(group_type(), &group(), &body)
    };
    assert_eq!(body(None), json!({}));
    assert_eq!(body(Some(json!([]))), json!({"members": {"replaceAll": true}}));
    assert_eq!(body(Some(json!([{"value": "u1"}]))), json!({"members": {"replaceAll": true, "add": ["u1"]}}));
}

#[test]
fn immutable_attributes_are_set_once() {
    let body = |badge: Json| json!({"schemas": [USER_URN], "userName": "kim", BADGE: badge});
    let mut current = bare();
    let set = put(user_type(), &current, &body(json!({"number": "n1"})));
    assert_eq!(set, json!({format!("{BADGE}:number"): "n1"}));
    current[BADGE] = json!({"number": "n1", "serial": "s1"});
    assert_eq!(put(user_type(), &current, &body(json!({"number": "n1"}))), json!({}));
    assert_eq!(put(user_type(), &current, &body(json!({}))), json!({}));
    assert_eq!(put(user_type(), &current, &body(json!({"number": "n2"}))), json!("mutability"));
}

#[test]
fn what_the_registry_does_not_know_survives() {
    let mut current = bare();
    current["urn:example:withdrawn:User"] = json!({"a": 1});
    let body = json!({"schemas": [USER_URN], "userName": "new"});
    let body = value::read(user_type(), &body).unwrap();
    let outcome = replace(user_type(), &stored_user(&current), body).unwrap();
    assert_eq!(outcome.tree.to_json()["urn:example:withdrawn:User"], json!({"a": 1}));
}
