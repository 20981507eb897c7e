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

/// So many cards of nobody are taken off within [`LATELY`] without anybody's word, or a tenth of what is listed.
const FEW: usize = 10;
/// For so long a card that was taken off counts among those that may be too many, and the alert about it stays open,
/// unless somebody looks before. Many that come a few at a time are many.
const LATELY: Duration = Duration::from_secs(86_400);
/// For so long a sweep takes cards off; the next one goes on.
const AT_WORK: Duration = Duration::from_secs(120);
/// How many cards are noted in one transaction.
const AT_ONCE: usize = 100;
/// For so long a card that was taken off is listed: half a year, in which whoever misses it asks. The journal knows it
/// longer.
const KEPT: Duration = Duration::from_secs(180 * 86_400);

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

/// What becomes of those that are not noted yet.
struct Judged {
    /// Somebody says that they may go.
    confirmed: Vec<Card>,
    /// Nobody has spoken of them.
    rest: Vec<Card>,
    /// The rest stays until somebody has looked.
    is_held_back: bool,
    /// How many the rest are, with those that were reported at a part that is silent now.
    found: usize,
    /// Of how many that are listed, with the same.
    listed: usize,
    /// How many more were noted lately, and went unasked.
    lately: usize,
}

/// Whether so many are hardly strangers.
fn is_too_many(unknown: usize, listed: usize) -> bool {
    unknown.saturating_mul(10) > listed.max(FEW * 10)
}

/// The cards of which something is kept at a door system.
pub(crate) async fn noted(db: &Db, name: &str) -> Result<BTreeSet<Card>, StoreError> {
    let rows: Vec<(String,)> =
        db.all(sql!("SELECT card FROM quarantine WHERE door_system = $1 ORDER BY card"), (name,)).await?;
    Ok(rows.into_iter().filter_map(|(card,)| card.parse().ok()).collect())
}

