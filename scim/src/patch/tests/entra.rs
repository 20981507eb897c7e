//! What Entra ID sends: scim.md 2.1 and 2.2.

use serde_json::json;

use super::*;

const MANAGER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";

#[test]
fn item_1_operations_in_any_case_and_booleans_as_text() {
    check(kim(), json!([{"op": "Replace", "path": "active", "value": "False"}]), json!({"active": false}));
    check(kim(), json!([{"op": "Add", "path": "active", "value": "False"}]), json!({"active": false}));
    check(kim(), json!([{"op": "REPLACE", "path": "active", "value": false}]), json!({"active": false}));
    check(kim(), json!([{"op": "Replace", "path": "active", "value": "True"}]), json!({}));
    check(
        kim(),
        json!([{"op": "Add", "path": "roles", "value": [{"value": "admin", "primary": "True"}]}]),
        json!({"roles": [{"value": "admin", "primary": true}]}),
    );
    check(kim(), json!([{"op": "Replace", "path": "active", "value": "off"}]), json!("invalidValue"));
}

#[test]
fn item_5_a_value_path_that_matches_nothing_creates_its_element() {
    for op in ["Add", "Replace"] {
        check(
            bare(),
            json!([{"op": op, "path": "emails[type eq \"work\"].value", "value": "k@x"}]),
            json!({"emails": [{"type": "work", "value": "k@x"}]}),
        );
        check(
            bare(),
            json!([{"op": op, "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1"}]),
            json!({"phoneNumbers": [{"type": "mobile", "value": "1"}]}),
        );
        check(
            bare(),
            json!([{"op": op, "path": "emails[type eq \"work\"]", "value": {"value": "k@x"}}]),
            json!({"emails": [{"type": "work", "value": "k@x"}]}),
        );
    }
}

#[test]
fn item_5_five_parts_of_an_address_make_one_address() {
    let parts = ["streetAddress", "locality", "region", "postalCode", "country"];
    let operations: Vec<Json> = parts
        .iter()
        .map(
            |part| json!({"op": "Add", "path": format!("addresses[type eq \"work\"].{part}"), "value": part}),
        )
        .collect();
    check(
        bare(),
        json!(operations),
        json!({"addresses": [{
            "type": "work",
            "streetAddress": "streetAddress",
            "locality": "locality",
            "region": "region",
            "postalCode": "postalCode",
            "country": "country",
        }]}),
    );
}

#[test]
fn item_5_a_value_path_that_matches_changes_what_is_there() {
    check(
        kim(),
        json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@x"}]),
        json!({"emails": [
            {"value": "new@x", "type": "work", "primary": true},
            {"value": "kim@home.example", "type": "home"},
        ]}),
    );
    check(
        kim(),
        json!([{"op": "Add", "path": "emails[type eq \"work\"].value", "value": "kim@work.example"}]),
        json!({}),
    );
}

#[test]
fn item_6_a_filtered_removal_that_matches_nothing_is_no_error() {
    check(bare(), json!([{"op": "Remove", "path": "emails[type eq \"work\"]"}]), json!({}));
    check(bare(), json!([{"op": "Remove", "path": "emails[type eq \"work\"].value"}]), json!({}));
    check(kim(), json!([{"op": "Remove", "path": "emails[type eq \"other\"].value"}]), json!({}));
    check(bare(), json!([{"op": "Remove", "path": "title"}]), json!({}));
}

#[test]
fn item_6_a_removal_that_carries_a_value_does_not_write_it() {
    let home_only = json!({"emails": [{"value": "kim@home.example", "type": "home"}]});
    let path = "emails[type eq \"work\"].value";
    check(kim(), json!([{"op": "Remove", "path": path, "value": "kim@work.example"}]), home_only.clone());
    check(kim(), json!([{"op": "Remove", "path": path, "value": "other@x"}]), home_only);
    check(bare(), json!([{"op": "Remove", "path": path, "value": "k@x"}]), json!({}));
    check(kim(), json!([{"op": "Remove", "path": "title", "value": "Lead"}]), json!({"title": null}));
}

