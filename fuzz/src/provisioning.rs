//! What HR systems write: filters, paths, and the bodies of PATCH and PUT.

use std::sync::{Arc, LazyLock};

use scim::filter::{Filter, MAX_TERMS};
use scim::list::Query;
use scim::patch::{self, Outcome, PatchOp, Verb};
use scim::path::{PatchPath, Target};
use scim::schema::{AttrPath, Registry, ResourceType};
use scim::value::{self, MAX_ELEMENTS, Projection, Tree, Value};
use serde_json::{Value as Json, json};

/// An extension with every type and characteristic that the standard schemas lack.
const BADGE: &str = include_str!("badge.json");

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::standard();
    let badge = serde_json::from_str(BADGE).expect("a schema");
    registry.define(badge).expect("a good schema");
    registry.extend("User", "urn:example:badge:2.0:User", false).expect("an extension of users");
    registry
});

/// Resources as the store hands them over: a user with a little of everything, one with nothing but a name, a group.
static STORED: LazyLock<Vec<(Arc<ResourceType>, Tree)>> = LazyLock::new(|| {
    let full = json!({
        "id": "u1", "userName": "kim", "externalId": "x1", "active": true, "title": "Lead",
        "name": {"givenName": "Kim", "familyName": "Dahl"},
        "emails": [
            {"value": "kim@work.example", "type": "work", "primary": true},
            {"value": "kim@home.example", "type": "home"},
        ],
        "groups": [{"value": "g1", "display": "Operators", "type": "direct"}],
        "x509Certificates": [{"value": "AAAA", "type": "a"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Grid", "manager": {"value": "m1"},
        },
        "urn:example:badge:2.0:User": {
            "size": 1, "weight": 1.5, "since": "2026-01-01T00:00:00Z", "photo": "AAAA", "tags": ["red", "blue"],
            "number": "7", "serial": "s", "hidden": "h", "keys": [{"value": "a", "copies": 1, "code": "c"}],
        },
        "meta": {"resourceType": "User", "version": "W/\"1\""},
    });
    let bare = json!({"id": "u1", "userName": "kim", "active": true});
    let group = json!({"id": "g1", "displayName": "Operators", "meta": {"resourceType": "Group"}});
    let stored = |name: &str, json: &Json| {
        let kind = REGISTRY.resource_type(name).expect("a standard type").clone();
        let tree = Tree::from_stored(&kind, json);
        (kind, tree)
    };
    vec![stored("User", &full), stored("User", &bare), stored("Group", &group)]
});

/// What was printed reads back as the same. Printing may cost a pair of parentheses or a longer number, so that only
/// what stood at a limit goes over it.
fn reads_back<T: PartialEq + std::fmt::Debug>(read: &T, printed: &str, again: Result<T, scim::ScimError>) {
    match again {
        Ok(again) => assert_eq!(again, *read, "{printed}"),
        Err(why) => assert!(why.detail.contains("at most"), "{printed}: {why}"),
    }
}

/// A filter is read, printed and asked of resources; its negation says the opposite.
pub fn scim_filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The same as it stands in an address, beside what else can be asked.
    let _ = Query::parse(text);
    let Ok(filter) = Filter::parse(text) else { return };
    assert!(filter.terms() <= MAX_TERMS);
    let printed = filter.to_string();
    reads_back(&filter, &printed, Filter::parse(&printed));
    for (kind, tree) in STORED.iter() {
        if let Ok(bound) = filter.bind(kind) {
            let matches = bound.matches(kind, tree);
            assert_ne!(Filter::Not(Box::new(bound)).matches(kind, tree), matches);
        }
    }
}

