//! SQLite's one writer, and how its commits are shared.
//!
//! A commit costs a sync of the disk, as much as many updates. So the writer's connection passes from hand to
//! hand inside one open database transaction, the *group*: each *member* takes its turn, and whoever finds
//! nobody waiting (or the group full or old) commits for all. Recorded facts are buffered and written once
//! per group. A savepoint guards each member that may write several statements; a member of one statement
//! ([`Writer::change`]) needs none.
//!
//! The rules without which sharing loses acknowledged work, each with a test in `tests/suite/shared_commits.rs`:
//! - a group closes at [`GROUP_MEMBERS`] or [`GROUP_AGE`];
//! - nobody answers before the group's COMMIT, neither one who wrote nor one who read and refused;
//! - after every error the transaction is probed: a full disk or an `OR ROLLBACK` ends all of it, then every
//!   member fails and the connection is replaced;
//! - when COMMIT itself errors all members hear *outcome unknown* and the connection is replaced;
//! - a member that is dropped or panics is rolled back by the next holder;
//! - when the last member hands on to somebody who then vanishes, the closer commits;
//! - nobody's cancellation stops a COMMIT half-way: it runs in a task of its own.
//!
//! The line and the turns are here; the connection and what is open on it in `group.rs`.

mod group;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use crate::db::{Row, Shared};
use crate::journal::Buffer;
use crate::{Sql, StoreError, Value};
use group::{Outcome, State};

/// A group commits once it has this many members.
const GROUP_MEMBERS: usize = 64;
/// A group commits once it is this old.
const GROUP_AGE: Duration = Duration::from_millis(2);
/// How long one waits for one's turn before the database counts as busy.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the closer looks whether its writer still exists.
const CLOSER_TICK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Writer {
    state: Arc<Mutex<State>>,
    line: Arc<Line>,
}

/// What is touched without holding the turn.
#[derive(Debug, Default)]
struct Line {
    waiting: AtomicUsize,
    closer: Notify,
}

impl Writer {
    pub(crate) async fn open(
        options: SqliteConnectOptions,
        shared: Arc<Shared>,
    ) -> Result<Self, sqlx::Error> {
        let state = Arc::new(Mutex::new(State::open(options, shared).await?));
        let line = Arc::new(Line::default());
        tokio::spawn(close_abandoned(Arc::downgrade(&state), line.clone()));
        Ok(Self { state, line })
    }

    /// Waits for a turn in the open group, or opens one.
    pub(crate) async fn begin(&self) -> Result<Member, StoreError> {
        enter(self.state.clone(), self.line.clone()).await
    }

    /// One statement and its facts as a member of its own: the rows it returned and how many it changed. The
    /// facts are recorded when it changed a row. Runs in a task of its own: without a savepoint it must not be
    /// dropped half-way.
    pub(crate) async fn change<T: Row + 'static>(
        &self,
        sql: Sql,
        values: Vec<Value>,
        buffer: Buffer,
    ) -> Result<(Vec<T>, u64), StoreError> {
        let (state, line) = (self.state.clone(), self.line.clone());
        let work = async move {
            let mut member = enter(state, line).await?;
            match member.state()?.only_statement::<T>(sql, values).await {
                Ok((rows, changed)) => {
                    member.commit(if changed > 0 { buffer } else { Buffer::default() }).await?;
                    Ok((rows, changed))
                }
                Err(error) => match member.refuse().await {
                    // Trying again would not make it readable.
                    Err(StoreError::Conflict) if matches!(error, StoreError::Inconsistent(_)) => Err(error),
                    refused => refused.and(Err(error)),
                },
            }
        };
        tokio::spawn(work).await.unwrap_or(Err(StoreError::OutcomeUnknown))
    }

    /// Commits what is open and closes the connection. Whoever comes later is told so.
    pub(crate) async fn close(&self) {
        let mut state = self.state.clone().lock_owned().await;
        // As everywhere: nobody's cancellation stops a commit half-way.
        let closing = tokio::spawn(async move { state.shut().await });
        if let Err(error) = closing.await {
            tracing::error!(%error, "closing the database failed");
        }
    }
}

/// Waits in line, first come, first served, and takes the turn.
async fn enter(state: Arc<Mutex<State>>, line: Arc<Line>) -> Result<Member, StoreError> {
    let guard = {
        let _waiting = Waiting::new(&line.waiting);
        tokio::time::timeout(TURN_TIMEOUT, state.lock_owned()).await.map_err(|_| StoreError::Busy)?
    };
    let mut member = Member { guard: Some(guard), line };
    member.state()?.tidy().await?;
    if member.state()?.is_full() {
        member.close_in_a_task().await?;
    }
    member.state()?.take_turn().await?;
    Ok(member)
}

