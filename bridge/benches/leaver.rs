//! From a leaver's commit to the read-back at the controller, less the time that the controller itself took.
//!
//! `cargo bench -p cardea-bridge --bench leaver`; with `CARDEA_TEST_POSTGRES` (an admin URL) also on PostgreSQL.
//! Everything runs that runs in a server, but for its pages: the door system with lane, feed and sweep, entitlement,
//! receipts. The controller is simulated on a thread of its own and spoken to over real UDP. Three times: with nothing
//! else to do; with 500 grants and more waiting in the same lane and as many deliveries elsewhere; and the same
//! at a controller that is busy with each request for 2 ms. Then: from a denial at the door to the signed edition
//! of the receipt that names it. It prints and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod yard;

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bridge::placement::sink_name;
use bridge::receipt;
use directory::credential::Credential;
use directory::declared::{Item, Kind};
use directory::user::{self, User};
use kernel::Subject;
use kernel::id::UserId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sim::uhppote::{Controller, Misbehaviour, Seen};
use store::{
    Address, DbConfig, Delivery, Fact, FactBody, Lane, Origin, Settled, Sink, SinkError, Sinks, sql,
};
use tokio::sync::watch;
use yard::{Apart, SERIAL, Yard, line};

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

fn main() {
    yard::on_both(all);
}

async fn all(config: &DbConfig) {
    let house = House::open(config).await;
    let stop = house.run().await;
    house.measure("nothing else to do", 0).await;
    house.measure_denials().await;
    house.measure("500 grants wait in the lane, 500 deliveries elsewhere", FULL).await;
    house.panel.it.misbehave(Misbehaviour::Slow(Duration::from_millis(2)));
    house.measure("the same at a controller that takes 2 ms", FULL).await;
    stop.send_replace(true);
}

struct House {
    yard: Yard,
    panel: Apart<Controller>,
    leavers: Mutex<Vec<User>>,
    joiners: Mutex<Vec<Credential>>,
    left: Mutex<Vec<UserId>>,
}

impl House {
    /// Everybody is hired and entitled and has a card, which is at no door yet.
    async fn open(config: &DbConfig) -> Self {
        let sinks = Sinks::default();
        sinks.set(ELSEWHERE, |fact| match fact.kind == Happened::KIND {
            true => vec![Address::message(ELSEWHERE, fact.subject.clone())],
            false => Vec::new(),
        });
        let panel = yard::controller();
        let yard = Yard::open(config, sinks, &declared(panel.it.address())).await;
        let house = Self {
            yard,
            panel,
            leavers: Mutex::default(),
            joiners: Mutex::default(),
            left: Mutex::default(),
        };
        house.staff().await;
        house
    }

    async fn staff(&self) {
        let leavers = self.yard.hire(3 * LEAVERS).await;
        let joiners = self.yard.hire(JOINERS).await;
        self.yard.hand_out_cards().await;
        let mut seen = Vec::new();
        for id in leavers {
            seen.push(user::get(&self.yard.db, id).await.expect("a reading").expect("the user"));
        }
        *self.leavers.lock().expect("no panic") = seen;
        let mut cards = Vec::new();
        for id in joiners {
            cards.push(self.yard.card(id).await);
        }
        *self.joiners.lock().expect("no panic") = cards;
    }

    /// Sets everything to work, and puts the leavers' cards on the controller.
    async fn run(&self) -> watch::Sender<bool> {
        let stop = self.yard.run().await;
        let elsewhere = Lane::new(ELSEWHERE).run(self.yard.db.clone(), Arc::new(Elsewhere), stop.subscribe());
        tokio::spawn(elsewhere);
        let leavers: Vec<UserId> =
            self.leavers.lock().expect("no panic").iter().map(|user| user.id).collect();
        let mut cards = Vec::new();
        for id in leavers {
            cards.push(self.yard.card(id).await);
        }
        self.yard.grant(HQ, &cards).await;
        self.yard.quiet().await;
        stop
    }

