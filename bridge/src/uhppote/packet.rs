//! The 64 bytes that carry every request and reply: little-endian numbers, dates in binary-coded decimal.
//!
//! Reading is total: any 64 bytes give a value or `None`, never a panic.

use std::net::{Ipv4Addr, SocketAddrV4};

use jiff::civil::{Date, DateTime, Time};

/// The length of every request and reply.
pub const LENGTH: usize = 64;
/// The first byte of every request and reply.
pub const START: u8 = 0x17;
/// The first byte of an event pushed by firmware 6.62.
pub const START_6_62: u8 = 0x19;

/// One request or reply: `17 op 00 00 serial_le32`, then 56 bytes that the operation lays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet([u8; LENGTH]);

impl Packet {
    /// An empty packet.
    #[must_use]
    pub fn new(operation: u8, serial: u32) -> Self {
        let mut packet = Self([0; LENGTH]);
        packet.0[0] = START;
        packet.0[1] = operation;
        packet.put_u32(4, serial);
        packet
    }

    /// What came in a datagram. `None` unless it has exactly 64 bytes and begins as a packet does.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let packet = Self(datagram.try_into().ok()?);
        (packet.0[0] == START || packet.is_pushed_by_6_62()).then_some(packet)
    }

    fn is_pushed_by_6_62(&self) -> bool {
        self.0[0] == START_6_62 && self.operation() == super::message::STATUS
    }

    /// The bytes as they go over the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Which operation this is about.
    #[must_use]
    pub const fn operation(&self) -> u8 {
        self.0[1]
    }

    /// Which controller this is to or from.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.u32(4)
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.0[at + i])
    }

    pub(in crate::uhppote) fn u8(&self, at: usize) -> u8 {
        self.0[at]
    }

    /// The vendor writes 0 and 1; other values count as true.
    pub(in crate::uhppote) fn bool(&self, at: usize) -> bool {
        self.0[at] != 0
    }

    pub(in crate::uhppote) fn u24(&self, at: usize) -> u32 {
        let [a, b, c] = self.bytes(at);
        u32::from_le_bytes([a, b, c, 0])
    }

    pub(in crate::uhppote) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    pub(in crate::uhppote) fn ipv4(&self, at: usize) -> Ipv4Addr {
        Ipv4Addr::from(self.bytes::<4>(at))
    }

    pub(in crate::uhppote) fn socket(&self, at: usize) -> SocketAddrV4 {
        SocketAddrV4::new(self.ipv4(at), u16::from_le_bytes(self.bytes(at + 4)))
    }

    pub(in crate::uhppote) fn mac(&self, at: usize) -> [u8; 6] {
        self.bytes(at)
    }

    /// `yyyymmdd`. `None` for what is no day of the calendar, the empty date 0000-00-00 included.
    pub(in crate::uhppote) fn date(&self, at: usize) -> Option<Date> {
        let [century, year, month, day] = self.bytes(at).map(from_bcd);
        date(i16::from(century?) * 100 + i16::from(year?), month?, day?)
    }

    /// `yymmdd` of this century.
    pub(in crate::uhppote) fn short_date(&self, at: usize) -> Option<Date> {
        let [year, month, day] = self.bytes(at).map(from_bcd);
        date(2000 + i16::from(year?), month?, day?)
    }

    /// `HHmmss`. A leap second counts as 59.
    pub(in crate::uhppote) fn time(&self, at: usize) -> Option<Time> {
        let [hour, minute, second] = self.bytes(at).map(from_bcd);
        time(hour?, minute?, second?)
    }

    /// `yyyymmddHHmmss`.
    pub(in crate::uhppote) fn date_time(&self, at: usize) -> Option<DateTime> {
        Some(self.date(at)?.to_datetime(self.time(at + 4)?))
    }

    /// Firmware version, two bytes of BCD: `v6.62`.
    pub(in crate::uhppote) fn version(&self, at: usize) -> String {
        format!("v{:x}.{:02x}", self.0[at], self.0[at + 1])
    }

    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    pub(in crate::uhppote) fn put_u8(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }

    pub(in crate::uhppote) fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, value.to_le_bytes());
    }

    pub(in crate::uhppote) fn put_socket(&mut self, at: usize, address: SocketAddrV4) {
        self.put(at, address.ip().octets());
        self.put(at + 4, address.port().to_le_bytes());
    }

    /// Years before 0 are written as 0; nothing we want lies there.
    pub(in crate::uhppote) fn put_date(&mut self, at: usize, date: Date) {
        let year = u16::try_from(date.year()).unwrap_or(0);
        let [century, year] = [year / 100, year % 100].map(|two| two as u8);
        self.put(at, [century, year, date.month() as u8, date.day() as u8].map(to_bcd));
    }

    pub(in crate::uhppote) fn put_date_time(&mut self, at: usize, value: DateTime) {
        self.put_date(at, value.date());
        self.put(at + 4, [value.hour(), value.minute(), value.second()].map(|part| to_bcd(part as u8)));
    }
}

