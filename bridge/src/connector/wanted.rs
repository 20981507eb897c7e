//! What is wanted of a door system, and what it was seen to hold: two views of the same thing, so that
//! comparing them is all a reconciler has to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::Date;
use kernel::id::CredentialId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::card::Card;

/// An access point as its door system's configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AccessPointAddress(pub String);

impl fmt::Display for AccessPointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for AccessPointAddress {
    fn from(address: &str) -> Self {
        Self(address.into())
    }
}

/// When a credential opens an access point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// At any hour.
    Always,
    /// In the hours of the door system's own profile of this number.
    TimeProfile(u8),
}

/// Where and from when to when a credential opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// The access points it opens. One that is not named is not opened.
    pub access: BTreeMap<AccessPointAddress, Access>,
    /// First whole day, in the door's local time; `None` is no limit.
    pub valid_from: Option<Date>,
    /// Last whole day, in the door's local time; `None` is no limit. An end within a day is a
    /// revocation by us at that hour, never a date.
    pub valid_to: Option<Date>,
}

/// What a credential is wanted to be at one door system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// On no list.
    Absent,
    /// Holding exactly these rights.
    Present(Rights),
}

impl Want {
    /// Whether `next` opens less than this, at any access point or at any time: then something must be taken away.
    /// Of hours in two time profiles nobody knows which are more, so another one counts as less.
    #[must_use]
    pub fn loses_by(&self, next: &Want) -> bool {
        match (self, next) {
            (Self::Absent, _) => false,
            (Self::Present(was), Self::Absent) => !was.access.is_empty(),
            (Self::Present(was), Self::Present(next)) => was.loses_by(next),
        }
    }

    /// Whether an access point is opened in the hours of a time profile only.
    #[must_use]
    pub fn has_hours(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::Present(rights) => rights.access.values().any(|access| *access != Access::Always),
        }
    }

    /// Whether something is opened at some times only: hours, or days.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        let has_days = |rights: &Rights| rights.valid_from.is_some() || rights.valid_to.is_some();
        self.has_hours() || matches!(self, Self::Present(rights) if has_days(rights))
    }
}

/// Which wish something belongs to. Numbers of one credential only ever rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The credential.
    pub credential: CredentialId,
    /// The number of the wish.
    pub number: i64,
}

/// The whole wanted state of one credential at one door system: never a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredCredential {
    /// Whose wish, and which one.
    pub version: Version,
    /// The card by which the door knows the credential.
    pub card: Card,
    /// What is wanted.
    pub want: Want,
}

/// What one access point, or the part of the system that decides for it, was seen to hold for a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The card is not on its list.
    Absent,
    /// The card is on its list.
    Held(Held),
    /// It could not be asked. The reason, in words.
    Unread(String),
}

/// A card on the list of the part that decides for an access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it opens this access point; `None` when it stands on the list without a right here.
    pub access: Option<Access>,
    /// First whole day.
    pub valid_from: Option<Date>,
    /// Last whole day.
    pub valid_to: Option<Date>,
}

/// What a system holds for a card, access point by access point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Every access point that was asked.
    pub points: BTreeMap<AccessPointAddress, Reading>,
    /// What stands there beyond anything we can want.
    pub deviations: BTreeSet<Deviation>,
}

/// Something a system holds for a card that no wish of ours can mean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deviation {
    /// A PIN is set.
    Pin,
    /// The card unlocks a door for everybody.
    FirstCard,
    /// A right at a door that the configuration does not name.
    UnnamedDoor {
        /// The part of the system.
        unit: String,
        /// The door's number there.
        door: i64,
    },
    /// A right at a door in hours that are neither always nor those of one profile.
    OtherHours {
        /// The part of the system.
        unit: String,
        /// The door's number there.
        door: i64,
    },
    /// The card opens while the part cannot ask who decides.
    Contingency {
        /// The part of the system.
        unit: String,
    },
    /// Whoever has the card administers the part.
    Administrator {
        /// The part of the system.
        unit: String,
    },
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin => write!(f, "a PIN is set"),
            Self::FirstCard => write!(f, "it unlocks doors for everybody"),
            Self::UnnamedDoor { unit, door } => write!(f, "door {door} of {unit}, which has no name here"),
            Self::OtherHours { unit, door } => write!(f, "door {door} of {unit} at hours of its own"),
            Self::Contingency { unit } => write!(f, "what {unit} opens while it cannot ask"),
            Self::Administrator { unit } => write!(f, "it administers {unit}"),
        }
    }
}

