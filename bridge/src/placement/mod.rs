//! One credential on one door system: what is wanted there, and how far it is proven.
//!
//! A row per credential and door system, written by the reconciler ([`Door`]), by the event feed (a denial
//! that was seen) and by the sweep (what was found to be otherwise). Inside it every access point has its own
//! proof, since half a door system may be out of reach.
//!
//! A proof belongs to one *wish*: the same rights wanted for the same version of the credential. Looking
//! again at a wish that was proven leaves the first proof as it stands; a new wish, and a card that was found
//! to have come back, must be proven anew.
//!
//! What it is not: it does not say who is entitled; that is read from the directory each time. Days and hours are in
//! what is read, so what is wanted may change although nobody does anything: [`tell_due`].

mod door;
mod due;
mod hours;
mod wish;

use std::collections::{BTreeMap, BTreeSet};

use directory::credential::Credential;
use directory::door::WantedPoint;
use directory::facts::{
    CredentialIssued, CredentialResumed, CredentialRevoked, CredentialSuspended, CredentialValidityChanged,
    EntitlementEnded, EntitlementGranted,
};
use kernel::id::{CredentialId, FactId, UserId};
use kernel::{Subject, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Address, Db, FactBody as _, Sinks, StoreError, Tx, sql};

pub use door::Door;
pub(crate) use due::between as due_between;
pub use due::tell_due;
pub(crate) use hours::{Terms, Turn, Validity, Wanted, merge};
pub(crate) use wish::contradicts;

use crate::BridgeError;
use crate::card::{Card, CardError, CardFormat};
use crate::connector::{AccessPointAddress, AckLevel, ReadBack, Reading, Want, described, time_zone};

/// The lane of a door system.
#[must_use]
pub fn sink_name(door_system: &str) -> String {
    format!("door:{door_system}")
}

/// What alerts about a credential at a door system are about.
pub(crate) fn subject(door_system: &str, credential: CredentialId) -> Subject {
    Subject::new("placement", format!("{door_system}/{credential}"))
}

/// Whatever concerns a credential concerns every door system: each works out for itself what it should hold.
pub fn route(sinks: &Sinks, door_system: &str) {
    const KINDS: &[&str] = &[
        CredentialIssued::KIND,
        CredentialSuspended::KIND,
        CredentialResumed::KIND,
        CredentialRevoked::KIND,
        CredentialValidityChanged::KIND,
        EntitlementGranted::KIND,
        EntitlementEnded::KIND,
    ];
    let sink = sink_name(door_system);
    sinks.set(sink.clone(), move |fact| {
        if !KINDS.contains(&fact.kind) {
            return Vec::new();
        }
        let about = std::iter::once(&fact.subject).chain(&fact.about);
        let credentials = about.filter(|about| about.kind == CredentialId::KIND);
        credentials
            .map(|about| Address::reconcile(sink.clone(), about.clone()).revoking(fact.revokes))
            .collect()
    });
}

/// How far a wish is proven at one access point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointProof {
    /// A1: the door system said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// A2: it was read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back_at: Option<Timestamp>,
    /// When everything had been read that happened here until A2: see [`Placement::watched_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_at: Option<Timestamp>,
    /// A4: a denial was seen here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_at: Option<Timestamp>,
}

impl PointProof {
    /// The level reached here.
    #[must_use]
    pub const fn level(&self) -> AckLevel {
        match (self.denied_at, self.read_back_at, self.accepted_at) {
            (Some(_), ..) => AckLevel::ObservedDenial,
            (_, Some(_), _) => AckLevel::ReadBack,
            (_, _, Some(_)) => AckLevel::Accepted,
            _ => AckLevel::Recorded,
        }
    }
}

/// The proof at every access point that a wish is about.
pub type Points = BTreeMap<AccessPointAddress, PointProof>;

/// What is known of a credential on a door system.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Placement {
    /// Where.
    pub door_system: String,
    /// Which.
    pub credential_id: CredentialId,
    /// The delivery's version when it was last worked on.
    pub version: i64,
    /// The credential's version for which this is wanted.
    pub credential_version: i64,
    /// `present` or `absent`.
    pub wanted: String,
    /// What is wanted, as JSON ([`Want`]).
    pub rights: String,
    /// See [`Placement::points`].
    pub points: String,
    /// The level reached at every access point, 0 to 4.
    pub ack: i64,
    /// The fact that made somebody look.
    pub cause: Option<String>,
    /// When that was recorded.
    pub requested_at: Timestamp,
    /// When it was first sent.
    pub sent_at: Option<Timestamp>,
    /// A1, at all access points.
    pub accepted_at: Option<Timestamp>,
    /// A2, at all access points.
    pub read_back_at: Option<Timestamp>,
    /// A3. Always `None` as yet: no connector's lock confirms, and no descriptor promises that rung.
    pub lock_confirmed_at: Option<Timestamp>,
    /// A4, the first at any access point.
    pub denial_observed_at: Option<Timestamp>,
    /// When everything had been read that happened at the doors until A2, at the last of them ([`crate::feed`]).
    pub watched_at: Option<Timestamp>,
    /// How many attempts it took.
    pub attempts: i64,
}

