//! Single-use links with which a person sets a password: the first one, or one instead of a forgotten one.
//!
//! A link is made by hand ([`create`]) or for a letter ([`mod@letter`]). Of one user there is one living link of each
//! [`Purpose`]: a newer one replaces an older one, and none replaces one of the other purpose, since anybody may
//! ask for a recovery. Whichever is used, all are over. Each is good at the issuer that it was made for.
//!
//! To add a purpose: a variant, and the words of its letter and its page in `idp`.

pub mod letter;

use std::time::Duration;

use kernel::id::{InvitationId, UserId};
use kernel::{Timestamp, Token, TokenHash};
use store::{Db, Fact, StoreError, Tx, sql};

use crate::facts::InvitationCreated;
use crate::user;

/// How long an invitation can be used.
pub const INVITATION_TIME: Duration = Duration::from_secs(72 * 3600);
/// How long a recovery can be used: its asker sits at the screen.
pub const RECOVERY_TIME: Duration = Duration::from_secs(30 * 60);

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A first password.
    Invitation,
    /// A password instead of a forgotten one.
    Recovery,
}

impl Purpose {
    /// As the table and facts write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Invitation => "invitation",
            Purpose::Recovery => "recovery",
        }
    }

    /// How long such a link can be used.
    #[must_use]
    pub const fn lasts(self) -> Duration {
        match self {
            Purpose::Invitation => INVITATION_TIME,
            Purpose::Recovery => RECOVERY_TIME,
        }
    }

    /// So that a token says what leaked.
    const fn prefix(self) -> &'static str {
        match self {
            Purpose::Invitation => "cdi",
            Purpose::Recovery => "cdf",
        }
    }
}

/// An invitation that can still be used.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Who is invited.
    pub user_id: UserId,
    /// Until when.
    pub expires_at: Timestamp,
    purpose: String,
}

impl Invitation {
    /// What it is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        if self.purpose == Purpose::Recovery.as_str() { Purpose::Recovery } else { Purpose::Invitation }
    }
}

/// Makes an invitation to be handed over; earlier ones of the same user can no longer be used.
///
/// # Errors
/// [`StoreError::Conflict`] when the user is not active (any more): read it again.
pub async fn create(tx: &mut Tx, issuer: &str, user: UserId) -> Result<Token, StoreError> {
    if !user::hold(tx, user).await? {
        return Err(StoreError::Conflict);
    }
    let link = New::generate(tx.ctx(), Purpose::Invitation);
    insert(tx, issuer, user, &link, None).await?;
    Ok(link.token)
}

/// A link that is being made.
struct New {
    id: InvitationId,
    purpose: Purpose,
    token: Token,
}

impl New {
    fn generate(ctx: &kernel::Ctx, purpose: Purpose) -> Self {
        Self { id: InvitationId::new(ctx), purpose, token: Token::generate(ctx, purpose.prefix()) }
    }
}

/// The letter that a link is for, and its token sealed to the link's row.
type OfLetter = (kernel::id::FactId, String);

/// Writes a link in place of earlier ones of its purpose. INVARIANT: the user is held.
async fn insert(
    tx: &mut Tx,
    issuer: &str,
    user: UserId,
    link: &New,
    letter: Option<OfLetter>,
) -> Result<Timestamp, StoreError> {
    let now = tx.now();
    let until = now.plus(link.purpose.lasts());
    let (letter, sealed) = letter.unzip();
    let hash = TokenHash::at(issuer, link.token.expose());
    tx.run(
        sql!(
            "UPDATE invitation SET used_at = $3, token_sealed = NULL \
             WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL"
        ),
        (user, link.purpose.as_str(), now),
    )
    .await?;
    tx.run(
        sql!(
            "INSERT INTO invitation (id, user_id, purpose, token_hash, created_at, expires_at, letter, token_sealed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        ),
        (link.id, user, link.purpose.as_str(), hash.as_str(), now, until, letter, sealed),
    )
    .await?;
    let body =
        InvitationCreated { invitation: link.id.to_string(), purpose: link.purpose.as_str().to_owned() };
    tx.record(Fact::new(user.subject(), &body));
    Ok(until)
}

/// The invitation of a presented token, if it can be used now.
pub async fn find(db: &Db, issuer: &str, presented: &str) -> Result<Option<Invitation>, StoreError> {
    db.opt(
        sql!(
            "SELECT i.id, i.user_id, i.expires_at, i.purpose FROM invitation i JOIN users u ON u.id = i.user_id \
             WHERE i.token_hash = $1 AND i.used_at IS NULL AND i.expires_at > $2 AND u.active AND u.deleted_at IS NULL"
        ),
        (TokenHash::at(issuer, presented).as_str(), db.ctx().now()),
    )
    .await
}

/// Uses it up, and with it all others of its user: of many who try at once, one gets `true`. `false` also when its
/// user is not active any more.
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
    if used != 1 {
        return Ok(false);
    }
    tx.run(
        sql!(
            "UPDATE invitation SET used_at = COALESCE(used_at, $2), token_sealed = NULL \
             WHERE user_id = $1 AND (used_at IS NULL OR token_sealed IS NOT NULL)"
        ),
        (of, now),
    )
    .await?;
    Ok(true)
}
