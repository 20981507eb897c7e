//! Authorization codes: 60 seconds, once, bound to client, redirect URI and PKCE challenge (RFC 6749,
//! section 4.1.2; RFC 7636; RFC 9700, section 2.1.1).

use std::time::Duration;

use kernel::id::GrantId;
use kernel::{Timestamp, Token, TokenHash};
use store::{StoreError, Tx, sql};

use super::grant;

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
    /// BASE64URL(SHA-256(verifier)).
    pub code_challenge: String,
    /// Until when it can be redeemed.
    pub expires_at: Timestamp,
    /// When it was redeemed, if it was.
    pub used_at: Option<Timestamp>,
}

/// Makes a code for a grant.
pub async fn issue(
    tx: &mut Tx,
    grant: GrantId,
    client: &str,
    redirect_uri: &str,
    nonce: Option<&str>,
    code_challenge: &str,
) -> Result<Token, StoreError> {
    let code = Token::generate(tx.ctx(), "cdc");
    tx.run(
        sql!(
            "INSERT INTO authorization_code (code_hash, grant_id, client_id, redirect_uri, nonce, code_challenge, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        ),
        (code.hash().as_str(), grant, client, redirect_uri, nonce, code_challenge, tx.now().plus(CODE_TIME)),
    )
    .await?;
    Ok(code)
}

/// Reads a presented code, whatever its state.
pub async fn find(tx: &mut Tx, presented: &str) -> Result<Option<Code>, StoreError> {
    tx.opt(
        sql!(
            "SELECT grant_id, client_id, redirect_uri, nonce, code_challenge, expires_at, used_at \
             FROM authorization_code WHERE code_hash = $1"
        ),
        (TokenHash::of(presented).as_str(),),
    )
    .await
}

/// Uses a code up: of many who try at once, one gets `true`. For the others the grant ends, since one of
/// them is a thief (RFC 6749, section 4.1.2).
pub async fn redeem(tx: &mut Tx, presented: &str, code: &Code) -> Result<bool, StoreError> {
    let redeemed = tx
        .run(
            sql!("UPDATE authorization_code SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL"),
            (TokenHash::of(presented).as_str(), tx.now()),
        )
        .await?;
    if redeemed == 1 {
        return Ok(true);
    }
    grant::end(tx, code.grant_id, "code-reused").await?;
    Ok(false)
}
