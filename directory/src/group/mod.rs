//! A set of users. Membership is a table of its own: adding one member never reads the others.

use std::collections::BTreeSet;

use kernel::Timestamp;
use kernel::id::{GroupId, UserId};
use store::{Address, Db, Fact, StoreError, Tx, sql};

use crate::facts::{GroupChanged, GroupCreated, GroupDeleted};
use crate::{DirectoryError, fold};

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

/// Groups in the order they were made, by position.
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
    db.all(
        sql!(
            "SELECT m.member_id, COALESCE(u.display_name, u.user_name) AS user_display, \
             g.display_name AS group_display FROM membership m \
             LEFT JOIN users u ON u.id = m.member_id AND u.deleted_at IS NULL \
             LEFT JOIN groups g ON g.id = m.member_id WHERE m.group_id = $1 ORDER BY m.member_id LIMIT $2"
        ),
        (id, limit),
    )
    .await
}

/// How many members it has.
pub async fn count_members(db: &Db, id: GroupId) -> Result<i64, StoreError> {
    let (count,): (i64,) = db.one(sql!("SELECT COUNT(*) FROM membership WHERE group_id = $1"), (id,)).await?;
    Ok(count)
}

/// Whether it has this direct member.
pub async fn has_member(db: &Db, id: GroupId, member: &str) -> Result<bool, StoreError> {
    let found: Option<(String,)> = db
        .opt(sql!("SELECT member_id FROM membership WHERE group_id = $1 AND member_id = $2"), (id, member))
        .await?;
    Ok(found.is_some())
}

/// Makes a group with its first members.
///
/// # Errors
/// [`DirectoryError::Taken`] when the name is in use.
pub async fn create(tx: &mut Tx, profile: &GroupProfile, members: &[String]) -> Result<Group, DirectoryError> {
    check(profile, members.len())?;
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
    let added = add_members(tx, group.id, members).await?;
    let body = GroupCreated { display_name: group.display_name.clone(), members: added.clone() };
    tx.record(concerning(Fact::new(group.id.subject(), &body), &added));
    Ok(group)
}

fn check(profile: &GroupProfile, changes: usize) -> Result<(), DirectoryError> {
    if profile.display_name.trim().is_empty() {
        return Err(DirectoryError::Invalid("displayName must not be empty".into()));
    }
    if changes > MEMBER_CHANGES {
        return Err(DirectoryError::Invalid(format!("at most {MEMBER_CHANGES} members change in one request")));
    }
    Ok(())
}

/// Changes a group over the version that the caller saw. Without any change in effect, nothing is written and
/// the version stays.
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
    let changes = members.add.len() + members.remove.len() + members.replace.as_ref().map_or(0, Vec::len);
    check(profile, changes)?;
    let (added, removed) = change_members(tx, seen.id, members).await?;
    if changed.is_empty() && added.is_empty() && removed.is_empty() {
        return Ok(seen.clone());
    }
    let now = tx.now();
    tx.run_versioned(
        sql!(
            "UPDATE groups SET version = version + 1, display_name = $3, display_name_key = $4, external_id = $5, \
             document = $6, updated_at = $7 WHERE id = $1 AND version = $2"
        ),
        (
            seen.id,
            seen.version,
            &profile.display_name,
            fold(&profile.display_name),
            profile.external_id.clone(),
            &profile.document,
            now,
        ),
    )
    .await?;
    let affected: Vec<String> = added.iter().chain(&removed).cloned().collect();
    let revokes = !removed.is_empty();
    let mut fact = Fact::new(seen.id.subject(), &GroupChanged { attributes: changed, added, removed });
    fact.revokes = revokes;
    tx.record(concerning(fact, &affected));
    Ok(Group {
        id: seen.id,
        version: seen.version + 1,
        display_name: profile.display_name.clone(),
        external_id: profile.external_id.clone(),
        document: profile.document.clone(),
        created_at: seen.created_at,
        updated_at: now,
    })
}

/// Deletes a group over the version that the caller saw.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`].
pub async fn delete(tx: &mut Tx, seen: &Group) -> Result<(), DirectoryError> {
    let left: Vec<(String,)> =
        tx.all(sql!("DELETE FROM membership WHERE group_id = $1 RETURNING member_id"), (seen.id,)).await?;
    let left: Vec<String> = left.into_iter().map(|(member,)| member).collect();
    tx.run(sql!("DELETE FROM membership WHERE member_id = $1"), (seen.id,)).await?;
    tx.run_versioned(sql!("DELETE FROM groups WHERE id = $1 AND version = $2"), (seen.id, seen.version)).await?;
    let mut fact = Fact::new(seen.id.subject(), &GroupDeleted { members: left.clone() });
    fact.revokes = true;
    tx.record(concerning(fact, &left));
    Ok(())
}

/// Answers who really joined and who really left.
async fn change_members(
    tx: &mut Tx,
    group: GroupId,
    change: &MemberChange,
) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let mut removed = Vec::new();
    let mut add: Vec<String> = change.add.clone();
    if let Some(wanted) = &change.replace {
        let wanted: BTreeSet<&String> = wanted.iter().collect();
        let present: Vec<(String,)> =
            tx.all(sql!("SELECT member_id FROM membership WHERE group_id = $1"), (group,)).await?;
        let leaving: Vec<String> =
            present.into_iter().map(|(member,)| member).filter(|member| !wanted.contains(member)).collect();
        removed.extend(remove_members(tx, group, &leaving).await?);
        add.extend(wanted.into_iter().cloned());
    }
    removed.extend(remove_members(tx, group, &change.remove).await?);
    let added = add_members(tx, group, &add).await?;
    Ok((added, removed))
}

async fn add_members(tx: &mut Tx, group: GroupId, members: &[String]) -> Result<Vec<String>, StoreError> {
    let mut added = Vec::new();
    for member in members {
        let new = tx
            .run(
                sql!(
                    "INSERT INTO membership (group_id, member_id, added_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (group_id, member_id) DO NOTHING"
                ),
                (group, member, tx.now()),
            )
            .await?;
        if new == 1 {
            added.push(member.clone());
        }
    }
    Ok(added)
}

async fn remove_members(tx: &mut Tx, group: GroupId, members: &[String]) -> Result<Vec<String>, StoreError> {
    let mut removed = Vec::new();
    for member in members {
        let gone = tx
            .run(sql!("DELETE FROM membership WHERE group_id = $1 AND member_id = $2"), (group, member))
            .await?;
        if gone == 1 {
            removed.push(member.clone());
        }
    }
    Ok(removed)
}

/// Membership decides entitlement: every user who joined or left is looked at again.
fn concerning(mut fact: Fact, members: &[String]) -> Fact {
    let revokes = fact.revokes;
    for user in members.iter().filter_map(|member| member.parse::<UserId>().ok()) {
        fact = fact.about(user.subject()).to(Address::reconcile(ENTITLEMENT_SINK, user.subject()).revoking(revokes));
    }
    fact
}
