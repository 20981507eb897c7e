//! Cards that are nobody's: taken off where they go into quarantine, and what people decide about them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bridge::alert;
use bridge::card::Card;
use bridge::connector::Connector;
use bridge::exposure;
use bridge::facts::{
    AlertOpened, CardQuarantined, DeviationFound, QuarantineConfirmed, QuarantineLeft, QuarantineReleased,
    QuarantineTakenBack,
};
use bridge::quarantine::{self, QuarantineError, Quarantined, State};
use bridge::sweep::sweep;
use kernel::{Actor, Subject};
use serde_json::json;
use sim::uhppote::Misbehaviour;
use store::Origin;

use crate::hand::{Hand, Stop};
use crate::world::{FACILITY, HQ, World, door_system, held, number};

on_every_engine! {
    a_card_of_nobody_is_taken_off_and_what_it_opened_is_kept,
    a_card_that_is_put_back_after_the_clock_was_set_back_is_taken_off_again,
    what_was_taken_off_long_ago_is_listed_no_more,
    a_sweep_asks_no_more_because_of_what_was_taken_off_or_reported_before,
    where_cards_are_only_reported_none_waits_to_be_taken_off,
    too_many_cards_of_nobody_are_left_until_somebody_has_looked,
    few_at_a_time_are_many_within_a_day,
    a_part_that_falls_silent_lets_nothing_go,
    what_went_from_one_part_counts_when_another_is_read_again,
    who_has_begun_to_release_them_is_not_overtaken,
    a_word_counts_once_and_only_for_what_was_reported_by_then,
    a_word_is_for_as_many_as_were_shown,
    a_card_that_is_released_is_tolerated_until_that_is_taken_back,
    a_card_that_is_released_while_it_is_being_taken_off_is_no_alert,
    a_card_that_was_only_reported_can_be_released,
    what_is_somebodys_or_never_stood_there_is_not_released,
    a_card_that_becomes_somebodys_leaves_by_itself,
    a_card_that_is_given_while_it_is_being_taken_off_is_put_back,
    what_was_noted_and_not_taken_off_goes_on_after_a_restart,
    what_was_taken_off_and_not_noted_is_noted_after_a_restart,
    a_card_at_a_silent_controller_waits_until_that_one_is_read,
    a_panel_that_says_yes_and_does_nothing_proves_nothing_of_a_stranger,
    two_nodes_take_it_off_and_one_of_them_says_so,
}

/// As a controller knows it: h10301:42:1.
const STRANGER: u32 = 4_200_001;
const WRITTEN: &str = "h10301:42:1";
const WHO: &str = "Jo Field";

fn stranger() -> Card {
    WRITTEN.parse().unwrap()
}

fn operator() -> Origin {
    Origin::of(Actor::Operator)
}

/// Declares what becomes of cards of nobody.
async fn unknown_cards(world: &World, becomes: &str) {
    let mut system = door_system(&world.panels, &json!({}));
    system.fields.insert("unknown_cards".into(), json!(becomes));
    world.declare(system).await;
}

async fn in_quarantine(world: &World) {
    unknown_cards(world, "quarantine").await;
}

/// Puts cards in at the first panel, as an installer would: at its first door.
fn plant(world: &World, cards: RangeInclusive<u32>) {
    for card in cards {
        assert!(world.panels[0].plant(held(card, [1, 0, 0, 0])));
    }
}

fn is_listed(world: &World, card: u32) -> bool {
    world.panels.iter().any(|panel| panel.cards().iter().any(|held| held.number == card))
}

fn listed(world: &World) -> usize {
    world.panels[0].cards().len()
}

async fn kept(world: &World) -> Vec<Quarantined> {
    quarantine::list(world.db(), true, 1_000).await.unwrap()
}

async fn states(world: &World) -> Vec<State> {
    kept(world).await.into_iter().map(|card| card.state).collect()
}

