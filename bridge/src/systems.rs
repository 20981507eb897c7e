//! The door systems that run: each with an opened connector, a lane, an event feed and a sweep of its own.
//!
//! Configuration is followed: a door system that was changed is stopped, and its successor begins when it has
//! ended, so that two never speak to the same doors in this process. What fails is begun again.
//!
//! What it is not: it keeps no other node from speaking to the same doors. Between nodes the deliveries'
//! versions decide ([`crate::placement`]).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use directory::door::{self, DoorSystem};
use kernel::id::{CredentialId, FactId};
use kernel::{Ctx, Secret, Subject};
use keys::{SealedColumn, SealingKeys};
use store::{Address, Db, Lane, Origin, StoreError, delivery, sql};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::card::Card;
use crate::connector::{
    self, Access, AccessPointAddress, Connector, Descriptor, DesiredCredential, Rights, Version, Want,
};
use crate::feed::Feed;
use crate::placement::{self, Door, sink_name};
use crate::sweep;

/// Where a door system's secret is sealed.
pub const SECRET: SealedColumn = SealedColumn::new("door_system", "secret_sealed", "name").versioned();

/// How often everything a door system holds is compared with what is wanted.
const SWEEP: Duration = Duration::from_secs(300);
/// How often the list of door systems is compared with what runs.
const RELOAD: Duration = Duration::from_secs(1);

/// How many that wait are tried again at once when a door system is back.
const BACK: i64 = 1_000;

/// The door systems that are open in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Systems {
    open: Arc<RwLock<HashMap<String, Open>>>,
}

struct Open {
    /// Of its configuration.
    version: i64,
    /// `None` when it cannot be opened as it is configured: that is said once.
    connector: Option<Arc<dyn Connector>>,
}

