//! Deliveries: leased to one, settled by the latest claimant only, in order where order matters, kept when dead.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kernel::Actor;
use store::delivery::{self, DeliveryDied, DeliveryRetried, Settlement};
use store::{Address, Db, Delivery, FactBody, Lane, Origin, Settled, Sink, SinkError, sql};

use crate::house::{House, MovedClock, made, patient, subject};

on_every_engine!(
    many_claimers_get_each_row_once,
    a_lease_that_runs_out_gives_the_row_back,
    only_the_latest_claimant_settles_a_message,
    a_raise_during_work_leaves_the_row_due,
    a_late_finisher_of_an_idle_row_makes_it_due_again,
    a_late_finisher_makes_the_newer_claimant_look_once_more_and_only_once,
    putting_off_is_fenced_too,
    one_who_fails_late_makes_an_idle_row_due_again,
    one_who_fails_late_makes_the_newer_claimant_look_once_more_and_only_once,
    a_raise_resets_the_back_off_and_raises_the_version,
    messages_of_one_subject_keep_their_order,
    messages_keep_their_order_across_nodes_whose_clocks_differ,
    a_failing_message_blocks_only_its_own_subject,
    what_waits_behind_a_failing_message_is_out_of_sight_until_that_is_settled,
    held_back_messages_are_all_delivered_in_the_end,
    dead_letters_are_kept_shown_and_retried,
    a_message_that_cannot_be_delivered_is_dead_at_once_and_kept,
    a_fact_of_unknown_kind_is_dead_lettered_not_guessed,
    a_reconciler_never_dies,
    the_back_off_grows_is_capped_and_varies_a_little,
    a_revocation_overtakes_500_grants_that_wait,
    a_revocation_raises_the_priority_of_what_waits_and_a_grant_does_not_lower_it,
    a_claim_of_revocations_only_takes_nothing_else,
    what_waits_behind_another_is_not_due,
    a_sweep_makes_a_row_due_without_a_fact,
    a_fact_is_read_through_its_delivery,
    draining_delivers_what_is_due_once,
);

const LEASE: Duration = Duration::from_secs(30);

async fn send(db: &Db, address: Address) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    tx.record(made("x").to(address));
    tx.commit().await.unwrap();
}

fn door(id: impl std::fmt::Display) -> Address {
    Address::reconcile("door", subject(id))
}

fn mail(id: impl std::fmt::Display) -> Address {
    Address::message("mail", subject(id))
}

async fn claim(db: &Db, sink: &str, limit: i64) -> Vec<Delivery> {
    delivery::claim(db, sink, LEASE, limit, false).await.unwrap()
}

async fn claim_one(db: &Db, sink: &str) -> Delivery {
    let mut claimed = claim(db, sink, 1).await;
    assert_eq!(claimed.len(), 1, "a row is due");
    claimed.remove(0)
}

