//! From a tree to the JSON a client may see.

use serde_json::{Map, Value as Json};

use super::{Object, Tree, Value};
use crate::schema::{AttrPath, Attribute, Name, Place, ResourceType, Returned};

/// One attribute, sub-attribute or extension that a client named.
#[derive(Clone, Debug, PartialEq)]
struct Selection {
    schema: Option<Name>,
    /// `None` is the whole extension.
    attribute: Option<Name>,
    sub: Option<Name>,
}

impl Selection {
    fn of(place: Place) -> Self {
        match place {
            Place::Extension(extension) => {
                Self { schema: Some(extension.schema.id.clone()), attribute: None, sub: None }
            }
            Place::Attribute(at) => Self {
                schema: at.schema.clone(),
                attribute: Some(at.attribute.name.clone()),
                sub: at.sub.map(|sub| sub.name.clone()),
            },
        }
    }

    fn names(&self, schema: Option<&Name>, attribute: &Attribute) -> bool {
        self.schema.as_ref() == schema && self.attribute.as_ref().is_none_or(|name| *name == attribute.name)
    }
}

/// Which attributes an answer shows: `attributes` and `excludedAttributes` (RFC 7644, section 3.9),
/// resolved for one resource type. Names that mean nothing there are passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection {
    only: Option<Vec<Selection>>,
    except: Vec<Selection>,
}

impl Projection {
    /// `attributes` is `None` when the client did not give it. When both are given, what is excluded is
    /// taken from what is asked.
    #[must_use]
    pub fn new(kind: &ResourceType, attributes: Option<&[AttrPath]>, excluded: &[AttrPath]) -> Self {
        let select = |paths: &[AttrPath]| -> Vec<Selection> {
            paths.iter().filter_map(|path| kind.resolve(path)).map(Selection::of).collect()
        };
        Self { only: attributes.map(select), except: select(excluded) }
    }

    /// Whether an answer shows the core attribute of this canonical name: what need not be shown need not
    /// be read, members of a big group above all.
    #[must_use]
    pub fn shows(&self, kind: &ResourceType, name: &str) -> bool {
        kind.attribute(name).is_some_and(|attribute| self.attribute(None, attribute))
    }

    fn attribute(&self, schema: Option<&Name>, attribute: &Attribute) -> bool {
        let asked =
            self.only.as_ref().map(|only| only.iter().any(|selection| selection.names(schema, attribute)));
        match attribute.returned {
            Returned::Never => false,
            Returned::Always => true,
            Returned::Request => asked == Some(true) && !self.excludes(schema, attribute, None),
            Returned::Default => asked != Some(false) && !self.excludes(schema, attribute, None),
        }
    }

    fn sub_attribute(&self, schema: Option<&Name>, attribute: &Attribute, sub: &Attribute) -> bool {
        let whole_or_this = |selection: &Selection| {
            selection.names(schema, attribute) && selection.sub.as_ref().is_none_or(|name| *name == sub.name)
        };
        let this = |selection: &Selection| {
            selection.names(schema, attribute) && selection.sub.as_ref() == Some(&sub.name)
        };
        let kept = !self.excludes(schema, attribute, Some(&sub.name));
        match sub.returned {
            Returned::Never => false,
            Returned::Always => true,
            Returned::Request => kept && self.only.as_ref().is_some_and(|only| only.iter().any(this)),
            // A complex attribute that is shown whatever was asked is shown whole.
            Returned::Default if attribute.returned == Returned::Always => true,
            Returned::Default => kept && self.only.as_ref().is_none_or(|only| only.iter().any(whole_or_this)),
        }
    }

    fn excludes(&self, schema: Option<&Name>, attribute: &Attribute, sub: Option<&Name>) -> bool {
        self.except
            .iter()
            .any(|selection| selection.names(schema, attribute) && selection.sub.as_ref() == sub)
    }
}

/// The answer's form of a resource. `id` and `schemas` are always there; `schemas` lists the core schema
/// and exactly the extensions that the answer holds (RFC 7643, section 3).
#[must_use]
pub fn write(kind: &ResourceType, tree: &Tree, projection: &Projection) -> Json {
    let mut schemas = vec![kind.schema().id.to_string()];
    let mut body = Map::new();
    body.insert("schemas".into(), Json::Null);
    for (name, value) in tree.entries().iter() {
        if let Some(attribute) = kind.attribute(name) {
            body.extend(shown(projection, None, attribute, value));
        } else if let (Some(extension), Some(values)) = (kind.extension(name), value.as_complex()) {
            let urn = &extension.schema.id;
            let attributes = values.iter().filter_map(|(name, value)| {
                shown(projection, Some(urn), extension.schema.attribute(name)?, value)
            });
            let part: Map<String, Json> = attributes.collect();
            if !part.is_empty() {
                schemas.push(urn.to_string());
                body.insert(urn.to_string(), Json::Object(part));
            }
        }
    }
    body["schemas"] = schemas.into();
    Json::Object(body)
}

fn shown(
    projection: &Projection,
    schema: Option<&Name>,
    attribute: &Attribute,
    value: &Value,
) -> Option<(String, Json)> {
    if !projection.attribute(schema, attribute) {
        return None;
    }
    let part = |object: &Object| shown_parts(projection, schema, attribute, object);
    let json = match value {
        Value::Opaque(_) => return None,
        Value::Complex(object) => part(object)?,
        Value::Multi(elements) => {
            let list: Vec<Json> = elements
                .iter()
                .filter_map(|element| match element {
                    Value::Complex(object) => part(object),
                    Value::Opaque(_) => None,
                    simple => Some(simple.to_json()),
                })
                .collect();
            (!list.is_empty()).then_some(Json::Array(list))?
        }
        simple => simple.to_json(),
    };
    Some((attribute.name.to_string(), json))
}

fn shown_parts(
    projection: &Projection,
    schema: Option<&Name>,
    attribute: &Attribute,
    object: &Object,
) -> Option<Json> {
    let parts = object.iter().filter_map(|(name, value)| {
        let sub = attribute.sub(name)?;
        let visible = projection.sub_attribute(schema, attribute, sub) && !matches!(value, Value::Opaque(_));
        visible.then(|| (sub.name.to_string(), value.to_json()))
    });
    let parts: Map<String, Json> = parts.collect();
    (!parts.is_empty()).then_some(Json::Object(parts))
}
