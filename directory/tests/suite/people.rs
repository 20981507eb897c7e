//! What tests do again and again: users with everything an account can have, and each deed as a transaction.

use std::time::Duration;

use directory::credential::Credential;
use directory::declared::{self, Item, Kind, Sealer};
use directory::group::{self, Group, GroupProfile};
use directory::session::grant::GrantRequest;
use directory::session::{Session, SignIn, code, grant, refresh};
use directory::user::{self, Profile, User};
use directory::{DirectoryError, authenticator, credential, door, invitation, session};
use kernel::id::{GrantId, UserId};
use kernel::{Assurance, Secret, Token};
use serde_json::json;
use store::{Db, Origin, StoreError, Tx};

use crate::house::{House, change};

/// Where links are good.
pub(crate) const ISSUER: &str = "https://id.example.org";
pub(crate) const CLIENT: &str = "app";
pub(crate) const POOL: &str = "staff";
pub(crate) const PROFILE: &str = "operators";
pub(crate) const SYSTEM: &str = "headquarters";
pub(crate) const POINT: &str = "front-door";
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn profile(user_name: &str) -> Profile {
    Profile {
        user_name: user_name.to_owned(),
        external_id: None,
        display_name: None,
        email: None,
        department: None,
        title: None,
        active: true,
        document: format!(r#"{{"userName":"{user_name}"}}"#),
    }
}

/// The profile that a user has now.
pub(crate) fn profile_of(user: &User) -> Profile {
    let user = user.clone();
    Profile {
        user_name: user.user_name,
        external_id: user.external_id,
        display_name: user.display_name,
        email: user.email,
        department: user.department,
        title: user.title,
        active: user.active,
        document: user.document,
    }
}

pub(crate) async fn create(db: &Db, profile: &Profile) -> Result<User, DirectoryError> {
    change(db, async |tx| user::create(tx, profile).await).await
}

pub(crate) async fn update(db: &Db, seen: &User, profile: &Profile) -> Result<User, DirectoryError> {
    change(db, async |tx| user::update(tx, seen, profile, vec!["displayName".into()]).await).await
}

pub(crate) async fn set_active(db: &Db, seen: &User, active: bool) -> Result<User, DirectoryError> {
    change(db, async |tx| set_active_in(tx, seen, active).await).await
}

pub(crate) async fn set_active_in(tx: &mut Tx, seen: &User, active: bool) -> Result<User, DirectoryError> {
    let profile = Profile { active, ..profile_of(seen) };
    user::update(tx, seen, &profile, vec!["active".into()]).await
}

pub(crate) async fn delete(db: &Db, seen: &User) -> Result<(), DirectoryError> {
    change(db, async |tx| user::delete(tx, seen).await).await
}

pub(crate) async fn current(db: &Db, user: UserId) -> User {
    user::get(db, user).await.unwrap().unwrap()
}

pub(crate) fn sign_in(user: UserId) -> SignIn {
    SignIn {
        user,
        client: Some(CLIENT.into()),
        assurance: Assurance::Aal1,
        amr: vec!["pwd".into()],
        because: vec!["baseline".into()],
        lasts: HOUR,
        methods: vec!["password".into()],
        idle: None,
        device: "Firefox, Linux".into(),
    }
}

pub(crate) async fn open(db: &Db, user: UserId) -> Result<(Session, Token), DirectoryError> {
    change(db, async |tx| session::open(tx, &sign_in(user)).await).await
}

pub(crate) async fn grant_in(tx: &mut Tx, session: &Session) -> Result<GrantId, StoreError> {
    let asked =
        GrantRequest { client: CLIENT, scope: "openid", acr: "aal1", network: "internal", lasts: HOUR };
    grant::create(tx, session, &asked).await
}

pub(crate) async fn code_in(tx: &mut Tx, grant: GrantId) -> Result<Token, StoreError> {
    code::issue(tx, grant, CLIENT, "https://app.example/cb", Some("n"), Some("challenge")).await
}

/// What the token endpoint does with a code: whether it was this one who was served.
pub(crate) async fn exchange(db: &Db, presented: &str) -> Result<bool, StoreError> {
    let Some(code) = code::find(db, presented).await? else { return Ok(false) };
    let first = Token::generate(db.ctx(), refresh::PREFIX);
    let redeemed = code::redeem(db, Origin::system(), presented, &code, &first, "jti").await?;
    Ok(redeemed == code::Redemption::Done)
}

/// The statement of it, in a transaction that stays open.
pub(crate) async fn exchange_in(tx: &mut Tx, presented: &str) -> Result<bool, StoreError> {
    let first = Token::generate(tx.ctx(), refresh::PREFIX);
    let (sql, values) = code::redemption(presented, &first, tx.now());
    Ok(tx.run(sql, values).await? == 1)
}

/// Sets a password with an invitation: whether it was this one who used it.
pub(crate) async fn accept_in(tx: &mut Tx, token: &str, verifier: &str) -> Result<bool, DirectoryError> {
    let Some((id, user)) = found_invitation(tx, token).await? else { return Ok(false) };
    if !invitation::use_up(tx, id).await? {
        return Ok(false);
    }
    authenticator::password::set(tx, user, verifier, Some(id)).await?;
    Ok(true)
}

/// As it was found before the transaction began, whatever became of it since.
async fn found_invitation(
    tx: &mut Tx,
    token: &str,
) -> Result<Option<(kernel::id::InvitationId, UserId)>, StoreError> {
    let hash = kernel::TokenHash::at(ISSUER, token);
    tx.opt(store::sql!("SELECT id, user_id FROM invitation WHERE token_hash = $1"), (hash.as_str(),)).await
}

/// The order in which it lies in the database is the order of `Kind`.
pub(crate) async fn declare(db: &Db, items: &[Item]) -> Result<(), DirectoryError> {
    change(db, async |tx| {
        for item in items {
            declared::put(tx, item, None, &Reversed).await?;
        }
        Ok(())
    })
    .await
}

/// Seals by writing backwards: enough to see what is sealed and what is not.
pub(crate) struct Reversed;

impl Sealer for Reversed {
    fn seal(&self, door_system: &str, secret: &Secret<String>) -> String {
        format!("{door_system}!{}", secret.expose().chars().rev().collect::<String>())
    }

    fn open(&self, door_system: &str, sealed: &str) -> Result<Secret<String>, String> {
        let sealed = sealed.strip_prefix(&format!("{door_system}!")).ok_or("sealed for another")?;
        Ok(Secret::new(sealed.chars().rev().collect()))
    }
}

pub(crate) fn client(name: &str) -> Item {
    let fields = json!({
        "name": name, "secret_hash": null, "redirect_uris": ["https://app.example/cb"], "sensitivity": "low",
        "id_token_alg": "ES256",
    });
    Item::new(Kind::Client, name, fields)
}

pub(crate) fn pool(name: &str, first: i64, last: i64) -> Item {
    let fields = json!({ "format": "h10301", "facility": 7, "first": first, "last": last });
    Item::new(Kind::CardPool, name, fields)
}

/// One app, one door, one profile that opens it, one pool of a thousand cards.
pub(crate) fn company() -> Vec<Item> {
    vec![
        client(CLIENT),
        Item::new(Kind::Area, "lobby", json!({ "title": "Lobby", "protection_class": 1 })),
        Item::new(Kind::DoorSystem, SYSTEM, json!({ "connector": "uhppote", "config": { "listen": "x" } })),
        Item::new(Kind::AccessPoint, POINT, json!({ "door_system": SYSTEM, "area": "lobby" })),
        Item::new(Kind::AccessProfile, PROFILE, json!({ "title": "Operators", "access_points": [POINT] })),
        pool(POOL, 1000, 1999),
    ]
}

/// A user with everything that an account can have.
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) session: Session,
    pub(crate) cookie: Token,
    pub(crate) grant: GrantId,
    pub(crate) code: Token,
    pub(crate) invitation: Token,
    pub(crate) card: Credential,
}

