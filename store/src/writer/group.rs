//! The writer's connection, and the group of members whose work is open on it.
//!
//! Whoever holds the state may vanish at any await (a dropped future, a panic), so the state says at every
//! moment what was sent and not yet answered, and [`State::tidy`] puts it right for the next holder.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Either, Executor as _, Sqlite};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{GROUP_AGE, GROUP_MEMBERS};
use crate::db::{Row, Shared};
use crate::journal::Buffer;
use crate::sql::bind;
use crate::{Sql, StoreError, Value, sql};

/// What a member hears when its group has been committed, or not.
pub(super) type Outcome = oneshot::Receiver<Result<(), StoreError>>;

#[derive(Debug)]
pub(super) struct State {
    conn: Option<SqliteConnection>,
    group: Option<Group>,
    sent: Sent,
    shut: bool,
    options: SqliteConnectOptions,
    shared: Arc<Shared>,
}

/// What was sent to the connection and whose end was not yet seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    /// A member's statement: an error may have ended the whole transaction.
    Statement,
    /// Something after which it is open whether there is a transaction, and which; nothing is committed by it.
    Boundary,
    /// What may have made the group durable.
    Commit,
}

#[derive(Debug)]
struct Group {
    opened: Instant,
    /// Everyone who waits for the COMMIT.
    members: Vec<oneshot::Sender<Result<(), StoreError>>>,
    buffer: Buffer,
    /// The member whose turn it is, or who vanished during it.
    turn: Option<Turn>,
    /// The savepoint that stands on the transaction's stack.
    savepoint: Option<Savepoint>,
}

#[derive(Debug, Default)]
struct Turn {
    savepoint: Option<Savepoint>,
    /// Something was written that no savepoint guards.
    unguarded: bool,
}

/// Two names, in turns. With one, a member whose SAVEPOINT was never executed would be rolled back to the
/// savepoint of the member before it, and undo that one's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Savepoint {
    A,
    B,
}

impl Group {
    fn is_full(&self) -> bool {
        self.members.len() >= GROUP_MEMBERS || self.opened.elapsed() >= GROUP_AGE
    }
}

impl Savepoint {
    /// The name after `previous`, and what replaces that one by it.
    fn after(previous: Option<Self>) -> (Self, Sql) {
        match previous {
            None => (Self::A, sql!("SAVEPOINT a")),
            Some(Self::A) => (Self::B, sql!("RELEASE a; SAVEPOINT b")),
            Some(Self::B) => (Self::A, sql!("RELEASE b; SAVEPOINT a")),
        }
    }

    fn release(self) -> Sql {
        match self {
            Self::A => sql!("RELEASE a"),
            Self::B => sql!("RELEASE b"),
        }
    }

    fn roll_back(self) -> Sql {
        match self {
            Self::A => sql!("ROLLBACK TO a"),
            Self::B => sql!("ROLLBACK TO b"),
        }
    }
}

/// What a member does.
impl State {
    pub(super) async fn open(
        options: SqliteConnectOptions,
        shared: Arc<Shared>,
    ) -> Result<Self, sqlx::Error> {
        let conn = Some(options.connect().await?);
        Ok(Self { conn, group: None, sent: Sent::Nothing, shut: false, options, shared })
    }

    /// Whether the open group must be committed before anybody else joins it.
    pub(super) fn is_full(&self) -> bool {
        self.group.as_ref().is_some_and(Group::is_full)
    }

    /// Begins a member's turn in the open group, or opens one.
    pub(super) async fn take_turn(&mut self) -> Result<(), StoreError> {
        if self.group.is_none() {
            self.open_group().await?;
        }
        if let Some(group) = &mut self.group {
            group.turn = Some(Turn::default());
        }
        Ok(())
    }

    /// Makes what the member does from here on revocable, once a turn.
    pub(super) async fn set_savepoint(&mut self) -> Result<(), StoreError> {
        let group = self.members_group()?;
        let previous = group.savepoint;
        let Some(turn) = group.turn.as_mut().filter(|turn| turn.savepoint.is_none()) else { return Ok(()) };
        let (mine, text) = Savepoint::after(previous);
        // Set first: should we be dropped while it runs, the next holder rolls back to it.
        turn.savepoint = Some(mine);
        self.shared.count_statement();
        if let Err(error) = self.execute(Sent::Statement, text).await {
            // Which savepoint stands is unknown now.
            self.fail_group(StoreError::Conflict).await;
            return Err(error.into());
        }
        self.stands(Some(mine));
        Ok(())
    }

