//! The controller itself: what it is, its clock, its state, where it pushes to.

use std::net::{Ipv4Addr, SocketAddrV4};

use jiff::civil::{Date, DateTime};

use super::{Ask, EventRecord, STATUS};
use crate::uhppote::packet::Packet;

/// Sets the controller's clock. Answers the time it then shows.
#[derive(Clone, Copy, Debug)]
pub struct SetTime(pub DateTime);

impl Ask for SetTime {
    const OPERATION: u8 = 0x30;
    type Reply = Option<DateTime>;

    fn write(&self, packet: &mut Packet) {
        packet.put_date_time(8, self.0);
    }

    fn read(&self, packet: &Packet) -> Option<Option<DateTime>> {
        Some(packet.date_time(8))
    }
}

/// The controller's clock, in its own local time. The inner `None`: it shows no valid time.
#[derive(Clone, Copy, Debug)]
pub struct GetTime;

impl Ask for GetTime {
    const OPERATION: u8 = 0x32;
    type Reply = Option<DateTime>;

    fn read(&self, packet: &Packet) -> Option<Option<DateTime>> {
        Some(packet.date_time(8))
    }
}

/// How the controller and its doors are, and the newest event.
#[derive(Clone, Copy, Debug)]
pub struct GetStatus;

/// How a controller and its doors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest event, `None` when there has been none.
    pub event: Option<EventRecord>,
    /// Doors 1 to 4 stand open.
    pub open: [bool; 4],
    /// Push buttons 1 to 4 are pressed.
    pub pressed: [bool; 4],
    /// A fault, 0 for none.
    pub fault: u8,
    /// Its clock, in its own local time; `None` when it shows no valid time.
    pub at: Option<DateTime>,
    /// Bits 0 to 3: locks 1 to 4 are released.
    pub relays: u8,
    /// Bit 0: forced lock, bit 1: fire alarm.
    pub inputs: u8,
}

impl Ask for GetStatus {
    const OPERATION: u8 = STATUS;
    type Reply = Status;

    fn read(&self, packet: &Packet) -> Option<Status> {
        let date = packet.short_date(51);
        Some(Status {
            event: Some(EventRecord::read(packet)).filter(|event| event.index != 0),
            open: [28, 29, 30, 31].map(|at| packet.bool(at)),
            pressed: [32, 33, 34, 35].map(|at| packet.bool(at)),
            fault: packet.u8(36),
            at: date.zip(packet.time(37)).map(|(date, time)| date.to_datetime(time)),
            relays: packet.u8(49),
            inputs: packet.u8(50),
        })
    }
}

/// Where a controller pushes its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; 0.0.0.0:0 for nowhere.
    pub address: SocketAddrV4,
    /// Repeats the status each so many seconds; 0 for events only.
    pub interval: u8,
}

/// Sets where events are pushed. Answers whether it was set.
#[derive(Clone, Copy, Debug)]
pub struct SetListener(pub Listener);

impl Ask for SetListener {
    const OPERATION: u8 = 0x90;
    type Reply = bool;

    fn write(&self, packet: &mut Packet) {
        packet.put_socket(8, self.0.address);
        packet.put_u8(14, self.0.interval);
    }

    fn read(&self, packet: &Packet) -> Option<bool> {
        Some(packet.bool(8))
    }
}

/// Where events are pushed.
#[derive(Clone, Copy, Debug)]
pub struct GetListener;

impl Ask for GetListener {
    const OPERATION: u8 = 0x92;
    type Reply = Listener;

    fn read(&self, packet: &Packet) -> Option<Listener> {
        Some(Listener { address: packet.socket(8), interval: packet.u8(14) })
    }
}

/// What the controller is.
#[derive(Clone, Copy, Debug)]
pub struct GetController;

/// What a controller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its netmask.
    pub netmask: Ipv4Addr,
    /// Its gateway.
    pub gateway: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its firmware, as `v6.62`.
    pub firmware: String,
    /// The firmware's date.
    pub released: Option<Date>,
}

impl Ask for GetController {
    const OPERATION: u8 = 0x94;
    type Reply = Identity;

    fn read(&self, packet: &Packet) -> Option<Identity> {
        Some(Identity {
            address: packet.ipv4(8),
            netmask: packet.ipv4(12),
            gateway: packet.ipv4(16),
            mac: packet.mac(20),
            firmware: packet.version(26),
            released: packet.date(28),
        })
    }
}
