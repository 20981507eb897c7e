//! What every door system's connector promises: one object-safe trait over plain types.
//!
//! All verbs speak of *wanted state* and may be repeated: doing twice is doing once. A connector holds no
//! database and records no facts. It remembers, in memory only, the highest version it was asked for per
//! credential, so that a grant that comes late is refused; the durable version is the caller's.
//!
//! What this deliberately is not: it opens no doors. Opening is a separate, separately authorised verb.
//!
//! A system that asks us at each swipe is answered by the [`Decider`] that its connector was opened with.
//!
//! To add a connector: a folder beside [`uhppote`](crate::uhppote) with a `KIND`, one line in
//! [`CONNECTORS`], and a test that hands it to [`conformance::run`](crate::conformance::run) unchanged.

mod decision;
mod descriptor;
mod error;
mod event;
mod fence;
pub(crate) mod fleet;
mod health;
mod inventory;
pub(crate) mod lanes;
pub(crate) mod port;
mod registry;
pub(crate) mod reminder;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;

pub(crate) use decision::decided;
pub use decision::{Asked, DECIDED_WITHIN, Decider, Nobody, Verdict};
pub use descriptor::{
    AckLevel, Capacity, CredentialKind, Descriptor, EventFeed, Provenance, RevocationClass, Verb, WorstCase,
};
pub use error::{ConfigError, ConnectorError, Refusal};
pub use event::{Alarm, DeniedReason, Direction, DoorEvent, EventCursor, EventGap, EventKind, EventPage};
pub use fence::{Pass, VersionFence};
pub use health::{
    ASKS_ANOTHER, DECIDES_ALONE, Finding, Health, SET_OTHERWISE_TOLD, STAYS_UNLOCKED, UnitHealth,
    WAS_SET_OTHERWISE, WOULD_DECIDE_ALONE,
};
pub use inventory::{Inventory, take_inventory};
pub use registry::{CONNECTORS, ConnectorKind, Open, OpenError, Opening, described, open, time_zone};
pub use wanted::{
    Access, AccessPointAddress, DesiredCredential, Deviation, Held, ListCursor, ListPage, Listed, ReadBack,
    Reading, Rights, Version, Want,
};

use crate::card::Card;

/// The access points whose part of the system itself said that it did as asked: [`AckLevel::Accepted`] there, and
/// nowhere else. A part that says "there was nothing to do" has not said so: only reading back proves.
pub type Accepted = BTreeSet<AccessPointAddress>;

/// A device that decides at an access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What the device itself says it is: no other of this kind says so.
    pub device: String,
    /// Which: the device, and the place on it.
    pub id: String,
    /// Where it is reached.
    pub address: String,
}

/// One door system that we speak to.
///
/// # Rules that every connector keeps, and that the conformance suite tries
/// - Each verb ends within [`Descriptor::verb_limit`], whatever the system does.
/// - Writing verbs do all they can: parts that answer are served although others do not, and the error
///   then names the access points that are missing.
/// - Reading verbs name what they could not read, and fail only when nothing could be read.
/// - A revocation never waits for a grant.
/// - What a system says about its own success is [`Accepted`] and no more; only [`Connector::read_back`] proves.
/// - Dropping a verb's future half way is allowed and leaves the rest to the next reconcile.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// What this system can do and what may be promised of it.
    fn descriptor(&self) -> &Descriptor;

    /// Every access point of this system, by address.
    fn access_points(&self) -> Vec<AccessPointAddress>;

    /// Which device decides at each access point, and the way to it: what stands on the list of one is not on the
    /// list of another. A configuration that names another one leaves the list of the first behind.
    fn units(&self) -> BTreeMap<AccessPointAddress, Unit>;

    /// Whether the system can hold this, without asking it: pure, no IO.
    ///
    /// # Errors
    /// The [`Refusal`], in words for the person who must change the wish or the configuration.
    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal>;

    /// Makes the system hold what is wanted, [`Want::Absent`] included.
    ///
    /// # Errors
    /// [`ConnectorError::Superseded`] when a higher version, or a revocation of the same version, was
    /// asked for before; otherwise as the variants say.
    async fn apply(&self, desired: &DesiredCredential) -> Result<Accepted, ConnectorError>;

    /// Takes a card off every list, overtaking all else. Absent already is success. When a grant for
    /// the card is under way, it has been settled and undone before this answers.
    ///
    /// `version` is the wish this belongs to; `None` for a card that a sweep found and nobody wanted.
    /// A card that the system cannot hold is absent by construction.
    ///
    /// # Errors
    /// As [`Connector::apply`]; never [`ConnectorError::Refused`].
    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<Accepted, ConnectorError>;

    /// What the system itself holds for a card: the proof behind [`AckLevel::ReadBack`].
    ///
    /// # Errors
    /// [`ConnectorError::Unreachable`] or [`ConnectorError::Protocol`] when no part could be read.
    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError>;

    /// A page of all that the system holds, for the sweep that finds orphans. `None` begins.
    ///
    /// # Errors
    /// As [`Connector::read_back`], and [`Refusal::Cursor`] for a cursor that is not this system's.
    async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError>;

    /// A page of what happened after the cursor, at least once each. `None` begins at the oldest event
    /// that the system still has.
    ///
    /// # Errors
    /// As [`Connector::list`].
    async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError>;

    /// Ends when the system hints that there is something new to read. Hints may be lost, doubled or
    /// forged: they only say "look now" and never replace the poll. Never ends for a system that does
    /// not push, or when the hint cannot be subscribed to.
    async fn hinted(&self) {
        std::future::pending().await
    }

    /// Does what the system needs of us at every moment: answers what it asks, with what the
    /// [`Decider`] says. Never ends; whoever has the door system open keeps it running beside all else.
    /// Nothing to do for a system that asks nobody.
    async fn attend(&self) {
        std::future::pending().await
    }

    /// How the system is, part by part. Cannot fail: being out of reach is an answer.
    async fn health(&self) -> Health;
}
