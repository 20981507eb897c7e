//! Which applications are told that a sign-in has ended.
//!
//! Every client with a grant in what ends stands in the fact, and each that has a place for logout tokens is sent
//! one: a message, since every end must be told, in the order in which they happened to it.
//!
//! They are looked for before the end, inside its transaction. What is granted meanwhile is dead before its code
//! can be redeemed: its client has nothing to end.

use kernel::Subject;
use kernel::id::{SessionId, UserId};
use store::{Address, Db, Fact, StoreError, Tx, sql};

/// The sink that sends logout tokens, a client's in order.
pub const LOGOUT_SINK: &str = "logout";

/// A client with a grant in what ends.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct Told {
    client_id: String,
    listens: bool,
}

/// Those of a session.
pub(crate) async fn of_session(tx: &mut Tx, session: SessionId) -> Result<Vec<Told>, StoreError> {
    tx.all(
        sql!(
            "SELECT id AS client_id, backchannel_logout_uri IS NOT NULL AS listens FROM client WHERE id IN \
             (SELECT client_id FROM oauth_grant WHERE session_id = $1) ORDER BY id"
        ),
        (session,),
    )
    .await
}

/// Those of a user's sessions, also of ones that have run out and are not swept yet: an application's own session
/// may last longer than ours. So it may outlive the grant: whoever gave its tokens back is told as well.
pub(crate) async fn of_user(tx: &mut Tx, user: UserId) -> Result<Vec<Told>, StoreError> {
    tx.all(
        sql!(
            "SELECT id AS client_id, backchannel_logout_uri IS NOT NULL AS listens FROM client WHERE id IN \
             (SELECT client_id FROM oauth_grant WHERE session_id IN \
             (SELECT id FROM session WHERE user_id = $1 AND ended_at IS NULL)) ORDER BY id"
        ),
        (user,),
    )
    .await
}

/// The sessions of a user in which this client was granted something and which have ended: what it is told of an
/// account's end, when it knows sessions only.
pub async fn ended_of(db: &Db, user: UserId, client: &str) -> Result<Vec<SessionId>, StoreError> {
    let rows: Vec<(SessionId,)> = db
        .all(
            sql!(
                "SELECT DISTINCT s.id FROM oauth_grant g JOIN session s ON s.id = g.session_id \
                 WHERE g.client_id = $2 AND g.user_id = $1 AND (s.ended_at IS NOT NULL OR s.expires_at <= $3) \
                 ORDER BY s.id"
            ),
            (user, client, db.ctx().now()),
        )
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Makes the fact about them, and has those told who listen.
pub(crate) fn tell(fact: Fact, told: &[Told]) -> Fact {
    told.iter().fold(fact, |fact, told| {
        let client = Subject::new("client", &told.client_id);
        let fact = fact.about(client.clone());
        if told.listens { fact.to(Address::message(LOGOUT_SINK, client).revoking(true)) } else { fact }
    })
}
