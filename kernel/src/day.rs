//! A whole day of the calendar, at no place in particular: it begins at midnight of the place where it is asked.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, date};
use jiff::tz::{self, TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A whole day from which, or up to which, something is valid.
///
/// Stored as TEXT and serialised as `YYYY-MM-DD`, so that texts sort as days do. Only days of [`Day::FIRST`] to
/// [`Day::LAST`] are read: every door system counts those, and to some of them the days beyond mean "no limit".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("format" = "date"))]
pub struct Day(Date);

impl Day {
    /// The first day that is read.
    pub const FIRST: Day = Day(date(2001, 1, 1));
    /// The last day that is read.
    pub const LAST: Day = Day(date(2098, 12, 31));

    /// The day that an instant lies in, at a place. `None` outside the calendar's range.
    #[must_use]
    pub fn of(at: Timestamp, place: &TimeZone) -> Option<Self> {
        Some(Self(place.to_datetime(at.to_jiff()?).date()))
    }

    /// As a date of the calendar.
    #[must_use]
    pub const fn date(self) -> Date {
        self.0
    }

    /// The instant at which it begins, at a place; where clocks skip midnight, the first after it. `None` outside the
    /// calendar's range.
    #[must_use]
    pub fn begins_in(self, place: &TimeZone) -> Option<Timestamp> {
        self.0.to_zoned(place.clone()).ok().map(|begin| begin.timestamp().into())
    }

    /// The instant at which it begins anywhere: in the most eastern time zone, UTC+14. `None` outside the calendar's
    /// range.
    #[must_use]
    pub fn begins_anywhere(self) -> Option<Timestamp> {
        self.begins_in(&TimeZone::fixed(tz::offset(14)))
    }

    /// The instant at which it is over, at a place: the next day begins then.
    #[must_use]
    pub fn ends_in(self, place: &TimeZone) -> Option<Timestamp> {
        Self(self.0.tomorrow().ok()?).begins_in(place)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Accepts exactly what [`fmt::Display`] writes, so that one day has one spelling.
impl FromStr for Day {
    type Err = NotADay;
    fn from_str(text: &str) -> Result<Self, NotADay> {
        let day = text.parse::<Date>().map(Self).map_err(|_| NotADay)?;
        let is_read = (Self::FIRST..=Self::LAST).contains(&day) && day.to_string() == text;
        if is_read { Ok(day) } else { Err(NotADay) }
    }
}

impl TryFrom<String> for Day {
    type Error = NotADay;
    fn try_from(text: String) -> Result<Self, NotADay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

/// The text is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day: expected one like 2026-12-31, of the years 2001 to 2098")]
pub struct NotADay;

impl<DB: sqlx_core::database::Database> sqlx_core::types::Type<DB> for Day
where
    str: sqlx_core::types::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <str as sqlx_core::types::Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <str as sqlx_core::types::Type<DB>>::compatible(ty)
    }
}

impl<'r, DB: sqlx_core::database::Database> sqlx_core::decode::Decode<'r, DB> for Day
where
    &'r str: sqlx_core::decode::Decode<'r, DB>,
{
    fn decode(
        value: <DB as sqlx_core::database::Database>::ValueRef<'r>,
    ) -> Result<Self, sqlx_core::error::BoxDynError> {
        Ok(<&str as sqlx_core::decode::Decode<DB>>::decode(value)?.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap_or_else(|| panic!("{text} is no time"))
    }

    #[test]
    fn a_day_begins_first_where_clocks_are_14_hours_ahead() {
        assert_eq!(day("2026-12-25").begins_anywhere(), Some(at("2026-12-24T10:00:00Z")));
        assert!(Day::FIRST.begins_anywhere().is_some() && Day::LAST.begins_anywhere().is_some());
    }

    #[test]
    fn one_day_has_one_spelling_and_days_without_limit_are_none() {
        for text in ["2001-01-01", "2026-02-28", "2028-02-29", "2098-12-31"] {
            assert_eq!(day(text).to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&day(text)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Day>(&json).unwrap(), day(text));
        }
        for text in [
            "",
            "tomorrow",
            "20261231",
            "2026-1-1",
            "2026-02-29",
            "2026-12-31T10:00",
            "2026-12-31T10:00:00Z",
            " 2026-12-31",
            "2000-12-31",
            "2099-01-01",
            "-002026-12-31",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
            assert!(serde_json::from_str::<Day>(&format!("\"{text}\"")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_begins_and_ends_at_midnight_of_the_place() {
        let day = day("2026-12-31");
        for (hours, begins, ends) in [
            (0, "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            (2, "2026-12-30T22:00:00Z", "2026-12-31T22:00:00Z"),
            (-3, "2026-12-31T03:00:00Z", "2027-01-01T03:00:00Z"),
        ] {
            let place = TimeZone::fixed(offset(hours));
            let (begins, ends) = (at(begins), at(ends));
            assert_eq!((day.begins_in(&place), day.ends_in(&place)), (Some(begins), Some(ends)), "{hours}");
            let millisecond = std::time::Duration::from_millis(1);
            assert_eq!(Day::of(begins, &place), Some(day));
            assert_eq!(Day::of(ends.minus(millisecond), &place), Some(day));
            assert_ne!(Day::of(ends, &place), Some(day));
            assert_ne!(Day::of(begins.minus(millisecond), &place), Some(day));
        }
        assert_eq!(Day::of(Timestamp::from_millis(i64::MAX), &TimeZone::UTC), None);
    }
}
