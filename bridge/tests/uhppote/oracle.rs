//! Every byte we send and every field we read, against what PyPI `uhppoted` 0.9.1.1 says they are.
//!
//! `golden.txt` is what `oracle.py` printed. Where [`parts::python`] gives a Python, the table is made anew and must be
//! the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use bridge::uhppote::message::{
    Ask, CardRecord, CountCards, DeleteCard, Door, EventRecord, GetCard, GetCardAt, GetController, GetDoor,
    GetEvent, GetEventIndex, GetListener, GetStatus, GetTime, Kept, Listener, Mode, PutCard,
    RecordSpecialEvents, SetDoor, SetEventIndex, SetListener, SetPasscodes, SetTime, Slot, Status,
    pushed_event,
};
use jiff::civil::{Date, DateTime};

const GOLDEN: &str = include_str!("golden.txt");
const SERIAL: u32 = 405_419_896;

struct Line<'a> {
    name: &'a str,
    fields: Vec<&'a str>,
    bytes: Vec<u8>,
}

fn lines(kind: &str) -> impl Iterator<Item = Line<'static>> {
    GOLDEN.lines().filter_map(move |line| {
        let [of, name, fields, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("four words in {line}")
        };
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let bytes = (0..hex.len()).step_by(2).map(digit).collect();
        (of == kind).then(|| Line { name, fields: fields.split(',').collect(), bytes })
    })
}

impl Line<'_> {
    fn number<T: std::str::FromStr>(&self, at: usize) -> T {
        self.fields[at].parse().unwrap_or_else(|_| panic!("{} is a number", self.fields[at]))
    }

    /// `-` is none.
    fn maybe<T: std::str::FromStr>(&self, at: usize) -> Option<T> {
        (self.fields[at] != "-").then(|| self.number(at))
    }

    fn flag(&self, at: usize) -> bool {
        self.number::<u8>(at) == 1
    }

    fn mode(&self, at: usize) -> Mode {
        [Mode::NormallyOpen, Mode::NormallyClosed, Mode::Controlled][self.number::<usize>(at) - 1]
    }

    fn card(&self) -> CardRecord {
        CardRecord {
            number: self.number(0),
            from: self.maybe(1),
            to: self.maybe(2),
            doors: [3, 4, 5, 6].map(|at| self.number(at)),
            pin: self.number(7),
            first_card: self.number(8),
        }
    }

    fn event(&self, at: usize) -> EventRecord {
        EventRecord {
            index: self.number(at),
            kind: self.number(at + 1),
            granted: self.flag(at + 2),
            door: self.number(at + 3),
            direction: self.number(at + 4),
            card: self.number(at + 5),
            at: self.maybe(at + 6),
            reason: self.number(at + 7),
        }
    }

    fn decode<A: Ask>(&self, ask: &A) -> A::Reply {
        ask.decode(SERIAL, &self.bytes).unwrap_or_else(|| panic!("{} is a reply", self.name))
    }
}

/// A table that was cut short proves nothing of what is not in it.
#[test]
fn the_table_names_every_message() {
    let names = |kind: &str| lines(kind).map(|line| line.name).collect::<BTreeSet<_>>();
    let requests = BTreeSet::from([
        "put-card",
        "delete-card",
        "count-cards",
        "get-card",
        "get-card-at",
        "set-time",
        "get-time",
        "get-status",
        "get-event",
        "get-event-index",
        "set-event-index",
        "record-special-events",
        "set-listener",
        "get-listener",
        "get-controller",
        "get-door",
        "set-door",
        "set-passcodes",
    ]);
    assert_eq!(names("request"), requests);
    let replies: BTreeSet<_> = requests.into_iter().chain(["pushed-event"]).collect();
    assert_eq!(names("reply"), replies);
}

#[test]
fn requests_have_the_same_bytes() {
    for line in lines("request") {
        let ours = match line.name {
            "put-card" => {
                let (number, from, to): (u32, Date, Date) = (line.number(0), line.number(1), line.number(2));
                PutCard { number, from, to, doors: [3, 4, 5, 6].map(|at| line.number(at)) }.encode(SERIAL)
            }
            "delete-card" => DeleteCard(line.number(0)).encode(SERIAL),
            "count-cards" => CountCards.encode(SERIAL),
            "get-card" => GetCard(line.number(0)).encode(SERIAL),
            "get-card-at" => GetCardAt(line.number(0)).encode(SERIAL),
            "set-time" => SetTime(line.number(0)).encode(SERIAL),
            "get-time" => GetTime.encode(SERIAL),
            "get-status" => GetStatus.encode(SERIAL),
            "get-event" => GetEvent(line.number(0)).encode(SERIAL),
            "get-event-index" => GetEventIndex.encode(SERIAL),
            "set-event-index" => SetEventIndex(line.number(0)).encode(SERIAL),
            "record-special-events" => RecordSpecialEvents(line.flag(0)).encode(SERIAL),
            "set-listener" => {
                SetListener(Listener { address: line.number(0), interval: line.number(1) }).encode(SERIAL)
            }
            "get-listener" => GetListener.encode(SERIAL),
            "get-controller" => GetController.encode(SERIAL),
            "get-door" => GetDoor(line.number(0)).encode(SERIAL),
            "set-door" => {
                SetDoor { door: line.number(0), mode: line.mode(1), delay: line.number(2) }.encode(SERIAL)
            }
            "set-passcodes" => {
                SetPasscodes { door: line.number(0), passcodes: [1, 2, 3, 4].map(|at| line.number(at)) }
                    .encode(SERIAL)
            }
            unknown => panic!("unknown request {unknown}"),
        };
        assert_eq!(ours.as_bytes()[..], line.bytes, "{} {:?}", line.name, line.fields);
    }
}

