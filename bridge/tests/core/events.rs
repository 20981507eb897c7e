//! What happened at the doors, and which denials prove that a revocation reached one.

use std::sync::Arc;
use std::time::Duration;

use bridge::alert;
use bridge::connector::{AckLevel, Connector as _, DeniedReason, DoorEvent, EventKind};
use bridge::facts::{
    AlertClosed, AlertOpened, DeviationFound, DoorEventSeen, DoorEventsLost, PlacementProven,
};
use bridge::feed::Feed;
use directory::credential::Credential;
use kernel::id::UserId;
use sim::uhppote::{Card as Held, Controller, ControllerOptions, Misbehaviour, reason};
use store::sql;
use tokio::sync::{Notify, watch};

use crate::findings::{ANNEX, Both, DEVICE, strangers_value};
use crate::hand::Hand;
use crate::world::{HQ, SERIALS, World, door_system, held, number, options, until};

on_every_engine! {
    a_denial_after_the_proof_of_absence_raises_the_door_to_a4,
    a_denial_from_before_the_revocation_that_is_read_after_it_proves_nothing,
    a_denial_that_may_be_from_before_proves_nothing_and_the_next_one_does,
    a_panel_whose_clock_is_off_changes_nothing_of_it,
    a_denial_proves_its_own_door_only,
    a_denial_at_a_door_that_the_card_never_opened_proves_nothing,
    a_denial_for_another_reason_proves_nothing,
    a_door_that_knows_a_revoked_card_has_it_taken_off_again,
    a_card_outside_its_hours_is_on_the_list_and_is_taken_off_again,
    a_panel_that_was_replaced_tells_of_another_time,
    what_a_panel_has_written_over_is_told_from_its_first_number_to_its_last,
    what_another_makers_device_has_written_over_is_told_from_its_first_number_to_its_last,
    events_are_facts_with_their_card_and_person_and_each_is_recorded_once,
    a_pushed_denial_leads_to_an_edition_of_the_receipt,
    a_cursor_that_the_connector_cannot_read_is_dropped_and_what_was_missed_is_told,
    a_door_whose_events_stay_unread_is_an_alert_until_they_are_read_however_well_its_panel_is,
}

/// A leaver whose absence was proven. Nobody has read events yet.
async fn left(world: &World) -> (UserId, Credential) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.set_active(user, false).await;
    world.settle().await;
    (user, card)
}

/// Shows the card at a door, where it must be denied for this reason.
fn denied(world: &World, card: &Credential, (panel, door): (usize, u8), because: u8) {
    let swipe = world.panels[panel].swipe(number(card), door);
    assert_eq!((swipe.granted, swipe.reason), (false, because));
}

const MAIN: (usize, u8) = (0, 1);
const LAB: (usize, u8) = (0, 2);
const YARD: (usize, u8) = (1, 1);

async fn read(world: &World) -> usize {
    world.node.feed().read().await.expect("the panels answer").recorded
}

/// The levels of the doors: `main`, `yard`.
async fn levels(world: &World, card: &Credential) -> Vec<AckLevel> {
    world.placement(card).await.points().values().map(bridge::placement::PointProof::level).collect()
}

async fn a_denial_after_the_proof_of_absence_raises_the_door_to_a4(world: World) {
    let (user, card) = left(&world).await;
    let before = world.receipt(user).await.unwrap();
    read(&world).await;
    denied(&world, &card, MAIN, reason::UNKNOWN);
    denied(&world, &card, YARD, reason::UNKNOWN);
    assert_eq!(read(&world).await, 2);
    assert_eq!(levels(&world, &card).await, [AckLevel::ObservedDenial; 2]);
    assert_eq!(world.placement(&card).await.level(), AckLevel::ObservedDenial);
    world.settle().await;
    let after = world.receipt(user).await.unwrap();
    assert_eq!(after.revision, before.revision + 1);
    assert!(after.doors.iter().all(|door| door.level == AckLevel::ObservedDenial), "{after:?}");
    assert_eq!(after.doors[0].read_back_at, before.doors[0].read_back_at, "the first proof stands");
    // Once is enough.
    denied(&world, &card, MAIN, reason::UNKNOWN);
    read(&world).await;
    world.settle().await;
    assert_eq!(world.receipt(user).await.unwrap().revision, after.revision);
}

