//! What can be asked of a controller, each request with the reply it gets.
//!
//! The vendor publishes no protocol description. The layouts are those that the uhppoted projects found
//! and tried on devices; a test compares every byte with theirs (`tests/uhppote/golden.txt`).
//! The protocol has no numbers that tie a reply to its request, no authentication and no encryption.
//!
//! To add a request: a struct in the file it belongs to, its [`Ask`], and a line in `tests/uhppote/oracle.py`.

mod card;
mod door;
mod event;
mod system;

pub use card::{CardRecord, CountCards, DeleteCard, GetCard, GetCardAt, PutCard, Slot};
pub use door::{Door, GetDoor, Mode, SetDoor, SetPasscodes};
pub use event::{
    EventRecord, GetEvent, GetEventIndex, Kept, RecordSpecialEvents, SetEventIndex, pushed_event,
};
pub use system::{
    GetController, GetListener, GetStatus, GetTime, Identity, Listener, SetListener, SetTime, Status,
};

use super::packet::{Packet, START};

/// The operation of [`GetStatus`] and of pushed events.
pub const STATUS: u8 = 0x20;
/// The card number that a deleted slot of the list shows.
pub const DELETED: u32 = 0xffff_ffff;
/// The index that asks for the newest event.
pub const NEWEST: u32 = 0xffff_ffff;
/// The index that asks for the oldest event.
pub const OLDEST: u32 = 0;

/// A request and how its reply is read.
pub trait Ask: Send + Sync {
    /// The byte that request and reply share.
    const OPERATION: u8;
    /// What comes back.
    type Reply: Send;

    /// Lays out the request.
    fn write(&self, _packet: &mut Packet) {}

    /// Reads the reply. `None` when it cannot be the answer to this very request.
    fn read(&self, packet: &Packet) -> Option<Self::Reply>;

    /// The whole request to one controller.
    fn encode(&self, serial: u32) -> Packet {
        let mut packet = Packet::new(Self::OPERATION, serial);
        self.write(&mut packet);
        packet
    }

