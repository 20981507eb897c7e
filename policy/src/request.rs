//! What a decision is about, as plain structs that the caller fills from the directory.
//!
//! They serialise, so that a decision can be recorded with its inputs and replayed against another set of
//! policies. Every text may be anything, the empty text included: it is compared, never interpreted.

use kernel::{Assurance, ProtectionClass, Sensitivity, Timestamp};
use serde::{Deserialize, Serialize};

/// A person's account, as the directory hands it to every room.
pub use kernel::Principal as User;

/// An application that signs users in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The client id: `Client::"…"`.
    pub id: String,
    /// How much it matters.
    pub sensitivity: Sensitivity,
    /// The undertaking it belongs to: `Project::"…"`.
    pub project: Option<String>,
}

/// What lies behind doors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// The area's id: `Area::"…"`.
    pub id: String,
    /// The onion shell it lies in.
    pub protection_class: ProtectionClass,
    /// The undertaking it belongs to: `Project::"…"`.
    pub project: Option<String>,
}

/// Which access points, on which schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessProfile {
    /// The access profile's id: `AccessProfile::"…"`.
    pub id: String,
    /// The ids of the areas that it opens.
    pub areas: Vec<String>,
    /// The highest class among those areas.
    pub protection_class: ProtectionClass,
    /// The undertaking it belongs to: `Project::"…"`.
    pub project: Option<String>,
}

/// How unusual this attempt looks: `context.risk` in policies, 0 to 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Risk {
    /// As always, or not scored.
    #[default]
    None = 0,
    /// A little unusual.
    Low = 1,
    /// Unusual.
    Medium = 2,
    /// As an attack would look.
    High = 3,
}

impl Risk {
    /// All levels, rising.
    pub const ALL: [Risk; 4] = [Risk::None, Risk::Low, Risk::Medium, Risk::High];
}

/// Where a request comes from: `context.network == Network::"remote"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A network that the organisation named as its own.
    Internal,
    /// Any other.
    #[default]
    Remote,
}

impl Network {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Network::Internal => "internal",
            Network::Remote => "remote",
        }
    }
}

/// An instant, with the hour and weekday that it is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalTime {
    /// The instant.
    pub at: Timestamp,
    /// 0 to 23.
    pub hour: u8,
    /// 1 (Monday) to 7 (Sunday), as in ISO 8601.
    pub weekday: u8,
}

impl LocalTime {
    /// The local time of an instant where clocks are ahead of UTC by so many seconds (behind: negative).
    #[must_use]
    pub const fn at(at: Timestamp, utc_offset_secs: i32) -> Self {
        let secs = at.as_secs().saturating_add(utc_offset_secs as i64);
        let hour = secs.rem_euclid(86_400) / 3_600;
        // Day 0 of the epoch was a Thursday.
        let weekday = (secs.div_euclid(86_400) + 3).rem_euclid(7) + 1;
        Self { at, hour: hour as u8, weekday: weekday as u8 }
    }
}

/// All that is known about the moment of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The assurance reached so far ([`assurance_of`](crate::assurance_of)); `None` before the first factor.
    pub reached: Option<Assurance>,
    /// The risk level.
    pub risk: Risk,
    /// The risk score behind the level. Policies see it rounded to four decimals and clamped to
    /// 0..=1,000,000; what is not a number counts as the worst.
    pub risk_score: f64,
    /// Where the request comes from.
    pub network: Network,
    /// Whether the user has signed in from this device before.
    pub device_known: bool,
    /// Whether the user is known to be on site; `None` when nobody knows.
    pub presence: Option<bool>,
    /// When.
    pub time: LocalTime,
}

/// May this user sign in to this client?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignInRequest {
    /// Who.
    pub user: User,
    /// To what.
    pub client: Client,
    /// How things stand.
    pub circumstances: Circumstances,
}

/// May this user do this in the console or through the API?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdministerRequest {
    /// Who.
    pub user: User,
    /// What: `AdminOperation::"…"`.
    pub operation: String,
    /// How things stand.
    pub circumstances: Circumstances,
}

/// May this user pass into this area, now?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnterRequest {
    /// Who.
    pub user: User,
    /// Into what.
    pub area: Area,
    /// Whether an access profile that the user holds opens the area at this moment.
    pub entitled: bool,
    /// How things stand; `reached` is what was shown at the door (a card: `aal1`; a card and a PIN: `aal2`).
    pub circumstances: Circumstances,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_reckoned_from_the_offset() {
        let check = |rfc3339: &str, offset, hour, weekday| {
            let at = Timestamp::parse(rfc3339).unwrap();
            assert_eq!(LocalTime::at(at, offset), LocalTime { at, hour, weekday }, "{rfc3339} {offset}");
        };
        check("1970-01-01T00:00:00Z", 0, 0, 4);
        check("1969-12-31T23:59:59Z", 0, 23, 3);
        check("2026-11-22T02:20:18Z", 0, 2, 7);
        check("2026-11-22T23:30:00Z", 3_600, 0, 1);
        check("2026-11-23T00:30:00Z", -3_600, 23, 7);
    }

    #[test]
    fn local_time_is_total() {
        for millis in [i64::MIN, -1, 0, i64::MAX] {
            for offset in [i32::MIN, 0, i32::MAX] {
                let time = LocalTime::at(Timestamp::from_millis(millis), offset);
                assert!(time.hour < 24 && (1..=7).contains(&time.weekday), "{time:?}");
            }
        }
    }
}
