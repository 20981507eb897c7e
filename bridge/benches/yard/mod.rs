//! What benches of leavers share: all that runs in a server but for its pages, and simulators on threads of their own,
//! spoken to over real sockets.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bridge::entitlement::{self, Entitlement};
use bridge::placement::sink_name;
use bridge::receipt::{self, Receipts};
use bridge::systems::{SECRET, Systems};
use directory::credential::{self, Credential};
use directory::declared::{self, Item, Sealer};
use directory::user::{self, Profile, User};
use kernel::id::{FactId, UserId};
use kernel::{Ctx, Secret};
use keys::{KeyRing, RotationPolicy, SealingKeys};
use policy::{BASELINE, Policies};
use sim::uhppote::{Controller, ControllerOptions};
use store::{Address, Db, DbConfig, Lane, Origin, Sinks, delivery, sql};
use tokio::sync::watch;

pub(crate) const SERIAL: u32 = 405_419_896;

const POLICY: &str = r#"
@id("staff") @because("Staff come in.")
permit (principal in Department::"Staff", action == Action::"hold", resource == AccessProfile::"staff");
"#;

/// Measures on SQLite, and on PostgreSQL where there is one.
pub(crate) fn on_both(measure: impl AsyncFn(&DbConfig)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        println!("SQLite, synchronous=FULL");
        measure(&DbConfig::Sqlite { path: folder.path().join("bench.db") }).await;
        if let Ok(admin) = std::env::var("CARDEA_TEST_POSTGRES") {
            println!("PostgreSQL");
            measure(&postgres(&admin)).await;
        }
    });
}

/// Database, directory and bridge.
pub(crate) struct Yard {
    pub(crate) db: Db,
    systems: Systems,
    keys: KeyRing,
    sealing: SealingKeys,
    policies: watch::Sender<Arc<Policies>>,
}

impl Yard {
    /// With what is declared. Nothing runs yet.
    pub(crate) async fn open(config: &DbConfig, sinks: Sinks, declared: &[Item]) -> Self {
        let ctx = Ctx::system();
        entitlement::route(&sinks);
        receipt::route(&sinks);
        let db = Db::open(config, ctx.clone(), sinks).await.expect("the database opens");
        let sealing = SealingKeys::generate(&ctx);
        let mut tx = db.write(Origin::system()).await.expect("a transaction");
        let sealer = Secrets { ctx, sealing: sealing.clone() };
        for item in declared {
            declared::put(&mut tx, item, None, &sealer).await.expect("a good declaration");
        }
        tx.commit().await.expect("it commits");
        let keys = KeyRing::open(db.clone(), sealing.clone(), RotationPolicy::default()).await.expect("keys");
        let policies = Policies::parse(&[BASELINE, ("doors", POLICY)]).expect("good policies");
        let policies = watch::channel(Arc::new(policies)).0;
        Self { db, systems: Systems::default(), keys, sealing, policies }
    }

    /// Makes people of the staff, whom nobody has given a card yet.
    pub(crate) async fn hire(&self, count: usize) -> Vec<UserId> {
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        let mut hired = Vec::new();
        for _ in 0..count {
            let name = format!("user-{}", UserId::new(tx.ctx()));
            hired.push(user::create(&mut tx, &profile(&name, true)).await.expect("a user").id);
        }
        tx.commit().await.expect("it commits");
        hired
    }

    /// Gives everybody who was hired a card, which is at no door until doors are spoken to.
    pub(crate) async fn hand_out_cards(&self) {
        let lane = Lane { workers: 32, ..Lane::new(entitlement::SINK) };
        let (stop, stopped) = watch::channel(false);
        let settling = tokio::spawn(lane.run(self.db.clone(), self.entitlement(), stopped));
        self.quiet().await;
        stop.send_replace(true);
        settling.await.expect("no panic");
    }

    pub(crate) async fn card(&self, user: UserId) -> Credential {
        credential::of_user(&self.db, user).await.expect("cards").remove(0)
    }

    fn entitlement(&self) -> Arc<Entitlement> {
        Arc::new(Entitlement::new(self.db.clone(), self.policies.subscribe(), self.systems.clone()))
    }

