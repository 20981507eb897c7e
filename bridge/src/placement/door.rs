//! The reconciler of one door system: brings one credential to what is wanted, and proves it.
//!
//! The fact that woke it is only a hint: it reads what is wanted now, makes the system so, and reads the
//! system back. What the system says of its own success is A1 and no more; absence that was read back is A2.
//!
//! Before anything is *put* on a list, the row says that it may be there: should we die between sending and
//! noting, a later leaver still finds the row. Before something is *taken off*, nothing is written: the row
//! is there already, and a revocation does not wait for a disk.
//!
//! A look also notes when it must be repeated although nobody does anything ([`super::due`]), before its delivery is
//! done: what is to come is not forgotten.

use std::sync::Arc;
use std::time::Duration;

use directory::credential;
use kernel::Subject;
use kernel::id::CredentialId;
use store::{Address, Db, Delivery, Fact, Origin, Settled, Sink, SinkError, StoreError, Tx, delivery, sql};
use tokio::sync::Notify;

use super::wish::{Attempt, Wish};
use super::{Turn, Wanted, card_of, due, get, get_in, put, subject, wanted};
use crate::BridgeError;
use crate::alert;
use crate::connector::{
    Accepted, AccessPointAddress, AckLevel, Connector, ConnectorError, DesiredCredential, ReadBack, Refusal,
    Version, Want,
};
use crate::facts::PlacementProven;

/// How long a card stays off that was taken off twice because it opened more than is wanted, unless something else is
/// wanted or configured before.
const OPENED_MORE_PAUSE: Duration = Duration::from_secs(15 * 60);

/// What a look found: what to do there now, and when to look again.
struct Look {
    /// `None` when there is nothing to do.
    wish: Option<Wish>,
    /// What is wanted as well and cannot be held, in words.
    unheld: Vec<String>,
    turn: Option<Turn>,
    /// The turn that was noted before.
    noted: Option<Turn>,
}

/// What came of an attempt.
enum Outcome {
    /// What is wanted was read at every access point.
    Done,
    /// It was not.
    Failed(ConnectorError),
    /// It did as it was told, and opened more than is wanted: why, in words. `is_off`: the card was taken off, and read to
    /// be.
    OpenedMore { why: String, is_off: bool },
}

impl From<ConnectorError> for Outcome {
    fn from(error: ConnectorError) -> Self {
        Self::Failed(error)
    }
}

/// The reconciler of one door system.
pub struct Door {
    db: Db,
    name: String,
    connector: Arc<dyn Connector>,
    /// Of the configuration that the connector was opened with.
    configured: Option<i64>,
    absence_proven: Arc<Notify>,
}

impl Door {
    /// Over an opened connector.
    #[must_use]
    pub fn new(db: Db, name: impl Into<String>, connector: Arc<dyn Connector>) -> Self {
        Self { db, name: name.into(), connector, configured: None, absence_proven: Arc::default() }
    }

    /// The same; puts nothing on a list any more once the door system is configured otherwise. The list may be one
    /// that nobody will look at again.
    #[must_use]
    pub fn as_configured(mut self, version: i64) -> Self {
        self.configured = Some(version);
        self
    }

    /// The same; rings whenever an absence has been proven: from now on denials at the doors mean something.
    #[must_use]
    pub fn ringing(mut self, absence_proven: Arc<Notify>) -> Self {
        self.absence_proven = absence_proven;
        self
    }

    async fn look(&self, delivery: &Delivery, id: CredentialId) -> Result<Look, BridgeError> {
        let (credential, seen, noted) = tokio::try_join!(
            credential::get(&self.db, id),
            get(&self.db, &self.name, id),
            due::get(&self.db, &self.name, id)
        )?;
        let Some(credential) = credential else {
            return Ok(Look { wish: None, unheld: Vec::new(), turn: None, noted });
        };
        let Wanted { want, turn, unheld, .. } = wanted(&self.db, &self.name, &credential).await?;
        if want == Want::Absent && seen.is_none() {
            // Never sent there, and nothing to send.
            return Ok(Look { wish: None, unheld, turn, noted });
        }
        let version = Version { credential: id, number: delivery.version };
        let desired = DesiredCredential { version, card: card_of(&credential)?, want };
        Ok(Look { wish: Some(Wish { credential, desired, seen }), unheld, turn, noted })
    }

    async fn note_turn(&self, id: CredentialId, look: &Look) -> Result<(), StoreError> {
        match look.turn == look.noted {
            true => Ok(()),
            false => due::note(&self.db, &self.name, id, look.turn).await,
        }
    }

