//! Opening a database, and reading from it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Ctx, Secret};
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Postgres, Sqlite};
use tokio::sync::Notify;

use crate::journal::Buffer;
use crate::sql::bind;
use crate::tx::Engine;
use crate::writer::Writer;
use crate::{Fact, Origin, Params, Sinks, Sql, StoreError, Tx, Value, sql};

/// Which database.
#[derive(Clone, Debug)]
pub enum DbConfig {
    /// A file; made when missing. The folder must exist.
    Sqlite {
        /// Where.
        path: PathBuf,
    },
    /// A server; the database must exist, with the `C` collation.
    Postgres {
        /// `postgres://user:password@host:port/database`.
        url: Secret<String>,
        /// At most this many connections.
        connections: u32,
    },
}

/// Why a database cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot be reached or opened.
    #[error("cannot open the database {place}: {reason}")]
    Unreachable {
        /// Path, or host and database; never the password.
        place: String,
        /// What the driver said.
        reason: String,
    },
    /// A newer release has been here.
    #[error("the database was migrated by a newer release (migration {0}); run that release, or restore a backup made before it")]
    Newer(i64),
    /// A migration that was applied differs from ours.
    #[error("migration {0} in the database differs from this release's; the binary or the database was tampered with")]
    Tampered(i64),
    /// Pages would be sorted differently than on the other engine.
    #[error(
        "the PostgreSQL database has collation {0:?}; create it anew with: \
         CREATE DATABASE … TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'UTF8'"
    )]
    Collation(String),
    /// The clocks of node and database disagree.
    #[error("this machine's clock is {0} ms away from the database's (2,000 allowed); synchronise both")]
    Clock(i64),
    /// Something else failed on the way.
    #[error("preparing the database failed: {0}")]
    Failed(String),
}

/// A row: any tuple or `derive(FromRow)` struct.
pub trait Row: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
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
    engine: Pools,
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
enum Pools {
    Sqlite { write: Arc<Writer>, read: SqlitePool },
    Postgres(PgPool),
}

/// What every transaction needs beside its connection.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ctx: Ctx,
    pub(crate) sinks: Sinks,
    wakers: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Shared {
    pub(crate) fn waker(&self, sink: &str) -> Arc<Notify> {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.entry(sink.to_owned()).or_default().clone()
    }

    pub(crate) fn wake(&self, sink: &str) {
        self.waker(sink).notify_waiters();
    }
}

/// How many connections read a SQLite file at once.
const SQLITE_READERS: u32 = 4;
/// Distinct statement texts that a connection keeps prepared.
const STATEMENT_CACHE: usize = 512;
/// How far this machine's clock may be off its database's.
const CLOCK_TOLERANCE_MS: i64 = 2_000;

impl Db {
    /// Opens and migrates.
    pub async fn open(config: &DbConfig, ctx: Ctx, sinks: Sinks) -> Result<Self, StartError> {
        let shared = Arc::new(Shared { ctx: ctx.clone(), sinks, wakers: Mutex::default() });
        let engine = match config {
            DbConfig::Sqlite { path } => open_sqlite(path, ctx).await?,
            DbConfig::Postgres { url, connections } => open_postgres(url, *connections).await?,
        };
        let db = Self { engine, shared };
        if let Pools::Postgres(pool) = &db.engine {
            db.check_clock().await?;
            tokio::spawn(listen(pool.clone(), Arc::downgrade(&db.shared)));
        }
        Ok(db)
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
        matches!(self.engine, Pools::Postgres(_))
    }

