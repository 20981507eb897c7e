//! Passwords: what may be one ([`check`]), how they are hashed ([`Hasher`]), and where the hashes are kept.
//!
//! What is hashed is the compatibility composition (NFKC) of what was typed: keyboards and systems differ in
//! how they compose `é`, and NIST SP 800-63B-4, section 3.1.1.2, asks for it. Case and spaces stay.

mod hasher;
mod strength;

use kernel::id::{AuthenticatorId, InvitationId, UserId};
use store::{Db, Fact, StoreError, Tx, sql};

pub use self::hasher::{Cost, Hasher, PasswordError, Threads};
pub use self::strength::{LONGEST, SHORTEST, Weakness, check};
use crate::facts::{EndedSignIns, PasswordRehashed, PasswordSet};
use crate::user::ending::{self, Ending};
use crate::{DirectoryError, user};

/// The hash of a user's password, if there is one.
pub async fn verifier(db: &Db, user: UserId) -> Result<Option<String>, StoreError> {
    let row: Option<(String,)> = db
        .opt(sql!("SELECT verifier FROM authenticator WHERE user_id = $1 AND kind = 'password'"), (user,))
        .await?;
    Ok(row.map(|(verifier,)| verifier))
}

/// Sets a user's password to one hashed before the transaction began. With an invitation, whoever knew the
/// password before is signed out everywhere: it may have been somebody else.
///
/// # Errors
/// [`DirectoryError::NotFound`] when the user is not active (any more).
pub async fn set(
    tx: &mut Tx,
    user: UserId,
    verifier: &str,
    invitation: Option<InvitationId>,
) -> Result<(), DirectoryError> {
    if !user::hold(tx, user).await? {
        return Err(DirectoryError::NotFound("active user"));
    }
    let ending = match invitation {
        Some(_) => ending::end_sign_ins(tx, user).await?,
        None => Ending::default(),
    };
    let id = AuthenticatorId::new(tx.ctx());
    tx.run(
        sql!(
            "INSERT INTO authenticator (id, user_id, kind, verifier, version, created_at) \
             VALUES ($1, $2, 'password', $3, 1, $4) ON CONFLICT (user_id) WHERE kind = 'password' \
             DO UPDATE SET verifier = excluded.verifier, version = authenticator.version + 1"
        ),
        (id, user, verifier, tx.now()),
    )
    .await?;
    let body = PasswordSet { invitation: invitation.map(|id| id.to_string()), ended: ending.ended };
    let mut fact = ending.tell(Fact::new(user.subject(), &body));
    fact.revokes = ending.ended != EndedSignIns::default();
    tx.record(fact);
    Ok(())
}

/// Keeps another hash of the same password. `false` when the password was changed meanwhile, or is gone.
pub async fn rehash(tx: &mut Tx, user: UserId, verified: &str, anew: &str) -> Result<bool, StoreError> {
    let kept = tx
        .run(
            sql!(
                "UPDATE authenticator SET verifier = $3, version = version + 1 \
                 WHERE user_id = $1 AND kind = 'password' AND verifier = $2"
            ),
            (user, verified, anew),
        )
        .await?;
    if kept == 1 {
        tx.record(Fact::new(user.subject(), &PasswordRehashed {}));
    }
    Ok(kept == 1)
}