async fn a_denial_from_before_the_revocation_that_is_read_after_it_proves_nothing(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    // Somebody takes the card off by hand, it is denied at a door that it should open, and is put back.
    let list = world.panels[0].cards().into_iter().find(|held| held.number == number(&card)).unwrap();
    assert!(world.panels[0].uproot(number(&card)));
    denied(&world, &card, MAIN, reason::UNKNOWN);
    assert!(world.panels[0].plant(list));
    denied(&world, &card, LAB, reason::NO_RIGHT);
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(read(&world).await, 2, "read in the same pass that begins after the proof");
    assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack; 2]);
    denied(&world, &card, MAIN, reason::UNKNOWN);
    read(&world).await;
    assert_eq!(levels(&world, &card).await, [AckLevel::ObservedDenial, AckLevel::ReadBack]);
}

async fn a_denial_that_may_be_from_before_proves_nothing_and_the_next_one_does(world: World) {
    let (_, card) = left(&world).await;
    denied(&world, &card, MAIN, reason::UNKNOWN);
    read(&world).await;
    assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack; 2]);
    denied(&world, &card, MAIN, reason::UNKNOWN);
    read(&world).await;
    assert_eq!(levels(&world, &card).await, [AckLevel::ObservedDenial, AckLevel::ReadBack]);
}

async fn a_panel_whose_clock_is_off_changes_nothing_of_it(mut world: World) {
    for seconds in [-7_200, 7_200] {
        let address = world.panels[0].address();
        world.panels[0].stop().await;
        let options = ControllerOptions { bind: address, ..options(&world.clock, seconds) };
        world.panels[0] = Controller::start(SERIALS[0], options).await.expect("the same port");
        let (user, card) = world.carded(&format!("ada{seconds}"), "Staff").await;
        denied(&world, &card, LAB, reason::NO_RIGHT);
        assert!(world.panels[0].uproot(number(&card)));
        denied(&world, &card, MAIN, reason::UNKNOWN);
        world.set_active(user, false).await;
        world.settle().await;
        // A panel that began to count anew is watched from the next whole reading on.
        read(&world).await;
        read(&world).await;
        assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack], "{seconds} s off, before");
        denied(&world, &card, MAIN, reason::UNKNOWN);
        read(&world).await;
        assert_eq!(levels(&world, &card).await, [AckLevel::ObservedDenial], "{seconds} s off, after");
    }
}

async fn a_denial_proves_its_own_door_only(world: World) {
    let (user, card) = left(&world).await;
    read(&world).await;
    denied(&world, &card, YARD, reason::UNKNOWN);
    read(&world).await;
    assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack, AckLevel::ObservedDenial]);
    assert_eq!(world.placement(&card).await.level(), AckLevel::ReadBack, "the least proven door counts");
    world.settle().await;
    let receipt = world.receipt(user).await.unwrap();
    let shown: Vec<_> = receipt.doors.iter().map(|door| (door.access_point.as_str(), door.level)).collect();
    assert_eq!(shown, [("main", AckLevel::ReadBack), ("yard", AckLevel::ObservedDenial)]);
}

async fn a_denial_at_a_door_that_the_card_never_opened_proves_nothing(world: World) {
    let (_, card) = left(&world).await;
    read(&world).await;
    denied(&world, &card, LAB, reason::UNKNOWN);
    assert_eq!(read(&world).await, 1);
    assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack; 2]);
    let proven: Vec<PlacementProven> = world.facts().await;
    assert!(proven.iter().all(|fact| fact.level == AckLevel::ReadBack), "{proven:?}");
}

