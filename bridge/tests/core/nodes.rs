//! Two processes on one database, each with connectors of its own: no memory guards one against the other.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bridge::configuration::{self, Configuration};
use bridge::connector::AckLevel;
use bridge::facts::{DoorEventSeen, DoorEventsLost, PlacementProven};
use bridge::feed::{Feed, FeedError, Pass};
use bridge::placement::{Door, PointProof, sink_name};
use bridge::receipt;
use directory::credential::Credential;
use directory::declared::Item;
use serde_json::json;
use sim::uhppote::{Controller, ControllerOptions, Misbehaviour};
use store::{Lane, Origin, StoreError, sql};
use tokio::task::JoinHandle;

use crate::hand::{Hand, Stop};
use crate::hours::{call, doors, profile};
use crate::world::{HQ, Node, SERIALS, World, access_profile, number, options, until};

on_every_engine! {
    a_grant_that_comes_late_from_another_node_is_taken_off_again_and_proven_anew,
    a_revocation_that_comes_late_does_not_write_over_a_newer_grant,
    a_change_that_comes_while_another_is_being_made_is_not_missed,
    other_hours_that_come_while_others_are_being_given_are_not_missed,
    both_nodes_read_the_same_events_and_each_is_recorded_once,
    a_page_that_another_node_has_recorded_is_dropped_with_its_gaps_and_moves_no_cursor_back,
    a_cursor_that_two_nodes_cannot_read_is_dropped_once,
    a_look_that_comes_late_does_not_write_over_a_denial_that_was_seen_meanwhile,
}

async fn a_grant_that_comes_late_from_another_node_is_taken_off_again_and_proven_anew(world: World) {
    let slow = world.another_node().await;
    let user = world.hire("ada", "Staff").await;
    world.node.drain_entitlement().await;
    let card = world.card(user).await;
    let hand = Hand::on(slow.connector(), Stop::BeforeApply);
    let late = work(&slow, slow.door_over(hand.clone()));
    hand.reached().await;
    world.set_active(user, false).await;
    world.settle().await;
    let first = world.placement(&card).await;
    assert!(first.is_proven_absent(), "what was intended was found and taken off");
    world.pass(Duration::from_secs(1));
    hand.go_on();
    late.await.unwrap().unwrap();
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let second = world.placement(&card).await;
    assert!(second.is_proven_absent() && second.read_back_at > first.read_back_at, "{second:?}");
    let proven: Vec<PlacementProven> = world.facts().await;
    assert!(proven.iter().all(|fact| fact.wanted == "absent"), "the late grant proves nothing: {proven:?}");
}

/// Has one change made by the slow node, and another come meanwhile; how many looks wait before all others then.
async fn changed_meanwhile(world: &World, slow: &Node, first: Item, second: Item) -> i64 {
    let change = async |profile: Item| {
        world.declare(profile).await;
        let configuration = Arc::new(Configuration::new(world.db().clone()));
        assert_ne!(world.node.drain(configuration::SINK, configuration).await, 0);
    };
    change(first).await;
    let hand = Hand::on(slow.connector(), Stop::AfterApply);
    let late = work(slow, slow.door_over(hand.clone()));
    hand.reached().await;
    change(second).await;
    let text = sql!("SELECT COUNT(*) FROM delivery WHERE sink = 'door:hq' AND priority = 1");
    let (overtaking,): (i64,) = world.one(text).await;
    hand.go_on();
    // The look that follows is stopped as well.
    tokio::select! {
        done = late => assert_ne!(done.unwrap().unwrap(), 0),
        () = async { hand.reached().await; hand.go_on(); pending().await } => {}
    }
    world.settle().await;
    overtaking
}

async fn a_change_that_comes_while_another_is_being_made_is_not_missed(world: World) {
    let slow = world.another_node().await;
    let (_, card) = world.carded("ada", "Staff").await;
    let staff = |points: &[&str]| access_profile("staff", points);
    assert_eq!(changed_meanwhile(&world, &slow, staff(&["main", "yard"]), staff(&["main"])).await, 1);
    assert_eq!(world.opens(&card), Some(vec!["main"]));
}

