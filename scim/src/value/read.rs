//! The body of a POST or PUT.

use kernel::Secret;
use serde_json::Value as Json;

use super::once::Once;
use super::reader::refuse_doubles;
use super::{MAX_TREE_BYTES, Object, Reader, Tree, Value};
use crate::error::{ScimError, ScimType};
use crate::schema::{Attribute, Extension, Mutability, Name, ResourceType, attribute_path};

/// Most bytes of a request body: some ten thousand members.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a request body. A PATCH with a whole extension needs eight.
const MAX_DEPTH: usize = 16;

/// A member of a group, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id of the user or group. Not checked against anything.
    pub value: String,
    /// `User` or `Group`, when the client said so.
    pub kind: Option<String>,
}

impl Member {
    pub(super) fn from_object(object: &Object) -> Option<Self> {
        let value = object.text("value").filter(|value| !value.is_empty())?;
        Some(Self { value: value.into(), kind: object.text("type").map(Into::into) })
    }

    /// The element as a filter sees it.
    pub(crate) fn to_element(&self) -> Value {
        let mut object = Object::default();
        object.set("value", Value::text(self.value.clone()));
        if let Some(kind) = &self.kind {
            object.set("type", Value::text(kind.clone()));
        }
        Value::Complex(object)
    }
}

/// What a POST or PUT says.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The attributes, without what clients may not set.
    pub tree: Tree,
    /// The members of a group: `None` when not mentioned, empty when said to be none.
    pub members: Option<Vec<Member>>,
    /// What may be written and never read, by canonical path: `password`.
    pub secrets: Vec<(String, Secret<String>)>,
    /// Names that were sent and mean nothing here, for the log and the answer's header.
    pub ignored: Vec<String>,
}

/// Parses a request body within [`MAX_BODY_BYTES`] and a depth of 16.
///
/// # Errors
/// 413 when too long, `invalidSyntax` when it is not JSON, too deep, or says a name twice in one object.
pub fn parse(bytes: &[u8]) -> Result<Json, ScimError> {
    if bytes.len() > MAX_BODY_BYTES {
        return Err(ScimError::plain(413, format!("a body has at most {MAX_BODY_BYTES} bytes")));
    }
    let Once(json) = serde_json::from_slice(bytes)
        .map_err(|why| ScimError::new(ScimType::InvalidSyntax, format!("the body is no good JSON: {why}")))?;
    if depth_exceeds(&json, MAX_DEPTH) {
        let why = format!("the body nests deeper than {MAX_DEPTH}");
        return Err(ScimError::new(ScimType::InvalidSyntax, why));
    }
    Ok(json)
}

fn depth_exceeds(json: &Json, left: usize) -> bool {
    match json {
        Json::Array(items) => left == 0 || items.iter().any(|item| depth_exceeds(item, left - 1)),
        Json::Object(entries) => left == 0 || entries.values().any(|item| depth_exceeds(item, left - 1)),
        _ => false,
    }
}

/// Reads the body of a POST or PUT for a resource of this kind. What clients may not set (`readOnly`) is
/// passed over in silence (RFC 7644, sections 3.3 and 3.5.1).
///
/// # Errors
/// `invalidSyntax` for a wrong form or wrong `schemas`, `invalidValue` for a wrong or missing value.
pub fn read(kind: &ResourceType, json: &Json) -> Result<Body, ScimError> {
    let given = json
        .as_object()
        .ok_or_else(|| ScimError::new(ScimType::InvalidSyntax, "the body must be a JSON object"))?;
    refuse_doubles(given)?;
    let mut reader = Reader::new();
    let mut body = Body::default();
    check_schemas(kind, &mut reader, json)?;
    for (key, json) in given {
        if let Some(attribute) = kind.attribute(key) {
            take(&mut reader, &mut body, None, attribute, json)?;
        } else if let Some(extension) = kind.extension(key) {
            take_extension(&mut reader, &mut body, extension, json)?;
        } else {
            reader.unknown(key);
        }
    }
    if let Some(path) = missing(kind, &body.tree).first() {
        return Err(ScimError::new(ScimType::InvalidValue, format!("{path}: required")));
    }
    if body.tree.entries().weight() > MAX_TREE_BYTES {
        return Err(ScimError::plain(413, format!("a resource has at most {MAX_TREE_BYTES} bytes")));
    }
    body.ignored = reader.ignored;
    Ok(body)
}