    async fn measure(&self, title: &str, full: usize) {
        let mut lapses = Vec::new();
        let mut least = usize::MAX;
        for _ in 0..LEAVERS / ROUND {
            let leavers: Vec<User> = self.leavers.lock().expect("no panic").split_off_last(ROUND);
            self.panel.it.forget_requests();
            self.fill(full).await;
            let mut left = HashMap::new();
            for user in &leavers {
                let card = number(&self.yard.card(user.id).await);
                left.insert(card, self.yard.leave(user).await);
                tokio::time::sleep(PACE).await;
            }
            least = least.min(self.waiting(&sink_name(HQ)).await.min(self.waiting(ELSEWHERE).await));
            self.all_proven(&leavers).await;
            self.left.lock().expect("no panic").extend(leavers.iter().map(|user| user.id));
            lapses.extend(lapses_of(&left, &self.panel.it.requests()));
        }
        assert!(full == 0 || least >= BACKLOG, "only {least} waited at the end of a round");
        report(title, &lapses, least);
        self.yard.quiet().await;
    }

    /// Those who left show their cards once more.
    async fn measure_denials(&self) {
        let leavers = self.left.lock().expect("no panic").split_off_last(DENIALS);
        let mut times = Vec::new();
        for user in leavers {
            let card = self.yard.card(user).await;
            while self.placed(&card).await.is_none_or(|placed| placed.watched_at.is_none()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let before = self.revision(user).await;
            let shown = Instant::now();
            let swipe = self.panel.it.swipe(number(&card), 1);
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
        receipt::latest(&self.yard.db, user).await.expect("a reading").map_or(0, |edition| edition.revision)
    }

    async fn placed(&self, card: &Credential) -> Option<bridge::placement::Placement> {
        bridge::placement::get(&self.yard.db, HQ, card.id).await.expect("a reading")
    }

    /// Fills up what waits in the lane and elsewhere.
    async fn fill(&self, full: usize) {
        let missing = full.saturating_sub(self.waiting(&sink_name(HQ)).await);
        let joining = self.joiners.lock().expect("no panic").split_off_last(missing);
        assert_eq!(joining.len(), missing, "more joiners are needed");
        self.yard.grant(HQ, &joining).await;
        let missing = full.saturating_sub(self.waiting(ELSEWHERE).await);
        let mut tx = self.yard.db.write(Origin::system()).await.expect("a transaction");
        for n in 0..missing {
            tx.record(Fact::new(Subject::new("thing", n), &Happened {}));
        }
        tx.commit().await.expect("it commits");
    }

    async fn waiting(&self, sink: &str) -> usize {
        let sql = sql!("SELECT COUNT(*) FROM delivery WHERE sink = $1 AND due_at IS NOT NULL");
        let (count,): (i64,) = self.yard.db.one(sql, (sink,)).await.expect("a count");
        usize::try_from(count).expect("a count")
    }

    async fn all_proven(&self, leavers: &[User]) {
        for user in leavers {
            let card = self.yard.card(user.id).await;
            while !bridge::placement::get(&self.yard.db, HQ, card.id)
                .await
                .expect("a reading")
                .is_some_and(|placed| placed.is_proven_absent())
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
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

fn number(card: &Credential) -> u32 {
    u32::try_from(card.facility * 100_000 + card.number).expect("a 26-bit card")
}

fn declared(panel: SocketAddrV4) -> [Item; 5] {
    let config =
        json!({"controllers": [{"serial": SERIAL, "address": panel.to_string(), "doors": {"1": "main"}}]});
    [
        Item::new(Kind::Area, "house", json!({"title": "The house", "protection_class": 2})),
        Item::new(Kind::DoorSystem, HQ, json!({"connector": "uhppote", "config": config})),
        Item::new(Kind::AccessPoint, "main", json!({"door_system": HQ, "area": "house"})),
        Item::new(Kind::AccessProfile, "staff", json!({"title": "Staff", "access_points": ["main"]})),
        Item::new(
            Kind::CardPool,
            "cards",
            json!({"format": "h10301", "facility": 7, "first": 1, "last": 60_000}),
        ),
    ]
}
