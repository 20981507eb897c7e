//! What a caller of the store can do about a failure.

use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::sqlite::SqliteError;

/// A failure of the database, sorted by what the caller can do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A value that must be unique is taken. Nothing of this transaction remains.
    #[error("{table_and_columns} is taken")]
    Taken {
        /// `table_column[_column]`, the name of the unique index, or `table_pkey` of a primary key; the same on
        /// both engines.
        table_and_columns: String,
    },
    /// Another transaction was faster; run this one again. Nothing of it remains.
    #[error("another transaction was faster; try again")]
    Conflict,
    /// The writer did not get its turn in time; try again later. Nothing was done.
    #[error("the database is busy; try again later")]
    Busy,
    /// This machine's clock is wrong, and nothing is written until it is right. Nothing was done.
    #[error("this machine's clock is {0} ms away from the database's; nothing is written until they agree")]
    Clock(i64),
    /// The commit itself failed: the change may or may not have become durable. Read before repeating.
    #[error("the outcome of the commit is unknown; read before repeating")]
    OutcomeUnknown,
    /// A stored value does not read as its type: the database was changed behind our back.
    #[error("a stored value cannot be read: {0}")]
    Inconsistent(String),
    /// The database refused or failed. Nothing of this transaction remains.
    #[error("the database failed")]
    Failed(#[source] Arc<sqlx::Error>),
}

impl StoreError {
    /// Whether a unique value of this index (`table_column[_column]`) was taken.
    #[must_use]
    pub fn is_taken(&self, index: &str) -> bool {
        matches!(self, StoreError::Taken { table_and_columns } if table_and_columns == index)
    }

    pub(crate) fn no_row(sql: &crate::Sql) -> Self {
        StoreError::Inconsistent(format!("no row: {}", sql.text()))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) => match condition(cause.as_ref()) {
                Condition::Taken => StoreError::Taken { table_and_columns: unique_index(cause.as_ref()) },
                Condition::Conflict => StoreError::Conflict,
                Condition::Busy => StoreError::Busy,
                Condition::Other => StoreError::Failed(Arc::new(error)),
            },
            sqlx::Error::PoolTimedOut => StoreError::Busy,
            sqlx::Error::ColumnDecode { index, source } => {
                StoreError::Inconsistent(format!("column {index}: {source}"))
            }
            sqlx::Error::Decode(source) => StoreError::Inconsistent(source.to_string()),
            _ => StoreError::Failed(Arc::new(error)),
        }
    }
}

/// What the error of a commit means: a server that answers with an ordinary error has rolled back; one that
/// hangs up or is being ended may have committed.
pub(crate) fn of_commit(error: sqlx::Error) -> StoreError {
    let nothing_done = match &error {
        sqlx::Error::Database(cause) => cause
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|cause| cause.severity() == PgSeverity::Error),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        _ => false,
    };
    if nothing_done { StoreError::from(error) } else { StoreError::OutcomeUnknown }
}

enum Condition {
    Taken,
    Conflict,
    Busy,
    Other,
}

fn condition(cause: &dyn DatabaseError) -> Condition {
    if cause.is_unique_violation() {
        return Condition::Taken;
    }
    let code = cause.code().unwrap_or_default();
    if cause.try_downcast_ref::<SqliteError>().is_some() {
        // SQLITE_BUSY is the low byte of its extended codes.
        let busy = code.parse::<i32>().is_ok_and(|code| code & 0xff == 5);
        return if busy { Condition::Busy } else { Condition::Other };
    }
    match code.as_ref() {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Condition::Conflict,
        // lock_not_available (after `lock_timeout`), too_many_connections
        "55P03" | "53300" => Condition::Busy,
        _ => Condition::Other,
    }
}

/// PostgreSQL names the index; SQLite names `table.column, table.column`. Our indexes are named
/// `table_column_column`, and PostgreSQL calls the index of a primary key `table_pkey`, so both give the same.
fn unique_index(cause: &dyn DatabaseError) -> String {
    if let Some(name) = cause.constraint() {
        return name.to_owned();
    }
    let columns = cause.message().rsplit_once("failed: ").map_or("", |(_, columns)| columns);
    if cause.code().as_deref() == Some(SQLITE_CONSTRAINT_PRIMARYKEY) {
        let table = columns.split('.').next().unwrap_or_default();
        return format!("{table}_pkey");
    }
    let mut name = String::new();
    for (position, column) in columns.split(", ").enumerate() {
        match column.split_once('.') {
            Some((table, column)) if position == 0 => name = format!("{table}_{column}"),
            Some((_, column)) => name = format!("{name}_{column}"),
            None => {}
        }
    }
    name
}

const SQLITE_CONSTRAINT_PRIMARYKEY: &str = "1555";
