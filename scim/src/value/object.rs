//! Ordered names and values, and the tree made of them.

use serde_json::Value as Json;

use super::{Reader, Value};
use crate::schema::{Name, Resolved, ResourceType};

/// Names and values in the order in which they were set. Equality does not mind the order.
#[derive(Clone, Debug, Default)]
pub struct Object(Vec<(Name, Value)>);

impl Object {
    /// The value of a canonical name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The text of a canonical name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// Sets a value, in place when the name is there, else at the end.
    pub fn set(&mut self, name: impl Into<Name>, value: Value) {
        let name = name.into();
        match self.get_mut(&name) {
            Some(old) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets or removes a value.
    pub(crate) fn put(&mut self, name: &Name, value: Option<Value>) {
        match value {
            Some(value) => self.set(name.clone(), value),
            None => drop(self.remove(name)),
        }
    }

    /// Removes and returns a value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// All names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Value)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON form, whole.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect()
    }

    pub(crate) fn weight(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.weight()).sum()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl FromIterator<(Name, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Name, Value)>>(from: I) -> Self {
        let mut object = Self::default();
        from.into_iter().for_each(|(name, value)| object.set(name, value));
        object
    }
}

/// A resource as the engine sees it: core attributes by name, extensions by URN.
///
/// The stored form ([`Tree::to_json`], [`Tree::from_stored`]) is whole and loses nothing; what a client may
/// see of it is [`super::write`]'s business.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree(Object);

impl Tree {
    /// Restores what [`Tree::to_json`] stored. Total: what no longer fits the schemas is kept opaque.
    #[must_use]
    pub fn from_stored(kind: &ResourceType, stored: &Json) -> Self {
        Self(Reader::stored().stored_object(kind, stored))
    }

    /// The value of a core or common attribute, by its canonical name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text of a core or common attribute.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.text(name)
    }

    /// The attributes of an extension, by its canonical URN.
    #[must_use]
    pub fn extension(&self, urn: &str) -> Option<&Object> {
        self.0.get(urn)?.as_complex()
    }

    /// Sets a core or common attribute, by its canonical name.
    pub fn set(&mut self, name: impl Into<Name>, value: Value) {
        self.0.set(name, value);
    }

    /// Removes a core or common attribute.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// The value of an attribute, wherever it belongs. Its sub-attribute is not looked at.
    #[must_use]
    pub fn value(&self, at: &Resolved) -> Option<&Value> {
        self.lookup(at.schema.as_ref(), &at.attribute.name)
    }

    pub(crate) fn lookup(&self, schema: Option<&Name>, attribute: &str) -> Option<&Value> {
        match schema {
            None => self.0.get(attribute),
            Some(urn) => self.extension(urn)?.get(attribute),
        }
    }

    /// Sets or removes an attribute, wherever it belongs. An emptied extension disappears.
    pub fn put(&mut self, schema: Option<&Name>, attribute: &Name, value: Option<Value>) {
        let Some(urn) = schema else { return self.0.put(attribute, value) };
        if let Some(Value::Complex(extension)) = self.0.get_mut(urn) {
            extension.put(attribute, value);
            if extension.is_empty() {
                self.0.remove(urn);
            }
        } else if let Some(value) = value {
            let extension = Object::from_iter([(attribute.clone(), value)]);
            self.0.set(urn.clone(), Value::Complex(extension));
        }
    }

    /// The entries, in order: attributes, and extensions under their URNs.
    #[must_use]
    pub fn entries(&self) -> &Object {
        &self.0
    }

    /// The stored form, whole. Not for clients.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.0.to_json()
    }
}
