//! A small world: a house with two controllers, three doors, a policy by department, a pool of cards, and a
//! database of its own on either engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bridge::configuration::{self, Configuration};
use bridge::connector::Connector;
use bridge::entitlement::{self, Entitlement};
use bridge::entrance::Entrance;
use bridge::feed::Feed;
use bridge::placement::{self, Door, Placement};
use bridge::receipt::{self, Receipt, Receipts};
use bridge::sweep::{Findings, sweep};
use bridge::systems::{SECRET, SWEEP, Systems};
use directory::credential::{self, Credential};
use directory::declared::{self, Item, Kind, Sealer};
use directory::user::{self, Profile, User};
use kernel::id::UserId;
use kernel::{Clock, Ctx, Secret, SystemClock, Timestamp};
use keys::{Evidence, KeyRing, RotationPolicy, SealingKeys, verify_evidence};
use policy::{BASELINE, Policies};
use serde_json::{Value, json};
use sim::uhppote::{Card as Held, Controller, ControllerOptions};
use store::{Db, DbConfig, FactBody, Lane, Origin, Row, Sink, Sinks, Sql, StoreError, StoredFact, Tx, sql};
use tempfile::TempDir;
use tokio::sync::watch;

/// The door system.
pub(crate) const HQ: &str = "hq";
/// Its controllers: doors `main` and `lab` at the first, `yard` at the second.
pub(crate) const SERIALS: [u32; 2] = [405_419_896, 303_986_753];
/// Of every card in the pool.
pub(crate) const FACILITY: u8 = 7;
/// Who signs.
pub(crate) const ISSUER: &str = "https://id.example.org";

const POLICY: &str = r#"
@id("staff") @because("Staff come in.")
permit (principal in Department::"Staff", action == Action::"hold", resource == AccessProfile::"staff");
@id("research") @because("Research works in the lab.")
permit (principal in Department::"Research", action == Action::"hold", resource == AccessProfile::"research");
@id("grounds") @because("Grounds come in and look after the yard.")
permit (principal in Department::"Grounds", action == Action::"hold", resource)
when { resource == AccessProfile::"staff" || resource == AccessProfile::"grounds" };
"#;

/// Makes of each async function of a [`World`] one test per engine, `NAME::sqlite` and `NAME::postgres`.
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            use $crate::world::World;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(World::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let Some(world) = World::postgres().await else { return };
                super::$name(world).await;
            }
        }
    )+ };
}

/// One process on the world's database.
pub(crate) struct Node {
    pub(crate) db: Db,
    pub(crate) systems: Systems,
    pub(crate) policies: watch::Sender<Arc<Policies>>,
    pub(crate) keys: KeyRing,
    /// Decides where a door system asks.
    pub(crate) entrance: Entrance,
    sealing: SealingKeys,
}

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) panels: Vec<Controller>,
    pub(crate) clock: Arc<MovedClock>,
    config: DbConfig,
    /// Held for its end, which removes the database.
    _place: Place,
}

