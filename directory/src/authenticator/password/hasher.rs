//! The threads that hash passwords, and nothing else.
//!
//! Each has its memory, which it keeps: bounded by threads × 19 MiB, or what [`Cost`] says, and no page of it is asked
//! for twice. They step back for every other thread, so a storm of sign-ins delays no token. It is
//! deliberately not a pool for other work: what may wait here is bounded, and what is beyond is turned away.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use kernel::{Ctx, Secret};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization as _;

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

    fn argon2(self) -> Argon2<'static> {
        // In range by the clamps; the library's default is the floor.
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None).unwrap_or_default();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
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

/// The threads that hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// How many, at least one. Memory is bounded by as many hashes.
    pub count: usize,
    /// How far they step back for all else that runs on the machine (`setpriority(2)`): 0 not at all, up to 19.
    pub nice: i32,
}

/// Hashes and verifies passwords on threads of its own, which end with its last clone.
#[derive(Clone)]
pub struct Hasher {
    queue: SyncSender<Job>,
    runs: Arc<AtomicU64>,
    cost: Cost,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// At the floor's cost, stepping back for nobody.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::with_cost(threads, Cost::FLOOR)
    }

    /// At this cost, or the floor's where that is more.
    #[must_use]
    pub fn with_cost(threads: usize, cost: Cost) -> Self {
        Self::start(Threads { count: threads, nice: 0 }, cost)
    }

    /// On these threads, at this cost, or the floor's where that is more.
    ///
    /// # Panics
    /// When the system does not start a thread.
    #[must_use]
    pub fn start(threads: Threads, cost: Cost) -> Self {
        let (cost, runs) = (cost.clamped(), Arc::<AtomicU64>::default());
        let (queue, jobs) = sync_channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 1..=threads.count.max(1) {
            let (jobs, runs, usual) = (jobs.clone(), runs.clone(), cost.argon2().params().block_count());
            let thread = std::thread::Builder::new().name(format!("hash-{number}"));
            let work = move || {
                step_back(threads.nice);
                work(&jobs, &runs, usual);
            };
            thread.spawn(work).expect("the system starts a thread");
        }
        Self { queue, runs, cost }
    }

    /// How often it has hashed, to verify or to set.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// The PHC string of a new password.
    pub async fn hash(&self, ctx: &Ctx, password: Secret<String>) -> Result<String, PasswordError> {
        let argon2 = self.cost.argon2();
        let salt = Salt::new(&ctx.random::<16>()).map_err(|_| PasswordError::Failed)?;
        let params = ParamsString::try_from(argon2.params()).map_err(|_| PasswordError::Failed)?;
        let hash = self.output(argon2, salt, password).await?;
        let (algorithm, version) = (Algorithm::Argon2id.ident(), Some(Version::V0x13.into()));
        Ok(PasswordHash { algorithm, version, params, salt: Some(salt), hash: Some(hash) }.to_string())
    }

    /// Whether the password is the one of this hash. Without a hash it takes as long, and is not.
    pub async fn verify(
        &self,
        password: Secret<String>,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.cost.dummy());
        let (argon2, salt, stored) = read(&hash).ok_or(PasswordError::Failed)?;
        // Outputs compare in constant time.
        let right = self.output(argon2, salt, password).await? == stored;
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

    /// What hashing puts out, once a thread comes to it.
    async fn output(
        &self,
        argon2: Argon2<'static>,
        salt: Salt,
        password: Secret<String>,
    ) -> Result<Output, PasswordError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { argon2, salt, password, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => PasswordError::Busy,
            TrySendError::Disconnected(_) => PasswordError::Failed,
        })?;
        answered.await.map_err(|_| PasswordError::Failed)?
    }
}

