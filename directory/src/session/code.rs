//! Authorization codes: 60 seconds, once, bound to client, redirect URI and, where the client sent one, PKCE
//! challenge (RFC 6749, section 4.1.2; RFC 7636; RFC 9700, section 2.1.1).
//!
//! A code is used up by the row of its successor, as a refresh token is ([`super::refresh`]): by the first refresh
//! token of its grant, whether or not the client is given that. So one statement redeems it, and of many who try at
//! once one adds the row. A code that was presented wrongly has no successor, and is marked instead ([`spoil`]).

use std::time::Duration;

use kernel::id::GrantId;
use kernel::{Timestamp, Token, TokenHash};
use store::{Db, Origin, Sql, StoreError, Tx, Value, sql};

use super::grant::{self, Basis, LiveGrant};
use crate::facts::GrantRedeemed;
use crate::user::principal;

/// How long a code can be redeemed.
pub const CODE_TIME: Duration = Duration::from_secs(60);

/// What a code is bound to.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Code {
    /// What it is for, and whom it was given to.
    #[sqlx(flatten)]
    pub basis: Basis,
    /// Whether the grant and everything that it rests on lives: if not, nothing may be made of it.
    pub lives: bool,
    /// Where it was sent.
    pub redirect_uri: String,
    /// To be repeated in the ID token.
    pub nonce: Option<String>,
    code_challenge: String,
    /// Until when it can be redeemed.
    #[sqlx(rename = "code_expires_at")]
    pub expires_at: Timestamp,
    /// When it was redeemed or spoiled, if it was.
    pub used_at: Option<Timestamp>,
}

impl Code {
    /// BASE64URL(SHA-256(verifier)), if the client sent a challenge.
    #[must_use]
    pub fn challenge(&self) -> Option<&str> {
        Some(self.code_challenge.as_str()).filter(|challenge| !challenge.is_empty())
    }

    fn grant(&self) -> &LiveGrant {
        &self.basis.granted.grant
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

/// Reads a presented code, whatever the state of it and of what it rests on.
pub async fn find(db: &Db, presented: &str) -> Result<Option<Code>, StoreError> {
    db.opt(
        sql!(
            "SELECT c.redirect_uri, c.nonce, c.code_challenge, c.expires_at AS code_expires_at, \
             COALESCE(c.used_at, n.created_at) AS used_at, \
             (g.ended_at IS NULL AND g.expires_at > $2 AND s.ended_at IS NULL AND s.expires_at > $2 AND u.active \
             AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch) AS lives, \
             g.id AS grant_id, g.user_id, g.client_id, g.session_id, g.scope, g.acr, g.expires_at, \
             COALESCE(g.authenticated_at, s.authenticated_at) AS authenticated_at, \
             COALESCE(g.assurance, s.assurance) AS assurance, COALESCE(g.amr, s.amr) AS amr, \
             COALESCE(g.network, 'remote') AS network, \
             u.user_name, u.display_name, u.email, u.document, u.updated_at, u.department, u.title, \
             (WITH RECURSIVE belonging (group_id) AS (SELECT m.group_id FROM membership m WHERE m.member_id = u.id \
             UNION SELECT m.group_id FROM belonging b JOIN membership m ON m.member_id = b.group_id) \
             SELECT string_agg(d.id || $3 || d.display_name, $4) FROM belonging b JOIN groups d ON d.id = b.group_id) \
             AS user_groups, \
             k.id, k.version, k.name, k.secret_hash, k.redirect_uris, k.sensitivity, k.project, k.id_token_alg, \
             k.pkce, k.refresh_tokens, k.post_logout_redirect_uris, k.backchannel_logout_uri, \
             k.backchannel_logout_session_required, k.third_party \
             FROM authorization_code c JOIN oauth_grant g ON g.id = c.grant_id JOIN session s ON s.id = g.session_id \
             JOIN users u ON u.id = g.user_id JOIN client k ON k.id = g.client_id \
             LEFT JOIN refresh_token n ON n.predecessor_hash = c.code_hash WHERE c.code_hash = $1"
        ),
        (TokenHash::of(presented).as_str(), db.ctx().now(), principal::WITHIN, principal::BETWEEN),
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

/// Uses a code up if all it rests on lives: of many who try at once, one is served. `first` is the first refresh token
/// of its grant, and `token` the `jti` of the access token to be made for it.
pub async fn redeem(
    db: &Db,
    origin: Origin,
    presented: &str,
    code: &Code,
    first: &Token,
    token: &str,
) -> Result<Redemption, StoreError> {
    let (sql, values) = redemption(presented, first, db.ctx().now());
    let grant = code.grant();
    let body = GrantRedeemed {
        grant: grant.id.to_string(),
        client: grant.client_id.clone(),
        token: token.to_owned(),
    };
    let fact = grant::told(grant.user_id, grant.id, &grant.client_id, &body);
    if db.change(origin.clone(), sql, values, vec![fact]).await? == 1 {
        return Ok(Redemption::Done);
    }
    let mut tx = db.write(origin).await?;
    let refused = refused(&mut tx, &TokenHash::of(presented)).await;
    tx.end(refused).await
}

/// The one statement of [`redeem`], which changes a row when it is this one who is served; with its parameters.
#[must_use]
pub fn redemption(presented: &str, first: &Token, now: Timestamp) -> (Sql, Vec<Value>) {
    let text = sql!(
        "INSERT INTO refresh_token (token_hash, predecessor_hash, grant_id, created_at) \
         SELECT $2, c.code_hash, c.grant_id, $3 FROM authorization_code c \
         JOIN oauth_grant g ON g.id = c.grant_id JOIN session s ON s.id = g.session_id \
         JOIN users u ON u.id = g.user_id WHERE c.code_hash = $1 AND c.used_at IS NULL AND c.expires_at > $3 \
         AND g.ended_at IS NULL AND g.expires_at > $3 AND s.ended_at IS NULL AND s.expires_at > $3 AND u.active \
         AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch ON CONFLICT DO NOTHING"
    );
    (text, vec![TokenHash::of(presented).as_str().into(), first.hash().as_str().into(), now.into()])
}

async fn refused(tx: &mut Tx, hash: &TokenHash) -> Result<Redemption, StoreError> {
    let used: Option<(GrantId,)> = tx
        .opt(
            sql!(
                "SELECT c.grant_id FROM authorization_code c WHERE c.code_hash = $1 AND (c.used_at IS NOT NULL \
                 OR EXISTS (SELECT 1 FROM refresh_token n WHERE n.predecessor_hash = c.code_hash))"
            ),
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
    grant::end(tx, code.grant().id, reason).await.map(drop)
}
