//! Passwords: argon2id on a bounded pool of its own, so a sign-in storm never delays a token, and memory is
//! bounded by threads × 19 MiB, or what [`Cost`] says.
//!
//! What is hashed is the compatibility composition (NFKC) of what was typed: keyboards and systems differ in
//! how they compose `é`, and NIST SP 800-63B-4, section 3.1.1.2, asks for it. Case and spaces stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use kernel::id::{AuthenticatorId, InvitationId, UserId};
use kernel::{Ctx, Secret};
use store::{Db, Fact, StoreError, Tx, sql};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;

use crate::facts::{EndedSignIns, PasswordRehashed, PasswordSet};
use crate::user::ending;
use crate::{DirectoryError, fold, user};

/// The shortest password (NIST SP 800-63B-4, 3.1.1.2: at least 15 characters where it is the only factor).
pub const SHORTEST: usize = 15;
/// The longest: at least 64 must be accepted; more than this would only cost memory.
pub const LONGEST: usize = 256;
/// Salt and hash that unknown users are checked against, so that they take as long as known ones: random bytes,
/// of no known password. Written down, since hashing one would stand before the first answer.
const DUMMY: &str = "y1My4OeBLzp3n7zvL7RzsQ$UFtCkJINdADb0Mk8n37D1x8hnz6fdS9SSGGAOW3SR28";
/// How many may wait for a hashing thread.
const QUEUE: usize = 64;

/// Why a password could not be checked or set.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// More wait than the queue holds; try again in a moment.
    #[error("too many sign-ins at once; try again in a moment")]
    Busy,
    /// Hashing failed: a stored hash is damaged, or parameters are out of range.
    #[error("the password could not be hashed")]
    Failed,
}

/// What a hash costs. Only upwards: whatever is less than OWASP's floor counts as the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, at least 19 MiB. More than 4 GiB counts as 4 GiB.
    pub memory_kib: u32,
    /// Passes over it, at least 2.
    pub passes: u32,
    /// Lanes, at least 1. More than 64 count as 64.
    pub lanes: u32,
}

impl Cost {
    /// OWASP's floor for argon2id: 19 MiB, 2 passes, 1 lane.
    pub const FLOOR: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    fn clamped(self) -> Self {
        Self {
            memory_kib: self.memory_kib.clamp(Self::FLOOR.memory_kib, 4 << 20),
            passes: self.passes.clamp(Self::FLOOR.passes, 1_000),
            lanes: self.lanes.clamp(Self::FLOOR.lanes, 64),
        }
    }

    fn params(self) -> Params {
        // In range by the clamps; the library's default is the floor.
        Params::new(self.memory_kib, self.passes, self.lanes, None).unwrap_or_default()
    }

    /// The cost of a stored hash, if it can be read.
    fn of(hash: &str) -> Option<Self> {
        let params = Params::try_from(&PasswordHash::new(hash).ok()?).ok()?;
        Some(Self { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() })
    }

    fn dummy(self) -> String {
        let Self { memory_kib, passes, lanes } = self;
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${DUMMY}")
    }
}

/// Hashes and verifies passwords on a bounded number of threads. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Hasher {
    threads: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    runs: Arc<AtomicU64>,
    cost: Cost,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// At the floor's cost. `threads` bounds memory to threads × 19 MiB.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::with_cost(threads, Cost::FLOOR)
    }

    /// At this cost, or the floor's where that is more.
    #[must_use]
    pub fn with_cost(threads: usize, cost: Cost) -> Self {
        let threads = Arc::new(Semaphore::new(threads.max(1)));
        Self { threads, waiting: Arc::default(), runs: Arc::default(), cost: cost.clamped() }
    }

    /// How often it has hashed, to verify or to set.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// The PHC string of a new password.
    pub async fn hash(&self, ctx: &Ctx, password: Secret<String>) -> Result<String, PasswordError> {
        let salt = ctx.random::<16>();
        let argon2 = self.argon2();
        self.on_a_thread(move || hash_now(&argon2, typed(&password).expose().as_bytes(), &salt)).await
    }

    /// Whether the password is the one of this hash. Without a hash it takes as long, and is not.
    pub async fn verify(
        &self,
        password: Secret<String>,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.cost.dummy());
        let argon2 = self.argon2();
        let right = self
            .on_a_thread(move || {
                let hash = PasswordHash::new(&hash).map_err(|_| PasswordError::Failed)?;
                Ok(argon2.verify_password(typed(&password).expose().as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(known && right)
    }

    /// Whether a stored hash costs less in any way than one that would be made now.
    #[must_use]
    pub fn is_outdated(&self, hash: &str) -> bool {
        Cost::of(hash).is_some_and(|stored| {
            stored.memory_kib < self.cost.memory_kib
                || stored.passes < self.cost.passes
                || stored.lanes < self.cost.lanes
        })
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.cost.params())
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Place::take(&self.waiting)?;
        let permit = self.threads.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        drop(place);
        self.runs.fetch_add(1, Ordering::Relaxed);
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
    argon2
        .hash_password_with_salt(password, salt)
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::Failed)
}

/// A password in the one form in which all ways to type it agree.
fn typed(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.expose().nfkc().collect())
}

