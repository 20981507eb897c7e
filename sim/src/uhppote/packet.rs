//! Sixty-four bytes: fields in, fields out. Little-endian integers, binary-coded decimal dates.

use jiff::civil::{Date, DateTime, Time};

/// Every packet of the protocol has this length, in bytes.
pub(super) const LEN: usize = 64;

/// The first byte of every request and reply, and of every event except those of firmware 6.62.
pub(super) const START: u8 = 0x17;

/// Guards destructive requests against stray bytes.
pub(super) const MAGIC: u32 = 0x55aa_aa55;

/// Why a request got no answer.
///
/// The real panel stays silent too; it only does not say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not 64 bytes long.
    #[error("{0} bytes instead of 64")]
    Length(usize),
    /// Does not begin with `17`.
    #[error("first byte {0:02x} instead of 17")]
    Start(u8),
    /// Meant for another controller (or a broadcast of something other than discovery).
    #[error("addressed to controller {0}")]
    Serial(u32),
    /// An operation that this simulator does not have.
    #[error("unknown operation {0:02x}")]
    Opcode(u8),
    /// A date or a time that is not valid binary-coded decimal.
    #[error("no valid date or time at byte {0}")]
    Bcd(usize),
    /// A field outside its range.
    #[error("value out of range at byte {0}")]
    Range(usize),
    /// A destructive request without its magic word.
    #[error("magic word missing at byte {0}")]
    Magic(usize),
    /// A byte that belongs to no field and is not zero.
    #[error("byte {0} belongs to no field and is not zero")]
    Stray(usize),
}

/// Reads the fields of one packet and remembers which bytes they covered.
pub(super) struct Reader<'a> {
    bytes: &'a [u8; LEN],
    covered: u64,
}

impl<'a> Reader<'a> {
    /// A reader over the payload; start byte, operation and serial number count as read.
    pub(super) fn new(bytes: &'a [u8; LEN]) -> Self {
        Self { bytes, covered: 0b1111_0011 }
    }

    fn take<const N: usize>(&mut self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| {
            self.covered |= 1 << (at + i);
            self.bytes[at + i]
        })
    }

    pub(super) fn u8(&mut self, at: usize) -> u8 {
        let [byte] = self.take(at);
        byte
    }

    pub(super) fn u8_in(&mut self, at: usize, range: std::ops::RangeInclusive<u8>) -> Result<u8, Rejection> {
        let value = self.u8(at);
        if range.contains(&value) { Ok(value) } else { Err(Rejection::Range(at)) }
    }

    pub(super) fn flag(&mut self, at: usize) -> Result<bool, Rejection> {
        Ok(self.u8_in(at, 0..=1)? == 1)
    }

    pub(super) fn u16(&mut self, at: usize) -> u16 {
        u16::from_le_bytes(self.take(at))
    }

    pub(super) fn u24(&mut self, at: usize) -> u32 {
        let [a, b, c] = self.take(at);
        u32::from_le_bytes([a, b, c, 0])
    }

    pub(super) fn u32(&mut self, at: usize) -> u32 {
        u32::from_le_bytes(self.take(at))
    }

    pub(super) fn octets(&mut self, at: usize) -> [u8; 4] {
        self.take(at)
    }

    pub(super) fn date(&mut self, at: usize) -> Result<Date, Rejection> {
        let bytes: [u8; 4] = self.take(at);
        date(bytes).ok_or(Rejection::Bcd(at))
    }

    pub(super) fn date_time(&mut self, at: usize) -> Result<DateTime, Rejection> {
        let [c, y, m, d, hour, minute, second] = self.take(at);
        let read = || {
            let time = Time::new(bcd(hour)?, bcd(minute)?, bcd(second)?, 0).ok()?;
            Some(date([c, y, m, d])?.to_datetime(time))
        };
        read().ok_or(Rejection::Bcd(at))
    }

    /// Hours and minutes.
    pub(super) fn minute(&mut self, at: usize) -> Result<Time, Rejection> {
        let [hour, minute] = self.take(at);
        let read = || Time::new(bcd(hour)?, bcd(minute)?, 0, 0).ok();
        read().ok_or(Rejection::Bcd(at))
    }

    pub(super) fn magic(&mut self, at: usize) -> Result<(), Rejection> {
        if self.u32(at) == MAGIC { Ok(()) } else { Err(Rejection::Magic(at)) }
    }

    /// Everything that no field covered must be zero.
    pub(super) fn finish(self) -> Result<(), Rejection> {
        match (0..LEN).find(|at| self.covered >> at & 1 == 0 && self.bytes[*at] != 0) {
            Some(at) => Err(Rejection::Stray(at)),
            None => Ok(()),
        }
    }
}

/// A packet being written: zero but for the fields that were put.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Packet(pub(super) [u8; LEN]);

impl Packet {
    pub(super) fn new(operation: u8, serial: u32) -> Self {
        let mut bytes = [0; LEN];
        bytes[0] = START;
        bytes[1] = operation;
        Self(bytes).u32(4, serial)
    }

    pub(super) fn put<const N: usize>(mut self, at: usize, field: [u8; N]) -> Self {
        self.0[at..at + N].copy_from_slice(&field);
        self
    }

