//! Lanes: woken at once, never held up by what is slow, and never given up by a sink that fails.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::{Address, Db, Delivery, Lane, Origin, Settled, Sink, SinkError, delivery, sql};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::house::{House, made, patient, settle, subject};
use crate::wire::far_node;

on_every_engine!(
    what_is_recorded_is_delivered_at_once,
    what_another_node_records_is_delivered,
    what_is_recorded_while_nobody_listened_is_delivered,
    a_revocation_is_delivered_although_every_worker_is_stuck_in_a_grant,
    a_revocation_of_one_who_is_worked_on_does_not_hold_up_the_others,
    what_is_raised_during_work_is_looked_at_once_more_after_it,
    one_subject_is_worked_on_by_one_at_a_time,
    a_sink_that_panics_or_hangs_is_tried_again,
    a_revocation_that_fails_is_put_off_longer_and_longer,
    a_sink_that_completes_in_its_own_transaction,
    stopping_finishes_what_was_claimed,
);

/// What a sink was given, and when it may answer.
struct Slow {
    given: mpsc::UnboundedSender<String>,
    /// Subjects whose grants wait for `release`.
    stuck: HashSet<String>,
    release: Notify,
}

#[async_trait::async_trait]
impl Sink for Slow {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let released = self.release.notified();
        self.given
            .send(format!("{}{}", if delivery.priority > 0 { "-" } else { "+" }, delivery.subject_id()))
            .unwrap();
        if delivery.priority == 0 && self.stuck.contains(delivery.subject_id()) {
            released.await;
        }
        Ok(Settled::Done)
    }
}

/// A running lane and its sink.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    sink: Arc<Slow>,
    given: mpsc::UnboundedReceiver<String>,
}

impl Running {
    fn start(db: &Db, stuck: &[&str]) -> Self {
        let (given, receiver) = mpsc::unbounded_channel();
        let stuck = stuck.iter().map(|id| (*id).to_owned()).collect();
        let sink = Arc::new(Slow { given, stuck, release: Notify::new() });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Lane::new("door").run(db.clone(), sink.clone(), stopped));
        Self { stop, task, sink, given: receiver }
    }

    async fn next(&mut self) -> String {
        patient(self.given.recv()).await.expect("the lane runs")
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        patient(self.task).await.unwrap();
    }
}

async fn record(db: &Db, id: &str, revokes: bool) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    tx.record(made("x").to(Address::reconcile("door", subject(id)).revoking(revokes)));
    tx.commit().await.unwrap();
}

/// Nothing waits any more, leased rows included.
async fn all_done(db: &Db) {
    patient(async {
        while delivery::depth(db).await.unwrap() != (0, 0) {
            settle().await;
        }
    })
    .await;
}

/// So many that a lane that only polled, once a second, would lose our patience.
const IN_A_ROW: usize = 40;

async fn one_after_the_other(from: &Db, lane: &mut Running, rounds: usize) {
    for n in 0..rounds {
        // The lane has looked once more after the one before, and found nothing.
        all_done(from).await;
        settle().await;
        let id = n.to_string();
        record(from, &id, false).await;
        assert_eq!(lane.next().await, format!("+{id}"));
    }
}

async fn what_is_recorded_is_delivered_at_once(house: House) {
    let mut lane = Running::start(&house.db, &[]);
    patient(one_after_the_other(&house.db, &mut lane, IN_A_ROW)).await;
    all_done(&house.db).await;
    lane.stop().await;
}

async fn what_another_node_records_is_delivered(house: House) {
    let other = house.another_node().await;
    let mut lane = Running::start(&house.db, &[]);
    // Of two processes on one SQLite file, the other is found by polling.
    let rounds = if house.db.is_postgres() { IN_A_ROW } else { 2 };
    patient(one_after_the_other(&other, &mut lane, rounds)).await;
    lane.stop().await;
}

async fn what_is_recorded_while_nobody_listened_is_delivered(house: House) {
    let other = house.another_node().await;
    record(&other, "before", false).await;
    let mut lane = Running::start(&house.db, &[]);
    assert_eq!(lane.next().await, "+before");
    if house.db.is_postgres() {
        let cut = sql!(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()"
        );
        let (listeners,): (i64,) = other.one(cut, ()).await.unwrap();
        assert!(listeners > 0, "somebody listened");
    }
    record(&other, "cut off", false).await;
    assert_eq!(lane.next().await, "+cut off");
    let rounds = if house.db.is_postgres() { IN_A_ROW } else { 2 };
    patient(one_after_the_other(&other, &mut lane, rounds)).await;
    lane.stop().await;
}

