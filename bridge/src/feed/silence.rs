//! Whose events cannot be read: a line in the log at once, and an alert when it stays so. A device may answer whatever
//! else it is asked, and show no finding, while nobody can read its log: of what happens at its doors nobody would
//! hear.
//!
//! What it is not: it reads nothing. Events that are gone for good are no silence but facts
//! ([`crate::facts::DoorEventsLost`]).

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Subject, Timestamp};
use store::{Db, StoreError};

use crate::alert::{self, EVENTS_PATIENCE, EVENTS_UNREAD};
use crate::connector::AccessPointAddress;

/// What one feed knows of it. Another process may reach what this one does not, and has a silence of its own.
pub(super) struct Silence {
    db: Db,
    door_system: String,
    unread: BTreeMap<AccessPointAddress, Unread>,
}

/// Of one access point.
struct Unread {
    since: Timestamp,
    is_said: bool,
}

impl Unread {
    fn is_late(&self, began: Timestamp) -> bool {
        began.since(self.since) >= EVENTS_PATIENCE
    }
}

impl Silence {
    /// As a feed begins: nothing has been read yet, and an alert may be open since before.
    pub(super) fn new(db: Db, door_system: String, points: &BTreeSet<AccessPointAddress>) -> Self {
        let since = db.ctx().now();
        let unread = points.iter().map(|point| (point.clone(), Unread { since, is_said: false }));
        Self { unread: unread.collect(), db, door_system }
    }

    /// Hears whose events a pass could not read, and why. `began` is when it began: what was mended since is not late.
    ///
    /// # Errors
    /// When the database cannot be written: the next pass tells it.
    pub(super) async fn note(
        &mut self,
        began: Timestamp,
        missing: &BTreeMap<AccessPointAddress, String>,
    ) -> Result<(), StoreError> {
        self.say(began, missing);
        self.tell(began, missing).await
    }

    /// In the log: once for each reason, since a device has one for all of its doors.
    fn say(&mut self, began: Timestamp, missing: &BTreeMap<AccessPointAddress, String>) {
        let mut new: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (point, because) in missing {
            let fresh = || Unread { since: began, is_said: false };
            let unread = self.unread.entry(point.clone()).or_insert_with(fresh);
            if !unread.is_said {
                unread.is_said = true;
                new.entry(because.as_str()).or_default().push(point.0.as_str());
            }
        }
        for (because, points) in new {
            let at = points.join(", ");
            tracing::warn!(door_system = %self.door_system, %at, because, "events cannot be read");
        }
    }

    async fn tell(
        &mut self,
        began: Timestamp,
        missing: &BTreeMap<AccessPointAddress, String>,
    ) -> Result<(), StoreError> {
        let mut unread = self.unread.iter();
        if unread.all(|(point, unread)| missing.contains_key(point) && !unread.is_late(began)) {
            return Ok(());
        }
        let open = alert::open_of_kind(&self.db, EVENTS_UNREAD).await?;
        let is_open = |subject: &Subject| open.iter().any(|open| open.subject == subject.to_string());
        let back: Vec<AccessPointAddress> =
            self.unread.keys().filter(|point| !missing.contains_key(*point)).cloned().collect();
        for point in back {
            let subject = subject(&point);
            if is_open(&subject) {
                alert::close(&self.db, EVENTS_UNREAD, &subject).await?;
            }
            if self.unread.remove(&point).is_some_and(|unread| unread.is_said) {
                tracing::info!(door_system = %self.door_system, at = %point, "events are read again");
            }
        }
        for (point, because) in missing {
            let Some(unread) = self.unread.get(point).filter(|unread| unread.is_late(began)) else {
                continue;
            };
            let subject = subject(point);
            if !is_open(&subject) {
                let detail = self.detail(point, unread.since, because);
                alert::open(&self.db, EVENTS_UNREAD, &subject, &detail).await?;
            }
        }
        Ok(())
    }

    fn detail(&self, point: &AccessPointAddress, since: Timestamp, because: &str) -> String {
        format!(
            "{}, {point}: its events have not been read since {since} at least ({because}). Until they are, nobody hears \
             whom it lets in, and no denial there proves anything. Look at the device, at its log and at the way to it.",
            self.door_system
        )
    }
}

fn subject(point: &AccessPointAddress) -> Subject {
    Subject::new("access_point", point)
}
