//! The sweep: takes the inventory of a door system and compares it with what is wanted.
//!
//! Facts may be lost on the way to a door, backups are restored, and people with a laptop stand before a
//! panel. Whatever the cause, the sweep finds it: a known card that must not be there goes at once, one that is
//! missing or wrong is put right, one that belongs to nobody is reported until it is gone or has an owner.
//!
//! What it is not: it changes no list itself. What deviates is handed to the reconciler
//! ([`crate::placement`]), which reads again before it acts. While that one is still at work on a credential
//! the sweep leaves it alone.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use directory::credential::{self, Credential};
use kernel::Subject;
use kernel::id::CredentialId;
use serde::Serialize;
use store::{Address, Db, Fact, Origin, StoreError, Tx, sql};

use crate::BridgeError;
use crate::alert;
use crate::card::Card;
use crate::connector::{Connector, ConnectorError, ReadBack, Want, take_inventory};
use crate::facts::DeviationFound;
use crate::feed::credential_of;
use crate::placement::{self, Placement, card_of, contradicts, sink_name};

/// What a sweep saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Cards listed.
    pub listed: usize,
    /// Ours, and must not be there.
    pub leavers: usize,
    /// Nobody's.
    pub orphans: usize,
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
}

impl Deviation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Ghost => "ghost",
            Self::Drift => "drift",
            Self::Leaver => "leaver",
            Self::Opened => "opened",
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

/// One sweep over one door system.
pub async fn sweep(db: &Db, name: &str, connector: &Arc<dyn Connector>) -> Result<Findings, SweepError> {
    let inventory = take_inventory(connector.as_ref()).await?;
    let sweep = Sweep { db, name, connector };
    let mut findings =
        Findings { listed: inventory.cards.len(), unread: inventory.unread.len(), ..Findings::default() };
    let mut orphans = BTreeSet::new();
    let mut present = BTreeSet::new();
    for (card, seen) in &inventory.cards {
        match credential_of(db, card).await? {
            Some(known) => {
                present.insert(known.id);
                sweep.look_at(card, seen, known, &mut findings).await?;
            }
            None => {
                findings.orphans += 1;
                orphans.insert(sweep.orphan(card).to_string());
                sweep.report_orphan(card).await?;
            }
        }
    }
    if inventory.unread.is_empty() {
        for id in placement::proven_present(db, name).await? {
            if !present.contains(&id) {
                sweep.look_for(id, &mut findings).await?;
            }
        }
        sweep.close_orphans(&orphans).await?;
    }
    Ok(findings)
}

struct Sweep<'a> {
    db: &'a Db,
    name: &'a str,
    connector: &'a Arc<dyn Connector>,
}

impl Sweep<'_> {
    /// Compares one card with what is wanted of it.
    async fn look_at(
        &self,
        card: &Card,
        seen: &ReadBack,
        known: Credential,
        findings: &mut Findings,
    ) -> Result<(), SweepError> {
        if !self.deviates(&known, seen).await? {
            return Ok(());
        }
        // The inventory took its time. Only what still deviates is reported.
        let seen = self.connector.read_back(card).await?;
        let before = placement::get(self.db, self.name, known.id).await?;
        let Some(known) = credential::get(self.db, known.id).await? else { return Ok(()) };
        if !self.deviates(&known, &seen).await?
            || placement::get(self.db, self.name, known.id).await? != before
        {
            return Ok(());
        }
        let deviation = match wanted(before.as_ref(), &known) {
            Want::Absent => {
                findings.leavers += 1;
                Deviation::Leaver
            }
            Want::Present(_) => {
                findings.drifted += 1;
                Deviation::Drift
            }
        };
        self.report(deviation, &card.to_string(), Some(&known), Some(&seen)).await
    }

    /// Whether a reading contradicts what is wanted, and nobody is at work on it.
    async fn deviates(&self, known: &Credential, seen: &ReadBack) -> Result<bool, StoreError> {
        let placement = placement::get(self.db, self.name, known.id).await?;
        if !contradicts(seen, &wanted(placement.as_ref(), known)) {
            return Ok(false);
        }
        Ok(!self.is_at_work(known).await?)
    }

    /// Whether the reconciler has yet to look at a credential.
    async fn is_at_work(&self, known: &Credential) -> Result<bool, StoreError> {
        let due: Option<(i64,)> = self
            .db
            .opt(
                sql!("SELECT version FROM delivery WHERE sink = $1 AND subject = $2 AND reconcile AND due_at IS NOT NULL"),
                (sink_name(self.name), known.id.subject()),
            )
            .await?;
        Ok(due.is_some())
    }

    /// A credential that was proven to be there, and that the inventory does not show.
    async fn look_for(&self, id: CredentialId, findings: &mut Findings) -> Result<(), SweepError> {
        let Some(known) = credential::get(self.db, id).await? else { return Ok(()) };
        let seen = self.connector.read_back(&card_of(&known)?).await?;
        if !self.deviates(&known, &seen).await? {
            return Ok(());
        }
        findings.ghosts += 1;
        self.report(Deviation::Ghost, "", Some(&known), Some(&seen)).await
    }

    fn orphan(&self, card: &Card) -> Subject {
        Subject::new("card", format!("{}/{card}", self.name))
    }

    async fn report_orphan(&self, card: &Card) -> Result<(), SweepError> {
        let detail = format!(
            "{} holds card {card}, which belongs to nobody; take it off or give it an owner",
            self.name
        );
        if alert::open(self.db, alert::ORPHAN, &self.orphan(card), &detail).await? {
            self.report(Deviation::Orphan, &card.to_string(), None, None).await?;
        }
        Ok(())
    }

    /// Closes what was reported before and is not there any more.
    async fn close_orphans(&self, there: &BTreeSet<String>) -> Result<(), StoreError> {
        let ours = Subject::new("card", format!("{}/", self.name)).to_string();
        for open in alert::open_alerts(self.db).await? {
            let is_ours = open.kind == alert::ORPHAN && open.subject.starts_with(&ours);
            if let (true, false, Ok(subject)) = (is_ours, there.contains(&open.subject), open.subject.parse())
            {
                alert::close(self.db, alert::ORPHAN, &subject).await?;
            }
        }
        Ok(())
    }

    async fn report(
        &self,
        deviation: Deviation,
        card: &str,
        known: Option<&Credential>,
        seen: Option<&ReadBack>,
    ) -> Result<(), SweepError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let found = found(&mut tx, self.name, deviation, card, known, seen).await;
        Ok(tx.end(found).await?)
    }
}

/// What the last look wanted, unless the directory knows better already.
fn wanted(placement: Option<&Placement>, known: &Credential) -> Want {
    placement.filter(|_| known.is_active()).and_then(Placement::want).unwrap_or(Want::Absent)
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