/// Whether the claims of a node carry its number. The one row that is due is claimed and given back.
async fn claims_by_number(db: &Db) -> bool {
    let lease = Duration::from_secs(600);
    let row = delivery::claim(db, "door", lease, 1, false).await.unwrap().pop().expect("a row is due");
    let (by,): (Option<i64>,) = db.one(sql!("SELECT claimed_by FROM delivery"), ()).await.unwrap();
    row.postpone(db, "not now", Duration::ZERO, false).await.unwrap();
    by.is_some()
}

/// Others take it for dead soon, so it must not go on to believe that it holds its number.
#[tokio::test]
async fn a_node_that_is_cut_off_in_silence_gives_its_number_up_and_hears_again_later() {
    let Some(house) = House::postgres().await else { return };
    let (cut, is_cut) = watch::channel(false);
    let far = far_node(&house, is_cut).await;
    record(&house.db, "before", false).await;
    patient(async {
        while !claims_by_number(&far).await {
            settle().await;
        }
    })
    .await;
    // What it tells others of its writes is on its way by then.
    settle().await;
    cut.send(true).unwrap();
    tokio::time::pause();
    // While a blocking task runs, tokio does not skip to the next timer by itself.
    let (held, released) = std::sync::mpsc::channel::<()>();
    let blocking = tokio::task::spawn_blocking(move || released.recv());
    // Ten seconds without a notice, and ten without an answer.
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(6)).await;
        settle().await;
    }
    // Mended, but for the connection that listened: nobody has told it that it is dead.
    cut.send(false).unwrap();
    assert!(!claims_by_number(&far).await, "it holds its number no longer");
    drop(cut);
    patient(async {
        while !claims_by_number(&far).await {
            tokio::time::advance(Duration::from_secs(1)).await;
            settle().await;
        }
    })
    .await;
    // The time stands, and so nothing is found by polling.
    let mut lane = Running::start(&far, &[]);
    assert_eq!(lane.next().await, "+before");
    one_after_the_other(&house.db, &mut lane, 3).await;
    lane.stop().await;
    drop(held);
    let _ = blocking.await;
}

async fn a_revocation_is_delivered_although_every_worker_is_stuck_in_a_grant(house: House) {
    let slow = ["1", "2", "3", "4", "5", "6"];
    for id in slow {
        record(&house.db, id, false).await;
    }
    let mut lane = Running::start(&house.db, &slow);
    for _ in 0..4 {
        assert!(lane.next().await.starts_with('+'), "four workers take grants");
    }
    for id in ["leaver", "another", "5"] {
        record(&house.db, id, true).await;
        assert_eq!(lane.next().await, format!("-{id}"));
    }
    lane.sink.release.notify_waiters();
    assert_eq!(lane.next().await, "+6", "the grants go on");
    lane.sink.release.notify_waiters();
    all_done(&house.db).await;
    lane.stop().await;
}

async fn a_revocation_of_one_who_is_worked_on_does_not_hold_up_the_others(house: House) {
    record(&house.db, "slow", false).await;
    let mut lane = Running::start(&house.db, &["slow"]);
    assert_eq!(lane.next().await, "+slow");
    record(&house.db, "slow", true).await;
    for id in ["1", "2", "3", "4", "5", "6"] {
        record(&house.db, id, true).await;
        assert_eq!(lane.next().await, format!("-{id}"));
    }
    lane.sink.release.notify_waiters();
    assert_eq!(lane.next().await, "-slow", "right after the grant that it waited for");
    all_done(&house.db).await;
    lane.stop().await;
}

async fn what_is_raised_during_work_is_looked_at_once_more_after_it(house: House) {
    record(&house.db, "slow", false).await;
    let mut lane = Running::start(&house.db, &["slow"]);
    assert_eq!(lane.next().await, "+slow");
    for _ in 0..5 {
        record(&house.db, "slow", true).await;
    }
    lane.sink.release.notify_waiters();
    assert_eq!(lane.next().await, "-slow");
    all_done(&house.db).await;
    assert!(lane.given.try_recv().is_err(), "once is enough");
    lane.stop().await;
}

/// Counts how many of a subject are worked on at once.
#[derive(Default)]
struct Crowded {
    now: Mutex<HashSet<String>>,
    doubles: AtomicUsize,
    done: AtomicUsize,
}

