//! Who could still open what, until when, and why: what is not proven, what no list governs, and what nobody knows.
//!
//! What it is not: a receipt. It says how things are now, of everybody, and is signed by nobody.

use std::collections::BTreeMap;
use std::fmt;

use kernel::id::{CredentialId, UserId};
use kernel::{Subject, Timestamp};
use serde::Serialize;
use store::{Db, StoreError, sql};

use crate::alert;
use crate::condition;
use crate::connector::{Access, AccessPointAddress, AckLevel, Descriptor, STAYS_UNLOCKED, Want};
use crate::placement::ABSENT;
use crate::quarantine::{self, Quarantined};
use crate::task::standing::{Doors, Standing};
use crate::task::{self, Task};

/// What is exposed now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Exposures {
    /// Cards that must open nothing and are not proven to be off every list; those that wait longest first.
    pub cards: Vec<ExposedCard>,
    /// Doors that open for everybody.
    pub open_doors: Vec<Exposed>,
    /// Cards that stand on a list and are nobody's.
    pub orphans: Vec<Exposed>,
    /// Cards that are nobody's, and that somebody tolerates by name.
    pub tolerated: Vec<Quarantined>,
    /// Ways past every list, which cannot be asked for.
    pub bypasses: Vec<Bypass>,
}

impl Exposures {
    /// Nothing is exposed but by ways that cannot be asked for, and by cards that somebody answers for.
    #[must_use]
    pub fn is_none_known(&self) -> bool {
        self.cards.is_empty() && self.open_doors.is_empty() && self.orphans.is_empty()
    }
}

/// A card that could still open what it must not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExposedCard {
    /// Which credential.
    pub credential: CredentialId,
    /// As its format names it.
    pub card: String,
    /// Whose.
    pub user: UserId,
    /// What that person signs in with.
    pub user_name: String,
    /// Where.
    pub door_system: String,
    /// At which of its access points it is not proven; empty when none is known.
    pub access_points: Vec<String>,
    /// Those of them that it opens on a schedule only, as far as is known: which.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<String, String>,
    /// Since when it must not (RFC 3339).
    pub since: String,
    /// Until when it could, in words.
    pub until: String,
    /// Why, in words.
    pub because: String,
    /// What somebody was asked to do about it, and has done or accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// Something that is open, or stands on a list, and should not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exposed {
    /// What it is about: `kind:id`.
    pub subject: String,
    /// Since when that is known (RFC 3339).
    pub since: String,
}

/// A way past every list of a door system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bypass {
    /// Where.
    pub door_system: String,
    /// What.
    pub what: &'static str,
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    standing: Standing,
    attempts: i64,
    requested_at: Timestamp,
    updated_at: Timestamp,
    /// A sweep found it to be otherwise, and it is not proven since.
    is_in_doubt: bool,
    /// Since when something that takes away waits for this door system, or a time is over of which nobody told it.
    waits_since: Option<Timestamp>,
}