fn take(
    reader: &mut Reader,
    body: &mut Body,
    schema: Option<&Name>,
    attribute: &Attribute,
    json: &Json,
) -> Result<(), ScimError> {
    let in_extension = |why: ScimError| match schema {
        Some(urn) => ScimError { detail: format!("{urn}:{}", why.detail), ..why },
        None => why,
    };
    if attribute.is_read_only() {
        return Ok(());
    }
    if attribute.membership {
        body.members = Some(reader.members(attribute, json)?);
        return Ok(());
    }
    let value = reader.value(attribute, json).map_err(in_extension)?;
    if attribute.mutability != Mutability::WriteOnly {
        body.tree.put(schema, &attribute.name, value);
    } else if let Some(Value::String(secret)) = value {
        body.secrets.push((attribute_path(schema, &attribute.name), Secret::new(secret)));
    }
    Ok(())
}

fn take_extension(
    reader: &mut Reader,
    body: &mut Body,
    extension: &Extension,
    json: &Json,
) -> Result<(), ScimError> {
    let urn = &extension.schema.id;
    if json.is_null() {
        return Ok(());
    }
    let given = json
        .as_object()
        .ok_or_else(|| ScimError::new(ScimType::InvalidSyntax, format!("{urn}: expected an object")))?;
    refuse_doubles(given)?;
    for (key, json) in given {
        match extension.schema.attribute(key) {
            Some(attribute) => take(reader, body, Some(urn), attribute, json)?,
            None => reader.unknown(&format!("{urn}:{key}")),
        }
    }
    Ok(())
}

/// Foreign URNs are Entra ID's and Google's habit and mean nothing; a body without any is forgiven too.
/// A body that names another core schema and not ours was sent to the wrong place.
fn check_schemas(kind: &ResourceType, reader: &mut Reader, json: &Json) -> Result<(), ScimError> {
    let wrong = || {
        let why = format!("schemas: must be a list that holds {}", kind.schema().id);
        ScimError::new(ScimType::InvalidSyntax, why)
    };
    let entries = json.as_object().into_iter().flatten();
    let Some((_, listed)) = entries.into_iter().find(|(key, _)| key.eq_ignore_ascii_case("schemas")) else {
        return Ok(());
    };
    let urns: Option<Vec<&str>> =
        listed.as_array().map(|urns| urns.iter().filter_map(Json::as_str).collect());
    let urns = urns.ok_or_else(wrong)?;
    if !urns.iter().any(|urn| kind.schema().id.is(urn)) && !urns.is_empty() {
        return Err(wrong());
    }
    for urn in urns.into_iter().filter(|urn| !kind.schema().id.is(urn) && kind.extension(urn).is_none()) {
        reader.unknown(urn);
    }
    Ok(())
}

/// The required attributes and extensions that are not there. An empty text is not there. Not asked for:
/// what clients may not set, and what is not kept in the tree.
pub(crate) fn missing(kind: &ResourceType, tree: &Tree) -> Vec<String> {
    let mut paths = Vec::new();
    for (schema, attribute) in kind.attributes() {
        let elsewhere = matches!(attribute.mutability, Mutability::ReadOnly | Mutability::WriteOnly);
        if elsewhere || attribute.membership || schema.is_some_and(|urn| tree.extension(urn).is_none()) {
            continue;
        }
        let value = tree.lookup(schema, &attribute.name);
        if attribute.required && value.is_none_or(Value::is_empty) {
            paths.push(attribute_path(schema, &attribute.name));
        } else if let Some(part) = value.and_then(|value| missing_part(attribute, value)) {
            paths.push(format!("{}.{part}", attribute_path(schema, &attribute.name)));
        }
    }
    let extensions = kind.extensions().iter().filter(|extension| extension.required);
    let absent = extensions.map(|extension| &extension.schema.id).filter(|urn| tree.extension(urn).is_none());
    paths.extend(absent.map(ToString::to_string));
    paths
}

fn missing_part<'a>(attribute: &'a Attribute, value: &Value) -> Option<&'a Name> {
    let required = attribute.sub_attributes.iter().filter(|sub| sub.required && !sub.is_read_only());
    let elements: Vec<&Object> = value.elements().iter().filter_map(Value::as_complex).collect();
    let mut absent = required.filter(|sub| elements.iter().any(|element| element.get(&sub.name).is_none()));
    absent.next().map(|sub| &sub.name)
}
