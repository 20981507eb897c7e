//! What is over goes: grants with their codes, sessions, invitations.
//!
//! It records no fact. Nothing that lives is touched, so nobody can do less afterwards; and what happened to each
//! row, its making and its end, stands in the journal already.
//!
//! A code goes with its grant and not before: while a token of the grant could live, presenting the code again
//! must be noticed (RFC 6749, section 4.1.2). Each batch is a transaction of its own, so nobody waits for long.

use std::time::Duration;

use store::{Db, Origin, StoreError, sql};

/// How long what is over is kept: clocks of nodes differ, and who comes a little late is told why.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Removes all that has been over for [`KEPT`], so many rows at a time; answers how many went. Running on
/// several nodes at once does no harm.
pub async fn sweep(db: &Db, batch: u32) -> Result<u64, StoreError> {
    let grants = sql!(
        "DELETE FROM oauth_grant WHERE id IN \
         (SELECT id FROM oauth_grant WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2)"
    );
    // A session whose grants are not gone yet waits for the next time.
    let sessions = sql!(
        "DELETE FROM session WHERE id IN (SELECT s.id FROM session s WHERE s.expires_at <= $1 AND NOT EXISTS \
         (SELECT 1 FROM oauth_grant g WHERE g.session_id = s.id) ORDER BY s.expires_at, s.id LIMIT $2)"
    );
    let invitations = sql!(
        "DELETE FROM invitation WHERE id IN \
         (SELECT id FROM invitation WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2)"
    );
    let over = db.ctx().now().minus(KEPT);
    let mut gone = 0;
    for delete in [grants, sessions, invitations] {
        loop {
            let removed = db.change(Origin::system(), delete.clone(), (over, batch), Vec::new()).await?;
            gone += removed;
            if removed < u64::from(batch.max(1)) {
                break;
            }
        }
    }
    Ok(gone)
}
