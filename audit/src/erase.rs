//! Erasing bodies whose time is over.
//!
//! A body goes together with its salt, 128 random bits without which nobody can find out by trying which body a digest
//! is of. The envelope and its link stay, so the journal verifies as before, and tells how many bodies it has lost.
//! What was erased is a fact, too: of which kind, up to when, and how many.
//!
//! Nobody loses what they have not heard. A body stays while a message of its fact is on its way, while the fact has
//! no place in the order, and while an exporter has yet to hand it on; for an exporter no longer than [`PATIENCE`],
//! since a receiver that nobody mends must not keep what should be gone: it is sent the envelope then, and that the
//! body was erased. A message that was given up keeps nothing.
//!
//! Times are whole days in UTC, so each kind has one fact a day, or one for each [`PAGE`] where there is much to do.
//! Kinds are walked one by one along their index, each behind a cursor of its own, since each has a time of its own.
//!
//! What it is not: it knows no kind. How long each is kept is configured.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::{Subject, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Db, Fact, FactBody, Origin, StoreError, Tx, follower, sql};

use crate::export;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long bodies are kept unless the configuration says otherwise: a year, and time to look back on it.
pub const USUAL: Duration = Duration::from_secs(400 * 24 * 3600);
/// No body may be kept shorter: receipts, messages and people who look back need them so long.
pub const SHORTEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How much longer a body is kept for an exporter that has not handed it on.
pub const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// So many bodies in one transaction at most.
pub const PAGE: u32 = 500;
/// So many transactions for one kind at a time; what is left waits for the next time.
const PAGES: u32 = 4;

/// How long bodies are kept; nothing stands for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    usual: Option<Duration>,
    of: BTreeMap<String, Option<Duration>>,
}

impl Retention {
    /// `of` names kinds, or with a dot at the end beginnings of kinds; all others are kept as is usual.
    #[must_use]
    pub fn new(usual: Option<Duration>, of: BTreeMap<String, Option<Duration>>) -> Self {
        Self { usual, of }
    }

    /// How long bodies of this kind are kept: as its own name says, else as the longest beginning of it.
    #[must_use]
    pub fn of(&self, kind: &str) -> Option<Duration> {
        let begins = |name: &str| name.ends_with('.') && kind.starts_with(name);
        let beginnings = self.of.iter().filter(|(name, _)| begins(name));
        let closest = self.of.get_key_value(kind).or_else(|| beginnings.max_by_key(|(name, _)| name.len()));
        closest.map_or(self.usual, |(_, kept)| *kept)
    }
}

/// The bodies of facts of one kind were erased, since their time was over. Their envelopes stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BodiesErased {
    /// Of which kind.
    pub kind: String,
    /// When the first of these facts was recorded.
    pub from: Timestamp,
    /// When the last of them was.
    pub until: Timestamp,
    /// How many bodies.
    pub bodies: u64,
}

impl FactBody for BodiesErased {
    const KIND: &'static str = "journal.bodies-erased";
    const ABOUT: &'static [&'static str] = &["fact_kind"];
}

/// Erases what is due, a bounded part of it; answers how many bodies. `exports` are the names of those who must have
/// handed a fact on before. Safe at any number of callers at once.
pub async fn erase(db: &Db, retention: &Retention, exports: &[String]) -> Result<u64, StoreError> {
    let handed_on = handed_on(db, exports).await?;
    let mut erased = 0;
    let mut kind = String::new();
    while let Some(next) = kind_after(db, &kind).await? {
        if let Some(kept) = retention.of(&next) {
            erased += erase_kind(db, &next, kept, handed_on).await?;
        }
        kind = next;
    }
    Ok(erased)
}

/// The place in the order up to which every exporter has settled.
async fn handed_on(db: &Db, exports: &[String]) -> Result<i64, StoreError> {
    let mut handed_on = i64::MAX;
    for name in exports {
        handed_on = handed_on.min(follower::cursor(db, &export::cursor_of(name)).await?);
    }
    Ok(handed_on)
}

/// The next kind in the journal, whoever recorded it: one step along the index.
async fn kind_after(db: &Db, kind: &str) -> Result<Option<String>, StoreError> {
    let (next,): (Option<String>,) =
        db.one(sql!("SELECT MIN(kind) FROM fact WHERE kind > $1"), (kind,)).await?;
    Ok(next)
}

/// A fact whose time is over.
#[derive(Debug, sqlx::FromRow)]
struct Over {
    at: Timestamp,
    id: String,
    seq: Option<i64>,
    /// A message that is on its way with it.
    message: Option<String>,
}

/// How far a kind is erased.
#[derive(Debug, sqlx::FromRow)]
struct Place {
    at: Timestamp,
    id: String,
}

