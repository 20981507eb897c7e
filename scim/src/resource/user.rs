//! Users.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use directory::group::{MemberChange, membership};
use directory::user::{self, Profile, User};
use directory::{DirectoryError, fold};
use kernel::Timestamp;
use kernel::id::UserId;
use store::{Db, StoreError, Tx};

use super::keys::{Column, Key};
use super::noun::{Draft, Found, Noun, Place};
use super::wanted::{Budget, Wanted};
use super::{MAX_LISTED, complex, fitting, set_list};
use crate::patch::MemberDelta;
use crate::schema::{ENTERPRISE_URN, Name, ResourceType};
use crate::value::{Object, Tree, Value, is_primary};
use crate::{Scim, ScimError};

impl Noun for User {
    type Profile = Profile;
    const NAME: &'static str = "userName";

    fn kind(room: &Scim) -> &ResourceType {
        room.user_type()
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

    fn begin(tree: &mut Tree) {
        if tree.get("active").is_none() {
            tree.set("active", Value::Boolean(true));
        }
    }

    /// A client may take `active` away: it is then not shown (scim2-tester insists), and changes nothing about the
    /// account. Filters and orders go by the account.
    fn restore(&self, tree: &mut Tree, wanted: &Wanted) {
        if wanted.active {
            tree.set("active", Value::Boolean(self.active));
        }
    }

    fn settle(tree: &mut Tree) {
        if let Some(mut manager) = manager(tree).cloned() {
            manager.remove("$ref");
            put_manager(tree, manager);
        }
    }

    /// An old user stays what it was unless the client says otherwise: silence must neither disable nor, worse,
    /// enable anybody.
    fn keep(&self, tree: &Tree, profile: &mut Profile) {
        if tree.get("active").is_none() {
            profile.active = self.active;
        }
    }

    fn profile(tree: &Tree) -> Profile {
        let text = |name| tree.text(name).map(str::to_owned);
        let enterprise = tree.extension(ENTERPRISE_URN);
        Profile {
            user_name: text("userName").unwrap_or_default(),
            external_id: text("externalId"),
            display_name: display_name(tree),
            email: email(tree),
            department: enterprise.and_then(|part| part.text("department")).map(str::to_owned),
            title: text("title"),
            active: tree.get("active").and_then(Value::as_bool).unwrap_or(true),
            document: tree.to_json().to_string(),
        }
    }

    /// Users have no members.
    async fn member_change(&self, _: &Scim, _: MemberDelta) -> Result<MemberChange, ScimError> {
        Ok(MemberChange::default())
    }

    async fn get(db: &Db, id: &str) -> Result<Option<Self>, StoreError> {
        match id.parse() {
            Ok(id) => user::get(db, id).await,
            Err(_) => Ok(None),
        }
    }

    async fn lock(tx: &mut Tx, id: &str) -> Result<Option<Self>, StoreError> {
        match id.parse() {
            Ok(id) => user::lock(tx, id).await,
            Err(_) => Ok(None),
        }
    }

    async fn of_ids(db: &Db, ids: &[String]) -> Result<Vec<Self>, StoreError> {
        let ids: Vec<UserId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        user::of_ids(db, &ids).await
    }

    async fn find(db: &Db, key: &Key, limit: i64) -> Result<Found<Self>, StoreError> {
        let found = match key.column {
            Column::Id => Self::get(db, &key.text).await?,
            Column::Name => user::by_user_name(db, &key.text).await?,
            Column::ExternalId => user::by_external_id(db, &key.text).await?,
            Column::Email => {
                let found = user::email::candidates(db, &key.text, limit).await?;
                return Ok(found.map_or(Found::NotYet, places));
            }
            Column::Member => {
                let Ok(group) = key.text.parse() else { return Ok(Found::Rows(Vec::new())) };
                return Ok(places(membership::users_within(db, group, limit).await?));
            }
        };
        Ok(Found::Rows(found.into_iter().collect()))
    }

    async fn count(db: &Db) -> Result<i64, StoreError> {
        user::count(db).await
    }

    async fn page_at(db: &Db, offset: i64, limit: i64) -> Result<Vec<Self>, StoreError> {
        user::page_at(db, offset, limit).await
    }

    async fn page(db: &Db, after: Option<&Place>, limit: i64) -> Result<Vec<Self>, StoreError> {
        let after = after.and_then(|(at, id)| Some((*at, id.parse().ok()?)));
        user::page(db, after, limit).await
    }

    async fn derive(
        room: &Scim,
        rows: &[Self],
        trees: &mut [Tree],
        wanted: &Wanted,
        budget: &mut Budget,
    ) -> Result<(), ScimError> {
        if wanted.groups {
            add_groups(room, rows, trees, budget).await?;
        }
        if wanted.manager {
            resolve_managers(room, trees).await?;
        }
        Ok(())
    }

    async fn fitting(db: &Db, rows: &[Self], wanted: &Wanted) -> Result<usize, StoreError> {
        // The first fits in any case.
        if !wanted.groups || rows.len() < 2 {
            return Ok(rows.len());
        }
        let ids: Vec<UserId> = rows.iter().map(|user| user.id).collect();
        let counts: HashMap<UserId, i64> = membership::counts_of_users(db, &ids).await?.into_iter().collect();
        Ok(fitting(MAX_LISTED, ids.iter().map(|id| counts.get(id).copied().unwrap_or(0))))
    }

    async fn is_small(&self, _: &Db, _: &Wanted) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn insert(tx: &mut Tx, profile: &Profile, _: &[String]) -> Result<Self, DirectoryError> {
        user::create(tx, profile).await
    }

    async fn update(&self, tx: &mut Tx, draft: &Draft<Profile>, _: bool) -> Result<Self, DirectoryError> {
        user::update(tx, self, &draft.profile, draft.changed.clone()).await
    }

    async fn delete(&self, tx: &mut Tx) -> Result<(), DirectoryError> {
        user::delete(tx, self).await
    }
}

fn places(found: Vec<(Timestamp, UserId)>) -> Found<User> {
    Found::Places(found.into_iter().map(|(at, id)| (at, id.to_string())).collect())
}

async fn add_groups(
    room: &Scim,
    rows: &[User],
    trees: &mut [Tree],
    budget: &mut Budget,
) -> Result<(), ScimError> {
    let ids: Vec<UserId> = rows.iter().map(|user| user.id).collect();
    let belongings = membership::of_users_up_to(room.db(), &ids, budget.limit()).await?;
    budget.spend(belongings.len())?;
    let mut groups: BTreeMap<UserId, Vec<Value>> = BTreeMap::new();
    for belonging in belongings {
        let id = belonging.group_id.to_string();
        let element = complex([
            ("$ref", Value::Reference(room.location(room.group_type(), &id))),
            ("value", Value::text(id)),
            ("display", Value::text(belonging.group_name)),
            ("type", Value::text(if belonging.direct { "direct" } else { "indirect" })),
        ]);
        groups.entry(belonging.user_id).or_default().push(element);
    }
    for (user, tree) in rows.iter().zip(trees) {
        set_list(tree, "groups", groups.remove(&user.id).unwrap_or_default());
    }
    Ok(())
}

/// Gives managers that are users of ours their address and name. Others stay as they were sent.
async fn resolve_managers(room: &Scim, trees: &mut [Tree]) -> Result<(), ScimError> {
    let id = |tree: &Tree| manager(tree)?.text("value")?.parse::<UserId>().ok();
    let ids: BTreeSet<UserId> = trees.iter().filter_map(id).collect();
    let ids: Vec<UserId> = ids.into_iter().collect();
    let names: BTreeMap<UserId, String> = user::names(room.db(), &ids).await?.into_iter().collect();
    for tree in trees {
        let Some((id, name)) = id(tree).and_then(|id| names.get_key_value(&id)) else { continue };
        let Some(mut manager) = manager(tree).cloned() else { continue };
        manager.set("$ref", Value::Reference(room.location(room.user_type(), &id.to_string())));
        manager.set("displayName", Value::text(name.clone()));
        put_manager(tree, manager);
    }
    Ok(())
}

fn manager(tree: &Tree) -> Option<&Object> {
    tree.extension(ENTERPRISE_URN)?.get("manager")?.as_complex()
}

/// Without any part there is no manager.
fn put_manager(tree: &mut Tree, manager: Object) {
    let value = (!manager.is_empty()).then_some(Value::Complex(manager));
    tree.put(Some(&Name::from(ENTERPRISE_URN)), &Name::from("manager"), value);
}

fn display_name(tree: &Tree) -> Option<String> {
    let name = tree.get("name").and_then(Value::as_complex);
    let part = |part| name.and_then(|name| name.text(part)).filter(|text| !text.trim().is_empty());
    let own = tree.text("displayName").filter(|text| !text.trim().is_empty());
    if let Some(whole) = own.or_else(|| part("formatted")) {
        return Some(whole.to_owned());
    }
    let parts: Vec<&str> = [part("givenName"), part("familyName")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The primary mail address, else the one for work, else the first.
fn email(tree: &Tree) -> Option<String> {
    let elements = tree.get("emails").map(Value::elements).unwrap_or_default();
    let address = |element: &Value| element.as_complex()?.text("value").map(str::to_owned);
    let is_work = |element: &&Value| {
        let kind = element.as_complex().and_then(|email| email.text("type"));
        kind.is_some_and(|kind| fold(kind) == "work")
    };
    let addressed = || elements.iter().filter(|element| address(element).is_some());
    let primary = addressed().find(|element| is_primary(element));
    let chosen = primary.or_else(|| addressed().find(is_work)).or_else(|| addressed().next());
    chosen.and_then(address)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::samples::stored_user;

    fn profile(user: &Json) -> Profile {
        User::profile(&stored_user(user))
    }

    #[test]
    fn the_name_to_show_is_what_is_known() {
        let check = |user: Json, expect: Option<&str>| {
            assert_eq!(profile(&user).display_name.as_deref(), expect, "{user}");
        };
        check(json!({}), None);
        check(json!({"displayName": "Ada", "name": {"formatted": "Ada L"}}), Some("Ada"));
        check(json!({"displayName": " ", "name": {"formatted": "Ada L", "givenName": "A"}}), Some("Ada L"));
        check(json!({"name": {"givenName": "Ada", "familyName": "Lovelace"}}), Some("Ada Lovelace"));
        check(json!({"name": {"familyName": "Lovelace"}}), Some("Lovelace"));
    }

    #[test]
    fn the_mail_address_is_the_primary_else_the_one_for_work_else_the_first() {
        let check = |emails: Json, expect: Option<&str>| {
            assert_eq!(profile(&json!({"emails": emails})).email.as_deref(), expect, "{emails}");
        };
        let (home, work) = (json!({"value": "h", "type": "home"}), json!({"value": "w", "type": "Work"}));
        check(json!([]), None);
        check(json!([home]), Some("h"));
        check(json!([home, work]), Some("w"));
        check(json!([work, {"value": "p", "primary": true}]), Some("p"));
        check(json!([{"type": "work"}, home]), Some("h"));
    }

    #[test]
    fn columns_are_read_off_the_tree() {
        let user = json!({
            "userName": "ada", "externalId": "7", "title": "Engineer", "active": false,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Grid"},
        });
        let profile = profile(&user);
        assert_eq!(profile.user_name, "ada");
        assert_eq!(profile.external_id.as_deref(), Some("7"));
        assert_eq!(profile.title.as_deref(), Some("Engineer"));
        assert_eq!(profile.department.as_deref(), Some("Grid"));
        assert!(!profile.active);
        assert_eq!(serde_json::from_str::<Json>(&profile.document).unwrap(), user);
    }

    #[test]
    fn the_address_of_a_manager_is_not_stored() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let mut tree = stored_user(&json!({enterprise: {"manager": {"value": "7", "$ref": "x"}}}));
        User::settle(&mut tree);
        assert_eq!(tree.to_json(), json!({enterprise: {"manager": {"value": "7"}}}));
        let mut tree = stored_user(&json!({enterprise: {"manager": {"$ref": "x"}}}));
        User::settle(&mut tree);
        assert_eq!(tree.to_json(), json!({}));
    }
}
