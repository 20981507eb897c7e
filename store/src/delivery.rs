//! Deliveries: a fact on its way to one sink.
//!
//! Two kinds. *Messages* (mail, back-channel logout) keep their order per sink and subject and are gone
//! when delivered; a double carries the same id. *Reconcilers* (doors, entitlement) hold one row per sink
//! and subject: recording raises its version and priority, sets it due at once and resets the back-off; the
//! fact is only a hint that the wanted state changed.
//!
//! Claiming leases a row instead of locking it (it moves `due_at`), and completion is fenced: every claim
//! raises `claim`, and only the latest claimant may settle the row. A reconciler that finishes although the
//! row was raised meanwhile, or claimed by another, leaves the row due, so late work of an old version is
//! always followed by a look at the new one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use kernel::id::{DeliveryId, FactId};
use kernel::{Ctx, Subject, Timestamp};

use crate::journal::{Message, Reconcile};
use crate::{Db, Fact, Origin, StoreError, StoredFact, Tx, Value, sql};

/// Who goes first in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// In the order of `due_at`.
    Normal = 0,
    /// Before everything that is not a revocation.
    Revocation = 1,
}

/// One sink that a fact must reach, and what the sink keys its work by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The sink's name.
    pub sink: String,
    /// What order or state is kept by.
    pub subject: Subject,
    /// Whether the sink reconciles (one row per subject) or takes messages (one row per fact).
    pub reconcile: bool,
    /// Who goes first.
    pub priority: Priority,
}

impl Address {
    /// A message: ordered per sink and subject.
    #[must_use]
    pub fn message(sink: impl Into<String>, subject: Subject) -> Self {
        Self { sink: sink.into(), subject, reconcile: false, priority: Priority::Normal }
    }

    /// A hint to a reconciler: look at this subject again.
    #[must_use]
    pub fn reconcile(sink: impl Into<String>, subject: Subject) -> Self {
        Self { sink: sink.into(), subject, reconcile: true, priority: Priority::Normal }
    }

    /// The same, overtaking what is not a revocation.
    #[must_use]
    pub fn revoking(mut self, revokes: bool) -> Self {
        self.priority = if revokes { Priority::Revocation } else { Priority::Normal };
        self
    }

    pub(crate) fn key(&self) -> (&str, &Subject) {
        (&self.sink, &self.subject)
    }
}

type Route = dyn Fn(&Fact) -> Vec<Address> + Send + Sync;

/// Which sinks hear of which facts. Rooms add their routes when they start; door systems come and go.
#[derive(Clone, Default)]
pub struct Sinks {
    routes: Arc<RwLock<Vec<(String, Arc<Route>)>>>,
}

impl Sinks {
    /// Adds or replaces the route of this name: given a fact, the addresses it goes to.
    pub fn set(&self, name: impl Into<String>, route: impl Fn(&Fact) -> Vec<Address> + Send + Sync + 'static) {
        let name = name.into();
        self.remove(&name);
        self.write().push((name, Arc::new(route)));
    }

    /// Forgets the route of this name.
    pub fn remove(&self, name: &str) {
        self.write().retain(|(existing, _)| existing != name);
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Vec<(String, Arc<Route>)>> {
        // A panic inside a route leaves the list whole: routes only read.
        self.routes.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn addressed(&self, fact: &Fact) -> Vec<Address> {
        let routes = self.routes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        routes.iter().flat_map(|(_, route)| route(fact)).collect()
    }
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sinks")
    }
}

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
    /// When it became due by a fact.
    pub created_at: Timestamp,
    /// How long it waits already is since here.
    pub last_error: Option<String>,
}

/// What became of a settled claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: nothing of this row is left to do.
    Done,
    /// The row was raised or claimed by another meanwhile, and is due again.
    DueAgain,
}

impl Delivery {
    /// The subject's id without its kind.
    #[must_use]
    pub fn subject_id(&self) -> &str {
        self.subject.split_once(':').map_or("", |(_, id)| id)
    }

    /// Reads the fact.
    pub async fn fact(&self, db: &Db) -> Result<Option<StoredFact>, StoreError> {
        db.opt(
            sql!("SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact WHERE id = $1"),
            (self.fact,),
        )
        .await
    }

    /// Marks it done, inside the transaction of what was achieved.
    pub async fn complete(&self, tx: &mut Tx) -> Result<Settlement, StoreError> {
        if !self.reconcile {
            let gone = tx.run(sql!("DELETE FROM delivery WHERE id = $1 AND claim = $2"), (self.id, self.claim)).await?;
            return Ok(if gone == 1 { Settlement::Done } else { Settlement::DueAgain });
        }
        let now = tx.now();
        let done = tx
            .run(
                sql!(
                    "UPDATE delivery SET done_version = $3, due_at = NULL, attempt = 0, priority = 0, last_error = NULL \
                     WHERE id = $1 AND claim = $2 AND version = $3"
                ),
                (self.id, self.claim, self.version),
            )
            .await?;
        if done == 1 {
            return Ok(Settlement::Done);
        }
        // Raised meanwhile: it is due by the raise. Claimed by another meanwhile: what that one saw may be
        // older than what we just did, so make it look again.
        tx.run(
            sql!("UPDATE delivery SET due_at = $2 WHERE id = $1 AND (due_at IS NULL OR due_at > $2)"),
            (self.id, now),
        )
        .await?;
        tx.wake(&self.sink);
        Ok(Settlement::DueAgain)
    }

