//! RFC 7644, section 3.5.2, form by form.

use serde_json::json;

use super::*;
use crate::samples::BADGE;

#[test]
fn add_sets_merges_and_appends() {
    check(bare(), json!([{"op": "add", "path": "title", "value": "Head"}]), json!({"title": "Head"}));
    check(kim(), json!([{"op": "add", "path": "title", "value": "Head"}]), json!({"title": "Head"}));
    check(
        kim(),
        json!([{"op": "add", "path": "name", "value": {"middleName": "M", "familyName": "D"}}]),
        json!({"name": {"givenName": "Kim", "familyName": "D", "middleName": "M"}}),
    );
    check(
        kim(),
        json!([{"op": "add", "path": "emails", "value": [{"value": "third@x"}]}]),
        json!({"emails": [
            {"value": "kim@work.example", "type": "work", "primary": true},
            {"value": "kim@home.example", "type": "home"},
            {"value": "third@x"},
        ]}),
    );
    check(
        bare(),
        json!([{"op": "add", "value": {"emails": [{"value": "a@x"}], "nickName": "K"}}]),
        json!({"nickName": "K", "emails": [{"value": "a@x"}]}),
    );
    check(
        bare(),
        json!([{"op": "add", "path": "name.givenName", "value": "Kim"}]),
        json!({"name": {"givenName": "Kim"}}),
    );
}

#[test]
fn adding_what_is_there_changes_nothing() {
    check(
        kim(),
        json!([{"op": "add", "path": "emails", "value": [{"value": "kim@home.example", "type": "home"}]}]),
        json!({}),
    );
    check(kim(), json!([{"op": "add", "path": "emails", "value": {"value": "kim@home.example"}}]), json!({}));
    check(kim(), json!([{"op": "add", "path": "title", "value": "Lead"}]), json!({}));
    check(kim(), json!([{"op": "add", "path": "name", "value": {"givenName": "Kim"}}]), json!({}));
    check(
        bare(),
        json!([{"op": "add", "path": "emails", "value": [{"value": "a@x"}, {"value": "a@x"}]}]),
        json!({"emails": [{"value": "a@x"}]}),
    );
    for nothing in [json!(null), json!([]), json!({})] {
        check(kim(), json!([{"op": "add", "path": "name", "value": nothing}]), json!({}));
        check(kim(), json!([{"op": "add", "path": "emails", "value": nothing}]), json!({}));
        check(kim(), json!([{"op": "add", "path": "emails[type eq \"x\"]", "value": nothing}]), json!({}));
    }
    check(kim(), json!([{"op": "add", "path": "title", "value": null}]), json!({}));
}

#[test]
fn adding_the_same_value_completes_it_and_another_type_is_another_value() {
    check(
        bare(),
        json!([
            {"op": "add", "path": "emails", "value": [{"value": "a@x", "type": "work"}]},
            {"op": "add", "path": "emails", "value": [{"value": "A@x", "type": "work", "display": "A"}]},
            {"op": "add", "path": "emails", "value": [{"value": "a@x", "type": "home"}]},
        ]),
        json!({"emails": [{"value": "A@x", "type": "work", "display": "A"}, {"value": "a@x", "type": "home"}]}),
    );
    check(
        json!({"id": "u1", "userName": "kim", "addresses": [{"type": "work", "country": "NO"}]}),
        json!([
            {"op": "add", "path": "addresses", "value": [{"type": "work", "country": "NO", "primary": true}]},
            {"op": "add", "path": "addresses", "value": [{"type": "work", "country": "SE"}]},
        ]),
        json!({"addresses": [{"type": "work", "country": "NO", "primary": true}, {"type": "work", "country": "SE"}]}),
    );
}

