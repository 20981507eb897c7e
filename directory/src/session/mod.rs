//! Browser sessions, the grants made in them, and the codes that carry a grant to a client.
//!
//! A grant is alive while it, its session and its user are: [`grant`] asks for all three in one statement,
//! so what ended at a commit is dead to every later question. A session carries the user's *access epoch*:
//! ending an account raises the epoch, so a session whose opening raced with the end is dead as well, and
//! none comes back when the account does.

pub mod code;
pub mod grant;
mod sweep;

use std::time::Duration;

use kernel::id::{SessionId, UserId};
use kernel::{Assurance, Timestamp, Token, TokenHash};
use store::{Db, Fact, JsonText, StoreError, Tx, sql};

use crate::DirectoryError;
use crate::facts::{SessionEnded, SessionOpened, SessionRenewed};

pub use sweep::{KEPT, sweep};

/// A browser's sign-in, while it lives.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Session {
    /// `sid`.
    pub id: SessionId,
    /// Who.
    pub user_id: UserId,
    /// The rung reached, 1 to 4.
    pub assurance: i64,
    /// Methods used (RFC 8176).
    pub amr: JsonText<Vec<String>>,
    /// `auth_time`.
    pub authenticated_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Session {
    fn of(sign_in: &SignIn, id: SessionId, now: Timestamp) -> Self {
        Self {
            id,
            user_id: sign_in.user,
            assurance: sign_in.assurance.rung().into(),
            amr: JsonText(sign_in.amr.clone()),
            authenticated_at: now,
            expires_at: now.plus(sign_in.lasts),
        }
    }

    /// The rung reached. A number that cannot be read counts as the lowest.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        rung_of(self.assurance)
    }
}

fn rung_of(number: i64) -> Assurance {
    let rung = Assurance::ALL.into_iter().find(|rung| i64::from(rung.rung()) == number);
    rung.unwrap_or(Assurance::Aal1)
}

/// What a sign-in achieved.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Who.
    pub user: UserId,
    /// For which client, if for one.
    pub client: Option<String>,
    /// The rung reached.
    pub assurance: Assurance,
    /// Methods used (RFC 8176).
    pub amr: Vec<String>,
    /// Why policy asked for this much.
    pub because: Vec<String>,
    /// How long the session lasts.
    pub lasts: Duration,
}

/// Opens a session. The token goes into the browser's cookie; we keep its hash.
///
/// # Errors
/// [`DirectoryError::NotFound`] when the user is not active (any more).
pub async fn open(tx: &mut Tx, sign_in: &SignIn) -> Result<(Session, Token), DirectoryError> {
    let now = tx.now();
    let token = Token::generate(tx.ctx(), "cds");
    let session = Session::of(sign_in, SessionId::new(tx.ctx()), now);
    let opened = tx
        .run(
            sql!(
                "INSERT INTO session (id, user_id, access_epoch, token_hash, assurance, amr, authenticated_at, \
                 expires_at) SELECT $2, u.id, u.access_epoch, $3, $4, $5, $6, $7 FROM users u \
                 WHERE u.id = $1 AND u.active AND u.deleted_at IS NULL"
            ),
            (
                sign_in.user,
                session.id,
                token.hash().as_str(),
                session.assurance,
                &session.amr,
                now,
                session.expires_at,
            ),
        )
        .await?;
    if opened != 1 {
        return Err(DirectoryError::NotFound("active user"));
    }
    tx.record(
        Fact::new(
            sign_in.user.subject(),
            &SessionOpened {
                session: session.id.to_string(),
                client: sign_in.client.clone(),
                assurance: sign_in.assurance.to_string(),
                amr: sign_in.amr.clone(),
                because: sign_in.because.clone(),
            },
        )
        .about(session.id.subject()),
    );
    Ok((session, token))
}

/// The person of a living session has signed in again: it is the same session, with another token, and says
/// from now on what was proven this time. What clients were granted in it stays, and says what was proven then.
///
/// `None` when the session has ended meanwhile, or is not this person's: open another.
pub async fn renew(
    tx: &mut Tx,
    earlier: SessionId,
    sign_in: &SignIn,
) -> Result<Option<(Session, Token)>, StoreError> {
    let now = tx.now();
    let token = Token::generate(tx.ctx(), "cds");
    let session = Session::of(sign_in, earlier, now);
    let renewed = tx
        .run(
            sql!(
                "UPDATE session SET token_hash = $3, assurance = $4, amr = $5, authenticated_at = $6, expires_at = $7 \
                 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $6 AND access_epoch = \
                 (SELECT u.access_epoch FROM users u WHERE u.id = $2 AND u.active AND u.deleted_at IS NULL)"
            ),
            (
                earlier,
                sign_in.user,
                token.hash().as_str(),
                session.assurance,
                &session.amr,
                now,
                session.expires_at,
            ),
        )
        .await?;
    if renewed != 1 {
        return Ok(None);
    }
    let body = SessionRenewed {
        session: earlier.to_string(),
        client: sign_in.client.clone(),
        assurance: sign_in.assurance.to_string(),
        amr: sign_in.amr.clone(),
        because: sign_in.because.clone(),
    };
    tx.record(Fact::new(sign_in.user.subject(), &body).about(earlier.subject()));
    Ok(Some((session, token)))
}

/// The living session of a presented cookie.
pub async fn by_token(db: &Db, presented: &str) -> Result<Option<Session>, StoreError> {
    db.opt(
        sql!(
            "SELECT s.id, s.user_id, s.assurance, s.amr, s.authenticated_at, s.expires_at FROM session s \
             JOIN users u ON u.id = s.user_id WHERE s.token_hash = $1 AND s.ended_at IS NULL AND s.expires_at > $2 \
             AND u.active AND u.deleted_at IS NULL AND u.access_epoch = s.access_epoch"
        ),
        (TokenHash::of(presented).as_str(), db.ctx().now()),
    )
    .await
}

/// Ends a session and the grants made in it. `false` when it had ended before.
pub async fn end(tx: &mut Tx, id: SessionId) -> Result<bool, StoreError> {
    let now = tx.now();
    let ended: Option<(UserId,)> = tx
        .opt(
            sql!("UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING user_id"),
            (id, now),
        )
        .await?;
    let Some((user,)) = ended else { return Ok(false) };
    let grants = tx
        .run(
            sql!("UPDATE oauth_grant SET ended_at = $2 WHERE session_id = $1 AND ended_at IS NULL"),
            (id, now),
        )
        .await?;
    let body = SessionEnded { session: id.to_string(), grants: i64::try_from(grants).unwrap_or(i64::MAX) };
    tx.record(Fact::new(user.subject(), &body).about(id.subject()));
    Ok(true)
}
