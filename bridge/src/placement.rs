//! One credential on one door system: brings it to what is wanted, and proves it.
//!
//! A reconciler by credential, one lane per door system. The fact that woke it is only a hint: it reads what
//! is wanted now, makes the system so, and reads the system back. What the system says of its own success is
//! A1 and no more; absence that was read back is A2; a denial that was seen is A4 ([`crate::feed`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use directory::credential::{self, Credential};
use directory::door;
use directory::facts::{CredentialIssued, CredentialResumed, CredentialRevoked, CredentialSuspended};
use directory::facts::{EntitlementEnded, EntitlementGranted};
use kernel::id::CredentialId;
use kernel::{Subject, Timestamp};
use store::{Address, Db, Delivery, Fact, FactBody as _, Origin, Settled, Sink, SinkError, Sinks, StoreError, Tx, sql};

use crate::BridgeError;
use crate::alert;
use crate::card::{Card, CardError, CardFormat};
use crate::connector::{
    Access, AccessPointAddress, AckLevel, Connector, ConnectorError, DesiredCredential, Rights, Version, Want,
};
use crate::facts::PlacementProven;

/// The lane of a door system.
#[must_use]
pub fn sink_name(door_system: &str) -> String {
    format!("door:{door_system}")
}

/// Whatever concerns a credential concerns every door system: each works out for itself what it should hold.
pub fn route(sinks: &Sinks, door_system: &str) {
    const KINDS: &[&str] = &[
        CredentialIssued::KIND,
        CredentialSuspended::KIND,
        CredentialResumed::KIND,
        CredentialRevoked::KIND,
        EntitlementGranted::KIND,
        EntitlementEnded::KIND,
    ];
    let sink = sink_name(door_system);
    sinks.set(sink.clone(), move |fact| {
        if !KINDS.contains(&fact.kind) {
            return Vec::new();
        }
        let credentials = std::iter::once(&fact.subject).chain(&fact.about).filter(|about| about.kind == CredentialId::KIND);
        credentials.map(|about| Address::reconcile(sink.clone(), about.clone()).revoking(fact.revokes)).collect()
    });
}

/// What is known of a credential on a door system.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Placement {
    /// Where.
    pub door_system: String,
    /// Which.
    pub credential_id: CredentialId,
    /// The delivery's version when it was last worked on.
    pub version: i64,
    /// `present` or `absent`.
    pub wanted: String,
    /// The rights that are wanted, as JSON.
    pub rights: String,
    /// The level reached for what is wanted, 0 to 4.
    pub ack: i64,
    /// The fact that changed what is wanted.
    pub cause: Option<String>,
    /// When that was recorded.
    pub requested_at: Timestamp,
    /// When it was first sent.
    pub sent_at: Option<Timestamp>,
    /// A1.
    pub accepted_at: Option<Timestamp>,
    /// A2.
    pub read_back_at: Option<Timestamp>,
    /// A3.
    pub lock_confirmed_at: Option<Timestamp>,
    /// A4.
    pub denial_observed_at: Option<Timestamp>,
    /// How many attempts it took.
    pub attempts: i64,
}

impl Placement {
    /// The level reached.
    #[must_use]
    pub fn level(&self) -> AckLevel {
        usize::try_from(self.ack).ok().and_then(|ack| AckLevel::ALL.get(ack)).copied().unwrap_or(AckLevel::Recorded)
    }

    /// Whether absence is wanted and was read back.
    #[must_use]
    pub fn is_proven_absent(&self) -> bool {
        self.wanted == ABSENT && self.level() >= AckLevel::ReadBack
    }
}

const ABSENT: &str = "absent";
const PRESENT: &str = "present";

/// The placement of a credential on a door system.
pub async fn get(db: &Db, door_system: &str, credential: CredentialId) -> Result<Option<Placement>, StoreError> {
    db.opt(
        sql!(
            "SELECT door_system, credential_id, version, wanted, rights, ack, cause, requested_at, sent_at, \
             accepted_at, read_back_at, lock_confirmed_at, denial_observed_at, attempts FROM placement \
             WHERE door_system = $1 AND credential_id = $2"
        ),
        (door_system, credential),
    )
    .await
}

