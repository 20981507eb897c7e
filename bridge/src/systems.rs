//! The door systems that run: each with an opened connector, a lane, an event feed and a sweep of its own.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use directory::door::{self, DoorSystem};
use kernel::id::CredentialId;
use kernel::{Ctx, Secret};
use keys::{SealedColumn, SealingKeys};
use store::{Db, Lane, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::card::Card;
use crate::connector::{self, Access, AccessPointAddress, Connector, Descriptor, DesiredCredential, Rights, Version, Want};
use crate::feed::Feed;
use crate::placement::{self, Door, sink_name};
use crate::sweep;

/// Where a door system's secret is sealed.
pub const SECRET: SealedColumn = SealedColumn::new("door_system", "secret_sealed", "name");

/// How often everything a door system holds is compared with what is wanted.
const SWEEP: Duration = Duration::from_secs(300);
/// How often the list of door systems is compared with what runs.
const RELOAD: Duration = Duration::from_secs(1);

/// The door systems that are open in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Systems {
    open: Arc<RwLock<HashMap<String, Open>>>,
}

#[derive(Clone)]
struct Open {
    version: i64,
    connector: Arc<dyn Connector>,
    /// Ends lane, feed and sweep; `None` while they do not run.
    stop: Option<watch::Sender<bool>>,
}

/// The door system of a lane, if the lane is one's.
#[must_use]
pub fn system_of_sink(sink: &str) -> Option<&str> {
    sink.strip_prefix("door:")
}

/// Opens a door system's connector, with its secret unsealed.
///
/// # Errors
/// In words for the administrator: unknown connector, wrong setting, missing sealing key.
pub fn open_connector(db: &Db, sealing: &SealingKeys, system: &DoorSystem) -> Result<Arc<dyn Connector>, String> {
    let secret = match &system.secret_sealed {
        None => None,
        Some(sealed) => {
            let opened = sealing.open(SECRET.at(&system.name), sealed).map_err(|error| error.to_string())?;
            let text = String::from_utf8(opened.expose().clone()).map_err(|_| "its secret is not text".to_owned())?;
            Some(Secret::new(text))
        }
    };
    connector::open(db.ctx(), &system.connector, &system.config.0, secret).map_err(|error| error.to_string())
}

impl Systems {
    /// Opens what is configured, and follows changes until `stop` turns true. Returns once all have ended.
    pub async fn run(self, db: Db, sealing: SealingKeys, mut stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
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
        let names: Vec<String> = self.connectors().into_iter().map(|(name, _)| name).collect();
        names.iter().for_each(|name| self.close(name));
        while running.join_next().await.is_some() {}
    }

    /// Opens connectors and routes for what is configured now, and closes what is not any more; lanes run only
    /// under [`Systems::run`]. At start before anything is recorded, and for commands.
    pub async fn load(&self, db: &Db, sealing: &SealingKeys) -> Result<(), StoreError> {
        let configured = door::systems(db).await?;
        self.close_missing(db, &configured);
        for system in configured {
            let known = self.write().get(&system.name).map(|open| open.version);
            if known != Some(system.version) {
                self.close(&system.name);
                self.open(db, sealing, &system);
            }
        }
        Ok(())
    }

    fn open(&self, db: &Db, sealing: &SealingKeys, system: &DoorSystem) {
        // Whatever its connector says, its lane collects what is recorded for it.
        placement::route(db.sinks(), &system.name);
        match open_connector(db, sealing, system) {
            Ok(connector) => {
                tracing::info!(door_system = %system.name, connector = %system.connector, "door system opened");
                let open = Open { version: system.version, connector, stop: None };
                self.write().insert(system.name.clone(), open);
            }
            Err(error) => tracing::error!(door_system = %system.name, %error, "a door system cannot be opened"),
        }
    }

    /// Starts lane, feed and sweep of each that is open and does not run yet.
    fn serve_all(&self, db: &Db, running: &mut JoinSet<()>) {
        for (name, open) in self.write().iter_mut().filter(|(_, open)| open.stop.is_none()) {
            let (stop, stopped) = watch::channel(false);
            running.spawn(serve(db.clone(), name.clone(), open.connector.clone(), stopped));
            open.stop = Some(stop);
        }
    }

    fn close(&self, name: &str) {
        if let Some(stop) = self.write().remove(name).and_then(|open| open.stop) {
            stop.send_replace(true);
        }
    }

    fn close_missing(&self, db: &Db, configured: &[DoorSystem]) {
        let gone: Vec<String> = self
            .write()
            .keys()
            .filter(|name| !configured.iter().any(|system| system.name == **name))
            .cloned()
            .collect();
        for name in gone {
            self.close(&name);
            db.sinks().remove(&sink_name(&name));
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Open>> {
        // Nobody panics while holding it: only map operations run inside.
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn connectors(&self) -> Vec<(String, Arc<dyn Connector>)> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = open.iter().map(|(name, open)| (name.clone(), open.connector.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The connector of a door system that is open here.
    #[must_use]
    pub fn connector(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(name).map(|open| open.connector.clone())
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

/// Everything that runs for one door system.
async fn serve(db: Db, name: String, connector: Arc<dyn Connector>, stop: watch::Receiver<bool>) {
    let door = Arc::new(Door::new(db.clone(), name.clone(), connector.clone()));
    let feed = Feed::new(db.clone(), name.clone(), connector.clone());
    let lane = Lane::new(sink_name(&name));
    tokio::join!(lane.run(db.clone(), door, stop.clone()), feed.run(stop.clone()), sweep_often(db, name, connector, stop));
}

async fn sweep_often(db: Db, name: String, connector: Arc<dyn Connector>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            changed = stop.changed() => { if changed.is_err() { return } continue }
        }
        match sweep::sweep(&db, &name, &connector).await {
            Ok(findings) => tracing::info!(door_system = %name, ?findings, "swept"),
            Err(error) => tracing::warn!(door_system = %name, %error, "a sweep ended early"),
        }
    }
}
