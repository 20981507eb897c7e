//! The whole house: opened from a configuration, run, and stopped in order.
//!
//! Stopping has an order because what a request begins, work must be able to end: an employment that ended
//! while we were told to stop closes its doors before we are gone. So one channel asks to stop, and another
//! tells the work so, when no request is left and no revocation waits that was never tried.
//!
//! Work in the background that ends by itself, or panics, makes the whole house end with an error. A house
//! without one of its lanes looks alive and closes no door; whoever runs us (systemd, Kubernetes) starts a
//! whole one.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use audit::export::{Export, Exporter};
use audit::{Eraser, Retention};
use bridge::entrance::Entrance;
use bridge::systems::Systems;
use directory::authenticator::password::{Cost, Hasher, Threads};
use directory::group::ripple;
use directory::invitation;
use idp::logout::back_channel::{self, BackChannel};
use kernel::Ctx;
use kernel::id::NodeId;
use keys::{KeyRing, KeysError, RotationPolicy, SealingKeys};
use store::{Db, Ephemeral, EphemeralError, Lane, Lease, Sinks, StoreError, delivery};
use tokio::sync::watch;
use tokio::task::JoinSet;
use web::Issuer;
use web::mail::{BadSmtp, Mailer};
use web::outbound::Outbound;

use crate::config::{Config, ConfigError, Passwords};
use crate::http;
use crate::policies::{InForce, PoliciesError, WithFreshPolicies};
use crate::tls::{self, TlsError};

/// How long revocations may take that wait when we are told to stop.
const REVOCATIONS: Duration = Duration::from_secs(10);
/// How often it is looked whether some still wait.
const LOOK: Duration = Duration::from_millis(20);

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
    /// The mail server's authority.
    #[error("mail.authority: {0}")]
    Mail(#[from] BadSmtp),
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
    /// Calls addresses that others name.
    pub outbound: Outbound,
    mailer: Option<Arc<Mailer>>,
    exports: Arc<[Export]>,
    retention: Retention,
    tls: Option<rustls::ServerConfig>,
}

/// Why a house that ran ended as nobody had asked.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The server gave up.
    #[error("serving ended unexpectedly; the log says why")]
    Serving,
    /// A task that must not end did.
    #[error("work in the background broke; the log says where. Start again, and report it if it comes back")]
    Work,
}

/// A house that runs.
pub struct Running {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    ask: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<Result<(), Broken>>,
}

impl Running {
    /// Stops in order: no new requests, requests under way end, revocations are tried, lanes finish what they
    /// claimed, the database closes. Returns when all has ended.
    pub async fn stop(mut self) -> Result<(), Broken> {
        self.ask.send_replace(true);
        self.ended().await
    }

    /// Waits until it ends, which it does by itself only when something broke.
    pub async fn ended(&mut self) -> Result<(), Broken> {
        (&mut self.ended).await.unwrap_or(Err(Broken::Work))
    }
}

/// The routes of facts, before anything is recorded. Of facts that ask for letters, only where mail is set up.
#[must_use]
pub fn sinks(config: &Config) -> Sinks {
    let sinks = Sinks::default();
    bridge::entitlement::route(&sinks);
    bridge::configuration::route(&sinks);
    bridge::receipt::route(&sinks);
    if let Some(mail) = &config.mail {
        idp::mail::route(&sinks, mail.invite_on_hire);
    }
    sinks
}

fn cores(limit: usize) -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(limit)
}

/// As dear as it is configured, and never cheaper than the floor.
fn hasher(passwords: &Passwords) -> Hasher {
    let memory_kib = passwords.memory_mib.unwrap_or(0).saturating_mul(1024);
    let (passes, lanes) = (passwords.passes.unwrap_or(0), passwords.lanes.unwrap_or(0));
    let count = passwords.threads.unwrap_or_else(|| cores(4));
    let threads = Threads { count, nice: passwords.nice.unwrap_or(15).into() };
    Hasher::start(threads, Cost { memory_kib, passes, lanes })
}