#[test]
fn replace_sets_lists_whole_and_complex_values_by_part() {
    check(kim(), json!([{"op": "replace", "path": "title", "value": "Head"}]), json!({"title": "Head"}));
    check(
        kim(),
        json!([{"op": "replace", "path": "name", "value": {"familyName": "D"}}]),
        json!({"name": {"givenName": "Kim", "familyName": "D"}}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "emails", "value": [{"value": "only@x"}]}]),
        json!({"emails": [{"value": "only@x"}]}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "name.familyName", "value": "D"}]),
        json!({"name": {"givenName": "Kim", "familyName": "D"}}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "name", "value": {"familyName": null}}]),
        json!({"name": {"givenName": "Kim"}}),
    );
    check(bare(), json!([{"op": "replace", "path": "nickName", "value": "K"}]), json!({"nickName": "K"}));
}

#[test]
fn replacing_by_nothing_is_removing_rfc_7643_section_2_5() {
    for nothing in [json!(null), json!([]), json!({})] {
        check(kim(), json!([{"op": "replace", "path": "emails", "value": nothing}]), json!({"emails": null}));
        check(kim(), json!([{"op": "replace", "path": "name", "value": nothing}]), json!({"name": null}));
    }
    check(
        kim(),
        json!([{"op": "replace", "value": {"title": null, "emails": []}}]),
        json!({"title": null, "emails": null}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "emails[type eq \"home\"]", "value": null}]),
        json!({"emails": [{"value": "kim@work.example", "type": "work", "primary": true}]}),
    );
}

#[test]
fn replace_through_a_value_path_exchanges_elements_or_parts() {
    check(
        kim(),
        json!([{"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "new@x"}}]),
        json!({"emails": [{"type": "work", "value": "new@x"}, {"value": "kim@home.example", "type": "home"}]}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "emails[value eq \"KIM@work.example\"].value", "value": "new@x"}]),
        json!({"emails": [
            {"value": "new@x", "type": "work", "primary": true},
            {"value": "kim@home.example", "type": "home"},
        ]}),
    );
    check(
        kim(),
        json!([{"op": "add", "path": "emails[type eq \"home\"]", "value": {"display": "Home"}}]),
        json!({"emails": [
            {"value": "kim@work.example", "type": "work", "primary": true},
            {"value": "kim@home.example", "type": "home", "display": "Home"},
        ]}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "emails[type pr].display", "value": "D"}]),
        json!({"emails": [
            {"value": "kim@work.example", "type": "work", "primary": true, "display": "D"},
            {"value": "kim@home.example", "type": "home", "display": "D"},
        ]}),
    );
}

#[test]
fn a_filter_that_does_not_describe_an_element_has_no_target() {
    for path in [
        "emails[type ne \"work\" and type ne \"home\"].value",
        "emails[value co \"nobody\"].display",
        "emails[not (type pr)].value",
        "emails[type eq \"a\" or type eq \"b\"].value",
        "emails[type eq null].value",
        // What should find it is what should change.
        "emails[value eq \"nobody@x\"].value",
    ] {
        check(kim(), json!([{"op": "replace", "path": path, "value": "x"}]), json!("noTarget"));
    }
    check(
        bare(),
        json!([{"op": "add", "path": "emails[type eq \"work\" and primary eq true].value", "value": "x"}]),
        json!({"emails": [{"type": "work", "primary": true, "value": "x"}]}),
    );
}

#[test]
fn remove_takes_attributes_elements_and_parts() {
    let work = json!({"value": "kim@work.example", "type": "work", "primary": true});
    let home = json!({"value": "kim@home.example", "type": "home"});
    check(kim(), json!([{"op": "remove", "path": "title"}]), json!({"title": null}));
    check(kim(), json!([{"op": "remove", "path": "emails"}]), json!({"emails": null}));
    check(
        kim(),
        json!([{"op": "remove", "path": "name.givenName"}]),
        json!({"name": {"familyName": "Dahl"}}),
    );
    check(
        kim(),
        json!([{"op": "remove", "path": "name.givenName"}, {"op": "remove", "path": "name.familyName"}]),
        json!({"name": null}),
    );
    check(kim(), json!([{"op": "remove", "path": "emails[type eq \"work\"]"}]), json!({"emails": [home]}));
    check(kim(), json!([{"op": "remove", "path": "emails[type pr]"}]), json!({"emails": null}));
    check(
        kim(),
        json!([{"op": "remove", "path": "emails[type eq \"work\"].primary"}]),
        json!({"emails": [{"value": "kim@work.example", "type": "work"}, home]}),
    );
    check(
        kim(),
        json!([{"op": "remove", "path": "emails.type"}]),
        json!({"emails": [{"value": "kim@work.example", "primary": true}, {"value": "kim@home.example"}]}),
    );
    check(
        kim(),
        json!([{"op": "remove", "path": "emails", "value": [{"value": "KIM@home.example"}]}]),
        json!({"emails": [work]}),
    );
    check(kim(), json!([{"op": "remove", "path": "emails", "value": [{"value": "x"}]}]), json!({}));
    check(kim(), json!([{"op": "remove", "path": "emails", "value": []}]), json!({}));
    check(
        kim(),
        json!([{"op": "remove", "path": "emails", "value": [{"type": "home"}]}]),
        json!({"emails": [work]}),
    );
}

