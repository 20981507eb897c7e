//! SQLite's readers: a few connections, each on a thread of its own.
//!
//! A reader goes from hand to hand as it is. sqlx's pool would ask it whether it still answers before each statement,
//! and once more, in a task of its own, after it: on SQLite such a question costs as much as a statement, since both
//! wake the connection's thread and wait for it. All that can happen to a file that is open in this process is that
//! this thread ends; a reader that says so is not given back, and the next to come opens another.
//!
//! A statement that is given up half-way, as when a client hangs up, runs on in its thread all the same. So its reader
//! and its place are given back only when it has ended: there are never more statements under way than places.
//!
//! What it is not: the writer, of which there is one, and which is handed on by other rules (`writer/`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Sqlite};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    places: Arc<Semaphore>,
    readers: Mutex<Vec<SqliteConnection>>,
    closed: AtomicBool,
}

impl Readers {
    /// Opens the first, so that a file that cannot be read is found out now.
    pub(crate) async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let readers = Mutex::new(vec![options.connect().await?]);
        let (places, closed) = (Arc::new(Semaphore::new(READERS as usize)), AtomicBool::new(false));
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
        let rows = sqlx::query_as_with::<Sqlite, T, _>(text, arguments).fetch_all(reader.connection()?).await;
        reader.give_back(rows)
    }

    /// Prepares a text without running it.
    pub(crate) async fn prepare(&self, sql: Sql) -> Result<(), sqlx::Error> {
        let mut reader = self.take().await?;
        let prepared = reader.connection()?.prepare(sql.into_sqlx()).await.map(drop);
        reader.give_back(prepared)
    }

    async fn take(&self) -> Result<Reader, sqlx::Error> {
        let idle = self.0.clone();
        if self.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let place = match idle.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => tokio::time::timeout(REACH_TIMEOUT, idle.places.clone().acquire_owned())
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
        Ok(Reader { held: Some(Held { connection, place }), idle })
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

/// One of them, in somebody's hand.
struct Reader {
    /// Until it is given back.
    held: Option<Held>,
    idle: Arc<Idle>,
}

struct Held {
    connection: SqliteConnection,
    place: OwnedSemaphorePermit,
}

impl Reader {
    /// Fails for none that is in a hand.
    fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.held.as_mut().map(|held| &mut held.connection).ok_or(sqlx::Error::WorkerCrashed)
    }

    /// For the next, if it still can; the outcome of what it did.
    fn give_back<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if let Some(held) = self.held.take() {
            let can_read = !matches!(outcome, Err(sqlx::Error::WorkerCrashed));
            held.give_back(&self.idle, can_read);
        }
        outcome
    }
}

impl Held {
    /// The place last: whoever gets it finds the reader.
    fn give_back(self, idle: &Idle, can_read: bool) {
        let Self { connection, place } = self;
        if can_read {
            idle.readers().push(connection);
        }
        drop(place);
    }
}

impl Drop for Reader {
    /// With a statement under way that nobody waits for any more.
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        // Without a runtime this process is about to end.
        let Ok(runtime) = Handle::try_current() else { return };
        let idle = self.idle.clone();
        runtime.spawn(async move {
            // Its thread does one thing after the other, so it answers when that statement has ended.
            let can_read = held.connection.ping().await.is_ok();
            held.give_back(&idle, can_read);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::sql;

    async fn readers(folder: &tempfile::TempDir) -> Readers {
        let path = folder.path().join("cardea.db");
        crate::start::open_sqlite(&path, crate::start::Migrate::Yes).await.unwrap().1
    }

    async fn one(readers: &Readers) -> Result<Vec<(i64,)>, sqlx::Error> {
        readers.all(sql!("SELECT CAST(1 AS BIGINT)"), SqliteArguments::default()).await
    }

    /// Revocations are read while somebody writes: a reader may be opened then.
    #[tokio::test]
    async fn readers_are_opened_without_waiting_for_whoever_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cardea.db");
        let (writing, readers) = crate::start::open_sqlite(&path, crate::start::Migrate::Yes).await.unwrap();
        let mut writer = writing.connect().await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.unwrap();
        let all = async {
            let mut taken = Vec::new();
            for _ in 0..READERS {
                taken.push(readers.take().await.unwrap());
            }
            taken.len()
        };
        // Who waits for the writer waits for ten seconds, in vain.
        let opened = tokio::time::timeout(Duration::from_secs(5), all).await;
        assert_eq!(opened, Ok(READERS as usize));
    }

    /// `.cargo/config.toml` says it: else each `LIMIT $1` is compiled anew whenever it is asked.
    #[tokio::test]
    async fn plans_rest_on_the_text_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = readers(&folder).await.take().await.unwrap();
        let used = sqlx::query_scalar("SELECT sqlite_compileoption_used('ENABLE_QPSG')");
        let used: bool = used.fetch_one(reader.connection().unwrap()).await.unwrap();
        assert!(used, "SQLite was built without LIBSQLITE3_FLAGS of .cargo/config.toml");
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

    /// Statements of this reader wait in the middle until they are let go.
    async fn hold(reader: &mut Reader, let_go: &Arc<AtomicBool>) {
        let let_go = let_go.clone();
        let mut handle = reader.connection().unwrap().lock_handle().await.unwrap();
        handle.set_progress_handler(1, move || {
            while !let_go.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            true
        });
    }

    #[tokio::test]
    async fn what_was_given_up_half_way_keeps_its_place_and_its_reader_until_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder).await;
        let let_go = Arc::new(AtomicBool::new(false));
        let mut all = Vec::new();
        for _ in 0..READERS {
            let mut reader = readers.take().await.unwrap();
            hold(&mut reader, &let_go).await;
            all.push(reader);
        }
        for reader in all {
            reader.give_back(Ok(())).unwrap();
        }
        for _ in 0..READERS {
            // As it goes when a client hangs up: its statement was begun, and is dropped.
            assert!(one(&readers).now_or_never().is_none(), "it waits in the middle");
        }
        let mut next = pin!(one(&readers));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut next).await;
        assert!(early.is_err(), "as many as may are under way, though nobody waits for them");
        assert!(readers.0.readers().is_empty());
        let_go.store(true, Ordering::Release);
        assert_eq!(next.await.unwrap(), [(1,)]);
        let places = readers.0.places.acquire_many(READERS).await.unwrap();
        assert_eq!(readers.0.readers().len(), READERS as usize, "each is used again");
        drop(places);
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
