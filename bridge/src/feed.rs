//! What happened at the doors, as facts: read behind a durable cursor, each event once.
//!
//! A denial of a card whose absence was read back is the highest proof there is, A4: the door itself was seen
//! to refuse.

use std::sync::Arc;
use std::time::Duration;

use directory::credential::{self, Credential};
use kernel::{Actor, Subject, Timestamp};
use store::{Db, Fact, Origin, StoreError, Tx, sql};
use tokio::sync::watch;

use crate::BridgeError;
use crate::card::Card;
use crate::connector::{AckLevel, Connector, ConnectorError, DeniedReason, DoorEvent, EventCursor, EventKind, EventPage};
use crate::facts::{DoorEventSeen, DoorEventsLost, PlacementProven};
use crate::placement::Placement;

/// How often events are read when the door system does not hint.
const POLL: Duration = Duration::from_secs(2);
/// A panel's clock counts whole seconds and may be this much off ours.
const CLOCK_SLACK: Duration = Duration::from_secs(3);

/// Reads the events of one door system.
pub struct Feed {
    db: Db,
    name: String,
    connector: Arc<dyn Connector>,
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

impl Feed {
    /// Over an opened connector.
    #[must_use]
    pub fn new(db: Db, name: impl Into<String>, connector: Arc<dyn Connector>) -> Self {
        Self { db, name: name.into(), connector }
    }

    /// Reads until `stop` turns true: at each hint, and every two seconds.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failing = false;
        while !*stop.borrow() {
            match self.read().await {
                Ok(_) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(door_system = %self.name, %error, "events cannot be read");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.connector.hinted() => {}
                () = tokio::time::sleep(POLL) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Reads everything there is now. Answers how many new events were recorded.
    pub async fn read(&self) -> Result<usize, FeedError> {
        let mut recorded = 0;
        loop {
            let cursor = self.cursor().await?;
            let page = self.connector.events(cursor.as_ref()).await?;
            let more = page.more;
            recorded += self.record(cursor, page).await?;
            if !more {
                return Ok(recorded);
            }
        }
    }

    async fn cursor(&self) -> Result<Option<EventCursor>, StoreError> {
        let row: Option<(String,)> =
            self.db.opt(sql!("SELECT cursor FROM event_cursor WHERE door_system = $1"), (&self.name,)).await?;
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
        let recorded = self.record_in(&mut tx, shown, &page.gaps, &page.next).await;
        Ok(tx.end(recorded).await?)
    }

    async fn record_in(
        &self,
        tx: &mut Tx,
        shown: Vec<(DoorEvent, Option<Credential>)>,
        gaps: &[crate::connector::EventGap],
        next: &EventCursor,
    ) -> Result<usize, StoreError> {
        let mut recorded = 0;
        for (event, known) in shown {
            if self.is_new(tx, &event).await? {
                recorded += 1;
                self.record_event(tx, event, known).await?;
            }
        }
        for gap in gaps {
            let body = DoorEventsLost {
                door_system: self.name.clone(),
                unit: gap.unit.clone(),
                from: gap.from,
                to: gap.to,
            };
            tx.record(Fact::new(Subject::new("door_system", &self.name), &body));
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

    /// Notes the vendor's id of an event; `false` when it was noted before.
    async fn is_new(&self, tx: &mut Tx, event: &DoorEvent) -> Result<bool, StoreError> {
        let index = i64::try_from(event.index).unwrap_or(i64::MAX);
        let noted = tx
            .run(
                sql!(
                    "INSERT INTO door_event (door_system, source, event_index, fact) VALUES ($1, $2, $3, '') \
                     ON CONFLICT (door_system, source, event_index) DO NOTHING"
                ),
                (&self.name, &event.id, index),
            )
            .await?;
        Ok(noted == 1)
    }

    async fn record_event(&self, tx: &mut Tx, event: DoorEvent, known: Option<Credential>) -> Result<(), StoreError> {
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
        match known {
            Some(known) if proves_denial(&event) => self.observe_denial(tx, &event, &known).await,
            _ => Ok(()),
        }
    }

    /// A denial of a card that was proven absent raises its placement to A4, once.
    async fn observe_denial(&self, tx: &mut Tx, event: &DoorEvent, known: &Credential) -> Result<(), StoreError> {
        let placement: Option<Placement> = tx
            .opt(
                sql!(
                    "SELECT door_system, credential_id, version, wanted, rights, ack, cause, requested_at, sent_at, \
                     accepted_at, read_back_at, lock_confirmed_at, denial_observed_at, attempts FROM placement \
                     WHERE door_system = $1 AND credential_id = $2"
                ),
                (&self.name, known.id),
            )
            .await?;
        let Some(placement) = placement.filter(|placement| {
            placement.is_proven_absent()
                && placement.level() < AckLevel::ObservedDenial
                && happened_after(event, placement.sent_at)
        }) else {
            return Ok(());
        };
        tx.run(
            sql!(
                "UPDATE placement SET ack = 4, denial_observed_at = $3 WHERE door_system = $1 AND credential_id = $2"
            ),
            (&self.name, known.id, tx.now()),
        )
        .await?;
        let body = PlacementProven {
            credential: known.id,
            user: known.user_id,
            door_system: self.name.clone(),
            wanted: placement.wanted,
            level: AckLevel::ObservedDenial,
            requested_at: placement.requested_at,
            attempts: placement.attempts,
        };
        tx.record(
            Fact::new(known.id.subject(), &body)
                .about(known.user_id.subject())
                .about(Subject::new("door_system", &self.name)),
        );
        Ok(())
    }
}

/// Whether an event says that a card does not open. A wrong PIN says nothing about the card.
fn proves_denial(event: &DoorEvent) -> bool {
    matches!(event.kind, EventKind::Denied(reason) if reason != DeniedReason::InvalidPin)
}

/// Whether the event can only have happened after the revocation was sent. An event without a time proves
/// nothing.
fn happened_after(event: &DoorEvent, sent_at: Option<Timestamp>) -> bool {
    match (event.at, sent_at) {
        (Some(at), Some(sent_at)) => at.plus(CLOCK_SLACK) >= sent_at,
        _ => false,
    }
}

/// Whose card this is.
pub(crate) async fn credential_of(db: &Db, card: &Card) -> Result<Option<Credential>, StoreError> {
    let Some(number) = card.number().and_then(|number| i64::try_from(number).ok()) else { return Ok(None) };
    let facility = i64::from(card.facility().unwrap_or(0));
    credential::by_card(db, card.format().as_str(), facility, number).await
}
