//! What Okta sends: scim.md 2.3.

use serde_json::json;

use super::*;

#[test]
fn item_3_values_without_path() {
    check(kim(), json!([{"op": "replace", "value": {"active": false}}]), json!({"active": false}));
    let with_schemas = json!({"schemas": [crate::schema::USER_URN], "active": false});
    check(kim(), json!([{"op": "replace", "value": with_schemas}]), json!({"active": false}));
    check(kim(), json!([{"op": "replace", "value": {"password": "t0p"}}]), json!({"secret password": "t0p"}));
    check(
        kim(),
        json!([{"op": "add", "path": "password", "value": "a"}, {"op": "replace", "path": "password", "value": "b"}]),
        json!({"secret password": "b"}),
    );
    check(kim(), json!([{"op": "remove", "path": "password"}]), json!({"secret password": null}));
    check(kim(), json!([{"op": "replace", "path": "password", "value": 7}]), json!("invalidValue"));
}

#[test]
fn item_5_a_group_is_renamed_with_its_id_and_keeps_its_members() {
    check_group(
        json!([{"op": "replace", "value": {"id": "g1", "displayName": "Drivers"}}]),
        json!({"displayName": "Drivers"}),
    );
    check_group(json!([{"op": "replace", "value": {"id": "g1", "displayName": "Operators"}}]), json!({}));
    check_group(
        json!([{"op": "replace", "value": {"id": "g2", "displayName": "Drivers"}}]),
        json!("mutability"),
    );
    check_group(
        json!([{"op": "replace", "value": {"id": "g1", "meta": {"resourceType": "Group"}, "displayName": "D"}}]),
        json!({"displayName": "D"}),
    );
    check_group(json!([{"op": "replace", "value": {"meta": {"resourceType": "User"}}}]), json!("mutability"));
}

#[test]
fn item_6_removal_by_filter_and_addition_in_one_patch() {
    check_group(
        json!([
            {"op": "remove", "path": "members[value eq \"u1\"]"},
            {"op": "add", "path": "members", "value": [{"value": "u2", "display": "kim@x"}]},
        ]),
        json!({"members": {"add": ["u2"], "remove": ["u1"]}}),
    );
    check_group(
        json!([
            {"op": "remove", "path": "members[value eq \"u1\" or value eq \"u2\"]"},
            {"op": "add", "path": "members", "value": [{"value": "u2"}]},
        ]),
        json!({"members": {"add": ["u2"], "remove": ["u1"]}}),
    );
    check_group(
        json!([
            {"op": "add", "path": "members", "value": [{"value": "u1"}, {"value": "u2"}]},
            {"op": "remove", "path": "members[value eq \"u1\"]"},
        ]),
        json!({"members": {"add": ["u2"], "remove": ["u1"]}}),
    );
}

#[test]
fn item_6_full_pushes_replace_all_members() {
    check_group(
        json!([{"op": "replace", "path": "members", "value": []}]),
        json!({"members": {"replaceAll": true}}),
    );
    check_group(
        json!([{"op": "replace", "value": {"members": [{"value": "u1"}]}}]),
        json!({"members": {"replaceAll": true, "add": ["u1"]}}),
    );
    check_group(
        json!([
            {"op": "add", "path": "members", "value": [{"value": "u9"}]},
            {"op": "remove", "path": "members[value eq \"u8\"]"},
            {"op": "replace", "path": "members", "value": [{"value": "u1"}, {"value": "u2"}]},
            {"op": "remove", "path": "members", "value": [{"value": "u2"}]},
            {"op": "add", "path": "members", "value": [{"value": "u3"}]},
        ]),
        json!({"members": {"replaceAll": true, "add": ["u1", "u3"]}}),
    );
    check_group(json!([{"op": "remove", "path": "members"}]), json!({"members": {"replaceAll": true}}));
    check_group(
        json!([{"op": "remove", "path": "members", "value": null}]),
        json!({"members": {"replaceAll": true}}),
    );
}

#[test]
fn members_are_matched_by_other_parts_only_where_they_are_known() {
    check_group(
        json!([
            {"op": "add", "path": "members", "value": [{"value": "g2", "type": "Group"}, {"value": "u1", "type": "User"}]},
            {"op": "remove", "path": "members[type eq \"group\"]"},
        ]),
        json!({"members": {"add": ["u1"], "removeMatching": 1}}),
    );
    check_group(
        json!([
            {"op": "replace", "path": "members", "value": [{"value": "g2", "type": "Group"}]},
            {"op": "remove", "path": "members[type eq \"Group\"]"},
        ]),
        json!({"members": {"replaceAll": true}}),
    );
}

#[test]
fn members_are_whole_and_known_by_their_id() {
    for (operation, want) in [
        (json!({"op": "add", "path": "members", "value": [{"type": "User"}]}), "invalidValue"),
        (json!({"op": "add", "path": "members", "value": [7]}), "invalidValue"),
        (json!({"op": "replace", "path": "members[value eq \"u1\"].display", "value": "x"}), "mutability"),
        (json!({"op": "replace", "path": "members[value eq \"u1\"].value", "value": "u2"}), "mutability"),
        (json!({"op": "remove", "path": "members.value"}), "mutability"),
        (json!({"op": "add", "path": "members[type eq \"User\"]", "value": {"value": "u1"}}), "noTarget"),
        (json!({"op": "remove", "path": "members[nosuch eq \"u1\"]"}), "invalidFilter"),
        (json!({"op": "remove", "path": "displayName"}), "mutability"),
    ] {
        check_group(json!([operation]), json!(want));
    }
    check_group(
        json!([{"op": "add", "path": "members[value eq \"u1\"]", "value": {"type": "User"}}]),
        json!("invalidValue"),
    );
    check_group(
        json!([{"op": "replace", "path": "members[value eq \"u1\"]", "value": {"value": "u2"}}]),
        json!({"members": {"add": ["u2"], "remove": ["u1"]}}),
    );
}
