//! The log of events.

use jiff::civil::DateTime;

use super::{Ask, NEWEST, OLDEST, STATUS};
use crate::uhppote::packet::Packet;

/// Guards requests that would do harm if sent by mistake.
const MAGIC: u32 = 0x55aa_aa55;

/// One event as a controller keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The running number, from 1.
    pub index: u32,
    /// 0 none, 1 and 2 swipe or door, 3 alarm, 255 overwritten.
    pub kind: u8,
    /// Whether the door was released.
    pub granted: bool,
    /// Door 1 to 4.
    pub door: u8,
    /// 1 in, 2 out.
    pub direction: u8,
    /// The card's number; a code of its own in events that are not about a card.
    pub card: u32,
    /// When, in the controller's local time.
    pub at: Option<DateTime>,
    /// Why: a code of the vendor's, put into words by the connector.
    pub reason: u8,
}

impl EventRecord {
    pub(super) fn read(packet: &Packet) -> Self {
        Self {
            index: packet.u32(8),
            kind: packet.u8(12),
            granted: packet.bool(13),
            door: packet.u8(14),
            direction: packet.u8(15),
            card: packet.u32(16),
            at: packet.date_time(20),
            reason: packet.u8(27),
        }
    }
}

/// The controller and the event of a datagram that a controller pushed; `None` when it is none.
#[must_use]
pub fn pushed_event(datagram: &[u8]) -> Option<(u32, EventRecord)> {
    let packet = Packet::read(datagram).filter(|packet| packet.operation() == STATUS)?;
    Some((packet.serial(), EventRecord::read(&packet)))
}

/// One event by its running number, [`OLDEST`] or [`NEWEST`].
#[derive(Clone, Copy, Debug)]
pub struct GetEvent(pub u32);

/// What a controller has under a running number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing yet.
    Nothing,
    /// An event that later ones have overwritten.
    Overwritten,
    /// The event.
    Event(EventRecord),
}

impl Ask for GetEvent {
    const OPERATION: u8 = 0xb0;
    type Reply = Kept;

    fn write(&self, packet: &mut Packet) {
        packet.put_u32(8, self.0);
    }

    fn read(&self, packet: &Packet) -> Option<Kept> {
        match EventRecord::read(packet) {
            EventRecord { kind: 0, .. } => Some(Kept::Nothing),
            EventRecord { kind: 0xff, .. } => Some(Kept::Overwritten),
            event if [event.index, OLDEST, NEWEST].contains(&self.0) => Some(Kept::Event(event)),
            _ => None,
        }
    }
}

/// The controller's one note of how far somebody has read its events.
#[derive(Clone, Copy, Debug)]
pub struct GetEventIndex;

impl Ask for GetEventIndex {
    const OPERATION: u8 = 0xb4;
    type Reply = u32;

    fn read(&self, packet: &Packet) -> Option<u32> {
        Some(packet.u32(8))
    }
}

/// Sets that note. Answers whether it changed.
#[derive(Clone, Copy, Debug)]
pub struct SetEventIndex(pub u32);

impl Ask for SetEventIndex {
    const OPERATION: u8 = 0xb2;
    type Reply = bool;

    fn write(&self, packet: &mut Packet) {
        packet.put_u32(8, self.0);
        packet.put_u32(12, MAGIC);
    }

    fn read(&self, packet: &Packet) -> Option<bool> {
        Some(packet.bool(8))
    }
}

/// Switches on or off the events of door contacts and push buttons.
#[derive(Clone, Copy, Debug)]
pub struct RecordSpecialEvents(pub bool);

impl Ask for RecordSpecialEvents {
    const OPERATION: u8 = 0x8e;
    type Reply = bool;

    fn write(&self, packet: &mut Packet) {
        packet.put_u8(8, u8::from(self.0));
    }

    fn read(&self, packet: &Packet) -> Option<bool> {
        Some(packet.bool(8))
    }
}
