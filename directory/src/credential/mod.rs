//! What a person carries to a door, and the pools its numbers come from.
//!
//! A credential is suspended by its account's end, and then comes back with the account; or by hand, because it is
//! mislaid or its holder is to stay out, and then only a hand brings it back, whatever HR says meanwhile. While a
//! card is suspended by hand its holder gets no other one: a sanction that hands out a new card is none. Who has
//! lost a card for good has it revoked, and policy gives the next one.
//!
//! How long it is valid is said beside its state, by hand, and changes nothing of it: a card whose time is over is
//! active still, opens nothing, and its holder gets no other one. It opens again when somebody says a later end.

use std::fmt;
use std::str::FromStr;

use kernel::id::{CredentialId, UserId};
use kernel::{Day, Timestamp, UnknownWord};
use store::{Db, Fact, StoreError, Tx, sql};

use crate::facts::{
    CredentialIssued, CredentialResumed, CredentialRevoked, CredentialSuspended, CredentialValidityChanged,
};
use crate::{DirectoryError, user};

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

/// Who took a credential off its lists for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspendedBy {
    /// The end of its account: it comes back with the account.
    Account,
    /// A person: only a person brings it back.
    Hand,
}

impl SuspendedBy {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SuspendedBy::Account => "account",
            SuspendedBy::Hand => "hand",
        }
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
    /// The encoding of its number, e.g. `h10301`.
    pub format: String,
    /// The facility code.
    pub facility: i64,
    /// The number within the facility: the identity is format, facility and number together.
    pub number: i64,
    /// `active`, `suspended`, `revoked`.
    pub state: String,
    /// Of a suspended one: `account` (so is `None`, from before there was another) or `hand`.
    pub suspended_by: Option<String>,
    /// The first day on which it opens anything, in the local time of each door; `None` is no limit.
    pub valid_from: Option<Day>,
    /// From when on it opens nothing any more; `None` is no limit. [`Credential::is_active`] does not ask about it.
    pub valid_until: Option<Timestamp>,
    /// When it was handed out.
    pub issued_at: Timestamp,
}

impl Credential {
    /// Whether it may be on a list. A state that cannot be read is none that opens.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state.parse() == Ok(State::Active)
    }

    /// Whether, and by whom, it is suspended.
    #[must_use]
    pub fn suspended(&self) -> Option<SuspendedBy> {
        let by = match self.suspended_by.as_deref() {
            None | Some("account") => SuspendedBy::Account,
            // What cannot be read comes back by nobody's accident.
            Some(_) => SuspendedBy::Hand,
        };
        (self.state.parse() == Ok(State::Suspended)).then_some(by)
    }
}

/// Numbers to hand out.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct CardPool {
    /// Its name.
    pub name: String,
    /// Raised by one at each change of what is declared; handing out a number is none.
    pub version: i64,
    /// The encoding, e.g. `h10301`.
    pub format: String,
    /// The facility code.
    pub facility: i64,
    /// The first number.
    pub first_number: i64,
    /// The last number.
    pub last_number: i64,
    /// The next to try: earlier ones were handed out. Past the last when the pool is empty.
    pub next_number: i64,
}

/// The credential.
pub async fn get(db: &Db, id: CredentialId) -> Result<Option<Credential>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, suspended_by, valid_from, valid_until, \
             issued_at FROM credential WHERE id = $1"
        ),
        (id,),
    )
    .await
}

/// The credential with this card identity, in whatever state.
pub async fn by_card(
    db: &Db,
    format: &str,
    facility: i64,
    number: i64,
) -> Result<Option<Credential>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, suspended_by, valid_from, valid_until, \
             issued_at FROM credential WHERE format = $1 AND facility = $2 AND number = $3"
        ),
        (format, facility, number),
    )
    .await
}

/// The same inside a transaction.
pub async fn by_card_in(
    tx: &mut Tx,
    format: &str,
    facility: i64,
    number: i64,
) -> Result<Option<Credential>, StoreError> {
    tx.opt(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, suspended_by, valid_from, valid_until, \
             issued_at FROM credential WHERE format = $1 AND facility = $2 AND number = $3"
        ),
        (format, facility, number),
    )
    .await
}

/// All credentials of a user, oldest first.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Credential>, StoreError> {
    db.all(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, suspended_by, valid_from, valid_until, \
             issued_at FROM credential WHERE user_id = $1 ORDER BY issued_at, id"
        ),
        (user,),
    )
    .await
}

