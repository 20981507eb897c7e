//! What a user allowed a client in one session. All tokens of one authorization code belong to it, and die
//! with it.

use std::time::Duration;

use kernel::Timestamp;
use kernel::id::{GrantId, SessionId, UserId};
use store::{Db, Fact, JsonText, StoreError, Tx, sql};

use super::Session;
use crate::facts::{GrantCreated, GrantEnded};

/// A grant, while it, its session and its user live, with what tokens and userinfo say of them.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct LiveGrant {
    /// Its id.
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
    /// Methods used (RFC 8176).
    pub amr: JsonText<Vec<String>>,
    /// `preferred_username`.
    pub user_name: String,
    /// `name`.
    pub display_name: Option<String>,
    /// `email`.
    pub email: Option<String>,
}

/// Records that the user of a session was signed in to a client.
pub async fn create(
    tx: &mut Tx,
    session: &Session,
    client: &str,
    scope: &str,
    acr: &str,
    lasts: Duration,
) -> Result<GrantId, StoreError> {
    let now = tx.now();
    let id = GrantId::new(tx.ctx());
    tx.run(
        sql!(
            "INSERT INTO oauth_grant (id, user_id, client_id, session_id, scope, acr, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        ),
        (id, session.user_id, client, session.id, scope, acr, now, now.plus(lasts)),
    )
    .await?;
    let body = GrantCreated { grant: id.to_string(), client: client.to_owned(), scope: scope.to_owned() };
    tx.record(Fact::new(session.user_id.subject(), &body).about(id.subject()));
    Ok(id)
}

/// The grant, if everything it rests on is alive now.
pub async fn live(db: &Db, id: GrantId) -> Result<Option<LiveGrant>, StoreError> {
    db.opt(
        sql!(
            "SELECT g.id, g.user_id, g.client_id, g.session_id, g.scope, g.acr, g.expires_at, s.authenticated_at, \
             s.amr, u.user_name, u.display_name, u.email FROM oauth_grant g \
             JOIN session s ON s.id = g.session_id JOIN users u ON u.id = g.user_id \
             WHERE g.id = $1 AND g.ended_at IS NULL AND g.expires_at > $2 AND s.ended_at IS NULL \
             AND s.expires_at > $2 AND u.active AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch"
        ),
        (id, db.ctx().now()),
    )
    .await
}

/// The same inside a transaction: for the exchange of a code.
pub async fn live_in(tx: &mut Tx, id: GrantId) -> Result<Option<LiveGrant>, StoreError> {
    let now = tx.now();
    tx.opt(
        sql!(
            "SELECT g.id, g.user_id, g.client_id, g.session_id, g.scope, g.acr, g.expires_at, s.authenticated_at, \
             s.amr, u.user_name, u.display_name, u.email FROM oauth_grant g \
             JOIN session s ON s.id = g.session_id JOIN users u ON u.id = g.user_id \
             WHERE g.id = $1 AND g.ended_at IS NULL AND g.expires_at > $2 AND s.ended_at IS NULL \
             AND s.expires_at > $2 AND u.active AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch"
        ),
        (id, now),
    )
    .await
}

/// Ends a grant: every token of it is dead. `false` when it had ended before.
pub async fn end(tx: &mut Tx, id: GrantId, reason: &str) -> Result<bool, StoreError> {
    let ended: Option<(UserId,)> = tx
        .opt(
            sql!("UPDATE oauth_grant SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING user_id"),
            (id, tx.now()),
        )
        .await?;
    let Some((user,)) = ended else { return Ok(false) };
    let body = GrantEnded { grant: id.to_string(), reason: reason.to_owned() };
    tx.record(Fact::new(user.subject(), &body).about(id.subject()));
    Ok(true)
}
