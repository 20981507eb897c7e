//! From operations to edits of attributes.

use serde_json::Value as Json;

use super::delta::conclude;
use super::{Delta, Edit, MemberDelta, Outcome, PatchOp, SecretChange, Verb, elements, members, single};
use crate::error::{ScimError, ScimType};
use crate::path::{AttributeTarget, PatchPath, Target};
use crate::schema::{AttrPath, Extension, Mutability, Place, Resolved, ResourceType};
use crate::value::{Reader, Tree, Value};
use kernel::Secret;

/// A PATCH half-way: the tree so far and what cannot be in it.
pub(super) struct Engine<'a> {
    kind: &'a ResourceType,
    current: &'a Tree,
    reader: Reader,
    tree: Tree,
    members: Option<MemberDelta>,
    secrets: Vec<SecretChange>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(kind: &'a ResourceType, current: &'a Tree) -> Self {
        let reader = Reader::new();
        Self { kind, current, reader, tree: current.clone(), members: None, secrets: Vec::new() }
    }

    pub(super) fn finish(self) -> Result<Outcome, ScimError> {
        let delta = Delta { changes: Vec::new(), members: self.members, secrets: self.secrets };
        conclude(self.kind, self.current, Outcome { tree: self.tree, delta, ignored: self.reader.ignored })
    }

    pub(super) fn operation(&mut self, operation: &PatchOp) -> Result<(), ScimError> {
        let value = operation.value.as_ref();
        let edit = match (operation.verb, value) {
            (Verb::Remove, None | Some(Json::Null)) => Edit::Remove(None),
            (Verb::Remove, some) => Edit::Remove(some),
            (Verb::Add, Some(json)) => Edit::Add(json),
            (Verb::Replace, Some(json)) => Edit::Replace(json),
            (_, None) => {
                return Err(ScimError::new(ScimType::InvalidValue, "value: needed to add or replace"));
            }
        };
        match (&operation.path, edit) {
            (Some(path), edit) => self.at_path(path, edit),
            (None, Edit::Remove(_)) => {
                Err(ScimError::new(ScimType::NoTarget, "path: needed, to say what to remove"))
            }
            (None, Edit::Add(json) | Edit::Replace(json)) => self.resource(edit, json),
        }
    }

    fn at_path(&mut self, path: &PatchPath, edit: Edit<'_>) -> Result<(), ScimError> {
        match path.resolve(self.kind)? {
            Some(Target::Extension(extension)) => self.extension(&extension, edit),
            Some(Target::Attribute(target)) => self.attribute(&target, edit),
            // A leaver's `active` must not fail over a neighbour that nobody here knows.
            None => {
                self.reader.unknown(&path.to_string());
                Ok(())
            }
        }
    }

    /// An operation on the resource itself: every key of the value is a path.
    fn resource(&mut self, edit: Edit<'_>, json: &Json) -> Result<(), ScimError> {
        let entries = json.as_object().ok_or_else(|| {
            ScimError::new(ScimType::InvalidValue, "value: must be an object when there is no path")
        })?;
        for (key, json) in entries.iter().filter(|(key, _)| !key.eq_ignore_ascii_case("schemas")) {
            let Ok(path) = PatchPath::parse(key) else {
                self.reader.unknown(key);
                continue;
            };
            if !self.repeats_read_only(key, json)? {
                self.at_path(&path, with_value(edit, json))?;
            }
        }
        Ok(())
    }

    /// Whether the entry only says what already is of something the client may not set: Okta sends the id
    /// along, others the whole resource they read.
    fn repeats_read_only(&mut self, key: &str, json: &Json) -> Result<bool, ScimError> {
        let at = AttrPath::parse(key).and_then(|path| self.kind.resolve_attribute(&path));
        let Some(at) = at.filter(|at| at.attribute.is_read_only() && at.sub.is_none()) else {
            return Ok(false);
        };
        let given = match Reader::stored().value(&at.attribute, json) {
            Ok(given) => given,
            Err(_) => return Ok(false),
        };
        self.reader.spend(given.iter().map(|value| value.elements().len()).sum())?;
        Ok(match (given, self.current.value(&at)) {
            (None, _) => true,
            (Some(Value::Complex(given)), Some(Value::Complex(is))) => {
                given.iter().all(|(name, value)| is.get(name) == Some(value))
            }
            (Some(given), is) => is == Some(&given),
        })
    }

    fn extension(&mut self, extension: &Extension, edit: Edit<'_>) -> Result<(), ScimError> {
        let urn = &extension.schema.id;
        let json = match edit {
            Edit::Add(json) | Edit::Replace(json) if !json.is_null() => json,
            Edit::Add(_) => return Ok(()),
            _ => return self.remove_extension(extension),
        };
        let entries = json
            .as_object()
            .ok_or_else(|| ScimError::new(ScimType::InvalidValue, format!("{urn}: expected an object")))?;
        for (key, json) in entries {
            let path = AttrPath::parse(&format!("{urn}:{key}"));
            match path.and_then(|path| self.kind.resolve(&path)) {
                Some(Place::Attribute(at)) => {
                    self.attribute(&AttributeTarget { at, filter: None }, with_value(edit, json))?;
                }
                _ => self.reader.unknown(&format!("{urn}:{key}")),
            }
        }
        Ok(())
    }

    fn remove_extension(&mut self, extension: &Extension) -> Result<(), ScimError> {
        for attribute in extension.schema.attributes.iter().filter(|attribute| !attribute.is_read_only()) {
            let schema = Some(extension.schema.id.clone());
            let at = Resolved { schema, attribute: attribute.clone(), sub: None };
            self.attribute(&AttributeTarget { at, filter: None }, Edit::Remove(None))?;
        }
        Ok(())
    }

    fn attribute(&mut self, target: &AttributeTarget, edit: Edit<'_>) -> Result<(), ScimError> {
        let attribute = target.attribute();
        if attribute.is_read_only() || target.at.leaf().is_read_only() {
            return Err(ScimError::new(ScimType::Mutability, format!("{}: cannot be set", target.at.path())));
        }
        if attribute.membership {
            return members::edit(&mut self.reader, &mut self.members, target, edit);
        }
        if attribute.mutability == Mutability::WriteOnly {
            return self.secret(target, edit);
        }
        let before = self.tree.value(&target.at).cloned();
        let after = match attribute.multi_valued {
            true => elements::edit(&mut self.reader, target, before, edit)?,
            false => single::edit(&mut self.reader, target, before, edit)?,
        };
        self.tree.put(target.at.schema.as_ref(), &attribute.name, after);
        Ok(())
    }

    fn secret(&mut self, target: &AttributeTarget, edit: Edit<'_>) -> Result<(), ScimError> {
        let value = match edit {
            Edit::Add(json) | Edit::Replace(json) => self.reader.value(target.attribute(), json)?,
            Edit::Remove(_) => None,
        };
        let value = match value {
            Some(Value::String(secret)) => Some(Secret::new(secret)),
            _ => None,
        };
        let path = target.at.path();
        self.secrets.retain(|earlier| earlier.path != path);
        self.secrets.push(SecretChange { path, value });
        Ok(())
    }
}

fn with_value<'j>(edit: Edit<'_>, json: &'j Json) -> Edit<'j> {
    match edit {
        Edit::Add(_) => Edit::Add(json),
        Edit::Replace(_) => Edit::Replace(json),
        Edit::Remove(_) => Edit::Remove(None),
    }
}
