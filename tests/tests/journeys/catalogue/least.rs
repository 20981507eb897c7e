//! The least value that a JSON Schema (draft 2020-12) allows, as far as the catalogue uses the language: what may be
//! missing is, and what may be nothing is nothing.

use serde_json::{Map, Value, json};

pub(super) fn least(schema: &Value) -> Value {
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    let list = |keyword: &str| schema[keyword].as_array().cloned().unwrap_or_default();
    let alternatives = [list("oneOf"), list("anyOf")].concat();
    if let Some(first) = alternatives.first() {
        let is_nothing = |one: &&Value| one["type"] == "null";
        return least(alternatives.iter().find(is_nothing).unwrap_or(first));
    }
    let either = list("type");
    let name = either.iter().find(|name| *name == "null").unwrap_or(&schema["type"]);
    match name.as_str() {
        Some("null") => Value::Null,
        Some("boolean") => false.into(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        Some("string") if schema["format"] == "uuid" => "019dcd65-0000-7000-8000-000000000001".into(),
        Some("string") if schema["format"] == "date" => "2026-12-31".into(),
        Some("string") => "".into(),
        Some("array") => json!([]),
        Some("object") => {
            let names = list("required");
            let names = names.iter().filter_map(Value::as_str);
            let fields: Map<String, Value> =
                names.map(|name| (name.to_owned(), least(&schema["properties"][name]))).collect();
            fields.into()
        }
        _ => panic!("{schema} is of a type that is not known here"),
    }
}