/// [`Placement::wanted`] when the card is to be gone.
pub const ABSENT: &str = "absent";
pub(crate) const PRESENT: &str = "present";

impl Placement {
    /// The level reached at every access point.
    #[must_use]
    pub fn level(&self) -> AckLevel {
        usize::try_from(self.ack)
            .ok()
            .and_then(|ack| AckLevel::ALL.get(ack))
            .copied()
            .unwrap_or(AckLevel::Recorded)
    }

    /// The access points this is about, and how far it is proven at each. For what is wanted present: those
    /// that shall open. For what is wanted absent: those that opened before.
    #[must_use]
    pub fn points(&self) -> Points {
        // A text that cannot be read proves nothing, and must not keep anybody from revoking.
        serde_json::from_str(&self.points).unwrap_or_default()
    }

    /// What is wanted; `None` when it cannot be read, which equals no wish.
    #[must_use]
    pub fn want(&self) -> Option<Want> {
        serde_json::from_str(&self.rights).ok()
    }

    /// Whether what is wanted was read back everywhere.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.level() >= AckLevel::ReadBack
    }

    /// Whether absence is wanted and was read back everywhere.
    #[must_use]
    pub fn is_proven_absent(&self) -> bool {
        self.wanted == ABSENT && self.is_proven()
    }

    /// Whether what happens at a door now tells of a card that was proven absent there: everything was read that
    /// happened before. At an unnamed door only when it was proven everywhere.
    pub(crate) fn is_watched_at(&self, at: Option<&AccessPointAddress>) -> bool {
        if self.wanted != ABSENT {
            return false;
        }
        let here = at.and_then(|at| self.points().get(at).copied());
        match here {
            Some(proof) => proof.read_back_at.is_some() && proof.watched_at.or(self.watched_at).is_some(),
            None => self.is_proven() && self.watched_at.is_some(),
        }
    }

    fn set_points(&mut self, points: &Points) {
        self.points = json(points);
        self.ack = lowest(points) as i64;
        // A whole reading that fails proves no part of a system to hold it everywhere.
        if self.read_back_at.is_none() {
            self.ack = self.ack.min(AckLevel::Accepted as i64);
        }
    }

    /// Takes over what the event feed has noted of the same proofs meanwhile.
    fn keep_seen(&mut self, noted: &Placement) {
        let is_same = |noted: &Placement| {
            noted.credential_version == self.credential_version && noted.want() == self.want()
        };
        if !is_same(noted) {
            return;
        }
        let (mut points, seen) = (self.points(), noted.points());
        for (point, proof) in &mut points {
            let Some(seen) = seen.get(point).filter(|seen| seen.read_back_at == proof.read_back_at) else {
                continue;
            };
            proof.watched_at = proof.watched_at.or(seen.watched_at);
            proof.denied_at = proof.denied_at.or(seen.denied_at);
        }
        self.set_points(&points);
    }
}

pub(crate) fn json(value: &impl Serialize) -> String {
    // Texts, numbers and dates under text keys: always JSON.
    serde_json::to_string(value).unwrap_or_default()
}

fn lowest(points: &Points) -> AckLevel {
    points.values().map(PointProof::level).min().unwrap_or(AckLevel::Recorded)
}

/// What the directory wants of a door system for a credential now.
pub(crate) async fn wanted(
    db: &Db,
    door_system: &str,
    credential: &Credential,
) -> Result<Wanted, StoreError> {
    if !credential.is_active() {
        return Ok(Wanted::nothing());
    }
    let points = directory::door::wanted_points(db, credential.user_id, door_system).await?;
    let validity = validity_of(credential);
    let is_plain =
        |point: &WantedPoint| (&point.schedule, point.valid_from, point.valid_until) == (&None, None, None);
    // How a door system calls hours and counts days matters to none that asks for neither.
    let terms = match validity == Validity::default() && points.iter().all(is_plain) {
        true => Terms::none(),
        false => terms_of(db, door_system).await?,
    };
    Ok(merge(&points, validity, &terms, db.ctx().now()))
}

