//! Which events of doors that ask us at each swipe are looked at for somebody whom a device let in by itself.
//!
//! What happened before doors were to ask was right then. A device's own time does not tell that from the rest: whoever
//! sets it to decide alone sets its clock as well. It is told by the order of reading. Once a pass has read a door's
//! events to their end, under the configuration that is declared now, whatever is read there for the first time
//! happened after that. Until then, and while a numbering that began anew is read, the time has to do.
//!
//! What it is not: it does not know whom we let in ([`crate::entrance`]).

use std::collections::BTreeSet;

use kernel::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Db, Origin, StoreError, sql};

use crate::connector::AccessPointAddress;
use crate::placement;

/// What is known of doors that ask us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    /// Of the door system as it is declared now, and since when.
    version: i64,
    since: Timestamp,
    /// Whose events have been read to their end since.
    read: BTreeSet<AccessPointAddress>,
}

/// The same as the cursor's row keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    version: i64,
    access_points: BTreeSet<AccessPointAddress>,
}

impl Asking {
    /// `None` when there is no such door system.
    pub(super) async fn load(db: &Db, door_system: &str) -> Result<Option<Self>, StoreError> {
        let text = sql!(
            "SELECT s.version, s.updated_at, c.read_to_end FROM door_system s \
             LEFT JOIN event_cursor c ON c.door_system = s.name WHERE s.name = $1"
        );
        let row: Option<(i64, Timestamp, Option<String>)> = db.opt(text, (door_system,)).await?;
        Ok(row.map(|(version, since, noted)| {
            let noted: Option<Noted> = noted.and_then(|noted| serde_json::from_str(&noted).ok());
            let read = noted.filter(|noted| noted.version == version).map(|noted| noted.access_points);
            Self { version, since, read: read.unwrap_or_default() }
        }))
    }

    /// The same of a door system whose numbering has begun anew: there may be anything in it.
    pub(super) fn anew(self) -> Self {
        Self { read: BTreeSet::new(), ..self }
    }

    /// Notes whose events have been read to their end by a pass that began when this was loaded.
    pub(super) async fn note_read(
        self,
        db: &Db,
        door_system: &str,
        read: BTreeSet<AccessPointAddress>,
    ) -> Result<(), StoreError> {
        let Some(now) = Self::load(db, door_system).await? else { return Ok(()) };
        // Of another version it may be other devices.
        if now.version != self.version || read.is_subset(&now.read) {
            return Ok(());
        }
        let noted = Noted { version: now.version, access_points: &now.read | &read };
        let text = sql!("UPDATE event_cursor SET read_to_end = $2 WHERE door_system = $1");
        db.change(Origin::system(), text, (door_system, placement::json(&noted)), Vec::new()).await.map(drop)
    }

    /// Whether what a door tells now, of this time by its device's clock, happened when it was to ask us already.
    pub(super) fn concerns(&self, access_point: &AccessPointAddress, at: Option<Timestamp>) -> bool {
        self.read.contains(access_point) || !self.is_before(at)
    }

    /// When an event was that concerns us. A clock that shows a time before the door was to ask us shows none: then it
    /// is about now, when it is read.
    pub(super) fn when(&self, at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        if self.is_before(at) { Some(now) } else { at }
    }

    /// Devices count whole seconds.
    fn is_before(&self, at: Option<Timestamp>) -> bool {
        at.is_some_and(|at| at.as_secs() < self.since.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_door_was_read_to_its_end_no_time_that_its_device_gives_hides_what_it_tells() {
        let since = Timestamp::from_millis(1_700_000_000_500);
        let asking = Asking { version: 3, since, read: BTreeSet::from(["gate".into()]) };
        let at = |seconds: i64| Some(Timestamp::from_secs(1_700_000_000 + seconds));
        for (point, at, concerns, anew) in [
            ("gate", at(60), true, true),
            ("gate", at(-60), true, false),
            ("gate", Some(Timestamp::EPOCH), true, false),
            ("gate", None, true, true),
            // Devices count whole seconds.
            ("vault", at(0), true, true),
            ("vault", at(-1), false, false),
            ("vault", None, true, true),
        ] {
            let said = asking.concerns(&point.into(), at);
            assert_eq!(said, concerns, "{point} at {at:?}");
            let said = asking.clone().anew().concerns(&point.into(), at);
            assert_eq!(said, anew, "{point} at {at:?}, and the numbering began anew");
        }
    }

    #[test]
    fn a_time_from_before_it_was_to_ask_is_none() {
        let since = Timestamp::from_secs(1_700_000_000);
        let (now, later) = (Timestamp::from_secs(1_800_000_000), Timestamp::from_secs(1_750_000_000));
        let asking = Asking { version: 3, since, read: BTreeSet::new() };
        for (at, when) in [
            (None, None),
            (Some(later), Some(later)),
            (Some(since), Some(since)),
            (Some(Timestamp::EPOCH), Some(now)),
        ] {
            assert_eq!(asking.when(at, now), when, "{at:?}");
        }
    }
}
