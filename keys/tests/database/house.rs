//! A database of each engine for one test, two nodes on it, and a clock that moves when told to.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock as _, Ctx, ManualClock, Secret, SeededEntropy, SystemClock};
use store::{Db, DbConfig, Origin, Params, Sinks, Sql};

/// Two nodes on one database. Both are opened at once: later the clock is too far from the database's.
pub(crate) struct House {
    pub(crate) one: Db,
    pub(crate) two: Db,
    clock: Arc<ManualClock>,
    _place: Place,
}

enum Place {
    Folder { _folder: tempfile::TempDir },
    Server { _database: parts::Database },
}

impl House {
    /// On a SQLite file.
    pub(crate) async fn on_a_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
        Self::open(&config, Place::Folder { _folder: folder }).await
    }

    /// On a fresh PostgreSQL database; `None`, with a word about it, when there is no server. In CI there is.
    pub(crate) async fn on_a_server() -> Option<Self> {
        let database = parts::or_skip(parts::postgres(), parts::NO_POSTGRES)?;
        let config = DbConfig::Postgres { url: Secret::new(database.url().to_owned()), connections: 8 };
        Some(Self::open(&config, Place::Server { _database: database }).await)
    }

    async fn open(config: &DbConfig, place: Place) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let node = |seed| {
            let mut ctx = Ctx::system();
            ctx.clock = clock.clone();
            ctx.entropy = Arc::new(SeededEntropy::new(seed));
            Db::open(config, ctx, Sinks::default())
        };
        let one = node(1).await.unwrap();
        // It stands, and migrating may have taken longer than nodes may be apart from their database.
        clock.advance(SystemClock.now().since(clock.now()));
        let two = node(2).await.unwrap();
        Self { one, two, clock, _place: place }
    }

    /// Moves the clock of both nodes.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Changes the database behind everybody's back.
    pub(crate) async fn tamper(&self, sql: Sql, params: impl Params) -> u64 {
        self.one.change(Origin::system(), sql, params, Vec::new()).await.unwrap()
    }

    /// One number.
    pub(crate) async fn count(&self, sql: Sql) -> i64 {
        self.one.one::<(i64,)>(sql, ()).await.unwrap().0
    }
}

/// Each named `async fn name(house: House)` as a test on both engines.
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        mod on_a_file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::house::House::on_a_file().await).await;
            })*
        }
        mod on_a_server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(house) = crate::house::House::on_a_server().await {
                    super::$name(house).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_engines;