impl Strangers<'_> {
    /// Reports them, or takes them off. `noted` are those of which something was kept when the sweep began, `nobodys`
    /// all that stood on a list or are noted, and that nobody was found to hold.
    pub(crate) async fn settle(
        &self,
        nobodys: &BTreeSet<Card>,
        noted: &BTreeSet<Card>,
    ) -> Result<Settled, SweepError> {
        for card in noted.difference(nobodys) {
            if let Some(owner) = credential_of(self.db, card).await? {
                let mut tx = self.db.write(Origin::system()).await?;
                let left = self.leave_in(&mut tx, card, &owner).await;
                tx.end(left).await?;
            }
        }
        let reported = self.alerts(alert::ORPHAN).await?;
        let kept = self.kept().await?;
        let (mut unknown, mut tolerated) = (BTreeSet::new(), BTreeSet::new());
        for card in self.inventory.cards.keys().filter(|card| nobodys.contains(*card)) {
            // Somebody may have been given it since the directory was read.
            if credential_of(self.db, card).await?.is_some() {
                continue;
            }
            match kept.get(card) {
                Some(row) if row.state() == State::Tolerated => tolerated.insert(*card),
                // Another node was faster.
                Some(row) if self.is_gone(row) => false,
                _ => unknown.insert(*card),
            };
        }
        self.note_tolerated(&kept, &tolerated).await?;
        let system = door::system(self.db, self.name).await?;
        let quarantined = match system.map(|system| system.unknown_cards()).unwrap_or_default() {
            UnknownCards::Report => {
                let all: Vec<Card> = unknown.iter().copied().collect();
                self.report(&all, "take it off, give it an owner, or release it", &reported).await?;
                self.stand_down(&kept).await?;
                0
            }
            UnknownCards::Quarantine => self.quarantine(&unknown, &kept, &reported).await?,
        };
        self.close_what_is_over(&unknown).await?;
        self.forget().await?;
        Ok(Settled { orphans: unknown.len(), tolerated: tolerated.len(), quarantined })
    }

    /// What is kept of cards of nobody that are to be taken off, are tolerated, or were taken off lately.
    async fn kept(&self) -> Result<BTreeMap<Card, Row>, StoreError> {
        let rows: Vec<Row> = self
            .db
            .all(
                sql!(
                    "SELECT door_system, card, opened, first_seen_at, found_at, taken_off_at, released_by, \
                     released_because, released_at, listed_at, confirmed_at FROM quarantine WHERE door_system = $1 \
                     AND (released_at IS NOT NULL OR taken_off_at IS NULL OR taken_off_at > $2) ORDER BY card"
                ),
                (self.name, self.lately()),
            )
            .await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.card.parse::<Card>().ok()?, row))).collect())
    }

    /// What was before is not lately.
    fn lately(&self) -> Timestamp {
        self.db.ctx().now().minus(LATELY)
    }

    /// It stood there when we looked, and was taken off since: by us, or by another node. A time that is yet to come is
    /// from before the clock was set back.
    fn is_gone(&self, row: &Row) -> bool {
        row.taken_off_at.is_some_and(|at| (self.began..=self.db.ctx().now()).contains(&at))
    }

    /// The cards about which an alert of this kind is open here, and since when.
    async fn alerts(&self, kind: &'static str) -> Result<BTreeMap<Card, Timestamp>, StoreError> {
        let ours = subject(self.name, "").to_string();
        let open = alert::open_of_kind(self.db, kind).await?.into_iter();
        let card = |subject: &str| subject.strip_prefix(ours.as_str())?.parse::<Card>().ok();
        Ok(open.filter_map(|open| Some((card(&open.subject)?, open.opened_at))).collect())
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
    async fn report(
        &self,
        cards: &[Card],
        then: &str,
        reported: &BTreeMap<Card, Timestamp>,
    ) -> Result<(), StoreError> {
        let new: Vec<Card> = cards.iter().copied().filter(|card| !reported.contains_key(card)).collect();
        for some in new.chunks(AT_ONCE) {
            let mut tx = self.db.write(Origin::system()).await?;
            let told = self.report_in(&mut tx, some, then).await;
            tx.end(told).await?;
        }
        Ok(())
    }

    async fn report_in(&self, tx: &mut Tx, cards: &[Card], then: &str) -> Result<(), StoreError> {
        for card in cards {
            // Somebody may have released it since we looked.
            if self.is_released_in(tx, card).await? {
                continue;
            }
            let detail = format!("{} holds card {card}, which belongs to nobody; {then}", self.name);
            if alert::open_in(tx, alert::ORPHAN, &subject(self.name, card), &detail).await? {
                found(tx, self.name, Deviation::Orphan, &card.to_string(), None, None).await?;
            }
        }
        Ok(())
    }

    async fn is_released_in(&self, tx: &mut Tx, card: &Card) -> Result<bool, StoreError> {
        let text = sql!(
            "SELECT released_at FROM quarantine WHERE door_system = $1 AND card = $2 AND released_at IS NOT NULL"
        );
        let released: Option<(Timestamp,)> = tx.opt(text, (self.name, card.to_string())).await?;
        Ok(released.is_some())
    }

    /// Takes off what may be taken off. Answers how many were read to be.
    async fn quarantine(
        &self,
        unknown: &BTreeSet<Card>,
        kept: &BTreeMap<Card, Row>,
        reported: &BTreeMap<Card, Timestamp>,
    ) -> Result<usize, SweepError> {
        self.note_more(unknown, kept).await?;
        let brake = self.brake().await?;
        let word = brake.flatten();
        let judged = self.judge(unknown, kept, reported, brake);
        self.intend(&judged.confirmed, word, reported).await?;
        if judged.is_held_back {
            // What is said before these are reported is not said of them.
            self.hold_back(&judged, word).await?;
            let then = "it stays until somebody has looked: there are too many";
            self.report(&judged.rest, then, reported).await?;
        } else {
            self.intend(&judged.rest, None, reported).await?;
            // Nobody knows who stands at a part that is silent: that none is seen lets nothing go.
            if word.is_some() || self.inventory.unread.is_empty() {
                self.let_go().await?;
            }
        }
        self.carry_out().await
    }

    /// Whether the brake holds: once there were too many, it does until somebody says that they may go, or none is
    /// left. That a part falls silent, or that somebody has begun to release them, makes the others no fewer.
    fn judge(
        &self,
        unknown: &BTreeSet<Card>,
        kept: &BTreeMap<Card, Row>,
        reported: &BTreeMap<Card, Timestamp>,
        brake: Option<Option<Timestamp>>,
    ) -> Judged {
        let word = brake.flatten();
        let is_noted = |card: &Card| kept.get(card).is_some_and(|row| row.state() != State::Off);
        let is_confirmed =
            |card: &Card| word.zip(reported.get(card)).is_some_and(|(word, since)| *since <= word);
        let (confirmed, rest): (Vec<Card>, Vec<Card>) =
            unknown.iter().copied().filter(|card| !is_noted(card)).partition(is_confirmed);
        let there = &self.inventory.cards;
        let mut all: BTreeSet<Card> = rest.iter().copied().collect();
        if !self.inventory.unread.is_empty() {
            let unseen = reported.keys().copied().filter(|card| !there.contains_key(card));
            all.extend(unseen.filter(|card| !is_noted(card) && !is_confirmed(card)));
        }
        let listed_with =
            |all: &BTreeSet<Card>| there.len() + all.iter().filter(|card| !there.contains_key(*card)).count();
        let (found, listed) = (all.len(), listed_with(&all));
        // Whoever goes by somebody's word was looked at, and one that is tolerated was not taken off.
        let since = self.lately();
        let lately = kept.iter().filter(|(_, row)| {
            row.state() != State::Tolerated && row.confirmed_at.is_none() && row.found_at > since
        });
        all.extend(lately.map(|(card, _)| *card));
        let is_held_back =
            !rest.is_empty() && (brake == Some(None) || is_too_many(all.len(), listed_with(&all)));
        Judged { confirmed, rest, is_held_back, found, listed, lately: all.len() - found }
    }

    /// Reports cards, and notes that they are to be taken off: by somebody's word of then, or unasked.
    async fn intend(
        &self,
        cards: &[Card],
        word: Option<Timestamp>,
        reported: &BTreeMap<Card, Timestamp>,
    ) -> Result<(), StoreError> {
        self.report(cards, "it is taken off", reported).await?;
        for some in cards.chunks(AT_ONCE) {
            let mut tx = self.db.write(Origin::system()).await?;
            let noted = self.intend_in(&mut tx, some, word).await;
            tx.end(noted).await?;
        }
        Ok(())
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

    async fn intend_in(
        &self,
        tx: &mut Tx,
        cards: &[Card],
        word: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        for card in cards {
            if credential_in(tx, card).await?.is_some() {
                continue;
            }
            let seen = self.inventory.cards.get(card).map(opened).unwrap_or_default();
            // One that is released, or waits already, stays as it is; so does what was taken off since we looked, which
            // is not after now, unless the clock was set back.
            tx.run(
                sql!(
                    "INSERT INTO quarantine (door_system, card, opened, first_seen_at, found_at, confirmed_at) \
                     VALUES ($1, $2, $3, $4, $4, $6) ON CONFLICT (door_system, card) DO UPDATE SET \
                     opened = excluded.opened, found_at = excluded.found_at, taken_off_at = NULL, \
                     confirmed_at = excluded.confirmed_at WHERE quarantine.released_at IS NULL \
                     AND (quarantine.taken_off_at < $5 OR quarantine.taken_off_at > $4)"
                ),
                (self.name, card.to_string(), json(&seen), tx.now(), self.began, word),
            )
            .await?;
        }
        Ok(())
    }

    /// Takes off whatever waits for it: what is listed first, since of the rest only a part that was silent may still
    /// hold something.
    async fn carry_out(&self) -> Result<usize, SweepError> {
        let waits = self.kept().await?.into_iter().filter(|(_, row)| row.state() == State::Waits);
        let mut cards: Vec<Card> = waits.map(|(card, _)| card).collect();
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
             AND released_at IS NULL RETURNING opened, first_seen_at"
        );
        let noted: Option<(String, Timestamp)> = tx.opt(text, (self.name, &name, now)).await?;
        let Some((opened, first_seen_at)) = noted else {
            if self.is_released_in(tx, card).await? {
                tracing::warn!(
                    door_system = self.name,
                    %card,
                    "a card was released while it was being taken off: whoever wants it there enters it at the device"
                );
            }
            return Ok(false);
        };
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

    /// So many stay until somebody has looked. What somebody had said before is used up.
    async fn hold_back(&self, judged: &Judged, used: Option<Timestamp>) -> Result<(), StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let held = self.hold_back_in(&mut tx, judged, used).await;
        tx.end(held).await
    }

    async fn hold_back_in(
        &self,
        tx: &mut Tx,
        judged: &Judged,
        used: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let Judged { found, listed, lately, .. } = judged;
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        tx.run(
            sql!(
                "INSERT INTO quarantine_brake (door_system, found, listed, since) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (door_system) DO UPDATE SET found = excluded.found, listed = excluded.listed"
            ),
            (self.name, count(*found), count(*listed), tx.now()),
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
        let before = match lately {
            0 => String::new(),
            lately => format!(" (and {lately} went within a day before them)"),
        };
        let detail = format!(
            "{found} of {listed} cards on the list of {at} are nobody's{before}, and none of them is taken off: so many \
             are hardly strangers, but another system's list, a restored backup, or the wrong device. Look at them: \
             cardea exposure. Give them owners, or release those that belong there (cardea quarantine release); if the \
             others may go: cardea quarantine confirm {at} --found NUMBER --who NAME, with as many as cardea quarantine \
             list shows then"
        );
        alert::open_in(tx, alert::TOO_MANY_UNKNOWN, &self.itself(), &detail).await.map(drop)
    }

    /// None is left that would be held back, or they are being taken off by somebody's word, which is used up.
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
        let orphans = self.alerts(alert::ORPHAN).await?.into_keys();
        let quarantined = self.alerts(alert::QUARANTINED).await?.into_keys();
        let kept = self.kept().await?;
        let is_all_read = self.inventory.unread.is_empty();
        let is_over = |card: &Card| match kept.get(card) {
            Some(row) if row.state() == State::Waits => false,
            Some(row) if row.state() == State::Tolerated || self.is_gone(row) => true,
            Some(_) | None => is_all_read && !unknown.contains(card),
        };
        let orphans: Vec<Card> = orphans.filter(is_over).collect();
        let is_told = |card: &Card| kept.get(card).is_some_and(|row| row.state() == State::Off);
        let quarantined: Vec<Card> = quarantined.filter(|card| !is_told(card)).collect();
        self.close(alert::ORPHAN, &orphans).await?;
        self.close(alert::QUARANTINED, &quarantined).await
    }

    async fn close(&self, kind: &'static str, over: &[Card]) -> Result<(), StoreError> {
        for card in over {
            alert::close(self.db, kind, &subject(self.name, card)).await?;
        }
        Ok(())
    }

    /// What was taken off so long ago is told by the journal only.
    async fn forget(&self) -> Result<(), StoreError> {
        let before = self.db.ctx().now().minus(KEPT);
        let text = sql!(
            "SELECT card FROM quarantine WHERE door_system = $1 AND released_at IS NULL AND taken_off_at < $2 LIMIT 1"
        );
        let old: Option<(String,)> = self.db.opt(text, (self.name, before)).await?;
        if old.is_some() {
            let text = sql!(
                "DELETE FROM quarantine WHERE door_system = $1 AND released_at IS NULL AND taken_off_at < $2"
            );
            self.db.change(Origin::system(), text, (self.name, before), Vec::new()).await?;
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
