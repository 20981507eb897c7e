use serde_json::json;

use super::*;
use crate::samples::{stored_user, user_type};

fn parse(raw: &str) -> Query {
    Query::parse(raw).unwrap()
}

#[test]
fn pages_start_at_one_and_counts_are_not_negative() {
    for (raw, start_index, count) in [
        ("", 1, None),
        ("startIndex=1&count=2", 1, Some(2)),
        ("startIndex=0", 1, None),
        ("startIndex=-7&count=-1", 1, Some(0)),
        ("startIndex=101&count=0", 101, Some(0)),
        ("STARTINDEX=3&Count=4", 3, Some(4)),
        ("startIndex=&count=", 1, None),
    ] {
        let query = parse(raw);
        assert_eq!((query.start_index, query.count), (start_index, count), "{raw}");
    }
}

#[test]
fn unknown_query_parameters_are_ignored_scim_md_2_2() {
    assert_eq!(parse("aadOptscim062020&foo=bar&api-version=2"), Query::default());
}

#[test]
fn entra_probes_with_an_encoded_filter_scim_md_2_1_items_3_and_4() {
    let query = parse("filter=userName+eq+%22Kim%40Example.com%22");
    assert_eq!(query.filter.unwrap().to_string(), r#"userName eq "Kim@Example.com""#);
    let query = parse("excludedAttributes=members&filter=id%20eq%20%22g%22%20and%20members%20eq%20%22u%22");
    assert_eq!(query.filter.unwrap().to_string(), r#"id eq "g" and members eq "u""#);
    assert_eq!(query.excluded, [AttrPath::parse("members").unwrap()]);
}

#[test]
fn wrong_parameters_are_refused_by_name() {
    for (raw, scim_type, says) in [
        ("count=ten", ScimType::InvalidValue, "count"),
        ("startIndex=1.5", ScimType::InvalidValue, "startIndex"),
        ("sortBy=a%20b", ScimType::InvalidValue, "sortBy"),
        ("filter=userName", ScimType::InvalidFilter, "operator"),
    ] {
        let why = Query::parse(raw).unwrap_err();
        assert_eq!(why.scim_type, Some(scim_type), "{raw}");
        assert!(why.detail.contains(says), "{raw}: {why}");
    }
}

#[test]
fn attribute_lists_are_split_at_commas() {
    let query = parse("attributes=userName,%20name.givenName,,;");
    let want: Vec<AttrPath> =
        ["userName", "name.givenName"].map(|name| AttrPath::parse(name).unwrap()).into();
    assert_eq!(query.attributes, Some(want));
    assert_eq!(parse("attributes=").attributes, None);
    assert_eq!(parse("attributes=%3B").attributes, Some(Vec::new()), "nothing known was asked for");
}

#[test]
fn a_list_answers_in_the_form_of_rfc_7644_section_3_4_2() {
    let list = ListResponse { total_results: 7, start_index: 3, resources: vec![json!({"id": "a"})] };
    assert_eq!(
        serde_json::to_value(list).unwrap(),
        json!({
            "schemas": [LIST_URN],
            "totalResults": 7,
            "startIndex": 3,
            "itemsPerPage": 1,
            "Resources": [{"id": "a"}],
        })
    );
}

#[test]
fn sorting_minds_case_primary_and_absence_as_rfc_7644_section_3_4_2_3_says() {
    let users = [
        json!({"userName": "b", "title": "x", "emails": [{"value": "z@x"}, {"value": "A@x", "primary": true}]}),
        json!({"userName": "A", "active": true, "emails": [{"value": "c@x"}], "externalId": "a"}),
        json!({"userName": "c", "title": "Y", "active": false, "externalId": "B"}),
    ];
    for (by, descending, want) in [
        ("userName", false, "A b c"),
        ("userName", true, "c b A"),
        ("title", false, "b c A"),
        ("title", true, "A c b"),
        ("emails", false, "b A c"),
        ("emails.value", false, "b A c"),
        ("active", false, "c A b"),
        ("externalId", false, "c A b"),
    ] {
        let by_path = user_type().resolve_attribute(&AttrPath::parse(by).unwrap()).unwrap();
        let mut trees: Vec<Tree> = users.iter().map(stored_user).collect();
        let key = |tree: &Tree| SortKey::of(&by_path, tree);
        trees.sort_by(|a, b| key(a).order(&key(b), descending));
        let names: Vec<&str> = trees.iter().map(|tree| tree.text("userName").unwrap()).collect();
        assert_eq!(names.join(" "), want, "{by}");
    }
}
