//! Who may enter now, at doors whose system asks us at each swipe: the house's [`Decider`].
//!
//! Each question reads the database: the policies in force, whose card this is, whether card and account are in order,
//! and whether an access profile that its holder is entitled to opens the door today (the wish that
//! [`crate::placement`] brings to lists). To what somebody is entitled was settled by a look that may not have come to
//! them yet, so policy is asked again whether they may hold it (`Action::"hold"`), and then whether they may enter
//! (`Action::"enter"`). Nothing is kept from one question to the next, so whatever ends at a commit has ended at the
//! next swipe, before any list was written. What cannot be read in time is a no; so is a set of policies that cannot be
//! loaded.
//!
//! *Decisions are facts, recorded afterwards.* A decision changes nothing, so it needs no transaction of its own, and
//! nobody waits at a door for the journal: what was decided stands in a queue in memory, and a task of its own records
//! it, many in one transaction. The queue is bounded. Should the journal be stuck for so long that it is full, doors
//! go on opening and shutting as they should, and what does not fit is lost and counted: the next decision there that
//! is kept says how many before it were not (`lost_before`), and at a stop a fact of its own does. Refusing everybody
//! instead would make a full disk lock people out for the sake of a sentence, and what happened at the door is in the
//! device's own log, which is read as `door.event`. The same holds for what a process that is killed had not recorded
//! yet.
//!
//! *A door system is answered as it is configured now.* While the work of one that was changed comes to its end, its
//! doors still ask by what they were called before, which may be the name of another door by now: whoever asks as
//! another version is answered with a no, until its successor has taken over.
//!
//! What it is not: it says what we answered, not whether the door opened. It knows nothing of a device that decides
//! alone because it cannot ask. And it knows no hours: what opens on a schedule only, whose hours are set at devices,
//! opens nothing here. In which hours somebody enters is for a policy to say (`context.time`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use directory::presence;
use directory::user::{self, User};
use kernel::id::{CredentialId, UserId};
use kernel::{Assurance, Day, ProtectionClass, Subject, Timestamp};
use policy::{
    AccessProfile, Area, Circumstances, Decision, EnterRequest, LocalTime, Network, Policies, Risk,
    User as Principal,
};
use store::{Db, Fact, Origin, StoreError, StoredFact, sql};
use tokio::sync::{Notify, watch};

use crate::card::Card;
use crate::connector::{AccessPointAddress, Asked, Decider, Verdict};
use crate::facts::{DoorDecided, DoorDecisionsLost};

/// The longest that reading may take: shorter than the door waits, so that also this no has its fact.
const READ_WITHIN: Duration = Duration::from_millis(800);

/// So many decisions wait for the journal at most.
pub const KEPT: usize = 1_024;

/// So many are recorded in one transaction.
const RECORDED_AT_ONCE: usize = 64;

/// How soon the journal is tried again.
const RETRIED: Duration = Duration::from_secs(1);

/// How many of our latest decisions about a card are looked at for the one that let it in.
const DECISIONS: u32 = 50;
/// How far the clock of a device and ours may tell the moment of one swipe apart.
const ABOUT: Duration = Duration::from_secs(600);

/// Where the policies in force are found.
#[async_trait]
pub trait InForce: Send + Sync {
    /// Those that the database holds at this moment.
    ///
    /// # Errors
    /// They cannot be read or loaded: nobody enters by older ones.
    async fn policies(&self) -> Result<Arc<Policies>, StoreError>;
}

/// Those that were sent last: for whoever sends them before anybody is asked about.
#[async_trait]
impl InForce for watch::Receiver<Arc<Policies>> {
    async fn policies(&self) -> Result<Arc<Policies>, StoreError> {
        Ok(self.borrow().clone())
    }
}

/// Decides for the house. Cheap to clone; clones share what waits for the journal.
#[derive(Clone)]
pub struct Entrance {
    db: Db,
    policies: Arc<dyn InForce>,
    waiting: Arc<Waiting>,
}

