//! What can go wrong at a door system, sorted by what the caller can do about it.

use jiff::civil::Date;

use super::AccessPointAddress;
use crate::card::Card;

/// What a connector could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// No answer. Try again; nothing is known about the access points named, the others are served.
    #[error("no answer for {}: {detail}", points(.missing))]
    Unreachable {
        /// The access points that were not served.
        missing: Vec<AccessPointAddress>,
        /// What was tried.
        detail: String,
    },
    /// The system answered nonsense. Try again, and report it: somebody must look at the device or at
    /// who else is on its network.
    #[error("{} misbehaved: {detail}", points(.missing))]
    Protocol {
        /// The access points that were not served.
        missing: Vec<AccessPointAddress>,
        /// What came.
        detail: String,
    },
    /// It will not work until the wish or the configuration changes.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A newer wish overtook this one. Drop it, read the wanted state again.
    #[error("version {highest} of this credential was asked for already")]
    Superseded {
        /// The highest version asked for.
        highest: i64,
    },
}

impl ConnectorError {
    /// The access points that were not served and will be at another try.
    #[must_use]
    pub fn missing(&self) -> &[AccessPointAddress] {
        match self {
            Self::Unreachable { missing, .. } | Self::Protocol { missing, .. } => missing,
            Self::Refused(_) | Self::Superseded { .. } => &[],
        }
    }

    /// Whether trying again as it is can help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Protocol { .. })
    }

    /// One error for several parts of a system. A wish that was overtaken is over for all parts. A refusal
    /// outranks silence: somebody must be told, and what the refused wish took away must go; a part out of reach
    /// must not hide that. It is tried again all the same: who asks for a state never gives up.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let (mut first, second) = if other.rank() > self.rank() { (other, self) } else { (self, other) };
        if let Self::Unreachable { missing, .. } | Self::Protocol { missing, .. } = &mut first {
            missing.extend_from_slice(second.missing());
        }
        first
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Superseded { .. } => 3,
            Self::Refused(_) => 2,
            Self::Unreachable { .. } => 1,
            Self::Protocol { .. } => 0,
        }
    }
}

fn points(missing: &[AccessPointAddress]) -> String {
    missing.iter().map(|point| format!("`{point}`")).collect::<Vec<_>>().join(", ")
}

/// Why a system cannot hold what is wanted. Nothing has been sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The system has no way to write this card down. It is never cut to fit.
    #[error("this door system cannot hold card {card}: {because}")]
    CardDoesNotFit {
        /// The card.
        card: Card,
        /// Which limit it breaks.
        because: String,
    },
    /// The configuration names no such access point.
    #[error(
        "no access point `{0}` in this door system: add it to the configuration or take it off the access profile"
    )]
    UnknownAccessPoint(AccessPointAddress),
    /// The system has no time profile of that number.
    #[error("no time profile {number}: this door system numbers them {min} to {max}")]
    TimeProfile {
        /// The number asked for.
        number: u8,
        /// The lowest there is.
        min: u8,
        /// The highest there is.
        max: u8,
    },
    /// The dates are not a period that the system can hold.
    #[error(
        "not a period this door system can hold: {from} to {to} (days of {min} to {max}, the last not before the first)"
    )]
    Dates {
        /// First day.
        from: Date,
        /// Last day.
        to: Date,
        /// The earliest day it can hold.
        min: Date,
        /// The latest day it can hold.
        max: Date,
    },
    /// The system answered that it did not store the card, and read back it is not there.
    #[error("{unit} did not store card {card}: its list may be full, or it is set to refuse changes")]
    NotStored {
        /// The part of the system.
        unit: String,
        /// The card.
        card: Card,
    },
    /// The cursor was made by another connector or another version of this one: begin anew.
    #[error("this cursor is not one of this door system's: begin again without a cursor")]
    Cursor,
}

impl Refusal {
    /// A stable word for facts, logs and the console.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CardDoesNotFit { .. } => "card_does_not_fit",
            Self::UnknownAccessPoint(_) => "unknown_access_point",
            Self::TimeProfile { .. } => "time_profile",
            Self::Dates { .. } => "dates",
            Self::NotStored { .. } => "not_stored",
            Self::Cursor => "cursor",
        }
    }
}

/// What is wrong with a door system's configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// Where, as the configuration writes it.
    pub key: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl ConfigError {
    /// Says what is wrong where.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(point: &str) -> ConnectorError {
        ConnectorError::Unreachable { missing: vec![point.into()], detail: "silent".into() }
    }

    #[test]
    fn a_refusal_is_not_hidden_by_silence_and_all_that_is_missing_is_named() {
        let refused = ConnectorError::Refused(Refusal::Cursor);
        let protocol = ConnectorError::Protocol { missing: vec!["b".into()], detail: "garbage".into() };
        assert_eq!(refused.clone().joined(unreachable("a")), refused);
        assert_eq!(unreachable("a").joined(refused.clone()), refused);
        let both = protocol.joined(unreachable("a"));
        assert_eq!(both.missing(), ["a".into(), "b".into()]);
        assert!(both.is_passing() && !refused.is_passing());
        let superseded = ConnectorError::Superseded { highest: 3 };
        assert_eq!(unreachable("a").joined(superseded.clone()), superseded);
        assert_eq!(both.to_string(), "no answer for `a`, `b`: silent");
    }
}
