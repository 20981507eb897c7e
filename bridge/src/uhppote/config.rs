//! What an administrator writes about a UHPPOTE door system.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::connector::lanes::Patience;
use crate::connector::{AccessPointAddress, ConfigError};

/// ```json
/// {
///   "controllers": [
///     { "serial": 405419896, "address": "10.0.0.5:60000", "doors": { "1": "hq/main", "2": "hq/lab" } }
///   ],
///   "listen": "10.0.0.2:60001",
///   "time_zone": "Europe/Helsinki"
/// }
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    controllers: Vec<WrittenController>,
    #[serde(default)]
    listen: Option<SocketAddrV4>,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default = "half_a_second")]
    timeout_ms: u64,
    #[serde(default = "three")]
    attempts: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenController {
    serial: u32,
    address: SocketAddrV4,
    doors: BTreeMap<String, String>,
}

fn utc() -> String {
    "UTC".into()
}

const fn half_a_second() -> u64 {
    500
}

const fn three() -> u32 {
    3
}

/// A door system whose configuration is in order.
#[derive(Debug)]
pub(super) struct Config {
    /// At least one, by rising serial number.
    pub(super) controllers: Vec<ControllerConfig>,
    /// Where controllers push their events, and we listen.
    pub(super) listen: Option<SocketAddrV4>,
    /// The local time of all controllers.
    pub(super) time_zone: TimeZone,
    /// How long to wait for a reply, and how often to ask.
    pub(super) patience: Patience,
}

/// One controller.
#[derive(Debug)]
pub(super) struct ControllerConfig {
    pub(super) serial: u32,
    pub(super) address: SocketAddrV4,
    /// Door 1 to 4. At least one.
    pub(super) doors: BTreeMap<u8, AccessPointAddress>,
}

impl Config {
    pub(super) fn read(config: &serde_json::Value) -> Result<Self, ConfigError> {
        let written = Written::deserialize(config).map_err(|error| {
            ConfigError::new("uhppote", format!("{error}; see the example in the connector's documentation"))
        })?;
        let patience = written.patience()?;
        let time_zone = TimeZone::get(&written.time_zone).map_err(|error| {
            ConfigError::new(
                "time_zone",
                format!("{error}: expected an IANA name such as Europe/Helsinki or UTC"),
            )
        })?;
        if let Some(listen) = written.listen.filter(|listen| listen.ip().is_unspecified()) {
            let problem =
                format!("{listen} is no address that controllers can send to: write this machine's own");
            return Err(ConfigError::new("listen", problem));
        }
        Ok(Self {
            controllers: controllers(written.controllers)?,
            listen: written.listen,
            time_zone,
            patience,
        })
    }
}

impl Written {
    fn patience(&self) -> Result<Patience, ConfigError> {
        if !(50..=LONGEST_REQUEST_MS).contains(&self.timeout_ms) {
            return Err(ConfigError::new("timeout_ms", "expected 50 to 5000 milliseconds"));
        }
        if !(1..=10).contains(&self.attempts) {
            return Err(ConfigError::new("attempts", "expected 1 to 10"));
        }
        if self.timeout_ms * u64::from(self.attempts) > LONGEST_REQUEST_MS {
            let problem = format!(
                "timeout_ms times attempts is how long one controller may stay silent: at most {LONGEST_REQUEST_MS} ms"
            );
            return Err(ConfigError::new("attempts", problem));
        }
        Ok(Patience { reply: Duration::from_millis(self.timeout_ms), attempts: self.attempts })
    }
}

/// The longest that one request may take, all attempts together. A silent controller holds a place of the lane for
/// some of these, and a process that dies holds its revocations back for as long as they may take.
const LONGEST_REQUEST_MS: u64 = 5_000;

/// Up to this many controllers make one door system; more belong into a second one.
const CONTROLLERS: usize = 256;

fn controllers(written: Vec<WrittenController>) -> Result<Vec<ControllerConfig>, ConfigError> {
    if written.is_empty() || written.len() > CONTROLLERS {
        return Err(ConfigError::new("controllers", format!("expected 1 to {CONTROLLERS} controllers")));
    }
    let mut serials = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut controllers = Vec::with_capacity(written.len());
    for WrittenController { serial, address, doors } in written {
        let key = format!("controllers.{serial}");
        if serial == 0 || !serials.insert(serial) {
            return Err(ConfigError::new(key, "serial numbers are not 0 and not given twice"));
        }
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_broadcast() {
            let problem = format!("{address} is no controller's address: expected e.g. 10.0.0.5:60000");
            return Err(ConfigError::new(format!("{key}.address"), problem));
        }
        controllers.push(ControllerConfig { serial, address, doors: named(&key, doors, &mut names)? });
    }
    controllers.sort_by_key(|controller| controller.serial);
    Ok(controllers)
}

