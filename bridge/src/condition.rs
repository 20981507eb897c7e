//! How door systems are, as alerts: what weakens the promise of a list is told when it is found, and closed when it
//! is gone.
//!
//! A door that is set to stay unlocked opens for everybody, whatever was revoked and proven. So its alert is about
//! the access point, and receipts name it ([`crate::receipt`]). They name as well a device that does not decide as it
//! should.
//!
//! What it is not: it says nothing about parts that do not answer. Who waits for them is told by
//! [`crate::alert::watch_revocations`], and whose events nobody reads by [`crate::feed`].

use std::collections::BTreeSet;

use directory::door;
use kernel::Subject;
use store::{Db, StoreError, sql};

use crate::alert;
use crate::connector::{
    AccessPointAddress, Finding, Health, SET_OTHERWISE_TOLD, STAYS_UNLOCKED, UnitHealth, WAS_SET_OTHERWISE,
};

/// Opens an alert for each finding that is new, and closes those of parts that answered and do not show it any more,
/// and of parts that are gone. That a device was set otherwise is known to the process that it asks and to no other, so
/// its alert is closed when its time is over, whoever looks.
/// Answers how many findings there are.
pub async fn tell(db: &Db, door_system: &str, health: &Health) -> Result<usize, StoreError> {
    let mut found = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for unit in health.units.iter().filter(|unit| unit.unreachable.is_none()) {
        asked.extend(subjects(door_system, unit));
        for finding in unit.findings.iter().filter(|finding| !finding.is_harmless()) {
            let subject = subject(door_system, unit, finding);
            let detail = format!("{door_system}, {}: {finding}", unit.unit);
            alert::open(db, finding.code(), &subject, &detail).await?;
            found.insert((finding.code(), subject.to_string()));
        }
    }
    let told_since = db.ctx().now().minus(SET_OTHERWISE_TOLD);
    for code in Finding::CODES {
        for open in alert::open_of_kind(db, code).await? {
            let is_told = code == WAS_SET_OTHERWISE && open.opened_at > told_since;
            let is_looked_at =
                asked.contains(&open.subject) && !is_told || is_of_nobody(&open.subject, door_system, health);
            let is_over = is_looked_at && !found.contains(&(code, open.subject.clone()));
            if let (true, Ok(subject)) = (is_over, open.subject.parse()) {
                alert::close(db, code, &subject).await?;
            }
        }
    }
    Ok(found.len())
}

/// Whether it is about a part that the door system does not have any more.
fn is_of_nobody(subject: &str, door_system: &str, health: &Health) -> bool {
    let unit =
        subject.strip_prefix("door_unit:").and_then(|id| id.strip_prefix(door_system)?.strip_prefix('/'));
    unit.is_some_and(|unit| health.units.iter().all(|known| known.unit != unit))
}

/// Closes whatever is told of door systems and access points that are not configured any more: nobody looks there, so
/// nobody would ever find it to be over. `known` are access points that a connector names, declared or not.
pub(crate) async fn forget_gone(db: &Db, known: &BTreeSet<AccessPointAddress>) -> Result<(), StoreError> {
    // Before what is configured: of what comes in between nothing was told yet.
    let mut told = Vec::new();
    let of_cards = [alert::ORPHAN, alert::QUARANTINED, alert::TOO_MANY_UNKNOWN, alert::CANNOT_HOLD];
    for kind in of_cards.into_iter().chain([alert::EVENTS_UNREAD]).chain(Finding::CODES) {
        told.extend(alert::open_of_kind(db, kind).await?.into_iter().map(|open| (kind, open.subject)));
    }
    if told.is_empty() {
        return Ok(());
    }
    let systems: Vec<String> = door::systems(db).await?.into_iter().map(|system| system.name).collect();
    let points: Vec<(String,)> = db.all(sql!("SELECT name FROM access_point"), ()).await?;
    let is_a_point = |id: &str| {
        points.iter().any(|(name,)| name == id) || known.contains(&AccessPointAddress(id.to_owned()))
    };
    let is_at_a_system = |id: &str| systems.iter().any(|name| is_at(id, name));
    for (kind, subject) in told {
        let Ok(subject) = subject.parse::<Subject>() else { continue };
        let is_gone = match subject.kind.as_str() {
            "access_point" => !is_a_point(&subject.id),
            "door_system" => !systems.contains(&subject.id),
            "door_unit" | "card" | "placement" => !is_at_a_system(&subject.id),
            _ => false,
        };
        if is_gone {
            alert::close(db, kind, &subject).await?;
        }
    }
    Ok(())
}

/// Whether this is the id of something at that door system: of a device, a card or a placement, which begin with its
/// name.
pub(crate) fn is_at(id: &str, door_system: &str) -> bool {
    id.strip_prefix(door_system).is_some_and(|rest| rest.starts_with('/'))
}

/// The access points that are known to open for everybody.
pub async fn unlocked(db: &Db) -> Result<BTreeSet<String>, StoreError> {
    let open = alert::open_of_kind(db, STAYS_UNLOCKED).await?;
    let points = open.iter().filter_map(|open| open.subject.strip_prefix("access_point:"));
    Ok(points.map(str::to_owned).collect())
}

/// Where it is known that a device does not decide as it should: which of [`Finding::DECIDING`], and what it is about,
/// a `door_unit` or an `access_point`.
pub async fn deciding_otherwise(db: &Db) -> Result<Vec<(&'static str, String)>, StoreError> {
    let mut found = Vec::new();
    for code in Finding::DECIDING {
        let open = alert::open_of_kind(db, code).await?;
        found.extend(open.into_iter().map(|open| (code, open.subject)));
    }
    Ok(found)
}

fn subject(door_system: &str, unit: &UnitHealth, finding: &Finding) -> Subject {
    match finding.access_point() {
        Some(point) => Subject::new("access_point", point),
        None => Subject::new("door_unit", format!("{door_system}/{}", unit.unit)),
    }
}

/// All that a unit's findings can be about.
fn subjects(door_system: &str, unit: &UnitHealth) -> impl Iterator<Item = String> {
    let points = unit.access_points.iter().map(|point| Subject::new("access_point", point).to_string());
    let itself = Subject::new("door_unit", format!("{door_system}/{}", unit.unit)).to_string();
    points.chain([itself])
}
