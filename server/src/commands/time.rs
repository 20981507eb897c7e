//! Times as the command line takes them.

use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use kernel::Timestamp;

use super::{Failure, USAGE};

/// Which way from now a span counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// So long ago.
    Back,
    /// So long from now.
    Ahead,
}

/// A time, the beginning of a day in UTC, or so long before or after now.
pub(super) fn time_of(text: &str, now: Timestamp, way: Way) -> Result<Timestamp, Failure> {
    let day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().into());
    let span = || {
        let span: Span = text.parse().ok()?;
        let now = now.to_jiff()?.to_zoned(TimeZone::UTC);
        let there = match way {
            Way::Back => now.checked_sub(span),
            Way::Ahead => now.checked_add(span),
        };
        Some(there.ok()?.timestamp().into())
    };
    // A number and its unit could be read as much else.
    let plain = text.starts_with(|c: char| c.is_ascii_digit());
    let found = Timestamp::parse(text).or_else(day).or_else(span).filter(|_| plain);
    let wrong = || {
        let far = match way {
            Way::Back => "so long ago",
            Way::Ahead => "so long from now",
        };
        let message =
            format!("{text:?} is no time: write 2026-11-27T06:00:00Z, 2026-11-27, or 24h for {far}");
        Failure::new(message).code(USAGE)
    };
    found.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_one_of_three_ways() {
        let now = Timestamp::parse("2026-11-27T12:00:00Z").unwrap();
        for (text, way, expect) in [
            ("2026-11-27T06:00:00Z", Way::Back, Some("2026-11-27T06:00:00.000Z")),
            ("2026-11-27T06:00:00+02:00", Way::Back, Some("2026-11-27T04:00:00.000Z")),
            ("2026-11-20", Way::Back, Some("2026-11-20T00:00:00.000Z")),
            ("2026-12-20", Way::Ahead, Some("2026-12-20T00:00:00.000Z")),
            ("90m", Way::Back, Some("2026-11-27T10:30:00.000Z")),
            ("90m", Way::Ahead, Some("2026-11-27T13:30:00.000Z")),
            ("7d", Way::Back, Some("2026-11-20T12:00:00.000Z")),
            ("7d", Way::Ahead, Some("2026-12-04T12:00:00.000Z")),
            ("yesterday", Way::Back, None),
            ("tomorrow", Way::Ahead, None),
            ("-7d", Way::Back, None),
            ("-7d", Way::Ahead, None),
            ("", Way::Ahead, None),
            ("2026-13-01", Way::Back, None),
            ("7", Way::Ahead, None),
        ] {
            let found = time_of(text, now, way).ok().map(|at| at.to_string());
            assert_eq!(found.as_deref(), expect, "{text} {way:?}");
        }
    }
}
