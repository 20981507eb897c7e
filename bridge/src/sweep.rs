//! The sweep: pages through what a door system holds and compares it with what is wanted.
//!
//! Facts may be lost on the way to a door, and people with a laptop may stand before a panel. Whatever the
//! cause, the sweep finds it: a known card that must not be there goes at once, one that is missing or wrong
//! is put right, one that belongs to nobody is reported.

use std::collections::HashSet;
use std::sync::Arc;

use kernel::Subject;
use kernel::id::{CredentialId, FactId};
use serde::Serialize;
use store::{Address, Db, Fact, Origin, StoreError};

use crate::BridgeError;
use crate::alert;
use crate::connector::{Connector, ConnectorError, Listed};
use crate::facts::DeviationFound;
use crate::feed::credential_of;
use crate::placement::{self, sink_name};

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
    let mut findings = Findings::default();
    let mut present = HashSet::new();
    let mut cursor = None;
    loop {
        let page = connector.list(cursor.as_ref()).await?;
        findings.unread += page.unread.len();
        for listed in page.listed {
            findings.listed += 1;
            if let Some(id) = look_at(db, name, &listed, &mut findings).await? {
                present.insert(id);
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if findings.unread == 0 {
        find_ghosts(db, name, &present, &mut findings).await?;
    }
    Ok(findings)
}

/// Compares one card with what is wanted of it; answers whose it is.
async fn look_at(
    db: &Db,
    name: &str,
    listed: &Listed,
    findings: &mut Findings,
) -> Result<Option<CredentialId>, SweepError> {
    let card = listed.card.to_string();
    let Some(known) = credential_of(db, &listed.card).await? else {
        findings.orphans += 1;
        let subject = Subject::new("card", format!("{name}/{card}"));
        let detail = format!("{name} holds card {card}, which belongs to nobody; take it off or give it an owner");
        if alert::open(db, alert::ORPHAN, &subject, &detail).await? {
            found(db, name, "orphan", &card, None).await?;
        }
        return Ok(None);
    };
    let wanted = placement::get(db, name, known.id).await?;
    let wish = wanted.as_ref().and_then(|placement| serde_json::from_str(&placement.rights).ok());
    match (wish, known.is_active()) {
        (Some(wish), true) if listed.seen.meets(&wish) => {}
        (Some(crate::connector::Want::Present(_)), true) => {
            findings.drifted += 1;
            found(db, name, "drift", &card, Some(known.id)).await?;
        }
        _ => {
            findings.leavers += 1;
            found(db, name, "leaver", &card, Some(known.id)).await?;
        }
    }
    Ok(Some(known.id))
}

async fn find_ghosts(
    db: &Db,
    name: &str,
    present: &HashSet<CredentialId>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    for (id,) in placement::wanted_present(db, name).await? {
        if !present.contains(&id) {
            findings.ghosts += 1;
            found(db, name, "ghost", "", Some(id)).await?;
        }
    }
    Ok(())
}

/// Records a deviation and has the credential's placement looked at again, at once where it must go.
async fn found(
    db: &Db,
    name: &str,
    finding: &str,
    card: &str,
    credential: Option<CredentialId>,
) -> Result<FactId, StoreError> {
    let body = DeviationFound {
        door_system: name.into(),
        finding: finding.into(),
        card: card.into(),
        credential,
    };
    let mut fact = Fact::new(Subject::new("door_system", name), &body);
    if let Some(id) = credential {
        let address = Address::reconcile(sink_name(name), id.subject()).revoking(finding == "leaver");
        fact = fact.about(id.subject()).to(address);
    }
    let mut tx = db.write(Origin::system()).await?;
    let id = tx.record(fact);
    tx.commit().await?;
    tracing::warn!(door_system = name, finding, card, "a door system deviates from what is wanted");
    Ok(id)
}
