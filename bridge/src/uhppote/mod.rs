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

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::tz::TimeZone;
use kernel::{Ctx, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::config::Config;
use self::panel::Panel;
use self::push::Ear;
use self::transport::Patience;
use crate::card::{Card, CardFormat};
use crate::connector::{
    Accepted, AccessPointAddress, AckLevel, Capacity, ConfigError, Connector, ConnectorError, ConnectorKind,
    CredentialKind, Descriptor, DesiredCredential, EventCursor, EventFeed, EventPage, Health, ListCursor,
    ListPage, Provenance, ReadBack, Refusal, RevocationClass, Rights, Unit, Verb, Version, VersionFence,
    Want, WorstCase,
};

/// The line in the registry.
pub const KIND: ConnectorKind =
    ConnectorKind { name: "uhppote", describe: || describe(Patience::default(), true), open };

/// All UHPPOTE controllers of one door system.
#[derive(Debug)]
pub struct Uhppote {
    ctx: Ctx,
    descriptor: Descriptor,
    panels: Vec<Panel>,
    time_zone: TimeZone,
    ear: Option<Ear>,
    fence: VersionFence,
}

fn open(
    ctx: &Ctx,
    config: &serde_json::Value,
    secret: Option<Secret<String>>,
) -> Result<Arc<dyn Connector>, ConfigError> {
    if secret.is_some() {
        let problem =
            "these controllers know no secret; they are protected by their network alone: remove it";
        return Err(ConfigError::new("secret", problem));
    }
    Ok(Arc::new(Uhppote::new(ctx, Config::read(config)?)))
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
        verb_limit: patience.verb(),
    }
}

impl Uhppote {
    fn new(ctx: &Ctx, config: Config) -> Self {
        let panels = config.controllers.into_iter().map(|controller| Panel::new(controller, config.patience));
        Self {
            ctx: ctx.clone(),
            descriptor: describe(config.patience, config.listen.is_some()),
            panels: panels.collect(),
            time_zone: config.time_zone,
            ear: config.listen.map(Ear::new),
            fence: VersionFence::default(),
        }
    }

    /// The same with every controller at once; all that can be done is done before an error is given. The doors
    /// of those that said that they did it.
    async fn everywhere<'a, F>(&'a self, act: impl Fn(&'a Panel) -> F) -> Result<Accepted, ConnectorError>
    where
        F: Future<Output = Result<bool, ConnectorError>>,
    {
        let acted = join_all(self.panels.iter().map(act)).await;
        let said = self.panels.iter().zip(&acted).filter(|(_, acted)| matches!(acted, Ok(true)));
        let said = said.flat_map(|(panel, _)| panel.points()).cloned().collect();
        acted.into_iter().filter_map(Result::err).reduce(ConnectorError::joined).map_or(Ok(said), Err)
    }

    async fn grant(&self, desired: &DesiredCredential, rights: &Rights) -> Result<Accepted, ConnectorError> {
        self.check(desired)?;
        let number = number_of(&desired.card)?;
        let pass = self.fence.admit_grant(desired.version)?;
        let stands = || pass.stands();
        let done = self.everywhere(|panel| panel.grant(&desired.card, number, rights, &stands)).await;
        // Overtaken while we spoke: whatever else happened no longer matters.
        pass.confirm()?;
        done
    }

    fn every_point(&self) -> impl Iterator<Item = &AccessPointAddress> {
        self.panels.iter().flat_map(Panel::points)
    }
}

#[async_trait]
impl Connector for Uhppote {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn access_points(&self) -> Vec<AccessPointAddress> {
        self.every_point().cloned().collect()
    }

    fn units(&self) -> BTreeMap<AccessPointAddress, Unit> {
        self.panels.iter().flat_map(Panel::units).collect()
    }

    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        let Want::Present(rights) = &desired.want else { return Ok(()) };
        if desired.card.format() == CardFormat::Native {
            let because = "a native number is what a sweep found, it cannot be granted".to_owned();
            return Err(Refusal::CardDoesNotFit { card: desired.card, because });
        }
        number_of(&desired.card)?;
        let known: BTreeSet<_> = self.every_point().collect();
        if let Some(unknown) = rights.access.keys().find(|point| !known.contains(point)) {
            return Err(Refusal::UnknownAccessPoint(unknown.clone()));
        }
        panel::check(rights)
    }

