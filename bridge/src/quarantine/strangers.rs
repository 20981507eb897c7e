//! What a sweep does about the cards that it found on a list and that are nobody's.
//!
//! Where they go into quarantine, first it is noted that they are to be taken off, then they are, and when they were
//! read to be on no list that is noted, too. So whoever dies in between, or cannot reach a part of the door system,
//! leaves a note, and the next sweep goes on from there.
//!
//! INVARIANT: a card may become somebody's at any moment, so whose it is is asked in the transaction that notes it,
//! before it is taken off, and in the one behind that. What was put on a list for its holder in between may be gone by
//! then; so the reconciler is told to look again. Whoever is given it later is given it on a list that nobody touches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use directory::credential::Credential;
use directory::door::{self, UnknownCards};
use kernel::{Subject, Timestamp};
use store::{Address, Db, Fact, Origin, StoreError, Tx, sql};
use tokio::time::Instant;

use super::{Row, State, credential_in, opened, subject, words};
use crate::alert;
use crate::card::Card;
use crate::connector::{Connector, Inventory};
use crate::facts::{CardQuarantined, QuarantineLeft};
use crate::feed::credential_of;
use crate::placement::{json, sink_name};
use crate::sweep::{Deviation, SweepError, found};

/// So many new cards of nobody one sweep takes off without anybody's word, or a tenth of what is listed.
const FEW: usize = 10;
/// For so long a sweep takes cards off; the next one goes on.
const AT_WORK: Duration = Duration::from_secs(120);
/// How many cards are noted in one transaction.
const AT_ONCE: usize = 100;
/// For so long the alert about a card that was taken off stays open, unless somebody looks before.
const TOLD: Duration = Duration::from_secs(86_400);

/// The cards of nobody at one door system, as one sweep found them.
pub(crate) struct Strangers<'a> {
    pub(crate) db: &'a Db,
    pub(crate) name: &'a str,
    pub(crate) connector: &'a Arc<dyn Connector>,
    /// All that is there.
    pub(crate) inventory: &'a Inventory,
    /// When taking that was begun.
    pub(crate) began: Timestamp,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// On a list, and nobody's.
    pub(crate) orphans: usize,
    /// On a list, nobody's, and tolerated by name.
    pub(crate) tolerated: usize,
    /// Taken off, and read to be.
    pub(crate) quarantined: usize,
}

/// Whether so many are hardly strangers.
fn is_too_many(unknown: usize, listed: usize) -> bool {
    unknown.saturating_mul(10) > listed.max(FEW * 10)
}