#[expect(dead_code, reason = "held to be dropped")]
enum Place {
    Folder(TempDir),
    Server(parts::Database),
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        // On the disk that the build uses: in memory a sync would cost nothing.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let path = folder.path().join("cardea.db");
        Self::open(DbConfig::Sqlite { path }, Place::Folder(folder)).await
    }

    /// `None`, with a reason on the output, where there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = parts::or_skip(parts::postgres(), parts::NO_POSTGRES)?;
        let config = DbConfig::Postgres { url: Secret::new(database.url().to_owned()), connections: 12 };
        Some(Self::open(config, Place::Server(database)).await)
    }

    async fn open(config: DbConfig, place: Place) -> Self {
        let clock = Arc::new(MovedClock::default());
        let sealing = SealingKeys::generate(&Ctx::system());
        let db = Db::open(&config, ctx(&clock), sinks()).await.expect("the database opens");
        let panels = vec![panel(SERIALS[0], &clock).await, panel(SERIALS[1], &clock).await];
        let items = declaration(&panels);
        let mut tx = db.write(Origin::system()).await.expect("a transaction");
        for item in &items {
            declared::put(&mut tx, item, None, &Sealing(&sealing)).await.expect("a good declaration");
        }
        tx.commit().await.expect("it commits");
        let node = Node::open(db, sealing).await;
        let world = Self { node, panels, clock, config, _place: place };
        world.settle().await;
        world
    }

    /// Another process on the same database, with connectors of its own.
    pub(crate) async fn another_node(&self) -> Node {
        let db = Db::open(&self.config, ctx(&self.clock), sinks()).await.expect("the database opens again");
        Node::open(db, self.node.sealing.clone()).await
    }

    pub(crate) fn db(&self) -> &Db {
        &self.node.db
    }

    pub(crate) async fn settle(&self) {
        self.node.settle().await;
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    /// The machine's clock was ahead by so much, and is set right.
    pub(crate) fn set_back(&self, time: Duration) {
        self.clock.set_back(time);
    }

    /// The doors that a card opens by the panels' lists: `main`, `lab`, `yard`. `None` when it is on no list.
    pub(crate) fn opens(&self, card: &Credential) -> Option<Vec<&'static str>> {
        let on =
            |panel: usize| self.panels[panel].cards().into_iter().find(|held| held.number == number(card));
        let held = [on(0), on(1)];
        if held.iter().all(Option::is_none) {
            return None;
        }
        let doors = [("main", 0, 0), ("lab", 0, 1), ("yard", 1, 0)];
        let opens =
            |panel: usize, door: usize| held[panel].as_ref().is_some_and(|held| held.doors[door] != 0);
        Some(
            doors
                .into_iter()
                .filter(|(_, panel, door)| opens(*panel, *door))
                .map(|(name, ..)| name)
                .collect(),
        )
    }

    pub(crate) async fn hire(&self, name: &str, department: &str) -> UserId {
        let mut tx = self.db().write(Origin::system()).await.expect("a transaction");
        let user = user::create(&mut tx, &profile(name, department, true)).await.expect("a new user");
        tx.commit().await.expect("it commits");
        user.id
    }

    /// Hired and settled: the user, and the card that is on the doors' lists.
    pub(crate) async fn carded(&self, name: &str, department: &str) -> (UserId, Credential) {
        let user = self.hire(name, department).await;
        self.settle().await;
        (user, self.card(user).await)
    }

    /// The user's only card.
    pub(crate) async fn card(&self, user: UserId) -> Credential {
        let mut cards = self.cards(user).await;
        assert_eq!(cards.len(), 1, "{cards:?}");
        cards.remove(0)
    }

    pub(crate) async fn cards(&self, user: UserId) -> Vec<Credential> {
        credential::of_user(self.db(), user).await.expect("cards")
    }

    pub(crate) async fn set_active(&self, user: UserId, active: bool) {
        self.change(user, &["active"], |profile| profile.active = active).await;
    }

    pub(crate) async fn move_to(&self, user: UserId, department: &str) {
        self.change(user, &["department"], |profile| profile.department = Some(department.into())).await;
    }

    async fn change(&self, user: UserId, attributes: &[&str], change: impl Fn(&mut Profile)) {
        let seen = self.user(user).await;
        let mut after = Profile {
            user_name: seen.user_name.clone(),
            external_id: seen.external_id.clone(),
            display_name: seen.display_name.clone(),
            email: seen.email.clone(),
            department: seen.department.clone(),
            title: seen.title.clone(),
            active: seen.active,
            document: seen.document.clone(),
        };
        change(&mut after);
        let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
        let mut tx = self.db().write(Origin::system()).await.expect("a transaction");
        user::update(&mut tx, &seen, &after, attributes).await.expect("an update");
        tx.commit().await.expect("it commits");
    }

    pub(crate) async fn delete(&self, user: UserId) {
        let seen = self.user(user).await;
        let mut tx = self.db().write(Origin::system()).await.expect("a transaction");
        user::delete(&mut tx, &seen).await.expect("a deletion");
        tx.commit().await.expect("it commits");
    }

    async fn user(&self, user: UserId) -> User {
        user::get(self.db(), user).await.expect("a reading").expect("the user")
    }

    pub(crate) async fn placement(&self, card: &Credential) -> Placement {
        self.placed(card).await.expect("a placement")
    }

    pub(crate) async fn placed(&self, card: &Credential) -> Option<Placement> {
        placement::get(self.db(), HQ, card.id).await.expect("a reading")
    }

    /// The latest receipt of a user, verified against the published keys.
    pub(crate) async fn receipt(&self, user: UserId) -> Option<Receipt> {
        let edition = receipt::latest(self.db(), user).await.expect("a reading")?;
        let jwks = self.node.keys.evidence_jwks();
        let read =
            verify_evidence(Evidence::Receipt, &edition.document, &jwks.bytes).expect("a good signature");
        let receipt: Receipt = serde_json::from_value(read).expect("a receipt");
        assert_eq!((receipt.id, receipt.revision), (edition.id, edition.revision));
        Some(receipt)
    }

    /// Every fact of a kind, oldest first.
    pub(crate) async fn facts<B: FactBody>(&self) -> Vec<B> {
        let rows: Vec<StoredFact> = self
            .db()
            .all(
                sql!(
                    "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
                     WHERE kind = $1 ORDER BY at, id"
                ),
                (B::KIND,),
            )
            .await
            .expect("facts");
        rows.iter().map(|row| row.read().expect("a body of its kind")).collect()
    }

    pub(crate) async fn one<T: Row>(&self, text: Sql) -> T {
        self.db().one(text, ()).await.expect("a row")
    }

    /// Declares something, or declares it otherwise.
    pub(crate) async fn declare(&self, item: Item) {
        let sealing = Sealing(&self.node.sealing);
        let before = declared::read_all(self.db(), &sealing).await.expect("what is declared");
        let before = before.iter().find(|before| before.kind == item.kind && before.name == item.name);
        let mut tx = self.db().write(Origin::system()).await.expect("a transaction");
        declared::put(&mut tx, &item, before, &sealing).await.expect("a good declaration");
        tx.commit().await.expect("it commits");
    }

    pub(crate) async fn undeclare(&self, kind: Kind, name: &str) {
        let sealing = Sealing(&self.node.sealing);
        let declared = declared::read_all(self.db(), &sealing).await.expect("what is declared");
        let item =
            declared.iter().find(|item| item.kind == kind && item.name == name).expect("it is declared");
        let mut tx = self.db().write(Origin::system()).await.expect("a transaction");
        declared::delete(&mut tx, item).await.expect("a deletion");
        tx.commit().await.expect("it commits");
    }

    /// Opens what is declared now.
    pub(crate) async fn reload(&self) {
        self.node.systems.load(self.db(), &self.node.sealing).await.expect("door systems");
    }

    pub(crate) async fn sweep(&self) -> Findings {
        sweep(self.db(), HQ, &self.node.connector()).await.expect("a sweep")
    }
}

