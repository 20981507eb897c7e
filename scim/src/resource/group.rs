//! Groups. Members are rows of their own and no part of the stored tree.

use std::collections::{BTreeSet, HashMap};

use directory::DirectoryError;
use directory::group::membership;
use directory::group::{self, Group, GroupProfile, MemberChange};
use kernel::Timestamp;
use kernel::id::GroupId;
use store::{Db, StoreError, Tx};

use super::keys::{Column, Key};
use super::noun::{Draft, Found, Noun, Place};
use super::wanted::{Budget, Members, Wanted};
use super::{MANY_MEMBERS, MAX_LISTED, complex, fitting, set_list};
use crate::filter::Bound;
use crate::patch::MemberDelta;
use crate::schema::ResourceType;
use crate::value::{Member, Object, Tree, Value};
use crate::{Scim, ScimError};

impl Noun for Group {
    type Profile = GroupProfile;
    const NAME: &'static str = "displayName";

    fn kind(room: &Scim) -> &ResourceType {
        room.group_type()
    }

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn times(&self) -> (Timestamp, Timestamp) {
        (self.created_at, self.updated_at)
    }

    fn document(&self) -> &str {
        &self.document
    }

    fn begin(_: &mut Tree) {}

    fn restore(&self, _: &mut Tree, _: &Wanted) {}

    fn settle(_: &mut Tree) {}

    fn keep(&self, _: &Tree, _: &mut GroupProfile) {}

    fn profile(tree: &Tree) -> GroupProfile {
        let text = |name| tree.text(name).map(str::to_owned);
        GroupProfile {
            display_name: text("displayName").unwrap_or_default(),
            external_id: text("externalId"),
            document: tree.to_json().to_string(),
        }
    }

    /// Reads members only for the rare filter that does not name them.
    async fn member_change(&self, room: &Scim, delta: MemberDelta) -> Result<MemberChange, ScimError> {
        let add = ids(delta.add.into_values());
        if delta.replace_all {
            return Ok(MemberChange { replace: Some(add), ..MemberChange::default() });
        }
        let mut remove: Vec<String> = delta.remove.into_iter().collect();
        if !delta.remove_matching.is_empty() {
            let matching = matching(room, self, &delta.remove_matching).await?;
            let joining: BTreeSet<&String> = add.iter().collect();
            remove.extend(matching.into_iter().filter(|id| !joining.contains(id)));
        }
        Ok(MemberChange { replace: None, remove, add })
    }

    async fn get(db: &Db, id: &str) -> Result<Option<Self>, StoreError> {
        match id.parse() {
            Ok(id) => group::get(db, id).await,
            Err(_) => Ok(None),
        }
    }

    async fn lock(tx: &mut Tx, id: &str) -> Result<Option<Self>, StoreError> {
        match id.parse() {
            Ok(id) => group::lock(tx, id).await,
            Err(_) => Ok(None),
        }
    }

    async fn of_ids(_: &Db, _: &[String]) -> Result<Vec<Self>, StoreError> {
        // Groups are found as rows.
        Ok(Vec::new())
    }

    async fn find(db: &Db, key: &Key, _: i64) -> Result<Found<Self>, StoreError> {
        Ok(Found::Rows(match key.column {
            Column::Id => Self::get(db, &key.text).await?.into_iter().collect(),
            Column::Name => group::by_display_name(db, &key.text).await?.into_iter().collect(),
            Column::ExternalId => group::by_external_id(db, &key.text).await?,
            Column::Member => membership::containing(db, &key.text).await?,
            Column::Email => Vec::new(),
        }))
    }

    async fn count(db: &Db) -> Result<i64, StoreError> {
        group::count(db).await
    }

    async fn page_at(db: &Db, offset: i64, limit: i64) -> Result<Vec<Self>, StoreError> {
        group::page_at(db, offset, limit).await
    }

    async fn page(db: &Db, after: Option<&Place>, limit: i64) -> Result<Vec<Self>, StoreError> {
        let after = after.and_then(|(at, id)| Some((*at, id.parse().ok()?)));
        group::page(db, after, limit).await
    }