impl ReadBack {
    /// Every access point was asked, and none holds the card.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.points.values().all(|reading| *reading == Reading::Absent) && self.deviations.is_empty()
    }

    /// Something was read to stand there: the card on a list, with or without a right, or what goes beyond any wish.
    #[must_use]
    pub fn holds_anything(&self) -> bool {
        let is_held = |reading: &Reading| matches!(reading, Reading::Held(_));
        self.points.values().any(is_held) || !self.deviations.is_empty()
    }

    /// The access points that could not be asked.
    pub fn unread(&self) -> impl Iterator<Item = &AccessPointAddress> {
        self.points
            .iter()
            .filter(|(_, reading)| matches!(reading, Reading::Unread(_)))
            .map(|(point, _)| point)
    }

    /// Every access point was asked, and the system holds exactly what is wanted.
    #[must_use]
    pub fn meets(&self, want: &Want) -> bool {
        let Want::Present(rights) = want else { return self.is_absent() };
        self.deviations.is_empty()
            && rights.access.keys().all(|point| self.points.contains_key(point))
            && self.points.iter().all(|(point, reading)| rights.met_at(point, reading))
    }

    /// Where more was read to be opened than is wanted, in words: at a door, at hours or on days that are not, or past
    /// anything that we can want.
    #[must_use]
    pub fn beyond(&self, want: &Want) -> Vec<String> {
        let nothing = Rights::default();
        let rights = match want {
            Want::Absent => &nothing,
            Want::Present(rights) => rights,
        };
        let opens_more = self.points.iter().filter(|(point, reading)| {
            let Reading::Held(Held { access: Some(access), valid_from, valid_to }) = reading else {
                return false;
            };
            let access = [((*point).clone(), *access)].into();
            Rights { access, valid_from: *valid_from, valid_to: *valid_to }.loses_by(rights)
        });
        let points = opens_more.map(|(point, _)| point.to_string());
        points.chain(self.deviations.iter().map(Deviation::to_string)).collect()
    }

    /// Both readings. Where both name an access point, the other's counts.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        self.points.extend(other.points);
        self.deviations.extend(other.deviations);
        self
    }
}

impl Rights {
    fn loses_by(&self, next: &Rights) -> bool {
        let is_kept = |(point, access): (&AccessPointAddress, &Access)| {
            next.access.get(point).is_some_and(|next| next == access || *next == Access::Always)
        };
        let ends_before = |last: Date| self.valid_to.is_none_or(|this| last < this);
        // No first day is before all days.
        !self.access.iter().all(is_kept)
            || next.valid_from > self.valid_from
            || next.valid_to.is_some_and(ends_before)
    }

    fn met_at(&self, point: &AccessPointAddress, reading: &Reading) -> bool {
        let wanted = self.access.get(point).copied();
        match reading {
            Reading::Absent => wanted.is_none(),
            Reading::Held(held) => {
                held.access == wanted && held.valid_from == self.valid_from && held.valid_to == self.valid_to
            }
            Reading::Unread(_) => false,
        }
    }
}

/// Where a sweep stands. Opaque: only the connector that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListCursor(pub String);

/// A page of what a system holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The cards on this page. A card that several parts hold comes once per part.
    pub listed: Vec<Listed>,
    /// Where to go on; `None` at the end.
    pub next: Option<ListCursor>,
    /// The access points whose part could not be read; the sweep has left them out.
    pub unread: Vec<AccessPointAddress>,
}

