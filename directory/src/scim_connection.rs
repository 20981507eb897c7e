//! HR systems that may write here, each with a bearer token.

use kernel::TokenHash;
use kernel::id::ScimConnectionId;
use store::{Db, StoreError, sql};

/// A SCIM client.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct ScimConnection {
    /// Its id: the actor of what it writes.
    pub id: ScimConnectionId,
    /// Raised by one at each change.
    pub version: i64,
    /// What the administrator calls it.
    pub name: String,
}

/// The connection that this bearer token belongs to.
pub async fn by_token(db: &Db, presented: &str) -> Result<Option<ScimConnection>, StoreError> {
    db.opt(
        sql!("SELECT id, version, name FROM scim_connection WHERE token_hash = $1"),
        (TokenHash::of(presented).as_str(),),
    )
    .await
}

/// All connections, by name: `(name, version, token hash)`.
pub(crate) async fn declared(db: &Db) -> Result<Vec<(String, i64, String)>, StoreError> {
    db.all(sql!("SELECT name, version, token_hash FROM scim_connection ORDER BY name"), ()).await
}
