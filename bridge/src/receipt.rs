//! Receipts: the signed evidence of what a leaver lost, and how far each door is proven.
//!
//! A reconciler by user. Each time something about a leaver's doors is proven, it puts the receipt together
//! anew and signs it when it says something else than before; an edition is never changed. What is not yet
//! proven is named as exposure, door by door: nothing below A2 is called revoked.
//!
//! What it is not: it does not name whose access ended. A receipt is shown to auditors for years; it carries ids. Only
//! who accepted the risk of a door that is not proven, or did something about it, stands there by name: that is what
//! they answer for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::credential;
use directory::facts::{Ended, UserDeactivated, UserDeleted};
use kernel::id::{CredentialId, ReceiptId, UserId};
use kernel::{Timestamp, sha256};
use keys::{Evidence, KeyRing, verify_evidence};
use serde::{Deserialize, Serialize};
use store::{
    Address, Db, Delivery, Fact, FactBody as _, Origin, Settled, Sink, SinkError, Sinks, StoreError,
    StoredFact, Tx, sql,
};

use crate::BridgeError;
use crate::alert;
use crate::condition;
use crate::connector::{ASKS_ANOTHER, AckLevel, DECIDES_ALONE, Descriptor, WorstCase};
use crate::facts::{
    DeviationFound, PlacementProven, ReceiptIssued, RiskAccepted, TaskCompensated, TaskOpened, TaskReopened,
    TaskWidened,
};
use crate::placement::{self, ABSENT, Placement, PointProof};
use crate::systems::Systems;
use crate::task::{self, Accepted, Done, Task};

/// The sink's name.
pub const SINK: &str = "receipt";

/// How long a self-contained access token may still be believed by an app that asks nobody.
pub const TOKEN_EXPOSURE: std::time::Duration = std::time::Duration::from_secs(300);

/// Of a door system that is not configured any more.
const UNKNOWN: &str = "not known: this door system is not configured any more";

/// How often a receipt is put together anew when another node has signed an edition meanwhile.
const TRIES: usize = 3;

/// What makes a receipt due: the end of an account, each proof at a door, whatever shakes one, and what people do about
/// one that is missing.
pub fn route(sinks: &Sinks) {
    const KINDS: &[&str] = &[
        UserDeactivated::KIND,
        UserDeleted::KIND,
        PlacementProven::KIND,
        DeviationFound::KIND,
        TaskOpened::KIND,
        RiskAccepted::KIND,
        TaskCompensated::KIND,
        TaskReopened::KIND,
        TaskWidened::KIND,
    ];
    sinks.set(SINK, |fact| {
        if !KINDS.contains(&fact.kind) {
            return Vec::new();
        }
        let users =
            std::iter::once(&fact.subject).chain(&fact.about).filter(|about| about.kind == UserId::KIND);
        users.map(|user| Address::reconcile(SINK, user.clone())).collect()
    });
}

/// The document that is signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// `cardea-receipt`.
    pub document: String,
    /// The version of this form.
    pub v: u32,
    /// This edition's id.
    pub id: ReceiptId,
    /// Which edition for its cause, from 1.
    pub revision: i64,
    /// Who signs: the configured issuer.
    pub issuer: String,
    /// When this edition was signed (RFC 3339).
    pub issued_at: String,
    /// Whose access ended.
    pub user: UserId,
    /// What happened.
    pub cause: Cause,
    /// What was dead at the commit of the cause.
    pub ended_at_commit: Ended,
    /// What the commit could not reach.
    pub exposure: Vec<Exposure>,
    /// Each credential at each door that it opened.
    pub doors: Vec<DoorProof>,
    /// Whether every door is proven at A2 or above.
    pub complete: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The fact's id.
    pub fact: String,
    /// Its kind.
    pub kind: String,
    /// When it was recorded (RFC 3339).
    pub at: String,
    /// Who caused it.
    pub actor: String,
}

/// What may still work, until when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// What.
    pub what: String,
    /// Until when (RFC 3339, or in words).
    pub until: String,
}