    /// Runs a member's statement: the rows it returned, and how many it changed.
    pub(super) async fn statement<T: Row>(
        &mut self,
        sql: Sql,
        values: Vec<Value>,
    ) -> Result<(Vec<T>, u64), StoreError> {
        self.members_group()?;
        let arguments = bind::<Sqlite>(values)?;
        match self.send(sql, arguments).await {
            Ok(done) => Ok(done),
            Err(error) => Err(self.examine(error.into()).await),
        }
    }

    async fn send<T: Row>(
        &mut self,
        sql: Sql,
        arguments: SqliteArguments,
    ) -> Result<(Vec<T>, u64), sqlx::Error> {
        self.sent = Sent::Statement;
        let done = run(self.conn.as_mut(), sql, arguments).await;
        self.sent = Sent::Nothing;
        done
    }

    /// Runs the only statement of a member, without a savepoint: SQLite undoes one that it refuses by itself. Should
    /// the member vanish between this and its end, or a row that was returned not be readable, nobody can undo it,
    /// and the whole group fails.
    pub(super) async fn only_statement<T: Row>(
        &mut self,
        sql: Sql,
        values: Vec<Value>,
    ) -> Result<(Vec<T>, u64), StoreError> {
        let arguments = bind::<Sqlite>(values)?;
        self.guard(false)?;
        let error = match self.send(sql, arguments).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let undone = matches!(error, sqlx::Error::Database(_));
        let error = self.examine(error.into()).await;
        if undone {
            // Gone with the group, if the error ended that.
            let _ = self.guard(true);
        }
        Err(error)
    }

    fn guard(&mut self, guarded: bool) -> Result<(), StoreError> {
        if let Some(turn) = &mut self.members_group()?.turn {
            turn.unguarded = !guarded;
        }
        Ok(())
    }

    /// Ends the member's turn: its work is part of the group, whose commit is told by the outcome.
    pub(super) fn join(&mut self, buffer: Buffer) -> Result<Outcome, StoreError> {
        let group = self.members_group()?;
        group.turn = None;
        group.buffer.absorb(buffer);
        let (done, outcome) = oneshot::channel();
        group.members.push(done);
        Ok(outcome)
    }

    /// The outcome for one who has changed nothing, but may have read what others have not committed yet.
    pub(super) fn wait_along(&mut self) -> Option<Outcome> {
        let group = self.group.as_mut().filter(|group| !group.members.is_empty())?;
        let (done, outcome) = oneshot::channel();
        group.members.push(done);
        Some(outcome)
    }

    /// Undoes the work of the member whose turn it is, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when that found the whole transaction ended, and with it what others did.
    pub(super) async fn roll_back_turn(&mut self) -> Result<(), StoreError> {
        let interrupted = self.sent == Sent::Statement;
        let Some(group) = &mut self.group else { return Ok(()) };
        let Some(turn) = &group.turn else { return Ok(()) };
        let intact = match turn.savepoint {
            _ if turn.unguarded => false,
            Some(savepoint) => self.roll_back_to(savepoint).await,
            // An error that nobody saw may have ended the transaction.
            None if interrupted => self.transaction_is_open().await,
            None => true,
        };
        if !intact {
            self.fail_group(StoreError::Conflict).await;
            return Err(StoreError::Conflict);
        }
        self.sent = Sent::Nothing;
        self.members_group()?.turn = None;
        Ok(())
    }

    /// Whether the transaction is still open, and all that was done after the savepoint undone.
    async fn roll_back_to(&mut self, savepoint: Savepoint) -> bool {
        if self.execute(Sent::Statement, savepoint.roll_back()).await.is_ok() {
            self.stands(Some(savepoint));
            return true;
        }
        // Either it was never set, then nothing was done after it, or the transaction is gone.
        if !self.transaction_is_open().await {
            return false;
        }
        // The one before it may stand or not: the two statements that change places can be cut between.
        if let Some(previous) = self.group.as_ref().and_then(|group| group.savepoint) {
            let _ = self.execute(Sent::Statement, previous.release()).await;
        }
        self.stands(None);
        true
    }

    fn stands(&mut self, savepoint: Option<Savepoint>) {
        if let Some(group) = &mut self.group {
            group.savepoint = savepoint;
        }
    }

    /// The group in which the member has its turn.
    fn members_group(&mut self) -> Result<&mut Group, StoreError> {
        // None: an earlier statement of this member found the whole transaction ended.
        self.group.as_mut().filter(|group| group.turn.is_some()).ok_or(StoreError::Conflict)
    }

    /// After an error: is the transaction still open? If not, nothing of the group is left.
    async fn examine(&mut self, error: StoreError) -> StoreError {
        if self.transaction_is_open().await {
            return error;
        }
        self.fail_group(StoreError::Conflict).await;
        // What was taken may have been taken by a member that is now undone.
        if matches!(error, StoreError::Taken { .. }) { StoreError::Conflict } else { error }
    }
}

