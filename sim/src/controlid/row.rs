//! Rows and their cells: from JSON, to JSON, and to the strings of a notification.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::schema::{Field, Kind, Missing, Object};

/// What stands in one field of one row. Their order is the database's: nothing, then numbers, then text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

/// One row, or a part of one.
pub(super) type Row = BTreeMap<&'static str, Cell>;

impl Cell {
    /// The value as that field takes it. Numbers are whole and fit 64 bits; nothing is converted.
    pub(super) fn read(field: &Field, value: &Value) -> Result<Self, Refusal> {
        let expected = match field.kind {
            Kind::Text => "string",
            Kind::Int | Kind::Card | Kind::Flag => "int",
        };
        match (field.kind, value) {
            (Kind::Text, Value::String(text)) => Ok(Self::Text(text.clone())),
            (Kind::Int | Kind::Card | Kind::Flag, Value::Number(number)) => match number.as_i64() {
                Some(number) => Ok(Self::Int(number)),
                None => Err(Refusal::of_type(field.name, expected, type_of(value))),
            },
            (_, Value::Null) if field.missing == Missing::Null => Ok(Self::Null),
            _ => Err(Refusal::of_type(field.name, expected, type_of(value))),
        }
    }

    /// What a field holds that was not given.
    fn absent(field: &Field) -> Result<Self, Refusal> {
        match field.missing {
            Missing::Refused => Err(Refusal::missing(field.name)),
            Missing::Assigned | Missing::Null => Ok(Self::Null),
            Missing::Zero => Ok(Self::Int(0)),
            Missing::Empty => Ok(Self::Text(String::new())),
        }
    }

    /// Whether the field may hold it: a type is not all.
    fn fits(&self, field: &Field) -> bool {
        match (field.kind, self) {
            (Kind::Card, Self::Int(number)) => *number > 0,
            (Kind::Flag, Self::Int(number)) => matches!(number, 0 | 1),
            _ => true,
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => (*number).into(),
            Self::Text(text) => text.clone().into(),
        }
    }

    /// As a notification has it: everything is a string there.
    fn string(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// The number in that field; 0 if there is none.
pub(super) fn int(row: &Row, field: &str) -> i64 {
    match row.get(field) {
        Some(Cell::Int(number)) => *number,
        _ => 0,
    }
}

/// The text in that field.
pub(super) fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    match row.get(field) {
        Some(Cell::Text(text)) => text,
        _ => "",
    }
}

/// A row of numbers.
pub(super) fn ints(cells: &[(&'static str, i64)]) -> Row {
    cells.iter().map(|(name, number)| (*name, Cell::Int(*number))).collect()
}

/// The fields that a request gives: known, of their types, and within their bounds.
pub(super) fn read(object: &Object, values: &Map<String, Value>) -> Result<Row, Refusal> {
    let mut row = Row::new();
    for (name, value) in values {
        let field = object.field(name).ok_or_else(|| Refusal::unknown(name))?;
        let cell = Cell::read(field, value)?;
        if !cell.fits(field) {
            return Err(Refusal::bad(format!("Invalid member '{name}' (out of range)")));
        }
        row.insert(field.name, cell);
    }
    Ok(row)
}

/// The whole row: what was given, and what the other fields hold by themselves.
pub(super) fn complete(object: &Object, given: &Row) -> Result<Row, Refusal> {
    let mut row = Row::new();
    for field in object.fields {
        let cell = given.get(field.name).cloned();
        row.insert(field.name, cell.map_or_else(|| Cell::absent(field), Ok)?);
    }
    Ok(row)
}

/// The row in the order of its object's fields.
pub(super) fn json(object: &Object, row: &Row) -> Value {
    let value = |field: &Field| Some((field.name.to_owned(), row.get(field.name)?.json()));
    Value::Object(object.fields.iter().filter_map(value).collect())
}

/// The row with every value as a string.
pub(super) fn strings(object: &Object, row: &Row) -> Value {
    let string = |field: &Field| Some((field.name.to_owned(), Value::from(row.get(field.name)?.string())));
    Value::Object(object.fields.iter().filter_map(string).collect())
}

/// What the device calls the type of a value.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "real",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema;
    use super::*;

    fn given(object: &str, values: Value) -> Result<Row, String> {
        let object = schema::object(object).unwrap();
        let row = read(object, values.as_object().unwrap());
        row.and_then(|row| complete(object, &row)).map_err(|refusal| refusal.words)
    }

    #[test]
    fn nothing_is_converted_and_nothing_unknown_is_taken() {
        let check = |object, values: Value, words: &str| {
            assert_eq!(given(object, values.clone()).unwrap_err(), words, "{object} {values}");
        };
        let user = "Invalid member 'user_id'";
        check("cards", json!({ "value": 5 }), &format!("{user} (missing)"));
        check("cards", json!({ "value": 5, "user_id": "1" }), &format!("{user} (int expected, got string)"));
        check("cards", json!({ "value": 5, "user_id": 1.0 }), &format!("{user} (int expected, got real)"));
        check("cards", json!({ "value": 5, "user_id": null }), &format!("{user} (int expected, got null)"));
        check("cards", json!({ "value": 0, "user_id": 1 }), "Invalid member 'value' (out of range)");
        let large = json!({ "value": u64::MAX, "user_id": 1 });
        check("cards", large, "Invalid member 'value' (int expected, got integer)");
        check("cards", json!({ "value": 5, "user_id": 1, "type": 0 }), "Invalid member 'type' (unknown)");
        let span = json!({ "sun": true });
        check("time_spans", span, "Invalid member 'sun' (int expected, got boolean)");
        check("time_spans", json!({ "sun": 2 }), "Invalid member 'sun' (out of range)");
        check("groups", json!({ "name": 5 }), "Invalid member 'name' (string expected, got integer)");
        let nobody = json!({ "name": "n", "registration": null });
        check("users", nobody, "Invalid member 'registration' (string expected, got null)");
    }

    #[test]
    fn what_may_be_left_out_has_a_value_of_its_own() {
        let row = given("users", json!({ "name": "Ana", "registration": "" })).unwrap();
        let user = json(schema::object("users").unwrap(), &row);
        assert_eq!(user["begin_time"], 0);
        assert_eq!((&user["password"], &user["user_type_id"]), (&json!(""), &Value::Null));
        let strings = strings(schema::object("users").unwrap(), &row);
        assert_eq!((&strings["end_time"], &strings["name"]), (&json!("0"), &json!("Ana")));
    }
}
