//! The panel itself: what it holds, what it answers, what it decides. No sockets and no clock in here.

use std::net::SocketAddrV4;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::card::{self, Card, CardList, Slot};
use super::controller::{ControllerOptions, Firmware};
use super::decision::{Swipe, decide, reason};
use super::event::{Event, EventRing, Found, kind};
use super::packet::Packet;
use super::profile::{Profile, Profiles};
use super::request::Request;

/// How a door behaves, whatever cards say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorMode {
    /// 1: stands open.
    NormallyOpen,
    /// 2: stays shut.
    NormallyClosed,
    /// 3: opens for cards.
    Controlled,
}

impl DoorMode {
    fn code(self) -> u8 {
        match self {
            Self::NormallyOpen => 1,
            Self::NormallyClosed => 2,
            Self::Controlled => 3,
        }
    }
}

/// The settings of one door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Open, shut, or by card.
    pub mode: DoorMode,
    /// Seconds that the lock stays released.
    pub delay: u8,
}

/// One lock: its settings and until when it is released.
#[derive(Debug)]
struct Lock {
    door: Door,
    released_until: DateTime,
    passcodes: [u32; 4],
}

/// Everything that survives a power cut.
#[derive(Debug)]
pub(super) struct Panel {
    serial: u32,
    firmware: Firmware,
    address: SocketAddrV4,
    zone: jiff::tz::TimeZone,
    /// What `set-time` added to the clock we were given.
    drift: SignedDuration,
    cards: CardList,
    profiles: Profiles,
    locks: [Lock; 4],
    special_events: bool,
    listener: SocketAddrV4,
    interval: u8,
    events: EventRing,
    event_index: u32,
}

/// What a request brought about: a reply, and perhaps an event for the listener.
pub(super) struct Answer {
    pub(super) reply: Packet,
    pub(super) event: Option<Event>,
}

impl Panel {
    pub(super) fn new(serial: u32, address: SocketAddrV4, options: &ControllerOptions) -> Self {
        let lock = || Lock {
            door: Door { mode: DoorMode::Controlled, delay: 5 },
            released_until: DateTime::MIN,
            passcodes: [0; 4],
        };
        Self {
            serial,
            firmware: options.firmware,
            address,
            zone: options.zone.clone(),
            drift: SignedDuration::ZERO,
            cards: CardList::new(options.cards),
            profiles: Profiles::default(),
            locks: [lock(), lock(), lock(), lock()],
            special_events: false,
            listener: SocketAddrV4::new([0, 0, 0, 0].into(), 0),
            interval: 0,
            events: EventRing::new(options.events),
            event_index: 0,
        }
    }

    pub(super) fn cards(&self) -> Vec<Card> {
        self.cards.iter().cloned().collect()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }

    pub(super) fn passcodes(&self, door: usize) -> [u32; 4] {
        self.locks[door].passcodes
    }

    pub(super) fn records_special_events(&self) -> bool {
        self.special_events
    }

    /// Where events are pushed to, if anywhere.
    pub(super) fn listener(&self) -> Option<SocketAddrV4> {
        let set = !self.listener.ip().is_unspecified() && self.listener.port() != 0;
        set.then_some(self.listener)
    }

    pub(super) fn put(&mut self, card: Card) -> bool {
        self.cards.put(card)
    }

    pub(super) fn delete(&mut self, number: u32) -> bool {
        self.cards.delete(number)
    }

    /// A card is shown at door 0..=3.
    pub(super) fn swipe(&mut self, number: u32, door: usize, now: Timestamp) -> (Swipe, Event) {
        let at = self.local(now);
        let mode = self.locks[door].door.mode;
        let reason = decide(self.cards.get(number), door, mode, &self.profiles, at);
        let granted = reason == reason::GRANTED;
        if granted {
            self.release(door, at);
        }
        let event = self.record(kind::SWIPE, granted, door, number, at, reason);
        (Swipe { granted, reason, event: event.index }, event)
    }

