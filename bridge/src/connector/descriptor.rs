//! What a connector says of itself. Console and audit export print it as it stands.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::card::CardFormat;

/// What a system can do, and what may honestly be promised of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Descriptor {
    /// The kind's name in the registry.
    pub kind: &'static str,
    /// What people may carry to its doors.
    pub credentials: &'static [CredentialKind],
    /// Which card formats it can hold.
    #[serde(serialize_with = "texts")]
    pub card_formats: &'static [CardFormat],
    /// What can be asked of it.
    pub verbs: &'static [Verb],
    /// Who decides at the door, and so when a revocation takes effect.
    pub revocation: RevocationClass,
    /// How long a revoked credential may still open, at worst.
    pub worst_case: WorstCase,
    /// The rungs of proof that a revocation can reach here, rising.
    pub acks: &'static [AckLevel],
    /// Whether the system can be asked what it holds.
    pub read_back: bool,
    /// Whether it keeps a card's first and last day by itself, also while we cannot reach it.
    pub keeps_days: bool,
    /// How events come.
    pub events: EventFeed,
    /// How much it can hold.
    pub capacity: Capacity,
    /// Where our knowledge of its interface comes from.
    pub provenance: Provenance,
    /// Firmware or interface versions that were tested.
    pub versions: &'static str,
    /// With what it was tested, and with what it was not.
    pub tested_against: &'static str,
    /// What a customer must know before relying on it, one sentence each.
    pub limits: &'static [&'static str],
    /// Ways past every list that cannot be asked for, and so stay in every receipt: one noun phrase each.
    pub bypasses: &'static [&'static str],
    /// The longest that any verb takes.
    #[serde(serialize_with = "millis")]
    pub verb_limit: Duration,
}

impl Descriptor {
    /// The highest rung of proof that a revocation can reach, a swipe at the door included.
    #[must_use]
    pub fn top_ack(&self) -> AckLevel {
        self.acks.iter().copied().max().unwrap_or(AckLevel::Recorded)
    }

    /// The highest rung that is reached without somebody swiping the card: where a receipt settles.
    #[must_use]
    pub fn top_ack_without_swipe(&self) -> AckLevel {
        let unattended = self.acks.iter().copied().filter(|level| *level < AckLevel::ObservedDenial);
        unattended.max().unwrap_or(AckLevel::Recorded)
    }
}

fn millis<S: serde::Serializer>(limit: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

fn texts<S: serde::Serializer>(formats: &&'static [CardFormat], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(formats.iter().map(|format| format.as_str()))
}

/// How far a revocation is proven at a door. Below `A2` nothing is ever called revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckLevel {
    /// `A0`: we have recorded that it must happen.
    Recorded,
    /// `A1`: the vendor's system accepted it, by its own flag or status.
    Accepted,
    /// `A2`: asked afterwards, manager or panel no longer holds it.
    ReadBack,
    /// `A3`: the lock or reader itself confirmed.
    LockConfirmed,
    /// `A4`: somebody tried the card after the revocation and was denied.
    ObservedDenial,
}

impl AckLevel {
    /// Every rung, rising.
    pub const ALL: [AckLevel; 5] =
        [Self::Recorded, Self::Accepted, Self::ReadBack, Self::LockConfirmed, Self::ObservedDenial];

    /// `A0` … `A4`, the form that receipts and the database hold.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Recorded => "A0",
            Self::Accepted => "A1",
            Self::ReadBack => "A2",
            Self::LockConfirmed => "A3",
            Self::ObservedDenial => "A4",
        }
    }

    /// The rung in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Accepted => "accepted",
            Self::ReadBack => "read back",
            Self::LockConfirmed => "lock confirmed",
            Self::ObservedDenial => "observed denial",
        }
    }

    /// The rung of a code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }
}

/// Code and words: `A2 read back`.
impl fmt::Display for AckLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.words())
    }
}

