//! Passwords: argon2id on a bounded pool of its own, so a sign-in storm never delays a token, and memory is
//! bounded by threads × 19 MiB.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use kernel::id::{AuthenticatorId, InvitationId, UserId};
use kernel::{Ctx, Secret};
use store::{Db, Fact, StoreError, Tx, sql};
use tokio::sync::Semaphore;

use crate::facts::PasswordSet;
use crate::{DirectoryError, fold};

/// The shortest password (NIST SP 800-63B-4, 3.1.1.2: at least 15 characters where it is the only factor).
pub const SHORTEST: usize = 15;
/// The longest: at least 64 must be accepted; more than this would only cost memory.
pub const LONGEST: usize = 256;
/// How many may wait for a hashing thread.
const QUEUE: usize = 64;

/// Why a password could not be checked or set.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// More wait than the queue holds; try again in a moment.
    #[error("too many sign-ins at once; try again in a moment")]
    Busy,
    /// Not good enough; the text says why and what would be.
    #[error("{0}")]
    Refused(&'static str),
    /// Hashing failed: a stored hash is damaged, or parameters are out of range.
    #[error("the password could not be hashed")]
    Failed,
}

/// Hashes and verifies passwords on a bounded number of threads. Cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    threads: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    argon2: Argon2<'static>,
    /// What unknown users are checked against, so that they take as long as known ones.
    dummy: Arc<str>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// OWASP's floor: argon2id, 19 MiB, 2 passes, 1 lane. `threads` bounds memory to threads × 19 MiB.
    #[must_use]
    pub fn new(ctx: &Ctx, threads: usize) -> Self {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
        // Never a valid hash of anything: with this dummy a verification can only fail, yet takes its time.
        let dummy = hash_now(&argon2, b"", &ctx.random::<16>()).unwrap_or_default();
        Self {
            threads: Arc::new(Semaphore::new(threads.max(1))),
            waiting: Arc::default(),
            argon2,
            dummy: dummy.into(),
        }
    }

    /// The PHC string of a new password.
    pub async fn hash(&self, ctx: &Ctx, password: Secret<String>) -> Result<String, PasswordError> {
        let salt = ctx.random::<16>();
        let argon2 = self.argon2.clone();
        self.on_a_thread(move || hash_now(&argon2, password.expose().as_bytes(), &salt)).await
    }

    /// Whether the password is the one of this hash. Without a hash it takes as long, and is not.
    pub async fn verify(&self, password: Secret<String>, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let argon2 = self.argon2.clone();
        let right = self
            .on_a_thread(move || {
                let hash = PasswordHash::new(&hash).map_err(|_| PasswordError::Failed)?;
                Ok(argon2.verify_password(password.expose().as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(known && right)
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Place::take(&self.waiting)?;
        let permit = self.threads.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        drop(place);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| PasswordError::Failed)?
    }
}

/// A place in the bounded queue, given back also when the waiting is cancelled.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self, PasswordError> {
        let place = Self(waiting.clone());
        if waiting.fetch_add(1, Ordering::AcqRel) >= QUEUE { Err(PasswordError::Busy) } else { Ok(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn hash_now(argon2: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Result<String, PasswordError> {
    argon2.hash_password_with_salt(password, salt).map(|hash| hash.to_string()).map_err(|_| PasswordError::Failed)
}

/// Long passwords that are nevertheless guessed first.
const COMMON: &[&str] = &[
    "passwordpassword", "password12345678", "qwertyuiopasdfgh", "qwertyuiop123456", "1234567890123456",
    "123456789012345", "administrator123", "correcthorsebatterystaple", "letmeinletmeinletmein",
    "iloveyouiloveyou", "welcomewelcome123", "changemechangeme", "abcdefghijklmnop", "abcdefghijklmno",
    "passwordpassword1", "trustno1trustno1", "000000000000000", "111111111111111", "qwertyqwertyqwerty",
];

/// Whether a person may take this password (NIST SP 800-63B-4, 3.1.1.2: length and a block list, no rules
/// of composition).
pub fn check(password: &str, user_name: &str) -> Result<(), PasswordError> {
    let length = password.chars().count();
    let folded = fold(password);
    let name = fold(user_name.split('@').next().unwrap_or_default());
    if length < SHORTEST {
        return Err(PasswordError::Refused("A password needs at least 15 characters; four random words do."));
    }
    if length > LONGEST {
        return Err(PasswordError::Refused("A password may have at most 256 characters."));
    }
    if COMMON.contains(&folded.as_str()) || folded.chars().all(|c| Some(c) == folded.chars().next()) {
        return Err(PasswordError::Refused("This password is among those guessed first; choose another."));
    }
    if name.len() >= 3 && folded.replace(&name, "").chars().count() < SHORTEST / 2 {
        return Err(PasswordError::Refused("This password is little more than your name; choose another."));
    }
    Ok(())
}

/// The hash of a user's password, if there is one.
pub async fn verifier(db: &Db, user: UserId) -> Result<Option<String>, StoreError> {
    let row: Option<(String,)> = db
        .opt(sql!("SELECT verifier FROM authenticator WHERE user_id = $1 AND kind = 'password'"), (user,))
        .await?;
    Ok(row.map(|(verifier,)| verifier))
}

/// Sets a user's password to one hashed before the transaction began.
pub async fn set(
    tx: &mut Tx,
    user: UserId,
    verifier: &str,
    invitation: Option<InvitationId>,
) -> Result<(), DirectoryError> {
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
    tx.record(Fact::new(user.subject(), &PasswordSet { invitation: invitation.map(|id| id.to_string()) }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_refused_with_a_reason() {
        let check = |password: &str| check(password, "ada.lovelace@example.org").map_err(|error| error.to_string());
        assert_eq!(check("three blue ducks sing"), Ok(()));
        assert_eq!(check("drei blaue Enten 🦆🦆"), Ok(()), "characters count, not bytes");
        assert!(check("short").unwrap_err().contains("15"));
        assert!(check(&"x1".repeat(200)).unwrap_err().contains("256"));
        assert!(check("CorrectHorseBatteryStaple").unwrap_err().contains("guessed"));
        assert!(check("aaaaaaaaaaaaaaaa").unwrap_err().contains("guessed"));
        assert!(check("ada.lovelace-1815").unwrap_err().contains("name"));
    }

    #[tokio::test]
    async fn the_right_password_verifies_and_nothing_else_does() {
        let ctx = Ctx::for_tests(1);
        let hasher = Hasher::new(&ctx, 2);
        let secret = |text: &str| Secret::new(text.to_owned());
        let hash = hasher.hash(&ctx, secret("three blue ducks sing")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify(secret("three blue ducks sing"), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify(secret("three blue ducks sung"), Some(hash)).await.unwrap());
        assert!(!hasher.verify(secret(""), None).await.unwrap(), "the dummy's own password is nobody's");
        assert!(matches!(hasher.verify(secret("x"), Some("damaged".into())).await, Err(PasswordError::Failed)));
    }

    #[tokio::test]
    async fn beyond_the_queue_one_is_told_to_come_back() {
        let hasher = Hasher::new(&Ctx::for_tests(1), 1);
        let mut storm = tokio::task::JoinSet::new();
        for _ in 0..QUEUE + 40 {
            let hasher = hasher.clone();
            storm.spawn(async move { hasher.verify(Secret::new("x".into()), None).await });
        }
        let answers = storm.join_all().await;
        let busy = answers.iter().filter(|answer| matches!(answer, Err(PasswordError::Busy))).count();
        assert!((1..=40).contains(&busy), "{busy} of {} were turned away", answers.len());
        assert!(answers.iter().all(|answer| matches!(answer, Ok(false) | Err(PasswordError::Busy))));
    }
}