    /// The reply in a datagram, `None` when it is not from this controller or not for this request.
    fn decode(&self, serial: u32, datagram: &[u8]) -> Option<Self::Reply> {
        let packet = Packet::read(datagram)?;
        let ours =
            packet.u8(0) == START && packet.operation() == Self::OPERATION && packet.serial() == serial;
        if ours { self.read(&packet) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use jiff::civil::{Date, DateTime};
    use proptest::prelude::*;

    use super::super::packet::{LENGTH, START, START_6_62};
    use super::*;

    /// A datagram that gets past the first checks, so that every reader is reached.
    fn reply(operation: u8, serial: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Packet::new(operation, serial).as_bytes().to_vec();
        bytes[8..].copy_from_slice(&body[..LENGTH - 8]);
        bytes
    }

    fn decode_all(serial: u32, datagram: &[u8]) {
        let _ = PutCard { number: 1, from: Date::MIN, to: Date::MAX, doors: [0; 4] }.decode(serial, datagram);
        let _ = (DeleteCard(1).decode(serial, datagram), CountCards.decode(serial, datagram));
        let _ = (GetCard(1).decode(serial, datagram), GetCardAt(1).decode(serial, datagram));
        let _ = (GetTime.decode(serial, datagram), SetTime(DateTime::MIN).decode(serial, datagram));
        let _ = (GetStatus.decode(serial, datagram), pushed_event(datagram));
        let _ = (GetEvent(1).decode(serial, datagram), GetEventIndex.decode(serial, datagram));
        let _ =
            (SetEventIndex(1).decode(serial, datagram), RecordSpecialEvents(true).decode(serial, datagram));
        let _ = (GetListener.decode(serial, datagram), GetController.decode(serial, datagram));
        let _ = (
            GetDoor(1).decode(serial, datagram),
            SetPasscodes { door: 1, passcodes: [0; 4] }.decode(serial, datagram),
        );
    }

    proptest! {
        #[test]
        fn any_datagram_decodes_without_panic(datagram in proptest::collection::vec(any::<u8>(), 0..2048)) {
            decode_all(1, &datagram);
        }

        #[test]
        fn any_body_decodes_without_panic(
            body in proptest::collection::vec(any::<u8>(), LENGTH - 8),
            operation in proptest::sample::select(vec![
                0x20u8, 0x30, 0x32, 0x50, 0x52, 0x58, 0x5a, 0x5c, 0x80, 0x82, 0x8c, 0x8e, 0x90, 0x92, 0x94, 0xb0, 0xb2, 0xb4,
            ]),
        ) {
            decode_all(1, &reply(operation, 1, &body));
        }

        #[test]
        fn a_card_that_was_put_reads_back_the_same(
            number in 1u32..DELETED,
            from in super::super::packet::tests::any_date(),
            to in super::super::packet::tests::any_date(),
            doors: [u8; 4],
        ) {
            let put = PutCard { number, from, to, doors }.encode(7);
            let mut bytes = *put.as_bytes();
            bytes[1] = GetCard::OPERATION;
            let expected = CardRecord { number, from: Some(from), to: Some(to), doors, pin: 0, first_card: 0 };
            prop_assert_eq!(GetCard(number).decode(7, &bytes), Some(Some(expected)));
            prop_assert_eq!(GetCard(number ^ 1).decode(7, &bytes), None, "an answer about another card");
        }

        #[test]
        fn what_was_set_reads_back_the_same(ip: u32, port: u16, interval: u8, door in 1u8..=4, delay: u8) {
            let listener = Listener { address: SocketAddrV4::new(Ipv4Addr::from_bits(ip), port), interval };
            let mut bytes = *SetListener(listener).encode(7).as_bytes();
            bytes[1] = GetListener::OPERATION;
            prop_assert_eq!(GetListener.decode(7, &bytes), Some(listener));
            for mode in [Mode::NormallyOpen, Mode::NormallyClosed, Mode::Controlled] {
                let mut bytes = *SetDoor { door, mode, delay }.encode(7).as_bytes();
                bytes[1] = GetDoor::OPERATION;
                prop_assert_eq!(GetDoor(door).decode(7, &bytes), Some(Door { door, mode: Some(mode), delay }));
            }
        }
    }

    #[test]
    fn only_the_reply_of_this_controller_to_this_request_counts() {
        let right = *Packet::new(GetTime::OPERATION, 7).as_bytes();
        assert_eq!(GetTime.decode(7, &right), Some(None));
        assert_eq!(GetTime.decode(8, &right), None, "another controller");
        assert_eq!(SetTime(DateTime::MIN).decode(7, &right), None, "another operation");
        assert_eq!(GetTime.decode(7, &right[..63]), None, "too short");
        assert_eq!(GetTime.decode(7, &[&right[..], &[0]].concat()), None, "too long");
        let mut pushed = *Packet::new(STATUS, 7).as_bytes();
        pushed[0] = START_6_62;
        assert_eq!(GetStatus.decode(7, &pushed), None, "a pushed event is no reply");
        assert!(pushed_event(&pushed).is_some());
        assert_eq!(right[0], START);
    }

    #[test]
    fn a_deleted_slot_is_not_the_end_of_the_list() {
        let slot = |number: u32| {
            let mut packet = Packet::new(GetCardAt::OPERATION, 7);
            packet.put_u32(8, number);
            GetCardAt(3).decode(7, packet.as_bytes())
        };
        assert_eq!(slot(0), Some(Slot::End));
        assert_eq!(slot(DELETED), Some(Slot::Deleted));
        assert!(matches!(slot(12_345_678), Some(Slot::Card(record)) if record.number == 12_345_678));
    }

    #[test]
    fn an_event_is_the_one_that_was_asked_for() {
        let event = |asked: u32, index: u32, kind: u8| {
            let mut packet = Packet::new(GetEvent::OPERATION, 7);
            packet.put_u32(8, index);
            packet.put_u8(12, kind);
            GetEvent(asked).decode(7, packet.as_bytes())
        };
        assert!(matches!(event(5, 5, 1), Some(Kept::Event(_))));
        assert!(matches!(event(OLDEST, 5, 1), Some(Kept::Event(_))));
        assert!(matches!(event(NEWEST, 5, 1), Some(Kept::Event(_))));
        assert_eq!(event(5, 6, 1), None);
        assert_eq!(event(5, 0, 0xff), Some(Kept::Overwritten));
        assert_eq!(event(5, 0, 0), Some(Kept::Nothing));
    }
}
