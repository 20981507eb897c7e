//! What a device is made of.

use std::sync::Arc;

use jiff::SignedDuration;
use jiff::tz::Offset;
use rustls::ServerConfig;

use super::decision::Contingency;
use super::store::Dependents;
use crate::Now;

/// What a device is made of.
#[derive(Clone)]
pub struct DeviceOptions {
    /// Its number. Real ones are larger than a floating-point number holds.
    pub device_id: i64,
    /// Its serial number.
    pub serial: String,
    /// Its firmware.
    pub version: String,
    /// The login that it takes, until it is changed over the wire.
    pub login: String,
    /// The password that goes with it.
    pub password: String,
    /// The clock behind the device's own, which can be set over the wire.
    pub now: Now,
    /// The device's local time, in which it thinks and writes.
    pub offset: Offset,
    /// How many portals it leaves the factory with.
    pub portals: u8,
    /// Room for cards.
    pub cards: usize,
    /// Room for access logs; the oldest give way.
    pub logs: usize,
    /// How long a session lives from its login.
    pub session: SignedDuration,
    /// Who opens a door while the server is not there.
    pub contingency: Contingency,
    /// What becomes of the rows that refer to a row which is destroyed.
    pub dependents: Dependents,
    /// Settings that its firmware does not know, by section and key. Firmware 5.13.2 was seen to know of
    /// `online_client` neither `contingency_enabled` nor `alive_interval`.
    pub unknown_settings: Vec<(&'static str, &'static str)>,
    /// What it presents and speaks over HTTPS; without it, HTTP. See [`Device::present`](super::Device::present).
    pub tls: Option<Arc<ServerConfig>>,
}

impl DeviceOptions {
    /// One portal, `admin` with the password `admin`, the time of São Paulo, room for 10,000 cards and as many access
    /// logs, sessions of an hour, firmware that knows every setting, and HTTP.
    #[must_use]
    pub fn new(device_id: i64, now: Now) -> Self {
        Self {
            device_id,
            serial: "0A0200/000001".to_owned(),
            version: "6.13.1".to_owned(),
            login: "admin".to_owned(),
            password: "admin".to_owned(),
            now,
            offset: jiff::tz::offset(-3),
            portals: 1,
            cards: 10_000,
            logs: 10_000,
            session: SignedDuration::from_hours(1),
            contingency: Contingency::default(),
            dependents: Dependents::default(),
            unknown_settings: Vec::new(),
            tls: None,
        }
    }
}