impl Node {
    async fn open(db: Db, sealing: SealingKeys) -> Self {
        let policies = watch::channel(Arc::new(policies(""))).0;
        let entrance = Entrance::new(db.clone(), policies.subscribe());
        let systems = Systems::deciding(entrance.clone());
        systems.load(&db, &sealing).await.expect("door systems");
        let keys = KeyRing::open(db.clone(), sealing.clone(), RotationPolicy::default()).await.expect("keys");
        Self { db, systems, policies, keys, entrance, sealing }
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        self.systems.connector(HQ).expect("an open door system")
    }

    pub(crate) fn door(&self) -> Arc<Door> {
        self.door_over(self.connector())
    }

    pub(crate) fn door_over(&self, connector: Arc<dyn Connector>) -> Arc<Door> {
        Arc::new(Door::new(self.db.clone(), HQ, connector))
    }

    pub(crate) fn feed(&self) -> Feed {
        Feed::new(self.db.clone(), HQ, self.connector())
    }

    pub(crate) fn entitlement(&self) -> Arc<Entitlement> {
        Arc::new(Entitlement::new(self.db.clone(), self.policies.subscribe(), self.systems.clone()))
    }

    pub(crate) fn receipts(&self) -> Arc<Receipts> {
        Arc::new(Receipts::new(self.db.clone(), self.keys.clone(), self.systems.clone(), ISSUER.into()))
    }

