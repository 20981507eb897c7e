//! The timeline of the story: each step with the millisecond at which it was proven.

use std::time::{Duration, Instant};

use crate::commands::{Failure, say};

/// How long a step may take to become visible from outside.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the outside is asked.
const LOOK: Duration = Duration::from_millis(2);

/// Prints steps as they are proven.
pub(super) struct Timeline {
    began: Instant,
}

impl Timeline {
    pub(super) fn begin() -> Self {
        say("      ms  who        what");
        Self { began: Instant::now() }
    }

    /// A step that was proven just now.
    pub(super) fn step(&self, who: &str, what: impl std::fmt::Display) {
        say(format_args!("{:8.1}  {who:<9}  {what}", self.began.elapsed().as_secs_f64() * 1000.0));
    }
}

/// Waits until something is seen from outside.
///
/// # Errors
/// When it is not seen in time: the text says what was expected.
pub(super) async fn until<T>(expected: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::new(format!("NOT PROVEN: {expected} within {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Fails the story unless it holds.
pub(super) fn prove(holds: bool, expected: impl std::fmt::Display) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(format!("NOT PROVEN: {expected}"))) }
}
