//! A thousand people leave at once, each with a card on two door systems of different kinds: how many revocations are
//! proven a second (A2: read back as absent), and how long the slowest took, beside what the simulated devices could
//! answer at all in the same run.
//!
//! `cargo bench -p cardea-bridge --bench leavers`; with `CARDEA_TEST_POSTGRES` (an admin URL) also on PostgreSQL.
//! Everything runs that runs in a server, but for its pages. HR ends 32 employments at a time, each by a change of the
//! account in a transaction of its own, as a SCIM PATCH does. Both devices are simulated on threads of their own: a
//! UHPPOTE controller over UDP, and a Control iD device over HTTP, a connection for each request. A revocation counts
//! from when the change was recorded to when its proof was; both times stand in the fact. It prints and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod yard;

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use bridge::connector::AckLevel;
use bridge::facts::PlacementProven;
use bridge::placement::ABSENT;
use directory::declared::{Item, Kind};
use directory::user::{self, User};
use futures_util::future::join_all;
use kernel::{Secret, Timestamp};
use serde_json::{Value, json};
use sim::controlid::{Device, DeviceOptions};
use sim::uhppote::Controller;
use store::{Db, DbConfig, FactBody, Sinks, StoredFact, sql};
use yard::{Apart, SERIAL, Yard, line};

const LEAVERS: usize = 1_000;
/// How many employments HR ends at a time.
const AT_ONCE: usize = 32;
/// How long a device is asked for nothing but its pace.
const RAW: Duration = Duration::from_secs(1);
/// So many connections at once to the device that speaks HTTP.
const LINES: usize = 8;

/// The door systems.
const PANEL: &str = "panel";
const DEVICE: &str = "device";
const DEVICE_ID: i64 = 14_227_560_204_340_541;
const LOGIN: &str = "cardea";
const PASSWORD: &str = "a long password";

fn main() {
    yard::on_both(all);
}

/// The two devices.
struct Doors {
    panel: Apart<Controller>,
    device: Apart<Device>,
}

async fn all(config: &DbConfig) {
    let doors = Doors { panel: yard::controller(), device: device() };
    let yard = Yard::open(config, Sinks::default(), &doors.declared()).await;
    let people = yard.hire(LEAVERS).await;
    yard.hand_out_cards().await;
    let stop = yard.run().await;
    let mut cards = Vec::new();
    let mut leaving = Vec::new();
    for id in people {
        cards.push(yard.card(id).await);
        leaving.push(user::get(&yard.db, id).await.expect("a reading").expect("the user"));
    }
    for system in [PANEL, DEVICE] {
        yard.grant(system, &cards).await;
    }
    yard.quiet().await;
    let held = [doors.panel.it.cards().len(), doors.device.it.cards().len()];
    assert_eq!(held, [LEAVERS; 2], "every card is on both lists");
    let before = doors.paces().await;
    let asked_before = doors.asked();
    let took = leave(&yard, &leaving).await;
    yard.quiet().await;
    let asked = doors.asked();
    let after = doors.paces().await;
    let held = [doors.panel.it.cards().len(), doors.device.it.cards().len()];
    assert_eq!(held, [0; 2], "no card is on any list");
    println!("  {LEAVERS} left, {AT_ONCE} at a time, within {:.2} s", took.as_secs_f64());
    let proofs = proofs(&yard.db).await;
    for (at, system) in [PANEL, DEVICE].into_iter().enumerate() {
        let own: Vec<Proof> = proofs.iter().filter(|proof| proof.system == system).cloned().collect();
        assert_eq!(own.len(), LEAVERS, "each is proven at {system}");
        tell(system, &own);
        let requests = (asked[at] - asked_before[at]) as f64 / own.len() as f64;
        let pace = f64::midpoint(before[at], after[at]);
        println!(
            "    {requests:.1} requests each; the device alone answers {pace:.0} a second, so {:.0} revocations at most",
            pace / requests
        );
    }
    tell("both", &proofs);
    stop.send_replace(true);
}

/// How long it took until the last of them was told that it is done.
async fn leave(yard: &Yard, leaving: &[User]) -> Duration {
    let began = Instant::now();
    let shares = leaving.chunks(leaving.len().div_ceil(AT_ONCE));
    let done = shares.map(|share| async move {
        let mut last = began;
        for user in share {
            last = yard.leave(user).await;
        }
        last
    });
    let last = join_all(done).await.into_iter().max();
    last.expect("somebody left").duration_since(began)
}

/// One revocation, proven at one door system.
#[derive(Clone, Debug)]
struct Proof {
    system: String,
    asked: Timestamp,
    proven: Timestamp,
}