    /// Does what was asked and answers as the panel does.
    pub(super) fn answer(&mut self, request: Request, now: Timestamp) -> Answer {
        let mut event = None;
        let reply = match request {
            Request::Status => self.status(self.events.last(), now),
            Request::SetTime(to) => self.set_time(to, now),
            Request::Time => self.reply(0x32).date_time(8, self.local(now)),
            Request::OpenDoor(door) => {
                event = self.open(door, now);
                self.ok(0x40, event.is_some())
            }
            Request::PutCard(card) => {
                let stored = self.put(card);
                self.ok(0x50, stored)
            }
            Request::DeleteCard(number) => {
                let deleted = self.delete(number);
                self.ok(0x52, deleted)
            }
            Request::DeleteAllCards => {
                self.cards.clear();
                self.ok(0x54, true)
            }
            Request::CountCards => self.count(),
            Request::Card(number) => match self.cards.get(number) {
                Some(card) => self.card(0x5a, card),
                None => self.reply(0x5a),
            },
            Request::CardAt(index) => match self.cards.slot(index) {
                Slot::Card(card) => self.card(0x5c, card),
                Slot::Deleted => self.reply(0x5c).u32(8, card::DELETED),
                Slot::Beyond => self.reply(0x5c).u32(8, card::NONE),
            },
            Request::SetDoor(door, to) => {
                self.locks[door].door = to;
                self.door(0x80, door)
            }
            Request::Door(door) => self.door(0x82, door),
            Request::SetProfile(profile) => {
                let set = self.profiles.set(profile);
                self.ok(0x88, set)
            }
            Request::Profile(id) => self.profile(self.profiles.get(id)),
            Request::ClearProfiles => {
                self.profiles.clear();
                self.ok(0x8a, true)
            }
            Request::SetPasscodes(door, codes) => {
                let fit = codes.iter().all(|code| *code <= 999_999);
                if fit {
                    self.locks[door].passcodes = codes;
                }
                self.ok(0x8c, fit)
            }
            Request::RecordSpecialEvents(on) => {
                self.special_events = on;
                self.ok(0x8e, true)
            }
            Request::SetListener(address, interval) => {
                (self.listener, self.interval) = (address, interval);
                self.ok(0x90, true)
            }
            Request::Listener => {
                let reply = self.reply(0x92).put(8, self.listener.ip().octets());
                reply.u16(12, self.listener.port()).u8(14, self.interval)
            }
            Request::Identify => self.identify(),
            Request::Event(index) => self.event(index),
            Request::SetEventIndex(index) => {
                let changed = index != self.event_index;
                self.event_index = index;
                self.ok(0xb2, changed)
            }
            Request::EventIndex => self.reply(0xb4).u32(8, self.event_index),
        };
        Answer { reply, event }
    }

    /// The packet that tells a listener about an event.
    pub(super) fn push(&self, event: &Event, now: Timestamp) -> Packet {
        let packet = self.status(Some(event), now);
        match self.firmware {
            Firmware::V8_92 => packet,
            Firmware::V6_62 => packet.u8(0, 0x19),
        }
    }

    /// The panel's own clock: local, whole seconds, off by whatever it was set to.
    fn local(&self, now: Timestamp) -> DateTime {
        let local = self.zone.to_datetime(now).saturating_add(self.drift);
        local.with().subsec_nanosecond(0).build().unwrap_or(local)
    }

    fn set_time(&mut self, to: DateTime, now: Timestamp) -> Packet {
        self.drift = to.duration_since(self.zone.to_datetime(now));
        self.reply(0x30).date_time(8, to)
    }

    /// Nothing if the door is set to stay shut.
    fn open(&mut self, door: usize, now: Timestamp) -> Option<Event> {
        if self.locks[door].door.mode == DoorMode::NormallyClosed {
            return None;
        }
        let at = self.local(now);
        self.release(door, at);
        Some(self.record(kind::DOOR, true, door, card::NONE, at, reason::REMOTE))
    }

