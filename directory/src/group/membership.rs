//! Who belongs to which group: seen from its members, and changed without minding anything else of the group.

use std::collections::BTreeSet;

use kernel::id::{GroupId, UserId};
use kernel::{Subject, Timestamp};
use store::{Db, Fact, Sql, StoreError, Tx, Value, sql};

use super::ripple::{self, Concerned};
use super::{Group, MEMBER_CHANGES, Member, MemberChange};
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
    /// Whether the group itself names the user, and not only through another group.
    pub direct: bool,
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

/// What a statement says of `belonging`: every group of these members, direct or through other groups. Pairs that
/// are there already are not followed again, so groups that contain each other come to an end.
fn belonging(members: usize) -> String {
    format!(
        "WITH RECURSIVE belonging (user_id, group_id) AS ( \
         SELECT member_id, group_id FROM membership WHERE member_id IN ({}) UNION \
         SELECT b.user_id, m.group_id FROM belonging b JOIN membership m ON m.member_id = b.group_id) ",
        places(1, members)
    )
}

/// `$first, …`, so many.
fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// The groups of these users by their names, direct and through other groups. As many parameters as users: at most
/// some thousands.
pub async fn of_users(db: &Db, users: &[UserId]) -> Result<Vec<Belonging>, StoreError> {
    of_users_up_to(db, users, i64::MAX).await
}

/// The same, `limit` at most.
pub async fn of_users_up_to(db: &Db, users: &[UserId], limit: i64) -> Result<Vec<Belonging>, StoreError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "{}SELECT b.user_id, g.id AS group_id, g.display_name AS group_name, EXISTS (SELECT 1 FROM membership d \
         WHERE d.group_id = b.group_id AND d.member_id = b.user_id) AS direct \
         FROM belonging b JOIN groups g ON g.id = b.group_id ORDER BY g.display_name_key LIMIT ${}",
        belonging(users.len()),
        users.len() + 1
    );
    let values: Vec<Value> = users.iter().map(Value::from).chain([Value::from(limit)]).collect();
    db.all(Sql::assembled(text), values).await
}

/// In how many groups each of these users is, direct and through other groups; those in none are left out.
pub async fn counts_of_users(db: &Db, users: &[UserId]) -> Result<Vec<(UserId, i64)>, StoreError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!("{}SELECT user_id, COUNT(*) FROM belonging GROUP BY user_id", belonging(users.len()));
    db.all(Sql::assembled(text), users.iter().map(Value::from).collect::<Vec<_>>()).await
}

/// A group and every group below it, as long as it exists.
pub async fn below(db: &Db, group: GroupId) -> Result<Vec<GroupId>, StoreError> {
    let text = sql!(
        "WITH RECURSIVE below (id) AS (SELECT id FROM groups WHERE id = $1 UNION \
         SELECT g.id FROM below b JOIN membership m ON m.group_id = b.id JOIN groups g ON g.id = m.member_id) \
         SELECT id FROM below ORDER BY id"
    );
    let found: Vec<(GroupId,)> = db.all(text, (group,)).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// The users of a group and of every group below it, with when they were made, in no order, `limit` at most.
pub async fn users_within(
    db: &Db,
    group: GroupId,
    limit: i64,
) -> Result<Vec<(Timestamp, UserId)>, StoreError> {
    // CROSS JOIN: SQLite then keeps the order, and does not begin with all users.
    let text = sql!(
        "WITH RECURSIVE below (id) AS (SELECT id FROM groups WHERE id = $1 UNION \
         SELECT g.id FROM below b JOIN membership m ON m.group_id = b.id JOIN groups g ON g.id = m.member_id) \
         SELECT DISTINCT u.created_at, u.id FROM below b CROSS JOIN membership m CROSS JOIN users u \
         WHERE m.group_id = b.id AND u.id = m.member_id AND u.deleted_at IS NULL LIMIT $2"
    );
    db.all(text, (group, limit)).await
}

/// How many direct members each of these groups has; those that have none are left out.
pub async fn counts(db: &Db, groups: &[GroupId]) -> Result<Vec<(GroupId, i64)>, StoreError> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "SELECT group_id, COUNT(*) FROM membership WHERE group_id IN ({}) GROUP BY group_id",
        places(1, groups.len())
    );
    db.all(Sql::assembled(text), groups.iter().map(Value::from).collect::<Vec<_>>()).await
}

/// Which of these are direct members of which of those groups. As many parameters as both: at most some thousands.
pub async fn among(
    db: &Db,
    groups: &[GroupId],
    members: impl ExactSizeIterator<Item = &String>,
) -> Result<Vec<(GroupId, String)>, StoreError> {
    if groups.is_empty() || members.len() == 0 {
        return Ok(Vec::new());
    }
    let text = format!(
        "SELECT group_id, member_id FROM membership WHERE group_id IN ({}) AND member_id IN ({}) \
         ORDER BY group_id, member_id",
        places(1, groups.len()),
        places(groups.len() + 1, members.len())
    );
    let values: Vec<Value> = groups.iter().map(Value::from).chain(members.map(Value::from)).collect();
    db.all(Sql::assembled(text), values).await
}

