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
/// versions together, and the times at which they were written together: another in the place of one changes only the
/// last, and not the latest of them where a clock was set back.
pub async fn generation(db: &Db) -> Result<(i64, i64, i64), StoreError> {
    db.one(
        sql!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(version), 0) AS BIGINT), \
             CAST(COALESCE(SUM(updated_at), 0) AS BIGINT) FROM policy"
        ),
        (),
    )
    .await
}
