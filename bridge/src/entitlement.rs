//! What policy says a user holds, and the card that goes with it.
//!
//! A reconciler by user: whatever the fact was, it reads the user, asks policy about every access profile,
//! and makes entitlements and card what they should be. An inactive user is entitled to nothing; the card was
//! taken off every list at the deactivation already.
//!
//! Policy is asked outside the transaction that carries its answer out. So the account is held there as it was
//! when policy was asked: a decision about somebody who was active never gives a card to one who is not.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use directory::DirectoryError;
use directory::credential::{self, CardPool, Credential, State, SuspendedBy};
use directory::door;
use directory::facts::{
    CredentialRevoked, UserActivated, UserChanged, UserCreated, UserDeactivated, UserDeleted,
};
use directory::group::ENTITLEMENT_SINK;
use directory::user::{self, User};
use kernel::ProtectionClass;
use kernel::id::UserId;
use policy::Policies;
use store::{
    Address, Db, Delivery, FactBody as _, Origin, Settled, Sink, SinkError, Sinks, StoreError, Tx, sql,
};
use tokio::sync::watch;

use crate::BridgeError;
use crate::alert;
use crate::systems::Systems;

/// The sink's name.
pub const SINK: &str = ENTITLEMENT_SINK;

/// How often it decides anew when the account changes meanwhile, before it lets others go first.
const LOOKS: usize = 3;

/// Facts about a user that may change what the user is entitled to, and the end of a card, whose holder may need
/// another one. Group facts address their members themselves.
pub fn route(sinks: &Sinks) {
    const KINDS: &[&str] = &[
        UserCreated::KIND,
        UserChanged::KIND,
        UserActivated::KIND,
        UserDeactivated::KIND,
        UserDeleted::KIND,
        CredentialRevoked::KIND,
    ];
    sinks.set(SINK, |fact| {
        let users =
            std::iter::once(&fact.subject).chain(&fact.about).filter(|about| about.kind == UserId::KIND);
        match KINDS.contains(&fact.kind) {
            true => users.map(|user| Address::reconcile(SINK, user.clone())).collect(),
            false => Vec::new(),
        }
    });
}

/// The reconciler.
pub struct Entitlement {
    db: Db,
    policies: watch::Receiver<Arc<Policies>>,
    systems: Systems,
}

impl Entitlement {
    /// Over the policies in force.
    #[must_use]
    pub fn new(db: Db, policies: watch::Receiver<Arc<Policies>>, systems: Systems) -> Self {
        Self { db, policies, systems }
    }

    /// What policy says: `(profile, because)`.
    async fn decide(&self, user: &User) -> Result<Vec<(String, String)>, BridgeError> {
        let principal = user::principal(&self.db, user).await?;
        let policies = self.policies.borrow().clone();
        let mut wanted = Vec::new();
        for profile in profiles(&self.db).await? {
            let decision = policies.decide_hold(&principal, &profile);
            if decision.held {
                let because: Vec<&str> =
                    decision.because.iter().map(|reason| reason.policy_id.as_str()).collect();
                wanted.push((profile.id, because.join(", ")));
            }
        }
        Ok(wanted)
    }

    /// Makes entitlements and card of a user what they should be.
    async fn settle(&self, delivery: &Delivery, id: UserId) -> Result<(), BridgeError> {
        let user = user::get(&self.db, id).await?;
        let wanted = match user.as_ref().filter(|user| user.active) {
            Some(user) => self.decide(user).await?,
            None => Vec::new(),
        };
        let (mut pools, mut unfit) = self.pools_for(id, &wanted).await?;
        loop {
            let mut tx = self.db.write(Origin::system()).await?;
            let settled = self.settle_in(&mut tx, delivery, id, user.as_ref(), &wanted, &pools).await;
            match tx.end(settled).await {
                Ok(has_card) => return self.tell(id, has_card, &unfit).await,
                Err(NotSettled::Unfit(because)) => {
                    unfit.extend(pools.pop_front().map(|pool| format!("pool {}: {because}", pool.name)));
                }
                Err(NotSettled::Failed(error)) => return Err(error),
            }
        }
    }

    async fn settle_in(
        &self,
        tx: &mut Tx,
        delivery: &Delivery,
        id: UserId,
        user: Option<&User>,
        wanted: &[(String, String)],
        pools: &VecDeque<Pool>,
    ) -> Result<bool, NotSettled> {
        if let Some(user) = user {
            hold(tx, user).await?;
        }
        let held = credential::of_user_in(tx, id).await?;
        let active: Vec<_> = held.iter().filter(|card| card.is_active()).map(|card| card.id).collect();
        door::entitlement::settle(tx, id, wanted, &active).await?;
        let has_card = wanted.is_empty() || self.ensure_card(tx, id, &held, pools).await?;
        delivery.complete(tx).await?;
        Ok(has_card)
    }

    /// Resumes the card that the account's end suspended, or hands out one. `false` when there is none to hand out.
    /// A card that somebody suspended by hand stays off, and nobody gets another one in its place.
    async fn ensure_card(
        &self,
        tx: &mut Tx,
        user: UserId,
        held: &[Credential],
        pools: &VecDeque<Pool>,
    ) -> Result<bool, NotSettled> {
        if held.iter().any(Credential::is_active) {
            return Ok(true);
        }
        let suspended_by = |by: SuspendedBy| held.iter().rev().find(move |card| card.suspended() == Some(by));
        if let Some(suspended) = suspended_by(SuspendedBy::Account) {
            credential::resume(tx, suspended, None).await?;
            return Ok(true);
        }
        if suspended_by(SuspendedBy::Hand).is_some() {
            return Ok(true);
        }
        let Some(pool) = pools.front() else { return Ok(false) };
        let issued = credential::issue(tx, user, &pool.name).await?;
        let issued = issued.ok_or_else(|| NotSettled::Unfit("it is used up".into()))?;
        self.fits(&issued.format, issued.facility, issued.number, &pool.points).map_err(NotSettled::Unfit)?;
        Ok(true)
    }

