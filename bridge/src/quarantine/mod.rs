//! Cards that stand on a door system's list and are nobody's, and what people decide about them.
//!
//! A sweep finds them (`strangers`). What becomes of them its declaration says (`unknown_cards`): they are reported and
//! stay, or they are taken off every list there, which is read back, and what they opened is kept. Then a person looks
//! ([`list`]). One that belongs there all the same is *released* ([`release`]): it is tolerated by name from then on,
//! and stands among what is exposed. One that becomes somebody's leaves by itself.
//!
//! *The brake.* So many strangers at once, or within a day, are hardly strangers: it is another system's list, a
//! restored backup, or the wrong device. Then none is taken off until somebody has looked and says so ([`confirm`]),
//! which counts once, and only for cards that were reported by then; or until none is left, because all have owners,
//! are released, or are gone.
//!
//! What it is not: it puts no card back on a list. It knows what a card opened in words, and that was nobody's wish.

mod strangers;

use std::fmt;

use directory::credential::{self, Credential};
use kernel::{Subject, Timestamp};
use serde::Serialize;
use store::{Db, Fact, Origin, StoreError, Tx, sql};

pub(crate) use strangers::{Strangers, noted};

use crate::alert;
use crate::card::Card;
use crate::connector::{Access, AccessPointAddress, Held, ReadBack, Reading};
use crate::facts::{QuarantineConfirmed, QuarantineReleased, QuarantineTakenBack};
use crate::task::{LONGEST_NAME, LONGEST_TEXT, one_line};

/// How a card of nobody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is to be taken off, and is not proven to be.
    Waits,
    /// It was read to be on no list.
    Off,
    /// Somebody tolerates it there.
    Tolerated,
}

/// Who tolerates a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Who.
    pub by: String,
    /// Why.
    pub because: String,
    /// Since when (RFC 3339).
    pub at: String,
    /// Since when it is seen on a list again (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<String>,
}

/// A card of nobody that was taken off a door system's list, is to be, or is tolerated there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// Where.
    pub door_system: String,
    /// As people write it.
    pub card: String,
    /// How it stands.
    pub state: State,
    /// What it opened when it was found last, in words; empty when that was not noted.
    pub opened: Vec<String>,
    /// When it was first found (RFC 3339).
    pub first_seen_at: String,
    /// When it was found last (RFC 3339).
    pub found_at: String,
    /// When it was read to be on no list (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_off_at: Option<String>,
    /// Who tolerates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Released>,
}

