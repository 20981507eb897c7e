//! The follower at work.

use std::time::Duration;

use audit::{CheckpointPolicy, Follower, verify};
use kernel::id::NodeId;
use store::{Db, sql};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::house::{House, on_both_engines};
use crate::journal::{assert_dense, record_one, ring, waiting};

on_both_engines! {
    facts_are_placed_and_signed_without_anybodys_doing
    of_two_followers_one_goes_on_when_the_other_stops
}

async fn start(
    db: &Db,
    ring: &keys::KeyRing,
    policy: CheckpointPolicy,
) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    let follower = Follower::new(db.clone(), ring.clone(), NodeId::new(db.ctx()), policy);
    (stop, tokio::spawn(follower.run(stopped)))
}

/// Waits for what must come; a test is never timed, but it ends.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come");
}

async fn facts_are_placed_and_signed_without_anybodys_doing(house: House) {
    let ring = ring(&house.one).await;
    let policy = CheckpointPolicy { facts: 10, age: Duration::from_secs(3600) };
    let (stop, done) = start(&house.one, &ring, policy).await;
    let signed = sql!("SELECT COUNT(*) FROM checkpoint");
    until("the first checkpoint", async || house.count(signed.clone()).await == 1).await;

    for number in 0..5 {
        record_one(&house.two, number).await;
    }
    until("a place for all", async || waiting(&house).await == 0).await;
    house.advance(Duration::from_secs(3600));
    until("a checkpoint by age", async || house.count(signed.clone()).await == 2).await;
    for number in 0..10 {
        record_one(&house.two, number).await;
    }
    until("a checkpoint by number", async || house.count(signed.clone()).await >= 3).await;

    record_one(&house.two, 0).await;
    stop.send(true).unwrap();
    done.await.unwrap();
    assert_eq!(waiting(&house).await, 0, "at the end nothing waits");
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM lease WHERE name = 'audit'")).await, 0);
    let report = verify(&house.one, &ring.evidence_jwks().bytes, None, |_| {}).await.unwrap();
    assert_dense(&report, 3 + 16);
    assert!(report.checkpoints >= 3);
}

async fn of_two_followers_one_goes_on_when_the_other_stops(house: House) {
    let ring = ring(&house.one).await;
    let (stop_one, one) = start(&house.one, &ring, CheckpointPolicy::default()).await;
    let (stop_two, two) = start(&house.two, &ring, CheckpointPolicy::default()).await;
    for number in 0..20 {
        record_one(if number % 2 == 0 { &house.one } else { &house.two }, number).await;
    }
    until("a place for all", async || waiting(&house).await == 0).await;
    stop_one.send(true).unwrap();
    one.await.unwrap();
    for number in 0..20 {
        record_one(&house.one, number).await;
    }
    until("a place for the rest", async || waiting(&house).await == 0).await;
    drop(stop_two);
    two.await.unwrap();
    let report = verify(&house.one, &ring.evidence_jwks().bytes, None, |_| {}).await.unwrap();
    assert_dense(&report, 3 + 40);
}
