//! Several devices as one door system: every device that decides by itself is asked at once, all that can be done is
//! done before an error is given, and what could not be reached is named.
//!
//! A connector to devices says what one of them does ([`Part`]); the rules that hold between them are kept here, once.
//! What this is not: it is not needed by a system of one part, such as a cloud.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lanes::Stands;
use super::{
    Accepted, AccessPointAddress, ConnectorError, DoorEvent, EventCursor, EventGap, EventPage, ListCursor,
    ListPage, Listed, ReadBack, Reading, Refusal, Rights, Version, VersionFence,
};
use crate::card::Card;

/// One device that decides by itself.
#[async_trait]
pub(crate) trait Part: Send + Sync + fmt::Debug {
    /// How the device knows a card.
    type Number: Copy + Send + Sync;
    /// Where a sweep of its list stands.
    type Slot: Serialize + DeserializeOwned + Send + Sync;
    /// How far its events have been read.
    type Position: Serialize + DeserializeOwned + Send + Sync;

    /// Its name in cursors, unique and lasting.
    fn name(&self) -> String;

    /// The access points that it decides for.
    fn points(&self) -> Vec<AccessPointAddress>;

    /// Makes its list show the rights, as long as `stands`. Whether it said so.
    async fn grant(
        &self,
        card: &Card,
        number: Self::Number,
        rights: &Rights,
        stands: Stands<'_>,
    ) -> Result<bool, ConnectorError>;

    /// Takes the card off its list at once, and waits out a grant of it that is under way. Whether it said that it did:
    /// an absent card is none that it took off.
    async fn revoke(&self, number: Self::Number, stands: Stands<'_>) -> Result<bool, ConnectorError>;

    /// What its list holds for a card.
    async fn read_back(&self, number: Self::Number) -> Result<ReadBack, ConnectorError>;

    /// A page of its list. `None` begins.
    async fn list(&self, from: Option<&Self::Slot>) -> Result<Slots<Self::Slot>, ConnectorError>;

    /// A page of its events. `None` begins at the oldest that it keeps.
    async fn events(&self, after: Option<&Self::Position>) -> Result<Told<Self::Position>, ConnectorError>;

    /// The same at each of its access points.
    fn seen(&self, reading: impl Fn(&AccessPointAddress) -> Reading) -> ReadBack
    where
        Self: Sized,
    {
        let points = self.points().into_iter().map(|point| {
            let reading = reading(&point);
            (point, reading)
        });
        ReadBack { points: points.collect(), ..ReadBack::default() }
    }
}

/// A page of a device's list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slots<S> {
    pub(crate) listed: Vec<Listed>,
    pub(crate) next: Option<S>,
}

/// What a device has told since a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told<P> {
    pub(crate) events: Vec<DoorEvent>,
    pub(crate) position: Option<P>,
    pub(crate) gaps: Vec<EventGap>,
    pub(crate) more: bool,
}

/// All devices of one door system.
#[derive(Debug)]
pub(crate) struct Fleet<P> {
    parts: Vec<P>,
    fence: VersionFence,
}

impl<P: Part> Fleet<P> {
    pub(crate) fn new(parts: Vec<P>) -> Self {
        Self { parts, fence: VersionFence::default() }
    }

    pub(crate) fn parts(&self) -> &[P] {
        &self.parts
    }

    pub(crate) fn points(&self) -> Vec<AccessPointAddress> {
        self.parts.iter().flat_map(Part::points).collect()
    }

    /// An access point that no device has, if one is asked for.
    pub(crate) fn check_points(&self, rights: &Rights) -> Result<(), Refusal> {
        let known = self.points();
        match rights.access.keys().find(|point| !known.contains(point)) {
            Some(unknown) => Err(Refusal::UnknownAccessPoint(unknown.clone())),
            None => Ok(()),
        }
    }

    /// As [`Connector::apply`](super::Connector::apply) of what has been checked.
    pub(crate) async fn grant(
        &self,
        version: Version,
        card: &Card,
        number: P::Number,
        rights: &Rights,
    ) -> Result<Accepted, ConnectorError> {
        let pass = self.fence.admit_grant(version)?;
        let stands = || pass.stands();
        let granted = self.parts.iter().map(|part| part.grant(card, number, rights, &stands));
        let done = self.joined(join_all(granted).await);
        // Overtaken while we spoke: whatever else happened no longer matters.
        pass.confirm()?;
        done
    }

    /// As [`Connector::revoke`](super::Connector::revoke). `None` for a card that the devices cannot hold.
    pub(crate) async fn revoke(
        &self,
        version: Option<Version>,
        number: Option<P::Number>,
    ) -> Result<Accepted, ConnectorError> {
        let pass = version.map(|version| self.fence.admit_revocation(version)).transpose()?;
        let Some(number) = number else { return Ok(Accepted::new()) };
        // A newer wish may come while we speak: what it puts must not be taken away.
        let stands = || pass.is_none_or(|pass| pass.stands());
        let revoked = self.parts.iter().map(|part| part.revoke(number, &stands));
        let done = self.joined(join_all(revoked).await);
        pass.map_or(Ok(()), |pass| pass.confirm())?;
        done
    }

