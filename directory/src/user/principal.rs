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
use store::{Db, StoreError, sql};

use super::User;

/// The user with everything that policies may ask about.
pub async fn principal(db: &Db, user: &User) -> Result<Principal, StoreError> {
    let groups = groups_within(db, user).await?;
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

/// `(id, display name)` of every group that the user is in, directly or through other groups.
///
/// Each group is followed once, so groups that contain each other end it, and it is never longer than there are
/// groups. No depth is cut off: a policy that forbids must not stop at one.
async fn groups_within(db: &Db, user: &User) -> Result<Vec<(GroupId, String)>, StoreError> {
    db.all(
        sql!(
            "WITH RECURSIVE containing (group_id) AS ( \
             SELECT group_id FROM membership WHERE member_id = $1 UNION \
             SELECT m.group_id FROM containing c JOIN membership m ON m.member_id = c.group_id) \
             SELECT g.id, g.display_name FROM containing c JOIN groups g ON g.id = c.group_id ORDER BY g.id"
        ),
        (user.id,),
    )
    .await
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