#[test]
fn an_element_without_a_value_left_is_dropped() {
    check(
        kim(),
        json!([{"op": "remove", "path": "emails[type eq \"work\"].value"}]),
        json!({"emails": [{"value": "kim@home.example", "type": "home"}]}),
    );
    check(kim(), json!([{"op": "remove", "path": "emails.value"}]), json!({"emails": null}));
    check(
        json!({"id": "u1", "userName": "kim", "addresses": [{"type": "work", "country": "NO", "region": "R"}]}),
        json!([{"op": "remove", "path": "addresses[type eq \"work\"].country"}]),
        json!({"addresses": [{"type": "work", "region": "R"}]}),
    );
}

#[test]
fn an_element_without_a_value_from_before_stays_until_it_is_touched() {
    let current = json!({"id": "u1", "userName": "kim", "emails": [{"type": "work", "primary": true}]});
    check(current.clone(), json!([{"op": "remove", "path": "emails[type eq \"work\"].value"}]), json!({}));
    check(
        current.clone(),
        json!([{"op": "add", "path": "emails[type eq \"work\"].value", "value": "k@x"}]),
        json!({"emails": [{"type": "work", "primary": true, "value": "k@x"}]}),
    );
    check(
        current,
        json!([{"op": "add", "path": "emails", "value": [{"type": "home", "value": "h@x"}]}]),
        json!({"emails": [{"type": "work", "primary": true}, {"type": "home", "value": "h@x"}]}),
    );
}

#[test]
fn primary_moves_and_is_one_at_most() {
    check(
        kim(),
        json!([{"op": "add", "path": "emails", "value": [{"value": "third@x", "primary": true}]}]),
        json!({"emails": [
            {"value": "kim@work.example", "type": "work", "primary": false},
            {"value": "kim@home.example", "type": "home"},
            {"value": "third@x", "primary": true},
        ]}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}]),
        json!({"emails": [
            {"value": "kim@work.example", "type": "work", "primary": false},
            {"value": "kim@home.example", "type": "home", "primary": true},
        ]}),
    );
    let both = json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}]);
    check(kim(), json!([{"op": "add", "path": "emails", "value": both}]), json!("invalidValue"));
    check(
        kim(),
        json!([{"op": "replace", "path": "emails[type pr].primary", "value": true}]),
        json!("invalidValue"),
    );
}

#[test]
fn a_part_of_several_elements_needs_a_filter() {
    check(kim(), json!([{"op": "replace", "path": "emails.value", "value": "x"}]), json!("invalidPath"));
    check(
        bare(),
        json!([{"op": "replace", "path": "emails.value", "value": "x"}]),
        json!({"emails": [{"value": "x"}]}),
    );
    let one = json!({"id": "u1", "userName": "kim", "emails": [{"value": "a", "type": "work"}]});
    check(
        one,
        json!([{"op": "add", "path": "emails.value", "value": "b"}]),
        json!({"emails": [{"value": "b", "type": "work"}]}),
    );
}