/// All placements of a user's credentials.
pub async fn of_user(db: &Db, user: kernel::id::UserId) -> Result<Vec<Placement>, StoreError> {
    db.all(
        sql!(
            "SELECT p.door_system, p.credential_id, p.version, p.wanted, p.rights, p.ack, p.cause, p.requested_at, \
             p.sent_at, p.accepted_at, p.read_back_at, p.lock_confirmed_at, p.denial_observed_at, p.attempts \
             FROM placement p JOIN credential c ON c.id = p.credential_id WHERE c.user_id = $1 \
             ORDER BY p.door_system, p.credential_id"
        ),
        (user,),
    )
    .await
}

/// Credentials that should be on a door system.
pub async fn wanted_present(db: &Db, door_system: &str) -> Result<Vec<(CredentialId,)>, StoreError> {
    db.all(
        sql!("SELECT credential_id FROM placement WHERE door_system = $1 AND wanted = 'present' ORDER BY credential_id"),
        (door_system,),
    )
    .await
}

/// A card from its stored parts.
pub(crate) fn card(format: &str, facility: i64, number: i64) -> Result<Card, CardError> {
    let format: CardFormat = format.parse()?;
    let facility = u32::try_from(facility).ok().filter(|_| format.layout().is_some_and(|layout| layout.facility_bits > 0));
    Card::new(format, facility, u64::try_from(number).unwrap_or(u64::MAX))
}

/// The card of a credential.
pub(crate) fn card_of(credential: &Credential) -> Result<Card, BridgeError> {
    card(&credential.format, credential.facility, credential.number)
        .map_err(|error| BridgeError::Inconsistent(format!("{:?}: {error}", credential.id)))
}

/// The reconciler of one door system.
pub struct Door {
    db: Db,
    name: String,
    connector: Arc<dyn Connector>,
}

/// What a look at one credential found to be wanted.
struct Wish {
    credential: Credential,
    desired: DesiredCredential,
    rights: String,
    seen: Option<Placement>,
}

impl Door {
    /// Over an opened connector.
    #[must_use]
    pub fn new(db: Db, name: impl Into<String>, connector: Arc<dyn Connector>) -> Self {
        Self { db, name: name.into(), connector }
    }

    async fn wish(&self, delivery: &Delivery, id: CredentialId) -> Result<Option<Wish>, BridgeError> {
        let Some(credential) = credential::get(&self.db, id).await? else { return Ok(None) };
        let points = match credential.is_active() {
            true => door::wanted_points(&self.db, credential.user_id, &self.name).await?,
            false => Vec::new(),
        };
        let access: BTreeMap<AccessPointAddress, Access> =
            points.into_iter().map(|(point, _)| (AccessPointAddress(point), Access::Always)).collect();
        let want = match access.is_empty() {
            true => Want::Absent,
            false => Want::Present(Rights { access, valid_from: None, valid_to: None }),
        };
        let rights = serde_json::to_string(&want).unwrap_or_default();
        let version = Version { credential: id, number: delivery.version };
        let desired = DesiredCredential { version, card: card_of(&credential)?, want };
        let seen = get(&self.db, &self.name, id).await?;
        Ok(Some(Wish { credential, desired, rights, seen }))
    }

    async fn reach(&self, delivery: &Delivery, wish: Wish) -> Result<Settled, SinkError> {
        if wish.seen.is_none() {
            if wish.desired.want == Want::Absent {
                // Never sent there, and nothing to send.
                return Ok(Settled::Done);
            }
            // Intent first: should we die between sending and noting it, a later leaver still finds the row.
            self.note(delivery, &wish, Progress::default()).await?;
        }
        let sent_at = self.db.ctx().now();
        let accepted_at = self.send(&wish).await?;
        let seen = self.connector.read_back(&wish.desired.card).await.map_err(retry)?;
        if !seen.meets(&wish.desired.want) {
            return Err(SinkError::Retry(self.not_met(&seen)));
        }
        let now = self.db.ctx().now();
        let progress =
            Progress { sent_at: Some(sent_at), accepted_at: Some(accepted_at), read_back_at: Some(now), complete: true };
        self.note(delivery, &wish, progress).await?;
        Ok(Settled::Already)
    }

    /// Sends what is wanted; answers when it was accepted.
    async fn send(&self, wish: &Wish) -> Result<Timestamp, SinkError> {
        let desired = &wish.desired;
        match desired.want {
            Want::Absent => self.connector.revoke(&desired.card, Some(desired.version)).await.map_err(retry)?,
            Want::Present(_) => {
                if let Err(refusal) = self.connector.check(desired) {
                    let subject = wish.credential.id.subject();
                    alert::open(&self.db, alert::CANNOT_HOLD, &subject, &format!("{}: {refusal}", self.name)).await?;
                    return Err(SinkError::Dead(refusal.to_string()));
                }
                self.connector.apply(desired).await.map_err(retry)?
            }
        };
        Ok(self.db.ctx().now())
    }

