//! The value tree: what a resource holds, typed by the registry.
//!
//! A [`Tree`] has one entry for each core attribute and one complex entry, under its URN, for each
//! extension, in the order in which they were set. Names have their canonical spelling. What the registry
//! does not know (the extension of a schema that was withdrawn, say) is kept as [`Value::Opaque`], stored
//! and restored, but never compared and never shown, since nobody knows whether it may be.
//!
//! What it is not: it holds no `schemas` list (which follows from what is there), no members of groups and no
//! password: see [`Body`].

mod object;
mod once;
mod read;
mod reader;
mod write;

pub use object::{Object, Tree};
pub(crate) use read::missing;
pub use read::{Body, MAX_BODY_BYTES, Member, parse, read};
pub(crate) use reader::{
    Reader, from_literal, invalid, is_nothing, is_primary, is_to_nobody, items, only_element, spelled_truth,
};
pub use write::{Projection, write};

use kernel::Timestamp;
use serde_json::Value as Json;

/// Most elements that a multi-valued attribute may have. Members of groups are not counted by it.
pub const MAX_ELEMENTS: usize = 1_000;
/// Most bytes of a single text value.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Most bytes of all values of a resource, roughly counted.
pub const MAX_TREE_BYTES: usize = 512 * 1024;

/// A point in time and the text it was given as: compared by instant, returned as given.
#[derive(Clone, Debug)]
pub struct DateTime {
    at: Timestamp,
    text: String,
}

impl DateTime {
    /// Reads `xsd:dateTime` (RFC 7643, section 2.3.5). A text without an offset is taken as UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}Z")))?;
        Some(Self { at, text: text.into() })
    }

    /// The instant.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl From<Timestamp> for DateTime {
    fn from(at: Timestamp) -> Self {
        Self { at, text: at.to_string() }
    }
}

impl PartialEq for DateTime {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

/// The value of an attribute, of a sub-attribute, or of one element of a list.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the words are the standard's")]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Decimal(f64),
    String(String),
    DateTime(DateTime),
    Reference(String),
    /// In base64, as given.
    Binary(String),
    Complex(Object),
    /// A list. Never empty inside a tree.
    Multi(Vec<Value>),
    /// What the registry does not know.
    Opaque(Json),
}

impl Value {
    /// A string value.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// The text of a string, reference, binary or date-time.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Reference(text) | Self::Binary(text) => Some(text),
            Self::DateTime(time) => Some(&time.text),
            _ => None,
        }
    }

    /// The truth of a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The parts of a complex value.
    #[must_use]
    pub fn as_complex(&self) -> Option<&Object> {
        match self {
            Self::Complex(object) => Some(object),
            _ => None,
        }
    }

    /// The elements of a list; a single value is a list of itself.
    #[must_use]
    pub fn elements(&self) -> &[Value] {
        match self {
            Self::Multi(elements) => elements,
            single => std::slice::from_ref(single),
        }
    }

    /// Whether `pr` fails on it: an empty text, list or complex value (RFC 7644, table 3).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::String(text) | Self::Reference(text) | Self::Binary(text) => text.is_empty(),
            Self::Complex(object) => object.iter().all(|(_, value)| value.is_empty()),
            Self::Multi(elements) => elements.iter().all(Self::is_empty),
            Self::Opaque(_) => true,
            _ => false,
        }
    }

    /// The JSON form, whole.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Boolean(truth) => Json::Bool(*truth),
            Self::Integer(number) => Json::from(*number),
            Self::Decimal(number) => Json::from(*number),
            Self::String(text) | Self::Reference(text) | Self::Binary(text) => Json::String(text.clone()),
            Self::DateTime(time) => Json::String(time.text.clone()),
            Self::Complex(object) => object.to_json(),
            Self::Multi(elements) => elements.iter().map(Self::to_json).collect(),
            Self::Opaque(json) => json.clone(),
        }
    }

    /// What it costs to compare all texts in it by their folded form, in comparisons of short ones.
    pub(crate) fn effort(&self) -> usize {
        let of_text = |text: &str| if text.is_ascii() { text.len() / 64 } else { text.len() / 4 };
        1 + match self {
            Self::String(text) | Self::Reference(text) | Self::Binary(text) => of_text(text),
            Self::Complex(object) => {
                object.iter().filter_map(|(_, value)| value.as_text()).map(of_text).sum()
            }
            _ => 0,
        }
    }

    /// Roughly how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::String(text) | Self::Reference(text) | Self::Binary(text) => text.len(),
            Self::DateTime(time) => time.text.len(),
            Self::Complex(object) => object.weight(),
            Self::Multi(elements) => elements.iter().map(Self::weight).sum(),
            Self::Opaque(json) => json.to_string().len(),
            Self::Boolean(_) | Self::Integer(_) | Self::Decimal(_) => 8,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
