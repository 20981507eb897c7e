//! Opening a database: reached, fit, of our age and of our time, or refused with what to do about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel::{Ctx, Secret};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{Connection as _, Executor as _};

use crate::db::answered;
use crate::readers::Readers;

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
        /// At most this many connections, 3 at least: one listens for other nodes.
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
        /// What the driver said, and what it may mean.
        reason: String,
    },
    /// A newer release has been here.
    #[error(
        "the database was migrated by a newer release (migration {0}); run that release, or restore a backup made before it"
    )]
    Newer(i64),
    /// A migration that was applied differs from ours.
    #[error(
        "migration {0} in the database differs from this release's; the binary or the database was tampered with"
    )]
    Tampered(i64),
    /// Pages would be sorted differently than on the other engine.
    #[error(
        "the PostgreSQL database has collation {0}; create it anew with: \
         CREATE DATABASE … TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'UTF8'"
    )]
    Collation(String),
    /// The clocks of node and database disagree.
    #[error("this machine's clock is {0} ms away from the database's (2,000 allowed); synchronise both")]
    Clock(i64),
    /// Another process runs lanes on this file. Two would deliver the same things at once.
    #[error(
        "the database {0} is served by another process; stop that one, or use PostgreSQL, which many may serve"
    )]
    Served(PathBuf),
    /// There is none, and whoever only looks makes none.
    #[error("there is no database {0}; correct its path in the configuration, or make it with: cardea serve")]
    Missing(String),
    /// It was made by an older release, and whoever only looks changes nothing.
    #[error("the database lacks {0} migration(s) of this release; have them made by: cardea serve")]
    Pending(usize),
    /// Something else failed on the way.
    #[error("preparing the database failed: {0}")]
    Failed(String),
}

impl StartError {
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        StartError::Failed(error.to_string())
    }
}

/// In bytes. Somewhat more than SQLite's log holds when it begins anew by itself (1,000 pages of 4,096 bytes): nothing
/// is cut off then, since to let a file grow again costs more than to write it over.
const LONGEST_LOG: &str = "4194304";
/// Distinct statement texts that a connection keeps prepared.
const STATEMENT_CACHE: usize = 512;
/// How long to wait for a server to answer, and for a free connection.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How far this machine's clock may be off its database's.
const CLOCK_TOLERANCE_MS: i64 = 2_000;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
const POSTGRES_TUNING: &str = include_str!("../../migrations/postgres/tuning.sql");

/// Whether opening makes the database what this release needs. Who only looks changes nothing, and waits for no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Migrate {
    Yes,
    No,
}

