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
    seen: Arc<Mutex<Seen>>,
}

/// The texts that were looked at last.
struct Seen {
    generation: (i64, i64, i64),
    /// Whether they are in force.
    loaded: bool,
}

impl InForce {
    /// Loads what the database holds now.
    ///
    /// # Errors
    /// A text that cannot be loaded: a house without its policies must not open.
    pub async fn open(db: Db) -> Result<Self, PoliciesError> {
        // The generation first: a text that changes in between is seen as new.
        let generation = directory::policy::generation(&db).await?;
        let (current, _) = watch::channel(Arc::new(load(&db).await?));
        Ok(Self { db, current, seen: Arc::new(Mutex::new(Seen { generation, loaded: true })) })
    }

    /// For those who decide.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Policies>> {
        self.current.subscribe()
    }

    /// Makes sure that what the database holds now is in force. A set that does not load leaves the one in
    /// force, and says so once.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.look().await.map(drop)
    }

    /// Those that the database holds now, if they could be loaded.
    async fn look(&self) -> Result<Option<Arc<Policies>>, StoreError> {
        let mut seen = self.seen.lock().await;
        let generation = directory::policy::generation(&self.db).await?;
        if seen.generation != generation {
            let loaded = match load(&self.db).await {
                Ok(policies) => {
                    self.current.send_replace(Arc::new(policies));
                    tracing::info!("policies loaded");
                    true
                }
                Err(PoliciesError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "policies cannot be loaded; those in force stay");
                    false
                }
            };
            *seen = Seen { generation, loaded };
        }
        Ok(seen.loaded.then(|| self.current.borrow().clone()))
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

/// At a door the policies that were replaced at a commit let nobody in any more.
#[async_trait::async_trait]
impl bridge::entrance::InForce for InForce {
    async fn policies(&self) -> Result<Arc<Policies>, StoreError> {
        let none = || StoreError::Inconsistent("the policies in the database cannot be loaded".into());
        self.look().await?.ok_or_else(none)
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

#[cfg(test)]
mod tests {
    use bridge::entrance::InForce as _;
    use kernel::Ctx;
    use store::{Origin, Sinks, sql};

    use super::*;
    use crate::config::Config;

    const SHUT: &str =
        r#"@id("shut") @because("Shut.") forbid (principal, action == Action::"enter", resource);"#;

    async fn open(folder: &tempfile::TempDir) -> Db {
        let config = Config::parse("issuer = \"http://localhost:8080\"", folder.path()).unwrap();
        let database = config.database().unwrap();
        Db::open(&database, Ctx::for_tests(1), Sinks::default()).await.unwrap()
    }

    async fn write(db: &Db, version: i64, text: &str) {
        let sql = sql!(
            "INSERT INTO policy (name, version, text, updated_at) VALUES ('ours', $1, $2, $1) \
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, text = excluded.text, \
             updated_at = excluded.updated_at"
        );
        db.change(Origin::system(), sql, (version, text), Vec::new()).await.unwrap();
    }

    #[tokio::test]
    async fn a_door_hears_the_policies_of_the_last_commit_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder).await;
        let in_force = InForce::open(db.clone()).await.unwrap();
        let others = in_force.subscribe();
        let first = in_force.policies().await.unwrap();
        assert!(
            Arc::ptr_eq(&first, &in_force.policies().await.unwrap()),
            "they are not loaded at each swipe"
        );
        write(&db, 1, SHUT).await;
        let second = in_force.policies().await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        // As an older process may find it.
        write(&db, 2, "what no policy is").await;
        for _ in 0..2 {
            assert!(in_force.policies().await.is_err(), "nobody enters by what is replaced");
        }
        in_force.refresh().await.unwrap();
        let theirs = others.borrow().clone();
        assert!(Arc::ptr_eq(&second, &theirs), "everybody else goes on with it");
        write(&db, 3, SHUT).await;
        assert!(in_force.policies().await.is_ok());
    }

    #[tokio::test]
    async fn a_policy_in_the_place_of_another_is_in_force_also_when_the_clock_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder).await;
        write(&db, 1, SHUT).await;
        let late = sql!("INSERT INTO policy (name, version, text, updated_at) VALUES ('late', 1, $1, 1000)");
        let permit =
            r#"@id("open") @because("Open.") permit (principal, action == Action::"enter", resource);"#;
        db.change(Origin::system(), late, (permit,), Vec::new()).await.unwrap();
        let in_force = InForce::open(db.clone()).await.unwrap();
        let before = in_force.policies().await.unwrap();
        // One goes and another comes in one commit, after what was written before it by the clock of then.
        let sql = sql!("UPDATE policy SET name = 'another', text = $1, updated_at = 500 WHERE name = 'ours'");
        let other = SHUT.replace("shut", "other");
        db.change(Origin::system(), sql, (&other,), Vec::new()).await.unwrap();
        assert!(!Arc::ptr_eq(&before, &in_force.policies().await.unwrap()));
    }
}
