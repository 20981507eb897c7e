//! Card formats: what a card says to a reader, and how we name it.
//!
//! A card's identity is (format, facility, number), never the number alone: 123:45678 in H10301 and the
//! bare number 12345678 may be two people. What this is not: it knows no panel. How a door system
//! writes a card's number is that connector's business, and so is refusing what it cannot hold.
//!
//! To add a format: a [`CardFormat`], its [`Layout`] if a reader sends it with parity bits, and a line
//! in each table of the tests.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a card's number is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CardFormat {
    /// 26 bits: facility 0–255, number 0–65,535. The most common of all.
    H10301,
    /// 37 bits with facility 0–65,535 and number 0–524,287.
    H10304,
    /// 37 bits without facility: number 0–34,359,738,367.
    H10302,
    /// The serial number of an ISO 14443 chip: 4, 7 or 10 bytes, in the order they come over the air.
    /// It can be cloned with cheap tools, so it is no identity for a high protection class.
    Uid,
    /// A number that a door system holds and that no format here explains. It is what a sweep found,
    /// never what we grant.
    Native,
}

impl CardFormat {
    /// Every format.
    pub const ALL: [CardFormat; 5] = [Self::H10301, Self::H10304, Self::H10302, Self::Uid, Self::Native];

    /// The word that stands before the first colon of a card's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H10301 => "h10301",
            Self::H10304 => "h10304",
            Self::H10302 => "h10302",
            Self::Uid => "uid",
            Self::Native => "native",
        }
    }

    /// How a Wiegand reader sends this format. `None` for formats that are not sent in parity bits.
    #[must_use]
    pub const fn layout(self) -> Option<Layout> {
        match self {
            Self::H10301 => Some(Layout { bits: 26, facility_bits: 8, number_bits: 16, half: 12 }),
            Self::H10304 => Some(Layout { bits: 37, facility_bits: 16, number_bits: 19, half: 18 }),
            Self::H10302 => Some(Layout { bits: 37, facility_bits: 0, number_bits: 35, half: 18 }),
            Self::Uid | Self::Native => None,
        }
    }

    /// Reads what a reader sent: the frame right-aligned, its first bit the most significant.
    ///
    /// # Errors
    /// [`CardError::NotWiegand`] for a format without parity bits, [`CardError::Frame`] when the frame
    /// is longer than the format, [`CardError::Parity`] when a parity bit is wrong.
    pub fn decode(self, frame: u64) -> Result<Card, CardError> {
        let layout = self.layout().ok_or(CardError::NotWiegand(self))?;
        if frame >> layout.bits != 0 {
            return Err(CardError::Frame { format: self, bits: layout.bits });
        }
        let data = frame >> 1 & low(layout.bits - 2);
        if layout.frame(data) != frame {
            return Err(CardError::Parity(self));
        }
        let number = data & low(layout.number_bits);
        let facility = (data >> layout.number_bits) as u32;
        Card::new(self, (layout.facility_bits > 0).then_some(facility), number)
    }
}

impl fmt::Display for CardFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CardFormat {
    type Err = CardError;
    fn from_str(text: &str) -> Result<Self, CardError> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| CardError::UnknownFormat(text.chars().take(32).collect()))
    }
}

/// The frame of a Wiegand format: an even parity bit, facility, number, an odd parity bit.
///
/// The even bit covers the first `half` data bits, the odd bit the last `half`. With 35 data bits the
/// halves share the middle bit. The 26-bit map is public; the 37-bit maps are as the trade knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of the whole frame.
    pub bits: u32,
    /// Length of the facility, 0 when the format has none.
    pub facility_bits: u32,
    /// Length of the number.
    pub number_bits: u32,
    /// How many data bits each parity bit covers.
    pub half: u32,
}

impl Layout {
    /// The data bits between their parity bits.
    fn frame(self, data: u64) -> u64 {
        let first = data >> (self.bits - 2 - self.half);
        let last = data & low(self.half);
        let even = u64::from(first.count_ones() % 2);
        let odd = u64::from(last.count_ones().is_multiple_of(2));
        even << (self.bits - 1) | data << 1 | odd
    }
}

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// One card, as its format names it. Written `h10301:123:45678`, `h10302:7`, `uid:04a1b2c3d4e5f6`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Card(Identity);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Identity {
    Numbered { format: CardFormat, facility: Option<u32>, number: u64 },
    Uid(Uid),
}

