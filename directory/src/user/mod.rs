//! A person's account.

pub mod email;
pub(crate) mod ending;
pub(crate) mod principal;

use kernel::id::{GroupId, UserId};
use kernel::{Ctx, Timestamp};
use store::{Db, Fact, Sql, StoreError, Tx, Value, sql};

use crate::facts::{UserActivated, UserChanged, UserCreated, UserDeactivated, UserDeleted};
use crate::{DirectoryError, consent, fold, group, name, presence};

pub use principal::principal;

/// An account as the directory holds it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct User {
    /// Also `sub` and the SCIM `id`.
    pub id: UserId,
    /// Raised by one at each change; the SCIM ETag.
    pub version: i64,
    /// What the person signs in with, as HR wrote it.
    pub user_name: String,
    /// HR's own id.
    pub external_id: Option<String>,
    /// How to show the person.
    pub display_name: Option<String>,
    /// The primary mail address.
    pub email: Option<String>,
    /// The department, from the enterprise extension.
    pub department: Option<String>,
    /// The job title.
    pub title: Option<String>,
    /// Whether the person may do anything at all.
    pub active: bool,
    /// The SCIM value tree as JSON, without id, meta, groups and password.
    pub document: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is written of an account: the SCIM document and its projections, made together by the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// See [`User::user_name`]. Not empty.
    pub user_name: String,
    /// See [`User::external_id`].
    pub external_id: Option<String>,
    /// See [`User::display_name`].
    pub display_name: Option<String>,
    /// See [`User::email`].
    pub email: Option<String>,
    /// See [`User::department`].
    pub department: Option<String>,
    /// See [`User::title`].
    pub title: Option<String>,
    /// See [`User::active`].
    pub active: bool,
    /// See [`User::document`].
    pub document: String,
}

impl User {
    /// The values of the SCIM attribute `roles`: what policies know as `Role`.
    #[must_use]
    pub fn roles(&self) -> Vec<String> {
        principal::roles(&principal::document_of(&self.document))
    }
}

/// The account, unless it was deleted.
pub async fn get(db: &Db, id: UserId) -> Result<Option<User>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, user_name, external_id, display_name, email, department, title, active, document, \
             created_at, updated_at FROM users WHERE id = $1 AND deleted_at IS NULL"
        ),
        (id,),
    )
    .await
}

/// The account as it stays until this transaction ends: others who would change it wait. For whoever was overtaken
/// too often; costs everybody else their turn.
pub async fn lock(tx: &mut Tx, id: UserId) -> Result<Option<User>, StoreError> {
    tx.opt(
        sql!(
            "UPDATE users SET version = version WHERE id = $1 AND deleted_at IS NULL \
             RETURNING id, version, user_name, external_id, display_name, email, department, title, active, \
             document, created_at, updated_at"
        ),
        (id,),
    )
    .await
}

/// The account of this user name, in any case.
pub async fn by_user_name(db: &Db, user_name: &str) -> Result<Option<User>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, user_name, external_id, display_name, email, department, title, active, document, \
             created_at, updated_at FROM users WHERE user_name_key = $1 AND deleted_at IS NULL"
        ),
        (fold(user_name),),
    )
    .await
}

/// The account with this external id, exactly.
pub async fn by_external_id(db: &Db, external_id: &str) -> Result<Option<User>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, user_name, external_id, display_name, email, department, title, active, document, \
             created_at, updated_at FROM users WHERE external_id = $1 AND deleted_at IS NULL"
        ),
        (external_id,),
    )
    .await
}

/// The accounts of these ids that are not deleted, in no order. As many parameters: at most some thousands.
pub async fn of_ids(db: &Db, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
    let text = format!(
        "SELECT id, version, user_name, external_id, display_name, email, department, title, active, document, \
         created_at, updated_at FROM users WHERE deleted_at IS NULL AND id IN ({})",
        places.join(", ")
    );
    db.all(Sql::assembled(text), ids.iter().map(Value::from).collect::<Vec<_>>()).await
}

