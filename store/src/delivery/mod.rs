//! Deliveries: a fact on its way to one sink.
//!
//! Two kinds. *Messages* (mail, back-channel logout) keep their order per sink and subject and are gone
//! when delivered; a double carries the same id. *Reconcilers* (doors, entitlement) hold one row per sink
//! and subject: recording raises its version and priority, sets it due at once and resets the back-off; the
//! fact is only a hint that the wanted state changed.
//!
//! Claiming leases a row instead of locking it (it moves `due_at`), and completion is fenced: every claim
//! raises `claim`, and only the latest claimant may settle the row. A reconciler that finishes although the
//! row was raised meanwhile leaves it due. One that finishes although another has claimed the row raises the
//! version once more, so late work of an old version is always followed by a look at the new one; one that fails
//! then does the same, since it may have been done in part.
//!
//! A message that fails holds back those behind it, out of sight of every look, until it is delivered or given up.
//!
//! What it is not: it runs no sink; that is [`lane`](crate::lane).

mod address;
mod claim;
mod release;
mod rows;

use std::time::Duration;

use kernel::Timestamp;
use kernel::id::{DeliveryId, FactId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address::{Address, Priority, Sinks};
pub use claim::{claim, next_due};
pub(crate) use claim::{claim_free, due_revocations, outlook};
pub(crate) use release::release_dead;
pub(crate) use rows::{Hint, Positions, Statement, insert, insert_messages, raise_reconcilers};

use crate::{Db, Fact, FactBody, Origin, Sql, StoreError, StoredFact, Tx, sql};

/// A claimed delivery.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Delivery {
    /// Stable over all attempts: a message sent twice carries it twice (`jti`, Message-ID).
    pub id: DeliveryId,
    /// The sink.
    pub sink: String,
    /// `kind:id` of what order or state is kept by.
    pub subject: String,
    /// The fact (of a message), or the last hint (of a reconciler).
    pub fact: FactId,
    /// Whether this is a reconciler's row.
    pub reconcile: bool,
    /// The version that was wanted when this was claimed.
    pub version: i64,
    /// 1 when it overtakes.
    pub priority: i64,
    /// How many claims since it last became due by a fact, this one included.
    pub attempt: i64,
    /// The fence: only the latest claimant settles.
    pub claim: i64,
    /// When it became due by a fact: how long it waits already.
    pub created_at: Timestamp,
    /// Why the attempt before this one failed.
    pub last_error: Option<String>,
}

/// What became of a settled claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: nothing of this row is left to do.
    Done,
    /// The row was raised or claimed by another meanwhile, and somebody will look again.
    DueAgain,
}

/// A message was given up: it is kept, and can be retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryDied {
    /// The sink that it did not reach.
    pub sink: String,
    /// Why the last attempt failed.
    pub error: String,
}
impl FactBody for DeliveryDied {
    const KIND: &'static str = "delivery.died";
    const ABOUT: &'static [&'static str] = &["delivery", "*"];
}

/// A dead message was given another life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryRetried {}
impl FactBody for DeliveryRetried {
    const KIND: &'static str = "delivery.retried";
    const ABOUT: &'static [&'static str] = &["delivery"];
}

/// How much of an error is kept, in characters.
const ERROR_LENGTH: usize = 500;

impl Delivery {
    /// The subject's id without its kind.
    #[must_use]
    pub fn subject_id(&self) -> &str {
        self.subject.split_once(':').map_or("", |(_, id)| id)
    }

    /// Reads the fact.
    pub async fn fact(&self, db: &Db) -> Result<Option<StoredFact>, StoreError> {
        db.opt(
            sql!(
                "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
                 WHERE id = $1"
            ),
            (self.fact,),
        )
        .await
    }

    /// Marks it done, inside the transaction of what was achieved: the last thing before its commit.
    pub async fn complete(&self, tx: &mut Tx) -> Result<Settlement, StoreError> {
        if self.reconcile { self.complete_look(tx).await } else { self.complete_message(tx).await }
    }

    async fn complete_message(&self, tx: &mut Tx) -> Result<Settlement, StoreError> {
        let gone =
            tx.run(sql!("DELETE FROM delivery WHERE id = $1 AND claim = $2"), (self.id, self.claim)).await?;
        if gone == 0 {
            return Ok(Settlement::DueAgain);
        }
        self.let_next_go(tx).await?;
        Ok(Settlement::Done)
    }

