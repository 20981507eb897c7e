//! The house in this process, on one of the two pairs of engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kernel::{Clock, Ctx, SystemClock, Timestamp};
use server::stage::{Stage, StageError, StageOptions};

use parts::{Database, Keyspace};

/// Why a test that needs PostgreSQL and Redis is skipped.
pub const NO_ENGINES: &str =
    "no PostgreSQL or no Redis: CARDEA_TEST_POSTGRES or CARDEA_TEST_REDIS is not set (tests/run sets them)";

/// The machine's clock, moved forward by as much as a test says.
#[derive(Debug, Default)]
pub struct MovableClock {
    /// Told to whoever compares it with the database's: there time has passed, too, as far as a test goes.
    ahead: AtomicU64,
    /// Told to nobody.
    wrong: AtomicU64,
}

impl MovableClock {
    /// Moves it forward; everybody who has it sees that.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Puts it wrong: from now on it disagrees with the database's.
    pub fn put_wrong(&self, by: Duration) {
        self.wrong.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        let wrong = Duration::from_millis(self.wrong.load(Ordering::SeqCst));
        SystemClock.now().plus(self.moved_ahead()).plus(wrong)
    }

    fn moved_ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(Ordering::SeqCst))
    }
}

/// A stage, and the databases it stands on.
pub struct Scene {
    /// The house and the simulators around it.
    pub stage: Stage,
    /// The clock of all of them.
    pub clock: Arc<MovableClock>,
    // Dropped after the house that uses them.
    database: Option<Database>,
    _keyspace: Option<Keyspace>,
}

impl Scene {
    /// On a SQLite file and in memory. Of the options, port, engines and binary are the scene's own.
    ///
    /// # Panics
    /// If it cannot be set up: the test cannot go on.
    pub async fn light(options: StageOptions) -> Self {
        Self::set(None, None, options).await
    }

    /// On PostgreSQL and Redis; `None` when one of them is missing.
    ///
    /// # Panics
    /// As [`Scene::light`].
    pub async fn heavy(options: StageOptions) -> Option<Self> {
        let (database, keyspace) = (parts::postgres()?, parts::redis()?);
        Some(Self::set(Some(database), Some(keyspace), options).await)
    }

    async fn set(database: Option<Database>, keyspace: Option<Keyspace>, options: StageOptions) -> Self {
        let clock = Arc::new(MovableClock::default());
        let mut ctx = Ctx::system();
        ctx.clock = clock.clone();
        let options = StageOptions {
            port: 0,
            postgres: database.as_ref().map(|database| database.url().to_owned()),
            redis: keyspace.as_ref().map(|keyspace| keyspace.url().to_owned()),
            binary: parts::binary(),
            ..options
        };
        let stage: Result<Stage, StageError> = Stage::set(&ctx, options).await;
        let stage = stage.unwrap_or_else(|error| panic!("the stage cannot be set: {error:?}"));
        Self { stage, clock, database, _keyspace: keyspace }
    }

    /// Which pair of engines it stands on, in one word.
    #[must_use]
    pub fn engines(&self) -> &'static str {
        if self.database.is_some() { "servers" } else { "files" }
    }

    /// Ends everything in order.
    pub async fn end(self) {
        self.stage.strike().await;
    }
}
