//! Placing facts: dense, in order, whoever does it and wherever it is interrupted.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use audit::{AuditError, sequence};
use store::sql;

use crate::house::{House, on_both_engines};
use crate::journal::{assert_dense, record, record_one, verified, waiting};

on_both_engines! {
    facts_get_dense_places_in_the_order_of_recording
    a_fact_that_appears_late_is_placed_after_those_that_have_a_place
    more_than_a_batch_is_placed_whole
    two_who_sequence_at_once_make_one_chain
    an_interruption_at_any_point_leaves_nothing_half_done
    a_head_that_was_changed_stops_the_sequence_and_loses_nothing
}

async fn facts_get_dense_places_in_the_order_of_recording(house: House) {
    record(&house, 7).await;
    assert_eq!(verified(&house.one).await.unsequenced, 7);
    assert_eq!(sequence(&house.one).await.unwrap(), 7);
    assert_eq!(sequence(&house.one).await.unwrap(), 0);
    let in_order: Vec<(i64, String)> =
        house.one.all(sql!("SELECT seq, subject FROM fact ORDER BY seq"), ()).await.unwrap();
    let expected: Vec<(i64, String)> = (0..7).map(|n| (n + 1, format!("test:{n}"))).collect();
    assert_eq!(in_order, expected);
    assert_dense(&verified(&house.one).await, 7);
}

/// On PostgreSQL this is an older transaction that commits later.
async fn a_fact_that_appears_late_is_placed_after_those_that_have_a_place(house: House) {
    record(&house, 3).await;
    sequence(&house.one).await.unwrap();
    let late = sql!(
        "INSERT INTO fact (id, at, kind, subject, actor, digest) \
         SELECT '00000000-0000-7000-8000-000000000000', 1, kind, 'test:late', actor, digest FROM fact WHERE seq = 1"
    );
    assert_eq!(house.tamper(late, ()).await, 1);
    record(&house, 1).await;
    assert_eq!(sequence(&house.two).await.unwrap(), 2);
    let (seq,): (i64,) =
        house.one.one(sql!("SELECT seq FROM fact WHERE subject = 'test:late'"), ()).await.unwrap();
    assert_eq!(seq, 4);
    assert_dense(&verified(&house.one).await, 5);
}

async fn more_than_a_batch_is_placed_whole(house: House) {
    record(&house, 1_203).await;
    assert_eq!(sequence(&house.one).await.unwrap(), 1_203);
    assert_dense(&verified(&house.two).await, 1_203);
}

async fn two_who_sequence_at_once_make_one_chain(house: House) {
    let work = |db: store::Db, first: usize| async move {
        let mut placed = 0;
        for number in 0..60 {
            record_one(&db, first + number).await;
            placed += sequence(&db).await.unwrap();
        }
        placed
    };
    let one = tokio::spawn(work(house.one.clone(), 0));
    let two = tokio::spawn(work(house.two.clone(), 1_000));
    let placed = one.await.unwrap() + two.await.unwrap() + sequence(&house.one).await.unwrap();
    assert_eq!(placed, 120, "each fact was placed by one of them, once");
    assert_dense(&verified(&house.one).await, 120);
}

/// Polls a future so often at most, then drops it: a crash as the process sees it.
async fn crash_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

async fn an_interruption_at_any_point_leaves_nothing_half_done(house: House) {
    let mut finished = 0;
    let mut recorded = 0;
    for polls in 0..60 {
        record(&house, 3).await;
        recorded += 3;
        let done = crash_after(polls, sequence(&house.one)).await;
        finished += usize::from(done.is_some());
        let report = verified(&house.two).await;
        assert!(report.is_good(), "after {polls} polls: {:?}", report.findings);
        // What was interrupted after its commit began may come true while we look.
        assert!(report.facts + report.unsequenced <= recorded);
    }
    assert!((1..60).contains(&finished), "{finished} of 60: some are interrupted, some are not");
    sequence(&house.two).await.unwrap();
    assert_dense(&verified(&house.two).await, recorded);
}

async fn a_head_that_was_changed_stops_the_sequence_and_loses_nothing(house: House) {
    record(&house, 3).await;
    sequence(&house.one).await.unwrap();
    let (chain,): (String,) = house.one.one(sql!("SELECT chain FROM chain_head"), ()).await.unwrap();
    record(&house, 2).await;
    for change in [
        sql!("UPDATE chain_head SET seq = 1"),
        sql!("UPDATE chain_head SET chain = 'no link'"),
        sql!("UPDATE chain_head SET seq = 9223372036854775807"),
    ] {
        house.tamper(change, ()).await;
        assert!(matches!(sequence(&house.one).await, Err(AuditError::Head)));
        assert_eq!(waiting(&house).await, 2);
        house.tamper(sql!("UPDATE chain_head SET seq = 3, chain = $1"), (&chain,)).await;
    }
    assert_eq!(sequence(&house.one).await.unwrap(), 2);
    assert_dense(&verified(&house.one).await, 5);
}
