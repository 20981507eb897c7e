//! What a person carries to a door, and the pools its numbers come from.

use std::fmt;
use std::str::FromStr;

use kernel::id::{CredentialId, UserId};
use kernel::{Timestamp, UnknownWord};
use store::{Db, Fact, StoreError, Tx, sql};

use crate::DirectoryError;
use crate::facts::{CredentialIssued, CredentialResumed, CredentialRevoked, CredentialSuspended};

/// Whether a credential may be on any list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It opens what policy says.
    Active,
    /// On no list; may come back.
    Suspended,
    /// On no list, for good.
    Revoked,
}

impl State {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Suspended => "suspended",
            State::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [State::Active, State::Suspended, State::Revoked]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownWord { word: word.into(), allowed: "active, suspended, revoked" })
    }
}

/// A card as the directory holds it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Raised by one at each change.
    pub version: i64,
    /// Who carries it.
    pub user_id: UserId,
    /// `card`.
    pub kind: String,
    /// The encoding of its number, e.g. `H10301`.
    pub format: String,
    /// The facility code.
    pub facility: i64,
    /// The number within the facility: the identity is format, facility and number together.
    pub number: i64,
    /// `active`, `suspended`, `revoked`.
    pub state: String,
    /// When it was handed out.
    pub issued_at: Timestamp,
}

impl Credential {
    /// Whether it may be on a list. A state that cannot be read is none that opens.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state.parse() == Ok(State::Active)
    }
}

/// Numbers to hand out.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct CardPool {
    /// Its name.
    pub name: String,
    /// Raised by one at each change.
    pub version: i64,
    /// The encoding, e.g. `H10301`.
    pub format: String,
    /// The facility code.
    pub facility: i64,
    /// The first number.
    pub first_number: i64,
    /// The last number.
    pub last_number: i64,
    /// The next to hand out; past the last when the pool is empty.
    pub next_number: i64,
}

/// The credential.
pub async fn get(db: &Db, id: CredentialId) -> Result<Option<Credential>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, issued_at FROM credential WHERE id = $1"
        ),
        (id,),
    )
    .await
}

/// The credential with this card identity, in whatever state.
pub async fn by_card(db: &Db, format: &str, facility: i64, number: i64) -> Result<Option<Credential>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, issued_at FROM credential \
             WHERE format = $1 AND facility = $2 AND number = $3"
        ),
        (format, facility, number),
    )
    .await
}

/// All credentials of a user, oldest first.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Credential>, StoreError> {
    db.all(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, issued_at FROM credential \
             WHERE user_id = $1 ORDER BY issued_at, id"
        ),
        (user,),
    )
    .await
}

/// The same inside a transaction.
pub async fn of_user_in(tx: &mut Tx, user: UserId) -> Result<Vec<Credential>, StoreError> {
    tx.all(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, issued_at FROM credential \
             WHERE user_id = $1 ORDER BY issued_at, id"
        ),
        (user,),
    )
    .await
}

/// Credentials in the order of their ids, after one: for sweeps.
pub async fn page(db: &Db, after: Option<CredentialId>, limit: i64) -> Result<Vec<Credential>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    db.all(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, issued_at FROM credential \
             WHERE id > $1 ORDER BY id LIMIT $2"
        ),
        (after, limit),
    )
    .await
}

/// All pools, by name.
pub async fn pools(db: &Db) -> Result<Vec<CardPool>, StoreError> {
    db.all(
        sql!(
            "SELECT name, version, format, facility, first_number, last_number, next_number FROM card_pool ORDER BY name"
        ),
        (),
    )
    .await
}

/// Hands out the next card of a pool. `None` when the pool is empty (or gone).
pub async fn issue(tx: &mut Tx, user: UserId, pool: &str) -> Result<Option<Credential>, StoreError> {
    let now = tx.now();
    let drawn: Option<(String, i64, i64)> = tx
        .opt(
            sql!(
                "UPDATE card_pool SET next_number = next_number + 1, version = version + 1, updated_at = $2 \
                 WHERE name = $1 AND next_number <= last_number RETURNING format, facility, next_number - 1"
            ),
            (pool, now),
        )
        .await?;
    let Some((format, facility, number)) = drawn else { return Ok(None) };
    let card = Credential {
        id: CredentialId::new(tx.ctx()),
        version: 1,
        user_id: user,
        kind: "card".into(),
        format,
        facility,
        number,
        state: State::Active.to_string(),
        issued_at: now,
    };
    tx.run(
        sql!(
            "INSERT INTO credential (id, version, user_id, kind, format, facility, number, pool, state, issued_at, \
             updated_at) VALUES ($1, 1, $2, 'card', $3, $4, $5, $6, 'active', $7, $7)"
        ),
        (card.id, user, &card.format, facility, number, pool, now),
    )
    .await?;
    tx.record(
        Fact::new(card.id.subject(), &CredentialIssued { credential: card.id, pool: pool.to_owned() })
            .about(user.subject()),
    );
    Ok(Some(card))
}

/// Brings a suspended credential back over the version that the caller saw.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`]; [`DirectoryError::Invalid`] when it is not suspended.
pub async fn resume(tx: &mut Tx, seen: &Credential) -> Result<(), DirectoryError> {
    if seen.state.parse() != Ok(State::Suspended) {
        return Err(DirectoryError::Invalid(format!("a {} credential cannot be resumed", seen.state)));
    }
    set_state(tx, seen, State::Active).await?;
    tx.record(
        Fact::new(seen.id.subject(), &CredentialResumed { credential: seen.id }).about(seen.user_id.subject()),
    );
    Ok(())
}

/// Takes a credential off every list: for a while or for good.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`].
pub async fn end(tx: &mut Tx, seen: &Credential, state: State) -> Result<(), DirectoryError> {
    set_state(tx, seen, state).await?;
    record_end(tx, seen.id, seen.user_id, state);
    Ok(())
}

async fn set_state(tx: &mut Tx, seen: &Credential, state: State) -> Result<(), StoreError> {
    tx.run_versioned(
        sql!("UPDATE credential SET state = $3, version = version + 1, updated_at = $4 WHERE id = $1 AND version = $2"),
        (seen.id, seen.version, state.as_str(), tx.now()),
    )
    .await
}

/// Takes all credentials of a user off every list. Answers those that were on one, or could have come back.
pub(crate) async fn end_all_of(tx: &mut Tx, user: UserId, state: State) -> Result<Vec<CredentialId>, StoreError> {
    let ended: Vec<(CredentialId,)> = match state {
        State::Revoked => {
            tx.all(
                sql!(
                    "UPDATE credential SET state = 'revoked', version = version + 1, updated_at = $2 \
                     WHERE user_id = $1 AND state <> 'revoked' RETURNING id"
                ),
                (user, tx.now()),
            )
            .await?
        }
        _ => {
            tx.all(
                sql!(
                    "UPDATE credential SET state = 'suspended', version = version + 1, updated_at = $2 \
                     WHERE user_id = $1 AND state = 'active' RETURNING id"
                ),
                (user, tx.now()),
            )
            .await?
        }
    };
    let mut ended: Vec<CredentialId> = ended.into_iter().map(|(id,)| id).collect();
    ended.sort();
    for id in &ended {
        record_end(tx, *id, user, state);
    }
    Ok(ended)
}

fn record_end(tx: &mut Tx, credential: CredentialId, user: UserId, state: State) {
    let fact = match state {
        State::Revoked => Fact::new(credential.subject(), &CredentialRevoked { credential }),
        _ => Fact::new(credential.subject(), &CredentialSuspended { credential }),
    };
    tx.record(fact.about(user.subject()));
}