    /// Begins a transaction. On SQLite this waits for the one writer's turn, 10 s at most.
    pub async fn write(&self, origin: Origin) -> Result<Tx, StoreError> {
        let engine = match &self.engine {
            Pools::Sqlite { write, .. } => Engine::Sqlite(write.begin().await?),
            Pools::Postgres(pool) => Engine::Postgres(pool.begin().await?),
        };
        Ok(Tx { shared: self.shared.clone(), origin, buffer: Buffer::default(), wakes: Vec::new(), engine })
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
        let values = params.values();
        match &self.engine {
            Pools::Sqlite { write, .. } => {
                let mut buffer = Buffer::default();
                for fact in facts {
                    buffer.record(&self.shared.ctx, &origin, &self.shared.sinks, fact);
                }
                let wakes = buffer.wakes();
                let changed = write.change(sql, values, buffer).await?;
                wakes.iter().for_each(|sink| self.shared.wake(sink));
                Ok(changed)
            }
            Pools::Postgres(_) => {
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

    /// The row, if there is one, outside any transaction.
    pub async fn opt<T: Row>(&self, sql: Sql, params: impl Params) -> Result<Option<T>, StoreError> {
        Ok(self.all(sql, params).await?.into_iter().next())
    }

    /// The row. None is an [`StoreError::Inconsistent`]: for counts and rows known to exist.
    pub async fn one<T: Row>(&self, sql: Sql, params: impl Params) -> Result<T, StoreError> {
        let text = sql.text().to_owned();
        self.opt(sql, params).await?.ok_or(StoreError::Inconsistent(format!("no row: {text}")))
    }

    /// All rows, outside any transaction. Only what is committed is seen.
    pub async fn all<T: Row>(&self, sql: Sql, params: impl Params) -> Result<Vec<T>, StoreError> {
        let values = params.values();
        match &self.engine {
            Pools::Sqlite { read, .. } => {
                let arguments = bind::<Sqlite>(values)?;
                Ok(sqlx::query_as_with::<Sqlite, T, _>(sql.into_sqlx(), arguments).fetch_all(read).await?)
            }
            Pools::Postgres(pool) => fetch_pg(pool, sql, values).await,
        }
    }

    /// Prepares a text without running it: does this engine understand it?
    pub async fn prepare(&self, sql: Sql) -> Result<(), StoreError> {
        use sqlx::Executor as _;
        match &self.engine {
            Pools::Sqlite { read, .. } => drop(read.prepare(sql.into_sqlx()).await?),
            Pools::Postgres(pool) => drop(pool.prepare(sql.into_sqlx()).await?),
        }
        Ok(())
    }

    /// Whether the database answers, and on PostgreSQL agrees about the time.
    pub async fn check(&self) -> Result<(), StartError> {
        let _: (i64,) = self
            .one(sql!("SELECT CAST(1 AS BIGINT)"), ())
            .await
            .map_err(|error| StartError::Failed(error.to_string()))?;
        if self.is_postgres() { self.check_clock().await } else { Ok(()) }
    }

    async fn check_clock(&self) -> Result<(), StartError> {
        let before = self.ctx().now().as_millis();
        let (theirs,): (i64,) = self
            .one(sql!("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"), ())
            .await
            .map_err(|error| StartError::Failed(error.to_string()))?;
        let after = self.ctx().now().as_millis();
        // The database answered somewhere between the two readings.
        let off = (before - theirs).max(theirs - after).max(0);
        if off > CLOCK_TOLERANCE_MS { Err(StartError::Clock(off)) } else { Ok(()) }
    }

    /// Rung when the sink has something to do. Register (`notified()`) before looking into the database.
    pub(crate) fn waker(&self, sink: &str) -> Arc<Notify> {
        self.shared.waker(sink)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.engine {
            Pools::Sqlite { read, .. } => read.close().await,
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

async fn open_sqlite(path: &Path, ctx: Ctx) -> Result<Pools, StartError> {
    let unreachable = |error: sqlx::Error| StartError::Unreachable {
        place: path.display().to_string(),
        reason: error.to_string(),
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A revocation that was acknowledged must survive a power cut.
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(STATEMENT_CACHE);
    let migrating = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(unreachable)?;
    MIGRATIONS.run(&migrating).await.map_err(migration_error)?;
    migrating.close().await;
    let read = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .min_connections(0)
        .connect_with(options.clone().pragma("query_only", "ON"))
        .await
        .map_err(unreachable)?;
    let write = Writer::open(options, ctx).await.map_err(|error| StartError::Failed(error.to_string()))?;
    Ok(Pools::Sqlite { write: Arc::new(write), read })
}

async fn open_postgres(url: &Secret<String>, connections: u32) -> Result<Pools, StartError> {
    let options: sqlx::postgres::PgConnectOptions = url.expose().parse().map_err(|error: sqlx::Error| {
        StartError::Unreachable { place: "PostgreSQL".into(), reason: error.to_string() }
    })?;
    let place = format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or(""));
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options.statement_cache_capacity(STATEMENT_CACHE))
        .await
        .map_err(|error| StartError::Unreachable { place, reason: error.to_string() })?;
    let failed = |error: sqlx::Error| StartError::Failed(error.to_string());
    let (collation,): (String,) =
        sqlx::query_as("SELECT datcollate::text FROM pg_database WHERE datname = current_database()")
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
    if !matches!(collation.as_str(), "C" | "POSIX") {
        return Err(StartError::Collation(collation));
    }
    MIGRATIONS.run(&pool).await.map_err(migration_error)?;
    // Tuning only: what it does must not change any answer, so it is not versioned and runs each time.
    for text in POSTGRES_TUNING {
        sqlx::raw_sql(*text).execute(&pool).await.map_err(failed)?;
    }
    Ok(Pools::Postgres(pool))
}

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
const POSTGRES_TUNING: &[&str] = &[include_str!("../../migrations/postgres/tuning.sql")];

fn migration_error(error: sqlx::migrate::MigrateError) -> StartError {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::VersionMissing(version) => StartError::Newer(version),
        MigrateError::VersionMismatch(version) => StartError::Tampered(version),
        other => StartError::Failed(other.to_string()),
    }
}

/// Passes on what other nodes say has work to do. A lost notice costs a poll: lanes look once a second.
async fn listen(pool: PgPool, shared: std::sync::Weak<Shared>) {
    while shared.strong_count() > 0 {
        let heard = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(crate::WAKE_CHANNEL).await?;
            loop {
                let notice = listener.recv().await?;
                let Some(shared) = shared.upgrade() else { return Ok::<(), sqlx::Error>(()) };
                shared.wake(notice.payload());
            }
        };
        if let Err(error) = heard.await {
            if pool.is_closed() {
                return;
            }
            tracing::warn!(%error, "listening for other nodes failed; polling until it works again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

pub(crate) async fn fetch_pg<'e, T: Row>(
    on: impl sqlx::PgExecutor<'e>,
    sql: Sql,
    values: Vec<Value>,
) -> Result<Vec<T>, StoreError> {
    let arguments = bind::<Postgres>(values)?;
    Ok(sqlx::query_as_with::<Postgres, T, _>(sql.into_sqlx(), arguments).fetch_all(on).await?)
}

pub(crate) async fn run_pg<'e>(
    on: impl sqlx::PgExecutor<'e>,
    sql: Sql,
    values: Vec<Value>,
) -> Result<u64, StoreError> {
    let arguments = bind::<Postgres>(values)?;
    Ok(sqlx::query_with::<Postgres, _>(sql.into_sqlx(), arguments).execute(on).await?.rows_affected())
}