async fn complete(db: &Db, row: &Delivery) -> Settlement {
    let mut tx = db.write(Origin::system()).await.unwrap();
    let settled = row.complete(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    settled
}

async fn many_claimers_get_each_row_once(house: House) {
    for n in 0..200 {
        send(&house.db, if n % 2 == 0 { door(n) } else { Address::message("door", subject(n)) }).await;
    }
    let other = house.another_node().await;
    let claimers: Vec<_> = (0..20)
        .map(|n| {
            let db = if n % 2 == 0 { house.db.clone() } else { other.clone() };
            tokio::spawn(async move {
                let (mut all, mut misses) = (Vec::new(), 0);
                // On PostgreSQL a claimer may find only rows that others are just locking.
                while misses < 3 {
                    let claimed = claim(&db, "door", 3).await;
                    misses = if claimed.is_empty() { misses + 1 } else { 0 };
                    all.extend(claimed.into_iter().map(|row| row.id));
                }
                all
            })
        })
        .collect();
    let mut claims: HashMap<_, usize> = HashMap::new();
    for claimer in claimers {
        for id in patient(claimer).await.unwrap() {
            *claims.entry(id).or_default() += 1;
        }
    }
    assert_eq!(claims.len(), 200, "each row was claimed");
    assert!(claims.values().all(|times| *times == 1), "and by one claimer");
}

async fn a_lease_that_runs_out_gives_the_row_back(house: House) {
    send(&house.db, mail(1)).await;
    let first = claim_one(&house.db, "mail").await;
    house.pass(LEASE - Duration::from_secs(1));
    assert!(claim(&house.db, "mail", 9).await.is_empty(), "leased");
    house.pass(Duration::from_secs(2));
    let second = claim_one(&house.db, "mail").await;
    assert_eq!(second.id, first.id, "a double carries the same id");
    assert_eq!((first.attempt, second.attempt), (1, 2));
}

async fn only_the_latest_claimant_settles_a_message(house: House) {
    send(&house.db, mail(1)).await;
    let first = claim_one(&house.db, "mail").await;
    house.pass(LEASE * 2);
    let second = claim_one(&house.db, "mail").await;
    assert_eq!(complete(&house.db, &first).await, Settlement::DueAgain);
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (1, 0), "the row is still there");
    assert_eq!(complete(&house.db, &second).await, Settlement::Done);
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 0));
}

async fn a_raise_during_work_leaves_the_row_due(house: House) {
    send(&house.db, door(1)).await;
    let grant = claim_one(&house.db, "door").await;
    send(&house.db, door(1).revoking(true)).await;
    assert_eq!(complete(&house.db, &grant).await, Settlement::DueAgain);
    let revocation = claim_one(&house.db, "door").await;
    assert_eq!((revocation.version, revocation.priority), (grant.version + 1, 1));
    assert_eq!(complete(&house.db, &revocation).await, Settlement::Done);
    assert!(claim(&house.db, "door", 9).await.is_empty());
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 0));
}

async fn a_late_finisher_of_an_idle_row_makes_it_due_again(house: House) {
    send(&house.db, door(1)).await;
    let stalled = claim_one(&house.db, "door").await;
    house.pass(LEASE * 2);
    let second = claim_one(&house.db, "door").await;
    assert_eq!(complete(&house.db, &second).await, Settlement::Done);
    assert_eq!(complete(&house.db, &stalled).await, Settlement::DueAgain);
    let again = claim_one(&house.db, "door").await;
    assert_eq!(again.priority, 1, "what a late worker has done may have to be taken back");
    assert_eq!(complete(&house.db, &again).await, Settlement::Done);
}

/// Were a row that another works on made due at once, each of two would for ever find itself overtaken.
async fn a_late_finisher_makes_the_newer_claimant_look_once_more_and_only_once(house: House) {
    send(&house.db, door(1)).await;
    let stalled = claim_one(&house.db, "door").await;
    house.pass(LEASE * 2);
    let second = claim_one(&house.db, "door").await;
    assert_eq!(complete(&house.db, &stalled).await, Settlement::DueAgain);
    assert!(claim(&house.db, "door", 9).await.is_empty(), "the second still works on it");
    assert_eq!(complete(&house.db, &second).await, Settlement::DueAgain);
    let third = claim_one(&house.db, "door").await;
    assert_eq!(complete(&house.db, &third).await, Settlement::Done);
    assert!(claim(&house.db, "door", 9).await.is_empty());
}

async fn putting_off_is_fenced_too(house: House) {
    send(&house.db, door(1)).await;
    let stalled = claim_one(&house.db, "door").await;
    house.pass(LEASE * 2);
    let second = claim_one(&house.db, "door").await;
    stalled.postpone(&house.db, "late", Duration::ZERO, false).await.unwrap();
    assert!(claim(&house.db, "door", 9).await.is_empty(), "the second's lease stands");
    // Raised meanwhile: a failure of the old version puts nothing off.
    send(&house.db, door(1)).await;
    second.postpone(&house.db, "failed", Duration::from_secs(600), false).await.unwrap();
    let third = claim_one(&house.db, "door").await;
    assert_eq!(third.last_error.as_deref(), Some("failed"));
    third.postpone(&house.db, "failed again", Duration::from_secs(600), false).await.unwrap();
    assert!(claim(&house.db, "door", 9).await.is_empty());
    house.pass(Duration::from_secs(601));
    assert_eq!(claim_one(&house.db, "door").await.last_error.as_deref(), Some("failed again"));
}

