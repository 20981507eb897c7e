//! What an administrator writes about a Control iD door system.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::time::Duration;

use jiff::tz::TimeZone;
use kernel::Secret;
use serde::Deserialize;
use url::{Host, Url};

use super::tls::Fingerprint;
use crate::connector::lanes::Patience;
use crate::connector::{AccessPointAddress, ConfigError};

/// ```json
/// {
///   "devices": [
///     { "device_id": 14227560204340541, "url": "http://10.0.0.7", "portals": { "1": "hq/main" } }
///   ],
///   "login": "cardea",
///   "listen": "10.0.0.2:8470",
///   "time_zone": "Europe/Helsinki"
/// }
/// ```
///
/// With `"mode": "online"` devices ask us at each swipe, at the address `listen`; `"out_of_reach"` says what becomes of
/// a swipe while they cannot: `"deny"` (unless something else is said) or `"lists"`. It is then we who say what opens,
/// so each portal names the relay of its door: `"portals": { "2": { "name": "hq/main", "door": 1 } }`. A device whose
/// door hangs on an external module (iDFlex, iDFace) says `"opener": "sec_box"` instead, and has one portal here.
///
/// A device whose address is `https://…` says as well which certificate it presents, since it made that itself:
/// `"certificate_sha256": "9f86d0…"`, the SHA-256 of the DER in hexadecimal digits, with or without colons, or base64.
/// A handshake takes of the time for its first answer (`timeout_ms`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    devices: Vec<WrittenDevice>,
    login: String,
    #[serde(default)]
    listen: Option<SocketAddrV4>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    out_of_reach: Option<OutOfReach>,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default = "a_second")]
    timeout_ms: u64,
    #[serde(default = "two")]
    attempts: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDevice {
    device_id: i64,
    url: String,
    #[serde(default)]
    certificate_sha256: Option<String>,
    portals: BTreeMap<String, WrittenPortal>,
    #[serde(default)]
    opener: Option<Opener>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a portal's name, or with mode = \"online\" {\"name\": \"hq/main\", \"door\": 1}"
)]
enum WrittenPortal {
    Name(String),
    Door(WrittenDoor),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDoor {
    name: String,
    door: u8,
}

/// Who decides at the door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// The device, from its own lists.
    #[default]
    Standalone,
    /// We, at each swipe.
    Online,
}

/// What becomes of a swipe while a device that should ask us cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutOfReach {
    /// Nobody enters.
    Deny,
    /// The device decides from its lists, as in standalone mode.
    Lists,
}

/// What opens doors when we say so (vendor's access API, "execute actions").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Opener {
    /// A relay of the device itself: iDAccess, iDFit, iDBox.
    #[default]
    Door,
    /// The module beside the door: iDFlex, iDFace and other devices without a relay of their own.
    SecBox,
}

/// What opens for whoever may enter through a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opens {
    /// The relay of this number.
    Relay(u8),
    /// The only module there is.
    SecBox,
}

fn utc() -> String {
    "UTC".into()
}

const fn a_second() -> u64 {
    1_000
}

const fn two() -> u32 {
    2
}

/// A door system whose configuration is in order.
#[derive(Debug)]
pub(super) struct Config {
    /// At least one, by rising id.
    pub(super) devices: Vec<DeviceConfig>,
    /// Who we are there.
    pub(super) login: String,
    pub(super) password: Secret<String>,
    /// Where devices send their notifications and questions, and we listen.
    pub(super) listen: Option<SocketAddrV4>,
    /// In online mode: what becomes of a swipe while they cannot ask us.
    pub(super) online: Option<OutOfReach>,
    /// The local time of all devices.
    pub(super) time_zone: TimeZone,
    /// How long to wait for an answer, and how often to ask.
    pub(super) patience: Patience,
}

/// One device.
#[derive(Debug)]
pub(super) struct DeviceConfig {
    /// What it says it is.
    pub(super) id: i64,
    /// Where it is asked: scheme, host and port, nothing more.
    pub(super) url: Url,
    /// What it presents there. With https, and only with it.
    pub(super) certificate: Option<Fingerprint>,
    /// Its portals by their ids. At least one.
    pub(super) portals: BTreeMap<i64, AccessPointAddress>,
    /// In online mode: what opens for whoever may enter through each of them.
    pub(super) opens: BTreeMap<i64, Opens>,
}

