//! A lane runs one sink: claims what is due, hands it to the sink, settles or puts off.
//!
//! Each sink has a lane of its own, so a slow door never delays a logout token. A lane works on several
//! deliveries at once and keeps one place that only a revocation may take, so no grant that waits stands before
//! a revocation, and none that is being worked on occupies its place. It works on one delivery per subject at
//! a time: a late grant must not reach a door after the revocation it lost to.
//!
//! A revocation waits for no disk, either. Others are claimed by a task of their own, and where this process is
//! the only one (SQLite), a reconciler's revocation is begun without a claim: nobody else would take it, and
//! should we die, the row is due as it was.
//!
//! To add a sink: implement [`Sink`], name it in [`Sinks`](crate::Sinks), start a [`Lane`] where the server
//! wires rooms.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use kernel::Timestamp;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::delivery::{Delivery, Priority, Settlement, claim_free, due_revocations, outlook};
use crate::{Db, Origin, StoreError};

/// What a sink has done with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Done; the lane completes the row.
    Done,
    /// Done, and the sink completed the row in its own transaction ([`Delivery::complete`]).
    Already,
}

/// Why a sink could not deliver.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Try again later.
    #[error("{0}")]
    Retry(String),
    /// Try again, but only so much later: each attempt does harm of its own.
    #[error("{0}")]
    Later(String, Duration),
    /// Trying again cannot help: a message is dead-lettered; a reconciler is tried at the longest interval.
    #[error("{0}")]
    Dead(String),
    /// The database failed: try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Somebody who must hear of facts.
#[async_trait::async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Delivers. Must be safe to do twice, and bounded in time well below the lane's lease: at its end the
    /// attempt is dropped and counts as failed. A panic is a failure, too.
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError>;

    /// A delivery failed; the row waits since `delivery.created_at`. For alerts.
    async fn failed(&self, _delivery: &Delivery, _error: &SinkError) {}
}

/// How a lane runs.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The sink's name.
    pub sink: String,
    /// How many deliveries at once, beside the place for a revocation.
    pub workers: usize,
    /// How long a claim lasts. A worker that hangs gives its row back after that; those of a process that died are
    /// given back at once by whoever serves ([`Db::serve`]).
    pub lease: Duration,
    /// The first pause after a failure; doubles up to `longest_pause`.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// How many attempts a message gets before it is dead-lettered. Reconcilers never give up.
    pub attempts: i64,
}

/// How often a lane looks without being woken: the net under lost notices and leases that ran out.
const POLL: Duration = Duration::from_secs(1);
/// How soon at the earliest it looks again by itself.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// How many deliveries [`Lane::drain`] claims at once.
const DRAINED_AT_ONCE: i64 = 16;

impl Lane {
    /// Sensible defaults: 4 workers, 30 s lease, pauses of 1 s to 60 s, 12 attempts.
    #[must_use]
    pub fn new(sink: impl Into<String>) -> Self {
        Self {
            sink: sink.into(),
            workers: 4,
            lease: Duration::from_secs(30),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            attempts: 12,
        }
    }

