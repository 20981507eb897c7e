//! The suite that every connector passes, and what only this one must do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bridge::conformance::run;
use bridge::connector::{
    Access, AckLevel, ConnectorError, Deviation, EventKind, Finding, Reading, Refusal, Rights,
    STAYS_UNLOCKED, Version, Want, take_inventory,
};
use serde_json::{Value, json};
use sim::controlid::{Dependents, Misbehaviour, Seen};

use crate::building::{Building, IDS, desired, number, opening};

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_keeps_every_rule() {
    let broken = run(&Building::open().await).await;
    assert!(broken.is_empty(), "{}", broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

/// Nobody says what a device does with rows that refer to one that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_connector_keeps_every_rule_whatever_becomes_of_dependent_rows() {
    for dependents in [Dependents::Forbid, Dependents::Stay] {
        let broken = run(&Building::with(|options| options.dependents = dependents).await).await;
        let words = broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(broken.is_empty(), "{dependents:?}: {words}");
    }
}

/// The first revocation finds nothing, and takes the card's user away; nobody says whether a device then still makes
/// the card.
#[tokio::test]
async fn a_grant_that_was_given_up_and_arrives_late_is_taken_away_again() {
    let building = Building::with(|options| options.dependents = Dependents::Loose).await;
    let connector = building.connector();
    let (wish, device) = (building.wish(1), &building.devices[0]);
    device.misbehave(Misbehaviour::LateCards(2, Duration::from_millis(1_000)));
    let granted = connector.apply(&desired(wish, 1, opening(&["a"]))).await;
    assert!(matches!(granted, Err(ConnectorError::Unreachable { .. })), "{granted:?}");
    let seen = connector.read_back(&wish.1).await.expect("the other device answers");
    assert!(!seen.is_absent(), "it may still arrive: {seen:?}");
    let version = Version { credential: wish.0, number: 2 };
    connector.revoke(&wish.1, Some(version)).await.expect("revoked");
    let makes_cards = |seen: &Seen| seen.path == "/create_objects.fcgi" && seen.body["object"] == "cards";
    assert_eq!(device.requests().into_iter().filter(makes_cards).count(), 2, "both arrived");
    assert!(!device.holds(number(&wish.1)));
    assert!(connector.read_back(&wish.1).await.expect("read").is_absent());
}

#[tokio::test]
async fn every_request_is_one_that_the_device_understands() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a", "c"]))).await.expect("granted");
    connector.apply(&desired(wish, 2, opening(&["b"]))).await.expect("changed");
    take_inventory(&*connector).await.expect("listed");
    connector.events(None).await.expect("read");
    assert!(connector.health().await.is_well(), "{:?}", connector.health().await);
    connector.revoke(&wish.1, None).await.expect("revoked");
    for device in &building.devices {
        // Pins are asked for where there are any: not every model knows them.
        let refused = |seen: &Seen| seen.status != 200 && seen.body["object"] != "pins";
        let refused: Vec<Seen> = device.requests().into_iter().filter(refused).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

#[tokio::test]
async fn nobodys_name_and_no_password_hash_crosses_the_wire() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a"]))).await.expect("granted");
    take_inventory(&*connector).await.expect("listed");
    let users = building.devices[0].rows("users");
    assert_eq!(users.len(), 1, "{users:?}");
    let holder = format!("cardea:{}", number(&wish.1));
    assert_eq!((&users[0]["name"], &users[0]["registration"]), (&json!(holder), &json!(holder)));
    for seen in building.devices[0].requests() {
        if seen.path.contains("load_objects") {
            let fields = seen.body["fields"].as_array().unwrap_or_else(|| panic!("all fields: {seen:?}"));
            assert!(!fields.contains(&json!("password")) && !fields.contains(&json!("salt")), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_revoked_card_and_nothing_of_others_is_touched() {
    let building = Building::open().await;
    let (connector, device) = (building.connector(), &building.devices[0]);
    assert!(device.plant(7) && device.plant_contingency(8));
    let before: Vec<Vec<Value>> = ["users", "user_groups", "user_access_rules", "cards", "contingency_cards"]
        .map(|o| device.rows(o))
        .into();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a", "b"]))).await.expect("granted");
    connector.revoke(&wish.1, Some(Version { credential: wish.0, number: 2 })).await.expect("revoked");
    let after: Vec<Vec<Value>> = ["users", "user_groups", "user_access_rules", "cards", "contingency_cards"]
        .map(|o| device.rows(o))
        .into();
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_card_for_contingency_is_found_and_taken_off() {
    let building = Building::open().await;
    let (connector, device) = (building.connector(), &building.devices[0]);
    let (_, card) = building.wish(1);
    assert!(device.plant_contingency(number(&card)));
    let contingency = Deviation::Contingency { unit: IDS[0].to_string() };
    let seen = connector.read_back(&card).await.expect("read");
    assert!(!seen.is_absent());
    assert_eq!(seen.deviations, BTreeSet::from([contingency.clone()]));
    let inventory = take_inventory(&*connector).await.expect("swept");
    assert_eq!(inventory.cards[&card].deviations, BTreeSet::from([contingency]));
    let said = connector.revoke(&card, None).await.expect("revoked");
    assert!(said.contains(&"a".into()) && !said.contains(&"c".into()), "{said:?}");
    assert!(!device.holds_for_contingency(number(&card)));
    assert!(connector.read_back(&card).await.expect("read").is_absent());
}

#[tokio::test]
async fn an_administrators_card_and_one_that_opens_unnamed_portals_are_no_wish_of_ours() {
    let building = Building::open().await;
    let (connector, unit) = (building.connector(), IDS[1].to_string());
    let (credential, card) = building.wish(1);
    // Of the second device the configuration names portal 1 alone; whoever is in the first group enters everywhere.
    assert!(building.devices[1].plant_supervisor(number(&card)));
    let seen = connector.read_back(&card).await.expect("read");
    let expect = [Deviation::Administrator { unit: unit.clone() }, Deviation::UnnamedDoor { unit, door: 2 }];
    assert_eq!(seen.deviations, BTreeSet::from(expect));
    assert!(matches!(&seen.points[&"c".into()], Reading::Held(held) if held.access.is_some()));
    let want = opening(&["c"]);
    connector.apply(&desired((credential, card), 1, want.clone())).await.expect("granted");
    assert!(connector.read_back(&card).await.expect("read").meets(&want), "the card changed hands");
}

#[tokio::test]
async fn a_user_of_ours_that_was_put_into_a_group_is_taken_out_again() {
    let building = Building::open().await;
    let (connector, device) = (building.connector(), &building.devices[0]);
    let wish = building.wish(1);
    let want = opening(&["a"]);
    connector.apply(&desired(wish, 1, want.clone())).await.expect("granted");
    let mut link = device.rows("user_access_rules");
    link.truncate(1);
    let user = link[0]["user_id"].clone();
    building
        .hand(
            0,
            "create_objects",
            json!({"object": "user_groups", "values": [{"user_id": user, "group_id": 1}]}),
        )
        .await;
    assert!(!connector.read_back(&wish.1).await.expect("read").meets(&want));
    connector.apply(&desired(wish, 1, want.clone())).await.expect("mended");
    assert!(connector.read_back(&wish.1).await.expect("read").meets(&want));
}

/// Days and hours are rows of their own; whoever is stopped between them leaves what stands there then.
#[tokio::test]
async fn at_no_moment_do_the_hours_of_before_hold_for_the_days_of_now() {
    let building = Building::open().await;
    let (connector, device) = (building.connector(), &building.devices[0]);
    let office = json!({"object": "time_zones", "values": [{"name": "office"}]});
    building.hand(0, "create_objects", office).await;
    let zones = device.rows("time_zones");
    let zone = zones.iter().find(|zone| zone["name"] == "office").and_then(|zone| zone["id"].as_u64());
    let zone = zone.and_then(|zone| u8::try_from(zone).ok()).expect("it was made");
    let wish = building.wish(1);
    let rights = |access, valid_to| {
        Want::Present(Rights {
            access: BTreeMap::from([("a".into(), access)]),
            valid_to,
            ..Rights::default()
        })
    };
    let until = rights(Access::Always, Some(jiff::civil::date(2090, 11, 30)));
    connector.apply(&desired(wish, 1, until)).await.expect("granted");
    let always = device.rows("user_access_rules");
    device.misbehave(Misbehaviour::Slow(Duration::from_millis(1)));
    let office = desired(wish, 2, rights(Access::TimeProfile(zone), None));
    let grant = connector.apply(&office);
    tokio::pin!(grant);
    let mut looks = 0;
    loop {
        tokio::select! {
            biased;
            granted = &mut grant => break drop(granted.expect("granted")),
            () = tokio::time::sleep(Duration::from_micros(200)) => {
                looks += 1;
                let is_without_end = device.rows("users").iter().any(|user| user["end_time"] == 0);
                let is_always = device.rows("user_access_rules").iter().any(|row| always.contains(row));
                assert!(!(is_without_end && is_always), "it opens at all hours, without end");
            }
        }
    }
    assert!(looks > 10 && device.rows("user_access_rules") != always);
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_no_second_holder() {
    for lost in 1..=24 {
        let building = Building::open().await;
        let connector = building.connector();
        let wish = building.wish(1);
        // Signed in, so that what is lost is part of the grant.
        connector.read_back(&wish.1).await.expect("read");
        building.devices[0].misbehave(Misbehaviour::Slow(Duration::from_millis(1)));
        let granted = {
            let desired = desired(wish, 1, opening(&["a"]));
            let grant = connector.apply(&desired);
            tokio::pin!(grant);
            let before = building.devices[0].counters().requests;
            loop {
                tokio::select! {
                    biased;
                    granted = &mut grant => break granted,
                    () = tokio::time::sleep(Duration::from_micros(200)) => {
                        if building.devices[0].counters().requests >= before + lost {
                            building.devices[0].misbehave(Misbehaviour::LoseAnswers(1));
                            break grant.await;
                        }
                    }
                }
            }
        };
        granted.unwrap_or_else(|error| panic!("answer {lost} was lost: {error}"));
        let want = opening(&["a"]);
        assert!(connector.read_back(&wish.1).await.expect("read").meets(&want), "answer {lost}");
        for (object, count) in [("users", 1), ("cards", 1), ("user_access_rules", 1)] {
            assert_eq!(building.devices[0].rows(object).len(), count, "answer {lost}: {object}");
        }
    }
}

#[tokio::test]
async fn sessions_that_are_over_are_renewed_once_and_another_device_is_told_nothing() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a"]))).await.expect("granted");
    building.devices.iter().for_each(|device| device.misbehave(Misbehaviour::ForgetSessions));
    connector.revoke(&wish.1, None).await.expect("revoked with a new session");
    building.devices[0].misbehave(Misbehaviour::ForgetSessions);
    building.devices[0].misbehave(Misbehaviour::OtherDevice(77));
    let error = connector.apply(&desired(wish, 2, opening(&["a"]))).await.expect_err("another device");
    assert!(matches!(&error, ConnectorError::Protocol { .. }) && error.to_string().contains("77"), "{error}");
    assert!(building.devices[0].rows("cards").is_empty());
}

#[tokio::test]
async fn firmware_that_passes_over_conditions_is_found_out() {
    let building = Building::open().await;
    let connector = building.connector();
    for n in 1..=70 {
        assert!(building.devices[0].plant_at(1, number(&building.wish(n).1)));
    }
    building.devices[0].misbehave(Misbehaviour::IgnoreFilters);
    let page = connector.list(None).await.expect("the other device is listed");
    assert_eq!(page.unread, ["a".into(), "b".into()]);
    let card = building.wish(500).1;
    let seen = connector.read_back(&card).await.expect("the other device is read");
    assert_eq!(seen.unread().count(), 2, "cards that were not asked about pass for this one: {seen:?}");
    let before = building.devices[0].rows("users");
    connector.revoke(&card, None).await.expect("its card is gone, whoever its holder was");
    assert_eq!(building.devices[0].rows("users"), before, "others were deleted");
}

#[tokio::test]
async fn a_log_that_lost_its_beginning_or_began_anew_names_the_gap() {
    let building = Building::with(|options| options.logs = 5).await;
    let (connector, device) = (building.connector(), &building.devices[0]);
    let (_, card) = building.wish(1);
    for _ in 0..3 {
        device.swipe(1, number(&card)).await;
    }
    let page = connector.events(None).await.expect("read");
    assert_eq!((page.events.len(), page.gaps.len()), (3, 0));
    assert!(
        page.events
            .iter()
            .all(|event| matches!(event.kind, EventKind::Denied(_)) && event.card == Some(card))
    );
    for _ in 0..9 {
        device.swipe(1, number(&card)).await;
    }
    let later = connector.events(Some(&page.next)).await.expect("read");
    let gap = &later.gaps[0];
    assert_eq!((gap.from, gap.to, later.events.len()), (4, Some(7), 5), "{later:?}");
    device.misbehave(Misbehaviour::ForgetObjects);
    building.ctx.advance_for_tests(Duration::from_secs(1));
    device.swipe(1, number(&card)).await;
    let anew = connector.events(Some(&later.next)).await.expect("read");
    assert_eq!((anew.gaps[0].to, anew.events.len()), (None, 1), "{anew:?}");
    assert_ne!(anew.events[0].id, page.events[0].id, "or it would pass for one that was seen");
}

#[tokio::test]
async fn what_weakens_the_promise_is_found() {
    let building = Building::open().await;
    let connector = building.connector();
    let set = |section: &str, key: &str, value: &str| json!({ section: { key: value } });
    building.hand(0, "set_configuration", set("general", "exception_mode", "emergency")).await;
    let findings = connector.health().await.units[0].findings.clone();
    let unlocked: Vec<_> = findings.iter().filter(|finding| finding.code() == STAYS_UNLOCKED).collect();
    assert_eq!(unlocked.len(), 2, "{findings:?}");
    building.hand(0, "set_configuration", set("general", "exception_mode", "none")).await;
    building.devices[0].misbehave(Misbehaviour::LoseClock);
    let findings = connector.health().await.units[0].findings.clone();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::Clock { .. })), "{findings:?}");
}

#[tokio::test]
async fn a_full_device_and_a_wrong_password_say_what_to_do() {
    let building = Building::with(|options| options.cards = 1).await;
    let connector = building.connector();
    connector.apply(&desired(building.wish(1), 1, opening(&["a"]))).await.expect("granted");
    let full = connector.apply(&desired(building.wish(2), 1, opening(&["a"]))).await;
    assert!(matches!(full, Err(ConnectorError::Refused(Refusal::NotStored { .. }))), "{full:?}");
    let stranger = building.connector_with(&json!({ "login": "somebody" }));
    let error = stranger.read_back(&building.wish(1).1).await.expect_err("a stranger");
    assert!(error.to_string().contains("check login and password"), "{error}");
}

#[test]
fn what_it_says_of_itself_is_modest() {
    let kind =
        bridge::connector::CONNECTORS.iter().find(|kind| kind.name == "controlid").expect("registered");
    let descriptor = (kind.describe)(&json!(null));
    assert!(descriptor.tested_against.contains("not device-tested"));
    assert_eq!(descriptor.top_ack_without_swipe(), AckLevel::ReadBack);
    assert!(descriptor.verb_limit < Duration::from_secs(30), "a claim is held for so long");
}

#[tokio::test]
async fn wanting_nothing_here_is_absence_here() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a", "c"]))).await.expect("granted");
    connector.apply(&desired(wish, 2, opening(&["c"]))).await.expect("moved");
    assert!(building.devices[0].rows("cards").is_empty() && building.devices[0].rows("users").is_empty());
    connector.apply(&desired(wish, 3, Want::Absent)).await.expect("gone");
    assert!(building.devices[1].rows("cards").is_empty());
}
