//! The suite that every connector passes, and what only this one must do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bridge::card::Card;
use bridge::conformance::{ConformanceTarget as _, run};
use bridge::connector::{
    self, Access, ConnectorError, Deviation, EventKind, Finding, Opening, Reading, Refusal, Rights, Version,
    Want, take_inventory,
};
use kernel::Ctx;
use serde_json::json;
use sim::uhppote::{Card as Held, Controller, ControllerOptions, Misbehaviour};
use tokio::net::UdpSocket;

use crate::building::{Building, SERIALS, desired, held, number, opening};

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_keeps_every_rule() {
    let broken = run(&Building::open().await).await;
    assert!(broken.is_empty(), "{}", broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn every_request_is_one_that_the_panel_understands() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a", "c"]))).await.expect("granted");
    connector.list(None).await.expect("listed");
    connector.events(None).await.expect("read");
    connector.health().await;
    connector.revoke(&wish.1, None).await.expect("revoked");
    for panel in &building.panels {
        assert_eq!(panel.rejections(), [], "at {}", panel.serial());
    }
}

#[tokio::test]
async fn one_controller_out_of_reach_leaves_the_other_served_and_is_named() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a", "b", "c"]))).await.expect("granted");
    building.panels[1].misbehave(Misbehaviour::Silent);

    let error = connector.revoke(&wish.1, Some(Version { credential: wish.0, number: 2 })).await;
    let error = error.expect_err("one controller is silent");
    assert_eq!(error.missing(), ["c".into()], "{error}");
    assert!(!building.panels[0].swipe(number(&wish.1), 1).granted, "the reachable door is shut already");
    assert!(building.panels[1].swipe(number(&wish.1), 1).granted, "the other still opens: that is exposure");

    let seen = connector.read_back(&wish.1).await.expect("half is read");
    assert_eq!(seen.unread().collect::<Vec<_>>(), [&"c".into()]);
    assert!(!seen.is_absent(), "absence is not claimed for what was not read");
    for point in ["a", "b"] {
        assert_eq!(seen.points[&point.into()], Reading::Absent, "{point}");
    }

    let page = connector.list(None).await.expect("half is read");
    assert_eq!((page.unread, page.next), (vec!["c".into()], None));
    building.panels[0].plant(held(77, [1, 0, 0, 0]));
    let inventory = take_inventory(&*connector).await.expect("half is read");
    assert_eq!(inventory.unread, BTreeSet::from(["c".into()]));
    assert_eq!(inventory.cards[&Card::h10301(0, 77)].unread().collect::<Vec<_>>(), [&"c".into()]);
    let page = connector.events(None).await.expect("half is read");
    assert_eq!(page.unread.keys().collect::<Vec<_>>(), [&"c".into()]);
    assert!(page.unread[&"c".into()].contains("did not answer"), "{page:?}");
    let health = connector.health().await;
    let silent: Vec<_> =
        health.units.iter().map(|unit| (unit.unit.as_str(), unit.unreachable.is_some())).collect();
    assert_eq!(silent, [("303986753", true), ("405419896", false)]);

    building.panels[1].behave();
    connector.revoke(&wish.1, Some(Version { credential: wish.0, number: 2 })).await.expect("revoked");
    assert!(connector.read_back(&wish.1).await.expect("read").is_absent());
}

#[tokio::test]
async fn a_card_without_rights_at_a_controller_is_not_on_its_list() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    connector.apply(&desired(wish, 1, opening(&["a", "c"]))).await.expect("granted");
    connector.apply(&desired(wish, 2, opening(&["a"]))).await.expect("granted");
    assert_eq!(building.panels[0].cards(), [held(number(&wish.1), [1, 0, 0, 0])]);
    assert_eq!(building.panels[1].cards(), []);
}

