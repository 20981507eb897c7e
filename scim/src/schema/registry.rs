//! Schemas, resource types and the registry that holds them.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::attribute::{arcs, plain};
use super::path::is_attribute_name;
use super::{
    Attribute, GROUP_URN, Mutability, Name, RESOURCE_TYPE_URN, Returned, SCHEMA_URN, Type, USER_URN,
    is_path_byte,
};

const STANDARD: [&str; 6] = [
    include_str!("data/user.json"),
    include_str!("data/group.json"),
    include_str!("data/enterprise_user.json"),
    include_str!("data/service_provider_config.json"),
    include_str!("data/resource_type.json"),
    include_str!("data/schema.json"),
];

/// `schemas`, `id`, `externalId` and `meta`, which every resource has and no schema lists (RFC 7643, sections
/// 3 and 3.1).
static COMMON: LazyLock<Vec<Arc<Attribute>>> = LazyLock::new(|| {
    let schema: Schema = serde_json::from_str(include_str!("data/common.json"))
        .expect("embedded, read by a test of this crate");
    schema.attributes
});

/// A schema: a URN and its attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The URN.
    pub id: Name,
    /// A short name for people.
    pub name: String,
    /// What it describes.
    #[serde(default)]
    pub description: String,
    /// The attributes, in the order in which they are announced.
    #[serde(deserialize_with = "arcs", serialize_with = "plain")]
    pub attributes: Vec<Arc<Attribute>>,
}

impl Schema {
    /// The attribute of this name, in any case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Arc<Attribute>> {
        self.attributes.iter().find(|attribute| attribute.name.is(name))
    }

    /// The document for `/Schemas/{urn}` (RFC 7643, section 7). `base` is the SCIM root, without a slash at
    /// its end.
    #[must_use]
    pub fn document(&self, base: &str) -> Json {
        json!({
            "schemas": [SCHEMA_URN],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(|attribute| &**attribute).collect::<Vec<_>>(),
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", self.id) },
        })
    }
}

/// A schema that adds to the core of a resource type.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// The added schema.
    pub schema: Arc<Schema>,
    /// Whether a resource must have it.
    pub required: bool,
}

/// A kind of resource: core schema, extensions, endpoint (RFC 7643, section 6).
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceType {
    name: Name,
    endpoint: String,
    description: String,
    schema: Arc<Schema>,
    extensions: Vec<Extension>,
}

impl ResourceType {
    /// The name, which is also its id and `meta.resourceType`.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The path under the SCIM root, with a leading slash.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The core schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The extensions, in order.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The extension of this URN, in any case.
    #[must_use]
    pub fn extension(&self, urn: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.schema.id.is(urn))
    }

    /// The core or common attribute of this name, in any case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Arc<Attribute>> {
        self.schema.attribute(name).or_else(|| COMMON.iter().find(|attribute| attribute.name.is(name)))
    }

    /// Every attribute with the URN of its extension (`None` for common and core ones).
    pub fn attributes(&self) -> impl Iterator<Item = (Option<&Name>, &Arc<Attribute>)> {
        let core = COMMON.iter().chain(&self.schema.attributes).map(|attribute| (None, attribute));
        let added = self.extensions.iter().flat_map(|extension| {
            extension.schema.attributes.iter().map(|attribute| (Some(&extension.schema.id), attribute))
        });
        core.chain(added)
    }

    /// The document for `/ResourceTypes/{name}` (RFC 7643, section 6).
    #[must_use]
    pub fn document(&self, base: &str) -> Json {
        let extensions: Vec<Json> = self
            .extensions
            .iter()
            .map(|extension| json!({ "schema": extension.schema.id, "required": extension.required }))
            .collect();
        json!({
            "schemas": [RESOURCE_TYPE_URN],
            "id": self.name,
            "name": self.name,
            "endpoint": self.endpoint,
            "description": self.description,
            "schema": self.schema.id,
            "schemaExtensions": extensions,
            "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", self.name) },
        })
    }
}

/// Why a definition was not taken into the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There is a schema, resource type or attribute of this name already.
    #[error("{0} is defined already")]
    Twice(String),
    /// No schema or resource type has this name.
    #[error("{0} is not defined")]
    Unknown(String),
    /// A URN or attribute name that no path could write.
    #[error(
        "{0:?} is not a valid name: a URN needs a colon, an attribute a letter first, then letters, digits, - and _"
    )]
    Name(String),
    /// Complex attributes have parts, others have none, and no part is complex (RFC 7643, section 2.3.8).
    #[error(
        "{0}: a complex attribute needs sub-attributes, others have none, and no sub-attribute is complex"
    )]
    Nesting(String),
    /// What a client may write but not read is kept apart as a secret text.
    #[error("{0}: a writeOnly attribute must be a single string at the top, and its returned must be never")]
    WriteOnly(String),
    /// Members live outside the tree, by their value.
    #[error("{0}: membership belongs to one multi-valued complex core attribute with a `value`")]
    Membership(String),
}

/// All schemas and resource types of the service.
#[derive(Clone, Debug)]
pub struct Registry {
    schemas: Vec<Arc<Schema>>,
    types: Vec<Arc<ResourceType>>,
}

impl Registry {
    /// What RFC 7643 defines: User with the Enterprise extension, Group, and the discovery schemas.
    #[must_use]
    pub fn standard() -> Self {
        let mut registry = Self { schemas: Vec::new(), types: Vec::new() };
        registry.load_standard().expect("embedded, loaded by every test of this crate");
        registry
    }

