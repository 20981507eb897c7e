use std::sync::Arc;

use jiff::civil::{date, time};
use jiff::tz::TimeZone;

use super::super::profile::Segment;
use super::*;

const SERIAL: u32 = 405_419_896;

/// Monday 2 March 2026, 12:00:00 UTC, plus that many seconds.
fn at(seconds: i64) -> Timestamp {
    let noon = date(2026, 3, 2).at(12, 0, 0, 0).in_tz("UTC").unwrap().timestamp();
    noon + SignedDuration::from_secs(seconds)
}

fn noon() -> DateTime {
    date(2026, 3, 2).at(12, 0, 0, 0)
}

fn options() -> ControllerOptions {
    ControllerOptions::new(Arc::new(|| at(0)))
}

fn panel_with(options: &ControllerOptions) -> Panel {
    Panel::new(SERIAL, "127.0.0.1:60000".parse().unwrap(), options)
}

fn panel() -> Panel {
    panel_with(&options())
}

fn card(number: u32) -> Card {
    Card {
        number,
        from: date(2026, 1, 1),
        to: date(2026, 12, 31),
        doors: [1, 0, 29, 1],
        pin: 7531,
        first_card: 0b0101,
    }
}

fn reply(operation: u8) -> Packet {
    Packet::new(operation, SERIAL)
}

/// Asks, and compares the reply byte by byte.
#[track_caller]
fn check(panel: &mut Panel, request: Request, expect: Packet) {
    let answer = panel.answer(request.clone(), at(0));
    assert_eq!(answer.reply.0, expect.0, "{request:?}");
}

#[test]
fn it_says_who_it_is() {
    let expect = reply(0x94)
        .put(8, [127, 0, 0, 1])
        .put(12, [255, 255, 255, 0])
        .put(20, [0x02, 0x00, 0x18, 0x2a, 0x37, 0x78])
        .put(26, [0x08, 0x92])
        .put(28, [0x20, 0x21, 0x08, 0x10]);
    check(&mut panel(), Request::Identify, expect.clone());
    let old = ControllerOptions { firmware: Firmware::V6_62, ..options() };
    check(&mut panel_with(&old), Request::Identify, expect.put(26, [0x06, 0x62]));
}

#[test]
fn a_card_is_put_read_back_by_number_and_by_slot_and_deleted() {
    let mut panel = panel();
    let held = |operation, number: u32| {
        reply(operation)
            .u32(8, number)
            .put(12, [0x20, 0x26, 0x01, 0x01])
            .put(16, [0x20, 0x26, 0x12, 0x31])
            .put(20, [1, 0, 29, 1])
            .u24(24, 7531)
            .u8(27, 0b0101)
    };
    check(&mut panel, Request::CountCards, reply(0x58));
    check(&mut panel, Request::PutCard(card(11)), reply(0x50).u8(8, 1));
    check(&mut panel, Request::PutCard(card(12)), reply(0x50).u8(8, 1));
    check(&mut panel, Request::PutCard(card(11)), reply(0x50).u8(8, 1));
    check(&mut panel, Request::CountCards, reply(0x58).u32(8, 2));
    check(&mut panel, Request::Card(11), held(0x5a, 11));
    check(&mut panel, Request::Card(13), reply(0x5a));
    check(&mut panel, Request::CardAt(2), held(0x5c, 12));
    check(&mut panel, Request::CardAt(3), reply(0x5c));

    check(&mut panel, Request::DeleteCard(11), reply(0x52).u8(8, 1));
    check(&mut panel, Request::DeleteCard(11), reply(0x52)); // absent: not an ok, and not an error either
    check(&mut panel, Request::Card(11), reply(0x5a));
    check(&mut panel, Request::CardAt(1), reply(0x5c).u32(8, 0xffff_ffff));
    check(&mut panel, Request::CountCards, reply(0x58).u32(8, 1));

    check(&mut panel, Request::DeleteAllCards, reply(0x54).u8(8, 1));
    check(&mut panel, Request::CountCards, reply(0x58));
    check(&mut panel, Request::CardAt(1), reply(0x5c));
}

#[test]
fn a_card_that_does_not_fit_is_refused() {
    let mut panel = panel_with(&ControllerOptions { cards: 1, ..options() });
    check(&mut panel, Request::PutCard(card(0)), reply(0x50));
    check(&mut panel, Request::PutCard(card(u32::MAX)), reply(0x50));
    check(&mut panel, Request::PutCard(Card { pin: 1_000_000, ..card(11) }), reply(0x50));
    check(&mut panel, Request::PutCard(card(11)), reply(0x50).u8(8, 1));
    check(&mut panel, Request::PutCard(card(12)), reply(0x50));
    assert_eq!(panel.cards(), [card(11)]);
}