#[test]
fn an_extension_urn_alone_is_a_path() {
    let at = |name: &str| format!("{ENTERPRISE_URN}:{name}");
    check(
        kim(),
        json!([{"op": "remove", "path": ENTERPRISE_URN}]),
        json!({at("department"): null, at("manager"): null}),
    );
    check(
        bare(),
        json!([{"op": "add", "path": ENTERPRISE_URN, "value": {"Department": "Law", "manager": "m2"}}]),
        json!({at("department"): "Law", at("manager"): {"value": "m2"}}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": ENTERPRISE_URN.to_uppercase(), "value": {"department": "Law", "manager": null}}]),
        json!({at("department"): "Law", at("manager"): null}),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": ENTERPRISE_URN, "value": null}]),
        json!({at("department"): null, at("manager"): null}),
    );
    check(kim(), json!([{"op": "add", "path": ENTERPRISE_URN, "value": null}]), json!({}));
    check(kim(), json!([{"op": "add", "path": ENTERPRISE_URN, "value": "x"}]), json!("invalidValue"));
    check(
        kim(),
        json!([{"op": "add", "path": ENTERPRISE_URN, "value": {"floor": 3}}]),
        json!({"ignored": [at("floor")]}),
    );
}

#[test]
fn what_clients_may_not_set_is_refused_by_mutability() {
    for path in ["id", "schemas", "meta", "meta.version", "groups", "groups[value eq \"g\"].display"] {
        for op in ["add", "replace", "remove"] {
            check(kim(), json!([{"op": op, "path": path, "value": "x"}]), json!("mutability"));
        }
    }
    check(
        kim(),
        json!([{"op": "replace", "path": format!("{ENTERPRISE_URN}:manager.displayName"), "value": "Mo"}]),
        json!("mutability"),
    );
    check(
        kim(),
        json!([{"op": "add", "path": format!("{BADGE}:serial"), "value": "s"}]),
        json!("mutability"),
    );
    check(kim(), json!([{"op": "add", "value": {"id": "u2"}}]), json!("mutability"));
    check(kim(), json!([{"op": "add", "value": {"groups": [{"value": "g"}]}}]), json!("mutability"));
    check(
        kim(),
        json!([{"op": "add", "value": {"groups": [], "meta": null, "id": "u1", "schemas": []}}]),
        json!({}),
    );
}

#[test]
fn required_attributes_cannot_go_and_immutable_ones_cannot_change() {
    for value in [json!(null), json!(""), json!([])] {
        check(kim(), json!([{"op": "replace", "path": "userName", "value": value}]), json!("mutability"));
    }
    check(kim(), json!([{"op": "remove", "path": "userName"}]), json!("mutability"));
    let number = format!("{BADGE}:number");
    let mut current = bare();
    check(
        current.clone(),
        json!([{"op": "add", "path": number, "value": "n1"}]),
        json!({number.clone(): "n1"}),
    );
    current[BADGE] = json!({"number": "n1"});
    check(current.clone(), json!([{"op": "replace", "path": number, "value": "n1"}]), json!({}));
    check(current.clone(), json!([{"op": "replace", "path": number, "value": "n2"}]), json!("mutability"));
    check(current, json!([{"op": "remove", "path": number}]), json!("mutability"));
    let keys = json!([{"op": "add", "path": format!("{BADGE}:keys[type eq \"spare\"].copies"), "value": 2}]);
    check(bare(), keys, json!("mutability"));
}

#[test]
fn a_user_from_before_a_rule_can_still_be_disabled() {
    let nameless = json!({"id": "u1", "active": true});
    check(nameless, json!([{"op": "replace", "path": "active", "value": false}]), json!({"active": false}));
}

#[test]
fn a_patch_is_whole_or_not_at_all() {
    check(
        kim(),
        json!([{"op": "replace", "path": "title", "value": "Head"}, {"op": "replace", "path": "active", "value": "maybe"}]),
        json!("invalidValue"),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "title", "value": "Head"}, {"op": "replace", "path": "title", "value": "Lead"}]),
        json!({}),
    );
    check(
        kim(),
        json!([{"op": "remove", "path": "userName"}, {"op": "add", "path": "userName", "value": "kim2"}]),
        json!({"userName": "kim2"}),
    );
}

