//! Followers and leases: the journal in its own order, and what only one node does.

use std::time::Duration;

use kernel::id::{FactId, NodeId};
use store::{Lease, Origin, follower, sql};

use crate::house::{House, made, patient};

on_every_engine!(
    a_follower_reads_in_the_order_of_seq_what_has_one,
    a_cursor_moves_forward_for_one_of_many,
    a_lease_has_one_holder_until_it_runs_out,
    of_many_nodes_one_gets_the_lease,
    what_is_written_under_a_lease_is_written_before_another_holds_it,
    a_mark_goes_forth_and_back_with_its_transaction,
);

/// Gives `seq` to facts, in another order than that of their recording.
async fn sequence(house: &House, facts: &[FactId], first: i64) {
    for (seq, id) in (first..).zip(facts) {
        let text = sql!("UPDATE fact SET seq = $1 WHERE id = $2");
        house.db.change(Origin::system(), text, (seq, *id), Vec::new()).await.unwrap();
    }
}

async fn a_follower_reads_in_the_order_of_seq_what_has_one(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let mut ids: Vec<_> = (0..7).map(|n| tx.record(made(&n.to_string()))).collect();
    tx.commit().await.unwrap();
    assert!(follower::read(&house.db, 0, 100).await.unwrap().is_empty(), "none has its place yet");
    ids.reverse();
    sequence(&house, &ids[..5], 1).await;
    let read = follower::read(&house.db, 0, 3).await.unwrap();
    assert_eq!(read.iter().map(|fact| fact.id).collect::<Vec<_>>(), ids[..3]);
    let rest = follower::read(&house.db, 3, 100).await.unwrap();
    assert_eq!(
        rest.iter().map(|fact| (fact.id, fact.seq)).collect::<Vec<_>>(),
        [(ids[3], Some(4)), (ids[4], Some(5))]
    );
    assert!(rest.iter().all(|fact| fact.body_matches_digest()));
    let double = sql!("UPDATE fact SET seq = 5 WHERE id = $1");
    let refused = house.db.change(Origin::system(), double, (ids[5],), Vec::new()).await.unwrap_err();
    assert!(refused.is_taken("fact_seq"), "a place is given once: {refused:?}");
}

async fn a_cursor_moves_forward_for_one_of_many(house: House) {
    assert_eq!(follower::cursor(&house.db, "siem").await.unwrap(), 0);
    for (from, to) in [(0, 3), (3, 9)] {
        let movers: Vec<_> = (0..10)
            .map(|_| {
                let db = house.db.clone();
                tokio::spawn(async move { follower::advance(&db, "siem", from, to).await.unwrap() })
            })
            .collect();
        let mut moved = 0;
        for mover in movers {
            moved += usize::from(patient(mover).await.unwrap());
        }
        assert_eq!(moved, 1, "from {from}");
        assert_eq!(follower::cursor(&house.db, "siem").await.unwrap(), to);
    }
    assert!(!follower::advance(&house.db, "siem", 3, 4).await.unwrap(), "somebody else has moved it");
    assert_eq!(follower::cursor(&house.db, "metrics").await.unwrap(), 0, "each has its own");
}

async fn a_lease_has_one_holder_until_it_runs_out(house: House) {
    let time = Duration::from_secs(10);
    let [one, two] = [(); 2].map(|()| Lease::new("sequence", NodeId::new(house.db.ctx()), time));
    assert!(one.hold(&house.db).await.unwrap());
    assert!(!two.hold(&house.db).await.unwrap());
    house.pass(Duration::from_secs(6));
    assert!(one.hold(&house.db).await.unwrap(), "prolonged");
    house.pass(Duration::from_secs(6));
    assert!(!two.hold(&house.db).await.unwrap(), "the prolonged one still stands");
    house.pass(Duration::from_secs(6));
    assert!(two.hold(&house.db).await.unwrap(), "taken over");
    assert!(!one.hold(&house.db).await.unwrap());
    one.release(&house.db).await.unwrap();
    assert!(!one.hold(&house.db).await.unwrap(), "nobody releases what another holds");
    two.release(&house.db).await.unwrap();
    assert!(one.hold(&house.db).await.unwrap());
    let other = Lease::new("sweep", NodeId::new(house.db.ctx()), time);
    assert!(other.hold(&house.db).await.unwrap(), "another name is another lease");
}

async fn of_many_nodes_one_gets_the_lease(house: House) {
    let nodes: Vec<_> = (0..20)
        .map(|_| {
            let db = house.db.clone();
            let lease = Lease::new("sequence", NodeId::new(db.ctx()), Duration::from_secs(60));
            tokio::spawn(async move { lease.hold(&db).await.unwrap() })
        })
        .collect();
    let mut held = 0;
    for node in nodes {
        held += usize::from(patient(node).await.unwrap());
    }
    assert_eq!(held, 1);
}

async fn what_is_written_under_a_lease_is_written_before_another_holds_it(house: House) {
    let [one, two] =
        [(); 2].map(|()| Lease::new("export", NodeId::new(house.db.ctx()), Duration::from_secs(10)));
    assert!(one.hold(&house.db).await.unwrap());
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    assert!(one.stays(&mut tx).await.unwrap());
    house.pass(Duration::from_secs(20));
    let (db, taker) = (house.db.clone(), two.clone());
    let taking = tokio::spawn(async move { taker.hold(&db).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!taking.is_finished(), "it has run out, but something is being written under it");
    tx.commit().await.unwrap();
    assert!(patient(taking).await.unwrap());
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    assert!(!one.stays(&mut tx).await.unwrap(), "another has it");
    assert!(two.stays(&mut tx).await.unwrap());
    tx.refuse().await.unwrap();
}

async fn a_mark_goes_forth_and_back_with_its_transaction(house: House) {
    for (from, to, moved) in [(0, 7, true), (0, 9, false), (7, 0, true), (7, 0, false), (0, 3, true)] {
        let mut tx = house.db.write(Origin::system()).await.unwrap();
        assert_eq!(follower::move_in(&mut tx, "mark", from, to).await.unwrap(), moved, "{from} to {to}");
        tx.commit().await.unwrap();
    }
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    assert!(follower::move_in(&mut tx, "mark", 3, 0).await.unwrap());
    tx.refuse().await.unwrap();
    assert_eq!(follower::cursor(&house.db, "mark").await.unwrap(), 3);
}