#[test]
fn its_clock_is_local_and_can_be_set() {
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let mut panel = panel_with(&ControllerOptions { zone, ..options() });
    check(&mut panel, Request::Time, reply(0x32).put(8, [0x20, 0x26, 0x03, 0x02, 0x13, 0, 0]));
    let to = date(2031, 12, 31).at(23, 59, 58, 0);
    let bytes = [0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0x58];
    check(&mut panel, Request::SetTime(to), reply(0x30).put(8, bytes));
    check(&mut panel, Request::Time, reply(0x32).put(8, bytes));
    let later = panel.answer(Request::Time, at(3)).reply;
    assert_eq!(later.0, reply(0x32).put(8, [0x20, 0x32, 0x01, 0x01, 0, 0, 0x01]).0);
}

#[test]
fn validity_follows_the_panels_own_clock() {
    let mut panel = panel();
    panel.put(card(11));
    assert!(panel.swipe(11, 0, at(0)).0.granted);
    panel.answer(Request::SetTime(date(2027, 1, 1).at(0, 0, 0, 0)), at(0));
    assert_eq!(panel.swipe(11, 0, at(0)).0.reason, reason::NOT_NOW);
    // Six hours west of us it is still the last day of the year.
    let zone = TimeZone::fixed(jiff::tz::offset(-6));
    let mut west = panel_with(&ControllerOptions { zone, ..options() });
    west.put(card(11));
    let midnight = date(2027, 1, 1).at(5, 59, 59, 0).in_tz("UTC").unwrap().timestamp();
    assert!(west.swipe(11, 0, midnight).0.granted);
    assert!(!west.swipe(11, 0, midnight + SignedDuration::from_secs(1)).0.granted);
}

#[test]
fn doors_keep_their_settings() {
    let mut panel = panel();
    check(&mut panel, Request::Door(3), reply(0x82).put(8, [4, 3, 5]));
    let shut = Door { mode: DoorMode::NormallyClosed, delay: 17 };
    check(&mut panel, Request::SetDoor(3, shut), reply(0x80).put(8, [4, 2, 17]));
    check(&mut panel, Request::Door(3), reply(0x82).put(8, [4, 2, 17]));
    check(&mut panel, Request::Door(0), reply(0x82).put(8, [1, 3, 5]));
}

#[test]
fn opening_over_the_network_is_an_event_and_a_shut_door_stays_shut() {
    let mut panel = panel();
    let shut = Door { mode: DoorMode::NormallyClosed, delay: 5 };
    panel.answer(Request::SetDoor(1, shut), at(0));
    let opened = panel.answer(Request::OpenDoor(0), at(0));
    assert_eq!(opened.reply.0, reply(0x40).u8(8, 1).0);
    let event = opened.event.unwrap();
    let expect = (1, kind::DOOR, true, 1, 0, noon(), reason::REMOTE);
    let seen = (event.index, event.kind, event.granted, event.door, event.card, event.at, event.reason);
    assert_eq!(seen, expect);
    let refused = panel.answer(Request::OpenDoor(1), at(0));
    assert_eq!(refused.reply.0, reply(0x40).0);
    assert_eq!(refused.event, None);
    assert_eq!(panel.events().len(), 1);
}

#[test]
fn relays_show_which_locks_are_released() {
    let mut panel = panel();
    panel.put(card(11));
    let relays = |panel: &mut Panel, seconds| panel.answer(Request::Status, at(seconds)).reply.0[49];
    assert_eq!(relays(&mut panel, 0), 0);
    assert!(panel.swipe(11, 0, at(0)).0.granted);
    assert!(panel.swipe(11, 3, at(2)).0.granted);
    assert!(!panel.swipe(11, 1, at(2)).0.granted);
    assert_eq!(relays(&mut panel, 4), 0b1001);
    assert_eq!(relays(&mut panel, 5), 0b1000);
    assert_eq!(relays(&mut panel, 7), 0);
    panel.answer(Request::SetDoor(1, Door { mode: DoorMode::NormallyOpen, delay: 5 }), at(0));
    assert_eq!(relays(&mut panel, 7), 0b0010);
}

#[test]
fn a_swipe_is_decided_released_and_stored() {
    let mut panel = panel();
    panel.put(card(12_345_678));
    let mut check = |number, door: usize, granted, reason| {
        let (swipe, event) = panel.swipe(number, door - 1, at(0));
        assert_eq!((swipe.granted, swipe.reason), (granted, reason), "{number} at {door}");
        let index = swipe.event;
        let door = door as u8;
        let expect =
            Event { index, kind: kind::SWIPE, granted, door, direction: 1, card: number, at: noon(), reason };
        assert_eq!(event, expect);
        assert_eq!(panel.events().last(), Some(&event));
    };
    check(12_345_678, 1, true, reason::GRANTED);
    check(12_345_678, 2, false, reason::NO_RIGHT);
    check(12_345_678, 3, false, reason::NOT_NOW);
    check(12_345_679, 1, false, reason::UNKNOWN);
    check(0, 1, false, reason::UNKNOWN);
    assert!(panel.delete(12_345_678));
    assert_eq!(panel.swipe(12_345_678, 0, at(0)).0.reason, reason::UNKNOWN);
}