/// What the group's holder does.
impl State {
    /// Puts right what a vanished holder left behind.
    pub(super) async fn tidy(&mut self) -> Result<(), StoreError> {
        match self.sent {
            Sent::Nothing | Sent::Statement => {}
            Sent::Boundary => self.fail_group(StoreError::Conflict).await,
            Sent::Commit => self.fail_group(StoreError::OutcomeUnknown).await,
        }
        // Whether others lost their work by it they are told themselves.
        let _ = self.roll_back_turn().await;
        if self.shut {
            return Err(sqlx::Error::PoolClosed.into());
        }
        if self.conn.is_none() {
            self.conn = Some(self.options.connect().await?);
        }
        Ok(())
    }

    /// Writes the buffered facts and commits for all members.
    pub(super) async fn close(&mut self) {
        let Some(group) = &mut self.group else { return };
        if group.members.is_empty() {
            // Nobody wrote: there is nothing to make durable.
            return self.abandon_group().await;
        }
        let buffer = std::mem::take(&mut group.buffer);
        let wakes = buffer.wakes();
        for (sql, values) in buffer.statements(&self.shared) {
            if let Err(error) = self.flush(sql, values).await {
                tracing::error!(%error, "writing recorded facts failed; every change of this commit is undone");
                return self.fail_group(error).await;
            }
        }
        if let Err(error) = self.execute(Sent::Commit, sql!("COMMIT")).await {
            tracing::error!(%error, "a commit failed; its outcome is unknown");
            return self.fail_group(StoreError::OutcomeUnknown).await;
        }
        wakes.iter().for_each(|sink| self.shared.wake(sink));
        self.tell(&Ok(()));
    }

    /// Closes the group and the connection for good.
    pub(super) async fn shut(&mut self) {
        if self.tidy().await.is_ok() {
            self.close().await;
        }
        self.shut = true;
        self.drop_connection().await;
    }

    async fn open_group(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.execute(Sent::Boundary, sql!("BEGIN IMMEDIATE")).await {
            let error = StoreError::from(error);
            if !matches!(error, StoreError::Busy) {
                self.drop_connection().await;
            }
            return Err(error);
        }
        self.group = Some(Group {
            opened: Instant::now(),
            members: Vec::new(),
            buffer: Buffer::default(),
            turn: None,
            savepoint: None,
        });
        Ok(())
    }

    async fn abandon_group(&mut self) {
        self.group = None;
        if self.execute(Sent::Boundary, sql!("ROLLBACK")).await.is_err() {
            self.drop_connection().await;
        }
    }

    /// Everything of the group is lost, and everyone in it is told.
    async fn fail_group(&mut self, error: StoreError) {
        let unknown = matches!(error, StoreError::OutcomeUnknown);
        // First of all, and without an await: nobody may take this group for a living one.
        self.tell(&Err(error));
        self.drop_connection().await;
        if unknown {
            // What it recorded may be there: lanes find out.
            self.shared.wake_all();
        }
    }

    fn tell(&mut self, outcome: &Result<(), StoreError>) {
        for member in self.group.take().into_iter().flat_map(|group| group.members) {
            // One who no longer listens has been dropped.
            let _ = member.send(outcome.clone());
        }
    }

    /// Drops the connection, with whatever transaction is open on it; the next holder opens another.
    async fn drop_connection(&mut self) {
        self.sent = Sent::Nothing;
        let Some(mut conn) = self.conn.take() else { return };
        // At once, not when the thread behind it ends: the next connection needs the lock.
        let _ = sqlx::query::<Sqlite>("ROLLBACK").execute(&mut conn).await;
        if let Err(error) = conn.close().await {
            tracing::warn!(%error, "closing a database connection failed");
        }
    }

    /// `BEGIN` inside a transaction is an error that changes nothing: the probe that needs no unsafe call.
    async fn transaction_is_open(&mut self) -> bool {
        matches!(
            // A boundary: outside a transaction it opens one, which nobody may take for the group's.
            self.execute(Sent::Boundary, sql!("BEGIN")).await,
            Err(sqlx::Error::Database(cause)) if cause.message().contains("within a transaction")
        )
    }

    async fn execute(&mut self, sent: Sent, sql: Sql) -> Result<(), sqlx::Error> {
        self.sent = sent;
        let done = match &mut self.conn {
            Some(conn) => sqlx::query::<Sqlite>(sql.into_sqlx()).execute(conn).await.map(drop),
            None => Err(sqlx::Error::WorkerCrashed),
        };
        self.sent = Sent::Nothing;
        done
    }

