//! UHPPOTE UT0311-L0x controllers: cheap networked panels for one, two or four doors, over UDP.
//!
//! The panel decides alone, from its own list (revocation class R1): what we want must be on that list,
//! and what we no longer want must be off it. The protocol has neither authentication nor encryption, so
//! controllers belong on a network of their own, with us as the only other guest.
//!
//! What this deliberately is not: it sets no clocks, no door modes, no time profiles and no passcodes, and
//! it opens no doors. It reports what weakens our promise ([`Connector::health`]).
//!
//! - [`packet`]: the 64 bytes. [`message`]: each request with its reply.
//! - `transport`: asking one controller. `number`: how it counts cards.
//! - `panel`: what one controller is told and holds. `events`: its log. `push`: its hints.
//!
//! Here all controllers of a door system are put together.

mod config;
mod events;
pub mod message;
mod number;
pub mod packet;
mod panel;
mod push;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::tz::TimeZone;
use kernel::Ctx;

use self::config::Config;
use self::panel::Panel;
use self::push::Ear;
use self::transport::{PATIENCE, verb_limit};
use crate::card::{Card, CardFormat};
use crate::connector::fleet::Fleet;
use crate::connector::lanes::Patience;
use crate::connector::{
    Accepted, AccessPointAddress, AckLevel, Capacity, ConfigError, Connector, ConnectorError, ConnectorKind,
    CredentialKind, Descriptor, DesiredCredential, DoorEvent, EventCursor, EventFeed, EventPage, Health,
    ListCursor, ListPage, Opening, Provenance, ReadBack, Refusal, RevocationClass, Unit, Verb, Version, Want,
    WorstCase,
};

/// The line in the registry.
pub const KIND: ConnectorKind = ConnectorKind { name: "uhppote", describe: described, open };

/// All UHPPOTE controllers of one door system.
#[derive(Debug)]
pub struct Uhppote {
    ctx: Ctx,
    descriptor: Descriptor,
    fleet: Fleet<Panel>,
    time_zone: TimeZone,
    ear: Option<Ear>,
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Connector>, ConfigError> {
    if opening.secret.is_some() {
        let problem =
            "these controllers know no secret; they are protected by their network alone: remove it";
        return Err(ConfigError::new("secret", problem));
    }
    Ok(Arc::new(Uhppote::new(opening.ctx, Config::read(opening.config)?)))
}

fn described(config: &serde_json::Value) -> Descriptor {
    let read = Config::read(config).map(|config| (config.patience, config.listen.is_some()));
    let (patience, push) = read.unwrap_or((PATIENCE, true));
    describe(patience, push)
}

/// `push`: whether controllers are told where to push to.
fn describe(patience: Patience, push: bool) -> Descriptor {
    Descriptor {
        kind: "uhppote",
        credentials: &[CredentialKind::Card, CredentialKind::Fob],
        card_formats: &[CardFormat::H10301],
        verbs: &[Verb::Apply, Verb::Revoke, Verb::ReadBack, Verb::List, Verb::Events, Verb::Health],
        revocation: RevocationClass::R1,
        worst_case: WorstCase::UntilReachable,
        acks: &[AckLevel::Recorded, AckLevel::Accepted, AckLevel::ReadBack, AckLevel::ObservedDenial],
        read_back: true,
        keeps_days: true,
        events: EventFeed { push, pull: true, cursor: "event number of each controller" },
        capacity: Capacity { cards: None, time_profiles: Some(253), blocklist: 0, offline_cache: 0 },
        provenance: Provenance::PublicCode,
        versions: "UT0311-L01/L02/L04 protocol as described by uhppoted 0.9.1.1, events of firmware 6.62 included",
        tested_against: "contract-tested against PyPI uhppoted 0.9.1.1 and our simulator; not device-tested",
        limits: &[
            "The protocol has no authentication and no encryption: keep controllers on a network of their own.",
            "A supervisor passcode opens its door past every list and cannot be read back: set or clear them when taking a controller over.",
            "Validity is whole days in the controller's local time: an end within a day is a deletion by us at that hour, which needs the controller to be reachable then.",
            "A door set to normally open stays unlocked whatever the list says: health reports it.",
            "Whether a time profile exists on a controller is not checked: a card with an unknown profile opens nothing.",
        ],
        bypasses: &["a supervisor passcode"],
        verb_limit: verb_limit(patience),
    }
}

/// What a controller pushed, in the words of the contract: the door of the fuzz target `uhppote_packet`. To the
/// connector a pushed event is a hint and nothing more.
#[doc(hidden)]
#[must_use]
pub fn pushed(
    datagram: &[u8],
    doors: &BTreeMap<u8, AccessPointAddress>,
    time_zone: &TimeZone,
) -> Option<DoorEvent> {
    let (serial, event) = message::pushed_event(datagram)?;
    Some(events::normalised(serial, &event, doors, time_zone))
}

impl Uhppote {
    fn new(ctx: &Ctx, config: Config) -> Self {
        let panel = |controller| Panel::new(controller, config.patience, config.time_zone.clone());
        Self {
            ctx: ctx.clone(),
            descriptor: describe(config.patience, config.listen.is_some()),
            fleet: Fleet::new(config.controllers.into_iter().map(panel).collect()),
            time_zone: config.time_zone,
            ear: config.listen.map(Ear::new),
        }
    }
}

#[async_trait]
impl Connector for Uhppote {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn access_points(&self) -> Vec<AccessPointAddress> {
        self.fleet.points()
    }

    fn units(&self) -> BTreeMap<AccessPointAddress, Unit> {
        self.fleet.parts().iter().flat_map(Panel::units).collect()
    }

    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        let Want::Present(rights) = &desired.want else { return Ok(()) };
        if desired.card.format() == CardFormat::Native {
            let because = "a native number is what a sweep found, it cannot be granted".to_owned();
            return Err(Refusal::CardDoesNotFit { card: desired.card, because });
        }
        number_of(&desired.card)?;
        self.fleet.check_points(rights)?;
        panel::check(rights)
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
            Some(ear) => ear.hinted(&self.fleet.parts().iter().map(Panel::wire).collect::<Vec<_>>()).await,
            None => std::future::pending().await,
        }
    }

    async fn health(&self) -> Health {
        let local = self.ctx.now().to_jiff().map(|now| now.to_zoned(self.time_zone.clone()).datetime());
        let ear = self.ear.as_ref().and_then(Ear::address);
        let asked = self.fleet.parts().iter().map(|panel| panel.health(local, ear));
        Health { units: join_all(asked).await }
    }
}

fn number_of(card: &Card) -> Result<u32, Refusal> {
    number::of_card(card).map_err(|because| Refusal::CardDoesNotFit { card: *card, because })
}
