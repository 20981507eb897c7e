//! Each rule of shared commits, and each fault that would lose acknowledged work, by real means. SQLite only:
//! on PostgreSQL each transaction is its own.
//!
//! tokio's clock stands still in most of them, so that a group never closes by its age unless a test says so.
//! Members take their turns in the order in which they began to wait.

use std::time::Duration;

use kernel::Ctx;
use store::{Db, DbConfig, Origin, Sql, StoreError, Tx, sql};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::house::{House, insert, made, make, patient, settle};

/// Stops tokio's clock, and keeps tokio from moving it on by itself, until dropped.
struct Frozen(#[expect(dead_code, reason = "held to be dropped")] std::sync::mpsc::Sender<()>);

impl Frozen {
    fn new() -> Self {
        let (held, released) = std::sync::mpsc::channel();
        // While a blocking task runs, tokio does not skip to the next timer.
        tokio::task::spawn_blocking(move || released.recv());
        tokio::time::pause();
        Self(held)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

async fn frozen() -> (House, Frozen) {
    let house = House::sqlite().await;
    (house, Frozen::new())
}

/// A member that has its turn until told what to do with it.
struct Holder {
    go: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), StoreError>>,
}

/// Waits in line, holds its turn, then ends it by `end`.
async fn holder<F, W>(db: &Db, end: F) -> Holder
where
    F: FnOnce(Tx) -> W + Send + 'static,
    W: Future<Output = Result<(), StoreError>> + Send,
{
    let (go, wait) = oneshot::channel();
    let db = db.clone();
    let ended = tokio::spawn(async move {
        let tx = db.write(Origin::system()).await?;
        // Told nothing: the test is over.
        let _ = wait.await;
        end(tx).await
    });
    settle().await;
    Holder { go, ended }
}

impl Holder {
    async fn go(self) -> Result<(), StoreError> {
        let _ = self.go.send(());
        patient(self.ended).await.expect("the holder's task ends")
    }
}

/// Spawns one who waits in line, and lets it begin to wait.
async fn in_line<T: Send + 'static>(what: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let task = tokio::spawn(what);
    settle().await;
    task
}

async fn insert_and_commit(db: Db, name: &'static str) -> Result<(), StoreError> {
    make(&db, name).await
}

/// A second connection's view.
async fn durable(house: &House) -> Vec<String> {
    house.things().await
}

/// How many transactions the write-ahead log holds: its frames that end one
/// (<https://www.sqlite.org/fileformat2.html>, section 4).
fn commits(config: &DbConfig) -> usize {
    let DbConfig::Sqlite { path } = config else { unreachable!("SQLite only") };
    let log = std::fs::read(format!("{}-wal", path.display())).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let (header, frame_header, page) = (32, 24, number(8) as usize);
    let of_this_log = |at: &usize| log[at + 8..at + 16] == log[16..24];
    let frames = (header..log.len()).step_by(frame_header + page);
    frames.take_while(of_this_log).filter(|at| number(at + 4) != 0).count()
}

#[tokio::test]
async fn commits_are_shared_and_a_group_closes_at_64_members() {
    for (members, groups) in [(2, 1), (64, 1), (65, 2), (150, 3)] {
        let (house, _frozen) = frozen().await;
        let first = house.db.write(Origin::system()).await.unwrap();
        let mut others = Vec::new();
        for n in 1..members {
            let db = house.db.clone();
            others.push(tokio::spawn(async move {
                let text = sql!("INSERT INTO thing (name, n, version) VALUES ($1, 0, 1)");
                let name = format!("{n:03}");
                db.change(Origin::system(), text, (&name,), vec![made(&name)]).await
            }));
        }
        settle().await;
        let before = commits(&house.config);
        patient(first.commit()).await.unwrap();
        for other in others {
            assert_eq!(patient(other).await.unwrap().unwrap(), 1);
        }
        assert_eq!(commits(&house.config) - before, groups, "{members} members");
        assert_eq!((house.things().await.len() + 1, house.facts().await + 1), (members, members as i64));
    }
}

#[tokio::test]
async fn a_group_closes_at_2_ms_although_others_wait() {
    let (house, _frozen) = frozen().await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "old").await.unwrap();
    let next = holder(&house.db, Tx::commit).await;
    tokio::time::advance(Duration::from_millis(2)).await;
    patient(tx.commit()).await.expect("committed while the next one has its turn");
    assert_eq!(durable(&house).await, ["old"]);
    next.go().await.unwrap();
}

