//! A database of its own for each test, on either engine, and what the tests put into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kernel::{Clock, Ctx, Secret, Subject, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Db, DbConfig, Fact, FactBody, Origin, Row, Sinks, Sql, StoreError, sql};
use tempfile::TempDir;

/// Makes of each async function of a [`House`] one test per engine, `NAME::sqlite` and `NAME::postgres`.
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            use $crate::house::House;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(House::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let Some(house) = House::postgres().await else { return };
                super::$name(house).await;
            }
        }
    )+ };
}

/// One database with one table `thing`, open in `db`.
pub(crate) struct House {
    pub(crate) db: Db,
    pub(crate) config: DbConfig,
    pub(crate) clock: Arc<MovedClock>,
    /// Held for its end, which removes the database.
    _place: Place,
}

#[expect(dead_code, reason = "held to be dropped")]
enum Place {
    Folder(TempDir),
    Server(parts::Database),
}

impl House {
    pub(crate) async fn sqlite() -> Self {
        let folder = folder();
        let path = folder.path().join("cardea.db");
        Self::open(DbConfig::Sqlite { path }, Place::Folder(folder)).await
    }

    /// `None`, with a reason on the output, where there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = parts::or_skip(parts::postgres(), parts::NO_POSTGRES)?;
        Some(Self::open(config(&database), Place::Server(database)).await)
    }

    async fn open(config: DbConfig, place: Place) -> Self {
        let clock = Arc::new(MovedClock::default());
        let db = Db::open(&config, ctx(&clock), Sinks::default()).await.expect("the database opens");
        let house = Self { db, config, clock, _place: place };
        house
            .run(sql!("CREATE TABLE thing (name TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, version BIGINT NOT NULL)"))
            .await;
        house
    }

    /// Opens the same database once more, as another node or a process after it.
    pub(crate) async fn another_node(&self) -> Db {
        self.node_with_clock(&self.clock).await
    }

    pub(crate) async fn node_with_clock(&self, clock: &Arc<MovedClock>) -> Db {
        Db::open(&self.config, ctx(clock), Sinks::default()).await.expect("the database opens again")
    }

    /// Runs a statement as a transaction of its own.
    pub(crate) async fn run(&self, text: Sql) {
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        tx.run(text, ()).await.expect("the statement runs");
        tx.commit().await.expect("it commits");
    }

    /// The names of all things that are committed.
    pub(crate) async fn things(&self) -> Vec<String> {
        let rows: Vec<(String,)> = self.all(sql!("SELECT name FROM thing ORDER BY name")).await;
        rows.into_iter().map(|(name,)| name).collect()
    }

    /// How many facts the journal holds.
    pub(crate) async fn facts(&self) -> i64 {
        self.one::<(i64,)>(sql!("SELECT COUNT(*) FROM fact")).await.0
    }

    pub(crate) async fn all<T: Row>(&self, text: Sql) -> Vec<T> {
        self.db.all(text, ()).await.expect("rows")
    }

    pub(crate) async fn one<T: Row>(&self, text: Sql) -> T {
        self.db.one(text, ()).await.expect("a row")
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }
}

/// A context whose clock can be moved, with real entropy: nodes must not make the same ids.
pub(crate) fn ctx(clock: &Arc<MovedClock>) -> Ctx {
    let mut ctx = Ctx::system();
    ctx.clock = clock.clone();
    ctx
}

/// The machine's clock, set forward or back.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    pub(crate) fn off_by(millis: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(millis)))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Off by so many milliseconds from now on.
    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis() + self.0.load(Ordering::SeqCst))
    }
}

/// A folder on the disk that the build uses: in memory a sync would cost nothing.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// How this house's nodes reach a database of a server.
pub(crate) fn config(database: &parts::Database) -> DbConfig {
    DbConfig::Postgres { url: Secret::new(database.url().to_owned()), connections: 12 }
}

/// A fact that says a thing was made.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) name: String,
}
impl FactBody for Made {
    const KIND: &'static str = "thing.made";
}

pub(crate) fn subject(id: impl std::fmt::Display) -> Subject {
    Subject::new("thing", id)
}

pub(crate) fn made(name: &str) -> Fact {
    Fact::new(subject(name), &Made { name: name.to_owned() })
}

/// One thing and its fact, in a transaction of several statements.
pub(crate) async fn make(db: &Db, name: &str) -> Result<(), StoreError> {
    let mut tx = db.write(Origin::system()).await?;
    insert(&mut tx, name).await?;
    tx.record(made(name));
    tx.commit().await
}

pub(crate) async fn insert(tx: &mut store::Tx, name: &str) -> Result<(), StoreError> {
    tx.run(sql!("INSERT INTO thing (name, n, version) VALUES ($1, 0, 1)"), (name,)).await.map(drop)
}

/// Waits for what must happen, and says when it does not. Tells real time, also when tokio's clock stands.
pub(crate) async fn patient<T>(what: impl Future<Output = T>) -> T {
    let (_waiting, ended) = std::sync::mpsc::channel::<()>();
    let too_long = tokio::task::spawn_blocking(move || {
        let told = ended.recv_timeout(Duration::from_secs(20));
        assert!(
            told == Err(std::sync::mpsc::RecvTimeoutError::Disconnected),
            "it did not happen within 20 s"
        );
    });
    tokio::select! {
        done = what => done,
        late = too_long => panic!("{late:?}"),
    }
}

/// Lets everything else go on for a while of real time.
pub(crate) async fn settle() {
    let _ = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(30))).await;
}
