//! What is wanted of a door system for one card at a moment, put together from all that opens for its holder. Pure.
//!
//! Access profiles open access points on schedules, and for a time; a card is valid for a time, too. A door system
//! holds less than that: for each card one time profile at each access point, and one first and one last day for all
//! of them. So what it is given is never more than what is wanted, and what does not fit in is done by us when its time
//! has come:
//!
//! - *Always* includes every schedule. Of two schedules at one access point the first by name is held, and the other
//!   is told.
//! - What has not begun waits until it does, beside what has. Where nothing has, a system that keeps days by itself
//!   ([`keeps_days`](crate::connector::Descriptor::keeps_days)) gets what begins first, with its first day.
//! - The last day is the first on which anything ends: while we cannot reach the system nothing opens too long, and
//!   when we can, we give it the rest at that midnight.
//! - An end within a day is that day to the system, and ours to the hour.
//!
//! What it is not: it knows no hours. Which they are is set at the door system, under the number of its time profile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use directory::door::WantedPoint;
use jiff::tz::TimeZone;
use kernel::{Day, Timestamp};

use crate::connector::{Access, AccessPointAddress, Rights, Want};

/// How a door system calls hours, and how it counts days.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Which of its own time profiles each schedule is.
    pub(crate) time_profiles: BTreeMap<String, u8>,
    /// The local time of its doors.
    pub(crate) time_zone: TimeZone,
    /// Whether it keeps first and last days by itself.
    pub(crate) keeps_days: bool,
}

impl Terms {
    /// Those of a door system that knows neither.
    pub(crate) const fn none() -> Self {
        Self { time_profiles: BTreeMap::new(), time_zone: TimeZone::UTC, keeps_days: false }
    }
}

/// From when to when a card is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validity {
    /// The first day, in the local time of each door.
    pub(crate) from: Option<Day>,
    /// From when on it is over.
    pub(crate) until: Option<Timestamp>,
}

/// When what is wanted changes although nobody does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When, at the earliest.
    pub(crate) at: Timestamp,
    /// Whether something ends then.
    pub(crate) takes_away: bool,
}

/// What is wanted at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) want: Want,
    /// It is given with its first day, and nothing of it opens before that.
    pub(crate) is_to_come: bool,
    /// Until when that is so; `None` until somebody does something.
    pub(crate) turn: Option<Turn>,
    /// What is wanted as well, and cannot be held, in words.
    pub(crate) unheld: Vec<String>,
}

impl Wanted {
    /// Nothing, and for good.
    pub(crate) const fn nothing() -> Self {
        Self { want: Want::Absent, is_to_come: false, turn: None, unheld: Vec::new() }
    }
}

/// Puts together what is wanted now.
pub(crate) fn merge(points: &[WantedPoint], card: Validity, terms: &Terms, now: Timestamp) -> Wanted {
    let spans = points.iter().filter_map(|point| Span::of(point, card, terms));
    let spans: Vec<Span<'_>> = spans.filter(|span| span.ends > now).collect();
    let turn = spans.iter().filter_map(|span| span.turn(now)).reduce(Turn::earlier);
    let begun = |span: &&Span<'_>| span.begins <= now;
    let has_begun = spans.iter().any(|span| begun(&span));
    let held: Vec<&Span<'_>> = match (has_begun, terms.keeps_days) {
        (true, _) => spans.iter().filter(begun).collect(),
        (false, false) => Vec::new(),
        (false, true) => {
            let first = spans.iter().map(|span| span.first).min();
            spans.iter().filter(|span| Some(span.first) == first).collect()
        }
    };
    let (want, unheld) = hold(&held, terms);
    let is_to_come = want != Want::Absent && !has_begun;
    Wanted { want, is_to_come, turn, unheld }
}

/// What opens one access point, from when to when.
#[derive(Debug)]
struct Span<'a> {
    access_point: &'a str,
    schedule: Option<&'a str>,
    /// The day on which it begins; `None` is before all days.
    first: Option<Day>,
    begins: Timestamp,
    /// From when on it is over.
    ends: Timestamp,
}

const EVER: Timestamp = Timestamp::from_millis(i64::MIN);
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

