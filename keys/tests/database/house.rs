//! A database of each engine for one test, two nodes on it, and a clock that moves when told to.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock as _, Ctx, ManualClock, Secret, SeededEntropy, SystemClock};
use store::{Db, DbConfig, Origin, Params, Sinks, Sql};
use url::Url;

/// Two nodes on one database. Both are opened at once: later the clock is too far from the database's.
pub(crate) struct House {
    pub(crate) one: Db,
    pub(crate) two: Db,
    clock: Arc<ManualClock>,
    _place: Place,
}

enum Place {
    Folder { _folder: tempfile::TempDir },
    Server { admin: Url, name: String },
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
        let Ok(admin) = std::env::var("CARDEA_TEST_POSTGRES") else {
            report_skip("no PostgreSQL: CARDEA_TEST_POSTGRES is not set (tests/run sets it)");
            return None;
        };
        let admin: Url = admin.parse().unwrap();
        let random = Ctx::system().random::<8>();
        let name = random.iter().fold(String::from("cardea_"), |name, byte| format!("{name}{byte:02x}"));
        let how = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
        psql(&admin, &format!("CREATE DATABASE {name} {how}"));
        let mut url = admin.clone();
        url.set_path(&name);
        let config = DbConfig::Postgres { url: Secret::new(url.into()), connections: 8 };
        Some(Self::open(&config, Place::Server { admin, name }).await)
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

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Server { admin, name } = self {
            psql(admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

/// On the output, and in the file from which `tests/run` tells it at the end.
fn report_skip(reason: &str) {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI skips nothing: {reason}");
    let thread = std::thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    let _ = write!(std::io::stdout(), "SKIP {line}");
    if let Some(file) = std::env::var_os("CARDEA_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// The URL goes by the environment, since it holds a password.
fn psql(at: &Url, sql: &str) {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", sql])
        .env("PGHOST", at.host_str().unwrap_or("127.0.0.1"))
        .env("PGPORT", at.port().unwrap_or(5432).to_string())
        .env("PGUSER", at.username())
        .env("PGPASSWORD", at.password().unwrap_or_default())
        .env("PGDATABASE", at.path().trim_start_matches('/'))
        .env("PGOPTIONS", "--client-min-messages=warning")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
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