/// The kinds of alerts that are open, each once.
async fn alerts(world: &World) -> Vec<String> {
    let open = alert::open_alerts(world.db()).await.unwrap();
    let mut kinds: Vec<String> = open.into_iter().map(|open| open.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

async fn findings(world: &World) -> Vec<String> {
    world.facts::<DeviationFound>().await.into_iter().map(|fact| fact.finding).collect()
}

async fn quarantined(world: &World) -> Vec<CardQuarantined> {
    world.facts().await
}

/// Orphans, those tolerated, and those taken off.
async fn sweeps(world: &World) -> [usize; 3] {
    let found = world.sweep().await;
    [found.orphans, found.tolerated, found.quarantined]
}

async fn a_card_of_nobody_is_taken_off_and_what_it_opened_is_kept(world: World) {
    in_quarantine(&world).await;
    let (_, ours) = world.carded("ada", "Grounds").await;
    let with_pin = sim::uhppote::Card { pin: 7_531, ..held(STRANGER, [1, 3, 0, 0]) };
    assert!(world.panels[0].plant(with_pin) && world.panels[1].plant(held(STRANGER, [1, 0, 0, 0])));
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    assert!(!is_listed(&world, STRANGER));
    assert_eq!(world.opens(&ours), Some(vec!["main", "yard"]), "nobody else is touched");

    let told = quarantined(&world).await;
    let [CardQuarantined { door_system, card, opened, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((door_system.as_str(), card.as_str()), (HQ, WRITTEN));
    assert_eq!(opened[..], ["lab (time profile 3)", "main", "yard", "a PIN is set"]);
    let all = kept(&world).await;
    let [card] = &all[..] else { panic!("{all:?}") };
    assert_eq!((card.state, &card.opened), (State::Off, opened));
    assert!(card.taken_off_at.is_some(), "{card:?}");
    assert_eq!(alerts(&world).await, [alert::QUARANTINED]);
    let said: Vec<AlertOpened> = world.facts().await;
    let said = &said.iter().find(|said| said.alert == alert::QUARANTINED).unwrap().detail;
    assert!(said.contains("was taken off the list of hq; it opened lab (time profile 3); main;"), "{said}");
    let exposed = exposure::report(world.db()).await.unwrap();
    assert!(exposed.is_none_known() && exposed.tolerated.is_empty(), "{exposed:?}");

    // Whoever puts it back has it taken off again.
    assert_eq!(sweeps(&world).await, [0, 0, 0]);
    world.pass(Duration::from_secs(60));
    plant(&world, STRANGER..=STRANGER);
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    assert_eq!((is_listed(&world, STRANGER), quarantined(&world).await.len()), (false, 2));
    assert_eq!(kept(&world).await[0].opened, ["main"], "what it opened last");
    assert_eq!(alerts(&world).await, [alert::QUARANTINED], "somebody may not have looked yet");
    world.pass(Duration::from_secs(86_401));
    world.sweep().await;
    assert_eq!((alerts(&world).await, states(&world).await), (vec![], vec![State::Off]));
}

async fn a_card_that_is_put_back_after_the_clock_was_set_back_is_taken_off_again(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER);
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    world.set_back(Duration::from_secs(3_600));
    plant(&world, STRANGER..=STRANGER);
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    assert_eq!((is_listed(&world, STRANGER), quarantined(&world).await.len()), (false, 2));
    assert_eq!(
        (states(&world).await, alerts(&world).await),
        (vec![State::Off], vec![alert::QUARANTINED.to_owned()])
    );
}

async fn what_was_taken_off_long_ago_is_listed_no_more(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER + 1);
    assert_eq!(sweeps(&world).await, [2, 0, 2]);
    release(&world, &stranger(), WHO, "it is the lift engineer's").await.unwrap();
    world.pass(Duration::from_secs(179 * 86_400));
    world.sweep().await;
    assert_eq!(kept(&world).await.len(), 2);
    world.pass(Duration::from_secs(2 * 86_400));
    world.sweep().await;
    assert_eq!(states(&world).await, [State::Tolerated], "what somebody answers for stays");
}

async fn a_sweep_asks_no_more_because_of_what_was_taken_off_or_reported_before(world: World) {
    // The least of some: others ask the database meanwhile.
    let asked = async || {
        let mut least = u64::MAX;
        for _ in 0..4 {
            let before = world.db().statements();
            world.sweep().await;
            least = least.min(world.db().statements() - before);
        }
        least
    };
    in_quarantine(&world).await;
    let quiet = asked().await;
    plant(&world, STRANGER..=STRANGER + 4);
    assert_eq!(sweeps(&world).await, [5, 0, 5]);
    assert_eq!(asked().await, quiet);
    unknown_cards(&world, "report").await;
    let quiet = asked().await;
    plant(&world, STRANGER + 100..=STRANGER + 104);
    assert_eq!(sweeps(&world).await, [5, 0, 0]);
    assert_eq!(asked().await, quiet + 5, "whose each is that stands there, and nothing else");
}

async fn where_cards_are_only_reported_none_waits_to_be_taken_off(world: World) {
    plant(&world, STRANGER..=STRANGER);
    assert_eq!(sweeps(&world).await, [1, 0, 0]);
    assert_eq!((alerts(&world).await, kept(&world).await), (vec![alert::ORPHAN.to_owned()], vec![]));
    in_quarantine(&world).await;
    world.panels[0].misbehave(Misbehaviour::ForgetWrites);
    assert_eq!(sweeps(&world).await, [1, 0, 0]);
    assert_eq!(states(&world).await, [State::Waits]);
    // Somebody thinks better of it.
    unknown_cards(&world, "report").await;
    world.panels[0].behave();
    assert_eq!(sweeps(&world).await, [1, 0, 0]);
    assert!(is_listed(&world, STRANGER));
    assert_eq!((alerts(&world).await, kept(&world).await), (vec![alert::ORPHAN.to_owned()], vec![]));
    assert_eq!(findings(&world).await, ["orphan"], "and it was told once");
}

async fn too_many_cards_of_nobody_are_left_until_somebody_has_looked(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER + 10);
    for _ in 0..2 {
        assert_eq!(sweeps(&world).await, [11, 0, 0]);
        assert_eq!((listed(&world), kept(&world).await), (11, vec![]), "nothing was taken off");
        assert_eq!(alerts(&world).await, [alert::ORPHAN, alert::TOO_MANY_UNKNOWN]);
    }
    let brakes = quarantine::brakes(world.db()).await.unwrap();
    let [brake] = &brakes[..] else { panic!("{brakes:?}") };
    assert_eq!((brake.door_system.as_str(), brake.found, brake.listed), (HQ, 11, 11));
    assert!(brake.to_string().ends_with("cardea quarantine confirm hq --found 11 --who NAME"), "{brake}");
    let said: Vec<AlertOpened> = world.facts().await;
    let said: Vec<&AlertOpened> = said.iter().filter(|said| said.alert == alert::TOO_MANY_UNKNOWN).collect();
    let [AlertOpened { detail, .. }] = said[..] else { panic!("{said:?}") };
    for words in
        ["11 of 11 cards", "another system's list, a restored backup", "cardea quarantine confirm hq"]
    {
        assert!(detail.contains(words), "{words:?} is not in: {detail}");
    }
    // Ten would not have been too many: it is not theirs to say.
    assert!(world.panels[0].uproot(STRANGER));
    assert_eq!(sweeps(&world).await, [10, 0, 0]);
    assert_eq!((listed(&world), kept(&world).await), (10, vec![]));
    confirm(&world, 10, WHO).await.unwrap();
    assert_eq!(sweeps(&world).await, [10, 0, 10]);
    assert_eq!((listed(&world), kept(&world).await.len()), (0, 10));
    assert!(quarantine::brakes(world.db()).await.unwrap().is_empty());
    assert_eq!(alerts(&world).await, [alert::QUARANTINED]);
}

async fn confirm(world: &World, found: i64, who: &str) -> Result<(i64, i64), QuarantineError> {
    quarantine::confirm(world.db(), operator(), HQ, found, who).await
}

/// How many were found by the brake, and of how many.
async fn held_back(world: &World) -> Vec<(i64, i64)> {
    let brakes = quarantine::brakes(world.db()).await.unwrap();
    brakes.into_iter().map(|brake| (brake.found, brake.listed)).collect()
}

async fn few_at_a_time_are_many_within_a_day(world: World) {
    in_quarantine(&world).await;
    for _ in 0..2 {
        plant(&world, STRANGER..=STRANGER + 9);
        assert_eq!(sweeps(&world).await, [10, 0, 10], "each counts once, however often it is put back");
        world.pass(Duration::from_secs(1));
    }
    plant(&world, STRANGER + 100..=STRANGER + 109);
    assert_eq!(sweeps(&world).await, [10, 0, 0]);
    assert_eq!((listed(&world), held_back(&world).await), (10, vec![(10, 10)]));
    let said: Vec<AlertOpened> = world.facts().await;
    let said = &said.iter().find(|said| said.alert == alert::TOO_MANY_UNKNOWN).unwrap().detail;
    assert!(said.contains("10 of 10 cards") && said.contains("10 went within a day before"), "{said}");
    world.pass(Duration::from_secs(86_401));
    assert_eq!(sweeps(&world).await, [10, 0, 0], "that time passes is nobody's word");
    confirm(&world, 10, WHO).await.unwrap();
    assert_eq!(sweeps(&world).await, [10, 0, 10]);
    // Those went by somebody's word, and the first ten a day ago.
    plant(&world, STRANGER + 200..=STRANGER + 209);
    assert_eq!(sweeps(&world).await, [10, 0, 10]);
}

/// Puts cards in at the second panel, at its first door.
fn plant_at_the_second(world: &World, cards: RangeInclusive<u32>) {
    for card in cards {
        assert!(world.panels[1].plant(held(card, [1, 0, 0, 0])));
    }
}

async fn release_some(world: &World, numbers: RangeInclusive<u32>) {
    for number in numbers {
        let card: Card = format!("h10301:42:{number}").parse().unwrap();
        release(world, &card, WHO, "it belongs there").await.unwrap();
    }
}

async fn a_part_that_falls_silent_lets_nothing_go(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER + 7);
    plant_at_the_second(&world, STRANGER + 100..=STRANGER + 107);
    assert_eq!(sweeps(&world).await, [16, 0, 0]);
    world.panels[1].misbehave(Misbehaviour::Silent);
    assert_eq!(sweeps(&world).await, [8, 0, 0]);
    assert_eq!(
        (listed(&world), held_back(&world).await),
        (8, vec![(16, 16)]),
        "the others may be there still"
    );
    release_some(&world, 1..=8).await;
    assert_eq!(sweeps(&world).await, [0, 8, 0]);
    assert_eq!(held_back(&world).await.len(), 1, "that none is seen lets nothing go");
    world.panels[1].behave();
    assert_eq!(sweeps(&world).await, [8, 8, 0]);
    assert_eq!((world.panels[1].cards().len(), held_back(&world).await), (8, vec![(8, 16)]));
    for card in STRANGER + 100..=STRANGER + 107 {
        assert!(world.panels[1].uproot(card));
    }
    assert_eq!(sweeps(&world).await, [0, 8, 0]);
    assert_eq!((held_back(&world).await, alerts(&world).await), (vec![], vec![]), "none is left");
}

