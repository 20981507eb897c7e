//! What a user allowed a client in one session. All tokens of one authorization code belong to it, and die
//! with it.
//!
//! A grant keeps what was proven when it was made (`auth_time`, `acr`, `amr`): its session may be authenticated
//! again, and a token must not say more than it rests on.

use std::time::Duration;

use kernel::id::{GrantId, SessionId, UserId};
use kernel::{Assurance, Principal, Subject, Timestamp};
use store::{Db, Fact, FactBody, JsonText, Origin, StoreError, Tx, sql};

use super::{Session, rung_of};
use crate::client::Client;
use crate::facts::{GrantCreated, GrantEnded};
use crate::user::principal;

/// A grant, while it, its session and its user live, with what tokens and userinfo say of them.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct LiveGrant {
    /// Its id.
    #[sqlx(rename = "grant_id")]
    pub id: GrantId,
    /// `sub`.
    pub user_id: UserId,
    /// The client.
    pub client_id: String,
    /// `sid`.
    pub session_id: SessionId,
    /// What was granted, space-separated.
    pub scope: String,
    /// The `acr` to report: the requested value that was satisfied, else the rung reached.
    pub acr: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// `auth_time`.
    pub authenticated_at: Timestamp,
    /// The rung reached, 1 to 4.
    pub assurance: i64,
    /// Methods used (RFC 8176).
    pub amr: JsonText<Vec<String>>,
    /// Where the person was: see [`GrantRequest::network`].
    pub network: String,
    /// `preferred_username`.
    pub user_name: String,
    /// `name`.
    pub display_name: Option<String>,
    /// `email`.
    pub email: Option<String>,
    /// The SCIM document: where the other claims come from.
    pub document: String,
    /// `updated_at`.
    pub updated_at: Timestamp,
}

impl LiveGrant {
    /// The rung that the person had reached. A number that cannot be read counts as the lowest.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        rung_of(self.assurance)
    }
}

/// A grant with its client, read at once.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Granted {
    /// The grant.
    #[sqlx(flatten)]
    pub grant: LiveGrant,
    /// The client that it was given to.
    #[sqlx(flatten)]
    pub client: Client,
}

/// The same with what policy may ask about its user: all that new tokens rest on.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Basis {
    /// The grant and its client.
    #[sqlx(flatten)]
    pub granted: Granted,
    department: Option<String>,
    title: Option<String>,
    /// As [`principal::groups`] reads them; `None` when there are none.
    user_groups: Option<String>,
}

impl Basis {
    /// The user as policies see one, when all this was read.
    #[must_use]
    pub fn principal(&self) -> Principal {
        let grant = &self.granted.grant;
        let groups = principal::groups(self.user_groups.as_deref().unwrap_or_default());
        let (department, title) = (self.department.clone(), self.title.clone());
        principal::of(grant.user_id, groups, department, title, &grant.document)
    }
}

/// What a client is granted.
#[derive(Clone, Copy, Debug)]
pub struct GrantRequest<'a> {
    /// The client.
    pub client: &'a str,
    /// See [`LiveGrant::scope`].
    pub scope: &'a str,
    /// See [`LiveGrant::acr`].
    pub acr: &'a str,
    /// In policy's words where the person was, `internal` or `remote`: policy is asked again when the code is
    /// redeemed, by a server that is somewhere else.
    pub network: &'a str,
    /// How long it lasts.
    pub lasts: Duration,
}