#[tokio::test]
async fn time_profiles_and_days_reach_the_panel_as_they_are() {
    let building = Building::open().await;
    let connector = building.connector();
    let (credential, card) = building.wish(1);
    let access = [("a".into(), Access::TimeProfile(29)), ("b".into(), Access::Always)].into();
    let (from, to) = (jiff::civil::date(2026, 11, 1), jiff::civil::date(2026, 11, 21));
    let want = Want::Present(Rights { access, valid_from: Some(from), valid_to: Some(to) });
    connector.apply(&desired((credential, card), 1, want.clone())).await.expect("granted");
    assert_eq!(building.panels[0].cards(), [Held { from, to, ..held(number(&card), [29, 1, 0, 0]) }]);
    assert!(connector.read_back(&card).await.expect("read").meets(&want));
    // The test clock stands at 2026-11-22: the last day is over.
    assert!(!building.panels[0].swipe(number(&card), 2).granted);
}

#[tokio::test]
async fn what_the_panel_cannot_hold_is_refused_in_words() {
    let building = Building::open().await;
    let connector = building.connector();
    let (credential, card) = building.wish(1);
    let rights = |access, from: Option<&str>, to: Option<&str>| {
        let day = |day: Option<&str>| day.map(|day| day.parse().expect("a day"));
        Want::Present(Rights {
            access: [("a".into(), access)].into(),
            valid_from: day(from),
            valid_to: day(to),
        })
    };
    let always = || rights(Access::Always, None, None);
    for (card, want, words) in [
        (
            "h10302:12345678",
            always(),
            "this door system cannot hold card h10302:12345678: its readers send 26 bits (h10301), not h10302",
        ),
        (
            "uid:04a1b2c3",
            always(),
            "this door system cannot hold card uid:04a1b2c3: its readers send 26 bits (h10301), not uid",
        ),
        ("h10301:0:0", always(), "this door system cannot hold card h10301:0:0: it takes 0 for no card"),
        (
            "native:12399999",
            always(),
            "this door system cannot hold card native:12399999: a native number is what a sweep found, it cannot be granted",
        ),
        (
            "h10301:1:1",
            rights(Access::TimeProfile(1), None, None),
            "no time profile 1: this door system numbers them 2 to 254",
        ),
        (
            "h10301:1:1",
            rights(Access::TimeProfile(255), None, None),
            "no time profile 255: this door system numbers them 2 to 254",
        ),
        (
            "h10301:1:1",
            rights(Access::Always, None, Some("2100-01-01")),
            "not a period this door system can hold: 2000-01-01 to 2100-01-01 (days of 2000-01-01 to 2099-12-31, the last not before the first)",
        ),
    ] {
        let desired = desired((credential, card.parse().expect("a card")), 1, want);
        let refusal = connector.check(&desired).expect_err(card);
        assert_eq!(refusal.to_string(), words);
        assert_eq!(connector.apply(&desired).await, Err(ConnectorError::Refused(refusal)));
    }
    assert_eq!(building.requests().await, 0);
    assert!(connector.check(&desired((credential, card), 1, always())).is_ok());
}

#[tokio::test]
async fn a_full_panel_is_a_refusal_that_names_it() {
    let building = Building::with(|options| ControllerOptions { cards: 1, ..options }).await;
    let connector = building.connector();
    let [first, second] = [1, 2].map(|n| building.wish(n));
    connector.apply(&desired(first, 1, opening(&["a"]))).await.expect("granted");
    let full = connector.apply(&desired(second, 1, opening(&["a"]))).await;
    let unit = "controller 405419896".to_owned();
    assert_eq!(full, Err(ConnectorError::Refused(Refusal::NotStored { unit, card: second.1 })));
    // A place becomes free and the caller tries again.
    connector.revoke(&first.1, None).await.expect("revoked");
    connector.apply(&desired(second, 1, opening(&["a"]))).await.expect("granted");
}

#[tokio::test]
async fn a_slow_grant_delays_no_revocation() {
    let building = Building::open().await;
    let connector = building.connector();
    let [stuck, leaver] = [1, 2].map(|n| building.wish(n));
    connector.apply(&desired(leaver, 1, opening(&["a"]))).await.expect("granted");
    // The grant's first reply is lost: its lane is now held until the second attempt.
    building.panels[0].misbehave(Misbehaviour::DropReplies(1));
    let wish = desired(stuck, 1, opening(&["a"]));
    let grant = connector.apply(&wish);
    let revocation = async {
        while building.panels[0].cards().len() < 2 {
            tokio::task::yield_now().await;
        }
        connector.revoke(&leaver.1, None).await.expect("revoked");
        assert!(connector.read_back(&leaver.1).await.expect("read").is_absent());
    };
    tokio::pin!(grant);
    tokio::select! {
        biased;
        granted = &mut grant => panic!("the revocation waited for the grant: {granted:?}"),
        () = revocation => (),
    }
    grant.await.expect("granted");
}