async fn what_went_from_one_part_counts_when_another_is_read_again(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER + 7);
    plant_at_the_second(&world, STRANGER + 100..=STRANGER + 107);
    world.panels[1].misbehave(Misbehaviour::Silent);
    assert_eq!(sweeps(&world).await, [8, 0, 0], "they are not proven to be off there");
    assert_eq!(listed(&world), 0);
    world.panels[1].behave();
    for proven in [8, 0] {
        assert_eq!(sweeps(&world).await, [8, 0, proven]);
        assert_eq!((world.panels[1].cards().len(), held_back(&world).await), (8, vec![(8, 8)]));
    }
}

async fn who_has_begun_to_release_them_is_not_overtaken(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER + 14);
    assert_eq!(sweeps(&world).await, [15, 0, 0]);
    release_some(&world, 1..=5).await;
    assert_eq!(sweeps(&world).await, [10, 5, 0]);
    assert_eq!((listed(&world), held_back(&world).await), (15, vec![(10, 15)]));
    release_some(&world, 6..=15).await;
    assert_eq!(sweeps(&world).await, [0, 15, 0]);
    assert_eq!((held_back(&world).await, alerts(&world).await), (vec![], vec![]), "none is left");
}

async fn a_word_is_for_as_many_as_were_shown(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER + 11);
    assert_eq!(sweeps(&world).await, [12, 0, 0]);
    assert_eq!(held_back(&world).await, [(12, 12)]);
    plant(&world, STRANGER + 100..=STRANGER + 102);
    assert_eq!(sweeps(&world).await, [15, 0, 0]);
    for said in [12, 16] {
        let refused = confirm(&world, said, WHO).await.unwrap_err();
        assert!(matches!(refused, QuarantineError::FoundOtherwise { found: 15, .. }), "{refused:?}");
        let words = refused.to_string();
        assert!(words.starts_with("15 of 15 cards at hq") && words.contains("--found 15 --who"), "{words}");
    }
    assert_eq!(sweeps(&world).await, [15, 0, 0], "nothing was confirmed");
    assert!(world.facts::<QuarantineConfirmed>().await.is_empty());
    assert_eq!(confirm(&world, 15, WHO).await.unwrap(), (15, 15));
    assert_eq!(sweeps(&world).await, [15, 0, 15]);
}

