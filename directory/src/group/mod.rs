//! A set of users, and of other groups, whose users it then has, too. Membership is a table of its own: adding one
//! member never reads the others.

pub mod membership;
pub mod ripple;

use std::collections::BTreeSet;

use kernel::Timestamp;
use kernel::id::GroupId;
use store::{Db, Fact, Sql, StoreError, Tx, sql};

use crate::facts::{GroupChanged, GroupCreated, GroupDeleted};
use crate::{DirectoryError, fold, name};
use ripple::Concerned;

/// A group without its members.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Group {
    /// Also the SCIM `id`.
    pub id: GroupId,
    /// Raised by one at each change, members included; the SCIM ETag.
    pub version: i64,
    /// Unique in any case.
    pub display_name: String,
    /// The HR system's own id.
    pub external_id: Option<String>,
    /// The SCIM value tree as JSON, without id, meta and members.
    pub document: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is written of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupProfile {
    /// See [`Group::display_name`]. Not empty.
    pub display_name: String,
    /// See [`Group::external_id`].
    pub external_id: Option<String>,
    /// See [`Group::document`].
    pub document: String,
}

/// A member as listed: a user, a group, or a reference that names neither.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Member {
    /// What HR sent.
    pub member_id: String,
    /// The user's display or user name, when it is a user.
    pub user_display: Option<String>,
    /// The group's name, when it is a group.
    pub group_display: Option<String>,
}

/// How the members of a group change. `replace` first, then `remove`, then `add`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberChange {
    /// Everybody else leaves.
    pub replace: Option<Vec<String>>,
    /// Who leaves.
    pub remove: Vec<String>,
    /// Who joins.
    pub add: Vec<String>,
}

/// At most this many member changes in one request.
pub const MEMBER_CHANGES: usize = 10_000;

/// The sink that works out what a user is entitled to.
pub const ENTITLEMENT_SINK: &str = "entitlement";

/// The group.
pub async fn get(db: &Db, id: GroupId) -> Result<Option<Group>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, display_name, external_id, document, created_at, updated_at FROM groups WHERE id = $1"
        ),
        (id,),
    )
    .await
}

/// The group of this name, in any case.
pub async fn by_display_name(db: &Db, display_name: &str) -> Result<Option<Group>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, display_name, external_id, document, created_at, updated_at FROM groups \
             WHERE display_name_key = $1"
        ),
        (fold(display_name),),
    )
    .await
}

/// Groups with this external id, exactly.
pub async fn by_external_id(db: &Db, external_id: &str) -> Result<Vec<Group>, StoreError> {
    db.all(
        sql!(
            "SELECT id, version, display_name, external_id, document, created_at, updated_at FROM groups \
             WHERE external_id = $1 ORDER BY created_at, id"
        ),
        (external_id,),
    )
    .await
}

/// Groups in the order they were made, after `(created_at, id)`.
pub async fn page(
    db: &Db,
    after: Option<(Timestamp, GroupId)>,
    limit: i64,
) -> Result<Vec<Group>, StoreError> {
    let (at, id) =
        after.map_or((Timestamp::from_millis(i64::MIN), String::new()), |(at, id)| (at, id.to_string()));
    db.all(
        sql!(
            "SELECT id, version, display_name, external_id, document, created_at, updated_at FROM groups \
             WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3"
        ),
        (at, id, limit),
    )
    .await
}

/// Groups in the same order, by position.
pub async fn page_at(db: &Db, offset: i64, limit: i64) -> Result<Vec<Group>, StoreError> {
    db.all(
        sql!(
            "SELECT id, version, display_name, external_id, document, created_at, updated_at FROM groups \
             ORDER BY created_at, id LIMIT $1 OFFSET $2"
        ),
        (limit, offset),
    )
    .await
}

/// How many groups there are.
pub async fn count(db: &Db) -> Result<i64, StoreError> {
    let (count,): (i64,) = db.one(sql!("SELECT COUNT(*) FROM groups"), ()).await?;
    Ok(count)
}

/// Members in the order of their ids, `limit` at most.
pub async fn members(db: &Db, id: GroupId, limit: i64) -> Result<Vec<Member>, StoreError> {
    let members = membership::of_groups(db, &[id], limit).await?;
    Ok(members.into_iter().map(|(_, member)| member).collect())
}

/// The group as it stays until this transaction ends: others who would change it wait.
pub async fn lock(tx: &mut Tx, id: GroupId) -> Result<Option<Group>, StoreError> {
    tx.opt(
        sql!(
            "UPDATE groups SET version = version WHERE id = $1 \
             RETURNING id, version, display_name, external_id, document, created_at, updated_at"
        ),
        (id,),
    )
    .await
}

