//! kill -9, for real: a process that records, and one that delivers, are killed before, during and after a
//! delivery. Nothing is lost, and what is doubled carries the same id.
//!
//! The process is this test's own executable, told by the environment that it is the one to be killed.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Ctx, Secret};
use store::{Address, Db, DbConfig, Delivery, Lane, Origin, Settled, Sink, SinkError, Sinks, sql};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;

use crate::house::{House, folder, insert, made, patient, settle, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    if Doomed::act().await {
        return;
    }
    let house = House::sqlite().await;
    let DbConfig::Sqlite { path } = &house.config else { unreachable!("SQLite") };
    let database = path.display().to_string();
    nothing_is_lost(house, database, "kills::sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    if Doomed::act().await {
        return;
    }
    let Some(house) = House::postgres().await else { return };
    let DbConfig::Postgres { url, .. } = &house.config else { unreachable!("PostgreSQL") };
    let database = url.expose().clone();
    nothing_is_lost(house, database, "kills::postgres").await;
}

/// Of both kinds: letters, which are messages, and doors, whose revocations are reconciled.
const SINKS: [&str; 2] = ["letters", "doors"];

fn addresses(name: &str) -> [Address; 2] {
    [Address::message(SINKS[0], subject(name)), Address::reconcile(SINKS[1], subject(name)).revoking(true)]
}

async fn nothing_is_lost(house: House, database: String, test: &'static str) {
    let folder = folder();
    let log = |sink: &str| folder.path().join(sink);
    let start = |role, sink| Victim::start(test, role, sink, &database, &log(sink));

    // Before any delivery: while several tasks record.
    let mut recorder = start("record", "none");
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    while acknowledged.len() < 60 {
        acknowledged.insert(recorder.hears("acknowledged ").await);
    }
    acknowledged.extend(recorder.kill().await);
    // One look: a server may just be committing what the killed one had asked for.
    let counts: (i64, i64, i64) = house
        .one(sql!(
            "SELECT (SELECT COUNT(*) FROM thing), (SELECT COUNT(*) FROM fact), (SELECT COUNT(*) FROM delivery)"
        ))
        .await;
    assert_eq!(
        (counts.0, 2 * counts.0),
        (counts.1, counts.2),
        "a thing, its fact and its deliveries come together"
    );
    let things: BTreeSet<String> = house.things().await.into_iter().collect();
    assert!(acknowledged.is_subset(&things), "acknowledged and lost: {:?}", acknowledged.difference(&things));

    for sink in SINKS {
        // During one: begun, and nothing done. After one: done, and not yet said so.
        let mut during = start("stop when begun", sink);
        let begun = during.hears("begun ").await;
        during.kill().await;
        let mut after = start("stop when done", sink);
        let done = after.hears("done ").await;
        after.kill().await;
        deliver_the_rest(&house, sink, log(sink)).await;
        let things = house.things().await.into_iter().collect();
        judge(&std::fs::read_to_string(log(sink)).unwrap(), &things, &begun, &done);
    }
}

/// The next start.
async fn deliver_the_rest(house: &House, sink: &'static str, log: PathBuf) {
    let begun = std::time::Instant::now();
    let _serving = house.db.serve().await.expect("nobody else serves");
    let (stop, stopped) = watch::channel(false);
    let logging = Arc::new(Logging { log, role: "deliver".into() });
    let running = tokio::spawn(lane(sink).run(house.db.clone(), logging, stopped));
    let left = sql!("SELECT COUNT(*) FROM delivery WHERE sink = $1 AND due_at IS NOT NULL");
    patient(async {
        while house.db.one::<(i64,)>(left.clone(), (sink,)).await.unwrap() != (0,) {
            settle().await;
        }
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "a dead one's lease was waited for: {:?}",
        begun.elapsed()
    );
    stop.send(true).unwrap();
    patient(running).await.unwrap();
}

/// Each thing was delivered; `begun` and `done` were killed and came again; and a double has the same id.
fn judge(log: &str, things: &BTreeSet<String>, begun: &str, done: &str) {
    let lines = |word: &'static str| log.lines().filter_map(move |line| line.strip_prefix(word));
    let mut delivered: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in lines("done ") {
        let (id, thing) = line.split_once(' ').unwrap();
        delivered.entry(thing).or_default().push(id);
    }
    assert_eq!(delivered.keys().map(|thing| (*thing).to_owned()).collect::<BTreeSet<_>>(), *things);
    assert!(lines("begun ").filter(|line| *line == begun).count() > 1, "begun again: {begun}");
    let (_, thing) = done.split_once(' ').unwrap();
    assert!(delivered[thing].len() > 1, "done, and done again: {done}");
    for (thing, ids) in &delivered {
        assert!(ids.iter().all(|id| *id == ids[0]), "{thing} was delivered under several ids: {ids:?}");
    }
}

/// With a lease that nobody here has the patience for.
fn lane(sink: &str) -> Lane {
    Lane { lease: Duration::from_secs(30), ..Lane::new(sink) }
}

/// A sink that appends to a file what it begins and what it has done.
struct Logging {
    log: PathBuf,
    role: String,
}

impl Logging {
    fn write(&self, line: &str) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).unwrap();
        say(line);
    }
}