    async fn complete_look(&self, tx: &mut Tx) -> Result<Settlement, StoreError> {
        if let Ok(subject) = self.subject.parse() {
            tx.flush_raises_before(&self.sink, &subject).await?;
        }
        let done = tx
            .run(
                sql!(
                    "UPDATE delivery SET done_version = $3, due_at = NULL, attempt = 0, priority = 0, \
                     last_error = NULL, claimed_by = NULL WHERE id = $1 AND claim = $2 AND version = $3"
                ),
                (self.id, self.claim, self.version),
            )
            .await?;
        if done == 1 {
            return Ok(Settlement::Done);
        }
        self.demand_another_look(tx).await?;
        Ok(Settlement::DueAgain)
    }

    /// After work that does not count. Still ours: the row was raised meanwhile and is due now. Claimed by another:
    /// what that one saw may be older than what we just did, so its completion must not count. Were the row made
    /// due instead, a third would claim it, the second would find that, and so on for ever.
    async fn demand_another_look(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = tx.now();
        tx.run(
            sql!(
                "UPDATE delivery SET due_at = CASE WHEN due_at IS NULL OR claim = $2 THEN $3 ELSE due_at END, \
                 version = CASE WHEN claim = $2 THEN version ELSE version + 1 END, \
                 priority = CASE WHEN claim = $2 THEN priority ELSE 1 END, \
                 claimed_by = CASE WHEN claim = $2 THEN NULL ELSE claimed_by END WHERE id = $1"
            ),
            (self.id, self.claim, now),
        )
        .await?;
        tx.wake(&self.sink);
        Ok(())
    }

    /// Puts it off after a failure: due again after `delay` (at once, if it was raised meanwhile), or dead when
    /// `dead`. Fenced: a later claimant's message is left alone, and a later claimant's look is followed by another,
    /// since what failed late may have been done in part.
    pub async fn postpone(
        &self,
        db: &Db,
        error: &str,
        delay: Duration,
        dead: bool,
    ) -> Result<(), StoreError> {
        let mut tx = db.write(Origin::system()).await?;
        let error: String = error.chars().take(ERROR_LENGTH).collect();
        let put_off = self.put_off(&mut tx, error, delay, dead).await;
        tx.end(put_off).await
    }

    async fn put_off(
        &self,
        tx: &mut Tx,
        error: String,
        delay: Duration,
        dead: bool,
    ) -> Result<(), StoreError> {
        let now = tx.now();
        let ours = tx
            .run(
                sql!(
                    "UPDATE delivery SET due_at = CASE WHEN version = $3 THEN CAST($4 AS BIGINT) ELSE CAST($5 AS BIGINT) END, \
                     attempt = CASE WHEN version = $3 THEN CAST($8 AS BIGINT) ELSE attempt END, \
                     last_error = $6, dead_at = $7, claimed_by = NULL WHERE id = $1 AND claim = $2"
                ),
                (self.id, self.claim, self.version, now.plus(delay), now, &error, dead.then_some(now), self.attempt),
            )
            .await?;
        match (ours, self.reconcile) {
            (0, true) => self.demand_another_look(tx).await,
            (0, false) | (_, true) => Ok(()),
            (_, false) if dead => self.bury(tx, error).await,
            (_, false) => self.hold_followers_back(tx).await,
        }
    }

    async fn bury(&self, tx: &mut Tx, error: String) -> Result<(), StoreError> {
        let about = self.subject.parse().unwrap_or_else(|_| self.id.subject());
        let died = DeliveryDied { sink: self.sink.clone(), error };
        tx.record(Fact::new(self.id.subject(), &died).about(about));
        self.let_next_go(tx).await
    }

    /// Takes what waits behind a message that failed out of sight, so that no look reads it again and again.
    ///
    /// INVARIANT: the message's own row was changed in this transaction before. Whoever settles it next comes after
    /// our commit, and sees what is held back.
    async fn hold_followers_back(&self, tx: &mut Tx) -> Result<(), StoreError> {
        tx.run(
            sql!(
                "UPDATE delivery SET due_at = NULL WHERE sink = $1 AND subject = $2 AND NOT reconcile \
                 AND dead_at IS NULL AND due_at IS NOT NULL \
                 AND position > (SELECT position FROM delivery WHERE id = $3)"
            ),
            (&self.sink, &self.subject, self.id),
        )
        .await
        .map(drop)
    }

