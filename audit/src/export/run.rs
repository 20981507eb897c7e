//! The exporter: on one node at a time, follows the journal and hands it on.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use kernel::Subject;
use kernel::id::NodeId;
use store::{Db, Fact, Lease, Origin, StoreError, follower};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::receiver::Receiver;
use super::{Export, ExportCut, ExportResumed, OVERLAP, cursor_of};

/// How often it looks for facts.
const LOOK: Duration = Duration::from_millis(100);
/// How often it writes down how far it has come.
const NOTE: Duration = Duration::from_secs(1);
/// How long another node waits after this one has died. Longer than a slow receiver needs for what is sent at once.
const LEASE: Duration = Duration::from_secs(30);
/// Facts that are read and sent at once.
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
    /// Whether the receiver was out of reach when last tried, and how long the next rest is.
    is_cut: bool,
    rest: Duration,
}

impl Exporter {
    /// One for each node; one of all nodes sends at a time.
    #[must_use]
    pub fn new(db: Db, node: NodeId, export: Export) -> Self {
        let cursor = cursor_of(&export.name);
        let lease = Lease::new(cursor.clone(), node, LEASE);
        let held = (false, Instant::now());
        Self { db, export, cursor, lease, held, is_cut: false, rest: Duration::from_secs(1) }
    }

    /// Runs until `stop` turns true (or its sender is gone).
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let stopped = self.follow(&mut stop).await;
            let name = &self.export.name;
            let rest = match stopped {
                Stopped::Asked => break,
                Stopped::NotOurs => {
                    // What became of the receiver is another node's to say.
                    self.is_cut = false;
                    LEASE / 6
                }
                Stopped::Cut(error) => {
                    let reason = error.to_string();
                    if !self.is_cut {
                        tracing::warn!(export = name, reason, "the journal waits for its receiver");
                        self.is_cut = true;
                        self.say_cut(reason).await;
                    }
                    // It may be that only this node does not reach it.
                    self.give_up_lease().await;
                    let rest = self.rest;
                    self.rest = (rest * 2).min(LONGEST_REST);
                    rest
                }
                Stopped::Store(error) => {
                    tracing::error!(export = name, %error, "the journal cannot be handed on");
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
        let mut receiver = Receiver::open(&self.export.target).await.map_err(Stopped::Cut)?;
        let (opened, begun) = (Instant::now(), noted);
        let mut is_reached = false;
        let settle = if receiver.is_safe_at_once() { Duration::ZERO } else { self.export.settle };
        let mut sent = noted;
        let mut settled = noted;
        let mut on_the_way: VecDeque<(Instant, i64)> = VecDeque::new();
        let mut last_note = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // INVARIANT: nothing settles before it was looked whether the connection still lives.
            let asked = tokio::select! {
                biased;
                error = receiver.ended() => return Err(Stopped::Cut(error)),
                changed = stop.changed() => changed.is_err() || *stop.borrow(),
                _ = look.tick() => false,
            };
            while let Some((at, seq)) = on_the_way.front().copied() {
                if at.elapsed() < settle {
                    break;
                }
                settled = seq;
                on_the_way.pop_front();
            }
            // A connection that was only just made may be one that is refused in the next moment.
            if !is_reached && (settled > begun || opened.elapsed() >= settle) {
                self.reached(begun).await;
                is_reached = true;
            }
            if settled > noted && (asked || last_note.elapsed() >= NOTE) {
                if !follower::advance(&self.db, &self.cursor, noted, settled).await? {
                    return Ok(Stopped::NotOurs);
                }
                (noted, last_note) = (settled, Instant::now());
            }
            if asked {
                return Ok(Stopped::Asked);
            }
            if !self.hold().await? {
                return Ok(Stopped::NotOurs);
            }
            let room = OVERLAP - (sent - settled);
            let facts = follower::read(&self.db, sent, BATCH.min(room)).await?;
            let Some(last) = facts.last().and_then(|fact| fact.seq) else { continue };
            receiver.send(&self.export, &facts).await.map_err(Stopped::Cut)?;
            sent = last;
            on_the_way.push_back((Instant::now(), sent));
            // There may be more: look at once.
            look.reset_immediately();
        }
    }

    async fn reached(&mut self, after: i64) {
        self.rest = Duration::from_secs(1);
        if std::mem::take(&mut self.is_cut) {
            tracing::info!(export = self.export.name, after, "the journal's receiver is back");
            self.say(Fact::new(self.subject(), &ExportResumed { after })).await;
        }
    }

    async fn say_cut(&self, reason: String) {
        let after = follower::cursor(&self.db, &self.cursor).await.unwrap_or(0);
        self.say(Fact::new(self.subject(), &ExportCut { reason, after })).await;
    }

    fn subject(&self) -> Subject {
        Subject::new("export", &self.export.name)
    }

    /// Best effort: that it could not be said is no reason to stop sending.
    async fn say(&self, fact: Fact) {
        let said = async {
            let mut tx = self.db.write(Origin::system()).await?;
            tx.record(fact);
            tx.commit().await
        };
        if let Err(error) = said.await {
            tracing::warn!(%error, "it is not in the journal how the journal was handed on");
        }
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