/// The first proof of each card's absence at each door system.
async fn proofs(db: &Db) -> Vec<Proof> {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE kind = $1 ORDER BY at, id"
    );
    let facts: Vec<StoredFact> = db.all(text, (PlacementProven::KIND,)).await.expect("facts");
    let mut first = BTreeMap::new();
    for fact in facts {
        let Some(body) = fact.read::<PlacementProven>() else { continue };
        if body.wanted == ABSENT && body.missing.is_empty() && body.level >= AckLevel::ReadBack {
            let proof = Proof { system: body.door_system.clone(), asked: body.requested_at, proven: fact.at };
            first.entry((body.door_system, body.credential.to_string())).or_insert(proof);
        }
    }
    first.into_values().collect()
}

fn tell(what: &str, proofs: &[Proof]) {
    let begun = proofs.iter().map(|proof| proof.asked).min().expect("somebody left");
    let done = proofs.iter().map(|proof| proof.proven).max().expect("it was proven");
    let rate = proofs.len() as f64 / done.since(begun).as_secs_f64();
    println!("  {what}: {} proven revocations, {rate:.0} a second", proofs.len());
    line(
        "from the change to the proof",
        proofs.iter().map(|proof| proof.proven.since(proof.asked)).collect(),
    );
}

fn device() -> Apart<Device> {
    Apart::start(|| async {
        let options = DeviceOptions {
            login: LOGIN.to_owned(),
            password: PASSWORD.to_owned(),
            offset: jiff::tz::offset(0),
            ..DeviceOptions::new(DEVICE_ID, yard::now())
        };
        Device::start(options).await.expect("a free port")
    })
}

impl Doors {
    fn declared(&self) -> [Item; 7] {
        let panel = self.panel.it.address().to_string();
        let panel = json!({"controllers": [{"serial": SERIAL, "address": panel, "doors": {"1": "main"}}]});
        let url = format!("http://{}", self.device.it.address());
        let device = json!({
            "devices": [{"device_id": DEVICE_ID, "url": url, "portals": {"1": "annex"}}], "login": LOGIN,
        });
        let password = Some(Secret::new(PASSWORD.to_owned()));
        let system = |name: &str, connector: &str, config: Value| {
            Item::new(Kind::DoorSystem, name, json!({"connector": connector, "config": config}))
        };
        let point = |name: &str, system: &str| {
            Item::new(Kind::AccessPoint, name, json!({"door_system": system, "area": "house"}))
        };
        let pool = json!({"format": "h10301", "facility": 7, "first": 1, "last": 60_000});
        [
            Item::new(Kind::Area, "house", json!({"title": "The house", "protection_class": 2})),
            system(PANEL, "uhppote", panel),
            system(DEVICE, "controlid", device).with_secret(password),
            point("main", PANEL),
            point("annex", DEVICE),
            Item::new(
                Kind::AccessProfile,
                "staff",
                json!({"title": "Staff", "access_points": ["annex", "main"]}),
            ),
            Item::new(Kind::CardPool, "cards", pool),
        ]
    }

    /// How many requests each has got so far.
    fn asked(&self) -> [u64; 2] {
        [self.panel.it.requests().len() as u64, self.device.it.counters().requests]
    }

    /// How many requests a second each answers that change nothing: the controller one after the other, as it works;
    /// the device on some connections at once.
    async fn paces(&self) -> [f64; 2] {
        let address = self.panel.it.address();
        let panel = tokio::task::spawn_blocking(move || pace_of_panel(address)).await.expect("it answers");
        self.panel.it.forget_requests();
        let device = pace_of_device(self.device.it.address()).await;
        [panel, device]
    }
}

/// Asks for a card, again and again.
fn pace_of_panel(address: SocketAddrV4) -> f64 {
    let mut request = [0; 64];
    request[..2].copy_from_slice(&[0x17, 0x5a]);
    request[4..8].copy_from_slice(&SERIAL.to_le_bytes());
    request[8..12].copy_from_slice(&700_001_u32.to_le_bytes());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(address).expect("a controller");
    socket.set_read_timeout(Some(RAW)).expect("a socket");
    let (began, mut done, mut reply) = (Instant::now(), 0_u32, [0; 64]);
    while began.elapsed() < RAW {
        socket.send(&request).expect("it is there");
        assert_eq!(socket.recv(&mut reply).expect("it answers"), reply.len());
        done += 1;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

/// Asks whether a session is valid that is none, again and again.
async fn pace_of_device(address: SocketAddr) -> f64 {
    let url = &format!("http://{address}/session_is_valid.fcgi?session=none");
    let client = &reqwest::Client::new();
    let began = Instant::now();
    let lines = (0..LINES).map(|_| async move {
        let mut done = 0_u32;
        while began.elapsed() < RAW {
            let answer = client.post(url).send().await.expect("it answers");
            assert_eq!(answer.status(), 200);
            done += 1;
        }
        done
    });
    let done: u32 = join_all(lines).await.into_iter().sum();
    f64::from(done) / began.elapsed().as_secs_f64()
}
