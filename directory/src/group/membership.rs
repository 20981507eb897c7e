//! Who belongs to which group: seen from its members, and changed without minding anything else of the group.

use std::collections::BTreeSet;

use kernel::id::{GroupId, UserId};
use kernel::{Subject, Timestamp};
use store::{Db, Fact, Sql, StoreError, Tx, Value, sql};

use super::{Group, MEMBER_CHANGES, MemberChange, concerning};
use crate::facts::GroupChanged;
use crate::{DirectoryError, name};

/// A user's place in a group.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Belonging {
    /// Who.
    pub user_id: UserId,
    /// In which group.
    pub group_id: GroupId,
    /// The group's name.
    pub group_name: String,
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

/// Groups that name this id as a direct member.
pub async fn containing(db: &Db, member: &str) -> Result<Vec<Group>, StoreError> {
    db.all(
        sql!(
            "SELECT g.id, g.version, g.display_name, g.external_id, g.document, g.created_at, g.updated_at \
             FROM membership m JOIN groups g ON g.id = m.group_id WHERE m.member_id = $1 \
             ORDER BY g.created_at, g.id"
        ),
        (member,),
    )
    .await
}

/// The groups of these users, by their names. As many parameters as users: at most some thousands.
pub async fn of_users(db: &Db, users: &[UserId]) -> Result<Vec<Belonging>, StoreError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=users.len()).map(|n| format!("${n}")).collect();
    let text = format!(
        "SELECT m.member_id AS user_id, g.id AS group_id, g.display_name AS group_name FROM membership m \
         JOIN groups g ON g.id = m.group_id WHERE m.member_id IN ({}) ORDER BY g.display_name_key",
        places.join(", ")
    );
    let ids: Vec<Value> = users.iter().map(Value::from).collect();
    db.all(Sql::assembled(text), ids).await
}

/// Whether it has at least so many members. Counts no further.
pub async fn has_at_least(db: &Db, id: GroupId, members: u32) -> Result<bool, StoreError> {
    let Some(before) = members.checked_sub(1) else { return Ok(true) };
    let last: Option<(String,)> = db
        .opt(
            sql!("SELECT member_id FROM membership WHERE group_id = $1 ORDER BY member_id LIMIT 1 OFFSET $2"),
            (id, before),
        )
        .await?;
    Ok(last.is_some())
}

/// Changes nothing but members, over whatever version there is: two such changes never get in each other's
/// way. When nobody joins or leaves by it, nothing is written and the version stays.
///
/// # Errors
/// [`DirectoryError::NotFound`], [`DirectoryError::Invalid`] for too many at once.
pub async fn update_members(
    tx: &mut Tx,
    id: GroupId,
    members: &MemberChange,
) -> Result<Group, DirectoryError> {
    check(members)?;
    // Changes of one group take turns from here on: two that replace all members would add up otherwise.
    let held: Option<Group> = tx
        .opt(
            sql!(
                "UPDATE groups SET version = version WHERE id = $1 \
                 RETURNING id, version, display_name, external_id, document, created_at, updated_at"
            ),
            (id,),
        )
        .await?;
    let held = held.ok_or(DirectoryError::NotFound("group"))?;
    let (added, removed) = change(tx, id, members).await?;
    if added.is_empty() && removed.is_empty() {
        return Ok(held);
    }
    touch(tx, id).await?;
    let affected: Vec<String> = added.iter().chain(&removed).cloned().collect();
    let revokes = !removed.is_empty();
    let mut fact = Fact::new(id.subject(), &GroupChanged { attributes: Vec::new(), added, removed });
    fact.revokes = revokes;
    tx.record(concerning(fact, &affected));
    Ok(Group { version: held.version + 1, updated_at: tx.now(), ..held })
}

/// Refuses more than one request may change, and references that no index could hold.
pub(super) fn check(members: &MemberChange) -> Result<(), DirectoryError> {
    let named = || members.add.iter().chain(&members.remove).chain(members.replace.iter().flatten());
    if named().count() > MEMBER_CHANGES {
        return Err(DirectoryError::Invalid(format!(
            "at most {MEMBER_CHANGES} members change in one request"
        )));
    }
    named().try_for_each(|member| name::check_key("the value of a member", member))
}

