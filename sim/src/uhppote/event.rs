//! The event ring: the newest are kept, the numbers only grow.

use std::collections::VecDeque;

use jiff::civil::DateTime;

/// What sort of thing happened.
pub mod kind {
    /// No such event.
    pub const NONE: u8 = 0;
    /// A card was shown.
    pub const SWIPE: u8 = 1;
    /// A door was opened by something other than a card.
    pub const DOOR: u8 = 2;
    /// The event was there once and has been overwritten.
    pub const OVERWRITTEN: u8 = 0xff;
}

/// One event as the panel stores and pushes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Grows by one with every event, from 1; never reused.
    pub index: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// Whether the door opened.
    pub granted: bool,
    /// 1..=4.
    pub door: u8,
    /// 1 in, 2 out.
    pub direction: u8,
    /// The card that was shown, 0 if none was.
    pub card: u32,
    /// By the panel's own clock, in its local time.
    pub at: DateTime,
    /// One of [`super::reason`].
    pub reason: u8,
}

/// The answer to "give me event n".
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Event(&'a Event),
    Overwritten,
    None,
}

#[derive(Debug)]
pub(super) struct EventRing {
    events: VecDeque<Event>,
    capacity: usize,
    last: u32,
}

impl EventRing {
    pub(super) fn new(capacity: usize) -> Self {
        Self { events: VecDeque::new(), capacity: capacity.max(1), last: 0 }
    }

    /// Numbers and keeps the event, and gives it back numbered.
    pub(super) fn add(&mut self, event: Event) -> Event {
        self.last += 1;
        let event = Event { index: self.last, ..event };
        if self.events.len() == self.capacity {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        event
    }

    pub(super) fn last(&self) -> Option<&Event> {
        self.events.back()
    }

    /// Index 0 is the oldest kept, 0xffffffff the newest.
    pub(super) fn get(&self, index: u32) -> Found<'_> {
        let event = match index {
            0 => self.events.front(),
            u32::MAX => self.events.back(),
            index => self.events.iter().find(|event| event.index == index),
        };
        match event {
            Some(event) => Found::Event(event),
            None if self.events.front().is_some_and(|oldest| index < oldest.index) => Found::Overwritten,
            None => Found::None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn ring(capacity: usize, events: u32) -> EventRing {
        let mut ring = EventRing::new(capacity);
        for card in 1..=events {
            let at = date(2026, 3, 2).at(12, 0, 0, 0);
            let event = Event {
                index: 0,
                kind: kind::SWIPE,
                granted: true,
                door: 1,
                direction: 1,
                card,
                at,
                reason: 1,
            };
            assert_eq!(ring.add(event).index, card);
        }
        ring
    }

    #[test]
    fn an_event_is_found_by_its_number_until_it_is_overwritten() {
        let found = |ring: &EventRing, index| match ring.get(index) {
            Found::Event(event) => i64::from(event.card),
            Found::Overwritten => -1,
            Found::None => 0,
        };
        let check = |events: u32, index: u32, expect: i64| {
            assert_eq!(found(&ring(3, events), index), expect, "{index} of {events}");
        };
        check(0, 1, 0);
        check(0, 0, 0);
        check(0, u32::MAX, 0);
        check(2, 1, 1);
        check(2, 3, 0);
        check(2, u32::MAX, 2);
        check(5, 1, -1);
        check(5, 2, -1);
        check(5, 3, 3);
        check(5, 5, 5);
        check(5, 6, 0);
        check(5, 0, 3);
        check(5, u32::MAX, 5);
    }
}
