//! Erasing bodies whose time is over.
//!
//! A body goes together with its salt, 128 random bits without which nobody can find out by trying which body a digest
//! is of. The envelope and its link stay, so the journal verifies as before, and tells how many bodies it has lost.
//! What was erased is a fact, too: of which kind, up to when, and how many.
//!
//! Nobody loses what they have not heard. A body stays while a message of its fact is on its way, while the fact has
//! no place in the order, and while an exporter has yet to hand it on. But what nobody mends must not keep what should
//! be gone: a message is waited for no longer than [`PATIENCE`], and so is an exporter that stands still. One that
//! comes forward has all the time it needs, however old the facts are that it has before it: it may be new, or the time
//! that bodies are kept shorter than before. An exporter that was given up is sent the envelope, and that the body was
//! erased. A message that was given up keeps nothing. Which kinds are held up, and by what, is said once a day.
//!
//! What was erased does not come back, so a clock is believed only when it has gone on for a day without a leap
//! (`clock.rs`), and nothing is erased at the first look after a start.
//!
//! Times are whole days in UTC, so each kind has one fact a day, or one for each [`PAGE`] where there is much to do.
//! Kinds are walked one by one along their index, each behind a cursor of its own, since each has a time of its own.
//!
//! What it is not: it knows no kind. How long each is kept is configured.

mod clock;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use kernel::{Subject, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::follower::{self, Standing};
use store::{Db, Fact, FactBody, Origin, StoreError, Tx, sql};

use crate::export;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long bodies are kept unless the configuration says otherwise: a year, and time to look back on it.
pub const USUAL: Duration = Duration::from_secs(400 * 24 * 3600);
/// No body may be kept shorter: receipts, messages and people who look back need them so long.
pub const SHORTEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How much longer a body is kept for a message that is on its way; and how long an exporter may stand still before
/// bodies are not kept for it any more.
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

/// Why bodies stay although their time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// A message to this sink is on its way.
    Message(String),
    /// They have no place in the order.
    Order,
    /// The exporter with this cursor has yet to hand them on.
    Export(String),
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(sink) => write!(f, "a message on its way to {sink}; see: cardea deliveries"),
            Self::Order => {
                write!(f, "facts without a place in the order, which the audit follower gives them")
            }
            Self::Export(cursor) => write!(f, "{cursor}, whose receiver has not taken them"),
        }
    }
}

/// What a look has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many bodies were erased.
    pub bodies: u64,
    /// Which kinds are held up, and by what. Said at the first look of a day that finds any.
    pub held: BTreeMap<String, HeldBy>,
}

/// Erases bodies, a bounded part of what is due at each look.
#[derive(Debug)]
pub struct Eraser {
    retention: Retention,
    /// The cursors of exporters.
    exports: Vec<String>,
    has_looked: AtomicBool,
    /// The day on which it was last said what is held up.
    said_on: AtomicI64,
}

impl Eraser {
    /// Of a house that has just begun. `exports` are the names of those who must have handed a fact on before.
    #[must_use]
    pub fn new(retention: Retention, exports: Vec<String>) -> Self {
        let exports = exports.iter().map(|name| export::cursor_of(name)).collect();
        Self { retention, exports, has_looked: AtomicBool::new(false), said_on: AtomicI64::new(i64::MIN) }
    }

    /// Looks once, and erases if the clock may be believed; never the first time. To be called each minute. Safe at any
    /// number of callers at once.
    pub async fn look(&self, db: &Db) -> Result<Erased, StoreError> {
        let is_first = !self.has_looked.swap(true, Ordering::Relaxed);
        let believed = clock::believed(db).await?.filter(|_| !is_first);
        let Some(now) = believed else { return Ok(Erased::default()) };
        let mut exports = follower::waited_for(db, &self.exports).await?;
        exports.retain(|export| export.moved_at >= now.minus(PATIENCE));
        let mut erased = Erased::default();
        let mut kind = String::new();
        while let Some(next) = kind_after(db, &kind).await? {
            if let Some(kept) = self.retention.of(&next) {
                let due = Due::new(now, kept, &exports);
                let (bodies, held_by) = erase_kind(db, &next, &due).await?;
                erased.bodies += bodies;
                erased.held.extend(held_by.map(|held_by| (next.clone(), held_by)));
            }
            kind = next;
        }
        let today = beginning_of_day(now).as_millis();
        if !erased.held.is_empty() && self.said_on.swap(today, Ordering::Relaxed) == today {
            erased.held.clear();
        }
        Ok(erased)
    }
}

/// What of a kind is due at a look, and who must have heard of it.
struct Due<'a> {
    /// What was recorded before is over.
    until: Timestamp,
    /// For messages of what was recorded before, nobody waits any longer.
    no_longer: Timestamp,
    exports: &'a [Standing],
}

impl<'a> Due<'a> {
    fn new(now: Timestamp, kept: Duration, exports: &'a [Standing]) -> Self {
        let until = beginning_of_day(now.minus(kept));
        Self { until, no_longer: until.minus(PATIENCE), exports }
    }

