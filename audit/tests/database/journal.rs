//! Facts to be placed, a ring to sign with, and short ways to look at both.

use std::time::Duration;

use audit::{Report, What};
use kernel::Subject;
use keys::{KeyRing, RotationPolicy, SealingKeys};
use serde::{Deserialize, Serialize};
use store::{Db, Fact, FactBody, Origin, sql};

use crate::house::House;

#[derive(Serialize, Deserialize)]
struct Happened {
    number: usize,
}

impl FactBody for Happened {
    const KIND: &'static str = "test.happened";
}

/// Records facts, each in a millisecond of its own.
pub(crate) async fn record(house: &House, count: usize) {
    let mut tx = house.one.write(Origin::system()).await.unwrap();
    for number in 0..count {
        tx.record(Fact::new(Subject::new("test", number), &Happened { number }));
        house.advance(Duration::from_millis(1));
    }
    tx.commit().await.unwrap();
}

/// Records one fact from any node.
pub(crate) async fn record_one(db: &Db, number: usize) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    tx.record(Fact::new(Subject::new("test", number), &Happened { number }));
    tx.commit().await.unwrap();
}

pub(crate) async fn ring(db: &Db) -> KeyRing {
    let ring =
        KeyRing::open(db.clone(), SealingKeys::generate(db.ctx()), RotationPolicy::default()).await.unwrap();
    // The facts of the first keys would otherwise come at any moment.
    ring.sign_jwt(keys::Alg::Rs256, "JWT", &serde_json::json!({})).await.unwrap();
    ring
}

/// Verifies from the beginning, with no key known.
pub(crate) async fn verified(db: &Db) -> Report {
    audit::verify(db, br#"{"keys":[]}"#, None, |_| {}).await.unwrap()
}

pub(crate) fn found(report: &Report) -> Vec<(i64, What)> {
    report.findings.iter().map(|finding| (finding.seq, finding.what)).collect()
}

/// Every place from 1 to the number of facts is taken once.
#[track_caller]
pub(crate) fn assert_dense(report: &Report, facts: u64) {
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.facts, report.unsequenced), (facts, 0));
    assert_eq!(report.head.map_or(0, |(seq, _)| seq), i64::try_from(facts).unwrap());
}

pub(crate) async fn waiting(house: &House) -> i64 {
    house.count(sql!("SELECT COUNT(*) FROM fact WHERE seq IS NULL")).await
}