#[test]
fn replies_have_the_same_fields() {
    for line in lines("reply") {
        match line.name {
            "put-card" => {
                let put = PutCard { number: 1, from: Date::MIN, to: Date::MAX, doors: [0; 4] };
                assert_eq!(line.decode(&put), line.flag(0));
            }
            "delete-card" => assert_eq!(line.decode(&DeleteCard(1)), line.flag(0)),
            "set-event-index" => assert_eq!(line.decode(&SetEventIndex(1)), line.flag(0)),
            "record-special-events" => assert_eq!(line.decode(&RecordSpecialEvents(true)), line.flag(0)),
            "set-listener" => {
                let listener = Listener { address: "0.0.0.0:0".parse().expect("an address"), interval: 0 };
                assert_eq!(line.decode(&SetListener(listener)), line.flag(0));
            }
            "set-passcodes" => {
                assert_eq!(line.decode(&SetPasscodes { door: 1, passcodes: [0; 4] }), line.flag(0));
            }
            "get-card" => {
                let card = line.card();
                let held = (card.number != 0 && card.number != u32::MAX).then_some(card);
                assert_eq!(line.decode(&GetCard(card.number)), held);
            }
            "get-card-at" => {
                let slot = match line.card() {
                    CardRecord { number: 0, .. } => Slot::End,
                    CardRecord { number: u32::MAX, .. } => Slot::Deleted,
                    card => Slot::Card(card),
                };
                assert_eq!(line.decode(&GetCardAt(1)), slot);
            }
            "get-event" => {
                let event = line.event(0);
                let kept = match event.kind {
                    0 => Kept::Nothing,
                    255 => Kept::Overwritten,
                    _ => Kept::Event(event),
                };
                assert_eq!(line.decode(&GetEvent(event.index)), kept);
            }
            "pushed-event" => assert_eq!(pushed_event(&line.bytes), Some((line.number(0), line.event(1)))),
            "get-status" => assert_eq!(line.decode(&GetStatus), status(&line)),
            "count-cards" => assert_eq!(line.decode(&CountCards), line.number::<u32>(0)),
            "get-event-index" => assert_eq!(line.decode(&GetEventIndex), line.number::<u32>(0)),
            "get-time" => assert_eq!(line.decode(&GetTime), line.maybe::<DateTime>(0)),
            "set-time" => assert_eq!(line.decode(&SetTime(DateTime::MIN)), line.maybe(0)),
            "get-listener" => {
                assert_eq!(
                    line.decode(&GetListener),
                    Listener { address: line.number(0), interval: line.number(1) }
                );
            }
            "get-controller" => {
                let ours = line.decode(&GetController);
                let mac = ours.mac.map(|byte| format!("{byte:02x}")).join(":");
                let released = ours.released.map_or_else(|| "-".into(), |date| date.to_string());
                let [address, netmask, gateway] =
                    [ours.address, ours.netmask, ours.gateway].map(|ip| ip.to_string());
                assert_eq!([address, netmask, gateway, mac, ours.firmware, released][..], line.fields);
            }
            "get-door" => assert_eq!(line.decode(&GetDoor(3)), door(&line)),
            "set-door" => {
                assert_eq!(line.decode(&SetDoor { door: 3, mode: Mode::Controlled, delay: 0 }), door(&line));
            }
            unknown => panic!("unknown reply {unknown}"),
        }
    }
}

fn status(line: &Line<'_>) -> Status {
    Status {
        open: [0, 1, 2, 3].map(|at| line.flag(at)),
        pressed: [4, 5, 6, 7].map(|at| line.flag(at)),
        fault: line.number(8),
        at: line.maybe(9),
        relays: line.number(10),
        inputs: line.number(11),
        event: (line.number::<u32>(12) != 0).then(|| line.event(12)),
    }
}

fn door(line: &Line<'_>) -> Door {
    Door { door: line.number(0), mode: Some(line.mode(1)), delay: line.number(2) }
}

#[test]
fn the_table_is_what_uhppoted_says_today() {
    let Some(python) = parts::python() else { return parts::report_skip(parts::NO_PYTHON) };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/uhppote/oracle.py");
    let made = Command::new(python).arg(script).output().expect("python runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(
        made.stdout == GOLDEN.as_bytes(),
        "uhppoted says otherwise:\n{}",
        String::from_utf8_lossy(&made.stdout)
    );
}
