//! How a device counts cards: one number of 64 bits, for a 26-bit card facility × 2^32 + number (vendor's access API,
//! "cards": 123,45678 is 528281023086).

use crate::card::{Card, CardFormat};

/// The number that a device knows a card by. Never 0, which stands for no card, and never above what 63 bits hold: what
/// a device does with more, nobody says.
///
/// # Errors
/// Why a device cannot hold it, for the person who chose the card.
pub(super) fn of_card(card: &Card) -> Result<i64, String> {
    let number = match (card.format(), card.facility(), card.number()) {
        (CardFormat::H10301, Some(facility), Some(number)) => u64::from(facility) << 32 | number,
        (CardFormat::Native, _, Some(number)) => number,
        (format, ..) => return Err(format!("its readers are taken to send 26 bits (h10301), not {format}")),
    };
    match i64::try_from(number) {
        Ok(0) => Err("it takes 0 for no card".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("its numbers are taken to have 63 bits".into()),
    }
}

/// The card that a device's number stands for; `None` for 0 and for what is no number of a card.
pub(super) fn to_card(number: i64) -> Option<Card> {
    let number = u64::try_from(number).ok().filter(|number| *number != 0)?;
    match (u8::try_from(number >> 32), u16::try_from(number & 0xffff_ffff)) {
        (Ok(facility), Ok(rest)) => Some(Card::h10301(facility, rest)),
        _ => Card::native(number).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_vendor() {
        for (card, number) in [
            ("h10301:123:45678", Ok(528_281_023_086)),
            ("h10301:0:1", Ok(1)),
            ("h10301:255:65535", Ok(255 << 32 | 65_535)),
            ("native:4294967296000", Ok(4_294_967_296_000)),
            ("h10301:0:0", Err("it takes 0 for no card")),
            ("h10302:12345678", Err("its readers are taken to send 26 bits (h10301), not h10302")),
            ("h10304:123:45678", Err("its readers are taken to send 26 bits (h10301), not h10304")),
            ("uid:04a1b2c3", Err("its readers are taken to send 26 bits (h10301), not uid")),
        ] {
            let card: Card = card.parse().unwrap();
            assert_eq!(of_card(&card), number.map_err(str::to_owned), "{card}");
        }
    }

    proptest! {
        #[test]
        fn each_number_stands_for_one_card(number: i64) {
            match to_card(number) {
                Some(card) => prop_assert_eq!(of_card(&card), Ok(number)),
                None => prop_assert!(number <= 0),
            }
        }
    }
}
