//! Waiting until something is seen from outside.

use std::time::{Duration, Instant};

/// How long something may take to become visible: far longer than it does, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before looking again.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// What `look` sees, as soon as it sees something, within [`PATIENCE`].
///
/// # Panics
/// When it is not seen in time: says what was expected.
pub async fn until<T>(expected: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, expected, look).await
}

/// The same with a patience of its own.
///
/// # Panics
/// As [`until`].
pub async fn within<T>(patience: Duration, expected: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < patience, "not seen within {patience:?}: {expected}");
        tokio::time::sleep(LOOK).await;
    }
}
