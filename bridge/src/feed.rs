//! What happened at the doors, as facts: read behind a durable cursor, each event once.
//!
//! A denial of a card whose absence was read back is the highest proof there is, A4: the door itself was seen
//! to refuse. Whether a denial came before or after that is not told by times: panels count whole seconds, and
//! their clocks are off. It is told by the order of reading. A *pass* reads everything that there is; absences
//! that were proven before a pass began are *watched* once it has come to its end. What is read for the first
//! time after that has happened after that.
//!
//! What it is not: it believes no pushed event. A push is a hint to read now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use directory::credential::{self, Credential};
use kernel::id::CredentialId;
use kernel::{Actor, Subject};
use store::{Db, Fact, Origin, StoreError, Tx, sql};
use tokio::sync::{Notify, watch};

use crate::BridgeError;
use crate::card::Card;
use crate::connector::{
    AccessPointAddress, AckLevel, Connector, ConnectorError, DeniedReason, DoorEvent, EventCursor, EventGap,
    EventKind, EventPage,
};
use crate::facts::{DoorEventSeen, DoorEventsLost, PlacementProven};
use crate::placement::{self, Placement};
use crate::sweep::{self, Deviation};

/// How often events are read when the door system does not hint.
const POLL: Duration = Duration::from_secs(2);

/// Reads the events of one door system.
pub struct Feed {
    db: Db,
    name: String,
    connector: Arc<dyn Connector>,
    look: Arc<Notify>,
    back: Arc<Notify>,
}

/// Why a look at the events ended early.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The door system did not answer properly.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The database failed.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
}

impl From<StoreError> for FeedError {
    fn from(error: StoreError) -> Self {
        Self::Bridge(error.into())
    }
}

/// What one pass over the events came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// New events that were recorded.
    pub recorded: usize,
    /// Access points whose events could not be read.
    pub unread: BTreeSet<AccessPointAddress>,
}

impl Feed {
    /// Over an opened connector.
    #[must_use]
    pub fn new(db: Db, name: impl Into<String>, connector: Arc<dyn Connector>) -> Self {
        Self { db, name: name.into(), connector, look: Arc::default(), back: Arc::default() }
    }

    /// The same; looks when `look` rings, and rings `back` when a part of the door system answers that did not
    /// before (at start: none did).
    #[must_use]
    pub fn between(mut self, look: Arc<Notify>, back: Arc<Notify>) -> Self {
        (self.look, self.back) = (look, back);
        self
    }

