//! Which of four users a filter finds: their names, or `!` for `invalidFilter`.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::any_filter;
use crate::ScimType;
use crate::filter::{Filter, Literal, Op};
use crate::samples::{BADGE, group_type, stored_user, user_type};
use crate::schema::{AttrPath, ENTERPRISE_URN, Registry};
use crate::value::Tree;

static USERS: LazyLock<Vec<Tree>> = LazyLock::new(|| {
    let users = [
        json!({
            "id": "11AA", "userName": "anna", "externalId": "Ext-1", "title": "Lead", "active": true,
            "name": {"givenName": "Anna", "familyName": "Berg"},
            "emails": [
                {"value": "anna@home.example", "type": "home"},
                {"value": "Anna@work.example", "type": "work", "primary": true},
            ],
            "roles": [{"value": "admin", "primary": true}],
            "meta": {"created": "2026-01-01T00:00:00Z", "lastModified": "2026-06-01T12:00:00.5Z"},
            ENTERPRISE_URN: {"employeeNumber": "100", "manager": {"value": "M-1"}},
            BADGE: {"size": 7, "weight": 1.5, "since": "2026-02-01T00:00:00+01:00", "tags": ["Red", "blue"]},
        }),
        json!({
            "id": "22BB", "userName": "Bert", "externalId": "ext-1", "active": false, "displayName": "Große Straße",
            "emails": [{"value": "bert@work.example", "type": "work"}],
            "meta": {"created": "2026-03-01T00:00:00Z"},
            BADGE: {"size": 12, "photo": "aGk="},
        }),
        json!({
            "id": "33CC", "userName": "clara", "title": "",
            "name": {"familyName": "ÖDMAN"},
            "profileUrl": "https://x.example/Clara",
            ENTERPRISE_URN: {"employeeNumber": "2"},
        }),
        json!({
            "id": "44DD", "userName": "dora_%", "title": "50% off \"now\"",
            "emails": [{"value": "dora@home.example"}],
            "password": "swordfish",
        }),
    ];
    users.iter().map(stored_user).collect()
});

fn found(text: &str) -> String {
    let bound = match Filter::parse(text).and_then(|filter| filter.bind(user_type())) {
        Ok(bound) => bound,
        Err(why) => {
            assert_eq!(why.scim_type, Some(ScimType::InvalidFilter));
            return "!".into();
        }
    };
    let initials = USERS
        .iter()
        .filter(|user| bound.matches(user_type(), user))
        .filter_map(|user| user.text("userName")?.chars().next());
    initials.collect()
}

fn check(cases: &[(&str, &str)]) {
    for (filter, want) in cases {
        assert_eq!(found(filter), *want, "{filter}");
    }
}

