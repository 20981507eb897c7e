//! A user as policies see one: the same for every room, so that a sign-in and a door decide about the same
//! person.
//!
//! A group goes by two names: its id, which is for ever, and its display name, which people write. Renaming a
//! group therefore takes it out of every policy that names it by display name, and puts it into those that
//! name the new one; the fact `group.changed` says so. A policy that must survive a rename names the id.
//!
//! What it is not: a decision. To add an attribute: `kernel::Principal`, policy's schema, one line here.

use kernel::Principal;
use kernel::id::GroupId;
use serde_json::Value;
use store::{Db, StoreError};

use super::User;

/// The user with everything that policies may ask about.
pub async fn principal(db: &Db, user: &User) -> Result<Principal, StoreError> {
    let groups = super::all_groups(db, user.id).await?;
    let document = document(user);
    Ok(Principal {
        id: user.id.to_string(),
        active: user.active,
        groups: names_of(groups),
        roles: roles(&document),
        department: user.department.clone(),
        title: user.title.clone(),
        employee_type: document["userType"].as_str().map(str::to_owned),
    })
}

/// Ids and display names. A display name that reads as an id is left out: nobody takes another group's place
/// by calling a group so.
fn names_of(groups: Vec<(GroupId, String)>) -> Vec<String> {
    let both = |(id, name): (GroupId, String)| {
        let name = Some(name).filter(|name| name.parse::<GroupId>().is_err());
        [Some(id.to_string()), name].into_iter().flatten()
    };
    groups.into_iter().flat_map(both).collect()
}

/// The SCIM document. What cannot be read says nothing.
pub(super) fn document(user: &User) -> Value {
    serde_json::from_str(&user.document).unwrap_or_default()
}

/// The values of the SCIM attribute `roles`. An element without one is no role, and hides no other.
pub(super) fn roles(document: &Value) -> Vec<String> {
    let listed = document["roles"].as_array().into_iter().flatten();
    listed.filter_map(|role| role["value"].as_str()).map(str::to_owned).collect()
}