/// One credential at one door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoorProof {
    /// Which credential.
    pub credential: String,
    /// Which door.
    pub access_point: String,
    /// Which door system decides there.
    pub door_system: String,
    /// Which connector.
    pub connector: String,
    /// What the connector was tested against; whether a device was among it.
    pub tested_against: String,
    /// Who decides at these doors, R0 to R5.
    pub revocation_class: String,
    /// How far it is proven: A0 to A4.
    pub level: AckLevel,
    /// The same in words.
    pub level_words: String,
    /// `revoked`, or `pending`: nothing below A2 is called revoked.
    pub status: String,
    /// When the revocation was recorded.
    pub requested_at: String,
    /// When it was sent.
    pub sent_at: Option<String>,
    /// A1: the door system said so.
    pub accepted_at: Option<String>,
    /// A2: its list was read and the credential is absent.
    pub read_back_at: Option<String>,
    /// A3: the lock confirmed.
    pub lock_confirmed_at: Option<String>,
    /// A4: a denial was seen.
    pub denial_observed_at: Option<String>,
    /// Milliseconds from the request to A2.
    pub latency_ms: Option<i64>,
    /// Attempts.
    pub attempts: i64,
    /// While it is not proven, and somebody was asked to see to it: what is done meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<DoorTask>,
}

/// What is done about a door that is not proven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoorTask {
    /// The task's id.
    pub id: String,
    /// When it was opened (RFC 3339).
    pub opened_at: String,
    /// The compensation that was proposed, in words.
    pub proposed: Vec<String>,
    /// The compensation that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// Who has accepted the risk of this door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

impl From<Task> for DoorTask {
    fn from(task: Task) -> Self {
        let Task { opened_at, proposed, done, accepted, .. } = task;
        Self { id: task.id.to_string(), opened_at, proposed, done, accepted }
    }
}

/// A stored edition.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Edition {
    /// Its id.
    pub id: ReceiptId,
    /// Whose access ended.
    pub user_id: UserId,
    /// The fact that caused it.
    pub cause: String,
    /// Which edition, from 1.
    pub revision: i64,
    /// The signed document: a compact JWS.
    pub document: String,
    /// When it was signed.
    pub created_at: Timestamp,
}

/// The latest edition of the receipt for a cause.
async fn latest_for(db: &Db, cause: &str) -> Result<Option<Edition>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, user_id, cause, revision, document, created_at FROM receipt WHERE cause = $1 \
             ORDER BY revision DESC LIMIT 1"
        ),
        (cause,),
    )
    .await
}

/// The latest edition of a user's latest receipt.
pub async fn latest(db: &Db, user: UserId) -> Result<Option<Edition>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, user_id, cause, revision, document, created_at FROM receipt WHERE user_id = $1 \
             ORDER BY created_at DESC, revision DESC LIMIT 1"
        ),
        (user,),
    )
    .await
}

/// Signs receipts.
pub struct Receipts {
    db: Db,
    keys: KeyRing,
    systems: Systems,
    issuer: String,
}

impl Receipts {
    /// Signs as `issuer`.
    #[must_use]
    pub fn new(db: Db, keys: KeyRing, systems: Systems, issuer: String) -> Self {
        Self { db, keys, systems, issuer }
    }

    async fn put_together(
        &self,
        user: UserId,
        cause: &StoredFact,
        before: Option<&Edition>,
    ) -> Result<Receipt, BridgeError> {
        let states: HashMap<CredentialId, i64> = credential::of_user(&self.db, user)
            .await?
            .into_iter()
            .map(|credential| (credential.id, credential.version))
            .collect();
        let placements = placement::of_user(&self.db, user).await?;
        let mut doors: Vec<DoorProof> = placements
            .iter()
            .flat_map(|placement| {
                self.proofs(placement, states.get(&placement.credential_id).copied(), cause)
            })
            .collect();
        self.name_tasks(user, &mut doors).await?;
        Ok(Receipt {
            document: "cardea-receipt".into(),
            v: 1,
            id: ReceiptId::new(self.db.ctx()),
            revision: 1,
            issuer: self.issuer.clone(),
            issued_at: self.db.ctx().now().to_string(),
            user,
            cause: Cause {
                fact: cause.id.to_string(),
                kind: cause.kind.clone(),
                at: cause.at.to_string(),
                actor: cause.actor.clone(),
            },
            ended_at_commit: self.ended(cause, before)?,
            exposure: self.exposure(cause, &doors).await?,
            complete: doors.iter().all(|door| door.level >= AckLevel::ReadBack),
            doors,
        })
    }

