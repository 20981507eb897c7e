//! What happened at the doors, as facts: read behind a durable cursor, each event once.
//!
//! A denial of a card whose absence was read back is the highest proof there is, A4: the door itself was seen
//! to refuse. Whether a denial came before or after that is not told by times: panels count whole seconds, and
//! their clocks are off. It is told by the order of reading. A *pass* reads everything that there is; absences
//! that were proven before a pass began are *watched* once it has come to its end. What is read for the first
//! time after that has happened after that.
//!
//! A door that asks us at each swipe lets nobody in but whom we let in. One that has decided alone is an alert
//! ([`DECIDES_ALONE`]), and what it shows of a list counts as at any other door.
//!
//! Whom a door lets in is where it leads to, until another door tells something later ([`directory::presence`]): noted
//! in the transaction of the event, by the time that the door gives it, so what is read late writes over nothing newer.
//!
//! Of several processes that read the same events, the one that is first to move the cursor records them; the others
//! read on from there. Whose events cannot be read is said, and is an alert when it stays so (`silence`).
//!
//! What it is not: it believes no pushed event. A push is a hint to read now.

mod asking;
mod silence;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use directory::credential::{self, Credential};
use directory::door::AccessPoint;
use directory::presence::{self, Passage};
use kernel::id::{FactId, UserId};
use kernel::{Actor, Subject, Timestamp};
use store::{Db, Fact, Origin, StoreError, Tx, sql};
use tokio::sync::{Notify, watch};

use self::asking::Asking;
use self::silence::Silence;
use crate::BridgeError;
use crate::alert;
use crate::card::Card;
use crate::connector::{
    AccessPointAddress, AckLevel, Connector, ConnectorError, DECIDES_ALONE, DeniedReason, Direction,
    DoorEvent, EventCursor, EventGap, EventKind, EventPage, Refusal, RevocationClass, Want,
};
use crate::entrance::Entrance;
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
    /// Decides at these doors, if they ask; without it nobody does.
    entrance: Option<Entrance>,
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

/// An event, and what is known of it.
struct Shown {
    event: DoorEvent,
    /// Whose card it is.
    known: Option<Credential>,
    /// A door that should ask us let it in, and we did not.
    is_alone: bool,
}

/// What one pass over the events came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// New events that were recorded.
    pub recorded: usize,
    /// Access points whose events could not be read, and why.
    pub unread: BTreeMap<AccessPointAddress, String>,
}

impl Feed {
    /// Over an opened connector.
    #[must_use]
    pub fn new(db: Db, name: impl Into<String>, connector: Arc<dyn Connector>) -> Self {
        Self { db, name: name.into(), connector, entrance: None, look: Arc::default(), back: Arc::default() }
    }

