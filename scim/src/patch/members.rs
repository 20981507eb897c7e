//! Edits of a group's members: collected, never looked up.

use super::{Edit, MemberDelta};
use crate::error::{ScimError, ScimType};
use crate::filter::{Bound, Filter, Literal, Op};
use crate::path::AttributeTarget;
use crate::schema::Resolved;
use crate::value::{Member, Reader};

/// Adds the edit to what happens to the members.
pub(super) fn edit(
    reader: &mut Reader,
    members: &mut Option<MemberDelta>,
    target: &AttributeTarget,
    edit: Edit<'_>,
) -> Result<(), ScimError> {
    if target.sub().is_some() {
        let why = format!("{}: add or remove the member instead", target.at.path());
        return Err(ScimError::new(ScimType::Mutability, why));
    }
    let attribute = target.attribute();
    let delta = members.get_or_insert_default();
    match (&target.filter, edit) {
        (None, Edit::Remove(None)) => *delta = MemberDelta::replacing(Vec::new()),
        (None, Edit::Remove(Some(json))) => {
            // A list of values removes those, never all; that holds for an empty list too.
            let listed = reader.members(attribute, json)?;
            listed.into_iter().for_each(|member| delta.remove(member.value));
        }
        (None, Edit::Replace(json)) => *delta = MemberDelta::replacing(reader.members(attribute, json)?),
        (None, Edit::Add(json)) => {
            reader.members(attribute, json)?.into_iter().for_each(|member| delta.add(member));
        }
        (Some(filter), Edit::Remove(_)) => remove(reader, delta, filter)?,
        (Some(filter), Edit::Replace(json)) => {
            remove(reader, delta, filter)?;
            reader.members(attribute, json)?.into_iter().for_each(|member| delta.add(member));
        }
        (Some(filter), Edit::Add(json)) => {
            let named = ids(filter).filter(|ids| ids.iter().all(|id| !id.is_empty()));
            let ids = named.ok_or_else(|| no_target(&target.at))?;
            ids.into_iter().for_each(|value| delta.add(Member { value, kind: None }));
            reader.members(attribute, json)?.into_iter().for_each(|member| delta.add(member));
        }
    }
    Ok(())
}

fn remove(reader: &mut Reader, delta: &mut MemberDelta, filter: &Bound) -> Result<(), ScimError> {
    if let Some(ids) = ids(filter) {
        ids.into_iter().for_each(|id| delta.remove(id));
        return Ok(());
    }
    reader.spend(filter.terms().saturating_mul(delta.add.len() + delta.remove_matching.len() + 1))?;
    delta.remove_matching(filter.clone());
    Ok(())
}

/// The ids that a filter names, when it is `value eq "…"` or several of them joined by `or`.
fn ids(filter: &Bound) -> Option<Vec<String>> {
    match filter {
        Filter::Compare(at, Op::Eq, Literal::Text(id)) if at.leaf().name == "value" => Some(vec![id.clone()]),
        Filter::Or(parts) => parts.iter().map(ids).collect::<Option<Vec<_>>>().map(|all| all.concat()),
        _ => None,
    }
}

fn no_target(at: &Resolved) -> ScimError {
    ScimError::new(ScimType::NoTarget, format!("{}: the filter must name members by value", at.path()))
}
