//! A value against a JSON Schema (draft 2020-12), as far as the catalogue uses the language: a keyword that is not
//! known here is a fault.

use kernel::id::FactId;
use serde_json::Value;

/// What is wrong with the value; nothing when it is valid.
pub(super) fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(keywords) = schema.as_object() else { return vec![format!("{at}: {schema} is no schema")] };
    keywords.iter().flat_map(|(keyword, rule)| by_keyword(keyword, rule, schema, value, at)).collect()
}

fn by_keyword(keyword: &str, rule: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let must = |holds: bool| match holds {
        true => Vec::new(),
        false => vec![format!("{at}: {value} breaks {keyword} {rule}")],
    };
    let list = || rule.as_array().into_iter().flatten();
    match keyword {
        "$schema" | "title" | "description" | "default" => Vec::new(),
        "type" => must(
            rule.as_str().into_iter().chain(list().filter_map(Value::as_str)).any(|name| is(value, name)),
        ),
        // Other formats say how a number is kept.
        "format" if rule == "uuid" => must(value.as_str().is_none_or(|text| text.parse::<FactId>().is_ok())),
        "format" => Vec::new(),
        "const" => must(value == rule),
        "enum" => must(list().any(|word| word == value)),
        "minimum" => must(value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64())),
        "maximum" => {
            must(value.as_f64().is_none_or(|number| rule.as_f64().is_some_and(|most| number <= most)))
        }
        "required" => must(list().filter_map(Value::as_str).all(|name| value.get(name).is_some())),
        "properties" => {
            let present = rule.as_object().into_iter().flatten();
            let present = present.filter_map(|(name, rule)| Some((name, rule, value.get(name)?)));
            present.flat_map(|(name, rule, value)| faults(rule, value, &format!("{at}.{name}"))).collect()
        }
        "additionalProperties" if rule == false => {
            let known = |name: &String| schema["properties"].get(name).is_some();
            must(value.as_object().is_none_or(|fields| fields.keys().all(known)))
        }
        "items" => {
            let each = value.as_array().into_iter().flatten();
            each.flat_map(|item| faults(rule, item, &format!("{at}[]"))).collect()
        }
        "oneOf" => must(list().filter(|one| faults(one, value, at).is_empty()).count() == 1),
        "anyOf" => must(list().any(|one| faults(one, value, at).is_empty())),
        other => vec![format!("{at}: the keyword {other} is not understood here")],
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_valid_passes_and_nothing_else_does() {
        let schema = json!({
            "type": "object",
            "properties": {
                "id": { "type": ["string", "null"], "format": "uuid" },
                "level": { "type": "string", "enum": ["A0", "A1"] },
                "count": { "type": "integer", "minimum": 0 },
                "kind": { "oneOf": [
                    { "type": "string", "const": "granted" },
                    { "type": "object", "properties": { "denied": { "type": "string" } }, "required": ["denied"],
                      "additionalProperties": false },
                ] },
                "all": { "type": "array", "items": { "type": "boolean" } },
            },
            "required": ["kind"],
        });
        for good in [
            json!({ "kind": "granted", "id": null, "later": 7 }),
            json!({ "kind": { "denied": "why" }, "id": "019dcd65-0000-7000-8000-000000000001", "all": [true] }),
            json!({ "kind": "granted", "level": "A1", "count": 0 }),
        ] {
            assert_eq!(faults(&schema, &good, "x"), [""; 0], "{good}");
        }
        for bad in [
            json!([]),
            json!({}),
            json!({ "kind": "refused" }),
            json!({ "kind": { "denied": "why", "more": 1 } }),
            json!({ "kind": "granted", "id": "019dcd65" }),
            json!({ "kind": "granted", "level": "A2" }),
            json!({ "kind": "granted", "count": -1 }),
            json!({ "kind": "granted", "count": 1.5 }),
            json!({ "kind": "granted", "all": [true, 1] }),
        ] {
            assert!(!faults(&schema, &bad, "x").is_empty(), "{bad}");
        }
        assert!(
            !faults(&json!({ "pattern": "a" }), &json!("a"), "x").is_empty(),
            "what is not known is a fault"
        );
    }
}