    pub(crate) async fn drain(&self, lane: &str, sink: Arc<dyn Sink>) -> usize {
        Lane::new(lane).drain(&self.db, sink).await.expect("a lane")
    }

    pub(crate) async fn drain_entitlement(&self) -> usize {
        self.drain(entitlement::SINK, self.entitlement()).await
    }

    pub(crate) async fn drain_door(&self) -> usize {
        self.drain(&placement::sink_name(HQ), self.door()).await
    }

    pub(crate) async fn drain_receipts(&self) -> usize {
        self.drain(receipt::SINK, self.receipts()).await
    }

    /// Does everything that is due now, until nothing is.
    pub(crate) async fn settle(&self) {
        let configuration = Arc::new(Configuration::new(self.db.clone()));
        loop {
            let mut done = self.drain(configuration::SINK, configuration.clone()).await;
            done += self.drain_entitlement().await;
            done += self.drain_door().await;
            done += self.drain_receipts().await;
            if done == 0 {
                return;
            }
        }
    }

    /// Everything at work, until the sender says stop.
    pub(crate) fn run(&self) -> Working {
        self.run_sweeping_every(SWEEP)
    }

    pub(crate) fn run_sweeping_every(&self, sweep: Duration) -> Working {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = tokio::task::JoinSet::new();
        let (db, run) = (|| self.db.clone(), |name: &str| Lane::new(name));
        let systems = self.systems.clone().sweeping_every(sweep);
        tasks.spawn(systems.run(db(), self.sealing.clone(), stopped.clone()));
        tasks.spawn(run(entitlement::SINK).run(db(), self.entitlement(), stopped.clone()));
        tasks.spawn(run(receipt::SINK).run(db(), self.receipts(), stopped.clone()));
        tasks.spawn(run(configuration::SINK).run(db(), Arc::new(Configuration::new(db())), stopped.clone()));
        tasks.spawn(configuration::follow(db(), self.policies.subscribe(), stopped));
        Working { stop, tasks }
    }
}

/// What works.
pub(crate) struct Working {
    stop: watch::Sender<bool>,
    tasks: tokio::task::JoinSet<()>,
}

impl Working {
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no part panics");
        }
    }
}

fn sinks() -> Sinks {
    let sinks = Sinks::default();
    entitlement::route(&sinks);
    configuration::route(&sinks);
    receipt::route(&sinks);
    sinks
}

fn profile(name: &str, department: &str, active: bool) -> Profile {
    Profile {
        user_name: name.into(),
        external_id: None,
        display_name: Some(format!("{name} the person")),
        email: Some(format!("{name}@example.org")),
        department: Some(department.into()),
        title: None,
        active,
        document: "{}".into(),
    }
}

/// A controller whose clock is the world's.
pub(crate) async fn panel(serial: u32, clock: &Arc<MovedClock>) -> Controller {
    Controller::start(serial, options(clock, 0)).await.expect("a free port")
}

/// Options of a controller whose clock is off by so many seconds.
pub(crate) fn options(clock: &Arc<MovedClock>, seconds: i64) -> ControllerOptions {
    let clock = clock.clone();
    ControllerOptions::new(Arc::new(move || {
        let at = Timestamp::from_millis(clock.now().as_millis() + seconds * 1_000);
        at.to_jiff().expect("the clock stands in our century")
    }))
}

