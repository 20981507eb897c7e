//! Reading a controller's events by their running numbers, and what its codes mean.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::message::{EventRecord, GetEvent, Kept, NEWEST, OLDEST};
use super::number;
use super::transport::Wire;
use crate::connector::lanes::{Lane, Unanswered};
use crate::connector::{AccessPointAddress, Alarm, DeniedReason, Direction, DoorEvent, EventGap, EventKind};

/// How many events of one controller a page brings at most.
const PAGE: usize = 64;

/// How far one controller's events have been read.
///
/// The time of the last one tells whether the numbering is still the same: a controller that was reset or
/// replaced counts from 1 again, and its number 17 is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) index: u32,
    pub(super) at: Option<DateTime>,
    /// There was nothing under that number, with events behind it: what was read last was a hole.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) hole: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What one controller has told since a position.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) events: Vec<EventRecord>,
    pub(super) position: Option<Position>,
    pub(super) gaps: Vec<EventGap>,
    pub(super) more: bool,
}

/// Reads up to a page of events after a position; `None` begins at the oldest that is kept.
pub(super) async fn read(wire: &Wire, position: Option<Position>) -> Result<Told, Unanswered> {
    let mut told = Told { events: Vec::new(), position, gaps: Vec::new(), more: false };
    let newest = match wire.ask(Lane::Grants, &GetEvent(NEWEST)).await? {
        Kept::Event(newest) if told.position == Some(Position::of(&newest)) => return Ok(told),
        Kept::Event(newest) => newest,
        Kept::Overwritten | Kept::Nothing => {
            told.begin_anew(wire);
            return Ok(told);
        }
    };
    let first = told.first(wire, newest.index).await?;
    let (start, until) = (told.position, Instant::now() + wire.patience().request());
    for index in first..=newest.index {
        match wire.ask(Lane::Grants, &GetEvent(index)).await {
            Ok(Kept::Event(event)) => told.hear(event),
            Ok(Kept::Nothing) => told.pass_over(wire, index),
            // Pushed out since we looked: the next page names the gap.
            Ok(Kept::Overwritten) if told.has_moved(start) => break,
            // Nothing was read, though there is something: whoever believed that this was all would take what is still
            // to be read for what happened later.
            Ok(Kept::Overwritten) => {
                let detail =
                    format!("{} has written over the event that was to be read first", wire.serial());
                return Err(Unanswered::Garbled(detail));
            }
            // What was read is not lost, what was not is still there.
            Err(_) if told.has_moved(start) => break,
            Err(unanswered) => return Err(unanswered),
        }
        // A slow controller gives a shorter page, so that the verb ends in time.
        if told.events.len() >= PAGE || Instant::now() >= until {
            break;
        }
    }
    let is_behind = told.position.is_some_and(|position| position.index < newest.index);
    told.more = is_behind && told.has_moved(start);
    Ok(told)
}

impl Position {
    fn of(event: &EventRecord) -> Self {
        Self { index: event.index, at: event.at, hole: false }
    }

    /// Whether what stands under its number is what was read.
    fn holds(self, kept: &Kept) -> bool {
        match kept {
            Kept::Event(event) => self == Self::of(event),
            Kept::Nothing => self.hole,
            Kept::Overwritten => false,
        }
    }
}

impl Told {
    /// The number to read first. Names what lies between it and the position, if anything does.
    async fn first(&mut self, wire: &Wire, newest: u32) -> Result<u32, Unanswered> {
        let kept = match self.position {
            Some(position) if position.index <= newest => {
                let kept = wire.ask(Lane::Grants, &GetEvent(position.index)).await?;
                if position.holds(&kept) {
                    return Ok(position.index.saturating_add(1));
                }
                kept
            }
            // What was read last, be it a hole, is above all that there is: the numbering began anew.
            _ => Kept::Nothing,
        };
        let Kept::Event(oldest) = wire.ask(Lane::Grants, &GetEvent(OLDEST)).await? else {
            let detail = format!("{} has a newest event and no oldest", wire.serial());
            return Err(Unanswered::Garbled(detail));
        };
        let next = self.position.map(|position| position.index.saturating_add(1));
        match (kept, next) {
            // Newer events pushed ours out, as is right in one numbering.
            (Kept::Overwritten, Some(next)) => {
                if next < oldest.index {
                    self.miss(wire, next, oldest.index - 1);
                }
                Ok(oldest.index.max(next))
            }
            _ => {
                self.begin_anew(wire);
                Ok(oldest.index)
            }
        }
    }

