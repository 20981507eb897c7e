//! All that a door system holds, put together from the pages of a sweep.

use std::collections::{BTreeMap, BTreeSet};

use super::{AccessPointAddress, Connector, ConnectorError, ReadBack, Reading};
use crate::card::Card;

/// All that a door system holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every card that any part holds, with a reading for every access point of the system: absent where
    /// a part was swept and does not hold it, unread where the part could not be swept.
    pub cards: BTreeMap<Card, ReadBack>,
    /// The access points whose part could not be swept. A card that is not in [`Inventory::cards`] may
    /// still be there.
    pub unread: BTreeSet<AccessPointAddress>,
}

/// Sweeps a door system from the first page to the last. A card that changes meanwhile may be missed or
/// seen as it was: the next sweep tells.
///
/// # Errors
/// As [`Connector::list`]; [`ConnectorError::Protocol`] when the pages do not come to an end.
pub async fn take_inventory(connector: &dyn Connector) -> Result<Inventory, ConnectorError> {
    let mut inventory = Inventory::default();
    let mut cursor = None;
    loop {
        let page = connector.list(cursor.as_ref()).await?;
        inventory.unread.extend(page.unread);
        for listed in page.listed {
            let seen = inventory.cards.remove(&listed.card).unwrap_or_default();
            inventory.cards.insert(listed.card, seen.merged(listed.seen));
        }
        if page.next.is_none() {
            return Ok(inventory.completed(&connector.access_points()));
        }
        if page.next == cursor {
            let detail = "the sweep stands still".to_owned();
            return Err(ConnectorError::Protocol { missing: connector.access_points(), detail });
        }
        cursor = page.next;
    }
}

impl Inventory {
    /// What was seen of a card that is not in [`Inventory::cards`], at these access points.
    #[must_use]
    pub fn without(&self, points: &[AccessPointAddress]) -> ReadBack {
        let points = points.iter().map(|point| (point.clone(), self.unlisted(point)));
        ReadBack { points: points.collect(), ..ReadBack::default() }
    }

    fn unlisted(&self, point: &AccessPointAddress) -> Reading {
        match self.unread.contains(point) {
            true => Reading::Unread("its part could not be swept".into()),
            false => Reading::Absent,
        }
    }

    fn completed(mut self, points: &[AccessPointAddress]) -> Self {
        let unlisted = self.without(points);
        for seen in self.cards.values_mut() {
            let listed = std::mem::take(seen);
            *seen = unlisted.clone().merged(listed);
        }
        self
    }
}