async fn one_who_fails_late_makes_an_idle_row_due_again(house: House) {
    send(&house.db, door(1)).await;
    let stalled = claim_one(&house.db, "door").await;
    house.pass(LEASE * 2);
    let second = claim_one(&house.db, "door").await;
    assert_eq!(complete(&house.db, &second).await, Settlement::Done);
    stalled.postpone(&house.db, "no answer", Duration::from_secs(600), false).await.unwrap();
    let again = claim_one(&house.db, "door").await;
    assert_eq!(again.priority, 1, "what failed late may have been done after the other looked");
    assert_eq!(complete(&house.db, &again).await, Settlement::Done);
    assert!(claim(&house.db, "door", 9).await.is_empty());
}

async fn one_who_fails_late_makes_the_newer_claimant_look_once_more_and_only_once(house: House) {
    send(&house.db, door(1)).await;
    let stalled = claim_one(&house.db, "door").await;
    house.pass(LEASE * 2);
    let second = claim_one(&house.db, "door").await;
    stalled.postpone(&house.db, "no answer", Duration::from_secs(600), false).await.unwrap();
    assert!(claim(&house.db, "door", 9).await.is_empty(), "the second still works on it");
    assert_eq!(complete(&house.db, &second).await, Settlement::DueAgain);
    let third = claim_one(&house.db, "door").await;
    assert_eq!(complete(&house.db, &third).await, Settlement::Done);
    assert!(claim(&house.db, "door", 9).await.is_empty());
}

async fn a_raise_resets_the_back_off_and_raises_the_version(house: House) {
    send(&house.db, door(1)).await;
    for _ in 0..3 {
        let row = claim_one(&house.db, "door").await;
        row.postpone(&house.db, "unreachable", Duration::from_secs(60), false).await.unwrap();
        house.pass(Duration::from_secs(61));
    }
    let waits_since = claim_one(&house.db, "door").await;
    waits_since.postpone(&house.db, "unreachable", Duration::from_secs(600), false).await.unwrap();
    send(&house.db, door(1)).await;
    let raised = claim_one(&house.db, "door").await;
    assert_eq!((waits_since.attempt, raised.attempt), (4, 1));
    assert_eq!((raised.id, raised.version), (waits_since.id, waits_since.version + 1));
    assert_eq!(raised.created_at, waits_since.created_at, "it waits since it first became due");
}

async fn messages_of_one_subject_keep_their_order(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let mut sent: Vec<_> = (0..5).map(|_| tx.record(made("x").to(mail(1)))).collect();
    tx.commit().await.unwrap();
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    sent.push(tx.record(made("x").to(mail(1))));
    tx.commit().await.unwrap();
    let mut arrived = Vec::new();
    for _ in 0..6 {
        let claimed = claim(&house.db, "mail", 9).await;
        assert_eq!(claimed.len(), 1, "one at a time");
        arrived.push(claimed[0].fact);
        complete(&house.db, &claimed[0]).await;
    }
    assert_eq!(arrived, sent);
}

async fn messages_keep_their_order_across_nodes_whose_clocks_differ(house: House) {
    let slow = house.node_with_clock(&MovedClock::off_by(-1_500)).await;
    let mut sent = Vec::new();
    for n in 0..6 {
        let db = if n % 2 == 0 { &house.db } else { &slow };
        let mut tx = db.write(Origin::system()).await.unwrap();
        sent.push(tx.record(made("x").to(mail(1))));
        sent.push(tx.record(made("x").to(mail(1))));
        tx.commit().await.unwrap();
    }
    house.pass(Duration::from_secs(2));
    let mut arrived = Vec::new();
    for _ in 0..12 {
        let row = claim_one(&house.db, "mail").await;
        arrived.push(row.fact);
        complete(&house.db, &row).await;
    }
    assert_eq!(arrived, sent);
}

