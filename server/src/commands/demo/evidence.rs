//! What the story's receipt must say, held against what the doors themselves have recorded.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sim::controlid;
use sim::uhppote::{Event, reason};

use super::timeline::prove;
use crate::commands::Outcome;
use crate::stage::{CONTROL_ROOM, SUBSTATION};

/// How long the event of a denial may take to be read.
const READ_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// Doors count whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A door of the story, and when its own log says that it did not know the card.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    access_point: &'static str,
    denials: Vec<Timestamp>,
}

impl Witness {
    /// The control room, by the log of the UHPPOTE controller.
    pub(super) fn controller(events: &[Event], card: u32) -> Self {
        let is_denial = |event: &&Event| !event.granted && event.reason == reason::UNKNOWN;
        let here = events.iter().filter(|event| event.card == card && event.door == CONTROL_ROOM);
        let at = |event: &Event| event.at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp());
        Self { access_point: "control-room-door", denials: here.filter(is_denial).filter_map(at).collect() }
    }

    /// The substation, by the access log of the Control iD device.
    pub(super) fn device(access_logs: &[Value], card: i64) -> Self {
        let is_denial = |log: &&Value| {
            log["event"] == controlid::event::NOT_IDENTIFIED
                && log["portal_id"] == SUBSTATION
                && log["card_value"] == card
        };
        let at = |log: &Value| Timestamp::from_second(log["time"].as_i64()?).ok();
        Self {
            access_point: "substation-gate",
            denials: access_logs.iter().filter(is_denial).filter_map(at).collect(),
        }
    }
}

