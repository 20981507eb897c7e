//! What a door system holds and should not, or should and does not.

use std::sync::Arc;

use bridge::alert;
use bridge::connector::Connector;
use bridge::exposure;
use bridge::facts::{AlertClosed, AlertOpened, DeviationFound};
use bridge::placement;
use bridge::sweep::{Findings, SweepError, sweep};
use directory::credential::Credential;
use sim::uhppote::Misbehaviour;

use crate::hand::Hand;
use crate::world::{HQ, World, held, number};

on_every_engine! {
    what_is_as_it_should_be_is_left_alone,
    a_leaver_who_was_put_back_by_hand_is_taken_off_and_proven_anew,
    a_leaver_who_was_never_placed_by_us_is_taken_off_and_proven,
    a_card_that_somebody_took_off_is_put_back,
    a_card_with_other_rights_or_a_pin_is_put_right,
    a_card_on_only_one_of_its_controllers_is_put_right,
    a_strangers_card_is_reported_once_and_closed_when_it_is_gone,
    what_cannot_be_read_is_neither_a_ghost_nor_a_drift,
    a_card_that_cannot_be_read_again_hides_no_other,
    ten_cards_in_a_row_that_cannot_be_read_again_end_a_sweep,
    what_the_reconciler_has_yet_to_look_at_is_left_to_it,
    a_mover_whose_hint_was_lost_is_found_and_put_right,
    a_joiner_whose_hint_was_lost_is_found_and_put_there,
}

fn found(leavers: usize, orphans: usize, ghosts: usize, drifted: usize) -> [usize; 4] {
    [leavers, orphans, ghosts, drifted]
}

fn counts(findings: &Findings) -> [usize; 4] {
    found(findings.leavers, findings.orphans, findings.ghosts, findings.drifted)
}

async fn reported(world: &World) -> Vec<String> {
    world.facts::<DeviationFound>().await.into_iter().map(|fact| fact.finding).collect()
}

async fn what_is_as_it_should_be_is_left_alone(world: World) {
    world.carded("ada", "Grounds").await;
    let (bo, _) = world.carded("bo", "Staff").await;
    world.set_active(bo, false).await;
    world.settle().await;
    let findings = world.sweep().await;
    assert_eq!((findings.listed, findings.deviations(), findings.unread), (1, 0, 0));
    assert_eq!(world.node.drain_door().await, 0);
}

async fn a_leaver_who_was_put_back_by_hand_is_taken_off_and_proven_anew(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    let (first, receipt) = (world.placement(&card).await, world.receipt(user).await.unwrap());
    world.pass(std::time::Duration::from_secs(60));
    assert!(world.panels[1].plant(held(number(&card), [1, 0, 0, 0])));
    assert_eq!(counts(&world.sweep().await), found(1, 0, 0, 0));
    assert!(!world.placement(&card).await.is_proven(), "what was proven is proven no more");
    world.settle().await;
    assert_eq!(world.opens(&card), None);
    let second = world.placement(&card).await;
    assert!(second.is_proven_absent() && second.requested_at > first.read_back_at.unwrap(), "{second:?}");
    let points: Vec<String> = second.points().keys().map(ToString::to_string).collect();
    assert_eq!(points, ["main", "yard"], "the door that it opened, and the one where it was found");
    let again = world.receipt(user).await.unwrap();
    assert!(again.complete && again.revision > receipt.revision, "{again:?}");
    assert_eq!(reported(&world).await, ["leaver"]);
    assert_eq!(counts(&world.sweep().await), found(0, 0, 0, 0));
}

