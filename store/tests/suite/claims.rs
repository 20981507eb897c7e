//! Who holds a claim: the claims of one who died are due at once, those of one who lives stand.

use std::time::Duration;

use store::{Address, Db, Delivery, Origin, StartError, delivery, sql};

use crate::house::{House, made, patient, settle, subject};

on_every_engine!(
    a_living_nodes_claims_survive_the_start_of_another,
    what_one_who_is_gone_had_claimed_is_due_at_once,
    what_kills_whoever_delivers_it_waits_for_its_lease,
    a_settled_claim_is_nobodys,
);

const LEASE: Duration = Duration::from_secs(600);

async fn send(db: &Db, address: Address) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    tx.record(made("x").to(address));
    tx.commit().await.unwrap();
}

async fn claim(db: &Db) -> Vec<Delivery> {
    delivery::claim(db, "door", LEASE, 9, false).await.unwrap()
}

async fn claimed_by(db: &Db) -> Option<i64> {
    db.one::<(Option<i64>,)>(sql!("SELECT claimed_by FROM delivery"), ()).await.unwrap().0
}

/// Claims the one row that there is, once others can tell whose claim it is.
async fn claim_by_name(db: &Db) -> Delivery {
    patient(async {
        loop {
            let row = claim(db).await.pop().expect("a row is due");
            if claimed_by(db).await.is_some() {
                return row;
            }
            row.postpone(db, "not yet", Duration::ZERO, false).await.unwrap();
            settle().await;
        }
    })
    .await
}

async fn a_living_nodes_claims_survive_the_start_of_another(house: House) {
    let _serving = house.db.serve().await.unwrap();
    send(&house.db, Address::reconcile("door", subject(1))).await;
    let row = claim_by_name(&house.db).await;
    let other = house.another_node().await;
    match other.serve().await {
        Ok(_) => assert!(house.db.is_postgres(), "of a file one process runs the lanes"),
        Err(error) => assert!(matches!(error, StartError::Served(_)) && !house.db.is_postgres(), "{error:?}"),
    }
    assert!(claim(&other).await.is_empty());
    assert_eq!(claimed_by(&other).await, claimed_by(&house.db).await);
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let settled = row.complete(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(settled, delivery::Settlement::Done, "its claim still stands");
}

async fn what_one_who_is_gone_had_claimed_is_due_at_once(house: House) {
    send(&house.db, Address::reconcile("door", subject(1))).await;
    let other = house.another_node().await;
    let lost = claim_by_name(&other).await;
    let _serving = match house.db.is_postgres() {
        // One who serves already finds it soon after the death of the other.
        true => {
            let serving = house.db.serve().await.unwrap();
            settle().await;
            assert!(claim(&house.db).await.is_empty(), "the other still lives");
            other.close().await;
            serving
        }
        false => house.db.serve().await.unwrap(),
    };
    let row = patient(async {
        loop {
            match claim(&house.db).await.pop() {
                Some(row) => return row,
                None => settle().await,
            }
        }
    })
    .await;
    assert_eq!((row.id, row.attempt), (lost.id, lost.attempt + 1));
    assert!(row.claim > lost.claim + 1, "whatever the other still does does not count");
}

async fn what_kills_whoever_delivers_it_waits_for_its_lease(house: House) {
    send(&house.db, Address::reconcile("door", subject(1))).await;
    let other = house.another_node().await;
    claim_by_name(&other).await;
    house.run(sql!("UPDATE delivery SET attempt = 4")).await;
    other.close().await;
    let serving = house.db.serve().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(claim(&house.db).await.is_empty(), "a pause lies between two such deaths");
    // Whoever serves would find that the clock moves.
    drop(serving);
    house.pass(LEASE + Duration::from_secs(1));
    assert_eq!(claim(&house.db).await.len(), 1);
}

async fn a_settled_claim_is_nobodys(house: House) {
    send(&house.db, Address::reconcile("door", subject(1))).await;
    let row = claim_by_name(&house.db).await;
    row.postpone(&house.db, "failed", Duration::ZERO, false).await.unwrap();
    assert_eq!(claimed_by(&house.db).await, None, "put off");
    claim_by_name(&house.db).await;
    send(&house.db, Address::reconcile("door", subject(1))).await;
    assert_eq!(claimed_by(&house.db).await, None, "raised");
    let row = claim_by_name(&house.db).await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    row.complete(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claimed_by(&house.db).await, None, "done");
}

#[tokio::test]
async fn a_second_process_is_refused_the_lanes_of_a_file_until_the_first_has_ended() {
    let house = House::sqlite().await;
    let other = house.another_node().await;
    let serving = house.db.serve().await.unwrap();
    let refused = other.serve().await.unwrap_err();
    assert!(matches!(refused, StartError::Served(_)), "{refused:?}");
    assert!(refused.to_string().contains("served by another process; stop that one"), "{refused}");
    drop(serving);
    let _serving = other.serve().await.unwrap();
    house.db.serve().await.unwrap_err();
}