/// A card that one part of a system holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The card; [`CardFormat::Native`](crate::card::CardFormat::Native) when no format explains it.
    pub card: Card,
    /// What this part holds for it. The access points of other parts are not in it, so it cannot be held
    /// against a wish before the parts are put together ([`take_inventory`](super::take_inventory)).
    pub seen: ReadBack,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(access: Option<Access>, valid_to: Option<Date>) -> Reading {
        Reading::Held(Held { access, valid_from: None, valid_to })
    }

    fn seen(points: &[(&str, Reading)]) -> ReadBack {
        let points = points.iter().map(|(point, reading)| ((*point).into(), reading.clone())).collect();
        ReadBack { points, deviations: BTreeSet::new() }
    }

    fn want(points: &[(&str, Access)], valid_to: Option<Date>) -> Want {
        let access = points.iter().map(|(point, access)| ((*point).into(), *access)).collect();
        Want::Present(Rights { access, valid_from: None, valid_to })
    }

    #[test]
    fn a_wish_is_met_only_when_every_access_point_agrees() {
        use Access::{Always, TimeProfile};
        let day = jiff::civil::date(2026, 11, 30);
        let unread = Reading::Unread("silent".into());
        for (wanted, seen, met) in [
            (
                want(&[("a", Always)], None),
                seen(&[("a", held(Some(Always), None)), ("b", Reading::Absent)]),
                true,
            ),
            (
                want(&[("a", Always)], None),
                seen(&[("a", held(Some(Always), None)), ("b", held(None, None))]),
                true,
            ),
            (want(&[("a", Always)], None), seen(&[("a", held(Some(TimeProfile(2)), None))]), false),
            (want(&[("a", Always)], None), seen(&[("a", held(None, None))]), false),
            (want(&[("a", Always)], None), seen(&[("a", Reading::Absent)]), false),
            (want(&[("a", Always)], None), seen(&[]), false),
            (want(&[("a", Always)], Some(day)), seen(&[("a", held(Some(Always), None))]), false),
            (
                want(&[("a", Always)], None),
                seen(&[("a", held(Some(Always), None)), ("b", held(Some(Always), None))]),
                false,
            ),
            (
                want(&[("a", Always)], None),
                seen(&[("a", held(Some(Always), None)), ("b", unread.clone())]),
                false,
            ),
            (Want::Absent, seen(&[("a", Reading::Absent)]), true),
            (Want::Absent, seen(&[("a", held(None, None))]), false),
            (Want::Absent, seen(&[("a", Reading::Absent), ("b", unread)]), false),
        ] {
            assert_eq!(seen.meets(&wanted), met, "{wanted:?} against {seen:?}");
        }
    }

    #[test]
    fn less_at_any_door_or_any_time_is_a_loss_and_more_is_none() {
        use Access::{Always, TimeProfile};
        let day = |day: i8| Some(jiff::civil::date(2026, 11, day));
        let between = |from: Option<Date>, to: Option<Date>| match want(&[("a", Always)], to) {
            Want::Present(rights) => Want::Present(Rights { valid_from: from, ..rights }),
            Want::Absent => Want::Absent,
        };
        for (was, next, loses) in [
            (Want::Absent, want(&[("a", Always)], None), false),
            (want(&[("a", Always)], None), Want::Absent, true),
            (want(&[("a", Always)], None), want(&[("a", Always), ("b", Always)], None), false),
            (want(&[("a", Always), ("b", Always)], None), want(&[("a", Always)], None), true),
            (want(&[("a", TimeProfile(2))], None), want(&[("a", Always)], None), false),
            (want(&[("a", Always)], None), want(&[("a", TimeProfile(2))], None), true),
            (want(&[("a", TimeProfile(2))], None), want(&[("a", TimeProfile(3))], None), true),
            (want(&[("a", TimeProfile(2))], None), want(&[("a", TimeProfile(2))], None), false),
            (between(None, None), between(None, day(9)), true),
            (between(None, day(9)), between(None, day(8)), true),
            (between(None, day(9)), between(None, day(10)), false),
            (between(None, day(9)), between(None, None), false),
            (between(None, None), between(day(1), None), true),
            (between(day(2), None), between(day(3), None), true),
            (between(day(2), None), between(day(1), None), false),
            (between(day(2), None), between(None, None), false),
        ] {
            assert_eq!(was.loses_by(&next), loses, "{was:?} then {next:?}");
        }
        assert!(want(&[("a", Always), ("b", TimeProfile(2))], None).has_hours());
        assert!(!want(&[("a", Always)], None).has_hours() && !Want::Absent.has_hours());
    }

    #[test]
    fn what_is_beyond_a_wish_is_named_and_what_falls_short_of_it_is_not() {
        use Access::{Always, TimeProfile};
        let day = |day: i8| Some(jiff::civil::date(2026, 11, day));
        let here = |access: Access| want(&[("a", access)], day(9));
        for (reading, wanted, beyond) in [
            (Reading::Absent, Want::Absent, false),
            (Reading::Unread("silent".into()), Want::Absent, false),
            (held(None, None), Want::Absent, false),
            (held(Some(Always), None), Want::Absent, true),
            (held(Some(Always), day(9)), here(Always), false),
            (held(Some(Always), day(8)), here(Always), false),
            (held(Some(Always), day(10)), here(Always), true),
            (held(Some(Always), day(9)), here(TimeProfile(2)), true),
            (held(Some(TimeProfile(2)), day(9)), here(TimeProfile(2)), false),
            (held(Some(TimeProfile(3)), day(9)), here(TimeProfile(2)), true),
            (held(Some(TimeProfile(2)), day(9)), here(Always), false),
            (held(Some(Always), day(9)), want(&[("b", Always)], None), true),
        ] {
            let found = seen(&[("a", reading.clone())]).beyond(&wanted);
            assert_eq!(found, if beyond { vec!["a"] } else { vec![] }, "{reading:?} for {wanted:?}");
        }
        let mut with_pin = seen(&[("a", held(Some(Always), day(9)))]);
        with_pin.deviations.insert(Deviation::Pin);
        assert_eq!(with_pin.beyond(&here(Always)), ["a PIN is set"]);
    }

    #[test]
    fn a_deviation_is_never_what_was_wanted() {
        let mut seen = seen(&[("a", held(Some(Access::Always), None))]);
        let wanted = want(&[("a", Access::Always)], None);
        assert!(seen.meets(&wanted));
        seen.deviations.insert(Deviation::Pin);
        assert!(!seen.meets(&wanted));
    }
}
