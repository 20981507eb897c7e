//! Lists: what a query asks and what its answer looks like (RFC 7644, sections 3.4.2 and 3.9).

use std::cmp::Ordering;

use directory::fold;
use kernel::Timestamp;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use url::form_urlencoded;

use crate::error::{ScimError, ScimType};
use crate::filter::Filter;
use crate::schema::{AttrPath, Resolved, ResourceType};
use crate::value::{Projection, Tree, Value, is_primary};

/// URN of the list message.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// The query parameters of a request. Others are ignored: Entra ID puts flags of its own there.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Which resources; all when absent.
    pub filter: Option<Filter>,
    /// The first one wanted, counted from 1.
    pub start_index: u64,
    /// How many at most; 0 asks for the total only. `None` leaves it to us.
    pub count: Option<u64>,
    /// What to order by.
    pub sort_by: Option<AttrPath>,
    /// Whether to order downwards.
    pub descending: bool,
    /// `attributes`, as written.
    pub attributes: Option<Vec<AttrPath>>,
    /// `excludedAttributes`, as written.
    pub excluded: Vec<AttrPath>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            filter: None,
            start_index: 1,
            count: None,
            sort_by: None,
            descending: false,
            attributes: None,
            excluded: Vec::new(),
        }
    }
}

impl Query {
    /// Reads a raw query string, without its question mark. Names may have any case; of a name given
    /// twice the last counts; an empty value is as none.
    ///
    /// # Errors
    /// `invalidFilter` for the filter, `invalidValue` for numbers and `sortBy`.
    pub fn parse(raw: &str) -> Result<Self, ScimError> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match &*name.to_ascii_lowercase() {
                "filter" => query.filter = Some(Filter::parse(&value)?),
                "startindex" => query.start_index = number(&name, &value)?.max(1),
                "count" => query.count = Some(number(&name, &value)?),
                "sortby" => query.sort_by = Some(path(&name, &value)?),
                "sortorder" => query.descending = value.eq_ignore_ascii_case("descending"),
                "attributes" => query.attributes = Some(paths(&value)),
                "excludedattributes" => query.excluded = paths(&value),
                _ => {}
            }
        }
        Ok(query)
    }

    /// What an answer with resources of this type shows.
    #[must_use]
    pub fn projection(&self, kind: &ResourceType) -> Projection {
        Projection::new(kind, self.attributes.as_deref(), &self.excluded)
    }
}

/// A whole number; what is below zero is zero (RFC 7644, section 3.4.2.4).
fn number(name: &str, value: &str) -> Result<u64, ScimError> {
    let number: Result<i64, _> = value.parse();
    match number {
        Ok(number) => Ok(u64::try_from(number).unwrap_or(0)),
        Err(_) => Err(ScimError::new(ScimType::InvalidValue, format!("{name}: expected a whole number"))),
    }
}

fn path(name: &str, value: &str) -> Result<AttrPath, ScimError> {
    let path = AttrPath::parse(value.trim());
    path.ok_or_else(|| ScimError::new(ScimType::InvalidValue, format!("{name}: expected an attribute")))
}

/// A list of names; what cannot be one names nothing and is passed over, as unknown names are.
fn paths(value: &str) -> Vec<AttrPath> {
    value.split(',').filter_map(|name| AttrPath::parse(name.trim())).collect()
}

/// Where a resource stands in an ordered list (RFC 7644, section 3.4.2.3): by the primary or first value of a
/// list, without case unless the attribute minds it, and what has no value comes last when ascending.
///
/// Made once for each resource: folding a text costs far more than comparing it.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum SortKey {
    Boolean(bool),
    Integer(i64),
    Decimal(f64),
    At(Timestamp),
    /// Folded, unless case matters.
    Text(String),
    Nowhere,
}

impl SortKey {
    pub(crate) fn of(by: &Resolved, tree: &Tree) -> Self {
        let compared = by.sub.as_ref().or_else(|| by.attribute.sub("value")).unwrap_or(&by.attribute);
        match sort_value(by, tree) {
            Some(Value::Boolean(truth)) => Self::Boolean(*truth),
            Some(Value::Integer(number)) => Self::Integer(*number),
            Some(Value::Decimal(number)) => Self::Decimal(*number),
            Some(Value::DateTime(time)) => Self::At(time.at()),
            Some(other) => match other.as_text() {
                Some(text) if compared.case_exact => Self::Text(text.into()),
                Some(text) => Self::Text(fold(text)),
                None => Self::Nowhere,
            },
            None => Self::Nowhere,
        }
    }

    /// How it stands to another of the same attribute.
    pub(crate) fn order(&self, other: &Self, descending: bool) -> Ordering {
        // Stored decimals are finite, so there always is an order.
        let ascending = self.partial_cmp(other).unwrap_or(Ordering::Equal);
        if descending { ascending.reverse() } else { ascending }
    }
}

fn sort_value<'v>(by: &Resolved, tree: &'v Tree) -> Option<&'v Value> {
    let elements = tree.value(by)?.elements();
    let element = elements.iter().find(|element| is_primary(element)).or(elements.first())?;
    let name = by.sub.as_ref().map_or("value", |sub| &*sub.name);
    match element {
        Value::Complex(parts) => parts.get(name),
        simple => Some(simple),
    }
}

/// A page of resources.
#[derive(Clone, Debug, PartialEq)]
pub struct ListResponse {
    /// How many match, on all pages.
    pub total_results: u64,
    /// Where this page starts, counted from 1.
    pub start_index: u64,
    /// The resources of this page, as [`crate::value::write`] gives them.
    pub resources: Vec<Json>,
}

impl Serialize for ListResponse {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut body = to.serialize_struct("ListResponse", 5)?;
        body.serialize_field("schemas", &[LIST_URN])?;
        body.serialize_field("totalResults", &self.total_results)?;
        body.serialize_field("startIndex", &self.start_index)?;
        body.serialize_field("itemsPerPage", &self.resources.len())?;
        body.serialize_field("Resources", &self.resources)?;
        body.end()
    }
}

#[cfg(test)]
mod tests;
