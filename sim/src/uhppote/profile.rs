//! Time profiles: on which days and at which hours a card opens a door.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime, Time};

/// A span within one day, both minutes included. `00:00` to `00:00` is an unused segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Segment {
    /// First minute.
    pub start: Time,
    /// Last minute.
    pub end: Time,
}

impl Segment {
    fn holds(&self, at: Time) -> bool {
        let minutes = |time: Time| i32::from(time.hour()) * 60 + i32::from(time.minute());
        let used = minutes(self.start) != 0 || minutes(self.end) != 0;
        used && (minutes(self.start)..=minutes(self.end)).contains(&minutes(at))
    }
}

/// A time profile as the panel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// 2..=254.
    pub id: u8,
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
    /// Monday first.
    pub weekdays: [bool; 7],
    /// Up to three spans; any of them will do.
    pub segments: [Segment; 3],
    /// The profile that is asked when this one says no; 0 is none.
    pub linked: u8,
}

impl Profile {
    fn holds(&self, at: DateTime) -> bool {
        let weekday = usize::from(at.weekday().to_monday_zero_offset().unsigned_abs());
        (self.from..=self.to).contains(&at.date())
            && self.weekdays[weekday]
            && self.segments.iter().any(|segment| segment.holds(at.time()))
    }
}

/// All profiles of a panel.
#[derive(Debug, Default)]
pub(super) struct Profiles(BTreeMap<u8, Profile>);

impl Profiles {
    /// False if the number is not one of a profile.
    pub(super) fn set(&mut self, profile: Profile) -> bool {
        let fits = (2..=254).contains(&profile.id) && profile.linked != 1 && profile.linked != 255;
        if fits {
            self.0.insert(profile.id, profile);
        }
        fits
    }

    pub(super) fn get(&self, id: u8) -> Option<&Profile> {
        self.0.get(&id)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether profile `id`, or one linked to it, holds at that moment. An unknown profile never does.
    pub(super) fn hold(&self, id: u8, at: DateTime) -> bool {
        let next = |profile: &&Profile| self.get(profile.linked);
        // Links may form a ring: no chain is longer than the number of profiles.
        std::iter::successors(self.get(id), next).take(self.0.len()).any(|profile| profile.holds(at))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    /// Monday to Friday of 2026, 08:30 to 17:00.
    fn office(id: u8) -> Profile {
        let segment = Segment { start: time(8, 30, 0, 0), end: time(17, 0, 0, 0) };
        Profile {
            id,
            from: date(2026, 1, 1),
            to: date(2026, 12, 31),
            weekdays: [true, true, true, true, true, false, false],
            segments: [segment, Segment::default(), Segment::default()],
            linked: 0,
        }
    }

    #[test]
    fn a_profile_holds_on_its_days_and_in_its_hours() {
        let mut profiles = Profiles::default();
        assert!(profiles.set(office(2)));
        let check = |at: DateTime, expect: bool| assert_eq!(profiles.hold(2, at), expect, "{at}");
        check(date(2026, 3, 2).at(12, 0, 0, 0), true); // a Monday
        check(date(2026, 3, 2).at(8, 29, 59, 0), false);
        check(date(2026, 3, 2).at(8, 30, 0, 0), true);
        check(date(2026, 3, 2).at(17, 0, 59, 0), true);
        check(date(2026, 3, 2).at(17, 1, 0, 0), false);
        check(date(2026, 3, 2).at(0, 0, 0, 0), false); // an unused segment is not midnight
        check(date(2026, 3, 6).at(12, 0, 0, 0), true); // Friday
        check(date(2026, 3, 7).at(12, 0, 0, 0), false); // Saturday
        check(date(2026, 3, 8).at(12, 0, 0, 0), false); // Sunday
        check(date(2025, 12, 31).at(12, 0, 0, 0), false);
        check(date(2026, 1, 1).at(12, 0, 0, 0), true);
        check(date(2026, 12, 31).at(12, 0, 0, 0), true);
        check(date(2027, 1, 1).at(12, 0, 0, 0), false);
    }

    #[test]
    fn a_linked_profile_is_asked_too_and_a_ring_ends() {
        let mut profiles = Profiles::default();
        let weekend =
            Profile { weekdays: [false, false, false, false, false, true, true], linked: 2, ..office(3) };
        profiles.set(Profile { linked: 3, ..office(2) });
        profiles.set(weekend);
        assert!(profiles.hold(2, date(2026, 3, 7).at(12, 0, 0, 0)));
        assert!(!profiles.hold(2, date(2026, 3, 7).at(20, 0, 0, 0)));
        assert!(!profiles.hold(9, date(2026, 3, 2).at(12, 0, 0, 0)), "an unknown profile never holds");
    }

    #[test]
    fn profile_numbers_have_a_range() {
        let check = |id: u8, linked: u8, expect: bool| {
            let profile = Profile { linked, ..office(id) };
            assert_eq!(Profiles::default().set(profile), expect, "{id} -> {linked}");
        };
        check(2, 0, true);
        check(254, 2, true);
        check(0, 0, false);
        check(1, 0, false);
        check(255, 0, false);
        check(2, 1, false);
        check(2, 255, false);
    }
}