    async fn flush(&mut self, sql: Sql, values: Vec<Value>) -> Result<(), StoreError> {
        let arguments = bind::<Sqlite>(values)?;
        self.sent = Sent::Boundary;
        let done = run::<()>(self.conn.as_mut(), sql, arguments).await;
        self.sent = Sent::Nothing;
        Ok(done.map(drop)?)
    }
}

async fn run<T: Row>(
    conn: Option<&mut SqliteConnection>,
    sql: Sql,
    arguments: SqliteArguments,
) -> Result<(Vec<T>, u64), sqlx::Error> {
    let conn = conn.ok_or(sqlx::Error::WorkerCrashed)?;
    let mut results = conn.fetch_many(sqlx::query_with::<Sqlite, _>(sql.into_sqlx(), arguments));
    let (mut rows, mut changed) = (Vec::new(), 0);
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(done) => changed = done.rows_affected(),
            Either::Right(row) => rows.push(T::from_row(&row)?),
        }
    }
    Ok((rows, changed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn group(members: usize, age: Duration) -> Group {
        let members = (0..members).map(|_| oneshot::channel().0).collect();
        let opened = Instant::now().checked_sub(age).expect("the machine runs longer than that");
        Group { opened, members, buffer: Buffer::default(), turn: None, savepoint: None }
    }

    use std::sync::atomic::{AtomicBool, Ordering};

    use kernel::Ctx;

    use crate::Sinks;

    /// A writer, and what interrupts whatever runs on its connection when it turns true.
    async fn interruptible(folder: &tempfile::TempDir) -> (State, Arc<Shared>, Arc<AtomicBool>) {
        let path = folder.path().join("cardea.db");
        let (options, _) = crate::start::open_sqlite(&path, crate::start::Migrate::Yes).await.unwrap();
        let shared = Arc::new(Shared::new(Ctx::for_tests(1), Sinks::default()));
        let mut state = State::open(options, shared.clone()).await.unwrap();
        let interrupt = Arc::new(AtomicBool::new(false));
        let (interrupted, conn) = (interrupt.clone(), state.conn.as_mut().unwrap());
        conn.lock_handle()
            .await
            .unwrap()
            .set_progress_handler(1, move || !interrupted.load(Ordering::SeqCst));
        (state, shared, interrupt)
    }

    fn change(seq: i64) -> (Sql, Vec<Value>) {
        (sql!("INSERT INTO follower (name, seq) VALUES ($1, $2)"), vec![seq.to_string().into(), seq.into()])
    }

    async fn join(state: &mut State, seq: i64, buffer: Buffer) -> Outcome {
        state.take_turn().await.unwrap();
        let (sql, values) = change(seq);
        state.only_statement::<()>(sql, values).await.unwrap();
        state.join(buffer).unwrap()
    }

    async fn followers(state: &mut State) -> i64 {
        state.tidy().await.unwrap();
        let conn = state.conn.as_mut().unwrap();
        let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM follower").fetch_one(conn).await.unwrap();
        count
    }

    #[tokio::test]
    async fn an_interrupted_statement_that_ends_the_transaction_fails_every_member() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, _shared, interrupt) = interruptible(&folder).await;
        let victim = join(&mut state, 1, Buffer::default()).await;
        state.take_turn().await.unwrap();
        interrupt.store(true, Ordering::SeqCst);
        let (sql, values) = change(2);
        let failed = state.only_statement::<()>(sql, values).await;
        assert!(failed.is_err());
        let _ = state.roll_back_turn().await;
        assert!(matches!(victim.await.unwrap(), Err(StoreError::Conflict)));
        assert_eq!(followers(&mut state).await, 0);
    }

    /// Whether the commit took place is then open: all hear so, and lanes look.
    #[tokio::test]
    async fn an_interrupted_commit_is_of_unknown_outcome_and_wakes_the_lanes() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, shared, interrupt) = interruptible(&folder).await;
        let victims =
            [join(&mut state, 1, Buffer::default()).await, join(&mut state, 2, Buffer::default()).await];
        let waker = shared.waker("door");
        let mut rung = std::pin::pin!(waker.notified());
        rung.as_mut().enable();
        interrupt.store(true, Ordering::SeqCst);
        state.close().await;
        for victim in victims {
            assert!(matches!(victim.await.unwrap(), Err(StoreError::OutcomeUnknown)));
        }
        assert!(futures_util::poll!(rung).is_ready(), "a lane would wait for its poll");
        assert_eq!(followers(&mut state).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_is_full_at_64_members_or_2_ms() {
        for (members, age, full) in [
            (0, Duration::ZERO, false),
            (63, Duration::from_micros(1_999), false),
            (64, Duration::ZERO, true),
            (1, Duration::from_millis(2), true),
        ] {
            assert_eq!(group(members, age).is_full(), full, "{members} members after {age:?}");
        }
    }
}
