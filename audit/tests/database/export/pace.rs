//! Receivers that are slow: nothing is lost, nothing stands still, and never is too much on its way.

use std::time::{Duration, Instant};

use audit::export::{Export, Format};
use kernel::Subject;
use store::{Db, Fact, Origin, follower};

use super::receiver::Receiver;
use super::{Noted, Running, arrives, export, ids, note, syslog, until};
use crate::house::{House, on_both_engines};
use crate::journal::ring;

on_both_engines! {
    what_a_slow_receiver_had_not_read_when_it_was_killed_comes_again
    a_receiver_that_needs_minutes_for_a_batch_stays_with_its_node_and_gets_on
    no_more_than_the_overlap_is_on_its_way
}

fn to(receiver: &Receiver, settle: u64) -> Export {
    let settle = Duration::from_secs(settle);
    Export { settle, ..export(syslog(&receiver.address, "localhost"), Format::Json) }
}

async fn settled(db: &Db) -> usize {
    usize::try_from(follower::cursor(db, "export:siem").await.unwrap()).unwrap()
}

async fn what_a_slow_receiver_had_not_read_when_it_was_killed_comes_again(house: House) {
    let ring = ring(&house.one).await;
    // Two megabytes, of which a quarter is read in time.
    note(&house.one, 0, 3_000).await;
    let receiver = Receiver::start(Some(20_000));
    let running = Running::start(&house.one, &ring, to(&receiver, 8));
    let mut delivered = 0;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        delivered = settled(&house.one).await;
        let read = receiver.received().len();
        assert!(delivered <= read, "{delivered} count as delivered, {read} were read");
    }
    assert!(delivered > 0 && receiver.received().len() < 3_000, "this test tries nothing");
    receiver.kill(None);
    arrives(&house.one, || receiver.received()).await;
    running.end().await;
}

/// Each nearly as long as a message may be.
async fn note_long(db: &Db, count: usize) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    for number in 0..count {
        let body = Noted { text: "x".repeat(7_500) };
        tx.record(Fact::new(Subject::new("test", number.to_string()), &body));
    }
    tx.commit().await.unwrap();
}

async fn a_receiver_that_needs_minutes_for_a_batch_stays_with_its_node_and_gets_on(house: House) {
    let ring = ring(&house.one).await;
    note_long(&house.one, 200).await;
    let receiver = Receiver::start(Some(10_000));
    let first = Running::start(&house.one, &ring, to(&receiver, 10));
    let second = Running::start(&house.two, &ring, to(&receiver, 10));
    // Longer than a lease, of which the clock of both nodes must know.
    let begun = Instant::now();
    let mut passed = Duration::ZERO;
    while passed < Duration::from_secs(45) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let by_now = begun.elapsed();
        house.advance(by_now - passed);
        passed = by_now;
    }
    let (delivered, read) = (settled(&house.one).await, receiver.received().len());
    assert!(0 < delivered && delivered <= read && read < 100, "{delivered} of {read}");
    assert_eq!(receiver.connections(), 1, "the other node has taken it over");
    let told = Instant::now();
    first.end().await;
    second.end().await;
    assert!(told.elapsed() < Duration::from_secs(15), "it waited for a batch: {:?}", told.elapsed());
}

async fn no_more_than_the_overlap_is_on_its_way(house: House) {
    let ring = ring(&house.one).await;
    note(&house.one, 0, 1_000).await;
    let receiver = Receiver::start(None);
    let overlap: usize = 200;
    let running = Running::start(
        &house.one,
        &ring,
        Export { overlap: i64::try_from(overlap).unwrap(), ..to(&receiver, 1) },
    );
    let mut most = 0;
    until("every fact settled", async || {
        let read = ids(&receiver.received()).len();
        // Looked up afterwards: it only grows.
        let delivered = settled(&house.one).await;
        let on_its_way = read.saturating_sub(delivered);
        assert!(on_its_way <= overlap, "{read} were read, {delivered} have settled");
        most = most.max(on_its_way);
        delivered >= 1_000
    })
    .await;
    assert!(most > overlap / 2, "at most {most} were on their way: this test tries nothing");
    running.end().await;
}
