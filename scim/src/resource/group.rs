//! Groups. Members are rows of their own and no part of the stored tree.

use directory::DirectoryError;
use directory::group::membership;
use directory::group::{self, Group, GroupProfile, MemberChange};
use kernel::Timestamp;
use store::{Db, StoreError, Tx};

use super::keys::{Column, Key};
use super::noun::{After, Draft, Noun};
use super::wanted::{Budget, Members, Wanted};
use super::{MANY_MEMBERS, complex, set_list};
use crate::filter::Bound;
use crate::patch::MemberDelta;
use crate::schema::ResourceType;
use crate::value::{Member, Object, Tree, Value};
use crate::{Scim, ScimError};

/// Members of all groups in one list, about: a page ends before it has more.
const MAX_LISTED_MEMBERS: i64 = 20_000;

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

    fn settle(_: &mut Tree) {}

    fn profile(_: Option<&Self>, tree: &Tree) -> GroupProfile {
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
            remove.extend(matching.into_iter().filter(|id| !add.contains(id)));
        }
        Ok(MemberChange { replace: None, remove, add })
    }

    async fn get(db: &Db, id: &str) -> Result<Option<Self>, StoreError> {
        match id.parse() {
            Ok(id) => group::get(db, id).await,
            Err(_) => Ok(None),
        }
    }

    async fn find(db: &Db, key: &Key) -> Result<Vec<Self>, StoreError> {
        match key.column {
            Column::Id => Ok(Self::get(db, &key.text).await?.into_iter().collect()),
            Column::Name => Ok(group::by_display_name(db, &key.text).await?.into_iter().collect()),
            Column::ExternalId => group::by_external_id(db, &key.text).await,
            Column::Member => membership::containing(db, &key.text).await,
        }
    }

    async fn count(db: &Db) -> Result<i64, StoreError> {
        group::count(db).await
    }

    async fn page_at(db: &Db, offset: i64, limit: i64) -> Result<Vec<Self>, StoreError> {
        group::page_at(db, offset, limit).await
    }

    async fn page(db: &Db, after: After<'_, Self>, limit: i64) -> Result<Vec<Self>, StoreError> {
        membership::page(db, after.map(|group| (group.created_at, group.id)), limit).await
    }

    async fn derive(
        room: &Scim,
        rows: &[Self],
        trees: &mut [Tree],
        wanted: &Wanted,
        budget: &mut Budget,
    ) -> Result<(), ScimError> {
        for (row, tree) in rows.iter().zip(trees) {
            let members = match &wanted.members {
                Members::None => return Ok(()),
                Members::All => all_members(room, row, budget).await?,
                Members::Named(ids) => {
                    budget.spend(ids.len())?;
                    let mut members = Vec::new();
                    for id in ids {
                        if group::has_member(room.db(), row.id, id).await? {
                            members.push(complex([("value", Value::text(id.clone()))]));
                        }
                    }
                    members
                }
            };
            set_list(tree, "members", members);
        }
        Ok(())
    }

    async fn fitting(db: &Db, rows: &[Self], wanted: &Wanted) -> Result<usize, StoreError> {
        let mut members = 0;
        if wanted.members == Members::All {
            for (at, group) in rows.iter().enumerate() {
                members += group::count_members(db, group.id).await?;
                if members > MAX_LISTED_MEMBERS {
                    return Ok(at.max(1));
                }
            }
        }
        Ok(rows.len())
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
    let members = all_members(room, row, &mut Budget::of_a_search()).await?;
    let leaves = |element: &&Value| filters.iter().any(|filter| filter.matches_element(element));
    let id = |element: &Value| element.as_complex()?.text("value").map(str::to_owned);
    Ok(members.iter().filter(leaves).filter_map(id).collect())
}

async fn all_members(room: &Scim, row: &Group, budget: &mut Budget) -> Result<Vec<Value>, ScimError> {
    let limit = i64::try_from(budget.left().saturating_add(1)).unwrap_or(i64::MAX);
    let members = group::members(room.db(), row.id, limit).await?;
    budget.spend(members.len())?;
    Ok(members.into_iter().map(|member| element(room, member)).collect())
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
