//! The sweep: takes the inventory of a door system and compares it with what is wanted.
//!
//! Facts may be lost on the way to a door, backups are restored, and people with a laptop stand before a
//! panel. Whatever the cause, the sweep finds it: a known card that must not be there goes at once, one that is
//! missing or wrong is put right, one that belongs to nobody is reported until it is gone or has an owner, or goes into
//! quarantine ([`crate::quarantine`]).
//!
//! What it is not: it changes nothing about a card that is somebody's. What deviates is handed to the reconciler
//! ([`crate::placement`]), which reads again before it acts. While that one is still at work on a credential
//! the sweep leaves it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use directory::credential::{self, Credential};
use directory::door::{self, WantedPoint};
use kernel::Subject;
use kernel::id::CredentialId;
use serde::Serialize;
use store::{Address, Db, Fact, Origin, StoreError, Tx, sql};

use crate::BridgeError;
use crate::card::Card;
use crate::connector::{Connector, ConnectorError, Inventory, ReadBack, Want, take_inventory};
use crate::facts::DeviationFound;
use crate::placement::{self, Terms, card_of, contradicts, merge, sink_name};
use crate::quarantine::{self, Strangers};

/// What a sweep saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Cards listed.
    pub listed: usize,
    /// Ours, and must not be there.
    pub leavers: usize,
    /// Nobody's.
    pub orphans: usize,
    /// Nobody's, and tolerated by name: no deviation.
    pub tolerated: usize,
    /// Nobody's, and taken off now.
    pub quarantined: usize,
    /// Ours, and wanted, but not there.
    pub ghosts: usize,
    /// There, but with other rights.
    pub drifted: usize,
    /// Access points that could not be read.
    pub unread: usize,
}

impl Findings {
    /// How many deviations there are.
    #[must_use]
    pub const fn deviations(&self) -> usize {
        self.leavers + self.orphans + self.ghosts + self.drifted
    }
}

/// How a door system deviates from what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// A card that belongs to nobody.
    Orphan,
    /// Ours, but not there.
    Ghost,
    /// There, but otherwise.
    Drift,
    /// There, and must not be.
    Leaver,
    /// A door knew a card that was proven absent.
    Opened,
    /// A card that belongs to nobody and is tolerated by name.
    Tolerated,
}

impl Deviation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Ghost => "ghost",
            Self::Drift => "drift",
            Self::Leaver => "leaver",
            Self::Opened => "opened",
            Self::Tolerated => "tolerated",
        }
    }

    /// Whether something must be taken away.
    const fn revokes(self) -> bool {
        matches!(self, Self::Leaver | Self::Opened | Self::Drift)
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The door system did not answer properly.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The database failed.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
}

impl From<StoreError> for SweepError {
    fn from(error: StoreError) -> Self {
        Self::Bridge(error.into())
    }
}

/// How many credentials are compared with two readings of the database.
const PAGE: i64 = 500;
/// So many cards in a row that cannot be read are no matter of a card: the door system is out of reach, and the sweep
/// ends.
const IN_A_ROW: usize = 10;

/// One sweep over one door system: everything that it holds, against everything that the directory wants of it now.
/// What was wanted at the last look is not asked: that somebody looked is what may have been lost.
pub async fn sweep(db: &Db, name: &str, connector: &Arc<dyn Connector>) -> Result<Findings, SweepError> {
    let began = db.ctx().now();
    let inventory = take_inventory(connector.as_ref()).await?;
    let mut findings =
        Findings { listed: inventory.cards.len(), unread: inventory.unread.len(), ..Findings::default() };
    let terms = placement::terms_of(db, name).await?;
    let noted = quarantine::noted(db, name).await?;
    let strangers = inventory.cards.keys().chain(&noted).copied().collect();
    let mut sweep = Sweep { db, name, connector, terms, strangers, unanswered: 0 };
    let mut after = None;
    loop {
        let page = credential::page(db, after, PAGE).await?;
        let Some(last) = page.last().map(|known| known.id) else { break };
        sweep.compare(&inventory, page, after, last, &mut findings).await?;
        after = Some(last);
    }
    let strangers = Strangers { db, name, connector, inventory: &inventory, began };
    let settled = strangers.settle(&sweep.strangers, &noted).await?;
    (findings.orphans, findings.tolerated) = (settled.orphans, settled.tolerated);
    findings.quarantined = settled.quarantined;
    Ok(findings)
}

struct Sweep<'a> {
    db: &'a Db,
    name: &'a str,
    connector: &'a Arc<dyn Connector>,
    terms: Terms,
    /// Cards that stand there, or did and are noted, and of which nobody is found to be the holder.
    strangers: BTreeSet<Card>,
    /// How many in a row could not be read again.
    unanswered: usize,
}