/// Looks at everything.
pub async fn report(db: &Db) -> Result<Exposures, StoreError> {
    // Of a door system that is gone nothing is known but what was proven before it went.
    let rows: Vec<Row> = db
        .all(
            sql!(
                "SELECT p.door_system, p.credential_id, c.user_id, u.user_name, c.format, c.facility, \
                 c.number, c.version AS credential_version, p.wanted, p.rights, p.points, p.attempts, \
                 p.requested_at, c.updated_at, p.ack < 2 AND EXISTS \
                 (SELECT 1 FROM fact f WHERE f.id = p.cause AND f.kind = 'door.deviation-found') AS is_in_doubt, \
                 p.credential_version = c.version AS is_current, c.state = 'active' AND u.active AS is_in_order, \
                 COALESCE(d.created_at, w.at) AS waits_since \
                 FROM placement p JOIN credential c ON c.id = p.credential_id JOIN users u ON u.id = c.user_id \
                 LEFT JOIN door_system s ON s.name = p.door_system \
                 LEFT JOIN delivery d ON d.sink = 'door:' || p.door_system AND d.subject = 'credential:' || c.id \
                 AND d.reconcile AND d.priority > 0 AND d.due_at IS NOT NULL \
                 LEFT JOIN placement_due w ON w.door_system = p.door_system AND w.credential_id = p.credential_id \
                 AND w.takes_away AND w.at <= $1 \
                 WHERE (s.name IS NOT NULL OR p.ack < 2 OR p.wanted = 'present') AND (p.ack < 2 \
                 OR d.created_at IS NOT NULL OR w.at IS NOT NULL OR c.state <> 'active' OR NOT u.active) \
                 ORDER BY p.requested_at, p.door_system, p.credential_id"
            ),
            (db.ctx().now(),),
        )
        .await?;
    let doors = Doors::read(db).await?;
    let schedules = directory::door::time_profiles(db).await?;
    // Alerts of what is not configured any more say nothing of what can be opened.
    let is_a_point = |id: &str| doors.has(id);
    let is_at_a_system = |id: &str| doors.systems().keys().any(|name| condition::is_at(id, name));
    let bypasses = doors.systems().iter().flat_map(|(name, descriptor)| {
        descriptor.bypasses.iter().map(|what| Bypass { door_system: name.clone(), what })
    });
    let mut cards = Vec::new();
    for row in rows {
        let unproven = row.unproven(db, &doors).await?;
        let until = at_worst(doors.descriptor(&row.standing.door_system));
        cards.extend(unproven.map(|unproven| row.exposed(unproven, &schedules, until)));
    }
    name_tasks(db, &mut cards).await?;
    Ok(Exposures {
        cards,
        open_doors: exposed(alert::open_of_kind(db, STAYS_UNLOCKED).await?, &is_a_point),
        orphans: exposed(alert::open_of_kind(db, alert::ORPHAN).await?, &is_at_a_system),
        tolerated: quarantine::tolerated(db).await?,
        bypasses: bypasses.collect(),
    })
}

async fn name_tasks(db: &Db, cards: &mut [ExposedCard]) -> Result<(), StoreError> {
    let tasks = task::list(db, false, i64::MAX).await?.into_iter();
    let mut tasks: BTreeMap<(CredentialId, String), Task> =
        tasks.map(|task| ((task.credential, task.door_system.clone()), task)).collect();
    for card in cards {
        card.task = tasks.remove(&(card.credential, card.door_system.clone()));
    }
    Ok(())
}

fn exposed(found: Vec<alert::Alert>, is_there: &dyn Fn(&str) -> bool) -> Vec<Exposed> {
    let id = |alert: &alert::Alert| alert.subject.split_once(':').map(|(_, id)| id.to_owned());
    let there = found.into_iter().filter(|alert| id(alert).is_some_and(|id| is_there(&id)));
    there.map(|alert| Exposed { subject: alert.subject, since: alert.opened_at.to_string() }).collect()
}

/// Until when a card may open what it must not, in words.
pub(crate) fn at_worst(descriptor: Option<&Descriptor>) -> String {
    match descriptor {
        Some(descriptor) => descriptor.worst_case.to_string(),
        None => "nobody knows: this door system is not configured any more".into(),
    }
}

impl Row {
    fn is_wanted_absent(&self) -> bool {
        self.standing.wanted.as_deref() == Some(ABSENT)
    }

    fn must_be_off(&self) -> bool {
        !self.standing.is_in_order || self.is_wanted_absent()
    }

    /// What was proven for an older state of the credential, or before something else was asked for, is proven for what
    /// is asked now only where absence was.
    fn proves_absence(&self) -> bool {
        self.is_wanted_absent() && self.waits_since.is_none() && self.standing.is_current == Some(true)
    }