async fn a_denial_for_another_reason_proves_nothing(world: World) {
    let (_, card) = left(&world).await;
    read(&world).await;
    let before = world.facts::<PlacementProven>().await.len();
    // A wrong PIN and an interlock would have met a valid card, too.
    for (index, reason) in [(1, DeniedReason::InvalidPin), (2, DeniedReason::Other)] {
        let event = DoorEvent {
            id: format!("told/{index}"),
            index,
            kind: EventKind::Denied(reason),
            at: None,
            access_point: Some("main".into()),
            direction: None,
            card: Some(format!("h10301:{}:{}", card.facility, card.number).parse().unwrap()),
            vendor: String::new(),
        };
        let teller = Hand::telling(world.node.connector(), event);
        assert_eq!(Feed::new(world.db().clone(), HQ, teller).read().await.unwrap().recorded, 1);
    }
    assert_eq!(world.facts::<PlacementProven>().await.len(), before);
    assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack; 2]);
}

async fn a_door_that_knows_a_revoked_card_has_it_taken_off_again(world: World) {
    let (user, card) = left(&world).await;
    read(&world).await;
    let first = world.receipt(user).await.unwrap();
    assert!(world.panels[0].plant(held(number(&card), [1, 0, 0, 0])));
    assert!(world.panels[0].swipe(number(&card), 1).granted, "somebody put it back");
    read(&world).await;
    world.node.drain_receipts().await;
    let shaken = world.receipt(user).await.unwrap();
    assert!(!shaken.complete && shaken.doors.iter().all(|door| door.status == "pending"), "{shaken:?}");
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let again = world.receipt(user).await.unwrap();
    assert!(again.complete && again.doors[0].read_back_at > first.doors[0].read_back_at, "{again:?}");
    let found: Vec<DeviationFound> = world.facts().await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].finding.as_str(), found[0].credential), ("opened", Some(card.id)));
}

async fn a_card_outside_its_hours_is_on_the_list_and_is_taken_off_again(world: World) {
    let (_, card) = left(&world).await;
    read(&world).await;
    let day = jiff::civil::date(2001, 1, 1);
    let expired = Held { to: day, ..held(number(&card), [1, 0, 0, 0]) };
    assert!(world.panels[0].plant(expired));
    denied(&world, &card, MAIN, reason::NOT_NOW);
    read(&world).await;
    assert!(!world.placement(&card).await.is_proven_absent(), "a denial, and the opposite of a proof");
    world.settle().await;
    assert!(world.placement(&card).await.is_proven_absent());
    assert!(world.panels[0].cards().is_empty());
}

async fn a_panel_that_was_replaced_tells_of_another_time(mut world: World) {
    let (_, card) = left(&world).await;
    denied(&world, &card, LAB, reason::UNKNOWN);
    read(&world).await;
    assert!(world.placement(&card).await.watched_at.is_some());
    let address = world.panels[0].address();
    world.panels[0].stop().await;
    let options = ControllerOptions { bind: address, ..options(&world.clock, -86_400) };
    world.panels[0] = Controller::start(SERIALS[0], options).await.expect("the same port");
    // The log that came with it: a day old.
    for _ in 0..100 {
        denied(&world, &card, MAIN, reason::UNKNOWN);
    }
    read(&world).await;
    assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack; 2]);
    let lost: Vec<DoorEventsLost> = world.facts().await;
    assert!(lost.len() == 1 && lost[0].to.is_none(), "{lost:?}");
    // Only a pass that begins after the old log was read marks the way again.
    read(&world).await;
    denied(&world, &card, MAIN, reason::UNKNOWN);
    read(&world).await;
    assert_eq!(levels(&world, &card).await, [AckLevel::ObservedDenial, AckLevel::ReadBack]);
}

