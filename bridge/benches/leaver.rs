//! From a leaver's commit to the read-back at the controller, less the time that the controller itself took.
//!
//! `cargo bench -p cardea-bridge`; with `CARDEA_TEST_POSTGRES` (an admin URL) also on PostgreSQL. Everything runs
//! that runs in a server, but for its pages: the door system with lane, feed and sweep, entitlement, receipts.
//! The controller is simulated on a thread of its own and spoken to over real UDP. Three times: with nothing
//! else to do; with 500 grants and more waiting in the same lane and as many deliveries elsewhere; and the same
//! at a controller that is busy with each request for 2 ms. Then: from a denial at the door to the signed edition
//! of the receipt that names it. It prints and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bridge::entitlement::{self, Entitlement};
use bridge::placement::sink_name;
use bridge::receipt::{self, Receipts};
use bridge::systems::Systems;
use directory::credential::{self, Credential};
use directory::declared::{self, Item, Kind, Sealer};
use directory::user::{self, Profile, User};
use kernel::id::{FactId, UserId};
use kernel::{Ctx, Secret, Subject};
use keys::{KeyRing, RotationPolicy, SealingKeys};
use policy::{BASELINE, Policies};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sim::uhppote::{Controller, ControllerOptions, Misbehaviour, Seen};
use store::{
    Address, Db, DbConfig, Delivery, Fact, FactBody, Lane, Origin, Settled, Sink, SinkError, Sinks, delivery,
    sql,
};
use tokio::sync::watch;

const SERIAL: u32 = 405_419_896;
/// How many leavers each figure rests on.
const LEAVERS: usize = 200;
/// How many show their card after they left.
const DENIALS: usize = 50;
/// How many of them leave before what waits is filled up again.
const ROUND: usize = 20;
/// What must wait at least, in the lane and elsewhere, whenever somebody leaves.
const BACKLOG: usize = 500;
/// What waits when a round begins: some of it is worked off meanwhile.
const FULL: usize = 1_000;
/// Those whose grants wait.
const JOINERS: usize = 8_000;
/// Time between two leavers, enough for one to be proven.
const PACE: Duration = Duration::from_millis(15);
/// The controller's operations.
const DELETE: u8 = 0x52;
const GET: u8 = 0x5a;

const POLICY: &str = r#"
@id("staff") @because("Staff come in.")
permit (principal in Department::"Staff", action == Action::"hold", resource == AccessProfile::"staff");
"#;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        println!("SQLite, synchronous=FULL");
        all(&DbConfig::Sqlite { path: folder.path().join("bench.db") }).await;
        if let Ok(admin) = std::env::var("CARDEA_TEST_POSTGRES") {
            println!("PostgreSQL");
            all(&postgres(&admin)).await;
        }
    });
}

async fn all(config: &DbConfig) {
    let house = House::open(config).await;
    let stop = house.run().await;
    house.measure("nothing else to do", 0).await;
    house.measure_denials().await;
    house.measure("500 grants wait in the lane, 500 deliveries elsewhere", FULL).await;
    house.panel.controller.lock().expect("no panic").misbehave(Misbehaviour::Slow(Duration::from_millis(2)));
    house.measure("the same at a controller that takes 2 ms", FULL).await;
    stop.send_replace(true);
}

struct House {
    db: Db,
    panel: Panel,
    systems: Systems,
    keys: KeyRing,
    sealing: SealingKeys,
    policies: watch::Sender<Arc<Policies>>,
    leavers: Mutex<Vec<User>>,
    joiners: Mutex<Vec<Credential>>,
    left: Mutex<Vec<UserId>>,
}

impl House {
    /// Everybody is hired and entitled and has a card, which is at no door yet.
    async fn open(config: &DbConfig) -> Self {
        let ctx = Ctx::system();
        let sinks = Sinks::default();
        entitlement::route(&sinks);
        receipt::route(&sinks);
        sinks.set(ELSEWHERE, |fact| match fact.kind == Happened::KIND {
            true => vec![Address::message(ELSEWHERE, fact.subject.clone())],
            false => Vec::new(),
        });
        let db = Db::open(config, ctx.clone(), sinks).await.expect("the database opens");
        let panel = Panel::start();
        declare(&db, panel.address).await;
        let sealing = SealingKeys::generate(&ctx);
        let keys = KeyRing::open(db.clone(), sealing.clone(), RotationPolicy::default()).await.expect("keys");
        let policies = Policies::parse(&[BASELINE, ("doors", POLICY)]).expect("good policies");
        let house = Self {
            db,
            panel,
            systems: Systems::default(),
            keys,
            sealing,
            policies: watch::channel(Arc::new(policies)).0,
            leavers: Mutex::default(),
            joiners: Mutex::default(),
            left: Mutex::default(),
        };
        house.staff().await;
        house
    }