async fn a_word_counts_once_and_only_for_what_was_reported_by_then(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER + 11);
    let early = confirm(&world, 12, WHO).await;
    assert!(matches!(early, Err(QuarantineError::NothingWaits(_))), "{early:?}");
    assert_eq!(sweeps(&world).await, [12, 0, 0]);
    let nobody = confirm(&world, 12, " ").await;
    assert!(matches!(nobody, Err(QuarantineError::Invalid(_))), "{nobody:?}");
    world.pass(Duration::from_secs(1));
    assert_eq!(confirm(&world, 12, WHO).await.unwrap(), (12, 12));
    let told: Vec<QuarantineConfirmed> = world.facts().await;
    assert_eq!(
        told[..],
        [QuarantineConfirmed { door_system: HQ.into(), who: WHO.into(), found: 12, listed: 12 }]
    );
    let brakes = quarantine::brakes(world.db()).await.unwrap();
    assert!(brakes[0].to_string().contains("Jo Field has confirmed that they may go"), "{brakes:?}");

    // Meanwhile others come, of which nobody has spoken.
    world.pass(Duration::from_secs(1));
    plant(&world, STRANGER + 100..=STRANGER + 110);
    for quarantined in [12, 0] {
        assert_eq!(sweeps(&world).await[2], quarantined);
        assert_eq!(listed(&world), 11, "the others stay");
    }
    let brakes = quarantine::brakes(world.db()).await.unwrap();
    assert_eq!((brakes[0].found, brakes[0].listed, brakes[0].confirmed_by.as_ref()), (11, 11, None));
    assert!(alerts(&world).await.contains(&alert::TOO_MANY_UNKNOWN.to_owned()));
    world.pass(Duration::from_secs(1));
    confirm(&world, 11, WHO).await.unwrap();
    assert_eq!(sweeps(&world).await, [11, 0, 11]);
    assert_eq!((listed(&world), alerts(&world).await), (0, vec![alert::QUARANTINED.to_owned()]));
    assert!(quarantine::brakes(world.db()).await.unwrap().is_empty());
    // From here on it is as ever.
    world.pass(Duration::from_secs(1));
    plant(&world, STRANGER..=STRANGER + 11);
    assert_eq!(sweeps(&world).await, [12, 0, 0]);
    assert_eq!(listed(&world), 12);
}

