//! The whole house: opened from a configuration, run, and stopped in order.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bridge::systems::Systems;
use directory::authenticator::password::{Cost, Hasher};
use kernel::Ctx;
use kernel::id::NodeId;
use keys::{KeyRing, KeysError, RotationPolicy, SealingKeys};
use store::{Db, Ephemeral, EphemeralError, Lane, Lease, Sinks, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use web::Issuer;

use crate::config::{Config, ConfigError, Passwords};
use crate::http;
use crate::policies::{InForce, PoliciesError, WithFreshPolicies};
use crate::tls::TlsError;

/// Why the house cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sealing key.
    #[error("{0}")]
    Sealing(#[from] keys::KeyFileError),
    /// The database.
    #[error(transparent)]
    Database(#[from] store::StartError),
    /// Redis.
    #[error("ephemeral.redis: {0}")]
    Ephemeral(#[from] EphemeralError),
    /// Signing keys.
    #[error("signing keys: {0}")]
    Keys(#[from] KeysError),
    /// Policies.
    #[error("policies: {0}")]
    Policies(#[from] PoliciesError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Which.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The database failed later.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What every part works with. Cheap to clone.
#[derive(Clone)]
pub struct House {
    /// What was configured.
    pub config: Arc<Config>,
    /// Where this deployment is found.
    pub issuer: Issuer,
    /// The database.
    pub db: Db,
    /// Counters and short-lived values.
    pub ephemeral: Ephemeral,
    /// Seals at rest.
    pub sealing: SealingKeys,
    /// Signs and verifies.
    pub keys: KeyRing,
    /// Passwords.
    pub hasher: Hasher,
    /// The policies in force.
    pub policies: InForce,
    /// The door systems that are open.
    pub systems: Systems,
}

/// A house that runs.
pub struct Running {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Stops in order: no new requests, requests under way end, lanes finish what they claimed, the database
    /// closes. Returns when all has ended.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.ended.await {
            tracing::error!(%error, "stopping did not end well");
        }
    }

    /// Waits until it ends by itself, which it does only when serving fails.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }
}

/// The routes of facts, before anything is recorded.
#[must_use]
pub fn sinks() -> Sinks {
    let sinks = Sinks::default();
    bridge::entitlement::route(&sinks);
    bridge::configuration::route(&sinks);
    bridge::receipt::route(&sinks);
    sinks
}

fn cores(limit: usize) -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(limit)
}

/// As dear as it is configured, and never cheaper than the floor.
fn hasher(passwords: &Passwords) -> Hasher {
    let memory_kib = passwords.memory_mib.unwrap_or(0).saturating_mul(1024);
    let (passes, lanes) = (passwords.passes.unwrap_or(0), passwords.lanes.unwrap_or(0));
    Hasher::with_cost(passwords.threads.unwrap_or_else(|| cores(4)), Cost { memory_kib, passes, lanes })
}

impl House {
    /// Opens database, keys, policies and door systems. Nothing runs yet.
    pub async fn open(config: Config, ctx: Ctx) -> Result<Self, OpenError> {
        let issuer = config.issuer().map_err(ConfigError::from)?;
        let sealing = SealingKeys::load(&config.path(&config.sealing.key_file))?;
        let db = Db::open(&config.database()?, ctx.clone(), sinks()).await?;
        let ephemeral = match &config.ephemeral.redis {
            None => Ephemeral::in_memory(ctx.clone()),
            Some(redis) => {
                let url = config.secret("ephemeral.redis.url_file", &redis.url_file)?;
                Ephemeral::on_redis(&url, &redis.prefix).await?
            }
        };
        let keys = KeyRing::open(db.clone(), sealing.clone(), RotationPolicy::default()).await?;
        let policies = InForce::open(db.clone()).await?;
        let systems = Systems::default();
        systems.load(&db, &sealing).await?;
        let hasher = hasher(&config.passwords);
        Ok(Self { config: Arc::new(config), issuer, db, ephemeral, sealing, keys, hasher, policies, systems })
    }

    /// Binds the configured addresses.
    pub fn listeners(&self) -> Result<Vec<TcpListener>, OpenError> {
        self.config.http.listen.iter().map(|address| listen(address)).collect()
    }

    /// Serves and works until stopped.
    pub async fn run(self, listeners: Vec<TcpListener>) -> Result<Running, OpenError> {
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let (stop, stopped) = watch::channel(false);
        let mut work = JoinSet::new();
        self.start_work(&mut work, &stopped);
        let workers = self.config.http.workers.unwrap_or_else(|| cores(4));
        let server = http::server(&self, listeners, workers)?;
        let handle = server.handle();
        let served = tokio::spawn(server);
        let ended = tokio::spawn(end_in_order(self.db, work, stop.clone(), stopped, handle, served));
        Ok(Running { addresses, stop, ended })
    }

    /// Everything that works beside requests: one task each.
    fn start_work(&self, work: &mut JoinSet<()>, stop: &watch::Receiver<bool>) {
        let db = || self.db.clone();
        let entitlement =
            bridge::entitlement::Entitlement::new(db(), self.policies.subscribe(), self.systems.clone());
        let entitlement = WithFreshPolicies::new(self.policies.clone(), entitlement);
        let receipts = bridge::receipt::Receipts::new(
            db(),
            self.keys.clone(),
            self.systems.clone(),
            self.issuer.as_str().to_owned(),
        );
        let configuration = bridge::configuration::Configuration::new(db());
        let lane = |name: &str, workers: usize| Lane { workers, ..Lane::new(name) };
        work.spawn(self.systems.clone().run(db(), self.sealing.clone(), stop.clone()));
        work.spawn(lane(bridge::entitlement::SINK, 2).run(db(), Arc::new(entitlement), stop.clone()));
        work.spawn(lane(bridge::receipt::SINK, 2).run(db(), Arc::new(receipts), stop.clone()));
        work.spawn(lane(bridge::configuration::SINK, 1).run(db(), Arc::new(configuration), stop.clone()));
        work.spawn(self.policies.clone().follow(stop.clone()));
        let node = NodeId::new(self.db.ctx());
        work.spawn(audit::follow(db(), self.keys.clone(), node, stop.clone()));
        let (alerts, keys) = (db(), self.keys.clone());
        work.spawn(every(Duration::from_secs(1), "alerts", stop.clone(), move || {
            let db = alerts.clone();
            async move { bridge::alert::watch_revocations(&db).await.map_err(|error| error.to_string()) }
        }));
        let (sessions, lease) = (db(), Lease::new("session-sweep", node, Duration::from_secs(120)));
        work.spawn(every(Duration::from_secs(60), "old sessions", stop.clone(), move || {
            let (db, lease) = (sessions.clone(), lease.clone());
            async move { sweep_sessions(&db, &lease).await.map_err(|error| error.to_string()) }
        }));
        work.spawn(every(Duration::from_secs(60), "signing keys", stop.clone(), move || {
            let keys = keys.clone();
            async move { keys.maintain().await.map_err(|error| error.to_string()) }
        }));
    }
}

/// Listens, saying what to do when it cannot.
pub fn listen(address: &str) -> Result<TcpListener, OpenError> {
    TcpListener::bind(address).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "something listens there already; stop it, or change http.listen".into()
            }
            std::io::ErrorKind::PermissionDenied => {
                "not permitted; use a port above 1023, or a proxy before it".into()
            }
            _ => error.to_string(),
        };
        OpenError::Listen { address: address.into(), reason }
    })
}