#[tokio::test]
async fn a_revocation_undoes_a_grant_of_its_card_that_is_under_way() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    building.panels[0].misbehave(Misbehaviour::DropReplies(1));
    let wanted = desired(wish, 1, opening(&["a"]));
    let grant = connector.apply(&wanted);
    let revocation = async {
        while building.panels[0].cards().is_empty() {
            tokio::task::yield_now().await;
        }
        connector.revoke(&wish.1, Some(Version { credential: wish.0, number: 2 })).await
    };
    let (granted, revoked) = tokio::join!(grant, revocation);
    assert_eq!(granted, Err(ConnectorError::Superseded { highest: 2 }));
    revoked.expect("revoked");
    assert_eq!(building.panels[0].cards(), []);
    assert_eq!(building.deletions(0), 2, "one at once, one when the grant was over");
    let puts = building.panels[0].requests().iter().filter(|seen| seen.operation == 0x50).count();
    assert_eq!(puts, 1, "an overtaken grant is not sent again");
}

/// A network before a controller that holds back whatever puts a card on the list.
async fn network_that_delays_puts(panel: std::net::SocketAddrV4, by: Duration) -> std::net::SocketAddr {
    let entry = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
    let address = entry.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = entry.recv_from(&mut buffer).await {
            let (entry, request) = (Arc::clone(&entry), buffer[..length].to_vec());
            tokio::spawn(async move {
                if request[1] == 0x50 {
                    tokio::time::sleep(by).await;
                }
                let (exit, mut reply) = (UdpSocket::bind("127.0.0.1:0").await.expect("a free port"), [0; 64]);
                exit.send_to(&request, panel).await.expect("sent");
                if let Ok(length) = exit.recv(&mut reply).await {
                    let _ = entry.send_to(&reply[..length], from).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_grant_that_a_revocation_overtakes_on_the_network_leaves_nothing_behind() {
    let building = Building::open().await;
    let delay = Duration::from_millis(100);
    let address = network_that_delays_puts(building.panels[0].address(), delay).await;
    let controllers = json!([{"serial": SERIALS[0], "address": address.to_string(), "doors": {"1": "a"}}]);
    let connector = building.connector_with(&json!({"controllers": controllers}));
    let wish = building.wish(1);
    let wanted = desired(wish, 1, opening(&["a"]));
    let revocation = async {
        // The put is on its way by now, and the deletion will be there first.
        tokio::time::sleep(delay / 5).await;
        connector.revoke(&wish.1, Some(Version { credential: wish.0, number: 2 })).await
    };
    let (granted, revoked) = tokio::join!(connector.apply(&wanted), revocation);
    assert_eq!(granted, Err(ConnectorError::Superseded { highest: 2 }));
    revoked.expect("revoked");
    let operations: Vec<u8> = building.panels[0].requests().iter().map(|seen| seen.operation).collect();
    assert_eq!(operations, [0x52, 0x50, 0x52], "deleted at once, then put, then deleted again");
    assert!(connector.read_back(&wish.1).await.expect("read").is_absent());
}

#[tokio::test]
async fn what_others_set_beyond_our_wishes_is_a_deviation_and_goes_with_the_next_grant() {
    let building = Building::open().await;
    let connector = building.connector();
    let wish = building.wish(1);
    building.panels[0].plant(Held { pin: 7531, first_card: 1, ..held(number(&wish.1), [1, 0, 1, 0]) });
    let seen = connector.read_back(&wish.1).await.expect("read");
    let unnamed = Deviation::UnnamedDoor { unit: SERIALS[0].to_string(), door: 3 };
    assert_eq!(seen.deviations, BTreeSet::from([Deviation::Pin, Deviation::FirstCard, unnamed]));
    let want = opening(&["a"]);
    assert!(!seen.meets(&want));
    connector.apply(&desired(wish, 1, want.clone())).await.expect("granted");
    assert!(connector.read_back(&wish.1).await.expect("read").meets(&want));
    assert_eq!(building.panels[0].cards(), [held(number(&wish.1), [1, 0, 0, 0])]);
}

#[tokio::test]
async fn an_orphan_of_no_known_format_is_found_and_can_be_removed() {
    let building = Building::open().await;
    let connector = building.connector();
    building.panels[1].plant(held(4_000_000_000, [1, 0, 0, 0]));
    let page = connector.list(None).await.expect("listed");
    let orphan: Card = "native:4000000000".parse().expect("a card");
    assert_eq!(page.listed.iter().map(|listed| listed.card).collect::<Vec<_>>(), [orphan]);
    assert_eq!(page.listed[0].seen.points.keys().collect::<Vec<_>>(), [&"c".into()]);
    connector.revoke(&orphan, None).await.expect("revoked");
    assert!(connector.read_back(&orphan).await.expect("read").is_absent());
    assert_eq!(building.panels[1].cards(), []);
}

#[tokio::test]
async fn events_that_were_overwritten_are_a_gap_and_the_rest_is_read() {
    let building = Building::with(|options| ControllerOptions { events: 10, ..options }).await;
    let connector = building.connector();
    let swipe = |n: u32| building.panels[0].swipe(12_300_000 + n, 1);
    for n in 1..=3 {
        assert!(!swipe(n).granted);
    }
    let page = connector.events(None).await.expect("read");
    assert_eq!((page.events.len(), page.gaps.len()), (3, 0));
    for n in 4..=25 {
        assert!(!swipe(n).granted);
    }
    let page = connector.events(Some(&page.next)).await.expect("read");
    let gaps: Vec<_> = page.gaps.iter().map(|gap| (gap.unit.as_str(), gap.from, gap.to)).collect();
    assert_eq!(gaps, [("405419896", 4, Some(15))]);
    assert_eq!(
        page.events.iter().map(|event| event.index).collect::<Vec<_>>(),
        (16..=25).collect::<Vec<_>>()
    );
    let page = connector.events(Some(&page.next)).await.expect("read");
    assert!(page.events.is_empty() && page.gaps.is_empty(), "a gap is named once: {page:?}");
}

#[tokio::test]
async fn a_replaced_controller_counts_anew_and_loses_nothing_of_its_own() {
    let building = Building::open().await;
    let connector = building.connector();
    for n in 1..=5 {
        assert!(!building.panels[0].swipe(n, 1).granted);
    }
    let page = connector.events(None).await.expect("read");
    let cursor = page.next;
    let before: BTreeSet<String> = page.events.into_iter().map(|event| event.id).collect();

    // Another device with the same serial number and an empty log, a minute later.
    let mut replaced = Building::open().await;
    replaced.ctx = building.ctx.clone();
    replaced.ctx.advance_for_tests(Duration::from_secs(60));
    let clock = replaced.ctx.clone();
    let options = ControllerOptions::new(Arc::new(move || clock.now().to_jiff().expect("our century")));
    replaced.panels[0] = Controller::start(SERIALS[0], options).await.expect("a free port");
    for events in [2, 10] {
        // First it has told less than the old one, then more: neither is mistaken for a continuation.
        while replaced.panels[0].events().len() < events {
            assert!(!replaced.panels[0].swipe(77, 1).granted);
        }
        let page = replaced.connector().events(Some(&cursor)).await.expect("read");
        let gaps: Vec<_> = page.gaps.iter().map(|gap| (gap.from, gap.to)).collect();
        assert_eq!(gaps, [(6, None)], "with {events} events");
        assert_eq!(page.events.len(), events);
        assert!(page.events.iter().all(|event| !before.contains(&event.id)), "ids are never used twice");
    }
}

#[tokio::test]
async fn pushed_events_of_firmware_6_62_are_hints_too() {
    let building =
        Building::with(|options| ControllerOptions { firmware: sim::uhppote::Firmware::V6_62, ..options })
            .await;
    let connector = building.connector();
    let hinted = connector.hinted();
    tokio::pin!(hinted);
    for _ in 0..30 {
        assert!(!building.panels[1].swipe(1, 1).granted);
        if tokio::time::timeout(Duration::from_millis(100), &mut hinted).await.is_ok() {
            let page = connector.events(None).await.expect("read");
            assert!(page.events.iter().any(|event| matches!(event.kind, EventKind::Denied(_))));
            return;
        }
    }
    panic!("30 swipes and no hint");
}

/// Whoever reaches the port may send anything. Nothing of it is believed, and what is no event of ours is not even a
/// hint.
#[tokio::test]
async fn what_is_no_event_of_a_controller_of_ours_is_no_hint_and_the_next_one_is_heard() {
    let building = Building::open().await;
    let ear = UdpSocket::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("its address");
    let connector = building.connector_with(&json!({"listen": ear.to_string()}));
    let hinted = connector.hinted();
    tokio::pin!(hinted);
    let wait = Duration::from_millis(30);
    assert!(tokio::time::timeout(wait, &mut hinted).await.is_err(), "nobody has said anything");
    let here = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let elsewhere = UdpSocket::bind("127.0.0.2:0").await.expect("a free port");
    let mut event = [0_u8; 64];
    event[..2].copy_from_slice(&[0x17, 0x20]);
    event[4..8].copy_from_slice(&SERIALS[1].to_le_bytes());
    let otherwise = |at: usize, byte: u8| {
        let mut datagram = event.to_vec();
        datagram[at] = byte;
        datagram
    };
    for (what, from, datagram) in [
        ("nothing", &here, vec![]),
        ("a byte", &here, vec![0x17]),
        ("an event cut short", &here, event[..63].to_vec()),
        ("an event and a byte", &here, [&event[..], &[0]].concat()),
        ("much more", &here, event.repeat(100)),
        ("another protocol", &here, otherwise(0, 0x18)),
        ("an answer", &here, otherwise(1, 0x5a)),
        ("an event of no controller of ours", &here, otherwise(4, 0)),
        ("an event from elsewhere", &elsewhere, event.to_vec()),
    ] {
        from.send_to(&datagram, ear).await.expect("it is sent");
        assert!(tokio::time::timeout(wait, &mut hinted).await.is_err(), "{what} is no hint");
    }
    here.send_to(&event, ear).await.expect("it is sent");
    tokio::time::timeout(Duration::from_secs(5), &mut hinted).await.expect("it listens still");
    let page = connector.events(None).await.expect("read");
    assert!(page.events.is_empty(), "what was sent has not happened: {page:?}");
}

#[tokio::test]
async fn a_system_without_a_listening_address_promises_no_push() {
    let building = Building::open().await;
    let connector = building.connector_with(&json!({"listen": null}));
    assert!(!connector.descriptor().events.push);
    let waited = tokio::time::timeout(Duration::from_millis(20), connector.hinted()).await;
    assert!(waited.is_err(), "a hint out of nowhere");
}

#[tokio::test]
async fn health_tells_what_weakens_the_promise() {
    let building = Building::open().await;
    let connector = building.connector();
    let units = connector.health().await.units;
    assert_eq!(units.len(), 2);
    for unit in &units {
        assert_eq!(unit.findings, [], "{unit:?}");
        assert_eq!((unit.cards, unit.clock_drift_seconds), (Some(0), Some(0)));
        assert_eq!(unit.firmware.as_deref(), Some("v8.92"));
    }

    let hour_off = building.connector_with(&json!({"time_zone": "Africa/Lagos"}));
    let units = hour_off.health().await.units;
    assert_eq!(units[0].findings, [Finding::Clock { seconds: -3600 }]);
}

#[tokio::test]
async fn a_secret_is_refused_rather_than_silently_ignored() {
    let config = json!({"controllers": [{"serial": 1, "address": "127.0.0.1:60000", "doors": {"1": "a"}}]});
    let secret = Some(kernel::Secret::new("hush".to_owned()));
    let ctx = Ctx::for_tests(1);
    let opening = Opening { secret, ..Opening::new(&ctx, &config) };
    let error = connector::open("uhppote", opening).expect_err("no secret");
    assert!(error.to_string().starts_with("secret: these controllers know no secret"), "{error}");
}
