//! What a caller of the store can do about a failure.

use std::sync::Arc;

/// A failure of the database, sorted by what the caller can do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A value that must be unique is taken. Nothing of this transaction remains.
    #[error("{table_and_columns} is taken")]
    Taken {
        /// `table_column[_column]`, the name of the unique index on both engines.
        table_and_columns: String,
    },
    /// Another transaction was faster; run this one again. Nothing of it remains.
    #[error("another transaction was faster; try again")]
    Conflict,
    /// The writer did not get its turn in time; try again later. Nothing was done.
    #[error("the database is busy; try again later")]
    Busy,
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
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => {
                StoreError::Taken { table_and_columns: unique_index(cause.as_ref()) }
            }
            // PostgreSQL: serialization_failure, deadlock_detected.
            sqlx::Error::Database(cause) if matches!(cause.code().as_deref(), Some("40001" | "40P01")) => {
                StoreError::Conflict
            }
            sqlx::Error::PoolTimedOut => StoreError::Busy,
            sqlx::Error::ColumnDecode { index, source } => {
                StoreError::Inconsistent(format!("column {index}: {source}"))
            }
            sqlx::Error::Decode(source) => StoreError::Inconsistent(source.to_string()),
            _ => StoreError::Failed(Arc::new(error)),
        }
    }
}

/// PostgreSQL names the index; SQLite names `table.column, table.column`. Our indexes are named
/// `table_column_column`, so both give the same text.
fn unique_index(cause: &dyn sqlx::error::DatabaseError) -> String {
    if let Some(name) = cause.constraint() {
        return name.to_owned();
    }
    let columns = cause.message().rsplit_once("failed: ").map_or("", |(_, columns)| columns);
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
