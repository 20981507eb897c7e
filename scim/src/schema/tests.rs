use serde_json::json;

use super::*;
use crate::samples::{BADGE, group_type, registry, user_type};

fn resolve(path: &str) -> Option<String> {
    match user_type().resolve(&AttrPath::parse(path)?)? {
        Place::Attribute(at) => Some(at.path()),
        Place::Extension(extension) => Some(format!("extension {}", extension.schema.id)),
    }
}

#[test]
fn names_and_urns_resolve_whatever_the_case() {
    for (path, want) in [
        ("userName", Some("userName")),
        ("USERNAME", Some("userName")),
        ("name.FamilyName", Some("name.familyName")),
        ("emails.VALUE", Some("emails.value")),
        ("meta.lastmodified", Some("meta.lastModified")),
        ("externalID", Some("externalId")),
        ("groups.$REF", Some("groups.$ref")),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", Some("userName")),
        ("URN:IETF:params:scim:schemas:core:2.0:user:name.givenName", Some("name.givenName")),
        ("urn:ietf:params:scim:schemas:core:2.0:User.active", Some("active")),
        ("urn:ietf:params:scim:schemas:core:2.0:User", None),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"),
        ),
        // scim.md 2.1, item 11: the dot of the pre-2018 job.
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department",
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"),
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value",
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"),
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:USER:MANAGER.VALUE",
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"),
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            Some("extension urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"),
        ),
        ("urn:example:badge:2.0:User:tags.value", Some("urn:example:badge:2.0:User:tags")),
        ("department", None),
        ("Schemas", Some("schemas")),
        ("userName.value", None),
        ("name.givenName.first", None),
        ("urn:example:other:User:department", None),
        ("urn:ietf:params:scim:schemas:core:2.0:Group:displayName", None),
    ] {
        assert_eq!(resolve(path).as_deref(), want, "{path}");
    }
}

#[test]
fn paths_that_no_grammar_allows_are_no_paths() {
    for path in [
        "",
        ".",
        "a.",
        ".a",
        "1a",
        "a b",
        "a.b.c",
        "urn:",
        ":a",
        "urn:x:",
        "-a",
        "$",
        "a$b",
        "ä",
        "urn:a b:c",
    ] {
        assert_eq!(AttrPath::parse(path), None, "{path:?}");
    }
}

#[test]
fn the_registry_announces_every_schema_in_the_form_of_rfc_7643_section_7() {
    let urns: Vec<&str> = registry().schemas().map(|schema| &*schema.id).collect();
    assert_eq!(
        urns,
        [
            USER_URN,
            GROUP_URN,
            ENTERPRISE_URN,
            SERVICE_PROVIDER_CONFIG_URN,
            RESOURCE_TYPE_URN,
            SCHEMA_URN,
            BADGE
        ]
    );
    let user = registry().schema(&USER_URN.to_uppercase()).unwrap().document("https://id.example/scim/v2");
    assert_eq!(user["id"], USER_URN);
    assert_eq!(user["schemas"], json!([SCHEMA_URN]));
    assert_eq!(user["meta"]["location"], format!("https://id.example/scim/v2/Schemas/{USER_URN}"));
    assert_eq!(
        user["attributes"][0],
        json!({
            "name": "userName",
            "type": "string",
            "multiValued": false,
            "description": "What the person signs in with; unique whatever the case.",
            "required": true,
            "caseExact": false,
            "mutability": "readWrite",
            "returned": "default",
            "uniqueness": "server",
        })
    );
}

#[test]
fn the_user_schema_has_every_core_attribute_of_rfc_7643_section_4_1() {
    let names: Vec<&str> = user_type().schema().attributes.iter().map(|attribute| &*attribute.name).collect();
    assert_eq!(
        names,
        [
            "userName",
            "name",
            "displayName",
            "nickName",
            "profileUrl",
            "title",
            "userType",
            "preferredLanguage",
            "locale",
            "timezone",
            "active",
            "password",
            "emails",
            "phoneNumbers",
            "ims",
            "photos",
            "addresses",
            "groups",
            "entitlements",
            "roles",
            "x509Certificates",
        ]
    );
    let password = user_type().attribute("password").unwrap();
    assert_eq!((password.mutability, password.returned), (Mutability::WriteOnly, Returned::Never));
    let groups = user_type().attribute("groups").unwrap();
    assert!(groups.is_read_only() && groups.sub_attributes.iter().all(|sub| sub.is_read_only()));
}

#[test]
fn a_group_needs_a_unique_name_and_its_members_live_apart() {
    let name = group_type().attribute("displayName").unwrap();
    assert!(name.required && !name.case_exact && name.uniqueness == Uniqueness::Server);
    let members = group_type().attribute("members").unwrap();
    assert!(members.membership);
    assert!(group_type().document("")["schemaExtensions"].as_array().unwrap().is_empty());
}