/// How a door system calls hours, and how it counts days, as it is configured now.
pub(crate) async fn terms_of(db: &Db, door_system: &str) -> Result<Terms, StoreError> {
    let Some(system) = directory::door::system(db, door_system).await? else { return Ok(Terms::none()) };
    let profiles = directory::door::time_profiles_of(db, door_system).await?;
    let time_profiles =
        profiles.into_iter().filter_map(|(schedule, number)| Some((schedule, u8::try_from(number).ok()?)));
    let described = described(&system.connector, &system.config.0);
    Ok(Terms {
        time_profiles: time_profiles.collect(),
        time_zone: time_zone(&system.config.0),
        keeps_days: described.is_some_and(|descriptor| descriptor.keeps_days),
    })
}

/// How long a credential is valid.
pub(crate) fn validity_of(credential: &Credential) -> Validity {
    Validity { from: credential.valid_from, until: credential.valid_until }
}

/// The placement of a credential on a door system.
pub async fn get(
    db: &Db,
    door_system: &str,
    credential: CredentialId,
) -> Result<Option<Placement>, StoreError> {
    db.opt(
        sql!(
            "SELECT door_system, credential_id, version, credential_version, wanted, rights, points, ack, cause, \
             requested_at, sent_at, accepted_at, read_back_at, lock_confirmed_at, denial_observed_at, watched_at, \
             attempts FROM placement WHERE door_system = $1 AND credential_id = $2"
        ),
        (door_system, credential),
    )
    .await
}

/// The same inside a transaction, taken until it ends: what is written over it must not undo what another saw
/// meanwhile, a denial at a door above all.
pub(crate) async fn get_in(
    tx: &mut Tx,
    door_system: &str,
    credential: CredentialId,
) -> Result<Option<Placement>, StoreError> {
    tx.opt(
        sql!(
            "UPDATE placement SET attempts = attempts WHERE door_system = $1 AND credential_id = $2 \
             RETURNING door_system, credential_id, version, credential_version, wanted, rights, points, ack, cause, \
             requested_at, sent_at, accepted_at, read_back_at, lock_confirmed_at, denial_observed_at, watched_at, attempts"
        ),
        (door_system, credential),
    )
    .await
}

/// All placements of a user's credentials.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Placement>, StoreError> {
    db.all(
        sql!(
            "SELECT p.door_system, p.credential_id, p.version, p.credential_version, p.wanted, p.rights, p.points, \
             p.ack, p.cause, p.requested_at, p.sent_at, p.accepted_at, p.read_back_at, p.lock_confirmed_at, \
             p.denial_observed_at, p.watched_at, p.attempts \
             FROM placement p JOIN credential c ON c.id = p.credential_id WHERE c.user_id = $1 \
             ORDER BY p.door_system, p.credential_id"
        ),
        (user,),
    )
    .await
}

/// Placements on a door system whose credentials' ids lie after the first and up to the second.
pub(crate) async fn between(
    db: &Db,
    door_system: &str,
    after: &str,
    up_to: CredentialId,
) -> Result<Vec<Placement>, StoreError> {
    db.all(
        sql!(
            "SELECT door_system, credential_id, version, credential_version, wanted, rights, points, ack, cause, \
             requested_at, sent_at, accepted_at, read_back_at, lock_confirmed_at, denial_observed_at, watched_at, \
             attempts FROM placement WHERE door_system = $1 AND credential_id > $2 AND credential_id <= $3"
        ),
        (door_system, after, up_to),
    )
    .await
}

/// Credentials whose ids lie after the first and up to the second at which a door system looks just now, as far as can
/// be seen: what is being taken off is not noted yet. A look that is claimed comes back when its lease ends, one that was
/// put off says why, and a revocation is taken without a claim. What is due is looked at by what is wanted then.
pub(crate) async fn at_work_between(
    db: &Db,
    door_system: &str,
    after: &str,
    up_to: CredentialId,
) -> Result<BTreeSet<String>, StoreError> {
    let rows: Vec<(String,)> = db
        .all(
            sql!(
                "SELECT subject FROM delivery WHERE sink = $1 AND reconcile AND dead_at IS NULL \
                 AND (due_at > $4 AND (claimed_by IS NOT NULL OR last_error IS NULL) OR due_at <= $4 AND priority = 1) \
                 AND subject > $2 AND subject <= $3"
            ),
            (sink_name(door_system), format!("credential:{after}"), up_to.subject(), db.ctx().now()),
        )
        .await?;
    Ok(rows.into_iter().map(|(subject,)| subject).collect())
}