    fn release(&mut self, door: usize, at: DateTime) {
        let lock = &mut self.locks[door];
        lock.released_until = at.saturating_add(SignedDuration::from_secs(lock.door.delay.into()));
    }

    fn record(&mut self, kind: u8, granted: bool, door: usize, card: u32, at: DateTime, reason: u8) -> Event {
        self.events.add(Event {
            index: 0,
            kind,
            granted,
            door: door as u8 + 1,
            direction: 1,
            card,
            at,
            reason,
        })
    }

    fn reply(&self, operation: u8) -> Packet {
        Packet::new(operation, self.serial)
    }

    fn ok(&self, operation: u8, ok: bool) -> Packet {
        self.reply(operation).flag(8, ok)
    }

    fn count(&self) -> Packet {
        let count = u32::try_from(self.cards.iter().count()).unwrap_or(u32::MAX);
        self.reply(0x58).u32(8, count)
    }

    fn card(&self, operation: u8, card: &Card) -> Packet {
        self.reply(operation)
            .u32(8, card.number)
            .date(12, card.from)
            .date(16, card.to)
            .put(20, card.doors)
            .u24(24, card.pin)
            .u8(27, card.first_card)
    }

    fn door(&self, operation: u8, door: usize) -> Packet {
        let Door { mode, delay } = self.locks[door].door;
        self.reply(operation).u8(8, door as u8 + 1).u8(9, mode.code()).u8(10, delay)
    }

    fn profile(&self, profile: Option<&Profile>) -> Packet {
        let Some(profile) = profile else { return self.reply(0x98) };
        let reply = self.reply(0x98).u8(8, profile.id).date(9, profile.from).date(13, profile.to);
        let reply = reply.put(17, profile.weekdays.map(u8::from)).u8(36, profile.linked);
        profile
            .segments
            .iter()
            .zip([24, 28, 32])
            .fold(reply, |reply, (segment, at)| reply.minute(at, segment.start).minute(at + 2, segment.end))
    }

    fn identify(&self) -> Packet {
        let version = match self.firmware {
            Firmware::V8_92 => [0x08, 0x92],
            Firmware::V6_62 => [0x06, 0x62],
        };
        let [a, b, c, d] = self.serial.to_be_bytes();
        self.reply(0x94)
            .put(8, self.address.ip().octets())
            .put(12, [255, 255, 255, 0])
            .put(20, [0x02, 0x00, a, b, c, d]) // a locally administered hardware address
            .put(26, version)
            .date(28, jiff::civil::date(2021, 8, 10))
    }

    fn event(&self, index: u32) -> Packet {
        let reply = self.reply(0xb0);
        match self.events.get(index) {
            Found::Event(event) => with_event(reply, event),
            Found::Overwritten => reply.u32(8, index).u8(12, kind::OVERWRITTEN),
            Found::None => reply.u8(12, kind::NONE),
        }
    }

    fn status(&self, event: Option<&Event>, now: Timestamp) -> Packet {
        let at = self.local(now);
        let relays = (0..4).fold(0, |relays, door| relays | u8::from(self.is_released(door, at)) << door);
        let reply = self.reply(0x20).time(37, at.time()).u8(49, relays).short_date(51, at.date());
        match event {
            Some(event) => with_event(reply, event),
            None => reply,
        }
    }

    fn is_released(&self, door: usize, at: DateTime) -> bool {
        let lock = &self.locks[door];
        match lock.door.mode {
            DoorMode::NormallyOpen => true,
            DoorMode::NormallyClosed => false,
            DoorMode::Controlled => at < lock.released_until,
        }
    }
}

fn with_event(packet: Packet, event: &Event) -> Packet {
    packet
        .u32(8, event.index)
        .u8(12, event.kind)
        .flag(13, event.granted)
        .u8(14, event.door)
        .u8(15, event.direction)
        .u32(16, event.card)
        .date_time(20, event.at)
        .u8(27, event.reason)
}

#[cfg(test)]
mod tests;