impl Place {
    async fn of(db: &Db, kind: &str) -> Result<Self, StoreError> {
        let place = db.opt(sql!("SELECT at, id FROM erasure WHERE kind = $1"), (kind,)).await?;
        Ok(place.unwrap_or_else(|| Self { at: Timestamp::from_millis(i64::MIN), id: String::new() }))
    }
}

async fn erase_kind(db: &Db, kind: &str, kept: Duration, handed_on: i64) -> Result<u64, StoreError> {
    let until = beginning_of_day(db.ctx().now().minus(kept));
    let no_longer = until.minus(PATIENCE);
    let mut erased = 0;
    for _ in 0..PAGES {
        let place = Place::of(db, kind).await?;
        let over = page(db, kind, &place, until).await?;
        let is_heard = |fact: &Over| {
            fact.message.is_none() && fact.seq.is_some_and(|seq| seq <= handed_on || fact.at < no_longer)
        };
        let heard = over.iter().take_while(|fact| is_heard(fact)).count();
        let Some((first, last)) = over[..heard].first().zip(over[..heard].last()) else { break };
        let mut tx = db.write(Origin::system()).await?;
        let outcome = erase_page(&mut tx, kind, &place, first, last).await;
        match tx.end(outcome).await {
            Ok(bodies) => erased += bodies,
            // Somebody else is at it.
            Err(StoreError::Conflict) => break,
            Err(error) => return Err(error),
        }
        if heard < PAGE as usize {
            break;
        }
    }
    Ok(erased)
}

/// The next facts of a kind whose time is over, in the order of recording.
async fn page(db: &Db, kind: &str, after: &Place, until: Timestamp) -> Result<Vec<Over>, StoreError> {
    db.all(
        sql!(
            "SELECT f.at, f.id, f.seq, (SELECT MIN(d.id) FROM delivery d WHERE d.fact = f.id AND NOT d.reconcile \
             AND d.dead_at IS NULL) AS message FROM fact f WHERE f.kind = $1 AND f.at >= $2 AND f.at < $4 \
             AND (f.at, f.id) > ($2, $3) ORDER BY f.at, f.id LIMIT $5"
        ),
        (kind, after.at, &after.id, until, PAGE),
    )
    .await
}

/// INVARIANT: the cursor moves from where it was read, so of two who erase the same page one succeeds.
async fn erase_page(
    tx: &mut Tx,
    kind: &str,
    after: &Place,
    first: &Over,
    last: &Over,
) -> Result<u64, StoreError> {
    let moved = tx
        .run(
            sql!(
                "INSERT INTO erasure (kind, at, id) VALUES ($1, $2, $3) ON CONFLICT (kind) DO UPDATE \
                 SET at = excluded.at, id = excluded.id WHERE erasure.at = $4 AND erasure.id = $5"
            ),
            (kind, last.at, &last.id, after.at, &after.id),
        )
        .await?;
    if moved != 1 {
        return Err(StoreError::Conflict);
    }
    let bodies = tx
        .run(
            sql!(
                "UPDATE fact SET salt = NULL, body = NULL WHERE kind = $1 AND at >= $2 AND at <= $4 \
                 AND (at, id) >= ($2, $3) AND (at, id) <= ($4, $5) AND (salt IS NOT NULL OR body IS NOT NULL)"
            ),
            (kind, first.at, &first.id, last.at, &last.id),
        )
        .await?;
    if bodies > 0 {
        let body = BodiesErased { kind: kind.to_owned(), from: first.at, until: last.at, bodies };
        tx.record(Fact::new(Subject::new("fact_kind", kind), &body));
    }
    Ok(bodies)
}

/// Of the day in UTC.
fn beginning_of_day(at: Timestamp) -> Timestamp {
    let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().div_euclid(day).saturating_mul(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_kept_as_its_name_says_else_as_the_longest_beginning_of_it() {
        let of = [
            ("door.", Some(DAY)),
            ("door.event", None),
            ("user.created", Some(2 * DAY)),
            ("user", Some(DAY)),
        ];
        let of = of.into_iter().map(|(name, kept)| (name.to_owned(), kept)).collect();
        let retention = Retention::new(Some(9 * DAY), of);
        for (kind, kept) in [
            ("door.event", None),
            ("door.events-lost", Some(DAY)),
            ("user.created", Some(2 * DAY)),
            ("user.changed", Some(9 * DAY)),
            ("doors.event", Some(9 * DAY)),
        ] {
            assert_eq!(retention.of(kind), kept, "{kind}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_before_1970_too() {
        for (at, begins) in [
            ("2026-11-27T23:59:59.999Z", "2026-11-27T00:00:00.000Z"),
            ("2026-11-27T00:00:00.000Z", "2026-11-27T00:00:00.000Z"),
            ("1969-12-31T12:00:00.000Z", "1969-12-31T00:00:00.000Z"),
        ] {
            assert_eq!(beginning_of_day(Timestamp::parse(at).unwrap()).to_string(), begins);
        }
    }
}