    /// Where it could open what it must not; nowhere by name when nobody knows where. `None` when it could not.
    async fn unproven(&self, db: &Db, doors: &Doors) -> Result<Option<Vec<String>>, StoreError> {
        if self.waits_since.is_some() && !self.must_be_off() {
            // Somebody may carry it, and it is to lose something: all else opens as it should.
            let open = self.standing.still_opens(db, doors).await?;
            let mut open: Vec<String> = open.into_iter().map(|door| door.access_point).collect();
            if open.is_empty() && self.is_in_doubt {
                // What was found there beyond any wish names no door: it may be each of them that was not read since.
                let points = self.standing.points().into_iter();
                let unread = points.filter(|(_, proof)| proof.level() < AckLevel::ReadBack);
                open = unread.map(|(point, _)| point.0).collect();
            }
            return Ok((!open.is_empty()).then_some(open));
        }
        let (points, wanted, proves_absence) = (self.standing.points(), self.wanted(), self.proves_absence());
        let is_exposed = |point: &AccessPointAddress, level: AckLevel| match self.must_be_off() {
            true => !(proves_absence && level >= AckLevel::ReadBack),
            // A right that is wanted no more stands among the points until it is read back as gone.
            false => !wanted.contains_key(point) && level < AckLevel::ReadBack,
        };
        let unproven: Vec<String> = points
            .iter()
            .filter(|(point, proof)| is_exposed(point, proof.level()))
            .map(|(point, _)| point.0.clone())
            .collect();
        let is_none = unproven.is_empty() && (!self.must_be_off() || proves_absence && !points.is_empty());
        Ok((!is_none).then_some(unproven))
    }

    /// What the door system was told last to open.
    fn wanted(&self) -> BTreeMap<AccessPointAddress, Access> {
        let rights = self.standing.rights.as_deref().filter(|_| !self.is_wanted_absent());
        match rights.map(serde_json::from_str) {
            Some(Ok(Want::Present(rights))) => rights.access,
            _ => BTreeMap::new(),
        }
    }

    /// `unproven`: where; `schedules`: as [`directory::door::time_profiles`] tells; `until`: until when, at worst.
    fn exposed(
        self,
        unproven: Vec<String>,
        schedules: &[(String, String, i64)],
        until: String,
    ) -> ExposedCard {
        let (points, wanted) = (self.standing.points(), self.wanted());
        let on_schedule = |point: &String| {
            let point = AccessPointAddress(point.clone());
            // Before that was read it may open at all hours still.
            points.get(&point).filter(|proof| proof.level() >= AckLevel::ReadBack)?;
            let Access::TimeProfile(number) = wanted.get(&point)? else {
                return None;
            };
            let is_it = |(system, _, profile): &&(String, String, i64)| {
                *system == self.standing.door_system && *profile == i64::from(*number)
            };
            let named = schedules.iter().find(is_it).map(|(_, schedule, _)| schedule.clone());
            Some((point.0, named.unwrap_or_else(|| format!("time profile {number}"))))
        };
        let on_schedules = unproven.iter().filter_map(on_schedule).collect();
        let is_tried = self.proves_absence() || self.waits_since.is_none() && !self.must_be_off();
        let because = match is_tried {
            true => format!("it is not proven to be off the list after {} attempt(s)", self.attempts),
            false => "the door system has not done yet what it was told, or was not told".into(),
        };
        let since = match (self.waits_since, self.standing.is_current) {
            (Some(since), _) => since,
            (None, Some(true)) => self.requested_at,
            (None, _) => self.updated_at,
        };
        ExposedCard {
            credential: self.standing.credential_id,
            card: self.standing.card(),
            user: self.standing.user_id,
            user_name: self.standing.user_name,
            door_system: self.standing.door_system,
            access_points: unproven,
            schedules: on_schedules,
            since: since.to_string(),
            until,
            because,
            task: None,
        }
    }
}

impl fmt::Display for ExposedCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, user_name, door_system, since, until, because, .. } = self;
        let at = match self.access_points.is_empty() {
            true => door_system.clone(),
            false => {
                let named = self.access_points.iter().map(|point| match self.schedules.get(point) {
                    Some(schedule) => format!("{point} on schedule {schedule}"),
                    None => point.clone(),
                });
                format!("{} ({door_system})", named.collect::<Vec<_>>().join(", "))
            }
        };
        write!(f, "{card} of {user_name} at {at}: must not since {since}, {because}; at worst {until}")?;
        match &self.task {
            Some(task) => write!(f, "; task {}: {}", task.id, task.what()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.subject.parse::<Subject>().map_or_else(|_| self.subject.clone(), |subject| subject.id);
        write!(f, "{id}: known since {}", self.since)
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: opens past every list, and cannot be asked for", self.what, self.door_system)
    }
}
