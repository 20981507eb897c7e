//! The card list: numbered slots, of which a deleted one stays as a gap.

use jiff::civil::Date;

/// A card as the panel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The number on the wire, 1..=4294967294 (facility × 100,000 + number for H10301).
    pub number: u32,
    /// First day on which the card opens, in the panel's local time.
    pub from: Date,
    /// Last day on which the card opens, in the panel's local time.
    pub to: Date,
    /// Doors 1 to 4: 0 never, 1 always, 2..=254 by that time profile.
    pub doors: [u8; 4],
    /// Six digits at most; 0 is none.
    pub pin: u32,
    /// Bit n: the card opens the first-card mode of door n + 1.
    pub first_card: u8,
}

impl Card {
    /// Whether the panel can hold this card at all.
    pub(super) fn fits(&self) -> bool {
        !matches!(self.number, NONE | DELETED) && self.pin <= 999_999 && !self.doors.contains(&255)
    }
}

/// The number that stands for "no card" in a reply.
pub(super) const NONE: u32 = 0;

/// The number that stands for a deleted slot in a reply.
pub(super) const DELETED: u32 = 0xffff_ffff;

/// What stands in a slot of the card list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slot<'a> {
    Card(&'a Card),
    Deleted,
    Beyond,
}

/// Slots in order of first use; a slot is refilled before the list grows.
#[derive(Debug)]
pub(super) struct CardList {
    slots: Vec<Option<Card>>,
    capacity: usize,
}

impl CardList {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: Vec::new(), capacity }
    }

    /// Stores or replaces. False if the card does not fit or the list is full.
    pub(super) fn put(&mut self, card: Card) -> bool {
        if !card.fits() {
            return false;
        }
        let same = self.position(card.number);
        let free = || self.slots.iter().position(Option::is_none);
        match same.or_else(free) {
            Some(slot) => self.slots[slot] = Some(card),
            None if self.slots.len() < self.capacity => self.slots.push(Some(card)),
            None => return false,
        }
        true
    }

    /// True if the card was there.
    pub(super) fn delete(&mut self, number: u32) -> bool {
        self.position(number).map(|slot| self.slots[slot] = None).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    pub(super) fn get(&self, number: u32) -> Option<&Card> {
        self.iter().find(|card| card.number == number)
    }

    /// Slots count from 1.
    pub(super) fn slot(&self, index: u32) -> Slot<'_> {
        let slot = usize::try_from(index).ok().and_then(|index| self.slots.get(index.checked_sub(1)?));
        match slot {
            Some(Some(card)) => Slot::Card(card),
            Some(None) => Slot::Deleted,
            None => Slot::Beyond,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Card> {
        self.slots.iter().flatten()
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|card| card.number == number))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn card(number: u32) -> Card {
        Card {
            number,
            from: date(2026, 1, 1),
            to: date(2026, 12, 31),
            doors: [1, 0, 0, 0],
            pin: 0,
            first_card: 0,
        }
    }

    #[test]
    fn a_deleted_slot_stays_as_a_gap_and_is_refilled_first() {
        let mut list = CardList::new(3);
        for number in [11, 12, 13] {
            assert!(list.put(card(number)));
        }
        assert!(list.delete(12));
        assert_eq!(list.slot(2), Slot::Deleted);
        assert_eq!(list.slot(3), Slot::Card(&card(13)));
        assert!(list.put(card(14)));
        assert_eq!(list.slot(2), Slot::Card(&card(14)));
        assert!(!list.put(card(15)), "full");
        assert!(list.put(card(13)), "replacing needs no room");
        assert_eq!(list.iter().count(), 3);
    }

    #[test]
    fn slots_count_from_one() {
        let mut list = CardList::new(1);
        list.put(card(11));
        assert_eq!(list.slot(0), Slot::Beyond);
        assert_eq!(list.slot(1), Slot::Card(&card(11)));
        assert_eq!(list.slot(2), Slot::Beyond);
        assert_eq!(list.slot(u32::MAX), Slot::Beyond);
    }

    #[test]
    fn deleting_an_absent_card_says_so() {
        let mut list = CardList::new(1);
        assert!(!list.delete(11));
        list.put(card(11));
        assert!(list.delete(11));
        assert!(!list.delete(11));
        assert_eq!(list.get(11), None);
    }

    #[test]
    fn what_the_panel_cannot_hold_is_refused() {
        let check = |change: fn(&mut Card), expect: bool| {
            let mut card = card(11);
            change(&mut card);
            assert_eq!(CardList::new(1).put(card.clone()), expect, "{card:?}");
        };
        check(|_| (), true);
        check(|card| card.number = NONE, false);
        check(|card| card.number = DELETED, false);
        check(|card| card.number = DELETED - 1, true);
        check(|card| card.pin = 999_999, true);
        check(|card| card.pin = 1_000_000, false);
        check(|card| card.doors = [254; 4], true);
        check(|card| card.doors[3] = 255, false);
    }
}