#[tokio::test]
async fn one_who_finds_the_group_too_old_commits_it_before_its_own_turn() {
    let (house, _frozen) = frozen().await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "old").await.unwrap();
    let between = holder(&house.db, |tx| async move {
        drop(tx);
        Ok(())
    })
    .await;
    let commit = in_line(tx.commit()).await;
    let last = holder(&house.db, Tx::commit).await;
    assert!(!commit.is_finished(), "the second has its turn in the same group");
    tokio::time::advance(Duration::from_millis(2)).await;
    patient(between.go()).await.unwrap();
    patient(commit).await.unwrap().expect("committed while the last one has its turn");
    last.go().await.unwrap();
}

#[tokio::test]
async fn nobody_answers_before_the_commit_neither_writer_nor_reader_nor_refuser() {
    let (house, _frozen) = frozen().await;
    let first = house.db.write(Origin::system()).await.unwrap();
    let writer = in_line(insert_and_commit(house.db.clone(), "uncommitted")).await;
    let read = |db: Db, keep: bool| async move {
        let mut tx = db.write(Origin::system()).await?;
        let seen: Vec<(String,)> = tx.all(sql!("SELECT name FROM thing"), ()).await?;
        if keep {
            tx.commit().await?
        } else {
            tx.refuse().await?
        };
        Ok::<_, StoreError>(seen.len())
    };
    let reader = in_line(read(house.db.clone(), true)).await;
    let refuser = in_line(read(house.db.clone(), false)).await;
    let last = holder(&house.db, Tx::refuse).await;
    drop(first);
    settle().await;
    for (who, finished) in [
        ("writer", writer.is_finished()),
        ("reader", reader.is_finished()),
        ("refuser", refuser.is_finished()),
    ] {
        assert!(!finished, "the {who} answered before the commit");
    }
    assert!(durable(&house).await.is_empty());
    patient(last.go()).await.unwrap();
    patient(writer).await.unwrap().unwrap();
    assert_eq!(durable(&house).await, ["uncommitted"]);
    assert_eq!(patient(reader).await.unwrap().unwrap(), 1, "it had read the uncommitted row");
    assert_eq!(patient(refuser).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn what_is_answered_is_durable_at_that_moment() {
    let house = House::sqlite().await;
    let writers = (0..100).map(|n| {
        let db = house.db.clone();
        tokio::spawn(async move {
            let name = n.to_string();
            make(&db, &name).await.unwrap();
            let found: Option<(i64,)> =
                db.opt(sql!("SELECT n FROM thing WHERE name = $1"), (&name,)).await.unwrap();
            assert!(found.is_some(), "{name} was answered and is not there");
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        patient(writer).await.unwrap();
    }
}

/// What ends the whole transaction, each with what makes it do so.
const FATAL: [(&str, Sql, &[Sql]); 3] = [
    (
        "OR ROLLBACK",
        sql!("INSERT OR ROLLBACK INTO thing (name, n, version) VALUES ('there', 0, 1)"),
        &[sql!("INSERT INTO thing (name, n, version) VALUES ('there', 0, 1)")],
    ),
    (
        "a trigger's RAISE(ROLLBACK)",
        sql!("INSERT INTO thing (name, n, version) VALUES ('forbidden', 0, 1)"),
        &[sql!(
            "CREATE TRIGGER forbid BEFORE INSERT ON thing WHEN NEW.name = 'forbidden' \
             BEGIN SELECT RAISE(ROLLBACK, 'forbidden'); END"
        )],
    ),
    (
        "a full disk",
        sql!("INSERT INTO thing (name, n, version) VALUES (hex(zeroblob(1000000)), 0, 1)"),
        &[sql!("PRAGMA max_page_count = 1")],
    ),
];

/// A member of several statements whose second ends everything.
async fn fatal_in_a_transaction(db: Db, fatal: Sql) -> Result<(), StoreError> {
    let mut tx = db.write(Origin::system()).await?;
    insert(&mut tx, "culprit's other").await?;
    tx.run(fatal, ()).await.unwrap_err();
    assert!(insert(&mut tx, "culprit's next").await.is_err(), "its transaction is over");
    tx.commit().await
}

#[tokio::test]
async fn what_ends_the_transaction_fails_every_member_and_the_writer_works_again() {
    for (fault, fatal, preparation) in FATAL {
        for alone in [false, true] {
            let (house, _frozen) = frozen().await;
            for text in preparation {
                house.run(text.clone()).await;
            }
            let mut expected = house.things().await;
            let first = house.db.write(Origin::system()).await.unwrap();
            let victim = in_line(insert_and_commit(house.db.clone(), "victim")).await;
            let (db, fatal) = (house.db.clone(), fatal.clone());
            let culprit = in_line(async move {
                if alone {
                    return db.change(Origin::system(), fatal, (), vec![made("culprit")]).await.map(drop);
                }
                fatal_in_a_transaction(db, fatal).await
            })
            .await;
            let later = in_line(insert_and_commit(house.db.clone(), "later")).await;
            patient(first.commit()).await.unwrap_err();
            let failed = patient(victim).await.unwrap();
            assert!(matches!(failed, Err(StoreError::Conflict)), "{fault}: {failed:?}");
            assert!(patient(culprit).await.unwrap().is_err(), "{fault}");
            patient(later).await.unwrap().expect("the writer works again");
            expected.push("later".into());
            expected.sort();
            assert_eq!(durable(&house).await, expected, "{fault}");
            assert_eq!(house.facts().await, 1, "{fault}: only what was committed is in the journal");
        }
    }
}

#[tokio::test]
async fn an_error_that_nobody_saw_fails_every_member_all_the_same() {
    for (fault, fatal, preparation) in FATAL {
        let (house, _frozen) = frozen().await;
        for text in preparation {
            house.run(text.clone()).await;
        }
        let first = house.db.write(Origin::system()).await.unwrap();
        let victim = in_line(insert_and_commit(house.db.clone(), "victim")).await;
        let db = house.db.clone();
        let culprit = in_line(async move {
            let mut tx = db.write(Origin::system()).await.unwrap();
            insert(&mut tx, "culprit's other").await.unwrap();
            // Sent, then dropped before its answer.
            let _ = futures_util::poll!(std::pin::pin!(tx.run(fatal, ())));
            settle().await;
            drop(tx);
        })
        .await;
        let later = in_line(insert_and_commit(house.db.clone(), "later")).await;
        drop(first);
        patient(culprit).await.unwrap();
        let failed = patient(victim).await.unwrap();
        assert!(matches!(failed, Err(StoreError::Conflict)), "{fault}: {failed:?}");
        patient(later).await.unwrap().expect("the writer works again");
        let there = durable(&house).await;
        assert!(there.contains(&"later".into()) && !there.contains(&"victim".into()), "{fault}: {there:?}");
    }
}

#[tokio::test]
async fn an_error_that_ends_only_its_statement_fails_only_its_member() {
    let (house, _frozen) = frozen().await;
    let first = house.db.write(Origin::system()).await.unwrap();
    let good = in_line(insert_and_commit(house.db.clone(), "good")).await;
    let db = house.db.clone();
    let bad = in_line(async move {
        let mut tx = db.write(Origin::system()).await?;
        insert(&mut tx, "bad").await?;
        let outcome = insert(&mut tx, "good").await;
        tx.end(outcome).await
    })
    .await;
    let change = sql!("INSERT INTO thing (name, n, version) VALUES ('good', 0, 1), ('worse', 0, 1)");
    let db = house.db.clone();
    let worse =
        in_line(async move { db.change(Origin::system(), change, (), vec![made("worse")]).await }).await;
    first.commit().await.unwrap();
    patient(good).await.unwrap().unwrap();
    assert!(patient(bad).await.unwrap().unwrap_err().is_taken("thing_pkey"));
    assert!(patient(worse).await.unwrap().unwrap_err().is_taken("thing_pkey"));
    assert_eq!(durable(&house).await, ["good"]);
    assert_eq!(house.facts().await, 1);
}

/// The statement has written when its row turns out not to read: what it wrote must not stay in a group whose
/// member was told that it failed.
#[tokio::test]
async fn a_returned_row_that_does_not_read_undoes_the_statement_that_returned_it() {
    let (house, _frozen) = frozen().await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    tx.record(made("x").to(store::Address::reconcile("door", crate::house::subject("x")).revoking(true)));
    tx.commit().await.unwrap();
    house.run(sql!("UPDATE delivery SET version = 'not a number'")).await;
    let first = house.db.write(Origin::system()).await.unwrap();
    let victim = in_line(insert_and_commit(house.db.clone(), "victim")).await;
    let db = house.db.clone();
    let claim =
        in_line(async move { store::delivery::claim(&db, "door", Duration::from_secs(30), 1, false).await })
            .await;
    let later = in_line(insert_and_commit(house.db.clone(), "later")).await;
    drop(first);
    let refused = patient(claim).await.unwrap();
    assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");
    let failed = patient(victim).await.unwrap();
    assert!(matches!(failed, Err(StoreError::Conflict)), "{failed:?}");
    patient(later).await.unwrap().expect("the writer works again");
    assert_eq!(durable(&house).await, ["later"]);
    let attempts: (i64, i64) = house.one(sql!("SELECT attempt, claim FROM delivery")).await;
    assert_eq!(attempts, (0, 0), "the claim was undone");
}

#[tokio::test]
async fn when_the_commit_fails_all_members_hear_that_the_outcome_is_unknown() {
    let (house, _frozen) = frozen().await;
    house
        .run(sql!(
            "CREATE TABLE child (thing TEXT NOT NULL REFERENCES thing (name) DEFERRABLE INITIALLY DEFERRED)"
        ))
        .await;
    let first = house.db.write(Origin::system()).await.unwrap();
    let victim = in_line(insert_and_commit(house.db.clone(), "victim")).await;
    let db = house.db.clone();
    let culprit = in_line(async move {
        let text = sql!("INSERT INTO child (thing) VALUES ('nobody')");
        db.change(Origin::system(), text, (), vec![made("child")]).await
    })
    .await;
    for outcome in [
        patient(first.commit()).await,
        patient(victim).await.unwrap(),
        patient(culprit).await.unwrap().map(drop),
    ] {
        assert!(matches!(outcome, Err(StoreError::OutcomeUnknown)), "{outcome:?}");
    }
    make(&house.db, "later").await.expect("the connection was replaced");
    assert_eq!(durable(&house).await, ["later"]);
    assert_eq!(house.facts().await, 1);
}

#[tokio::test]
async fn when_the_facts_cannot_be_written_every_member_fails_and_nothing_is_half_done() {
    let (house, _frozen) = frozen().await;
    house
        .run(sql!(
            "CREATE TRIGGER refuse BEFORE INSERT ON fact WHEN NEW.subject = 'thing:culprit' \
             BEGIN SELECT RAISE(ABORT, 'no such fact'); END"
        ))
        .await;
    let first = house.db.write(Origin::system()).await.unwrap();
    let victim = in_line(insert_and_commit(house.db.clone(), "victim")).await;
    let culprit = in_line(insert_and_commit(house.db.clone(), "culprit")).await;
    for outcome in
        [patient(first.commit()).await, patient(victim).await.unwrap(), patient(culprit).await.unwrap()]
    {
        assert!(matches!(outcome, Err(StoreError::Failed(_))), "{outcome:?}");
    }
    make(&house.db, "later").await.expect("the writer works again");
    assert_eq!(durable(&house).await, ["later"]);
    assert_eq!(house.facts().await, 1);
}

/// How a member may vanish in its turn.
async fn vanish(db: Db, how: &'static str) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    match how {
        "dropped before its first statement" => drop(tx),
        "dropped after its first statement" => {
            insert(&mut tx, "vanished").await.unwrap();
            drop(tx);
        }
        "cancelled in its first statement" => {
            let _ = futures_util::poll!(std::pin::pin!(insert(&mut tx, "vanished")));
        }
        "cancelled in a later statement" => {
            insert(&mut tx, "vanished").await.unwrap();
            let _ = futures_util::poll!(std::pin::pin!(insert(&mut tx, "vanished too")));
        }
        "cancelled in a read" => {
            insert(&mut tx, "vanished").await.unwrap();
            let _ =
                futures_util::poll!(std::pin::pin!(tx.all::<(String,)>(sql!("SELECT name FROM thing"), ())));
        }
        "cancelled while it refuses" => {
            insert(&mut tx, "vanished").await.unwrap();
            let _ = futures_util::poll!(std::pin::pin!(tx.refuse()));
        }
        _ => {
            insert(&mut tx, "vanished").await.unwrap();
            std::panic::resume_unwind(Box::new(how));
        }
    }
}

#[tokio::test]
async fn one_who_vanishes_is_rolled_back_and_the_others_commit() {
    for how in [
        "dropped before its first statement",
        "dropped after its first statement",
        "cancelled in its first statement",
        "cancelled in a later statement",
        "cancelled in a read",
        "cancelled while it refuses",
        "panics",
    ] {
        let (house, _frozen) = frozen().await;
        let first = house.db.write(Origin::system()).await.unwrap();
        let before = in_line(insert_and_commit(house.db.clone(), "before")).await;
        let vanishing = in_line(vanish(house.db.clone(), how)).await;
        let after = in_line(insert_and_commit(house.db.clone(), "after")).await;
        first.commit().await.unwrap();
        assert_eq!(patient(vanishing).await.is_err(), how == "panics");
        patient(before).await.unwrap().expect(how);
        patient(after).await.unwrap().expect(how);
        assert_eq!(durable(&house).await, ["after", "before"], "{how}");
        assert_eq!(house.facts().await, 2, "{how}");
    }
}

#[tokio::test]
async fn when_all_who_waited_vanish_somebody_commits() {
    let (house, _frozen) = frozen().await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "handed on").await.unwrap();
    let db = house.db.clone();
    let waits = in_line(async move { db.write(Origin::system()).await.map(drop) }).await;
    let mut committing = std::pin::pin!(tx.commit());
    assert!(futures_util::poll!(committing.as_mut()).is_pending(), "handed on to one who waits");
    // It has not run since, and never will.
    waits.abort();
    patient(committing).await.unwrap();
    assert!(patient(waits).await.unwrap_err().is_cancelled());
    assert_eq!(durable(&house).await, ["handed on"]);
}

#[tokio::test]
async fn one_who_has_handed_on_and_is_cancelled_is_committed() {
    let (house, _frozen) = frozen().await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "cancelled").await.unwrap();
    tx.record(made("cancelled"));
    assert!(futures_util::poll!(std::pin::pin!(tx.commit())).is_pending());
    make(&house.db, "later").await.unwrap();
    assert_eq!(durable(&house).await, ["cancelled", "later"]);
    assert_eq!(house.facts().await, 2);
}

#[tokio::test]
async fn a_change_whose_caller_is_cancelled_is_done_with_its_fact_or_not_at_all() {
    let house = House::sqlite().await;
    for n in 0..200i64 {
        let name = format!("{n:03}");
        let text = sql!("INSERT INTO thing (name, n, version) VALUES ($1, 0, 1)");
        let mut change = std::pin::pin!(house.db.change(Origin::system(), text, (&name,), vec![made(&name)]));
        for _ in 0..n % 20 {
            if futures_util::poll!(change.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    make(&house.db, "last").await.unwrap();
    assert_eq!(durable(&house).await, told(&house).await);
}

/// A server's worker thread that stops takes its runtime with it, and every task in it.
#[tokio::test]
async fn a_change_whose_runtime_ends_leaves_nothing_half_done() {
    let (house, _frozen) = frozen().await;
    let first = house.db.write(Origin::system()).await.unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let db = house.db.clone();
    let worker = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let slow = sql!(
                "INSERT INTO thing (name, n, version) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL \
                 SELECT i + 1 FROM n WHERE i < 3000000) SELECT 'ended', COUNT(*), 1 FROM n"
            );
            let change = async move { db.change(Origin::system(), slow, (), vec![made("ended")]).await };
            tokio::spawn(change);
            ended.await
        })
    });
    settle().await;
    let later = in_line(insert_and_commit(house.db.clone(), "later")).await;
    drop(first);
    for _ in 0..5 {
        settle().await;
    }
    // In the middle of its statement.
    end.send(()).unwrap();
    patient(worker).await.unwrap().unwrap();
    patient(later).await.unwrap().unwrap();
    assert_eq!(durable(&house).await, ["later"]);
    assert_eq!(told(&house).await, ["later"]);
}

#[tokio::test]
async fn one_who_vanishes_alone_does_not_keep_other_processes_out() {
    let house = House::sqlite().await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "vanished").await.unwrap();
    drop(tx);
    let other = house.another_node().await;
    make(&other, "other process").await.unwrap();
    assert_eq!(durable(&house).await, ["other process"]);
}