/// By the doors' names nothing has changed when the second comes.
async fn other_hours_that_come_while_others_are_being_given_are_not_missed(world: World) {
    call(&world, json!({ "office": 2 })).await;
    let slow = world.another_node().await;
    let staff = |schedule: Option<&str>| profile("staff", &[("main", schedule)], &json!({}));
    for (now, meanwhile, main) in [(Some("office"), None, 2), (None, Some("office"), 1)] {
        world.declare(staff(now)).await;
        let (user, card) = world.carded(&format!("ada-{main}"), "Staff").await;
        assert_eq!(doors(&world, &card)[0], main);
        let overtook = changed_meanwhile(&world, &slow, staff(meanwhile), staff(now)).await;
        assert_eq!((overtook, doors(&world, &card)[0]), (1, main), "{meanwhile:?}, then {now:?}");
        world.set_active(user, false).await;
        world.settle().await;
    }
}

async fn a_revocation_that_comes_late_does_not_write_over_a_newer_grant(world: World) {
    let slow = world.another_node().await;
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    let hand = Hand::on(slow.connector(), Stop::AfterRevoke);
    let late = work(&slow, slow.door_over(hand.clone()));
    hand.reached().await;
    world.set_active(user, true).await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    hand.go_on();
    late.await.unwrap().unwrap();
    world.settle().await;
    let placed = world.placement(&card).await;
    assert!(placed.wanted == "present" && placed.is_proven(), "{placed:?}");
    assert_eq!(world.opens(&card), Some(vec!["main"]));
}

async fn both_nodes_read_the_same_events_and_each_is_recorded_once(world: World) {
    let other = world.another_node().await;
    let (_, card) = world.carded("ada", "Staff").await;
    for _ in 0..5 {
        assert!(world.panels[0].swipe(number(&card), 1).granted);
    }
    let (ours, theirs) = (world.node.feed(), other.feed());
    let (ours, theirs) = tokio::join!(ours.read(), theirs.read());
    assert_eq!(ours.unwrap().recorded + theirs.unwrap().recorded, 5);
    assert_eq!(world.facts::<DoorEventSeen>().await.len(), 5);
}

/// How far the events were read.
async fn cursor(world: &World) -> String {
    let (cursor,): (String,) = world.one(sql!("SELECT cursor FROM event_cursor")).await;
    cursor
}

async fn a_page_that_another_node_has_recorded_is_dropped_with_its_gaps_and_moves_no_cursor_back(
    mut world: World,
) {
    let address = world.panels[0].address();
    world.panels[0].stop().await;
    let options = ControllerOptions { bind: address, events: 8, ..options(&world.clock, 0) };
    world.panels[0] = Controller::start(SERIALS[0], options).await.expect("the same port");
    let show = |panel: usize, times: usize| {
        for _ in 0..times {
            assert!(!world.panels[panel].swipe(12_399, 1).granted, "a stranger");
        }
    };
    show(0, 3);
    assert_eq!(world.node.feed().read().await.unwrap().recorded, 3);
    show(0, 12);
    let other = world.another_node().await;
    let hand = Hand::on(other.connector(), Stop::AfterEvents);
    let feed = Feed::new(other.db.clone(), HQ, hand.clone());
    let mut late = tokio::spawn(async move { feed.read().await });
    hand.reached().await;
    show(1, 1);
    assert_eq!(world.node.feed().read().await.unwrap().recorded, 9);
    let before = cursor(&world).await;
    hand.go_on();
    // It reads again from there.
    let late = loop {
        tokio::select! {
            read = &mut late => break read.unwrap().unwrap(),
            () = hand.reached() => hand.go_on(),
        }
    };
    assert_eq!(late.recorded, 0);
    assert_eq!(cursor(&world).await, before);
    let lost: Vec<DoorEventsLost> = world.facts().await;
    let lost: Vec<_> = lost.iter().map(|lost| (lost.from, lost.to)).collect();
    assert_eq!(lost, [(4, Some(7))], "once");
    assert_eq!(world.facts::<DoorEventSeen>().await.len(), 12);
}

async fn a_cursor_that_two_nodes_cannot_read_is_dropped_once(world: World) {
    let other = world.another_node().await;
    world.node.feed().read().await.unwrap();
    let foreign = sql!("UPDATE event_cursor SET cursor = 'of another connector'");
    world.db().change(Origin::system(), foreign, (), vec![]).await.unwrap();
    let (ours, theirs) = (world.node.feed(), other.feed());
    let (ours, theirs) = tokio::join!(ours.read(), theirs.read());
    assert_eq!(ours.unwrap().recorded + theirs.unwrap().recorded, 0);
    assert_eq!(world.facts::<DoorEventsLost>().await.len(), 1);
}

