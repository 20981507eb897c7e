//! Single-use links with which a person sets a first password.

use std::time::Duration;

use kernel::id::{InvitationId, UserId};
use kernel::{Timestamp, Token, TokenHash};
use store::{Db, Fact, StoreError, Tx, sql};

use crate::facts::InvitationCreated;
use crate::user;

/// How long an invitation can be used.
pub const INVITATION_TIME: Duration = Duration::from_secs(72 * 3600);

/// An invitation that can still be used.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Who is invited.
    pub user_id: UserId,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Makes one; earlier ones of the same user can no longer be used.
///
/// # Errors
/// [`StoreError::Conflict`] when the user is not active (any more): read it again.
pub async fn create(tx: &mut Tx, user: UserId) -> Result<Token, StoreError> {
    if !user::hold(tx, user).await? {
        return Err(StoreError::Conflict);
    }
    let now = tx.now();
    let token = Token::generate(tx.ctx(), "cdi");
    let id = InvitationId::new(tx.ctx());
    tx.run(sql!("UPDATE invitation SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL"), (user, now))
        .await?;
    tx.run(
        sql!("INSERT INTO invitation (id, user_id, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)"),
        (id, user, token.hash().as_str(), now, now.plus(INVITATION_TIME)),
    )
    .await?;
    tx.record(Fact::new(user.subject(), &InvitationCreated { invitation: id.to_string() }));
    Ok(token)
}

/// The invitation of a presented token, if it can be used now.
pub async fn find(db: &Db, presented: &str) -> Result<Option<Invitation>, StoreError> {
    db.opt(
        sql!(
            "SELECT i.id, i.user_id, i.expires_at FROM invitation i JOIN users u ON u.id = i.user_id \
             WHERE i.token_hash = $1 AND i.used_at IS NULL AND i.expires_at > $2 AND u.active AND u.deleted_at IS NULL"
        ),
        (TokenHash::of(presented).as_str(), db.ctx().now()),
    )
    .await
}

/// Uses it up: of many who try at once, one gets `true`. `false` also when its user is not active any more.
pub async fn use_up(tx: &mut Tx, id: InvitationId) -> Result<bool, StoreError> {
    let of: Option<(UserId,)> = tx.opt(sql!("SELECT user_id FROM invitation WHERE id = $1"), (id,)).await?;
    let Some((of,)) = of else { return Ok(false) };
    if !user::hold(tx, of).await? {
        return Ok(false);
    }
    let now = tx.now();
    let used = tx
        .run(
            sql!("UPDATE invitation SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2"),
            (id, now),
        )
        .await?;
    Ok(used == 1)
}
