//! The audit follower: on one node at a time, gives facts their place soon after their commit, and signs
//! where the chain ends.

use std::time::Duration;

use kernel::id::NodeId;
use keys::KeyRing;
use store::{Db, Lease, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::sequence::Head;
use crate::{AuditError, checkpoint, sequence};

/// How often it looks for facts without a place.
const LOOK: Duration = Duration::from_millis(50);
/// How often it looks whether a checkpoint is due.
const LOOK_AT_CHECKPOINTS: Duration = Duration::from_secs(1);
/// How long another node waits after this one has died.
const LEASE: Duration = Duration::from_secs(5);
/// After a failure it waits so long.
const REST: Duration = Duration::from_secs(1);

/// When a checkpoint is signed: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// After so many facts. Default: 1,000.
    pub facts: u32,
    /// When there is any fact and the latest checkpoint is so old. Default: 5 minutes.
    pub age: Duration,
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self { facts: 1_000, age: Duration::from_secs(5 * 60) }
    }
}

/// Follows the journal with the default [`CheckpointPolicy`] until `stop` turns true.
pub async fn follow(db: Db, ring: KeyRing, node: NodeId, stop: watch::Receiver<bool>) {
    Follower::new(db, ring, node, CheckpointPolicy::default()).run(stop).await;
}

/// Follows the journal.
#[derive(Debug)]
pub struct Follower {
    db: Db,
    ring: KeyRing,
    policy: CheckpointPolicy,
    lease: Lease,
    /// Whether this node has the lease, and until when that is not asked again.
    held: (bool, Instant),
}

impl Follower {
    /// One for each node; one of all nodes works at a time.
    #[must_use]
    pub fn new(db: Db, ring: KeyRing, node: NodeId, policy: CheckpointPolicy) -> Self {
        let lease = Lease::new("audit", node, LEASE);
        Self { db, ring, policy, lease, held: (false, Instant::now()) }
    }

    /// Runs until `stop` turns true (or its sender is gone); then places what waits, and gives the lease up.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK);
        let mut look_at_checkpoints = tokio::time::interval(LOOK_AT_CHECKPOINTS);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look_at_checkpoints.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            let done = tokio::select! {
                _ = look.tick() => self.place().await,
                _ = look_at_checkpoints.tick() => self.sign().await,
                changed = stop.changed() => if changed.is_err() { break } else { continue },
            };
            if let Err(error) = done {
                tracing::error!(%error, "the journal could not be sequenced");
                tokio::time::sleep(REST).await;
            }
        }
        if let Err(error) = self.place().await {
            tracing::warn!(%error, "facts wait for their place until the next start");
        }
        if self.held.0 && self.lease.release(&self.db).await.is_err() {
            tracing::debug!("another node may sequence the journal only when the lease has run out");
        }
    }

    /// A look costs one read; the lease is only taken when there is something to do.
    async fn place(&mut self) -> Result<(), AuditError> {
        let waiting = store::sql!("SELECT id FROM fact WHERE seq IS NULL LIMIT 1");
        if self.db.opt::<(String,)>(waiting, ()).await?.is_some() && self.hold().await? {
            sequence(&self.db).await?;
        }
        Ok(())
    }

    async fn sign(&mut self) -> Result<(), AuditError> {
        let head = Head::read(&self.db).await?;
        let new = head.seq - head.checkpoint_seq;
        let age = self.db.ctx().now().since(head.checkpoint_at);
        let is_due = new > 0 && (new >= i64::from(self.policy.facts) || age >= self.policy.age);
        if is_due && self.hold().await? {
            checkpoint(&self.db, &self.ring).await?;
        }
        Ok(())
    }

    /// Prolonged, or asked for again, when half of its time is over: each time would be a commit each time.
    async fn hold(&mut self) -> Result<bool, StoreError> {
        let now = Instant::now();
        if now >= self.held.1 {
            self.held = (self.lease.hold(&self.db).await?, now + LEASE / 2);
        }
        Ok(self.held.0)
    }
}
