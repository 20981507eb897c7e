//! Membership decides entitlement: whoever a change of a group concerns is looked at again.
//!
//! When they are few, the change itself makes each of them due. When they are many, it makes one row due, and
//! [`Ripple`] hands the members on page by page: no change of a group, however large, holds the writer for long.
//! Those who left in such a change stand in `departure` from its commit on, until they are handed on in the
//! transaction that takes them out: a crash loses nobody.
//!
//! A group that is a member stands for its own members, however deep; groups that contain each other are looked at
//! once.

use std::collections::BTreeSet;

use kernel::id::{GroupId, UserId};
use store::{
    Address, Db, Delivery, Fact, Origin, Settled, Sink, SinkError, Sql, StoreError, Tx, Value, delivery, sql,
};

use super::{ENTITLEMENT_SINK, membership};

/// The sink's name. Its rows are keyed by group.
pub const SINK: &str = "membership";

/// Most members that a change of a group makes due by itself.
pub const AT_ONCE: usize = 500;
/// How many are handed on in one transaction.
const PAGE: i64 = 500;

/// Whom a change of a group concerns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Concerned<'a> {
    /// Who has joined.
    pub(super) joined: &'a [String],
    /// Who has left.
    pub(super) left: &'a [String],
    /// Whether those who stay are concerned, too.
    pub(super) who_stays: bool,
}

/// Records what happened to a group, with everybody whom it concerns.
pub(super) async fn record(
    tx: &mut Tx,
    group: GroupId,
    fact: Fact,
    concerned: Concerned<'_>,
) -> Result<(), StoreError> {
    let mut members: BTreeSet<String> = concerned.joined.iter().chain(concerned.left).cloned().collect();
    if concerned.who_stays && members.len() <= AT_ONCE {
        members.extend(membership::first(tx, group, AT_ONCE + 1).await?);
    }
    let revokes = fact.revokes;
    let fact = match members.len() > AT_ONCE {
        true => {
            membership::depart(tx, group, concerned.left).await?;
            fact.to(all_of(group).revoking(revokes))
        }
        false => {
            let groups = groups_among(tx, &members).await?;
            members.iter().fold(fact, |fact, member| concerning(fact, member, &groups))
        }
    };
    tx.record(fact);
    Ok(())
}

fn all_of(group: GroupId) -> Address {
    Address::reconcile(SINK, group.subject())
}

/// Who looks at this member again; nobody, when it can be no id of ours.
fn address(member: &str, groups: &BTreeSet<String>) -> Option<Address> {
    match groups.contains(member) {
        true => Some(all_of(member.parse().ok()?)),
        false => Some(Address::reconcile(ENTITLEMENT_SINK, member.parse::<UserId>().ok()?.subject())),
    }
}

fn concerning(fact: Fact, member: &str, groups: &BTreeSet<String>) -> Fact {
    let Some(address) = address(member, groups) else { return fact };
    let address = address.revoking(fact.revokes);
    fact.about(address.subject.clone()).to(address)
}

/// Which of these members are groups.
async fn groups_among(tx: &mut Tx, members: &BTreeSet<String>) -> Result<BTreeSet<String>, StoreError> {
    let ids: Vec<Value> =
        members.iter().filter(|member| member.parse::<GroupId>().is_ok()).map(Value::from).collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
    let text = format!("SELECT id FROM groups WHERE id IN ({})", places.join(", "));
    let found: Vec<(String,)> = tx.all(Sql::assembled(text), ids).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// The reconciler.
pub struct Ripple {
    db: Db,
}

impl Ripple {
    /// Over a database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Hands on a page of those who left; whether there were any.
    async fn hand_on_departed(&self, group: GroupId, cause: &Delivery) -> Result<bool, StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let handed_on = departed(&mut tx, group, cause).await;
        tx.end(handed_on).await
    }

    /// Hands on the members of a group and of every group below it.
    async fn hand_on_members(&self, group: GroupId, cause: &Delivery) -> Result<(), StoreError> {
        let groups = membership::below(&self.db, group).await?;
        let names: BTreeSet<String> = groups.iter().map(ToString::to_string).collect();
        for group in groups {
            let mut after = String::new();
            loop {
                let page = membership::ids_after(&self.db, group, &after, PAGE).await?;
                let Some(last) = page.last().cloned() else { break };
                let users = page.iter().filter(|member| !names.contains(*member));
                self.hint(users.filter_map(|user| address(user, &names)).collect(), cause).await?;
                after = last;
            }
        }
        Ok(())
    }

    async fn hint(&self, addresses: Vec<Address>, cause: &Delivery) -> Result<(), StoreError> {
        if addresses.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        hint(&mut tx, addresses, cause);
        tx.commit().await
    }
}

async fn departed(tx: &mut Tx, group: GroupId, cause: &Delivery) -> Result<bool, StoreError> {
    let text = sql!(
        "DELETE FROM departure WHERE group_id = $1 AND member_id IN \
         (SELECT member_id FROM departure WHERE group_id = $1 ORDER BY member_id LIMIT $2) RETURNING member_id"
    );
    let page: Vec<(String,)> = tx.all(text, (group, PAGE)).await?;
    let members: BTreeSet<String> = page.into_iter().map(|(member,)| member).collect();
    let groups = groups_among(tx, &members).await?;
    hint(tx, members.iter().filter_map(|member| address(member, &groups)).collect(), cause);
    Ok(!members.is_empty())
}

fn hint(tx: &mut Tx, addresses: Vec<Address>, cause: &Delivery) {
    for address in addresses {
        delivery::hint(tx, address.revoking(cause.priority > 0), cause.fact);
    }
}

#[async_trait::async_trait]
impl Sink for Ripple {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let Ok(group) = delivery.subject_id().parse::<GroupId>() else {
            return Err(SinkError::Dead(format!("{} is no group", delivery.subject)));
        };
        while self.hand_on_departed(group, delivery).await? {}
        self.hand_on_members(group, delivery).await?;
        Ok(Settled::Done)
    }
}