#[test]
fn texts_are_compared_by_the_case_rule_of_their_attribute() {
    check(&[
        (r#"userName eq "ANNA""#, "a"),
        (r#"USERNAME Eq "bert""#, "B"),
        (r#"userName ne "anna""#, "Bcd"),
        (r#"userName co "A""#, "acd"),
        (r#"userName sw "B""#, "B"),
        (r#"userName ew "_%""#, "d"),
        (r#"userName sw "dora_""#, "d"),
        (r#"userName sw """#, "aBcd"),
        (r#"userName gt "b""#, "Bcd"),
        (r#"userName ge "bert""#, "Bcd"),
        (r#"userName lt "clara""#, "aB"),
        (r#"userName le "CLARA""#, "aBc"),
        (r#"title co "%""#, "d"),
        (r#"title eq "50% off \"now\"""#, "d"),
        (r#"title lt "c""#, "cd"),
        (r#"externalId eq "Ext-1""#, "a"),
        (r#"externalId eq "ext-1""#, "B"),
        (r#"externalId eq "EXT-1""#, ""),
        (r#"id eq "22BB""#, "B"),
        (r#"id eq "22bb""#, ""),
        (r#"name.familyName eq "ödman""#, "c"),
        (r#"profileUrl sw "https://x.example/C""#, "c"),
        (r#"profileUrl sw "https://x.example/c""#, ""),
    ]);
}

/// A name found by the store's key column must be found here too.
#[test]
fn case_is_folded_by_the_rule_of_the_directory() {
    check(&[
        (r#"displayName eq "GROSSE STRASSE""#, "B"),
        (r#"displayName eq " große straße ""#, "B"),
        (r#"displayName ge "GROSSE STRASSE""#, "B"),
        (r#"displayName co "ASSE""#, "B"),
        (r#"displayName co "e s""#, "B"),
        (r#"displayName ew "straẞe""#, "B"),
        (r#"displayName sw " große""#, ""),
        (r#"displayName co " ""#, "B"),
        (r#"userName eq " Anna ""#, "a"),
        (r#"userName co " ""#, ""),
        (r#"userName eq "ａｎｎａ""#, "a"),
    ]);
}

proptest! {
    #[test]
    fn equality_is_the_directorys(a in "[ aAßẞσςΣıİ\u{e4}a\u{308}K]{0,6}", b in "[ aAßẞσςΣıİ\u{e4}a\u{308}K]{0,6}") {
        let tree = stored_user(&json!({"userName": a.clone()}));
        let bound = Filter::Compare(AttrPath::parse("userName").unwrap(), Op::Eq, Literal::Text(b.clone())).bind(user_type()).unwrap();
        prop_assert_eq!(bound.matches(user_type(), &tree), directory::fold(&a) == directory::fold(&b));
    }
}

#[test]
fn absent_is_null_and_ne_is_the_negation_of_eq() {
    check(&[
        ("title pr", "ad"),
        ("not (title pr)", "Bc"),
        ("title eq null", "B"),
        ("title ne null", "acd"),
        (r#"title eq "lead""#, "a"),
        (r#"title ne "lead""#, "Bcd"),
        (r#"not (title eq "lead")"#, "Bcd"),
        ("active eq true", "a"),
        ("active eq false", "B"),
        ("active ne true", "Bcd"),
        ("not(active eq true)", "Bcd"),
        ("name pr", "ac"),
        ("name.givenName pr", "a"),
        ("emails eq null", "c"),
        ("emails pr", "aBd"),
    ]);
}

#[test]
fn lists_match_when_an_element_does_and_compare_by_value() {
    check(&[
        (r#"emails eq "anna@WORK.example""#, "a"),
        (r#"emails.value eq "anna@work.example""#, "a"),
        (r#"emails co "work""#, "aB"),
        (r#"emails ne "anna@work.example""#, "Bcd"),
        (r#"emails.type eq "work""#, "aB"),
        ("emails.type pr", "aB"),
        ("emails.primary eq true", "a"),
        (r#"roles eq "Admin""#, "a"),
        (r#"urn:example:badge:2.0:User:tags eq "red""#, "a"),
        (r#"urn:example:badge:2.0:User:tags.value co "lu""#, "a"),
        (r#"urn:example:badge:2.0:User:tags[value eq "RED"]"#, "a"),
    ]);
}

#[test]
fn a_value_path_wants_one_element_to_match_whole() {
    check(&[
        (r#"emails[type eq "work"]"#, "aB"),
        (r#"emails[type eq "work" and value co "anna"]"#, "a"),
        (r#"emails[type eq "home" and primary eq true]"#, ""),
        (r#"emails[type eq "home" or primary eq true]"#, "a"),
        (r#"emails[not (type eq "work")]"#, "ad"),
        (r#"emails[not(type pr)]"#, "d"),
        ("emails[type eq null]", "d"),
        (r#"emails[value ne "anna@work.example"]"#, "aBd"),
        (r#"emails[type eq "work"] and active eq false"#, "B"),
        (r#"not (emails[type eq "work"])"#, "cd"),
    ]);
}

#[test]
fn entra_matching_filters_scim_md_2_1_item_3() {
    check(&[
        (r#"userName eq "ANNA""#, "a"),
        (r#"externalId eq "Ext-1""#, "a"),
        (r#"emails[type eq "work"].value eq "bert@work.example""#, "B"),
        (r#"emails[type eq "work"].value eq "anna@home.example""#, ""),
        (r#"EMAILS[TYPE EQ "WORK"].VALUE EQ "ANNA@WORK.EXAMPLE""#, "a"),
        (r#"emails[type eq "work"].value eq "bert@work.example" and active eq "False""#, "B"),
    ]);
}

#[test]
fn booleans_may_be_texts_scim_md_2_1_item_1() {
    check(&[
        (r#"active eq "True""#, "a"),
        (r#"active eq "false""#, "B"),
        (r#"roles[primary eq "True"]"#, "a"),
    ]);
}

#[test]
fn entra_test_connection_finds_nobody_scim_md_2_1_item_4() {
    check(&[(r#"userName eq "3e2b1d44-9a5e-4f7c-8a58-0c6fdc1e2f11""#, "")]);
}

#[test]
fn numbers_dates_and_binaries_are_compared_as_such() {
    check(&[
        (r#"meta.created eq "2026-01-01T01:00:00+01:00""#, "a"),
        (r#"meta.created gt "2026-01-01T00:00:00Z""#, "B"),
        (r#"meta.created ge "2026-01-01T00:00:00.000Z""#, "aB"),
        (r#"meta.created lt "2026-03-01T00:30:00+02:00""#, "a"),
        (r#"meta.lastModified eq "2026-06-01T12:00:00.500""#, "a"),
        (r#"urn:example:badge:2.0:User:since eq "2026-01-31T23:00:00Z""#, "a"),
        ("urn:example:badge:2.0:User:size gt 7", "B"),
        ("urn:example:badge:2.0:User:size ge 7.0", "aB"),
        ("urn:example:badge:2.0:User:size lt 7.5", "a"),
        ("urn:example:badge:2.0:User:size ne 7", "Bcd"),
        ("urn:example:badge:2.0:User:weight eq 1.5", "a"),
        ("urn:example:badge:2.0:User:weight le 2", "a"),
        (r#"urn:example:badge:2.0:User:photo eq "aGk=""#, "B"),
        (r#"urn:example:badge:2.0:User:photo eq "AGK=""#, ""),
    ]);
}

#[test]
fn urns_lead_into_extensions() {
    check(&[
        (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "anna""#, "a"),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "100""#, "a"),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber gt "10""#, "ac"),
        (r#"URN:ietf:params:scim:schemas:extension:enterprise:2.0:user:MANAGER eq "M-1""#, "a"),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "m-1""#, ""),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager pr", "a"),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.employeeNumber eq "2""#, "c"),
    ]);
}

#[test]
fn schemas_can_be_asked_for_rfc_7644_section_3_4_2_2() {
    check(&[
        (r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#, "ac"),
        (r#"SCHEMAS eq "URN:IETF:params:scim:schemas:core:2.0:User""#, "aBcd"),
        (r#"schemas ne "urn:example:badge:2.0:User""#, "cd"),
        (r#"schemas[value sw "urn:example:"]"#, "aB"),
        (r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:Group""#, ""),
        ("schemas pr", "aBcd"),
    ]);
}

#[test]
fn and_binds_tighter_than_or() {
    check(&[
        (r#"userName eq "clara" or title pr and active eq false"#, "c"),
        (r#"(userName eq "clara" or title pr) and active eq true"#, "a"),
        (r#"userName eq "anna" or userName eq "bert" or userName eq "clara""#, "aBc"),
        ("not (active pr) and not (title pr)", "c"),
        ("not (active pr or title pr)", "c"),
    ]);
}

#[test]
fn a_filter_on_an_unknown_attribute_is_always_refused_scim_md_7() {
    check(&[
        (r#"nosuch eq "x""#, "!"),
        ("nosuch pr", "!"),
        (r#"name.nosuch eq "x""#, "!"),
        (r#"userName.value eq "x""#, "!"),
        (r#"emails[nosuch eq "x"]"#, "!"),
        (r#"emails[emails.type eq "x"]"#, "!"),
        (r#"emails[type eq "work"].nosuch eq "x""#, "!"),
        (r#"department eq "Grid""#, "!"),
        (r#"urn:example:none:User:x eq "x""#, "!"),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr"#, "!"),
        (r#"members eq "x""#, "!"),
        (r#"userName eq "anna" or nosuch pr"#, "!"),
    ]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    check(&[
        ("userName eq 5", "!"),
        ("userName eq true", "!"),
        (r#"active eq "maybe""#, "!"),
        ("active eq 1", "!"),
        ("active gt true", "!"),
        ("active co true", "!"),
        ("title gt null", "!"),
        ("title sw null", "!"),
        (r#"meta.created co "20""#, "!"),
        (r#"meta.created eq "yesterday""#, "!"),
        ("meta.created eq 5", "!"),
        (r#"urn:example:badge:2.0:User:size eq "7""#, "!"),
        ("urn:example:badge:2.0:User:size co 7", "!"),
        (r#"urn:example:badge:2.0:User:photo gt "a""#, "!"),
        (r#"name eq "x""#, "!"),
        (r#"addresses eq "x""#, "!"),
        (r#"name[givenName eq "x"]"#, "!"),
        (r#"emails.value[type eq "x"]"#, "!"),
    ]);
}

#[test]
fn what_is_never_returned_cannot_be_guessed_by_filters() {
    check(&[
        ("password pr", "!"),
        (r#"password sw "s""#, "!"),
        ("urn:example:badge:2.0:User:hidden pr", "!"),
        (r#"urn:example:badge:2.0:User:keys[code sw "a"]"#, "!"),
        (r#"urn:example:badge:2.0:User:keys.code eq "a""#, "!"),
    ]);
}

#[test]
fn group_filters_bind_to_what_the_store_must_answer_scim_md_2_1_item_9() {
    let bound = Filter::parse(r#"id eq "G" and members eq "U""#).unwrap().bind(group_type()).unwrap();
    let Filter::And(parts) = &bound else { panic!("{bound:?}") };
    let Filter::Compare(members, Op::Eq, literal) = &parts[1] else { panic!("{bound:?}") };
    assert_eq!((members.path().as_str(), literal), ("members.value", &Literal::Text("U".into())));
    assert!(members.attribute.membership && members.leaf().case_exact);
    assert!(Filter::parse(r#"userName eq "x""#).unwrap().bind(group_type()).is_err());
}

/// Sub-filters of a legal filter, for the laws below.
fn bindable() -> impl Strategy<Value = Filter> {
    prop::sample::select(vec![
        r#"userName co "a""#,
        "title pr",
        "active eq true",
        r#"emails.type eq "work""#,
        r#"emails[type eq "home"]"#,
        "name.givenName eq null",
        r#"meta.created gt "2026-02-01T00:00:00Z""#,
    ])
    .prop_map(|text| Filter::parse(text).unwrap())
}

fn names(filter: &Filter) -> Vec<bool> {
    let bound = filter.bind(user_type()).unwrap();
    USERS.iter().map(|user| bound.matches(user_type(), user)).collect()
}

proptest! {
    #[test]
    fn the_laws_of_de_morgan_hold(a in bindable(), b in bindable()) {
        let not = |filter: Filter| Filter::Not(Box::new(filter));
        prop_assert_eq!(
            names(&not(Filter::And(vec![a.clone(), b.clone()]))),
            names(&Filter::Or(vec![not(a), not(b)]))
        );
    }

    #[test]
    fn ne_is_not_eq(attr in prop::sample::select(vec!["userName", "title", "emails", "emails.type"]), text in "[a-z]{0,4}") {
        let compare = |op| Filter::Compare(AttrPath::parse(attr).unwrap(), op, Literal::Text(text.clone()));
        prop_assert_eq!(names(&compare(Op::Ne)), names(&Filter::Not(Box::new(compare(Op::Eq)))));
    }

    #[test]
    fn no_filter_makes_binding_panic(filter in any_filter(true)) {
        for kind in Registry::standard().resource_types() {
            if let Ok(bound) = filter.bind(kind) {
                for user in USERS.iter() {
                    let _ = bound.matches(kind, user);
                }
            }
        }
    }
}