async fn release(world: &World, card: &Card, who: &str, because: &str) -> Result<(), QuarantineError> {
    quarantine::release(world.db(), operator(), HQ, card, who, because).await
}

async fn a_card_that_is_released_is_tolerated_until_that_is_taken_back(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER);
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    let long = "x".repeat(1_001);
    for (who, because) in [("", "it is the lift's"), (WHO, " "), (WHO, "two\nlines"), (WHO, long.as_str())] {
        let refused = release(&world, &stranger(), who, because).await;
        assert!(matches!(refused, Err(QuarantineError::Invalid(_))), "{who:?} {because:?}: {refused:?}");
    }
    release(&world, &stranger(), WHO, "it is the lift engineer's").await.unwrap();
    assert!(!is_listed(&world, STRANGER), "nothing is put back on a list");
    assert_eq!((alerts(&world).await, states(&world).await), (vec![], vec![State::Tolerated]));
    let again = release(&world, &stranger(), WHO, "again").await;
    assert!(matches!(again, Err(QuarantineError::Released { .. })), "{again:?}");
    let told: Vec<QuarantineReleased> = world.facts().await;
    assert_eq!((told.len(), told[0].who.as_str(), told[0].card.as_str()), (1, WHO, WRITTEN));

    // Entered at the device by hand, it stays.
    world.pass(Duration::from_secs(60));
    plant(&world, STRANGER..=STRANGER);
    for _ in 0..2 {
        let found = world.sweep().await;
        assert_eq!((found.tolerated, found.deviations()), (1, 0), "{found:?}");
        assert!(is_listed(&world, STRANGER) && alerts(&world).await.is_empty());
    }
    assert_eq!(findings(&world).await, ["orphan", "tolerated"], "each is told once");
    let exposed = exposure::report(world.db()).await.unwrap();
    assert!(exposed.is_none_known(), "somebody answers for it: {exposed:?}");
    let line = exposed.tolerated[0].to_string();
    assert!(
        line.contains("tolerated by Jo Field since ") && line.contains(": it is the lift engineer's; "),
        "{line}"
    );
    assert!(line.contains("on a list since "), "{line}");
    assert!(world.panels[0].uproot(STRANGER));
    world.sweep().await;
    let line = exposure::report(world.db()).await.unwrap().tolerated[0].to_string();
    assert!(line.ends_with("on no list when it was looked for last"), "{line}");

    plant(&world, STRANGER..=STRANGER);
    world.sweep().await;
    quarantine::take_back(world.db(), operator(), HQ, &stranger(), WHO).await.unwrap();
    assert_eq!(states(&world).await, [State::Off]);
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    assert!(!is_listed(&world, STRANGER));
    let told: Vec<QuarantineTakenBack> = world.facts().await;
    assert_eq!((told.len(), told[0].who.as_str()), (1, WHO));
    let again = quarantine::take_back(world.db(), operator(), HQ, &stranger(), WHO).await;
    assert!(matches!(again, Err(QuarantineError::NotReleased { .. })), "{again:?}");
    assert!(exposure::report(world.db()).await.unwrap().tolerated.is_empty());
}

