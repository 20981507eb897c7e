//! Whether a body of the same version still means the same: whoever reads by the schema of before reads what is
//! recorded now, and whoever reads by the schema of now reads what was recorded before.
//!
//! A field may be added that may be missing, and a word to a list of words. Everything else needs another version.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What is said of a field and decides nothing.
const SAID_ONLY: [&str; 4] = ["$schema", "title", "description", "default"];

/// What does not hold any more that the kept catalogue says.
pub(super) fn promises_broken(kept: &[Value], now: &[Value]) -> Vec<String> {
    let check = |before: &Value| {
        let kind = before["kind"].as_str().unwrap_or_default();
        let Some(after) = now.iter().find(|entry| entry["kind"] == kind) else {
            return vec![format!("{kind} is gone: a kind is never removed and never called otherwise")];
        };
        let (before_version, version) = (before["version"].as_u64(), after["version"].as_u64());
        match before_version.cmp(&version) {
            std::cmp::Ordering::Less => Vec::new(),
            std::cmp::Ordering::Equal => breaks(&before["schema"], &after["schema"], kind),
            std::cmp::Ordering::Greater => vec![format!("{kind} went back to an earlier version")],
        }
    };
    kept.iter().flat_map(check).collect()
}

/// What a schema does not allow any more, or allows that nobody knows to read.
fn breaks(before: &Value, after: &Value, at: &str) -> Vec<String> {
    let keywords: BTreeSet<&String> =
        [before, after].into_iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
    let by_keyword = |keyword: &String| match keyword.as_str() {
        "properties" => fields(&before["properties"], &after["properties"], at),
        "required" => required(before, after, at),
        "items" => breaks(&before["items"], &after["items"], &format!("{at}[]")),
        "enum" if after["enum"].is_array() => words(&before["enum"], &after["enum"], at),
        keyword @ ("oneOf" | "anyOf") if before[keyword].is_array() && after[keyword].is_array() => {
            alternatives(&before[keyword], &after[keyword], at)
        }
        keyword if SAID_ONLY.contains(&keyword) || before[keyword] == after[keyword] => Vec::new(),
        keyword => vec![format!("{at}: {keyword} was {}, and is {}", before[keyword], after[keyword])],
    };
    keywords.into_iter().flat_map(by_keyword).collect()
}

fn fields(before: &Value, after: &Value, at: &str) -> Vec<String> {
    let check = |(name, field): (&String, &Value)| match after.get(name) {
        None => vec![format!("{at}.{name} is gone")],
        Some(now) => breaks(field, now, &format!("{at}.{name}")),
    };
    before.as_object().into_iter().flatten().flat_map(check).collect()
}

fn required(before: &Value, after: &Value, at: &str) -> Vec<String> {
    let names = after["required"].as_array().into_iter().flatten();
    let new = names.filter(|name| !before["required"].as_array().is_some_and(|all| all.contains(name)));
    new.map(|name| format!("{at}: {name} is required now, and bodies that were recorded lack it")).collect()
}

fn words(before: &Value, after: &Value, at: &str) -> Vec<String> {
    let Some(before) = before.as_array() else { return vec![format!("{at}: only some words are left")] };
    let is_gone = |word: &&Value| !after.as_array().is_some_and(|all| all.contains(word));
    before.iter().filter(is_gone).map(|word| format!("{at}: the word {word} is gone")).collect()
}

/// Each that was there has one that still is as it was; there may be more, but for nothing where there was something.
fn alternatives(before: &Value, after: &Value, at: &str) -> Vec<String> {
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let (before, after) = (list(before), list(after));
    let is_gone = |was: &&Value| !after.iter().any(|now| breaks(was, now, at).is_empty());
    let mut found: Vec<String> =
        before.iter().filter(is_gone).map(|was| format!("{at}: it cannot be {was} any more")).collect();
    let nothing = |all: &[Value]| all.iter().any(|one| one["type"] == "null");
    if nothing(&after) && !nothing(&before) {
        found.push(format!("{at}: it may be null now"));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object", "title": "door.opened",
            "properties": {
                "door": { "type": "string", "description": "Which." },
                "times": { "type": ["integer", "null"], "format": "int64" },
                "why": { "oneOf": [{ "type": "string", "const": "card" }, { "type": "string", "const": "button" }] },
                "level": { "type": "string", "enum": ["A0", "A1"] },
                "seen": { "type": "array", "items": { "type": "object", "properties": { "by": { "type": "string" } },
                          "required": ["by"] } },
            },
            "required": ["door", "why"],
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut after = schema();
        change(&mut after);
        breaks(&schema(), &after, "door.opened")
    }

    #[test]
    fn what_every_reader_still_understands_needs_no_version() {
        let allowed: [fn(&mut Value); 6] = [
            |_| {},
            |after| after["properties"]["door"]["description"] = json!("Which door."),
            |after| after["properties"]["new"] = json!({ "type": "boolean", "default": false }),
            |after| after["required"] = json!(["door"]),
            |after| after["properties"]["level"]["enum"] = json!(["A0", "A1", "A2"]),
            |after| {
                let command = json!({ "type": "string", "const": "command" });
                after["properties"]["why"]["oneOf"].as_array_mut().unwrap().push(command);
            },
        ];
        for (number, change) in allowed.into_iter().enumerate() {
            let found = changed(change);
            assert!(found.is_empty(), "{number}: {found:?}");
        }
    }

    #[test]
    fn what_some_reader_would_misread_needs_a_version() {
        let refused: [(fn(&mut Value), &str); 9] = [
            (
                |after| drop(after["properties"].as_object_mut().unwrap().remove("door")),
                "door.opened.door is gone",
            ),
            (
                |after| after["properties"]["door"]["type"] = json!("integer"),
                "was \"string\", and is \"integer\"",
            ),
            (
                |after| after["properties"]["door"]["type"] = json!(["string", "null"]),
                "door.opened.door: type was",
            ),
            (|after| after["properties"]["times"]["format"] = json!("unix-milliseconds"), "format was"),
            (|after| after["required"] = json!(["door", "why", "times"]), "\"times\" is required now"),
            (|after| after["properties"]["level"]["enum"] = json!(["A1"]), "the word \"A0\" is gone"),
            (|after| after["properties"]["why"]["oneOf"][0]["const"] = json!("pin"), "any more"),
            (|after| after["properties"]["why"]["oneOf"] = json!([{ "type": "null" }]), "may be null now"),
            (
                |after| after["properties"]["seen"]["items"]["properties"]["by"]["type"] = json!("integer"),
                "door.opened.seen[].by: type was",
            ),
        ];
        for (change, says) in refused {
            let found = changed(change);
            assert!(found.iter().any(|fault| fault.contains(says)), "{says:?} is not in {found:?}");
        }
    }

    #[test]
    fn a_version_may_only_rise_and_a_kind_may_not_go() {
        let entry = |kind: &str, version: u32, of: &str| json!({ "kind": kind, "version": version, "schema": { "properties": { "a": { "type": of } } } });
        let kept = [entry("a", 1, "string"), entry("b", 2, "string"), entry("c", 1, "string")];
        let now = [entry("a", 2, "integer"), entry("b", 1, "string")];
        let broken = promises_broken(&kept, &now);
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].starts_with("b went back") && broken[1].starts_with("c is gone"), "{broken:?}");
        let broken = promises_broken(&kept[..1], &[entry("a", 1, "integer")]);
        assert!(broken[0].starts_with("a.a: type was"), "{broken:?}");
    }
}
