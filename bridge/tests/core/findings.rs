//! What a sweep finds over the door systems of both makers, at real sockets: planted by hand, found, told, put right.

use std::sync::Arc;
use std::time::Duration;

use bridge::alert;
use bridge::connector::Connector;
use bridge::exposure::{self, Bypass};
use bridge::facts::{CardQuarantined, DeviationFound};
use bridge::placement::{self, Door, sink_name};
use bridge::sweep::{Findings, sweep};
use directory::credential::Credential;
use directory::declared::{Item, Kind};
use kernel::id::{CredentialId, UserId};
use kernel::{Clock as _, Secret};
use serde_json::json;
use sim::controlid::{self, Device, DeviceOptions, card_value};
use sim::uhppote;

use crate::world::{HQ, World, access_profile, held, number, until};

on_every_engine! {
    whatever_is_planted_at_a_door_is_found_told_and_put_right,
    whatever_was_done_while_a_door_system_was_away_is_found_and_put_right_when_it_is_back,
    a_leaver_who_never_stood_at_a_device_is_taken_off_what_it_opens_while_it_cannot_ask,
    cards_of_nobody_and_for_contingency_go_into_quarantine_at_another_makers_device,
    supervisor_passcodes_cannot_be_found_and_are_a_standing_exposure,
}

/// The other maker's door system: one device with one door, which staff open as well.
pub(crate) const ANNEX: &str = "annex";
pub(crate) const DEVICE: i64 = 14_227_560_204_340_541;
const PASSWORD: &str = "a long password";
/// Nobody's card, as each maker counts.
const STRANGER: u32 = 4_200_001;

pub(crate) fn strangers_value() -> i64 {
    card_value(42, 1)
}

pub(crate) struct Both {
    pub(crate) world: World,
    pub(crate) device: Device,
}

impl Both {
    pub(crate) async fn open(world: World) -> Self {
        Self::with(world, |_| {}).await
    }

    pub(crate) async fn with(world: World, change: impl FnOnce(&mut DeviceOptions)) -> Self {
        let clock = world.clock.clone();
        let now = move || clock.now().to_jiff().expect("the clock stands in our century");
        let mut options = DeviceOptions {
            password: PASSWORD.into(),
            offset: jiff::tz::offset(0),
            ..DeviceOptions::new(DEVICE, Arc::new(now))
        };
        change(&mut options);
        let both = Self { world, device: Device::start(options).await.expect("a free port") };
        both.declare("report").await;
        let gate = json!({"door_system": ANNEX, "area": "house"});
        both.world.declare(Item::new(Kind::AccessPoint, "gate", gate)).await;
        both.world.declare(access_profile("staff", &["main", "gate"])).await;
        both.world.reload().await;
        both.settle().await;
        both
    }

    async fn declare(&self, unknown_cards: &str) {
        let config = json!({
            "devices": [
                {
                    "device_id": DEVICE, "url": format!("http://{}", self.device.address()),
                    "portals": {"1": "gate"},
                },
            ],
            "login": "admin",
            "timeout_ms": 250,
            "attempts": 2,
        });
        let fields = json!({"connector": "controlid", "config": config, "unknown_cards": unknown_cards});
        let system = Item::new(Kind::DoorSystem, ANNEX, fields);
        self.world.declare(system.with_secret(Some(Secret::new(PASSWORD.into())))).await;
    }

    pub(crate) fn connector(&self, at: &str) -> Arc<dyn Connector> {
        self.world.node.systems.connector(at).expect("an open door system")
    }

    async fn settle(&self) {
        let door = Arc::new(Door::new(self.world.db().clone(), ANNEX, self.connector(ANNEX)));
        loop {
            self.world.settle().await;
            if self.world.node.drain(&sink_name(ANNEX), door.clone()).await == 0 {
                return;
            }
        }
    }

    async fn sweep(&self, at: &str) -> Findings {
        sweep(self.world.db(), at, &self.connector(at)).await.expect("a sweep")
    }

    pub(crate) async fn carded(&self, name: &str) -> (UserId, Credential) {
        let user = self.world.hire(name, "Staff").await;
        self.settle().await;
        (user, self.world.card(user).await)
    }

    /// Whether the card stands on the list, and whether it opens while a device cannot ask.
    fn stands(&self, at: &str, card: &Credential) -> (bool, bool) {
        match at {
            HQ => (self.world.panels[0].cards().iter().any(|held| held.number == number(card)), false),
            _ => (self.device.holds(value(card)), self.device.holds_for_contingency(value(card))),
        }
    }
}

/// The number by which a device knows a card.
pub(crate) fn value(card: &Credential) -> i64 {
    let facility = u16::try_from(card.facility).expect("a 26-bit card");
    card_value(facility, u32::try_from(card.number).expect("a 26-bit card"))
}

/// What stands at a device, whose card it is about, what a sweep calls it, and what is there once that was put right.
struct Case {
    at: &'static str,
    /// Whether the card's holder has left before.
    left: bool,
    plant: fn(&Both, &Credential) -> bool,
    finding: &'static str,
    /// On the list, and among those for contingency.
    then: (bool, bool),
}

