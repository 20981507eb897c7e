//! The catalogue: every kind of fact that the house records, with what it means, what it is about, and the fields of
//! its body. Printed by `cardea audit kinds`, and kept as `docs/facts.md` and `docs/facts.json`; a test says when
//! these must be made anew, and with which command.
//!
//! What it is not: a description. All of it is made from the types ([`FactKind`]).

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use store::FactKind;

const INTRODUCTION: &str = "\
# Facts

Everything that happens is a fact in the journal: an envelope (id, time, kind, subject, actor, request, the body's
digest), which is chained for ever, and a body, which is erased when its time is over (`[journal]` in the
configuration). These are all kinds, each with the fields of its body; every body also says its version in `v`.
Fields may be added to a version, and words to a list; whatever else changes makes another version. JSON Schemas of
all versions are in [facts.json](facts.json), which every body is valid by that was ever recorded; `written` names the
fields there that none lacks which is recorded now.

This file is made from the code (`cardea audit kinds` prints the same).
";

/// Every kind of fact, in the order of their names.
#[must_use]
pub fn kinds() -> Vec<FactKind> {
    let rooms = [
        store::FACTS,
        keys::FACTS,
        directory::facts::FACTS,
        idp::mail::FACTS,
        bridge::facts::FACTS,
        audit::FACTS,
    ];
    let mut kinds = rooms.concat();
    kinds.sort_by_key(|kind| kind.kind);
    kinds
}

/// The catalogue for people, in Markdown.
#[must_use]
pub fn document() -> String {
    kinds().iter().fold(INTRODUCTION.to_owned(), |document, kind| document + "\n" + &section(kind))
}

/// The catalogue for machines: each kind with the JSON Schema of its body.
#[must_use]
pub fn schemas() -> Vec<Value> {
    let entry = |kind: &FactKind| {
        json!({
            "kind": kind.kind,
            "version": kind.version,
            "revokes": kind.revokes,
            "about": kind.about,
            "written": kind.written(),
            "schema": kind.schema(),
        })
    };
    kinds().iter().map(entry).collect()
}

fn section(kind: &FactKind) -> String {
    let schema = kind.schema();
    let about = kind.about.iter().copied().map(|about| if about == "*" { "anything" } else { about });
    let revokes =
        if kind.revokes { " Takes something away: it overtakes all else on its way out." } else { "" };
    let mut section = format!(
        "## {}\n\n{} Version {}. About: {}.{revokes}\n",
        kind.kind,
        schema["description"].as_str().unwrap_or_default(),
        kind.version,
        about.collect::<Vec<_>>().join(", "),
    );
    let lines = fields(&schema, "");
    if !lines.is_empty() {
        section.push('\n');
    }
    for line in lines {
        // Writing into a String cannot fail.
        let _ = writeln!(section, "- {line}");
    }
    section
}

/// A line for each field, those of what is in it behind it.
fn fields(schema: &Value, within: &str) -> Vec<String> {
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let line = |(name, field): (&String, &Value)| {
        let path = format!("{within}{name}");
        let required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
        let missing = if required || may_be_null(field) { "" } else { ", may be missing" };
        let meaning = field["description"].as_str().unwrap_or_default();
        let line = format!("`{path}`, {}{missing}: {meaning}", type_of(field));
        let inner = fields(field, &format!("{path}."));
        let of_each = fields(&field["items"], &format!("{path}[]."));
        [vec![line], inner, of_each].concat()
    };
    // The version is every body's, and said once.
    properties.iter().filter(|(name, _)| *name != "v" || !within.is_empty()).flat_map(line).collect()
}

/// What a field holds, in words.
fn type_of(schema: &Value) -> String {
    if let Some(word) = schema.get("const") {
        return format!("`{}`", word.as_str().map_or_else(|| word.to_string(), str::to_owned));
    }
    if let Some(words) = schema["enum"].as_array() {
        return one_of(words.iter().map(|word| match word {
            Value::Null => "nothing".to_owned(),
            word => format!("`{}`", word.as_str().unwrap_or_default()),
        }));
    }
    if let Some(either) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        return one_of(either.iter().map(type_of));
    }
    let words = types(schema).into_iter().map(|name| match name {
        "string" if schema["format"] == "uuid" => "id (UUID)".to_owned(),
        "string" if schema["format"] == "date" => "day (2026-12-31)".to_owned(),
        "string" => "text".to_owned(),
        "integer" if schema["format"] == "unix-milliseconds" => "time (milliseconds since 1970)".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", type_of(&schema["items"])),
        "null" => "nothing".to_owned(),
        "object" => object(schema),
        other => other.to_owned(),
    });
    words.collect::<Vec<_>>().join(" or ")
}

/// A word that carries something, as `{ denied: … }`; any other object is told field by field.
fn object(schema: &Value) -> String {
    let single: Option<&Map<String, Value>> = schema["properties"].as_object().filter(|all| all.len() == 1);
    match single.and_then(|all| all.iter().next()) {
        Some((name, value)) if schema["additionalProperties"] == false => {
            format!("`{name}` with {}", type_of(value))
        }
        _ => "object".to_owned(),
    }
}

fn one_of(words: impl Iterator<Item = String>) -> String {
    format!("one of {}", words.collect::<Vec<_>>().join(", "))
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn may_be_null(schema: &Value) -> bool {
    types(schema).contains(&"null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_with_its_meaning_and_every_field() {
        let document = document();
        for line in [
            "## user.deactivated\n",
            "- `ended`, object: What ended with it.\n",
            "- `ended.credentials`, list of id (UUID): Credentials taken off every list.\n",
            "- `client`, text or nothing: For which client, if for one.\n",
            "- `requested_at`, time (milliseconds since 1970): When the change that this answers was recorded.\n",
            "- `level`, one of `A0`, `A1`, `A2`, `A3`, `A4`: The level reached.\n",
            "- `purpose`, text, may be missing: `invitation`, `recovery`.\n",
            "`denied` with one of `credential_not_found`, ",
        ] {
            assert!(document.contains(line), "{line:?} is not in:\n{document}");
        }
    }

    #[test]
    fn every_kind_has_a_name_a_meaning_and_what_it_is_about_and_so_has_every_field() {
        for kind in kinds() {
            assert!(!kind.meaning().is_empty() && !kind.about.is_empty(), "{}", kind.kind);
            let schema = kind.schema();
            let mut lines = fields(&schema, "");
            lines.retain(|line| line.ends_with(": "));
            assert!(lines.is_empty(), "{}: {lines:?} say nothing", kind.kind);
        }
        let names: Vec<&str> = kinds().iter().map(|kind| kind.kind).collect();
        let mut once = names.clone();
        once.dedup();
        assert_eq!(names, once, "each stands in one list, once");
    }
}
