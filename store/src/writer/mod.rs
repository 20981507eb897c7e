//! SQLite's one writer, and how its commits are shared.
//!
//! A commit costs a sync of the disk, some 80 times an update. So the writer's connection passes from hand
//! to hand inside one open database transaction, the *group*: each *member* takes its turn, and whoever
//! finds nobody waiting (or the group full or old) commits for all. Recorded facts are buffered and written
//! once per group. A savepoint guards each member that writes several statements; a member of one statement
//! ([`Writer::change`]) needs none.
//!
//! The rules without which sharing loses acknowledged work, each with a test in `tests/shared_commits.rs`:
//! - a group closes at [`GROUP_MEMBERS`] or [`GROUP_AGE`];
//! - nobody answers before the group's COMMIT, neither one who wrote nor one who read and refused;
//! - after every error the transaction is probed: a full disk or an `OR ROLLBACK` ends all of it, then every
//!   member fails and the connection is replaced;
//! - when COMMIT itself errors all members hear *outcome unknown* and the connection is replaced;
//! - a member that is dropped or panics is rolled back by the next holder;
//! - when the last member hands on to somebody who then vanishes, the closer commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::time::Instant;

use crate::db::Row;
use crate::journal::Buffer;
use crate::sql::bind;
use crate::{Sql, StoreError, Value, sql};

/// A group commits once it has this many members.
pub(crate) const GROUP_MEMBERS: usize = 64;
/// A group commits once it is this old.
pub(crate) const GROUP_AGE: Duration = Duration::from_millis(2);
/// How long one waits for one's turn before the database counts as busy.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Writer {
    state: Arc<Mutex<State>>,
    shared: Arc<Queue>,
}

/// What is touched without holding the turn.
#[derive(Debug)]
struct Queue {
    waiting: AtomicUsize,
    closer: Notify,
    options: SqliteConnectOptions,
    ctx: kernel::Ctx,
}

#[derive(Debug)]
struct State {
    conn: Option<SqliteConnection>,
    group: Option<Group>,
    /// A statement that begins or ends the transaction was sent and its end not yet seen.
    unsure: bool,
}

#[derive(Debug)]
struct Group {
    opened: Instant,
    /// Everyone who waits for the COMMIT.
    members: Vec<oneshot::Sender<Result<(), StoreError>>>,
    buffer: Buffer,
    /// The member whose turn it is, or who vanished during it.
    turn: Option<Turn>,
}

#[derive(Debug)]
struct Turn {
    savepoint: bool,
}

impl Writer {
    pub(crate) async fn open(options: SqliteConnectOptions, ctx: kernel::Ctx) -> Result<Self, StoreError> {
        let conn = options.connect().await?;
        let state = Arc::new(Mutex::new(State { conn: Some(conn), group: None, unsure: false }));
        let shared = Arc::new(Queue { waiting: AtomicUsize::new(0), closer: Notify::new(), options, ctx });
        tokio::spawn(close_abandoned(Arc::downgrade(&state), Arc::downgrade(&shared)));
        Ok(Self { state, shared })
    }

    /// Waits for a turn in the open group, or opens one.
    pub(crate) async fn begin(&self) -> Result<Member, StoreError> {
        let guard = turn(self.state.clone(), &self.shared).await?;
        let mut member = Member { guard: Some(guard), queue: self.shared.clone() };
        member.prepare().await?;
        Ok(member)
    }

    /// One statement and its facts as a member of its own. The facts are recorded when the statement changed
    /// a row. Runs in a task of its own, since without a savepoint it must not be dropped half-way.
    pub(crate) async fn change(&self, sql: Sql, values: Vec<Value>, buffer: Buffer) -> Result<u64, StoreError> {
        let state = self.state.clone();
        let queue = self.shared.clone();
        let work = async move {
            let guard = turn(state, &queue).await?;
            let mut member = Member { guard: Some(guard), queue };
            member.prepare().await?;
            let changed = match member.run_unguarded(sql, values).await {
                Ok(changed) => changed,
                Err(error) => {
                    member.refuse().await?;
                    return Err(error);
                }
            };
            member.commit(if changed > 0 { buffer } else { Buffer::default() }).await?;
            Ok(changed)
        };
        tokio::spawn(work).await.unwrap_or(Err(StoreError::OutcomeUnknown))
    }
}

/// Waits in line; the line is first come, first served.
async fn turn(state: Arc<Mutex<State>>, queue: &Queue) -> Result<OwnedMutexGuard<State>, StoreError> {
    let _waiting = Waiting::new(&queue.waiting);
    tokio::time::timeout(TURN_TIMEOUT, state.lock_owned()).await.map_err(|_| StoreError::Busy)
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
    queue: Arc<Queue>,
}

impl Member {
    fn state(&mut self) -> Result<&mut State, StoreError> {
        // `None` only after `commit` or `refuse`, which consume the member.
        self.guard.as_deref_mut().ok_or(StoreError::OutcomeUnknown)
    }

