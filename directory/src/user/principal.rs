//! A user as policies see one: the same for every room, so that a sign-in and a door decide about the same
//! person.
//!
//! A group goes by two names: its id, which is for ever, and its display name, which people write. Renaming a
//! group therefore takes it out of every policy that names it by display name, and puts it into those that
//! name the new one; the fact `group.changed` says so. A policy that must survive a rename names the id.
//!
//! What it is not: a decision. To add an attribute: `kernel::Principal`, policy's schema, one line here.

use kernel::Principal;
use kernel::id::{GroupId, UserId};
use serde_json::Value;
use store::{Db, StoreError};

use super::User;

/// The user with everything that policies may ask about.
pub async fn principal(db: &Db, user: &User) -> Result<Principal, StoreError> {
    let groups = super::all_groups(db, user.id).await?;
    let groups = groups.into_iter().flat_map(|(id, name)| names_of(id.to_string(), name)).collect();
    let (department, title) = (user.department.clone(), user.title.clone());
    let principal = of(user.id, groups, department, title, &user.document);
    Ok(Principal { active: user.active, ..principal })
}

/// An active user, from what a statement of another noun read along with its own.
pub(crate) fn of(
    id: UserId,
    groups: Vec<String>,
    department: Option<String>,
    title: Option<String>,
    document: &str,
) -> Principal {
    let document = document_of(document);
    Principal {
        id: id.to_string(),
        active: true,
        groups,
        roles: roles(&document),
        department,
        title,
        employee_type: document["userType"].as_str().map(str::to_owned),
    }
}

/// What stands between the id and the name of a group, and between two groups, where one text holds them all. A name
/// has no control characters.
pub(crate) const WITHIN: &str = "\u{1f}";
pub(crate) const BETWEEN: &str = "\u{1e}";

/// The names that policies know these groups by: each an id, [`WITHIN`], a display name; [`BETWEEN`] them.
pub(crate) fn groups(listed: &str) -> Vec<String> {
    let each = listed.split(BETWEEN).filter(|group| !group.is_empty());
    each.flat_map(|group| {
        let (id, name) = group.split_once(WITHIN).unwrap_or((group, ""));
        names_of(id.to_owned(), name.to_owned())
    })
    .collect()
}

/// Id and display name. A display name that reads as an id is left out: nobody takes another group's place by calling
/// a group so.
fn names_of(id: String, name: String) -> impl Iterator<Item = String> {
    let name = Some(name).filter(|name| !name.is_empty() && name.parse::<GroupId>().is_err());
    [Some(id), name].into_iter().flatten()
}

/// The SCIM document of a user. What cannot be read says nothing.
pub(super) fn document_of(document: &str) -> Value {
    serde_json::from_str(document).unwrap_or_default()
}

/// The values of the SCIM attribute `roles`. An element without one is no role, and hides no other.
pub(super) fn roles(document: &Value) -> Vec<String> {
    let listed = document["roles"].as_array().into_iter().flatten();
    listed.filter_map(|role| role["value"].as_str()).map(str::to_owned).collect()
}