    /// Puts it off after a failure: due again after `delay`, or dead when `dead`. Fenced: a later claimant's
    /// row is left alone.
    pub async fn postpone(&self, db: &Db, error: &str, delay: Duration, dead: bool) -> Result<(), StoreError> {
        let now = db.ctx().now();
        let short: String = error.chars().take(500).collect();
        db.change(
            Origin::system(),
            sql!(
                "UPDATE delivery SET due_at = $3, last_error = $4, dead_at = $5 \
                 WHERE id = $1 AND claim = $2 AND version = $6"
            ),
            (self.id, self.claim, now.plus(delay), short, dead.then_some(now), self.version),
            Vec::new(),
        )
        .await?;
        Ok(())
    }
}

/// Claims up to `limit` due rows of a sink for `lease`, revocations first. With `revocations_only` nothing
/// else is claimed: the second worker of a lane, which no grant can occupy.
pub async fn claim(
    db: &Db,
    sink: &str,
    lease: Duration,
    limit: i64,
    revocations_only: bool,
) -> Result<Vec<Delivery>, StoreError> {
    let now = db.ctx().now();
    let mut tx = db.write(Origin::system()).await?;
    let text = if db.is_postgres() { CLAIM_LOCKING } else { CLAIM };
    let claimed = tx
        .all::<Delivery>(text, (sink, now, now.plus(lease), limit, i64::from(revocations_only)))
        .await;
    let mut claimed = tx.end(claimed).await?;
    claimed.sort_by_key(|delivery| (-delivery.priority, delivery.created_at));
    Ok(claimed)
}

const CLAIM: crate::Sql = sql!(
    "WITH picked AS ( \
         SELECT id FROM delivery d WHERE sink = $1 AND due_at <= $2 AND dead_at IS NULL AND priority >= $5 \
         AND (reconcile OR NOT EXISTS (SELECT 1 FROM delivery e WHERE e.sink = d.sink AND e.subject = d.subject \
              AND NOT e.reconcile AND e.dead_at IS NULL AND e.position < d.position)) \
         ORDER BY priority DESC, due_at, position LIMIT $4) \
     UPDATE delivery SET due_at = $3, attempt = attempt + 1, claim = claim + 1 \
     WHERE id IN (SELECT id FROM picked) \
     RETURNING id, sink, subject, fact, reconcile, version, priority, attempt, claim, created_at, last_error"
);

/// The same with PostgreSQL's row locks, so that two nodes do not pick the same rows.
const CLAIM_LOCKING: crate::Sql = sql!(
    "WITH picked AS ( \
         SELECT id FROM delivery d WHERE sink = $1 AND due_at <= $2 AND dead_at IS NULL AND priority >= $5 \
         AND (reconcile OR NOT EXISTS (SELECT 1 FROM delivery e WHERE e.sink = d.sink AND e.subject = d.subject \
              AND NOT e.reconcile AND e.dead_at IS NULL AND e.position < d.position)) \
         ORDER BY priority DESC, due_at, position LIMIT $4 FOR UPDATE SKIP LOCKED) \
     UPDATE delivery SET due_at = $3, attempt = attempt + 1, claim = claim + 1 \
     WHERE id IN (SELECT id FROM picked) \
     RETURNING id, sink, subject, fact, reconcile, version, priority, attempt, claim, created_at, last_error"
);

/// When the next row of a sink becomes due, if any waits.
pub async fn next_due(db: &Db, sink: &str) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(Option<Timestamp>,)> = db
        .opt(sql!("SELECT MIN(due_at) FROM delivery WHERE sink = $1 AND due_at IS NOT NULL AND dead_at IS NULL"), (sink,))
        .await?;
    Ok(row.and_then(|(due,)| due))
}

/// How many rows are due or dead over all sinks: `(waiting, dead)`.
pub async fn depth(db: &Db) -> Result<(i64, i64), StoreError> {
    db.one(
        sql!(
            "SELECT COUNT(*) FILTER (WHERE dead_at IS NULL), COUNT(*) FILTER (WHERE dead_at IS NOT NULL) \
             FROM delivery WHERE due_at IS NOT NULL OR dead_at IS NOT NULL"
        ),
        (),
    )
    .await
}

/// Gives a dead delivery another life. `false` when there is no such dead delivery.
pub async fn retry(db: &Db, origin: Origin, id: DeliveryId) -> Result<bool, StoreError> {
    let revived = db
        .change(
            origin,
            sql!("UPDATE delivery SET dead_at = NULL, attempt = 0, due_at = $2 WHERE id = $1 AND dead_at IS NOT NULL"),
            (id, db.ctx().now()),
            Vec::new(),
        )
        .await?;
    Ok(revived == 1)
}

/// Makes one subject of a reconciler due without a fact: the sweep. Never lowers a priority.
pub fn hint(tx: &mut Tx, address: Address, fact: FactId) {
    tx.raise(Reconcile { address, fact });
}

/// Milliseconds times a thousand plus a running number: keeps the order of what one process records within
/// one millisecond.
fn position(now: Timestamp) -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let floor = now.as_millis().saturating_mul(1000);
    let next = |last: i64| floor.max(last + 1);
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        match LAST.compare_exchange_weak(last, next(last), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return next(last),
            Err(seen) => last = seen,
        }
    }
}

pub(crate) fn message_row(ctx: &Ctx, message: Message) -> [Value; 11] {
    row(ctx, message.address, message.fact)
}

pub(crate) fn reconcile_row(ctx: &Ctx, reconcile: Reconcile) -> [Value; 11] {
    row(ctx, reconcile.address, reconcile.fact)
}

fn row(ctx: &Ctx, address: Address, fact: FactId) -> [Value; 11] {
    let now = ctx.now();
    [
        DeliveryId::new(ctx).into(),
        address.sink.into(),
        address.subject.into(),
        fact.into(),
        address.reconcile.into(),
        1i64.into(),
        0i64.into(),
        (address.priority as i64).into(),
        now.into(),
        now.into(),
        position(now).into(),
    ]
}