    async fn derive(
        room: &Scim,
        rows: &[Self],
        trees: &mut [Tree],
        wanted: &Wanted,
        budget: &mut Budget,
    ) -> Result<(), ScimError> {
        let groups: Vec<GroupId> = rows.iter().map(|group| group.id).collect();
        let mut members = match &wanted.members {
            Members::None => return Ok(()),
            Members::All => all_members(room, &groups, budget).await?,
            Members::Named(ids) => named_members(room, &groups, ids, budget).await?,
        };
        for (row, tree) in rows.iter().zip(trees) {
            set_list(tree, "members", members.remove(&row.id).unwrap_or_default());
        }
        Ok(())
    }

    async fn fitting(db: &Db, rows: &[Self], wanted: &Wanted) -> Result<usize, StoreError> {
        if wanted.members != Members::All {
            return Ok(rows.len());
        }
        let ids: Vec<GroupId> = rows.iter().map(|group| group.id).collect();
        let counts: HashMap<GroupId, i64> = membership::counts(db, &ids).await?.into_iter().collect();
        Ok(fitting(MAX_LISTED, ids.iter().map(|id| counts.get(id).copied().unwrap_or(0))))
    }

    async fn is_small(&self, db: &Db, wanted: &Wanted) -> Result<bool, StoreError> {
        match wanted.members {
            Members::All => Ok(!membership::has_at_least(db, self.id, MANY_MEMBERS).await?),
            _ => Ok(true),
        }
    }

    async fn insert(tx: &mut Tx, profile: &GroupProfile, members: &[String]) -> Result<Self, DirectoryError> {
        group::create(tx, profile, members).await
    }

    async fn update(
        &self,
        tx: &mut Tx,
        draft: &Draft<GroupProfile>,
        at_version: bool,
    ) -> Result<Self, DirectoryError> {
        if draft.changed.is_empty() && !at_version {
            return membership::update_members(tx, self.id, &draft.members).await;
        }
        group::update(tx, self, &draft.profile, draft.changed.clone(), &draft.members).await
    }

    async fn delete(&self, tx: &mut Tx) -> Result<(), DirectoryError> {
        group::delete(tx, self).await
    }
}

/// The ids of members.
pub(super) fn ids(members: impl IntoIterator<Item = Member>) -> Vec<String> {
    members.into_iter().map(|member| member.value).collect()
}

async fn matching(room: &Scim, row: &Group, filters: &[Bound]) -> Result<Vec<String>, ScimError> {
    let mut members = all_members(room, &[row.id], &mut Budget::of_a_search()).await?;
    let members = members.remove(&row.id).unwrap_or_default();
    let leaves = |element: &&Value| filters.iter().any(|filter| filter.matches_element(element));
    let id = |element: &Value| element.as_complex()?.text("value").map(str::to_owned);
    Ok(members.iter().filter(leaves).filter_map(id).collect())
}

/// The elements of the `members` of several groups.
type Listed = HashMap<GroupId, Vec<Value>>;

async fn all_members(room: &Scim, groups: &[GroupId], budget: &mut Budget) -> Result<Listed, ScimError> {
    let members = membership::of_groups(room.db(), groups, budget.limit()).await?;
    budget.spend(members.len())?;
    let mut listed = Listed::new();
    for (group, member) in members {
        listed.entry(group).or_default().push(element(room, member));
    }
    Ok(listed)
}

async fn named_members(
    room: &Scim,
    groups: &[GroupId],
    ids: &BTreeSet<String>,
    budget: &mut Budget,
) -> Result<Listed, ScimError> {
    let members = membership::among(room.db(), groups, ids.iter()).await?;
    budget.spend(groups.len().saturating_mul(ids.len()))?;
    let mut listed = Listed::new();
    for (group, id) in members {
        listed.entry(group).or_default().push(complex([("value", Value::text(id))]));
    }
    Ok(listed)
}

/// A member as answers show it. One that is neither a user nor a group of ours is a value and nothing more.
fn element(room: &Scim, member: group::Member) -> Value {
    let resolved = match (member.user_display, member.group_display) {
        (Some(name), _) => Some((room.user_type(), name)),
        (None, Some(name)) => Some((room.group_type(), name)),
        (None, None) => None,
    };
    let mut element = Object::default();
    if let Some((kind, name)) = resolved {
        element.set("$ref", Value::Reference(room.location(kind, &member.member_id)));
        element.set("type", Value::text(kind.name().to_string()));
        element.set("display", Value::text(name));
    }
    element.set("value", Value::text(member.member_id));
    Value::Complex(element)
}