/// What was decided and is not recorded yet.
#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    news: Notify,
    /// Held by whoever records.
    recording: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    /// Each until it stands in the journal.
    decided: VecDeque<DoorDecided>,
    /// How many did not fit since the last that did, by door system.
    lost: BTreeMap<String, u64>,
}

impl Queue {
    /// How many decisions are in no journal.
    fn unrecorded(&self) -> u64 {
        let waiting = u64::try_from(self.decided.len()).unwrap_or(u64::MAX);
        self.lost.values().fold(waiting, |all, lost| all.saturating_add(*lost))
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entrance")
    }
}

/// The card that was shown, its holder, and the door, as the directory knows them now.
#[derive(sqlx::FromRow)]
struct Shown {
    credential_id: CredentialId,
    state: String,
    /// The first day on which the card opens anything.
    valid_from: Option<Day>,
    /// From when on it opens nothing.
    valid_until: Option<Timestamp>,
    /// What is behind the door; `None` when the door system has no such access point.
    area: Option<String>,
    protection_class: Option<i64>,
    /// The version of the door system's configuration; `None` when there is no such door system.
    configured: Option<i64>,
    is_deleted: bool,
    #[sqlx(flatten)]
    holder: User,
}

/// An access profile that somebody was entitled to when that was settled last, and that opens the door today; with one
/// of the areas that it opens.
#[derive(sqlx::FromRow)]
struct Opens {
    profile: String,
    project: Option<String>,
    /// On which schedule it opens the door; `None` is always.
    schedule: Option<String>,
    area: String,
    protection_class: i64,
}

/// What was found out about a question.
struct Judged {
    shown: Option<Shown>,
    granted: bool,
    /// Why, in words; with the policy that says so, if one was asked.
    because: Vec<(Option<String>, String)>,
}

impl Shown {
    /// Why the card opens nothing now, whoever holds it.
    fn out_of_order(&self, now: Timestamp, today: Option<Day>) -> Option<String> {
        if self.state != "active" {
            return Some(format!("This card is {}.", self.state));
        }
        if let Some(end) = self.valid_until.filter(|end| *end <= now) {
            return Some(format!("This card was valid until {end}."));
        }
        let first = self.valid_from.filter(|first| today.is_none_or(|today| today < *first))?;
        Some(format!("This card is not valid before {first}."))
    }
}

impl Judged {
    fn refused(shown: Option<Shown>, because: impl Into<String>) -> Self {
        Self { shown, granted: false, because: vec![(None, because.into())] }
    }
}

impl Entrance {
    /// Over the policies in force.
    #[must_use]
    pub fn new(db: Db, policies: impl InForce + 'static) -> Self {
        Self { db, policies: Arc::new(policies), waiting: Arc::default() }
    }

    /// Decides for one door system, about its own access points and no others, as long as it is configured as in this
    /// version.
    #[must_use]
    pub fn of(&self, door_system: &str, version: i64) -> Arc<dyn Decider> {
        Arc::new(AtDoorSystem { entrance: self.clone(), name: door_system.to_owned(), version })
    }

    async fn decide(&self, door_system: &str, version: i64, asked: &Asked) -> Verdict {
        let judging = self.judge(door_system, version, asked);
        let judged = match tokio::time::timeout(READ_WITHIN, judging).await {
            Ok(Ok(judged)) => judged,
            Ok(Err(error)) => {
                tracing::error!(door_system, %error, "nobody enters: the directory cannot be read");
                Judged::refused(None, "the directory cannot be read")
            }
            Err(_) => {
                let limit = READ_WITHIN.as_millis();
                tracing::error!(door_system, limit, "nobody enters: the directory is too slow");
                Judged::refused(None, format!("the directory gave no answer within {limit} ms"))
            }
        };
        let words: Vec<&str> = judged.because.iter().map(|(_, words)| words.as_str()).collect();
        let verdict = Verdict { granted: judged.granted, because: words.join(" ") };
        self.keep(self.fact_of(door_system, asked, judged));
        verdict
    }