/// The numbers that were lost, as the journal says. What follows in one numbering is no other time.
async fn lost(world: &World) -> Vec<(String, String, u64, Option<u64>)> {
    let told: Vec<DoorEventsLost> = world.facts().await;
    assert_eq!(world.one::<(i64,)>(sql!("SELECT COUNT(*) FROM event_restart")).await, (0,));
    told.into_iter().map(|lost| (lost.door_system, lost.unit, lost.from, lost.to)).collect()
}

async fn what_a_panel_has_written_over_is_told_from_its_first_number_to_its_last(mut world: World) {
    let address = world.panels[0].address();
    world.panels[0].stop().await;
    let options = ControllerOptions { bind: address, events: 8, ..options(&world.clock, 0) };
    world.panels[0] = Controller::start(SERIALS[0], options).await.expect("the same port");
    let show = |times: usize| {
        for _ in 0..times {
            assert!(!world.panels[0].swipe(12_399, 1).granted, "a stranger");
        }
    };
    show(3);
    assert_eq!(read(&world).await, 3);
    show(8);
    assert_eq!((read(&world).await, lost(&world).await), (8, vec![]), "as many as it keeps");
    show(20);
    assert_eq!(read(&world).await, 8);
    let expect = [(HQ.to_owned(), SERIALS[0].to_string(), 12, Some(23))];
    assert_eq!(lost(&world).await, expect);
    assert_eq!(read(&world).await, 0);
    assert_eq!(lost(&world).await, expect, "once");
}

async fn what_another_makers_device_has_written_over_is_told_from_its_first_number_to_its_last(world: World) {
    let both = Both::with(world, |options| options.logs = 8).await;
    let feed = Feed::new(both.world.db().clone(), ANNEX, both.connector(ANNEX));
    assert!(both.device.plant(strangers_value()));
    let show = async |times: usize| {
        for _ in 0..times {
            assert!(both.device.swipe(1, strangers_value()).await.log.is_some());
        }
    };
    show(3).await;
    assert_eq!(feed.read().await.unwrap().recorded, 3);
    show(8).await;
    assert_eq!(feed.read().await.unwrap().recorded, 8);
    assert!(lost(&both.world).await.is_empty(), "as many as it keeps");
    show(20).await;
    assert_eq!(feed.read().await.unwrap().recorded, 8);
    let expect = [(ANNEX.to_owned(), DEVICE.to_string(), 12, Some(23))];
    assert_eq!(lost(&both.world).await, expect);
    assert_eq!(feed.read().await.unwrap().recorded, 0);
    assert_eq!(lost(&both.world).await, expect, "once");
}

async fn events_are_facts_with_their_card_and_person_and_each_is_recorded_once(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    assert!(world.panels[0].swipe(number(&card), 1).granted);
    assert!(!world.panels[0].swipe(12_399, 1).granted, "a stranger");
    assert_eq!(read(&world).await, 2);
    assert_eq!(read(&world).await, 0);
    let mut seen: Vec<DoorEventSeen> = world.facts().await;
    seen.sort_by_key(|seen| seen.event.index);
    assert_eq!((seen[0].credential, seen[0].user), (Some(card.id), Some(user)));
    assert_eq!(seen[0].event.kind, EventKind::AccessGranted);
    assert_eq!((seen[1].credential, seen[1].user), (None, None));
    // Somebody forgot how far we were: everything is read again, and nothing recorded twice.
    world.db().change(store::Origin::system(), sql!("DELETE FROM event_cursor"), (), vec![]).await.unwrap();
    assert_eq!(read(&world).await, 0);
    assert_eq!(world.facts::<DoorEventSeen>().await.len(), 2);
}