/// How a stored hash was made, and what came out.
fn read(hash: &str) -> Option<(Argon2<'static>, Salt, Output)> {
    let hash = PasswordHash::new(hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = Version::try_from(hash.version?).ok()?;
    Some((Argon2::new(algorithm, version, Params::try_from(&hash).ok()?), hash.salt?, hash.hash?))
}

/// A password to be hashed.
struct Job {
    argon2: Argon2<'static>,
    salt: Salt,
    password: Secret<String>,
    answer: oneshot::Sender<Result<Output, PasswordError>>,
}

impl Job {
    /// Leaves memory for as many blocks as usual: a hash from dearer times does not cost its own for ever.
    fn output(&self, memory: &mut Vec<Block>, usual: usize) -> Result<Output, PasswordError> {
        let output = self.hashed(memory);
        memory.truncate(usual);
        memory.shrink_to(usual);
        output
    }

    fn hashed(&self, memory: &mut Vec<Block>) -> Result<Output, PasswordError> {
        let params = self.argon2.params();
        let more = params.block_count().saturating_sub(memory.len());
        memory.try_reserve_exact(more).map_err(|_| PasswordError::Failed)?;
        memory.resize(memory.len() + more, Block::new());
        let mut buffer = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let output = buffer.get_mut(..length).ok_or(PasswordError::Failed)?;
        let typed = typed(&self.password);
        self.argon2
            .hash_password_into_with_memory(typed.expose().as_bytes(), &self.salt, output, memory)
            .map_err(|_| PasswordError::Failed)?;
        Output::new(output).map_err(|_| PasswordError::Failed)
    }
}

/// What a hashing thread does, until no hasher is left: what others wait for, in memory for as many blocks as usual.
fn work(jobs: &Mutex<Receiver<Job>>, runs: &AtomicU64, usual: usize) {
    let mut memory = Vec::new();
    loop {
        // One thread waits for a job, the others for the lock.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // Whoever gave up waiting is not hashed for.
        if job.answer.is_closed() {
            continue;
        }
        runs.fetch_add(1, Ordering::Relaxed);
        let output = catch_unwind(AssertUnwindSafe(|| job.output(&mut memory, usual)));
        let _ = job.answer.send(output.unwrap_or(Err(PasswordError::Failed)));
    }
}

/// Lets others go first. Where the system does not have it so for a single thread, hashing competes.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "there is no such call"))]
fn step_back(nice: i32) {
    #[cfg(target_os = "linux")]
    {
        let own = Some(rustix::thread::gettid());
        // Never forwards: the whole process may have been told to step back further.
        let stepped = rustix::process::getpriority_process(own).and_then(|now| {
            if now < nice { rustix::process::setpriority_process(own, nice) } else { Ok(()) }
        });
        if let Err(error) = stepped {
            tracing::warn!(%error, "hashing passwords competes with everything else for the processor");
        }
    }
}

/// A password in the one form in which all ways to type it agree.
fn typed(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.expose().nfkc().collect())
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    const GOOD: &str = "three blue ducks sing";

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
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
        let unsaid = hash.replacen("$v=19", "", 1);
        let (unfinished, _) = hash.rsplit_once('$').unwrap();
        for damaged in ["damaged", &unsaid, unfinished] {
            let verified = hasher.verify(secret(GOOD), Some(damaged.to_owned())).await;
            assert!(matches!(verified, Err(PasswordError::Failed)), "{damaged}");
        }
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
    async fn beyond_the_queue_one_is_told_to_come_back_and_who_gave_up_is_not_hashed_for() {
        let hasher = Hasher::with_cost(1, Cost { passes: 40, ..Cost::FLOOR });
        let mut working = Box::pin(hasher.verify(secret("x"), None));
        assert!(is_pending(&mut working).await);
        while hasher.runs() == 0 {
            tokio::task::yield_now().await;
        }
        let mut waiting: Vec<_> = (0..QUEUE).map(|_| Box::pin(hasher.verify(secret("x"), None))).collect();
        for one in &mut waiting {
            assert!(is_pending(one).await, "it waits for the thread");
        }
        for _ in 0..3 {
            assert!(matches!(hasher.verify(secret("x"), None).await, Err(PasswordError::Busy)));
        }
        let last = waiting.pop().unwrap();
        drop(waiting);
        assert_eq!((working.await.unwrap(), last.await.unwrap()), (false, false));
        assert_eq!(hasher.runs(), 2, "the first and the last");
        assert!(!hasher.verify(secret("x"), None).await.unwrap(), "there is room again");
    }

    async fn is_pending<F: Future + Unpin>(one: &mut F) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *one).poll(cx).is_pending())).await
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_steps_back_and_never_forwards_and_takes_nobody_with_it() {
        let own = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = own();
        let stepping = std::thread::spawn(move || {
            [7, 3, 0].map(|nice| {
                step_back(nice);
                own()
            })
        });
        let at_least = before.max(7);
        assert_eq!(stepping.join().unwrap(), [at_least; 3]);
        assert_eq!(own(), before);
    }

    /// The bound on memory: what a thread keeps is what its hasher's own hashes need, also after it had to verify a
    /// dearer one.
    #[test]
    fn a_thread_keeps_no_more_memory_than_a_usual_hash_needs() {
        let usual = Cost::FLOOR.argon2().params().block_count();
        assert_eq!(usual * Block::SIZE, 19 << 20);
        let mut memory = Vec::new();
        let dear = Cost { memory_kib: 40 * 1024, ..Cost::FLOOR };
        for cost in [Cost::FLOOR, dear, Cost::FLOOR] {
            let (answer, _answered) = oneshot::channel();
            let salt = Salt::new(&[7; 16]).unwrap();
            let job = Job { argon2: cost.argon2(), salt, password: secret(GOOD), answer };
            assert!(job.output(&mut memory, usual).is_ok());
            assert_eq!((memory.len(), memory.capacity()), (usual, usual));
        }
    }
}
