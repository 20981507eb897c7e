//! The exporter: on one node at a time, follows the journal and hands it on.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use kernel::id::NodeId;
use store::{Db, Lease, StoreError, follower};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::on_the_way::OnTheWay;
use super::outage::{self, Said};
use super::receiver::{PATIENCE, Receiver};
use super::{Export, cursor_of};

/// How often it looks for facts.
const LOOK: Duration = Duration::from_millis(100);
/// How often it asks what the receiver's machine has taken, and writes down how far it has come.
const NOTE: Duration = Duration::from_secs(1);
/// How long another node waits after this one has died. It is asked for again when half of it is over, before a part is
/// sent; so the slowest receiver must have taken a part before the other half is.
const LEASE: Duration = Duration::from_secs(30);
const _: () = assert!(PATIENCE.as_secs() < LEASE.as_secs() / 2);
/// A receiver whose machine takes nothing of what waits for it for so long is gone without a word.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// Facts that are read at once.
const BATCH: i64 = 100;
/// After a failure it waits a second, then twice as long each time, and no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Why an exporter stops sending for now.
enum Stopped {
    /// It was asked to.
    Asked,
    /// Another node does it.
    NotOurs,
    /// The receiver is gone.
    Cut(io::Error),
    /// The database is.
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Hands the journal on to one receiver.
#[derive(Debug)]
pub struct Exporter {
    db: Db,
    export: Export,
    cursor: String,
    lease: Lease,
    held: (bool, Instant),
    /// Why this node did not reach the receiver, as the log says already, and how long the next rest is.
    logged: Option<String>,
    rest: Duration,
}

impl Exporter {
    /// One for each node; one of all nodes sends at a time.
    #[must_use]
    pub fn new(db: Db, node: NodeId, export: Export) -> Self {
        let cursor = cursor_of(&export.name);
        let lease = Lease::new(cursor.clone(), node, LEASE);
        let held = (false, Instant::now());
        Self { db, export, cursor, lease, held, logged: None, rest: Duration::from_secs(1) }
    }

    /// Runs until `stop` turns true (or its sender is gone).
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let rest = match self.follow(&mut stop).await {
                Stopped::Asked => break,
                Stopped::NotOurs => {
                    // What becomes of the receiver is another node's to say, until it is asked again.
                    self.held = (false, Instant::now());
                    LEASE / 6
                }
                Stopped::Cut(error) => {
                    self.cut(error.to_string()).await;
                    // It may be that only this node does not reach it.
                    self.give_up_lease().await;
                    let rest = self.rest;
                    self.rest = (rest * 2).min(LONGEST_REST);
                    rest
                }
                Stopped::Store(error) => {
                    tracing::error!(export = self.export.name, %error, "the journal cannot be handed on");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { break },
            }
        }
        self.give_up_lease().await;
    }

    async fn give_up_lease(&mut self) {
        if self.held.0 && self.lease.release(&self.db).await.is_err() {
            tracing::debug!("another node may hand the journal on only when the lease has run out");
        }
        self.held = (false, Instant::now());
    }

    async fn follow(&mut self, stop: &mut watch::Receiver<bool>) -> Stopped {
        match self.send_on(stop).await {
            Ok(stopped) | Err(stopped) => stopped,
        }
    }

