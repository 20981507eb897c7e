//! Filters (RFC 7644, section 3.4.2.2): text to tree, tree to text, and whether a resource matches.
//!
//! [`Filter::parse`] reads the full grammar and four lenient forms that clients send: operators in any
//! case, `emails[type eq "work"].value eq "x"` (which becomes one value path), `$ref`, and booleans as
//! texts. [`Filter::bind`] resolves names against a resource type and types the literals; there, an unknown
//! attribute is always an error, since an empty answer would make clients create doubles. A bound filter
//! is evaluated with [`Filter::matches`], or compiled to a storage predicate by whoever owns the storage:
//! the two must agree.
//!
//! What means what, where the RFC leaves it open: `ne` is the negation of `eq`, also on lists and on absent
//! attributes; any other comparison holds when it holds for some element; absent is null.

mod bind;
mod evaluate;
mod parse;

use std::fmt;

use kernel::Timestamp;

use crate::error::{ScimError, ScimType};
use crate::schema::{AttrPath, Resolved};

pub(crate) use bind::bind_elements;
pub(crate) use evaluate::texts_equal;
pub(crate) use parse::Parser;

/// Deepest nesting of groups, negations and value paths.
pub const MAX_DEPTH: usize = 64;
/// Most comparisons and presence tests.
pub const MAX_TERMS: usize = 1_024;
/// Longest filter, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the standard's")]
pub enum Op {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Op {
    const ALL: [(Op, &'static str); 9] = [
        (Op::Eq, "eq"),
        (Op::Ne, "ne"),
        (Op::Co, "co"),
        (Op::Sw, "sw"),
        (Op::Ew, "ew"),
        (Op::Gt, "gt"),
        (Op::Ge, "ge"),
        (Op::Lt, "lt"),
        (Op::Le, "le"),
    ];

    fn parse(word: &str) -> Option<Op> {
        Self::ALL.iter().find(|(_, name)| word.eq_ignore_ascii_case(name)).map(|(op, _)| *op)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("eq", |(_, name)| name)
    }
}

/// What an attribute is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`: the attribute has no value.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 64 bits.
    Integer(i64),
    /// Any other number; finite.
    Decimal(f64),
    /// A text, as written; folded only when compared.
    Text(String),
    /// An instant. Only in bound filters.
    DateTime(Timestamp),
}

/// A filter over attribute paths as written (`Filter`) or resolved (`Filter<Resolved>`, a bound filter).
#[derive(Clone, Debug, PartialEq)]
pub enum Filter<A = AttrPath> {
    /// All hold. Two at least.
    And(Vec<Filter<A>>),
    /// One holds at least. Two at least.
    Or(Vec<Filter<A>>),
    /// It does not hold.
    Not(Box<Filter<A>>),
    /// `pr`: there is a value, and it is not empty.
    Present(A),
    /// A comparison.
    Compare(A, Op, Literal),
    /// `attr[filter]`: some element of the attribute matches. Bound, the paths inside are whole
    /// (`emails.type`); as written they are relative (`type`).
    Has(A, Box<Filter<A>>),
}

/// A filter whose attributes exist and whose literals fit them.
pub type Bound = Filter<Resolved>;

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `invalidFilter`, with the place, when it breaks the grammar or a limit.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        Parser::new(text).and_then(Parser::filter).map_err(|why| ScimError::new(ScimType::InvalidFilter, why))
    }
}

impl<A> Filter<A> {
    /// How many comparisons and presence tests it has.
    #[must_use]
    pub fn terms(&self) -> usize {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::terms).sum(),
            Self::Not(inner) | Self::Has(_, inner) => inner.terms(),
            Self::Present(_) | Self::Compare(..) => 1,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            // The debug form always has a point or an exponent, so it reads back as a decimal.
            Self::Decimal(number) => write!(f, "{number:?}"),
            Self::Text(text) => f.write_str(&serde_json::Value::from(text.as_str()).to_string()),
            Self::DateTime(at) => write!(f, "\"{at}\""),
        }
    }
}

/// The text that reads back as the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => join(f, parts, " and ", |part| matches!(part, Self::And(_) | Self::Or(_))),
            Self::Or(parts) => join(f, parts, " or ", |part| matches!(part, Self::Or(_))),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Present(attr) => write!(f, "{attr} pr"),
            Self::Compare(attr, op, literal) => write!(f, "{attr} {op} {literal}"),
            Self::Has(attr, inner) => write!(f, "{attr}[{inner}]"),
        }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    parts: &[Filter],
    word: &str,
    in_parentheses: impl Fn(&Filter) -> bool,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        match in_parentheses(part) {
            true => write!(f, "({part})")?,
            false => write!(f, "{part}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