const PRESENT: (bool, bool) = (true, false);
const GONE: (bool, bool) = (false, false);

const CASES: [Case; 8] = [
    Case {
        at: HQ,
        left: false,
        plant: |both, card| both.world.panels[0].uproot(number(card)),
        finding: "ghost",
        then: PRESENT,
    },
    Case {
        at: ANNEX,
        left: false,
        plant: |both, card| both.device.uproot(value(card)),
        finding: "ghost",
        then: PRESENT,
    },
    Case {
        at: HQ,
        left: false,
        plant: |both, card| both.world.panels[0].plant(held(number(card), [1, 1, 0, 0])),
        finding: "drift",
        then: PRESENT,
    },
    // Somebody else's now, who administers the device.
    Case {
        at: ANNEX,
        left: false,
        plant: |both, card| both.device.uproot(value(card)) && both.device.plant_supervisor(value(card)),
        finding: "drift",
        then: PRESENT,
    },
    Case {
        at: ANNEX,
        left: false,
        plant: |both, card| both.device.plant_contingency(value(card)),
        finding: "drift",
        then: PRESENT,
    },
    Case {
        at: HQ,
        left: true,
        plant: |both, card| both.world.panels[0].plant(held(number(card), [1, 0, 0, 0])),
        finding: "leaver",
        then: GONE,
    },
    Case {
        at: ANNEX,
        left: true,
        plant: |both, card| both.device.plant_at(1, value(card)),
        finding: "leaver",
        then: GONE,
    },
    Case {
        at: ANNEX,
        left: true,
        plant: |both, card| both.device.plant_contingency(value(card)),
        finding: "leaver",
        then: GONE,
    },
];

async fn whatever_is_planted_at_a_door_is_found_told_and_put_right(world: World) {
    let both = Both::open(world).await;
    for (n, case) in CASES.iter().enumerate() {
        let what = format!("{n}: {} at {}", case.finding, case.at);
        let (user, card) = both.carded(&format!("user-{n}")).await;
        assert_eq!((both.stands(HQ, &card), both.stands(ANNEX, &card)), (PRESENT, PRESENT), "{what}");
        if case.left {
            both.world.set_active(user, false).await;
            both.settle().await;
            assert_eq!((both.stands(HQ, &card), both.stands(ANNEX, &card)), (GONE, GONE), "{what}");
        }
        for at in [HQ, ANNEX] {
            assert_eq!(both.sweep(at).await.deviations(), 0, "{what}: before");
        }
        assert!((case.plant)(&both, &card), "{what}");
        assert_eq!(both.sweep(case.at).await.deviations(), 1, "{what}");
        let mut told: Vec<DeviationFound> = both.world.facts().await;
        assert_eq!(told.len(), n + 1, "{what}: {told:?}");
        let told = told.pop().expect("a finding");
        assert_eq!(
            (told.door_system.as_str(), told.finding.as_str(), told.credential),
            (case.at, case.finding, Some(card.id)),
            "{what}"
        );
        both.settle().await;
        assert_eq!(both.stands(case.at, &card), case.then, "{what}: afterwards");
        assert_eq!(both.sweep(case.at).await.deviations(), 0, "{what}: afterwards");
    }
    // What is nobody's is reported, and stays where nothing else was said.
    assert!(both.world.panels[0].plant(held(STRANGER, [1, 0, 0, 0])));
    assert!(both.device.plant(strangers_value()) && both.device.plant_contingency(card_value(42, 2)));
    assert_eq!((both.sweep(HQ).await.orphans, both.sweep(ANNEX).await.orphans), (1, 2));
    let open = alert::open_of_kind(both.world.db(), alert::ORPHAN).await.unwrap();
    let about: Vec<&str> = open.iter().map(|open| open.subject.as_str()).collect();
    assert_eq!(about, ["card:annex/h10301:42:1", "card:annex/h10301:42:2", "card:hq/h10301:42:1"]);
    let told: Vec<DeviationFound> = both.world.facts().await;
    let orphans = told.iter().filter(|told| told.finding == "orphan" && told.credential.is_none());
    assert_eq!(orphans.count(), 3);
    assert!(both.device.holds(strangers_value()) && both.device.holds_for_contingency(card_value(42, 2)));
}

