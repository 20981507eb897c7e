//! Which rows are meant, and how they are shown: `where`, `fields`, `order`, `limit`, `offset`.
//!
//! The two forms of `where` are both in use: `{"cards": {"user_id": [8]}}`, and a list of clauses with an operator and
//! a connector, which the device pastes into its SQL. A connector with parentheses ends a group: `") OR ("`.
//!
//! Deliberately not here: conditions on other objects than the one that is asked for (the device joins them) and
//! `group`. They are refused.

use serde_json::Value;

use super::refusal::Refusal;
use super::row::{self, Cell, Row, type_of};
use super::schema::{Field, Kind, Object};

/// More elements than these in one list are refused, as the vendor says.
const LIST: usize = 999;

/// What a row has to be.
#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    Is(Test),
    All(Vec<Filter>),
    Any(Vec<Filter>),
}

/// One comparison.
#[derive(Debug, PartialEq)]
pub(super) struct Test {
    field: &'static str,
    operator: Operator,
    operands: Vec<Cell>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    AtLeast,
    AtMost,
    Like,
    NotLike,
    In,
    NotIn,
}

impl Operator {
    fn read(text: &str) -> Result<Self, Refusal> {
        Ok(match text {
            "=" | "==" => Self::Equal,
            "!=" | "<>" => Self::NotEqual,
            ">" => Self::Greater,
            "<" => Self::Less,
            ">=" => Self::AtLeast,
            "<=" => Self::AtMost,
            "LIKE" => Self::Like,
            "NOT LIKE" => Self::NotLike,
            "IN" => Self::In,
            "NOT IN" => Self::NotIn,
            _ => return Err(Refusal::bad(format!("Invalid operator '{text}'"))),
        })
    }
}

impl Test {
    fn read(field: &'static Field, operator: Option<&str>, value: &Value) -> Result<Self, Refusal> {
        let operator = operator.map_or(Ok(Operator::Equal), Operator::read)?;
        let operator = match (operator, value) {
            (Operator::Equal, Value::Array(_)) => Operator::In,
            (Operator::NotEqual, Value::Array(_)) => Operator::NotIn,
            (operator, _) => operator,
        };
        if matches!(operator, Operator::Like | Operator::NotLike) && field.kind != Kind::Text {
            return Err(Refusal::bad(format!("Invalid operator for member '{}'", field.name)));
        }
        let operands = match (operator, value) {
            (Operator::In | Operator::NotIn, Value::Array(values)) if values.len() <= LIST => {
                values.iter().map(|value| Cell::read(field, value)).collect::<Result<_, _>>()?
            }
            (Operator::In | Operator::NotIn, Value::Array(_)) => {
                return Err(Refusal::bad("too many SQL variables"));
            }
            (Operator::In | Operator::NotIn, other) => {
                return Err(Refusal::of_type(field.name, "array", type_of(other)));
            }
            (_, value) => vec![Cell::read(field, value)?],
        };
        Ok(Self { field: field.name, operator, operands })
    }

    fn holds(&self, row: &Row) -> bool {
        let Some(cell) = row.get(self.field) else { return false };
        let any =
            |compare: fn(&Cell, &Cell) -> bool| self.operands.iter().any(|operand| compare(cell, operand));
        match self.operator {
            Operator::Equal | Operator::In => any(|cell, operand| cell == operand),
            Operator::NotEqual | Operator::NotIn => !any(|cell, operand| cell == operand),
            Operator::Greater => any(|cell, operand| cell > operand),
            Operator::Less => any(|cell, operand| cell < operand),
            Operator::AtLeast => any(|cell, operand| cell >= operand),
            Operator::AtMost => any(|cell, operand| cell <= operand),
            Operator::Like => any(like),
            Operator::NotLike => !any(like),
        }
    }
}

/// SQL's `LIKE`: `%` is any text, `_` one character, and case does not count.
fn like(cell: &Cell, pattern: &Cell) -> bool {
    fn goes(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skipped| goes(&text[skipped..], rest)),
            Some(('_', rest)) => !text.is_empty() && goes(&text[1..], rest),
            Some((letter, rest)) => text.first() == Some(letter) && goes(&text[1..], rest),
        }
    }
    let (Cell::Text(text), Cell::Text(pattern)) = (cell, pattern) else { return false };
    let letters = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<_>>();
    goes(&letters(text), &letters(pattern))
}

