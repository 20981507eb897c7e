//! Finding facts.

use std::time::Duration;

use audit::{Search, search};
use kernel::Subject;
use serde::{Deserialize, Serialize};
use store::{Db, Fact, FactBody, Origin};

use crate::house::{House, on_both_engines};

on_both_engines! {
    facts_are_found_by_whom_and_what_they_are_about_by_kind_and_by_time
}

#[derive(Serialize, Deserialize)]
struct Opened {
    number: u32,
}

impl FactBody for Opened {
    const KIND: &'static str = "door.opened";
}

#[derive(Serialize, Deserialize)]
struct Opening {
    number: u32,
}

impl FactBody for Opening {
    const KIND: &'static str = "doors.shown";
}

async fn record(db: &Db, fact: Fact) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    tx.record(fact);
    tx.commit().await.unwrap();
}

async fn found(db: &Db, what: Search) -> Vec<u64> {
    let facts = search(db, &Search { limit: if what.limit == 0 { 100 } else { what.limit }, ..what }).await;
    let number = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["number"].as_u64();
    facts.unwrap().iter().filter_map(|fact| number(fact.body.as_deref().unwrap())).collect()
}

async fn facts_are_found_by_whom_and_what_they_are_about_by_kind_and_by_time(house: House) {
    let db = &house.one;
    let (ada, bo) = (|| Subject::new("user", "ada"), || Subject::new("user", "bo"));
    let (north, south) = (|| Subject::new("access_point", "north"), || Subject::new("access_point", "south"));
    let begun = db.ctx().now();
    // The house is a second older at each.
    for (number, door, who) in [(1, north(), ada()), (2, south(), ada()), (3, north(), bo())] {
        record(db, Fact::new(door, &Opened { number }).about(who)).await;
        house.advance(Duration::from_secs(1));
    }
    record(db, Fact::new(ada(), &Opening { number: 4 })).await;
    let about = |about: Vec<Vec<Subject>>| Search { about, ..Search::default() };
    assert_eq!(found(db, about(vec![vec![ada()]])).await, [4, 2, 1], "as subject and beside it");
    assert_eq!(found(db, about(vec![vec![ada()], vec![north()]])).await, [1], "both");
    assert_eq!(found(db, about(vec![vec![north(), south()]])).await, [3, 2, 1], "either");
    assert_eq!(found(db, about(vec![vec![Subject::new("user", "eve")]])).await, [0_u64; 0]);
    let kind = |kind: &str| Search { kind: Some(kind.into()), ..Search::default() };
    assert_eq!(found(db, kind("door.opened")).await, [3, 2, 1]);
    assert_eq!(found(db, kind("door.")).await, [3, 2, 1], "a beginning ends at the dot");
    assert_eq!(found(db, kind("door")).await, [0_u64; 0], "and is none without it");
    let at = |seconds| Some(begun.plus(Duration::from_secs(seconds)));
    assert_eq!(found(db, Search { since: at(1), until: at(2), ..Search::default() }).await, [2]);
    assert_eq!(found(db, Search { limit: 2, ..about(vec![vec![ada()]]) }).await, [4, 2], "the newest");
}