#[async_trait::async_trait]
impl Sink for Logging {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let what = format!("{} {}", delivery.id, delivery.subject_id());
        self.write(&format!("begun {what}"));
        if self.role == "stop when begun" {
            std::future::pending::<()>().await;
        }
        self.write(&format!("done {what}"));
        if self.role == "stop when done" {
            std::future::pending::<()>().await;
        }
        Ok(Settled::Done)
    }
}

const MARK: &str = "doomed: ";

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be left to hear it.
    let _ = out.write_all(format!("\n{MARK}{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// The process that will be killed, inside.
struct Doomed;

impl Doomed {
    /// Plays the role that the environment names until killed; `false` when there is none.
    async fn act() -> bool {
        let told = |name: &str| std::env::var(format!("CARDEA_STORE_DOOMED_{name}")).ok();
        let (Some(role), Some(sink)) = (told("ROLE"), told("SINK")) else { return false };
        let (Some(database), Some(log)) = (told("DATABASE"), told("LOG")) else { return false };
        let config = if database.starts_with("postgres") {
            DbConfig::Postgres { url: Secret::new(database), connections: 8 }
        } else {
            DbConfig::Sqlite { path: database.into() }
        };
        let db = Db::open(&config, Ctx::system(), Sinks::default()).await.unwrap();
        if role == "record" {
            let tasks = (0..8).map(|task| tokio::spawn(record_for_ever(db.clone(), task)));
            futures_util::future::join_all(tasks).await;
        }
        let _serving = db.serve().await.unwrap();
        let (_stop, stopped) = watch::channel(false);
        lane(&sink).run(db, Arc::new(Logging { log: log.into(), role }), stopped).await;
        true
    }
}

async fn record_for_ever(db: Db, task: usize) {
    for n in 0.. {
        let name = format!("{task}-{n}");
        let fact = addresses(&name).into_iter().fold(made(&name), store::Fact::to);
        if n % 2 == 0 {
            let text = sql!("INSERT INTO thing (name, n, version) VALUES ($1, 0, 1)");
            db.change(Origin::system(), text, (&name,), vec![fact]).await.unwrap();
        } else {
            let mut tx = db.write(Origin::system()).await.unwrap();
            insert(&mut tx, &name).await.unwrap();
            tx.record(fact);
            tx.commit().await.unwrap();
        }
        say(&format!("acknowledged {name}"));
    }
}

/// The process that will be killed, from outside.
struct Victim {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(test: &str, role: &str, sink: &str, database: &str, log: &std::path::Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("CARDEA_STORE_DOOMED_ROLE", role)
            .env("CARDEA_STORE_DOOMED_SINK", sink)
            .env("CARDEA_STORE_DOOMED_DATABASE", database)
            .env("CARDEA_STORE_DOOMED_LOG", log)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// Waits for the next line that begins so; the rest of it.
    async fn hears(&mut self, word: &str) -> String {
        loop {
            let line = patient(self.said.next_line()).await.unwrap().expect("the process lives");
            if let Some(rest) = line.strip_prefix(MARK).and_then(|line| line.strip_prefix(word)) {
                return rest.to_owned();
            }
        }
    }

    /// SIGKILL; then what it had acknowledged and nobody had read yet.
    async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = patient(self.said.next_line()).await.unwrap() {
            rest.extend(
                line.strip_prefix(MARK)
                    .and_then(|line| line.strip_prefix("acknowledged "))
                    .map(str::to_owned),
            );
        }
        rest
    }
}
