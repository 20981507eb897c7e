//! The policies in force: the baseline and what administrators applied, loaded whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use policy::{BASELINE, Policies, PolicyError};
use store::{Db, Delivery, Settled, Sink, SinkError, StoreError};
use tokio::sync::{Mutex, watch};

/// The name under which an administrator's text replaces the built-in baseline.
pub const BASELINE_NAME: &str = "baseline";

/// How often another node's changes are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Why policies could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// A text is not acceptable.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Parses texts with the baseline, unless one of them replaces it.
pub fn parse(texts: &[(String, String)]) -> Result<Policies, PolicyError> {
    let mut sources: Vec<(&str, &str)> = Vec::new();
    if !texts.iter().any(|(name, _)| name == BASELINE_NAME) {
        sources.push(BASELINE);
    }
    sources.extend(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    Policies::parse(&sources)
}

/// Loads what the database holds, once: for checks.
pub async fn load(db: &Db) -> Result<Policies, PoliciesError> {
    let texts: Vec<(String, String)> =
        directory::policy::all(db).await?.into_iter().map(|policy| (policy.name, policy.text)).collect();
    Ok(parse(&texts)?)
}

/// The policies in force on this node. Cheap to clone.
#[derive(Clone)]
pub struct InForce {
    db: Db,
    current: watch::Sender<Arc<Policies>>,
    /// Which generation of texts was looked at last, loaded or not.
    seen: Arc<Mutex<(i64, i64, i64)>>,
}

impl InForce {
    /// Loads what the database holds now.
    ///
    /// # Errors
    /// A text that cannot be loaded: a house without its policies must not open.
    pub async fn open(db: Db) -> Result<Self, PoliciesError> {
        // The generation first: a text that changes in between is seen as new.
        let seen = directory::policy::generation(&db).await?;
        let (current, _) = watch::channel(Arc::new(load(&db).await?));
        Ok(Self { db, current, seen: Arc::new(Mutex::new(seen)) })
    }

    /// For those who decide.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Policies>> {
        self.current.subscribe()
    }

    /// Makes sure that what the database holds now is in force. A set that does not load leaves the one in
    /// force, and says so once.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let now = directory::policy::generation(&self.db).await?;
        if *seen == now {
            return Ok(());
        }
        match load(&self.db).await {
            Ok(policies) => {
                self.current.send_replace(Arc::new(policies));
                tracing::info!("policies loaded");
            }
            Err(PoliciesError::Store(error)) => return Err(error),
            Err(error) => tracing::error!(%error, "policies cannot be loaded; those in force stay"),
        }
        *seen = now;
        Ok(())
    }

    /// Follows changes that other nodes and commands make.
    pub async fn follow(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "policies cannot be looked at");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// A sink that decides by policies: a hint that policies changed must not be worked on with the old ones.
pub struct WithFreshPolicies<S> {
    policies: InForce,
    sink: S,
}

impl<S: Sink> WithFreshPolicies<S> {
    /// The same sink, after a look at the policies.
    pub fn new(policies: InForce, sink: S) -> Self {
        Self { policies, sink }
    }
}

#[async_trait::async_trait]
impl<S: Sink> Sink for WithFreshPolicies<S> {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        self.policies.refresh().await?;
        self.sink.deliver(delivery).await
    }

    async fn failed(&self, delivery: &Delivery, error: &SinkError) {
        self.sink.failed(delivery, error).await;
    }
}
