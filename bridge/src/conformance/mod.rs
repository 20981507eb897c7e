//! The suite that every connector passes unchanged: the contract of [`connector`](crate::connector), tried
//! from both sides.
//!
//! A new connector's test implements [`ConformanceTarget`] over a simulator that speaks the system's own
//! protocol over a real socket, and expects [`run`] to find nothing broken. What this is not: it knows no
//! vendor. What only one kind of system does is tested beside that connector.
//!
//! To add a rule: an async function in the file it belongs to, and its name in that file's list.

mod events;
mod faults;
mod reading;
mod writing;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use kernel::Ctx;
use kernel::id::CredentialId;

use crate::card::Card;
use crate::connector::{
    Access, AccessPointAddress, Connector, ConnectorError, DesiredCredential, ReadBack, Rights, Version,
    Want, take_inventory,
};

/// A door system to try a connector on, with hands on both ends of the wire.
#[async_trait]
pub trait ConformanceTarget: Send + Sync {
    /// A connector as after a restart of our process: the same system, an empty memory. It has at least
    /// two access points.
    fn connector(&self) -> Arc<dyn Connector>;

    /// A card that the system can hold, another one for each `n` below 1,000.
    fn card(&self, n: u16) -> Card;

    /// A card that the system cannot hold.
    fn unholdable(&self) -> Card;

    /// Empties the system's lists and ends every fault. Events may stay.
    async fn reset(&self);

    /// Somebody shows a card. Whether the door was unlocked.
    async fn swipe(&self, card: &Card, at: &AccessPointAddress) -> bool;

    /// Somebody else puts a card on the system's list, to open one access point always.
    async fn plant(&self, card: &Card, at: &AccessPointAddress);

    /// Somebody else takes a card off the system's list.
    async fn uproot(&self, card: &Card);

    /// From now on the system is faulty in this way and no other.
    async fn fault(&self, fault: Fault);

    /// The same at one part of the system only: the one that decides at this access point.
    async fn fault_at(&self, at: &AccessPointAddress, fault: Fault);

    /// How many requests have reached the system so far.
    async fn requests(&self) -> usize;
}

/// How a system, or the network before it, can be faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    None,
    /// Nothing goes in or out.
    Silent,
    /// The next reply is lost; the request was carried out.
    LoseOneReply,
    /// Replies come twice.
    DoubleReplies,
    /// Replies come late, but before the connector gives up.
    SlowReplies,
    /// Replies come after the connector has given up.
    LateReplies,
    /// Replies are nonsense.
    Garbage,
    /// The system refuses to store anything, and says so.
    RefuseWrites,
    /// The system says that it wrote, and did not.
    ForgetWrites,
}

/// A rule that a connector breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule's name.
    pub rule: &'static str,
    /// What was seen.
    pub because: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.because)
    }
}

/// Tries every rule, each on an emptied system and a connector of its own. Gives those that are broken.
pub async fn run(target: &dyn ConformanceTarget) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (rule, _) in every_rule() {
        broken.extend(run_only(target, rule).await);
    }
    broken
}

/// Tries the rule of that name, and leaves the system emptied.
///
/// # Panics
/// If there is no such rule.
pub async fn run_only(target: &dyn ConformanceTarget, name: &str) -> Option<Broken> {
    let found = every_rule().find(|(rule, _)| *rule == name);
    let (rule, tried) = found.unwrap_or_else(|| panic!("no rule is called {name}"));
    target.reset().await;
    let verdict = tried(&Trial::new(target)).await;
    target.reset().await;
    verdict.err().map(|Because(because)| Broken { rule, because })
}

fn every_rule() -> impl Iterator<Item = Rule> {
    [writing::RULES, reading::RULES, events::RULES, faults::RULES].into_iter().flatten().copied()
}

type Rule = (&'static str, for<'a> fn(&'a Trial<'a>) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>);
type Verdict = Result<(), Because>;

/// Why a rule is broken. Any error becomes one.
struct Because(String);

impl<E: std::error::Error> From<E> for Because {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

macro_rules! ensure {
    ($holds:expr, $($because:tt)+) => {
        if !$holds {
            return Err(crate::conformance::Because(format!($($because)+)));
        }
    };
}

macro_rules! rules {
    ($($rule:ident),* $(,)?) => {
        pub(super) const RULES: &[crate::conformance::Rule] =
            &[$((stringify!($rule), |trial| Box::pin($rule(trial)))),*];
    };
}

use {ensure, rules};

/// One rule being tried.
struct Trial<'a> {
    target: &'a dyn ConformanceTarget,
    connector: Arc<dyn Connector>,
    points: Vec<AccessPointAddress>,
    ctx: Ctx,
}

impl<'a> Trial<'a> {
    fn new(target: &'a dyn ConformanceTarget) -> Self {
        let connector = target.connector();
        Self { target, points: connector.access_points(), connector, ctx: Ctx::for_tests(1) }
    }

    /// The credential whose card is the target's nth.
    fn credential(&self, n: u16) -> Wish<'_> {
        Wish { trial: self, credential: CredentialId::new(&self.ctx), card: self.target.card(n) }
    }

    async fn opens(&self, card: &Card, at: usize) -> bool {
        self.target.swipe(card, &self.points[at]).await
    }

    /// Every card on the list, with what all parts together hold for it.
    async fn listed(&self) -> Result<BTreeMap<Card, ReadBack>, ConnectorError> {
        take_inventory(&*self.connector).await.map(|inventory| inventory.cards)
    }
}

/// What is wanted of one credential.
struct Wish<'a> {
    trial: &'a Trial<'a>,
    credential: CredentialId,
    card: Card,
}

impl Wish<'_> {
    fn version(&self, number: i64) -> Version {
        Version { credential: self.credential, number }
    }

    fn desired(&self, number: i64, want: Want) -> DesiredCredential {
        DesiredCredential { version: self.version(number), card: self.card, want }
    }

    /// To open the trial's access points of these positions, always.
    fn opening(&self, at: &[usize]) -> Want {
        let access = at.iter().map(|at| (self.trial.points[*at].clone(), Access::Always)).collect();
        Want::Present(Rights { access, ..Rights::default() })
    }

    async fn grant(&self, number: i64, at: &[usize]) -> Result<(), ConnectorError> {
        self.trial.connector.apply(&self.desired(number, self.opening(at))).await.map(|_| ())
    }

    async fn revoke(&self, number: i64) -> Result<(), ConnectorError> {
        self.trial.connector.revoke(&self.card, Some(self.version(number))).await.map(|_| ())
    }

    async fn read_back(&self) -> Result<ReadBack, ConnectorError> {
        self.trial.connector.read_back(&self.card).await
    }

    async fn is_opening(&self, at: &[usize]) -> Verdict {
        let (seen, want) = (self.read_back().await?, self.opening(at));
        ensure!(seen.meets(&want), "wanted {want:?}, read back {seen:?}");
        Ok(())
    }

    async fn is_absent(&self) -> Verdict {
        let seen = self.read_back().await?;
        ensure!(seen.is_absent(), "wanted absent, read back {seen:?}");
        Ok(())
    }
}