#[test]
fn item_7_the_manager_as_bare_id() {
    let is = |manager: Json| json!({MANAGER: manager});
    for value in [
        json!("m2"),
        json!({"value": "m2"}),
        json!([{"value": "m2"}]),
        json!([{"$ref": null, "value": "m2"}]),
    ] {
        for op in ["Add", "Replace"] {
            check(kim(), json!([{"op": op, "path": MANAGER, "value": value}]), is(json!({"value": "m2"})));
            check(bare(), json!([{"op": op, "path": MANAGER, "value": value}]), is(json!({"value": "m2"})));
        }
    }
    let by_value = json!([{"op": "Replace", "path": format!("{MANAGER}.value"), "value": "m2"}]);
    check(kim(), by_value, is(json!({"value": "m2"})));
    check(kim(), json!([{"op": "Add", "path": MANAGER, "value": "m1"}]), json!({}));
}

#[test]
fn item_7_an_empty_manager_or_its_removal_clears_it() {
    let cleared = json!({MANAGER: null});
    check(kim(), json!([{"op": "Remove", "path": MANAGER}]), cleared.clone());
    check(kim(), json!([{"op": "Remove", "path": MANAGER, "value": "m1"}]), cleared.clone());
    for nobody in [json!(""), json!({"value": ""}), json!(null), json!([]), json!({"value": null})] {
        check(kim(), json!([{"op": "Replace", "path": MANAGER, "value": nobody}]), cleared.clone());
    }
    check(kim(), json!([{"op": "Add", "path": MANAGER, "value": ""}]), cleared);
    check(bare(), json!([{"op": "Replace", "path": MANAGER, "value": ""}]), json!({}));
}

#[test]
fn item_8_foreign_urns_in_a_patch_body_mean_nothing() {
    let body = json!({
        "schemas": [PATCH_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "Operations": [{"op": "Replace", "path": "displayName", "value": "Drivers"}],
    });
    let operations = read(&body).unwrap();
    let current = Tree::from_stored(group_type(), &group());
    let outcome = apply(group_type(), &current, &operations).unwrap();
    assert_eq!(outcome.tree.text("displayName"), Some("Drivers"));
}

#[test]
fn item_10_members_are_added_with_a_null_reference() {
    check_group(
        json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "u1"}, {"$ref": null, "value": "u2"}]}]),
        json!({"members": {"add": ["u1", "u2"]}}),
    );
}

#[test]
fn item_10_a_removal_with_a_list_removes_those_and_never_all() {
    check_group(
        json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "u1"}]}]),
        json!({"members": {"remove": ["u1"]}}),
    );
    check_group(
        json!([{"op": "Remove", "path": "members", "value": [{"value": "u2"}, {"value": "u1"}]}]),
        json!({"members": {"remove": ["u1", "u2"]}}),
    );
    check_group(json!([{"op": "Remove", "path": "members", "value": []}]), json!({}));
    check_group(
        json!([{"op": "Remove", "path": "members", "value": {"value": "u1"}}]),
        json!({"members": {"remove": ["u1"]}}),
    );
    check_group(
        json!([{"op": "Remove", "path": "members", "value": "u1"}]),
        json!({"members": {"remove": ["u1"]}}),
    );
}

#[test]
fn item_11_names_in_another_case() {
    check(
        kim(),
        json!([{"op": "Replace", "path": "Emails[Type eq \"Work\"].Value", "value": "new@x"}]),
        json!({"emails": [
            {"value": "new@x", "type": "work", "primary": true},
            {"value": "kim@home.example", "type": "home"},
        ]}),
    );
    check(
        kim(),
        json!([{"op": "Replace", "path": "NAME.GivenName", "value": "K"}]),
        json!({"name": {"givenName": "K", "familyName": "Dahl"}}),
    );
}