/// A file: the options for its writer, and its readers.
pub(crate) async fn open_sqlite(
    path: &Path,
    migrate: Migrate,
) -> Result<(SqliteConnectOptions, Readers), StartError> {
    let unreachable = |error: sqlx::Error| StartError::Unreachable {
        place: path.display().to_string(),
        reason: explain_sqlite(&error),
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(migrate == Migrate::Yes)
        .journal_mode(SqliteJournalMode::Wal)
        // A revocation that was acknowledged must survive a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What is erased is gone from the file, too: from its pages at once; from the log, which holds what pages were
        // like before, when that is written over. A long reader lets it grow; a log longer than one that was never held
        // up is cut off again, so that the rest does not lie there for ever.
        .pragma("secure_delete", "ON")
        .pragma("journal_size_limit", LONGEST_LOG)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(STATEMENT_CACHE);
    // SQLite writes this setting down whenever it is said (pragma.c, `setMeta6`), so saying it waits for whoever
    // writes: a reader that is opened while somebody does must not.
    let reading = options.clone().pragma("query_only", "ON");
    let options = options.auto_vacuum(SqliteAutoVacuum::Incremental);
    let mut conn = SqliteConnection::connect_with(&options).await.map_err(unreachable)?;
    if migrate == Migrate::Yes {
        migrate_sqlite(&mut conn).await?;
    }
    conn.close().await.map_err(StartError::failed)?;
    let read = Readers::open(reading).await.map_err(unreachable)?;
    Ok((options, read))
}

/// A migration that was applied, and what its text was.
type Applied = (i64, Vec<u8>);

/// Refuses a database that [`Db::open`](crate::Db::open) would have to make or to migrate, or would refuse.
pub(crate) async fn check_existing(config: &DbConfig) -> Result<(), StartError> {
    let text = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";
    let applied: Vec<Applied> = match config {
        DbConfig::Sqlite { path } => {
            if !path.exists() {
                return Err(StartError::Missing(path.display().to_string()));
            }
            let options = SqliteConnectOptions::new().filename(path).busy_timeout(REACH_TIMEOUT);
            let mut conn = SqliteConnection::connect_with(&options).await.map_err(|error| {
                StartError::Unreachable { place: path.display().to_string(), reason: explain_sqlite(&error) }
            })?;
            none_without_table(sqlx::query_as(text).fetch_all(&mut conn).await)?
        }
        DbConfig::Postgres { url, .. } => {
            let mut conn = reach_postgres(&postgres_options(url)?).await?;
            none_without_table(sqlx::query_as(text).fetch_all(&mut conn).await)?
        }
    };
    compare(&applied)
}

/// As [`sqlx::migrate::Migrator::run`] does before it migrates.
fn compare(applied: &[Applied]) -> Result<(), StartError> {
    for (version, checksum) in applied {
        match MIGRATIONS.iter().find(|ours| ours.version == *version) {
            None => return Err(StartError::Newer(*version)),
            Some(ours) if ours.checksum[..] != checksum[..] => return Err(StartError::Tampered(*version)),
            Some(_) => {}
        }
    }
    match MIGRATIONS.iter().filter(|ours| applied.iter().all(|(version, _)| *version != ours.version)).count()
    {
        0 => Ok(()),
        pending => Err(StartError::Pending(pending)),
    }
}

/// Where nothing was ever migrated, there is no table of migrations.
fn none_without_table(applied: Result<Vec<Applied>, sqlx::Error>) -> Result<Vec<Applied>, StartError> {
    match applied {
        Err(sqlx::Error::Database(error)) if error.message().contains("_sqlx_migrations") => Ok(Vec::new()),
        applied => applied.map_err(StartError::failed),
    }
}

/// All migrations in one transaction, begun as a writer: of several processes one migrates, the others wait and
/// find it done. `run_direct`, since the future of `run` on one connection cannot be sent between threads.
async fn migrate_sqlite(conn: &mut SqliteConnection) -> Result<(), StartError> {
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(StartError::failed)?;
    MIGRATIONS.run_direct(None, &mut *tx, false).await.map_err(migration_error)?;
    tx.commit().await.map_err(StartError::failed)
}

fn explain_sqlite(error: &sqlx::Error) -> String {
    let code = match error {
        sqlx::Error::Database(cause) => cause.code().and_then(|code| code.parse::<i32>().ok()),
        _ => None,
    };
    // The low byte of SQLite's extended codes.
    match code.map(|code| code & 0xff) {
        Some(8 | 14) => format!("{error}; the folder must exist, and it and the file must be writable"),
        Some(26) => format!("{error}; another file is in its place"),
        _ => error.to_string(),
    }
}

pub(crate) async fn open_postgres(
    url: &Secret<String>,
    connections: u32,
    ctx: &Ctx,
    migrate: Migrate,
) -> Result<PgPool, StartError> {
    let options = postgres_options(url)?;
    // Not through the pool: that would try for its whole timeout and then hide why it failed.
    let mut conn = reach_postgres(&options).await?;
    check_collation(&mut conn).await?;
    // Before anything is changed: a node with a wrong clock must not even migrate.
    check_clock(&mut conn, ctx).await?;
    if migrate == Migrate::Yes {
        migrate_postgres(&mut conn).await?;
    }
    conn.close().await.map_err(StartError::failed)?;
    let pool = PgPoolOptions::new().max_connections(connections.max(3)).acquire_timeout(REACH_TIMEOUT);
    let pool = pool.after_connect(|conn, _| Box::pin(bound_waiting(conn)));
    Ok(pool.after_release(|conn, _| Box::pin(still_answers(conn))).connect_lazy_with(options))
}

async fn migrate_postgres(conn: &mut PgConnection) -> Result<(), StartError> {
    MIGRATIONS.run_direct(None, &mut *conn, false).await.map_err(migration_error)?;
    // Tuning only: what it does must not change any answer, so it is not versioned and runs each time; and no start
    // waits for it behind somebody else's lock.
    conn.execute(sqlx::raw_sql("SET lock_timeout = '2s'")).await.map_err(StartError::failed)?;
    if let Err(error) = conn.execute(sqlx::raw_sql(POSTGRES_TUNING)).await {
        tracing::warn!(%error, "tables could not be tuned now; the next start tries again");
    }
    Ok(())
}

fn postgres_options(url: &Secret<String>) -> Result<PgConnectOptions, StartError> {
    let options: PgConnectOptions = url.expose().parse().map_err(|error: sqlx::Error| {
        StartError::Unreachable { place: "PostgreSQL".into(), reason: error.to_string() }
    })?;
    Ok(options.statement_cache_capacity(STATEMENT_CACHE))
}

async fn reach_postgres(options: &PgConnectOptions) -> Result<PgConnection, StartError> {
    let unreachable = |reason: String| StartError::Unreachable {
        place: format!(
            "{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or(options.get_username())
        ),
        reason,
    };
    match tokio::time::timeout(REACH_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no answer within {} s", REACH_TIMEOUT.as_secs()))),
    }
}

/// A node that hangs or vanishes must not hold the others' rows or its claims, and none waits for a lock or an answer
/// for ever. The server ends what takes longer, and the connection of one who has not acknowledged for half a minute.
async fn bound_waiting(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let bounds = "SET lock_timeout = '10s'; SET statement_timeout = '30s'; \
                  SET idle_in_transaction_session_timeout = '60s'; SET tcp_user_timeout = '30s'; \
                  SET tcp_keepalives_idle = '10s'; SET tcp_keepalives_interval = '5s'; SET tcp_keepalives_count = 4";
    conn.execute(sqlx::raw_sql(bounds)).await.map(drop)
}

/// Before a connection goes back to the pool. The pool asks for itself, but without a bound: a server that vanished
/// in silence would keep every place of it taken until TCP gives up.
async fn still_answers(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    tokio::time::timeout(REACH_TIMEOUT, conn.ping())
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))?;
    Ok(true)
}