/// The same inside a transaction.
pub async fn of_user_in(tx: &mut Tx, user: UserId) -> Result<Vec<Credential>, StoreError> {
    tx.all(
        sql!(
            "SELECT id, version, user_id, kind, format, facility, number, state, suspended_by, valid_from, valid_until, \
             issued_at FROM credential WHERE user_id = $1 ORDER BY issued_at, id"
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
            "SELECT id, version, user_id, kind, format, facility, number, state, suspended_by, valid_from, valid_until, \
             issued_at FROM credential WHERE id > $1 ORDER BY id LIMIT $2"
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

/// Hands out the next card of a pool that nobody ever had. `None` when the pool is empty (or gone).
///
/// # Errors
/// [`StoreError::Conflict`] when the user is not active (any more): look again at what is wanted.
pub async fn issue(tx: &mut Tx, user: UserId, pool: &str) -> Result<Option<Credential>, StoreError> {
    if !user::hold(tx, user).await? {
        return Err(StoreError::Conflict);
    }
    while let Some((format, facility, number)) = draw(tx, pool).await? {
        let card = Credential {
            id: CredentialId::new(tx.ctx()),
            version: 1,
            user_id: user,
            kind: "card".into(),
            format,
            facility,
            number,
            state: State::Active.to_string(),
            suspended_by: None,
            valid_from: None,
            valid_until: None,
            issued_at: tx.now(),
        };
        if insert(tx, &card, pool).await? {
            tx.record(
                Fact::new(
                    card.id.subject(),
                    &CredentialIssued { credential: card.id, pool: pool.to_owned() },
                )
                .about(user.subject()),
            );
            return Ok(Some(card));
        }
        pass_over(tx, pool, number).await?;
    }
    Ok(None)
}

/// The next number of a pool: `(format, facility, number)`.
async fn draw(tx: &mut Tx, pool: &str) -> Result<Option<(String, i64, i64)>, StoreError> {
    tx.opt(
        sql!(
            "UPDATE card_pool SET next_number = next_number + 1 WHERE name = $1 AND next_number <= last_number \
             RETURNING format, facility, next_number - 1"
        ),
        (pool,),
    )
    .await
}

/// `false` when somebody has, or had, a card of this number.
async fn insert(tx: &mut Tx, card: &Credential, pool: &str) -> Result<bool, StoreError> {
    let new = tx
        .run(
            sql!(
                "INSERT INTO credential (id, version, user_id, kind, format, facility, number, pool, state, issued_at, \
                 updated_at) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $9) \
                 ON CONFLICT (format, facility, number) DO NOTHING"
            ),
            (
                card.id,
                card.user_id,
                &card.kind,
                &card.format,
                card.facility,
                card.number,
                pool,
                &card.state,
                card.issued_at,
            ),
        )
        .await?;
    Ok(new == 1)
}

/// Moves a pool behind the cards that follow this one without a gap. Its range was edited, or crosses another's.
async fn pass_over(tx: &mut Tx, pool: &str, number: i64) -> Result<(), StoreError> {
    tx.run(
        sql!(
            "UPDATE card_pool SET next_number = COALESCE((SELECT c.number + 1 FROM credential c \
             WHERE c.format = card_pool.format AND c.facility = card_pool.facility AND c.number >= $2 \
             AND NOT EXISTS (SELECT 1 FROM credential d WHERE d.format = c.format AND d.facility = c.facility \
             AND d.number = c.number + 1) ORDER BY c.number LIMIT 1), next_number) WHERE name = $1"
        ),
        (pool, number),
    )
    .await
    .map(drop)
}

/// Brings a suspended credential back over the version that the caller saw, whoever suspended it. `who` is the person
/// who does it, if one does.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`]; [`DirectoryError::Invalid`] when it is not suspended;
/// [`DirectoryError::NotFound`] when its user is not active (any more).
pub async fn resume(tx: &mut Tx, seen: &Credential, who: Option<&str>) -> Result<(), DirectoryError> {
    if seen.suspended().is_none() {
        return Err(DirectoryError::Invalid(format!("a {} credential cannot be resumed", seen.state)));
    }
    if !user::hold(tx, seen.user_id).await? {
        return Err(DirectoryError::NotFound("active user"));
    }
    set_state(tx, seen, State::Active, None).await?;
    tx.record(
        Fact::new(seen.id.subject(), &CredentialResumed { credential: seen.id, who: who.map(str::to_owned) })
            .about(seen.user_id.subject()),
    );
    Ok(())
}

/// Takes a credential off every list by hand: for a while or for good. Nothing is written when it is so already; one
/// that its account's end has suspended is from now on suspended by hand.
/// `who` is the person whose hand it is, where that is known.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`]; [`DirectoryError::Invalid`] for [`State::Active`], and when it was
/// revoked, which is for good.
pub async fn end(
    tx: &mut Tx,
    seen: &Credential,
    state: State,
    who: Option<&str>,
) -> Result<(), DirectoryError> {
    match (seen.state.parse(), state) {
        (_, State::Active) => {
            return Err(DirectoryError::Invalid("a credential ends suspended or revoked".into()));
        }
        (Ok(State::Revoked), State::Suspended) => {
            return Err(DirectoryError::Invalid("a revoked credential stays revoked".into()));
        }
        (Ok(State::Revoked), _) => return Ok(()),
        (_, State::Suspended) if seen.suspended() == Some(SuspendedBy::Hand) => return Ok(()),
        _ => {}
    }
    let by = (state == State::Suspended).then_some(SuspendedBy::Hand);
    set_state(tx, seen, state, by).await?;
    record_end(tx, seen.id, seen.user_id, state, who);
    Ok(())
}

/// The first instant beyond the days that every door system can count.
const BEYOND_DAYS: Timestamp = Timestamp::from_secs(4_070_908_800);

/// Says from when to when a credential opens anything, over the version that the caller saw; `None` is no limit.
/// Nothing is written when it is so already.
/// `who` is the person whose hand it is, where that is known.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`]; [`DirectoryError::Invalid`] when it was revoked, for an end after the year 2098,
/// and for a first day that begins nowhere on Earth before that end.
pub async fn set_validity(
    tx: &mut Tx,
    seen: &Credential,
    valid_from: Option<Day>,
    valid_until: Option<Timestamp>,
    who: Option<&str>,
) -> Result<(), DirectoryError> {
    if seen.state.parse() == Ok(State::Revoked) {
        return Err(DirectoryError::Invalid("a revoked credential opens nothing, whenever".into()));
    }
    if valid_until.is_some_and(|until| until > BEYOND_DAYS) {
        let problem = "no door system counts days after the year 2098: leave the end out for no limit";
        return Err(DirectoryError::Invalid(problem.into()));
    }
    // A door system counts days by its own clock.
    if let (Some(begin), Some(until)) = (valid_from.and_then(Day::begins_anywhere), valid_until)
        && begin >= until
    {
        let problem = "the first day lies behind the end: give an earlier first day, or a later end";
        return Err(DirectoryError::Invalid(problem.into()));
    }
    if (seen.valid_from, seen.valid_until) == (valid_from, valid_until) {
        return Ok(());
    }
    tx.run_versioned(
        sql!(
            "UPDATE credential SET valid_from = $3, valid_until = $4, version = version + 1, updated_at = $5 \
             WHERE id = $1 AND version = $2"
        ),
        (seen.id, seen.version, valid_from.map(|day| day.to_string()), valid_until, tx.now()),
    )
    .await?;
    let who = who.map(str::to_owned);
    let body = CredentialValidityChanged { credential: seen.id, valid_from, valid_until, who };
    let mut fact = Fact::new(seen.id.subject(), &body).about(seen.user_id.subject());
    fact.revokes = is_shorter(seen, valid_from, valid_until);
    tx.record(fact);
    Ok(())
}

/// Whether a time begins later or ends earlier than that of a credential.
fn is_shorter(seen: &Credential, valid_from: Option<Day>, valid_until: Option<Timestamp>) -> bool {
    let ends_before = |until: Timestamp| seen.valid_until.is_none_or(|seen| until < seen);
    // No first day is before all days.
    valid_from > seen.valid_from || valid_until.is_some_and(ends_before)
}

async fn set_state(
    tx: &mut Tx,
    seen: &Credential,
    state: State,
    by: Option<SuspendedBy>,
) -> Result<(), StoreError> {
    tx.run_versioned(
        sql!(
            "UPDATE credential SET state = $3, suspended_by = $5, version = version + 1, updated_at = $4 \
             WHERE id = $1 AND version = $2"
        ),
        (seen.id, seen.version, state.as_str(), tx.now(), by.map(SuspendedBy::as_str)),
    )
    .await
}

/// Takes all credentials of a user off every list, because the account ends. Answers those that were on one, or could
/// have come back. What is suspended by hand stays so.
pub(crate) async fn end_all_of(
    tx: &mut Tx,
    user: UserId,
    state: State,
) -> Result<Vec<CredentialId>, StoreError> {
    let ended: Vec<(CredentialId,)> = match state {
        State::Revoked => {
            tx.all(
                sql!(
                    "UPDATE credential SET state = 'revoked', suspended_by = NULL, version = version + 1, updated_at = $2 \
                     WHERE user_id = $1 AND state <> 'revoked' RETURNING id"
                ),
                (user, tx.now()),
            )
            .await?
        }
        _ => {
            tx.all(
                sql!(
                    "UPDATE credential SET state = 'suspended', suspended_by = 'account', version = version + 1, \
                     updated_at = $2 \
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
        record_end(tx, *id, user, state, None);
    }
    Ok(ended)
}

fn record_end(tx: &mut Tx, credential: CredentialId, user: UserId, state: State, who: Option<&str>) {
    let who = who.map(str::to_owned);
    let fact = match state {
        State::Revoked => Fact::new(credential.subject(), &CredentialRevoked { credential, who }),
        _ => Fact::new(credential.subject(), &CredentialSuspended { credential, who }),
    };
    tx.record(fact.about(user.subject()));
}
