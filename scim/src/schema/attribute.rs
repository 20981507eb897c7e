//! One attribute and its characteristics (RFC 7643, section 2.2 and 7).

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Name;

/// The data type of an attribute (RFC 7643, section 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are the standard's")]
pub enum Type {
    #[default]
    String,
    Boolean,
    Decimal,
    Integer,
    DateTime,
    Reference,
    Binary,
    Complex,
}

/// Who may change the attribute, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    /// Only we: ignored in POST and PUT, refused in PATCH.
    ReadOnly,
    /// The client, at any time.
    #[default]
    ReadWrite,
    /// The client, once.
    Immutable,
    /// The client, who never sees it again.
    WriteOnly,
}

/// When the attribute stands in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returned {
    /// In every answer, whatever was asked.
    Always,
    /// In none, not even when asked for.
    Never,
    /// Unless the client excludes it or asks for others.
    #[default]
    Default,
    /// Only when the client asks for it by name.
    Request,
}

/// Among which resources the value stands once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uniqueness {
    /// Values may repeat.
    #[default]
    None,
    /// Once in this service.
    Server,
    /// Once anywhere.
    Global,
}

/// An attribute or sub-attribute. Its serialised form is the one of RFC 7643, section 7; when read, every
/// characteristic but the name may be left out and then has the default of section 2.2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attribute {
    /// The name, in its one spelling.
    pub name: Name,
    /// The data type.
    #[serde(rename = "type", default)]
    pub kind: Type,
    /// Whether it holds a list.
    #[serde(default)]
    pub multi_valued: bool,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Whether a resource (or the complex value around it) must have it.
    #[serde(default)]
    pub required: bool,
    /// Values that clients should prefer; others are accepted (RFC 7643, section 2.4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canonical_values: Vec<String>,
    /// Whether comparison minds the case.
    #[serde(default)]
    pub case_exact: bool,
    /// Who may change it.
    #[serde(default)]
    pub mutability: Mutability,
    /// When it is returned.
    #[serde(default)]
    pub returned: Returned,
    /// Among whom it is unique.
    #[serde(default)]
    pub uniqueness: Uniqueness,
    /// What a reference may point at: resource types, `external`, `uri`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_types: Vec<String>,
    /// The parts of a complex attribute.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "arcs",
        serialize_with = "plain"
    )]
    pub sub_attributes: Vec<Arc<Attribute>>,
    /// Ours: a PUT that leaves it out does not clear it. RFC 7644, section 3.5.1 lets a server assign a
    /// default instead, and silence must neither disable a user nor empty a group.
    #[serde(default, skip_serializing)]
    pub retained: bool,
    /// Ours: its elements are the members of a group. They live outside the value tree and change by
    /// [`crate::patch::MemberDelta`], so that nobody ever has to read the list.
    #[serde(default, skip_serializing)]
    pub membership: bool,
}

impl Attribute {
    /// The sub-attribute of this name, in any case.
    #[must_use]
    pub fn sub(&self, name: &str) -> Option<&Arc<Attribute>> {
        self.sub_attributes.iter().find(|sub| sub.name.is(name))
    }

    /// Whether it has parts.
    #[must_use]
    pub fn is_complex(&self) -> bool {
        self.kind == Type::Complex
    }

    /// Whether clients may not set it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.mutability == Mutability::ReadOnly
    }
}

pub(super) fn arcs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Arc<Attribute>>, D::Error> {
    Ok(Vec::<Attribute>::deserialize(from)?.into_iter().map(Arc::new).collect())
}

pub(super) fn plain<S: Serializer>(attributes: &[Arc<Attribute>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(attributes.iter().map(|attribute| &**attribute))
}
