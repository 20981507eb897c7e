//! What a POST or PUT body means.

use kernel::Secret;
use serde_json::{Value as Json, json};

use crate::samples::{BADGE, group_type, user_type};
use crate::schema::{ENTERPRISE_URN, USER_URN};
use crate::value::{Body, Member, read};

const GROUP_URN: &str = crate::schema::GROUP_URN;

/// What is left of a user's body beside `userName`, or the keyword of the refusal.
fn check(body: Json, want: Json) {
    let mut full = json!({"schemas": [USER_URN], "userName": "kim"});
    full.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let got = match read(user_type(), &full) {
        Ok(read) => {
            let mut tree = read.tree.to_json();
            tree.as_object_mut().unwrap().remove("userName");
            tree
        }
        Err(why) => serde_json::to_value(why).unwrap()["scimType"].clone(),
    };
    assert_eq!(got, want, "{body}");
}

#[test]
fn keys_have_no_case_and_names_become_canonical() {
    check(json!({"DISPLAYNAME": "Kim"}), json!({"displayName": "Kim"}));
    check(json!({"Name": {"GIVENNAME": "Kim"}}), json!({"name": {"givenName": "Kim"}}));
    check(
        json!({ENTERPRISE_URN.to_uppercase(): {"Department": "Grid"}}),
        json!({ENTERPRISE_URN: {"department": "Grid"}}),
    );
    check(json!({"title": "a", "Title": "b"}), json!("invalidSyntax"));
    check(json!({"name": {"givenName": "a", "GivenName": "b"}}), json!("invalidSyntax"));
}

#[test]
fn null_and_empty_are_absent_rfc_7643_section_2_5() {
    check(json!({"title": null}), json!({}));
    check(json!({"emails": []}), json!({}));
    check(json!({"emails": [null, {}]}), json!({}));
    check(json!({"name": {}}), json!({}));
    check(json!({"name": {"givenName": null}}), json!({}));
    check(json!({ENTERPRISE_URN: null}), json!({}));
    check(json!({ENTERPRISE_URN: {}}), json!({}));
    check(json!({"title": ""}), json!({"title": ""}));
    check(json!({"roles": [{"value": "", "type": "x"}]}), json!({"roles": [{"value": "", "type": "x"}]}));
}

#[test]
fn entra_user_create_carries_empty_roles_scim_md_2_1_item_8() {
    check(json!({"roles": []}), json!({}));
    check(json!({"meta": {"resourceType": "User"}}), json!({}));
}

#[test]
fn entra_booleans_as_text_scim_md_2_1_item_1() {
    check(json!({"active": "True"}), json!({"active": true}));
    check(json!({"active": "False"}), json!({"active": false}));
    check(
        json!({"roles": [{"value": "admin", "primary": "True"}]}),
        json!({"roles": [{"value": "admin", "primary": true}]}),
    );
    check(json!({"active": "yes"}), json!("invalidValue"));
    check(json!({"active": 1}), json!("invalidValue"));
}

#[test]
fn entra_manager_as_bare_id_scim_md_2_1_item_7() {
    let manager = |manager: Json| json!({ENTERPRISE_URN: {"manager": manager}});
    check(manager(json!("m1")), manager(json!({"value": "m1"})));
    check(manager(json!({"value": "m1", "displayName": "Mo"})), manager(json!({"value": "m1"})));
    check(manager(json!([{"value": "m1", "$ref": null}])), manager(json!({"value": "m1"})));
    check(manager(json!("")), json!({}));
    check(manager(json!({"value": ""})), json!({}));
    check(manager(json!(7)), json!("invalidValue"));
}

#[test]
fn bare_texts_stand_for_values_in_lists() {
    check(json!({"roles": ["admin", "reader"]}), json!({"roles": [{"value": "admin"}, {"value": "reader"}]}));
    check(json!({"emails": {"value": "k@x"}}), json!({"emails": [{"value": "k@x"}]}));
    check(json!({"addresses": ["Main Street"]}), json!("invalidValue"));
}

#[test]
fn okta_create_scim_md_2_3_item_2() {
    let body = json!({
        "schemas": [USER_URN], "userName": "kim", "password": "correct horse", "groups": [], "externalId": "00u1",
    });
    let read = read(user_type(), &body).unwrap();
    assert_eq!(read.tree.to_json(), json!({"userName": "kim", "externalId": "00u1"}));
    let secrets: Vec<(&str, &str)> = read
        .secrets
        .iter()
        .map(|(path, secret): &(String, Secret<String>)| (&**path, &**secret.expose()))
        .collect();
    assert_eq!(secrets, [("password", "correct horse")]);
    assert!(!format!("{read:?}").contains("horse"));
}

