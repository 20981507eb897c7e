//! What a request changes.

use std::collections::{BTreeMap, BTreeSet};

use kernel::Secret;

use crate::error::{ScimError, ScimType};
use crate::filter::Bound;
use crate::schema::{Attribute, Mutability, Name, ResourceType, attribute_path};
use crate::value::{MAX_ELEMENTS, MAX_TREE_BYTES, Member, Tree, Value, missing};

/// The new tree and how it differs.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The resource afterwards, without members.
    pub tree: Tree,
    /// What to write and to tell.
    pub delta: Delta,
    /// Names that were sent and mean nothing here, for the log and the answer's header.
    pub ignored: Vec<String>,
}

/// The difference a request makes.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// The attributes whose value differs, in the order of the schemas.
    pub changes: Vec<Change>,
    /// What happens to the members of a group. `None` when the request does not speak of them.
    pub members: Option<MemberDelta>,
    /// New values of what may be written and never read.
    pub secrets: Vec<SecretChange>,
}

/// An attribute that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The URN of its extension; `None` for core and common attributes.
    pub schema: Option<Name>,
    /// Its name.
    pub attribute: Name,
    /// What it was.
    pub before: Option<Value>,
    /// What it is; `None` when it is cleared.
    pub after: Option<Value>,
}

impl Change {
    /// The canonical path.
    #[must_use]
    pub fn path(&self) -> String {
        attribute_path(self.schema.as_ref(), &self.attribute)
    }
}

/// A new value of something that may be written and never read, or its removal.
#[derive(Clone, Debug)]
pub struct SecretChange {
    /// The canonical path: `password`.
    pub path: String,
    /// The new value; `None` when it is removed.
    pub value: Option<Secret<String>>,
}

/// What happens to the members of a group:
/// `(replace_all ? {} : current − remove − those that match remove_matching) ∪ add`.
///
/// The sets are disjoint, and the two removals are empty when all is replaced. Ids are compared exactly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberDelta {
    /// Whether every present member that is not in `add` goes.
    pub replace_all: bool,
    /// Who is a member afterwards, by id. May be one already.
    pub add: BTreeMap<String, Member>,
    /// Who is not. May not have been one.
    pub remove: BTreeSet<String>,
    /// Filters whose matches go: for [`crate::filter::Filter::matches_element`]. Rare: filters on `value`
    /// become `remove`.
    pub remove_matching: Vec<Bound>,
}

impl MemberDelta {
    /// The members become these.
    #[must_use]
    pub fn replacing(members: Vec<Member>) -> Self {
        let add = members.into_iter().map(|member| (member.value.clone(), member)).collect();
        Self { replace_all: true, add, ..Self::default() }
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.replace_all && self.add.is_empty() && self.remove.is_empty() && self.remove_matching.is_empty()
    }

    pub(super) fn add(&mut self, member: Member) {
        self.remove.remove(&member.value);
        self.add.insert(member.value.clone(), member);
    }

    pub(super) fn remove(&mut self, id: String) {
        self.add.remove(&id);
        if !self.replace_all {
            self.remove.insert(id);
        }
    }

    pub(super) fn remove_matching(&mut self, filter: Bound) {
        self.add.retain(|_, member| !filter.matches_element(&member.to_element()));
        if !self.replace_all && !self.remove_matching.contains(&filter) {
            self.remove_matching.push(filter);
        }
    }
}

/// Works out the changes and checks what can only be checked at the end.
pub(super) fn conclude(
    kind: &ResourceType,
    current: &Tree,
    mut outcome: Outcome,
) -> Result<Outcome, ScimError> {
    let tree = &outcome.tree;
    for (schema, attribute) in kind.attributes() {
        let before = current.lookup(schema, &attribute.name);
        let after = tree.lookup(schema, &attribute.name);
        if before == after {
            continue;
        }
        check_change(schema, attribute, before, after)?;
        outcome.delta.changes.push(Change {
            schema: schema.cloned(),
            attribute: attribute.name.clone(),
            before: before.cloned(),
            after: after.cloned(),
        });
    }
    check_required(kind, current, tree)?;
    check_weight(kind, current, tree)?;
    Ok(outcome)
}

/// Only what this request adds is refused: somebody who is at the limit must remain changeable, and above all
/// be deactivated. What clients may not set (`meta`, the groups of a user) weighs nothing.
fn check_weight(kind: &ResourceType, current: &Tree, tree: &Tree) -> Result<(), ScimError> {
    let after = weight(kind, tree);
    if after > MAX_TREE_BYTES && after > weight(kind, current) {
        return Err(ScimError::plain(413, format!("a resource has at most {MAX_TREE_BYTES} bytes")));
    }
    Ok(())
}

fn weight(kind: &ResourceType, tree: &Tree) -> usize {
    let is_set_by_clients =
        |name: &str| kind.attribute(name).is_none_or(|attribute| !attribute.is_read_only());
    let entries = tree.entries().iter().filter(|(name, _)| is_set_by_clients(name));
    entries.map(|(name, value)| name.len() + value.weight()).sum()
}

fn check_change(
    schema: Option<&Name>,
    attribute: &Attribute,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<(), ScimError> {
    let path = attribute_path(schema, &attribute.name);
    if attribute.mutability == Mutability::Immutable && before.is_some() {
        return Err(ScimError::new(ScimType::Mutability, format!("{path}: cannot change once set")));
    }
    let parts = attribute.sub_attributes.iter().filter(|sub| sub.mutability == Mutability::Immutable);
    for sub in parts.filter(|_| !attribute.multi_valued) {
        let part = |value: Option<&Value>| {
            value.and_then(Value::as_complex).and_then(|all| all.get(&sub.name)).cloned()
        };
        if before.is_some() && after.is_some() && part(before).is_some() && part(before) != part(after) {
            return Err(ScimError::new(
                ScimType::Mutability,
                format!("{path}.{}: cannot change once set", sub.name),
            ));
        }
    }
    if attribute.multi_valued && after.is_some_and(|value| value.elements().len() > MAX_ELEMENTS) {
        return Err(ScimError::new(ScimType::InvalidValue, format!("{path}: at most {MAX_ELEMENTS} values")));
    }
    Ok(())
}

/// Only what this request lost is asked for: a resource from before a schema became stricter must remain
/// changeable, and above all its `active`.
fn check_required(kind: &ResourceType, current: &Tree, tree: &Tree) -> Result<(), ScimError> {
    let before = missing(kind, current);
    match missing(kind, tree).into_iter().find(|path| !before.contains(path)) {
        Some(path) => {
            Err(ScimError::new(ScimType::Mutability, format!("{path}: required, it must have a value")))
        }
        None => Ok(()),
    }
}