    /// The access points of those that said that they did it.
    fn joined(&self, acted: Vec<Result<bool, ConnectorError>>) -> Result<Accepted, ConnectorError> {
        let said = self.parts.iter().zip(&acted).filter(|(_, acted)| matches!(acted, Ok(true)));
        let said = said.flat_map(|(part, _)| part.points()).collect();
        acted.into_iter().filter_map(Result::err).reduce(ConnectorError::joined).map_or(Ok(said), Err)
    }

    /// As [`Connector::read_back`](super::Connector::read_back). `None` for a card that the devices cannot hold.
    pub(crate) async fn read_back(&self, number: Option<P::Number>) -> Result<ReadBack, ConnectorError> {
        let Some(number) = number else {
            let absent = self.parts.iter().map(|part| part.seen(|_| Reading::Absent));
            return Ok(absent.fold(ReadBack::default(), ReadBack::merged));
        };
        let read = join_all(self.parts.iter().map(|part| part.read_back(number))).await;
        let (seen, failed) = gathered(&self.parts, read)?;
        let unread =
            failed.into_iter().map(|(part, error)| part.seen(|_| Reading::Unread(error.to_string())));
        Ok(seen.into_iter().map(|(_, seen)| seen).chain(unread).fold(ReadBack::default(), ReadBack::merged))
    }

    /// As [`Connector::list`](super::Connector::list).
    pub(crate) async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError> {
        let from: Option<BTreeMap<String, P::Slot>> = cursor.map(|cursor| parsed(&cursor.0)).transpose()?;
        let is_open = |part: &&P| from.as_ref().is_none_or(|from| from.contains_key(&part.name()));
        let open: Vec<&P> = self.parts.iter().filter(is_open).collect();
        let slot = |part: &P| from.as_ref().and_then(|from| from.get(&part.name()));
        let read = join_all(open.iter().map(|part| part.list(slot(part)))).await;
        let (pages, failed) = match gathered(open.iter().copied(), read) {
            Ok(parted) => parted,
            Err(error) if cursor.is_none() => return Err(error),
            // Others were read to their end before: they stay read.
            Err(_) => {
                let unread = open.into_iter().flat_map(Part::points).collect();
                return Ok(ListPage { unread, ..ListPage::default() });
            }
        };
        let mut page = ListPage::default();
        let mut next = BTreeMap::new();
        for (part, slots) in pages {
            page.listed.extend(slots.listed);
            next.extend(slots.next.map(|slot| (part.name(), slot)));
        }
        page.unread = failed.into_iter().flat_map(|(part, _)| part.points()).collect();
        page.next = (!next.is_empty()).then(|| ListCursor(written(&next)));
        Ok(page)
    }

    /// As [`Connector::events`](super::Connector::events).
    pub(crate) async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError> {
        let mut positions: BTreeMap<String, P::Position> = match cursor {
            Some(cursor) => parsed(&cursor.0)?,
            None => BTreeMap::new(),
        };
        let read = join_all(self.parts.iter().map(|part| part.events(positions.get(&part.name())))).await;
        let (told, failed) = gathered(&self.parts, read)?;
        let mut unread = BTreeMap::new();
        for (part, error) in failed {
            unread.extend(part.points().into_iter().map(|point| (point, error.to_string())));
        }
        let (mut events, mut gaps, mut more) = (Vec::new(), Vec::new(), false);
        for (part, told) in told {
            events.extend(told.events);
            gaps.extend(told.gaps);
            more |= told.more;
            match told.position {
                Some(position) => positions.insert(part.name(), position),
                None => positions.remove(&part.name()),
            };
        }
        Ok(EventPage { events, next: EventCursor(written(&positions)), more, gaps, unread })
    }
}

type Parted<'a, P, T> = (Vec<(&'a P, T)>, Vec<(&'a P, ConnectorError)>);

/// What was read, and which devices could not be. An error only when nothing was read of anybody.
fn gathered<'a, P, T>(
    parts: impl IntoIterator<Item = &'a P>,
    read: Vec<Result<T, ConnectorError>>,
) -> Result<Parted<'a, P, T>, ConnectorError> {
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    for (part, read) in parts.into_iter().zip(read) {
        match read {
            Ok(read) => seen.push((part, read)),
            Err(error) => failed.push((part, error)),
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

fn written<T: Serialize>(positions: &BTreeMap<String, T>) -> String {
    serde_json::to_string(positions).expect("numbers and dates are always JSON")
}
