//! Door systems, access points, areas, schedules and access profiles, as administrators want them, and which user is
//! entitled to what.

pub mod entitlement;

use std::fmt;
use std::str::FromStr;

use kernel::id::{CredentialId, UserId};
use kernel::{Day, UnknownWord};
use serde::Deserialize;
use store::{Db, JsonText, StoreError, sql};

/// What becomes of cards that stand on a door system's list and are nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownCards {
    /// They are reported, and stay: for a house whose cards were there before us.
    #[default]
    Report,
    /// They are taken off, and kept in mind.
    Quarantine,
}

impl UnknownCards {
    /// As declared and stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            UnknownCards::Report => "report",
            UnknownCards::Quarantine => "quarantine",
        }
    }

    /// As it is written down: what goes without saying is not.
    #[must_use]
    pub fn said(self) -> Option<&'static str> {
        (self != UnknownCards::default()).then_some(self.as_str())
    }
}

impl fmt::Display for UnknownCards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for UnknownCards {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [UnknownCards::Report, UnknownCards::Quarantine]
            .into_iter()
            .find(|known| known.as_str() == word)
            .ok_or_else(|| UnknownWord { word: word.into(), allowed: "report, quarantine" })
    }
}

/// A vendor's system that we drive.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct DoorSystem {
    /// Its name, as the administrator gave it.
    pub name: String,
    /// Raised by one at each change.
    pub version: i64,
    /// Which connector speaks to it, e.g. `uhppote`.
    pub connector: String,
    /// The connector's own settings.
    pub config: JsonText<serde_json::Value>,
    /// Its secret, sealed in place (`door_system`, `secret_sealed`, name).
    pub secret_sealed: Option<String>,
    /// `report` or `quarantine` ([`UnknownCards`]).
    pub unknown_cards: String,
}

impl DoorSystem {
    /// What becomes of cards on its list that are nobody's. By a word that cannot be read nothing is taken off.
    #[must_use]
    pub fn unknown_cards(&self) -> UnknownCards {
        self.unknown_cards.parse().unwrap_or_default()
    }
}

/// Where a credential is shown.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct AccessPoint {
    /// Its name.
    pub name: String,
    /// Raised by one at each change.
    pub version: i64,
    /// The door system that decides there.
    pub door_system: String,
    /// What is behind it.
    pub area: String,
    /// What lies before it, where somebody said so: whoever is let *out* here goes there.
    pub area_from: Option<String>,
}

/// What is behind doors.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Area {
    /// Its name.
    pub name: String,
    /// Raised by one at each change.
    pub version: i64,
    /// How to show it.
    pub title: String,
    /// -1 to 5.
    pub protection_class: i64,
}

/// Hours by a name that all door systems share. Which hours they are is set at the door systems themselves, under a
/// number of their own ([`time_profiles`]).
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Raised by one at each change.
    pub version: i64,
    /// How to show it.
    pub title: String,
}

/// Which access points, on which schedule, for those who are entitled to it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct AccessProfile {
    /// Its name.
    pub name: String,
    /// Raised by one at each change.
    pub version: i64,
    /// How to show it.
    pub title: String,
    /// The undertaking it belongs to.
    pub project: Option<String>,
    /// The first day on which it opens, in the local time of each door.
    pub valid_from: Option<Day>,
    /// The last day on which it opens, in the local time of each door.
    pub valid_until: Option<Day>,
}

/// One reason why somebody may pass an access point: an access profile that opens it, on a schedule, for a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct WantedPoint {
    /// The access point.
    pub access_point: String,
    /// In which hours; `None` is always.
    pub schedule: Option<String>,
    /// The first day, in the local time of the door; `None` is no limit.
    pub valid_from: Option<Day>,
    /// The last day, in the local time of the door; `None` is no limit.
    pub valid_until: Option<Day>,
}

/// All door systems, by name.
pub async fn systems(db: &Db) -> Result<Vec<DoorSystem>, StoreError> {
    db.all(
        sql!(
            "SELECT name, version, connector, config, secret_sealed, unknown_cards FROM door_system ORDER BY name"
        ),
        (),
    )
    .await
}

/// One door system.
pub async fn system(db: &Db, name: &str) -> Result<Option<DoorSystem>, StoreError> {
    db.opt(
        sql!(
            "SELECT name, version, connector, config, secret_sealed, unknown_cards FROM door_system WHERE name = $1"
        ),
        (name,),
    )
    .await
}

/// All schedules, by name.
pub async fn schedules(db: &Db) -> Result<Vec<Schedule>, StoreError> {
    db.all(sql!("SELECT name, version, title FROM schedule ORDER BY name"), ()).await
}

