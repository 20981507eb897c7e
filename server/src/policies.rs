//! The policies in force: the baseline and what administrators applied, loaded whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use policy::{BASELINE, Policies, PolicyError};
use store::{Db, StoreError};
use tokio::sync::watch;

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

/// Loads what the database holds.
pub async fn load(db: &Db) -> Result<Policies, PoliciesError> {
    let texts: Vec<(String, String)> =
        directory::policy::all(db).await?.into_iter().map(|policy| (policy.name, policy.text)).collect();
    Ok(parse(&texts)?)
}

/// Follows changes until nobody listens. A set that does not load leaves the one in force, loudly.
pub async fn follow(db: Db, current: watch::Sender<Arc<Policies>>, mut stop: watch::Receiver<bool>) {
    let mut seen = directory::policy::generation(&db).await.ok();
    while !*stop.borrow() {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            changed = stop.changed() => if changed.is_err() { return },
        }
        let Ok(now) = directory::policy::generation(&db).await else { continue };
        if seen == Some(now) {
            continue;
        }
        match load(&db).await {
            Ok(policies) => {
                seen = Some(now);
                current.send_replace(Arc::new(policies));
                tracing::info!("policies loaded");
            }
            Err(error) => {
                seen = Some(now);
                tracing::error!(%error, "policies cannot be loaded; those in force stay");
            }
        }
    }
}
