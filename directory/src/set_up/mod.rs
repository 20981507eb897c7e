//! The first administrator: made with a link that whoever runs the server is shown, while there is none.
//!
//! There is none as long as no account is in the group [`ADMINISTRATORS`], directly or through other groups. An account
//! that is not active counts: that the only administrator leaves must not reopen the house to whoever finds a link.
//!
//! A link is a token with a life of its own, since nobody is there yet whose invitation it could be. It is good once,
//! for [`LINK_TIME`], at the issuer that it was made for.
//!
//! What it is not: a way to make a second administrator, or to come back in. Administrators, HR and `cardea invite`
//! do that.

use std::time::Duration;

use kernel::id::UserId;
use kernel::{Subject, Timestamp, Token, TokenHash};
use serde_json::json;
use store::{Db, Fact, Origin, Sql, StoreError, Tx, sql};

use crate::DirectoryError;
use crate::facts::{SetUpDone, SetUpOffered};
use crate::group::{self, GroupProfile, MemberChange, membership};
use crate::user::{self, Profile, User};

/// The group whose members administer.
pub const ADMINISTRATORS: &str = "administrators";

/// The role that policies know administrators by.
pub const ROLE: &str = "administrator";

/// How long a link can be used: whoever started the server sits before it.
pub const LINK_TIME: Duration = Duration::from_secs(3600);

/// Any account in the group, or in one below it.
const ANYBODY: Sql = sql!(
    "WITH RECURSIVE below (id) AS (SELECT id FROM groups WHERE display_name_key = $1 UNION \
     SELECT g.id FROM below b JOIN membership m ON m.group_id = b.id JOIN groups g ON g.id = m.member_id) \
     SELECT u.id FROM below b CROSS JOIN membership m CROSS JOIN users u \
     WHERE m.group_id = b.id AND u.id = m.member_id AND u.deleted_at IS NULL LIMIT 1"
);

/// Whether there is no administrator yet.
pub async fn is_open(db: &Db) -> Result<bool, StoreError> {
    let anybody: Option<(UserId,)> = db.opt(ANYBODY, (ADMINISTRATORS,)).await?;
    Ok(anybody.is_none())
}

/// A link's token for this issuer, and until when it is good; `None` when there is an administrator. Earlier ones stay
/// good until their time is over: another node may have shown them.
pub async fn offer(db: &Db, origin: Origin, issuer: &str) -> Result<Option<(Token, Timestamp)>, StoreError> {
    if !is_open(db).await? {
        return Ok(None);
    }
    let token = Token::generate(db.ctx(), "cdu");
    let mut tx = db.write(origin).await?;
    let until = insert(&mut tx, &TokenHash::at(issuer, token.expose())).await;
    Ok(Some((token, tx.end(until).await?)))
}

async fn insert(tx: &mut Tx, hash: &TokenHash) -> Result<Timestamp, StoreError> {
    let now = tx.now();
    let until = now.plus(LINK_TIME);
    tx.run(sql!("DELETE FROM set_up_link WHERE expires_at <= $1"), (now,)).await?;
    tx.run(
        sql!("INSERT INTO set_up_link (token_hash, created_at, expires_at) VALUES ($1, $2, $3)"),
        (hash.as_str(), now, until),
    )
    .await?;
    tx.record(Fact::new(Subject::new("group", ADMINISTRATORS), &SetUpOffered { until: until.as_millis() }));
    Ok(until)
}

/// Whether this token can be used now.
pub async fn is_good(db: &Db, issuer: &str, presented: &str) -> Result<bool, StoreError> {
    let text = sql!(
        "SELECT token_hash FROM set_up_link WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2"
    );
    let found: Option<(String,)> =
        db.opt(text, (TokenHash::at(issuer, presented).as_str(), db.ctx().now())).await?;
    Ok(found.is_some())
}

/// Who administers first.
#[derive(Clone, Debug)]
pub struct Founder {
    /// What to sign in with.
    pub user_name: String,
    /// How to show the person.
    pub display_name: String,
    /// Where to write to.
    pub email: String,
}

impl Founder {
    /// As SCIM would have written it, so that HR can take the account over.
    fn profile(&self) -> Profile {
        let document = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": self.user_name, "displayName": self.display_name, "active": true,
            "emails": [{ "value": self.email, "type": "work", "primary": true }],
            "roles": [{ "value": ROLE }],
        });
        Profile {
            user_name: self.user_name.clone(),
            external_id: None,
            display_name: Some(self.display_name.clone()),
            email: Some(self.email.clone()),
            department: None,
            title: None,
            active: true,
            document: document.to_string(),
        }
    }
}

/// Uses a link up, and every other one with it, and makes the first administrator: account, group and membership. Of
/// many who try at once, one does.
///
/// # Errors
/// [`DirectoryError::NotFound`] when the link cannot be used, or there is an administrator by now;
/// [`DirectoryError::Taken`] and [`DirectoryError::Invalid`] as [`user::create`].
pub async fn make(
    tx: &mut Tx,
    issuer: &str,
    presented: &str,
    founder: &Founder,
) -> Result<User, DirectoryError> {
    use_up(tx, &TokenHash::at(issuer, presented)).await?;
    let anybody: Option<(UserId,)> = tx.opt(ANYBODY, (ADMINISTRATORS,)).await?;
    if anybody.is_some() {
        return Err(DirectoryError::NotFound("house without an administrator"));
    }
    let user = user::create(tx, &founder.profile()).await?;
    let group = join(tx, &user).await?;
    tx.record(Fact::new(user.id.subject(), &SetUpDone {}).about(group));
    Ok(user)
}

/// INVARIANT: all links are taken at once, so whoever else presents one waits here, and then finds none.
async fn use_up(tx: &mut Tx, hash: &TokenHash) -> Result<(), DirectoryError> {
    let now = tx.now();
    let used: Vec<(String, Timestamp)> = tx
        .all(
            sql!(
                "UPDATE set_up_link SET used_at = $1 WHERE used_at IS NULL RETURNING token_hash, expires_at"
            ),
            (now,),
        )
        .await?;
    match used.iter().any(|(used, until)| used == hash.as_str() && *until > now) {
        true => Ok(()),
        false => Err(DirectoryError::NotFound("link")),
    }
}

/// HR may have written the group already, without anybody in it.
async fn join(tx: &mut Tx, user: &User) -> Result<Subject, DirectoryError> {
    let member = vec![user.id.to_string()];
    let text = sql!("SELECT id FROM groups WHERE display_name_key = $1");
    let there: Option<(kernel::id::GroupId,)> = tx.opt(text, (ADMINISTRATORS,)).await?;
    let group = match there {
        Some((id,)) => {
            let change = MemberChange { add: member, ..MemberChange::default() };
            membership::update_members(tx, id, &change).await?
        }
        None => {
            let document = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": ADMINISTRATORS,
            });
            let profile = GroupProfile {
                display_name: ADMINISTRATORS.into(),
                external_id: None,
                document: document.to_string(),
            };
            group::create(tx, &profile, &member).await?
        }
    };
    Ok(group.id.subject())
}
