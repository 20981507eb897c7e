//! How a controller counts cards: one number of 32 bits, for a 26-bit card facility × 100,000 + number.

use crate::card::{Card, CardFormat};

use super::message::DELETED;

const PER_FACILITY: u32 = 100_000;

/// The number that a controller knows a card by.
///
/// # Errors
/// Why a controller cannot hold it, for the person who chose the card.
pub(super) fn of_card(card: &Card) -> Result<u32, String> {
    let number = match (card.format(), card.facility(), card.number()) {
        (CardFormat::H10301, Some(facility), Some(number)) => {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            facility.saturating_mul(PER_FACILITY).saturating_add(number)
        }
        (CardFormat::Native, _, Some(number)) => {
            u32::try_from(number).map_err(|_| "its numbers have 32 bits".to_owned())?
        }
        (format, ..) => return Err(format!("its readers send 26 bits (h10301), not {format}")),
    };
    match number {
        0 => Err("it takes 0 for no card".into()),
        DELETED => Err(format!("it takes {DELETED} for a deleted card")),
        number => Ok(number),
    }
}

/// The card that a controller's number stands for; `None` for the two numbers that stand for no card.
pub(super) fn to_card(number: u32) -> Option<Card> {
    let (facility, rest) = (number / PER_FACILITY, number % PER_FACILITY);
    match (u8::try_from(facility), u16::try_from(rest), number) {
        (.., 0 | DELETED) => None,
        (Ok(facility), Ok(rest), _) => Some(Card::h10301(facility, rest)),
        _ => Card::native(u64::from(number)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_panels() {
        for (card, number) in [
            ("h10301:123:45678", Ok(12_345_678)),
            ("h10301:0:1", Ok(1)),
            ("h10301:255:65535", Ok(25_565_535)),
            ("native:12399999", Ok(12_399_999)),
            ("h10301:0:0", Err("it takes 0 for no card")),
            ("native:4294967295", Err("it takes 4294967295 for a deleted card")),
            ("native:4294967296", Err("its numbers have 32 bits")),
            ("h10302:12345678", Err("its readers send 26 bits (h10301), not h10302")),
            ("h10304:123:45678", Err("its readers send 26 bits (h10301), not h10304")),
            ("uid:04a1b2c3", Err("its readers send 26 bits (h10301), not uid")),
        ] {
            let card: Card = card.parse().unwrap();
            assert_eq!(of_card(&card), number.map_err(str::to_owned), "{card}");
        }
    }

    proptest! {
        #[test]
        fn each_number_stands_for_one_card(number: u32) {
            match to_card(number) {
                Some(card) => prop_assert_eq!(of_card(&card), Ok(number)),
                None => prop_assert!(number == 0 || number == DELETED),
            }
        }

        #[test]
        fn no_two_26_bit_cards_share_a_number(one: (u8, u16), other: (u8, u16)) {
            let number = |(facility, number)| of_card(&Card::h10301(facility, number));
            prop_assert_eq!(number(one) == number(other), one == other);
        }
    }
}