    /// Makes the message that waited behind this one due, if it was held back.
    async fn let_next_go(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = tx.now();
        let freed = tx
            .run(
                sql!(
                    "UPDATE delivery SET due_at = $3 WHERE due_at IS NULL AND id = (SELECT id FROM delivery \
                     WHERE sink = $1 AND subject = $2 AND NOT reconcile AND dead_at IS NULL \
                     ORDER BY position LIMIT 1)"
                ),
                (&self.sink, &self.subject, now),
            )
            .await?;
        if freed > 0 {
            tx.wake(&self.sink);
        }
        Ok(())
    }
}

/// [`depth`] counts no further: a crowd is a crowd, and counting it must not hold up whoever asks.
pub const COUNTED_AT_MOST: i64 = 10_000;

/// How many rows wait or are dead over all sinks: `(waiting, dead)`, each [`COUNTED_AT_MOST`] at most.
pub async fn depth(db: &Db) -> Result<(i64, i64), StoreError> {
    let (due, held_back, dead): (i64, i64, i64) = db.one(DEPTH, (COUNTED_AT_MOST,)).await?;
    Ok(((due + held_back).min(COUNTED_AT_MOST), dead))
}

/// Along three indexes, none of which holds what is done. (The order by sink leads to the one that holds nothing else.)
const DEPTH: Sql = sql!(
    "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE due_at IS NOT NULL AND dead_at IS NULL LIMIT $1) d), \
     (SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE due_at IS NULL AND dead_at IS NULL AND NOT reconcile \
     ORDER BY sink LIMIT $1) h), \
     (SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE dead_at IS NOT NULL LIMIT $1) e)"
);
/// A delivery that waits, or is being worked on.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Waiting {
    /// Which.
    pub id: DeliveryId,
    /// The sink that it must reach.
    pub sink: String,
    /// `kind:id` of what it is about.
    pub subject: String,
    /// 1 for a revocation.
    pub priority: i64,
    /// How often it was tried.
    pub attempt: i64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Since when it waits.
    pub created_at: Timestamp,
}

/// What waits, revocations first, then what waits longest, `limit` at most.
pub async fn waiting(db: &Db, limit: i64) -> Result<Vec<Waiting>, StoreError> {
    db.all(
        sql!(
            "SELECT id, sink, subject, priority, attempt, last_error, created_at FROM delivery \
             WHERE dead_at IS NULL AND (due_at IS NOT NULL OR NOT reconcile) \
             ORDER BY priority DESC, created_at, id LIMIT $1"
        ),
        (limit,),
    )
    .await
}

/// Whether a revocation waits that nobody has begun.
pub async fn untried_revocations(db: &Db) -> Result<bool, StoreError> {
    let text = sql!(
        "SELECT id FROM delivery WHERE priority = 1 AND attempt = 0 AND due_at IS NOT NULL AND dead_at IS NULL LIMIT 1"
    );
    Ok(db.opt::<(DeliveryId,)>(text, ()).await?.is_some())
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct DeadLetter {
    /// For [`retry`].
    pub id: DeliveryId,
    /// The sink that it did not reach.
    pub sink: String,
    /// `kind:id` of what it is about.
    pub subject: String,
    /// What it would have told.
    pub fact: FactId,
    /// How often it was tried.
    pub attempt: i64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Since when it is dead.
    pub dead_at: Timestamp,
}

/// The dead letters, the latest first, `limit` at most.
pub async fn dead(db: &Db, limit: i64) -> Result<Vec<DeadLetter>, StoreError> {
    db.all(
        sql!(
            "SELECT id, sink, subject, fact, attempt, last_error, dead_at FROM delivery WHERE dead_at IS NOT NULL \
             ORDER BY dead_at DESC, id DESC LIMIT $1"
        ),
        (limit,),
    )
    .await
}

/// Gives a dead delivery another life. `false` when there is no such dead delivery.
pub async fn retry(db: &Db, origin: Origin, id: DeliveryId) -> Result<bool, StoreError> {
    let mut tx = db.write(origin).await?;
    let text = sql!(
        "UPDATE delivery SET dead_at = NULL, attempt = 0, due_at = $2, claimed_by = NULL \
         WHERE id = $1 AND dead_at IS NOT NULL RETURNING sink"
    );
    let revived: Result<Option<(String,)>, StoreError> = tx.opt(text, (id, db.ctx().now())).await;
    if let Ok(Some((sink,))) = &revived {
        tx.wake(sink);
        tx.record(Fact::new(id.subject(), &DeliveryRetried {}));
    }
    Ok(tx.end(revived).await?.is_some())
}

/// Makes one subject of a reconciler due without a fact: the sweep. Never lowers a priority.
pub fn hint(tx: &mut Tx, address: Address, fact: FactId) {
    tx.raise(Hint { address, fact });
}