#[test]
fn what_clients_may_not_set_is_passed_over() {
    check(json!({"id": "mine", "meta": {"version": 7}, "groups": "nonsense"}), json!({}));
    check(json!({BADGE: {"serial": "s", "size": 7}}), json!({BADGE: {"size": 7}}));
}

#[test]
fn values_have_the_type_of_their_attribute() {
    let badge = |badge: Json| json!({BADGE: badge});
    for fits in [
        json!({"size": 7}),
        json!({"weight": 1.5}),
        json!({"since": "2026-01-01T00:00:00Z"}),
        json!({"photo": "aGk="}),
        json!({"tags": ["a", "b"]}),
        json!({"keys": [{"value": "k", "copies": 2}]}),
        json!({"number": "n"}),
    ] {
        check(badge(fits.clone()), badge(fits));
    }
    check(badge(json!({"weight": 2})), badge(json!({"weight": 2.0})));
    check(badge(json!({"tags": ["a", "a", null, "b"]})), badge(json!({"tags": ["a", "b"]})));
    check(badge(json!({"tags": "a"})), badge(json!({"tags": ["a"]})));
    for wrong in [
        json!({"size": 1.5}),
        json!({"size": "7"}),
        json!({"weight": "heavy"}),
        json!({"since": "today"}),
        json!({"since": 0}),
        json!({"photo": "äöü"}),
        json!({"photo": "aGk====="}),
        json!({"tags": [1]}),
        json!({"number": {"value": "n"}}),
    ] {
        check(badge(wrong), json!("invalidValue"));
    }
    for wrong in [
        json!({"title": 7}),
        json!({"title": ["a", "b"]}),
        json!({"name": "Kim"}),
        json!({"title": "a\u{0}b"}),
    ] {
        check(wrong, json!("invalidValue"));
    }
    check(json!({ENTERPRISE_URN: "text"}), json!("invalidSyntax"));
}

#[test]
fn the_error_names_the_place() {
    let body =
        json!({"schemas": [USER_URN], "userName": "kim", BADGE: {"keys": [{"value": "k", "copies": "two"}]}});
    let why = read(user_type(), &body).unwrap_err();
    assert_eq!(why.detail, format!("{BADGE}:keys.copies: expected a whole number of 64 bits"));
}

#[test]
fn lists_hold_each_value_once_and_one_primary() {
    let same = json!([{"value": "a@x", "type": "work"}, {"type": "work", "value": "a@x"}]);
    check(json!({"emails": same}), json!({"emails": [{"value": "a@x", "type": "work"}]}));
    check(
        json!({"emails": [{"value": "a@x", "primary": true}, {"value": "b@x", "primary": true}]}),
        json!("invalidValue"),
    );
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    check(json!({"roles": many}), json!("invalidValue"));
    check(json!({"title": "x".repeat(64 * 1024 + 1)}), json!("invalidValue"));
}

#[test]
fn required_attributes_are_required() {
    let keyword = |body: Json| read(user_type(), &body).unwrap_err().detail;
    assert_eq!(keyword(json!({"schemas": [USER_URN]})), "userName: required");
    assert_eq!(keyword(json!({"schemas": [USER_URN], "userName": null})), "userName: required");
    assert_eq!(keyword(json!({"schemas": [USER_URN], "userName": ""})), "userName: required");
    check(json!({BADGE: {"keys": [{"value": "k"}, {"type": "spare"}]}}), json!("invalidValue"));
}

#[test]
fn an_extension_asks_for_its_required_attributes_only_when_it_is_there() {
    let with = |required: bool, rank: Json| {
        let mut registry = crate::samples::registry().clone();
        let attributes = json!([{"name": "rank", "required": true}, {"name": "since"}]);
        let schema = json!({"id": "urn:x:rank", "name": "Rank", "attributes": attributes});
        registry.define(serde_json::from_value(schema).unwrap()).unwrap();
        registry.extend("User", "urn:x:rank", required).unwrap();
        let body = json!({"schemas": [USER_URN], "userName": "kim", "urn:x:rank": rank});
        let read = read(registry.resource_type("User").unwrap(), &body);
        read.map(|_| ()).map_err(|why| why.detail)
    };
    assert_eq!(with(false, json!(null)), Ok(()));
    assert_eq!(with(false, json!({"since": "x"})), Err("urn:x:rank:rank: required".into()));
    assert_eq!(with(false, json!({"rank": "1"})), Ok(()));
    assert_eq!(with(true, json!(null)), Err("urn:x:rank: required".into()));
    assert_eq!(with(true, json!({"rank": "1"})), Ok(()));
}

