//! What connectors to small devices share: two lanes of requests, how long to wait, and a grant under way that a
//! revocation waits out.
//!
//! What this is not: it knows no protocol and sends nothing. A connector to a cloud may do without it.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use super::{AccessPointAddress, ConnectorError};

/// A lane of requests to one device. Lanes never wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// What adds or changes, sweeps, events, health. One at a time: a device is a small machine.
    Grants,
    /// What takes away, and what proves it.
    Revocations,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nothing came.
    Silent(String),
    /// Something came, none of it an answer.
    Garbled(String),
    /// The caller took the question back.
    Withdrawn,
}

impl Unanswered {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Silent(detail) | Self::Garbled(detail) => detail,
            Self::Withdrawn => "withdrawn".into(),
        }
    }

    /// The same as the contract says it, of the access points that were not served.
    pub(crate) fn missing(self, missing: Vec<AccessPointAddress>) -> ConnectorError {
        match self {
            Self::Garbled(detail) => ConnectorError::Protocol { missing, detail },
            Self::Silent(_) | Self::Withdrawn => {
                ConnectorError::Unreachable { missing, detail: self.words() }
            }
        }
    }
}

/// How long to wait for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For one reply.
    pub(crate) reply: Duration,
    /// How often a request is sent.
    pub(crate) attempts: u32,
}

impl Patience {
    /// The longest that one request takes once it is its turn; also the longest wait for a turn.
    pub(crate) fn request(self) -> Duration {
        self.reply * self.attempts
    }
}

/// Whether a question still stands. Looked at before each request.
pub(crate) type Stands<'a> = &'a (dyn Fn() -> bool + Sync);

/// The two lanes to one device.
#[derive(Debug)]
pub(crate) struct Lanes {
    patience: Duration,
    grants: Semaphore,
    revocations: Semaphore,
}

impl Lanes {
    /// `patience` is the longest wait for a turn; so many requests of the lane of revocations may be under way at once.
    pub(crate) fn new(patience: Duration, revocations: usize) -> Self {
        Self { patience, grants: Semaphore::new(1), revocations: Semaphore::new(revocations) }
    }

    /// Waits for a turn in a lane; it lasts as long as what is given. `name` is the device's, for the error.
    pub(crate) async fn turn(
        &self,
        lane: Lane,
        name: impl std::fmt::Display,
    ) -> Result<SemaphorePermit<'_>, Unanswered> {
        let lane = match lane {
            Lane::Grants => &self.grants,
            Lane::Revocations => &self.revocations,
        };
        match timeout(self.patience, lane.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            // Semaphores here are never closed: what is left is that it took too long.
            Ok(Err(_)) | Err(_) => Err(Unanswered::Silent(format!("{name} is busy with earlier requests"))),
        }
    }
}

impl Lanes {
    /// A turn in a lane, if nobody has one.
    pub(crate) fn turn_if_free(&self, lane: Lane) -> Option<SemaphorePermit<'_>> {
        let lane = match lane {
            Lane::Grants => &self.grants,
            Lane::Revocations => &self.revocations,
        };
        lane.try_acquire().ok()
    }
}

/// Which card is being put on a device's list right now, if any. The lane of grants carries one at a time.
///
/// INVARIANT: a grant begins here before it first looks at the fence, and a revocation raises the fence before it
/// looks here. So either the grant sees the fence, or the revocation sees the grant.
#[derive(Debug)]
pub(crate) struct Putting<K>(watch::Sender<Option<K>>);

/// While this lives, a card is being put.
pub(crate) struct UnderWay<'a, K>(&'a watch::Sender<Option<K>>);

impl<K> Default for Putting<K> {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl<K: PartialEq> Putting<K> {
    pub(crate) fn begin(&self, card: K) -> UnderWay<'_, K> {
        self.0.send_replace(Some(card));
        UnderWay(&self.0)
    }

    /// Waits until the card is not being put, if it is; `limit` is the grant's own. Whether it was.
    pub(crate) async fn waited_out(&self, card: &K, limit: Duration) -> bool {
        let mut putting = self.0.subscribe();
        if putting.borrow().as_ref() != Some(card) {
            return false;
        }
        // When that is over, the grant is, too.
        let _ = timeout(limit, putting.wait_for(|putting| putting.as_ref() != Some(card))).await;
        true
    }
}

impl<K> Drop for UnderWay<'_, K> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}