/// The door system's configuration. `more` is merged into it.
pub(crate) fn door_system(panels: &[Controller], more: &Value) -> Item {
    let [first, second] = [0, 1].map(|n| panels[n].address().to_string());
    let mut config = json!({
        "controllers": [
            {"serial": SERIALS[0], "address": first, "doors": {"1": "main", "2": "lab"}},
            {"serial": SERIALS[1], "address": second, "doors": {"1": "yard"}},
        ],
        // Long enough for a busy machine, short enough for a test.
        "timeout_ms": 250,
        "attempts": 2,
    });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    Item::new(Kind::DoorSystem, HQ, json!({"connector": "uhppote", "config": config}))
}

pub(crate) fn access_profile(name: &str, points: &[&str]) -> Item {
    Item::new(Kind::AccessProfile, name, json!({"title": name, "access_points": points}))
}

pub(crate) fn pool(name: &str, format: &str, facility: i64, first: i64, last: i64) -> Item {
    let fields = json!({"format": format, "facility": facility, "first": first, "last": last});
    Item::new(Kind::CardPool, name, fields)
}

fn declaration(panels: &[Controller]) -> Vec<Item> {
    let point = |name: &str| Item::new(Kind::AccessPoint, name, json!({"door_system": HQ, "area": "house"}));
    vec![
        Item::new(Kind::Area, "house", json!({"title": "The house", "protection_class": 2})),
        door_system(panels, &json!({})),
        point("main"),
        point("lab"),
        point("yard"),
        access_profile("staff", &["main"]),
        access_profile("research", &["lab"]),
        access_profile("grounds", &["yard"]),
        pool("cards", "h10301", i64::from(FACILITY), 1, 999),
    ]
}

/// The number by which a controller knows a card.
pub(crate) fn number(card: &Credential) -> u32 {
    u32::try_from(card.facility * 100_000 + card.number).expect("a 26-bit card")
}

/// A card as an installer would put it in: at these doors always.
pub(crate) fn held(number: u32, doors: [u8; 4]) -> Held {
    Held {
        number,
        from: jiff::civil::date(2000, 1, 1),
        to: jiff::civil::date(2099, 12, 31),
        doors,
        pin: 0,
        first_card: 0,
    }
}

/// The policies that hold here, and more.
pub(crate) fn policies(more: &str) -> Policies {
    Policies::parse(&[BASELINE, ("doors", POLICY), ("more", more)]).expect("good policies")
}

/// Seals as the house does.
struct Sealing<'a>(&'a SealingKeys);

impl Sealer for Sealing<'_> {
    fn seal(&self, door_system: &str, secret: &Secret<String>) -> String {
        self.0.seal(&Ctx::system(), SECRET.at(door_system), secret.expose().as_bytes())
    }
    fn open(&self, door_system: &str, sealed: &str) -> Result<Secret<String>, String> {
        let opened = self.0.open(SECRET.at(door_system), sealed).map_err(|error| error.to_string())?;
        String::from_utf8(opened.expose().clone()).map(Secret::new).map_err(|error| error.to_string())
    }
}

/// A context whose clock can be moved, with real entropy: nodes must not make the same ids.
fn ctx(clock: &Arc<MovedClock>) -> Ctx {
    let mut ctx = Ctx::system();
    ctx.clock = clock.clone();
    ctx
}

/// The machine's clock, set forward, or back again.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    fn set_back(&self, time: Duration) {
        self.0.fetch_sub(i64::try_from(time.as_millis()).expect("a short time"), Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis() + self.0.load(Ordering::SeqCst))
    }
}

/// Waits for what must happen, and says when it does not.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    for _ in 0..4_000 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen within 20 s: {what}");
}

/// Keeps a transaction open over something, as a slow one would.
pub(crate) async fn in_tx<T>(db: &Db, work: impl AsyncFnOnce(&mut Tx) -> Result<T, StoreError>) -> T {
    let mut tx = db.write(Origin::system()).await.expect("a transaction");
    let done = work(&mut tx).await;
    tx.end(done).await.expect("it commits")
}
