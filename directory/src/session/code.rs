//! Authorization codes: 60 seconds, once, bound to client, redirect URI and, where the client sent one, PKCE
//! challenge (RFC 6749, section 4.1.2; RFC 7636; RFC 9700, section 2.1.1).

use std::time::Duration;

use kernel::id::{GrantId, UserId};
use kernel::{Timestamp, Token, TokenHash};
use store::{Db, Fact, StoreError, Tx, sql};

use super::grant;
use crate::facts::GrantRedeemed;

/// How long a code can be redeemed.
pub const CODE_TIME: Duration = Duration::from_secs(60);

/// What a code is bound to.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Code {
    /// The grant it carries.
    pub grant_id: GrantId,
    /// Whom it was given to.
    pub client_id: String,
    /// Where it was sent.
    pub redirect_uri: String,
    /// To be repeated in the ID token.
    pub nonce: Option<String>,
    code_challenge: String,
    /// Until when it can be redeemed.
    pub expires_at: Timestamp,
    /// When it was redeemed, if it was.
    pub used_at: Option<Timestamp>,
}

impl Code {
    /// BASE64URL(SHA-256(verifier)), if the client sent a challenge.
    #[must_use]
    pub fn challenge(&self) -> Option<&str> {
        Some(self.code_challenge.as_str()).filter(|challenge| !challenge.is_empty())
    }
}

/// Makes a code for a grant.
pub async fn issue(
    tx: &mut Tx,
    grant: GrantId,
    client: &str,
    redirect_uri: &str,
    nonce: Option<&str>,
    challenge: Option<&str>,
) -> Result<Token, StoreError> {
    let code = Token::generate(tx.ctx(), "cdc");
    let challenge = challenge.unwrap_or_default();
    tx.run(
        sql!(
            "INSERT INTO authorization_code (code_hash, grant_id, client_id, redirect_uri, nonce, code_challenge, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        ),
        (code.hash().as_str(), grant, client, redirect_uri, nonce, challenge, tx.now().plus(CODE_TIME)),
    )
    .await?;
    Ok(code)
}

/// Reads a presented code, whatever its state.
pub async fn find(db: &Db, presented: &str) -> Result<Option<Code>, StoreError> {
    db.opt(
        sql!(
            "SELECT grant_id, client_id, redirect_uri, nonce, code_challenge, expires_at, used_at \
             FROM authorization_code WHERE code_hash = $1"
        ),
        (TokenHash::of(presented).as_str(),),
    )
    .await
}

/// What became of a code that was presented as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// It is used up, and its grant lives.
    Done,
    /// It had been used before. Its grant has ended: of two who have it, one is a thief (RFC 6749, section
    /// 4.1.2).
    Reused,
    /// There is no such code (any more), its time is over, or what it rests on has ended.
    Dead,
}

/// Uses a code up if all it rests on lives: of many who try at once, one is served. `token` is the `jti` of
/// the access token to be made for it.
pub async fn redeem(tx: &mut Tx, presented: &str, token: &str) -> Result<Redemption, StoreError> {
    let hash = TokenHash::of(presented);
    let redeemed: Option<(GrantId, String, UserId)> = tx
        .opt(
            sql!(
                "UPDATE authorization_code SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL \
                 AND expires_at > $2 AND EXISTS (SELECT 1 FROM oauth_grant g JOIN session s ON s.id = g.session_id \
                 JOIN users u ON u.id = g.user_id WHERE g.id = authorization_code.grant_id AND g.ended_at IS NULL \
                 AND g.expires_at > $2 AND s.ended_at IS NULL AND s.expires_at > $2 AND u.active \
                 AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch) RETURNING grant_id, client_id, \
                 (SELECT g.user_id FROM oauth_grant g WHERE g.id = authorization_code.grant_id)"
            ),
            (hash.as_str(), tx.now()),
        )
        .await?;
    let Some((grant, client, user)) = redeemed else { return refused(tx, &hash).await };
    let body = GrantRedeemed { grant: grant.to_string(), client, token: token.to_owned() };
    tx.record(Fact::new(user.subject(), &body).about(grant.subject()));
    Ok(Redemption::Done)
}

async fn refused(tx: &mut Tx, hash: &TokenHash) -> Result<Redemption, StoreError> {
    let used: Option<(GrantId,)> = tx
        .opt(
            sql!("SELECT grant_id FROM authorization_code WHERE code_hash = $1 AND used_at IS NOT NULL"),
            (hash.as_str(),),
        )
        .await?;
    let Some((grant,)) = used else { return Ok(Redemption::Dead) };
    grant::end(tx, grant, "code-reused").await?;
    Ok(Redemption::Reused)
}

/// Uses a code up so that nobody can redeem it, and ends its grant for this reason.
pub async fn spoil(tx: &mut Tx, presented: &str, code: &Code, reason: &str) -> Result<(), StoreError> {
    tx.run(
        sql!("UPDATE authorization_code SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL"),
        (TokenHash::of(presented).as_str(), tx.now()),
    )
    .await?;
    grant::end(tx, code.grant_id, reason).await.map(drop)
}
