//! What was asked: 64 bytes become a [`Request`], or the reason why they are not one.

use std::net::SocketAddrV4;

use jiff::civil::DateTime;

use super::card::Card;
use super::packet::{LEN, Reader, Rejection, START};
use super::panel::{Door, DoorMode};
use super::profile::{Profile, Segment};

/// One request that the panel understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Status,
    SetTime(DateTime),
    Time,
    OpenDoor(usize),
    PutCard(Card),
    DeleteCard(u32),
    DeleteAllCards,
    CountCards,
    Card(u32),
    CardAt(u32),
    SetDoor(usize, Door),
    Door(usize),
    SetProfile(Profile),
    Profile(u8),
    ClearProfiles,
    SetPasscodes(usize, [u32; 4]),
    RecordSpecialEvents(bool),
    SetListener(SocketAddrV4, u8),
    Listener,
    Identify,
    Event(u32),
    SetEventIndex(u32),
    EventIndex,
}

const IDENTIFY: u8 = 0x94;

impl Request {
    /// Reads a request that is addressed to controller `serial`, or to all of them if it is discovery.
    pub(super) fn parse(bytes: &[u8], serial: u32) -> Result<Self, Rejection> {
        let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| Rejection::Length(bytes.len()))?;
        if bytes[0] != START {
            return Err(Rejection::Start(bytes[0]));
        }
        let mut fields = Reader::new(bytes);
        let to = fields.u32(4);
        if to != serial && !(to == 0 && bytes[1] == IDENTIFY) {
            return Err(Rejection::Serial(to));
        }
        let request = Self::read(bytes[1], &mut fields)?;
        fields.finish()?;
        Ok(request)
    }

    fn read(operation: u8, fields: &mut Reader<'_>) -> Result<Self, Rejection> {
        Ok(match operation {
            0x20 => Self::Status,
            0x30 => Self::SetTime(fields.date_time(8)?),
            0x32 => Self::Time,
            0x40 => Self::OpenDoor(door(fields)?),
            0x50 => Self::PutCard(card(fields)?),
            0x52 => Self::DeleteCard(fields.u32(8)),
            0x54 => {
                fields.magic(8)?;
                Self::DeleteAllCards
            }
            0x58 => Self::CountCards,
            0x5a => Self::Card(fields.u32(8)),
            0x5c => Self::CardAt(fields.u32(8)),
            0x80 => Self::SetDoor(door(fields)?, Door { mode: mode(fields)?, delay: fields.u8(10) }),
            0x82 => Self::Door(door(fields)?),
            0x88 => Self::SetProfile(profile(fields)?),
            0x8a => {
                fields.magic(8)?;
                Self::ClearProfiles
            }
            0x8c => Self::SetPasscodes(door(fields)?, [12, 16, 20, 24].map(|at| fields.u32(at))),
            0x8e => Self::RecordSpecialEvents(fields.flag(8)?),
            0x90 => {
                let address = SocketAddrV4::new(fields.octets(8).into(), fields.u16(12));
                Self::SetListener(address, fields.u8(14))
            }
            0x92 => Self::Listener,
            IDENTIFY => Self::Identify,
            0x98 => Self::Profile(fields.u8(8)),
            0xb0 => Self::Event(fields.u32(8)),
            0xb2 => {
                fields.magic(12)?;
                Self::SetEventIndex(fields.u32(8))
            }
            0xb4 => Self::EventIndex,
            unknown => return Err(Rejection::Opcode(unknown)),
        })
    }

    /// The card that the request is about, if it is about one.
    pub(super) fn card(&self) -> Option<u32> {
        match self {
            Self::PutCard(card) => Some(card.number),
            Self::DeleteCard(number) | Self::Card(number) => Some(*number),
            _ => None,
        }
    }
}

/// Doors are 1..=4 on the wire and 0..=3 in here.
fn door(fields: &mut Reader<'_>) -> Result<usize, Rejection> {
    Ok(usize::from(fields.u8_in(8, 1..=4)?) - 1)
}

