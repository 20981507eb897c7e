//! A building with two simulated Control iD devices, and hands on them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bridge::card::Card;
use bridge::conformance::{ConformanceTarget, Fault};
use bridge::connector::{
    self, Access, AccessPointAddress, Connector, Decider, DesiredCredential, Nobody, Opening, Rights,
    Version, Want,
};
use kernel::id::CredentialId;
use kernel::{Ctx, Secret};
use rustls::ServerConfig;
use serde_json::json;
use sim::controlid::{Device, DeviceOptions, Misbehaviour, card_value};

/// Long enough for a busy machine, short enough for a test.
const TIMEOUT_MS: u64 = 400;
const ATTEMPTS: u64 = 2;
pub(crate) const IDS: [i64; 2] = [14_227_560_204_340_541, 14_227_560_204_340_542];
const LOGIN: &str = "cardea";
const PASSWORD: &str = "a long password";

/// Two devices as one door system: portals `a` and `b` at the first, `c` at the second.
pub(crate) struct Building {
    pub(crate) ctx: Ctx,
    pub(crate) devices: Vec<Arc<Device>>,
    /// What the configuration says that both present.
    pub(crate) certificate: Option<String>,
}

impl Building {
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl Fn(&mut DeviceOptions)) -> Self {
        let ctx = Ctx::for_tests(1);
        let mut devices = Vec::new();
        for id in IDS {
            let clock = ctx.clone();
            let now = move || clock.now().to_jiff().expect("the test clock stands in our century");
            let mut options = DeviceOptions {
                login: LOGIN.to_owned(),
                password: PASSWORD.to_owned(),
                portals: 2,
                offset: jiff::tz::offset(0),
                ..DeviceOptions::new(id, Arc::new(now))
            };
            change(&mut options);
            devices.push(Arc::new(Device::start(options).await.expect("a free port")));
        }
        Self { ctx, devices, certificate: None }
    }

    /// Over HTTPS. `certificate` is what the configuration says of what they present.
    pub(crate) async fn over_tls(tls: &Arc<ServerConfig>, certificate: String) -> Self {
        let building = Self::with(|options| options.tls = Some(Arc::clone(tls))).await;
        Self { certificate: Some(certificate), ..building }
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        self.connector_with(&json!({}))
    }

    pub(crate) fn connector_with(&self, more: &serde_json::Value) -> Arc<dyn Connector> {
        self.connector_deciding(more, Arc::new(Nobody))
    }

    pub(crate) fn connector_deciding(
        &self,
        more: &serde_json::Value,
        decider: Arc<dyn Decider>,
    ) -> Arc<dyn Connector> {
        let config = self.config(more);
        let secret = Some(Secret::new(PASSWORD.to_owned()));
        let opening = Opening { ctx: &self.ctx, config: &config, secret, decider };
        connector::open("controlid", opening).expect("a good configuration")
    }

    /// The door system's configuration. `more` is merged into it.
    pub(crate) fn config(&self, more: &serde_json::Value) -> serde_json::Value {
        let [first, second] = [0, 1].map(|n| self.devices[n].base_url().as_str());
        let portal = |door: u8, name: &str| match more["mode"] == "online" {
            true => json!({ "name": name, "door": door }),
            false => json!(name),
        };
        let mut config = json!({
            "devices": [
                {"device_id": IDS[0], "url": first, "portals": {"1": portal(1, "a"), "2": portal(2, "b")}},
                {"device_id": IDS[1], "url": second, "portals": {"1": portal(1, "c")}},
            ],
            "login": LOGIN,
            "timeout_ms": TIMEOUT_MS,
            "attempts": ATTEMPTS,
            "listen": "127.0.0.1:0",
        });
        if let Some(certificate) = &self.certificate {
            for device in config["devices"].as_array_mut().expect("devices") {
                device["certificate_sha256"] = json!(certificate);
            }
        }
        for (key, value) in more.as_object().expect("an object") {
            config[key] = value.clone();
        }
        config
    }

    /// Somebody at the device's own page.
    pub(crate) async fn hand(&self, device: usize, command: &str, body: serde_json::Value) {
        self.answered(device, command, body).await;
    }

    /// What somebody reads there of its settings.
    pub(crate) async fn asked(&self, device: usize, settings: serde_json::Value) -> serde_json::Value {
        self.answered(device, "get_configuration", settings).await.json().await.expect("JSON")
    }

    async fn answered(&self, device: usize, command: &str, body: serde_json::Value) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = |command: &str| format!("{}{command}.fcgi", self.devices[device].base_url());
        let login = json!({ "login": LOGIN, "password": PASSWORD });
        let session = client.post(url("login")).json(&login).send().await.expect("an answer");
        let session: serde_json::Value = session.json().await.expect("a session");
        let session = session["session"].as_str().expect("a session").to_owned();
        let done = client.post(url(command)).query(&[("session", session)]).json(&body).send().await;
        let done = done.expect("an answer");
        assert_eq!(done.status(), 200, "{command} {body}");
        done
    }

    pub(crate) fn wish(&self, n: u16) -> (CredentialId, Card) {
        (CredentialId::new(&self.ctx), Card::h10301(123, n))
    }
}

/// Device and portal of an access point.
pub(crate) fn place(point: &AccessPointAddress) -> (usize, i64) {
    match point.0.as_str() {
        "a" => (0, 1),
        "b" => (0, 2),
        "c" => (1, 1),
        other => panic!("no access point {other}"),
    }
}

pub(crate) fn number(card: &Card) -> i64 {
    let facility = card.facility().expect("a 26-bit card");
    let number = card.number().expect("a 26-bit card");
    card_value(u16::try_from(facility).expect("8 bits"), u32::try_from(number).expect("16 bits"))
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
        for device in &self.devices {
            device.behave();
            for card in device.cards() {
                device.uproot(card);
            }
        }
    }

    async fn swipe(&self, card: &Card, at: &AccessPointAddress) -> bool {
        let (device, portal) = place(at);
        self.devices[device].swipe(portal, number(card)).await.opened
    }

    async fn plant(&self, card: &Card, at: &AccessPointAddress) {
        let (device, portal) = place(at);
        assert!(self.devices[device].plant_at(portal, number(card)));
    }

    async fn uproot(&self, card: &Card) {
        for device in &self.devices {
            device.uproot(number(card));
        }
    }

    async fn fault(&self, fault: Fault) {
        self.devices.iter().for_each(|device| set_fault(device, fault));
    }

    async fn fault_at(&self, at: &AccessPointAddress, fault: Fault) {
        set_fault(&self.devices[place(at).0], fault);
    }

    async fn requests(&self) -> usize {
        let requests: u64 = self.devices.iter().map(|device| device.counters().requests).sum();
        usize::try_from(requests).expect("a test sends fewer")
    }
}

fn set_fault(device: &Device, fault: Fault) {
    device.behave();
    device.misbehave(match fault {
        // Over HTTP each request has one answer: none comes twice.
        Fault::None | Fault::DoubleReplies => return,
        Fault::Silent => Misbehaviour::Silent,
        Fault::LoseOneReply => Misbehaviour::HoldAnswers(1),
        Fault::SlowReplies => Misbehaviour::Slow(Duration::from_millis(20)),
        Fault::LateReplies => Misbehaviour::Slow(Duration::from_millis(TIMEOUT_MS * ATTEMPTS + 100)),
        Fault::Garbage => Misbehaviour::Garbage,
        Fault::RefuseWrites => Misbehaviour::Full,
        Fault::ForgetWrites => Misbehaviour::Lie,
    });
}