/// What can be said of a door system by its configuration alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) patience: Patience,
    /// Whether devices are told where to send notifications.
    pub(super) push: bool,
    /// Whether they ask us at each swipe.
    pub(super) online: bool,
    /// Whether one of them is asked without TLS.
    pub(super) in_clear: bool,
}

impl Outline {
    /// `None` of what cannot be read.
    pub(super) fn read(config: &serde_json::Value) -> Option<Self> {
        let written = Written::deserialize(config).ok()?;
        let online = written.online().ok()?.is_some();
        let is_https = |url: &str| Url::parse(url).is_ok_and(|url| url.scheme() == "https");
        let in_clear = !written.devices.iter().all(|device| is_https(&device.url));
        Some(Self { patience: written.patience().ok()?, push: written.listen.is_some(), online, in_clear })
    }
}

/// The longest that one request may take, all attempts together. A silent device holds a place of the lane for some of
/// these, and a process that dies holds its revocations back for as long as they may take.
const LONGEST_REQUEST_MS: u64 = 3_000;

/// Up to this many devices make one door system; more belong into a second one.
const DEVICES: usize = 256;

impl Config {
    /// The same as [`Outline::read`] says of what was written.
    pub(super) fn outline(&self) -> Outline {
        Outline {
            patience: self.patience,
            push: self.listen.is_some(),
            online: self.online.is_some(),
            in_clear: self.devices.iter().any(|device| device.certificate.is_none()),
        }
    }

    pub(super) fn read(
        config: &serde_json::Value,
        secret: Option<Secret<String>>,
    ) -> Result<Self, ConfigError> {
        let written = Written::deserialize(config).map_err(|error| {
            ConfigError::new(
                "controlid",
                format!("{error}; see the example in the connector's documentation"),
            )
        })?;
        let patience = written.patience()?;
        let time_zone = TimeZone::get(&written.time_zone).map_err(|error| {
            let problem = format!("{error}: expected an IANA name such as Europe/Helsinki or UTC");
            ConfigError::new("time_zone", problem)
        })?;
        if written.login.is_empty() || written.login.len() > 64 {
            return Err(ConfigError::new("login", "expected the name of an administrator of the devices"));
        }
        if let Some(listen) = written.listen.filter(|listen| listen.ip().is_unspecified()) {
            let problem =
                format!("{listen} is no address that devices can send to: write this machine's own");
            return Err(ConfigError::new("listen", problem));
        }
        let online = written.online()?;
        Ok(Self {
            password: password(secret)?,
            devices: devices(written.devices, online.is_some())?,
            login: written.login,
            listen: written.listen,
            online,
            time_zone,
            patience,
        })
    }
}

fn password(secret: Option<Secret<String>>) -> Result<Secret<String>, ConfigError> {
    let wrong = |problem| Err(ConfigError::new("secret", problem));
    match secret {
        None => wrong("the devices' password is missing: name the file that holds it in secret_file"),
        Some(password) if password.expose().is_empty() => wrong("the devices' password is empty"),
        // The factory's: whoever can reach the device is its administrator.
        Some(password) if password.expose() == "admin" => {
            wrong("this is the password that devices are sold with: change it on each device first")
        }
        Some(password) => Ok(password),
    }
}

impl Written {
    /// What becomes of a swipe while devices cannot ask us, if they do.
    fn online(&self) -> Result<Option<OutOfReach>, ConfigError> {
        match (self.mode, self.out_of_reach, self.listen) {
            (Mode::Standalone, None, _) => Ok(None),
            (Mode::Standalone, Some(_), _) => {
                let problem =
                    "devices that decide by themselves ask nobody: write it with mode = \"online\" only";
                Err(ConfigError::new("out_of_reach", problem))
            }
            (Mode::Online, _, None) => {
                let problem = "in online mode devices ask us: write this machine's address and port, e.g. 10.0.0.2:8470";
                Err(ConfigError::new("listen", problem))
            }
            (Mode::Online, out_of_reach, Some(_)) => Ok(Some(out_of_reach.unwrap_or(OutOfReach::Deny))),
        }
    }