impl Serialize for AckLevel {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for AckLevel {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let code = Cow::<str>::deserialize(from)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom("expected A0, A1, A2, A3 or A4"))
    }
}

/// The codes that it is serialised as.
impl JsonSchema for AckLevel {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AckLevel".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = Schema::default();
        schema.insert("type".into(), "string".into());
        schema.insert("enum".into(), Self::ALL.map(Self::code).to_vec().into());
        schema
    }
}

/// Who decides at the door, which settles when a revocation takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RevocationClass {
    /// Our server or edge agent, at each swipe.
    R0,
    /// A networked panel with a list of its own.
    R1,
    /// An online hub, with a lock that falls back to a cache.
    R2,
    /// A lock that trusts a time-boxed key or token.
    R3,
    /// A lock that trusts what stands on the card.
    R4,
    /// A lock that knows nobody and obeys a wire: as its controller.
    R5,
}

/// How long a revoked credential may still open, at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorstCase {
    /// The next swipe is denied.
    NextSwipe,
    /// Until the panel can be reached again.
    UntilReachable,
    /// So many seconds: the life of a cache or token.
    Seconds(u64),
    /// Until a carrier of the new list has visited the lock, or the card's own validity ends.
    UntilVisited,
}

impl fmt::Display for WorstCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NextSwipe => f.write_str("the next swipe is denied"),
            Self::UntilReachable => f.write_str("until the panel can be reached again"),
            Self::Seconds(seconds) => write!(f, "up to {seconds} s"),
            Self::UntilVisited => f.write_str("until the lock has been visited or the card expires"),
        }
    }
}

/// What a person carries to a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A card.
    Card,
    /// A key fob; to most systems the same as a card.
    Fob,
    /// A key with a chip.
    SmartKey,
    /// A key on a phone.
    MobileKey,
    /// A number typed at the door.
    Pin,
    /// A fingerprint or face, of which we hold only a handle.
    Biometric,
}

/// What can be asked of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Hold what is wanted.
    Apply,
    /// Take off every list.
    Revoke,
    /// Say what is held for one card.
    ReadBack,
    /// Say all that is held.
    List,
    /// Say what happened.
    Events,
    /// Say how it is.
    Health,
}

/// How events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EventFeed {
    /// The system can hint that there is something new.
    pub push: bool,
    /// The system can be asked for what happened.
    pub pull: bool,
    /// What the cursor counts.
    pub cursor: &'static str,
}

/// How much a system can hold; `None` where it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// Cards in each deciding unit.
    pub cards: Option<u32>,
    /// Time profiles in each deciding unit.
    pub time_profiles: Option<u32>,
    /// Entries of a list of refused credentials, 0 where there is no such list.
    pub blocklist: u32,
    /// Credentials that a lock keeps of its own accord and admits while it is cut off.
    pub offline_cache: u32,
}

/// Where our knowledge of the interface comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// A published specification.
    PublicSpec,
    /// Public code of others who tried the devices.
    PublicCode,
    /// A partner agreement.
    Partner,
    /// A mapping that the customer supplied.
    CustomerSupplied,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicSpec => "a public specification",
            Self::PublicCode => "public code of others",
            Self::Partner => "a partner agreement",
            Self::CustomerSupplied => "a mapping that the customer supplied",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_rises_and_has_the_words_of_the_contract() {
        let words: Vec<String> = AckLevel::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            ["A0 recorded", "A1 accepted", "A2 read back", "A3 lock confirmed", "A4 observed denial"]
        );
        assert!(AckLevel::ALL.is_sorted());
        for level in AckLevel::ALL {
            let json = serde_json::to_string(&level).unwrap();
            assert_eq!(json, format!("\"{}\"", level.code()));
            assert_eq!(serde_json::from_str::<AckLevel>(&json).unwrap(), level);
        }
        assert_eq!(AckLevel::from_code("A5"), None);
    }
}
