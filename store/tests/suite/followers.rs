//! Followers and leases: the journal in its own order, and what only one node does.

use std::time::Duration;

use kernel::id::{FactId, NodeId};
use store::{Lease, Origin, follower, sql};

use crate::house::{House, made, patient};

on_every_engine!(
    a_follower_reads_in_the_order_of_seq_what_has_one,
    a_cursor_moves_forward_for_one_of_many,
    who_is_waited_for_stands_since_it_moved_or_was_first_waited_for,
    a_lease_has_one_holder_until_it_runs_out,
    of_many_nodes_one_gets_the_lease,
    what_is_written_under_a_lease_is_written_before_another_holds_it,
    a_mark_goes_forth_and_back_with_its_transaction,
    whoever_serves_alone_waits_for_no_lease_of_the_dead,
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

async fn who_is_waited_for_stands_since_it_moved_or_was_first_waited_for(house: House) {
    let hour = Duration::from_secs(3600);
    let begun = house.db.ctx().now();
    let (siem, both) = (["siem".to_owned()], ["siem".to_owned(), "disk".to_owned()]);
    // Each with its place, and the hour since which it stands there.
    let stand = async |names: &[String]| -> Vec<(i64, u64)> {
        let all = follower::waited_for(&house.db, names).await.unwrap();
        assert!(all.iter().map(|standing| &standing.name).eq(names), "{all:?}");
        all.iter().map(|standing| (standing.seq, standing.moved_at.since(begun).as_secs() / 3600)).collect()
    };
    assert_eq!(stand(&siem).await, [(0, 0)]);
    house.pass(hour);
    assert_eq!(stand(&both).await, [(0, 0), (0, 1)]);
    assert!(follower::advance(&house.db, "siem", 0, 5).await.unwrap());
    house.pass(hour);
    assert_eq!(stand(&both).await, [(5, 1), (0, 1)]);
    assert_eq!(stand(&siem).await, [(5, 1)]);
    assert_eq!(stand(&both).await, [(5, 1), (0, 2)], "waited for anew");
    let ahead = (house.db.ctx().now().plus(1_000 * hour),);
    let text = sql!("UPDATE follower SET moved_at = $1");
    house.db.change(Origin::system(), text, ahead, Vec::new()).await.unwrap();
    assert_eq!(stand(&both).await, [(5, 2), (0, 2)], "a clock that was ahead counts for nothing");
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

async fn whoever_serves_alone_waits_for_no_lease_of_the_dead(house: House) {
    let time = Duration::from_secs(60);
    let [dead, next] = [(); 2].map(|()| Lease::new("export", NodeId::new(house.db.ctx()), time));
    assert!(dead.hold(&house.db).await.unwrap());
    assert!(!next.hold(&house.db).await.unwrap());
    let _serving = house.db.serve().await.unwrap();
    let is_alone = !house.db.is_postgres();
    assert_eq!(next.hold(&house.db).await.unwrap(), is_alone, "beside others, the holder may be one of them");
}