#[test]
fn a_time_profile_is_set_read_back_obeyed_and_cleared() {
    let mut panel = panel();
    panel.put(card(11));
    let profile = Profile {
        id: 29,
        from: date(2026, 1, 1),
        to: date(2026, 12, 31),
        weekdays: [true, false, false, false, false, false, true],
        segments: [
            Segment { start: time(8, 30, 0, 0), end: time(17, 45, 0, 0) },
            Segment::default(),
            Segment { start: time(20, 0, 0, 0), end: time(21, 0, 0, 0) },
        ],
        linked: 30,
    };
    let expect = reply(0x98)
        .u8(8, 29)
        .put(9, [0x20, 0x26, 0x01, 0x01])
        .put(13, [0x20, 0x26, 0x12, 0x31])
        .put(17, [1, 0, 0, 0, 0, 0, 1])
        .put(24, [0x08, 0x30, 0x17, 0x45, 0, 0, 0, 0, 0x20, 0, 0x21, 0])
        .u8(36, 30);
    check(&mut panel, Request::Profile(29), reply(0x98));
    check(&mut panel, Request::SetProfile(profile.clone()), reply(0x88).u8(8, 1));
    check(&mut panel, Request::SetProfile(Profile { id: 1, ..profile }), reply(0x88));
    check(&mut panel, Request::Profile(29), expect);
    assert!(panel.swipe(11, 2, at(0)).0.granted); // Monday noon
    assert!(!panel.swipe(11, 2, at(6 * 3600)).0.granted); // Monday evening
    check(&mut panel, Request::ClearProfiles, reply(0x8a).u8(8, 1));
    check(&mut panel, Request::Profile(29), reply(0x98));
    assert!(!panel.swipe(11, 2, at(0)).0.granted);
}

#[test]
fn events_are_read_by_number_and_status_carries_the_last() {
    let mut panel = panel_with(&ControllerOptions { events: 2, ..options() });
    panel.put(card(11));
    let status = reply(0x20).put(37, [0x12, 0, 0]).put(51, [0x26, 0x03, 0x02]);
    check(&mut panel, Request::Status, status.clone());
    check(&mut panel, Request::Event(u32::MAX), reply(0xb0));
    for number in [11, 12, 13] {
        panel.swipe(number, 1, at(-60));
    }
    let event = |packet: Packet| {
        packet
            .u32(8, 3)
            .put(12, [kind::SWIPE, 0, 2, 1])
            .u32(16, 13)
            .put(20, [0x20, 0x26, 0x03, 0x02, 0x11, 0x59, 0, reason::UNKNOWN])
    };
    check(&mut panel, Request::Event(u32::MAX), event(reply(0xb0)));
    check(&mut panel, Request::Event(3), event(reply(0xb0)));
    check(&mut panel, Request::Event(4), reply(0xb0));
    check(&mut panel, Request::Event(1), reply(0xb0).u32(8, 1).u8(12, kind::OVERWRITTEN));
    check(&mut panel, Request::Status, event(status));
}

#[test]
fn the_event_index_is_a_register_for_the_client() {
    let mut panel = panel();
    check(&mut panel, Request::EventIndex, reply(0xb4));
    check(&mut panel, Request::SetEventIndex(17), reply(0xb2).u8(8, 1));
    check(&mut panel, Request::SetEventIndex(17), reply(0xb2));
    check(&mut panel, Request::EventIndex, reply(0xb4).u32(8, 17));
}

#[test]
fn a_listener_is_set_read_back_and_unset() {
    let mut panel = panel();
    check(&mut panel, Request::Listener, reply(0x92));
    assert_eq!(panel.listener(), None);
    let to = "127.0.0.1:60001".parse().unwrap();
    check(&mut panel, Request::SetListener(to, 15), reply(0x90).u8(8, 1));
    check(&mut panel, Request::Listener, reply(0x92).put(8, [127, 0, 0, 1, 0x61, 0xea, 15]));
    assert_eq!(panel.listener(), Some(to));
    check(&mut panel, Request::SetListener("0.0.0.0:0".parse().unwrap(), 0), reply(0x90).u8(8, 1));
    assert_eq!(panel.listener(), None);
}

#[test]
fn a_pushed_event_looks_like_a_status_and_old_firmware_begins_it_with_19() {
    for (firmware, start) in [(Firmware::V8_92, 0x17), (Firmware::V6_62, 0x19)] {
        let mut panel = panel_with(&ControllerOptions { firmware, ..options() });
        let (_, event) = panel.swipe(11, 0, at(0));
        let push = panel.push(&event, at(0));
        assert_eq!(push.0[0], start);
        assert_eq!(push.0[1..], panel.answer(Request::Status, at(0)).reply.0[1..]);
    }
}

#[test]
fn passcodes_and_special_events_are_kept() {
    let mut panel = panel();
    check(&mut panel, Request::SetPasscodes(1, [1, 2, 999_999, 0]), reply(0x8c).u8(8, 1));
    check(&mut panel, Request::SetPasscodes(1, [1_000_000, 0, 0, 0]), reply(0x8c));
    assert_eq!(panel.passcodes(1), [1, 2, 999_999, 0]);
    assert_eq!(panel.passcodes(0), [0; 4]);
    check(&mut panel, Request::RecordSpecialEvents(true), reply(0x8e).u8(8, 1));
    assert!(panel.records_special_events());
}
