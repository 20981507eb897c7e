//! The list of cards.

use jiff::civil::Date;

use super::{Ask, DELETED};
use crate::uhppote::packet::Packet;

/// One card on a controller's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardRecord {
    /// The card's number as the controller counts.
    pub number: u32,
    /// First whole day. A controller refuses a card without; `None` is read from one that shows no day.
    pub from: Option<Date>,
    /// Last whole day, likewise.
    pub to: Option<Date>,
    /// Doors 1 to 4: 0 no right, 1 always, 2 to 254 a time profile.
    pub doors: [u8; 4],
    /// A PIN of 1 to 999,999, 0 for none.
    pub pin: u32,
    /// Doors 1 to 4, bits 0 to 3: unlocks for everybody.
    pub first_card: u8,
}

impl CardRecord {
    fn read(packet: &Packet) -> Self {
        Self {
            number: packet.u32(8),
            from: packet.date(12),
            to: packet.date(16),
            doors: [20, 21, 22, 23].map(|at| packet.u8(at)),
            pin: packet.u24(24),
            first_card: packet.u8(27),
        }
    }
}

/// Puts a card on the list, replacing what stands there for its number. Answers whether it was stored.
#[derive(Clone, Copy, Debug)]
pub struct PutCard {
    /// The card's number as the controller counts.
    pub number: u32,
    /// First whole day.
    pub from: Date,
    /// Last whole day.
    pub to: Date,
    /// Doors 1 to 4: 0 no right, 1 always, 2 to 254 a time profile.
    pub doors: [u8; 4],
}

impl Ask for PutCard {
    const OPERATION: u8 = 0x50;
    type Reply = bool;

    // PIN and first-card privileges stay zero: this takes away what somebody else has set.
    fn write(&self, packet: &mut Packet) {
        packet.put_u32(8, self.number);
        packet.put_date(12, self.from);
        packet.put_date(16, self.to);
        for (at, right) in (20..).zip(self.doors) {
            packet.put_u8(at, right);
        }
    }

    fn read(&self, packet: &Packet) -> Option<bool> {
        Some(packet.bool(8))
    }
}

/// Takes a card off the list. Answers 0 for a card that was not there, so the flag proves nothing.
#[derive(Clone, Copy, Debug)]
pub struct DeleteCard(pub u32);

impl Ask for DeleteCard {
    const OPERATION: u8 = 0x52;
    type Reply = bool;

    fn write(&self, packet: &mut Packet) {
        packet.put_u32(8, self.0);
    }

    fn read(&self, packet: &Packet) -> Option<bool> {
        Some(packet.bool(8))
    }
}

/// How many cards are on the list.
#[derive(Clone, Copy, Debug)]
pub struct CountCards;

impl Ask for CountCards {
    const OPERATION: u8 = 0x58;
    type Reply = u32;

    fn read(&self, packet: &Packet) -> Option<u32> {
        Some(packet.u32(8))
    }
}

/// What stands on the list for a card's number. The inner `None`: nothing.
#[derive(Clone, Copy, Debug)]
pub struct GetCard(pub u32);

impl Ask for GetCard {
    const OPERATION: u8 = 0x5a;
    type Reply = Option<CardRecord>;

    fn write(&self, packet: &mut Packet) {
        packet.put_u32(8, self.0);
    }

    fn read(&self, packet: &Packet) -> Option<Option<CardRecord>> {
        match CardRecord::read(packet) {
            CardRecord { number: 0 | DELETED, .. } => Some(None),
            record if record.number == self.0 => Some(Some(record)),
            _ => None,
        }
    }
}

/// One slot of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The list ends before this slot.
    End,
    /// A card stood here once.
    Deleted,
    /// A card.
    Card(CardRecord),
}

/// What stands in a slot of the list, counted from 1.
#[derive(Clone, Copy, Debug)]
pub struct GetCardAt(pub u32);

impl Ask for GetCardAt {
    const OPERATION: u8 = 0x5c;
    type Reply = Slot;

    fn write(&self, packet: &mut Packet) {
        packet.put_u32(8, self.0);
    }

    fn read(&self, packet: &Packet) -> Option<Slot> {
        Some(match CardRecord::read(packet) {
            CardRecord { number: 0, .. } => Slot::End,
            CardRecord { number: DELETED, .. } => Slot::Deleted,
            record => Slot::Card(record),
        })
    }
}