    /// The numbering began anew: what stood between is lost, and nobody can say how much.
    fn begin_anew(&mut self, wire: &Wire) {
        if let Some(position) = self.position.take() {
            let from = u64::from(position.index) + 1;
            self.gaps.push(EventGap { unit: wire.serial().to_string(), from, to: None });
        }
    }

    /// Numbers that follow each other are one gap.
    fn miss(&mut self, wire: &Wire, from: u32, to: u32) {
        let (unit, from, to) = (wire.serial().to_string(), u64::from(from), u64::from(to));
        match self.gaps.last_mut() {
            Some(last) if last.to == Some(from.saturating_sub(1)) => last.to = Some(to),
            _ => self.gaps.push(EventGap { unit, from, to: Some(to) }),
        }
    }

    /// Nothing under a number with others behind it: it was lost, and the next read goes on behind it.
    fn pass_over(&mut self, wire: &Wire, index: u32) {
        self.miss(wire, index, index);
        self.position = Some(Position { index, at: None, hole: true });
    }

    fn has_moved(&self, from: Option<Position>) -> bool {
        self.position != from
    }

    fn hear(&mut self, event: EventRecord) {
        self.position = Some(Position::of(&event));
        self.events.push(event);
    }
}

/// An event in the words of the contract.
pub(super) fn normalised(
    serial: u32,
    event: &EventRecord,
    doors: &BTreeMap<u8, AccessPointAddress>,
    time_zone: &TimeZone,
) -> DoorEvent {
    let (kind, words) = meaning(event);
    let shows_card = matches!(event.reason, SWIPE_GRANTED | DENIED_FIRST..=DENIED_LAST);
    let told_at = event.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let way = match event.direction {
        1 => " in",
        2 => " out",
        _ => "",
    };
    DoorEvent {
        // The time keeps ids apart when a controller begins to count anew.
        id: format!("{serial}/{}/{told_at}", event.index),
        index: u64::from(event.index),
        kind,
        at: event
            .at
            .and_then(|at| time_zone.to_ambiguous_zoned(at).compatible().ok())
            .map(|at| at.timestamp().into()),
        access_point: doors.get(&event.door).cloned(),
        direction: match event.direction {
            1 => Some(Direction::In),
            2 => Some(Direction::Out),
            _ => None,
        },
        card: number::to_card(event.card).filter(|_| shows_card),
        vendor: format!("type {} reason {} ({words}) door {}{way}", event.kind, event.reason, event.door),
    }
}

const SWIPE_GRANTED: u8 = 1;
const DENIED_FIRST: u8 = 5;
const DENIED_LAST: u8 = 18;

