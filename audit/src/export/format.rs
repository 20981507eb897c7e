//! A fact as one line of text. Pure.

use serde::Serialize;
use serde_json::value::RawValue;
use store::StoredFact;

use super::cef;

/// What a message is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, as the journal holds it.
    #[default]
    Json,
    /// ArcSight's Common Event Format, version 0.
    Cef,
}

/// How much attention a fact deserves, as syslog counts (RFC 5424, section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Warning = 4,
    Notice = 5,
    Informational = 6,
}

/// What somebody must look at, and what happens all day; everything else is in between. To add a kind: a word here, if
/// it is one of the two.
const WARNINGS: &[&str] = &[
    "alert.opened",
    "delivery.died",
    "door.card-quarantined",
    "door.decisions-lost",
    "door.deviation-found",
    "door.events-lost",
    "export.cut",
    "letter.not-sent",
    "sign-in.refused",
    "task.opened",
    "task.reopened",
    "task.widened",
];
const ROUTINE: &[&str] = &[
    "authenticator.password-rehashed",
    "authenticator.used",
    "client.signed-in",
    "door.decided",
    "door.event",
    "grant.redeemed",
    "grant.refreshed",
    "letter.sent",
    "placement.proven",
    "session.renewed",
];

/// By the kind alone.
pub(super) fn severity_of(kind: &str) -> Severity {
    match (WARNINGS.contains(&kind), ROUTINE.contains(&kind)) {
        (true, _) => Severity::Warning,
        (_, true) => Severity::Informational,
        _ => Severity::Notice,
    }
}

/// Every kind that is not in between.
pub fn kinds_that_stand_out() -> impl Iterator<Item = &'static str> {
    WARNINGS.iter().chain(ROUTINE).copied()
}

/// What a receiver may change (RFC 5424, section 6.4).
pub(super) fn is_control(c: char) -> bool {
    c < ' '
}

/// The message of a fact, at most `largest` bytes long but for what its envelope needs.
pub(super) fn message(fact: &StoredFact, format: Format, largest: usize) -> String {
    let write = |body: Option<&str>| match format {
        Format::Json => json(fact, body),
        Format::Cef => cef::event(fact, body),
    };
    let whole = write(fact.body.as_deref());
    // The digest stays, so whoever holds the journal can tell which body it was.
    if whole.len() > largest { write(None) } else { whole }
}

/// A fact as a line of JSON, whole.
#[must_use]
pub fn json_line(fact: &StoredFact) -> String {
    json(fact, fact.body.as_deref())
}

#[derive(Serialize)]
struct Line<'a> {
    id: String,
    seq: Option<i64>,
    at: String,
    kind: &'a str,
    subject: &'a str,
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    digest: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    /// Null when it was erased, or is too long for the receiver.
    body: Option<&'a RawValue>,
}

/// One line: the journal writes bodies without line breaks, and what is no JSON any more is left out.
fn json(fact: &StoredFact, body: Option<&str>) -> String {
    let body = body.and_then(|body| serde_json::from_str(body).ok());
    let line = Line {
        id: fact.id.to_string(),
        seq: fact.seq,
        at: fact.at.to_string(),
        kind: &fact.kind,
        subject: &fact.subject,
        actor: &fact.actor,
        request: fact.request_id.as_deref(),
        digest: &fact.digest,
        erased: fact.is_erased(),
        body,
    };
    serde_json::to_string(&line).expect("texts and numbers are always JSON").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::fact;
    use super::*;

    #[test]
    fn a_line_is_the_fact_and_one_line() {
        let fact = fact("sign-in.refused", json!({ "v": 1, "reason": "wrong\n\"word\" | = \\ é" }));
        let line = message(&fact, Format::Json, 8_192);
        assert!(!line.contains(['\n', '\r']), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["body"]["reason"], "wrong\n\"word\" | = \\ é");
        assert_eq!((&read["seq"], &read["kind"]), (&json!(7), &json!("sign-in.refused")));
        assert_eq!((&read["id"], &read["digest"]), (&json!(fact.id.to_string()), &json!(fact.digest)));
    }

    #[test]
    fn a_body_that_is_too_long_or_erased_stays_behind_and_nothing_else() {
        let long = fact("user.created", json!({ "v": 1, "name": "x".repeat(9_000) }));
        for format in [Format::Json, Format::Cef] {
            let line = message(&long, format, 8_192);
            assert!(line.len() < 1_000 && line.contains(&long.id.to_string()), "{line}");
            assert!(line.contains(&long.digest) && !line.contains("erased"), "{line}");
        }
        let erased = StoredFact { body: None, salt: None, ..long };
        let read: Value = serde_json::from_str(&message(&erased, Format::Json, 8_192)).unwrap();
        assert_eq!((&read["body"], &read["erased"]), (&Value::Null, &json!(true)));
        let event = message(&erased, Format::Cef, 8_192);
        assert!(event.ends_with(" cs5Label=body cs5=erased"), "{event}");
    }

    #[test]
    fn refusals_and_troubles_are_warnings() {
        for (kind, severity) in [
            ("sign-in.refused", Severity::Warning),
            ("alert.opened", Severity::Warning),
            ("door.event", Severity::Informational),
            ("export.cut", Severity::Warning),
            ("letter.not-sent", Severity::Warning),
            ("user.deactivated", Severity::Notice),
            ("session.opened", Severity::Notice),
            ("authenticator.used", Severity::Informational),
        ] {
            assert_eq!(severity_of(kind), severity, "{kind}");
        }
    }
}