/// 4, 7 or 10 bytes; the rest is zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Uid {
    len: u8,
    bytes: [u8; 10],
}

impl Card {
    /// A card by its parts. Formats without a facility take `None`.
    ///
    /// # Errors
    /// [`CardError::Facility`] and [`CardError::Number`] when the format cannot hold the value;
    /// [`CardError::UidIsBytes`] for [`CardFormat::Uid`], which is made by [`Card::uid`].
    pub fn new(format: CardFormat, facility: Option<u32>, number: u64) -> Result<Self, CardError> {
        let (facility_bits, number_bits) = match (format, format.layout()) {
            (CardFormat::Uid, _) => return Err(CardError::UidIsBytes),
            (_, Some(layout)) => (layout.facility_bits, layout.number_bits),
            (_, None) => (0, 63),
        };
        let fits = match facility {
            Some(facility) => facility_bits > 0 && u64::from(facility) <= low(facility_bits),
            None => facility_bits == 0,
        };
        if !fits {
            return Err(CardError::Facility { format, max: (facility_bits > 0).then(|| low(facility_bits)) });
        }
        if number > low(number_bits) {
            return Err(CardError::Number { format, max: low(number_bits) });
        }
        Ok(Self(Identity::Numbered { format, facility, number }))
    }

    /// A 26-bit card. Every facility and number of these types fits.
    #[must_use]
    pub const fn h10301(facility: u8, number: u16) -> Self {
        Self(Identity::Numbered {
            format: CardFormat::H10301,
            facility: Some(facility as u32),
            number: number as u64,
        })
    }

    /// A card by its chip's serial number, bytes in the order they come over the air.
    ///
    /// # Errors
    /// [`CardError::UidLength`] unless 4, 7 or 10 bytes are given (ISO 14443-3, clause 6.5.4).
    pub fn uid(serial: &[u8]) -> Result<Self, CardError> {
        let (4 | 7 | 10) = serial.len() else { return Err(CardError::UidLength(serial.len())) };
        let mut bytes = [0; 10];
        bytes[..serial.len()].copy_from_slice(serial);
        Ok(Self(Identity::Uid(Uid { len: serial.len() as u8, bytes })))
    }

    /// A number as a door system holds it, for what no format explains. Numbers of 63 bits at most.
    ///
    /// # Errors
    /// [`CardError::Number`] above that.
    pub fn native(number: u64) -> Result<Self, CardError> {
        Self::new(CardFormat::Native, None, number)
    }

    /// How this card's number is laid out.
    #[must_use]
    pub const fn format(&self) -> CardFormat {
        match self.0 {
            Identity::Numbered { format, .. } => format,
            Identity::Uid(_) => CardFormat::Uid,
        }
    }

    /// The facility (site) code, where the format has one.
    #[must_use]
    pub const fn facility(&self) -> Option<u32> {
        match self.0 {
            Identity::Numbered { facility, .. } => facility,
            Identity::Uid(_) => None,
        }
    }