impl House {
    /// Opens certificate, database, keys, policies and door systems. Nothing runs yet.
    pub async fn open(config: Config, ctx: Ctx) -> Result<Self, OpenError> {
        let issuer = config.issuer().map_err(ConfigError::from)?;
        let tls = tls::configured(&config)?;
        let sealing = SealingKeys::load(&config.path(&config.sealing.key_file))?;
        let db = Db::open(&config.database()?, ctx.clone(), sinks(&config)).await?;
        let ephemeral = match &config.ephemeral.redis {
            None => Ephemeral::in_memory(ctx.clone()),
            Some(redis) => {
                let url = config.secret("ephemeral.redis.url_file", &redis.url_file)?;
                Ephemeral::on_redis(&url, &redis.prefix).await?
            }
        };
        let keys = KeyRing::open(db.clone(), sealing.clone(), RotationPolicy::default()).await?;
        let policies = InForce::open(db.clone()).await?;
        let entrance = Entrance::new(db.clone(), policies.clone());
        let systems = Systems::deciding(entrance).sweeping_every(config.sweep());
        systems.load(&db, &sealing).await?;
        let hasher = hasher(&config.passwords);
        let outbound = Outbound::new(&issuer, config.outbound()?);
        let exports = config.exports()?.into();
        let retention = config.retention()?;
        let mailer = config.smtp()?.map(|smtp| Mailer::new(&smtp)).transpose()?.map(Arc::new);
        Ok(Self {
            config: Arc::new(config),
            issuer,
            db,
            ephemeral,
            sealing,
            keys,
            hasher,
            policies,
            systems,
            outbound,
            mailer,
            exports,
            retention,
            tls,
        })
    }

    /// Serves and works until stopped.
    pub async fn run(self, listeners: Vec<TcpListener>) -> Result<Running, OpenError> {
        let alone = self.db.serve().await?;
        let mut work = JoinSet::new();
        let (rest, resting) = watch::channel(false);
        // The server first: until it can serve, nothing begins to work.
        let server = self.server(listeners)?;
        self.start_work(&mut work, &resting);
        Ok(self.serve(alone, server, work, rest))
    }

    fn server(&self, listeners: Vec<TcpListener>) -> Result<(Vec<SocketAddr>, Server), OpenError> {
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let workers = self.config.http.workers.unwrap_or_else(|| cores(4));
        Ok((addresses, http::server(self, listeners, self.tls.clone(), workers)?))
    }

    fn serve(
        self,
        alone: store::Serving,
        (addresses, server): (Vec<SocketAddr>, Server),
        work: JoinSet<()>,
        rest: watch::Sender<bool>,
    ) -> Running {
        let (ask, asked) = watch::channel(false);
        let (handle, served) = (server.handle(), tokio::spawn(server));
        let serving = Serving { handle, served, alone };
        let ended = tokio::spawn(end_in_order(self.db, asked, serving, work, rest));
        Running { addresses, ask, ended }
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
        let ripple = ripple::Ripple::new(db());
        let lane = |name: &str, workers: usize| Lane { workers, ..Lane::new(name) };
        work.spawn(self.systems.clone().run(db(), self.sealing.clone(), stop.clone()));
        work.spawn(lane(bridge::entitlement::SINK, 2).run(db(), Arc::new(entitlement), stop.clone()));
        work.spawn(lane(bridge::receipt::SINK, 2).run(db(), Arc::new(receipts), stop.clone()));
        work.spawn(lane(bridge::configuration::SINK, 1).run(db(), Arc::new(configuration), stop.clone()));
        work.spawn(lane(ripple::SINK, 1).run(db(), Arc::new(ripple), stop.clone()));
        let logout = BackChannel::new(db(), self.keys.clone(), self.issuer.clone(), self.outbound.clone());
        work.spawn(lane(back_channel::SINK, 4).run(db(), Arc::new(logout), stop.clone()));
        self.start_mail(work, stop);
        work.spawn(self.policies.clone().follow(stop.clone()));
        let node = NodeId::new(self.db.ctx());
        work.spawn(audit::follow(db(), self.keys.clone(), node, stop.clone()));
        for export in self.exports.iter() {
            work.spawn(Exporter::new(db(), node, export.clone()).run(stop.clone()));
        }
        let (alerts, keys) = (db(), self.keys.clone());
        work.spawn(every(Duration::from_secs(1), "alerts", stop.clone(), move || {
            let db = alerts.clone();
            async move { bridge::alert::watch_revocations(&db).await.map_err(|error| error.to_string()) }
        }));
        let tasks = Arc::new(bridge::task::Watch::new(db()));
        work.spawn(every(Duration::from_secs(1), "tasks", stop.clone(), move || {
            let tasks = tasks.clone();
            async move { tasks.look().await.map_err(|error| error.to_string()) }
        }));
        let due = db();
        work.spawn(every(Duration::from_secs(1), "days and hours that come", stop.clone(), move || {
            let db = due.clone();
            async move { bridge::placement::tell_due(&db).await.map(drop).map_err(|error| error.to_string()) }
        }));
        let whereabouts = db();
        work.spawn(every(Duration::from_secs(60), "old whereabouts", stop.clone(), move || {
            let db = whereabouts.clone();
            async move { directory::presence::sweep(&db).await.map(drop).map_err(|error| error.to_string()) }
        }));
        let (sessions, lease) = (db(), Lease::new("session-sweep", node, Duration::from_secs(120)));
        work.spawn(every(Duration::from_secs(60), "old sessions", stop.clone(), move || {
            let (db, lease) = (sessions.clone(), lease.clone());
            async move { sweep_sessions(&db, &lease).await.map_err(|error| error.to_string()) }
        }));
        self.start_erasing(work, stop, node);
        let people = db();
        work.spawn(every(Duration::from_secs(60), "mail addresses", stop.clone(), move || {
            let db = people.clone();
            async move { directory::user::email::fill(&db).await.map_err(|error| error.to_string()) }
        }));
        work.spawn(every(Duration::from_secs(60), "signing keys", stop.clone(), move || {
            let keys = keys.clone();
            async move { keys.maintain().await.map_err(|error| error.to_string()) }
        }));
    }

