//! Whether a resource, or one element of a list, matches a bound filter.

use std::cell::LazyCell;
use std::cmp::Ordering;

use directory::fold;

use super::{Bound, Filter, Literal, Op};
use crate::schema::{Resolved, ResourceType};
use crate::value::{Tree, Value};

impl Bound {
    /// Whether the resource matches. What is not in the tree, as members are not, counts as absent;
    /// `schemas` follows from what is.
    #[must_use]
    pub fn matches(&self, kind: &ResourceType, tree: &Tree) -> bool {
        let schemas = LazyCell::new(|| schemas(kind, tree));
        self.holds(&|attribute| match is_schemas(attribute) {
            true => schemas.iter().collect(),
            false => values(attribute, tree),
        })
    }

    /// Whether one element matches a filter from the brackets over its attribute.
    #[must_use]
    pub fn matches_element(&self, element: &Value) -> bool {
        self.holds(&|attribute| part(attribute, element).into_iter().collect())
    }

    fn holds<'v>(&self, values: &dyn Fn(&Resolved) -> Vec<&'v Value>) -> bool {
        match self {
            Filter::And(parts) => parts.iter().all(|part| part.holds(values)),
            Filter::Or(parts) => parts.iter().any(|part| part.holds(values)),
            Filter::Not(inner) => !inner.holds(values),
            Filter::Present(attribute) => values(attribute).iter().any(|value| !value.is_empty()),
            Filter::Compare(attribute, op, literal) => {
                compare(&values(attribute), *op, literal, attribute.leaf().case_exact)
            }
            Filter::Has(attribute, inner) => {
                values(attribute).iter().any(|element| inner.matches_element(element))
            }
        }
    }
}

fn is_schemas(attribute: &Resolved) -> bool {
    attribute.schema.is_none() && attribute.attribute.name == "schemas"
}

fn schemas(kind: &ResourceType, tree: &Tree) -> Vec<Value> {
    let urns = kind.extensions().iter().map(|extension| &extension.schema.id);
    let present = urns.filter(|urn| tree.extension(urn).is_some());
    [&kind.schema().id].into_iter().chain(present).map(|urn| Value::Reference(urn.to_string())).collect()
}

/// The values of an attribute in a resource: one for each element.
fn values<'v>(attribute: &Resolved, tree: &'v Tree) -> Vec<&'v Value> {
    let elements = tree.value(attribute).map(Value::elements).unwrap_or_default();
    elements.iter().filter_map(|element| part(attribute, element)).collect()
}

fn part<'v>(attribute: &Resolved, element: &'v Value) -> Option<&'v Value> {
    let value = match &attribute.sub {
        None => element,
        Some(sub) => element.as_complex()?.get(&sub.name)?,
    };
    (!matches!(value, Value::Opaque(_))).then_some(value)
}

fn compare(values: &[&Value], op: Op, literal: &Literal, case_exact: bool) -> bool {
    let equal = || match literal {
        Literal::Null => values.is_empty(),
        _ => values.iter().any(|value| order(value, literal, case_exact) == Some(Ordering::Equal)),
    };
    match op {
        Op::Eq => equal(),
        Op::Ne => !equal(),
        _ => values.iter().any(|value| holds(value, op, literal, case_exact)),
    }
}

fn holds(value: &Value, op: Op, literal: &Literal, case_exact: bool) -> bool {
    let texts = |test: fn(&str, &str) -> bool| match (value.as_text(), literal) {
        (Some(value), Literal::Text(wanted)) if case_exact => test(value, wanted),
        (Some(value), Literal::Text(wanted)) => test(&fold_within(value), &fold_within(wanted)),
        _ => false,
    };
    let order = || order(value, literal, case_exact);
    match op {
        Op::Co => texts(|value, wanted| value.contains(wanted)),
        Op::Sw => texts(|value, wanted| value.starts_with(wanted)),
        Op::Ew => texts(|value, wanted| value.ends_with(wanted)),
        Op::Gt => order().is_some_and(Ordering::is_gt),
        Op::Ge => order().is_some_and(Ordering::is_ge),
        Op::Lt => order().is_some_and(Ordering::is_lt),
        Op::Le => order().is_some_and(Ordering::is_le),
        Op::Eq => order() == Some(Ordering::Equal),
        Op::Ne => order() != Some(Ordering::Equal),
    }
}

/// How the value stands to the literal; `None` when they are of different types.
fn order(value: &Value, literal: &Literal, case_exact: bool) -> Option<Ordering> {
    match (value, literal) {
        (Value::Boolean(value), Literal::Boolean(wanted)) => Some(value.cmp(wanted)),
        (Value::Integer(value), Literal::Integer(wanted)) => Some(value.cmp(wanted)),
        (Value::DateTime(value), Literal::DateTime(wanted)) => Some(value.at().cmp(wanted)),
        (Value::Integer(_) | Value::Decimal(_), Literal::Integer(_) | Literal::Decimal(_)) => {
            number(value)?.partial_cmp(&wanted_number(literal)?)
        }
        (Value::String(value) | Value::Reference(value) | Value::Binary(value), Literal::Text(wanted)) => {
            Some(order_texts(value, wanted, case_exact))
        }
        _ => None,
    }
}

fn order_texts(a: &str, b: &str, case_exact: bool) -> Ordering {
    if case_exact {
        return a.cmp(b);
    }
    if a.is_ascii() && b.is_ascii() {
        // What folding comes to for most texts, without the cost.
        let folded = |text| str::bytes(str::trim(text)).map(|byte| byte.to_ascii_lowercase());
        return folded(a).cmp(folded(b));
    }
    fold(a).cmp(&fold(b))
}

/// Folds a text for comparison with a part of another, where the spaces at its ends matter.
fn fold_within(text: &str) -> String {
    let body = text.trim();
    let start = text.len() - text.trim_start().len();
    match body.is_empty() {
        true => text.into(),
        false => format!("{}{}{}", &text[..start], fold(body), &text[start + body.len()..]),
    }
}

/// Whether two texts are the same by the attribute's own rule.
pub(crate) fn texts_equal(a: &str, b: &str, case_exact: bool) -> bool {
    order_texts(a, b, case_exact) == Ordering::Equal
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a whole number is only rounded when compared with a fraction"
)]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Decimal(number) => Some(*number),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a whole number is only rounded when compared with a fraction"
)]
fn wanted_number(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Integer(number) => Some(*number as f64),
        Literal::Decimal(number) => Some(*number),
        _ => None,
    }
}