    /// The number, `None` for a chip's serial number.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        match self.0 {
            Identity::Numbered { number, .. } => Some(number),
            Identity::Uid(_) => None,
        }
    }

    /// How the directory keeps it: format, facility (0 where the format has none), number. `None` for a chip's serial
    /// number, which is nobody's.
    #[must_use]
    pub fn row(&self) -> Option<(&'static str, i64, i64)> {
        let number = i64::try_from(self.number()?).ok()?;
        Some((self.format().as_str(), i64::from(self.facility().unwrap_or(0)), number))
    }

    /// What a Wiegand reader sends for this card: the frame right-aligned, and its length in bits.
    /// `None` for formats that are not sent in parity bits.
    #[must_use]
    pub fn encode(&self) -> Option<(u64, u32)> {
        let layout = self.format().layout()?;
        let data = u64::from(self.facility().unwrap_or(0)) << layout.number_bits | self.number()?;
        Some((layout.frame(data), layout.bits))
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.format())?;
        match self.0 {
            Identity::Numbered { facility: Some(facility), number, .. } => write!(f, "{facility}:{number}"),
            Identity::Numbered { facility: None, number, .. } => write!(f, "{number}"),
            Identity::Uid(Uid { len, bytes }) => {
                bytes[..usize::from(len)].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Accepts exactly what [`fmt::Display`] writes, so one card has one spelling.
impl FromStr for Card {
    type Err = CardError;
    fn from_str(text: &str) -> Result<Self, CardError> {
        let (format, rest) = text.split_once(':').ok_or(CardError::Text)?;
        let format: CardFormat = format.parse()?;
        if format == CardFormat::Uid {
            return Self::uid(&bytes(rest).ok_or(CardError::Text)?);
        }
        let (facility, number) = match rest.split_once(':') {
            Some((facility, number)) => (Some(decimal(facility)?), number),
            None => (None, rest),
        };
        // A facility too large for any format is reported as one too large for this format.
        let facility = facility.map(|facility| u32::try_from(facility).unwrap_or(u32::MAX));
        Self::new(format, facility, decimal(number)?)
    }
}

/// Decimal digits without sign or leading zeros.
fn decimal(text: &str) -> Result<u64, CardError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(CardError::Text)
}

/// Lower-case hexadecimal, two digits a byte.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let (pairs, odd) = digits.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl Serialize for Card {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Card {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why something is not a card. Each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// The text is not `format:…`.
    #[error(
        "not a card: expected `h10301:FACILITY:NUMBER`, `h10304:FACILITY:NUMBER`, `h10302:NUMBER` or `uid:HEX`, \
         decimal without leading zeros, hex in lower case"
    )]
    Text,
    /// No such format.
    #[error("unknown card format `{0}`: expected h10301, h10304, h10302 or uid")]
    UnknownFormat(String),
    /// The facility is missing, superfluous or too large.
    #[error("{format} {}", facility_rule(*.max))]
    Facility {
        /// The format asked for.
        format: CardFormat,
        /// The largest facility it can hold, `None` when it has none.
        max: Option<u64>,
    },
    /// The number is too large.
    #[error("{format} holds numbers of 0 to {max}")]
    Number {
        /// The format asked for.
        format: CardFormat,
        /// The largest number it can hold.
        max: u64,
    },
    /// A chip's serial number of a length that does not exist.
    #[error("a chip's serial number has 4, 7 or 10 bytes, not {0}")]
    UidLength(usize),
    /// A chip's serial number was asked for by number.
    #[error("a chip's serial number is given as bytes, not as a number")]
    UidIsBytes,
    /// The format is not sent in parity bits.
    #[error("{0} is not a Wiegand format")]
    NotWiegand(CardFormat),
    /// The frame is longer than the format.
    #[error("{format} is sent in {bits} bits, this frame is longer")]
    Frame {
        /// The format asked for.
        format: CardFormat,
        /// Its length.
        bits: u32,
    },
    /// A parity bit is wrong: a reading error, or another format of the same length.
    #[error("the parity of this {0} frame is wrong: read the card again, or check the reader's format")]
    Parity(CardFormat),
}