    async fn apply(&self, desired: &DesiredCredential) -> Result<Accepted, ConnectorError> {
        match &desired.want {
            Want::Absent => self.revoke(&desired.card, Some(desired.version)).await,
            Want::Present(rights) => self.grant(desired, rights).await,
        }
    }

    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<Accepted, ConnectorError> {
        let pass = version.map(|version| self.fence.admit_revocation(version)).transpose()?;
        let Ok(number) = number::of_card(card) else { return Ok(Accepted::new()) };
        // A newer wish may come while we speak: what it puts must not be taken away.
        let stands = || pass.is_none_or(|pass| pass.stands());
        let done = self.everywhere(|panel| panel.revoke(number, &stands)).await;
        pass.map_or(Ok(()), |pass| pass.confirm())?;
        done
    }

    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError> {
        let Ok(number) = number::of_card(card) else {
            return Ok(self.panels.iter().map(Panel::absent).fold(ReadBack::default(), ReadBack::merged));
        };
        let read = join_all(self.panels.iter().map(|panel| panel.read_back(number))).await;
        let (seen, failed) = gathered(&self.panels, read)?;
        let unread = failed.into_iter().map(|(panel, error)| panel.unread(&error));
        Ok(seen.into_iter().map(|(_, seen)| seen).chain(unread).fold(ReadBack::default(), ReadBack::merged))
    }

    async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError> {
        let from: BTreeMap<u32, u32> = match cursor {
            Some(cursor) => parsed(&cursor.0)?,
            None => self.panels.iter().map(|panel| (panel.serial(), 1)).collect(),
        };
        let open: Vec<&Panel> =
            self.panels.iter().filter(|panel| from.contains_key(&panel.serial())).collect();
        let read = join_all(open.iter().map(|panel| panel.list(from[&panel.serial()]))).await;
        let (pages, failed) = gathered(open, read)?;
        let mut page = ListPage::default();
        let mut next = BTreeMap::new();
        for (panel, slots) in pages {
            page.listed.extend(slots.listed);
            next.extend(slots.next.map(|slot| (panel.serial(), slot)));
        }
        page.unread = failed.into_iter().flat_map(|(panel, _)| panel.points()).cloned().collect();
        page.next = (!next.is_empty()).then(|| ListCursor(written(&next)));
        Ok(page)
    }

    async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError> {
        let mut positions: BTreeMap<u32, events::Position> = match cursor {
            Some(cursor) => parsed(&cursor.0)?,
            None => BTreeMap::new(),
        };
        let read =
            join_all(self.panels.iter().map(|panel| panel.events(positions.get(&panel.serial()).copied())));
        let (told, failed) = gathered(&self.panels, read.await)?;
        let unread = failed.into_iter().flat_map(|(panel, _)| panel.points()).cloned().collect();
        let (mut events, mut gaps, mut more) = (Vec::new(), Vec::new(), false);
        for (panel, told) in told {
            events.extend(told.events.iter().map(|event| panel.normalised(event, &self.time_zone)));
            gaps.extend(told.gaps);
            more |= told.more;
            match told.position {
                Some(position) => positions.insert(panel.serial(), position),
                None => positions.remove(&panel.serial()),
            };
        }
        Ok(EventPage { events, next: EventCursor(written(&positions)), more, gaps, unread })
    }

    async fn hinted(&self) {
        match &self.ear {
            Some(ear) => ear.hinted(&self.panels.iter().map(Panel::wire).collect::<Vec<_>>()).await,
            None => std::future::pending().await,
        }
    }

    async fn health(&self) -> Health {
        let local = self.ctx.now().to_jiff().map(|now| now.to_zoned(self.time_zone.clone()).datetime());
        let ear = self.ear.as_ref().and_then(Ear::address);
        Health { units: join_all(self.panels.iter().map(|panel| panel.health(local, ear))).await }
    }
}

fn number_of(card: &Card) -> Result<u32, Refusal> {
    number::of_card(card).map_err(|because| Refusal::CardDoesNotFit { card: *card, because })
}

type Parted<'a, T> = (Vec<(&'a Panel, T)>, Vec<(&'a Panel, ConnectorError)>);

/// What was read, and which controllers could not be. An error only when nothing was read of anybody.
fn gathered<'a, T>(
    panels: impl IntoIterator<Item = &'a Panel>,
    read: Vec<Result<T, ConnectorError>>,
) -> Result<Parted<'a, T>, ConnectorError> {
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    for (panel, read) in panels.into_iter().zip(read) {
        match read {
            Ok(read) => seen.push((panel, read)),
            Err(error) => failed.push((panel, error)),
        }
    }
    if seen.is_empty()
        && let Some(error) = failed.iter().map(|(_, error)| error.clone()).reduce(ConnectorError::joined)
    {
        return Err(error);
    }
    Ok((seen, failed))
}

fn parsed<T: DeserializeOwned>(cursor: &str) -> Result<T, Refusal> {
    serde_json::from_str(cursor).map_err(|_| Refusal::Cursor)
}

fn written<T: Serialize>(positions: &BTreeMap<u32, T>) -> String {
    serde_json::to_string(positions).expect("numbers and dates are always JSON")
}
