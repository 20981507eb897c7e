//! What ending means: the one place where everything an account could do dies.

use kernel::id::{CredentialId, UserId};
use store::{Fact, StoreError, Tx, sql};

use crate::credential::{self, State};
use crate::facts::Ended;

/// Whether credentials may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finality {
    /// Deactivated: the same card returns by policy when the account is activated.
    Suspend,
    /// Deleted: never.
    Revoke,
}

/// Ends sessions, grants, codes and invitations, and takes credentials off every list.
///
/// INVARIANT: whatever new thing lets an account act must be ended here, and only here.
pub(super) async fn end_everything(
    tx: &mut Tx,
    user: UserId,
    finality: Finality,
) -> Result<Ended, StoreError> {
    let now = tx.now();
    // In this order everywhere, so that no two transactions wait for each other: user, session, code, grant.
    tx.run(sql!("UPDATE users SET access_epoch = access_epoch + 1 WHERE id = $1"), (user,)).await?;
    let sessions = tx
        .run(sql!("UPDATE session SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL"), (user, now))
        .await?;
    // The codes of grants that had ended before are as dead.
    let codes = tx
        .run(
            sql!(
                "DELETE FROM authorization_code WHERE used_at IS NULL AND grant_id IN \
                 (SELECT id FROM oauth_grant WHERE user_id = $1 AND ended_at IS NULL)"
            ),
            (user,),
        )
        .await?;
    let grants = tx
        .run(
            sql!("UPDATE oauth_grant SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL"),
            (user, now),
        )
        .await?;
    let invitations = tx
        .run(sql!("UPDATE invitation SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL"), (user, now))
        .await?;
    let state = match finality {
        Finality::Suspend => State::Suspended,
        Finality::Revoke => State::Revoked,
    };
    let credentials = credential::end_all_of(tx, user, state).await?;
    Ok(Ended {
        sessions: signed(sessions),
        grants: signed(grants),
        codes: signed(codes),
        invitations: signed(invitations),
        credentials,
    })
}

fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Makes the fact findable by each credential that ended with it.
pub(super) fn about_credentials(fact: Fact, credentials: &[CredentialId]) -> Fact {
    credentials.iter().fold(fact, |fact, credential| fact.about(credential.subject()))
}
