//! Browser sessions, the grants made in them, and the codes that carry a grant to a client.
//!
//! A grant is alive while it, its session and its user are: [`grant`] asks for all three in one statement,
//! so what ended at a commit is dead to every later question. A session carries the user's *access epoch*:
//! ending an account raises the epoch, so a session whose opening raced with the end is dead as well, and
//! none comes back when the account does.

pub mod apps;
pub mod code;
pub mod grant;
pub mod refresh;
mod sweep;
pub(crate) mod told;

use std::time::Duration;

use kernel::id::{SessionId, UserId};
use kernel::{Assurance, Subject, Timestamp, Token, TokenHash};
use store::{Db, Fact, FactBody, JsonText, Origin, StoreError, Tx, sql};

use crate::DirectoryError;
use crate::facts::{SessionEnded, SessionOpened, SessionRenewed};

pub use sweep::{KEPT, sweep};
pub use told::{LOGOUT_SINK, ended_of};

/// How exactly it is known when a browser was last here.
pub const TOUCH: Duration = Duration::from_secs(60);

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
    /// What was proven in it, in the words of whoever opened it: one more proof raises what is there already.
    pub methods: JsonText<Vec<String>>,
    /// When its browser was last here, to the minute.
    pub seen_at: Timestamp,
    /// For how many milliseconds its browser may stay away.
    pub idle_time: Option<i64>,
    /// As its owner would call the browser.
    pub device: String,
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
            methods: JsonText(sign_in.methods.clone()),
            seen_at: now,
            idle_time: sign_in.idle.map(|idle| i64::try_from(idle.as_millis()).unwrap_or(i64::MAX)),
            device: sign_in.device.clone(),
        }
    }

    /// Whether its browser stayed away for too long: it must sign in again, and may then keep the session.
    #[must_use]
    pub fn is_idle(&self, now: Timestamp) -> bool {
        let away = now.as_millis().saturating_sub(self.seen_at.as_millis());
        self.idle_time.is_some_and(|most| away >= most)
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
    /// See [`Session::methods`].
    pub methods: Vec<String>,
    /// How long its browser may stay away, if not for ever.
    pub idle: Option<Duration>,
    /// See [`Session::device`].
    pub device: String,
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
                 expires_at, methods, seen_at, idle_time, device) \
                 SELECT $2, u.id, u.access_epoch, $3, $4, $5, $6, $7, $8, $6, $9, $10 FROM users u \
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
                &session.methods,
                session.idle_time,
                &session.device,
            ),
        )
        .await?;
    if opened != 1 {
        return Err(DirectoryError::NotFound("active user"));
    }
    let body = SessionOpened {
        session: session.id.to_string(),
        client: sign_in.client.clone(),
        assurance: sign_in.assurance.to_string(),
        amr: sign_in.amr.clone(),
        because: sign_in.because.clone(),
        device: named(&sign_in.device),
    };
    tx.record(told(sign_in, session.id, &body));
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
                "UPDATE session SET token_hash = $3, assurance = $4, amr = $5, authenticated_at = $6, expires_at = $7, \
                 methods = $8, seen_at = $6, idle_time = $9, device = $10 WHERE id = $1 AND user_id = $2 \
                 AND ended_at IS NULL AND expires_at > $6 AND access_epoch = \
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
                &session.methods,
                session.idle_time,
                &session.device,
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
        device: named(&sign_in.device),
    };
    tx.record(told(sign_in, earlier, &body));
    Ok(Some((session, token)))
}

/// A sign-in that succeeded, to be found by the client that it was for, too.
fn told(sign_in: &SignIn, session: SessionId, body: &impl FactBody) -> Fact {
    let fact = Fact::new(sign_in.user.subject(), body).about(session.subject());
    match &sign_in.client {
        Some(client) => fact.about(Subject::new("client", client)),
        None => fact,
    }
}

/// The living session of a presented cookie, unless its browser stayed away for too long.
pub async fn by_token(db: &Db, presented: &str) -> Result<Option<Session>, StoreError> {
    let session = by_token_or_idle(db, presented).await?;
    Ok(session.filter(|session| !session.is_idle(db.ctx().now())))
}

/// The same, also when its browser stayed away: good for nothing but to be renewed by whoever signs in.
pub async fn by_token_or_idle(db: &Db, presented: &str) -> Result<Option<Session>, StoreError> {
    db.opt(
        sql!(
            "SELECT s.id, s.user_id, s.assurance, s.amr, s.authenticated_at, s.expires_at, s.methods, s.seen_at, \
             s.idle_time, s.device FROM session s JOIN users u ON u.id = s.user_id WHERE s.token_hash = $1 \
             AND s.ended_at IS NULL AND s.expires_at > $2 AND u.active AND u.deleted_at IS NULL \
             AND u.access_epoch = s.access_epoch"
        ),
        (TokenHash::of(presented).as_str(), db.ctx().now()),
    )
    .await
}

/// All living sessions of a user, the last heard of first.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Session>, StoreError> {
    db.all(
        sql!(
            "SELECT s.id, s.user_id, s.assurance, s.amr, s.authenticated_at, s.expires_at, s.methods, s.seen_at, \
             s.idle_time, s.device FROM session s JOIN users u ON u.id = s.user_id WHERE s.user_id = $1 \
             AND s.ended_at IS NULL AND s.expires_at > $2 AND u.active AND u.deleted_at IS NULL \
             AND u.access_epoch = s.access_epoch ORDER BY s.seen_at DESC, s.id"
        ),
        (user, db.ctx().now()),
    )
    .await
}

/// Notes that the browser of a session is here, once a minute at most. No fact: nobody can do more or less for it.
pub async fn touch(db: &Db, session: &Session) -> Result<(), StoreError> {
    let now = db.ctx().now();
    if now.since(session.seen_at) < TOUCH {
        return Ok(());
    }
    let sql = sql!("UPDATE session SET seen_at = $2 WHERE id = $1 AND seen_at < $2 AND ended_at IS NULL");
    db.change(Origin::system(), sql, (session.id, now), Vec::new()).await.map(drop)
}

/// What facts say of a browser that said what it is.
fn named(device: &str) -> Option<String> {
    (!device.is_empty()).then(|| device.to_owned())
}

/// Ends a session and the grants made in it, and has their clients told. `false` when it had ended before.
pub async fn end(tx: &mut Tx, id: SessionId) -> Result<bool, StoreError> {
    let now = tx.now();
    let told = told::of_session(tx, id).await?;
    let ended: Option<(UserId, String)> = tx
        .opt(
            sql!(
                "UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING user_id, device"
            ),
            (id, now),
        )
        .await?;
    let Some((user, device)) = ended else { return Ok(false) };
    let grants = tx
        .run(
            sql!("UPDATE oauth_grant SET ended_at = $2 WHERE session_id = $1 AND ended_at IS NULL"),
            (id, now),
        )
        .await?;
    let (grants, device) = (i64::try_from(grants).unwrap_or(i64::MAX), named(&device));
    let body = SessionEnded { session: id.to_string(), grants, device };
    tx.record(told::tell(Fact::new(user.subject(), &body).about(id.subject()), &told));
    Ok(true)
}