    pub(super) fn u8(self, at: usize, value: u8) -> Self {
        self.put(at, [value])
    }

    pub(super) fn flag(self, at: usize, value: bool) -> Self {
        self.u8(at, u8::from(value))
    }

    pub(super) fn u16(self, at: usize, value: u16) -> Self {
        self.put(at, value.to_le_bytes())
    }

    pub(super) fn u24(self, at: usize, value: u32) -> Self {
        let [a, b, c, _] = value.to_le_bytes();
        self.put(at, [a, b, c])
    }

    pub(super) fn u32(self, at: usize, value: u32) -> Self {
        self.put(at, value.to_le_bytes())
    }

    pub(super) fn date(self, at: usize, date: Date) -> Self {
        let [century, year] = year(date);
        self.put(at, [century, year, decimal(date.month()), decimal(date.day())])
    }

    /// Year of the century, month, day: the short form in status replies.
    pub(super) fn short_date(self, at: usize, date: Date) -> Self {
        let [_, year] = year(date);
        self.put(at, [year, decimal(date.month()), decimal(date.day())])
    }

    pub(super) fn time(self, at: usize, time: Time) -> Self {
        self.put(at, [decimal(time.hour()), decimal(time.minute()), decimal(time.second())])
    }

    pub(super) fn minute(self, at: usize, time: Time) -> Self {
        self.put(at, [decimal(time.hour()), decimal(time.minute())])
    }

    pub(super) fn date_time(self, at: usize, value: DateTime) -> Self {
        self.date(at, value.date()).time(at + 4, value.time())
    }
}

fn date([century, year, month, day]: [u8; 4]) -> Option<Date> {
    let century = i16::from(bcd(century)?);
    let year = century * 100 + i16::from(bcd(year)?);
    Date::new(year, bcd(month)?, bcd(day)?).ok()
}

fn year(date: Date) -> [u8; 2] {
    // jiff's years may be negative, the panel's cannot: a clock before year 0 shows as 0000.
    let year = date.year().clamp(0, 9999);
    [year / 100, year % 100].map(|part| decimal(part as i8))
}

/// Two decimal digits from one byte, or nothing if a half is not a digit.
fn bcd(byte: u8) -> Option<i8> {
    let (tens, ones) = (byte >> 4, byte & 0x0f);
    (tens < 10 && ones < 10).then_some((tens * 10 + ones) as i8)
}

/// Two decimal digits (0..=99) in one byte.
fn decimal(value: i8) -> u8 {
    let value = value.unsigned_abs();
    ((value / 10) << 4) | (value % 10)
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_decimal_digits_are_decimal() {
        let check = |byte: u8, expect: Option<i8>| assert_eq!(bcd(byte), expect, "{byte:02x}");
        check(0x00, Some(0));
        check(0x09, Some(9));
        check(0x10, Some(10));
        check(0x99, Some(99));
        check(0x0a, None);
        check(0xa0, None);
        check(0xff, None);
    }

    #[test]
    fn a_date_must_exist_in_the_calendar() {
        let check =
            |bytes: [u8; 4], expect: Option<Date>| assert_eq!(super::date(bytes), expect, "{bytes:02x?}");
        check([0x20, 0x26, 0x02, 0x28], Some(date(2026, 2, 28)));
        check([0x20, 0x24, 0x02, 0x29], Some(date(2024, 2, 29)));
        check([0x20, 0x26, 0x02, 0x29], None);
        check([0x20, 0x26, 0x13, 0x01], None);
        check([0x20, 0x26, 0x00, 0x01], None);
        check([0x20, 0x2a, 0x01, 0x01], None);
        check([0x00, 0x00, 0x00, 0x00], None);
    }

    #[test]
    fn a_stray_byte_is_found_and_a_field_is_not_stray() {
        let mut bytes = [0; LEN];
        bytes[0] = START;
        bytes[4] = 1;
        assert_eq!(Reader::new(&bytes).finish(), Ok(()));
        bytes[40] = 1;
        assert_eq!(Reader::new(&bytes).finish(), Err(Rejection::Stray(40)));
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(40), 1);
        assert_eq!(reader.finish(), Ok(()));
        // The two bytes between operation and serial number are nobody's.
        bytes[2] = 1;
        assert_eq!(Reader::new(&bytes).finish(), Err(Rejection::Stray(2)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            days in 0..36_500i64, seconds in 0..86_400i64, word: u32, short: u16, pin in 0..1u32 << 24,
        ) {
            let day = date(2000, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
            let at = day.to_datetime(time(0, 0, 0, 0)).checked_add(jiff::Span::new().seconds(seconds)).unwrap();
            let packet =
                Packet::new(0x20, 7).u32(8, word).u16(12, short).u24(14, pin).date_time(20, at).date(30, day);
            let mut reader = Reader::new(&packet.0);
            prop_assert_eq!(reader.u32(8), word);
            prop_assert_eq!(reader.u16(12), short);
            prop_assert_eq!(reader.u24(14), pin);
            prop_assert_eq!(reader.date_time(20), Ok(at));
            prop_assert_eq!(reader.date(30), Ok(day));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
