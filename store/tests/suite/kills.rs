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
use store::{Address, Db, DbConfig, Delivery, Lane, Origin, Settled, Sink, SinkError, Sinks, delivery, sql};
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

async fn nothing_is_lost(house: House, database: String, test: &'static str) {
    let folder = folder();
    let log = folder.path().join("delivered");
    let start = |role| Victim::start(test, role, &database, &log);

    // Before any delivery: while several tasks record.
    let mut recorder = start("record");
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    while acknowledged.len() < 60 {
        acknowledged.insert(recorder.hears("acknowledged ").await);
    }
    acknowledged.extend(recorder.kill().await);
    // One look: a server may just be committing what the killed one had asked for.
    let counts: (i64, i64, i64) = house
        .one(sql!("SELECT (SELECT COUNT(*) FROM thing), (SELECT COUNT(*) FROM fact), (SELECT COUNT(*) FROM delivery)"))
        .await;
    assert_eq!(
        (counts.0, counts.0),
        (counts.1, counts.2),
        "a thing, its fact and its delivery come together"
    );
    let things: BTreeSet<String> = house.things().await.into_iter().collect();
    assert!(acknowledged.is_subset(&things), "acknowledged and lost: {:?}", acknowledged.difference(&things));

    // During one: begun, and nothing done. After one: done, and not yet said so.
    let mut during = start("stop when begun");
    let begun = during.hears("begun ").await;
    during.kill().await;
    let mut after = start("stop when done");
    let done = after.hears("done ").await;
    after.kill().await;

    // The next start does the rest.
    let (stop, stopped) = watch::channel(false);
    let sink = Arc::new(Logging { log: log.clone(), role: "deliver".into() });
    let lane = tokio::spawn(lane().run(house.db.clone(), sink, stopped));
    patient(async {
        while delivery::depth(&house.db).await.unwrap() != (0, 0) {
            settle().await;
        }
    })
    .await;
    stop.send(true).unwrap();
    patient(lane).await.unwrap();

    let things: BTreeSet<String> = house.things().await.into_iter().collect();
    let log = std::fs::read_to_string(&log).unwrap();
    let lines = |word: &str| -> Vec<String> {
        log.lines().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
    };
    let mut delivered: HashMap<String, Vec<String>> = HashMap::new();
    for line in lines("done ") {
        let (id, thing) = line.split_once(' ').unwrap();
        delivered.entry(thing.to_owned()).or_default().push(id.to_owned());
    }
    assert_eq!(delivered.keys().cloned().collect::<BTreeSet<_>>(), things, "each was delivered");
    let doubles: Vec<_> = delivered.iter().filter(|(_, ids)| ids.len() > 1).collect();
    let (done_id, done_thing) = done.split_once(' ').unwrap();
    assert!(
        doubles.iter().any(|(thing, _)| *thing == done_thing),
        "done, and done again: {done}, {doubles:?}"
    );
    assert!(delivered[done_thing].iter().all(|id| id == done_id), "with the same id: {done}, {doubles:?}");
    assert!(
        lines("begun ").iter().filter(|line| **line == begun).count() > 1,
        "begun again with the same id: {begun}"
    );
    for (thing, ids) in &delivered {
        assert!(ids.iter().all(|id| *id == ids[0]), "{thing} was delivered under several ids: {ids:?}");
    }
}

/// Leases are short, so that the next process need not wait long for those of the killed one.
fn lane() -> Lane {
    Lane { lease: Duration::from_secs(1), ..Lane::new("log") }
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
        let (Some(role), Some(database), Some(log)) = (told("ROLE"), told("DATABASE"), told("LOG")) else {
            return false;
        };
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
        let (_stop, stopped) = watch::channel(false);
        lane().run(db, Arc::new(Logging { log: log.into(), role }), stopped).await;
        true
    }
}

async fn record_for_ever(db: Db, task: usize) {
    for n in 0.. {
        let name = format!("{task}-{n}");
        let fact = made(&name).to(Address::message("log", subject(&name)));
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
    fn start(test: &str, role: &str, database: &str, log: &std::path::Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("CARDEA_STORE_DOOMED_ROLE", role)
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