async fn a_failing_message_blocks_only_its_own_subject(house: House) {
    for id in [1, 1, 2, 2] {
        send(&house.db, mail(id)).await;
    }
    let mut first = claim(&house.db, "mail", 9).await;
    first.sort_by_key(|row| row.subject.clone());
    assert_eq!(first.iter().map(Delivery::subject_id).collect::<Vec<_>>(), ["1", "2"], "one of each subject");
    first[0].postpone(&house.db, "refused", Duration::from_secs(60), false).await.unwrap();
    complete(&house.db, &first[1]).await;
    let next = claim(&house.db, "mail", 9).await;
    assert_eq!(next.iter().map(Delivery::subject_id).collect::<Vec<_>>(), ["2"]);
    complete(&house.db, &next[0]).await;
    assert!(claim(&house.db, "mail", 9).await.is_empty());
    house.pass(Duration::from_secs(61));
    let again = claim_one(&house.db, "mail").await;
    assert_eq!(again.id, first[0].id, "the failed one first");
}

/// How many rows a look may have to read.
async fn in_sight(house: &House) -> i64 {
    house
        .one::<(i64,)>(sql!("SELECT COUNT(*) FROM delivery WHERE due_at IS NOT NULL AND dead_at IS NULL"))
        .await
        .0
}

async fn what_waits_behind_a_failing_message_is_out_of_sight_until_that_is_settled(house: House) {
    let mut sent = Vec::new();
    for _ in 0..30 {
        let mut tx = house.db.write(Origin::system()).await.unwrap();
        sent.push(tx.record(made("x").to(mail(1))));
        tx.commit().await.unwrap();
    }
    send(&house.db, mail(2)).await;
    let head = claim_one(&house.db, "mail").await;
    head.postpone(&house.db, "refused", Duration::from_secs(60), false).await.unwrap();
    assert_eq!(in_sight(&house).await, 2, "the head, and the other subject's");
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (31, 0), "all of them wait");
    let other = claim_one(&house.db, "mail").await;
    assert_eq!(other.subject_id(), "2");
    complete(&house.db, &other).await;

    house.pass(Duration::from_secs(61));
    let mut arrived = Vec::new();
    for n in 0..30 {
        let row = claim_one(&house.db, "mail").await;
        arrived.push(row.fact);
        // Delivered or given up: either way the next one goes.
        match n % 2 {
            0 => drop(complete(&house.db, &row).await),
            _ => row.postpone(&house.db, "gone", Duration::ZERO, true).await.unwrap(),
        }
    }
    assert_eq!(arrived, sent);
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 15));
}

/// Many send, deliver, fail and give up at once about one subject: nothing may be forgotten behind another.
async fn held_back_messages_are_all_delivered_in_the_end(house: House) {
    async fn deliver_some(db: Db, worker: usize) {
        for round in 0..60 {
            for row in delivery::claim(&db, "mail", LEASE, 2, false).await.unwrap() {
                match (round + worker) % 4 {
                    0 | 1 => row.postpone(&db, "refused", Duration::ZERO, false).await.unwrap(),
                    2 => row.postpone(&db, "gone", Duration::ZERO, true).await.unwrap(),
                    _ => drop(complete(&db, &row).await),
                }
            }
        }
    }
    let other = house.another_node().await;
    let senders = (0..3).map(|n| {
        let db = if n == 0 { other.clone() } else { house.db.clone() };
        tokio::spawn(async move {
            for _ in 0..25 {
                send(&db, mail(1)).await;
            }
        })
    });
    let workers = (0..4)
        .map(|n| tokio::spawn(deliver_some(if n % 2 == 0 { other.clone() } else { house.db.clone() }, n)));
    let tasks: Vec<_> = senders.chain(workers).collect();
    for task in tasks {
        patient(task).await.unwrap();
    }
    house.pass(Duration::from_secs(2));
    let sink = Arc::new(Failing::default());
    sink.well.store(true, Ordering::SeqCst);
    Lane::new("mail").drain(&house.db, sink).await.unwrap();
    assert_eq!(delivery::depth(&house.db).await.unwrap().0, 0, "somebody still waits behind nobody");
}