impl Strangers<'_> {
    /// Reports them, or takes them off. `cards` stand on a list, and nobody was found to hold them.
    pub(crate) async fn settle(&self, cards: &BTreeSet<Card>) -> Result<Settled, SweepError> {
        let kept = self.kept().await?;
        let (mut unknown, mut tolerated) = (BTreeSet::new(), BTreeSet::new());
        for card in cards {
            // Somebody may have been given it since the directory was read.
            if credential_of(self.db, card).await?.is_some() {
                continue;
            }
            match kept.get(card) {
                Some(row) if row.state() == State::Tolerated => tolerated.insert(*card),
                // Another node was faster: it stood there when this inventory was taken, and does not any more.
                Some(row) if row.taken_off_at >= Some(self.began) => false,
                _ => unknown.insert(*card),
            };
        }
        self.note_tolerated(&kept, &tolerated).await?;
        let system = door::system(self.db, self.name).await?;
        let quarantined = match system.map(|system| system.unknown_cards()).unwrap_or_default() {
            UnknownCards::Report => {
                let all: Vec<Card> = unknown.iter().copied().collect();
                self.report(&all, "take it off, give it an owner, or release it").await?;
                self.stand_down(&kept).await?;
                0
            }
            UnknownCards::Quarantine => self.quarantine(&unknown, &kept).await?,
        };
        self.close_what_is_over(&unknown).await?;
        Ok(Settled { orphans: unknown.len(), tolerated: tolerated.len(), quarantined })
    }

    async fn rows(&self) -> Result<Vec<Row>, StoreError> {
        self.db
            .all(
                sql!(
                    "SELECT door_system, card, opened, first_seen_at, found_at, taken_off_at, released_by, \
                     released_because, released_at, listed_at FROM quarantine WHERE door_system = $1 ORDER BY card"
                ),
                (self.name,),
            )
            .await
    }

    /// What is kept of cards of nobody; those that have become somebody's leave.
    async fn kept(&self) -> Result<BTreeMap<Card, Row>, StoreError> {
        let mut kept = BTreeMap::new();
        for row in self.rows().await? {
            let Ok(card) = row.card.parse::<Card>() else { continue };
            match credential_of(self.db, &card).await? {
                Some(owner) => {
                    let mut tx = self.db.write(Origin::system()).await?;
                    let left = self.leave_in(&mut tx, &card, &owner).await;
                    tx.end(left).await?;
                }
                None => {
                    kept.insert(card, row);
                }
            }
        }
        Ok(kept)
    }

    /// The card is somebody's: nothing is kept of it here any more, and what its holder should have is looked at again.
    async fn leave_in(&self, tx: &mut Tx, card: &Card, owner: &Credential) -> Result<(), StoreError> {
        let name = card.to_string();
        let text = sql!("DELETE FROM quarantine WHERE door_system = $1 AND card = $2");
        tx.run(text, (self.name, &name)).await?;
        let subject = subject(self.name, card);
        let body = QuarantineLeft {
            door_system: self.name.to_owned(),
            card: name,
            credential: owner.id,
            user: owner.user_id,
        };
        let fact = Fact::new(subject.clone(), &body).about(self.itself());
        let fact = fact.about(owner.id.subject()).about(owner.user_id.subject());
        tx.record(fact.to(Address::reconcile(sink_name(self.name), owner.id.subject())));
        alert::close_in(tx, alert::ORPHAN, &subject).await?;
        alert::close_in(tx, alert::QUARANTINED, &subject).await?;
        Ok(())
    }

    fn itself(&self) -> Subject {
        Subject::new("door_system", self.name)
    }

    /// Notes which of those that somebody tolerates stand on a list.
    async fn note_tolerated(
        &self,
        kept: &BTreeMap<Card, Row>,
        listed: &BTreeSet<Card>,
    ) -> Result<(), StoreError> {
        for (card, row) in kept.iter().filter(|(_, row)| row.state() == State::Tolerated) {
            let listed_at = match (listed.contains(card), row.listed_at) {
                (true, None) => Some(self.db.ctx().now()),
                (false, Some(_)) if self.inventory.unread.is_empty() => None,
                _ => continue,
            };
            let mut tx = self.db.write(Origin::system()).await?;
            let noted = self.note_listed_in(&mut tx, card, listed_at).await;
            tx.end(noted).await?;
        }
        Ok(())
    }

    async fn note_listed_in(
        &self,
        tx: &mut Tx,
        card: &Card,
        listed_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let text = sql!(
            "UPDATE quarantine SET listed_at = $3 WHERE door_system = $1 AND card = $2 AND released_at IS NOT NULL"
        );
        let noted = tx.run(text, (self.name, card.to_string(), listed_at)).await?;
        match (noted, listed_at) {
            (1, Some(_)) => found(tx, self.name, Deviation::Tolerated, &card.to_string(), None, None).await,
            _ => Ok(()),
        }
    }

    /// Reports those that were not.
    async fn report(&self, cards: &[Card], then: &str) -> Result<(), StoreError> {
        for card in cards {
            let detail = format!("{} holds card {card}, which belongs to nobody; {then}", self.name);
            if alert::open(self.db, alert::ORPHAN, &subject(self.name, card), &detail).await? {
                let mut tx = self.db.write(Origin::system()).await?;
                let reported =
                    found(&mut tx, self.name, Deviation::Orphan, &card.to_string(), None, None).await;
                tx.end(reported).await?;
            }
        }
        Ok(())
    }

    /// Takes off what may be taken off. Answers how many were read to be.
    async fn quarantine(
        &self,
        unknown: &BTreeSet<Card>,
        kept: &BTreeMap<Card, Row>,
    ) -> Result<usize, SweepError> {
        let mut new: Vec<Card> = unknown.iter().copied().collect();
        new.retain(|card| kept.get(card).is_none_or(|row| row.state() != State::Waits));
        let confirmed_at = self.brake().await?.flatten();
        let confirmed = self.reported_until(confirmed_at).await?;
        let (mut taken, rest): (Vec<Card>, Vec<Card>) =
            new.into_iter().partition(|card| confirmed.contains(&subject(self.name, card).to_string()));
        let is_held_back = is_too_many(rest.len(), self.inventory.cards.len());
        let left = match is_held_back {
            true => rest,
            false => {
                taken.extend(rest);
                Vec::new()
            }
        };
        self.note_more(unknown, kept).await?;
        self.report(&taken, "it is taken off").await?;
        self.report(&left, "it stays until somebody has looked: there are too many").await?;
        for some in taken.chunks(AT_ONCE) {
            let mut tx = self.db.write(Origin::system()).await?;
            let noted = self.intend_in(&mut tx, some).await;
            tx.end(noted).await?;
        }
        match left.len() {
            0 => self.let_go().await?,
            found => self.hold_back(found, confirmed_at).await?,
        }
        self.carry_out().await
    }

    /// Adds what is seen now to what cards that wait opened: a part may have been silent when they were found.
    async fn note_more(
        &self,
        unknown: &BTreeSet<Card>,
        kept: &BTreeMap<Card, Row>,
    ) -> Result<(), StoreError> {
        for (card, row) in kept.iter().filter(|(_, row)| row.state() == State::Waits) {
            let Some(seen) = self.inventory.cards.get(card).filter(|_| unknown.contains(card)) else {
                continue;
            };
            let mut all = words(&row.opened);
            let more: Vec<String> = opened(seen).into_iter().filter(|what| !all.contains(what)).collect();
            if !more.is_empty() {
                all.extend(more);
                let text = sql!(
                    "UPDATE quarantine SET opened = $3 WHERE door_system = $1 AND card = $2 AND taken_off_at IS NULL"
                );
                let values = (self.name, card.to_string(), json(&all));
                self.db.change(Origin::system(), text, values, Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// Notes that cards are to be taken off.
    async fn intend_in(&self, tx: &mut Tx, cards: &[Card]) -> Result<(), StoreError> {
        for card in cards {
            if credential_in(tx, card).await?.is_some() {
                continue;
            }
            let seen = self.inventory.cards.get(card).map(opened).unwrap_or_default();
            // One that is released, or waits already, stays as it is; so does what was taken off since we looked.
            tx.run(
                sql!(
                    "INSERT INTO quarantine (door_system, card, opened, first_seen_at, found_at) \
                     VALUES ($1, $2, $3, $4, $4) ON CONFLICT (door_system, card) DO UPDATE SET \
                     opened = excluded.opened, found_at = excluded.found_at, taken_off_at = NULL \
                     WHERE quarantine.released_at IS NULL AND quarantine.taken_off_at < $5"
                ),
                (self.name, card.to_string(), json(&seen), tx.now(), self.began),
            )
            .await?;
        }
        Ok(())
    }

    /// Takes off whatever waits for it: what is listed first, since of the rest only a part that was silent may still
    /// hold something.
    async fn carry_out(&self) -> Result<usize, SweepError> {
        let waits = self.rows().await?.into_iter().filter(|row| row.state() == State::Waits);
        let mut cards: Vec<Card> = waits.filter_map(|row| row.card.parse().ok()).collect();
        cards.sort_by_key(|card| !self.inventory.cards.contains_key(card));
        let (until, mut quarantined) = (Instant::now() + AT_WORK, 0);
        for card in cards {
            if Instant::now() >= until {
                tracing::warn!(door_system = self.name, "cards of nobody are left for the next sweep");
                break;
            }
            match self.take_off(&card).await {
                Ok(is_news) => quarantined += usize::from(is_news),
                Err(SweepError::Connector(error)) => {
                    tracing::warn!(door_system = self.name, %card, %error, "a card of nobody is not taken off yet");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(quarantined)
    }

    /// Takes one off and reads it back. Whether it is off, and nobody had noted that.
    async fn take_off(&self, card: &Card) -> Result<bool, SweepError> {
        if !self.still_waits(card).await? {
            return Ok(false);
        }
        // Nobody wants it, so it belongs to no wish.
        let is_off = match self.connector.revoke(card, None).await {
            Ok(_) => self.connector.read_back(card).await.map(|seen| seen.is_absent()),
            Err(error) => Err(error),
        };
        let mut tx = self.db.write(Origin::system()).await?;
        let noted = self.note_off_in(&mut tx, card, matches!(is_off, Ok(true))).await;
        let is_news = tx.end(noted).await?;
        if !is_off? {
            tracing::warn!(door_system = self.name, %card, "a card of nobody is still on a list");
        }
        Ok(is_news)
    }

    /// Nobody has been given it, released it, or taken it off, since it was noted.
    async fn still_waits(&self, card: &Card) -> Result<bool, StoreError> {
        let text = sql!(
            "SELECT found_at FROM quarantine WHERE door_system = $1 AND card = $2 AND released_at IS NULL \
             AND taken_off_at IS NULL"
        );
        let row: Option<(Timestamp,)> = self.db.opt(text, (self.name, card.to_string())).await?;
        Ok(row.is_some() && credential_of(self.db, card).await?.is_none())
    }

    async fn note_off_in(&self, tx: &mut Tx, card: &Card, is_off: bool) -> Result<bool, StoreError> {
        if let Some(owner) = credential_in(tx, card).await? {
            self.leave_in(tx, card, &owner).await?;
            return Ok(false);
        }
        if !is_off {
            return Ok(false);
        }
        let (name, now) = (card.to_string(), tx.now());
        let text = sql!(
            "UPDATE quarantine SET taken_off_at = $3 WHERE door_system = $1 AND card = $2 AND taken_off_at IS NULL \
             RETURNING opened, first_seen_at"
        );
        let noted: Option<(String, Timestamp)> = tx.opt(text, (self.name, &name, now)).await?;
        let Some((opened, first_seen_at)) = noted else { return Ok(false) };
        let (subject, opened) = (subject(self.name, card), words(&opened));
        let detail = format!(
            "card {name} is nobody's and was taken off the list of {at}; it opened {what}. Look at it: cardea quarantine \
             list. If it belongs there all the same: cardea quarantine release {at} {name} --who NAME --because REASON",
            at = self.name,
            what = if opened.is_empty() { "nothing".to_owned() } else { opened.join("; ") },
        );
        let body = CardQuarantined { door_system: self.name.to_owned(), card: name, opened, first_seen_at };
        tx.record(Fact::new(subject.clone(), &body).about(self.itself()));
        alert::close_in(tx, alert::ORPHAN, &subject).await?;
        alert::open_in(tx, alert::QUARANTINED, &subject, &detail).await?;
        Ok(true)
    }

    /// Whether there are too many, and since when somebody says that they may go all the same.
    async fn brake(&self) -> Result<Option<Option<Timestamp>>, StoreError> {
        let text = sql!("SELECT confirmed_at FROM quarantine_brake WHERE door_system = $1");
        let row: Option<(Option<Timestamp>,)> = self.db.opt(text, (self.name,)).await?;
        Ok(row.map(|(confirmed_at,)| confirmed_at))
    }

    /// The cards that had been reported by then.
    async fn reported_until(&self, at: Option<Timestamp>) -> Result<BTreeSet<String>, StoreError> {
        let Some(at) = at else { return Ok(BTreeSet::new()) };
        let reported = alert::open_of_kind(self.db, alert::ORPHAN).await?.into_iter();
        Ok(reported.filter(|open| open.opened_at <= at).map(|open| open.subject).collect())
    }

    /// So many stay until somebody has looked. What somebody had said before is used up.
    async fn hold_back(&self, found: usize, used: Option<Timestamp>) -> Result<(), StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let held = self.hold_back_in(&mut tx, found, used).await;
        tx.end(held).await
    }

    async fn hold_back_in(
        &self,
        tx: &mut Tx,
        found: usize,
        used: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let listed = self.inventory.cards.len();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        tx.run(
            sql!(
                "INSERT INTO quarantine_brake (door_system, found, listed, since) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (door_system) DO UPDATE SET found = excluded.found, listed = excluded.listed"
            ),
            (self.name, count(found), count(listed), tx.now()),
        )
        .await?;
        if let Some(used) = used {
            // Only this word: somebody may have given another since.
            let text = sql!(
                "UPDATE quarantine_brake SET confirmed_by = NULL, confirmed_at = NULL \
                 WHERE door_system = $1 AND confirmed_at = $2"
            );
            tx.run(text, (self.name, used)).await?;
        }
        let at = self.name;
        let detail = format!(
            "{found} of {listed} cards on the list of {at} are nobody's, and none of them is taken off: so many are \
             hardly strangers, but another system's list, a restored backup, or the wrong device. Look at them: cardea \
             exposure. Give them owners, or release those that belong there (cardea quarantine release); if the others \
             may go: cardea quarantine confirm {at} --who NAME"
        );
        alert::open_in(tx, alert::TOO_MANY_UNKNOWN, &self.itself(), &detail).await.map(drop)
    }

    /// There are not too many (any more), or they are being taken off by somebody's word, which is used up.
    async fn let_go(&self) -> Result<(), StoreError> {
        if self.brake().await?.is_none() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        let gone = self.let_go_in(&mut tx).await;
        tx.end(gone).await
    }

    async fn let_go_in(&self, tx: &mut Tx) -> Result<(), StoreError> {
        tx.run(sql!("DELETE FROM quarantine_brake WHERE door_system = $1"), (self.name,)).await?;
        alert::close_in(tx, alert::TOO_MANY_UNKNOWN, &self.itself()).await.map(drop)
    }

    /// Where cards are only reported, none waits to be taken off: should they go into quarantine again, they are found
    /// and counted anew.
    async fn stand_down(&self, kept: &BTreeMap<Card, Row>) -> Result<(), StoreError> {
        self.let_go().await?;
        if kept.values().any(|row| row.state() == State::Waits) {
            let text = sql!(
                "DELETE FROM quarantine WHERE door_system = $1 AND taken_off_at IS NULL AND released_at IS NULL"
            );
            self.db.change(Origin::system(), text, (self.name,), Vec::new()).await?;
        }
        Ok(())
    }

    /// Closes alerts about cards that do not stand there any more, and about those that were taken off a while ago or
    /// are tolerated now.
    async fn close_what_is_over(&self, unknown: &BTreeSet<Card>) -> Result<(), StoreError> {
        let rows = self.rows().await?;
        let lately = Some(self.db.ctx().now().minus(TOLD));
        let waits = rows.iter().filter(|row| row.state() == State::Waits);
        let waits = waits.map(|row| subject(self.name, &row.card).to_string());
        let unknown = unknown.iter().map(|card| subject(self.name, card).to_string());
        let mut there: BTreeSet<String> = unknown.chain(waits).collect();
        // Stood there when we looked, and was taken off since: by us, or by another node.
        for gone in rows.iter().filter(|row| row.taken_off_at >= Some(self.began)) {
            there.remove(&subject(self.name, &gone.card).to_string());
        }
        let told = rows.iter().filter(|row| row.state() == State::Off && row.taken_off_at > lately);
        let told: BTreeSet<String> = told.map(|row| subject(self.name, &row.card).to_string()).collect();
        if self.inventory.unread.is_empty() {
            self.close_others(alert::ORPHAN, &there).await?;
        }
        self.close_others(alert::QUARANTINED, &told).await
    }

    async fn close_others(&self, kind: &'static str, stay: &BTreeSet<String>) -> Result<(), StoreError> {
        let ours = subject(self.name, "").to_string();
        for open in alert::open_of_kind(self.db, kind).await? {
            let is_over = open.subject.starts_with(&ours) && !stay.contains(&open.subject);
            if let (true, Ok(about)) = (is_over, open.subject.parse()) {
                alert::close(self.db, kind, &about).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_few_and_more_than_a_tenth_of_a_list_are_too_many() {
        for (unknown, listed, expect) in [
            (0, 0, false),
            (1, 1, false),
            (10, 10, false),
            (11, 11, true),
            (11, 109, true),
            (11, 110, false),
            (2_000, 20_000, false),
            (2_001, 20_000, true),
            (usize::MAX, 20_000, true),
        ] {
            assert_eq!(is_too_many(unknown, listed), expect, "{unknown} of {listed}");
        }
    }
}