#[async_trait::async_trait]
impl Sink for Crowded {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        if !self.now.lock().unwrap().insert(delivery.subject.clone()) {
            self.doubles.fetch_add(1, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.now.lock().unwrap().remove(&delivery.subject);
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(Settled::Done)
    }
}

async fn one_subject_is_worked_on_by_one_at_a_time(house: House) {
    let sink = Arc::new(Crowded::default());
    let (stop, stopped) = watch::channel(false);
    let lane = tokio::spawn(Lane::new("door").run(house.db.clone(), sink.clone(), stopped));
    for n in 0..60 {
        record(&house.db, &(n % 3).to_string(), n % 2 == 0).await;
    }
    all_done(&house.db).await;
    stop.send(true).unwrap();
    patient(lane).await.unwrap();
    assert_eq!(sink.doubles.load(Ordering::SeqCst), 0);
    assert!(sink.done.load(Ordering::SeqCst) >= 3);
}

/// Panics, then hangs, then fails, then delivers; and is told of each failure.
#[derive(Default)]
struct Troubled {
    attempts: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Sink for Troubled {
    async fn deliver(&self, _: &Delivery) -> Result<Settled, SinkError> {
        match self.attempts.fetch_add(1, Ordering::SeqCst) {
            0 => std::panic::resume_unwind(Box::new("a bug")),
            1 => std::future::pending().await,
            2 => Err(SinkError::Retry("refused".into())),
            _ => Ok(Settled::Done),
        }
    }

    async fn failed(&self, delivery: &Delivery, error: &SinkError) {
        assert!(delivery.created_at.as_millis() > 0);
        self.failures.lock().unwrap().push(error.to_string());
    }
}

async fn a_sink_that_panics_or_hangs_is_tried_again(house: House) {
    let sink = Arc::new(Troubled::default());
    let (stop, stopped) = watch::channel(false);
    let lane = Lane {
        workers: 1,
        lease: Duration::from_millis(300),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(20),
        ..Lane::new("door")
    };
    let lane = tokio::spawn(lane.run(house.db.clone(), sink.clone(), stopped));
    record(&house.db, "x", false).await;
    all_done(&house.db).await;
    stop.send(true).unwrap();
    patient(lane).await.unwrap();
    let failures = sink.failures.lock().unwrap().clone();
    assert_eq!(failures, ["the sink panicked", "the sink took longer than its lease", "refused"]);
}

/// Fails, and remembers which attempt it was.
#[derive(Default)]
struct Refusing(Mutex<Vec<i64>>);

#[async_trait::async_trait]
impl Sink for Refusing {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        self.0.lock().unwrap().push(delivery.attempt);
        Err(SinkError::Retry("unreachable".into()))
    }
}

async fn a_revocation_that_fails_is_put_off_longer_and_longer(house: House) {
    let sink = Arc::new(Refusing::default());
    let (stop, stopped) = watch::channel(false);
    let [first_pause, longest_pause] = [600, 6_000].map(Duration::from_secs);
    let lane = Lane { first_pause, longest_pause, ..Lane::new("door") };
    let lane = tokio::spawn(lane.run(house.db.clone(), sink.clone(), stopped));
    record(&house.db, "leaver", true).await;
    for (attempt, pause) in [(1, 600), (2, 1_200), (3, 2_400)] {
        patient(async {
            while sink.0.lock().unwrap().len() < attempt {
                settle().await;
            }
        })
        .await;
        settle().await;
        assert_eq!(sink.0.lock().unwrap().len(), attempt, "not before its time");
        house.pass(Duration::from_secs(pause));
    }
    stop.send(true).unwrap();
    patient(lane).await.unwrap();
    let attempts = sink.0.lock().unwrap().clone();
    assert_eq!(attempts[..3], [1, 2, 3]);
}

struct Own(Db);

#[async_trait::async_trait]
impl Sink for Own {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let mut tx = self.0.write(Origin::system()).await?;
        crate::house::insert(&mut tx, delivery.subject_id()).await?;
        tx.record(made("own"));
        delivery.complete(&mut tx).await?;
        tx.commit().await?;
        Ok(Settled::Already)
    }
}

async fn a_sink_that_completes_in_its_own_transaction(house: House) {
    for id in ["1", "2"] {
        record(&house.db, id, false).await;
    }
    let tried = Lane::new("door").drain(&house.db, Arc::new(Own(house.db.clone()))).await.unwrap();
    assert_eq!((tried, house.things().await), (2, vec!["1".to_owned(), "2".to_owned()]));
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 0));
}

async fn stopping_finishes_what_was_claimed(house: House) {
    record(&house.db, "slow", false).await;
    let mut lane = Running::start(&house.db, &["slow"]);
    assert_eq!(lane.next().await, "+slow");
    lane.stop.send(true).unwrap();
    // A lane that is just looking on a busy machine may take a while to hear of it.
    for _ in 0..10 {
        settle().await;
    }
    record(&house.db, "too late", false).await;
    settle().await;
    assert!(!lane.task.is_finished());
    lane.sink.release.notify_waiters();
    patient(lane.task).await.unwrap();
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (1, 0), "the other waits for the next start");
    assert!(lane.given.try_recv().is_err());
}

