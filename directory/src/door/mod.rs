//! Door systems, access points, areas and access profiles, as administrators want them, and which user is
//! entitled to what.

pub mod entitlement;

use kernel::Timestamp;
use kernel::id::{CredentialId, UserId};
use store::{Db, JsonText, StoreError, sql};

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

/// Which access points, for those who are entitled to it.
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
}

/// All door systems, by name.
pub async fn systems(db: &Db) -> Result<Vec<DoorSystem>, StoreError> {
    db.all(sql!("SELECT name, version, connector, config, secret_sealed FROM door_system ORDER BY name"), ())
        .await
}

/// All access points, by name.
pub async fn access_points(db: &Db) -> Result<Vec<AccessPoint>, StoreError> {
    db.all(sql!("SELECT name, version, door_system, area FROM access_point ORDER BY name"), ()).await
}

/// All areas, by name.
pub async fn areas(db: &Db) -> Result<Vec<Area>, StoreError> {
    db.all(sql!("SELECT name, version, title, protection_class FROM area ORDER BY name"), ()).await
}

/// All access profiles, by name.
pub async fn access_profiles(db: &Db) -> Result<Vec<AccessProfile>, StoreError> {
    db.all(sql!("SELECT name, version, title, project FROM access_profile ORDER BY name"), ()).await
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

/// Which access points of one door system each active credential shall open, for the credentials whose ids lie
/// after the first and up to the second: `(credential, access point)`. As [`wanted_points`] says it for one.
pub async fn wanted_points_between(
    db: &Db,
    system: &str,
    after: &str,
    up_to: CredentialId,
) -> Result<Vec<(CredentialId, String)>, StoreError> {
    db.all(
        sql!(
            "SELECT DISTINCT c.id, p.name FROM credential c \
             JOIN users u ON u.id = c.user_id AND u.active AND u.deleted_at IS NULL \
             JOIN entitlement e ON e.user_id = c.user_id \
             JOIN access_profile_point pp ON pp.access_profile = e.access_profile \
             JOIN access_point p ON p.name = pp.access_point AND p.door_system = $1 \
             WHERE c.state = 'active' AND c.id > $2 AND c.id <= $3"
        ),
        (system, after, up_to),
    )
    .await
}

/// The access points of one door system that a user is entitled to, by name, and since when.
///
/// Empty when the user is not active: the directory never says that somebody inactive may enter.
pub async fn wanted_points(
    db: &Db,
    user: UserId,
    system: &str,
) -> Result<Vec<(String, Timestamp)>, StoreError> {
    db.all(
        sql!(
            "SELECT p.name, MIN(e.since) FROM entitlement e \
             JOIN users u ON u.id = e.user_id AND u.active AND u.deleted_at IS NULL \
             JOIN access_profile_point pp ON pp.access_profile = e.access_profile \
             JOIN access_point p ON p.name = pp.access_point \
             WHERE e.user_id = $1 AND p.door_system = $2 GROUP BY p.name ORDER BY p.name"
        ),
        (user, system),
    )
    .await
}
