//! A building with two simulated UHPPOTE controllers, and hands on them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bridge::card::Card;
use bridge::conformance::{ConformanceTarget, Fault};
use bridge::connector::{
    self, Access, AccessPointAddress, Connector, DesiredCredential, Opening, Rights, Version, Want,
};
use kernel::Ctx;
use kernel::id::CredentialId;
use serde_json::json;
use sim::uhppote::{Card as Held, Controller, ControllerOptions, Misbehaviour};

/// Long enough for a busy machine, short enough for a test.
const TIMEOUT_MS: u64 = 250;
const ATTEMPTS: u64 = 2;
pub(crate) const SERIALS: [u32; 2] = [405_419_896, 303_986_753];

/// Two controllers as one door system: doors `a` and `b` at the first, `c` at the second.
pub(crate) struct Building {
    pub(crate) ctx: Ctx,
    pub(crate) panels: Vec<Controller>,
}

impl Building {
    pub(crate) async fn open() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl Fn(ControllerOptions) -> ControllerOptions) -> Self {
        let ctx = Ctx::for_tests(1);
        let clock = ctx.clone();
        let options = change(ControllerOptions::new(Arc::new(move || {
            clock.now().to_jiff().expect("the test clock stands in our century")
        })));
        let mut panels = Vec::new();
        for serial in SERIALS {
            panels.push(Controller::start(serial, options.clone()).await.expect("a free port"));
        }
        Self { ctx, panels }
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        self.connector_with(&json!({}))
    }

    pub(crate) fn connector_with(&self, more: &serde_json::Value) -> Arc<dyn Connector> {
        let [first, second] = [0, 1].map(|n| self.panels[n].address().to_string());
        let mut config = json!({
            "controllers": [
                {"serial": SERIALS[0], "address": first, "doors": {"1": "a", "2": "b"}},
                {"serial": SERIALS[1], "address": second, "doors": {"1": "c"}},
            ],
            "timeout_ms": TIMEOUT_MS,
            "attempts": ATTEMPTS,
            "listen": "127.0.0.1:0",
        });
        for (key, value) in more.as_object().expect("an object") {
            config[key] = value.clone();
        }
        connector::open("uhppote", Opening::new(&self.ctx, &config)).expect("a good configuration")
    }

    pub(crate) fn wish(&self, n: u16) -> (CredentialId, Card) {
        (CredentialId::new(&self.ctx), Card::h10301(123, n))
    }

    pub(crate) fn deletions(&self, panel: usize) -> usize {
        self.panels[panel].requests().iter().filter(|seen| seen.operation == 0x52).count()
    }
}

/// Controller and door of an access point.
pub(crate) fn place(point: &AccessPointAddress) -> (usize, u8) {
    match point.0.as_str() {
        "a" => (0, 1),
        "b" => (0, 2),
        "c" => (1, 1),
        other => panic!("no access point {other}"),
    }
}

pub(crate) fn number(card: &Card) -> u32 {
    let facility = card.facility().expect("a 26-bit card");
    facility * 100_000 + u32::try_from(card.number().expect("a 26-bit card")).expect("16 bits")
}

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

pub(crate) fn opening(points: &[&str]) -> Want {
    let access = points.iter().map(|point| ((*point).into(), Access::Always)).collect();
    Want::Present(Rights { access, ..Rights::default() })
}

pub(crate) fn desired(
    (credential, card): (CredentialId, Card),
    number: i64,
    want: Want,
) -> DesiredCredential {
    DesiredCredential { version: Version { credential, number }, card, want }
}

#[async_trait]
impl ConformanceTarget for Building {
    fn connector(&self) -> Arc<dyn Connector> {
        Building::connector(self)
    }

    fn card(&self, n: u16) -> Card {
        Card::h10301(123, n)
    }

    fn unholdable(&self) -> Card {
        "h10302:12345678".parse().expect("a 37-bit card")
    }

    async fn reset(&self) {
        for panel in &self.panels {
            panel.behave();
            for card in panel.cards() {
                panel.uproot(card.number);
            }
        }
    }

    async fn swipe(&self, card: &Card, at: &AccessPointAddress) -> bool {
        let (panel, door) = place(at);
        self.panels[panel].swipe(number(card), door).granted
    }

    async fn plant(&self, card: &Card, at: &AccessPointAddress) {
        let (panel, door) = place(at);
        let mut doors = [0; 4];
        doors[usize::from(door) - 1] = 1;
        assert!(self.panels[panel].plant(held(number(card), doors)));
    }

    async fn uproot(&self, card: &Card) {
        for panel in &self.panels {
            panel.uproot(number(card));
        }
    }

    async fn fault(&self, fault: Fault) {
        self.panels.iter().for_each(|panel| set_fault(panel, fault));
    }

    async fn fault_at(&self, at: &AccessPointAddress, fault: Fault) {
        set_fault(&self.panels[place(at).0], fault);
    }

    async fn requests(&self) -> usize {
        self.panels.iter().map(|panel| panel.requests().len()).sum()
    }
}

fn set_fault(panel: &Controller, fault: Fault) {
    panel.behave();
    panel.misbehave(match fault {
        Fault::None => return,
        Fault::Silent => Misbehaviour::Silent,
        Fault::LoseOneReply => Misbehaviour::DropReplies(1),
        Fault::DoubleReplies => Misbehaviour::DuplicateReplies,
        Fault::SlowReplies => Misbehaviour::DelayReplies(Duration::from_millis(TIMEOUT_MS / 5)),
        Fault::LateReplies => Misbehaviour::DelayReplies(Duration::from_millis(TIMEOUT_MS * ATTEMPTS + 100)),
        Fault::Garbage => Misbehaviour::GarbageReplies,
        Fault::RefuseWrites => Misbehaviour::RefusePuts,
        Fault::ForgetWrites => Misbehaviour::ForgetWrites,
    });
}