    async fn judge(&self, door_system: &str, version: i64, asked: &Asked) -> Result<Judged, StoreError> {
        let Some(card) = &asked.card else { return Ok(Judged::refused(None, "No card was shown.")) };
        let policies = self.policies.policies().await?;
        let now = self.db.ctx().now();
        let today = Day::of(now, &asked.time_zone);
        let Some(shown) = self.shown(door_system, asked, card).await? else {
            return Ok(Judged::refused(None, "This card is nobody's."));
        };
        if let Some(because) = shown.out_of_order(now, today) {
            return Ok(Judged::refused(Some(shown), because));
        }
        if shown.configured.is_some_and(|configured| configured != version) {
            let because = format!("{door_system} was configured otherwise, and does not work by that yet.");
            return Ok(Judged::refused(Some(shown), because));
        }
        let (Some(area), Some(class)) = (&shown.area, shown.protection_class) else {
            let because = format!("{} is no access point of {door_system}.", asked.access_point);
            return Ok(Judged::refused(Some(shown), because));
        };
        let mut holder = user::principal(&self.db, &shown.holder).await?;
        holder.active &= !shown.is_deleted;
        let opens_on = self.opens_on(&shown, &holder, asked, today, &policies).await?;
        let request = EnterRequest {
            user: holder,
            area: Area { id: area.clone(), protection_class: class_of(area, class)?, project: None },
            entitled: opens_on.as_deref() == Some(""),
            circumstances: circumstances(asked, now, presence::on_site(&self.db, shown.holder.id).await?),
        };
        let decision = policies.decide_enter(&request);
        let granted = matches!(decision, Decision::Allow { .. });
        let reasons = decision.because().iter();
        let mut because: Vec<(Option<String>, String)> =
            reasons.map(|reason| (Some(reason.policy_id.clone()), reason.because.clone())).collect();
        if let Some(schedule) = opens_on.filter(|on| !granted && !on.is_empty()) {
            let words = format!("It opens on schedule {schedule} only, whose hours nobody knows here.");
            because.push((None, words));
        }
        Ok(Judged { granted, because, shown: Some(shown) })
    }

    async fn shown(
        &self,
        door_system: &str,
        asked: &Asked,
        card: &Card,
    ) -> Result<Option<Shown>, StoreError> {
        let Some((format, facility, number)) = card.row() else { return Ok(None) };
        self.db
            .opt(
                sql!(
                    "SELECT c.id AS credential_id, c.state, c.valid_from, c.valid_until, a.name AS area, \
                     a.protection_class, d.version AS configured, u.deleted_at IS NOT NULL AS is_deleted, \
                     u.id, u.version, u.user_name, u.external_id, u.display_name, u.email, u.department, u.title, \
                     u.active, u.document, u.created_at, u.updated_at \
                     FROM credential c JOIN users u ON u.id = c.user_id \
                     LEFT JOIN door_system d ON d.name = $5 \
                     LEFT JOIN access_point p ON p.name = $4 AND p.door_system = d.name \
                     LEFT JOIN area a ON a.name = p.area \
                     WHERE c.format = $1 AND c.facility = $2 AND c.number = $3"
                ),
                (format, facility, number, &asked.access_point.0, door_system),
            )
            .await
    }

