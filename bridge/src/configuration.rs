//! After a policy, an access profile, a door or a pool changed, everybody is looked at again: every user for
//! entitlement, every credential at every door system for what it opens there.
//!
//! A reconciler with one subject, so that ten changes cost one look. Users are handed to [`entitlement`], page
//! by page. Credentials are compared here, a page with two readings, and only those whose doors changed are
//! handed on: those that lose a door before all others, whatever kind of change it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use directory::declared::Kind;
use directory::facts::ConfigurationChanged;
use directory::user;
use directory::{credential, door};
use kernel::Subject;
use kernel::id::{CredentialId, FactId};
use policy::Policies;
use store::{
    Address, Db, Delivery, FactBody as _, Origin, Settled, Sink, SinkError, Sinks, StoreError, delivery, sql,
};
use tokio::sync::watch;

use crate::connector::Want;
use crate::entitlement;
use crate::placement::{self, Placement, sink_name};

/// The sink's name.
pub const SINK: &str = "configuration";

/// How many are looked at at once.
const PAGE: i64 = 500;

/// Changes that may change who holds what.
pub fn route(sinks: &Sinks) {
    const KINDS: &[Kind] =
        &[Kind::Policy, Kind::Area, Kind::DoorSystem, Kind::AccessPoint, Kind::AccessProfile, Kind::CardPool];
    sinks.set(SINK, |fact| {
        let concerns = fact.kind == ConfigurationChanged::KIND
            && KINDS.iter().any(|kind| kind.as_str() == fact.subject.kind);
        match concerns {
            true => vec![everybody().revoking(fact.revokes)],
            false => Vec::new(),
        }
    });
}

fn everybody() -> Address {
    Address::reconcile(SINK, Subject::new(SINK, "all"))
}

/// Has everybody looked at again whenever other policies come into force on this node, until `stop` turns true.
///
/// A changed policy is recorded before any node has loaded it; whoever is decided about in between is decided
/// about by the old one. So each node says when it has the new one.
pub async fn follow(db: Db, mut policies: watch::Receiver<Arc<Policies>>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            changed = policies.changed() => {
                if changed.is_err() {
                    return;
                }
                if let Err(error) = look_again(&db).await {
                    tracing::error!(%error, "new policies are in force, but nobody was looked at again");
                }
            }
            changed = stop.changed() => if changed.is_err() { return },
        }
    }
}

/// Has everybody looked at again, as if the last change of the configuration were made now.
pub async fn look_again(db: &Db) -> Result<(), StoreError> {
    let last: Option<(FactId,)> = db
        .opt(
            sql!(
                "SELECT id FROM fact WHERE kind = 'configuration.changed' ORDER BY at DESC, id DESC LIMIT 1"
            ),
            (),
        )
        .await?;
    // Nothing was ever configured: nobody holds anything.
    let Some((fact,)) = last else { return Ok(()) };
    let mut tx = db.write(Origin::system()).await?;
    delivery::hint(&mut tx, everybody(), fact);
    tx.commit().await
}

/// The reconciler.
pub struct Configuration {
    db: Db,
}

impl Configuration {
    /// Over a database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    async fn hint_users(&self, cause: &Delivery) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = user::page(&self.db, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.created_at, last.id));
            let hints = page.iter().map(|user| {
                Address::reconcile(entitlement::SINK, user.id.subject()).revoking(cause.priority > 0)
            });
            self.hint(hints.collect(), cause).await?;
        }
    }

    async fn hint_credentials(&self, cause: &Delivery) -> Result<(), StoreError> {
        let systems = door::systems(&self.db).await?;
        let mut after = String::new();
        loop {
            let from = after.parse().ok();
            let page: Vec<CredentialId> =
                credential::page(&self.db, from, PAGE).await?.into_iter().map(|card| card.id).collect();
            let Some(last) = page.last().copied() else { return Ok(()) };
            let mut hints = Vec::new();
            for system in &systems {
                hints.extend(self.changed_at(&system.name, &after, last).await?);
            }
            self.hint(hints, cause).await?;
            after = last.to_string();
        }
    }

    /// Credentials of a page that should open other doors of a system than they were last seen to.
    async fn changed_at(
        &self,
        system: &str,
        after: &str,
        up_to: CredentialId,
    ) -> Result<Vec<Address>, StoreError> {
        let wanted = self.wanted(system, after, up_to).await?;
        let placed = placement::between(&self.db, system, after, up_to).await?;
        let placed: BTreeMap<CredentialId, Placement> =
            placed.into_iter().map(|placement| (placement.credential_id, placement)).collect();
        let all: BTreeSet<&CredentialId> = wanted.keys().chain(placed.keys()).collect();
        let nothing = BTreeSet::new();
        let change = |id: &CredentialId| {
            let loses = loses(placed.get(id), wanted.get(id).unwrap_or(&nothing))?;
            Some(Address::reconcile(sink_name(system), id.subject()).revoking(loses))
        };
        Ok(all.into_iter().filter_map(change).collect())
    }

    async fn wanted(
        &self,
        system: &str,
        after: &str,
        up_to: CredentialId,
    ) -> Result<BTreeMap<CredentialId, BTreeSet<String>>, StoreError> {
        let rows = door::wanted_points_between(&self.db, system, after, up_to).await?;
        let mut wanted: BTreeMap<CredentialId, BTreeSet<String>> = BTreeMap::new();
        for (credential, point) in rows {
            wanted.entry(credential).or_default().insert(point);
        }
        Ok(wanted)
    }

    async fn hint(&self, addresses: Vec<Address>, cause: &Delivery) -> Result<(), StoreError> {
        if addresses.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        for address in addresses {
            delivery::hint(&mut tx, address, cause.fact);
        }
        tx.commit().await
    }
}

/// Whether a credential loses a door by what is wanted now; `None` when nothing changes for it.
fn loses(placed: Option<&Placement>, wanted: &BTreeSet<String>) -> Option<bool> {
    let was: BTreeSet<String> = match placed.and_then(Placement::want) {
        Some(Want::Present(rights)) => rights.access.into_keys().map(|point| point.0).collect(),
        Some(Want::Absent) => BTreeSet::new(),
        // A row that cannot be read says nothing of what is there.
        None if placed.is_some() => return Some(true),
        None => BTreeSet::new(),
    };
    (was != *wanted).then(|| !was.is_subset(wanted))
}

#[async_trait::async_trait]
impl Sink for Configuration {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        self.hint_users(delivery).await?;
        self.hint_credentials(delivery).await?;
        Ok(Settled::Done)
    }
}