    /// Tells what is wanted and does not fit in beside the rest, and when all that is wanted fits in again.
    async fn tell_unheld(
        &self,
        delivery: &Delivery,
        id: CredentialId,
        look: &Look,
    ) -> Result<(), StoreError> {
        let subject = subject(&self.name, id);
        if !look.unheld.is_empty() {
            let detail = format!("{}: {}", self.name, look.unheld.join("; "));
            alert::open(&self.db, alert::CANNOT_HOLD, &subject, &detail).await?;
            return Ok(());
        }
        // Also where it was proven before: whoever proved it may have died before saying so. What has neither hours nor
        // a past is spared the question.
        let may_be_told = |wish: &Wish| wish.has_hours() || wish.is_proven();
        if delivery.last_error.is_some() || look.wish.as_ref().is_none_or(may_be_told) {
            alert::close(&self.db, alert::CANNOT_HOLD, &subject).await?;
        }
        Ok(())
    }

    async fn reach(&self, delivery: &Delivery, wish: &Wish) -> Result<Settled, SinkError> {
        if wish.is_proven() && self.connector.read_back(wish.card()).await.map_err(retry)?.meets(wish.want())
        {
            // Another look at what was proven: the first proof stands.
            return Ok(Settled::Done);
        }
        let mut attempt = wish.attempt(&self.name, delivery, self.connector.access_points());
        attempt.sent(self.db.ctx().now());
        if *wish.want() != Want::Absent {
            self.prepare(delivery, wish, &attempt).await?;
        }
        let outcome = self.carry_out(delivery, wish, &mut attempt).await?;
        self.settle(delivery, wish, attempt, outcome).await
    }

    /// Before something is put on a list: it can be held there, and the row says that it may be there.
    async fn prepare(&self, delivery: &Delivery, wish: &Wish, attempt: &Attempt) -> Result<(), SinkError> {
        if let Err(refusal) = self.connector.check(&wish.desired) {
            return Err(self.refused(wish, refusal).await);
        }
        if wish.is_noted() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        let intended = self.intend(&mut tx, delivery, attempt).await;
        Ok(tx.end(intended).await?)
    }

