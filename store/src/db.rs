//! The database: reading from it, and the two ways of writing, [`Db::write`] and [`Db::change`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::Ctx;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Sqlite};
use tokio::sync::{Notify, watch};

use crate::delivery::Positions;
use crate::error::of_commit;
use crate::journal::Buffer;
use crate::listen::Neighbours;
use crate::readers::Readers;
use crate::sql::bind;
use crate::start::{Migrate, check_clock, check_existing, open_postgres, open_sqlite};
use crate::tx::Engine;
use crate::writer::Writer;
use crate::{DbConfig, Fact, Origin, Params, Sinks, Sql, StartError, StoreError, Tx, Value, sql};

/// A row: any tuple or `derive(FromRow)` struct.
pub trait Row:
    for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
    + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>
    + Send
    + Unpin
{
}
impl<T> Row for T where
    T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
        + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>
        + Send
        + Unpin
{
}

/// The database, shared by all who read and write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pub(crate) engine: Pools,
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
pub(crate) enum Pools {
    Sqlite { path: PathBuf, write: Arc<Writer>, read: Readers },
    Postgres { pool: PgPool, neighbours: Arc<Neighbours> },
}

/// What every transaction needs beside its connection.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ctx: Ctx,
    pub(crate) sinks: Sinks,
    pub(crate) positions: Positions,
    /// This process's own number, by which others tell its claims.
    pub(crate) own_number: i64,
    /// Whether others can find out that this process is gone.
    holds_number: watch::Sender<bool>,
    /// How far the clock was off the database's when last compared, in milliseconds; 0 when it was right.
    clock_off: AtomicI64,
    /// See [`Db::statements`].
    statements: AtomicU64,
    wakers: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Shared {
    pub(crate) fn new(ctx: Ctx, sinks: Sinks) -> Self {
        Self {
            own_number: i64::from_be_bytes(ctx.random()),
            ctx,
            sinks,
            positions: Positions::default(),
            holds_number: watch::Sender::new(false),
            clock_off: AtomicI64::new(0),
            statements: AtomicU64::new(0),
            wakers: Mutex::default(),
        }
    }

    /// Counts one more statement of a caller.
    pub(crate) fn count_statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn has_number(&self) -> bool {
        *self.holds_number.borrow()
    }

    pub(crate) fn holds_number(&self, holds: bool) {
        self.holds_number.send_replace(holds);
    }

    /// Whether what a transaction writes may carry this node's time.
    fn clock_is_right(&self) -> Result<(), StoreError> {
        match self.clock_off.load(Ordering::Acquire) {
            0 => Ok(()),
            off => Err(StoreError::Clock(off)),
        }
    }

    fn note_clock(&self, compared: &Result<(), StartError>) {
        match compared {
            Ok(()) => self.clock_off.store(0, Ordering::Release),
            Err(StartError::Clock(off)) => self.clock_off.store(*off, Ordering::Release),
            // Nothing is known that was not known before.
            Err(_) => {}
        }
    }

    fn wakers(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waker(&self, sink: &str) -> Arc<Notify> {
        self.wakers().entry(sink.to_owned()).or_default().clone()
    }

    /// Rings for those who asked for this sink's waker; other names are other nodes' business.
    pub(crate) fn wake(&self, sink: &str) {
        if let Some(waker) = self.wakers().get(sink) {
            waker.notify_waiters();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.wakers().values().for_each(|waker| waker.notify_waiters());
    }
}

impl Db {
    /// Opens and migrates.
    pub async fn open(config: &DbConfig, ctx: Ctx, sinks: Sinks) -> Result<Self, StartError> {
        Self::open_as(config, ctx, sinks, Migrate::Yes).await
    }

    async fn open_as(
        config: &DbConfig,
        ctx: Ctx,
        sinks: Sinks,
        migrate: Migrate,
    ) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(ctx, sinks));
        let engine = match config {
            DbConfig::Sqlite { path } => {
                let (options, read) = open_sqlite(path, migrate).await?;
                let write = Writer::open(options, shared.clone()).await.map_err(StartError::failed)?;
                // Nobody need ask whether this process lives: whoever serves after it is the only one.
                shared.holds_number(true);
                Pools::Sqlite { path: path.clone(), write: Arc::new(write), read }
            }
            DbConfig::Postgres { url, connections } => {
                let pool = open_postgres(url, *connections, &shared.ctx, migrate).await?;
                let neighbours = Arc::new(Neighbours::start(&pool, &shared));
                Pools::Postgres { pool, neighbours }
            }
        };
        Ok(Self { engine, shared })
    }

    /// Opens what is there: for whoever only looks. Nothing is made and nothing migrated.
    ///
    /// # Errors
    /// [`StartError::Missing`] and [`StartError::Pending`], beside those of [`Db::open`].
    pub async fn open_existing(config: &DbConfig, ctx: Ctx, sinks: Sinks) -> Result<Self, StartError> {
        check_existing(config).await?;
        Self::open_as(config, ctx, sinks, Migrate::No).await
    }

    /// Clock and entropy.
    #[must_use]
    pub fn ctx(&self) -> &Ctx {
        &self.shared.ctx
    }

    /// Which sinks hear of which facts.
    #[must_use]
    pub fn sinks(&self) -> &Sinks {
        &self.shared.sinks
    }

    /// Whether many nodes may share this database.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        matches!(self.engine, Pools::Postgres { .. })
    }

    /// How many statements were sent to the database for callers since this was opened: each read, each statement of a
    /// transaction, and each savepoint that one needed, is a call of its own that somebody waited for. What many share
    /// is not counted: BEGIN and COMMIT, and the writing of recorded facts, which goes with the commit.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.shared.statements.load(Ordering::Relaxed)
    }

    /// Begins a transaction. On SQLite this waits for the one writer's turn, 10 s at most.
    ///
    /// # Errors
    /// [`StoreError::Clock`] while this machine's clock is wrong: also of the other two ways of writing.
    pub async fn write(&self, origin: Origin) -> Result<Tx, StoreError> {
        self.shared.clock_is_right()?;
        let engine = match &self.engine {
            Pools::Sqlite { write, .. } => Engine::Sqlite(write.begin().await?),
            Pools::Postgres { pool, neighbours } => {
                Engine::Postgres { tx: answered(pool.begin()).await?, neighbours: neighbours.clone() }
            }
        };
        Ok(Tx { shared: self.shared.clone(), origin, buffer: Buffer::default(), broken: None, engine })
    }

    /// One statement and its facts, as a transaction: the cheap form. The facts are recorded when the
    /// statement changed at least one row; answers how many it changed.
    pub async fn change(
        &self,
        origin: Origin,
        sql: Sql,
        params: impl Params,
        facts: Vec<Fact>,
    ) -> Result<u64, StoreError> {
        self.shared.clock_is_right()?;
        let values = params.values();
        match &self.engine {
            Pools::Sqlite { write, .. } => {
                self.shared.count_statement();
                let mut buffer = Buffer::default();
                for fact in facts {
                    buffer.record(&self.shared.ctx, &origin, &self.shared.sinks, fact);
                }
                write.change::<()>(sql, values, buffer).await.map(|(_, changed)| changed)
            }
            // A statement alone is a transaction, too, and needs one call instead of three.
            Pools::Postgres { pool, .. } if facts.is_empty() => {
                self.shared.count_statement();
                let done = sqlx::query_with::<Postgres, _>(sql.into_sqlx(), bind::<Postgres>(values)?);
                Ok(answered(done.execute(pool)).await.map_err(of_commit)?.rows_affected())
            }
            Pools::Postgres { .. } => {
                let mut tx = self.write(origin).await?;
                let changed = tx.run(sql, values).await?;
                if changed > 0 {
                    for fact in facts {
                        tx.record(fact);
                    }
                }
                tx.commit().await?;
                Ok(changed)
            }
        }
    }

    /// One statement with RETURNING, as a transaction that records nothing: for leases and other bookkeeping.
    pub(crate) async fn change_returning<T: Row + 'static>(
        &self,
        sql: Sql,
        values: Vec<Value>,
    ) -> Result<Vec<T>, StoreError> {
        self.shared.clock_is_right()?;
        self.shared.count_statement();
        match &self.engine {
            Pools::Sqlite { write, .. } => {
                write.change(sql, values, Buffer::default()).await.map(|(rows, _)| rows)
            }
            Pools::Postgres { pool, .. } => {
                let rows = sqlx::query_as_with::<Postgres, T, _>(sql.into_sqlx(), bind::<Postgres>(values)?);
                answered(rows.fetch_all(pool)).await.map_err(of_commit)
            }
        }
    }

    /// The row, if there is one, outside any transaction.
    pub async fn opt<T: Row>(&self, sql: Sql, params: impl Params) -> Result<Option<T>, StoreError> {
        Ok(self.all(sql, params).await?.into_iter().next())
    }

    /// The row. None is an [`StoreError::Inconsistent`]: for counts and rows known to exist.
    pub async fn one<T: Row>(&self, sql: Sql, params: impl Params) -> Result<T, StoreError> {
        let row = self.opt(sql.clone(), params).await?;
        row.ok_or_else(|| StoreError::no_row(&sql))
    }

    /// All rows, outside any transaction. Only what is committed is seen.
    pub async fn all<T: Row>(&self, sql: Sql, params: impl Params) -> Result<Vec<T>, StoreError> {
        let values = params.values();
        self.shared.count_statement();
        match &self.engine {
            Pools::Sqlite { read, .. } => Ok(read.all(sql, bind::<Sqlite>(values)?).await?),
            Pools::Postgres { pool, .. } => fetch_pg(pool, sql, values).await,
        }
    }

    /// Prepares a text without running it: does this engine understand it?
    pub async fn prepare(&self, sql: Sql) -> Result<(), StoreError> {
        use sqlx::Executor as _;
        match &self.engine {
            Pools::Sqlite { read, .. } => read.prepare(sql).await?,
            Pools::Postgres { pool, .. } => drop(pool.prepare(sql.into_sqlx()).await?),
        }
        Ok(())
    }

    /// Whether the database answers, and on PostgreSQL agrees about the time: from then on nothing is written until
    /// it does again.
    pub async fn check(&self) -> Result<(), StartError> {
        match &self.engine {
            Pools::Sqlite { .. } => {
                let answer: Result<(i64,), _> = self.one(sql!("SELECT CAST(1 AS BIGINT)"), ()).await;
                answer.map(drop).map_err(StartError::failed)
            }
            Pools::Postgres { pool, .. } => {
                let compared = check_clock(pool, &self.shared.ctx).await;
                self.shared.note_clock(&compared);
                compared
            }
        }
    }

    /// This process's own number.
    pub(crate) fn own_number(&self) -> i64 {
        self.shared.own_number
    }

    /// What this process's claims carry: its number, once others can find out that it is gone.
    pub(crate) fn holder(&self) -> Option<i64> {
        self.shared.holds_number.borrow().then_some(self.shared.own_number)
    }

    /// Waits until others can find out that this process is gone; not for ever, since it is no condition of work.
    pub(crate) async fn wait_for_number(&self) {
        let mut holds = self.shared.holds_number.subscribe();
        let held = tokio::time::timeout(Duration::from_secs(5), holds.wait_for(|holds| *holds)).await;
        if !matches!(held, Ok(Ok(_))) {
            tracing::warn!("until this node is heard of, what it claims waits for its lease should it die");
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match &self.engine {
            Pools::Sqlite { read, .. } => read.is_closed(),
            Pools::Postgres { pool, .. } => pool.is_closed(),
        }
    }

    /// Whether something can be written and kept, at the price of one commit. It may wait as long as a writer waits.
    pub async fn check_writer(&self) -> Result<(), StoreError> {
        let text = sql!(
            "INSERT INTO lease (name, holder, until) VALUES ('write-probe', 'anybody', $1) \
             ON CONFLICT (name) DO UPDATE SET until = excluded.until"
        );
        self.change(Origin::system(), text, (self.ctx().now(),), Vec::new()).await.map(drop)
    }

    /// Rung when the sink has something to do. Register (`notified()`) before looking into the database.
    pub(crate) fn waker(&self, sink: &str) -> Arc<Notify> {
        self.shared.waker(sink)
    }

    /// Commits what is on its way and closes all connections. Whoever comes later fails.
    pub async fn close(&self) {
        match &self.engine {
            Pools::Sqlite { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres { pool, neighbours } => {
                neighbours.flush(pool).await;
                pool.close().await;
            }
        }
    }
}

/// How long a server may take to answer. Longer than it works on one statement (see `start.rs`): who is silent for
/// longer has gone, and must not hold whoever asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

pub(crate) async fn answered<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = || Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| silent())
}

pub(crate) async fn fetch_pg<'e, T: Row>(
    on: impl sqlx::PgExecutor<'e>,
    sql: Sql,
    values: Vec<Value>,
) -> Result<Vec<T>, StoreError> {
    let arguments = bind::<Postgres>(values)?;
    Ok(answered(sqlx::query_as_with::<Postgres, T, _>(sql.into_sqlx(), arguments).fetch_all(on)).await?)
}

pub(crate) async fn run_pg<'e>(
    on: impl sqlx::PgExecutor<'e>,
    sql: Sql,
    values: Vec<Value>,
) -> Result<u64, StoreError> {
    let arguments = bind::<Postgres>(values)?;
    Ok(answered(sqlx::query_with::<Postgres, _>(sql.into_sqlx(), arguments).execute(on))
        .await?
        .rows_affected())
}