    fn patience(&self) -> Result<Patience, ConfigError> {
        if !(50..=LONGEST_REQUEST_MS).contains(&self.timeout_ms) {
            return Err(ConfigError::new("timeout_ms", "expected 50 to 3000 milliseconds"));
        }
        if !(1..=10).contains(&self.attempts) {
            return Err(ConfigError::new("attempts", "expected 1 to 10"));
        }
        if self.timeout_ms * u64::from(self.attempts) > LONGEST_REQUEST_MS {
            let problem = format!(
                "timeout_ms times attempts is how long one device may stay silent: at most {LONGEST_REQUEST_MS} ms"
            );
            return Err(ConfigError::new("attempts", problem));
        }
        Ok(Patience { reply: Duration::from_millis(self.timeout_ms), attempts: self.attempts })
    }
}

fn devices(written: Vec<WrittenDevice>, online: bool) -> Result<Vec<DeviceConfig>, ConfigError> {
    if written.is_empty() || written.len() > DEVICES {
        return Err(ConfigError::new("devices", format!("expected 1 to {DEVICES} devices")));
    }
    let mut ids = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut devices = Vec::with_capacity(written.len());
    for WrittenDevice { device_id: id, url, certificate_sha256, portals, opener } in written {
        let key = format!("devices.{id}");
        if id <= 0 || !ids.insert(id) {
            return Err(ConfigError::new(key, "device ids are above 0 and not given twice"));
        }
        let url = address(&key, &url)?;
        let certificate = certificate(&key, &url, certificate_sha256.as_deref())?;
        if online && !matches!(url.host(), Some(Host::Ipv4(_))) {
            let problem = "in online mode write the device's IPv4 address: who asks is known by it";
            return Err(ConfigError::new(format!("{key}.url"), problem));
        }
        if opener.is_some() && !online {
            let problem =
                "a device that decides by itself knows its doors: write it with mode = \"online\" only";
            return Err(ConfigError::new(format!("{key}.opener"), problem));
        }
        let written = named(&key, portals, &mut names)?;
        let mut device =
            DeviceConfig { id, url, certificate, portals: BTreeMap::new(), opens: BTreeMap::new() };
        for (portal, (name, door)) in written {
            let key = format!("{key}.portals.{portal}");
            if let Some(opens) = opens(&key, online.then(|| opener.unwrap_or_default()), door)? {
                device.opens.insert(portal, opens);
            }
            device.portals.insert(portal, name);
        }
        if device.portals.len() > 1 && device.opens.values().any(|opens| *opens == Opens::SecBox) {
            let problem =
                "its module opens one door, and each of these portals would open it: name one portal";
            return Err(ConfigError::new(format!("{key}.portals"), problem));
        }
        devices.push(device);
    }
    devices.sort_by_key(|device| device.id);
    Ok(devices)
}

fn address(key: &str, text: &str) -> Result<Url, ConfigError> {
    let wrong = |problem: &str| Err(ConfigError::new(format!("{key}.url"), problem));
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => wrong("expected http://… or https://…"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            wrong("the user is named by login, the password by secret_file")
        }
        Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
            wrong("expected scheme, host and port alone, e.g. http://10.0.0.7")
        }
        Ok(url) => Ok(url),
        Err(_) => wrong("expected an address such as http://10.0.0.7"),
    }
}

