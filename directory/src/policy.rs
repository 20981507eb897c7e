//! Policy texts as administrators wrote them. The crate `policy` reads and decides; this only keeps them.

use store::{Db, StoreError, sql};

/// A policy text.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct PolicyText {
    /// Its name.
    pub name: String,
    /// Raised by one at each change.
    pub version: i64,
    /// Cedar policies.
    pub text: String,
}

/// All texts, by name.
pub async fn all(db: &Db) -> Result<Vec<PolicyText>, StoreError> {
    db.all(sql!("SELECT name, version, text FROM policy ORDER BY name"), ()).await
}

/// What differs whenever a text did: to see whether what was loaded is still current. How many there are, their
/// versions together, and when the latest was written: another in the place of one changes only the last.
pub async fn generation(db: &Db) -> Result<(i64, i64, i64), StoreError> {
    db.one(
        sql!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(version), 0) AS BIGINT), COALESCE(MAX(updated_at), 0) FROM policy"
        ),
        (),
    )
    .await
}