    /// Bodies of facts whose time is over, on one node.
    fn start_erasing(&self, work: &mut JoinSet<()>, stop: &watch::Receiver<bool>, node: NodeId) {
        let erasing = Arc::new(self.erasing(node));
        work.spawn(every(Duration::from_secs(60), "bodies whose time is over", stop.clone(), move || {
            let erasing = erasing.clone();
            async move { erasing.look().await.map_err(|error| error.to_string()) }
        }));
    }

    fn erasing(&self, node: NodeId) -> Erasing {
        let exports = self.exports.iter().map(|export| export.name.clone()).collect();
        let eraser = Eraser::new(self.retention.clone(), exports);
        let lease = Lease::new("erasing", node, Duration::from_secs(120));
        Erasing { db: self.db.clone(), eraser, lease }
    }

    /// Letters, where mail is set up. Links of letters that are over are forgotten in any case.
    fn start_mail(&self, work: &mut JoinSet<()>, stop: &watch::Receiver<bool>) {
        if let (Some(mailer), Ok(settings)) = (&self.mailer, self.config.idp()) {
            let (db, sealing, issuer) = (self.db.clone(), self.sealing.clone(), self.issuer.clone());
            let letters =
                idp::mail::Letters::new(db.clone(), sealing, mailer.clone(), issuer, settings.time_zone);
            work.spawn(idp::mail::lane().run(db, Arc::new(letters), stop.clone()));
        }
        let db = self.db.clone();
        work.spawn(every(Duration::from_secs(60), "links of letters", stop.clone(), move || {
            let db = db.clone();
            async move {
                invitation::letter::forget_over(&db).await.map(drop).map_err(|error| error.to_string())
            }
        }));
    }
}

/// Binds the configured addresses.
pub fn listeners(config: &Config) -> Result<Vec<TcpListener>, OpenError> {
    config.http.listen.iter().map(|address| listen(address)).collect()
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

/// Erases bodies; as with sessions.
struct Erasing {
    db: Db,
    eraser: Eraser,
    lease: Lease,
}

impl Erasing {
    async fn look(&self) -> Result<(), StoreError> {
        if !self.lease.hold(&self.db).await? {
            return Ok(());
        }
        let erased = self.eraser.look(&self.db).await?;
        if erased.bodies > 0 {
            tracing::info!(bodies = erased.bodies, "bodies of facts were erased: their time was over");
        }
        for (kind, by) in &erased.held {
            tracing::warn!(kind, %by, "bodies of facts stay although their time is over");
        }
        Ok(())
    }
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

/// The server, and the task that it runs in.
struct Serving {
    handle: ServerHandle,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    /// The right to work on this database, given up last.
    alone: store::Serving,
}

async fn end_in_order(
    db: Db,
    mut stopped: watch::Receiver<bool>,
    mut serving: Serving,
    mut work: JoinSet<()>,
    rest: watch::Sender<bool>,
) -> Result<(), Broken> {
    let mut outcome = tokio::select! {
        () = asked(&mut stopped) => Ok(()),
        ended = &mut serving.served => {
            tracing::error!(?ended, "serving ended");
            Err(Broken::Serving)
        }
        ended = work.join_next(), if !work.is_empty() => {
            tracing::error!(?ended, "work in the background ended");
            Err(Broken::Work)
        }
    };
    tracing::info!("stopping: requests under way may end");
    serving.handle.stop(true).await;
    try_revocations(&db).await;
    rest.send_replace(true);
    while let Some(ended) = work.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "work in the background panicked");
            outcome = Err(Broken::Work);
        }
    }
    db.close().await;
    drop(serving.alone);
    tracing::info!("stopped");
    outcome
}

