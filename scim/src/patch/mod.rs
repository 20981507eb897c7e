//! Changing a resource: PATCH (RFC 7644, section 3.5.2) and PUT (section 3.5.1), as pure functions from
//! what is to what changes.
//!
//! [`apply`] and [`replace`] answer with the new tree and a [`Delta`]: the attributes that differ, and for
//! members of a group what to add and remove. Members are never read here, so a change to a group of any
//! size costs what the request says, and two changes at once cannot undo each other. A delta without changes is
//! of a request that changes nothing: version and lastModified stay.
//!
//! Where the RFC and the clients disagree, the clients are understood: a value path that
//! matches nothing creates its element, a filtered removal that matches nothing is no error, and a path may
//! stand as a key in the value.
//!
//! What it is not: it checks no uniqueness and no existence of members, which need the store.

mod delta;
mod elements;
mod engine;
mod members;
mod request;
mod single;

pub use delta::{Change, Delta, MemberDelta, Outcome, SecretChange};
pub use request::{MAX_OPERATIONS, PATCH_URN, PatchOp, Verb, read};

use serde_json::Value as Json;

use crate::error::ScimError;
use crate::schema::{Mutability, ResourceType};
use crate::value::{Body, Tree};

use engine::Engine;

/// What an operation does at its target. JSON null and `[]` say "no value" (RFC 7643, section 2.5), so
/// replacing by them is removing.
#[derive(Clone, Copy, Debug)]
enum Edit<'j> {
    Add(&'j Json),
    Replace(&'j Json),
    /// With a value: remove only what equals it.
    Remove(Option<&'j Json>),
}

/// Applies the operations in order, all or none.
///
/// `current` must hold `id` and the attributes as stored; members need not be in it and are not looked at.
///
/// # Errors
/// The first that an operation meets, with its number in the detail: `invalidPath`, `invalidFilter`,
/// `noTarget`, `mutability`, `invalidValue`, `invalidSyntax`; 413 when it takes too much work.
pub fn apply(kind: &ResourceType, current: &Tree, operations: &[PatchOp]) -> Result<Outcome, ScimError> {
    let mut engine = Engine::new(kind, current);
    for (at, operation) in operations.iter().enumerate() {
        engine.operation(operation).map_err(|why| why.in_operation(at + 1))?;
    }
    engine.finish()
}

/// What a PUT changes. What it leaves out is cleared, except what clients cannot see or must not lose by
/// silence: `active`, `password`, and the members of a group (an explicit `[]` empties it).
///
/// # Errors
/// `mutability` when an immutable attribute would change.
pub fn replace(kind: &ResourceType, current: &Tree, body: Body) -> Result<Outcome, ScimError> {
    let mut tree = current.clone();
    for (schema, attribute) in kind.attributes() {
        if attribute.is_read_only() || attribute.membership || attribute.mutability == Mutability::WriteOnly {
            continue;
        }
        let given = body.tree.lookup(schema, &attribute.name).cloned();
        let kept = attribute.retained || attribute.mutability == Mutability::Immutable;
        if given.is_some() || !kept {
            tree.put(schema, &attribute.name, given);
        }
    }
    let members = body.members.map(MemberDelta::replacing);
    let secrets = body.secrets.into_iter();
    let secrets = secrets.map(|(path, value)| SecretChange { path, value: Some(value) }).collect();
    delta::conclude(
        kind,
        current,
        Outcome { tree, delta: Delta { changes: Vec::new(), members, secrets }, ignored: body.ignored },
    )
}

#[cfg(test)]
mod tests;
