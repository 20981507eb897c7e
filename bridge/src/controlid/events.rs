//! Reading a device's access log by the ids of its rows, and what its codes mean.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::number;
use super::object::Log;
use super::rights::wall_clock;
use super::transport::Turn;
use crate::connector::fleet::Told;
use crate::connector::lanes::Unanswered;
use crate::connector::{AccessPointAddress, DeniedReason, DoorEvent, EventGap, EventKind};

/// How many events of one device a page brings at most.
const PAGE: usize = 64;

/// How far one device's log has been read.
///
/// The time of the last row tells whether the numbering is still the same: a device that was reset or replaced counts
/// from 1 again, and its row 17 is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) id: i64,
    pub(super) time: i64,
}

/// Reads up to a page of events after a position; `None` begins at the oldest that is kept.
pub(super) async fn read(
    turn: &Turn<'_>,
    device_id: i64,
    position: Option<Position>,
    portals: &BTreeMap<i64, AccessPointAddress>,
    time_zone: &TimeZone,
) -> Result<Told<Position>, Unanswered> {
    // The row that was read last comes with what follows it, as long as it is kept; one more tells whether to go on.
    let mut rows: Vec<Log> = turn.page(position.map(|last| last.id), PAGE + 2, |row: &Log| row.id).await?;
    let mut gaps = Vec::new();
    let unit = device_id.to_string();
    if let Some(last) = position {
        match rows.first() {
            Some(first) if first.id == last.id && first.time == last.time => drop(rows.remove(0)),
            found => {
                // Nothing, or another row, where ours was: what is the oldest?
                let is_another = found.is_some_and(|first| first.id == last.id);
                let oldest: Vec<Log> = turn.page(None, PAGE + 1, |row: &Log| row.id).await?;
                match oldest.first() {
                    // Newer rows pushed ours out, as is right in one numbering.
                    Some(oldest) if !is_another && oldest.id > last.id => {
                        let (from, to) = (last.id.saturating_add(1), oldest.id.saturating_sub(1));
                        gaps.extend((from <= to).then(|| gap(&unit, from, Some(to))));
                    }
                    // The numbering began anew: what stood between is lost, and nobody can say how much.
                    _ => {
                        gaps.push(gap(&unit, last.id.saturating_add(1), None));
                        rows = oldest;
                    }
                }
            }
        }
    }
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let read = rows.last().map(|row| Position { id: row.id, time: row.time });
    let began_anew = gaps.iter().any(|gap| gap.to.is_none());
    let position = read.or(position.filter(|_| !began_anew));
    let events = rows.iter().map(|row| normalised(&unit, row, portals, time_zone)).collect();
    Ok(Told { events, position, gaps, more })
}

fn gap(unit: &str, from: i64, to: Option<i64>) -> EventGap {
    let number = |id: i64| u64::try_from(id).unwrap_or(0);
    EventGap { unit: unit.to_owned(), from: number(from), to: to.map(number) }
}

/// A row in the words of the contract.
pub(super) fn normalised(
    unit: &str,
    row: &Log,
    portals: &BTreeMap<i64, AccessPointAddress>,
    time_zone: &TimeZone,
) -> DoorEvent {
    let (kind, words) = meaning(row.event);
    let portal = row.portal_id.unwrap_or(0);
    DoorEvent {
        // The time keeps ids apart when a device begins to count anew.
        id: format!("{unit}/{}/{}", row.id, row.time),
        index: u64::try_from(row.id).unwrap_or(0),
        kind,
        at: wall_clock(row.time)
            .and_then(|at| time_zone.to_ambiguous_zoned(at).compatible().ok())
            .map(|at| at.timestamp().into()),
        access_point: portals.get(&portal).cloned(),
        // A portal leads one way; who leaves by the same door does so by another portal.
        direction: None,
        card: number::to_card(row.card_value),
        vendor: format!("event {} ({words}) portal {portal}", row.event),
    }
}

/// What an event means (vendor's access API, "access_logs").
fn meaning(event: i64) -> (EventKind, &'static str) {
    use DeniedReason::{CredentialNotFound, Other};
    use EventKind::{AccessGranted, Denied};
    match event {
        1 => (Denied(Other), "invalid device"),
        2 => (Denied(Other), "invalid rule"),
        3 => (Denied(CredentialNotFound), "not identified"),
        5 => (Denied(Other), "timed out"),
        // Somebody was identified: a card that stands on the list is refused so outside its hours, or by us.
        6 => (Denied(Other), "denied"),
        7 => (AccessGranted, "granted"),
        9 => (Denied(Other), "not an administrator"),
        10 => (AccessGranted, "opened by API"),
        11 => (AccessGranted, "push button"),
        12 => (AccessGranted, "opened on the device's page"),
        15 => (AccessGranted, "intercom"),
        4 => (EventKind::Other, "pending"),
        8 => (EventKind::Other, "access pending"),
        13 => (EventKind::Other, "gave up"),
        14 => (EventKind::Other, "no answer"),
        _ => (EventKind::Other, "other"),
    }
}

#[cfg(test)]
mod tests {
    use kernel::Timestamp;

    use super::*;

    fn row(event: i64) -> Log {
        Log { id: 17, time: 1_763_779_500, event, portal_id: Some(1), card_value: 123 << 32 | 45_678 }
    }

    fn normal(row: &Log) -> DoorEvent {
        let helsinki = TimeZone::get("Europe/Helsinki").unwrap_or(TimeZone::fixed(jiff::tz::offset(2)));
        normalised("77", row, &[(1, "hq/main".into())].into(), &helsinki)
    }

    #[test]
    fn a_row_names_card_place_and_time() {
        assert_eq!(
            normal(&row(7)),
            DoorEvent {
                id: "77/17/1763779500".into(),
                index: 17,
                kind: EventKind::AccessGranted,
                // The device's wall clock says 02:45.
                at: Timestamp::parse("2025-11-22T00:45:00Z"),
                access_point: Some("hq/main".into()),
                direction: None,
                card: Some("h10301:123:45678".parse().unwrap()),
                vendor: "event 7 (granted) portal 1".into(),
            }
        );
        let bare = normal(&Log { portal_id: None, card_value: 0, ..row(11) });
        assert_eq!((bare.access_point, bare.card, bare.kind), (None, None, EventKind::AccessGranted));
    }

    #[test]
    fn codes_have_onvifs_words() {
        use DeniedReason::{CredentialNotFound, Other};
        for (event, kind) in [
            (3, EventKind::Denied(CredentialNotFound)),
            (6, EventKind::Denied(Other)),
            (1, EventKind::Denied(Other)),
            (7, EventKind::AccessGranted),
            (10, EventKind::AccessGranted),
            (13, EventKind::Other),
            (0, EventKind::Other),
            (i64::MAX, EventKind::Other),
        ] {
            assert_eq!(meaning(event).0, kind, "{event}");
        }
    }
}
