//! How a door system is.

use std::time::Duration;

use serde::Serialize;

use super::AccessPointAddress;

impl Finding {
    /// A stable word for alerts, facts and logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Clock { .. } | Self::NoClock => "door-clock",
            Self::StaysUnlocked { .. } => STAYS_UNLOCKED,
            Self::StaysLocked { .. } => "door-stays-locked",
            Self::HintsElsewhere { .. } => "door-hints-elsewhere",
            Self::Fault { .. } => "door-fault",
            Self::AsksAnother => ASKS_ANOTHER,
            Self::DecidesAlone => DECIDES_ALONE,
            Self::WouldDecideAlone => WOULD_DECIDE_ALONE,
            Self::WasSetOtherwise => WAS_SET_OTHERWISE,
        }
    }

    /// Every word that [`Finding::code`] gives.
    pub const CODES: [&'static str; 9] = [
        "door-clock",
        STAYS_UNLOCKED,
        "door-stays-locked",
        "door-hints-elsewhere",
        "door-fault",
        ASKS_ANOTHER,
        DECIDES_ALONE,
        WOULD_DECIDE_ALONE,
        WAS_SET_OTHERWISE,
    ];

    /// Those of them that say that a device does not decide, or would not, as it should.
    pub const DECIDING: [&'static str; 3] = [ASKS_ANOTHER, DECIDES_ALONE, WOULD_DECIDE_ALONE];

    /// The door that it is about, if it is about one.
    #[must_use]
    pub const fn access_point(&self) -> Option<&AccessPointAddress> {
        match self {
            Self::StaysUnlocked { access_point } | Self::StaysLocked { access_point } => Some(access_point),
            Self::Clock { .. }
            | Self::NoClock
            | Self::HintsElsewhere { .. }
            | Self::Fault { .. }
            | Self::AsksAnother
            | Self::DecidesAlone
            | Self::WouldDecideAlone
            | Self::WasSetOtherwise => None,
        }
    }

    /// Whether all works as promised in spite of it, only later: no reason to wake anybody.
    #[must_use]
    pub const fn is_harmless(&self) -> bool {
        matches!(self, Self::HintsElsewhere { .. })
    }
}

/// The word for a door that opens for everybody.
pub const STAYS_UNLOCKED: &str = "door-stays-unlocked";

/// The word for a device that asks a server of somebody else.
pub const ASKS_ANOTHER: &str = "door-asks-another";
/// The word for a device that should ask us and does not.
pub const DECIDES_ALONE: &str = "door-decides-alone";
/// The word for a device that goes by its lists while it cannot ask us, and should not.
pub const WOULD_DECIDE_ALONE: &str = "door-would-decide-alone";

/// The word for a device that did not decide as it should until we set it right.
pub const WAS_SET_OTHERWISE: &str = "door-was-set-otherwise";
/// For how long [`Finding::WasSetOtherwise`] is told: health is looked at more often.
pub const SET_OTHERWISE_TOLD: Duration = Duration::from_secs(900);

/// How a door system is, part by part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Every part that decides by itself: a panel, a hub, a cloud.
    pub units: Vec<UnitHealth>,
}

impl Health {
    /// Every part answered and none has a finding.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.units.iter().all(|unit| unit.unreachable.is_none() && unit.findings.is_empty())
    }
}

/// How one part of a door system is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnitHealth {
    /// Its name: a serial number, a host.
    pub unit: String,
    /// The access points it decides for.
    pub access_points: Vec<AccessPointAddress>,
    /// Why it could not be asked; `None` when it answered.
    pub unreachable: Option<String>,
    /// The firmware or interface version it states.
    pub firmware: Option<String>,
    /// How many cards it holds.
    pub cards: Option<u32>,
    /// By how many seconds its clock is ahead of ours.
    pub clock_drift_seconds: Option<i64>,
    /// What somebody should look at.
    pub findings: Vec<Finding>,
}

/// Something about a part that weakens what we promise of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum Finding {
    /// Its clock is wrong: time profiles, validity and event times are off by as much.
    #[error("the clock is {seconds} s ahead of ours")]
    Clock {
        /// Ahead; behind when negative.
        seconds: i64,
    },
    /// Its clock shows no valid time.
    #[error("the clock shows no valid time")]
    NoClock,
    /// The door opens for everybody, whatever any list says.
    #[error("door `{access_point}` is set to stay unlocked: no revocation shuts it")]
    StaysUnlocked {
        /// The door.
        access_point: AccessPointAddress,
    },
    /// The door opens for nobody, whatever any list says.
    #[error("door `{access_point}` is set to stay locked: no card opens it")]
    StaysLocked {
        /// The door.
        access_point: AccessPointAddress,
    },
    /// Its hints go to somebody else; events are still found by polling.
    #[error("it sends its events to {address}, not to us")]
    HintsElsewhere {
        /// Where they go.
        address: String,
    },
    /// It asks a server of somebody else at each swipe: what its lists say counts only while it cannot.
    #[error("it asks another server who may enter: no list of its own shuts a door while that one answers")]
    AsksAnother,
    /// It should ask us at each swipe, and does not: what its lists say counts.
    #[error("it decides by its own lists and asks nobody, though we should be asked at each swipe")]
    DecidesAlone,
    /// It asks us at each swipe, and goes by its lists as soon as it cannot.
    #[error(
        "it would decide by its own lists while it cannot ask us: it did not take the setting that forbids this, or its \
         firmware has none; if its lists may count then, say so in the door system's configuration"
    )]
    WouldDecideAlone,
    /// It was set right a while ago: who decided there until then, nobody can say.
    #[error(
        "it asked nobody, or somebody else, or would have gone by its own lists, until we set it right a while ago: \
         it was reset, or somebody changes its settings"
    )]
    WasSetOtherwise,
    /// It reports a fault of its own.
    #[error("it reports fault {code}")]
    Fault {
        /// The vendor's code.
        code: u32,
    },
}