    /// On which schedule an access profile opens the door to its holder; empty is always, `None` is not at all. Of what
    /// was settled, only what these policies say of the holder now.
    async fn opens_on(
        &self,
        shown: &Shown,
        holder: &Principal,
        asked: &Asked,
        today: Option<Day>,
        policies: &Policies,
    ) -> Result<Option<String>, StoreError> {
        let opening: Vec<Opens> = self
            .db
            .all(
                sql!(
                    "SELECT f.name AS profile, f.project, pp.schedule, o.area, a.protection_class FROM entitlement e \
                     JOIN access_profile f ON f.name = e.access_profile \
                     AND (f.valid_from IS NULL OR f.valid_from <= $3) \
                     AND (f.valid_until IS NULL OR f.valid_until >= $3) \
                     JOIN access_profile_point pp ON pp.access_profile = f.name AND pp.access_point = $2 \
                     JOIN access_profile_point op ON op.access_profile = f.name \
                     JOIN access_point o ON o.name = op.access_point JOIN area a ON a.name = o.area \
                     WHERE e.user_id = $1 ORDER BY f.name"
                ),
                (shown.holder.id, &asked.access_point.0, today.map(|day| day.to_string())),
            )
            .await?;
        let mut profiles: BTreeMap<String, (Opens, BTreeSet<String>)> = BTreeMap::new();
        for row in opening {
            let (area, class) = (row.area.clone(), row.protection_class);
            let (profile, areas) = profiles.entry(row.profile.clone()).or_insert((row, BTreeSet::new()));
            profile.protection_class = class.max(profile.protection_class);
            areas.insert(area);
        }
        let mut on: Option<String> = None;
        for (id, (profile, areas)) in profiles {
            let protection_class = class_of(&id, profile.protection_class)?;
            let areas = areas.into_iter().collect();
            let asked_about = AccessProfile { id, areas, protection_class, project: profile.project };
            if policies.decide_hold(holder, &asked_about).held {
                let schedule = profile.schedule.unwrap_or_default();
                on = on.into_iter().chain([schedule]).min();
            }
        }
        Ok(on)
    }

    fn fact_of(&self, door_system: &str, asked: &Asked, judged: Judged) -> DoorDecided {
        let Judged { shown, granted, because } = judged;
        let (policies, because): (Vec<_>, Vec<_>) = because.into_iter().unzip();
        DoorDecided {
            door_system: door_system.to_owned(),
            access_point: asked.access_point.0.clone(),
            card: asked.card.map(|card| card.to_string()),
            credential: shown.as_ref().map(|shown| shown.credential_id),
            user: shown.as_ref().map(|shown| shown.holder.id),
            granted,
            because,
            policies: policies.into_iter().flatten().collect(),
            at: self.db.ctx().now(),
            lost_before: 0,
            refused_before: asked.refused_before,
        }
    }

    fn keep(&self, mut decided: DoorDecided) {
        let mut queue = self.queue();
        let door_system = decided.door_system.clone();
        if queue.decided.len() >= KEPT {
            let lost = queue.lost.entry(door_system.clone()).or_default();
            *lost += 1;
            if *lost == 1 {
                tracing::error!(
                    %door_system,
                    "decisions at doors are not recorded: {KEPT} others wait for the journal"
                );
            }
            return;
        }
        if let Some(lost) = queue.lost.remove(&door_system) {
            tracing::error!(%door_system, lost, "decisions at doors are recorded again, and these were not");
            decided.lost_before = lost;
        }
        queue.decided.push_back(decided);
        drop(queue);
        self.waiting.news.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere cannot leave the queue half-written.
        self.waiting.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether we have let a card in at a door about then: by what is recorded, and by what waits for that here. What
    /// another process has not recorded yet is not known.
    pub(crate) async fn has_let_in(
        &self,
        card: CredentialId,
        at: &AccessPointAddress,
        when: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let is_it = |decided: &DoorDecided| {
            let far = |when: Timestamp| decided.at.since(when).max(when.since(decided.at));
            decided.granted && decided.access_point == at.0 && when.is_none_or(|when| far(when) <= ABOUT)
        };
        // INVARIANT: the queue comes first. What has left it since stands in the journal.
        let waits = |decided: &DoorDecided| decided.credential == Some(card) && is_it(decided);
        if self.queue().decided.iter().any(waits) {
            return Ok(true);
        }
        let latest: Vec<StoredFact> = self
            .db
            .all(
                sql!(
                    "SELECT f.id, f.at, f.kind, f.subject, f.actor, f.request_id, f.digest, f.salt, f.body, f.seq, \
                     f.chain FROM fact_about a JOIN fact f ON f.id = a.fact \
                     WHERE a.subject = $1 AND a.kind = 'door.decided' ORDER BY a.fact DESC LIMIT $2"
                ),
                (card.subject(), DECISIONS),
            )
            .await?;
        Ok(latest.iter().filter_map(StoredFact::read::<DoorDecided>).any(|decided| is_it(&decided)))
    }

    /// Records some of what was decided and is not recorded yet. Answers how many; 0 when nothing waits.
    ///
    /// # Errors
    /// When the journal cannot be written: all of it waits on.
    pub async fn record(&self) -> Result<usize, StoreError> {
        let _turn = self.waiting.recording.lock().await;
        let some: Vec<DoorDecided> = self.queue().decided.iter().take(RECORDED_AT_ONCE).cloned().collect();
        if some.is_empty() {
            return Ok(0);
        }
        self.write(&some).await?;
        self.queue().decided.drain(..some.len());
        Ok(some.len())
    }

    async fn write(&self, some: &[DoorDecided]) -> Result<(), StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        for decided in some {
            tx.record(decided.fact());
        }
        tx.commit().await
    }