/// Waits until each revocation that requests have left behind was tried once. What could not be done then is
/// kept in the database, and done by whoever starts next.
async fn try_revocations(db: &Db) {
    let all_tried = async {
        while matches!(delivery::untried_revocations(db).await, Ok(true)) {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(REVOCATIONS, all_tried).await.is_err() {
        tracing::warn!("revocations wait for the next start; see: cardea deliveries");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn house(folder: &Path) -> (House, Vec<TcpListener>) {
        let ctx = Ctx::system();
        SealingKeys::create_file(&folder.join("sealing.key"), &ctx).unwrap();
        let config = Config::parse("issuer = \"http://localhost:8080\"", folder).unwrap();
        (House::open(config, ctx).await.unwrap(), vec![listen("127.0.0.1:0").unwrap()])
    }

    async fn alive(running: &Running) -> bool {
        reqwest::get(format!("http://{}/health/live", running.addresses[0])).await.is_ok()
    }

    /// A lane that rests when told, and a task that ends as `how` does once it is let go.
    async fn broken(how: impl Future<Output = ()> + Send + 'static) {
        let folder = tempfile::tempdir().unwrap();
        let (house, listeners) = house(folder.path()).await;
        let (rest, mut resting) = watch::channel(false);
        let (rested, go) =
            (Arc::new(std::sync::atomic::AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
        let mut work = JoinSet::new();
        let (lane, let_go) = (rested.clone(), go.clone());
        work.spawn(async move {
            asked(&mut resting).await;
            lane.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        work.spawn(async move {
            let_go.notified().await;
            how.await;
        });
        let server = house.server(listeners).unwrap();
        let alone = house.db.serve().await.unwrap();
        let mut running = house.serve(alone, server, work, rest);
        assert!(alive(&running).await);
        go.notify_one();
        let ended = tokio::time::timeout(PATIENCE, running.ended()).await.unwrap();
        assert!(matches!(ended, Err(Broken::Work)), "{ended:?}");
        assert!(!alive(&running).await, "a house without its lanes does not look alive");
        assert!(rested.load(std::sync::atomic::Ordering::SeqCst), "the other work was ended in order");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_panics_ends_the_house_with_an_error() {
        broken(async { panic!("on purpose") }).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_ends_by_itself_ends_the_house_with_an_error() {
        broken(async {}).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_house_looks_for_bodies_whose_time_is_over_and_erases_them_at_a_later_look() {
        let folder = tempfile::tempdir().unwrap();
        let (house, listeners) = house(folder.path()).await;
        let db = house.db.clone();
        let change =
            async |text: store::Sql| db.change(store::Origin::system(), text, (), Vec::new()).await.unwrap();
        let count = async |text: store::Sql| db.one::<(i64,)>(text, ()).await.unwrap().0;
        // Its first keys were made long ago.
        assert!(change(store::sql!("UPDATE fact SET at = 0")).await > 0);
        audit::sequence(&db).await.unwrap();
        let erasing = house.erasing(NodeId::new(db.ctx()));
        let left = store::sql!("SELECT COUNT(*) FROM fact WHERE at = 0 AND body IS NOT NULL");
        erasing.look().await.unwrap();
        assert!(count(left.clone()).await > 0, "not at the first look");
        change(store::sql!("UPDATE erasure_look SET steady = 86400000")).await;
        erasing.look().await.unwrap();
        assert_eq!(count(left).await, 0);
        change(store::sql!("DELETE FROM erasure_look")).await;
        erasing.lease.release(&db).await.unwrap();
        let running = house.run(listeners).await.unwrap();
        let looked = async {
            while count(store::sql!("SELECT COUNT(*) FROM erasure_look")).await == 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, looked).await.is_ok(), "it looks by itself");
        running.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_house_that_is_told_to_stop_ends_well() {
        let folder = tempfile::tempdir().unwrap();
        let (house, listeners) = house(folder.path()).await;
        let running = house.run(listeners).await.unwrap();
        assert!(alive(&running).await);
        let ended = tokio::time::timeout(PATIENCE, running.stop()).await.unwrap();
        assert!(ended.is_ok(), "{ended:?}");
    }
}