/// A door system with too many cards of nobody to take any off unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Brake {
    /// Which.
    pub door_system: String,
    /// How many were found last.
    pub found: i64,
    /// Of how many that were listed.
    pub listed: i64,
    /// Since when it holds (RFC 3339).
    pub since: String,
    /// Who has said that they may go; the next sweep takes them off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<String>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// It never stood there, as far as anybody knows.
    #[error("{card} is no card of nobody at {door_system}; see: cardea quarantine list --all")]
    NotFound {
        /// Where.
        door_system: String,
        /// Which card.
        card: Card,
    },
    /// It is somebody's.
    #[error(
        "{card} is somebody's (credential {credential}): policy says what it opens; to take it off every \
         door: cardea credential suspend {card}"
    )]
    Somebodys {
        /// Which card.
        card: Card,
        /// Which credential it is.
        credential: String,
    },
    /// Somebody tolerates it already.
    #[error(
        "{card} is tolerated already; to say it otherwise: cardea quarantine take-back, and release it anew"
    )]
    Released {
        /// Which card.
        card: Card,
    },
    /// Nobody tolerates it.
    #[error(
        "nobody tolerates {card} at {door_system}: there is nothing to take back; see: cardea quarantine \
         list --all"
    )]
    NotReleased {
        /// Where.
        door_system: String,
        /// Which card.
        card: Card,
    },
    /// Nothing waits for anybody.
    #[error("nothing at {0} waits for a confirmation; see: cardea quarantine list")]
    NothingWaits(String),
    /// Not so many wait: whoever says so has not looked at what was found since.
    #[error(
        "{found} of {listed} cards at {door_system} are nobody's by the last sweep, not {said}. Look at them (cardea \
         exposure); if they may go: cardea quarantine confirm {door_system} --found {found} --who NAME"
    )]
    FoundOtherwise {
        /// Where.
        door_system: String,
        /// How many somebody says there are.
        said: i64,
        /// How many there are.
        found: i64,
        /// Of how many that are listed.
        listed: i64,
    },
    /// What was said cannot be taken: the message says what to write.
    #[error("{0}")]
    Invalid(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What alerts and facts call a card at a door system.
fn subject(door_system: &str, card: impl fmt::Display) -> Subject {
    Subject::new("card", format!("{door_system}/{card}"))
}

/// From now on the card is tolerated there: it is not taken off, and no alert is open about it. Nothing is put back on
/// a list.
///
/// # Errors
/// [`QuarantineError::NotFound`], [`QuarantineError::Somebodys`], [`QuarantineError::Released`];
/// [`QuarantineError::Invalid`] when somebody or the reason is not named.
pub async fn release(
    db: &Db,
    origin: Origin,
    door_system: &str,
    card: &Card,
    who: &str,
    because: &str,
) -> Result<(), QuarantineError> {
    let who = one_line("who tolerates the card", who, LONGEST_NAME).map_err(QuarantineError::Invalid)?;
    let because =
        one_line("why the card is tolerated", because, LONGEST_TEXT).map_err(QuarantineError::Invalid)?;
    let mut tx = db.write(origin).await?;
    let released = release_in(&mut tx, door_system, card, who, because).await;
    tx.end(released).await
}

async fn release_in(
    tx: &mut Tx,
    door_system: &str,
    card: &Card,
    who: &str,
    because: &str,
) -> Result<(), QuarantineError> {
    if let Some(owner) = credential_in(tx, card).await? {
        return Err(QuarantineError::Somebodys { card: *card, credential: owner.id.to_string() });
    }
    let subject = subject(door_system, card);
    let (name, now) = (card.to_string(), tx.now());
    let known: Option<(Option<Timestamp>,)> = tx
        .opt(
            sql!("SELECT released_at FROM quarantine WHERE door_system = $1 AND card = $2"),
            (door_system, &name),
        )
        .await?;
    match known {
        Some((Some(_),)) => return Err(QuarantineError::Released { card: *card }),
        Some((None,)) => {}
        // One that was only reported: what it opens was not noted.
        None => {
            let reported: Option<(Timestamp,)> = tx
                .opt(
                    sql!(
                        "SELECT opened_at FROM alert WHERE kind = $1 AND subject = $2 AND closed_at IS NULL"
                    ),
                    (alert::ORPHAN, &subject),
                )
                .await?;
            let Some((seen_at,)) = reported else {
                return Err(QuarantineError::NotFound { door_system: door_system.to_owned(), card: *card });
            };
            tx.run(
                sql!(
                    "INSERT INTO quarantine (door_system, card, opened, first_seen_at, found_at) \
                     VALUES ($1, $2, '[]', $3, $3) ON CONFLICT (door_system, card) DO NOTHING"
                ),
                (door_system, &name, seen_at),
            )
            .await?;
        }
    }
    tx.run_versioned(
        sql!(
            "UPDATE quarantine SET released_by = $3, released_because = $4, released_at = $5, listed_at = NULL \
             WHERE door_system = $1 AND card = $2 AND released_at IS NULL"
        ),
        (door_system, &name, who, because, now),
    )
    .await?;
    let body = QuarantineReleased {
        door_system: door_system.to_owned(),
        card: name,
        who: who.to_owned(),
        because: because.to_owned(),
    };
    tx.record(Fact::new(subject.clone(), &body).about(Subject::new("door_system", door_system)));
    alert::close_in(tx, alert::ORPHAN, &subject).await?;
    alert::close_in(tx, alert::QUARANTINED, &subject).await?;
    Ok(())
}

/// Undoes a release: where it stands on a list, the next sweep finds it as one of nobody.
///
/// # Errors
/// [`QuarantineError::NotReleased`]; [`QuarantineError::Invalid`] when somebody is not named.
pub async fn take_back(
    db: &Db,
    origin: Origin,
    door_system: &str,
    card: &Card,
    who: &str,
) -> Result<(), QuarantineError> {
    let who = one_line("who takes it back", who, LONGEST_NAME).map_err(QuarantineError::Invalid)?;
    let mut tx = db.write(origin).await?;
    let taken_back = take_back_in(&mut tx, door_system, card, who).await;
    tx.end(taken_back).await
}

async fn take_back_in(tx: &mut Tx, door_system: &str, card: &Card, who: &str) -> Result<(), QuarantineError> {
    let name = card.to_string();
    let taken_back = tx
        .run(
            sql!(
                "UPDATE quarantine SET released_by = NULL, released_because = NULL, released_at = NULL, \
                 listed_at = NULL WHERE door_system = $1 AND card = $2 AND released_at IS NOT NULL"
            ),
            (door_system, &name),
        )
        .await?;
    if taken_back == 0 {
        return Err(QuarantineError::NotReleased { door_system: door_system.to_owned(), card: *card });
    }
    // What was never taken off is found anew, and counted with all others.
    tx.run(
        sql!("DELETE FROM quarantine WHERE door_system = $1 AND card = $2 AND taken_off_at IS NULL"),
        (door_system, &name),
    )
    .await?;
    let subject = subject(door_system, card);
    let body = QuarantineTakenBack { door_system: door_system.to_owned(), card: name, who: who.to_owned() };
    tx.record(Fact::new(subject, &body).about(Subject::new("door_system", door_system)));
    Ok(())
}

/// The cards of nobody that were reported by now may be taken off, although there are so many: once. `found` is how
/// many somebody was shown ([`brakes`]). Answers that, and of how many that were listed.
///
/// # Errors
/// [`QuarantineError::NothingWaits`]; [`QuarantineError::FoundOtherwise`] when there are more by now, or fewer;
/// [`QuarantineError::Invalid`] when somebody is not named.
pub async fn confirm(
    db: &Db,
    origin: Origin,
    door_system: &str,
    found: i64,
    who: &str,
) -> Result<(i64, i64), QuarantineError> {
    let who = one_line("who confirms it", who, LONGEST_NAME).map_err(QuarantineError::Invalid)?;
    let mut tx = db.write(origin).await?;
    let confirmed = confirm_in(&mut tx, door_system, found, who).await;
    tx.end(confirmed).await
}

async fn confirm_in(
    tx: &mut Tx,
    door_system: &str,
    said: i64,
    who: &str,
) -> Result<(i64, i64), QuarantineError> {
    let now = tx.now();
    let confirmed: Option<(i64, i64)> = tx
        .opt(
            sql!(
                "UPDATE quarantine_brake SET confirmed_by = $3, confirmed_at = $4 \
                 WHERE door_system = $1 AND found = $2 RETURNING found, listed"
            ),
            (door_system, said, who, now),
        )
        .await?;
    let Some((found, listed)) = confirmed else {
        let text = sql!("SELECT found, listed FROM quarantine_brake WHERE door_system = $1");
        let waits: Option<(i64, i64)> = tx.opt(text, (door_system,)).await?;
        let door_system = door_system.to_owned();
        return Err(match waits {
            Some((found, listed)) => QuarantineError::FoundOtherwise { door_system, said, found, listed },
            None => QuarantineError::NothingWaits(door_system),
        });
    };
    let body =
        QuarantineConfirmed { door_system: door_system.to_owned(), who: who.to_owned(), found, listed };
    tx.record(Fact::new(Subject::new("door_system", door_system), &body));
    Ok((found, listed))
}

/// Cards that wait to be taken off, and those that were, the newest first; with `all` also those that are tolerated.
/// `limit` at most.
pub async fn list(db: &Db, all: bool, limit: i64) -> Result<Vec<Quarantined>, StoreError> {
    let rows: Vec<Row> = db
        .all(
            sql!(
                "SELECT door_system, card, opened, first_seen_at, found_at, taken_off_at, released_by, \
                 released_because, released_at, listed_at, confirmed_at FROM quarantine \
                 WHERE released_at IS NULL OR $1 ORDER BY found_at DESC, door_system, card LIMIT $2"
            ),
            (all, limit),
        )
        .await?;
    Ok(rows.into_iter().map(Row::told).collect())
}

/// Cards that somebody tolerates at a door system that is configured.
pub async fn tolerated(db: &Db) -> Result<Vec<Quarantined>, StoreError> {
    let rows: Vec<Row> = db
        .all(
            sql!(
                "SELECT q.door_system, q.card, q.opened, q.first_seen_at, q.found_at, q.taken_off_at, \
                 q.released_by, q.released_because, q.released_at, q.listed_at, q.confirmed_at FROM quarantine q \
                 JOIN door_system s ON s.name = q.door_system WHERE q.released_at IS NOT NULL \
                 ORDER BY q.door_system, q.card"
            ),
            (),
        )
        .await?;
    Ok(rows.into_iter().map(Row::told).collect())
}

/// Where nothing is taken off before somebody has looked.
pub async fn brakes(db: &Db) -> Result<Vec<Brake>, StoreError> {
    let rows: Vec<(String, i64, i64, Timestamp, Option<String>)> = db
        .all(
            sql!(
                "SELECT door_system, found, listed, since, confirmed_by FROM quarantine_brake \
                 ORDER BY door_system"
            ),
            (),
        )
        .await?;
    let told = |(door_system, found, listed, since, confirmed_by): (_, _, _, Timestamp, _)| Brake {
        door_system,
        found,
        listed,
        since: since.to_string(),
        confirmed_by,
    };
    Ok(rows.into_iter().map(told).collect())
}

#[derive(Clone, Debug, sqlx::FromRow)]
struct Row {
    door_system: String,
    card: String,
    opened: String,
    first_seen_at: Timestamp,
    found_at: Timestamp,
    taken_off_at: Option<Timestamp>,
    released_by: Option<String>,
    released_because: Option<String>,
    released_at: Option<Timestamp>,
    listed_at: Option<Timestamp>,
    /// When somebody said that it may go; `None` when it goes unasked.
    confirmed_at: Option<Timestamp>,
}

impl Row {
    fn state(&self) -> State {
        match (self.released_at, self.taken_off_at) {
            (Some(_), _) => State::Tolerated,
            (None, Some(_)) => State::Off,
            (None, None) => State::Waits,
        }
    }

    fn told(self) -> Quarantined {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let state = self.state();
        let released = self.released_by.zip(self.released_because).zip(self.released_at);
        Quarantined {
            door_system: self.door_system,
            card: self.card,
            state,
            opened: words(&self.opened),
            first_seen_at: self.first_seen_at.to_string(),
            found_at: self.found_at.to_string(),
            taken_off_at: text(self.taken_off_at),
            released: released.map(|((by, because), at)| Released {
                by,
                because,
                at: at.to_string(),
                listed_at: text(self.listed_at),
            }),
        }
    }
}

/// A text that cannot be read says nothing.
fn words(opened: &str) -> Vec<String> {
    serde_json::from_str(opened).unwrap_or_default()
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, door_system, first_seen_at, found_at, .. } = self;
        let opened = match self.opened.is_empty() {
            true => "nobody noted what it opens".to_owned(),
            false => format!("opened {}", self.opened.join("; ")),
        };
        write!(f, "{card} at {door_system}: {opened}; first found {first_seen_at}")?;
        match (&self.released, &self.taken_off_at) {
            (Some(Released { by, because, at, listed_at }), _) => {
                write!(f, "; tolerated by {by} since {at}: {because}; ")?;
                match listed_at {
                    Some(since) => write!(f, "on a list since {since}"),
                    None => write!(f, "on no list when it was looked for last"),
                }
            }
            (None, Some(at)) => write!(f, ", taken off {at}"),
            (None, None) => write!(f, ", to be taken off since {found_at}"),
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { door_system, found, listed, since, confirmed_by } = self;
        write!(f, "{door_system}: {found} of {listed} cards are nobody's since {since}; ")?;
        match confirmed_by {
            Some(who) => write!(f, "{who} has confirmed that they may go: the next sweep takes them off"),
            None => write!(
                f,
                "none is taken off before: cardea quarantine confirm {door_system} --found {found} --who NAME"
            ),
        }
    }
}