async fn a_message_that_cannot_be_delivered_is_dead_at_once_and_kept(house: House) {
    let sink = Arc::new(Failing::default());
    sink.dead.store(true, Ordering::SeqCst);
    send(&house.db, mail(1)).await;
    assert_eq!(Lane::new("mail").drain(&house.db, sink.clone()).await.unwrap(), 1, "one attempt of twelve");
    let letters = delivery::dead(&house.db, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].attempt, letters[0].last_error.as_deref()), (1, Some("never")));
    assert!(delivery::retry(&house.db, Origin::of(Actor::Operator), letters[0].id).await.unwrap());
    sink.well.store(true, Ordering::SeqCst);
    assert_eq!(Lane::new("mail").drain(&house.db, sink.clone()).await.unwrap(), 1);
    let given = sink.given.lock().unwrap();
    assert_eq!(given[0].id, given[1].id, "the same message");
}

/// Knows one kind of fact.
struct Reading(Db);

#[async_trait::async_trait]
impl Sink for Reading {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let fact = delivery.fact(&self.0).await?.ok_or_else(|| SinkError::Dead("its fact is gone".into()))?;
        let known = fact.read::<crate::house::Made>();
        known.map(|_| Settled::Done).ok_or_else(|| SinkError::Dead(format!("{} is unknown here", fact.kind)))
    }
}

async fn a_fact_of_unknown_kind_is_dead_lettered_not_guessed(house: House) {
    send(&house.db, mail(1)).await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    tx.record(store::Fact::new(subject(2), &DeliveryRetried {}).to(mail(2)));
    tx.commit().await.unwrap();
    Lane::new("mail").drain(&house.db, Arc::new(Reading(house.db.clone()))).await.unwrap();
    let letters = delivery::dead(&house.db, 10).await.unwrap();
    let told: Vec<_> = letters.iter().map(|letter| letter.last_error.as_deref()).collect();
    assert_eq!(told, [Some("delivery.retried is unknown here")]);
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 1));
}

async fn dead_letters_are_kept_shown_and_retried(house: House) {
    send(&house.db, mail(1)).await;
    send(&house.db, mail(1)).await;
    let first = claim_one(&house.db, "mail").await;
    first.postpone(&house.db, "no such address", Duration::from_secs(60), true).await.unwrap();
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (1, 1));
    let letters = delivery::dead(&house.db, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.id, letter.sink.as_str(), letter.subject.as_str()), (first.id, "mail", "thing:1"));
    assert_eq!((letter.attempt, letter.last_error.as_deref()), (1, Some("no such address")));
    let died = sql!("SELECT COUNT(*) FROM fact WHERE kind = 'delivery.died'");
    assert_eq!(house.one::<(i64,)>(died).await, (1,), "{}", DeliveryDied::KIND);

    let second = claim_one(&house.db, "mail").await;
    assert_ne!(second.id, first.id, "a dead one stands before nobody");
    complete(&house.db, &second).await;
    house.pass(Duration::from_secs(3_600));
    assert!(claim(&house.db, "mail", 9).await.is_empty(), "a dead one is not due");

    let operator = Origin::of(Actor::Operator);
    assert!(!delivery::retry(&house.db, operator.clone(), second.id).await.unwrap(), "that one is not dead");
    assert!(delivery::retry(&house.db, operator.clone(), first.id).await.unwrap());
    assert!(!delivery::retry(&house.db, operator, first.id).await.unwrap(), "nor is it any more");
    let retried: Vec<(String, String)> =
        house.all(sql!("SELECT actor, subject FROM fact WHERE kind = 'delivery.retried'")).await;
    assert_eq!(
        retried,
        [("operator".to_owned(), format!("delivery:{}", first.id))],
        "{}",
        DeliveryRetried::KIND
    );
    let revived = claim_one(&house.db, "mail").await;
    assert_eq!((revived.id, revived.attempt), (first.id, 1));
    complete(&house.db, &revived).await;
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 0));
    assert!(delivery::dead(&house.db, 10).await.unwrap().is_empty());
}