    /// Opens an alert when there is no card for somebody who is entitled, and closes it when that is over.
    async fn tell(&self, user: UserId, has_card: bool, unfit: &[String]) -> Result<(), BridgeError> {
        let subject = user.subject();
        if has_card {
            alert::close(&self.db, alert::NO_CARD, &subject).await?;
            return Ok(());
        }
        let because = if unfit.is_empty() { "there is none".to_owned() } else { unfit.join("; ") };
        let detail = format!("entitled, but no card pool has a card that the doors can hold: {because}");
        alert::open(&self.db, alert::NO_CARD, &subject, &detail).await?;
        Ok(())
    }

    /// The pools whose next card every door system concerned can hold, and why the others are passed over. None
    /// when the user needs no card.
    async fn pools_for(
        &self,
        user: UserId,
        wanted: &[(String, String)],
    ) -> Result<(VecDeque<Pool>, Vec<String>), BridgeError> {
        let is_kept = |card: &Credential| card.state.parse() != Ok(State::Revoked);
        if wanted.is_empty() || credential::of_user(&self.db, user).await?.iter().any(is_kept) {
            return Ok((VecDeque::new(), Vec::new()));
        }
        let wanted: BTreeSet<&str> = wanted.iter().map(|(profile, _)| profile.as_str()).collect();
        let points = door::profile_points(&self.db).await?;
        let points = points.into_iter().filter(|(profile, ..)| wanted.contains(profile.as_str()));
        let points: Vec<String> = points.map(|(_, point, ..)| point).collect();
        let (mut fitting, mut unfit) = (VecDeque::new(), Vec::new());
        for pool in credential::pools(&self.db).await? {
            match self.next_fits(&pool, &points) {
                Ok(()) => fitting.push_back(Pool { name: pool.name, points: points.clone() }),
                Err(because) => unfit.push(format!("pool {}: {because}", pool.name)),
            }
        }
        Ok((fitting, unfit))
    }

    /// Whether the next card of a pool can be handed out; if not, why. It may turn out to be another one: numbers
    /// that somebody has are passed over, and others draw, too.
    fn next_fits(&self, pool: &CardPool, points: &[String]) -> Result<(), String> {
        if pool.next_number > pool.last_number {
            return Err("it is used up".into());
        }
        self.fits(&pool.format, pool.facility, pool.next_number, points)
    }

    fn fits(&self, format: &str, facility: i64, number: i64, points: &[String]) -> Result<(), String> {
        let card = crate::placement::card(format, facility, number).map_err(|error| error.to_string())?;
        self.systems.check(self.db.ctx(), card, points)
    }
}

/// A pool to draw from, for a card that must open these access points.
struct Pool {
    name: String,
    points: Vec<String>,
}

/// Why nothing was settled. Nothing of it was done.
enum NotSettled {
    /// The first pool has no card that can be held. The reason in words.
    Unfit(String),
    /// It failed.
    Failed(BridgeError),
}

impl<E: Into<BridgeError>> From<E> for NotSettled {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Holds the account as it was seen until the commit: nobody ends it meanwhile, and when somebody has, nothing
/// is handed out any more.
///
/// # Errors
/// [`StoreError::Conflict`] when the account has moved on: look again.
async fn hold(tx: &mut Tx, seen: &User) -> Result<(), StoreError> {
    tx.run_versioned(
        sql!("UPDATE users SET version = version WHERE id = $1 AND version = $2 AND deleted_at IS NULL"),
        (seen.id, seen.version),
    )
    .await
}

/// The access profiles as policies see them.
async fn profiles(db: &Db) -> Result<Vec<policy::AccessProfile>, BridgeError> {
    let mut behind: HashMap<String, (BTreeSet<String>, i64)> = HashMap::new();
    for (profile, _, area, class) in door::profile_points(db).await? {
        let (areas, highest) = behind.entry(profile).or_insert_with(|| (BTreeSet::new(), class));
        areas.insert(area);
        *highest = class.max(*highest);
    }
    let profiles = door::access_profiles(db).await?.into_iter().map(|profile| {
        let (areas, class) = behind.remove(&profile.name).unwrap_or_default();
        Ok(policy::AccessProfile {
            id: profile.name,
            areas: areas.into_iter().collect(),
            protection_class: ProtectionClass::try_from(class)
                .map_err(|error| BridgeError::Inconsistent(error.to_string()))?,
            project: profile.project,
        })
    });
    profiles.collect()
}

#[async_trait::async_trait]
impl Sink for Entitlement {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let Ok(id) = delivery.subject_id().parse::<UserId>() else {
            return Err(SinkError::Dead(format!("{} is no user", delivery.subject)));
        };
        for _ in 0..LOOKS {
            match self.settle(delivery, id).await {
                // Account or card have changed while we decided: decide anew.
                Err(
                    BridgeError::Store(StoreError::Conflict)
                    | BridgeError::Directory(DirectoryError::VersionMismatch),
                ) => {}
                settled => return Ok(settled.map(|()| Settled::Already)?),
            }
        }
        Err(SinkError::Store(StoreError::Conflict))
    }
}