impl Sweep<'_> {
    /// Compares a page of credentials with the inventory.
    async fn compare(
        &mut self,
        inventory: &Inventory,
        page: Vec<Credential>,
        after: Option<CredentialId>,
        last: CredentialId,
        findings: &mut Findings,
    ) -> Result<(), SweepError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let mut wanted: BTreeMap<CredentialId, Vec<WantedPoint>> = BTreeMap::new();
        for (id, point) in door::wanted_points_between(self.db, self.name, &after, last).await? {
            wanted.entry(id).or_default().push(point);
        }
        let nowhere = inventory.without(&self.connector.access_points());
        for known in page {
            let Ok(card) = card_of(&known) else { continue };
            self.strangers.remove(&card);
            let points = wanted.remove(&known.id).unwrap_or_default();
            let now = self.db.ctx().now();
            let want = merge(&points, placement::validity_of(&known), &self.terms, now).want;
            let seen = inventory.cards.get(&card);
            if contradicts(seen.unwrap_or(&nowhere), &want) {
                self.look_at(&card, known.id, seen.is_some(), findings).await?;
            }
        }
        Ok(())
    }

    /// Looks again at a credential that deviates: the inventory took its time, and somebody may be at work on it.
    /// Only what still deviates, and nobody will look at, is reported. One that cannot be read is left to the next
    /// sweep: it must not hide the others.
    async fn look_at(
        &mut self,
        card: &Card,
        id: CredentialId,
        was_there: bool,
        findings: &mut Findings,
    ) -> Result<(), SweepError> {
        if self.is_at_work(id).await? {
            return Ok(());
        }
        let before = placement::get(self.db, self.name, id).await?;
        let seen = match self.connector.read_back(card).await {
            Ok(seen) => seen,
            Err(error) => {
                self.unanswered += 1;
                if self.unanswered == IN_A_ROW {
                    return Err(error.into());
                }
                tracing::warn!(door_system = self.name, %card, %error, "a card that deviates cannot be read again");
                return Ok(());
            }
        };
        self.unanswered = 0;
        let Some(known) = credential::get(self.db, id).await? else { return Ok(()) };
        let want = placement::wanted(self.db, self.name, &known).await?.want;
        if !contradicts(&seen, &want)
            || self.is_at_work(id).await?
            || placement::get(self.db, self.name, id).await? != before
        {
            return Ok(());
        }
        let (deviation, count) = match (want, was_there) {
            (Want::Absent, _) => (Deviation::Leaver, &mut findings.leavers),
            (Want::Present(_), false) => (Deviation::Ghost, &mut findings.ghosts),
            (Want::Present(_), true) => (Deviation::Drift, &mut findings.drifted),
        };
        *count += 1;
        let mut tx = self.db.write(Origin::system()).await?;
        let found = found(&mut tx, self.name, deviation, &card.to_string(), Some(&known), Some(&seen)).await;
        Ok(tx.end(found).await?)
    }

    /// Whether the reconciler has yet to look at a credential.
    async fn is_at_work(&self, credential: CredentialId) -> Result<bool, StoreError> {
        let due: Option<(i64,)> = self
            .db
            .opt(
                sql!("SELECT version FROM delivery WHERE sink = $1 AND subject = $2 AND reconcile AND due_at IS NOT NULL"),
                (sink_name(self.name), credential.subject()),
            )
            .await?;
        Ok(due.is_some())
    }
}

/// Records a deviation, and has the credential's placement proven anew: at once where something must go.
pub(crate) async fn found(
    tx: &mut Tx,
    name: &str,
    deviation: Deviation,
    card: &str,
    known: Option<&Credential>,
    seen: Option<&ReadBack>,
) -> Result<(), StoreError> {
    let body = DeviationFound {
        door_system: name.into(),
        finding: deviation.to_string(),
        card: card.into(),
        credential: known.map(|known| known.id),
    };
    let mut fact = Fact::new(Subject::new("door_system", name), &body);
    if let Some(known) = known {
        let address = Address::reconcile(sink_name(name), known.id.subject()).revoking(deviation.revokes());
        fact = fact.about(known.id.subject()).about(known.user_id.subject()).to(address);
    }
    let id = tx.record(fact);
    tracing::warn!(door_system = name, finding = %deviation, card, "a door system deviates from what is wanted");
    match known {
        Some(known) => placement::doubt(tx, name, known, id, seen).await,
        None => Ok(()),
    }
}