/// Long passwords that are nevertheless guessed first, in lower case.
const COMMON: &[&str] = &[
    "password12345678",
    "qwertyuiopasdfgh",
    "qwertyuiop123456",
    "1qaz2wsx3edc4rfv",
    "administrator123",
    "correcthorsebatterystaple",
    "welcomewelcome123",
    "passwordpassword1",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "12345678901234567890",
];
/// The longest beginning that is repeated to make a long password of a short one.
const LONGEST_UNIT: usize = 10;

/// Why a password is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Fewer characters than [`SHORTEST`].
    #[error("a password needs at least {SHORTEST} characters; four random words do")]
    TooShort,
    /// More characters than [`LONGEST`].
    #[error("a password may have at most {LONGEST} characters")]
    TooLong,
    /// On the block list, or its own beginning over and over.
    #[error("this password is among those guessed first; choose another")]
    Common,
    /// Little more than the user's name.
    #[error("this password is little more than your name; choose another")]
    OwnName,
}

/// Whether a person may take this password (NIST SP 800-63B-4, 3.1.1.2: length and a block list, no rules
/// of composition). Characters are counted as they are hashed, whatever they were typed with.
///
/// # Errors
/// The [`Weakness`] that stands against it.
pub fn check(password: &str, user_name: &str) -> Result<(), Weakness> {
    let length = password.nfkc().count();
    if length < SHORTEST {
        return Err(Weakness::TooShort);
    }
    if length > LONGEST {
        return Err(Weakness::TooLong);
    }
    let folded = fold(password);
    let is_part_of_a_common_one = COMMON.iter().any(|common| common.contains(&folded));
    if is_part_of_a_common_one || is_repeated(&folded) {
        return Err(Weakness::Common);
    }
    let name = fold(user_name.split('@').next().unwrap_or_default());
    let says_name = name.chars().count() >= 3 && folded.contains(&name);
    if says_name && folded.replace(&name, "").chars().count() < SHORTEST / 2 {
        return Err(Weakness::OwnName);
    }
    Ok(())
}

