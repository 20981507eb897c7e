//! A database of its own for each test, on either engine, with a clock that moves when told to.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kernel::{Actor, Clock as _, Ctx, ManualClock, Secret, SeededEntropy, SystemClock};
use store::{Db, DbConfig, Origin, Row, Sinks, Sql, StoreError, Tx, sql};
use url::Url;

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
    Server(ServerDatabase),
}

impl House {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
        Self::open(&config, Place::Folder { _folder: folder }).await
    }

    /// `None`, with a reason on the output, where there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = ServerDatabase::create()?;
        let config = DbConfig::Postgres { url: Secret::new(database.url.to_string()), connections: 24 };
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
            Place::Server(database) => Some(psql(&database.url, script)),
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

/// A PostgreSQL database that is dropped at the end.
struct ServerDatabase {
    admin: Url,
    name: String,
    url: Url,
}

impl ServerDatabase {
    fn create() -> Option<Self> {
        let admin: Url = server()?.parse().unwrap();
        let random: [u8; 8] = Ctx::system().random();
        let name = random.iter().fold(String::from("cardea_dir_"), |name, byte| format!("{name}{byte:02x}"));
        let how = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
        psql(&admin, &format!("CREATE DATABASE {name} {how};"));
        let mut url = admin.clone();
        url.set_path(&name);
        Some(Self { admin, name, url })
    }
}

impl Drop for ServerDatabase {
    fn drop(&mut self) {
        // Not while a failed test unwinds: what stays goes with its cluster.
        if !std::thread::panicking() {
            psql(&self.admin, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE);", self.name));
        }
    }
}

/// The admin URL of a server; without it the test is skipped, in CI it fails.
fn server() -> Option<String> {
    if let Ok(url) = std::env::var("CARDEA_TEST_POSTGRES") {
        return Some(url);
    }
    let reason = "no PostgreSQL: CARDEA_TEST_POSTGRES is not set";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI skips nothing: {reason}");
    let line = format!("{}: {reason}\n", std::thread::current().name().unwrap_or("a test"));
    // A reason that cannot be told is no reason to fail.
    let _ = write!(std::io::stdout(), "SKIP {line}");
    if let Ok(file) = std::env::var("CARDEA_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
    None
}

/// Runs a script. The URL goes by the environment, since it holds a password.
fn psql(at: &Url, script: &str) -> String {
    let mut child = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-"])
        .env("PGHOST", at.host_str().unwrap_or("127.0.0.1"))
        .env("PGPORT", at.port().unwrap_or(5432).to_string())
        .env("PGUSER", at.username())
        .env("PGPASSWORD", at.password().unwrap_or_default())
        .env("PGDATABASE", at.path().trim_start_matches('/'))
        .env("PGOPTIONS", "--client-min-messages=warning")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let script = script.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    writing.join().unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