#[test]
fn what_an_operation_lacks_is_named_by_the_right_keyword() {
    check(kim(), json!([{"op": "remove"}]), json!("noTarget"));
    check(kim(), json!([{"op": "remove", "value": {"title": "Lead"}}]), json!("noTarget"));
    check(kim(), json!([{"op": "add", "path": "title"}]), json!("invalidValue"));
    check(kim(), json!([{"op": "replace"}]), json!("invalidValue"));
    check(kim(), json!([{"op": "replace", "value": "x"}]), json!("invalidValue"));
    check(
        kim(),
        json!([{"op": "replace", "path": "name[givenName eq \"Kim\"].familyName", "value": "x"}]),
        json!("invalidPath"),
    );
    check(
        kim(),
        json!([{"op": "replace", "path": "emails[nosuch eq \"x\"].value", "value": "x"}]),
        json!("invalidFilter"),
    );
}

#[test]
fn lists_of_plain_values_have_elements_too() {
    let tags = format!("{BADGE}:tags");
    let mut current = bare();
    current[BADGE] = json!({"tags": ["red", "blue"]});
    check(
        current.clone(),
        json!([{"op": "add", "path": tags, "value": ["RED", "green"]}]),
        json!({tags.clone(): ["red", "blue", "green"]}),
    );
    check(
        current.clone(),
        json!([{"op": "remove", "path": format!("{tags}[value eq \"red\"]")}]),
        json!({tags.clone(): ["blue"]}),
    );
    check(
        current.clone(),
        json!([{"op": "remove", "path": tags, "value": ["Red", "blue"]}]),
        json!({tags.clone(): null}),
    );
    check(
        current.clone(),
        json!([{"op": "add", "path": format!("{tags}[value eq \"new\"]"), "value": "new"}]),
        json!({tags.clone(): ["red", "blue", "new"]}),
    );
    check(
        current,
        json!([{"op": "replace", "path": format!("{tags}[value eq \"red\"].value"), "value": "pink"}]),
        json!({tags: ["pink", "blue"]}),
    );
}

#[test]
fn lists_stay_bounded() {
    let more = |from: usize| -> Vec<String> { (from..from + 400).map(|n| n.to_string()).collect() };
    let adds: Vec<Json> =
        [0, 400, 800].map(|from| json!({"op": "add", "path": "roles", "value": more(from)})).into();
    check(bare(), json!(adds[..2]).clone(), patch(user_type(), &bare(), &json!(adds[..2])));
    check(bare(), json!(adds), json!("invalidValue"));
}

#[test]
fn a_list_of_nothing_is_nothing_and_no_element_is_left_that_says_nothing() {
    for nothing in [json!(null), json!([]), json!([null]), json!([{}, [null]])] {
        for path in ["emails.type", "emails[type eq \"x\"].type", "emails[primary eq true].display"] {
            check(bare(), json!([{"op": "add", "path": path, "value": nothing}]), json!({}));
            check(bare(), json!([{"op": "replace", "path": path, "value": nothing}]), json!({}));
        }
        check(kim(), json!([{"op": "add", "path": "emails.type", "value": nothing}]), json!({}));
    }
    let emptied = json!({"value": null, "type": null});
    check(
        kim(),
        json!([{"op": "add", "path": "emails[type eq \"home\"]", "value": emptied}]),
        json!({"emails": [{"value": "kim@work.example", "type": "work", "primary": true}]}),
    );
}

#[test]
fn no_element_is_made_of_what_no_attribute_can_be() {
    for path in [
        "x509Certificates[value eq \"no base64!\"].display".to_owned(),
        format!("{BADGE}:keys[copies eq 1.5].value"),
    ] {
        check(bare(), json!([{"op": "add", "path": path, "value": "a"}]), json!("noTarget"));
    }
    check_group(
        json!([{"op": "add", "path": "members[value eq \"\"]", "value": [{"value": "u1"}]}]),
        json!("noTarget"),
    );
}