fn date(year: i16, month: u8, day: u8) -> Option<Date> {
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn time(hour: u8, minute: u8, second: u8) -> Option<Time> {
    let second = if second == 60 { 59 } else { second };
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, i8::try_from(second).ok()?, 0).ok()
}

/// Two decimal digits in one byte. Takes 0 to 99.
const fn to_bcd(two_digits: u8) -> u8 {
    ((two_digits / 10) << 4) | (two_digits % 10)
}

const fn from_bcd(byte: u8) -> Option<u8> {
    let (tens, ones) = (byte >> 4, byte & 0x0f);
    if tens < 10 && ones < 10 { Some(tens * 10 + ones) } else { None }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::uhppote) fn any_date() -> impl Strategy<Value = Date> {
        (0i16..=9999, 1i8..=12, 1i8..=31)
            .prop_filter_map("a day of the calendar", |(year, month, day)| Date::new(year, month, day).ok())
    }

    fn any_time() -> impl Strategy<Value = Time> {
        (0i8..24, 0i8..60, 0i8..60)
            .prop_map(|(hour, minute, second)| jiff::civil::time(hour, minute, second, 0))
    }

    proptest! {
        #[test]
        fn bcd_round_trips(value in 0u8..100) {
            prop_assert_eq!(from_bcd(to_bcd(value)), Some(value));
            prop_assert_eq!(format!("{:02x}", to_bcd(value)), format!("{value:02}"));
        }

        #[test]
        fn what_is_not_bcd_is_no_number(byte: u8) {
            let digits = format!("{byte:02x}");
            prop_assert_eq!(from_bcd(byte), digits.parse().ok());
        }

        #[test]
        fn dates_and_times_round_trip(date in any_date(), time in any_time(), at in 8usize..=57) {
            let mut packet = Packet::new(0x30, 1);
            packet.put_date_time(at, date.to_datetime(time));
            prop_assert_eq!(packet.date(at), Some(date));
            prop_assert_eq!(packet.time(at + 4), Some(time));
            prop_assert_eq!(packet.date_time(at), Some(date.to_datetime(time)));
        }

        #[test]
        fn sockets_round_trip(ip: u32, port: u16) {
            let address = SocketAddrV4::new(Ipv4Addr::from_bits(ip), port);
            let mut packet = Packet::new(0x90, 1);
            packet.put_socket(8, address);
            prop_assert_eq!(packet.socket(8), address);
        }

        #[test]
        fn only_64_bytes_with_a_known_start_are_a_packet(datagram in proptest::collection::vec(any::<u8>(), 0..2048)) {
            prop_assert!(Packet::read(&datagram).is_none_or(|packet| packet.as_bytes()[..] == datagram));
        }

        #[test]
        fn any_64_bytes_read_without_panic(bytes in proptest::array::uniform32(any::<u8>()), at in 8usize..=56) {
            let mut datagram = [START; LENGTH];
            datagram[32..].copy_from_slice(&bytes);
            let packet = Packet::read(&datagram).unwrap();
            let _ = (packet.date(at), packet.time(at), packet.date_time(at), packet.short_date(at));
        }
    }

    #[test]
    fn days_that_are_none_are_none() {
        for bcd in [0x0000_0000u32, 0x2026_0229, 0x2026_1301, 0x2026_0a01, 0xffff_ffff] {
            let mut packet = Packet::new(0x5a, 1);
            packet.put(12, bcd.to_be_bytes());
            assert_eq!(packet.date(12), None, "{bcd:08x}");
        }
    }

    #[test]
    fn a_leap_second_counts_as_59_and_no_other_second_is_mended() {
        for (bcd, second) in [(0x59, Some(59)), (0x60, Some(59)), (0x61, None), (0x99, None)] {
            let mut packet = Packet::new(0x32, 1);
            packet.put(8, [0x23, 0x59, bcd]);
            assert_eq!(
                packet.time(8),
                second.map(|second| jiff::civil::time(23, 59, second, 0)),
                "{bcd:02x}"
            );
        }
    }

    #[test]
    fn only_an_event_may_begin_as_firmware_6_62_does() {
        let mut bytes = *Packet::new(0x20, 1).as_bytes();
        bytes[0] = START_6_62;
        assert!(Packet::read(&bytes).is_some());
        bytes[1] = 0x5a;
        assert!(Packet::read(&bytes).is_none());
    }
}