async fn a_pushed_denial_leads_to_an_edition_of_the_receipt(world: World) {
    let ear = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    world.declare(door_system(&world.panels, &serde_json::json!({"listen": ear}))).await;
    world.reload().await;
    let (user, card) = left(&world).await;
    let working = world.node.run();
    until("a watched placement", || async { world.placement(&card).await.watched_at }).await;
    until("the panel pushes to us", || async {
        let connector = world.node.connector();
        connector.health().await.is_well().then_some(())
    })
    .await;
    denied(&world, &card, MAIN, reason::UNKNOWN);
    until("a receipt at A4", || async {
        let receipt = world.receipt(user).await?;
        (receipt.doors[0].level == AckLevel::ObservedDenial).then_some(())
    })
    .await;
    working.stop().await;
}

async fn a_cursor_that_the_connector_cannot_read_is_dropped_and_what_was_missed_is_told(world: World) {
    let (_, card) = left(&world).await;
    read(&world).await;
    let foreign = sql!("UPDATE event_cursor SET cursor = 'of another connector'");
    world.db().change(store::Origin::system(), foreign, (), vec![]).await.unwrap();
    denied(&world, &card, MAIN, reason::UNKNOWN);
    assert_eq!(read(&world).await, 1, "reading goes on");
    assert_eq!(levels(&world, &card).await, [AckLevel::ReadBack; 2], "it may be from any time");
    let lost: Vec<DoorEventsLost> = world.facts().await;
    assert!(lost.len() == 1 && lost[0].to.is_none(), "{lost:?}");
    read(&world).await;
    denied(&world, &card, MAIN, reason::UNKNOWN);
    read(&world).await;
    assert_eq!(levels(&world, &card).await, [AckLevel::ObservedDenial, AckLevel::ReadBack]);
}

/// The doors whose events are unread, as somebody was told.
async fn unread(world: &World) -> Vec<String> {
    let open = alert::open_of_kind(world.db(), alert::EVENTS_UNREAD).await.unwrap();
    open.into_iter().map(|open| open.subject).collect()
}

/// Lets some passes go by. What one has to say is said when another one has recorded something.
async fn passes(world: &World, look: &Notify) {
    for _ in 0..2 {
        let before = world.facts::<DoorEventSeen>().await.len();
        assert!(!world.panels[0].swipe(12_399, 1).granted, "a stranger");
        until("it is recorded", || async {
            look.notify_one();
            (world.facts::<DoorEventSeen>().await.len() > before).then_some(())
        })
        .await;
    }
}

async fn told(world: &World, look: &Notify, expect: &[&str]) {
    until("they and no others are told", || async {
        look.notify_one();
        (unread(world).await == expect).then_some(())
    })
    .await;
}

async fn a_door_whose_events_stay_unread_is_an_alert_until_they_are_read_however_well_its_panel_is(
    world: World,
) {
    let hand = Hand::deaf(world.node.connector());
    assert!(hand.health().await.is_well());
    let look = Arc::new(Notify::new());
    let feed = Feed::new(world.db().clone(), HQ, hand.clone()).between(look.clone(), Arc::default());
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(feed.run(stopped));
    passes(&world, &look).await;
    world.pass(Duration::from_secs(200));
    passes(&world, &look).await;
    assert_eq!(unread(&world).await, [""; 0], "not yet");
    world.pass(Duration::from_secs(101));
    told(&world, &look, &["access_point:yard"]).await;
    let opened: Vec<AlertOpened> = world.facts().await;
    assert!(opened.len() == 1 && opened[0].detail.contains("a row of its log is no event"), "{opened:?}");
    passes(&world, &look).await;
    assert_eq!(world.facts::<AlertOpened>().await.len(), 1, "once");
    hand.hear();
    told(&world, &look, &[]).await;
    assert_eq!(world.facts::<AlertClosed>().await.len(), 1);
    // When nothing can be read at all, it is so of every door.
    world.panels.iter().for_each(|panel| panel.misbehave(Misbehaviour::Silent));
    until("they are all told", || async {
        world.pass(Duration::from_secs(60));
        look.notify_one();
        (unread(&world).await.len() == 3).then_some(())
    })
    .await;
    stop.send_replace(true);
    running.await.unwrap();
}