async fn a_card_that_is_released_while_it_is_being_taken_off_is_no_alert(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER);
    let (hand, sweeping) = sweep_until(&world, Stop::BeforeRevoke);
    hand.reached().await;
    release(&world, &stranger(), WHO, "it is the lift engineer's").await.unwrap();
    hand.go_on();
    assert_eq!(sweeping.await.unwrap().unwrap().quarantined, 0);
    assert_eq!((quarantined(&world).await, alerts(&world).await), (vec![], vec![]));
    assert_eq!(states(&world).await, [State::Tolerated]);
    // One that was reported at the same moment is closed, although nobody can read whether the card is there.
    let card = Subject::new("card", format!("{HQ}/{WRITTEN}"));
    assert!(alert::open(world.db(), alert::ORPHAN, &card, "it is nobody's").await.unwrap());
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.sweep().await;
    assert_eq!(alerts(&world).await, Vec::<String>::new());
}

async fn a_card_that_was_only_reported_can_be_released(world: World) {
    plant(&world, STRANGER..=STRANGER);
    world.sweep().await;
    assert!(!exposure::report(world.db()).await.unwrap().is_none_known());
    release(&world, &stranger(), WHO, "it was here before us").await.unwrap();
    assert!(exposure::report(world.db()).await.unwrap().is_none_known());
    assert_eq!(sweeps(&world).await, [0, 1, 0]);
    in_quarantine(&world).await;
    assert_eq!(sweeps(&world).await, [0, 1, 0], "tolerated is tolerated");
    quarantine::take_back(world.db(), operator(), HQ, &stranger(), WHO).await.unwrap();
    assert_eq!(kept(&world).await, vec![], "it was never taken off");
    assert_eq!(sweeps(&world).await, [1, 0, 1], "it is now");
}

