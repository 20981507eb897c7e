//! How much sharing commits gains: transactions a second of 32 writers against one, in the same run, and
//! what a claim costs when the delivery table is full of rows that are not due.
//!
//! `cargo bench -p cardea-store`; with `CARDEA_TEST_POSTGRES` (an admin URL) also on PostgreSQL. It prints
//! and judges nothing but the first ratio: below 4 the exit code is 1.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kernel::{Ctx, Secret, Subject};
use serde::{Deserialize, Serialize};
use store::{Address, Db, DbConfig, Fact, FactBody, Origin, Sinks, StoreError, delivery, sql};

const WRITERS: usize = 32;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

#[derive(Serialize, Deserialize)]
struct Counted {
    n: i64,
}
impl FactBody for Counted {
    const KIND: &'static str = "bench.counted";
}

fn fact() -> Fact {
    Fact::new(Subject::new("bench", "subject"), &Counted { n: 1 })
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let sqlite = open(&DbConfig::Sqlite { path: folder.path().join("bench.db") }).await;
        println!("SQLite, synchronous=FULL");
        let ratio = rates(&sqlite).await;
        claims(&sqlite).await;
        if let Ok(admin) = std::env::var("CARDEA_TEST_POSTGRES") {
            println!("PostgreSQL");
            let postgres = open_postgres(&admin).await;
            rates(&postgres).await;
            claims(&postgres).await;
        }
        if ratio < 4.0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    })
}

async fn open(config: &DbConfig) -> Db {
    let db = Db::open(config, Ctx::system(), Sinks::default()).await.expect("the database opens");
    let mut tx = db.write(Origin::system()).await.expect("a transaction");
    tx.run(sql!("CREATE TABLE bench (id BIGINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)"), ())
        .await
        .expect("a table");
    for id in 0..WRITERS as i64 {
        tx.run(sql!("INSERT INTO bench (id, version) VALUES ($1, 0)"), (id,)).await.expect("a row");
    }
    tx.commit().await.expect("a commit");
    db
}

async fn open_postgres(admin: &str) -> Db {
    let name = format!("cardea_bench_{}", std::process::id());
    let config = |url: String| DbConfig::Postgres { url: Secret::new(url), connections: 40 };
    let (server, _) = admin.rsplit_once('/').expect("a URL with a database");
    psql(
        admin,
        &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"),
    );
    open(&config(format!("{server}/{name}"))).await
}

fn psql(url: &str, text: &str) {
    let done = std::process::Command::new("psql").args(["-qXc", text, url]).status().expect("psql");
    assert!(done.success(), "{text}");
}

/// Each form alone and with all writers; answers the ratio of the first.
async fn rates(db: &Db) -> f64 {
    let one = ratio(db, "change: one update, one fact", change).await;
    ratio(db, "fact only", fact_only).await;
    ratio(db, "read, versioned update, fact", several).await;
    one
}

async fn ratio<F, W>(db: &Db, name: &str, work: F) -> f64
where
    F: Fn(Db, i64) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<(), StoreError>> + Send,
{
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(rate(db, 1, work.clone()).await);
        together.push(rate(db, WRITERS, work.clone()).await);
    }
    let (alone, together) = (median(alone), median(together));
    let ratio = together / alone;
    println!("  {name:<32} 1 writer {alone:>7.0}/s   {WRITERS} writers {together:>7.0}/s   ratio {ratio:.1}");
    ratio
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn rate<F, W>(db: &Db, writers: usize, work: F) -> f64
where
    F: Fn(Db, i64) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<(), StoreError>> + Send,
{
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers as i64)
        .map(|id| {
            let (db, work, done, stop) = (db.clone(), work.clone(), done.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    work(db.clone(), id).await.expect("a transaction commits");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no writer panics");
    }
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

async fn change(db: Db, id: i64) -> Result<(), StoreError> {
    let text = sql!("UPDATE bench SET version = version + 1 WHERE id = $1");
    db.change(Origin::system(), text, (id,), vec![fact()]).await.map(drop)
}

async fn fact_only(db: Db, _: i64) -> Result<(), StoreError> {
    let mut tx = db.write(Origin::system()).await?;
    tx.record(fact());
    tx.commit().await
}

async fn several(db: Db, id: i64) -> Result<(), StoreError> {
    let mut tx = db.write(Origin::system()).await?;
    let (version,): (i64,) = tx.one(sql!("SELECT version FROM bench WHERE id = $1"), (id,)).await?;
    let text = sql!("UPDATE bench SET version = version + 1 WHERE id = $1 AND version = $2");
    tx.run_versioned(text, (id, version)).await?;
    tx.record(fact());
    tx.commit().await
}

const SINK: &str = "bench";
const CROWD: i64 = 100_000;

/// What a claim and its completion cost in a small table, and in one with 100,000 rows that are idle, put
/// off or leased, in the same lane.
async fn claims(db: &Db) {
    let small = claim_time(db).await;
    for state in ["NULL", "9999999999999"] {
        fill(db, state).await;
    }
    let crowded = claim_time(db).await;
    println!(
        "  claim and complete: {small:?} in an empty lane, {crowded:?} beside {} rows not due",
        2 * CROWD
    );
    due_crowd(db).await;
    let backlog = claim_time(db).await;
    println!("  claim and complete: {backlog:?} before a backlog of {CROWD} due rows");
}

async fn fill(db: &Db, due_at: &'static str) {
    let text = store::Sql::assembled(format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CROWD}) \
         INSERT INTO delivery (id, sink, subject, fact, reconcile, version, done_version, priority, due_at, created_at, position) \
         SELECT 'crowd-{due_at}-' || i, $1, 'crowd-{due_at}:' || i, 'none', TRUE, 1, 1, i % 2, {due_at}, 0, i FROM n"
    ));
    let mut tx = db.write(Origin::system()).await.expect("a transaction");
    tx.run(text, (SINK,)).await.expect("rows");
    tx.commit().await.expect("a commit");
}

async fn due_crowd(db: &Db) {
    let mut tx = db.write(Origin::system()).await.expect("a transaction");
    let text =
        sql!("UPDATE delivery SET due_at = $1, priority = 0 WHERE sink = $2 AND due_at = 9999999999999");
    tx.run(text, (db.ctx().now().minus(Duration::from_secs(60)), SINK)).await.expect("rows");
    tx.commit().await.expect("a commit");
}

async fn claim_time(db: &Db) -> Duration {
    let mut times = Vec::new();
    for n in 0..200 {
        let mut tx = db.write(Origin::system()).await.expect("a transaction");
        let address = Address::reconcile(SINK, Subject::new("due", n)).revoking(true);
        tx.record(fact().to(address));
        tx.commit().await.expect("a commit");
        let begun = Instant::now();
        let claimed = delivery::claim(db, SINK, Duration::from_secs(30), 1, false).await.expect("a claim");
        let mut tx = db.write(Origin::system()).await.expect("a transaction");
        claimed.first().expect("one is due").complete(&mut tx).await.expect("a completion");
        tx.commit().await.expect("a commit");
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}