fn mode(fields: &mut Reader<'_>) -> Result<DoorMode, Rejection> {
    Ok(match fields.u8_in(9, 1..=3)? {
        1 => DoorMode::NormallyOpen,
        2 => DoorMode::NormallyClosed,
        _ => DoorMode::Controlled,
    })
}

fn card(fields: &mut Reader<'_>) -> Result<Card, Rejection> {
    Ok(Card {
        number: fields.u32(8),
        from: fields.date(12)?,
        to: fields.date(16)?,
        doors: fields.octets(20),
        pin: fields.u24(24),
        first_card: fields.u8_in(27, 0..=0x0f)?,
    })
}

fn profile(fields: &mut Reader<'_>) -> Result<Profile, Rejection> {
    let mut weekdays = [false; 7];
    for (day, at) in weekdays.iter_mut().zip(17..) {
        *day = fields.flag(at)?;
    }
    let mut segments = [Segment::default(); 3];
    for (segment, at) in segments.iter_mut().zip([24, 28, 32]) {
        *segment = Segment { start: fields.minute(at)?, end: fields.minute(at + 2)? };
    }
    Ok(Profile {
        id: fields.u8(8),
        from: fields.date(9)?,
        to: fields.date(13)?,
        weekdays,
        segments,
        linked: fields.u8(36),
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};
    use proptest::prelude::*;

    use super::super::packet::{MAGIC, Packet};
    use super::*;

    const SERIAL: u32 = 405_419_896;

    fn packet(operation: u8) -> Packet {
        Packet::new(operation, SERIAL)
    }

    #[test]
    fn each_operation_is_read() {
        let check = |packet: Packet, expect: Request| {
            assert_eq!(Request::parse(&packet.0, SERIAL), Ok(expect));
        };
        check(packet(0x20), Request::Status);
        let at = date(2026, 3, 2).at(13, 14, 15, 0);
        check(packet(0x30).date_time(8, at), Request::SetTime(at));
        check(packet(0x32), Request::Time);
        check(packet(0x40).u8(8, 3), Request::OpenDoor(2));
        check(packet(0x52).u32(8, 12_345_678), Request::DeleteCard(12_345_678));
        check(packet(0x54).u32(8, MAGIC), Request::DeleteAllCards);
        check(packet(0x58), Request::CountCards);
        check(packet(0x5a).u32(8, 12_345_678), Request::Card(12_345_678));
        check(packet(0x5c).u32(8, 7), Request::CardAt(7));
        let door = Door { mode: DoorMode::NormallyClosed, delay: 9 };
        check(packet(0x80).u8(8, 4).u8(9, 2).u8(10, 9), Request::SetDoor(3, door));
        check(packet(0x82).u8(8, 1), Request::Door(0));
        check(packet(0x8a).u32(8, MAGIC), Request::ClearProfiles);
        let codes = [1, 2, 999_999, 0];
        let passcodes = packet(0x8c).u8(8, 2).u32(12, 1).u32(16, 2).u32(20, 999_999);
        check(passcodes, Request::SetPasscodes(1, codes));
        check(packet(0x8e).u8(8, 1), Request::RecordSpecialEvents(true));
        check(packet(0x8e), Request::RecordSpecialEvents(false));
        let listener = packet(0x90).put(8, [127, 0, 0, 1]).u16(12, 60_001).u8(14, 5);
        check(listener, Request::SetListener("127.0.0.1:60001".parse().unwrap(), 5));
        check(packet(0x92), Request::Listener);
        check(packet(0x94), Request::Identify);
        check(Packet::new(0x94, 0), Request::Identify);
        check(packet(0x98).u8(8, 29), Request::Profile(29));
        check(packet(0xb0).u32(8, u32::MAX), Request::Event(u32::MAX));
        check(packet(0xb2).u32(8, 17).u32(12, MAGIC), Request::SetEventIndex(17));
        check(packet(0xb4), Request::EventIndex);
    }

    #[test]
    fn a_card_is_read_field_by_field() {
        let bytes = packet(0x50)
            .u32(8, 12_345_678)
            .date(12, date(2026, 1, 1))
            .date(16, date(2026, 12, 31))
            .put(20, [1, 0, 29, 1])
            .u24(24, 7531)
            .u8(27, 0b1001);
        let card = Card {
            number: 12_345_678,
            from: date(2026, 1, 1),
            to: date(2026, 12, 31),
            doors: [1, 0, 29, 1],
            pin: 7531,
            first_card: 0b1001,
        };
        assert_eq!(Request::parse(&bytes.0, SERIAL), Ok(Request::PutCard(card)));
    }

    #[test]
    fn a_profile_is_read_field_by_field() {
        let bytes = packet(0x88)
            .u8(8, 29)
            .date(9, date(2026, 1, 1))
            .date(13, date(2026, 12, 31))
            .put(17, [1, 0, 1, 0, 1, 0, 1])
            .put(24, [0x08, 0x30, 0x11, 0x45, 0x13, 0x15, 0x17, 0x00, 0, 0, 0, 0])
            .u8(36, 30);
        let profile = Profile {
            id: 29,
            from: date(2026, 1, 1),
            to: date(2026, 12, 31),
            weekdays: [true, false, true, false, true, false, true],
            segments: [
                Segment { start: time(8, 30, 0, 0), end: time(11, 45, 0, 0) },
                Segment { start: time(13, 15, 0, 0), end: time(17, 0, 0, 0) },
                Segment::default(),
            ],
            linked: 30,
        };
        assert_eq!(Request::parse(&bytes.0, SERIAL), Ok(Request::SetProfile(profile)));
    }

    #[test]
    fn what_is_not_a_request_is_rejected_with_its_reason() {
        let check = |bytes: &[u8], expect: Rejection| {
            assert_eq!(Request::parse(bytes, SERIAL), Err(expect), "{bytes:02x?}");
        };
        let status = packet(0x20).0;
        check(&[], Rejection::Length(0));
        check(&status[..63], Rejection::Length(63));
        check(&[&status[..], &[0]].concat(), Rejection::Length(65));
        check(&packet(0x20).u8(0, 0x19).0, Rejection::Start(0x19));
        check(&Packet::new(0x20, SERIAL + 1).0, Rejection::Serial(SERIAL + 1));
        check(&Packet::new(0x20, 0).0, Rejection::Serial(0)); // only discovery is for everybody
        check(&packet(0x21).0, Rejection::Opcode(0x21));
        check(&packet(0xc8).u32(8, MAGIC).0, Rejection::Opcode(0xc8));
        check(&packet(0x30).0, Rejection::Bcd(8)); // month 0
        check(&packet(0x30).date_time(8, date(2026, 3, 2).at(12, 0, 0, 0)).u8(14, 0x60).0, Rejection::Bcd(8));
        check(&packet(0x40).0, Rejection::Range(8));
        check(&packet(0x40).u8(8, 5).0, Rejection::Range(8));
        check(&packet(0x54).0, Rejection::Magic(8));
        check(&packet(0x54).u32(8, MAGIC + 1).0, Rejection::Magic(8));
        check(&packet(0x80).u8(8, 1).u8(9, 4).0, Rejection::Range(9));
        check(&packet(0x8a).0, Rejection::Magic(8));
        check(&packet(0x8e).u8(8, 2).0, Rejection::Range(8));
        check(&packet(0xb2).u32(8, 17).0, Rejection::Magic(12));
        check(&packet(0x20).u8(63, 1).0, Rejection::Stray(63));
        check(&packet(0x94).u8(3, 1).0, Rejection::Stray(3));

        let card = packet(0x50).u32(8, 1).date(12, date(2026, 1, 1)).date(16, date(2026, 12, 31));
        check(&card.clone().u8(14, 0x13).0, Rejection::Bcd(12));
        check(&card.clone().u8(19, 0x3f).0, Rejection::Bcd(16));
        check(&card.clone().u8(27, 0x10).0, Rejection::Range(27));
        check(&card.u8(28, 1).0, Rejection::Stray(28));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Request::parse(&bytes, SERIAL);
        }

        #[test]
        fn no_payload_makes_it_panic(operation: u8, payload in proptest::array::uniform32(any::<u8>())) {
            let _ = Request::parse(&packet(operation).put(8, payload).0, SERIAL);
        }
    }
}