fn facility_rule(max: Option<u64>) -> String {
    max.map_or_else(|| "has no facility".into(), |max| format!("needs a facility of 0 to {max}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any card of any format.
    fn any_card() -> impl Strategy<Value = Card> {
        prop_oneof![
            any::<(u8, u16)>().prop_map(|(facility, number)| Card::h10301(facility, number)),
            (0..1u32 << 16, 0..1u64 << 19).prop_map(|(facility, number)| Card::new(
                CardFormat::H10304,
                Some(facility),
                number
            )
            .unwrap()),
            (0..1u64 << 35).prop_map(|number| Card::new(CardFormat::H10302, None, number).unwrap()),
            prop_oneof![Just(4usize), Just(7), Just(10)]
                .prop_flat_map(|len| proptest::collection::vec(any::<u8>(), len))
                .prop_map(|serial| Card::uid(&serial).unwrap()),
            (0..1u64 << 63).prop_map(|number| Card::native(number).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn a_card_prints_and_parses_back(card in any_card()) {
            prop_assert_eq!(card.to_string().parse(), Ok(card));
            let json = serde_json::to_string(&card).unwrap();
            prop_assert_eq!(serde_json::from_str::<Card>(&json).unwrap(), card);
        }

        #[test]
        fn a_card_comes_back_from_its_row(card in any_card()) {
            match card.row() {
                Some((format, facility, number)) => {
                    prop_assert_eq!(crate::placement::card(format, facility, number), Ok(card));
                }
                None => prop_assert_eq!(card.format(), CardFormat::Uid),
            }
        }

        #[test]
        fn a_text_that_parses_is_the_one_spelling(text in "(h10301|h10304|h10302|uid|native):[0-9a-f:+]{0,12}") {
            if let Ok(card) = text.parse::<Card>() {
                prop_assert_eq!(card.to_string(), text);
            }
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Card>();
        }

        #[test]
        fn a_frame_decodes_to_its_card(card in any_card()) {
            if let Some((frame, bits)) = card.encode() {
                prop_assert_eq!(frame >> bits, 0);
                prop_assert_eq!(card.format().decode(frame), Ok(card));
            }
        }

        #[test]
        fn one_flipped_bit_is_noticed(card in any_card(), flip in 0u32..37) {
            let Some((frame, bits)) = card.encode() else { return Ok(()) };
            prop_assume!(flip < bits);
            prop_assert_eq!(card.format().decode(frame ^ 1 << flip), Err(CardError::Parity(card.format())));
        }

        #[test]
        fn any_frame_decodes_or_is_refused(frame: u64) {
            for format in CardFormat::ALL {
                if let Ok(card) = format.decode(frame) {
                    prop_assert_eq!(card.encode(), Some((frame, format.layout().unwrap().bits)));
                }
            }
        }
    }

    #[test]
    fn the_26_bit_example_of_the_osdp_trial() {
        // 123/45678, left-aligned in four bytes: bd d9 37 40.
        let frame = 0xbdd9_3740u64 >> 6;
        assert_eq!(Card::h10301(123, 45678).encode(), Some((frame, 26)));
        assert_eq!(CardFormat::H10301.decode(frame), Ok(Card::h10301(123, 45678)));
    }

    #[test]
    fn equal_numbers_in_different_formats_are_different_cards() {
        let number = 12_345_678;
        let cards = [
            Card::h10301(123, 45678),
            Card::new(CardFormat::H10302, None, number).unwrap(),
            Card::native(number).unwrap(),
        ];
        assert_eq!(std::collections::BTreeSet::from(cards).len(), 3);
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused() {
        use CardFormat::*;
        for (text, error) in [
            ("h10301:256:1", CardError::Facility { format: H10301, max: Some(255) }),
            ("h10301:4294967296:1", CardError::Facility { format: H10301, max: Some(255) }),
            ("h10301:1:65536", CardError::Number { format: H10301, max: 65_535 }),
            ("h10301:1", CardError::Facility { format: H10301, max: Some(255) }),
            ("h10304:65536:1", CardError::Facility { format: H10304, max: Some(65_535) }),
            ("h10304:1:524288", CardError::Number { format: H10304, max: 524_287 }),
            ("h10302:1:1", CardError::Facility { format: H10302, max: None }),
            ("h10302:34359738368", CardError::Number { format: H10302, max: 34_359_738_367 }),
            ("native:9223372036854775808", CardError::Number { format: Native, max: (1 << 63) - 1 }),
            ("uid:0102", CardError::UidLength(2)),
            ("uid:04A1B2C3", CardError::Text),
            ("uid:04a1b2c", CardError::Text),
            ("h10301:01:1", CardError::Text),
            ("h10301:+1:1", CardError::Text),
            ("h10301:1:1:1", CardError::Text),
            ("h10301::1", CardError::Text),
            ("12345678", CardError::Text),
            ("h10301", CardError::Text),
            ("wiegand:1:1", CardError::UnknownFormat("wiegand".into())),
        ] {
            assert_eq!(text.parse::<Card>(), Err(error), "{text}");
        }
        assert_eq!(Card::new(Uid, None, 1), Err(CardError::UidIsBytes));
        assert_eq!(H10301.decode(1 << 26), Err(CardError::Frame { format: H10301, bits: 26 }));
    }

    #[test]
    fn errors_say_what_to_write_instead() {
        let error = "h10301:256:1".parse::<Card>().unwrap_err();
        assert_eq!(error.to_string(), "h10301 needs a facility of 0 to 255");
        let error = "h10302:1:1".parse::<Card>().unwrap_err();
        assert_eq!(error.to_string(), "h10302 has no facility");
    }
}
