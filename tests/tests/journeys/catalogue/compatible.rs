//! Whether a body of the same version still means the same: whoever reads by the schema of before reads what is
//! recorded now, and whoever reads by the schema of now reads what was recorded before.
//!
//! A field may be added that may be missing, and a word to a list of words; a fact may be about more. Everything else
//! needs another version, also what no schema says: a field that was always written and may now be missing, and what it
//! means that a field is missing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What is said of a field and decides nothing; its default decides together with what is required.
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
            std::cmp::Ordering::Equal => same_version(before, after, kind),
            std::cmp::Ordering::Greater => vec![format!("{kind} went back to an earlier version")],
        }
    };
    kept.iter().flat_map(check).collect()
}

fn same_version(before: &Value, after: &Value, kind: &str) -> Vec<String> {
    let about =
        gone(&before["about"], &after["about"]).map(|about| format!("{kind} is not about {about} any more"));
    let written = gone(&before["written"], &after["written"])
        .map(|path| format!("{kind}: {path} was in every body, and may now be missing"));
    let revokes = (before["revokes"] != after["revokes"])
        .then(|| format!("{kind}: revokes was {}, and is {}", before["revokes"], after["revokes"]));
    let broken = breaks(&before["schema"], &after["schema"], kind);
    broken.into_iter().chain(about).chain(written).chain(revokes).collect()
}

/// What stands in a list and not any more in the other.
fn gone<'a>(before: &'a Value, after: &'a Value) -> impl Iterator<Item = &'a Value> {
    let is_there = move |one: &Value| after.as_array().is_some_and(|all| all.contains(one));
    before.as_array().into_iter().flatten().filter(move |one| !is_there(one))
}

/// What a schema does not allow any more, or allows that nobody knows to read.
fn breaks(before: &Value, after: &Value, at: &str) -> Vec<String> {
    let keywords: BTreeSet<&String> =
        [before, after].into_iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
    let by_keyword = |keyword: &String| match keyword.as_str() {
        "properties" => fields(before, after, at),
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
    let check = |(name, field): (&String, &Value)| {
        let Some(now) = after["properties"].get(name) else { return vec![format!("{at}.{name} is gone")] };
        let mut found = breaks(field, now, &format!("{at}.{name}"));
        if let (Some(was), Some(is)) = (missing(before, name), missing(after, name))
            && !means(was, is)
        {
            found.push(format!("{at}.{name}: a body without it meant {was}, and means {is}"));
        }
        found
    };
    before["properties"].as_object().into_iter().flatten().flat_map(check).collect()
}

/// What it means that a body lacks a field; `None` where none may.
fn missing<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let is_required = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let default = schema["properties"][name].get("default").unwrap_or(&Value::Null);
    (!is_required).then_some(default)
}

/// The same, as far as whoever knows only the first can tell.
fn means(was: &Value, is: &Value) -> bool {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            was.iter().all(|(name, was)| is.get(name).is_some_and(|is| means(was, is)))
        }
        (was, is) => was == is,
    }
}

fn required(before: &Value, after: &Value, at: &str) -> Vec<String> {
    let new = gone(&after["required"], &before["required"]);
    new.map(|name| format!("{at}: {name} is required now, and bodies that were recorded lack it")).collect()
}

fn words(before: &Value, after: &Value, at: &str) -> Vec<String> {
    if !before.is_array() {
        return vec![format!("{at}: only some words are left")];
    }
    gone(before, after).map(|word| format!("{at}: the word {word} is gone")).collect()
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

    type Change = fn(&mut Value);

    fn schema() -> Value {
        json!({
            "type": "object", "title": "door.opened",
            "properties": {
                "door": { "type": "string", "description": "Which." },
                "times": { "type": ["integer", "null"], "format": "int64" },
                "why": { "oneOf": [{ "type": "string", "const": "card" }, { "type": "string", "const": "button" }] },
                "level": { "type": "string", "enum": ["A0", "A1"] },
                "lost": { "type": "integer", "default": 0 },
                "ended": { "type": "object", "default": { "sessions": 0 } },
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
        let allowed: [Change; 8] = [
            |_| {},
            |after| after["properties"]["door"]["description"] = json!("Which door."),
            |after| after["properties"]["new"] = json!({ "type": "boolean", "default": false }),
            |after| after["required"] = json!(["door"]),
            |after| {
                after["required"] = json!(["door"]);
                after["properties"]["why"]["default"] = json!("card");
            },
            |after| after["properties"]["ended"]["default"] = json!({ "sessions": 0, "grants": 0 }),
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
        let refused: [(Change, &str); 12] = [
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
            (|after| after["properties"]["lost"]["default"] = json!(1), "without it meant 0, and means 1"),
            (
                |after| drop(after["properties"]["lost"].as_object_mut().unwrap().remove("default")),
                "without it meant 0, and means null",
            ),
            (
                |after| after["properties"]["ended"]["default"] = json!({ "sessions": 1 }),
                "without it meant {\"sessions\":0}",
            ),
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
    fn what_a_fact_is_about_may_grow_and_what_is_always_written_may_not_shrink() {
        let entry = |about: &[&str], revokes: bool, written: &[&str]| json!({ "kind": "a", "version": 1, "about": about, "revokes": revokes, "written": written, "schema": {} });
        let kept = [entry(&["user"], true, &["who", "v"])];
        let broken = |now: Value| promises_broken(&kept, &[now]);
        assert_eq!(broken(entry(&["door", "user"], true, &["v", "why", "who"])), [""; 0]);
        assert_eq!(broken(entry(&["door"], true, &["who", "v"])), ["a is not about \"user\" any more"]);
        assert_eq!(broken(entry(&["user"], false, &["who", "v"])), ["a: revokes was true, and is false"]);
        let may_be_missing = broken(entry(&["user"], true, &["v"]));
        assert_eq!(may_be_missing, ["a: \"who\" was in every body, and may now be missing"]);
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
