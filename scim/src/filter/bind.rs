//! From names to attributes, from literals to typed ones.

use std::sync::Arc;

use super::{Bound, Filter, Literal, Op};
use crate::error::{ScimError, ScimType};
use crate::schema::{AttrPath, Attribute, Resolved, ResourceType, Returned, Type, is_own_value};
use crate::value::{DateTime, spelled_truth};

impl Filter {
    /// Resolves the filter for resources of one type.
    ///
    /// # Errors
    /// `invalidFilter` for an attribute that does not exist or must not be asked about, an operator that
    /// its type does not have, or a value of another type.
    pub fn bind(&self, kind: &ResourceType) -> Result<Bound, ScimError> {
        bind_with(self, &|path| kind.resolve_attribute(path))
    }
}

/// Resolves a filter that stands in the brackets of a value path over `attribute`.
pub(crate) fn bind_elements(filter: &Filter, attribute: &Resolved) -> Result<Bound, ScimError> {
    bind_with(filter, &|path| element_part(attribute, path))
}

/// The part of an element that a relative path names.
fn element_part(attribute: &Resolved, path: &AttrPath) -> Option<Resolved> {
    let name = path.single()?;
    if is_own_value(&attribute.attribute, name) {
        return Some(attribute.clone());
    }
    let sub = attribute.attribute.sub(name)?.clone();
    Some(Resolved { sub: Some(sub), ..attribute.clone() })
}

fn bind_with(filter: &Filter, resolve: &dyn Fn(&AttrPath) -> Option<Resolved>) -> Result<Bound, ScimError> {
    let all =
        |parts: &[Filter]| parts.iter().map(|part| bind_with(part, resolve)).collect::<Result<Vec<_>, _>>();
    Ok(match filter {
        Filter::And(parts) => Filter::And(all(parts)?),
        Filter::Or(parts) => Filter::Or(all(parts)?),
        Filter::Not(inner) => Filter::Not(Box::new(bind_with(inner, resolve)?)),
        Filter::Present(path) => Filter::Present(find(path, resolve)?),
        Filter::Compare(path, op, literal) => compare(find(path, resolve)?, *op, literal)?,
        Filter::Has(path, inner) => {
            let attribute = find(path, resolve)?;
            if attribute.sub.is_some() || !attribute.attribute.multi_valued {
                return Err(refused(&attribute, "brackets belong to multi-valued attributes"));
            }
            let inner = bind_elements(inner, &attribute)?;
            Filter::Has(attribute, Box::new(inner))
        }
    })
}

fn find(path: &AttrPath, resolve: &dyn Fn(&AttrPath) -> Option<Resolved>) -> Result<Resolved, ScimError> {
    let unknown = || ScimError::new(ScimType::InvalidFilter, format!("{path}: no such attribute here"));
    let found = resolve(path).ok_or_else(unknown)?;
    // A filter on what is never shown would show it, one guess at a time.
    let hidden = |attribute: &Arc<Attribute>| attribute.returned == Returned::Never;
    if hidden(&found.attribute) || hidden(found.leaf()) {
        return Err(refused(&found, "must not be asked about"));
    }
    Ok(found)
}

fn compare(mut attribute: Resolved, op: Op, literal: &Literal) -> Result<Bound, ScimError> {
    if *literal == Literal::Null {
        return match op {
            Op::Eq | Op::Ne => Ok(Filter::Compare(attribute, op, Literal::Null)),
            _ => Err(refused(&attribute, "null can only be compared by eq and ne")),
        };
    }
    // A complex attribute is compared by its value (RFC 7643, section 2.4).
    if attribute.leaf().is_complex() {
        let value = attribute.attribute.sub("value").cloned();
        let value = value.ok_or_else(|| refused(&attribute, "name the sub-attribute to compare"))?;
        attribute.sub = Some(value);
    }
    let kind = attribute.leaf().kind;
    let of_texts = matches!(op, Op::Co | Op::Sw | Op::Ew);
    let of_order = matches!(op, Op::Gt | Op::Ge | Op::Lt | Op::Le);
    let refused_op = match kind {
        Type::String | Type::Reference => false,
        Type::Boolean | Type::Binary => of_texts || of_order,
        _ => of_texts,
    };
    if refused_op {
        return Err(refused(&attribute, &format!("{op} does not apply to a {}", word(kind))));
    }
    let Some(literal) = typed(kind, literal) else {
        return Err(refused(&attribute, &format!("{literal} is not a {}", word(kind))));
    };
    Ok(Filter::Compare(attribute, op, literal))
}

fn typed(kind: Type, literal: &Literal) -> Option<Literal> {
    match (kind, literal) {
        (Type::Boolean, Literal::Boolean(_)) => Some(literal.clone()),
        (Type::Boolean, Literal::Text(text)) => spelled_truth(text).map(Literal::Boolean),
        (Type::Integer | Type::Decimal, Literal::Integer(_) | Literal::Decimal(_)) => Some(literal.clone()),
        (Type::String | Type::Reference | Type::Binary, Literal::Text(_)) => Some(literal.clone()),
        (Type::DateTime, Literal::Text(text)) => {
            DateTime::parse(text).map(|time| Literal::DateTime(time.at()))
        }
        _ => None,
    }
}

fn word(kind: Type) -> &'static str {
    match kind {
        Type::String => "text",
        Type::Boolean => "boolean",
        Type::Decimal => "number",
        Type::Integer => "whole number",
        Type::DateTime => "date and time",
        Type::Reference => "reference",
        Type::Binary => "binary value",
        Type::Complex => "complex value",
    }
}

fn refused(attribute: &Resolved, why: &str) -> ScimError {
    ScimError::new(ScimType::InvalidFilter, format!("{}: {why}", attribute.path()))
}