/// What a device presents: said of each that is asked over HTTPS, since nobody else vouches for it.
fn certificate(key: &str, url: &Url, written: Option<&str>) -> Result<Option<Fingerprint>, ConfigError> {
    let wrong = |problem: &str| Err(ConfigError::new(format!("{key}.certificate_sha256"), problem));
    match (url.scheme(), written) {
        ("https", Some(text)) => match Fingerprint::read(text) {
            Some(certificate) => Ok(Some(certificate)),
            None => wrong(
                "expected the SHA-256 of the device's certificate: 64 hexadecimal digits, with or without colons, or base64",
            ),
        },
        ("https", None) => wrong(
            "a device vouches for itself: write the SHA-256 of its certificate, as `openssl x509 -noout -fingerprint \
             -sha256` shows it of what was exported there",
        ),
        (_, Some(_)) => wrong("over http no certificate is presented: write https://…, or leave this out"),
        (_, None) => Ok(None),
    }
}

/// What opens for whoever may enter through a portal. `opener`: in online mode; `door`: as it is written.
fn opens(key: &str, opener: Option<Opener>, door: Option<u8>) -> Result<Option<Opens>, ConfigError> {
    let wrong = |problem: &str| Err(ConfigError::new(key, problem));
    match (opener, door) {
        (None, None) => Ok(None),
        (None, Some(_)) => wrong(
            "a device that decides by itself knows its doors: write the portal's name alone, or mode = \"online\"",
        ),
        // The number of a portal is not that of its door: another might open.
        (Some(Opener::Door), None) => wrong(
            "in online mode we say which door opens: write the number of its relay, e.g. {\"name\": \"hq/main\", \
             \"door\": 1}",
        ),
        (Some(Opener::Door), Some(0)) => wrong("doors are numbered from 1 on"),
        (Some(Opener::Door), Some(door)) => Ok(Some(Opens::Relay(door))),
        (Some(Opener::SecBox), None) => Ok(Some(Opens::SecBox)),
        (Some(Opener::SecBox), Some(_)) => {
            wrong("the module has no number of a door: write the portal's name alone")
        }
    }
}

type Named = BTreeMap<i64, (AccessPointAddress, Option<u8>)>;