/// How many credentials stand on the list for an access point, or are not proven to be off it.
pub async fn that_may_stand_at(
    tx: &mut Tx,
    door_system: &str,
    at: Option<&str>,
) -> Result<usize, StoreError> {
    let rows: Vec<(String, String)> = tx
        .all(
            sql!(
                "SELECT wanted, points FROM placement \
                 WHERE door_system = $1 AND (wanted = 'present' OR ack < 2)"
            ),
            (door_system,),
        )
        .await?;
    let Some(at) = at.map(|at| AccessPointAddress(at.to_owned())) else { return Ok(rows.len()) };
    let may_stand = |(wanted, points): &&(String, String)| {
        let points: Points = serde_json::from_str(points).unwrap_or_default();
        let is_off = |proof: &PointProof| wanted == ABSENT && proof.level() >= AckLevel::ReadBack;
        // Of a row that names no point nobody knows where it stands.
        points.get(&at).map_or(points.is_empty(), |proof| !is_off(proof))
    };
    Ok(rows.iter().filter(may_stand).count())
}

/// Writes the row, unless one of a later version stands there. `false` when it does.
async fn put(tx: &mut Tx, row: &Placement) -> Result<bool, StoreError> {
    let put = tx
        .run(
            sql!(
                "INSERT INTO placement (door_system, credential_id, version, credential_version, wanted, rights, \
                 points, ack, cause, requested_at, sent_at, accepted_at, read_back_at, attempts) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                 ON CONFLICT (door_system, credential_id) DO UPDATE SET version = excluded.version, \
                 credential_version = excluded.credential_version, wanted = excluded.wanted, \
                 rights = excluded.rights, points = excluded.points, ack = excluded.ack, cause = excluded.cause, \
                 requested_at = excluded.requested_at, sent_at = excluded.sent_at, \
                 accepted_at = excluded.accepted_at, read_back_at = excluded.read_back_at, \
                 lock_confirmed_at = NULL, denial_observed_at = CASE WHEN excluded.sent_at IS NOT NULL \
                 AND placement.credential_version = excluded.credential_version \
                 AND placement.rights = excluded.rights THEN placement.denial_observed_at END, watched_at = NULL, \
                 attempts = excluded.attempts WHERE placement.version <= excluded.version"
            ),
            (
                &row.door_system,
                row.credential_id,
                row.version,
                row.credential_version,
                &row.wanted,
                &row.rights,
                &row.points,
                row.ack,
                row.cause.clone(),
                row.requested_at,
                row.sent_at,
                row.accepted_at,
                row.read_back_at,
                row.attempts,
            ),
        )
        .await?;
    Ok(put == 1)
}

/// A denial was seen at an access point that the credential opened before. `false` when that is no news, or the
/// row is not the one that was seen any more.
pub(crate) async fn deny(tx: &mut Tx, seen: &Placement, at: &AccessPointAddress) -> Result<bool, StoreError> {
    let mut points = seen.points();
    let Some(proof) = points.get_mut(at).filter(|proof| proof.denied_at.is_none()) else { return Ok(false) };
    proof.denied_at = Some(tx.now());
    let mut row = seen.clone();
    row.set_points(&points);
    let denied = tx
        .run(
            sql!(
                "UPDATE placement SET points = $4, ack = $5, denial_observed_at = COALESCE(denial_observed_at, $6) \
                 WHERE door_system = $1 AND credential_id = $2 AND version = $3 AND points = $7"
            ),
            (&row.door_system, row.credential_id, row.version, &row.points, row.ack, tx.now(), &seen.points),
        )
        .await?;
    Ok(denied == 1)
}

