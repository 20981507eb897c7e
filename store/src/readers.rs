//! SQLite's readers: a few connections, each on a thread of its own.
//!
//! A reader goes from hand to hand as it is. sqlx's pool would ask it whether it still answers before each statement,
//! and once more, in a task of its own, after it: on SQLite such a question costs as much as a statement, since both
//! wake the connection's thread and wait for it. All that can happen to a file that is open in this process is that
//! this thread ends; a reader that says so is not given back, and neither is one whose statement was given up
//! half-way. The next to come opens another.
//!
//! What it is not: the writer, of which there is one, and which is handed on by other rules (`writer/`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Sqlite};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Sql;
use crate::db::Row;
use crate::start::REACH_TIMEOUT;

/// How many connections read a SQLite file at once.
const READERS: u32 = 4;

/// All of them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Readers(Arc<Idle>);

#[derive(Debug)]
struct Idle {
    options: SqliteConnectOptions,
    /// One for each connection, whether it is open or not.
    places: Semaphore,
    readers: Mutex<Vec<SqliteConnection>>,
    closed: AtomicBool,
}

impl Readers {
    /// Opens the first, so that a file that cannot be read is found out now.
    pub(crate) async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let readers = Mutex::new(vec![options.connect().await?]);
        let (places, closed) = (Semaphore::new(READERS as usize), AtomicBool::new(false));
        Ok(Self(Arc::new(Idle { options, places, readers, closed })))
    }

    /// The rows of a statement.
    pub(crate) async fn all<T: Row>(
        &self,
        sql: Sql,
        arguments: SqliteArguments,
    ) -> Result<Vec<T>, sqlx::Error> {
        let mut reader = self.take().await?;
        let text = sql.into_sqlx();
        let rows =
            sqlx::query_as_with::<Sqlite, T, _>(text, arguments).fetch_all(&mut reader.connection).await;
        reader.give_back(rows)
    }

    /// Prepares a text without running it.
    pub(crate) async fn prepare(&self, sql: Sql) -> Result<(), sqlx::Error> {
        let mut reader = self.take().await?;
        let connection = &mut reader.connection;
        let prepared = connection.prepare(sql.into_sqlx()).await.map(drop);
        reader.give_back(prepared)
    }

    async fn take(&self) -> Result<Reader<'_>, sqlx::Error> {
        let idle = &*self.0;
        if self.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let place = match idle.places.try_acquire() {
            Ok(place) => place,
            Err(_) => tokio::time::timeout(REACH_TIMEOUT, idle.places.acquire())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)?
                .map_err(|_| sqlx::Error::PoolClosed)?,
        };
        // The one that was used last: its caches are warm.
        let ready = idle.readers().pop();
        let connection = match ready {
            Some(connection) => connection,
            None => idle.options.connect().await?,
        };
        Ok(Reader { connection, idle, place })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Lets those who read now end, and closes all connections. Whoever comes later is told so.
    pub(crate) async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        // Not given when another has closed it before: then there is nothing left to do.
        let all = self.0.places.acquire_many(READERS).await;
        self.0.places.close();
        drop(all);
        let readers = std::mem::take(&mut *self.0.readers());
        for reader in readers {
            if let Err(error) = reader.close().await {
                tracing::warn!(%error, "closing a database connection failed");
            }
        }
    }
}

impl Idle {
    fn readers(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        // A panic leaves the list whole: only its own operations run while it is held.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, in somebody's hand. Dropped with a statement under way, it closes.
struct Reader<'a> {
    connection: SqliteConnection,
    idle: &'a Idle,
    place: SemaphorePermit<'a>,
}

impl Reader<'_> {
    /// For the next, if it still can; the outcome of what it did.
    fn give_back<T>(self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let Self { connection, idle, place } = self;
        if !matches!(outcome, Err(sqlx::Error::WorkerCrashed)) {
            idle.readers().push(connection);
        }
        drop(place);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    async fn readers(folder: &tempfile::TempDir) -> Readers {
        let path = folder.path().join("cardea.db");
        crate::start::open_sqlite(&path, crate::start::Migrate::Yes).await.unwrap().1
    }

    async fn one(readers: &Readers) -> Result<Vec<(i64,)>, sqlx::Error> {
        readers.all(sql!("SELECT CAST(1 AS BIGINT)"), SqliteArguments::default()).await
    }

    #[tokio::test]
    async fn many_more_than_there_are_readers_are_answered_and_what_was_opened_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder).await;
        for _ in 0..3 {
            let all = futures_util::future::join_all((0..64).map(|_| one(&readers))).await;
            assert!(all.into_iter().all(|rows| rows.is_ok_and(|rows| rows == [(1,)])));
            assert!((1..=READERS as usize).contains(&readers.0.readers().len()));
        }
        assert_eq!(readers.0.places.available_permits(), READERS as usize);
    }

    #[tokio::test]
    async fn a_reader_that_was_given_up_half_way_is_not_handed_on() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder).await;
        for _ in 0..2 * READERS {
            // As it goes with a future that is dropped while its statement runs.
            drop(readers.take().await.unwrap());
        }
        assert!(readers.0.readers().is_empty());
        assert!(one(&readers).await.is_ok(), "there is a place, and another reader");
    }

    #[tokio::test]
    async fn who_comes_after_the_end_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder).await;
        tokio::join!(readers.close(), readers.close());
        assert!(readers.is_closed());
        assert!(matches!(one(&readers).await, Err(sqlx::Error::PoolClosed)));
    }
}