    async fn staff(&self) {
        let leavers = self.hire(3 * LEAVERS).await;
        let joiners = self.hire(JOINERS).await;
        let lane = Lane { workers: 32, ..Lane::new(entitlement::SINK) };
        let (stop, stopped) = watch::channel(false);
        let settling = tokio::spawn(lane.run(self.db.clone(), self.entitlement(), stopped));
        self.quiet().await;
        stop.send_replace(true);
        settling.await.expect("no panic");
        let mut seen = Vec::new();
        for id in leavers {
            seen.push(user::get(&self.db, id).await.expect("a reading").expect("the user"));
        }
        *self.leavers.lock().expect("no panic") = seen;
        let mut cards = Vec::new();
        for id in joiners {
            cards.push(self.card(id).await);
        }
        *self.joiners.lock().expect("no panic") = cards;
    }

    async fn hire(&self, count: usize) -> Vec<UserId> {
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        let mut hired = Vec::new();
        for _ in 0..count {
            let name = format!("user-{}", UserId::new(tx.ctx()));
            hired.push(user::create(&mut tx, &profile(&name, true)).await.expect("a user").id);
        }
        tx.commit().await.expect("it commits");
        hired
    }

    async fn card(&self, user: UserId) -> Credential {
        credential::of_user(&self.db, user).await.expect("cards").remove(0)
    }

    fn entitlement(&self) -> Arc<Entitlement> {
        Arc::new(Entitlement::new(self.db.clone(), self.policies.subscribe(), self.systems.clone()))
    }

    /// Sets everything to work, and puts the leavers' cards on the controller.
    async fn run(&self) -> watch::Sender<bool> {
        self.systems.load(&self.db, &self.sealing).await.expect("door systems");
        let (stop, stopped) = watch::channel(false);
        let db = || self.db.clone();
        tokio::spawn(self.systems.clone().run(db(), self.sealing.clone(), stopped.clone()));
        let receipts =
            Receipts::new(db(), self.keys.clone(), self.systems.clone(), "https://id.example.org".into());
        tokio::spawn(Lane::new(receipt::SINK).run(db(), Arc::new(receipts), stopped.clone()));
        tokio::spawn(Lane::new(entitlement::SINK).run(db(), self.entitlement(), stopped.clone()));
        tokio::spawn(Lane::new(ELSEWHERE).run(db(), Arc::new(Elsewhere), stopped));
        let leavers: Vec<UserId> =
            self.leavers.lock().expect("no panic").iter().map(|user| user.id).collect();
        let mut cards = Vec::new();
        for id in leavers {
            cards.push(self.card(id).await);
        }
        self.grant(&cards).await;
        self.quiet().await;
        stop
    }

    /// Makes grants wait in the door system's lane.
    async fn grant(&self, cards: &[Credential]) {
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        for card in cards {
            let fact = FactId::new(tx.ctx());
            delivery::hint(&mut tx, Address::reconcile(sink_name(HQ), card.id.subject()), fact);
        }
        tx.commit().await.expect("it commits");
    }

    async fn measure(&self, title: &str, full: usize) {
        let mut lapses = Vec::new();
        let mut least = usize::MAX;
        for _ in 0..LEAVERS / ROUND {
            let leavers: Vec<User> = self.leavers.lock().expect("no panic").split_off_last(ROUND);
            self.panel.controller.lock().expect("no panic").forget_requests();
            self.fill(full).await;
            let mut left = HashMap::new();
            for user in &leavers {
                let card = number(&self.card(user.id).await);
                left.insert(card, self.leave(user).await);
                tokio::time::sleep(PACE).await;
            }
            least = least.min(self.waiting(&sink_name(HQ)).await.min(self.waiting(ELSEWHERE).await));
            self.all_proven(&leavers).await;
            self.left.lock().expect("no panic").extend(leavers.iter().map(|user| user.id));
            lapses.extend(lapses_of(&left, &self.panel.controller.lock().expect("no panic").requests()));
        }
        assert!(full == 0 || least >= BACKLOG, "only {least} waited at the end of a round");
        report(title, &lapses, least);
        self.quiet().await;
    }