impl<'a> Span<'a> {
    /// `None` when there is no moment at which it opens. What cannot be reckoned opens at none.
    fn of(point: &'a WantedPoint, card: Validity, terms: &Terms) -> Option<Self> {
        let first = point.valid_from.max(card.from);
        let begins = match first {
            Some(day) => day.begins_in(&terms.time_zone)?,
            None => EVER,
        };
        let ends = match point.valid_until {
            Some(day) => day.ends_in(&terms.time_zone)?,
            None => NEVER,
        };
        let ends = ends.min(card.until.unwrap_or(NEVER));
        let (access_point, schedule) = (point.access_point.as_str(), point.schedule.as_deref());
        (begins < ends).then_some(Self { access_point, schedule, first, begins, ends })
    }

    /// Its next beginning or end.
    fn turn(&self, now: Timestamp) -> Option<Turn> {
        let (at, takes_away) = match self.begins > now {
            true => (self.begins, false),
            false => (self.ends, true),
        };
        (at != NEVER).then_some(Turn { at, takes_away })
    }
}

impl Turn {
    fn earlier(self, other: Self) -> Self {
        let at = self.at.min(other.at);
        let takes_away = [self, other].iter().any(|turn| turn.at == at && turn.takes_away);
        Self { at, takes_away }
    }
}

/// One card on one list: what of the spans fits in, and in words what does not.
fn hold(spans: &[&Span<'_>], terms: &Terms) -> (Want, Vec<String>) {
    let mut here: BTreeMap<&str, Vec<&Span<'_>>> = BTreeMap::new();
    for &span in spans {
        here.entry(span.access_point).or_default().push(span);
    }
    let mut rights = Rights::default();
    let (mut first, mut ends): (Vec<Option<Day>>, Timestamp) = (Vec::new(), NEVER);
    let mut unheld = Vec::new();
    for (point, spans) in here {
        let (held, left_out) = at_one_point(&spans, terms);
        let words = |schedule: &str| match held {
            Some((_, Some(held))) if terms.time_profiles.contains_key(schedule) => format!(
                "{point}: open on schedule {held} and not on schedule {schedule}: a card has one time profile at a door"
            ),
            _ => format!("{point}: not open on schedule {schedule}: none of its time profiles is that"),
        };
        unheld.extend(left_out.into_iter().map(words));
        let Some((access, _)) = held else { continue };
        rights.access.insert(AccessPointAddress(point.to_owned()), access);
        // All of them have begun, or begin on one day: until the last of them ends there is no gap.
        let these = || spans.iter().filter(move |span| gives(span, access, terms));
        first.extend(these().map(|span| span.first).min());
        ends = ends.min(these().map(|span| span.ends).max().unwrap_or(NEVER));
    }
    if rights.access.is_empty() {
        return (Want::Absent, unheld);
    }
    if terms.keeps_days {
        rights.valid_from = first.into_iter().min().flatten().map(Day::date);
        let last = (ends != NEVER).then(|| Day::of(ends.minus(Duration::from_millis(1)), &terms.time_zone));
        rights.valid_to = last.flatten().map(Day::date);
    }
    (Want::Present(rights), unheld)
}

type Held<'a> = (Access, Option<&'a str>);

/// What is held at one access point, and the schedules that are not.
fn at_one_point<'a>(spans: &[&Span<'a>], terms: &Terms) -> (Option<Held<'a>>, Vec<&'a str>) {
    let schedules: BTreeSet<Option<&str>> = spans.iter().map(|span| span.schedule).collect();
    if schedules.contains(&None) {
        return (Some((Access::Always, None)), Vec::new());
    }
    let number = |schedule: &str| terms.time_profiles.get(schedule).copied();
    let named: Vec<&str> = schedules.into_iter().flatten().collect();
    let first = named.iter().find_map(|&schedule| Some((number(schedule)?, schedule)));
    let is_left_out = |&schedule: &&'a str| first.is_none_or(|(held, _)| number(schedule) != Some(held));
    let held = first.map(|(number, schedule)| (Access::TimeProfile(number), Some(schedule)));
    (held, named.into_iter().filter(is_left_out).collect())
}

/// Whether a span gives no less than what is held.
fn gives(span: &Span<'_>, access: Access, terms: &Terms) -> bool {
    match (access, span.schedule) {
        (Access::Always, schedule) => schedule.is_none(),
        (Access::TimeProfile(number), Some(schedule)) => terms.time_profiles.get(schedule) == Some(&number),
        (Access::TimeProfile(_), None) => true,
    }
}

#[cfg(test)]
mod tests;