#[test]
fn item_11_an_extension_path_with_a_dot() {
    let department = format!("{ENTERPRISE_URN}:department");
    check(
        kim(),
        json!([{"op": "Replace", "path": format!("{ENTERPRISE_URN}.department"), "value": "Law"}]),
        json!({department.clone(): "Law"}),
    );
    check(
        bare(),
        json!([{"op": "Add", "path": format!("{ENTERPRISE_URN}.department"), "value": "Law"}]),
        json!({department: "Law"}),
    );
    check(
        kim(),
        json!([{"op": "Remove", "path": format!("{ENTERPRISE_URN}.manager")}]),
        json!({MANAGER: null}),
    );
}

#[test]
fn item_11_bare_texts_as_members_and_unknown_keys_in_operations() {
    check_group(
        json!([{"name": "addMember", "op": "Add", "path": "members", "value": ["u1", "u2"]}]),
        json!({"members": {"add": ["u1", "u2"]}}),
    );
    check_group(
        json!([{"op": "Add", "path": "members", "value": "u1"}]),
        json!({"members": {"add": ["u1"]}}),
    );
}

#[test]
fn item_11_the_role_that_is_primary() {
    let path = "roles[primary eq \"True\"].value";
    for op in ["Add", "Replace"] {
        check(
            bare(),
            json!([{"op": op, "path": path, "value": "admin"}]),
            json!({"roles": [{"primary": true, "value": "admin"}]}),
        );
    }
    let current = json!({"id": "u1", "userName": "kim", "roles": [{"value": "reader", "primary": true}, {"value": "x"}]});
    check(
        current.clone(),
        json!([{"op": "Replace", "path": path, "value": "admin"}]),
        json!({"roles": [{"value": "admin", "primary": true}, {"value": "x"}]}),
    );
    check(current, json!([{"op": "Remove", "path": path}]), json!({"roles": [{"value": "x"}]}));
}

#[test]
fn flagged_job_2_2_keys_of_a_value_are_paths() {
    check(
        bare(),
        json!([{"op": "replace", "value": {
            "displayName": "Kim D",
            "name.givenName": "Kim",
            "name.familyName": "D",
            format!("{ENTERPRISE_URN}:employeeNumber"): "7",
            "emails[type eq \"work\"].value": "k@x",
            "active": false,
        }}]),
        json!({
            "displayName": "Kim D",
            "name": {"givenName": "Kim", "familyName": "D"},
            format!("{ENTERPRISE_URN}:employeeNumber"): "7",
            "emails": [{"type": "work", "value": "k@x"}],
            "active": false,
        }),
    );
    check(
        bare(),
        json!([{"op": "add", "value": {ENTERPRISE_URN: {"department": "Law", "manager": "m2"}}}]),
        json!({format!("{ENTERPRISE_URN}:department"): "Law", MANAGER: {"value": "m2"}}),
    );
    check(
        kim(),
        json!([{"op": "replace", "value": {ENTERPRISE_URN: {"department": "Law"}}}]),
        json!({format!("{ENTERPRISE_URN}:department"): "Law"}),
    );
}

#[test]
fn flagged_job_2_2_a_member_is_removed_by_filter() {
    check_group(
        json!([{"op": "remove", "path": "members[value eq \"u1\"]"}]),
        json!({"members": {"remove": ["u1"]}}),
    );
}

#[test]
fn a_leaver_leaves_although_a_neighbour_is_unknown_scim_md_7() {
    check(
        kim(),
        json!([
            {"op": "Replace", "path": "active", "value": "False"},
            {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:Custom:2.0:User:badge", "value": "7"},
            {"op": "Replace", "path": "shoeSize", "value": 43},
            {"op": "Replace", "path": "name.nick", "value": "K"},
            {"op": "Replace", "value": {"a b": 1, "favouriteColour": "red"}},
        ]),
        json!({
            "active": false,
            "ignored": [
                "urn:ietf:params:scim:schemas:extension:Custom:2.0:User:badge",
                "shoeSize", "name.nick", "a b", "favouriteColour",
            ],
        }),
    );
}