fn named(
    key: &str,
    doors: BTreeMap<String, String>,
    names: &mut BTreeSet<String>,
) -> Result<BTreeMap<u8, AccessPointAddress>, ConfigError> {
    if doors.is_empty() {
        return Err(ConfigError::new(
            format!("{key}.doors"),
            "name at least one door, e.g. {\"1\": \"hq/main\"}",
        ));
    }
    let mut named = BTreeMap::new();
    for (door, name) in doors {
        let key = format!("{key}.doors.{door}");
        let Some(door @ 1..=4) = door.parse().ok().filter(|_| door.len() == 1) else {
            return Err(ConfigError::new(key, "doors are numbered 1 to 4"));
        };
        if name.trim().is_empty() || name.len() > 200 {
            return Err(ConfigError::new(key, "an access point's name has 1 to 200 bytes"));
        }
        if !names.insert(name.clone()) {
            return Err(ConfigError::new(
                key,
                format!("access point `{name}` is named twice in this door system"),
            ));
        }
        named.insert(door, AccessPointAddress(name));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_configuration_gets_safe_defaults() {
        let config = Config::read(&json!({"controllers": [
            {"serial": 9, "address": "10.0.0.6:60000", "doors": {"4": "lab"}},
            {"serial": 7, "address": "10.0.0.5:60000", "doors": {"1": "main", "2": "side"}},
        ]}))
        .unwrap();
        assert_eq!(config.controllers.iter().map(|controller| controller.serial).collect::<Vec<_>>(), [7, 9]);
        assert_eq!(config.controllers[0].doors[&2], "side".into());
        assert_eq!(config.patience, Patience { reply: Duration::from_millis(500), attempts: 3 });
        assert_eq!((config.listen, config.time_zone), (None, TimeZone::UTC));
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        let controller = |serial: u32, address: &str, doors: serde_json::Value| json!({"serial": serial, "address": address, "doors": doors});
        let good = || controller(7, "10.0.0.5:60000", json!({"1": "main"}));
        for (config, key, problem) in [
            (json!({}), "uhppote", "missing field `controllers`"),
            (json!({"controllers": []}), "controllers", "expected 1 to 256"),
            (json!({"controllers": [good()], "port": 1}), "uhppote", "unknown field `port`"),
            (json!({"controllers": [good(), good()]}), "controllers.7", "not given twice"),
            (
                json!({"controllers": [controller(0, "10.0.0.5:60000", json!({"1": "a"}))]}),
                "controllers.0",
                "not 0",
            ),
            (json!({"controllers": [controller(7, "10.0.0.5", json!({"1": "a"}))]}), "uhppote", "address"),
            (
                json!({"controllers": [controller(7, "10.0.0.5:0", json!({"1": "a"}))]}),
                "controllers.7.address",
                "no controller's",
            ),
            (
                json!({"controllers": [controller(7, "255.255.255.255:60000", json!({"1": "a"}))]}),
                "controllers.7.address",
                "no controller's",
            ),
            (
                json!({"controllers": [controller(7, "10.0.0.5:60000", json!({}))]}),
                "controllers.7.doors",
                "at least one",
            ),
            (
                json!({"controllers": [controller(7, "10.0.0.5:60000", json!({"5": "a"}))]}),
                "controllers.7.doors.5",
                "1 to 4",
            ),
            (
                json!({"controllers": [controller(7, "10.0.0.5:60000", json!({"01": "a"}))]}),
                "controllers.7.doors.01",
                "1 to 4",
            ),
            (
                json!({"controllers": [controller(7, "10.0.0.5:60000", json!({"1": " "}))]}),
                "controllers.7.doors.1",
                "1 to 200",
            ),
            (
                json!({"controllers": [controller(7, "10.0.0.5:60000", json!({"1": "a", "2": "a"}))]}),
                "controllers.7.doors.2",
                "named twice",
            ),
            (json!({"controllers": [good()], "timeout_ms": 10}), "timeout_ms", "50 to 5000"),
            (json!({"controllers": [good()], "attempts": 0}), "attempts", "1 to 10"),
            (
                json!({"controllers": [good()], "timeout_ms": 5_000, "attempts": 10}),
                "attempts",
                "at most 5000 ms",
            ),
            (
                json!({"controllers": [good()], "timeout_ms": 2_501, "attempts": 2}),
                "attempts",
                "at most 5000 ms",
            ),
            (json!({"controllers": [good()], "time_zone": "Mars/Olympus"}), "time_zone", "IANA"),
            (json!({"controllers": [good()], "listen": "0.0.0.0:60001"}), "listen", "this machine's own"),
            (json!({"controllers": [good()], "listen": "[::1]:60001"}), "uhppote", "IPv4"),
        ] {
            let error = Config::read(&config).unwrap_err();
            assert_eq!(error.key, key, "{error}");
            assert!(error.problem.contains(problem), "{error}");
        }
    }
}
