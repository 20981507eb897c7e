//! What the device sends by itself: notifications, in their order, and signs of life.
//!
//! A notification is sent once. What the monitor does not take, and what no longer fits the queue, is lost, for nobody
//! says that it comes again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::shared::Shared;

/// Notifications that wait; more are lost.
pub(super) const WAITING: usize = 256;

/// Intervals are at least and at most so long.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Something to be posted.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) url: String,
    pub(super) timeout: Duration,
    pub(super) body: Value,
}

/// Something that is due again and again, or never.
#[derive(Debug, Default)]
struct Beat {
    every: Option<Duration>,
    due: Option<Instant>,
}

impl Beat {
    /// Zero is never.
    fn set(&mut self, every: Option<Duration>) {
        let every = every.filter(|every| !every.is_zero()).map(|every| every.clamp(SHORTEST, LONGEST));
        if self.every != every {
            self.every = every;
            self.again();
        }
    }

    fn again(&mut self) {
        self.due = self.every.map(|every| Instant::now() + every);
    }

    async fn is_due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

/// Sends what is to be sent, until the device is dropped.
pub(super) async fn run(shared: Arc<Shared>, mut notes: mpsc::Receiver<Note>) {
    let (mut life, mut knock) = (Beat::default(), Beat::default());
    loop {
        let (monitor, server) = shared.intervals();
        life.set(monitor);
        knock.set(server);
        tokio::select! {
            note = notes.recv() => match note {
                Some(note) => shared.deliver(&note).await,
                None => return,
            },
            () = shared.changed.notified() => {}
            () = life.is_due() => {
                life.again();
                shared.report_alive().await;
            }
            () = knock.is_due() => {
                knock.again();
                shared.knock().await;
            }
        }
    }
}