/// One node does it; two would only be in each other's way.
async fn sweep_sessions(db: &Db, lease: &Lease) -> Result<(), StoreError> {
    if lease.hold(db).await? {
        directory::session::sweep(db, 500).await?;
    }
    Ok(())
}

/// Does something again and again, saying so when it fails.
async fn every<F>(pause: Duration, what: &'static str, mut stop: watch::Receiver<bool>, work: impl Fn() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    while !*stop.borrow() {
        if let Err(error) = work().await {
            tracing::warn!(what, %error, "work in the background failed");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = stop.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits until stopping is asked for.
async fn asked(stopped: &mut watch::Receiver<bool>) {
    // Whoever held the other end is gone: that asks for it, too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn end_in_order(
    db: Db,
    mut work: JoinSet<()>,
    stop: watch::Sender<bool>,
    mut stopped: watch::Receiver<bool>,
    handle: actix_web::dev::ServerHandle,
    mut served: tokio::task::JoinHandle<std::io::Result<()>>,
) {
    tokio::select! {
        () = asked(&mut stopped) => {
            tracing::info!("stopping: requests under way may end");
            handle.stop(true).await;
        }
        ended = &mut served => tracing::error!(?ended, "serving ended"),
    }
    stop.send_replace(true);
    while let Some(ended) = work.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "work in the background panicked");
        }
    }
    db.close().await;
    tracing::info!("stopped");
}