    /// The same, of doors at which this one decides.
    #[must_use]
    pub fn deciding(mut self, entrance: Option<Entrance>) -> Self {
        self.entrance = entrance;
        self
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
        let mut silence = Silence::new(self.db.clone(), self.name.clone(), &everything);
        let mut unread = everything.clone();
        let mut failing = false;
        while !*stop.borrow() {
            let began = self.db.ctx().now();
            let missing = match self.read().await {
                Ok(pass) => pass.unread,
                Err(error) => {
                    let because = error.to_string();
                    everything.iter().map(|point| (point.clone(), because.clone())).collect()
                }
            };
            let told = silence.note(began, &missing).await;
            if let (Err(error), false) = (&told, failing) {
                tracing::warn!(door_system = %self.name, %error, "whose events are unread cannot be told");
            }
            failing = told.is_err();
            let before = std::mem::replace(&mut unread, missing.into_keys().collect());
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
        let proven = watched::unwatched(&self.db, &self.name).await?;
        let (restart, asking) = (self.restart().await?, self.asking().await?);
        let mut pass = Pass::default();
        loop {
            let cursor = self.cursor().await?;
            let page = match (self.connector.events(cursor.as_ref()).await, &cursor) {
                (Err(ConnectorError::Refused(Refusal::Cursor)), Some(foreign)) => {
                    self.begin_anew(foreign).await?;
                    continue;
                }
                (page, _) => page?,
            };
            let more = page.more;
            pass.unread.extend(page.unread.clone());
            // Another process was faster: this goes on where that one stands.
            let Some(recorded) = self.record(cursor.as_ref(), page).await? else { continue };
            pass.recorded += recorded;
            if !more {
                break;
            }
        }
        watched::watch(&self.db, &self.name, &proven, &pass.unread).await?;
        if let Some(asking) = asking {
            let points = self.connector.access_points().into_iter();
            let read = points.filter(|point| !pass.unread.contains_key(point)).collect();
            asking.note_read(&self.db, &self.name, read).await?;
        }
        if pass.unread.is_empty() {
            self.settle_restart(restart).await?;
        }
        Ok(pass)
    }

    async fn cursor(&self) -> Result<Option<EventCursor>, StoreError> {
        let row: Option<(String,)> = self
            .db
            .opt(sql!("SELECT cursor FROM event_cursor WHERE door_system = $1"), (&self.name,))
            .await?;
        Ok(row.map(|(cursor,)| EventCursor(cursor)))
    }

    /// Forgets a cursor that the connector cannot read (it was made by another one, or another version of it), unless
    /// somebody else did. What is still kept at the doors is read again, and what is not is lost.
    async fn begin_anew(&self, foreign: &EventCursor) -> Result<(), StoreError> {
        tracing::warn!(door_system = %self.name, "the events' cursor is not one of this connector's: reading begins anew");
        let mut tx = self.db.write(Origin::system()).await?;
        let forgotten = self.forget_cursor(&mut tx, foreign).await;
        tx.end(forgotten).await
    }

    async fn forget_cursor(&self, tx: &mut Tx, foreign: &EventCursor) -> Result<(), StoreError> {
        let text = sql!("DELETE FROM event_cursor WHERE door_system = $1 AND cursor = $2");
        match tx.run(text, (&self.name, &foreign.0)).await? {
            0 => Ok(()),
            _ => self.record_gap(tx, EventGap { unit: self.name.clone(), from: 0, to: None }).await,
        }
    }

    /// How many events of a page were new; `None` when another process has read on from the same cursor meanwhile, and
    /// nothing of this page was recorded.
    async fn record(
        &self,
        before: Option<&EventCursor>,
        page: EventPage,
    ) -> Result<Option<usize>, BridgeError> {
        if page.events.is_empty() && page.gaps.is_empty() && before == Some(&page.next) {
            return Ok(Some(0));
        }
        let began_anew = page.gaps.iter().any(|gap| gap.to.is_none());
        let asking = match self.asking().await? {
            Some(asking) if began_anew => Some(asking.anew()),
            asking => asking,
        };
        let mut shown = Vec::new();
        for event in page.events {
            let known = match &event.card {
                Some(card) => credential_of(&self.db, card).await?,
                None => None,
            };
            let is_alone = match &asking {
                Some(asking) => self.has_decided_alone(&event, known.as_ref(), asking).await?,
                None => false,
            };
            shown.push(Shown { event, known, is_alone });
        }
        let points = match shown.iter().any(|shown| shown.known.is_some() && lets_pass(shown.event.kind)) {
            true => directory::door::access_points(&self.db).await?,
            false => Vec::new(),
        };
        let mut tx = self.db.write(Origin::of(Actor::DoorSystem(self.name.clone()))).await?;
        let recorded = match self.advance(&mut tx, before, &page.next).await {
            Ok(true) => self.record_in(&mut tx, shown, &points, page.gaps).await.map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(tx.end(recorded).await?)
    }

    /// Moves the cursor on from where a page was read; `false` when it does not stand there any more. From here on
    /// every other process waits for this transaction.
    async fn advance(
        &self,
        tx: &mut Tx,
        before: Option<&EventCursor>,
        next: &EventCursor,
    ) -> Result<bool, StoreError> {
        let moved = match before {
            Some(before) => {
                let text = sql!("UPDATE event_cursor SET cursor = $2 WHERE door_system = $1 AND cursor = $3");
                tx.run(text, (&self.name, &next.0, &before.0)).await?
            }
            None => {
                let text = sql!(
                    "INSERT INTO event_cursor (door_system, cursor) VALUES ($1, $2) \
                     ON CONFLICT (door_system) DO NOTHING"
                );
                tx.run(text, (&self.name, &next.0)).await?
            }
        };
        Ok(moved == 1)
    }

    async fn record_in(
        &self,
        tx: &mut Tx,
        shown: Vec<Shown>,
        points: &[AccessPoint],
        gaps: Vec<EventGap>,
    ) -> Result<usize, StoreError> {
        for gap in gaps {
            self.record_gap(tx, gap).await?;
        }
        let mut recorded = 0;
        let mut passages: BTreeMap<UserId, Passage> = BTreeMap::new();
        for shown in shown {
            if self.is_new(tx, &shown.event).await? {
                recorded += 1;
                let user = shown.known.as_ref().map(|known| known.user_id);
                let fact = self.record_event(tx, &shown).await?;
                let Some(passage) = user.and_then(|user| passage(&shown.event, user, points, fact, tx.now()))
                else {
                    continue;
                };
                let is_later = passages.get(&passage.user).is_none_or(|before| before.at <= passage.at);
                if is_later {
                    passages.insert(passage.user, passage);
                }
            }
        }
        // One row a person, in one order everywhere: whoever reads another door system must not wait for us in a ring.
        for passage in passages.values() {
            presence::pass(tx, passage).await?;
        }
        Ok(recorded)
    }

    async fn record_gap(&self, tx: &mut Tx, gap: EventGap) -> Result<(), StoreError> {
        let EventGap { unit, from, to } = gap;
        let body = DoorEventsLost { door_system: self.name.clone(), unit, from, to };
        let fact = tx.record(Fact::new(Subject::new("door_system", &self.name), &body));
        if to.is_some() {
            return Ok(());
        }
        // The numbering began anew: what is read next may be older than anything. Until another pass has read all
        // of it, no denial proves anything, and what doors let in may be from before they were to ask.
        let unread = sql!("UPDATE event_cursor SET read_to_end = NULL WHERE door_system = $1");
        tx.run(unread, (&self.name,)).await?;
        tx.run(
            sql!(
                "INSERT INTO event_restart (door_system, fact) VALUES ($1, $2) \
                 ON CONFLICT (door_system) DO UPDATE SET fact = excluded.fact"
            ),
            (&self.name, fact),
        )
        .await
        .map(drop)
    }

    /// The fact since which no pass has read everything, if there is one.
    async fn restart(&self) -> Result<Option<FactId>, StoreError> {
        let text = sql!("SELECT fact FROM event_restart WHERE door_system = $1");
        let row: Option<(FactId,)> = self.db.opt(text, (&self.name,)).await?;
        Ok(row.map(|(fact,)| fact))
    }

    /// A pass that began after a restart has read everything: denials prove again.
    async fn settle_restart(&self, seen: Option<FactId>) -> Result<(), StoreError> {
        let Some(seen) = seen else { return Ok(()) };
        let mut tx = self.db.write(Origin::system()).await?;
        let text = sql!("DELETE FROM event_restart WHERE door_system = $1 AND fact = $2");
        let settled = tx.run(text, (&self.name, seen)).await;
        tx.end(settled).await.map(drop)
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

    async fn record_event(&self, tx: &mut Tx, shown: &Shown) -> Result<FactId, StoreError> {
        let Shown { event, known, is_alone } = shown;
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
        if let Some(known) = known {
            fact = fact.about(known.id.subject()).about(known.user_id.subject());
        }
        let fact = tx.record(fact);
        match (known, verdict(event.kind)) {
            (Some(known), Some(Verdict::Refused)) => self.observe_denial(tx, event, known).await?,
            // We let it in: that says nothing of a list. Lists are swept.
            (Some(_), Some(Verdict::Known)) if self.asks_us() && !is_alone => {}
            (Some(known), Some(Verdict::Known)) => self.observe_presence(tx, event, known).await?,
            _ => {}
        }
        if *is_alone {
            self.tell_alone(tx, event).await?;
        }
        Ok(fact)
    }

    /// A device that should ask us let somebody in by itself. What it is set to now, its health tells.
    async fn tell_alone(&self, tx: &mut Tx, event: &DoorEvent) -> Result<(), StoreError> {
        let Some(point) = &event.access_point else { return Ok(()) };
        let card = event.card.map(|card| card.to_string()).unwrap_or_default();
        let at = event.at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string());
        let detail = format!("{}, {point}: it let {card} in at {at}, and we did not", self.name);
        alert::open_in(tx, DECIDES_ALONE, &Subject::new("access_point", point), &detail).await.map(drop)
    }

    /// What is known of doors that ask us; `None` when they do not.
    async fn asking(&self) -> Result<Option<Asking>, StoreError> {
        match self.asks_us() {
            true => Asking::load(&self.db, &self.name).await,
            false => Ok(None),
        }
    }

    /// Whether a door that asks us has let a card in, and we did not: nobody wants it there, and no decision of ours
    /// says so. (A right may have ended between the swipe and now.) What happened before doors were to ask was right
    /// then ([`Asking`]).
    async fn has_decided_alone(
        &self,
        event: &DoorEvent,
        known: Option<&Credential>,
        asking: &Asking,
    ) -> Result<bool, StoreError> {
        let Some(point) = event.access_point.as_ref().filter(|_| event.card.is_some()) else {
            return Ok(false);
        };
        if !lets_pass(event.kind) || !asking.concerns(point, event.at) {
            return Ok(false);
        }
        let when = asking.when(event.at, self.db.ctx().now());
        let Some(known) = known else { return Ok(true) };
        match (placement::wanted(&self.db, &self.name, known).await?.want, &self.entrance) {
            (Want::Present(rights), _) if rights.access.contains_key(point) => Ok(false),
            (_, Some(entrance)) => Ok(!entrance.has_let_in(known.id, point, when).await?),
            (_, None) => Ok(true),
        }
    }

    /// Whether we decide at these doors, at each swipe.
    fn asks_us(&self) -> bool {
        self.connector.descriptor().revocation == RevocationClass::R0
    }

    /// The placement of a card that must not be there, when an event at this door that is read now tells something
    /// of it. Other doors may be out of reach: they are no part of this one's proof.
    async fn watched(
        &self,
        tx: &mut Tx,
        known: &Credential,
        at: Option<&AccessPointAddress>,
    ) -> Result<Option<Placement>, StoreError> {
        let text = sql!("SELECT fact FROM event_restart WHERE door_system = $1");
        let restart: Option<(FactId,)> = tx.opt(text, (&self.name,)).await?;
        let placement = placement::get_in(tx, &self.name, known.id).await?;
        Ok(placement.filter(|placement| restart.is_none() && placement.is_watched_at(at)))
    }

    /// A denial at a door that the card opened before raises that door to A4, once; where denials prove something.
    async fn observe_denial(
        &self,
        tx: &mut Tx,
        event: &DoorEvent,
        known: &Credential,
    ) -> Result<(), StoreError> {
        let Some(point) = &event.access_point else { return Ok(()) };
        if !self.connector.descriptor().acks.contains(&AckLevel::ObservedDenial) {
            return Ok(());
        }
        let Some(placement) = self.watched(tx, known, Some(point)).await? else { return Ok(()) };
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
        if self.watched(tx, known, event.access_point.as_ref()).await?.is_none() {
            return Ok(());
        }
        let at = event.access_point.as_ref().map_or("an unnamed door", |point| &point.0);
        tracing::error!(door_system = %self.name, at, credential = ?known.id, "a revoked card is known to a door");
        let card = event.card.map(|card| card.to_string()).unwrap_or_default();
        sweep::found(tx, &self.name, Deviation::Opened, &card, Some(known), None).await
    }
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

/// Whether somebody was let in, or out.
const fn lets_pass(kind: EventKind) -> bool {
    matches!(kind, EventKind::AccessGranted | EventKind::Duress)
}

/// Where somebody is by an event. A door whose clock is ahead tells of nothing later than now, so it shuts nobody out
/// of what others tell.
fn passage(
    event: &DoorEvent,
    user: UserId,
    points: &[AccessPoint],
    fact: FactId,
    now: Timestamp,
) -> Option<Passage> {
    if !lets_pass(event.kind) {
        return None;
    }
    let at = event.access_point.as_ref()?;
    let point = points.iter().find(|point| point.name == at.0)?;
    let area = match event.direction {
        Some(Direction::Out) => point.area_from.clone(),
        Some(Direction::In) | None => Some(point.area.clone()),
    };
    let at = event.at.map_or(now, |at| at.min(now));
    Some(Passage { user, area, access_point: point.name.clone(), at, fact })
}

/// Whose card this is.
pub(crate) async fn credential_of(db: &Db, card: &Card) -> Result<Option<Credential>, StoreError> {
    let Some((format, facility, number)) = card.row() else { return Ok(None) };
    credential::by_card(db, format, facility, number).await
}

#[cfg(test)]
mod tests {
    use kernel::Ctx;

    use super::*;
    use crate::connector::Alarm;

    #[test]
    fn who_is_let_in_is_behind_the_door_and_who_is_let_out_before_it() {
        let ctx = Ctx::for_tests(1);
        let (user, fact, now) = (UserId::new(&ctx), FactId::new(&ctx), ctx.now());
        let point = |name: &str, from: Option<&str>| AccessPoint {
            name: name.into(),
            version: 1,
            door_system: "hq".into(),
            area: "lab".into(),
            area_from: from.map(str::to_owned),
        };
        let points = [point("door", Some("hall")), point("hatch", None)];
        let (early, late) = (now.minus(Duration::from_secs(60)), now.plus(Duration::from_secs(60)));
        use EventKind::{AccessGranted, Denied, DoorOpened, Duress};
        for (kind, at, direction, told, expect) in [
            (AccessGranted, "door", None, Some(early), Some((Some("lab"), early))),
            (AccessGranted, "door", Some(Direction::In), Some(early), Some((Some("lab"), early))),
            (AccessGranted, "door", Some(Direction::Out), Some(early), Some((Some("hall"), early))),
            (AccessGranted, "hatch", Some(Direction::Out), Some(early), Some((None, early))),
            (Duress, "door", None, Some(early), Some((Some("lab"), early))),
            (AccessGranted, "door", None, Some(late), Some((Some("lab"), now))),
            (AccessGranted, "door", None, None, Some((Some("lab"), now))),
            (AccessGranted, "nowhere", None, Some(early), None),
            (Denied(DeniedReason::Unauthorized), "door", None, Some(early), None),
            (DoorOpened, "door", None, Some(early), None),
        ] {
            let event = DoorEvent {
                id: "1".into(),
                index: 1,
                kind,
                at: told,
                access_point: Some(at.into()),
                direction,
                card: None,
                vendor: String::new(),
            };
            let passage = passage(&event, user, &points, fact, now);
            let seen = passage.as_ref().map(|passage| (passage.area.as_deref(), passage.at));
            assert_eq!(seen, expect, "{kind:?} at {at}, {direction:?}");
        }
    }

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
