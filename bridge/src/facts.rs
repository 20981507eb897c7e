//! The facts that the bridge records.

use kernel::Timestamp;
use kernel::id::{CredentialId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{FactBody, FactKind};

use crate::connector::{AckLevel, DoorEvent};
use crate::task::OpenDoor;

/// Every kind of fact that the bridge records.
pub const FACTS: &[FactKind] = &[
    FactKind::of::<PlacementProven>(),
    FactKind::of::<ValidityEnded>(),
    FactKind::of::<ValidityBegun>(),
    FactKind::of::<DoorEventSeen>(),
    FactKind::of::<DoorDecided>(),
    FactKind::of::<DoorDecisionsLost>(),
    FactKind::of::<DoorEventsLost>(),
    FactKind::of::<DeviationFound>(),
    FactKind::of::<CardQuarantined>(),
    FactKind::of::<QuarantineReleased>(),
    FactKind::of::<QuarantineTakenBack>(),
    FactKind::of::<QuarantineLeft>(),
    FactKind::of::<QuarantineConfirmed>(),
    FactKind::of::<AlertOpened>(),
    FactKind::of::<AlertClosed>(),
    FactKind::of::<ReceiptIssued>(),
    FactKind::of::<TaskOpened>(),
    FactKind::of::<TaskClosed>(),
    FactKind::of::<RiskAccepted>(),
    FactKind::of::<TaskCompensated>(),
    FactKind::of::<TaskReopened>(),
    FactKind::of::<TaskWidened>(),
];

/// What alerts are about.
const OF_ALERTS: &[&str] = &["access_point", "card", "door_system", "door_unit", "placement", "user"];

/// What tasks are about.
const OF_TASKS: &[&str] = &["task", "credential", "user", "door_system"];

/// How far a wish is proven at one door system.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlacementProven {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// `present` or `absent`.
    pub wanted: String,
    /// The level reached.
    pub level: AckLevel,
    /// The access points at which it was reached now.
    pub access_points: Vec<String>,
    /// Those at which even A2 has not been reached yet.
    pub missing: Vec<String>,
    /// When the change that this answers was recorded.
    pub requested_at: Timestamp,
    /// How many attempts it took.
    pub attempts: i64,
}

impl FactBody for PlacementProven {
    const KIND: &'static str = "placement.proven";
    const ABOUT: &'static [&'static str] = &["credential", "user", "door_system", "access_point"];
}

/// A day or an hour has come, and with it the end of something that opened doors: of an access profile, or of a card.
/// What the card may still open is put right at the door system now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValidityEnded {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// When it was to end.
    pub at: Timestamp,
}

impl FactBody for ValidityEnded {
    const KIND: &'static str = "placement.validity-ended";
    const ABOUT: &'static [&'static str] = &["credential", "user", "door_system"];
    const REVOKES: bool = true;
}

/// A day or an hour has come, and with it the beginning of something that opens doors.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValidityBegun {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// When it was to begin.
    pub at: Timestamp,
}

impl FactBody for ValidityBegun {
    const KIND: &'static str = "placement.validity-begun";
    const ABOUT: &'static [&'static str] = &["credential", "user", "door_system"];
}

/// Something happened at a door.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DoorEventSeen {
    /// Which door system reported it.
    pub door_system: String,
    /// What it said, in normalised words.
    pub event: DoorEvent,
    /// The credential that was shown, if it is one of ours.
    pub credential: Option<CredentialId>,
    /// Who carries it.
    pub user: Option<UserId>,
}

impl FactBody for DoorEventSeen {
    const KIND: &'static str = "door.event";
    const ABOUT: &'static [&'static str] = &["access_point", "door_system", "credential", "user"];
}

/// We said whether somebody enters at a door that asks us at each swipe. Whether it then opened is told by the door
/// itself, as a [`DoorEventSeen`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoorDecided {
    /// Which door system asked.
    pub door_system: String,
    /// At which of its doors.
    pub access_point: String,
    /// The card that was shown, if one was.
    pub card: Option<String>,
    /// The credential that it is, if it is one of ours.
    pub credential: Option<CredentialId>,
    /// Who carries it.
    pub user: Option<UserId>,
    /// What we said.
    pub granted: bool,
    /// Why, in words.
    pub because: Vec<String>,
    /// The policies that decided; none when it did not come to that.
    pub policies: Vec<String>,
    /// When. Recording it may have taken a while.
    pub at: Timestamp,
    /// How many decisions at this door system before this one were not recorded, because the journal could not keep up.
    #[serde(default)]
    pub lost_before: u64,
    /// How many questions of the same device before this one were answered with no and decided by nobody, because they
    /// came faster than anybody walks.
    #[serde(default)]
    pub refused_before: u64,
}

