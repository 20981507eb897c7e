//! What the story's receipt must say, held against what the door controller itself has recorded.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sim::uhppote::{Event, reason};

use super::timeline::prove;
use crate::commands::Outcome;
use crate::stage::CONTROL_ROOM;

/// How long the event of a denial may take to be read.
const READ_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// The controller counts whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The receipt is about this employee's end, names the session, the card and the door, and has a time for each rung.
pub(super) fn check(receipt: &Value, user: &str, events: &[Event], card: u32) -> Outcome {
    prove(receipt["complete"] == true, "the receipt is complete")?;
    prove(receipt["user"] == user, "the receipt is about the employee")?;
    let (kind, ended) = (&receipt["cause"]["kind"], &receipt["ended_at_commit"]);
    prove(kind == "user.deactivated", format_args!("its cause is the deactivation, not {kind}"))?;
    prove(ended["sessions"].as_i64() >= Some(1), format_args!("it names the session that ended: {ended}"))?;
    prove(ended["grants"].as_i64() >= Some(1), format_args!("it names the grant that ended: {ended}"))?;
    let doors = receipt["doors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [door] = doors else {
        return prove(false, format_args!("it names one door, not {}", doors.len()));
    };
    prove(
        door["access_point"] == "control-room-door",
        format_args!("it names the control room's door: {door}"),
    )?;
    let credentials = ended["credentials"].as_array().map(Vec::as_slice).unwrap_or_default();
    prove(credentials.contains(&door["credential"]), format_args!("it names the card that ended: {ended}"))?;
    check_times(door, events, card)
}

/// A0 to A2 and A4 have their times, in order, and the controller's own log has the denial of A4.
fn check_times(door: &Value, events: &[Event], card: u32) -> Outcome {
    let rungs = ["requested_at", "sent_at", "accepted_at", "read_back_at", "denial_observed_at"];
    let mut times = Vec::new();
    for rung in rungs {
        let at: Option<Timestamp> = door[rung].as_str().and_then(|text| text.parse().ok());
        times.extend(at);
        prove(at.is_some(), format_args!("the receipt has a time for {rung}: {door}"))?;
    }
    prove(times.is_sorted(), format_args!("its times rise: {door}"))?;
    let [.., absent, observed] = times[..] else { return prove(false, "five times") };
    let is_it = |event: &Event| {
        let is_denial = !event.granted && event.reason == reason::UNKNOWN;
        let at = event.at.to_zoned(jiff::tz::TimeZone::UTC).map(|at| at.timestamp());
        let in_time =
            at.is_ok_and(|at| at + SECOND >= absent && at <= observed && observed - READ_WITHIN <= at);
        is_denial && event.card == card && event.door == CONTROL_ROOM && in_time
    };
    prove(
        events.iter().any(is_it),
        format_args!("the controller's own log has the denial that was observed at {observed}: {events:?}"),
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

    fn good() -> Value {
        json!({
            "complete": true, "user": "u", "cause": {"kind": "user.deactivated"},
            "ended_at_commit": {"sessions": 1, "grants": 1, "credentials": ["c"]},
            "doors": [{
                "access_point": "control-room-door", "credential": "c",
                "requested_at": "2026-11-27T08:00:00.100Z", "sent_at": "2026-11-27T08:00:00.101Z",
                "accepted_at": "2026-11-27T08:00:00.102Z", "read_back_at": "2026-11-27T08:00:00.103Z",
                "denial_observed_at": "2026-11-27T08:00:00.900Z",
            }],
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

    /// The story must be able to fail at each thing that it says it has proven.
    #[test]
    fn each_thing_that_is_missing_is_a_failure() {
        let holds = |receipt: &Value, events: &[Event]| check(receipt, "u", events, 7).is_ok();
        assert!(holds(&good(), &[denial(0)]));
        for (pointer, wrong) in [
            ("/complete", json!(false)),
            ("/user", json!("v")),
            ("/cause/kind", json!("user.deleted")),
            ("/ended_at_commit/sessions", json!(0)),
            ("/ended_at_commit/grants", json!(0)),
            ("/ended_at_commit/credentials", json!([])),
            ("/doors", json!([])),
            ("/doors/0/access_point", json!("transformer-hall-door")),
            ("/doors/0/requested_at", json!(null)),
            ("/doors/0/sent_at", json!(null)),
            ("/doors/0/accepted_at", json!(null)),
            ("/doors/0/read_back_at", json!(null)),
            ("/doors/0/denial_observed_at", json!(null)),
            ("/doors/0/denial_observed_at", json!("2026-11-27T08:00:00.050Z")),
            ("/doors/0/denial_observed_at", json!("2026-11-27T09:00:00Z")),
        ] {
            let mut receipt = good();
            *receipt.pointer_mut(pointer).unwrap() = wrong.clone();
            assert!(!holds(&receipt, &[denial(0)]), "{pointer} {wrong}");
        }
        for events in [
            vec![],
            vec![denial(30)],
            vec![Event { granted: true, ..denial(0) }],
            vec![Event { card: 8, ..denial(0) }],
            vec![Event { door: 2, ..denial(0) }],
            vec![Event { reason: reason::NO_RIGHT, ..denial(0) }],
        ] {
            assert!(!holds(&good(), &events), "{events:?}");
        }
    }
}
