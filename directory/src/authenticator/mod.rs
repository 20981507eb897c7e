//! What a user signs in with: a module per kind, one row each in the table `authenticator`.
//!
//! [`password`] is known, [`totp`] and [`passkey`] are had, [`recovery_code`] is what remains when those are lost.
//! Here stands what all kinds share: the list that a person sees, and taking one away.
//!
//! What it is not: it does not say how sure each makes us, nor which is needed to add or remove another. That
//! is policy's, and the sign-in's.
//!
//! To add a kind: a module with `add` and the way in which it is verified, a variant of [`Kind`].

pub mod passkey;
pub mod password;
pub mod recovery_code;
pub mod totp;

use std::fmt;

use kernel::Timestamp;
use kernel::id::{AuthenticatorId, UserId};
use keys::SealedColumn;
use store::{Db, Fact, StoreError, Tx, sql};

use crate::facts::AuthenticatorRemoved;
use crate::user;

/// Where seeds and recovery codes stand, sealed.
pub const SEALED: SealedColumn = SealedColumn::new("authenticator", "sealed", "id").versioned();

/// So many of one kind at most has a user.
pub const MOST_OF_A_KIND: i64 = 20;

/// The longest name that a person may give one, in characters.
pub const LONGEST_NAME: usize = 60;

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something the user knows.
    Password,
    /// A device that shows one-time passwords.
    Totp,
    /// A passkey or security key.
    Passkey,
    /// One code of the list for bad days.
    RecoveryCode,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Password, Self::Totp, Self::Passkey, Self::RecoveryCode];

    /// As the table and facts write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::RecoveryCode => "recovery-code",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One authenticator, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Authenticator {
    /// Its id.
    pub id: AuthenticatorId,
    /// See [`Authenticator::kind`].
    kind: String,
    /// As its owner calls it.
    pub name: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last signed in with.
    pub last_used_at: Option<Timestamp>,
    /// Of a passkey what is stored of it, else empty.
    passkey: String,
}

impl Authenticator {
    /// Of a passkey, whether its key cannot leave the device; `None` for other kinds.
    #[must_use]
    pub fn is_device_bound(&self) -> Option<bool> {
        (self.kind() == Some(Kind::Passkey)).then(|| passkey::is_device_bound(&self.passkey))
    }

    /// Its kind; `None` for one that a newer release added.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == self.kind)
    }
}

/// All that a user can sign in with, the oldest first.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Authenticator>, StoreError> {
    db.all(
        sql!(
            "SELECT id, kind, name, created_at, last_used_at, \
             CASE WHEN kind = 'passkey' THEN verifier ELSE '' END AS passkey FROM authenticator \
             WHERE user_id = $1 ORDER BY created_at, id"
        ),
        (user,),
    )
    .await
}

/// Takes one away from its owner: nobody signs in with it any more. `false` when the user has no such.
pub async fn remove(tx: &mut Tx, user: UserId, id: AuthenticatorId) -> Result<bool, StoreError> {
    if !user::hold(tx, user).await? {
        return Ok(false);
    }
    let removed: Option<(String,)> = tx
        .opt(sql!("DELETE FROM authenticator WHERE id = $1 AND user_id = $2 RETURNING kind"), (id, user))
        .await?;
    let Some((kind,)) = removed else { return Ok(false) };
    tx.record(Fact::new(user.subject(), &AuthenticatorRemoved { kind }).about(id.subject()));
    Ok(true)
}

/// Whether a user may have one more of a kind.
async fn has_place(tx: &mut Tx, user: UserId, kind: Kind) -> Result<bool, StoreError> {
    let sql = sql!("SELECT COUNT(*) FROM authenticator WHERE user_id = $1 AND kind = $2");
    let (count,): (i64,) = tx.one(sql, (user, kind.as_str())).await?;
    Ok(count < MOST_OF_A_KIND)
}

/// A name as it is kept: trimmed, without control characters, not too long.
fn tidy_name(name: &str) -> String {
    name.trim().chars().filter(|char| !char.is_control()).take(LONGEST_NAME).collect()
}