/// What the facts say that there is.
async fn told(house: &House) -> Vec<String> {
    let subjects: Vec<(String,)> = house.all(sql!("SELECT subject FROM fact ORDER BY subject")).await;
    subjects.iter().map(|(subject,)| subject.trim_start_matches("thing:").to_owned()).collect()
}

/// Whatever members do to each other: who was told that it is done is there, with its fact; who was told that
/// nothing remains is not; and who vanished is there with its fact or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_any_disorder_what_is_acknowledged_is_there_and_what_is_refused_is_not() {
    let house = House::sqlite().await;
    house
        .run(sql!(
            "CREATE TABLE child (thing TEXT NOT NULL REFERENCES thing (name) DEFERRABLE INITIALLY DEFERRED)"
        ))
        .await;
    let tasks: Vec<_> = (0..24).map(|task| tokio::spawn(disorder(house.db.clone(), task))).collect();
    let mut heard = Vec::new();
    for task in tasks {
        heard.extend(patient(task).await.unwrap());
    }
    let there = durable(&house).await;
    for (name, outcome) in &heard {
        let is_there = there.binary_search(name).is_ok();
        match outcome {
            Heard::Done => assert!(is_there, "{name} was acknowledged and is lost"),
            Heard::Refused => assert!(!is_there, "{name} was refused and is there"),
            Heard::Nothing => {}
        }
    }
    let of = |wanted: fn(&Heard) -> bool| heard.iter().filter(|(_, heard)| wanted(heard)).count();
    assert!(
        of(|heard| matches!(heard, Heard::Done)) > 100 && of(|heard| matches!(heard, Heard::Refused)) > 100
    );
    assert_eq!(there, told(&house).await, "a thing without its fact, or a fact without its thing");
}