/// What runs for a door system.
struct Running {
    /// Of the configuration that it runs by.
    version: i64,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Opens a door system's connector, with its secret unsealed.
///
/// # Errors
/// In words for the administrator: unknown connector, wrong setting, missing sealing key.
pub fn open_connector(
    db: &Db,
    sealing: &SealingKeys,
    system: &DoorSystem,
) -> Result<Arc<dyn Connector>, String> {
    let secret = match &system.secret_sealed {
        None => None,
        Some(sealed) => {
            let opened = sealing.open(SECRET.at(&system.name), sealed).map_err(|error| error.to_string())?;
            let text = String::from_utf8(opened.expose().clone())
                .map_err(|_| "its secret is not text".to_owned())?;
            Some(Secret::new(text))
        }
    };
    connector::open(db.ctx(), &system.connector, &system.config.0, secret).map_err(|error| error.to_string())
}

impl Systems {
    /// Opens what is configured, and follows changes until `stop` turns true. Returns once all have ended.
    pub async fn run(self, db: Db, sealing: SealingKeys, mut stop: watch::Receiver<bool>) {
        let mut running = HashMap::new();
        while !*stop.borrow() {
            if let Err(error) = self.load(&db, &sealing).await {
                tracing::warn!(%error, "the list of door systems cannot be read");
            }
            self.serve_all(&db, &mut running);
            tokio::select! {
                () = tokio::time::sleep(RELOAD) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        for Running { stop, task, .. } in running.into_values() {
            stop.send_replace(true);
            if let Err(error) = task.await {
                tracing::error!(%error, "a door system did not end well");
            }
        }
    }

    /// Opens connectors and routes for what is configured now, and closes what is not any more; lanes run only
    /// under [`Systems::run`]. At start before anything is recorded, and for commands.
    pub async fn load(&self, db: &Db, sealing: &SealingKeys) -> Result<(), StoreError> {
        let configured = door::systems(db).await?;
        self.close_missing(db, &configured);
        for system in configured {
            let known = self.write().get(&system.name).map(|open| open.version);
            if known != Some(system.version) {
                // Whatever its connector says, its lane collects what is recorded for it.
                placement::route(db.sinks(), &system.name);
                let open = Open { version: system.version, connector: opened(db, sealing, &system) };
                self.write().insert(system.name, open);
            }
        }
        Ok(())
    }

    /// Begins what is open and does not run, and ends what runs and is not open any more as it was.
    fn serve_all(&self, db: &Db, running: &mut HashMap<String, Running>) {
        let open = self.read();
        running.retain(|name, running| {
            if open.get(name).is_none_or(|open| open.version != running.version) {
                running.stop.send_replace(true);
            }
            !running.task.is_finished()
        });
        for (name, Open { version, connector }) in open.iter() {
            let Some(connector) = connector.as_ref().filter(|_| !running.contains_key(name)) else {
                continue;
            };
            let (stop, stopped) = watch::channel(false);
            let task = tokio::spawn(serve(db.clone(), name.clone(), connector.clone(), stopped));
            running.insert(name.clone(), Running { version: *version, stop, task });
        }
    }

    fn close_missing(&self, db: &Db, configured: &[DoorSystem]) {
        self.write().retain(|name, _| {
            let stays = configured.iter().any(|system| system.name == *name);
            if !stays {
                db.sinks().remove(&sink_name(name));
            }
            stays
        });
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Open>> {
        // Nobody panics while holding it: only map operations run inside.
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn connectors(&self) -> Vec<(String, Arc<dyn Connector>)> {
        let open = self.read();
        let connectors = open.iter().filter_map(|(name, open)| Some((name.clone(), open.connector.clone()?)));
        let mut all: Vec<_> = connectors.collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The connector of a door system that is open here.
    #[must_use]
    pub fn connector(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.read().get(name)?.connector.clone()
    }

    /// What a door system's connector says of itself.
    #[must_use]
    pub fn descriptor(&self, name: &str) -> Option<Descriptor> {
        self.connector(name).map(|connector| connector.descriptor().clone())
    }

    /// Whether every open door system that has one of these access points can hold this card there.
    ///
    /// # Errors
    /// The first refusal, with the system's name.
    pub fn check(&self, ctx: &Ctx, card: Card, points: &[String]) -> Result<(), String> {
        for (name, connector) in self.connectors() {
            let its_own = connector.access_points();
            let access: std::collections::BTreeMap<AccessPointAddress, Access> = points
                .iter()
                .map(|point| AccessPointAddress(point.clone()))
                .filter(|point| its_own.contains(point))
                .map(|point| (point, Access::Always))
                .collect();
            if access.is_empty() {
                continue;
            }
            let desired = DesiredCredential {
                // Nobody has it yet: any id will do.
                version: Version { credential: CredentialId::new(ctx), number: 0 },
                card,
                want: Want::Present(Rights { access, valid_from: None, valid_to: None }),
            };
            connector.check(&desired).map_err(|refusal| format!("{name}: {refusal}"))?;
        }
        Ok(())
    }

    /// How every open door system is.
    pub async fn condition(&self) -> Vec<(String, connector::Health)> {
        let mut condition = Vec::new();
        for (name, connector) in self.connectors() {
            condition.push((name, connector.health().await));
        }
        condition
    }
}

fn opened(db: &Db, sealing: &SealingKeys, system: &DoorSystem) -> Option<Arc<dyn Connector>> {
    match open_connector(db, sealing, system) {
        Ok(connector) => {
            tracing::info!(door_system = %system.name, connector = %system.connector, "door system opened");
            Some(connector)
        }
        Err(error) => {
            tracing::error!(
                door_system = %system.name, %error,
                "a door system cannot be opened; what it should do waits until its configuration changes"
            );
            None
        }
    }
}

/// Everything that runs for one door system. Ends when it is stopped, or when a part of it has failed.
async fn serve(db: Db, name: String, connector: Arc<dyn Connector>, stop: watch::Receiver<bool>) {
    let (look, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let door = Door::new(db.clone(), name.clone(), connector.clone()).ringing(look.clone());
    let feed = Feed::new(db.clone(), name.clone(), connector.clone()).between(look, back.clone());
    let lane = Lane::new(sink_name(&name));
    let mut parts = JoinSet::new();
    parts.spawn(lane.run(db.clone(), Arc::new(door), stop.clone()));
    parts.spawn(feed.run(stop.clone()));
    parts.spawn(look_after(db, name.clone(), connector, back, stop.clone()));
    while let Some(ended) = parts.join_next().await {
        if let Err(error) = ended {
            tracing::error!(door_system = %name, %error, "a part of a door system failed; all of it begins anew");
            return;
        }
        if !*stop.borrow() {
            return;
        }
    }
}

/// Sweeps now and then, and when a part of the door system answers again; then what waited is tried at once.
async fn look_after(
    db: Db,
    name: String,
    connector: Arc<dyn Connector>,
    back: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = back.notified() => match try_again(&db, &name).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(door_system = %name, count, "it answers: what waited is tried again"),
                Err(error) => tracing::warn!(door_system = %name, %error, "what waits is tried again later"),
            },
            changed = stop.changed() => { if changed.is_err() { return } continue }
        }
        match sweep::sweep(&db, &name, &connector).await {
            Ok(findings) if findings.deviations() == 0 => {
                tracing::debug!(door_system = %name, ?findings, "swept")
            }
            Ok(findings) => tracing::warn!(door_system = %name, ?findings, "swept"),
            Err(error) => tracing::warn!(door_system = %name, %error, "a sweep ended early"),
        }
    }
}

/// Makes due at once what failed before and waits for its next try. Answers how many.
pub async fn try_again(db: &Db, name: &str) -> Result<usize, StoreError> {
    let sink = sink_name(name);
    let waiting: Vec<(String, FactId, i64)> = db
        .all(
            sql!(
                "SELECT subject, fact, priority FROM delivery WHERE sink = $1 AND due_at > $2 AND dead_at IS NULL \
                 AND last_error IS NOT NULL ORDER BY priority DESC, due_at LIMIT $3"
            ),
            (&sink, db.ctx().now(), BACK),
        )
        .await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let mut tx = db.write(Origin::system()).await?;
    for (subject, fact, priority) in &waiting {
        let Ok(subject) = subject.parse::<Subject>() else { continue };
        delivery::hint(&mut tx, Address::reconcile(&sink, subject).revoking(*priority > 0), *fact);
    }
    tx.commit().await?;
    Ok(waiting.len())
}
