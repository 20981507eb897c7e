//! Being told to stop: ctrl-C, or SIGTERM from whoever runs us.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from when it is made, not from when it is asked: whoever is told to stop while it begins is not torn down
/// half begun.
#[derive(Debug)]
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// # Errors
    /// The system gives no handlers.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns once somebody said so. Cancelling loses nothing.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
