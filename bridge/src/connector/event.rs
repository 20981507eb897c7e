//! What happened at the doors, in ONVIF's words (Access Control and Door Control services).

use std::collections::BTreeMap;
use std::fmt;

use kernel::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccessPointAddress;
use crate::card::Card;

/// One thing that happened at a door system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoorEvent {
    /// Unique within the door system for ever, also across a restart of the vendor's own numbering. A
    /// doubled event has the same id.
    pub id: String,
    /// The vendor's running number.
    pub index: u64,
    /// What happened.
    pub kind: EventKind,
    /// When, by the device's own clock; `None` when it gave no valid time.
    pub at: Option<Timestamp>,
    /// Where; `None` when it concerns no access point, or one that the configuration does not name.
    pub access_point: Option<AccessPointAddress>,
    /// Which way, where the access point has a reader on each side and the system tells them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The card that was shown.
    pub card: Option<Card>,
    /// The vendor's own words or codes, for the log.
    pub vendor: String,
}

/// Which way through a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into what is behind it.
    In,
    /// Out of it.
    Out,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The door was unlocked. Without a card: by a push button, a supervisor's passcode or a command.
    AccessGranted,
    /// The door stayed shut.
    Denied(DeniedReason),
    /// Opened under threat.
    Duress,
    /// The door leaf was opened.
    DoorOpened,
    /// The door leaf was closed.
    DoorClosed,
    /// Something is wrong at the door.
    DoorAlarm(Alarm),
    /// The device started anew.
    Restarted,
    /// Anything else; see [`DoorEvent::vendor`].
    Other,
}

/// Why a door stayed shut (ONVIF Access Control, `tns1:AccessControl/Denied/…` and its reasons).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeniedReason {
    /// The door knows no such credential.
    CredentialNotFound,
    /// It is known and switched off.
    CredentialNotEnabled,
    /// Its validity has not begun.
    CredentialNotActive,
    /// Its validity is over.
    CredentialExpired,
    /// A wrong PIN.
    InvalidPin,
    /// Not in these hours.
    NotPermittedAtThisTime,
    /// It has no right at this access point.
    Unauthorized,
    /// Another reason: interlock, anti-passback, the hour's quota, a command.
    Other,
}

impl DeniedReason {
    /// ONVIF's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialNotFound => "CredentialNotFound",
            Self::CredentialNotEnabled => "CredentialNotEnabled",
            Self::CredentialNotActive => "CredentialNotActive",
            Self::CredentialExpired => "CredentialExpired",
            Self::InvalidPin => "InvalidPIN",
            Self::NotPermittedAtThisTime => "NotPermittedAtThisTime",
            Self::Unauthorized => "Unauthorized",
            Self::Other => "Other",
        }
    }
}

impl fmt::Display for DeniedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// It stands open too long.
    HeldOpen,
    /// It was opened without being unlocked.
    ForcedOpen,
    /// Fire.
    Fire,
    /// A tamper contact, forced lock or burglar alarm; see [`DoorEvent::vendor`].
    Tamper,
}

/// Where a feed stands. Opaque: only the connector that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventCursor(pub String);

/// Events that the system had and no longer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventGap {
    /// The part of the system.
    pub unit: String,
    /// The first number lost.
    pub from: u64,
    /// The last number lost; `None` when the numbering itself began anew and nobody can say.
    pub to: Option<u64>,
}

/// A page of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events; in order within each part of the system.
    pub events: Vec<DoorEvent>,
    /// The cursor after this page. Store it together with the events.
    pub next: EventCursor,
    /// Whether there is more to read at once.
    pub more: bool,
    /// What was lost before it could be read. Each gap is named once.
    pub gaps: Vec<EventGap>,
    /// The access points whose part could not be read, and why.
    pub unread: BTreeMap<AccessPointAddress, String>,
}