async fn what_is_somebodys_or_never_stood_there_is_not_released(world: World) {
    let (_, card) = world.carded("ada", "Staff").await;
    let hers: Card = format!("h10301:{}:{}", card.facility, card.number).parse().unwrap();
    let refused = release(&world, &hers, WHO, "it is hers").await;
    assert!(matches!(refused, Err(QuarantineError::Somebodys { .. })), "{refused:?}");
    let refused = release(&world, &stranger(), WHO, "it may come").await;
    assert!(matches!(refused, Err(QuarantineError::NotFound { .. })), "{refused:?}");
    assert_eq!(kept(&world).await, vec![]);
}

/// The first card that is handed out here.
const FIRST: u32 = FACILITY as u32 * 100_000 + 1;

async fn a_card_that_becomes_somebodys_leaves_by_itself(world: World) {
    in_quarantine(&world).await;
    plant(&world, FIRST..=FIRST);
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    let (user, card) = world.carded("ada", "Staff").await;
    assert_eq!((number(&card), world.opens(&card)), (FIRST, Some(vec!["main"])));
    assert_eq!(sweeps(&world).await, [0, 0, 0]);
    assert_eq!((kept(&world).await, alerts(&world).await), (vec![], vec![]));
    let told: Vec<QuarantineLeft> = world.facts().await;
    assert_eq!((told.len(), told[0].credential, told[0].user), (1, card.id, user));
    world.settle().await;
    assert_eq!(sweeps(&world).await, [0, 0, 0]);
    assert_eq!(world.opens(&card), Some(vec!["main"]));
}

/// A sweep that stops where the test wants.
fn sweep_until(
    world: &World,
    stop: Stop,
) -> (Arc<Hand>, tokio::task::JoinHandle<Result<bridge::sweep::Findings, bridge::sweep::SweepError>>) {
    let hand = Hand::on(world.node.connector(), stop);
    let connector: Arc<dyn Connector> = hand.clone();
    let db = world.db().clone();
    (hand, tokio::spawn(async move { sweep(&db, HQ, &connector).await }))
}

async fn a_card_that_is_given_while_it_is_being_taken_off_is_put_back(world: World) {
    in_quarantine(&world).await;
    plant(&world, FIRST..=FIRST);
    let (hand, sweeping) = sweep_until(&world, Stop::BeforeRevoke);
    hand.reached().await;
    let (_, card) = world.carded("ada", "Staff").await;
    assert_eq!((number(&card), world.opens(&card)), (FIRST, Some(vec!["main"])));
    assert!(world.placement(&card).await.is_proven());
    hand.go_on();
    assert_eq!(sweeping.await.unwrap().unwrap().quarantined, 0, "it is nobody's no more");
    assert_eq!(world.opens(&card), None, "what was on its way took it off");
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    assert_eq!(
        (quarantined(&world).await, kept(&world).await, alerts(&world).await),
        (vec![], vec![], vec![])
    );
    assert_eq!(world.facts::<QuarantineLeft>().await.len(), 1);
    assert_eq!(world.sweep().await.deviations(), 0);
}

