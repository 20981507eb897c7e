//! To which applications a person is signed in: the living grants, by client.

use kernel::Timestamp;
use kernel::id::UserId;
use store::{Db, StoreError, sql};

/// An application with living grants of one person.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct App {
    /// The client's id.
    pub client_id: String,
    /// Its name.
    pub name: String,
    /// How many grants live.
    pub grants: i64,
    /// When the last of them was given.
    pub last_at: Timestamp,
}

/// The applications that a user is signed in to, by name.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<App>, StoreError> {
    db.all(
        sql!(
            "SELECT g.client_id, c.name, COUNT(*) AS grants, MAX(g.created_at) AS last_at FROM oauth_grant g \
             JOIN client c ON c.id = g.client_id JOIN session s ON s.id = g.session_id \
             JOIN users u ON u.id = g.user_id WHERE g.user_id = $1 AND g.ended_at IS NULL AND g.expires_at > $2 \
             AND s.ended_at IS NULL AND s.expires_at > $2 AND u.access_epoch = s.access_epoch AND u.active \
             GROUP BY g.client_id, c.name ORDER BY c.name, g.client_id"
        ),
        (user, db.ctx().now()),
    )
    .await
}
