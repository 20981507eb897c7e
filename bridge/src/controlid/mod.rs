//! Control iD access controllers (iDAccess, iDFlex, iDFace and their like): HTTP or HTTPS and JSON, by the vendor's
//! published access API.
//!
//! In standalone mode the device decides alone, from its own objects (revocation class R1): what we want must be among
//! them, and what we no longer want must not. In online mode it asks us at each swipe (class R0), and its objects are
//! kept all the same. Names of people do not go there: a holder is called by the number of the card.
//!
//! What this deliberately is not: it sets no clock and no time zones of others, it enrols no finger and no face, and it
//! opens no doors but in answer to a swipe. It reports what weakens our promise ([`Connector::health`]), and finds
//! cards that open while a device cannot ask (contingency cards).
//!
//! - `transport`: asking one device. `tls`: the way to it. `object`: its rows, and how one asks for them. `number`: how
//!   it counts cards.
//! - `rights`: what rows mean. `device`: what one device is told and holds. `events`: its log.
//! - `push`: the port at which devices reach us. `online`: what they ask there.
//!
//! Here all devices of a door system are put together.

mod config;
mod device;
mod events;
#[doc(hidden)]
pub mod fuzzing;
mod number;
mod object;
mod online;
mod push;
mod rights;
mod tls;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use kernel::Ctx;

use self::config::{Config, Outline};
use self::device::Device;
use self::online::Desk;
use self::push::Ear;
use self::transport::{PATIENCE, Wire, verb_limit};
use crate::card::{Card, CardFormat};
use crate::connector::fleet::Fleet;
use crate::connector::reminder::Reminder;
use crate::connector::{
    Accepted, Access, AccessPointAddress, AckLevel, Capacity, ConfigError, Connector, ConnectorError,
    ConnectorKind, CredentialKind, Decider, Descriptor, DesiredCredential, EventCursor, EventFeed, EventPage,
    Health, ListCursor, ListPage, Opening, Provenance, ReadBack, Refusal, RevocationClass, Rights, Unit,
    Verb, Version, Want, WorstCase,
};

/// The line in the registry.
pub const KIND: ConnectorKind = ConnectorKind { name: "controlid", describe: described, open };

/// The days that a device can count: of 0 it takes no notice, and what it does before 1970 nobody says.
const FIRST_DAY: Date = date(1970, 1, 2);
const LAST_DAY: Date = date(2099, 12, 31);

/// All Control iD devices of one door system.
#[derive(Debug)]
pub struct ControlId {
    ctx: Ctx,
    descriptor: Descriptor,
    fleet: Fleet<Device>,
    time_zone: TimeZone,
    ear: Option<Ear>,
    /// In standalone mode: when devices are next asked whether they decide by themselves.
    reminder: Reminder,
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Connector>, ConfigError> {
    let Opening { ctx, config, secret, decider } = opening;
    Ok(Arc::new(ControlId::new(ctx, Config::read(config, secret)?, decider)))
}

/// What a customer must know of the way to devices, of any mode, and of one of them.
macro_rules! limits {
    ($way:expr, $($of_mode:literal),+ $(,)?) => { &[
        $way,
        "Only 26-bit cards (h10301): the number of another format could be taken for one of these.",
        "Faces, fingers, QR codes and UHF tags of a user that somebody else made are not read: a card of such a user is a finding, its other ways in are not.",
        "Rules on areas and scheduled unlocks are not read.",
        "Validity is whole days in the device's local time: an end within a day is a deletion by us at that hour, which needs the device to be reachable then.",
        $($of_mode),+
    ] };
}

macro_rules! standalone {
    ($way:expr) => { limits![
        $way,
        "Whether a time zone exists on a device is not checked beforehand: with one that it does not know a card is refused, or opens nothing.",
        "A time zone that leaves nothing out reads as always: a schedule must not be one.",
        "A device that is set to ask a server of its own (online mode) falls back to its lists: they are what is written here.",
    ] };
}

macro_rules! online {
    ($way:expr) => { limits![
        $way,
        "While a device cannot ask us it decides by its lists, unless it takes the setting that forbids this: health reports a device that does not. What such a device does then, nobody says.",
        "A device is known by its address alone: whoever has its network can ask in its name, and learn which card opens what.",
        "A card is one factor: an area whose policy asks for two stays shut.",
        "No schedules: which hours they are only devices know, and here it is we who decide.",
    ] };
}

const IN_CLEAR: &str = "HTTP without TLS: keep devices on a network of their own.";
const OVER_TLS: &str = "Devices call us over HTTP without TLS, with what happens at doors and in online mode with each question: keep them on a network of their own. We call them over TLS 1.2 or 1.3; whether a device's own firmware speaks it with us was not tested on any.";

const STANDALONE: [&[&str]; 2] = [standalone!(IN_CLEAR), standalone!(OVER_TLS)];
const ONLINE: [&[&str]; 2] = [online!(IN_CLEAR), online!(OVER_TLS)];

fn described(config: &serde_json::Value) -> Descriptor {
    let unread = Outline { patience: PATIENCE, push: true, online: false, in_clear: true };
    describe(&Outline::read(config).unwrap_or(unread))
}

/// At worst it is the same in both modes. Of a device that cannot be reached nobody knows whether it still asks us: it
/// may never have been told to, or be of a firmware that goes by its lists as soon as it cannot.
fn describe(outline: &Outline) -> Descriptor {
    let Outline { patience, push, online, in_clear } = *outline;
    let [clear, over_tls] = if online { ONLINE } else { STANDALONE };
    Descriptor {
        kind: "controlid",
        credentials: &[CredentialKind::Card, CredentialKind::Fob],
        card_formats: &[CardFormat::H10301],
        verbs: &[Verb::Apply, Verb::Revoke, Verb::ReadBack, Verb::List, Verb::Events, Verb::Health],
        revocation: if online { RevocationClass::R0 } else { RevocationClass::R1 },
        worst_case: WorstCase::UntilReachable,
        acks: match online {
            false => &[AckLevel::Recorded, AckLevel::Accepted, AckLevel::ReadBack, AckLevel::ObservedDenial],
            // Who is refused at the door was refused by us: that shows who decides, and nothing of a list.
            true => &[AckLevel::Recorded, AckLevel::Accepted, AckLevel::ReadBack],
        },
        read_back: true,
        keeps_days: true,
        events: EventFeed { push, pull: true, cursor: "access log id of each device" },
        capacity: Capacity { cards: None, time_profiles: Some(255), blocklist: 0, offline_cache: 0 },
        provenance: Provenance::PublicSpec,
        versions: "the vendor's access API as published in 2026; field notes of firmware 5.13 and 5.19",
        tested_against: "contract-tested against our simulator of the published API, which PyPI controlid-sdk 0.4.7 \
                         drives; not device-tested",
        limits: if in_clear { clear } else { over_tls },
        bypasses: match online {
            false => &["a face, finger or code that was enrolled by hand"],
            // While it asks, these are asked about as well, and refused.
            true => &["a face, finger or code that was enrolled by hand, while a device decides alone,"],
        },
        verb_limit: verb_limit(patience),
    }
}

impl ControlId {
    fn new(ctx: &Ctx, config: Config, decider: Arc<dyn Decider>) -> Self {
        let descriptor = describe(&config.outline());
        let Config { devices, login, password, listen, online, time_zone, patience } = config;
        let desk = online.map(|out_of_reach| Desk::new(&devices, decider, time_zone.clone(), out_of_reach));
        let known = devices.iter().map(|device| device.id).collect();
        let device =
            |device| Device::new(device, login.clone(), password.clone(), patience, time_zone.clone());
        Self {
            ctx: ctx.clone(),
            descriptor,
            fleet: Fleet::new(devices.into_iter().map(device).collect()),
            time_zone,
            ear: listen.map(|listen| Ear::new(listen, known, desk)),
            reminder: Reminder::default(),
        }
    }

