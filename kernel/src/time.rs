//! Time as the house stores and compares it: UTC milliseconds since 1970.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An instant in UTC, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Stored as BIGINT on both databases and serialised as a number; [`fmt::Display`] gives RFC 3339.
/// Values outside the years -9999..=9999 cannot be displayed as a date and are shown as `@<millis>`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default, JsonSchema,
)]
#[serde(transparent)]
#[schemars(extend("format" = "unix-milliseconds"))]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970 (the `NumericDate` of RFC 7519, section 2). Saturates.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down (the `NumericDate` of RFC 7519, section 2).
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant moved forward, saturating at the ends of the range.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back, saturating at the ends of the range.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was, zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As a [`jiff::Timestamp`], or `None` outside the calendar's range.
    #[must_use]
    pub fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_millisecond(self.0).ok()
    }

    /// Reads RFC 3339 (`xsd:dateTime` with an offset). `None` when the text is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(at: jiff::Timestamp) -> Self {
        Self(at.as_millisecond())
    }
}

/// RFC 3339 in UTC with exactly three decimals, so that texts sort as times do.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_jiff() {
            Some(at) => write!(f, "{at:.3}"),
            None => write!(f, "@{}", self.0),
        }
    }
}

impl<DB: sqlx_core::database::Database> sqlx_core::types::Type<DB> for Timestamp
where
    i64: sqlx_core::types::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <i64 as sqlx_core::types::Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <i64 as sqlx_core::types::Type<DB>>::compatible(ty)
    }
}

impl<'r, DB: sqlx_core::database::Database> sqlx_core::decode::Decode<'r, DB> for Timestamp
where
    i64: sqlx_core::decode::Decode<'r, DB>,
{
    fn decode(
        value: <DB as sqlx_core::database::Database>::ValueRef<'r>,
    ) -> Result<Self, sqlx_core::error::BoxDynError> {
        <i64 as sqlx_core::decode::Decode<DB>>::decode(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_rfc3339_with_millis_and_parses_back() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_314_018_120, "2026-11-22T02:20:18.120Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(at));
        }
        assert_eq!(
            Timestamp::parse("2026-11-22T04:20:18.120+02:00"),
            Some(Timestamp::from_millis(1_795_314_018_120))
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Timestamp::EPOCH.since(end), Duration::ZERO);
        assert_eq!(end.to_string(), format!("@{}", i64::MAX));
        assert_eq!(Timestamp::from_millis(-1).as_secs(), -1);
    }
}