    /// Those who left show their cards once more.
    async fn measure_denials(&self) {
        let leavers = self.left.lock().expect("no panic").split_off_last(DENIALS);
        let mut times = Vec::new();
        for user in leavers {
            let card = self.card(user).await;
            while self.placed(&card).await.is_none_or(|placed| placed.watched_at.is_none()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let before = self.revision(user).await;
            let shown = Instant::now();
            let swipe = self.panel.controller.lock().expect("no panic").swipe(number(&card), 1);
            assert!(!swipe.granted, "a leaver's card opens nothing");
            while self.revision(user).await == before {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            times.push(shown.elapsed());
        }
        println!("  a denial at the door ({} of them)", times.len());
        line("from the swipe to the signed edition that names it", times);
    }

    async fn revision(&self, user: UserId) -> i64 {
        receipt::latest(&self.db, user).await.expect("a reading").map_or(0, |edition| edition.revision)
    }

    async fn placed(&self, card: &Credential) -> Option<bridge::placement::Placement> {
        bridge::placement::get(&self.db, HQ, card.id).await.expect("a reading")
    }

    /// Fills up what waits in the lane and elsewhere.
    async fn fill(&self, full: usize) {
        let missing = full.saturating_sub(self.waiting(&sink_name(HQ)).await);
        let joining = self.joiners.lock().expect("no panic").split_off_last(missing);
        assert_eq!(joining.len(), missing, "more joiners are needed");
        self.grant(&joining).await;
        let missing = full.saturating_sub(self.waiting(ELSEWHERE).await);
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        for n in 0..missing {
            tx.record(Fact::new(Subject::new("thing", n), &Happened {}));
        }
        tx.commit().await.expect("it commits");
    }

    async fn leave(&self, seen: &User) -> Instant {
        let gone = profile(&seen.user_name, false);
        let mut tx = self.db.write(Origin::system()).await.expect("a transaction");
        user::update(&mut tx, seen, &gone, vec!["active".into()]).await.expect("an update");
        tx.commit().await.expect("it commits");
        Instant::now()
    }

    async fn waiting(&self, sink: &str) -> usize {
        let sql = sql!("SELECT COUNT(*) FROM delivery WHERE sink = $1 AND due_at IS NOT NULL");
        let (count,): (i64,) = self.db.one(sql, (sink,)).await.expect("a count");
        usize::try_from(count).expect("a count")
    }

    async fn all_proven(&self, leavers: &[User]) {
        for user in leavers {
            let card = self.card(user.id).await;
            while !bridge::placement::get(&self.db, HQ, card.id)
                .await
                .expect("a reading")
                .is_some_and(|placed| placed.is_proven_absent())
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Waits until nothing waits.
    async fn quiet(&self) {
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

trait SplitOffLast {
    fn split_off_last(&mut self, count: usize) -> Self;
}

impl<T> SplitOffLast for Vec<T> {
    fn split_off_last(&mut self, count: usize) -> Self {
        self.split_off(self.len().saturating_sub(count))
    }
}

/// What one leaver's way was made of.
struct Lapse {
    /// From the commit to the last byte of the read-back.
    raw: Duration,
    /// What of it the controller took for deleting and for answering.
    controller: Duration,
    /// From the commit to the arrival of the deletion at the controller.
    before: Duration,
}

impl Lapse {
    fn net(&self) -> Duration {
        self.raw.saturating_sub(self.controller)
    }
}

fn lapses_of(left: &HashMap<u32, Instant>, requests: &[Seen]) -> Vec<Lapse> {
    let lapse = |(card, committed): (&u32, &Instant)| {
        let of_card = || requests.iter().filter(|seen| seen.card == Some(*card));
        let deletion = of_card().find(|seen| seen.operation == DELETE).expect("a deletion");
        let read = of_card()
            .find(|seen| seen.operation == GET && seen.received >= deletion.replied)
            .expect("a reading");
        let own = |seen: &Seen| seen.replied.saturating_duration_since(seen.received);
        Lapse {
            raw: read.replied.saturating_duration_since(*committed),
            controller: own(deletion) + own(read),
            before: deletion.received.saturating_duration_since(*committed),
        }
    };
    left.iter().map(lapse).collect()
}

fn report(title: &str, lapses: &[Lapse], least: usize) {
    println!(
        "  {title} ({} leavers{})",
        lapses.len(),
        if least > 0 { format!(", at least {least} waited") } else { String::new() }
    );
    line("commit to read-back, less the controller's own", lapses.iter().map(Lapse::net).collect());
    line("  as it was, with the controller's own", lapses.iter().map(|lapse| lapse.raw).collect());
    line(
        "  of it from the commit to the deletion's arrival",
        lapses.iter().map(|lapse| lapse.before).collect(),
    );
    line("  of it in the controller", lapses.iter().map(|lapse| lapse.controller).collect());
}

fn line(what: &str, mut times: Vec<Duration>) {
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

/// The door system.
const HQ: &str = "hq";
/// A sink that has nothing to do with doors: each delivery takes as long as a quick call over the network.
const ELSEWHERE: &str = "elsewhere";

struct Elsewhere;

#[async_trait::async_trait]
impl Sink for Elsewhere {
    async fn deliver(&self, _: &Delivery) -> Result<Settled, SinkError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(Settled::Done)
    }
}

#[derive(Serialize, Deserialize)]
struct Happened {}
impl FactBody for Happened {
    const KIND: &'static str = "bench.happened";
}

/// A controller on a thread of its own.
struct Panel {
    controller: Mutex<Controller>,
    address: SocketAddrV4,
    _off: mpsc::Sender<()>,
}

impl Panel {
    fn start() -> Self {
        let (started, starting) = mpsc::channel();
        let (off, is_off) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let clock = Ctx::system();
                let now = Arc::new(move || clock.now().to_jiff().expect("a time of our century"));
                let controller =
                    Controller::start(SERIAL, ControllerOptions::new(now)).await.expect("a free port");
                started.send(controller).expect("somebody waits");
                let waiting = tokio::task::spawn_blocking(move || is_off.recv());
                let _ = waiting.await;
            });
        });
        let controller = starting.recv().expect("a controller");
        Self { address: controller.address(), controller: Mutex::new(controller), _off: off }
    }
}

fn number(card: &Credential) -> u32 {
    u32::try_from(card.facility * 100_000 + card.number).expect("a 26-bit card")
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

async fn declare(db: &Db, panel: SocketAddrV4) {
    let config =
        json!({"controllers": [{"serial": SERIAL, "address": panel.to_string(), "doors": {"1": "main"}}]});
    let items = [
        Item::new(Kind::Area, "house", json!({"title": "The house", "protection_class": 2})),
        Item::new(Kind::DoorSystem, HQ, json!({"connector": "uhppote", "config": config})),
        Item::new(Kind::AccessPoint, "main", json!({"door_system": HQ, "area": "house"})),
        Item::new(Kind::AccessProfile, "staff", json!({"title": "Staff", "access_points": ["main"]})),
        Item::new(
            Kind::CardPool,
            "cards",
            json!({"format": "h10301", "facility": 7, "first": 1, "last": 60_000}),
        ),
    ];
    let mut tx = db.write(Origin::system()).await.expect("a transaction");
    for item in &items {
        declared::put(&mut tx, item, None, &Sealing).await.expect("a good declaration");
    }
    tx.commit().await.expect("it commits");
}

/// Seals nothing: this door system knows no secret.
struct Sealing;

impl Sealer for Sealing {
    fn seal(&self, _: &str, secret: &Secret<String>) -> String {
        secret.expose().clone()
    }
    fn open(&self, _: &str, sealed: &str) -> Result<Secret<String>, String> {
        Ok(Secret::new(sealed.into()))
    }
}

fn postgres(admin: &str) -> DbConfig {
    let name = format!("cardea_leaver_{}", std::process::id());
    let how = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
    let text = format!("CREATE DATABASE {name} {how}");
    let done = std::process::Command::new("psql").args(["-qXc", &text, admin]).status().expect("psql");
    assert!(done.success(), "{text}");
    let (server, _) = admin.rsplit_once('/').expect("a URL with a database");
    DbConfig::Postgres { url: Secret::new(format!("{server}/{name}")), connections: 20 }
}
