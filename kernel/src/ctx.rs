//! Clock and entropy as parameters. Nothing in the house reads the time or draws randomness except
//! through a [`Ctx`]; clippy refuses the direct ways (`clippy.toml`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// By how much it was moved ahead on purpose, where a whole house is shown what happens later. Whoever compares
    /// it with another machine's clock leaves this out. Nothing for a clock that tells what it believes.
    fn moved_ahead(&self) -> Duration {
        Duration::ZERO
    }
}

/// Gives random bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer with bytes that nobody can predict (or, in tests, that a seed determines).
    fn fill(&self, buffer: &mut [u8]);
}

/// What every function that needs the time or a random number is given.
#[derive(Clone)]
pub struct Ctx {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    manual: Option<Arc<ManualClock>>,
}

impl Ctx {
    /// The machine's clock and its random generator.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), manual: None }
    }

    /// A clock that stands at 2026-11-22T00:00:00Z until moved, and entropy determined by `seed`.
    #[must_use]
    pub fn for_tests(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_795_305_600_000)));
        Self { clock: clock.clone(), entropy: Arc::new(SeededEntropy::new(seed)), manual: Some(clock) }
    }

    /// Moves the clock of [`Ctx::for_tests`] forward; every clone sees it. No effect on a system clock.
    pub fn advance_for_tests(&self, by: Duration) {
        if let Some(clock) = &self.manual {
            clock.advance(by);
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// `N` random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0u8; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ctx")
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        jiff::Timestamp::now().into()
    }
}

/// The operating system's random generator, through aws-lc.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
    fn fill(&self, buffer: &mut [u8]) {
        // A machine without randomness must not go on: no id, key or token would be safe.
        aws_lc_rs::rand::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at the given instant.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_millis()))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes determined by a seed: SHA-256 of the seed and a running number. For tests only.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    /// The same seed gives the same bytes in the same order of calls.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let number = self.drawn.fetch_add(1, Ordering::SeqCst);
            let mut input = [0u8; 16];
            input[..8].copy_from_slice(&self.seed.to_le_bytes());
            input[8..].copy_from_slice(&number.to_le_bytes());
            chunk.copy_from_slice(&crate::sha256(&input)[..chunk.len()]);
        }
    }
}