/// Members of these groups, each group's in the order of their ids, `limit` at most of all.
pub async fn of_groups(
    db: &Db,
    groups: &[GroupId],
    limit: i64,
) -> Result<Vec<(GroupId, Member)>, StoreError> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "SELECT m.group_id, m.member_id, COALESCE(u.display_name, u.user_name), g.display_name FROM membership m \
         LEFT JOIN users u ON u.id = m.member_id AND u.deleted_at IS NULL \
         LEFT JOIN groups g ON g.id = m.member_id WHERE m.group_id IN ({}) \
         ORDER BY m.group_id, m.member_id LIMIT ${}",
        places(1, groups.len()),
        groups.len() + 1
    );
    let values: Vec<Value> = groups.iter().map(Value::from).chain([Value::from(limit)]).collect();
    let rows: Vec<(GroupId, String, Option<String>, Option<String>)> =
        db.all(Sql::assembled(text), values).await?;
    let member = |(group, member_id, user_display, group_display)| {
        (group, Member { member_id, user_display, group_display })
    };
    Ok(rows.into_iter().map(member).collect())
}

/// Ids of direct members after one of them, `limit` at most.
pub(super) async fn ids_after(
    db: &Db,
    group: GroupId,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let text = sql!(
        "SELECT member_id FROM membership WHERE group_id = $1 AND member_id > $2 ORDER BY member_id LIMIT $3"
    );
    let page: Vec<(String,)> = db.all(text, (group, after, limit)).await?;
    Ok(page.into_iter().map(|(id,)| id).collect())
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
    let held = super::lock(tx, id).await?.ok_or(DirectoryError::NotFound("group"))?;
    let (added, removed) = change(tx, id, members).await?;
    if added.is_empty() && removed.is_empty() {
        return Ok(held);
    }
    touch(tx, id).await?;
    let body = GroupChanged { attributes: Vec::new(), added, removed };
    let mut fact = Fact::new(id.subject(), &body);
    fact.revokes = !body.removed.is_empty();
    let concerned = Concerned { joined: &body.added, left: &body.removed, who_stays: false };
    ripple::record(tx, id, fact, concerned).await?;
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

/// The first members, by their ids, so many at most.
pub(super) async fn first(tx: &mut Tx, group: GroupId, limit: usize) -> Result<Vec<String>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let text = sql!("SELECT member_id FROM membership WHERE group_id = $1 ORDER BY member_id LIMIT $2");
    let members: Vec<(String,)> = tx.all(text, (group, limit)).await?;
    Ok(members.into_iter().map(|(member,)| member).collect())
}

/// The groups that name this member, by their ids.
pub(super) async fn naming(tx: &mut Tx, member: &str) -> Result<Vec<GroupId>, StoreError> {
    let groups: Vec<(GroupId,)> = tx
        .all(sql!("SELECT group_id FROM membership WHERE member_id = $1 ORDER BY group_id"), (member,))
        .await?;
    Ok(groups.into_iter().map(|(group,)| group).collect())
}

/// Remembers those who left until they are looked at again; see [`super::ripple`].
pub(super) async fn depart(tx: &mut Tx, group: GroupId, members: &[String]) -> Result<(), StoreError> {
    let tuple = |n: usize| format!("($1, ${})", n + 2);
    let text = |count: usize| {
        format!(
            "INSERT INTO departure (group_id, member_id) VALUES {} \
             ON CONFLICT (group_id, member_id) DO NOTHING RETURNING member_id",
            (0..count).map(tuple).collect::<Vec<_>>().join(", ")
        )
    };
    in_batches(tx, members.iter(), vec![group.into()], text).await.map(drop)
}

/// Raises the version of a group whose members changed.
pub(super) async fn touch(tx: &mut Tx, group: GroupId) -> Result<(), StoreError> {
    let raise = sql!("UPDATE groups SET version = version + 1, updated_at = $2 WHERE id = $1");
    tx.run(raise, (group, tx.now())).await.map(drop)
}

/// Takes a user or group that is going out of every group, which each is another version by it.
pub(crate) async fn forget(tx: &mut Tx, member: Subject) -> Result<(), StoreError> {
    // One after the other in one order: two who leave the same groups at once must not wait for each other.
    for group in naming(tx, &member.id).await? {
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
        format!(
            "DELETE FROM membership WHERE group_id = $1 AND member_id IN ({}) RETURNING member_id",
            places(2, count)
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