/// The portals by their ids, each with its door, if one is written.
fn named(
    key: &str,
    portals: BTreeMap<String, WrittenPortal>,
    names: &mut BTreeSet<String>,
) -> Result<Named, ConfigError> {
    if portals.is_empty() {
        let problem = "name at least one portal, e.g. {\"1\": \"hq/main\"}";
        return Err(ConfigError::new(format!("{key}.portals"), problem));
    }
    let mut named = BTreeMap::new();
    for (portal, written) in portals {
        let (name, door) = match written {
            WrittenPortal::Name(name) => (name, None),
            WrittenPortal::Door(WrittenDoor { name, door }) => (name, Some(door)),
        };
        let key = format!("{key}.portals.{portal}");
        let Some(id) = portal.parse::<i64>().ok().filter(|id| *id > 0 && id.to_string() == portal) else {
            return Err(ConfigError::new(key, "portals are numbered from 1 on"));
        };
        if name.trim().is_empty() || name.len() > 200 {
            return Err(ConfigError::new(key, "an access point's name has 1 to 200 bytes"));
        }
        if !names.insert(name.clone()) {
            let problem = format!("access point `{name}` is named twice in this door system");
            return Err(ConfigError::new(key, problem));
        }
        named.insert(id, (AccessPointAddress(name), door));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: &serde_json::Value, secret: Option<&str>) -> Result<Config, ConfigError> {
        Config::read(config, secret.map(|secret| Secret::new(secret.to_owned())))
    }

    #[test]
    fn a_plain_configuration_gets_safe_defaults() {
        let config = json!({"login": "cardea", "devices": [
            {"device_id": 14_227_560_204_340_541_i64, "url": "http://10.0.0.7", "portals": {"1": "main", "12": "side"}},
            {"device_id": 9, "url": "http://10.0.0.6:8080/", "portals": {"1": "lab"}},
        ]});
        let config = read(&config, Some("a long password")).unwrap();
        let ids: Vec<i64> = config.devices.iter().map(|device| device.id).collect();
        assert_eq!(ids, [9, 14_227_560_204_340_541]);
        assert_eq!(config.devices[1].portals[&12], "side".into());
        assert_eq!(config.patience, Patience { reply: Duration::from_secs(1), attempts: 2 });
        assert_eq!((config.listen, config.time_zone), (None, TimeZone::UTC));
        assert!(!format!("{:?}", config.password).contains("long"));
        assert!(config.online.is_none() && config.devices[0].opens.is_empty());
    }

    #[test]
    fn a_door_system_is_in_clear_as_soon_as_one_of_its_devices_is() {
        let pin = "ab".repeat(32);
        let config = |scheme: &str, certificate: Option<&str>| {
            json!({"login": "cardea", "devices": [
                {"device_id": 7, "url": "https://10.0.0.7", "certificate_sha256": pin, "portals": {"1": "main"}},
                {"device_id": 8, "url": format!("{scheme}://10.0.0.8"), "certificate_sha256": certificate, "portals": {"1": "side"}},
            ]})
        };
        for (config, in_clear) in [(config("HTTPS", Some(&pin)), false), (config("http", None), true)] {
            assert_eq!(Outline::read(&config).map(|outline| outline.in_clear), Some(in_clear));
            let config = read(&config, Some("a long password")).unwrap();
            assert_eq!(config.outline().in_clear, in_clear);
            assert_eq!(config.devices[0].certificate.unwrap().to_string(), pin);
        }
    }

    #[test]
    fn online_mode_denies_out_of_reach_unless_the_lists_are_meant_to_count() {
        let config = |more: serde_json::Value| {
            let mut config = json!({"login": "cardea", "mode": "online", "listen": "10.0.0.2:8470", "devices": [
                {"device_id": 7, "url": "http://10.0.0.7", "portals": {"1": "main"}, "opener": "sec_box"},
            ]});
            for (key, value) in more.as_object().unwrap() {
                config[key] = value.clone();
            }
            read(&config, Some("a long password")).unwrap()
        };
        let plain = config(json!({}));
        assert_eq!(plain.online, Some(OutOfReach::Deny));
        assert_eq!(plain.devices[0].opens, BTreeMap::from([(1, Opens::SecBox)]));
        assert_eq!(config(json!({"out_of_reach": "lists"})).online, Some(OutOfReach::Lists));
        assert_eq!(config(json!({"out_of_reach": "deny"})).online, Some(OutOfReach::Deny));
    }

    #[test]
    fn in_online_mode_each_portal_names_its_door() {
        let config = json!({"login": "cardea", "mode": "online", "listen": "10.0.0.2:8470", "devices": [
            {"device_id": 7, "url": "http://10.0.0.7", "portals": {
                "1": {"name": "in", "door": 2}, "2": {"name": "out", "door": 2}, "3": {"name": "yard", "door": 1},
            }},
        ]});
        let config = read(&config, Some("a long password")).unwrap();
        let device = &config.devices[0];
        let opens = [(1, Opens::Relay(2)), (2, Opens::Relay(2)), (3, Opens::Relay(1))];
        assert_eq!(device.opens, BTreeMap::from(opens));
        assert_eq!(device.portals[&3], "yard".into());
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        let device = |id: i64, url: &str, portals: serde_json::Value| json!({"login": "cardea", "devices": [{"device_id": id, "url": url, "portals": portals}]});
        let good = || device(7, "http://10.0.0.7", json!({"1": "main"}));
        let with = |key: &str, value: serde_json::Value| {
            let mut config = good();
            config[key] = value;
            config
        };
        let online_with = |url: &str, portals: serde_json::Value| {
            let mut config = device(7, url, portals);
            (config["mode"], config["listen"]) = (json!("online"), json!("10.0.0.2:8470"));
            config
        };
        let online = |url: &str| online_with(url, json!({"1": {"name": "main", "door": 1}}));
        let door = |portals: serde_json::Value| online_with("http://10.0.0.7", portals);
        let module = |portals: serde_json::Value| {
            let mut config = door(portals);
            config["devices"][0]["opener"] = json!("sec_box");
            config
        };
        let pinned = |url: &str, certificate: &str| {
            let mut config = device(7, url, json!({"1": "a"}));
            config["devices"][0]["certificate_sha256"] = json!(certificate);
            config
        };
        let mut with_opener = good();
        with_opener["devices"][0]["opener"] = json!("door");
        let twice = json!({"login": "cardea", "devices": [good()["devices"][0], good()["devices"][0]]});
        for (config, secret, key, problem) in [
            (good(), None, "secret", "secret_file"),
            (good(), Some(""), "secret", "empty"),
            (good(), Some("admin"), "secret", "change it"),
            (json!({}), Some("x"), "controlid", "missing field"),
            (with("devices", json!([])), Some("x"), "devices", "expected 1 to 256"),
            (twice, Some("x"), "devices.7", "not given twice"),
            (with("login", json!("")), Some("x"), "login", "administrator"),
            (with("port", json!(1)), Some("x"), "controlid", "unknown field `port`"),
            (with("time_zone", json!("Mars/Olympus")), Some("x"), "time_zone", "IANA"),
            (with("listen", json!("0.0.0.0:1")), Some("x"), "listen", "this machine's own"),
            (with("mode", json!("pro")), Some("x"), "controlid", "unknown variant `pro`"),
            (with("mode", json!("online")), Some("x"), "listen", "devices ask us"),
            (with("out_of_reach", json!("deny")), Some("x"), "out_of_reach", "online"),
            (online("http://gate.example.org"), Some("x"), "devices.7.url", "IPv4"),
            (with_opener, Some("x"), "devices.7.opener", "online"),
            (door(json!({"2": "main"})), Some("x"), "devices.7.portals.2", "number of its relay"),
            (door(json!({"2": {"name": "a", "door": 0}})), Some("x"), "devices.7.portals.2", "from 1 on"),
            (door(json!({"2": {"name": "a"}})), Some("x"), "controlid", "expected a portal's name"),
            (module(json!({"1": {"name": "a", "door": 1}})), Some("x"), "devices.7.portals.1", "no number"),
            (module(json!({"1": "a", "2": "b"})), Some("x"), "devices.7.portals", "name one portal"),
            (
                device(7, "http://10.0.0.7", json!({"1": {"name": "a", "door": 1}})),
                Some("x"),
                "devices.7.portals.1",
                "knows its doors",
            ),
            (with("timeout_ms", json!(10)), Some("x"), "timeout_ms", "50 to 3000"),
            (with("attempts", json!(0)), Some("x"), "attempts", "1 to 10"),
            (with("attempts", json!(4)), Some("x"), "attempts", "at most 3000 ms"),
            (device(0, "http://a", json!({"1": "a"})), Some("x"), "devices.0", "above 0"),
            (device(7, "10.0.0.7", json!({"1": "a"})), Some("x"), "devices.7.url", "http://10.0.0.7"),
            (device(7, "ftp://a", json!({"1": "a"})), Some("x"), "devices.7.url", "https://…"),
            (device(7, "https://a", json!({"1": "a"})), Some("x"), "devices.7.certificate_sha256", "SHA-256"),
            (pinned("https://a", "abc"), Some("x"), "devices.7.certificate_sha256", "64 hexadecimal"),
            (pinned("http://a", &"ab".repeat(32)), Some("x"), "devices.7.certificate_sha256", "over http"),
            (device(7, "http://u:p@a", json!({"1": "a"})), Some("x"), "devices.7.url", "login"),
            (device(7, "http://a/b", json!({"1": "a"})), Some("x"), "devices.7.url", "alone"),
            (device(7, "http://a", json!({})), Some("x"), "devices.7.portals", "at least one"),
            (device(7, "http://a", json!({"0": "a"})), Some("x"), "devices.7.portals.0", "from 1 on"),
            (device(7, "http://a", json!({"01": "a"})), Some("x"), "devices.7.portals.01", "from 1 on"),
            (device(7, "http://a", json!({"1": " "})), Some("x"), "devices.7.portals.1", "1 to 200"),
            (
                device(7, "http://a", json!({"1": "a", "2": "a"})),
                Some("x"),
                "devices.7.portals.2",
                "named twice",
            ),
        ] {
            let error = read(&config, secret).unwrap_err();
            assert_eq!(error.key, key, "{error}");
            assert!(error.problem.contains(problem), "{error}");
        }
    }
}