enum Heard {
    Done,
    Refused,
    Nothing,
}

async fn disorder(db: Db, task: usize) -> Vec<(String, Heard)> {
    let ctx = Ctx::for_tests(task as u64);
    let mut heard = Vec::new();
    for n in 0..40 {
        let name = format!("{task:02}-{n:02}");
        let [kind, moment] = ctx.random::<2>();
        let mut work = std::pin::pin!(disorderly(db.clone(), name.clone(), kind));
        // One in four is dropped after a few steps.
        let steps = if moment.is_multiple_of(4) { usize::from(moment / 16) } else { usize::MAX };
        let mut outcome = Heard::Nothing;
        for _ in 0..steps {
            match futures_util::poll!(work.as_mut()) {
                std::task::Poll::Ready(Ok(())) => outcome = Heard::Done,
                std::task::Poll::Ready(Err(StoreError::OutcomeUnknown)) => {}
                std::task::Poll::Ready(Err(_)) => outcome = Heard::Refused,
                std::task::Poll::Pending => {
                    tokio::time::sleep(Duration::from_micros(50)).await;
                    continue;
                }
            }
            break;
        }
        heard.push((name, outcome));
    }
    heard
}

async fn disorderly(db: Db, name: String, kind: u8) -> Result<(), StoreError> {
    let text = sql!("INSERT INTO thing (name, n, version) VALUES ($1, 0, 1)");
    if kind < 100 {
        return db.change(Origin::system(), text, (&name,), vec![made(&name)]).await.map(drop);
    }
    let mut tx = db.write(Origin::system()).await?;
    tx.run(text.clone(), (&name,)).await?;
    tx.record(made(&name));
    match kind {
        100..=189 => {}
        190..=209 => return tx.end(Err(StoreError::Conflict)).await,
        210..=229 => drop(tx.run(text, (&name,)).await),
        230..=231 => drop(
            tx.run(sql!("INSERT OR ROLLBACK INTO thing (name, n, version) VALUES ($1, 0, 1)"), (&name,))
                .await,
        ),
        240 => drop(tx.run(sql!("INSERT INTO child (thing) VALUES ('nobody')"), ()).await),
        _ => {
            drop(tx);
            return Err(StoreError::Conflict);
        }
    }
    tx.commit().await
}

#[tokio::test]
async fn the_log_is_read_as_sqlite_writes_it() {
    let house = House::sqlite().await;
    let before = commits(&house.config);
    for n in 0..5 {
        make(&house.db, &n.to_string()).await.unwrap();
    }
    assert_eq!(commits(&house.config) - before, 5);
}