    /// What died with the account: as the fact says, or as was signed before the fact's body was erased.
    ///
    /// # Errors
    /// [`BridgeError::Inconsistent`] when neither says it: nothing is signed in its place.
    fn ended(&self, cause: &StoredFact, before: Option<&Edition>) -> Result<Ended, BridgeError> {
        let deactivated = cause.read::<UserDeactivated>().map(|body| body.ended);
        let said = deactivated.or_else(|| cause.read::<UserDeleted>().map(|body| body.ended));
        said.or_else(|| self.ended_as_signed(before?)).ok_or_else(|| {
            BridgeError::Inconsistent(format!(
                "the fact {} that ended this access was erased or cannot be read: no receipt can say what it ended",
                cause.id
            ))
        })
    }

    fn ended_as_signed(&self, edition: &Edition) -> Option<Ended> {
        let jwks = self.keys.evidence_jwks();
        let signed = verify_evidence(Evidence::Receipt, &edition.document, &jwks.bytes).ok()?;
        serde_json::from_value::<Receipt>(signed).ok().map(|receipt| receipt.ended_at_commit)
    }

    /// Beside each door that is not proven, what is done about it; who accepted a risk, beside the doors of which it
    /// was.
    async fn name_tasks(&self, user: UserId, doors: &mut [DoorProof]) -> Result<(), StoreError> {
        let is_pending = |door: &DoorProof| door.level < AckLevel::ReadBack;
        if !doors.iter().any(is_pending) {
            return Ok(());
        }
        for task in task::of_user(&self.db, user).await? {
            let (credential, system) = (task.credential.to_string(), task.door_system.clone());
            let task = DoorTask::from(task);
            let concerns = |door: &DoorProof| door.credential == credential && door.door_system == system;
            for door in doors.iter_mut().filter(|door| is_pending(door) && concerns(door)) {
                let accepted = task.accepted.clone().filter(|risk| risk.doors.contains(&door.access_point));
                door.task = Some(DoorTask { accepted, ..task.clone() });
            }
        }
        Ok(())
    }

    /// The proof at each door. `version` is the credential's now.
    fn proofs(&self, placement: &Placement, version: Option<i64>, cause: &StoredFact) -> Vec<DoorProof> {
        // What is still wanted there, or was proven for an older state, proves nothing about this one.
        let concerns = placement.wanted == ABSENT && Some(placement.credential_version) == version;
        let proof = |(point, proof)| match concerns {
            true => self.proof(placement, point, &proof, placement.requested_at),
            false => {
                let unproven =
                    Placement { sent_at: None, lock_confirmed_at: None, attempts: 0, ..placement.clone() };
                self.proof(&unproven, point, &PointProof::default(), cause.at)
            }
        };
        placement.points().into_iter().map(|(point, at)| proof((point.0, at))).collect()
    }

    fn proof(
        &self,
        placement: &Placement,
        point: String,
        proof: &PointProof,
        requested: Timestamp,
    ) -> DoorProof {
        let descriptor = self.systems.descriptor(&placement.door_system);
        // Never more than the connector promises can be proven at such a door.
        let level = descriptor.as_ref().map_or(proof.level(), |it| proof.level().min(it.top_ack()));
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let described = |say: fn(&Descriptor) -> String| descriptor.as_ref().map_or(UNKNOWN.into(), say);
        DoorProof {
            credential: placement.credential_id.to_string(),
            access_point: point,
            door_system: placement.door_system.clone(),
            connector: described(|it| it.kind.to_owned()),
            tested_against: described(|it| it.tested_against.to_owned()),
            revocation_class: described(|it| format!("{:?}", it.revocation)),
            level,
            level_words: level.words().to_owned(),
            status: if level >= AckLevel::ReadBack { "revoked" } else { "pending" }.to_owned(),
            requested_at: requested.to_string(),
            sent_at: text(placement.sent_at),
            accepted_at: text(proof.accepted_at),
            read_back_at: text(proof.read_back_at),
            lock_confirmed_at: text(placement.lock_confirmed_at),
            denial_observed_at: text(proof.denied_at),
            latency_ms: proof.read_back_at.map(|read| read.as_millis().saturating_sub(requested.as_millis())),
            attempts: placement.attempts,
            task: None,
        }
    }

