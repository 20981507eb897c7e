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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_device_is_told_again_soon_until_it_takes_it_and_every_five_minutes_from_then_on() {
        let (began, told, takes) = (Instant::now(), Mutex::new(Vec::new()), AtomicBool::new(false));
        let tell = |_: &()| {
            told.lock().unwrap().push(began.elapsed().as_secs());
            std::future::ready(takes.load(Ordering::SeqCst))
        };
        let reminder = Reminder::default();
        // Who waits for hints gives up and comes again: it goes on from there. A device may be reset at any time.
        for (seconds, taken, expect) in [
            (70, false, &[0_u64, 30, 60][..]),
            (250, true, &[0, 30, 60, 90]),
            (30, true, &[0, 30, 60, 90]),
            (400, true, &[0, 30, 60, 90, 390, 690]),
        ] {
            takes.store(taken, Ordering::SeqCst);
            let reminding = timeout(Duration::from_secs(seconds), reminder.remind(&[&()], tell)).await;
            assert!(reminding.is_err(), "it never ends");
            assert_eq!(*told.lock().unwrap(), expect);
        }
    }
}