/// Whether it is nothing but its own beginning over and over: `aaaaaaaaaaaaaaaa`, `passwordpassword`.
fn is_repeated(password: &str) -> bool {
    let chars: Vec<char> = password.chars().collect();
    (1..=LONGEST_UNIT.min(chars.len() / 2))
        .any(|unit| chars.iter().zip(chars.iter().skip(unit)).all(|(a, b)| a == b))
}

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
    let ended = match invitation {
        Some(_) => ending::end_sign_ins(tx, user).await?,
        None => EndedSignIns::default(),
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
    let body = PasswordSet { invitation: invitation.map(|id| id.to_string()), ended };
    let mut fact = Fact::new(user.subject(), &body);
    fact.revokes = ended != EndedSignIns::default();
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "three blue ducks sing";

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn length_and_a_block_list_decide_and_composition_does_not() {
        let check =
            |password: &str| check(password, "ada.lovelace@example.org").map_err(|weak| weak.to_string());
        let sixty_four = "a correct horse, a battery, a staple and 4 more words: 64 chars!";
        assert_eq!(sixty_four.len(), 64);
        for password in [
            GOOD,
            "DREI BLAUE ENTEN",
            "drei blaue Enten 🦆🦆",
            "               .",
            "8302175966641750",
            "passwords are long",
            "ada.lovelace and three ducks",
            sixty_four,
            &"three blue ducks ".repeat(15),
        ] {
            assert_eq!(check(password), Ok(()), "{password}");
        }
        let (short, long) = ("15", "256");
        let (guessed, name) = ("guessed first", "your name");
        for (password, because) in [
            ("", short),
            ("short", short),
            ("fourteen chars", short),
            // Fourteen characters, however many bytes and marks they were typed with.
            ("🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆", short),
            (
                "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}ab",
                short,
            ),
            (&"x1".repeat(129), long),
            ("CorrectHorseBatteryStaple", guessed),
            ("123456789012345", guessed),
            ("abcdefghijklmno", guessed),
            ("aaaaaaaaaaaaaaaa", guessed),
            ("passwordpassword", guessed),
            ("Trustno1Trustno1Trust", guessed),
            ("ada.lovelace-1815", name),
            ("ADA.LOVELACE.ADA.LOVELACE!", name),
        ] {
            let refused = check(password).unwrap_err();
            assert!(refused.contains(because), "{password}: {refused}");
        }
    }

    #[test]
    fn a_name_of_one_or_two_letters_forbids_nothing() {
        for name in ["", "@example.org", "a", "bo"] {
            assert!(check("a a a a a a a a b", name).is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_right_password_verifies_and_nothing_else_does() {
        let ctx = Ctx::for_tests(1);
        let hasher = Hasher::new(2);
        let hash = hasher.hash(&ctx, secret(GOOD)).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify(secret(GOOD), Some(hash.clone())).await.unwrap());
        for wrong in ["three blue ducks sung", "Three blue ducks sing", "three blue ducks sing ", ""] {
            assert!(!hasher.verify(secret(wrong), Some(hash.clone())).await.unwrap(), "{wrong}");
        }
        assert!(matches!(
            hasher.verify(secret("x"), Some("damaged".into())).await,
            Err(PasswordError::Failed)
        ));
    }

    #[tokio::test]
    async fn the_same_password_hashes_otherwise_each_time() {
        let ctx = Ctx::for_tests(1);
        let hasher = Hasher::new(1);
        let (one, two) = (hasher.hash(&ctx, secret(GOOD)).await, hasher.hash(&ctx, secret(GOOD)).await);
        assert_ne!(one.unwrap(), two.unwrap());
    }

    #[tokio::test]
    async fn a_password_is_the_same_on_every_keyboard() {
        let ctx = Ctx::for_tests(1);
        let hasher = Hasher::new(1);
        let hash = hasher.hash(&ctx, secret("trois canards bleus à Orléans")).await.unwrap();
        for typed in ["trois canards bleus a\u{300} Orle\u{301}ans", "trois\u{a0}canards bleus à Orléans"] {
            assert!(hasher.verify(secret(typed), Some(hash.clone())).await.unwrap(), "{typed}");
        }
    }

    /// What makes an unknown user take as long as a known one: the same work, of the same cost.
    #[tokio::test]
    async fn without_a_hash_the_same_work_is_done_and_nothing_is_right() {
        let dearer = Cost { passes: 3, ..Cost::FLOOR };
        for cost in [Cost::FLOOR, dearer] {
            let hasher = Hasher::with_cost(1, cost);
            assert_eq!(Cost::of(&cost.dummy()), Some(cost));
            assert_eq!(PasswordHash::new(&cost.dummy()).unwrap().algorithm.as_str(), "argon2id");
            assert!(!hasher.verify(secret(""), None).await.unwrap(), "the dummy's own password is nobody's");
            assert!(!hasher.verify(secret(GOOD), None).await.unwrap());
            assert_eq!(hasher.runs(), 2);
        }
    }

    #[tokio::test]
    async fn cost_is_raised_and_never_lowered() {
        let ctx = Ctx::for_tests(1);
        let cheap = Hasher::with_cost(1, Cost { memory_kib: 8, passes: 1, lanes: 0 });
        let old = cheap.hash(&ctx, secret(GOOD)).await.unwrap();
        assert!(old.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{old}");
        let dear = Hasher::with_cost(1, Cost { memory_kib: 20 * 1024, passes: 3, lanes: 2 });
        let new = dear.hash(&ctx, secret(GOOD)).await.unwrap();
        assert!(new.starts_with("$argon2id$v=19$m=20480,t=3,p=2$"), "{new}");
        for hasher in [&cheap, &dear] {
            assert!(
                hasher.verify(secret(GOOD), Some(old.clone())).await.unwrap(),
                "an old hash is still good"
            );
            assert!(hasher.verify(secret(GOOD), Some(new.clone())).await.unwrap());
        }
        let outdated = |hasher: &Hasher, hash: &str| hasher.is_outdated(hash);
        assert_eq!((outdated(&dear, &old), outdated(&dear, &new)), (true, false));
        assert_eq!(
            (outdated(&cheap, &old), outdated(&cheap, &new)),
            (false, false),
            "dearer is not outdated"
        );
    }

    #[tokio::test]
    async fn beyond_the_queue_one_is_told_to_come_back_and_a_place_is_free_again_after() {
        let hasher = Hasher::new(1);
        let working = hasher.threads.clone().acquire_owned().await.unwrap();
        let mut waiting: Vec<_> = (0..QUEUE).map(|_| Box::pin(hasher.verify(secret("x"), None))).collect();
        for one in &mut waiting {
            assert!(futures_are_pending(one).await, "it waits for the thread");
        }
        assert!(matches!(hasher.verify(secret("x"), None).await, Err(PasswordError::Busy)));
        // Whoever gives up waiting leaves a place, and one who was turned away took none.
        waiting.pop();
        let mut next = Box::pin(hasher.verify(secret("x"), None));
        assert!(futures_are_pending(&mut next).await);
        drop((waiting, working));
        assert!(!next.await.unwrap());
        assert_eq!(hasher.waiting.load(Ordering::Acquire), 0);
    }

    async fn futures_are_pending<F: Future + Unpin>(one: &mut F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *one).poll(cx).is_pending()))
            .await
    }
}