    /// Runs until `stop` turns true (or its sender is gone), then finishes what it has claimed.
    pub async fn run(self, db: Db, sink: Arc<dyn Sink>, mut stop: watch::Receiver<bool>) {
        let mut places = Places::new(Attempt { lane: Arc::new(self), db, sink });
        let waker = places.attempt.db.waker(&places.attempt.lane.sink);
        while !*stop.borrow() {
            // Registered before the query, so what is recorded in between is not missed.
            let mut woken = std::pin::pin!(waker.notified());
            woken.as_mut().enable();
            let pause = places.fill().await.unwrap_or_else(|error| {
                tracing::warn!(lane = %places.attempt.lane.sink, %error, "a lane could not reach the database");
                POLL
            });
            tokio::select! {
                () = woken => {}
                () = places.one_is_free() => {}
                () = tokio::time::sleep(pause) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        while !places.working.is_empty() {
            places.one_is_free().await;
            places.begin_held();
        }
    }

    /// Delivers everything that is due now, once each, in this task: for tests and commands. Answers how
    /// many deliveries were tried.
    pub async fn drain(&self, db: &Db, sink: Arc<dyn Sink>) -> Result<usize, StoreError> {
        let attempt = Attempt { lane: Arc::new(self.clone()), db: db.clone(), sink };
        let mut tried = 0;
        loop {
            let claimed = crate::delivery::claim(db, &self.sink, self.lease, DRAINED_AT_ONCE, false).await?;
            if claimed.is_empty() {
                return Ok(tried);
            }
            tried += claimed.len();
            for delivery in claimed {
                attempt.make(&delivery).await?;
            }
        }
    }
}

/// The deliveries that are being worked on.
struct Places {
    attempt: Attempt,
    working: JoinSet<Ended>,
    /// The subject that each task is about.
    busy: HashMap<Id, String>,
    /// For how many places a claim is under way.
    claiming: usize,
    /// Until when none is begun: the last one failed, or found that others were faster.
    claims_rest: Instant,
    /// Claimed about a subject that a revocation has taken up meanwhile.
    held: Vec<Delivery>,
}

/// How a task of a lane ended.
enum Ended {
    /// A delivery was settled, or not.
    Attempt,
    /// These were claimed.
    Claim(Result<Vec<Delivery>, StoreError>),
}

impl Places {
    fn new(attempt: Attempt) -> Self {
        Self {
            attempt,
            working: JoinSet::new(),
            busy: HashMap::new(),
            claiming: 0,
            claims_rest: Instant::now(),
            held: Vec::new(),
        }
    }

    /// Begins as much as there is place for; then how long nothing more will be due.
    async fn fill(&mut self) -> Result<Duration, StoreError> {
        self.begin_held();
        while self.begin_revocations().await? {}
        loop {
            let next = outlook(&self.attempt.db, &self.attempt.lane.sink, &self.subjects()).await?;
            let now = self.attempt.db.ctx().now();
            let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
            if is_due(next.revocation) && self.free_for_revocations() > 0 {
                if !self.begin_revocations().await? && !self.claim_revocations().await? {
                    // Another node was faster.
                    return Ok(SHORTEST_PAUSE);
                }
                continue;
            }
            let rest = self.claims_rest.saturating_duration_since(Instant::now());
            if is_due(next.normal) && rest.is_zero() {
                self.claim_others();
            }
            // What is due and has no place begins when one becomes free.
            let coming = next.revocation.into_iter().chain(next.normal).filter(|due| *due > now).min();
            let pause = coming.map_or(POLL, |due| due.since(now).clamp(SHORTEST_PAUSE, POLL));
            return Ok(if rest.is_zero() { pause } else { pause.min(rest) });
        }
    }

    fn subjects(&self) -> Vec<&str> {
        self.busy.values().map(String::as_str).collect()
    }

    fn free_for_revocations(&self) -> usize {
        let taken = self.busy.len() + self.held.len() + self.claiming;
        (self.attempt.lane.workers + 1).saturating_sub(taken)
    }

    /// Begins due revocations of reconcilers without a claim, where nobody else could claim them. `false` when
    /// there is none, or no place.
    async fn begin_revocations(&mut self) -> Result<bool, StoreError> {
        let Attempt { lane, db, .. } = &self.attempt;
        let limit = rows(self.free_for_revocations());
        if db.is_postgres() || limit == 0 {
            return Ok(false);
        }
        let due = due_revocations(db, &lane.sink, limit, &self.subjects()).await?;
        let found = !due.is_empty();
        due.into_iter().for_each(|delivery| self.begin(delivery));
        Ok(found)
    }

    async fn claim_revocations(&mut self) -> Result<bool, StoreError> {
        let Attempt { lane, db, .. } = &self.attempt;
        let limit = rows(self.free_for_revocations());
        let subjects = self.subjects();
        let claimed = claim_free(db, &lane.sink, lane.lease, limit, Priority::Revocation, &subjects).await?;
        let found = !claimed.is_empty();
        claimed.into_iter().for_each(|delivery| self.begin(delivery));
        Ok(found)
    }

    /// Claims what is not a revocation, beside everything else: a claim is a commit, and takes its time.
    fn claim_others(&mut self) {
        let places = self.free_for_revocations().saturating_sub(1);
        if self.claiming > 0 || places == 0 {
            return;
        }
        self.claiming = places;
        let Attempt { lane, db, .. } = self.attempt.clone();
        let busy: Vec<String> = self.busy.values().cloned().collect();
        self.working.spawn(async move {
            let busy: Vec<&str> = busy.iter().map(String::as_str).collect();
            Ended::Claim(claim_free(&db, &lane.sink, lane.lease, rows(places), Priority::Normal, &busy).await)
        });
    }

    /// Begins what was claimed while its subject was taken up, once it is free.
    fn begin_held(&mut self) {
        for delivery in std::mem::take(&mut self.held) {
            self.begin_or_hold(delivery);
        }
    }

    fn begin_or_hold(&mut self, delivery: Delivery) {
        if self.busy.values().any(|subject| *subject == delivery.subject) {
            self.held.push(delivery);
        } else {
            self.begin(delivery);
        }
    }

    fn begin(&mut self, delivery: Delivery) {
        let attempt = self.attempt.clone();
        let subject = delivery.subject.clone();
        let task = self.working.spawn(async move {
            if let Err(error) = attempt.make(&delivery).await {
                tracing::warn!(lane = %attempt.lane.sink, %error, "a delivery could not be settled");
                // The lease gives the row back; one that was not claimed is due at once, and the database may
                // need a moment.
                tokio::time::sleep(attempt.lane.first_pause).await;
            }
            Ended::Attempt
        });
        self.busy.insert(task.id(), subject);
    }

    /// Waits for the end of one delivery, or of a claim; for ever when there is none.
    async fn one_is_free(&mut self) {
        let id = match self.working.join_next_with_id().await {
            Some(Ok((id, Ended::Attempt))) => id,
            Some(Ok((id, Ended::Claim(claimed)))) => {
                self.end_claim(claimed);
                id
            }
            Some(Err(error)) => {
                tracing::error!(lane = %self.attempt.lane.sink, %error, "a lane's task failed");
                if !self.busy.contains_key(&error.id()) {
                    self.claiming = 0;
                    self.claims_rest = Instant::now() + POLL;
                }
                error.id()
            }
            None => std::future::pending().await,
        };
        self.busy.remove(&id);
    }

    /// What was due and could not be claimed still is: without a rest the lane would try again at once, for ever.
    fn end_claim(&mut self, claimed: Result<Vec<Delivery>, StoreError>) {
        self.claiming = 0;
        match claimed {
            Ok(claimed) => {
                if claimed.is_empty() {
                    self.claims_rest = Instant::now() + SHORTEST_PAUSE;
                }
                claimed.into_iter().for_each(|delivery| self.begin_or_hold(delivery));
            }
            Err(error) => {
                self.claims_rest = Instant::now() + POLL;
                tracing::warn!(lane = %self.attempt.lane.sink, %error, "a lane could not claim");
            }
        }
    }
}

/// So many places as a number of rows.
fn rows(places: usize) -> i64 {
    i64::try_from(places).unwrap_or(i64::MAX)
}

/// What each attempt needs.
#[derive(Clone)]
struct Attempt {
    lane: Arc<Lane>,
    db: Db,
    sink: Arc<dyn Sink>,
}

impl Attempt {
    async fn make(&self, delivery: &Delivery) -> Result<(), StoreError> {
        match self.deliver(delivery).await {
            Ok(Settled::Already) => Ok(()),
            Ok(Settled::Done) => self.complete(delivery).await,
            Err(error) => self.postpone(delivery, error).await,
        }
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let delivering = AssertUnwindSafe(self.sink.deliver(delivery)).catch_unwind();
        match tokio::time::timeout(self.lane.lease, delivering).await {
            Ok(Ok(settled)) => settled,
            Ok(Err(_)) => Err(SinkError::Retry("the sink panicked".into())),
            Err(_) => Err(SinkError::Retry("the sink took longer than its lease".into())),
        }
    }

    async fn complete(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let settled = delivery.complete(&mut tx).await;
        if tx.end(settled).await? == Settlement::DueAgain {
            tracing::debug!(lane = %self.lane.sink, subject = %delivery.subject, "raised while it was worked on");
        }
        Ok(())
    }

    async fn postpone(&self, delivery: &Delivery, error: SinkError) -> Result<(), StoreError> {
        let hopeless = matches!(error, SinkError::Dead(_));
        let dead = !delivery.reconcile && (hopeless || delivery.attempt >= self.lane.attempts);
        let pause = match error {
            SinkError::Dead(_) => self.lane.longest_pause,
            SinkError::Later(_, pause) => pause,
            SinkError::Retry(_) | SinkError::Store(_) => self.back_off(delivery.attempt),
        };
        tracing::warn!(
            lane = %self.lane.sink, subject = %delivery.subject, attempt = delivery.attempt, dead, %error,
            "a delivery failed"
        );
        self.sink.failed(delivery, &error).await;
        delivery.postpone(&self.db, &error.to_string(), pause, dead).await
    }

    /// Exponential with a cap, less up to a fifth at random so that a crowd does not return at once.
    fn back_off(&self, attempt: i64) -> Duration {
        let [random] = self.db.ctx().random::<1>();
        self.lane.pause_after(attempt).mul_f64(1.0 - f64::from(random) / 255.0 / 5.0)
    }
}

impl Lane {
    fn pause_after(&self, attempt: i64) -> Duration {
        let doublings = u32::try_from(attempt.clamp(1, 17) - 1).unwrap_or(16);
        self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let lane = Lane::new("sink");
        for (attempt, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1_000_000, 60), (0, 1), (-5, 1)]
        {
            assert_eq!(lane.pause_after(attempt), Duration::from_secs(seconds), "attempt {attempt}");
        }
        let slow = Lane { first_pause: Duration::MAX, longest_pause: Duration::MAX, ..lane };
        assert_eq!(slow.pause_after(17), Duration::MAX);
    }
}