    fn wires(&self) -> Vec<&Wire> {
        self.fleet.parts().iter().map(Device::wire).collect()
    }
}

#[async_trait]
impl Connector for ControlId {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn access_points(&self) -> Vec<AccessPointAddress> {
        self.fleet.points()
    }

    fn units(&self) -> BTreeMap<AccessPointAddress, Unit> {
        self.fleet.parts().iter().flat_map(Device::units).collect()
    }

    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        let Want::Present(rights) = &desired.want else { return Ok(()) };
        if desired.card.format() == CardFormat::Native {
            let because = "a native number is what a sweep found, it cannot be granted".to_owned();
            return Err(Refusal::CardDoesNotFit { card: desired.card, because });
        }
        number_of(&desired.card)?;
        self.fleet.check_points(rights)?;
        check(rights)
    }

    async fn apply(&self, desired: &DesiredCredential) -> Result<Accepted, ConnectorError> {
        match &desired.want {
            Want::Absent => self.revoke(&desired.card, Some(desired.version)).await,
            Want::Present(rights) => {
                self.check(desired)?;
                let number = number_of(&desired.card)?;
                self.fleet.grant(desired.version, &desired.card, number, rights).await
            }
        }
    }

    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<Accepted, ConnectorError> {
        self.fleet.revoke(version, number::of_card(card).ok()).await
    }

    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError> {
        self.fleet.read_back(number::of_card(card).ok()).await
    }

    async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError> {
        self.fleet.list(cursor).await
    }

    async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError> {
        self.fleet.events(cursor).await
    }

    async fn hinted(&self) {
        match &self.ear {
            Some(ear) => ear.hinted(&self.wires()).await,
            None => std::future::pending().await,
        }
    }

    async fn attend(&self) {
        match self.ear.as_ref().filter(|ear| ear.desk().is_some()) {
            Some(ear) => ear.attend(&self.wires()).await,
            None => self.reminder.remind(&self.wires(), online::let_go).await,
        }
    }

    async fn health(&self) -> Health {
        let local = self.ctx.now().to_jiff().map(|now| now.to_zoned(self.time_zone.clone()).datetime());
        let asked = self.fleet.parts().iter().map(|device| device.health(local, self.ear.as_ref()));
        Health { units: join_all(asked).await }
    }
}

fn number_of(card: &Card) -> Result<i64, Refusal> {
    number::of_card(card).map_err(|because| Refusal::CardDoesNotFit { card: *card, because })
}

/// Whether devices can hold these rights.
fn check(rights: &Rights) -> Result<(), Refusal> {
    for access in rights.access.values() {
        if let Access::TimeProfile(number @ 0) = access {
            return Err(Refusal::TimeProfile { number: *number, min: 1, max: u8::MAX });
        }
    }
    let (from, to) = (rights.valid_from.unwrap_or(FIRST_DAY), rights.valid_to.unwrap_or(LAST_DAY));
    if from < FIRST_DAY || from > to || to > LAST_DAY {
        return Err(Refusal::Dates { from, to, min: FIRST_DAY, max: LAST_DAY });
    }
    Ok(())
}
