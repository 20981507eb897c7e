//! Refresh tokens: each is good once, and is exchanged for the next of its grant (RFC 9700, section 4.14.2).
//!
//! A token is used up by the row of its successor, and nothing else: rows are added, never changed, and of many
//! who present the same token at once one adds the row. The successor is not made by chance: the caller derives
//! it from the presented token with a key that only the house has. So whoever presents a token again within
//! [`ANSWER_TIME`], because the answer was lost on its way, is given the same successor. After that, or once the
//! successor has been used itself, somebody else has the token, and the whole grant ends.
//!
//! The first token of a grant is the successor of its authorization code ([`super::code`]).
//!
//! What it is not: a token has no life of its own. It rests on its grant, as access tokens do, and is dead at the
//! commit that ends grant, session or user. It ends when the grant does.

use std::time::Duration;

use kernel::id::{GrantId, UserId};
use kernel::{Timestamp, Token, TokenHash};
use store::{Db, Fact, Origin, StoreError, sql};

use super::grant::{self, Basis, LiveGrant};
use crate::client::Client;
use crate::facts::GrantRefreshed;
use crate::user::principal;

/// How long after its use a token is answered with the same successor.
pub const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What a refresh token begins with.
pub const PREFIX: &str = "cdr";

/// A presented token whose grant lives.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Refresh {
    /// What it is for.
    #[sqlx(flatten)]
    pub basis: Basis,
    successor_hash: Option<String>,
    used_at: Option<Timestamp>,
    successor_is_used: bool,
}

/// What a presented token is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worth {
    /// The next token.
    Fresh,
    /// Again the token with this hash: the answer to its first use may have been lost.
    Answered(String),
    /// Nothing: of two who have it, one is a thief.
    Spent,
}

impl Refresh {
    /// What it is worth now.
    #[must_use]
    pub fn worth(&self, now: Timestamp) -> Worth {
        let Some((hash, used_at)) = self.successor_hash.as_ref().zip(self.used_at) else {
            return Worth::Fresh;
        };
        let answer_may_be_lost = !self.successor_is_used && now.since(used_at) < ANSWER_TIME;
        if answer_may_be_lost { Worth::Answered(hash.clone()) } else { Worth::Spent }
    }
}

/// Reads a presented token, if everything its grant rests on is alive now.
pub async fn find(db: &Db, presented: &str) -> Result<Option<Refresh>, StoreError> {
    db.opt(
        sql!(
            "SELECT g.id AS grant_id, g.user_id, g.client_id, g.session_id, g.scope, g.acr, g.expires_at, \
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
             k.backchannel_logout_session_required, k.third_party, \
             n.token_hash AS successor_hash, n.created_at AS used_at, \
             EXISTS (SELECT 1 FROM refresh_token l WHERE l.predecessor_hash = n.token_hash) AS successor_is_used \
             FROM refresh_token r JOIN oauth_grant g ON g.id = r.grant_id JOIN session s ON s.id = g.session_id \
             JOIN users u ON u.id = g.user_id JOIN client k ON k.id = g.client_id \
             LEFT JOIN refresh_token n ON n.predecessor_hash = r.token_hash \
             WHERE r.token_hash = $1 AND g.ended_at IS NULL AND g.expires_at > $2 AND s.ended_at IS NULL \
             AND s.expires_at > $2 AND u.active AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch"
        ),
        (TokenHash::of(presented).as_str(), db.ctx().now(), principal::WITHIN, principal::BETWEEN),
    )
    .await
}

/// To whom a token belongs.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Owner {
    /// Its grant.
    pub grant_id: GrantId,
    /// Whose.
    pub user_id: UserId,
    /// The client that it was given to.
    #[sqlx(flatten)]
    pub client: Client,
}

/// The owner of a presented token, whatever the state of it and of its grant.
pub async fn owner(db: &Db, presented: &str) -> Result<Option<Owner>, StoreError> {
    db.opt(
        sql!(
            "SELECT g.id AS grant_id, g.user_id, \
             k.id, k.version, k.name, k.secret_hash, k.redirect_uris, k.sensitivity, k.project, k.id_token_alg, \
             k.pkce, k.refresh_tokens, k.post_logout_redirect_uris, k.backchannel_logout_uri, \
             k.backchannel_logout_session_required, k.third_party FROM refresh_token r \
             JOIN oauth_grant g ON g.id = r.grant_id JOIN client k ON k.id = g.client_id WHERE r.token_hash = $1"
        ),
        (TokenHash::of(presented).as_str(),),
    )
    .await
}

/// Uses a token up and makes its successor, if all it rests on lives: of many who try at once, one gets `true`.
/// `token` is the `jti` of the access token to be made for it.
pub async fn rotate(
    db: &Db,
    origin: Origin,
    presented: &str,
    grant: &LiveGrant,
    successor: &Token,
    token: &str,
) -> Result<bool, StoreError> {
    let rotated = db
        .change(
            origin,
            sql!(
                "INSERT INTO refresh_token (token_hash, predecessor_hash, grant_id, created_at) \
                 SELECT $2, r.token_hash, r.grant_id, $3 FROM refresh_token r \
                 JOIN oauth_grant g ON g.id = r.grant_id JOIN session s ON s.id = g.session_id \
                 JOIN users u ON u.id = g.user_id WHERE r.token_hash = $1 AND g.ended_at IS NULL \
                 AND g.expires_at > $3 AND s.ended_at IS NULL AND s.expires_at > $3 AND u.active \
                 AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch ON CONFLICT DO NOTHING"
            ),
            (TokenHash::of(presented).as_str(), successor.hash().as_str(), db.ctx().now()),
            vec![refreshed(grant, token, false)],
        )
        .await?;
    Ok(rotated == 1)
}

/// Records that the successor was given once more, with the access token of this `jti`.
pub async fn answer_again(db: &Db, origin: Origin, grant: &LiveGrant, token: &str) -> Result<(), StoreError> {
    let mut tx = db.write(origin).await?;
    tx.record(refreshed(grant, token, true));
    tx.commit().await
}

fn refreshed(grant: &LiveGrant, token: &str, again: bool) -> Fact {
    let body = GrantRefreshed {
        grant: grant.id.to_string(),
        client: grant.client_id.clone(),
        token: token.to_owned(),
        again,
    };
    grant::told(grant.user_id, grant.id, &grant.client_id, &body)
}
