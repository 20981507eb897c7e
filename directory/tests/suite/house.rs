//! A database of its own for each test, on either engine, with a clock that moves when told to.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Actor, Clock as _, Ctx, ManualClock, Secret, SeededEntropy, SystemClock};
use store::{Db, DbConfig, Origin, Row, Sinks, Sql, StoreError, Tx, sql};

/// Makes of each async function of a [`House`] one test per engine, `NAME::sqlite` and `NAME::postgres`.
macro_rules! on_both_engines {
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

/// One database, open and empty.
pub(crate) struct House {
    pub(crate) db: Db,
    clock: Arc<ManualClock>,
    /// Held for its end, which removes the database.
    place: Place,
}

enum Place {
    Folder { _folder: tempfile::TempDir },
    Server(parts::Database),
}

impl House {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
        Self::open(&config, Place::Folder { _folder: folder }).await
    }

    /// `None`, with a reason on the output, where there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = parts::or_skip(parts::postgres(), parts::NO_POSTGRES)?;
        let config = DbConfig::Postgres { url: Secret::new(database.url().to_owned()), connections: 24 };
        Some(Self::open(&config, Place::Server(database)).await)
    }

    async fn open(config: &DbConfig, place: Place) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let mut ctx = Ctx::system();
        ctx.clock = clock.clone();
        ctx.entropy = Arc::new(SeededEntropy::new(1));
        let db = Db::open(config, ctx, Sinks::default()).await.unwrap();
        Self { db, clock, place }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(crate) async fn all<T: Row>(&self, text: Sql) -> Vec<T> {
        self.db.all(text, ()).await.unwrap()
    }

    /// One number.
    pub(crate) async fn count(&self, text: Sql) -> i64 {
        self.db.one::<(i64,)>(text, ()).await.unwrap().0
    }

    /// How many facts of this kind were recorded.
    pub(crate) async fn facts(&self, kind: &str) -> i64 {
        self.db.one::<(i64,)>(sql!("SELECT COUNT(*) FROM fact WHERE kind = $1"), (kind,)).await.unwrap().0
    }

    /// What a sink must look at: `(subject, priority)`.
    pub(crate) async fn due(&self, sink: &str) -> Vec<(String, i64)> {
        self.db
            .all(sql!("SELECT subject, priority FROM delivery WHERE sink = $1 ORDER BY subject"), (sink,))
            .await
            .unwrap()
    }

    /// Forgets what is due.
    pub(crate) async fn settle_all(&self) {
        let text = sql!("DELETE FROM delivery WHERE attempt >= 0");
        self.db.change(Origin::system(), text, (), Vec::new()).await.unwrap();
    }

    /// What `psql` prints for a script, a line per row; `None` on a file.
    pub(crate) fn psql(&self, script: &str) -> Option<String> {
        match &self.place {
            Place::Folder { .. } => None,
            Place::Server(database) => Some(database.query(script)),
        }
    }
}

/// A transaction on behalf of HR, left as [`Tx::end`] says.
pub(crate) async fn change<T, E: From<StoreError>>(
    db: &Db,
    work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
) -> Result<T, E> {
    let mut tx = begin(db).await;
    let outcome = work(&mut tx).await;
    tx.end(outcome).await
}

pub(crate) async fn begin(db: &Db) -> Tx {
    db.write(Origin::of(Actor::Operator)).await.unwrap()
}

/// Lets everything else go on for a while of real time.
pub(crate) async fn let_others_work() {
    let _ = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(30))).await;
}