    /// Everything since the cursor, over one connection, until something ends it.
    async fn send_on(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Stopped, Stopped> {
        if *stop.borrow() {
            return Ok(Stopped::Asked);
        }
        if !self.hold().await? {
            return Ok(Stopped::NotOurs);
        }
        let mut noted = follower::cursor(&self.db, &self.cursor).await?;
        let now = self.db.ctx().now();
        let mut receiver = Receiver::open(&self.export.target, now).await.map_err(Stopped::Cut)?;
        let (opened, begun) = (Instant::now(), noted);
        let mut is_reached = false;
        let settle = if receiver.is_safe_at_once() { Duration::ZERO } else { self.export.settle };
        let mut on_the_way = OnTheWay::new(settle, opened);
        let mut sent = noted;
        let mut parts = VecDeque::new();
        let mut reckoned = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // INVARIANT: nothing settles before it was looked whether the connection still lives.
            let asked = tokio::select! {
                biased;
                error = receiver.ended() => {
                    return Err(Stopped::Cut(if is_reached { error } else { receiver.explain(error) }));
                }
                changed = stop.changed() => changed.is_err() || *stop.borrow(),
                _ = look.tick() => false,
            };
            if asked || reckoned.elapsed() >= NOTE {
                reckoned = Instant::now();
                if on_the_way.waits()
                    && let Some(waiting) = receiver.waiting().await.map_err(Stopped::Cut)?
                {
                    on_the_way.taken_but(waiting, Instant::now());
                }
                if on_the_way.stands_still(Instant::now()) >= UNACKNOWLEDGED {
                    let why = format!(
                        "its machine takes nothing of what was sent {} s ago",
                        UNACKNOWLEDGED.as_secs()
                    );
                    return Err(Stopped::Cut(io::Error::new(io::ErrorKind::TimedOut, why)));
                }
                let settled = on_the_way.settled(Instant::now());
                // A connection that was only just made may be one that is refused in the next moment, and a file that
                // opens one that takes nothing.
                if !is_reached && (settled.is_some() || opened.elapsed() >= self.export.settle) {
                    if !self.reached(begun).await? {
                        return Ok(Stopped::NotOurs);
                    }
                    is_reached = true;
                }
                if let Some(settled) = settled {
                    if !follower::advance(&self.db, &self.cursor, noted, settled).await? {
                        return Ok(Stopped::NotOurs);
                    }
                    noted = settled;
                }
            }
            if asked {
                return Ok(Stopped::Asked);
            }
            if !self.hold().await? {
                return Ok(Stopped::NotOurs);
            }
            if parts.is_empty() {
                let room = self.export.overlap - (sent - noted);
                let facts = follower::read(&self.db, sent, BATCH.min(room)).await?;
                parts = receiver.parts(&self.export, &facts);
            }
            let Some(part) = parts.pop_front() else { continue };
            if let Err(error) = receiver.send(&part.bytes).await {
                return Err(Stopped::Cut(if is_reached { error } else { receiver.explain(error) }));
            }
            sent = part.ends.unwrap_or(sent);
            on_the_way.sent(&part);
            // There may be more: look at once.
            look.reset_immediately();
        }
    }

    /// Whether this node may go on.
    async fn reached(&mut self, after: i64) -> Result<bool, StoreError> {
        let said = outage::end(&self.db, &self.lease, &self.export.name, after).await?;
        self.rest = Duration::from_secs(1);
        if self.logged.take().is_some() || said == Said::Now {
            tracing::info!(export = self.export.name, after, "the journal's receiver is back");
        }
        Ok(said != Said::NotOurs)
    }

    /// Says so in the journal where nobody has, and in the log of this node where it does not stand yet. What could not
    /// be said is said after the next attempt.
    async fn cut(&mut self, reason: String) {
        let name = &self.export.name;
        let said = outage::begin(&self.db, &self.lease, name, reason.clone()).await;
        if let Err(error) = &said {
            tracing::warn!(export = name, %error, "it is not in the journal that its receiver is out of reach");
        }
        if matches!(said, Ok(Said::Now)) || self.logged.as_ref() != Some(&reason) {
            tracing::warn!(export = name, reason, "the journal waits for its receiver");
        }
        self.logged = Some(reason);
    }

    /// Prolonged, or asked for again, when half of its time is over.
    async fn hold(&mut self) -> Result<bool, StoreError> {
        let now = Instant::now();
        if now >= self.held.1 {
            self.held = (self.lease.hold(&self.db).await?, now + LEASE / 2);
        }
        Ok(self.held.0)
    }
}