impl FactBody for DoorDecided {
    const KIND: &'static str = "door.decided";
    const ABOUT: &'static [&'static str] = &["access_point", "credential", "user"];
}

/// Decisions at a door system were not recorded, because the journal could not keep up, and none after them tells so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoorDecisionsLost {
    /// Which door system.
    pub door_system: String,
    /// How many.
    pub count: u64,
}

impl FactBody for DoorDecisionsLost {
    const KIND: &'static str = "door.decisions-lost";
    const ABOUT: &'static [&'static str] = &["door_system"];
}

/// Events were lost between two that were read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DoorEventsLost {
    /// Which door system.
    pub door_system: String,
    /// Which part of it.
    pub unit: String,
    /// The first index that is missing.
    pub from: u64,
    /// The last, when known.
    pub to: Option<u64>,
}

impl FactBody for DoorEventsLost {
    const KIND: &'static str = "door.events-lost";
    const ABOUT: &'static [&'static str] = &["door_system"];
}

/// A sweep found what should not be there, or missed what should.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviationFound {
    /// Which door system.
    pub door_system: String,
    /// `orphan` (nobody's card), `ghost` (ours, but not there), `drift` (there, but otherwise), `leaver`
    /// (there, and must not be), `opened` (a door treated a card as valid that was proven absent), `tolerated`
    /// (nobody's card that somebody tolerates there by name).
    pub finding: String,
    /// The card as the system names it.
    pub card: String,
    /// Whose it is, if it is one of ours.
    pub credential: Option<CredentialId>,
}

impl FactBody for DeviationFound {
    const KIND: &'static str = "door.deviation-found";
    const ABOUT: &'static [&'static str] = &["door_system", "credential", "user"];
}

/// A card that is nobody's was taken off every list of a door system, and read back to be on none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CardQuarantined {
    /// Which door system.
    pub door_system: String,
    /// The card.
    pub card: String,
    /// What it opened there, in words: access points, with their hours and days where they have some, and whatever
    /// else stood there for it.
    pub opened: Vec<String>,
    /// When a sweep first found it there.
    pub first_seen_at: Timestamp,
}

impl FactBody for CardQuarantined {
    const KIND: &'static str = "door.card-quarantined";
    const ABOUT: &'static [&'static str] = &["card", "door_system"];
}

/// Somebody tolerates a card that is nobody's: from now on it is not taken off that door system's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineReleased {
    /// Which door system.
    pub door_system: String,
    /// The card.
    pub card: String,
    /// Who answers for it.
    pub who: String,
    /// Why.
    pub because: String,
}

impl FactBody for QuarantineReleased {
    const KIND: &'static str = "door.quarantine-released";
    const ABOUT: &'static [&'static str] = &["card", "door_system"];
}

/// A card that is nobody's is tolerated no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineTakenBack {
    /// Which door system.
    pub door_system: String,
    /// The card.
    pub card: String,
    /// Who says so.
    pub who: String,
}

impl FactBody for QuarantineTakenBack {
    const KIND: &'static str = "door.quarantine-taken-back";
    const ABOUT: &'static [&'static str] = &["card", "door_system"];
}

/// A card that was nobody's, and was taken off, to be taken off or tolerated, has become somebody's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineLeft {
    /// Which door system.
    pub door_system: String,
    /// The card.
    pub card: String,
    /// Which credential it is now.
    pub credential: CredentialId,
    /// Whose.
    pub user: UserId,
}

impl FactBody for QuarantineLeft {
    const KIND: &'static str = "door.quarantine-left";
    const ABOUT: &'static [&'static str] = &["card", "door_system", "credential", "user"];
}

/// Somebody has looked at a door system on whose list there were too many cards of nobody to take them off, and says
/// that those which were reported may go, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineConfirmed {
    /// Which door system.
    pub door_system: String,
    /// Who says so.
    pub who: String,
    /// How many there were.
    pub found: i64,
    /// Of how many that were listed.
    pub listed: i64,
}