/// What a card opens by what was read, in words.
fn opened(seen: &ReadBack) -> Vec<String> {
    let rights = seen.points.iter().filter_map(|(point, reading)| match reading {
        Reading::Held(held) => held.access.map(|access| right(point, access, held)),
        Reading::Absent | Reading::Unread(_) => None,
    });
    rights.chain(seen.deviations.iter().map(ToString::to_string)).collect()
}

fn right(point: &AccessPointAddress, access: Access, held: &Held) -> String {
    let mut limits = Vec::new();
    if let Access::TimeProfile(number) = access {
        limits.push(format!("time profile {number}"));
    }
    limits.extend(held.valid_from.map(|day| format!("from {day}")));
    limits.extend(held.valid_to.map(|day| format!("to {day}")));
    match limits.is_empty() {
        true => point.to_string(),
        false => format!("{point} ({})", limits.join(", ")),
    }
}

/// Whose card this is, inside a transaction.
async fn credential_in(tx: &mut Tx, card: &Card) -> Result<Option<Credential>, StoreError> {
    let Some((format, facility, number)) = card.row() else { return Ok(None) };
    credential::by_card_in(tx, format, facility, number).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Deviation;

    #[test]
    fn what_a_card_opened_is_told_in_words_with_its_hours_its_days_and_what_else_stood_there() {
        let held = |access, valid_to| Reading::Held(Held { access, valid_from: None, valid_to });
        let day = jiff::civil::date(2030, 1, 1);
        let mut seen = ReadBack::default();
        for (point, reading) in [
            ("a", held(Some(Access::Always), None)),
            ("b", held(Some(Access::TimeProfile(3)), Some(day))),
            ("c", held(None, None)),
            ("d", Reading::Absent),
            ("e", Reading::Unread("silent".into())),
        ] {
            seen.points.insert(point.into(), reading);
        }
        seen.deviations.insert(Deviation::Pin);
        seen.deviations.insert(Deviation::UnnamedDoor { unit: "7".into(), door: 4 });
        assert_eq!(
            opened(&seen),
            ["a", "b (time profile 3, to 2030-01-01)", "a PIN is set", "door 4 of 7, which has no name here"]
        );
    }
}