/// The receipt is about this employee's end, names the session and the card, and for each door of the story, and for no
/// other, has a time for each rung.
pub(super) fn check(receipt: &Value, user: &str, witnesses: &[Witness]) -> Outcome {
    prove(receipt["complete"] == true, "the receipt is complete")?;
    prove(receipt["user"] == user, "the receipt is about the employee")?;
    let (kind, ended) = (&receipt["cause"]["kind"], &receipt["ended_at_commit"]);
    prove(kind == "user.deactivated", format_args!("its cause is the deactivation, not {kind}"))?;
    prove(ended["sessions"].as_i64() >= Some(1), format_args!("it names the session that ended: {ended}"))?;
    prove(ended["grants"].as_i64() >= Some(1), format_args!("it names the grant that ended: {ended}"))?;
    let doors = receipt["doors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = doors.len();
    prove(count == witnesses.len(), format_args!("it names {} doors, not {count}", witnesses.len()))?;
    let credentials = ended["credentials"].as_array().map(Vec::as_slice).unwrap_or_default();
    for witness in witnesses {
        let name = witness.access_point;
        let door = doors.iter().find(|door| door["access_point"] == name).unwrap_or(&Value::Null);
        prove(door.is_object(), format_args!("it names {name}"))?;
        prove(
            credentials.contains(&door["credential"]),
            format_args!("{name}: the card that ended: {ended}"),
        )?;
        check_times(door, witness)?;
    }
    Ok(())
}

/// A0 to A2 and A4 have their times, in order, and the door's own log has the denial of A4.
fn check_times(door: &Value, witness: &Witness) -> Outcome {
    let rungs = ["requested_at", "sent_at", "accepted_at", "read_back_at", "denial_observed_at"];
    let mut times = Vec::new();
    for rung in rungs {
        let at: Option<Timestamp> = door[rung].as_str().and_then(|text| text.parse().ok());
        times.extend(at);
        prove(at.is_some(), format_args!("the receipt has a time for {rung}: {door}"))?;
    }
    prove(times.is_sorted(), format_args!("its times rise: {door}"))?;
    let [.., absent, observed] = times[..] else { return prove(false, "five times") };
    let is_it = |at: &Timestamp| *at + SECOND >= absent && *at <= observed && observed - READ_WITHIN <= *at;
    prove(
        witness.denials.iter().any(is_it),
        format_args!("the door's own log has the denial that was observed at {observed}: {witness:?}"),
    )
}

/// The same receipt with one character of what it says changed.
pub(super) fn tampered(signed: &str) -> String {
    let mut parts: Vec<String> = signed.split('.').map(str::to_owned).collect();
    if let Some(said) = parts.get_mut(1) {
        let middle = said.len() / 2;
        let other = if said.get(middle..=middle) == Some("A") { "B" } else { "A" };
        said.replace_range(middle..=middle, other);
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn line(access_point: &str) -> Value {
        json!({
            "access_point": access_point, "credential": "c",
            "requested_at": "2026-11-27T08:00:00.100Z", "sent_at": "2026-11-27T08:00:00.101Z",
            "accepted_at": "2026-11-27T08:00:00.102Z", "read_back_at": "2026-11-27T08:00:00.103Z",
            "denial_observed_at": "2026-11-27T08:00:00.900Z",
        })
    }

    fn good() -> Value {
        json!({
            "complete": true, "user": "u", "cause": {"kind": "user.deactivated"},
            "ended_at_commit": {"sessions": 1, "grants": 1, "credentials": ["c"]},
            "doors": [line("control-room-door"), line("substation-gate")],
        })
    }

    fn denial(second: i8) -> Event {
        let at = date(2026, 11, 27).at(8, 0, second, 0);
        Event {
            index: 3,
            kind: 1,
            granted: false,
            door: 1,
            direction: 1,
            card: 7,
            at,
            reason: reason::UNKNOWN,
        }
    }

    /// The access log of 2026-11-27T08:00:00Z.
    fn log() -> Value {
        json!({"id": 5, "time": 1_795_766_400, "event": 3, "portal_id": 1, "card_value": 9})
    }

    fn holds(receipt: &Value, events: &[Event], logs: &[Value]) -> bool {
        check(receipt, "u", &[Witness::controller(events, 7), Witness::device(logs, 9)]).is_ok()
    }

    /// The story must be able to fail at each thing that it says it has proven.
    #[test]
    fn each_thing_that_is_missing_is_a_failure() {
        let (events, logs) = ([denial(0)], [log()]);
        assert!(holds(&good(), &events, &logs));
        for (pointer, wrong) in [
            ("/complete", json!(false)),
            ("/user", json!("v")),
            ("/cause/kind", json!("user.deleted")),
            ("/ended_at_commit/sessions", json!(0)),
            ("/ended_at_commit/grants", json!(0)),
            ("/ended_at_commit/credentials", json!([])),
            ("/doors", json!([])),
            ("/doors", json!([line("control-room-door")])),
            ("/doors/0/access_point", json!("transformer-hall-door")),
            ("/doors/1/access_point", json!("control-room-door")),
            ("/doors/1/credential", json!("d")),
            ("/doors/0/requested_at", json!(null)),
            ("/doors/0/sent_at", json!(null)),
            ("/doors/0/accepted_at", json!(null)),
            ("/doors/1/read_back_at", json!(null)),
            ("/doors/1/denial_observed_at", json!(null)),
            ("/doors/0/denial_observed_at", json!("2026-11-27T08:00:00.050Z")),
            ("/doors/1/denial_observed_at", json!("2026-11-27T09:00:00Z")),
        ] {
            let mut receipt = good();
            *receipt.pointer_mut(pointer).unwrap() = wrong.clone();
            assert!(!holds(&receipt, &events, &logs), "{pointer} {wrong}");
        }
        for events in [
            vec![],
            vec![denial(30)],
            vec![Event { granted: true, ..denial(0) }],
            vec![Event { card: 8, ..denial(0) }],
            vec![Event { door: 2, ..denial(0) }],
            vec![Event { reason: reason::NO_RIGHT, ..denial(0) }],
        ] {
            assert!(!holds(&good(), &events, &logs), "{events:?}");
        }
        for (field, wrong) in [("event", 7), ("event", 6), ("portal_id", 2), ("card_value", 8), ("time", 0)] {
            let mut log = log();
            log[field] = json!(wrong);
            assert!(!holds(&good(), &events, &[log]), "{field} {wrong}");
        }
    }
}