    async fn exposure(&self, cause: &StoredFact, doors: &[DoorProof]) -> Result<Vec<Exposure>, StoreError> {
        let tokens = Exposure {
            what: "an app that believes a self-contained access token without asking".into(),
            until: cause.at.plus(TOKEN_EXPOSURE).to_string(),
        };
        let pending = doors.iter().filter(|door| door.level < AckLevel::ReadBack).map(|door| Exposure {
            what: format!("credential {} at {} ({})", door.credential, door.access_point, door.door_system),
            until: self
                .systems
                .descriptor(&door.door_system)
                .map_or(WorstCase::UntilReachable, |descriptor| descriptor.worst_case)
                .to_string(),
        });
        let unlocked = condition::unlocked(&self.db).await?;
        let beyond = self.beyond_lists(doors, &unlocked, &condition::deciding_otherwise(&self.db).await?);
        Ok(std::iter::once(tokens).chain(pending).chain(beyond).collect())
    }

    /// What opens these doors whatever their lists say, and who decides there instead of whoever should.
    fn beyond_lists(
        &self,
        doors: &[DoorProof],
        unlocked: &BTreeSet<String>,
        otherwise: &[(&'static str, String)],
    ) -> Vec<Exposure> {
        let points: BTreeMap<&str, &str> =
            doors.iter().map(|door| (door.access_point.as_str(), door.door_system.as_str())).collect();
        let open =
            points.iter().filter(|(point, _)| unlocked.contains(**point)).map(|(point, system)| Exposure {
                what: format!("{point} ({system}) is set to stay unlocked: it opens for everybody"),
                until: "until it is set to obey its list".into(),
            });
        let systems: BTreeSet<&str> = points.values().copied().collect();
        let is_of = |unit: &str| systems.iter().any(|system| condition::is_at(unit, system));
        let named = |subject: &str| match subject.split_once(':')? {
            ("door_unit", unit) => is_of(unit).then(|| format!("device {unit}")),
            (_, point) => points.get(point).map(|system| format!("the device at {point} ({system})")),
        };
        let instead = |(code, subject): &(&'static str, String)| {
            let (what, until) = deciding_instead(code);
            Some(Exposure { what: format!("{} {what}", named(subject)?), until: until.into() })
        };
        let deciding: Vec<Exposure> = otherwise.iter().filter_map(instead).collect();
        let bypasses = systems.into_iter().flat_map(|system| {
            let bypasses = self.systems.descriptor(system).map_or(&[][..], |descriptor| descriptor.bypasses);
            bypasses.iter().map(move |bypass| Exposure {
                what: format!("{bypass} at {system}: it opens past every list, and cannot be read"),
                until: "until it is cleared at the device".into(),
            })
        });
        open.chain(deciding).chain(bypasses).collect()
    }

    /// Closes the alert that an attempt before this one may have opened.
    async fn receipt_is_possible(&self, delivery: &Delivery, user: UserId) -> Result<(), StoreError> {
        if delivery.last_error.is_some() {
            alert::close(&self.db, alert::NO_RECEIPT, &user.subject()).await?;
        }
        Ok(())
    }

    /// Signs an edition when it says something else than the one before it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another node has signed one meanwhile.
    async fn issue(&self, delivery: &Delivery, user: UserId, cause: &StoredFact) -> Result<(), BridgeError> {
        let before = latest_for(&self.db, &cause.id.to_string()).await?;
        let mut receipt = self.put_together(user, cause, before.as_ref()).await?;
        if before.as_ref().and_then(read).is_some_and(|before| says_the_same(&before, &receipt)) {
            let mut tx = self.db.write(Origin::system()).await?;
            let completed = delivery.complete(&mut tx).await;
            tx.end(completed).await?;
            return Ok(());
        }
        receipt.revision = before.map_or(1, |before| before.revision + 1);
        let document = self.keys.sign_evidence(Evidence::Receipt, &receipt)?;
        let mut tx = self.db.write(Origin::system()).await?;
        let kept = keep(&mut tx, delivery, &receipt, &document).await;
        tx.end(kept).await?;
        Ok(())
    }
}

async fn keep(tx: &mut Tx, delivery: &Delivery, receipt: &Receipt, document: &str) -> Result<(), StoreError> {
    tx.run(
        sql!(
            "INSERT INTO receipt (id, user_id, cause, revision, document, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
        ),
        (receipt.id, receipt.user, &receipt.cause.fact, receipt.revision, document, tx.now()),
    )
    .await?;
    let body = ReceiptIssued {
        receipt: receipt.id.to_string(),
        revision: receipt.revision,
        complete: receipt.complete,
        proven: receipt.doors.iter().filter(|door| door.level >= AckLevel::ReadBack).count(),
        doors: receipt.doors.len(),
        level: receipt.doors.iter().map(|door| door.level).min(),
        digest: URL_SAFE_NO_PAD.encode(sha256(document.as_bytes())),
    };
    tx.record(Fact::new(receipt.user.subject(), &body).about(receipt.id.subject()));
    delivery.complete(tx).await.map(drop)
}

/// The fact that ended the user's access, unless access was given back since: then it is nobody's end any more. Whether
/// it was, the account says: of two facts the clock may have stepped back between them.
async fn cause_of(db: &Db, user: UserId) -> Result<Option<StoredFact>, StoreError> {
    db.opt(
        sql!(
            "SELECT f.id, f.at, f.kind, f.subject, f.actor, f.request_id, f.digest, f.salt, f.body, f.seq, f.chain \
             FROM users u JOIN fact f ON f.subject = $1 \
             AND (f.kind = 'user.deleted' OR (f.kind = 'user.deactivated' AND u.deleted_at IS NULL)) \
             WHERE u.id = $2 AND NOT u.active ORDER BY f.at DESC, f.id DESC LIMIT 1"
        ),
        (user.subject(), user),
    )
    .await
}

/// Who opens at a device that does not decide as it should, and until when, in words.
fn deciding_instead(code: &str) -> (&'static str, &'static str) {
    match code {
        ASKS_ANOTHER => (
            "asks another server who may enter: it opens for whomever that one names",
            "until it asks nobody else",
        ),
        DECIDES_ALONE => (
            "decides by its own lists and does not ask us: it opens for whomever they still name",
            "until it asks us",
        ),
        _ => (
            "would decide by its own lists while it cannot ask us: it then opens for whomever they still name",
            "until it is forbidden to",
        ),
    }
}

/// What an edition says. Its signature is ours: it is read, not verified.
fn read(edition: &Edition) -> Option<Receipt> {
    let payload = edition.document.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}

fn says_the_same(before: &Receipt, now: &Receipt) -> bool {
    before.doors == now.doors
        && before.complete == now.complete
        && before.ended_at_commit == now.ended_at_commit
        && before.exposure == now.exposure
}

#[async_trait::async_trait]
impl Sink for Receipts {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let Ok(user) = delivery.subject_id().parse::<UserId>() else {
            return Err(SinkError::Dead(format!("{} is no user", delivery.subject)));
        };
        for _ in 0..TRIES {
            let Some(cause) = cause_of(&self.db, user).await? else {
                // A card that was put on, or a swipe: nobody's access ended, or it was given back.
                self.receipt_is_possible(delivery, user).await?;
                return Ok(Settled::Done);
            };
            match self.issue(delivery, user, &cause).await {
                Err(BridgeError::Store(error)) if error.is_taken("receipt_cause_revision") => {}
                Err(error @ BridgeError::Inconsistent(_)) => {
                    alert::open(&self.db, alert::NO_RECEIPT, &user.subject(), &error.to_string()).await?;
                    return Err(error.into());
                }
                issued => {
                    issued?;
                    self.receipt_is_possible(delivery, user).await?;
                    return Ok(Settled::Already);
                }
            }
        }
        Err(SinkError::Retry("other nodes sign editions of this receipt faster".into()))
    }
}