/// Accounts in the order they were made, after `(created_at, id)`.
pub async fn page(db: &Db, after: Option<(Timestamp, UserId)>, limit: i64) -> Result<Vec<User>, StoreError> {
    let (at, id) =
        after.map_or((Timestamp::from_millis(i64::MIN), String::new()), |(at, id)| (at, id.to_string()));
    db.all(
        sql!(
            "SELECT id, version, user_name, external_id, display_name, email, department, title, active, document, \
             created_at, updated_at FROM users WHERE deleted_at IS NULL AND (created_at, id) > ($1, $2) \
             ORDER BY created_at, id LIMIT $3"
        ),
        (at, id, limit),
    )
    .await
}

/// Accounts in the same order, by position (SCIM `startIndex`). Costs as much as what it skips.
pub async fn page_at(db: &Db, offset: i64, limit: i64) -> Result<Vec<User>, StoreError> {
    db.all(
        sql!(
            "SELECT id, version, user_name, external_id, display_name, email, department, title, active, document, \
             created_at, updated_at FROM users WHERE deleted_at IS NULL ORDER BY created_at, id LIMIT $1 OFFSET $2"
        ),
        (limit, offset),
    )
    .await
}

/// How many accounts there are.
pub async fn count(db: &Db) -> Result<i64, StoreError> {
    let (count,): (i64,) = db.one(sql!("SELECT COUNT(*) FROM users WHERE deleted_at IS NULL"), ()).await?;
    Ok(count)
}

/// How to show these users: `(id, display or user name)`. As many parameters as users: at most some thousands.
pub async fn names(db: &Db, ids: &[UserId]) -> Result<Vec<(UserId, String)>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
    let text = format!(
        "SELECT id, COALESCE(display_name, user_name) FROM users WHERE deleted_at IS NULL AND id IN ({})",
        places.join(", ")
    );
    let ids: Vec<Value> = ids.iter().map(Value::from).collect();
    db.all(Sql::assembled(text), ids).await
}

/// The groups that the user belongs to, `(id, display name)`, by name: those that name the user, and those that
/// name one of these groups, however deep. What policy knows as the user's groups.
pub async fn all_groups(db: &Db, id: UserId) -> Result<Vec<(GroupId, String)>, StoreError> {
    let belongings = group::membership::of_users(db, &[id]).await?;
    Ok(belongings.into_iter().map(|belonging| (belonging.group_id, belonging.group_name)).collect())
}

/// Makes an account.
///
/// # Errors
/// [`DirectoryError::Taken`] names `userName` or `externalId`.
pub async fn create(tx: &mut Tx, profile: &Profile) -> Result<User, DirectoryError> {
    check(profile)?;
    let user = made(tx.ctx(), profile);
    tx.run(
        sql!(
            "INSERT INTO users (id, version, user_name, user_name_key, external_id, display_name, email, department, \
             title, active, document, created_at, updated_at, emails_kept) \
             VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, TRUE)"
        ),
        (
            user.id,
            &user.user_name,
            fold(&user.user_name),
            user.external_id.clone(),
            user.display_name.clone(),
            user.email.clone(),
            user.department.clone(),
            user.title.clone(),
            user.active,
            &user.document,
            user.created_at,
        ),
    )
    .await?;
    email::follow(tx, user.id, "", &user.document).await?;
    tx.record(Fact::new(
        user.id.subject(),
        &UserCreated { user_name: user.user_name.clone(), active: user.active },
    ));
    Ok(user)
}

fn made(ctx: &Ctx, profile: &Profile) -> User {
    let now = ctx.now();
    with_profile(
        User {
            id: UserId::new(ctx),
            version: 1,
            user_name: String::new(),
            external_id: None,
            display_name: None,
            email: None,
            department: None,
            title: None,
            active: false,
            document: String::new(),
            created_at: now,
            updated_at: now,
        },
        profile,
    )
}

fn with_profile(user: User, profile: &Profile) -> User {
    let profile = profile.clone();
    User {
        user_name: profile.user_name,
        external_id: profile.external_id,
        display_name: profile.display_name,
        email: profile.email,
        department: profile.department,
        title: profile.title,
        active: profile.active,
        document: profile.document,
        ..user
    }
}

fn check(profile: &Profile) -> Result<(), DirectoryError> {
    name::check("userName", &profile.user_name)?;
    profile.external_id.as_deref().map_or(Ok(()), |id| name::check_key("externalId", id))
}

