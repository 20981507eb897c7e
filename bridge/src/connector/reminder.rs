//! Keeping devices in mind of where they shall send what happens: a device that was reset, or that somebody else set,
//! sends its hints elsewhere until it is told again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

/// How often devices are asked whether they still send to us.
const REMINDED: Duration = Duration::from_secs(300);
/// How soon a device that did not take our address is told again, and a port that could not be opened tried again.
pub(crate) const RETRIED: Duration = Duration::from_secs(30);

/// When devices are next asked; `None` is at once. It outlives the wait for one hint.
#[derive(Debug, Default)]
pub(crate) struct Reminder(Mutex<Option<Instant>>);

impl Reminder {
    /// Asks all of them again and again. Never ends. `tell` says whether a device sends to us now.
    pub(crate) async fn remind<'a, W, F>(&self, wires: &[&'a W], tell: impl Fn(&'a W) -> F)
    where
        F: Future<Output = bool>,
    {
        loop {
            let due = *self.due();
            if let Some(due) = due {
                sleep_until(due).await;
            }
            // Noted beforehand: who waits for hints may give up at any time and come back soon.
            *self.due() = Some(Instant::now() + RETRIED);
            let told = join_all(wires.iter().map(|wire| tell(wire))).await;
            if told.iter().all(|taken| *taken) {
                *self.due() = Some(Instant::now() + REMINDED);
            }
        }
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing but an instant is ever written here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
