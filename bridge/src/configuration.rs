//! After a policy, an access profile, a door or a pool changed, everybody is looked at again: every user for
//! entitlement, every credential at every door system for what it opens there.
//!
//! A reconciler with one subject, so that ten changes cost one look. Users are handed to [`entitlement`], page
//! by page. Credentials are compared here, a page with four readings, and only those whose doors, hours or days changed
//! are handed on, and those at which a door system looks just now: those that lose something before all others, whatever
//! kind of change it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use directory::credential::{self, Credential};
use directory::declared::Kind;
use directory::door::{self, WantedPoint};
use directory::facts::ConfigurationChanged;
use directory::user;
use kernel::id::{CredentialId, FactId};
use kernel::{Subject, Timestamp};
use policy::Policies;
use store::{
    Address, Db, Delivery, FactBody as _, Origin, Priority, Settled, Sink, SinkError, Sinks, StoreError,
    delivery, sql,
};
use tokio::sync::watch;

use crate::alert;
use crate::connector::Want;
use crate::entitlement;
use crate::placement::{self, Placement, Terms, Turn, merge, sink_name};

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
        let mut systems = Vec::new();
        for system in door::systems(&self.db).await? {
            systems.push((placement::terms_of(&self.db, &system.name).await?, system.name));
        }
        let unheld = alert::open_of_kind(&self.db, alert::CANNOT_HOLD).await?;
        let unheld: BTreeSet<String> = unheld.into_iter().map(|alert| alert.subject).collect();
        let mut after = String::new();
        loop {
            let page = credential::page(&self.db, after.parse().ok(), PAGE).await?;
            let Some(last) = page.last().map(|card| card.id) else { return Ok(()) };
            let compared = async || {
                let (mut hints, mut is_at_work) = (Vec::new(), false);
                for (terms, name) in &systems {
                    let seen = self.seen(name, &after, last).await?;
                    let concerned = page.iter().filter_map(|card| seen.change(card, terms, &unheld));
                    hints.extend(concerned.collect::<Vec<_>>());
                    is_at_work |= !seen.at_work.is_empty();
                }
                Ok::<_, StoreError>((hints, is_at_work))
            };
            let (hints, is_at_work) = compared().await?;
            self.hint(hints.clone(), cause).await?;
            if is_at_work {
                // What was being given may have been noted between our reading and our hint. From the hint on nothing is
                // noted any more by what was wanted before.
                let (mut lost, _) = compared().await?;
                lost.retain(|hint| hint.priority == Priority::Revocation && !hints.contains(hint));
                self.hint(lost, cause).await?;
            }
            after = last.to_string();
        }
    }

    /// What is wanted of a page of credentials at one door system, and what they were last seen to be there.
    async fn seen<'a>(
        &self,
        system: &'a str,
        after: &str,
        up_to: CredentialId,
    ) -> Result<Seen<'a>, StoreError> {
        let mut points: BTreeMap<CredentialId, Vec<WantedPoint>> = BTreeMap::new();
        for (credential, point) in door::wanted_points_between(&self.db, system, after, up_to).await? {
            points.entry(credential).or_default().push(point);
        }
        // INVARIANT: asked before the rows are. A look that has ended since is seen in its row.
        let at_work = placement::at_work_between(&self.db, system, after, up_to).await?;
        let placed = placement::between(&self.db, system, after, up_to).await?;
        let placed = placed.into_iter().map(|placement| (placement.credential_id, placement)).collect();
        let turns = placement::due_between(&self.db, system, after, up_to).await?;
        Ok(Seen { system, points, at_work, placed, turns, now: self.db.ctx().now() })
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

/// One door system, as it is wanted for a page of credentials, and as it was last seen.
struct Seen<'a> {
    system: &'a str,
    points: BTreeMap<CredentialId, Vec<WantedPoint>>,
    /// The subjects of those at which somebody looks just now, by what was wanted before.
    at_work: BTreeSet<String>,
    placed: BTreeMap<CredentialId, Placement>,
    turns: BTreeMap<CredentialId, Turn>,
    now: Timestamp,
}

impl Seen<'_> {
    /// The look that a credential needs, before all others where it loses a door or hours; `None` when nothing changes
    /// for it. `unheld` are those of which somebody was told that not all that is wanted is held.
    ///
    /// What is being given just now is noted ([`placement`]): that it is lost again is seen. What is being taken is not.
    fn change(&self, card: &Credential, terms: &Terms, unheld: &BTreeSet<String>) -> Option<Address> {
        let points = self.points.get(&card.id).map_or(&[][..], Vec::as_slice);
        let wanted = merge(points, placement::validity_of(card), terms, self.now);
        let was = self.placed.get(&card.id).map(Placement::want);
        // A row that cannot be read says nothing of what is there.
        let (differs, loses) = match was {
            Some(None) => (true, true),
            Some(Some(was)) => (was != wanted.want, was.loses_by(&wanted.want)),
            None => (wanted.want != Want::Absent, false),
        };
        let is_at_work = self.at_work.contains(&card.id.subject().to_string());
        let turns = self.turns.get(&card.id) != wanted.turn.as_ref();
        let told = unheld.contains(&placement::subject(self.system, card.id).to_string());
        let is_concerned = differs || is_at_work || turns || told == wanted.unheld.is_empty();
        is_concerned.then(|| Address::reconcile(sink_name(self.system), card.id.subject()).revoking(loses))
    }
}

#[async_trait::async_trait]
impl Sink for Configuration {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        self.hint_users(delivery).await?;
        self.hint_credentials(delivery).await?;
        Ok(Settled::Done)
    }
}
