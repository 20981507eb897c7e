//! What ending means: the one place where everything an account could do dies.
//!
//! Refresh and access tokens need no line here: they rest on their grant, and each use asks whether it lives.
//! Neither does a page on which somebody is about to prove who they are: whoever opens a session asks whether the
//! account is active.
//!
//! Only what lives is touched and counted: neither does the work grow with the account's history, nor does a
//! receipt count what was over before.

use kernel::id::UserId;
use store::{Fact, FactBody, StoreError, Tx, sql};

use crate::credential::{self, State};
use crate::facts::{Ended, EndedSignIns};
use crate::presence;
use crate::session::told::{self, Told};

/// Whether credentials may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finality {
    /// Deactivated: the same card returns by policy when the account is activated.
    Suspend,
    /// Deleted: never.
    Revoke,
}

/// What ended, and which applications are told.
#[derive(Debug, Default)]
pub(crate) struct Ending<T> {
    /// As the fact says it.
    pub(crate) ended: T,
    told: Vec<Told>,
}

impl<T> Ending<T> {
    /// Has the applications told of this fact.
    pub(crate) fn tell(&self, fact: Fact) -> Fact {
        told::tell(fact, &self.told)
    }
}

impl Ending<Ended> {
    /// The fact of it: told to the applications, and to be found by each credential that ended.
    pub(super) fn fact<B: FactBody>(self, user: UserId, body: impl FnOnce(Ended) -> B) -> Fact {
        let credentials = self.ended.credentials.clone();
        let fact = told::tell(Fact::new(user.subject(), &body(self.ended)), &self.told);
        credentials.iter().fold(fact, |fact, credential| fact.about(credential.subject()))
    }
}

/// Ends what the account is signed in with, and nothing else: sessions, grants and codes, also those that are
/// being made (the access epoch rises). Answers how many lived; what had expired is left to the sweep.
///
/// INVARIANT: the account's row is locked first, here or before: user, session, code, grant, in this order
/// everywhere, so that no two transactions wait for each other.
pub(crate) async fn end_sign_ins(tx: &mut Tx, user: UserId) -> Result<Ending<EndedSignIns>, StoreError> {
    let now = tx.now();
    tx.run(sql!("UPDATE users SET access_epoch = access_epoch + 1 WHERE id = $1"), (user,)).await?;
    let told = told::of_user(tx, user).await?;
    let sessions = tx
        .run(
            sql!(
                "UPDATE session SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2"
            ),
            (user, now),
        )
        .await?;
    // The codes of grants that had ended before are as dead.
    let codes = tx
        .run(
            sql!(
                "DELETE FROM authorization_code WHERE used_at IS NULL AND expires_at > $2 AND grant_id IN \
                 (SELECT id FROM oauth_grant WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2) \
                 AND NOT EXISTS (SELECT 1 FROM refresh_token n WHERE n.predecessor_hash = authorization_code.code_hash)"
            ),
            (user, now),
        )
        .await?;
    let grants = tx
        .run(
            sql!(
                "UPDATE oauth_grant SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2"
            ),
            (user, now),
        )
        .await?;
    let ended = EndedSignIns { sessions: signed(sessions), grants: signed(grants), codes: signed(codes) };
    Ok(Ending { ended, told })
}

/// Ends sessions, grants, codes and invitations, takes credentials off every list, and forgets where the person is.
///
/// INVARIANT: whatever new thing lets an account act must be ended here, and only here.
pub(super) async fn end_everything(
    tx: &mut Tx,
    user: UserId,
    finality: Finality,
) -> Result<Ending<Ended>, StoreError> {
    let Ending { ended: EndedSignIns { sessions, grants, codes }, told } = end_sign_ins(tx, user).await?;
    let invitations = tx
        .run(
            sql!(
                "UPDATE invitation SET used_at = $2, token_sealed = NULL \
                 WHERE user_id = $1 AND used_at IS NULL AND expires_at > $2"
            ),
            (user, tx.now()),
        )
        .await?;
    presence::forget(tx, user).await?;
    let state = match finality {
        Finality::Suspend => State::Suspended,
        Finality::Revoke => State::Revoked,
    };
    let credentials = credential::end_all_of(tx, user, state).await?;
    let ended = Ended { sessions, grants, codes, invitations: signed(invitations), credentials };
    Ok(Ending { ended, told })
}

fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