impl FactBody for QuarantineConfirmed {
    const KIND: &'static str = "door.quarantine-confirmed";
    const ABOUT: &'static [&'static str] = &["door_system"];
}

/// Somebody must look at something.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AlertOpened {
    /// What is wrong, e.g. `revocation-waits`.
    pub alert: String,
    /// In words.
    pub detail: String,
}

impl FactBody for AlertOpened {
    const KIND: &'static str = "alert.opened";
    const ABOUT: &'static [&'static str] = OF_ALERTS;
}

/// It is right again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AlertClosed {
    /// What was wrong.
    pub alert: String,
    /// Since when.
    pub opened_at: Timestamp,
}

impl FactBody for AlertClosed {
    const KIND: &'static str = "alert.closed";
    const ABOUT: &'static [&'static str] = OF_ALERTS;
}

/// A receipt was signed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptIssued {
    /// Its id.
    pub receipt: String,
    /// Which edition for its cause, from 1.
    pub revision: i64,
    /// Whether every door is proven.
    pub complete: bool,
    /// How many doors are proven at A2 or above.
    pub proven: usize,
    /// How many doors there are.
    pub doors: usize,
    /// The lowest level over all doors, if there are any.
    pub level: Option<AckLevel>,
    /// SHA-256 of the signed document, base64url: so the journal's chain covers the document itself.
    #[serde(default)]
    pub digest: String,
}

impl FactBody for ReceiptIssued {
    const KIND: &'static str = "receipt.issued";
    const ABOUT: &'static [&'static str] = &["user", "receipt"];
}

/// Somebody must see to a card whose revocation is not proven at a door system.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskOpened {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where it is not proven.
    pub door_system: String,
    /// The card as people write it.
    pub card: String,
    /// What it may open still.
    pub doors: Vec<OpenDoor>,
    /// When the revocation was requested.
    pub since: Timestamp,
    /// Until when it may, at worst, in words.
    pub until: String,
    /// What was proposed to do meanwhile, in words.
    pub proposed: Vec<String>,
}

impl FactBody for TaskOpened {
    const KIND: &'static str = "task.opened";
    const ABOUT: &'static [&'static str] = OF_TASKS;
}

/// Nothing is left to do about a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskClosed {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// `proven`: what must not open was read not to; `wanted-again`: it may open what it opens; `abandoned`: what it
    /// may open was taken out of the door system's configuration, and nobody reads it any more.
    pub by: String,
    /// Since when the task was open.
    pub opened_at: Timestamp,
}

impl FactBody for TaskClosed {
    const KIND: &'static str = "task.closed";
    const ABOUT: &'static [&'static str] = OF_TASKS;
}

/// Somebody has accepted by name that a card may open what it must not, for a time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RiskAccepted {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// Who accepted it.
    pub who: String,
    /// Why.
    pub because: String,
    /// Until when.
    pub until: Timestamp,
    /// Of which access points.
    #[serde(default)]
    pub doors: Vec<String>,
}

impl FactBody for RiskAccepted {
    const KIND: &'static str = "task.risk-accepted";
    const ABOUT: &'static [&'static str] = OF_TASKS;
}

/// Somebody has carried out a compensation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskCompensated {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// Who did it.
    pub who: String,
    /// What was done.
    pub what: String,
}

impl FactBody for TaskCompensated {
    const KIND: &'static str = "task.compensated";
    const ABOUT: &'static [&'static str] = OF_TASKS;
}

/// The time for which a risk was accepted has passed, and the revocation is not proven yet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskReopened {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// Who had accepted the risk.
    pub who: String,
    /// Until when.
    pub until: Timestamp,
}

impl FactBody for TaskReopened {
    const KIND: &'static str = "task.reopened";
    const ABOUT: &'static [&'static str] = OF_TASKS;
}

/// A card of which somebody must see to something may open more than was told: another door, the same with something
/// worse behind it, or the same after it was ended anew. What was accepted before does not cover that, and is over.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskWidened {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// Where.
    pub door_system: String,
    /// All that it may open still.
    pub doors: Vec<OpenDoor>,
    /// What is proposed to do meanwhile, in words.
    pub proposed: Vec<String>,
    /// Whose acceptance is over by that, if somebody had accepted the risk.
    pub void: Option<String>,
}

impl FactBody for TaskWidened {
    const KIND: &'static str = "task.widened";
    const ABOUT: &'static [&'static str] = OF_TASKS;
}