/// Makes a group with its first members.
///
/// # Errors
/// [`DirectoryError::Taken`] when the name is in use.
pub async fn create(
    tx: &mut Tx,
    profile: &GroupProfile,
    members: &[String],
) -> Result<Group, DirectoryError> {
    check(profile)?;
    let joining = MemberChange { add: members.to_vec(), ..MemberChange::default() };
    membership::check(&joining)?;
    let now = tx.now();
    let group = Group {
        id: GroupId::new(tx.ctx()),
        version: 1,
        display_name: profile.display_name.clone(),
        external_id: profile.external_id.clone(),
        document: profile.document.clone(),
        created_at: now,
        updated_at: now,
    };
    tx.run(
        sql!(
            "INSERT INTO groups (id, version, display_name, display_name_key, external_id, document, created_at, \
             updated_at) VALUES ($1, 1, $2, $3, $4, $5, $6, $6)"
        ),
        (
            group.id,
            &group.display_name,
            fold(&group.display_name),
            group.external_id.clone(),
            &group.document,
            now,
        ),
    )
    .await?;
    let (added, _) = membership::change(tx, group.id, &joining).await?;
    let body = GroupCreated { display_name: group.display_name.clone(), members: added.clone() };
    let concerned = Concerned { joined: &added, ..Concerned::default() };
    ripple::record(tx, group.id, Fact::new(group.id.subject(), &body), concerned).await?;
    Ok(group)
}

fn check(profile: &GroupProfile) -> Result<(), DirectoryError> {
    name::check("displayName", &profile.display_name)?;
    profile.external_id.as_deref().map_or(Ok(()), |id| name::check_key("externalId", id))
}

/// Changes a group over the version that the caller saw; `changed` names the attributes that differ. Without any
/// change in effect, nothing is written and the version stays.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`], [`DirectoryError::Taken`].
pub async fn update(
    tx: &mut Tx,
    seen: &Group,
    profile: &GroupProfile,
    changed: Vec<String>,
    members: &MemberChange,
) -> Result<Group, DirectoryError> {
    check(profile)?;
    membership::check(members)?;
    let same = Group {
        display_name: profile.display_name.clone(),
        external_id: profile.external_id.clone(),
        document: profile.document.clone(),
        ..seen.clone()
    };
    let rewritten = !changed.is_empty() || same != *seen;
    let group = Group { version: seen.version + 1, updated_at: tx.now(), ..same };
    // First of all: from here on changes of one group take turns, and never wait for each other's members.
    match rewritten {
        true => write(tx, seen.version, &group).await?,
        false => tx.run_versioned(HOLD, (seen.id, seen.version)).await?,
    }
    let (added, removed) = membership::change(tx, seen.id, members).await?;
    if !rewritten {
        if added.is_empty() && removed.is_empty() {
            return Ok(seen.clone());
        }
        membership::touch(tx, seen.id).await?;
    }
    // Policies know a group by its name.
    let renamed = group.display_name != seen.display_name;
    let body = GroupChanged { attributes: changed, added, removed };
    let mut fact = Fact::new(seen.id.subject(), &body);
    fact.revokes = renamed || !body.removed.is_empty();
    let concerned = Concerned { joined: &body.added, left: &body.removed, who_stays: renamed };
    ripple::record(tx, seen.id, fact, concerned).await?;
    Ok(group)
}

/// Locks a group's row over the version that the caller saw.
const HOLD: Sql = sql!("UPDATE groups SET version = version WHERE id = $1 AND version = $2");

async fn write(tx: &mut Tx, over: i64, group: &Group) -> Result<(), StoreError> {
    tx.run_versioned(
        sql!(
            "UPDATE groups SET version = $3, display_name = $4, display_name_key = $5, external_id = $6, \
             document = $7, updated_at = $8 WHERE id = $1 AND version = $2"
        ),
        (
            group.id,
            over,
            group.version,
            &group.display_name,
            fold(&group.display_name),
            group.external_id.clone(),
            &group.document,
            group.updated_at,
        ),
    )
    .await
}

/// Deletes a group over the version that the caller saw.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`].
pub async fn delete(tx: &mut Tx, seen: &Group) -> Result<(), DirectoryError> {
    hold_with_those_above(tx, seen).await?;
    let members = membership::all(tx, seen.id).await?;
    tx.run(sql!("DELETE FROM membership WHERE group_id = $1"), (seen.id,)).await?;
    membership::forget(tx, seen.id.subject()).await?;
    tx.run(sql!("DELETE FROM groups WHERE id = $1"), (seen.id,)).await?;
    let body = GroupDeleted { members };
    let concerned = Concerned { left: &body.members, ..Concerned::default() };
    ripple::record(tx, seen.id, Fact::new(seen.id.subject(), &body), concerned).await?;
    Ok(())
}

/// Takes the rows of a group and of those that name it in the order of their ids, as a user who leaves them does:
/// otherwise each could wait for the other.
async fn hold_with_those_above(tx: &mut Tx, seen: &Group) -> Result<(), StoreError> {
    let id = seen.id.to_string();
    let above = membership::naming(tx, &id).await?;
    let rows: BTreeSet<GroupId> = above.iter().copied().chain([seen.id]).collect();
    for row in rows {
        match row == seen.id {
            true => tx.run_versioned(HOLD, (seen.id, seen.version)).await?,
            false => drop(lock(tx, row).await?),
        }
    }
    // One more names it by now: it would be taken out of order.
    match membership::naming(tx, &id).await? == above {
        true => Ok(()),
        false => Err(StoreError::Conflict),
    }
}
