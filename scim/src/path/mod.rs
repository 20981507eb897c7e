//! PATCH paths (RFC 7644, section 3.5.2): `attr`, `attr.sub`, `attr[filter]`, `attr[filter].sub`, each with
//! a URN before it, and an extension's URN alone. Names have no case; `…:2.0:User.department` is understood
//! as `…:2.0:User:department`.

use std::fmt;
use std::sync::Arc;

use crate::error::{ScimError, ScimType};
use crate::filter::{Bound, Filter, Parser, bind_elements};
use crate::schema::{AttrPath, Attribute, Extension, Place, Resolved, ResourceType, is_own_value};

/// A path as a client wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchPath {
    attr: AttrPath,
    filter: Option<Filter>,
    sub: Option<String>,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A whole extension.
    Extension(Extension),
    /// An attribute, some of its elements, or a sub-attribute of either.
    Attribute(AttributeTarget),
}

/// See [`Target::Attribute`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeTarget {
    /// The attribute and, for `attr.sub` and `attr[filter].sub`, the sub-attribute.
    pub at: Resolved,
    /// Which elements. Only on multi-valued attributes.
    pub filter: Option<Bound>,
}

impl AttributeTarget {
    pub(crate) fn attribute(&self) -> &Arc<Attribute> {
        &self.at.attribute
    }

    pub(crate) fn sub(&self) -> Option<&Arc<Attribute>> {
        self.at.sub.as_ref()
    }
}

impl PatchPath {
    /// Reads a path.
    ///
    /// # Errors
    /// `invalidPath`, or `invalidFilter` for what stands in brackets (RFC 7644, table 9).
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let bad_path = |why: String| ScimError::new(ScimType::InvalidPath, why);
        let mut parser = Parser::new(text).map_err(bad_path)?;
        let attr = parser.path().map_err(bad_path)?;
        if parser.peek() != Some(b'[') {
            parser.end().map_err(bad_path)?;
            return Ok(Self { attr, filter: None, sub: None });
        }
        let filter = parser.brackets().map_err(|why| ScimError::new(ScimType::InvalidFilter, why))?;
        let sub = match parser.take(b'.') {
            true => Some(parser.name().map_err(bad_path)?.to_owned()),
            false => None,
        };
        parser.end().map_err(bad_path)?;
        Ok(Self { attr, filter: Some(filter), sub })
    }

    /// What the path leads to in resources of this type. `None` when there is no such attribute.
    ///
    /// # Errors
    /// `invalidPath` for brackets where there is no list, `invalidFilter` for what stands in them.
    pub fn resolve(&self, kind: &ResourceType) -> Result<Option<Target>, ScimError> {
        let mut at = match kind.resolve(&self.attr) {
            Some(Place::Attribute(at)) => at,
            Some(Place::Extension(extension)) if self.filter.is_none() => {
                return Ok(Some(Target::Extension(extension)));
            }
            _ => return Ok(None),
        };
        let Some(filter) = &self.filter else {
            return Ok(Some(Target::Attribute(AttributeTarget { at, filter: None })));
        };
        if at.sub.is_some() || !at.attribute.multi_valued {
            let why = format!("{}: brackets belong to multi-valued attributes", at.path());
            return Err(ScimError::new(ScimType::InvalidPath, why));
        }
        let filter = bind_elements(filter, &at)?;
        match &self.sub {
            Some(name) if !is_own_value(&at.attribute, name) => match at.attribute.sub(name) {
                Some(sub) => at.sub = Some(sub.clone()),
                None => return Ok(None),
            },
            _ => {}
        }
        Ok(Some(Target::Attribute(AttributeTarget { at, filter: Some(filter) })))
    }
}

impl fmt::Display for PatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attr)?;
        if let Some(filter) = &self.filter {
            write!(f, "[{filter}]")?;
        }
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