/// Since PostgreSQL 15 a database may sort by ICU whatever its `datcollate` says, since 17 by a built-in
/// provider; `to_jsonb` reads the columns that older servers do not have.
async fn check_collation(conn: &mut PgConnection) -> Result<(), StartError> {
    let (provider, collation, locale, encoding): (String, String, String, String) = sqlx::query_as(
        "SELECT COALESCE(to_jsonb(d) ->> 'datlocprovider', 'c'), d.datcollate::text, \
         COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''), \
         pg_encoding_to_char(d.encoding)::text FROM pg_database d WHERE d.datname = current_database()",
    )
    .fetch_one(conn)
    .await
    .map_err(StartError::failed)?;
    let sorts_bytewise = match provider.as_str() {
        "c" => matches!(collation.as_str(), "C" | "POSIX"),
        "b" => locale == "C",
        _ => false,
    };
    if !sorts_bytewise {
        let name = if locale.is_empty() { collation } else { locale };
        return Err(StartError::Collation(format!("{name:?}")));
    }
    if encoding != "UTF8" {
        return Err(StartError::Collation(format!("{collation:?}, but the encoding {encoding}")));
    }
    Ok(())
}

/// Refuses when the database's clock and ours are too far apart.
pub(crate) async fn check_clock(on: impl sqlx::PgExecutor<'_>, ctx: &Ctx) -> Result<(), StartError> {
    let moved = i64::try_from(ctx.clock.moved_ahead().as_millis()).unwrap_or(0);
    let ours = || ctx.now().as_millis() - moved;
    let before = ours();
    let text = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
    let (theirs,): (i64,) = answered(sqlx::query_as(text).fetch_one(on)).await.map_err(StartError::failed)?;
    let off = clocks_apart(before, theirs, ours());
    if off > CLOCK_TOLERANCE_MS { Err(StartError::Clock(off)) } else { Ok(()) }
}

/// How far apart two clocks are at least, in milliseconds: theirs was read somewhere between our two readings.
fn clocks_apart(before: i64, theirs: i64, after: i64) -> i64 {
    (before - theirs).max(theirs - after).max(0)
}

fn migration_error(error: sqlx::migrate::MigrateError) -> StartError {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::VersionMissing(version) => StartError::Newer(version),
        MigrateError::VersionMismatch(version) => StartError::Tampered(version),
        other => StartError::failed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_looks_refuses_what_a_start_would_refuse() {
        let all: Vec<Applied> =
            MIGRATIONS.iter().map(|ours| (ours.version, ours.checksum.to_vec())).collect();
        compare(&all).unwrap();
        let newer = [&all[..], &[(9_999, vec![0])]].concat();
        assert!(matches!(compare(&newer), Err(StartError::Newer(9_999))));
        assert!(matches!(compare(&all[1..]), Err(StartError::Pending(1))));
        let mut other = all.clone();
        other[0].1[0] ^= 1;
        assert!(matches!(compare(&other), Err(StartError::Tampered(version)) if version == all[0].0));
    }

    #[test]
    fn clocks_are_apart_by_what_no_delay_explains() {
        for ((before, theirs, after), apart) in [
            ((1_000, 1_005, 1_010), 0),
            ((1_000, 1_000, 1_000), 0),
            ((1_000, 5_000, 1_010), 3_990),
            ((5_000, 1_000, 5_010), 4_000),
            // A slow answer is not a wrong clock.
            ((1_000, 9_000, 11_000), 0),
        ] {
            assert_eq!(clocks_apart(before, theirs, after), apart, "{before} {theirs} {after}");
        }
    }
}