    /// Notes that the credential may be on a list from now on; a conflict, and nothing noted, when the delivery was
    /// raised or claimed anew: somebody else looks, and may already have found that there is nothing to take off.
    /// So it is when the door system has been configured otherwise: its new connector will look.
    async fn intend(&self, tx: &mut Tx, delivery: &Delivery, attempt: &Attempt) -> Result<(), StoreError> {
        if let Some(version) = self.configured {
            // INVARIANT: holds the row until the commit. Who configures otherwise takes it first, and then sees what
            // we note; or we see that they did.
            let text = sql!("UPDATE door_system SET version = version WHERE name = $1 AND version = $2");
            tx.run_versioned(text, (&self.name, version)).await?;
        }
        put(tx, &attempt.row).await?;
        // Touches the delivery so that whoever raises it waits for us, or we see that it was raised.
        let current = tx
            .run(
                sql!("UPDATE delivery SET due_at = due_at WHERE id = $1 AND claim = $2 AND version = $3"),
                (delivery.id, delivery.claim, delivery.version),
            )
            .await?;
        if current == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Sends and reads back.
    async fn carry_out(
        &self,
        delivery: &Delivery,
        wish: &Wish,
        attempt: &mut Attempt,
    ) -> Result<Outcome, StoreError> {
        let unserved = match self.send(wish).await {
            Ok(said) => {
                attempt.accepted(self.db.ctx().now(), &said);
                Vec::new()
            }
            // Parts that answered have been served, and are read; what they said is not known.
            Err(error) if error.is_passing() && self.is_partial(&error) => error.missing().to_vec(),
            Err(error) => return Ok(error.into()),
        };
        let seen = match self.connector.read_back(wish.card()).await {
            Ok(seen) => seen,
            Err(error) => return Ok(error.into()),
        };
        if *wish.want() != Want::Absent {
            let beyond = served(seen.clone(), &unserved).beyond(wish.want());
            if !beyond.is_empty() {
                return self.take_off(delivery, wish, attempt, &beyond).await;
            }
        }
        if attempt.read(self.db.ctx().now(), &seen, wish.want()) {
            return Ok(Outcome::Done);
        }
        let unread: Vec<AccessPointAddress> = seen.unread().cloned().collect();
        let error = match unread.is_empty() {
            true => {
                let detail = format!("{} does not hold what is wanted", self.name);
                ConnectorError::Protocol { missing: self.connector.access_points(), detail }
            }
            false => ConnectorError::Unreachable { missing: unread, detail: "not read back".into() },
        };
        Ok(error.into())
    }

    /// Better nothing there than more than is wanted. Unless somebody else looks by now: what was read may be what that
    /// one has put there.
    async fn take_off(
        &self,
        delivery: &Delivery,
        wish: &Wish,
        attempt: &mut Attempt,
        beyond: &[String],
    ) -> Result<Outcome, StoreError> {
        let why = format!("it opens more than is wanted ({})", beyond.join(", "));
        let text = sql!("SELECT version FROM delivery WHERE id = $1 AND claim = $2 AND version = $3");
        let current: Option<(i64,)> =
            self.db.opt(text, (delivery.id, delivery.claim, delivery.version)).await?;
        if current.is_none() {
            let missing = self.connector.access_points();
            return Ok(ConnectorError::Protocol { missing, detail: why }.into());
        }
        // Without a version: the next attempt is for the same one, and must not find itself superseded.
        let revoked = self.connector.revoke(wish.card(), None).await;
        attempt.taken_off();
        if let Err(error) = revoked {
            tracing::warn!(door_system = %self.name, %error, why, "a card cannot be taken off");
            return Ok(Outcome::OpenedMore { why, is_off: false });
        }
        let seen = match self.connector.read_back(wish.card()).await {
            Ok(seen) => seen,
            Err(_) => return Ok(Outcome::OpenedMore { why, is_off: false }),
        };
        // Doors that were to be lost have been.
        attempt.read(self.db.ctx().now(), &seen, wish.want());
        Ok(Outcome::OpenedMore { why, is_off: seen.is_absent() })
    }

    async fn send(&self, wish: &Wish) -> Result<Accepted, ConnectorError> {
        let desired = &wish.desired;
        match desired.want {
            Want::Absent => self.connector.revoke(&desired.card, Some(desired.version)).await,
            Want::Present(_) => self.connector.apply(desired).await,
        }
    }

    fn is_partial(&self, error: &ConnectorError) -> bool {
        self.connector.access_points().iter().any(|point| !error.missing().contains(point))
    }

    async fn settle(
        &self,
        delivery: &Delivery,
        wish: &Wish,
        attempt: Attempt,
        outcome: Outcome,
    ) -> Result<Settled, SinkError> {
        let done = matches!(outcome, Outcome::Done);
        if done || attempt.is_news() {
            self.note(delivery, wish, attempt, done).await?;
        }
        match outcome {
            Outcome::Done => {
                if *wish.want() == Want::Absent {
                    self.absence_proven.notify_one();
                }
                Ok(Settled::Already)
            }
            Outcome::Failed(ConnectorError::Refused(refusal)) => Err(self.refused(wish, refusal).await),
            Outcome::Failed(error) => Err(retry(error)),
            Outcome::OpenedMore { why, is_off } => {
                self.tell_cannot_hold(wish, &why).await?;
                if !is_off && delivery.priority == 0 {
                    // From now on it is a revocation that waits: before all others, and told as one.
                    let mut tx = self.db.write(Origin::system()).await?;
                    let subject = wish.credential.id.subject();
                    delivery::hint(
                        &mut tx,
                        Address::reconcile(&delivery.sink, subject).revoking(true),
                        delivery.fact,
                    );
                    tx.commit().await?;
                }
                // Twice in a row is no accident: each time it was put on, it opened more for a moment. While it does, it is
                // tried on.
                let is_again = delivery.last_error.as_ref().is_some_and(|last| why.starts_with(last));
                Err(match is_off && is_again {
                    true => SinkError::Later(why, OPENED_MORE_PAUSE),
                    false => SinkError::Retry(why),
                })
            }
        }
    }

    async fn note(
        &self,
        delivery: &Delivery,
        wish: &Wish,
        attempt: Attempt,
        done: bool,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let noted = self.note_in(&mut tx, delivery, wish, attempt, done).await;
        tx.end(noted).await
    }

    async fn note_in(
        &self,
        tx: &mut Tx,
        delivery: &Delivery,
        wish: &Wish,
        attempt: Attempt,
        done: bool,
    ) -> Result<(), StoreError> {
        let (proven, missing) = attempt.proven_and_missing();
        let mut row = attempt.row();
        if let Some(noted) = get_in(tx, &self.name, row.credential_id).await? {
            row.keep_seen(&noted);
        }
        // A row of a later version says that this work came late: it proves nothing of what is wanted now.
        let noted = put(tx, &row).await?;
        if noted && !proven.is_empty() {
            let body = PlacementProven {
                credential: row.credential_id,
                user: wish.credential.user_id,
                door_system: self.name.clone(),
                wanted: row.wanted,
                level: AckLevel::ReadBack,
                access_points: proven,
                missing,
                requested_at: row.requested_at,
                attempts: row.attempts,
            };
            tx.record(body.into_fact());
        }
        if done {
            delivery.complete(tx).await?;
        }
        Ok(())
    }

    /// What cannot be put there. Should the old state open doors that must not be opened any more, better nothing there
    /// than that.
    async fn refused(&self, wish: &Wish, refusal: Refusal) -> SinkError {
        if let Err(error) = self.tell_cannot_hold(wish, &refusal.to_string()).await {
            return error.into();
        }
        let opens_more = match wish.takes_away() {
            true => true,
            false if wish.is_unread() => match self.connector.read_back(wish.card()).await {
                Ok(seen) => !seen.beyond(wish.want()).is_empty(),
                Err(error) => return retry(error),
            },
            false => false,
        };
        if opens_more
            // Without a version: the next attempt is for the same one, and must not find itself superseded.
            && let Err(error) = self.connector.revoke(wish.card(), None).await
        {
            return retry(error);
        }
        SinkError::Dead(refusal.to_string())
    }

    async fn tell_cannot_hold(&self, wish: &Wish, why: &str) -> Result<(), StoreError> {
        let subject = subject(&self.name, wish.credential.id);
        alert::open(&self.db, alert::CANNOT_HOLD, &subject, &format!("{}: {why}", self.name)).await.map(drop)
    }
}

impl PlacementProven {
    pub(crate) fn into_fact(self) -> Fact {
        let (credential, user) = (self.credential.subject(), self.user.subject());
        let system = Subject::new("door_system", &self.door_system);
        let fact = Fact::new(credential, &self).about(user).about(system);
        self.access_points.iter().fold(fact, |fact, point| fact.about(Subject::new("access_point", point)))
    }
}

/// What was read of the parts that were served. The others hold what they held before, and are told once more. What is
/// beyond any wish names no access point: of that it is not known whose it is.
fn served(mut seen: ReadBack, unserved: &[AccessPointAddress]) -> ReadBack {
    if !unserved.is_empty() {
        seen.points.retain(|point, _| !unserved.contains(point));
        seen.deviations.clear();
    }
    seen
}

fn retry(error: ConnectorError) -> SinkError {
    match error {
        ConnectorError::Refused(refusal) => SinkError::Dead(refusal.to_string()),
        passing => SinkError::Retry(passing.to_string()),
    }
}

#[async_trait::async_trait]
impl Sink for Door {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let Ok(id) = delivery.subject_id().parse::<CredentialId>() else {
            return Err(SinkError::Dead(format!("{} is no credential", delivery.subject)));
        };
        let look = self.look(delivery, id).await?;
        // A revocation that nothing follows waits for no disk: that there is no time any more is noted behind it.
        if look.turn.is_some() {
            self.note_turn(id, &look).await?;
        }
        let settled = match &look.wish {
            Some(wish) => self.reach(delivery, wish).await,
            None => Ok(Settled::Done),
        };
        // Also where it was not reached: nobody is to be told of an end that is over.
        if look.turn.is_none() {
            self.note_turn(id, &look).await?;
        }
        let settled = settled?;
        self.tell_unheld(delivery, id, &look).await?;
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Access, Deviation, Held, Reading, Rights};

    #[test]
    fn what_was_not_served_is_not_held_against_the_wish() {
        let held = Reading::Held(Held { access: Some(Access::Always), valid_from: None, valid_to: None });
        let seen = ReadBack {
            points: [("a".into(), held.clone()), ("b".into(), held)].into(),
            deviations: [Deviation::Pin].into(),
        };
        let want =
            Want::Present(Rights { access: [("b".into(), Access::Always)].into(), ..Rights::default() });
        assert_eq!(served(seen.clone(), &[]).beyond(&want), ["a", "a PIN is set"]);
        assert_eq!(served(seen.clone(), &["a".into()]).beyond(&want), [""; 0]);
        assert_eq!(served(seen, &["b".into()]).beyond(&want), ["a"]);
    }
}