async fn a_leaver_who_was_never_placed_by_us_is_taken_off_and_proven(world: World) {
    for (name, planted, doors) in [
        ("ada", [0, 1, 0, 0], &["lab"][..]),
        // A door that the configuration does not name: no other is known to be free of it.
        ("bo", [0, 0, 1, 0], &["lab", "main", "yard"]),
    ] {
        let user = world.hire(name, "Staff").await;
        world.node.drain_entitlement().await;
        let card = world.card(user).await;
        world.set_active(user, false).await;
        world.settle().await;
        assert!(world.placed(&card).await.is_none(), "{name}");
        assert!(world.panels[0].plant(held(number(&card), planted)));
        assert_eq!(counts(&world.sweep().await), found(1, 0, 0, 0), "{name}");
        world.node.drain_receipts().await;
        assert!(!world.receipt(user).await.unwrap().complete, "{name}: it stands there still");
        world.settle().await;
        assert_eq!(world.opens(&card), None, "{name}");
        assert!(world.placement(&card).await.is_proven_absent(), "{name}");
        let receipt = world.receipt(user).await.unwrap();
        let proven: Vec<&str> = receipt.doors.iter().map(|door| door.access_point.as_str()).collect();
        assert_eq!((receipt.complete, &proven[..]), (true, doors), "{name}");
        assert_eq!(counts(&world.sweep().await), found(0, 0, 0, 0), "{name}");
    }
    assert_eq!(reported(&world).await, ["leaver", "leaver"]);
}

async fn a_card_that_somebody_took_off_is_put_back(world: World) {
    let (_, card) = world.carded("ada", "Grounds").await;
    assert!(world.panels[0].uproot(number(&card)) && world.panels[1].uproot(number(&card)));
    assert_eq!(counts(&world.sweep().await), found(0, 0, 1, 0));
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main", "yard"]));
    assert!(world.placement(&card).await.is_proven());
    assert_eq!(reported(&world).await, ["ghost"]);
}

async fn a_card_with_other_rights_or_a_pin_is_put_right(world: World) {
    let (_, card) = world.carded("ada", "Staff").await;
    let right = world.panels[0].cards();
    for wrong in [
        held(number(&card), [1, 1, 0, 0]),
        held(number(&card), [0, 1, 0, 0]),
        // A door that the configuration does not name.
        held(number(&card), [1, 0, 0, 1]),
        sim::uhppote::Card { pin: 7_531, ..held(number(&card), [1, 0, 0, 0]) },
        sim::uhppote::Card { to: jiff::civil::date(2030, 1, 1), ..held(number(&card), [1, 0, 0, 0]) },
    ] {
        assert!(world.panels[0].plant(wrong));
        assert_eq!(counts(&world.sweep().await), found(0, 0, 0, 1));
        let exposed = exposure::report(world.db()).await.unwrap().cards;
        assert!(matches!(&exposed[..], [one] if one.credential == card.id), "{exposed:?}");
        world.settle().await;
        assert_eq!(world.panels[0].cards(), right);
        assert!(exposure::report(world.db()).await.unwrap().is_none_known());
    }
}

async fn a_card_on_only_one_of_its_controllers_is_put_right(world: World) {
    let (_, card) = world.carded("ada", "Grounds").await;
    assert!(world.panels[1].uproot(number(&card)));
    assert_eq!(counts(&world.sweep().await), found(0, 0, 0, 1));
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main", "yard"]));
}

async fn a_strangers_card_is_reported_once_and_closed_when_it_is_gone(world: World) {
    assert!(world.panels[0].plant(held(4_200_001, [1, 0, 0, 0])));
    for _ in 0..2 {
        assert_eq!(counts(&world.sweep().await), found(0, 1, 0, 0));
    }
    let open = alert::open_alerts(world.db()).await.unwrap();
    assert_eq!(
        (open.len(), open[0].kind.as_str(), open[0].subject.as_str()),
        (1, alert::ORPHAN, "card:hq/h10301:42:1")
    );
    assert_eq!(reported(&world).await, ["orphan"]);
    assert_eq!(world.panels[0].cards().len(), 1, "nobody's card is not ours to take");
    assert!(world.panels[0].uproot(4_200_001));
    world.sweep().await;
    assert!(alert::open_alerts(world.db()).await.unwrap().is_empty());
    assert_eq!((world.facts::<AlertOpened>().await.len(), world.facts::<AlertClosed>().await.len()), (1, 1));
}