impl Filter {
    /// Every row.
    pub(super) fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// The member `where`; without it every row is meant.
    pub(super) fn read(object: &'static Object, value: Option<&Value>) -> Result<Self, Refusal> {
        match value {
            None => Ok(Self::everything()),
            Some(Value::Array(clauses)) => Self::of_clauses(object, clauses),
            Some(Value::Object(objects)) => {
                let mut all = Vec::new();
                for (name, fields) in objects {
                    if name != object.name {
                        return Err(Refusal::bad(format!("Invalid object '{name}' in where")));
                    }
                    let fields = fields
                        .as_object()
                        .ok_or_else(|| Refusal::of_type(name, "object", type_of(fields)))?;
                    for (name, condition) in fields {
                        let field = object.field(name).ok_or_else(|| Refusal::unknown(name))?;
                        Self::of_condition(field, condition, &mut all)?;
                    }
                }
                if all.is_empty() {
                    Err(Refusal::bad("Invalid member 'where' (empty)"))
                } else {
                    Ok(Self::All(all))
                }
            }
            Some(other) => Err(Refusal::of_type("where", "object or array", type_of(other))),
        }
    }

    /// A value, a list of values, or operators with theirs.
    fn of_condition(field: &'static Field, condition: &Value, all: &mut Vec<Self>) -> Result<(), Refusal> {
        let Value::Object(operators) = condition else {
            all.push(Self::Is(Test::read(field, None, condition)?));
            return Ok(());
        };
        for (operator, value) in operators {
            all.push(Self::Is(Test::read(field, Some(operator), value)?));
        }
        Ok(())
    }

    /// The list form. `AND` binds closer than `OR`, inside a group and between groups; what the last clause would
    /// connect to is not there.
    fn of_clauses(object: &'static Object, clauses: &[Value]) -> Result<Self, Refusal> {
        let (mut groups, mut sums) = (Vec::new(), Vec::new());
        let (mut terms, mut factors) = (Vec::new(), Vec::new());
        for (at, clause) in clauses.iter().enumerate() {
            let (test, connector) = clause_of(object, clause)?;
            factors.push(Self::Is(test));
            let last = at + 1 == clauses.len();
            let connector = if last { ") OR (" } else { connector };
            match connector {
                "AND" => {}
                "OR" => terms.push(Self::All(std::mem::take(&mut factors))),
                _ => {
                    terms.push(Self::All(std::mem::take(&mut factors)));
                    groups.push(Self::Any(std::mem::take(&mut terms)));
                    if connector == ") OR (" {
                        sums.push(Self::All(std::mem::take(&mut groups)));
                    }
                }
            }
        }
        if sums.is_empty() { Ok(Self::everything()) } else { Ok(Self::Any(sums)) }
    }

    pub(super) fn matches(&self, row: &Row) -> bool {
        match self {
            Self::Is(test) => test.holds(row),
            Self::All(all) => all.iter().all(|filter| filter.matches(row)),
            Self::Any(any) => any.iter().any(|filter| filter.matches(row)),
        }
    }
}

/// One element of the list form, and what connects it to the next.
fn clause_of<'a>(object: &'static Object, clause: &'a Value) -> Result<(Test, &'a str), Refusal> {
    let members = clause.as_object().ok_or_else(|| Refusal::of_type("where", "object", type_of(clause)))?;
    if let Some(name) = members
        .keys()
        .find(|name| !["object", "field", "operator", "value", "connector"].contains(&name.as_str()))
    {
        return Err(Refusal::unknown(name));
    }
    let text = |name: &str, default: &'static str| match members.get(name) {
        None => Ok(default),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => Err(Refusal::of_type(name, "string", type_of(other))),
    };
    let of = text("object", object.name)?;
    if of != object.name {
        return Err(Refusal::bad(format!("Invalid object '{of}' in where")));
    }
    let name = text("field", "")?;
    let field = object.field(name).ok_or_else(|| Refusal::unknown(name))?;
    let value = members.get("value").ok_or_else(|| Refusal::missing("value"))?;
    let connector = text("connector", "AND")?;
    if !["AND", "OR", ") AND (", ") OR ("].contains(&connector) {
        return Err(Refusal::bad(format!("Invalid connector '{connector}'")));
    }
    Ok((Test::read(field, Some(text("operator", "=")?), value)?, connector))
}