async fn what_was_noted_and_not_taken_off_goes_on_after_a_restart(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER);
    let (hand, sweeping) = sweep_until(&world, Stop::BeforeRevoke);
    hand.reached().await;
    sweeping.abort();
    assert!(sweeping.await.unwrap_err().is_cancelled());
    assert!(is_listed(&world, STRANGER));
    assert_eq!(states(&world).await, [State::Waits]);
    assert_eq!(alerts(&world).await, [alert::ORPHAN]);
    // It was judged before; those that came since are judged by themselves.
    plant(&world, STRANGER + 100..=STRANGER + 110);
    assert_eq!(sweeps(&world).await, [12, 0, 1]);
    assert_eq!((is_listed(&world, STRANGER), listed(&world)), (false, 11));
    assert_eq!(quarantined(&world).await.len(), 1);
}

async fn what_was_taken_off_and_not_noted_is_noted_after_a_restart(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER);
    let (hand, sweeping) = sweep_until(&world, Stop::AfterRevoke);
    hand.reached().await;
    sweeping.abort();
    assert!(sweeping.await.unwrap_err().is_cancelled());
    assert_eq!((is_listed(&world, STRANGER), states(&world).await), (false, vec![State::Waits]));
    assert!(quarantined(&world).await.is_empty(), "nobody has read it back");
    assert_eq!(sweeps(&world).await, [0, 0, 1]);
    let told = quarantined(&world).await;
    assert_eq!((told.len(), &told[0].opened[..]), (1, &["main".to_owned()][..]));
    assert_eq!(
        (states(&world).await, alerts(&world).await),
        (vec![State::Off], vec![alert::QUARANTINED.to_owned()])
    );
}

async fn a_card_at_a_silent_controller_waits_until_that_one_is_read(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER);
    assert!(world.panels[1].plant(held(STRANGER, [1, 0, 0, 0])));
    world.panels[1].misbehave(Misbehaviour::Silent);
    for _ in 0..2 {
        assert_eq!(sweeps(&world).await[2], 0);
        assert_eq!((listed(&world), is_listed(&world, STRANGER)), (0, true), "off where it can be");
        assert_eq!(
            (states(&world).await, alerts(&world).await),
            (vec![State::Waits], vec![alert::ORPHAN.to_owned()])
        );
    }
    world.panels[1].behave();
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
    assert!(!is_listed(&world, STRANGER));
    let told = quarantined(&world).await;
    assert_eq!((told.len(), &told[0].opened[..]), (1, &["main".to_owned(), "yard".to_owned()][..]));
}

async fn a_panel_that_says_yes_and_does_nothing_proves_nothing_of_a_stranger(world: World) {
    in_quarantine(&world).await;
    plant(&world, STRANGER..=STRANGER);
    world.panels[0].misbehave(Misbehaviour::ForgetWrites);
    assert_eq!(sweeps(&world).await, [1, 0, 0]);
    assert_eq!(
        (states(&world).await, alerts(&world).await),
        (vec![State::Waits], vec![alert::ORPHAN.to_owned()])
    );
    assert!(!exposure::report(world.db()).await.unwrap().is_none_known());
    world.panels[0].behave();
    assert_eq!(sweeps(&world).await, [1, 0, 1]);
}

async fn two_nodes_take_it_off_and_one_of_them_says_so(world: World) {
    in_quarantine(&world).await;
    let other = world.another_node().await;
    plant(&world, STRANGER..=STRANGER);
    let (ours, theirs) = (world.node.connector(), other.connector());
    let (ours, theirs) = tokio::join!(sweep(world.db(), HQ, &ours), sweep(&other.db, HQ, &theirs));
    assert_eq!(ours.unwrap().quarantined + theirs.unwrap().quarantined, 1);
    assert_eq!((quarantined(&world).await.len(), is_listed(&world, STRANGER)), (1, false));
    world.sweep().await;
    assert_eq!(
        (states(&world).await, alerts(&world).await),
        (vec![State::Off], vec![alert::QUARANTINED.to_owned()])
    );
}