    async fn prepare(&mut self) -> Result<(), StoreError> {
        let queue = self.queue.clone();
        let state = self.state()?;
        state.tidy(&queue).await?;
        if state.group.as_ref().is_some_and(Group::is_closing) {
            state.close(&queue).await;
        }
        if state.group.is_none() {
            state.open_group(&queue).await?;
        }
        if let Some(group) = &mut state.group {
            group.turn = Some(Turn { savepoint: false });
        }
        Ok(())
    }

    pub(crate) async fn fetch<T: Row>(&mut self, sql: Sql, values: Vec<Value>) -> Result<Vec<T>, StoreError> {
        if !is_read(sql.text()) {
            self.guard_with_savepoint().await?;
        }
        let state = self.state()?;
        let arguments = bind::<Sqlite>(values)?;
        let conn = state.conn.as_mut().ok_or(StoreError::OutcomeUnknown)?;
        let rows = sqlx::query_as_with::<Sqlite, T, _>(sql.into_sqlx(), arguments).fetch_all(conn).await;
        match rows {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.failed(error).await),
        }
    }

    pub(crate) async fn run(&mut self, sql: Sql, values: Vec<Value>) -> Result<u64, StoreError> {
        self.guard_with_savepoint().await?;
        self.run_unguarded(sql, values).await
    }

    async fn run_unguarded(&mut self, sql: Sql, values: Vec<Value>) -> Result<u64, StoreError> {
        let arguments = bind::<Sqlite>(values)?;
        let state = self.state()?;
        let conn = state.conn.as_mut().ok_or(StoreError::OutcomeUnknown)?;
        match sqlx::query_with::<Sqlite, _>(sql.into_sqlx(), arguments).execute(conn).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn guard_with_savepoint(&mut self) -> Result<(), StoreError> {
        let state = self.state()?;
        let Some(turn) = state.group.as_mut().and_then(|group| group.turn.as_mut()) else {
            // An earlier statement of this member found the whole transaction ended.
            return Err(StoreError::Conflict);
        };
        if turn.savepoint {
            return Ok(());
        }
        // Set first: should we be dropped while it runs, the next holder rolls back to it.
        turn.savepoint = true;
        state.execute(sql!("SAVEPOINT member")).await?;
        Ok(())
    }

    /// After an error: is the transaction still open? If not, nothing of the group is left.
    async fn failed(&mut self, error: sqlx::Error) -> StoreError {
        let error = StoreError::from(error);
        let Ok(state) = self.state() else { return error };
        if state.transaction_is_open().await {
            return error;
        }
        state.fail_group(StoreError::Conflict).await;
        // What was taken may have been taken by a member that is now undone.
        if matches!(error, StoreError::Taken { .. }) { StoreError::Conflict } else { error }
    }

    /// Joins the group's commit, or makes it.
    pub(crate) async fn commit(mut self, buffer: Buffer) -> Result<(), StoreError> {
        let outcome = {
            let state = self.state()?;
            let Some(group) = state.group.as_mut().filter(|group| group.turn.is_some()) else {
                return Err(StoreError::Conflict);
            };
            group.buffer.absorb(buffer);
            group.turn = None;
            let (done, outcome) = oneshot::channel();
            group.members.push(done);
            outcome
        };
        self.hand_on();
        outcome.await.unwrap_or(Err(StoreError::OutcomeUnknown))
    }

    /// Rolls back this member's work, then waits for the group whose state it may have read.
    pub(crate) async fn refuse(mut self) -> Result<(), StoreError> {
        let outcome = {
            let state = self.state()?;
            state.roll_back_turn().await?;
            match state.group.as_mut() {
                Some(group) if !group.members.is_empty() => {
                    let (done, outcome) = oneshot::channel();
                    group.members.push(done);
                    Some(outcome)
                }
                _ => None,
            }
        };
        self.hand_on();
        match outcome {
            Some(outcome) => outcome.await.unwrap_or(Err(StoreError::OutcomeUnknown)),
            None => Ok(()),
        }
    }

    /// Passes the open transaction on, or closes it when nobody waits.
    fn hand_on(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        let somebody_waits = self.queue.waiting.load(Ordering::Acquire) > 0;
        let keep_open = somebody_waits && guard.group.as_ref().is_some_and(|group| !group.is_closing());
        if keep_open {
            // The closer queues behind those who wait now: should they all vanish, it commits.
            self.queue.closer.notify_one();
        } else {
            let queue = self.queue.clone();
            // A task of its own, so that nobody's cancellation stops a commit half-way.
            tokio::spawn(async move { guard.close(&queue).await });
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.guard.is_some() {
            self.queue.closer.notify_one();
        }
    }
}

impl Group {
    fn is_closing(&self) -> bool {
        self.members.len() >= GROUP_MEMBERS || self.opened.elapsed() >= GROUP_AGE
    }
}

impl State {
    async fn execute(&mut self, sql: Sql) -> Result<(), sqlx::Error> {
        let conn = self.conn.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        sqlx::query::<Sqlite>(sql.into_sqlx()).execute(conn).await.map(drop)
    }

    /// Puts right what a vanished holder left behind.
    async fn tidy(&mut self, queue: &Queue) -> Result<(), StoreError> {
        if self.unsure {
            self.fail_group(StoreError::OutcomeUnknown).await;
        }
        self.roll_back_turn().await?;
        if self.conn.is_none() {
            self.conn = Some(queue.options.connect().await?);
        }
        Ok(())
    }

    async fn open_group(&mut self, queue: &Queue) -> Result<(), StoreError> {
        self.unsure = true;
        let begun = self.execute(sql!("BEGIN IMMEDIATE")).await;
        self.unsure = false;
        if let Err(error) = begun {
            self.replace_connection().await;
            self.tidy(queue).await?;
            let busy = matches!(&error, sqlx::Error::Database(cause) if cause.code().as_deref() == Some("5"));
            return Err(if busy { StoreError::Busy } else { error.into() });
        }
        self.group =
            Some(Group { opened: Instant::now(), members: Vec::new(), buffer: Buffer::default(), turn: None });
        Ok(())
    }

    /// Undoes the work of the member whose turn it is, if there is one.
    async fn roll_back_turn(&mut self) -> Result<(), StoreError> {
        let Some(turn) = self.group.as_mut().and_then(|group| group.turn.take()) else { return Ok(()) };
        if turn.savepoint && self.execute(sql!("ROLLBACK TO member")).await.is_err() {
            // Either the savepoint was never set, then nothing was done after it, or the transaction is gone.
            if !self.transaction_is_open().await {
                self.fail_group(StoreError::Conflict).await;
            }
        }
        Ok(())
    }

    /// `BEGIN` inside a transaction is an error that changes nothing: the probe that needs no unsafe call.
    async fn transaction_is_open(&mut self) -> bool {
        matches!(
            self.execute(sql!("BEGIN")).await,
            Err(sqlx::Error::Database(cause)) if cause.message().contains("within a transaction")
        )
    }

    /// Everything of the group is lost, and everyone in it is told.
    async fn fail_group(&mut self, error: StoreError) {
        self.replace_connection().await;
        if let Some(group) = self.group.take() {
            for member in group.members {
                // One who no longer listens has been dropped.
                let _ = member.send(Err(error.clone()));
            }
        }
    }

    /// Drops the connection, with whatever transaction is open on it; the next turn opens another.
    async fn replace_connection(&mut self) {
        self.unsure = false;
        if let Some(mut conn) = self.conn.take() {
            let _ = sqlx::query::<Sqlite>("ROLLBACK").execute(&mut conn).await;
            if let Err(error) = conn.close().await {
                tracing::warn!(%error, "closing a spent database connection failed");
            }
        }
    }

    /// Writes the buffered facts and commits for all members.
    async fn close(&mut self, queue: &Queue) {
        let Some(group) = self.group.as_mut() else { return };
        if group.members.is_empty() {
            // Nobody wrote: there is nothing to make durable.
            self.unsure = true;
            let ended = self.execute(sql!("ROLLBACK")).await;
            self.unsure = false;
            self.group = None;
            if ended.is_err() {
                self.replace_connection().await;
            }
            return;
        }
        let buffer = std::mem::take(&mut group.buffer);
        for (sql, values) in buffer.statements(&queue.ctx) {
            if let Err(error) = self.flush(sql, values).await {
                tracing::error!(%error, "writing recorded facts failed; every change of this commit is undone");
                return self.fail_group(error).await;
            }
        }
        self.unsure = true;
        let committed = self.execute(sql!("COMMIT")).await;
        self.unsure = false;
        if let Err(error) = committed {
            tracing::error!(%error, "a commit failed; its outcome is unknown");
            return self.fail_group(StoreError::OutcomeUnknown).await;
        }
        if let Some(group) = self.group.take() {
            for member in group.members {
                let _ = member.send(Ok(()));
            }
        }
    }

    async fn flush(&mut self, sql: Sql, values: Vec<Value>) -> Result<(), StoreError> {
        let arguments = bind::<Sqlite>(values)?;
        let conn = self.conn.as_mut().ok_or(StoreError::OutcomeUnknown)?;
        sqlx::query_with::<Sqlite, _>(sql.into_sqlx(), arguments).execute(conn).await?;
        Ok(())
    }
}

/// Commits a group whose last member handed on to somebody who then vanished.
async fn close_abandoned(state: std::sync::Weak<Mutex<State>>, queue: std::sync::Weak<Queue>) {
    loop {
        // The writer's owner drops both: then this task ends with the next tick.
        let Some(waiting) = queue.upgrade() else { return };
        let woken = tokio::time::timeout(Duration::from_secs(1), waiting.closer.notified()).await.is_ok();
        let (Some(state), true) = (state.upgrade(), woken) else { continue };
        let mut guard = state.lock_owned().await;
        if let Err(error) = guard.tidy(&waiting).await {
            tracing::error!(%error, "the database writer could not be reopened");
            continue;
        }
        guard.close(&waiting).await;
    }
}

/// Whether a statement only reads. A writing one with RETURNING comes as `INSERT`, `UPDATE`, `DELETE` or
/// `WITH … UPDATE`, so everything but a plain SELECT is taken for a write.
fn is_read(text: &str) -> bool {
    text.trim_start().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("select"))
}
