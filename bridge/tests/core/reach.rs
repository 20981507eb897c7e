//! Controllers that do not answer: nothing is lost, somebody is told, and what is proven is told door by door.

use std::time::Duration;

use bridge::alert::{self, watch_revocations};
use bridge::connector::AckLevel;
use bridge::facts::{AlertClosed, AlertOpened, PlacementProven};
use bridge::placement;
use bridge::systems::try_again;
use directory::credential::Credential;
use sim::uhppote::Misbehaviour;
use store::{Origin, sql};

use crate::findings::{ANNEX, Both, value};
use crate::world::{HQ, World, held, number, until};

on_every_engine! {
    a_revocation_stays_queued_and_somebody_is_told_after_thirty_seconds,
    the_alert_closes_when_the_revocation_is_proven,
    one_silent_controller_leaves_its_doors_pending_and_the_others_proven,
    doors_that_were_proven_keep_their_time_when_the_rest_follows,
    a_door_that_a_mover_lost_is_pending_until_it_was_read,
    a_silent_panel_does_not_hide_that_another_refuses,
    a_denial_proves_its_door_although_another_panel_is_silent,
    a_panel_that_says_yes_and_does_nothing_proves_nothing,
    a_door_system_that_is_back_is_tried_at_once,
    at_a_door_system_that_is_back_the_revocations_that_waited_go_before_the_grants,
    a_controller_that_is_back_is_swept_at_once,
    a_controller_that_was_never_away_is_swept_whenever_its_time_has_come,
    a_door_system_that_is_gone_alarms_nobody,
}

async fn a_revocation_stays_queued_and_somebody_is_told_after_thirty_seconds(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.panels[0].stop().await;
    world.panels[1].stop().await;
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main"]), "the panel decides alone");
    let placed = world.placement(&card).await;
    assert_eq!((placed.wanted.as_str(), placed.level()), ("absent", AckLevel::Recorded));
    world.pass(Duration::from_secs(25));
    watch_revocations(world.db()).await.unwrap();
    assert!(alert::open_alerts(world.db()).await.unwrap().is_empty(), "not yet");
    world.pass(Duration::from_secs(6));
    for _ in 0..3 {
        watch_revocations(world.db()).await.unwrap();
    }
    let open = alert::open_alerts(world.db()).await.unwrap();
    assert_eq!(
        (open.len(), open[0].kind.as_str(), open[0].subject.as_str()),
        (1, alert::REVOCATION_WAITS, "door_system:hq")
    );
    let told: Vec<AlertOpened> = world.facts().await;
    assert_eq!(told.len(), 1);
    assert!(
        told[0].detail.starts_with("1 revocation(s) wait for this door system since "),
        "{}",
        told[0].detail
    );
    let receipt = world.receipt(user).await.unwrap();
    assert!(!receipt.complete && receipt.doors[0].status == "pending", "{receipt:?}");
    assert!(receipt.doors[0].sent_at.is_some() && receipt.doors[0].accepted_at.is_none(), "{receipt:?}");
    assert_eq!(receipt.exposure.len(), 3, "{receipt:?}");
    assert!(receipt.exposure[1].what.ends_with("at main (hq)"), "{receipt:?}");
    assert_eq!(receipt.exposure[1].until, "until the panel can be reached again");
    assert!(
        receipt.exposure[2].what.contains("supervisor passcode"),
        "what opens past every list: {receipt:?}"
    );
}

async fn the_alert_closes_when_the_revocation_is_proven(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.panels[0].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    world.pass(Duration::from_secs(31));
    watch_revocations(world.db()).await.unwrap();
    world.panels[0].behave();
    watch_revocations(world.db()).await.unwrap();
    assert_eq!(alert::open_alerts(world.db()).await.unwrap().len(), 1, "back is not yet proven");
    world.settle().await;
    watch_revocations(world.db()).await.unwrap();
    assert!(alert::open_alerts(world.db()).await.unwrap().is_empty());
    assert_eq!(world.facts::<AlertClosed>().await.len(), 1);
    assert!(world.placement(&card).await.is_proven_absent());
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.complete && receipt.doors[0].latency_ms >= Some(31_000), "{receipt:?}");
    assert!(receipt.doors[0].attempts >= 2, "{receipt:?}");
}

async fn one_silent_controller_leaves_its_doors_pending_and_the_others_proven(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["yard"]));
    let receipt = world.receipt(user).await.unwrap();
    assert!(!receipt.complete);
    let doors: Vec<_> = receipt
        .doors
        .iter()
        .map(|door| (door.access_point.as_str(), door.level, door.status.as_str()))
        .collect();
    assert_eq!(doors, [("main", AckLevel::ReadBack, "revoked"), ("yard", AckLevel::Recorded, "pending")]);
    assert_eq!(receipt.exposure.len(), 3);
    assert!(receipt.exposure[1].what.ends_with("at yard (hq)"), "{receipt:?}");
    assert!(!world.placement(&card).await.is_proven_absent(), "the whole is not proven");
    let proven: Vec<PlacementProven> = world.facts().await;
    let last = proven.iter().find(|fact| fact.wanted == "absent").unwrap();
    assert_eq!(
        (last.access_points.as_slice(), last.missing.as_slice()),
        (&["main".into()][..], &["yard".into()][..])
    );
}

