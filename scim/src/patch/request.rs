//! The body of a PATCH.

use serde_json::Value as Json;

use crate::error::{ScimError, ScimType};
use crate::path::PatchPath;

/// URN of the PATCH message.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Most operations in a PATCH.
pub const MAX_OPERATIONS: usize = 1_000;

/// What an operation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the standard's")]
pub enum Verb {
    Add,
    Replace,
    Remove,
}

/// One operation, its path parsed but not resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchOp {
    /// What it is called.
    pub verb: Verb,
    /// Where it applies; `None` is the resource itself.
    pub path: Option<PatchPath>,
    /// With what.
    pub value: Option<Json>,
}

/// Reads a PATCH body. Keys may have any case, and unknown ones (Entra ID's `name`) are passed
/// over, as is a missing or foreign `schemas`.
///
/// # Errors
/// `invalidSyntax` for a wrong form, `invalidPath` or `invalidFilter` for a wrong path.
pub fn read(json: &Json) -> Result<Vec<PatchOp>, ScimError> {
    let operations = entry(json, "operations").and_then(Json::as_array);
    let operations = operations.ok_or_else(|| syntax("Operations: must be a list"))?;
    if operations.is_empty() || operations.len() > MAX_OPERATIONS {
        return Err(syntax(&format!("Operations: a PATCH has 1 to {MAX_OPERATIONS} operations")));
    }
    let numbered = operations.iter().enumerate();
    numbered.map(|(at, one)| operation(one).map_err(|why| why.in_operation(at + 1))).collect()
}

fn operation(json: &Json) -> Result<PatchOp, ScimError> {
    let word = entry(json, "op").and_then(Json::as_str);
    let verb = word.and_then(parse_verb).ok_or_else(|| syntax("op: must be add, replace or remove"))?;
    let path = match entry(json, "path") {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) if text.is_empty() => None,
        Some(Json::String(text)) => Some(PatchPath::parse(text)?),
        Some(_) => return Err(ScimError::new(ScimType::InvalidPath, "path: must be text")),
    };
    Ok(PatchOp { verb, path, value: entry(json, "value").cloned() })
}

fn parse_verb(word: &str) -> Option<Verb> {
    let verbs = [("add", Verb::Add), ("replace", Verb::Replace), ("remove", Verb::Remove)];
    verbs.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, verb)| verb)
}

fn entry<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    let mut entries = json.as_object().into_iter().flatten();
    entries.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn syntax(why: &str) -> ScimError {
    ScimError::new(ScimType::InvalidSyntax, why)
}