    /// Reads until `stop` turns true: at each hint and ring, and every two seconds.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let everything: BTreeSet<AccessPointAddress> = self.connector.access_points().into_iter().collect();
        let mut unread = everything.clone();
        let mut failing = false;
        while !*stop.borrow() {
            let pass = self.read().await;
            if let (Err(error), false) = (&pass, failing) {
                tracing::warn!(door_system = %self.name, %error, "events cannot be read");
            }
            failing = pass.is_err();
            let before =
                std::mem::replace(&mut unread, pass.map_or_else(|_| everything.clone(), |pass| pass.unread));
            if before.difference(&unread).next().is_some() {
                self.back.notify_one();
            }
            tokio::select! {
                () = self.connector.hinted() => {}
                () = self.look.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One pass: reads everything that there is now.
    pub async fn read(&self) -> Result<Pass, FeedError> {
        // INVARIANT: asked before the first event is. What these absences did not keep from happening has
        // happened by now, and is read in this pass at the latest.
        let proven = self.unwatched().await?;
        let mut pass = Pass::default();
        loop {
            let cursor = self.cursor().await?;
            let page = self.connector.events(cursor.as_ref()).await?;
            let more = page.more;
            pass.unread.extend(page.unread.iter().cloned());
            pass.recorded += self.record(cursor, page).await?;
            if !more {
                break;
            }
        }
        if pass.unread.is_empty() {
            self.watch(&proven).await?;
        }
        Ok(pass)
    }

    /// Absences that were proven and are not watched yet: credential and version.
    async fn unwatched(&self) -> Result<Vec<(CredentialId, i64)>, StoreError> {
        self.db
            .all(
                sql!(
                    "SELECT credential_id, version FROM placement \
                     WHERE door_system = $1 AND wanted = 'absent' AND ack >= 2 AND watched_at IS NULL"
                ),
                (&self.name,),
            )
            .await
    }

    async fn watch(&self, proven: &[(CredentialId, i64)]) -> Result<(), StoreError> {
        if proven.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        let watched = watch_in(&mut tx, &self.name, proven).await;
        tx.end(watched).await
    }

    async fn cursor(&self) -> Result<Option<EventCursor>, StoreError> {
        let row: Option<(String,)> = self
            .db
            .opt(sql!("SELECT cursor FROM event_cursor WHERE door_system = $1"), (&self.name,))
            .await?;
        Ok(row.map(|(cursor,)| EventCursor(cursor)))
    }

    async fn record(&self, before: Option<EventCursor>, page: EventPage) -> Result<usize, BridgeError> {
        if page.events.is_empty() && page.gaps.is_empty() && before.as_ref() == Some(&page.next) {
            return Ok(0);
        }
        let mut shown = Vec::new();
        for event in page.events {
            let known = match &event.card {
                Some(card) => credential_of(&self.db, card).await?,
                None => None,
            };
            shown.push((event, known));
        }
        let mut tx = self.db.write(Origin::of(Actor::DoorSystem(self.name.clone()))).await?;
        let recorded = self.record_in(&mut tx, shown, page.gaps, &page.next).await;
        Ok(tx.end(recorded).await?)
    }

    async fn record_in(
        &self,
        tx: &mut Tx,
        shown: Vec<(DoorEvent, Option<Credential>)>,
        gaps: Vec<EventGap>,
        next: &EventCursor,
    ) -> Result<usize, StoreError> {
        for gap in gaps {
            self.record_gap(tx, gap).await?;
        }
        let mut recorded = 0;
        for (event, known) in shown {
            if self.is_new(tx, &event).await? {
                recorded += 1;
                self.record_event(tx, &event, known).await?;
            }
        }
        tx.run(
            sql!(
                "INSERT INTO event_cursor (door_system, cursor) VALUES ($1, $2) \
                 ON CONFLICT (door_system) DO UPDATE SET cursor = excluded.cursor"
            ),
            (&self.name, &next.0),
        )
        .await?;
        Ok(recorded)
    }

    async fn record_gap(&self, tx: &mut Tx, gap: EventGap) -> Result<(), StoreError> {
        if gap.to.is_none() {
            // The numbering began anew: what is read next may be older than anything.
            let sql =
                sql!("UPDATE placement SET watched_at = NULL WHERE door_system = $1 AND wanted = 'absent'");
            tx.run(sql, (&self.name,)).await?;
        }
        let EventGap { unit, from, to } = gap;
        let body = DoorEventsLost { door_system: self.name.clone(), unit, from, to };
        tx.record(Fact::new(Subject::new("door_system", &self.name), &body));
        Ok(())
    }

    /// Notes the id of an event; `false` when it was noted before.
    async fn is_new(&self, tx: &mut Tx, event: &DoorEvent) -> Result<bool, StoreError> {
        let index = i64::try_from(event.index).unwrap_or(i64::MAX);
        let noted = tx
            .run(
                sql!(
                    "INSERT INTO door_event (door_system, source, event_index) VALUES ($1, $2, $3) \
                     ON CONFLICT (door_system, source, event_index) DO NOTHING"
                ),
                (&self.name, &event.id, index),
            )
            .await?;
        Ok(noted == 1)
    }

    async fn record_event(
        &self,
        tx: &mut Tx,
        event: &DoorEvent,
        known: Option<Credential>,
    ) -> Result<(), StoreError> {
        let subject = match &event.access_point {
            Some(point) => Subject::new("access_point", point),
            None => Subject::new("door_system", &self.name),
        };
        let body = DoorEventSeen {
            door_system: self.name.clone(),
            event: event.clone(),
            credential: known.as_ref().map(|known| known.id),
            user: known.as_ref().map(|known| known.user_id),
        };
        let mut fact = Fact::new(subject, &body);
        if let Some(known) = &known {
            fact = fact.about(known.id.subject()).about(known.user_id.subject());
        }
        tx.record(fact);
        match (known, verdict(event.kind)) {
            (Some(known), Some(Verdict::Refused)) => self.observe_denial(tx, event, &known).await,
            (Some(known), Some(Verdict::Known)) => self.observe_presence(tx, event, &known).await,
            _ => Ok(()),
        }
    }

    /// The placement of a card that must not be there, when an event that is read now tells something of it.
    async fn watched(&self, tx: &mut Tx, known: &Credential) -> Result<Option<Placement>, StoreError> {
        let placement = placement::get_in(tx, &self.name, known.id).await?;
        Ok(placement.filter(|placement| placement.is_proven_absent() && placement.watched_at.is_some()))
    }

    /// A denial at a door that the card opened before raises that door to A4, once.
    async fn observe_denial(
        &self,
        tx: &mut Tx,
        event: &DoorEvent,
        known: &Credential,
    ) -> Result<(), StoreError> {
        let Some(point) = &event.access_point else { return Ok(()) };
        let Some(placement) = self.watched(tx, known).await? else { return Ok(()) };
        if !placement::deny(tx, &placement, point).await? {
            return Ok(());
        }
        let body = PlacementProven {
            credential: known.id,
            user: known.user_id,
            door_system: self.name.clone(),
            wanted: placement.wanted,
            level: AckLevel::ObservedDenial,
            access_points: vec![point.to_string()],
            missing: Vec::new(),
            requested_at: placement.requested_at,
            attempts: placement.attempts,
        };
        tx.record(body.into_fact());
        Ok(())
    }

    /// A door knows a card that was proven absent: somebody has put it back.
    async fn observe_presence(
        &self,
        tx: &mut Tx,
        event: &DoorEvent,
        known: &Credential,
    ) -> Result<(), StoreError> {
        if self.watched(tx, known).await?.is_none() {
            return Ok(());
        }
        let at = event.access_point.as_ref().map_or("an unnamed door", |point| &point.0);
        tracing::error!(door_system = %self.name, at, credential = ?known.id, "a revoked card is known to a door");
        let card = event.card.map(|card| card.to_string()).unwrap_or_default();
        sweep::found(tx, &self.name, Deviation::Opened, &card, Some(known), None).await
    }
}

async fn watch_in(tx: &mut Tx, door_system: &str, proven: &[(CredentialId, i64)]) -> Result<(), StoreError> {
    for (credential, version) in proven {
        let now = tx.now();
        tx.run(
            sql!(
                "UPDATE placement SET watched_at = $4 WHERE door_system = $1 AND credential_id = $2 \
                 AND version = $3 AND wanted = 'absent' AND ack >= 2 AND watched_at IS NULL"
            ),
            (door_system, credential, version, now),
        )
        .await?;
    }
    Ok(())
}

/// What an event tells of the card that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The door refused it because it is not on its list, or has no right there.
    Refused,
    /// It is on the list.
    Known,
}

/// What an event tells of the card. A denial for another reason (interlock, anti-passback, a door that is set
/// to stay shut, a wrong PIN) would have met a valid card, too, and tells nothing.
fn verdict(kind: EventKind) -> Option<Verdict> {
    use DeniedReason::{
        CredentialExpired, CredentialNotActive, CredentialNotEnabled, CredentialNotFound, InvalidPin,
        NotPermittedAtThisTime, Other, Unauthorized,
    };
    match kind {
        EventKind::Denied(CredentialNotFound | CredentialNotEnabled | Unauthorized) => Some(Verdict::Refused),
        // Days and hours are rights: only a card that is on the list is refused because of them.
        EventKind::Denied(CredentialNotActive | CredentialExpired | NotPermittedAtThisTime)
        | EventKind::AccessGranted
        | EventKind::Duress => Some(Verdict::Known),
        EventKind::Denied(InvalidPin | Other)
        | EventKind::DoorOpened
        | EventKind::DoorClosed
        | EventKind::DoorAlarm(_)
        | EventKind::Restarted
        | EventKind::Other => None,
    }
}

/// Whose card this is.
pub(crate) async fn credential_of(db: &Db, card: &Card) -> Result<Option<Credential>, StoreError> {
    let Some(number) = card.number().and_then(|number| i64::try_from(number).ok()) else { return Ok(None) };
    let facility = i64::from(card.facility().unwrap_or(0));
    credential::by_card(db, card.format().as_str(), facility, number).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Alarm;

    #[test]
    fn only_a_refusal_for_want_of_a_right_proves_and_only_a_listed_card_contradicts() {
        use DeniedReason::*;
        for (kind, expect) in [
            (EventKind::Denied(CredentialNotFound), Some(Verdict::Refused)),
            (EventKind::Denied(Unauthorized), Some(Verdict::Refused)),
            (EventKind::Denied(CredentialNotEnabled), Some(Verdict::Refused)),
            // UHPPOTE's reason 15.
            (EventKind::Denied(NotPermittedAtThisTime), Some(Verdict::Known)),
            (EventKind::Denied(CredentialExpired), Some(Verdict::Known)),
            (EventKind::AccessGranted, Some(Verdict::Known)),
            (EventKind::Denied(InvalidPin), None),
            (EventKind::Denied(Other), None),
            (EventKind::DoorAlarm(Alarm::ForcedOpen), None),
            (EventKind::DoorOpened, None),
        ] {
            assert_eq!(verdict(kind), expect, "{kind:?}");
        }
    }
}