async fn doors_that_were_proven_keep_their_time_when_the_rest_follows(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    let half = world.receipt(user).await.unwrap();
    for _ in 0..3 {
        world.pass(Duration::from_secs(90));
        world.settle().await;
    }
    assert_eq!(world.receipt(user).await.unwrap().revision, half.revision, "nothing new was proven");
    world.panels[1].behave();
    world.pass(Duration::from_secs(90));
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let whole = world.receipt(user).await.unwrap();
    assert!(whole.complete && whole.revision == half.revision + 1, "{whole:?}");
    assert_eq!(whole.doors[0].read_back_at, half.doors[0].read_back_at);
    assert!(whole.doors[1].read_back_at > whole.doors[0].read_back_at);
    assert_eq!(whole.exposure.len(), 2, "only what no list can reach");
}

async fn a_panel_that_says_yes_and_does_nothing_proves_nothing(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.panels[0].misbehave(Misbehaviour::ForgetWrites);
    world.set_active(user, false).await;
    world.settle().await;
    let placed = world.placement(&card).await;
    assert_eq!(placed.level(), AckLevel::Accepted, "{placed:?}");
    let receipt = world.receipt(user).await.unwrap();
    assert_eq!((receipt.complete, receipt.doors[0].status.as_str()), (false, "pending"));
    assert_eq!(
        (receipt.doors[0].level, receipt.doors[0].level_words.as_str()),
        (AckLevel::Accepted, "accepted")
    );
    assert!(world.panels[0].swipe(number(&card), 1).granted, "it does open");
}

async fn a_door_system_that_is_back_is_tried_at_once(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.panels[0].misbehave(Misbehaviour::Silent);
    world.panels[1].misbehave(Misbehaviour::Silent);
    let working = world.node.run();
    world.set_active(user, false).await;
    // Some attempts later the pause is long.
    until("some attempts", || async {
        let (attempt,): (i64,) =
            world.one(store::sql!("SELECT MAX(attempt) FROM delivery WHERE sink = 'door:hq'")).await;
        (attempt >= 2).then_some(())
    })
    .await;
    world.panels.iter().for_each(sim::uhppote::Controller::behave);
    until("it is proven", || async { world.placement(&card).await.is_proven_absent().then_some(()) }).await;
    working.stop().await;
    assert_eq!(try_again(world.db(), HQ).await.unwrap(), 0, "nothing waits");
}

/// How many grants a log holds before the last of these cards was taken off for the first time.
fn granted_before<T>(
    log: &[T],
    is_grant: impl Fn(&T) -> bool,
    takes_off: impl Fn(&T, &Credential) -> bool,
    gone: &[Credential],
) -> usize {
    let first =
        |card: &Credential| log.iter().position(|seen| takes_off(seen, card)).expect("it is taken off");
    let last = gone.iter().map(first).max().expect("somebody left");
    log[..last].iter().filter(|seen| is_grant(seen)).count()
}

/// Fifty joiners and, after them, five leavers at the door systems of both makers, while neither answers.
async fn at_a_door_system_that_is_back_the_revocations_that_waited_go_before_the_grants(world: World) {
    let both = Both::open(world).await;
    let world = &both.world;
    let (mut leavers, mut gone) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let (user, card) = both.carded(&format!("leaver{n}")).await;
        leavers.push(user);
        gone.push(card);
    }
    for n in 0..50 {
        world.hire(&format!("joiner{n}"), "Staff").await;
    }
    world.node.drain_entitlement().await;
    world.panels.iter().for_each(|panel| panel.misbehave(Misbehaviour::Silent));
    both.device.misbehave(sim::controlid::Misbehaviour::Cut);
    for user in leavers {
        world.set_active(user, false).await;
    }
    let working = world.node.run();
    until("each has failed", || async {
        let failed: (i64, i64) = world
            .one(sql!(
                "SELECT COUNT(*) FILTER (WHERE priority > 0), COUNT(*) FILTER (WHERE priority = 0) FROM delivery \
                 WHERE sink IN ('door:hq', 'door:annex') AND due_at IS NOT NULL AND last_error IS NOT NULL"
            ))
            .await;
        (failed == (10, 100)).then_some(())
    })
    .await;
    working.stop().await;
    // Some attempts later the pauses are long: nothing is tried because it is its turn.
    let later = sql!("UPDATE delivery SET due_at = due_at + 50000 WHERE last_error IS NOT NULL");
    world.db().change(Origin::system(), later, (), vec![]).await.unwrap();
    for panel in &world.panels {
        panel.forget_requests();
        panel.behave();
    }
    both.device.forget_requests();
    both.device.behave();
    let working = world.node.run();
    for card in &gone {
        for at in [HQ, ANNEX] {
            until("it is proven", || async {
                let placed = placement::get(world.db(), at, card.id).await.unwrap().expect("a placement");
                placed.is_proven_absent().then_some(())
            })
            .await;
        }
    }
    working.stop().await;
    // No more than a lane has places: those may have been under way.
    let at_panel = granted_before(
        &world.panels[0].requests(),
        |seen| seen.operation == 0x50,
        |seen, card| seen.operation == 0x52 && seen.card == Some(number(card)),
        &gone,
    );
    assert!(at_panel <= 5, "{at_panel} grants went first at the controller");
    let at_device = granted_before(
        &both.device.requests(),
        |seen| seen.path == "/create_objects.fcgi" && seen.body["object"] == "cards",
        |seen, card| {
            seen.path == "/destroy_objects.fcgi" && seen.body["where"]["cards"]["value"][0] == value(card)
        },
        &gone,
    );
    assert!(at_device <= 5, "{at_device} grants went first at the device");
}

