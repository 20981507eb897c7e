//! Resources and strategies that the tests of several modules share.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::schema::{Registry, ResourceType};
use crate::value::{Tree, read};

/// URN of an extension with every type and characteristic that the standard schemas lack.
pub(crate) const BADGE: &str = "urn:example:badge:2.0:User";

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::standard();
    let badge = json!({
        "id": BADGE,
        "name": "Badge",
        "attributes": [
            {"name": "size", "type": "integer"},
            {"name": "weight", "type": "decimal"},
            {"name": "since", "type": "dateTime"},
            {"name": "photo", "type": "binary", "caseExact": true},
            {"name": "tags", "multiValued": true},
            {"name": "number", "mutability": "immutable", "caseExact": true},
            {"name": "serial", "mutability": "readOnly"},
            {"name": "hint", "returned": "request"},
            {"name": "hidden", "returned": "never"},
            {"name": "seal", "type": "complex", "returned": "always", "subAttributes": [{"name": "mark"}]},
            {"name": "pin", "mutability": "writeOnly", "returned": "never"},
            {"name": "keys", "type": "complex", "multiValued": true, "subAttributes": [
                {"name": "value", "required": true, "returned": "always"},
                {"name": "type"},
                {"name": "primary", "type": "boolean"},
                {"name": "copies", "type": "integer"},
                {"name": "note", "returned": "request"},
                {"name": "code", "returned": "never"},
            ]},
        ],
    });
    registry.define(serde_json::from_value(badge).unwrap()).unwrap();
    registry.extend("User", BADGE, false).unwrap();
    registry
});

pub(crate) fn registry() -> &'static Registry {
    &REGISTRY
}

pub(crate) fn user_type() -> &'static Arc<ResourceType> {
    REGISTRY.resource_type("User").unwrap()
}

pub(crate) fn group_type() -> &'static Arc<ResourceType> {
    REGISTRY.resource_type("Group").unwrap()
}

/// A user as stored, from JSON.
pub(crate) fn stored_user(json: &Json) -> Tree {
    Tree::from_stored(user_type(), json)
}

/// A user as a client would create it.
pub(crate) fn created_user(json: &Json) -> Tree {
    read(user_type(), json).unwrap().tree
}

/// Any JSON, with names that mean something among others.
pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        prop_oneof![Just("True"), Just(""), Just("work"), Just("2026-01-01T00:00:00Z")].prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::vec((any_name(), inner), 0..6)
                .prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Attribute names, paths, URNs and nonsense.
pub(crate) fn any_name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "userName",
        "USERNAME",
        "active",
        "name",
        "givenName",
        "emails",
        "value",
        "Value",
        "type",
        "primary",
        "password",
        "id",
        "meta",
        "members",
        "$ref",
        "manager",
        "name.givenName",
        "emails[type eq \"work\"].value",
        "members[value eq \"a\"]",
        "displayName",
        "groups",
        "schemas",
        "op",
        "path",
        "Operations",
        "addresses",
        "roles",
        "tags",
        "pin",
        "hidden",
        "keys",
        "number",
    ]);
    let urns = prop::sample::select(vec![
        crate::schema::ENTERPRISE_URN.to_owned(),
        BADGE.to_owned(),
        format!("{}:manager", crate::schema::ENTERPRISE_URN),
        format!("{}.department", crate::schema::ENTERPRISE_URN),
        format!("{BADGE}:keys[value eq \"a\"].copies"),
        "urn:example:nothing".to_owned(),
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 2 => urns, 1 => "\\PC{0,20}"]
}