/// Takes the account's row until this transaction ends, if the account is active: whoever ends the account
/// comes wholly before or wholly after. `false` when it is not active (any more).
///
/// For what gives an account something to act with, and does not carry its access epoch. INVARIANT: before
/// anything else of the account is locked, since ending it locks this row first.
pub(crate) async fn hold(tx: &mut Tx, id: UserId) -> Result<bool, StoreError> {
    let held = tx
        .run(
            sql!(
                "UPDATE users SET access_epoch = access_epoch WHERE id = $1 AND active AND deleted_at IS NULL"
            ),
            (id,),
        )
        .await?;
    Ok(held == 1)
}

/// Writes a new profile over the version that the caller saw. `changed` names the attributes that differ; `active`
/// needs no naming. When nothing differs, nothing is written and the version stays.
///
/// When `active` falls, everything the account could do ends in this transaction; when it rises, the account
/// may sign in again and policy decides about credentials.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`] when `seen` is no longer current; [`DirectoryError::Taken`];
/// [`DirectoryError::Invalid`].
pub async fn update(
    tx: &mut Tx,
    seen: &User,
    profile: &Profile,
    changed: Vec<String>,
) -> Result<User, DirectoryError> {
    check(profile)?;
    let attributes: Vec<String> = changed.into_iter().filter(|name| name != "active").collect();
    let same = with_profile(seen.clone(), profile);
    if attributes.is_empty() && same == *seen {
        return Ok(same);
    }
    let user = User { version: seen.version + 1, updated_at: tx.now(), ..same };
    write(tx, seen.version, &user).await?;
    email::follow(tx, user.id, &seen.document, &user.document).await?;
    match (seen.active, user.active) {
        (true, false) => {
            let ending = ending::end_everything(tx, user.id, ending::Finality::Suspend).await?;
            tx.record(ending.fact(user.id, |ended| UserDeactivated { ended }));
        }
        (false, true) => {
            // Where somebody was let in while the account ended may have been noted just after its end.
            presence::forget(tx, user.id).await?;
            tx.record(Fact::new(user.id.subject(), &UserActivated {}));
        }
        _ => {}
    }
    if !attributes.is_empty() || seen.active == user.active {
        tx.record(Fact::new(user.id.subject(), &UserChanged { attributes }));
    }
    Ok(user)
}

async fn write(tx: &mut Tx, over: i64, user: &User) -> Result<(), StoreError> {
    tx.run_versioned(
        sql!(
            "UPDATE users SET version = $3, user_name = $4, user_name_key = $5, external_id = $6, display_name = $7, \
             email = $8, department = $9, title = $10, active = $11, document = $12, updated_at = $13 \
             WHERE id = $1 AND version = $2 AND deleted_at IS NULL"
        ),
        (
            user.id,
            over,
            user.version,
            &user.user_name,
            fold(&user.user_name),
            user.external_id.clone(),
            user.display_name.clone(),
            user.email.clone(),
            user.department.clone(),
            user.title.clone(),
            user.active,
            &user.document,
            user.updated_at,
        ),
    )
    .await
}

/// Deletes an account over the version that the caller saw: its names are free again, its id is not, and its
/// credentials are revoked for good.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`] when `seen` is no longer current.
pub async fn delete(tx: &mut Tx, seen: &User) -> Result<(), DirectoryError> {
    let now = tx.now();
    tx.run_versioned(
        sql!(
            "UPDATE users SET version = version + 1, active = FALSE, user_name = '', user_name_key = '', \
             external_id = NULL, display_name = NULL, email = NULL, department = NULL, title = NULL, \
             document = '{}', updated_at = $3, deleted_at = $3 WHERE id = $1 AND version = $2 AND deleted_at IS NULL"
        ),
        (seen.id, seen.version, now),
    )
    .await?;
    // Before its grants: consent, then grant, in this order everywhere.
    consent::forget(tx, seen.id).await?;
    let ending = ending::end_everything(tx, seen.id, ending::Finality::Revoke).await?;
    tx.run(sql!("DELETE FROM authenticator WHERE user_id = $1"), (seen.id,)).await?;
    email::forget(tx, seen.id).await?;
    group::membership::forget(tx, seen.id.subject()).await?;
    tx.record(ending.fact(seen.id, |ended| UserDeleted { ended }));
    Ok(())
}