/// What a reason means. The codes are those that the uhppoted projects list; the type byte tells less.
fn meaning(event: &EventRecord) -> (EventKind, &'static str) {
    use Alarm::{Fire, ForcedOpen, HeldOpen, Tamper};
    use DeniedReason::{CredentialNotFound, InvalidPin, NotPermittedAtThisTime, Other, Unauthorized};
    use EventKind::{AccessGranted, Denied, DoorAlarm, DoorClosed, DoorOpened, Duress, Restarted};
    match event.reason {
        // The flag decides: a reason alone never lets somebody in.
        SWIPE_GRANTED if !event.granted => (Denied(Other), "swipe, not granted"),
        SWIPE_GRANTED => (AccessGranted, "swipe"),
        5 => (Denied(Other), "PC control"),
        6 => (Denied(Unauthorized), "no right"),
        7 => (Denied(InvalidPin), "wrong PIN"),
        8 => (Denied(Other), "anti-passback"),
        9 => (Denied(Other), "more cards"),
        10 => (Denied(Other), "first card"),
        11 => (Denied(Other), "door stays locked"),
        12 => (Denied(Other), "interlock"),
        13 => (Denied(Other), "limited times"),
        14 | 16 | 17 => (Denied(Other), "denied"),
        15 => (Denied(NotPermittedAtThisTime), "not at this time"),
        18 => (Denied(CredentialNotFound), "unknown card"),
        20 => (AccessGranted, "push button"),
        23 => (DoorOpened, "door open"),
        24 => (DoorClosed, "door closed"),
        25 => (AccessGranted, "supervisor passcode"),
        28 => (Restarted, "power on"),
        29 => (Restarted, "reset"),
        34 => (Duress, "threat"),
        37 => (DoorAlarm(HeldOpen), "open too long"),
        38 => (DoorAlarm(ForcedOpen), "forced open"),
        39 => (DoorAlarm(Fire), "fire"),
        40 => (DoorAlarm(Tamper), "forced close"),
        41 => (DoorAlarm(Tamper), "guard against theft"),
        42 => (DoorAlarm(Tamper), "24 hour zone"),
        43 => (DoorAlarm(Tamper), "emergency call"),
        44 | 45 => (AccessGranted, "remote open"),
        _ => (EventKind::Other, "other"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use kernel::Timestamp;

    use super::*;

    fn event(reason: u8, granted: bool) -> EventRecord {
        let at = Some(date(2026, 11, 22).at(2, 45, 0, 0));
        EventRecord { index: 17, kind: 1, granted, door: 1, direction: 1, card: 12_345_678, at, reason }
    }

    fn normal(event: &EventRecord) -> DoorEvent {
        let helsinki = TimeZone::get("Europe/Helsinki").unwrap_or(TimeZone::fixed(jiff::tz::offset(2)));
        normalised(405_419_896, event, &BTreeMap::from([(1, "hq/main".into())]), &helsinki)
    }

    #[test]
    fn a_swipe_names_card_place_and_time() {
        let event = normal(&event(1, true));
        assert_eq!(
            event,
            DoorEvent {
                id: "405419896/17/2026-11-22T02:45:00".into(),
                index: 17,
                kind: EventKind::AccessGranted,
                at: Timestamp::parse("2026-11-22T00:45:00Z"),
                access_point: Some("hq/main".into()),
                direction: Some(Direction::In),
                card: Some("h10301:123:45678".parse().unwrap()),
                vendor: "type 1 reason 1 (swipe) door 1 in".into(),
            }
        );
    }

    #[test]
    fn a_reader_on_the_way_out_is_told_from_one_on_the_way_in() {
        for (direction, expect) in [(1, Some(Direction::In)), (2, Some(Direction::Out)), (0, None), (3, None)]
        {
            let event = EventRecord { direction, ..event(1, true) };
            assert_eq!(normal(&event).direction, expect, "{direction}");
        }
    }

    #[test]
    fn reasons_have_onvifs_words() {
        use DeniedReason::*;
        for (reason, granted, kind, with_card) in [
            (1, true, EventKind::AccessGranted, true),
            (1, false, EventKind::Denied(Other), true),
            (5, false, EventKind::Denied(Other), true),
            (6, false, EventKind::Denied(Unauthorized), true),
            (7, false, EventKind::Denied(InvalidPin), true),
            (8, false, EventKind::Denied(Other), true),
            (15, false, EventKind::Denied(NotPermittedAtThisTime), true),
            (16, false, EventKind::Denied(Other), true),
            (18, false, EventKind::Denied(CredentialNotFound), true),
            (20, true, EventKind::AccessGranted, false),
            (23, true, EventKind::DoorOpened, false),
            (25, true, EventKind::AccessGranted, false),
            (28, false, EventKind::Restarted, false),
            (38, false, EventKind::DoorAlarm(Alarm::ForcedOpen), false),
            (44, true, EventKind::AccessGranted, false),
            (0, false, EventKind::Other, false),
            (255, true, EventKind::Other, false),
        ] {
            let event = normal(&event(reason, granted));
            assert_eq!(event.kind, kind, "{reason}");
            assert_eq!(event.card.is_some(), with_card, "{reason}");
        }
    }

    #[test]
    fn what_is_unknown_is_left_out_and_never_invented() {
        let event = EventRecord { at: None, door: 4, card: 0, ..event(18, false) };
        let event = normal(&event);
        assert_eq!((event.at, event.access_point, event.card), (None, None, None));
        assert_eq!(event.id, "405419896/17/-");
    }

    #[test]
    fn an_hour_that_the_clocks_skip_or_repeat_is_still_an_instant() {
        for local in [date(2026, 3, 29).at(3, 30, 0, 0), date(2026, 10, 25).at(3, 30, 0, 0)] {
            assert!(normal(&EventRecord { at: Some(local), ..event(1, true) }).at.is_some(), "{local}");
        }
    }

    /// A controller that answers for a number with a number, and with what kind of event stands there.
    async fn answering(kept: impl Fn(u32) -> (u32, u8) + Send + 'static) -> Wire {
        use super::super::message::Ask as _;
        use super::super::packet::Packet;
        use crate::connector::lanes::Patience;
        const SERIAL: u32 = 405_419_896;
        let socket = tokio::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let std::net::SocketAddr::V4(address) = socket.local_addr().unwrap() else { unreachable!() };
        tokio::spawn(async move {
            let mut request = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut request).await {
                let asked = u32::from_le_bytes([request[8], request[9], request[10], request[11]]);
                let (index, kind) = kept(asked);
                let mut packet = Packet::new(GetEvent(0).encode(SERIAL).operation(), SERIAL);
                packet.put_u32(8, index);
                packet.put_u8(12, kind);
                let _ = socket.send_to(packet.as_bytes(), from).await;
            }
        });
        let patience = Patience { reply: std::time::Duration::from_millis(500), attempts: 2 };
        Wire::new(SERIAL, address, patience)
    }

    /// What it writes for an event that later ones have overwritten.
    const OVERWRITTEN: u8 = 0xff;

    /// One whose log begins at 1.
    async fn up_to(newest: u32, kind: impl Fn(u32) -> u8 + Send + 'static) -> Wire {
        answering(move |asked| {
            let index = match asked {
                OLDEST => 1,
                NEWEST => newest,
                asked => asked,
            };
            (index, kind(index))
        })
        .await
    }

    /// One that lost events 4 to 199 of 200, and holds nothing under their numbers.
    async fn with_a_hole() -> Wire {
        up_to(200, |index| u8::from(matches!(index, 1..=3 | 200))).await
    }

    fn numbers(told: &Told) -> Vec<u32> {
        told.events.iter().map(|event| event.index).collect()
    }

    #[tokio::test]
    async fn a_hole_in_the_numbering_is_one_gap_named_once_and_does_not_hold_up_what_follows() {
        let wire = with_a_hole().await;
        let (mut position, mut heard, mut gaps) = (None, Vec::new(), Vec::new());
        for _ in 0..8 {
            let told = read(&wire, position).await.unwrap();
            heard.extend(told.events.iter().map(|event| event.index));
            gaps.extend(told.gaps.iter().map(|gap| (gap.from, gap.to)));
            position = told.position;
        }
        assert_eq!(heard, [1, 2, 3, 200]);
        let missed: u64 = gaps.iter().map(|(from, to)| to.unwrap() - from + 1).sum();
        assert_eq!((missed, gaps[0].0), (196, 4), "{gaps:?}");
        assert!(gaps.len() <= 3, "as few as a busy machine allows: {gaps:?}");
    }

    #[tokio::test]
    async fn a_position_in_a_hole_goes_on_behind_it() {
        let wire = with_a_hole().await;
        let in_it = Position { index: 100, at: None, hole: true };
        let told = read(&wire, Some(in_it)).await.unwrap();
        assert!(
            told.gaps.iter().all(|gap| gap.to.is_some()),
            "the numbering has not begun anew: {:?}",
            told.gaps
        );
        assert_eq!(told.gaps[0].from, 101);
    }

    #[tokio::test]
    async fn a_controller_that_began_anew_while_the_position_stood_in_a_hole_is_read_from_its_beginning() {
        let wire = up_to(20, |index| u8::from(index <= 20)).await;
        let in_a_hole = Position { index: 150, at: None, hole: true };
        let told = read(&wire, Some(in_a_hole)).await.unwrap();
        let gaps: Vec<_> = told.gaps.iter().map(|gap| (gap.from, gap.to)).collect();
        assert_eq!(gaps, [(151, None)]);
        assert_eq!((numbers(&told), told.more), ((1..=20).collect::<Vec<u32>>(), false));
    }

    #[tokio::test]
    async fn a_controller_that_tells_of_a_newest_event_and_no_oldest_was_not_read() {
        for kind in [0, OVERWRITTEN] {
            let wire = answering(move |asked| match asked {
                OLDEST => (0, kind),
                NEWEST => (20, 1),
                asked => (asked, 1),
            })
            .await;
            for position in [None, Some(Position { index: 30, at: None, hole: false })] {
                let told = read(&wire, position).await;
                assert!(matches!(told, Err(Unanswered::Garbled(_))), "{kind} after {position:?}: {told:?}");
            }
        }
    }

    #[tokio::test]
    async fn events_that_are_written_over_while_they_are_read_leave_something_to_read() {
        // It is there when it is asked for as the oldest, and gone when it is asked for by its number.
        let wire = answering(|asked| match asked {
            OLDEST => (1, 1),
            NEWEST => (20, 1),
            1 => (1, OVERWRITTEN),
            asked => (asked, 1),
        })
        .await;
        let told = read(&wire, None).await;
        assert!(matches!(told, Err(Unanswered::Garbled(_))), "{told:?}");
        let wire = up_to(20, |index| if index == 4 { OVERWRITTEN } else { 1 }).await;
        let told = read(&wire, None).await.unwrap();
        assert_eq!((numbers(&told), told.more), (vec![1, 2, 3], true));
    }
}
