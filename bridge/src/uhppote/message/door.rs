//! The doors' settings.

use super::Ask;
use crate::uhppote::packet::Packet;

/// Who decides whether a door is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody: it stays unlocked.
    NormallyOpen,
    /// Nobody: it stays locked.
    NormallyClosed,
    /// The list of cards.
    Controlled,
}

/// How a door is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Door 1 to 4.
    pub door: u8,
    /// Who decides; `None` for a value that nobody has described.
    pub mode: Option<Mode>,
    /// For how many seconds it is released.
    pub delay: u8,
}

impl Door {
    fn read(packet: &Packet) -> Self {
        let mode = match packet.u8(9) {
            1 => Some(Mode::NormallyOpen),
            2 => Some(Mode::NormallyClosed),
            3 => Some(Mode::Controlled),
            _ => None,
        };
        Self { door: packet.u8(8), mode, delay: packet.u8(10) }
    }
}

/// How a door is set.
#[derive(Clone, Copy, Debug)]
pub struct GetDoor(pub u8);

impl Ask for GetDoor {
    const OPERATION: u8 = 0x82;
    type Reply = Door;

    fn write(&self, packet: &mut Packet) {
        packet.put_u8(8, self.0);
    }

    fn read(&self, packet: &Packet) -> Option<Door> {
        Some(Door::read(packet)).filter(|door| door.door == self.0)
    }
}

/// Sets a door. Answers how it is then set.
#[derive(Clone, Copy, Debug)]
pub struct SetDoor {
    /// Door 1 to 4.
    pub door: u8,
    /// Who decides.
    pub mode: Mode,
    /// For how many seconds it is released.
    pub delay: u8,
}

impl Ask for SetDoor {
    const OPERATION: u8 = 0x80;
    type Reply = Door;

    fn write(&self, packet: &mut Packet) {
        packet.put_u8(8, self.door);
        packet.put_u8(
            9,
            match self.mode {
                Mode::NormallyOpen => 1,
                Mode::NormallyClosed => 2,
                Mode::Controlled => 3,
            },
        );
        packet.put_u8(10, self.delay);
    }

    fn read(&self, packet: &Packet) -> Option<Door> {
        Some(Door::read(packet)).filter(|door| door.door == self.door)
    }
}

/// Sets a door's four supervisor passcodes, 1 to 999,999 each, 0 for none. They override every card
/// rule and can never be read back.
#[derive(Clone, Copy, Debug)]
pub struct SetPasscodes {
    /// Door 1 to 4.
    pub door: u8,
    /// The passcodes.
    pub passcodes: [u32; 4],
}

impl Ask for SetPasscodes {
    const OPERATION: u8 = 0x8c;
    type Reply = bool;

    fn write(&self, packet: &mut Packet) {
        packet.put_u8(8, self.door);
        for (at, passcode) in [12, 16, 20, 24].into_iter().zip(self.passcodes) {
            packet.put_u32(at, passcode);
        }
    }

    fn read(&self, packet: &Packet) -> Option<bool> {
        Some(packet.bool(8))
    }
}