#[test]
fn a_resource_is_bounded_in_size() {
    let emails: Vec<Json> = (0..20).map(|n| json!({"value": format!("{n}{}", "x".repeat(60_000))})).collect();
    let body = json!({"schemas": [USER_URN], "userName": "kim", "emails": emails});
    assert_eq!(read(user_type(), &body).unwrap_err().status, 413);
}

#[test]
fn unknown_names_are_ignored_and_reported_scim_md_7() {
    let body = json!({
        "schemas": [USER_URN, "urn:scim:schemas:core:1.0"],
        "userName": "kim",
        "shoeSize": 43,
        "name": {"nick": "K"},
        "urn:example:other": {"a": 1},
        ENTERPRISE_URN: {"floor": 3},
    });
    let read = read(user_type(), &body).unwrap();
    assert_eq!(read.tree.to_json(), json!({"userName": "kim"}));
    let floor = format!("{ENTERPRISE_URN}:floor");
    assert_eq!(
        read.ignored,
        ["urn:scim:schemas:core:1.0", "shoeSize", "name.nick", "urn:example:other", &*floor]
    );
}

#[test]
fn what_is_reported_is_bounded_and_printable() {
    let mut body = json!({"schemas": [USER_URN], "userName": "kim"});
    for n in 0..100 {
        body[format!("x{n}\r\n{}", "y".repeat(500))] = json!(1);
    }
    let ignored = read(user_type(), &body).unwrap().ignored;
    assert_eq!(ignored.len(), 32);
    assert!(ignored.iter().all(|name| name.len() <= 120 && !name.contains('\r')));
}

#[test]
fn a_body_for_another_resource_type_is_refused() {
    let keyword = |schemas: Json| {
        let body = json!({"schemas": schemas, "userName": "kim"});
        read(user_type(), &body).map(|_| ()).map_err(|why| why.scim_type.unwrap())
    };
    let refused = Err(crate::ScimType::InvalidSyntax);
    assert_eq!(keyword(json!([GROUP_URN])), refused);
    assert_eq!(keyword(json!("User")), refused);
    assert_eq!(keyword(json!([])), Ok(()));
    assert_eq!(keyword(json!([USER_URN.to_uppercase()])), Ok(()));
    assert!(read(user_type(), &json!({"userName": "kim"})).is_ok());
    assert!(read(user_type(), &json!([])).is_err());
}

fn group(body: Json) -> Body {
    read(group_type(), &body).unwrap()
}

#[test]
fn entra_group_create_scim_md_2_1_item_8() {
    let foreign = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group";
    let body = group(json!({
        "schemas": [GROUP_URN, foreign],
        "externalId": "8aa1",
        "displayName": "Grid operators",
        "meta": {"resourceType": "Group"},
    }));
    assert_eq!(body.tree.to_json(), json!({"externalId": "8aa1", "displayName": "Grid operators"}));
    assert_eq!(body.members, None);
    assert_eq!(body.ignored, [foreign]);
}

#[test]
fn members_are_read_apart_from_the_tree() {
    let body = group(json!({
        "schemas": [GROUP_URN],
        "displayName": "g",
        "members": [{"value": "u1", "$ref": null, "display": "Kim"}, "u2", {"value": "g2", "type": "Group"}, ""],
    }));
    let member = |value: &str, kind: Option<&str>| Member { value: value.into(), kind: kind.map(Into::into) };
    assert_eq!(body.members, Some(vec![member("u1", None), member("u2", None), member("g2", Some("Group"))]));
    assert_eq!(body.tree.to_json(), json!({"displayName": "g"}));
    assert_eq!(group(json!({"displayName": "g", "members": []})).members, Some(Vec::new()));
    let nameless = json!({"displayName": "g", "members": [{"type": "User"}]});
    assert!(read(group_type(), &nameless).is_err());
}