/// Counts the warnings of this thread.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Runs a lane for two seconds over what is due; how often it complained.
async fn complaints(house: &House) -> usize {
    let complained = Arc::<AtomicUsize>::default();
    let _here = tracing::subscriber::set_default(Warnings(complained.clone()));
    let lane = Running::start(&house.db, &[]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    lane.task.abort();
    complained.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_lane_that_cannot_claim_tries_once_a_second_and_not_all_the_time() {
    let house = House::sqlite().await;
    record(&house.db, "1", false).await;
    house
        .run(sql!(
            "CREATE TRIGGER full BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        ))
        .await;
    let complaints = complaints(&house).await;
    assert!((1..=4).contains(&complaints), "{complaints} failed claims in 2 s");
}

/// A sequence counts also what is rolled back, and a statement's trigger also those that change no row.
async fn count_claims(house: &House, after: &str) {
    house.run(sql!("CREATE SEQUENCE claims")).await;
    let function = format!(
        "CREATE FUNCTION count_claim() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('claims'); {after} RETURN NULL; END $$"
    );
    house.run(store::Sql::assembled(function)).await;
    house
        .run(sql!(
            "CREATE TRIGGER count_claims BEFORE UPDATE ON delivery FOR EACH STATEMENT EXECUTE FUNCTION count_claim()"
        ))
        .await;
}

#[tokio::test]
async fn a_lane_that_the_server_refuses_tries_once_a_second_and_not_all_the_time() {
    let Some(house) = House::postgres().await else { return };
    record(&house.db, "1", false).await;
    count_claims(&house, "RAISE EXCEPTION 'cannot execute UPDATE in a read-only transaction';").await;
    complaints(&house).await;
    let (claims,): (i64,) = house.one(sql!("SELECT last_value FROM claims")).await;
    assert!((1..=4).contains(&claims), "{claims} failed claims in 2 s");
}

#[tokio::test]
async fn a_lane_whose_row_another_is_just_taking_asks_again_with_a_pause_between() {
    let Some(house) = House::postgres().await else { return };
    record(&house.db, "1", false).await;
    count_claims(&house, "").await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    tx.all::<(String,)>(sql!("SELECT id FROM delivery FOR UPDATE"), ()).await.unwrap();
    complaints(&house).await;
    tx.refuse().await.unwrap();
    let (claims,): (i64,) = house.one(sql!("SELECT last_value FROM claims")).await;
    assert!((2..=400).contains(&claims), "{claims} claims in 2 s, with a pause of 5 ms after each");
}

/// Neither the rest after a failed claim nor the rest of what is due stands before a revocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_delivered_although_other_claims_fail() {
    let house = House::sqlite().await;
    house
        .run(sql!(
            "CREATE TRIGGER full BEFORE UPDATE ON delivery WHEN OLD.priority = 0 AND NEW.claim > OLD.claim \
             BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        ))
        .await;
    for n in 0..6 {
        record(&house.db, &n.to_string(), false).await;
    }
    let mut lane = Running::start(&house.db, &[]);
    patient(async {
        for n in 0..IN_A_ROW {
            settle().await;
            let id = format!("leaver-{n}");
            record(&house.db, &id, true).await;
            assert_eq!(lane.next().await, format!("-{id}"));
        }
    })
    .await;
    lane.stop().await;
}

/// A notice in each transaction would hold a lock of the whole database while that transaction is written to the
/// disk, and no two of them would share a flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_commits_have_to_tell_other_nodes_is_told_together() {
    const COMMITS: usize = 400;
    let Some(house) = House::postgres().await else { return };
    let store::DbConfig::Postgres { url, .. } = &house.config else { unreachable!("PostgreSQL") };
    let mut other = sqlx::postgres::PgListener::connect(url.expose()).await.unwrap();
    other.listen("cardea_wake").await.unwrap();
    let recorders: Vec<_> = (0..8)
        .map(|task| {
            let db = house.db.clone();
            tokio::spawn(async move {
                for n in 0..COMMITS / 8 {
                    record(&db, &format!("{task}-{n}"), false).await;
                }
            })
        })
        .collect();
    for recorder in recorders {
        patient(recorder).await.unwrap();
    }
    record(&house.db, "the last", false).await;
    let mut notices = 0;
    while let Ok(notice) = tokio::time::timeout(Duration::from_secs(1), other.recv()).await {
        assert_eq!(notice.unwrap().payload(), "door");
        notices += 1;
    }
    assert!((1..COMMITS).contains(&notices), "{notices} notices of {COMMITS} commits");
}