/// What somebody put in while nobody could look is found long before the next sweep is due.
async fn a_controller_that_is_back_is_swept_at_once(world: World) {
    let working = world.node.run();
    // How it is is asked when a sweep has ended.
    let asked = |operation: u8| {
        world.panels[0].requests().iter().any(|seen| seen.operation == operation).then_some(())
    };
    until("the sweep at the start", || async { asked(0x5c) }).await;
    until("its end", || async { asked(0x94) }).await;
    world.panels[0].misbehave(Misbehaviour::Silent);
    // Time enough to find out that it is silent.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(world.panels[0].plant(held(4_200_001, [1, 0, 0, 0])));
    world.panels[0].behave();
    until("somebody is told", || async {
        let open = alert::open_of_kind(world.db(), alert::ORPHAN).await.unwrap();
        (open.len() == 1).then_some(())
    })
    .await;
    working.stop().await;
}

async fn a_controller_that_was_never_away_is_swept_whenever_its_time_has_come(world: World) {
    let working = world.node.run_sweeping_every(Duration::from_secs(1));
    for (n, card) in (4_200_001..=4_200_003).enumerate() {
        assert!(world.panels[0].plant(held(card, [1, 0, 0, 0])));
        until("somebody is told", || async {
            let open = alert::open_of_kind(world.db(), alert::ORPHAN).await.unwrap();
            (open.len() == n + 1).then_some(())
        })
        .await;
    }
    working.stop().await;
}

async fn a_door_system_that_is_gone_alarms_nobody(world: World) {
    let address =
        store::Address::reconcile("door:gone", kernel::Subject::new("credential", "x")).revoking(true);
    let fact = kernel::id::FactId::new(world.db().ctx());
    crate::world::in_tx(world.db(), async |tx| {
        store::delivery::hint(tx, address, fact);
        Ok(())
    })
    .await;
    world.pass(Duration::from_secs(60));
    watch_revocations(world.db()).await.unwrap();
    assert!(alert::open_alerts(world.db()).await.unwrap().is_empty());
}

/// The yard's panel is silent when the mover loses it, and still when the mover leaves.
async fn a_door_that_a_mover_lost_is_pending_until_it_was_read(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.move_to(user, "Staff").await;
    world.settle().await;
    let points: Vec<String> = world.placement(&card).await.points().keys().map(ToString::to_string).collect();
    assert_eq!(points, ["main", "yard"], "it still opens the yard");
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["yard"]));
    let receipt = world.receipt(user).await.unwrap();
    let doors: Vec<_> =
        receipt.doors.iter().map(|door| (door.access_point.as_str(), door.status.as_str())).collect();
    assert_eq!((receipt.complete, doors), (false, vec![("main", "revoked"), ("yard", "pending")]));
    assert!(receipt.exposure.iter().any(|exposure| exposure.what.ends_with("at yard (hq)")), "{receipt:?}");
    world.panels[1].behave();
    world.pass(Duration::from_secs(61));
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.complete && receipt.doors.len() == 2, "{receipt:?}");
}

async fn a_silent_panel_does_not_hide_that_another_refuses(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.panels[0].misbehave(Misbehaviour::RefusePuts);
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.move_to(user, "Research").await;
    world.settle().await;
    assert_eq!(world.opens(&card), None, "better no door than the lost one");
    let open = alert::open_alerts(world.db()).await.unwrap();
    assert!(open.iter().any(|alert| alert.kind == alert::CANNOT_HOLD), "{open:?}");
}

async fn a_denial_proves_its_door_although_another_panel_is_silent(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    world.node.feed().read().await.unwrap();
    assert!(!world.panels[0].swipe(number(&card), 1).granted);
    world.node.feed().read().await.unwrap();
    world.settle().await;
    let levels = |receipt: bridge::receipt::Receipt| -> Vec<AckLevel> {
        receipt.doors.iter().map(|door| door.level).collect()
    };
    let half = world.receipt(user).await.unwrap();
    assert_eq!(levels(half), [AckLevel::ObservedDenial, AckLevel::Recorded]);
    // What was seen stays when the rest follows.
    world.panels[1].behave();
    world.pass(Duration::from_secs(61));
    world.settle().await;
    assert_eq!(levels(world.receipt(user).await.unwrap()), [AckLevel::ObservedDenial, AckLevel::ReadBack]);
}