/// Which of its own time profiles each schedule is at each door system: `(door system, schedule, time profile)`.
pub async fn time_profiles(db: &Db) -> Result<Vec<(String, String, i64)>, StoreError> {
    db.all(
        sql!(
            "SELECT door_system, schedule, time_profile FROM door_system_schedule ORDER BY door_system, schedule"
        ),
        (),
    )
    .await
}

/// The same of one door system: `(schedule, time profile)`.
pub async fn time_profiles_of(db: &Db, system: &str) -> Result<Vec<(String, i64)>, StoreError> {
    db.all(
        sql!(
            "SELECT schedule, time_profile FROM door_system_schedule WHERE door_system = $1 ORDER BY schedule"
        ),
        (system,),
    )
    .await
}

/// All access points, by name.
pub async fn access_points(db: &Db) -> Result<Vec<AccessPoint>, StoreError> {
    db.all(sql!("SELECT name, version, door_system, area, area_from FROM access_point ORDER BY name"), ())
        .await
}

/// All areas, by name.
pub async fn areas(db: &Db) -> Result<Vec<Area>, StoreError> {
    db.all(sql!("SELECT name, version, title, protection_class FROM area ORDER BY name"), ()).await
}

/// All access profiles, by name.
pub async fn access_profiles(db: &Db) -> Result<Vec<AccessProfile>, StoreError> {
    db.all(
        sql!(
            "SELECT name, version, title, project, valid_from, valid_until FROM access_profile ORDER BY name"
        ),
        (),
    )
    .await
}

/// The access points that a profile opens on a schedule only: `(profile, access point, schedule)`.
pub async fn scheduled_points(db: &Db) -> Result<Vec<(String, String, String)>, StoreError> {
    db.all(
        sql!(
            "SELECT access_profile, access_point, schedule FROM access_profile_point WHERE schedule IS NOT NULL \
             ORDER BY access_profile, access_point"
        ),
        (),
    )
    .await
}

/// Which access points belong to which profile: `(profile, access point, area, protection class)`.
pub async fn profile_points(db: &Db) -> Result<Vec<(String, String, String, i64)>, StoreError> {
    db.all(
        sql!(
            "SELECT pp.access_profile, pp.access_point, p.area, a.protection_class FROM access_profile_point pp \
             JOIN access_point p ON p.name = pp.access_point JOIN area a ON a.name = p.area \
             ORDER BY pp.access_profile, pp.access_point"
        ),
        (),
    )
    .await
}

/// Why each active credential shall open which access points of one door system, for the credentials whose ids lie
/// after the first and up to the second. As [`wanted_points`] says it for one; how long the credentials themselves are
/// valid is not looked at.
pub async fn wanted_points_between(
    db: &Db,
    system: &str,
    after: &str,
    up_to: CredentialId,
) -> Result<Vec<(CredentialId, WantedPoint)>, StoreError> {
    type Row = (CredentialId, String, Option<String>, Option<Day>, Option<Day>);
    let rows: Vec<Row> = db
        .all(
            sql!(
                "SELECT DISTINCT c.id, p.name, pp.schedule, f.valid_from, f.valid_until FROM credential c \
                 JOIN users u ON u.id = c.user_id AND u.active AND u.deleted_at IS NULL \
                 JOIN entitlement e ON e.user_id = c.user_id \
                 JOIN access_profile f ON f.name = e.access_profile \
                 JOIN access_profile_point pp ON pp.access_profile = e.access_profile \
                 JOIN access_point p ON p.name = pp.access_point AND p.door_system = $1 \
                 WHERE c.state = 'active' AND c.id > $2 AND c.id <= $3"
            ),
            (system, after, up_to),
        )
        .await?;
    let wanted = rows.into_iter().map(|(credential, access_point, schedule, valid_from, valid_until)| {
        (credential, WantedPoint { access_point, schedule, valid_from, valid_until })
    });
    Ok(wanted.collect())
}

/// Why a user may pass which access points of one door system: one for each access profile that opens it. Whether its
/// days have come, or are over, is for those to say who know the local time of the door.
///
/// Empty when the user is not active: the directory never says that somebody inactive may enter.
pub async fn wanted_points(db: &Db, user: UserId, system: &str) -> Result<Vec<WantedPoint>, StoreError> {
    db.all(
        sql!(
            "SELECT p.name AS access_point, pp.schedule, f.valid_from, f.valid_until FROM entitlement e \
             JOIN users u ON u.id = e.user_id AND u.active AND u.deleted_at IS NULL \
             JOIN access_profile f ON f.name = e.access_profile \
             JOIN access_profile_point pp ON pp.access_profile = e.access_profile \
             JOIN access_point p ON p.name = pp.access_point \
             WHERE e.user_id = $1 AND p.door_system = $2 ORDER BY p.name, e.access_profile"
        ),
        (user, system),
    )
    .await
}
