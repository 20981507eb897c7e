//! A lane runs one sink: claims what is due, hands it to the sink, settles or puts off.
//!
//! Each sink has a lane of its own, so a slow door never delays a logout token. A lane has two kinds of
//! worker: the general ones, and one that takes revocations only, so no waiting grant stands before a
//! revocation, and none that is being worked on occupies its worker.
//!
//! To add a sink: implement [`Sink`], name it in [`Sinks`](crate::Sinks), start a [`Lane`] where the server
//! wires rooms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::task::JoinSet;

use crate::delivery::{self, Delivery, Settlement};
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
    /// Delivers. Must be safe to do twice, and bounded in time well below the lane's lease.
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError>;

    /// A delivery failed; the row waits since `delivery.created_at`. For alerts.
    async fn failed(&self, _delivery: &Delivery, _error: &SinkError) {}
}

/// How a lane runs.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The sink's name.
    pub sink: String,
    /// How many deliveries at once, beside the revocations' worker.
    pub workers: usize,
    /// How long a claim lasts; a worker that died gives its row back after that.
    pub lease: Duration,
    /// The first pause after a failure; doubles up to `longest_pause`.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// How many attempts a message gets before it is dead-lettered. Reconcilers never give up.
    pub attempts: i64,
}

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
    pub async fn run(self, db: Db, sink: Arc<dyn Sink>, stop: watch::Receiver<bool>) {
        let subjects = Subjects::default();
        let mut workers = JoinSet::new();
        for number in 0..=self.workers {
            let worker = Worker {
                lane: self.clone(),
                db: db.clone(),
                sink: sink.clone(),
                subjects: subjects.clone(),
                revocations_only: number == 0,
            };
            workers.spawn(worker.run(stop.clone()));
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(lane = %self.sink, %error, "a lane's worker panicked");
            }
        }
    }

    /// Delivers everything that is due now, once each, in this task: for tests and commands. Answers how
    /// many deliveries were tried.
    pub async fn drain(&self, db: &Db, sink: Arc<dyn Sink>) -> Result<usize, StoreError> {
        let worker = Worker {
            lane: self.clone(),
            db: db.clone(),
            sink,
            subjects: Subjects::default(),
            revocations_only: false,
        };
        let mut tried = 0;
        loop {
            let claimed = delivery::claim(db, &self.sink, self.lease, 16, false).await?;
            if claimed.is_empty() {
                return Ok(tried);
            }
            tried += claimed.len();
            for delivery in claimed {
                worker.deliver(delivery).await?;
            }
        }
    }
}

struct Worker {
    lane: Lane,
    db: Db,
    sink: Arc<dyn Sink>,
    subjects: Subjects,
    revocations_only: bool,
}

/// How often a lane looks without being woken: the net under lost notices and leases that ran out.
const POLL: Duration = Duration::from_secs(1);

impl Worker {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let waker = self.db.waker(&self.lane.sink);
        while !*stop.borrow() {
            // Registered before the query, so what is recorded in between is not missed.
            let mut woken = std::pin::pin!(waker.notified());
            woken.as_mut().enable();
            match self.work_once().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(lane = %self.lane.sink, %error, "a lane could not reach the database"),
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(self.pause().await) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Until the next row is due, a second at most.
    async fn pause(&self) -> Duration {
        match delivery::next_due(&self.db, &self.lane.sink).await {
            Ok(Some(due)) => due.since(self.db.ctx().now()).clamp(Duration::from_millis(5), POLL),
            _ => POLL,
        }
    }

    async fn work_once(&self) -> Result<bool, StoreError> {
        let claimed =
            delivery::claim(&self.db, &self.lane.sink, self.lane.lease, 1, self.revocations_only).await?;
        let worked = !claimed.is_empty();
        for delivery in claimed {
            self.deliver(delivery).await?;
        }
        Ok(worked)
    }

    async fn deliver(&self, delivery: Delivery) -> Result<(), StoreError> {
        // One at a time per subject: a late grant must not reach a door after the revocation it lost to.
        let _alone = self.subjects.enter(&delivery.subject).await;
        match self.sink.deliver(&delivery).await {
            Ok(Settled::Already) => Ok(()),
            Ok(Settled::Done) => self.complete(&delivery).await,
            Err(error) => self.postpone(&delivery, error).await,
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
        let pause = if hopeless { self.lane.longest_pause } else { self.back_off(delivery.attempt) };
        tracing::warn!(
            lane = %self.lane.sink, subject = %delivery.subject, attempt = delivery.attempt, dead, %error,
            "a delivery failed"
        );
        self.sink.failed(delivery, &error).await;
        delivery.postpone(&self.db, &error.to_string(), pause, dead).await
    }

    /// Exponential with a cap, less up to a fifth at random so that a crowd does not return at once.
    fn back_off(&self, attempt: i64) -> Duration {
        let doublings = u32::try_from(attempt.clamp(1, 17) - 1).unwrap_or(16);
        let full = self.lane.first_pause.saturating_mul(1 << doublings).min(self.lane.longest_pause);
        let [random] = self.db.ctx().random::<1>();
        full - full.mul_f64(f64::from(random) / 255.0 / 5.0)
    }
}

/// Who works on which subject.
#[derive(Clone, Default)]
struct Subjects {
    busy: Arc<StdMutex<HashMap<String, Arc<Mutex<()>>>>>,
}

struct Alone {
    subjects: Subjects,
    subject: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Subjects {
    async fn enter(&self, subject: &str) -> Alone {
        let gate = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.entry(subject.to_owned()).or_default().clone()
        };
        let guard = gate.lock_owned().await;
        Alone { subjects: self.clone(), subject: subject.to_owned(), guard: Some(guard) }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.guard = None;
        let mut busy = self.subjects.busy.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else holds or waits for it: forget the gate.
        if busy.get(&self.subject).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            busy.remove(&self.subject);
        }
    }
}