/// Nobody asks for a sweep here.
async fn whatever_was_done_while_a_door_system_was_away_is_found_and_put_right_when_it_is_back(world: World) {
    let both = Both::open(world).await;
    let mut cards = Vec::new();
    for (n, case) in CASES.iter().enumerate() {
        let (user, card) = both.carded(&format!("user-{n}")).await;
        if case.left {
            both.world.set_active(user, false).await;
        }
        cards.push((case, card));
    }
    both.settle().await;
    let working = both.world.node.run();
    until("both are spoken to", || async {
        let spoken = !both.world.panels[0].requests().is_empty() && !both.device.requests().is_empty();
        spoken.then_some(())
    })
    .await;
    both.world.panels[0].misbehave(uhppote::Misbehaviour::Silent);
    both.device.misbehave(controlid::Misbehaviour::Cut);
    // Time enough to find out.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for (case, card) in &cards {
        assert!((case.plant)(&both, card), "{} at {}", case.finding, case.at);
    }
    assert!(both.world.panels[0].plant(held(STRANGER, [1, 0, 0, 0])));
    assert!(both.device.plant(strangers_value()) && both.device.plant_contingency(card_value(42, 2)));
    both.world.panels[0].behave();
    both.device.behave();
    until("everything is told", || async {
        let told: Vec<DeviationFound> = both.world.facts().await;
        let is_told = |at: &str, finding: &str, card: Option<CredentialId>| {
            let is_it = |told: &&DeviationFound| {
                (told.door_system.as_str(), told.finding.as_str(), told.credential) == (at, finding, card)
            };
            told.iter().filter(is_it).count()
        };
        let cards = cards.iter().all(|(case, card)| is_told(case.at, case.finding, Some(card.id)) > 0);
        (cards && (is_told(HQ, "orphan", None), is_told(ANNEX, "orphan", None)) == (1, 2)).then_some(())
    })
    .await;
    until("everything is put right", || async {
        let is_right = |(case, card): &(&Case, Credential)| both.stands(case.at, card) == case.then;
        cards.iter().all(is_right).then_some(())
    })
    .await;
    working.stop().await;
}

async fn a_leaver_who_never_stood_at_a_device_is_taken_off_what_it_opens_while_it_cannot_ask(world: World) {
    let both = Both::open(world).await;
    let user = both.world.hire("ada", "Staff").await;
    both.world.node.drain_entitlement().await;
    let card = both.world.card(user).await;
    both.world.set_active(user, false).await;
    both.settle().await;
    assert!(placement::get(both.world.db(), ANNEX, card.id).await.unwrap().is_none());
    assert!(both.device.plant_contingency(value(&card)));
    assert_eq!(both.sweep(ANNEX).await.leavers, 1);
    both.settle().await;
    assert!(!both.device.holds_for_contingency(value(&card)));
    assert!(placement::get(both.world.db(), ANNEX, card.id).await.unwrap().unwrap().is_proven_absent());
    let receipt = both.world.receipt(user).await.unwrap();
    let proven: Vec<&str> = receipt.doors.iter().map(|door| door.access_point.as_str()).collect();
    assert_eq!((receipt.complete, proven), (true, vec!["gate"]));
    assert_eq!(both.sweep(ANNEX).await.deviations(), 0);
}

async fn cards_of_nobody_and_for_contingency_go_into_quarantine_at_another_makers_device(world: World) {
    let both = Both::open(world).await;
    both.declare("quarantine").await;
    let (_, card) = both.carded("ada").await;
    assert!(both.world.panels[0].plant(held(STRANGER, [1, 0, 0, 0])));
    assert!(
        both.device.plant_supervisor(strangers_value()) && both.device.plant_contingency(card_value(42, 2))
    );
    let found = both.sweep(ANNEX).await;
    assert_eq!((found.orphans, found.quarantined), (2, 2));
    assert!(!both.device.holds(strangers_value()) && !both.device.holds_for_contingency(card_value(42, 2)));
    assert_eq!((both.stands(HQ, &card), both.stands(ANNEX, &card)), (PRESENT, PRESENT));
    let told: Vec<CardQuarantined> = both.world.facts().await;
    let opened = |card: &str| told.iter().find(|told| told.card == card).expect(card).opened.clone();
    assert_eq!(opened("h10301:42:1"), ["gate".to_owned(), format!("it administers {DEVICE}")]);
    assert_eq!(opened("h10301:42:2"), [format!("what {DEVICE} opens while it cannot ask")]);
    // At the other door system it is only reported.
    assert_eq!((both.sweep(HQ).await.quarantined, told.len()), (0, 2));
    assert!(both.world.panels[0].cards().iter().any(|held| held.number == STRANGER));
}

async fn supervisor_passcodes_cannot_be_found_and_are_a_standing_exposure(world: World) {
    let passcode = Bypass { door_system: HQ.into(), what: "a supervisor passcode" };
    let before = exposure::report(world.db()).await.unwrap().bypasses;
    assert_eq!(before, [passcode], "it is told whether or not there is one");
    let mut packet = [0_u8; 64];
    packet[..2].copy_from_slice(&[0x17, 0x8c]);
    packet[4..8].copy_from_slice(&world.panels[0].serial().to_le_bytes());
    packet[8] = 1;
    packet[12..16].copy_from_slice(&7_531_u32.to_le_bytes());
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&packet, world.panels[0].address()).await.unwrap();
    socket.recv(&mut packet).await.unwrap();
    assert_eq!(world.panels[0].passcodes(1), [7_531, 0, 0, 0]);
    assert_eq!(world.sweep().await.deviations(), 0, "the wire can set but not read it");
    let found = exposure::report(world.db()).await.unwrap();
    assert_eq!((found.bypasses, world.facts::<DeviationFound>().await.len()), (before, 0));
}
