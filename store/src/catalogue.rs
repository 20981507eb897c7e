//! What is recorded, described by the types themselves: the kinds of facts, each with the JSON Schema of its body.
//!
//! Each room lists the kinds that it records in its `FACTS`; the server puts the lists together. What a fact and its
//! fields mean is what the documentation of its struct says: nothing is written twice, and nothing by hand.
//!
//! What it is not: a check on what is recorded. That the type makes.
//!
//! To add a kind: `derive(JsonSchema)` on its body, and its line in the room's `FACTS`; a test finds a forgotten one.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::delivery::{DeliveryDied, DeliveryRetried};
use crate::{FactBody, StoredFact};

/// Every kind of fact that this crate records.
pub const FACTS: &[FactKind] = &[FactKind::of::<DeliveryDied>(), FactKind::of::<DeliveryRetried>()];

/// One kind of fact.
#[derive(Clone, Copy, Debug)]
pub struct FactKind {
    /// `noun.what-happened`.
    pub kind: &'static str,
    /// The version of its body now.
    pub version: u32,
    /// Whether something is taken away from somebody by it.
    pub revokes: bool,
    /// Which kinds of things it is about; `*` is anything.
    pub about: &'static [&'static str],
    schema: fn() -> Schema,
    recorded: fn() -> Schema,
    reads: fn(&StoredFact) -> bool,
}

impl FactKind {
    /// The kind that has this body.
    #[must_use]
    pub const fn of<B: FactBody + JsonSchema>() -> Self {
        Self {
            kind: B::KIND,
            version: B::VERSION,
            revokes: B::REVOKES,
            about: B::ABOUT,
            schema: schema_of::<B>,
            recorded: recorded_as::<B>,
            reads: reads_as::<B>,
        }
    }

    /// The JSON Schema (draft 2020-12) of its body as the journal holds it, complete in itself. Every body that was
    /// ever recorded in this version is valid by it, so what older ones lack is not required.
    #[must_use]
    pub fn schema(&self) -> Value {
        let mut schema = (self.schema)().to_value();
        if let Some(object) = schema.as_object_mut() {
            object.insert("title".into(), self.kind.into());
            let fields = object.entry("properties").or_insert_with(|| Map::new().into());
            if let Some(fields) = fields.as_object_mut() {
                let version = json!({ "description": "The version of this body.", "const": self.version });
                fields.insert("v".into(), version);
            }
            let required = object.entry("required").or_insert_with(|| Vec::<Value>::new().into());
            if let Some(required) = required.as_array_mut() {
                required.push("v".into());
            }
        }
        in_plain_words(&mut schema);
        schema
    }

    /// The fields that are there whenever such a fact is recorded now, and what they are in is: `ended.sessions`,
    /// `doors[].area`. Readers may have come to rely on them, also where the schema says that older bodies lack them.
    #[must_use]
    pub fn written(&self) -> Vec<String> {
        let mut noted = BTreeMap::from([("v".to_owned(), true)]);
        note_written(&(self.recorded)().to_value(), "", &mut noted);
        noted.into_iter().filter_map(|(path, always)| always.then_some(path)).collect()
    }

    /// What it means, in words.
    #[must_use]
    pub fn meaning(&self) -> String {
        self.schema()["description"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether a fact is of this kind, and its body reads as one of this version.
    #[must_use]
    pub fn reads(&self, fact: &StoredFact) -> bool {
        (self.reads)(fact)
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true)
}

/// As bodies are read.
fn schema_of<B: JsonSchema>() -> Schema {
    settings().into_generator().into_root_schema_for::<B>()
}

/// As bodies are written.
fn recorded_as<B: JsonSchema>() -> Schema {
    settings().for_serialize().into_generator().into_root_schema_for::<B>()
}

/// Notes each field under its path, and whether it is always there in whatever may stand at that place and has it.
fn note_written(schema: &Value, at: &str, noted: &mut BTreeMap<String, bool>) {
    let is_required = |name: &str| {
        let required = schema["required"].as_array();
        required.is_some_and(|required| required.iter().any(|required| required == name))
    };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}{name}");
        note_written(field, &format!("{path}."), noted);
        *noted.entry(path).or_insert(true) &= is_required(name);
    }
    if let Some(items) = schema.get("items") {
        note_written(items, &format!("{}[].", at.trim_end_matches('.')), noted);
    }
    for alternatives in ["oneOf", "anyOf"].iter().filter_map(|keyword| schema[*keyword].as_array()) {
        alternatives.iter().for_each(|alternative| note_written(alternative, at, noted));
    }
}

