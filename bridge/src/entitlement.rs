//! What policy says a user holds, and the card that goes with it.
//!
//! A reconciler by user: whatever the fact was, it reads the user, asks policy about every access profile,
//! and makes entitlements and card what they should be. An inactive user is entitled to nothing; the card was
//! taken off every list at the deactivation already.

use std::collections::BTreeSet;
use std::sync::Arc;

use directory::credential::{self, CardPool, Credential};
use directory::door;
use directory::facts::{UserActivated, UserChanged, UserCreated, UserDeactivated, UserDeleted};
use directory::group::ENTITLEMENT_SINK;
use directory::user::{self, User};
use kernel::ProtectionClass;
use kernel::id::UserId;
use policy::Policies;
use store::{Address, Db, Delivery, FactBody as _, Origin, Settled, Sink, SinkError, Sinks, Tx};
use tokio::sync::watch;

use crate::BridgeError;
use crate::alert;
use crate::systems::Systems;

/// The sink's name.
pub const SINK: &str = ENTITLEMENT_SINK;

/// Facts about a user that may change what the user is entitled to. Group facts address their members
/// themselves.
pub fn route(sinks: &Sinks) {
    const KINDS: &[&str] =
        &[UserCreated::KIND, UserChanged::KIND, UserActivated::KIND, UserDeactivated::KIND, UserDeleted::KIND];
    sinks.set(SINK, |fact| match KINDS.contains(&fact.kind) {
        true => vec![Address::reconcile(SINK, fact.subject.clone())],
        false => Vec::new(),
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
        let principal = principal(&self.db, user).await?;
        let policies = self.policies.borrow().clone();
        let mut wanted = Vec::new();
        for profile in profiles(&self.db).await? {
            let decision = policies.decide_hold(&principal, &profile);
            if decision.held {
                let because: Vec<&str> = decision.because.iter().map(|reason| reason.policy_id.as_str()).collect();
                wanted.push((profile.id, because.join(", ")));
            }
        }
        Ok(wanted)
    }

    /// Settles a user who may hold something: entitlements, and a card that is valid.
    async fn settle(&self, delivery: &Delivery, user: &User) -> Result<(), BridgeError> {
        let wanted = self.decide(user).await?;
        let pools = if wanted.is_empty() { Vec::new() } else { self.fitting_pools(user.id, &wanted).await? };
        let mut tx = self.db.write(Origin::system()).await?;
        let settled = settle_in(&mut tx, delivery, user.id, &wanted, &pools).await;
        let has_card = tx.end(settled).await?;
        let subject = user.id.subject();
        if has_card {
            alert::close(&self.db, alert::NO_CARD, &subject).await?;
        } else {
            let detail = "entitled, but no card pool has a number left that the door systems can hold";
            alert::open(&self.db, alert::NO_CARD, &subject, detail).await?;
        }
        Ok(())
    }

    /// The pools whose next card every door system concerned can hold. Empty when the user has a card.
    async fn fitting_pools(&self, user: UserId, wanted: &[(String, String)]) -> Result<Vec<String>, BridgeError> {
        let has_card = credential::of_user(&self.db, user).await?.iter().any(|card| card.state != "revoked");
        if has_card {
            return Ok(Vec::new());
        }
        let wanted: BTreeSet<&str> = wanted.iter().map(|(profile, _)| profile.as_str()).collect();
        let points: Vec<String> = door::profile_points(&self.db)
            .await?
            .into_iter()
            .filter_map(|(profile, point, _, _)| wanted.contains(profile.as_str()).then_some(point))
            .collect();
        let mut fitting = Vec::new();
        for pool in credential::pools(&self.db).await? {
            match self.fits(&pool, &points) {
                Ok(()) => fitting.push(pool.name),
                Err(because) => tracing::warn!(pool = %pool.name, %because, "a card pool is passed over"),
            }
        }
        Ok(fitting)
    }

    fn fits(&self, pool: &CardPool, points: &[String]) -> Result<(), String> {
        if pool.next_number > pool.last_number {
            return Err("it is used up".into());
        }
        let card = crate::placement::card(&pool.format, pool.facility, pool.next_number)
            .map_err(|error| error.to_string())?;
        self.systems.check(self.db.ctx(), card, points)
    }
}

async fn settle_in(
    tx: &mut Tx,
    delivery: &Delivery,
    user: UserId,
    wanted: &[(String, String)],
    pools: &[String],
) -> Result<bool, BridgeError> {
    let held = credential::of_user_in(tx, user).await?;
    let active: Vec<_> = held.iter().filter(|card| card.is_active()).map(|card| card.id).collect();
    door::entitlement::settle(tx, user, wanted, &active).await?;
    let has_card = wanted.is_empty() || ensure_card(tx, user, &held, pools).await?;
    delivery.complete(tx).await?;
    Ok(has_card)
}

/// Resumes the card that is suspended, or hands out one. `false` when there is none to hand out.
async fn ensure_card(tx: &mut Tx, user: UserId, held: &[Credential], pools: &[String]) -> Result<bool, BridgeError> {
    if held.iter().any(Credential::is_active) {
        return Ok(true);
    }
    if let Some(suspended) = held.iter().rev().find(|card| card.state == "suspended") {
        credential::resume(tx, suspended).await?;
        return Ok(true);
    }
    for pool in pools {
        if credential::issue(tx, user, pool).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A user as policies see one.
async fn principal(db: &Db, user: &User) -> Result<policy::User, BridgeError> {
    let groups = user::groups(db, user.id).await?.into_iter().map(|(_, display_name)| display_name).collect();
    Ok(policy::User {
        id: user.id.to_string(),
        active: user.active,
        groups,
        roles: user.roles(),
        department: user.department.clone(),
        title: user.title.clone(),
        employee_type: None,
    })
}

/// The access profiles as policies see them.
async fn profiles(db: &Db) -> Result<Vec<policy::AccessProfile>, BridgeError> {
    let points = door::profile_points(db).await?;
    let mut profiles = Vec::new();
    for profile in door::access_profiles(db).await? {
        let of_profile = points.iter().filter(|(name, ..)| *name == profile.name);
        let areas: BTreeSet<String> = of_profile.clone().map(|(_, _, area, _)| area.clone()).collect();
        let class = of_profile.map(|(.., class)| *class).max().unwrap_or(0);
        profiles.push(policy::AccessProfile {
            id: profile.name,
            areas: areas.into_iter().collect(),
            protection_class: ProtectionClass::try_from(class)
                .map_err(|error| BridgeError::Inconsistent(error.to_string()))?,
            project: profile.project,
        });
    }
    Ok(profiles)
}

#[async_trait::async_trait]
impl Sink for Entitlement {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        let Ok(id) = delivery.subject_id().parse::<UserId>() else {
            return Err(SinkError::Dead(format!("{} is no user", delivery.subject)));
        };
        match user::get(&self.db, id).await? {
            Some(user) if user.active => self.settle(delivery, &user).await?,
            _ => {
                let mut tx = self.db.write(Origin::system()).await?;
                let settled = settle_in(&mut tx, delivery, id, &[], &[]).await;
                tx.end(settled).await?;
            }
        }
        Ok(Settled::Already)
    }
}

/// Has every user looked at again: after policies, access profiles or pools changed.
pub async fn hint_everybody(db: &Db, origin: Origin, fact: kernel::id::FactId) -> Result<(), store::StoreError> {
    let mut after = None;
    loop {
        let page = user::page(db, after, 500).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.created_at, last.id));
        let mut tx = db.write(origin.clone()).await?;
        for user in &page {
            store::delivery::hint(&mut tx, Address::reconcile(SINK, user.id.subject()), fact);
        }
        tx.commit().await?;
    }
}