/// Gone from `main`, as was read there and watched since; the yard's panel answers again, and its next look is due.
async fn half_gone(world: &World) -> Credential {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    world.node.feed().read().await.unwrap();
    assert_eq!(levels(world, &card).await, [AckLevel::ReadBack, AckLevel::Recorded]);
    world.panels[1].behave();
    world.pass(Duration::from_secs(61));
    card
}

/// The levels of the doors: `main`, `yard`.
async fn levels(world: &World, card: &Credential) -> Vec<AckLevel> {
    world.placement(card).await.points().values().map(PointProof::level).collect()
}

/// What both have found, each in its own way.
const BOTH: [AckLevel; 2] = [AckLevel::ObservedDenial, AckLevel::ReadBack];

fn work(node: &Node, door: Arc<Door>) -> JoinHandle<Result<usize, StoreError>> {
    let db = node.db.clone();
    tokio::spawn(async move { Lane::new(sink_name(HQ)).drain(&db, door).await })
}

fn read(node: &Node) -> JoinHandle<Result<Pass, FeedError>> {
    let feed = node.feed();
    tokio::spawn(async move { feed.read().await })
}

/// Waits until so many transactions wait for rows that others hold.
async fn waiting(world: &World, transactions: i64) {
    until("they wait for each other", || async {
        let text = sql!(
            "SELECT COUNT(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'"
        );
        let (waiting,): (i64,) = world.one(text).await;
        (waiting >= transactions).then_some(())
    })
    .await;
}

async fn a_look_that_comes_late_does_not_write_over_a_denial_that_was_seen_meanwhile(world: World) {
    let slow = world.another_node().await;
    let card = half_gone(&world).await;
    let hand = Hand::on(slow.connector(), Stop::AfterRevoke);
    let late = work(&slow, slow.door_over(hand.clone()));
    hand.reached().await;
    assert!(!world.panels[0].swipe(number(&card), 1).granted);
    assert_eq!(world.node.feed().read().await.unwrap().recorded, 1);
    assert_eq!(levels(&world, &card).await, [AckLevel::ObservedDenial, AckLevel::Recorded]);
    hand.go_on();
    late.await.unwrap().unwrap();
    assert_eq!(levels(&world, &card).await, BOTH);
}

/// The feed has noted the denial and is about to commit. Whoever only read the row, and took nothing, would not see
/// that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_waits_for_a_denial_that_is_being_noted() {
    let Some(world) = World::postgres().await else { return };
    let other = world.another_node().await;
    let card = half_gone(&world).await;
    assert!(!world.panels[0].swipe(number(&card), 1).granted);
    // What it records is for the receipt, and that is the last thing that it writes.
    let mut held = world.db().write(Origin::system()).await.unwrap();
    let hold = sql!("UPDATE delivery SET due_at = due_at WHERE sink = $1");
    assert_ne!(held.run(hold, (receipt::SINK,)).await.unwrap(), 0);
    let noting = read(&world.node);
    waiting(&world, 1).await;
    let looking = work(&other, other.door());
    waiting(&world, 2).await;
    held.refuse().await.unwrap();
    assert_eq!(noting.await.unwrap().unwrap().recorded, 1);
    looking.await.unwrap().unwrap();
    assert_eq!(levels(&world, &card).await, BOTH);
}

/// The other way round: what the look found is written, and not yet committed, when the feed comes with the denial.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_waits_for_a_look_that_is_being_noted() {
    let Some(world) = World::postgres().await else { return };
    let other = world.another_node().await;
    let card = half_gone(&world).await;
    assert!(!world.panels[0].swipe(number(&card), 1).granted);
    let hand = Hand::on(other.connector(), Stop::AfterRevoke);
    let looking = work(&other, other.door_over(hand.clone()));
    hand.reached().await;
    let mut held = world.db().write(Origin::system()).await.unwrap();
    held.run(sql!("UPDATE delivery SET due_at = due_at WHERE sink = $1"), (sink_name(HQ),)).await.unwrap();
    hand.go_on();
    waiting(&world, 1).await;
    let noting = read(&world.node);
    waiting(&world, 2).await;
    held.refuse().await.unwrap();
    assert_eq!(noting.await.unwrap().unwrap().recorded, 1);
    looking.await.unwrap().unwrap();
    assert_eq!(levels(&world, &card).await, BOTH);
}