/// Counts one who waits, also when the waiting is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One transaction's turn. While it holds the guard nobody else touches the connection.
#[derive(Debug)]
pub(crate) struct Member {
    guard: Option<OwnedMutexGuard<State>>,
    line: Arc<Line>,
}

impl Member {
    fn state(&mut self) -> Result<&mut State, StoreError> {
        // `None` only after `commit` or `refuse`, which consume the member, and while its group is closed.
        self.guard.as_deref_mut().ok_or(StoreError::OutcomeUnknown)
    }

    /// Runs a statement: the rows it returned, and how many it changed.
    pub(crate) async fn statement<T: Row>(
        &mut self,
        sql: Sql,
        values: Vec<Value>,
    ) -> Result<(Vec<T>, u64), StoreError> {
        let state = self.state()?;
        if !is_read(sql.text()) {
            state.set_savepoint().await?;
        }
        state.statement(sql, values).await
    }

    /// Joins the group's commit, or makes it.
    pub(crate) async fn commit(mut self, buffer: Buffer) -> Result<(), StoreError> {
        let outcome = self.state()?.join(buffer)?;
        self.hand_on(Some(outcome)).await
    }

    /// Rolls back this member's work, then waits for the group whose state it may have read.
    pub(crate) async fn refuse(mut self) -> Result<(), StoreError> {
        let state = self.state()?;
        state.roll_back_turn().await?;
        let outcome = state.wait_along();
        self.hand_on(outcome).await
    }

    /// Passes the open transaction on, or closes it when nobody waits; then waits for the outcome, if it is
    /// of interest.
    async fn hand_on(mut self, outcome: Option<Outcome>) -> Result<(), StoreError> {
        let Some(mut guard) = self.guard.take() else { return Err(StoreError::OutcomeUnknown) };
        // Held to the end: the group must not be forgotten while somebody waits for it.
        let _group = OwnedMutexGuard::mutex(&guard).clone();
        if self.line.waiting.load(Ordering::Acquire) > 0 && !guard.is_full() {
            drop(guard);
            // The closer queues behind those who wait now: should they all vanish, it commits.
            self.line.closer.notify_one();
        } else {
            tokio::spawn(async move { guard.close().await });
        }
        match outcome {
            Some(outcome) => outcome.await.unwrap_or(Err(StoreError::OutcomeUnknown)),
            None => Ok(()),
        }
    }

    async fn close_in_a_task(&mut self) -> Result<(), StoreError> {
        let Some(mut guard) = self.guard.take() else { return Err(StoreError::OutcomeUnknown) };
        let closed = tokio::spawn(async move {
            guard.close().await;
            guard
        });
        self.guard = Some(closed.await.map_err(|_| StoreError::Conflict)?);
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.guard.take().is_some() {
            self.line.closer.notify_one();
        }
    }
}

/// Commits a group whose last member handed on to somebody who then vanished.
async fn close_abandoned(state: std::sync::Weak<Mutex<State>>, line: Arc<Line>) {
    // Its writer and all its members are gone: so is this task, at the next tick.
    while state.strong_count() > 0 {
        if tokio::time::timeout(CLOSER_TICK, line.closer.notified()).await.is_err() {
            continue;
        }
        let Some(state) = state.upgrade() else { return };
        let mut state = state.lock_owned().await;
        match state.tidy().await {
            Ok(()) => state.close().await,
            Err(error) => tracing::error!(%error, "the database writer could not be reopened"),
        }
    }
}

/// Whether a statement only reads. A writing one with RETURNING comes as `INSERT`, `UPDATE`, `DELETE` or
/// `WITH … UPDATE`, so everything but a plain SELECT is taken for a write.
fn is_read(text: &str) -> bool {
    text.trim_start().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("select"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_select_counts_as_a_read() {
        for (text, read) in [
            ("SELECT 1", true),
            ("  select id FROM t", true),
            ("WITH a AS (SELECT 1) UPDATE t SET a = 1", false),
            ("INSERT INTO t VALUES (1) RETURNING id", false),
            ("PRAGMA max_page_count = 1", false),
            ("", false),
            ("sélect", false),
        ] {
            assert_eq!(is_read(text), read, "{text}");
        }
    }
}