async fn what_cannot_be_read_is_neither_a_ghost_nor_a_drift(world: World) {
    world.carded("ada", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    let findings = world.sweep().await;
    assert_eq!((counts(&findings), findings.unread), (found(0, 0, 0, 0), 1));
    assert!(world.panels[0].plant(held(4_200_001, [1, 0, 0, 0])));
    assert_eq!(counts(&world.sweep().await), found(0, 1, 0, 0), "what can be read is compared");
}

/// A sweep that cannot read these cards again.
async fn sweep_without(world: &World, cards: &[&Credential]) -> Result<Findings, SweepError> {
    let card = |card: &&Credential| placement::card(&card.format, card.facility, card.number).unwrap();
    let cards = cards.iter().map(card).collect();
    let connector: Arc<dyn Connector> = Hand::that_cannot_read(world.node.connector(), cards);
    sweep(world.db(), HQ, &connector).await
}

async fn ten_cards_in_a_row_that_cannot_be_read_again_end_a_sweep(world: World) {
    let mut cards = Vec::new();
    for n in 0..20 {
        let (_, card) = world.carded(&format!("user{n}"), "Staff").await;
        assert!(world.panels[0].uproot(number(&card)));
        cards.push(card);
    }
    let ten: Vec<&Credential> = cards[..10].iter().collect();
    let ended = sweep_without(&world, &ten).await;
    assert!(matches!(ended, Err(SweepError::Connector(_))), "{ended:?}");
    let twice_nine: Vec<&Credential> = cards[..9].iter().chain(&cards[10..19]).collect();
    assert_eq!(sweep_without(&world, &twice_nine).await.unwrap().ghosts, 2);
}

async fn a_card_that_cannot_be_read_again_hides_no_other(world: World) {
    let (_, ada) = world.carded("ada", "Staff").await;
    let (_, bo) = world.carded("bo", "Staff").await;
    assert!(world.panels[0].uproot(number(&ada)) && world.panels[0].uproot(number(&bo)));
    let findings = sweep_without(&world, &[&ada]).await.unwrap();
    assert_eq!(counts(&findings), found(0, 0, 1, 0));
    world.settle().await;
    assert_eq!((world.opens(&ada), world.opens(&bo)), (None, Some(vec!["main"])));
    assert_eq!(counts(&world.sweep().await), found(0, 0, 1, 0), "the next one finds it");
}

async fn what_the_reconciler_has_yet_to_look_at_is_left_to_it(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    assert_eq!(counts(&world.sweep().await), found(0, 0, 0, 0), "a leaver on the list, and the lane knows");
    assert!(reported(&world).await.is_empty());
}

/// As after a backup: the directory knows, and nobody at the doors was told.
async fn lose_hints(world: &World) {
    world.node.drain_entitlement().await;
    let lost = store::sql!("UPDATE delivery SET due_at = NULL WHERE sink = 'door:hq'");
    world.db().change(store::Origin::system(), lost, (), vec![]).await.unwrap();
}

async fn a_mover_whose_hint_was_lost_is_found_and_put_right(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.move_to(user, "Research").await;
    lose_hints(&world).await;
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main"]), "nobody was told");
    assert_eq!(counts(&world.sweep().await), found(0, 0, 0, 1));
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["lab"]));
    assert_eq!(counts(&world.sweep().await), found(0, 0, 0, 0));
}

async fn a_joiner_whose_hint_was_lost_is_found_and_put_there(world: World) {
    let user = world.hire("ada", "Staff").await;
    lose_hints(&world).await;
    world.settle().await;
    assert_eq!(counts(&world.sweep().await), found(0, 0, 1, 0));
    world.settle().await;
    assert_eq!(world.opens(&world.card(user).await), Some(vec!["main"]));
}