/// What is asked of `load_objects`, besides the rows.
#[derive(Debug)]
pub(super) struct Page {
    fields: Vec<&'static str>,
    order: Vec<&'static str>,
    descending: bool,
    limit: Option<usize>,
    offset: usize,
}

impl Page {
    /// The members of the request that say how the rows are shown.
    pub(super) fn read(
        object: &'static Object,
        body: &serde_json::Map<String, Value>,
    ) -> Result<Self, Refusal> {
        let known =
            |name: &str| object.field(name).map(|field| field.name).ok_or_else(|| Refusal::unknown(name));
        let fields = match body.get("fields") {
            None => object.fields.iter().map(|field| field.name).collect(),
            Some(fields) => {
                let names = names(object, "fields", fields)?;
                names.into_iter().map(known).collect::<Result<Vec<_>, _>>()?
            }
        };
        if fields.is_empty() {
            return Err(Refusal::bad("Invalid member 'fields' (empty)"));
        }
        let (mut order, mut descending) = (Vec::new(), false);
        if let Some(value) = body.get("order") {
            for name in names(object, "order", value)? {
                match name {
                    "ascending" => descending = false,
                    "descending" => descending = true,
                    name => order.push(known(name)?),
                }
            }
        }
        let limit = count(body, "limit")?;
        // Without a limit the offset is ignored, says the vendor.
        let offset = count(body, "offset")?.filter(|_| limit.is_some()).unwrap_or(0);
        Ok(Self { fields, order, descending, limit, offset })
    }

    /// The rows in their order, as far as they are on the page. A firmware that ignores limits shows all of them.
    pub(super) fn show<'a>(
        &self,
        object: &Object,
        rows: impl Iterator<Item = &'a Row>,
        ignore_limit: bool,
    ) -> Vec<Value> {
        let mut rows: Vec<&Row> = rows.collect();
        if !self.order.is_empty() {
            rows.sort_by_cached_key(|row| {
                self.order.iter().map(|name| row.get(*name).cloned()).collect::<Vec<_>>()
            });
            if self.descending {
                rows.reverse();
            }
        }
        let (offset, limit) = if ignore_limit { (0, None) } else { (self.offset, self.limit) };
        let page = rows.into_iter().skip(offset).take(limit.unwrap_or(usize::MAX));
        page.map(|row| {
            let shown: Row =
                self.fields.iter().filter_map(|name| Some((*name, row.get(*name)?.clone()))).collect();
            row::json(object, &shown)
        })
        .collect()
    }
}

/// Names of fields, each as a string or as `{"object": …, "field": …}`.
fn names<'a>(object: &Object, member: &str, value: &'a Value) -> Result<Vec<&'a str>, Refusal> {
    let list = value.as_array().ok_or_else(|| Refusal::of_type(member, "array", type_of(value)))?;
    let name = |element: &'a Value| match element {
        Value::String(name) => Ok(name.as_str()),
        Value::Object(members) if members.get("object").and_then(Value::as_str) == Some(object.name) => {
            members.get("field").and_then(Value::as_str).ok_or_else(|| Refusal::missing("field"))
        }
        other => Err(Refusal::of_type(member, "string", type_of(other))),
    };
    list.iter().map(name).collect()
}

fn count(body: &serde_json::Map<String, Value>, name: &str) -> Result<Option<usize>, Refusal> {
    let Some(value) = body.get(name) else { return Ok(None) };
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.map(Some).ok_or_else(|| Refusal::of_type(name, "int", type_of(value)))
}

#[cfg(test)]
mod tests;