#[test]
fn resource_types_are_announced_with_their_extensions() {
    assert_eq!(
        user_type().document("/scim/v2"),
        json!({
            "schemas": [RESOURCE_TYPE_URN],
            "id": "User",
            "name": "User",
            "endpoint": "/Users",
            "description": "User accounts",
            "schema": USER_URN,
            "schemaExtensions": [
                {"schema": ENTERPRISE_URN, "required": false},
                {"schema": BADGE, "required": false},
            ],
            "meta": {"resourceType": "ResourceType", "location": "/scim/v2/ResourceTypes/User"},
        })
    );
}

#[test]
fn what_is_announced_can_be_read_back_as_a_definition() {
    for schema in registry().schemas() {
        let mut document = schema.document("");
        let entries = document.as_object_mut().unwrap();
        entries.remove("schemas");
        entries.remove("meta");
        let mut back: Schema = serde_json::from_value(document).unwrap();
        for attribute in &mut back.attributes {
            // Two characteristics are ours and are not announced.
            let ours = schema.attribute(&attribute.name).unwrap();
            let attribute = std::sync::Arc::make_mut(attribute);
            (attribute.retained, attribute.membership) = (ours.retained, ours.membership);
        }
        assert_eq!(back, *schema);
    }
}

#[test]
fn definitions_that_break_a_rule_are_refused() {
    let attribute =
        |attribute: serde_json::Value| json!({"id": "urn:x:y", "name": "X", "attributes": [attribute]});
    let part = |part: serde_json::Value| {
        attribute(json!({"name": "a", "type": "complex", "multiValued": true, "subAttributes": [part]}))
    };
    for (definition, want) in [
        (
            json!({"id": USER_URN.to_uppercase(), "name": "X", "attributes": []}),
            SchemaError::Twice(USER_URN.to_uppercase()),
        ),
        (json!({"id": "plain", "name": "X", "attributes": []}), SchemaError::Name("plain".into())),
        (json!({"id": "urn:a b", "name": "X", "attributes": []}), SchemaError::Name("urn:a b".into())),
        (
            json!({"id": "urn:x:y", "name": "X", "attributes": [{"name": "a"}, {"name": "A"}]}),
            SchemaError::Twice("A".into()),
        ),
        (attribute(json!({"name": "a b"})), SchemaError::Name("a b".into())),
        (attribute(json!({"name": "a", "type": "complex"})), SchemaError::Nesting("a".into())),
        (attribute(json!({"name": "a", "subAttributes": [{"name": "b"}]})), SchemaError::Nesting("a".into())),
        (attribute(json!({"name": "a", "mutability": "writeOnly"})), SchemaError::WriteOnly("a".into())),
        (
            attribute(
                json!({"name": "a", "mutability": "writeOnly", "returned": "never", "type": "integer"}),
            ),
            SchemaError::WriteOnly("a".into()),
        ),
        (
            part(json!({"name": "b", "mutability": "writeOnly", "returned": "never"})),
            SchemaError::WriteOnly("b".into()),
        ),
        (attribute(json!({"name": "a", "membership": true})), SchemaError::Membership("a".into())),
    ] {
        let schema = serde_json::from_value(definition).unwrap();
        assert_eq!(registry().clone().define(schema), Err(want));
    }
    let unknown_word = json!({"id": "urn:x:y", "name": "X", "attributes": [{"name": "a", "colour": "red"}]});
    assert!(serde_json::from_value::<Schema>(unknown_word).is_err());
}

#[test]
fn extensions_join_a_resource_type_at_run_time() {
    let mut registry = registry().clone();
    let schema =
        json!({"id": "urn:x:rank", "name": "Rank", "attributes": [{"name": "rank", "required": true}]});
    registry.define(serde_json::from_value(schema).unwrap()).unwrap();
    assert_eq!(registry.extend("User", "urn:x:none", false), Err(SchemaError::Unknown("urn:x:none".into())));
    assert_eq!(registry.extend("Door", "urn:x:rank", false), Err(SchemaError::Unknown("Door".into())));
    registry.extend("user", "URN:X:RANK", true).unwrap();
    assert_eq!(registry.extend("User", "urn:x:rank", true), Err(SchemaError::Twice("urn:x:rank".into())));
    let kind = registry.resource_type("User").unwrap();
    let found = kind.resolve_attribute(&AttrPath::parse("urn:x:rank:RANK").unwrap()).unwrap();
    assert_eq!(found.path(), "urn:x:rank:rank");
    assert!(resolve("urn:x:rank:rank").is_none(), "the registry it was cloned from is as before");
}

#[test]
fn resources_have_two_levels_and_one_kind_of_members() {
    let mut registry = registry().clone();
    assert_eq!(registry.extend("User", SCHEMA_URN, false), Err(SchemaError::Nesting("subAttributes".into())));
    assert_eq!(registry.extend("User", GROUP_URN, false), Err(SchemaError::Membership("members".into())));
    let shadow = json!({"id": "urn:x:door", "name": "Door", "attributes": [{"name": "ID"}]});
    registry.define(serde_json::from_value(shadow).unwrap()).unwrap();
    assert_eq!(registry.add_type("Door", "/Doors", "", "urn:x:door"), Err(SchemaError::Twice("id".into())));
    assert_eq!(registry.add_type("user", "/Others", "", GROUP_URN), Err(SchemaError::Twice("user".into())));
}