    fn load_standard(&mut self) -> Result<(), SchemaError> {
        for text in STANDARD {
            self.define(serde_json::from_str(text).map_err(|why| SchemaError::Unknown(why.to_string()))?)?;
        }
        self.add_type("User", "/Users", "User accounts", USER_URN)?;
        self.add_type("Group", "/Groups", "Groups of users", GROUP_URN)?;
        self.extend("User", super::ENTERPRISE_URN, false)
    }

    /// Adds a schema. It has no effect until a resource type uses it.
    ///
    /// # Errors
    /// [`SchemaError`] when the URN is taken or the definition breaks a rule.
    pub fn define(&mut self, schema: Schema) -> Result<(), SchemaError> {
        if self.schema(&schema.id).is_some() {
            return Err(SchemaError::Twice(schema.id.into()));
        }
        if !schema.id.contains(':') || schema.id.ends_with(':') || !schema.id.bytes().all(is_path_byte) {
            return Err(SchemaError::Name(schema.id.into()));
        }
        check_all(&schema.attributes, true)?;
        self.schemas.push(Arc::new(schema));
        Ok(())
    }

    /// Adds a resource type over a defined schema. `endpoint` starts with a slash.
    ///
    /// # Errors
    /// [`SchemaError`] when the name is taken, the schema unknown, or an attribute shadows a common one.
    pub fn add_type(
        &mut self,
        name: &str,
        endpoint: &str,
        description: &str,
        urn: &str,
    ) -> Result<(), SchemaError> {
        if self.resource_type(name).is_some() {
            return Err(SchemaError::Twice(name.into()));
        }
        let schema = self.shared(urn)?;
        if let Some(shadow) = COMMON.iter().find(|common| schema.attribute(&common.name).is_some()) {
            return Err(SchemaError::Twice(shadow.name.to_string()));
        }
        let mut members = schema.attributes.iter().filter(|attribute| attribute.membership);
        if let Some(second) = members.nth(1) {
            return Err(SchemaError::Membership(second.name.to_string()));
        }
        self.types.push(Arc::new(ResourceType {
            name: name.into(),
            endpoint: endpoint.into(),
            description: description.into(),
            schema,
            extensions: Vec::new(),
        }));
        Ok(())
    }

    /// Adds a defined schema to a resource type.
    ///
    /// # Errors
    /// [`SchemaError`] when either is unknown or the type has the extension already.
    pub fn extend(&mut self, resource_type: &str, urn: &str, required: bool) -> Result<(), SchemaError> {
        let schema = self.shared(urn)?;
        let found = self.types.iter_mut().find(|kind| kind.name.is(resource_type));
        let kind = found.ok_or_else(|| SchemaError::Unknown(resource_type.into()))?;
        if kind.extension(urn).is_some() || kind.schema.id.is(urn) {
            return Err(SchemaError::Twice(urn.into()));
        }
        if let Some(members) = schema.attributes.iter().find(|attribute| attribute.membership) {
            return Err(SchemaError::Membership(members.name.to_string()));
        }
        Arc::make_mut(kind).extensions.push(Extension { schema, required });
        Ok(())
    }

    /// The schema of this URN, in any case.
    #[must_use]
    pub fn schema(&self, urn: &str) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.id.is(urn)).map(|schema| &**schema)
    }

    /// All schemas, in the order in which they were defined.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.iter().map(|schema| &**schema)
    }

    /// The resource type of this name, in any case.
    #[must_use]
    pub fn resource_type(&self, name: &str) -> Option<&Arc<ResourceType>> {
        self.types.iter().find(|kind| kind.name.is(name))
    }

    /// All resource types, in the order in which they were added.
    #[must_use]
    pub fn resource_types(&self) -> &[Arc<ResourceType>] {
        &self.types
    }

    fn shared(&self, urn: &str) -> Result<Arc<Schema>, SchemaError> {
        let found = self.schemas.iter().find(|schema| schema.id.is(urn));
        let schema = found.ok_or_else(|| SchemaError::Unknown(urn.into()))?;
        check_depth(schema)?;
        Ok(schema.clone())
    }
}

fn check_all(attributes: &[Arc<Attribute>], top: bool) -> Result<(), SchemaError> {
    for (at, attribute) in attributes.iter().enumerate() {
        if attributes[..at].iter().any(|other| other.name.is(&attribute.name)) {
            return Err(SchemaError::Twice(attribute.name.to_string()));
        }
        check(attribute, top)?;
        check_all(&attribute.sub_attributes, false)?;
    }
    Ok(())
}

fn check(attribute: &Attribute, top: bool) -> Result<(), SchemaError> {
    let name = || attribute.name.to_string();
    if !is_attribute_name(&attribute.name) {
        return Err(SchemaError::Name(name()));
    }
    if attribute.is_complex() == attribute.sub_attributes.is_empty() {
        return Err(SchemaError::Nesting(name()));
    }
    let text = attribute.kind == Type::String && !attribute.multi_valued;
    let hidden = attribute.returned == Returned::Never;
    if attribute.mutability == Mutability::WriteOnly && !(top && text && hidden) {
        return Err(SchemaError::WriteOnly(name()));
    }
    if attribute.membership && !(top && attribute.multi_valued && attribute.sub("value").is_some()) {
        return Err(SchemaError::Membership(name()));
    }
    Ok(())
}

/// Resources have two levels (RFC 7643, section 2.3.8); only the schema of schemas itself has three.
fn check_depth(schema: &Schema) -> Result<(), SchemaError> {
    let mut parts = schema.attributes.iter().flat_map(|attribute| &attribute.sub_attributes);
    match parts.find(|part| part.is_complex()) {
        Some(part) => Err(SchemaError::Nesting(part.name.to_string())),
        None => Ok(()),
    }
}