/// A sink that fails as told, and remembers what it was given.
#[derive(Default)]
struct Failing {
    dead: AtomicBool,
    well: AtomicBool,
    given: Mutex<Vec<Delivery>>,
}

#[async_trait::async_trait]
impl Sink for Failing {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        self.given.lock().unwrap().push(delivery.clone());
        match (self.well.load(Ordering::SeqCst), self.dead.load(Ordering::SeqCst)) {
            (true, _) => Ok(Settled::Done),
            (false, true) => Err(SinkError::Dead("never".into())),
            (false, false) => Err(SinkError::Retry("not now".into())),
        }
    }
}

/// How long until the sink's next row is due.
async fn due_in(house: &House, sink: &str) -> Duration {
    let due = delivery::next_due(&house.db, sink).await.unwrap().expect("a row waits");
    due.since(house.db.ctx().now())
}

async fn a_reconciler_never_dies(house: House) {
    let lane = Lane { attempts: 1, ..Lane::new("door") };
    let sink = Arc::new(Failing::default());
    sink.dead.store(true, Ordering::SeqCst);
    send(&house.db, door(1)).await;
    for _ in 0..3 {
        assert_eq!(lane.drain(&house.db, sink.clone()).await.unwrap(), 1);
        let pause = due_in(&house, "door").await;
        assert!(
            pause > Duration::from_secs(50),
            "hopeless is tried at the longest interval, not in {pause:?}"
        );
        house.pass(lane.longest_pause);
    }
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (1, 0));
    sink.well.store(true, Ordering::SeqCst);
    lane.drain(&house.db, sink).await.unwrap();
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 0));
}

async fn the_back_off_grows_is_capped_and_varies_a_little(house: House) {
    let [first_pause, longest_pause] = [10, 600].map(Duration::from_secs);
    let lane = Lane { attempts: 9, first_pause, longest_pause, ..Lane::new("mail") };
    let sink = Arc::new(Failing::default());
    send(&house.db, mail(1)).await;
    let mut varied = false;
    for full in [10, 20, 40, 80, 160, 320, 600, 600] {
        let full = Duration::from_secs(full);
        assert_eq!(lane.drain(&house.db, sink.clone()).await.unwrap(), 1);
        let pause = due_in(&house, "mail").await;
        // Some of it has passed since it was put off.
        let least = full.mul_f64(0.8).saturating_sub(Duration::from_secs(5));
        assert!(least <= pause && pause <= full, "{pause:?} of {full:?}");
        varied |= pause < full.mul_f64(0.99);
        assert_eq!(lane.drain(&house.db, sink.clone()).await.unwrap(), 0, "not due before");
        house.pass(full);
    }
    assert!(varied, "eight pauses in a row without a random part");
    assert_eq!(lane.drain(&house.db, sink.clone()).await.unwrap(), 1);
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 1), "the ninth attempt was the last");
    let given = sink.given.lock().unwrap();
    assert!(given.iter().all(|delivery| delivery.id == given[0].id), "always the same id");
    assert_eq!(
        given.iter().map(|delivery| delivery.attempt).collect::<Vec<_>>(),
        (1..=9).collect::<Vec<_>>()
    );
}