    /// Who must hear of a fact still.
    fn awaited(&self, fact: &Over) -> Option<HeldBy> {
        if let Some(sink) = fact.message.as_ref().filter(|_| fact.at >= self.no_longer) {
            return Some(HeldBy::Message(sink.clone()));
        }
        let Some(seq) = fact.seq else { return Some(HeldBy::Order) };
        let behind = self.exports.iter().find(|export| export.seq < seq)?;
        Some(HeldBy::Export(behind.name.clone()))
    }
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
    /// The sink of a message that is on its way with it.
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

/// How many bodies of a kind it has erased, and what stopped it, if anything did.
async fn erase_kind(db: &Db, kind: &str, due: &Due<'_>) -> Result<(u64, Option<HeldBy>), StoreError> {
    let mut erased = 0;
    for _ in 0..PAGES {
        let place = Place::of(db, kind).await?;
        let over = page(db, kind, &place, due.until).await?;
        let held = over.iter().enumerate().find_map(|(at, fact)| Some((at, due.awaited(fact)?)));
        let heard = &over[..held.as_ref().map_or(over.len(), |(at, _)| *at)];
        if let Some((first, last)) = heard.first().zip(heard.last()) {
            let mut tx = db.write(Origin::system()).await?;
            let outcome = erase_page(&mut tx, kind, &place, (first, last), due.no_longer).await;
            match tx.end(outcome).await {
                Ok(bodies) => erased += bodies,
                // Somebody else is at it, or at a message of it: the next look sees.
                Err(StoreError::Conflict) => return Ok((erased, None)),
                Err(error) => return Err(error),
            }
        }
        if heard.len() < PAGE as usize {
            return Ok((erased, held.map(|(_, held_by)| held_by)));
        }
    }
    Ok((erased, None))
}

/// The next facts of a kind whose time is over, in the order of recording.
async fn page(db: &Db, kind: &str, after: &Place, until: Timestamp) -> Result<Vec<Over>, StoreError> {
    db.all(
        sql!(
            "SELECT f.at, f.id, f.seq, (SELECT MIN(d.sink) FROM delivery d WHERE d.fact = f.id AND NOT d.reconcile \
             AND d.dead_at IS NULL) AS message FROM fact f WHERE f.kind = $1 AND f.at >= $2 AND f.at < $4 \
             AND (f.at, f.id) > ($2, $3) ORDER BY f.at, f.id LIMIT $5"
        ),
        (kind, after.at, &after.id, until, PAGE),
    )
    .await
}

/// INVARIANT: the cursor moves from where it was read, so of two who erase the same page one succeeds; and it moves
/// past nothing that is kept: a message that came to life again since the page was read undoes all of it.
async fn erase_page(
    tx: &mut Tx,
    kind: &str,
    after: &Place,
    (first, last): (&Over, &Over),
    no_longer: Timestamp,
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
                 AND (at, id) >= ($2, $3) AND (at, id) <= ($4, $5) AND (salt IS NOT NULL OR body IS NOT NULL) \
                 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.fact = fact.id AND NOT d.reconcile \
                 AND d.dead_at IS NULL AND fact.at >= $6)"
            ),
            (kind, first.at, &first.id, last.at, &last.id, no_longer),
        )
        .await?;
    let (kept,): (i64,) = tx
        .one(
            sql!(
                "SELECT COUNT(*) FROM fact WHERE kind = $1 AND at >= $2 AND at <= $4 AND (at, id) >= ($2, $3) \
                 AND (at, id) <= ($4, $5) AND (salt IS NOT NULL OR body IS NOT NULL)"
            ),
            (kind, first.at, &first.id, last.at, &last.id),
        )
        .await?;
    if kept > 0 {
        return Err(StoreError::Conflict);
    }
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
    use store::{Address, delivery};

    use super::*;
    use crate::house::{House, on_both_engines};
    use crate::sequence;

    on_both_engines! {
        a_message_that_comes_to_life_again_after_it_was_looked_at_keeps_its_body
    }

    async fn a_message_that_comes_to_life_again_after_it_was_looked_at_keeps_its_body(house: House) {
        let db = &house.one;
        let now = db.ctx().now();
        let body = BodiesErased { kind: "door.seen".into(), from: now, until: now, bodies: 1 };
        let message = Address::message("mail", Subject::new("user", "ada"));
        let mut tx = db.write(Origin::system()).await.unwrap();
        tx.record(Fact::new(Subject::new("fact_kind", "door.seen"), &body).to(message));
        tx.commit().await.unwrap();
        sequence(db).await.unwrap();
        house.tamper(sql!("UPDATE delivery SET dead_at = 1"), ()).await;
        house.advance(40 * DAY);
        let due = Due::new(db.ctx().now(), SHORTEST, &[]);
        let place = Place::of(db, BodiesErased::KIND).await.unwrap();
        let over = page(db, BodiesErased::KIND, &place, due.until).await.unwrap();
        let [only] = &over[..] else { panic!("{over:?}") };
        assert_eq!(due.awaited(only), None, "it was given up");
        let dead = delivery::dead(&house.two, 1).await.unwrap();
        assert!(delivery::retry(&house.two, Origin::system(), dead[0].id).await.unwrap());
        let mut tx = db.write(Origin::system()).await.unwrap();
        let outcome = erase_page(&mut tx, BodiesErased::KIND, &place, (only, only), due.no_longer).await;
        assert!(matches!(tx.end(outcome).await, Err(StoreError::Conflict)));
        let erased = sql!("SELECT COUNT(*) FROM fact WHERE body IS NULL");
        let passed = sql!("SELECT COUNT(*) FROM erasure");
        assert_eq!((house.count(erased).await, house.count(passed).await), (0, 0));
    }

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
