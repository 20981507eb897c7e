//! Who could still open what, until when, and why: what is not proven, what no list governs, and what nobody knows.
//!
//! What it is not: a receipt. It says how things are now, of everybody, and is signed by nobody.

use std::fmt;

use kernel::id::{CredentialId, UserId};
use kernel::{Subject, Timestamp};
use serde::Serialize;
use store::{Db, StoreError, sql};

use crate::alert;
use crate::connector::{AckLevel, CONNECTORS, Descriptor, STAYS_UNLOCKED};
use crate::placement::{ABSENT, Points, card};

/// What is exposed now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Exposures {
    /// Cards that must open nothing and are not proven to be off every list; those that wait longest first.
    pub cards: Vec<ExposedCard>,
    /// Doors that open for everybody.
    pub open_doors: Vec<Exposed>,
    /// Cards that stand on a list and are nobody's.
    pub orphans: Vec<Exposed>,
    /// Ways past every list, which cannot be asked for.
    pub bypasses: Vec<Bypass>,
}

impl Exposures {
    /// Nothing is exposed but by ways that cannot be asked for.
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
    /// Since when it must not (RFC 3339).
    pub since: String,
    /// Until when it could, in words.
    pub until: String,
    /// Why, in words.
    pub because: String,
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
    door_system: String,
    connector: Option<String>,
    credential_id: CredentialId,
    user_id: UserId,
    user_name: String,
    format: String,
    facility: i64,
    number: i64,
    wanted: String,
    points: String,
    attempts: i64,
    requested_at: Timestamp,
}

/// Looks at everything.
pub async fn report(db: &Db) -> Result<Exposures, StoreError> {
    let rows: Vec<Row> = db
        .all(
            sql!(
                "SELECT p.door_system, s.connector, p.credential_id, c.user_id, u.user_name, c.format, c.facility, \
                 c.number, p.wanted, p.points, p.attempts, p.requested_at \
                 FROM placement p JOIN credential c ON c.id = p.credential_id JOIN users u ON u.id = c.user_id \
                 LEFT JOIN door_system s ON s.name = p.door_system \
                 WHERE (p.wanted = 'absent' AND p.ack < 2) \
                 OR ((p.wanted = 'present' OR p.credential_version < c.version) AND (c.state <> 'active' OR NOT u.active)) \
                 ORDER BY p.requested_at, p.door_system, p.credential_id"
            ),
            (),
        )
        .await?;
    let exposed = |found: Vec<alert::Alert>| -> Vec<Exposed> {
        let exposed =
            |alert: alert::Alert| Exposed { subject: alert.subject, since: alert.opened_at.to_string() };
        found.into_iter().map(exposed).collect()
    };
    let systems: Vec<(String, String)> =
        db.all(sql!("SELECT name, connector FROM door_system ORDER BY name"), ()).await?;
    let bypasses = systems.iter().flat_map(|(name, connector)| {
        let ways = described(connector).map_or(&[][..], |descriptor| descriptor.bypasses);
        ways.iter().map(|what| Bypass { door_system: name.clone(), what })
    });
    Ok(Exposures {
        cards: rows.into_iter().map(ExposedCard::from).collect(),
        open_doors: exposed(alert::open_of_kind(db, STAYS_UNLOCKED).await?),
        orphans: exposed(alert::open_of_kind(db, alert::ORPHAN).await?),
        bypasses: bypasses.collect(),
    })
}

fn described(connector: &str) -> Option<Descriptor> {
    CONNECTORS.iter().find(|kind| kind.name == connector).map(|kind| (kind.describe)())
}

impl From<Row> for ExposedCard {
    fn from(row: Row) -> Self {
        let descriptor = row.connector.as_deref().and_then(described);
        let points: Points = serde_json::from_str(&row.points).unwrap_or_default();
        let unproven = points
            .into_iter()
            .filter(|(_, proof)| row.wanted != ABSENT || proof.level() < AckLevel::ReadBack)
            .map(|(point, _)| point.0);
        let until = match &descriptor {
            Some(descriptor) => descriptor.worst_case.to_string(),
            None => "nobody knows: this door system is not configured any more".into(),
        };
        let because = match (row.wanted.as_str(), row.attempts) {
            (ABSENT, attempts) => format!("it is not proven to be off the list after {attempts} attempt(s)"),
            _ => "the door system has not been told yet".into(),
        };
        let written = card(&row.format, row.facility, row.number);
        Self {
            credential: row.credential_id,
            card: written.map_or_else(|_| format!("{} {}", row.format, row.number), |card| card.to_string()),
            user: row.user_id,
            user_name: row.user_name,
            door_system: row.door_system,
            access_points: unproven.collect(),
            since: row.requested_at.to_string(),
            until,
            because,
        }
    }
}

impl fmt::Display for ExposedCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, user_name, door_system, since, until, because, .. } = self;
        let at = match self.access_points.is_empty() {
            true => door_system.clone(),
            false => format!("{} ({door_system})", self.access_points.join(", ")),
        };
        write!(f, "{card} of {user_name} at {at}: must not since {since}, {because}; at worst {until}")
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