    /// Records how many decisions were lost that none after them has told of.
    async fn record_lost(&self) -> Result<(), StoreError> {
        let lost = std::mem::take(&mut self.queue().lost);
        if lost.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        for (door_system, count) in lost {
            let subject = Subject::new("door_system", &door_system);
            tx.record(Fact::new(subject, &DoorDecisionsLost { door_system, count }));
        }
        tx.commit().await
    }

    /// Records what is decided, until `stop` turns true and nothing waits any more.
    pub async fn record_until(self, mut stop: watch::Receiver<bool>) {
        let mut is_failing = false;
        loop {
            // A sender that is gone tells nobody to stop any more.
            let is_last = *stop.borrow() || stop.has_changed().is_err();
            let recorded = self.record().await;
            let failed_before = std::mem::replace(&mut is_failing, recorded.is_err());
            match recorded {
                Ok(0) if is_last => {
                    if let Err(error) = self.record_lost().await {
                        tracing::error!(%error, "how many decisions at doors were lost is not recorded");
                    }
                    return;
                }
                Ok(0) => tokio::select! {
                    () = self.waiting.news.notified() => {}
                    _ = stop.changed() => {}
                },
                Ok(_) => {}
                Err(error) if is_last => {
                    let lost = self.queue().unrecorded();
                    tracing::error!(%error, lost, "what was decided at doors last is not recorded");
                    return;
                }
                Err(error) => {
                    if !failed_before {
                        tracing::warn!(%error, "what was decided at doors cannot be recorded; it waits");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(RETRIED) => {}
                        _ = stop.changed() => {}
                    }
                }
            }
        }
    }
}

fn class_of(name: &str, class: i64) -> Result<ProtectionClass, StoreError> {
    ProtectionClass::try_from(class)
        .map_err(|error| StoreError::Inconsistent(format!("protection class of {name}: {error}")))
}

/// The organisation's own reader, and a card, which is one factor. Nobody scores the risk of a swipe.
fn circumstances(asked: &Asked, now: Timestamp, presence: Option<bool>) -> Circumstances {
    let offset = now.to_jiff().map_or(0, |at| asked.time_zone.to_offset(at).seconds());
    Circumstances {
        reached: Some(Assurance::Aal1),
        risk: Risk::None,
        risk_score: 0.0,
        network: Network::Internal,
        device_known: true,
        presence,
        time: LocalTime::at(now, offset),
    }
}

/// The same for one door system.
#[derive(Debug)]
struct AtDoorSystem {
    entrance: Entrance,
    name: String,
    /// Of its configuration.
    version: i64,
}

#[async_trait]
impl Decider for AtDoorSystem {
    async fn decide(&self, asked: &Asked) -> Verdict {
        self.entrance.decide(&self.name, self.version, asked).await
    }
}

impl DoorDecided {
    fn fact(&self) -> Fact {
        let fact = Fact::new(Subject::new("access_point", &self.access_point), self);
        let about = self.credential.map(CredentialId::subject).into_iter();
        let about = about.chain(self.user.map(UserId::subject));
        about.fold(fact, Fact::about)
    }
}