async fn a_revocation_overtakes_500_grants_that_wait(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    for n in 0..500 {
        tx.record(made("x").to(door(n)));
    }
    tx.commit().await.unwrap();
    send(&house.db, door("leaver").revoking(true)).await;
    send(&house.db, door(499).revoking(true)).await;
    let first = claim(&house.db, "door", 3).await;
    assert_eq!(first.iter().map(Delivery::subject_id).collect::<Vec<_>>()[..2], ["leaver", "499"]);
    assert_eq!(first[2].priority, 0, "then the grants, the longest waiting first");
}

async fn a_revocation_raises_the_priority_of_what_waits_and_a_grant_does_not_lower_it(house: House) {
    send(&house.db, door(1)).await;
    send(&house.db, door(1).revoking(true)).await;
    send(&house.db, door(1)).await;
    let row = claim_one(&house.db, "door").await;
    assert_eq!((row.priority, row.version), (1, 3));
    complete(&house.db, &row).await;
    send(&house.db, door(1)).await;
    assert_eq!(claim_one(&house.db, "door").await.priority, 0, "done is done: a later grant is a grant");
}

async fn a_claim_of_revocations_only_takes_nothing_else(house: House) {
    send(&house.db, door(1)).await;
    assert!(delivery::claim(&house.db, "door", LEASE, 9, true).await.unwrap().is_empty());
    send(&house.db, door(2).revoking(true)).await;
    let claimed = delivery::claim(&house.db, "door", LEASE, 9, true).await.unwrap();
    assert_eq!(claimed.iter().map(Delivery::subject_id).collect::<Vec<_>>(), ["2"]);
    assert!(delivery::claim(&house.db, "mail", LEASE, 9, false).await.unwrap().is_empty(), "another sink");
}

/// Were it, a lane would look for it all the time in vain.
async fn what_waits_behind_another_is_not_due(house: House) {
    assert_eq!(delivery::next_due(&house.db, "mail").await.unwrap(), None);
    send(&house.db, mail(1)).await;
    send(&house.db, mail(1)).await;
    let first = claim_one(&house.db, "mail").await;
    first.postpone(&house.db, "refused", Duration::from_secs(60), false).await.unwrap();
    let pause = due_in(&house, "mail").await;
    assert!(pause > Duration::from_secs(50), "{pause:?}");
}

async fn a_sweep_makes_a_row_due_without_a_fact(house: House) {
    send(&house.db, door(1)).await;
    let row = claim_one(&house.db, "door").await;
    complete(&house.db, &row).await;
    assert_eq!(delivery::next_due(&house.db, "door").await.unwrap(), None);
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    delivery::hint(&mut tx, door(1), row.fact);
    tx.commit().await.unwrap();
    let swept = claim_one(&house.db, "door").await;
    assert_eq!((swept.id, swept.version), (row.id, row.version + 1));
    assert_eq!(house.facts().await, 1);
}

async fn a_fact_is_read_through_its_delivery(house: House) {
    send(&house.db, mail(1)).await;
    let row = claim_one(&house.db, "mail").await;
    let fact = row.fact(&house.db).await.unwrap().expect("it is there");
    assert_eq!((fact.id, fact.kind.as_str()), (row.fact, "thing.made"));
}

async fn draining_delivers_what_is_due_once(house: House) {
    let lane = Lane { first_pause: Duration::from_secs(60), ..Lane::new("door") };
    let sink = Arc::new(Failing::default());
    for n in 0..40 {
        send(&house.db, door(n)).await;
    }
    assert_eq!(lane.drain(&house.db, sink.clone()).await.unwrap(), 40, "all fail, none is tried twice");
    house.pass(Duration::from_secs(60));
    sink.well.store(true, Ordering::SeqCst);
    assert_eq!(lane.drain(&house.db, sink.clone()).await.unwrap(), 40);
    assert_eq!(lane.drain(&house.db, sink).await.unwrap(), 0);
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 0));
}