    fn not_met(&self, seen: &crate::connector::ReadBack) -> String {
        let unread: Vec<String> = seen.unread().map(ToString::to_string).collect();
        match unread.is_empty() {
            true => format!("{} does not hold what is wanted", self.name),
            false => format!("{} could not be read at {}", self.name, unread.join(", ")),
        }
    }

    async fn note(&self, delivery: &Delivery, wish: &Wish, progress: Progress) -> Result<(), StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let noted = self.note_in(&mut tx, delivery, wish, progress).await;
        tx.end(noted).await
    }

    async fn note_in(
        &self,
        tx: &mut Tx,
        delivery: &Delivery,
        wish: &Wish,
        progress: Progress,
    ) -> Result<(), StoreError> {
        let wanted = if wish.desired.want == Want::Absent { ABSENT } else { PRESENT };
        // The same wish, proven before: this was another look at it, and the first proof stands.
        let again = wish
            .seen
            .as_ref()
            .is_some_and(|seen| seen.wanted == wanted && seen.rights == wish.rights && seen.level() >= AckLevel::ReadBack);
        if !again {
            upsert(tx, &self.name, delivery, wish, wanted, progress).await?;
        }
        if !progress.complete {
            return Ok(());
        }
        if !again {
            tx.record(self.proven(delivery, wish, wanted));
        }
        delivery.complete(tx).await.map(drop)
    }

    fn proven(&self, delivery: &Delivery, wish: &Wish, wanted: &str) -> Fact {
        let body = PlacementProven {
            credential: wish.credential.id,
            user: wish.credential.user_id,
            door_system: self.name.clone(),
            wanted: wanted.into(),
            level: AckLevel::ReadBack,
            requested_at: delivery.created_at,
            attempts: delivery.attempt,
        };
        Fact::new(wish.credential.id.subject(), &body)
            .about(wish.credential.user_id.subject())
            .about(Subject::new("door_system", &self.name))
    }
}

/// How far an attempt came.
#[derive(Clone, Copy, Default)]
struct Progress {
    sent_at: Option<Timestamp>,
    accepted_at: Option<Timestamp>,
    read_back_at: Option<Timestamp>,
    complete: bool,
}

async fn upsert(
    tx: &mut Tx,
    door_system: &str,
    delivery: &Delivery,
    wish: &Wish,
    wanted: &str,
    progress: Progress,
) -> Result<(), StoreError> {
    let ack: i64 = if progress.complete { 2 } else { 0 };
    tx.run(
        sql!(
            "INSERT INTO placement (door_system, credential_id, version, wanted, rights, ack, cause, requested_at, \
             sent_at, accepted_at, read_back_at, attempts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
             ON CONFLICT (door_system, credential_id) DO UPDATE SET version = excluded.version, \
             wanted = excluded.wanted, rights = excluded.rights, ack = excluded.ack, cause = excluded.cause, \
             requested_at = excluded.requested_at, sent_at = excluded.sent_at, accepted_at = excluded.accepted_at, \
             read_back_at = excluded.read_back_at, lock_confirmed_at = NULL, denial_observed_at = NULL, \
             attempts = excluded.attempts WHERE placement.version <= excluded.version"
        ),
        (
            door_system,
            wish.credential.id,
            delivery.version,
            wanted,
            &wish.rights,
            ack,
            delivery.fact.to_string(),
            delivery.created_at,
            progress.sent_at,
            progress.accepted_at,
            progress.read_back_at,
            delivery.attempt,
        ),
    )
    .await
    .map(drop)
}

fn retry(error: ConnectorError) -> SinkError {
    match error {
        ConnectorError::Refused(refusal) => SinkError::Dead(refusal.to_string()),
        passing => SinkError::Retry(passing.to_string()),
    }
}

#[async_trait::async_trait]
impl Sink for Door {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let Ok(id) = delivery.subject_id().parse::<CredentialId>() else {
            return Err(SinkError::Dead(format!("{} is no credential", delivery.subject)));
        };
        match self.wish(delivery, id).await? {
            Some(wish) => self.reach(delivery, wish).await,
            None => Ok(Settled::Done),
        }
    }
}