/// Records that the user of a session was signed in to a client.
pub async fn create(tx: &mut Tx, session: &Session, asked: &GrantRequest<'_>) -> Result<GrantId, StoreError> {
    let now = tx.now();
    let id = GrantId::new(tx.ctx());
    tx.run(
        sql!(
            "INSERT INTO oauth_grant (id, user_id, client_id, session_id, scope, acr, created_at, expires_at, \
             authenticated_at, assurance, amr, network) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        ),
        (
            id,
            session.user_id,
            asked.client,
            session.id,
            asked.scope,
            asked.acr,
            now,
            now.plus(asked.lasts),
            session.authenticated_at,
            session.assurance,
            &session.amr,
            asked.network,
        ),
    )
    .await?;
    let (client, scope) = (asked.client.to_owned(), asked.scope.to_owned());
    let body = GrantCreated { grant: id.to_string(), client, scope };
    tx.record(told(session.user_id, id, asked.client, &body));
    Ok(id)
}

/// The grant, if everything it rests on is alive now.
pub async fn live(db: &Db, id: GrantId) -> Result<Option<LiveGrant>, StoreError> {
    db.opt(
        sql!(
            "SELECT g.id AS grant_id, g.user_id, g.client_id, g.session_id, g.scope, g.acr, g.expires_at, \
             COALESCE(g.authenticated_at, s.authenticated_at) AS authenticated_at, \
             COALESCE(g.assurance, s.assurance) AS assurance, COALESCE(g.amr, s.amr) AS amr, \
             COALESCE(g.network, 'remote') AS network, \
             u.user_name, u.display_name, u.email, u.document, u.updated_at FROM oauth_grant g \
             JOIN session s ON s.id = g.session_id JOIN users u ON u.id = g.user_id \
             WHERE g.id = $1 AND g.ended_at IS NULL AND g.expires_at > $2 AND s.ended_at IS NULL \
             AND s.expires_at > $2 AND u.active AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch"
        ),
        (id, db.ctx().now()),
    )
    .await
}

/// The same with its client: for one call where there would be two.
pub async fn live_with_client(db: &Db, id: GrantId) -> Result<Option<Granted>, StoreError> {
    db.opt(
        sql!(
            "SELECT g.id AS grant_id, g.user_id, g.client_id, g.session_id, g.scope, g.acr, g.expires_at, \
             COALESCE(g.authenticated_at, s.authenticated_at) AS authenticated_at, \
             COALESCE(g.assurance, s.assurance) AS assurance, COALESCE(g.amr, s.amr) AS amr, \
             COALESCE(g.network, 'remote') AS network, \
             u.user_name, u.display_name, u.email, u.document, u.updated_at, \
             k.id, k.version, k.name, k.secret_hash, k.redirect_uris, k.sensitivity, k.project, k.id_token_alg, \
             k.pkce, k.refresh_tokens, k.post_logout_redirect_uris, k.backchannel_logout_uri, \
             k.backchannel_logout_session_required, k.third_party FROM oauth_grant g \
             JOIN session s ON s.id = g.session_id JOIN users u ON u.id = g.user_id JOIN client k ON k.id = g.client_id \
             WHERE g.id = $1 AND g.ended_at IS NULL AND g.expires_at > $2 AND s.ended_at IS NULL \
             AND s.expires_at > $2 AND u.active AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch"
        ),
        (id, db.ctx().now()),
    )
    .await
}

/// Ends a grant: every token of it is dead. `false` when it had ended before.
pub async fn end(tx: &mut Tx, id: GrantId, reason: &str) -> Result<bool, StoreError> {
    let ended: Option<(UserId, String)> = tx
        .opt(
            sql!(
                "UPDATE oauth_grant SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL \
                 RETURNING user_id, client_id"
            ),
            (id, tx.now()),
        )
        .await?;
    let Some((user, client)) = ended else { return Ok(false) };
    let body = GrantEnded { grant: id.to_string(), reason: reason.to_owned() };
    tx.record(told(user, id, &client, &body));
    Ok(true)
}

/// What happened to a grant, to be found by its user and by its client, too.
pub(super) fn told(user: UserId, id: GrantId, client: &str, body: &impl FactBody) -> Fact {
    Fact::new(user.subject(), body).about(id.subject()).about(Subject::new("client", client))
}

/// The same in a transaction of its own, by whoever knows whose grant it is and which client's.
pub async fn revoke(
    db: &Db,
    origin: Origin,
    id: GrantId,
    (user, client): (UserId, &str),
    reason: &str,
) -> Result<bool, StoreError> {
    let body = GrantEnded { grant: id.to_string(), reason: reason.to_owned() };
    let fact = told(user, id, client, &body);
    let text = sql!("UPDATE oauth_grant SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL");
    Ok(db.change(origin, text, (id, db.ctx().now()), vec![fact]).await? == 1)
}

/// Ends all grants of one user to one client; answers how many lived. The fact of why they end says so.
pub(crate) async fn end_all_of_client(tx: &mut Tx, user: UserId, client: &str) -> Result<i64, StoreError> {
    let ended = tx
        .run(
            sql!(
                "UPDATE oauth_grant SET ended_at = $3 \
                 WHERE user_id = $1 AND client_id = $2 AND ended_at IS NULL AND expires_at > $3"
            ),
            (user, client, tx.now()),
        )
        .await?;
    Ok(i64::try_from(ended).unwrap_or(i64::MAX))
}