    /// Sets everything to work, until the sender says true.
    pub(crate) async fn run(&self) -> watch::Sender<bool> {
        self.systems.load(&self.db, &self.sealing).await.expect("door systems");
        let (stop, stopped) = watch::channel(false);
        let db = || self.db.clone();
        tokio::spawn(self.systems.clone().run(db(), self.sealing.clone(), stopped.clone()));
        let receipts =
            Receipts::new(db(), self.keys.clone(), self.systems.clone(), "https://id.example.org".into());
        tokio::spawn(Lane::new(receipt::SINK).run(db(), Arc::new(receipts), stopped.clone()));
        tokio::spawn(Lane::new(entitlement::SINK).run(db(), self.entitlement(), stopped));
        stop
    }

    /// Makes cards wait for a door system, to be put where they open.
    pub(crate) async fn grant(&self, door_system: &str, cards: &[Credential]) {
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        for card in cards {
            let fact = FactId::new(tx.ctx());
            delivery::hint(&mut tx, Address::reconcile(sink_name(door_system), card.id.subject()), fact);
        }
        tx.commit().await.expect("it commits");
    }

    /// Somebody's employment ends, over the version that was seen; when it was committed.
    pub(crate) async fn leave(&self, seen: &User) -> Instant {
        let gone = profile(&seen.user_name, false);
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        user::update(&mut tx, seen, &gone, vec!["active".into()]).await.expect("an update");
        tx.commit().await.expect("it commits");
        Instant::now()
    }

    /// Waits until nothing waits.
    pub(crate) async fn quiet(&self) {
        loop {
            let sql = sql!("SELECT COUNT(*) FROM delivery WHERE due_at IS NOT NULL");
            let (count,): (i64,) = self.db.one(sql, ()).await.expect("a count");
            if count == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn profile(name: &str, active: bool) -> Profile {
    Profile {
        user_name: name.into(),
        external_id: None,
        display_name: None,
        email: None,
        department: Some("Staff".into()),
        title: None,
        active,
        document: "{}".into(),
    }
}

/// Seals door systems' secrets as `cardea apply` does.
struct Secrets {
    ctx: Ctx,
    sealing: SealingKeys,
}

impl Sealer for Secrets {
    fn seal(&self, door_system: &str, secret: &Secret<String>) -> String {
        self.sealing.seal(&self.ctx, SECRET.at(door_system), secret.expose().as_bytes())
    }
    fn open(&self, _: &str, _: &str) -> Result<Secret<String>, String> {
        Err("nobody asks".into())
    }
}

/// A simulator on a thread of its own, where it runs until this is dropped.
pub(crate) struct Apart<T> {
    pub(crate) it: T,
    _off: mpsc::Sender<()>,
}

impl<T: Send + 'static> Apart<T> {
    pub(crate) fn start<F>(start: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = T> + 'static,
    {
        let (started, starting) = mpsc::channel();
        let (off, is_off) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                started.send(start().await).expect("somebody waits");
                let waiting = tokio::task::spawn_blocking(move || is_off.recv());
                let _ = waiting.await;
            });
        });
        Self { it: starting.recv().expect("it starts"), _off: off }
    }
}

/// The machine's time, for a simulator.
pub(crate) fn now() -> sim::Now {
    let clock = Ctx::system();
    Arc::new(move || clock.now().to_jiff().expect("a time of our century"))
}

/// A UHPPOTE controller.
pub(crate) fn controller() -> Apart<Controller> {
    Apart::start(|| async {
        Controller::start(SERIAL, ControllerOptions::new(now())).await.expect("a free port")
    })
}

/// How long something took: the median, and the slowest of ten, of a hundred, of all.
pub(crate) fn line(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1_000.0;
    println!(
        "    {what:<50} p50 {:>6.2} ms   p90 {:>6.2} ms   p99 {:>6.2} ms   most {:>6.2} ms",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

/// A database of its own on that server.
fn postgres(admin: &str) -> DbConfig {
    let name = format!("cardea_bench_{}", std::process::id());
    let how = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
    let text = format!("CREATE DATABASE {name} {how}");
    let done = std::process::Command::new("psql").args(["-qXc", &text, admin]).status().expect("psql");
    assert!(done.success(), "{text}");
    let (server, _) = admin.rsplit_once('/').expect("a URL with a database");
    DbConfig::Postgres { url: Secret::new(format!("{server}/{name}")), connections: 20 }
}