/// Changes who belongs to a group whose row is held; answers who really joined and who really left.
pub(super) async fn change(
    tx: &mut Tx,
    group: GroupId,
    change: &MemberChange,
) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let present: BTreeSet<String> = match &change.replace {
        Some(_) => all(tx, group).await?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    let leaving: BTreeSet<&String> = change.remove.iter().collect();
    let replacing = change.replace.iter().flatten().filter(|member| !leaving.contains(member));
    let joining: BTreeSet<&String> = replacing.chain(&change.add).collect();
    let gone = leaving.into_iter().chain(&present).filter(|member| !joining.contains(member));
    let removed = remove(tx, group, gone).await?;
    let added = add(tx, group, joining.into_iter()).await?;
    Ok((added, removed))
}

/// All members, by their ids.
pub(super) async fn all(tx: &mut Tx, group: GroupId) -> Result<Vec<String>, StoreError> {
    let members: Vec<(String,)> = tx
        .all(sql!("SELECT member_id FROM membership WHERE group_id = $1 ORDER BY member_id"), (group,))
        .await?;
    Ok(members.into_iter().map(|(member,)| member).collect())
}

/// Raises the version of a group whose members changed.
pub(super) async fn touch(tx: &mut Tx, group: GroupId) -> Result<(), StoreError> {
    let raise = sql!("UPDATE groups SET version = version + 1, updated_at = $2 WHERE id = $1");
    tx.run(raise, (group, tx.now())).await.map(drop)
}

/// Takes a user or group that is going out of every group, which each is another version by it.
pub(crate) async fn forget(tx: &mut Tx, member: Subject) -> Result<(), StoreError> {
    let groups: Vec<(GroupId,)> = tx
        .all(sql!("SELECT group_id FROM membership WHERE member_id = $1 ORDER BY group_id"), (&member.id,))
        .await?;
    // One after the other in one order: two who leave the same groups at once must not wait for each other.
    for (group,) in groups {
        touch(tx, group).await?;
        tx.run(sql!("DELETE FROM membership WHERE group_id = $1 AND member_id = $2"), (group, &member.id))
            .await?;
        let removed = vec![member.id.clone()];
        let body = GroupChanged { attributes: Vec::new(), added: Vec::new(), removed };
        tx.record(Fact::new(group.subject(), &body).about(member.clone()));
    }
    Ok(())
}

/// At most this many members in one statement.
const MEMBERS_PER_STATEMENT: usize = 500;

async fn add<'a>(
    tx: &mut Tx,
    group: GroupId,
    members: impl Iterator<Item = &'a String>,
) -> Result<Vec<String>, StoreError> {
    let tuple = |n: usize| format!("($1, ${}, $2)", n + 3);
    let (head, tail) = (
        "INSERT INTO membership (group_id, member_id, added_at) VALUES ",
        " ON CONFLICT (group_id, member_id) DO NOTHING RETURNING member_id",
    );
    let first = vec![group.into(), tx.now().into()];
    in_batches(tx, members, first, |count| {
        format!("{head}{}{tail}", (0..count).map(tuple).collect::<Vec<_>>().join(", "))
    })
    .await
}

async fn remove<'a>(
    tx: &mut Tx,
    group: GroupId,
    members: impl Iterator<Item = &'a String>,
) -> Result<Vec<String>, StoreError> {
    in_batches(tx, members, vec![group.into()], |count| {
        let places: Vec<String> = (0..count).map(|n| format!("${}", n + 2)).collect();
        format!(
            "DELETE FROM membership WHERE group_id = $1 AND member_id IN ({}) RETURNING member_id",
            places.join(", ")
        )
    })
    .await
}

/// Runs the text for so many members until none is left; answers, by their ids, those it returned.
async fn in_batches<'a>(
    tx: &mut Tx,
    members: impl Iterator<Item = &'a String>,
    first: Vec<Value>,
    text: impl Fn(usize) -> String,
) -> Result<Vec<String>, StoreError> {
    let members: Vec<&String> = members.collect::<BTreeSet<_>>().into_iter().collect();
    let mut changed = Vec::new();
    for batch in members.chunks(MEMBERS_PER_STATEMENT) {
        let values: Vec<Value> =
            first.iter().cloned().chain(batch.iter().map(|member| Value::from(*member))).collect();
        let rows: Vec<(String,)> = tx.all(Sql::assembled(text(batch.len())), values).await?;
        changed.extend(rows.into_iter().map(|(member,)| member));
    }
    changed.sort();
    Ok(changed)
}