fn reads_as<B: FactBody>(fact: &StoredFact) -> bool {
    fact.read::<B>().is_some()
}

/// Descriptions without the line breaks and the links of the sources that they come from.
fn in_plain_words(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                *text = line.replace("[`", "`").replace("`]", "`");
            }
            object.values_mut().for_each(in_plain_words);
        }
        Value::Array(values) => values.iter_mut().for_each(in_plain_words),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use kernel::id::FactId;
    use kernel::{Ctx, Timestamp};
    use serde::{Deserialize, Serialize};

    use super::*;

    /// A door was opened
    /// by [`Someone`].
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Opened {
        /// Which
        /// door.
        description: String,
        times: u32,
        #[serde(default)]
        later: bool,
        hand: Option<Hand>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    /// A hand.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Hand {
        left: bool,
    }

    impl FactBody for Opened {
        const KIND: &'static str = "test.opened";
        const VERSION: u32 = 3;

        /// Version 2 did not count; nobody knows a version 1.
        fn upgrade(version: u32, mut body: Value) -> Option<Value> {
            body.as_object_mut().filter(|_| version == 2)?.insert("times".into(), 1.into());
            Some(body)
        }
    }

    fn recorded(body: &Value) -> StoredFact {
        StoredFact {
            id: FactId::new(&Ctx::for_tests(1)),
            at: Timestamp::EPOCH,
            kind: Opened::KIND.into(),
            subject: "door:north".into(),
            actor: "system".into(),
            request_id: None,
            digest: String::new(),
            salt: Some(String::new()),
            body: Some(body.to_string()),
            seq: None,
            chain: None,
        }
    }

    #[test]
    fn a_body_of_an_earlier_version_is_read_as_one_of_this_and_one_of_a_later_is_not_guessed() {
        let whole = json!({ "description": "north", "times": 7, "v": 3 });
        assert_eq!(recorded(&whole).read::<Opened>().unwrap().times, 7);
        let earlier = recorded(&json!({ "description": "north", "v": 2 }));
        assert_eq!(earlier.read::<Opened>().unwrap().times, 1);
        assert!(FactKind::of::<Opened>().reads(&earlier));
        for version in [1, 4, u64::MAX] {
            let mut other = whole.clone();
            other["v"] = version.into();
            assert!(recorded(&other).read::<Opened>().is_none(), "{version}");
        }
    }

    #[test]
    fn a_schema_is_made_from_the_type_and_says_what_its_documentation_says() {
        let kind = FactKind::of::<Opened>();
        let schema = kind.schema();
        assert_eq!((&schema["title"], &schema["type"]), (&json!("test.opened"), &json!("object")));
        assert_eq!(kind.meaning(), "A door was opened by `Someone`.");
        assert_eq!(
            schema["properties"]["description"],
            json!({ "type": "string", "description": "Which door." }),
            "a field of that name is no description"
        );
        assert_eq!(schema["properties"]["v"]["const"], 3);
        assert_eq!(
            schema["required"],
            json!(["description", "times", "v"]),
            "what older bodies lack is not required"
        );
        assert!(!schema.to_string().contains("$ref"), "complete in itself: {schema}");
        assert_eq!(
            kind.written(),
            ["description", "hand", "hand.left", "later", "times", "v"],
            "all that is never left out, in whatever it is in"
        );
    }
}