impl Person {
    pub(crate) async fn furnish(house: &House, user_name: &str) -> Self {
        let db = &house.db;
        let user = create(db, &profile(user_name)).await.unwrap();
        Self::furnish_user(house, user).await
    }

    pub(crate) async fn furnish_user(house: &House, user: User) -> Self {
        let (session, cookie) = open(&house.db, user.id).await.unwrap();
        let rest: Result<_, DirectoryError> = change(&house.db, async |tx| {
            let grant = grant_in(tx, &session).await?;
            let code = code_in(tx, grant).await?;
            let invitation = invitation::create(tx, ISSUER, user.id).await?;
            let card = credential::issue(tx, user.id, POOL).await?.unwrap();
            let wanted = [(PROFILE.to_owned(), "birthright".to_owned())];
            door::entitlement::settle(tx, user.id, &wanted, &[card.id]).await?;
            Ok((grant, code, invitation, card))
        })
        .await;
        let (grant, code, invitation, card) = rest.unwrap();
        Self { user, session, cookie, grant, code, invitation, card }
    }

    /// What of it can still be used.
    pub(crate) async fn alive(&self, db: &Db) -> Vec<&'static str> {
        let card = credential::get(db, self.card.id).await.unwrap().unwrap();
        let points = door::wanted_points(db, self.user.id, SYSTEM).await.unwrap();
        let code: Result<bool, StoreError> = async {
            let mut tx = crate::house::begin(db).await;
            let granted = exchange_in(&mut tx, self.code.expose()).await?;
            // Only looked at: it is not used up by this.
            tx.refuse().await?;
            Ok(granted)
        }
        .await;
        [
            ("session", session::by_token(db, self.cookie.expose()).await.unwrap().is_some()),
            ("grant", grant::live(db, self.grant).await.unwrap().is_some()),
            ("code", code.unwrap()),
            ("invitation", invitation::find(db, ISSUER, self.invitation.expose()).await.unwrap().is_some()),
            ("card", card.is_active()),
            ("doors", !points.is_empty()),
        ]
        .into_iter()
        .filter_map(|(thing, alive)| alive.then_some(thing))
        .collect()
    }
}

pub(crate) fn group_profile(display_name: &str) -> GroupProfile {
    GroupProfile { display_name: display_name.into(), external_id: None, document: "{}".into() }
}

pub(crate) async fn create_group(db: &Db, name: &str, members: &[String]) -> Result<Group, DirectoryError> {
    change(db, async |tx| group::create(tx, &group_profile(name), members).await).await
}

pub(crate) async fn member_ids(db: &Db, group: &Group) -> Vec<String> {
    let members = group::members(db, group.id, 20_000).await.unwrap();
    members.into_iter().map(|member| member.member_id).collect()
}
