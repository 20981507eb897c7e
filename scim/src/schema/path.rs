//! Attribute paths: as written, and as resolved against a resource type.

use std::fmt;
use std::sync::Arc;

use super::{Attribute, Extension, Name, ResourceType, Type};

/// An attribute path as a client wrote it: `[urn:]name[.sub]` (RFC 7644, section 3.10).
///
/// A third name is possible after a URN, because Entra ID writes `…:2.0:User.manager.value` with a dot
/// where the colon belongs: the URN then ends one name later. Only a resource type can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrPath {
    urn: Option<Box<str>>,
    names: Vec<Box<str>>,
}

impl AttrPath {
    /// Reads a path. `None` when it is not of the form above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((urn, tail)) = text.rsplit_once(':') else {
            let names = names(text).filter(|names| names.len() <= 2)?;
            return Some(Self { urn: None, names });
        };
        if urn.is_empty() || !text.bytes().all(is_path_byte) {
            return None;
        }
        match names(tail) {
            Some(names) => Some(Self { urn: Some(urn.into()), names }),
            None if !tail.is_empty() => Some(Self { urn: Some(text.into()), names: Vec::new() }),
            None => None,
        }
    }

    /// The path of a name without URN, for callers that know it to be well-formed.
    pub(crate) fn of(name: &str) -> Self {
        Self { urn: None, names: vec![name.into()] }
    }

    /// A single name without URN and sub-attribute, as stands inside a value path.
    pub(crate) fn single(&self) -> Option<&str> {
        match (&self.urn, &*self.names) {
            (None, [name]) => Some(name),
            _ => None,
        }
    }
}

/// Whether a byte can stand in a path with a URN: what RFC 3986 allows, less the marks of filters.
pub(crate) fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'*+;=%".contains(&byte)
}

fn names(text: &str) -> Option<Vec<Box<str>>> {
    let names: Vec<Box<str>> = text.split('.').map(Into::into).collect();
    (names.len() <= 3 && names.iter().all(|name| is_attribute_name(name))).then_some(names)
}

/// `ATTRNAME` of RFC 7644, section 3.4.2.2, and `$ref`, which the grammar forgot.
pub(crate) fn is_attribute_name(name: &str) -> bool {
    let mut bytes = name.strip_prefix('$').unwrap_or(name).bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.join(".");
        match &self.urn {
            None => f.write_str(&names),
            Some(urn) if names.is_empty() => f.write_str(urn),
            Some(urn) => write!(f, "{urn}:{names}"),
        }
    }
}

/// An attribute or sub-attribute that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The extension it belongs to; `None` for core and common attributes.
    pub schema: Option<Name>,
    /// The attribute.
    pub attribute: Arc<Attribute>,
    /// The sub-attribute, when the path goes that deep.
    pub sub: Option<Arc<Attribute>>,
}

impl Resolved {
    /// What is compared or set: the sub-attribute if there is one, else the attribute.
    #[must_use]
    pub fn leaf(&self) -> &Arc<Attribute> {
        self.sub.as_ref().unwrap_or(&self.attribute)
    }

    /// The canonical path: `name.familyName`, `urn:…:User:department`.
    #[must_use]
    pub fn path(&self) -> String {
        let sub = self.sub.as_ref().map(|sub| format!(".{}", sub.name)).unwrap_or_default();
        format!("{}{sub}", attribute_path(self.schema.as_ref(), &self.attribute.name))
    }
}

/// The canonical path of an attribute: its name, after its URN when it belongs to an extension.
pub(crate) fn attribute_path(schema: Option<&Name>, attribute: &str) -> String {
    match schema {
        None => attribute.into(),
        Some(urn) => format!("{urn}:{attribute}"),
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// An attribute or sub-attribute.
    Attribute(Resolved),
    /// A whole extension, named by its URN alone.
    Extension(Extension),
}

impl ResourceType {
    /// What the path leads to in resources of this type, whatever the case. `None` when there is no such
    /// attribute. Extension attributes are found by URN only.
    #[must_use]
    pub fn resolve(&self, path: &AttrPath) -> Option<Place> {
        let names: Vec<&str> = path.names.iter().map(|name| &**name).collect();
        let Some(urn) = &path.urn else { return self.within(None, &names) };
        if let Some(found) = self.under(urn, &names) {
            return Some(found);
        }
        let (first, rest) = names.split_first()?;
        self.under(&format!("{urn}:{first}"), rest)
    }

    /// The attribute of a path that leads to one.
    #[must_use]
    pub fn resolve_attribute(&self, path: &AttrPath) -> Option<Resolved> {
        match self.resolve(path)? {
            Place::Attribute(found) => Some(found),
            Place::Extension(_) => None,
        }
    }

    fn under(&self, urn: &str, names: &[&str]) -> Option<Place> {
        if self.schema().id.is(urn) {
            return self.within(None, names);
        }
        let extension = self.extension(urn)?;
        if names.is_empty() {
            return Some(Place::Extension(extension.clone()));
        }
        self.within(Some(extension), names)
    }

    fn within(&self, extension: Option<&Extension>, names: &[&str]) -> Option<Place> {
        let (first, rest) = names.split_first()?;
        let attribute = match extension {
            None => self.attribute(first)?,
            Some(extension) => extension.schema.attribute(first)?,
        };
        let sub = match rest {
            [] => None,
            [sub] if is_own_value(attribute, sub) => None,
            [sub] => Some(attribute.sub(sub)?.clone()),
            _ => return None,
        };
        let schema = extension.map(|extension| extension.schema.id.clone());
        Some(Place::Attribute(Resolved { schema, attribute: attribute.clone(), sub }))
    }
}

/// A list of plain values is addressed as if each were a `value` (RFC 7643, section 2.4).
pub(crate) fn is_own_value(attribute: &Attribute, sub: &str) -> bool {
    attribute.multi_valued && attribute.kind != Type::Complex && sub.eq_ignore_ascii_case("value")
}
