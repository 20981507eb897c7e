//! Datagrams of UHPPOTE controllers, which anybody on their network can send.

use std::collections::BTreeMap;

use bridge::connector::DoorEvent;
use bridge::uhppote::message::{
    Ask, CardRecord, CountCards, DeleteCard, GetCard, GetCardAt, GetController, GetDoor, GetEvent,
    GetEventIndex, GetListener, GetStatus, GetTime, Kept, NEWEST, OLDEST, PutCard, RecordSpecialEvents,
    SetDoor, SetEventIndex, SetListener, SetPasscodes, SetTime, Slot,
};
use bridge::uhppote::packet::{LENGTH, Packet};
use bridge::uhppote::pushed;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, offset};

/// What is read of a datagram is what stands in it, and what we would write comes back.
pub fn uhppote_packet(data: &[u8]) {
    let doors = BTreeMap::from([(1, "hq/main".into()), (2, "hq/lab".into())]);
    if let Some(event) = pushed(data, &doors, &TimeZone::fixed(offset(2))) {
        keeps(&event);
    }
    let Some(packet) = Packet::read(data) else { return };
    assert_eq!(packet.as_bytes()[..], *data);
    let (serial, number) = (packet.serial(), u32::from_le_bytes([data[8], data[9], data[10], data[11]]));
    card(serial, number, data);
    event(serial, number, data);
    settings(serial, data);
    let date = Date::constant(2026, 1, 1);
    let put = PutCard { number, from: date, to: date, doors: [1; 4] };
    let _ = (put.decode(serial, data), DeleteCard(number).decode(serial, data));
    let _ = (CountCards.decode(serial, data), GetStatus.decode(serial, data));
    let _ = (GetEventIndex.decode(serial, data), SetEventIndex(number).decode(serial, data));
    let _ = (RecordSpecialEvents(true).decode(serial, data), GetController.decode(serial, data));
    let _ = SetPasscodes { door: data[8], passcodes: [0; 4] }.decode(serial, data);
    let _ = SetTime(DateTime::MIN).decode(serial, data);
}

/// An event is kept as a fact.
fn keeps(event: &DoorEvent) {
    let json = serde_json::to_string(event).expect("an event is JSON");
    let kept: DoorEvent = serde_json::from_str(&json).expect("what was kept is read");
    assert_eq!(kept, *event);
}

/// A request as if it were the answer to another one.
fn answered(request: &Packet, operation: u8) -> [u8; LENGTH] {
    let mut bytes = *request.as_bytes();
    bytes[1] = operation;
    bytes
}

fn card(serial: u32, number: u32, data: &[u8]) {
    if let Some(Slot::Card(card)) = GetCardAt(1).decode(serial, data) {
        assert!(card.number == number && ![0, u32::MAX].contains(&number));
    }
    let Some(Some(card)) = GetCard(number).decode(serial, data) else { return };
    assert_eq!(card.number, number);
    assert_eq!(GetCard(number ^ 1).decode(serial, data), None, "an answer about another card");
    let (Some(from), Some(to)) = (card.from, card.to) else { return };
    let put = PutCard { number, from, to, doors: card.doors }.encode(serial);
    let plain = CardRecord { pin: 0, first_card: 0, ..card };
    assert_eq!(GetCard(number).decode(serial, &answered(&put, GetCard::OPERATION)), Some(Some(plain)));
}

fn event(serial: u32, number: u32, data: &[u8]) {
    for asked in [number, number.wrapping_add(1), OLDEST, NEWEST] {
        if let Some(Kept::Event(event)) = GetEvent(asked).decode(serial, data) {
            assert_eq!(event.index, number);
            assert!([number, OLDEST, NEWEST].contains(&asked), "not the event that was asked for");
        }
    }
}

fn settings(serial: u32, data: &[u8]) {
    if let Some(listener) = GetListener.decode(serial, data) {
        let set = SetListener(listener).encode(serial);
        let again = GetListener.decode(serial, &answered(&set, GetListener::OPERATION));
        assert_eq!(again, Some(listener));
    }
    if let Some(door) = GetDoor(data[8]).decode(serial, data)
        && let Some(mode) = door.mode
    {
        let set = SetDoor { door: door.door, mode, delay: door.delay }.encode(serial);
        let again = GetDoor(door.door).decode(serial, &answered(&set, GetDoor::OPERATION));
        assert_eq!(again, Some(door));
    }
    if let Some(Some(time)) = GetTime.decode(serial, data) {
        let set = SetTime(time).encode(serial);
        let again = GetTime.decode(serial, &answered(&set, GetTime::OPERATION));
        assert_eq!(again, Some(Some(time)));
    }
}
