//! The facts that the bridge records.

use kernel::Timestamp;
use kernel::id::{CredentialId, UserId};
use serde::{Deserialize, Serialize};
use store::FactBody;

use crate::connector::{AckLevel, DoorEvent};

/// How far a wish is proven at one door system.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
}

/// Something happened at a door.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
}

/// Events were lost between two that were read.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
}

/// A sweep found what should not be there, or missed what should.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviationFound {
    /// Which door system.
    pub door_system: String,
    /// `orphan` (nobody's card), `ghost` (ours, but not there), `drift` (there, but otherwise), `leaver`
    /// (there, and must not be), `opened` (a door treated a card as valid that was proven absent).
    pub finding: String,
    /// The card as the system names it.
    pub card: String,
    /// Whose it is, if it is one of ours.
    pub credential: Option<CredentialId>,
}

impl FactBody for DeviationFound {
    const KIND: &'static str = "door.deviation-found";
}

/// Somebody must look at something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlertOpened {
    /// What is wrong, e.g. `revocation-waits`.
    pub alert: String,
    /// In words.
    pub detail: String,
}

impl FactBody for AlertOpened {
    const KIND: &'static str = "alert.opened";
}

/// It is right again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlertClosed {
    /// What was wrong.
    pub alert: String,
    /// Since when.
    pub opened_at: Timestamp,
}

impl FactBody for AlertClosed {
    const KIND: &'static str = "alert.closed";
}

/// A receipt was signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
}
