//! Whether a card opens a door: the decision that the panel takes alone.

use jiff::civil::DateTime;

use super::card::Card;
use super::panel::DoorMode;
use super::profile::Profiles;

/// Reason codes of the panel's events.
pub mod reason {
    /// The card opened the door.
    pub const GRANTED: u8 = 1;
    /// The card has no right at this door.
    pub const NO_RIGHT: u8 = 6;
    /// The door is set to stay shut.
    pub const NORMALLY_CLOSED: u8 = 11;
    /// The card is outside its days, or the time profile does not hold now.
    pub const NOT_NOW: u8 = 15;
    /// The card is not in the list.
    pub const UNKNOWN: u8 = 18;
    /// Opened over the network.
    pub const REMOTE: u8 = 44;
}

/// What came of showing a card at a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swipe {
    /// Whether the door opened.
    pub granted: bool,
    /// One of [`reason`]; 0 from a panel without power.
    pub reason: u8,
    /// The number of the stored event; 0 from a panel without power.
    pub event: u32,
}

/// The reason code for showing `card` (as far as the list knows it) at `door` (0..=3) at that moment.
pub(super) fn decide(
    card: Option<&Card>,
    door: usize,
    mode: DoorMode,
    profiles: &Profiles,
    at: DateTime,
) -> u8 {
    let Some(card) = card else { return reason::UNKNOWN };
    let right = card.doors[door];
    let in_days = (card.from..=card.to).contains(&at.date());
    match right {
        0 => reason::NO_RIGHT,
        _ if mode == DoorMode::NormallyClosed => reason::NORMALLY_CLOSED,
        _ if !in_days => reason::NOT_NOW,
        1 => reason::GRANTED,
        profile if profiles.hold(profile, at) => reason::GRANTED,
        _ => reason::NOT_NOW,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::super::profile::{Profile, Segment};
    use super::*;

    #[test]
    fn the_panel_decides_by_list_right_mode_days_and_profile() {
        let card = Card {
            number: 12_345_678,
            from: date(2026, 3, 2),
            to: date(2026, 3, 31),
            doors: [1, 0, 29, 30],
            pin: 0,
            first_card: 0,
        };
        let mut profiles = Profiles::default();
        profiles.set(Profile {
            id: 29,
            from: date(2026, 1, 1),
            to: date(2026, 12, 31),
            weekdays: [true, true, true, true, true, false, false],
            segments: [Segment { start: time(8, 0, 0, 0), end: time(17, 0, 0, 0) }; 3],
            linked: 0,
        });
        let check_mode = |mode, card: Option<&Card>, door: usize, at: DateTime, expect: u8| {
            assert_eq!(decide(card, door - 1, mode, &profiles, at), expect, "door {door} {mode:?} at {at}");
        };
        let check = |card, door, at, expect| check_mode(DoorMode::Controlled, card, door, at, expect);
        let noon = |day| date(2026, 3, day).at(12, 0, 0, 0);

        check(Some(&card), 1, noon(2), reason::GRANTED);
        check(None, 1, noon(2), reason::UNKNOWN);
        check(Some(&card), 2, noon(2), reason::NO_RIGHT);
        // Whole days, both ends included.
        check(Some(&card), 1, noon(1), reason::NOT_NOW);
        check(Some(&card), 1, date(2026, 3, 2).at(0, 0, 0, 0), reason::GRANTED);
        check(Some(&card), 1, date(2026, 3, 31).at(23, 59, 59, 0), reason::GRANTED);
        check(Some(&card), 1, date(2026, 4, 1).at(0, 0, 0, 0), reason::NOT_NOW);
        // A card without a right is told so, even outside its days.
        check(Some(&card), 2, noon(1), reason::NO_RIGHT);
        // Time profiles: held, not held (hour, weekend), days first, and one that does not exist.
        check(Some(&card), 3, noon(2), reason::GRANTED);
        check(Some(&card), 3, date(2026, 3, 2).at(20, 0, 0, 0), reason::NOT_NOW);
        check(Some(&card), 3, noon(7), reason::NOT_NOW);
        check(Some(&card), 3, date(2026, 4, 1).at(12, 0, 0, 0), reason::NOT_NOW);
        check(Some(&card), 4, noon(2), reason::NOT_NOW);
        // Door modes.
        check_mode(DoorMode::NormallyClosed, Some(&card), 1, noon(2), reason::NORMALLY_CLOSED);
        check_mode(DoorMode::NormallyClosed, Some(&card), 2, noon(2), reason::NO_RIGHT);
        check_mode(DoorMode::NormallyClosed, None, 1, noon(2), reason::UNKNOWN);
        check_mode(DoorMode::NormallyOpen, Some(&card), 1, noon(2), reason::GRANTED);
    }

    #[test]
    fn days_in_the_wrong_order_never_open() {
        let card = Card {
            number: 1,
            from: date(2026, 3, 31),
            to: date(2026, 3, 2),
            doors: [1; 4],
            pin: 0,
            first_card: 0,
        };
        for day in [1, 2, 15, 31] {
            let at = date(2026, 3, day).at(12, 0, 0, 0);
            let decided = decide(Some(&card), 0, DoorMode::Controlled, &Profiles::default(), at);
            assert_eq!(decided, reason::NOT_NOW);
        }
    }
}