/// A path is read and printed, and what it leads to is found under its canonical name.
pub fn scim_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(path) = AttrPath::parse(text) {
        assert_eq!(AttrPath::parse(&path.to_string()).as_ref(), Some(&path));
    }
    let Ok(path) = PatchPath::parse(text) else { return };
    let printed = path.to_string();
    reads_back(&path, &printed, PatchPath::parse(&printed));
    for (kind, _) in STORED.iter() {
        let Ok(Some(Target::Attribute(target))) = path.resolve(kind) else { continue };
        assert!(target.filter.is_none() || target.at.attribute.multi_valued, "{printed}");
        let canonical = AttrPath::parse(&target.at.path());
        let found = canonical.and_then(|canonical| kind.resolve_attribute(&canonical));
        assert_eq!(found, Some(target.at), "{printed}");
    }
}

/// The body of a PATCH, and the same bytes as that of a PUT.
pub fn scim_patch(data: &[u8]) {
    let Ok(json) = value::parse(data) else { return };
    for (kind, current) in STORED.iter() {
        if let Ok(operations) = patch::read(&json)
            && let Ok(outcome) = patch::apply(kind, current, &operations)
        {
            keeps_the_rules(kind, current, &outcome);
            if is_one_assignment(kind, &operations)
                && let Ok(twice) = patch::apply(kind, &outcome.tree, &operations)
            {
                assert_eq!(twice.tree, outcome.tree, "twice is not once");
            }
        }
        if let Ok(body) = value::read(kind, &json)
            && let Ok(outcome) = patch::replace(kind, current, body)
        {
            keeps_the_rules(kind, current, &outcome);
        }
    }
}

/// One replacement of an attribute, found by its name alone.
fn is_one_assignment(kind: &ResourceType, operations: &[PatchOp]) -> bool {
    let [PatchOp { verb: Verb::Replace, path: Some(path), .. }] = operations else { return false };
    matches!(path.resolve(kind), Ok(Some(Target::Attribute(target))) if target.filter.is_none())
}

fn keeps_the_rules(kind: &ResourceType, current: &Tree, outcome: &Outcome) {
    let tree = &outcome.tree;
    for kept in ["id", "meta", "groups", "password"] {
        assert_eq!(tree.get(kept), current.get(kept), "{kept}");
    }
    let name = if *kind.name() == "User" { "userName" } else { "displayName" };
    assert!(tree.text(name).is_some_and(|name| !name.is_empty()), "without a name");

    let stored = Tree::from_stored(kind, &tree.to_json());
    assert_eq!(stored, *tree, "what is stored comes back");
    let shown = value::write(kind, tree, &Projection::default());
    if let Err(why) = value::read(kind, &shown) {
        panic!("what is shown is not accepted: {why}: {shown}");
    }

    let mut replayed = current.clone();
    for change in &outcome.delta.changes {
        assert_ne!(change.before, change.after, "{}", change.path());
        replayed.put(change.schema.as_ref(), &change.attribute, change.after.clone());
    }
    assert_eq!(replayed, *tree, "the changes are the whole difference");

    for (schema, attribute) in kind.attributes().filter(|(_, attribute)| attribute.multi_valued) {
        let entries = schema.map_or(Some(tree.entries()), |urn| tree.extension(urn));
        let elements =
            entries.and_then(|all| all.get(&attribute.name)).map(Value::elements).unwrap_or_default();
        assert!(elements.len() <= MAX_ELEMENTS, "{}", attribute.name);
        let primary = |element: &&Value| {
            let parts = element.as_complex();
            parts.and_then(|parts| parts.get("primary")).and_then(Value::as_bool) == Some(true)
        };
        assert!(elements.iter().filter(primary).count() <= 1, "{}: two are primary", attribute.name);
    }

    if let Some(members) = &outcome.delta.members {
        assert!(members.add.iter().all(|(id, member)| !id.is_empty() && *id == member.value), "{members:?}");
        assert!(members.remove.iter().all(|id| !members.add.contains_key(id)), "{members:?}");
        let removes = !members.remove.is_empty() || !members.remove_matching.is_empty();
        assert!(!(members.replace_all && removes), "{members:?}");
    }
}