/// A credential was found on a door system where it must not be, or not as it should: what was proven there
/// is proven no more.
pub(crate) async fn doubt(
    tx: &mut Tx,
    door_system: &str,
    credential: &Credential,
    cause: FactId,
    seen: Option<&ReadBack>,
) -> Result<(), StoreError> {
    let held = seen.into_iter().flat_map(|seen| &seen.points);
    let held = held.filter(|(_, reading)| matches!(reading, Reading::Held(held) if held.access.is_some()));
    let mut points: Points = held.map(|(point, _)| (point.clone(), PointProof::default())).collect();
    let before = get_in(tx, door_system, credential.id).await?;
    if before.is_none() && points.is_empty() {
        let Some(seen) = seen.filter(|seen| seen.holds_anything()) else {
            // Nothing was ever noted there, and nothing stands there: there is no proof to be shaken.
            return Ok(());
        };
        // It stands there, and opens nothing that has a name here: no access point is proven to be free of it.
        points = seen.points.keys().map(|point| (point.clone(), PointProof::default())).collect();
    }
    points.extend(before.iter().flat_map(Placement::points).map(|(point, _)| (point, PointProof::default())));
    let mut row = before.unwrap_or_else(|| Placement {
        door_system: door_system.into(),
        credential_id: credential.id,
        version: 0,
        credential_version: credential.version,
        wanted: ABSENT.into(),
        rights: json(&Want::Absent),
        points: String::new(),
        ack: 0,
        cause: None,
        requested_at: tx.now(),
        sent_at: None,
        accepted_at: None,
        read_back_at: None,
        lock_confirmed_at: None,
        denial_observed_at: None,
        watched_at: None,
        attempts: 0,
    });
    row.set_points(&points);
    row.cause = Some(cause.to_string());
    row.requested_at = tx.now();
    (row.sent_at, row.accepted_at, row.read_back_at, row.denial_observed_at) = (None, None, None, None);
    row.attempts = 0;
    put(tx, &row).await.map(drop)
}

/// A card from its stored parts: format, facility (0 where the format has none), number.
///
/// # Errors
/// The format is unknown, or cannot hold the numbers.
pub fn card(format: &str, facility: i64, number: i64) -> Result<Card, CardError> {
    let format: CardFormat = format.parse()?;
    let has_facility = format.layout().is_some_and(|layout| layout.facility_bits > 0);
    // A facility too large for any format is reported as one too large for this one.
    let facility = (has_facility || facility != 0).then(|| u32::try_from(facility).unwrap_or(u32::MAX));
    Card::new(format, facility, u64::try_from(number).unwrap_or(u64::MAX))
}

/// A card as people write it, also one whose stored parts fit no format.
pub(crate) fn written(format: &str, facility: i64, number: i64) -> String {
    card(format, facility, number).map_or_else(|_| format!("{format} {number}"), |card| card.to_string())
}

/// The card of a credential.
pub(crate) fn card_of(credential: &Credential) -> Result<Card, BridgeError> {
    card(&credential.format, credential.facility, credential.number)
        .map_err(|error| BridgeError::Inconsistent(format!("{:?}: {error}", credential.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_from_its_stored_parts_or_refused_never_cut() {
        for ((format, facility, number), expect) in [
            (("h10301", 123, 45_678), Ok("h10301:123:45678")),
            (("h10302", 0, 7), Ok("h10302:7")),
            (("h10304", 300, 65_536), Ok("h10304:300:65536")),
            (("h10301", 256, 1), Err("h10301 needs a facility of 0 to 255")),
            (("h10301", -1, 1), Err("h10301 needs a facility of 0 to 255")),
            (("h10301", i64::from(u32::MAX) + 1, 1), Err("h10301 needs a facility of 0 to 255")),
            (("h10302", 5, 1), Err("h10302 has no facility")),
            (("h10301", 1, 65_536), Err("h10301 holds numbers of 0 to 65535")),
            (("h10301", 1, -1), Err("h10301 holds numbers of 0 to 65535")),
            (("H10301", 1, 1), Err("unknown card format `H10301`: expected h10301, h10304, h10302 or uid")),
        ] {
            let read = card(format, facility, number)
                .map(|card| card.to_string())
                .map_err(|error| error.to_string());
            assert_eq!(
                read,
                expect.map(str::to_owned).map_err(str::to_owned),
                "{format} {facility} {number}"
            );
        }
    }

    #[test]
    fn a_placement_is_as_proven_as_its_least_proven_access_point() {
        let at = Some(Timestamp::EPOCH);
        let accepted = PointProof { accepted_at: at, ..PointProof::default() };
        let read = PointProof { read_back_at: at, ..accepted };
        let denied = PointProof { denied_at: at, ..read };
        for (points, level) in [
            (vec![], AckLevel::Recorded),
            (vec![PointProof::default(), denied], AckLevel::Recorded),
            (vec![accepted, read], AckLevel::Accepted),
            (vec![read, denied], AckLevel::ReadBack),
            (vec![denied], AckLevel::ObservedDenial),
        ] {
            let named =
                points.iter().enumerate().map(|(n, point)| (AccessPointAddress(n.to_string()), *point));
            assert_eq!(lowest(&named.collect()), level, "{points:?}");
        }
    }
}
