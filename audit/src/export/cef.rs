//! ArcSight's Common Event Format, version 0 ("ArcSight Common Event Format (CEF) Guide", sections "Header" and
//! "Extension").

use std::fmt::Write as _;

use store::StoredFact;

use super::format::{Severity, is_control, severity_of};

/// A fact as an event.
pub(super) fn event(fact: &StoredFact, body: Option<&str>) -> String {
    let severity = match severity_of(&fact.kind) {
        Severity::Warning => 6,
        Severity::Notice => 3,
        Severity::Informational => 1,
    };
    let kind = header(&fact.kind);
    let version = env!("CARGO_PKG_VERSION");
    let mut event =
        format!("CEF:0|Cardea|Cardea|{version}|{kind}|{}|{severity}|", kind.replace(['.', '-'], " "));
    let mut separator = "";
    let mut field = |name: &str, value: &str| {
        // Writing into a String cannot fail.
        let _ = write!(event, "{separator}{name}={}", extension(value));
        separator = " ";
    };
    field("rt", &fact.at.as_millis().to_string());
    field("externalId", &fact.id.to_string());
    if let Some(seq) = fact.seq {
        field("cn1Label", "seq");
        field("cn1", &seq.to_string());
    }
    for (number, (label, value)) in [
        ("subject", Some(fact.subject.as_str())),
        ("actor", Some(&fact.actor)),
        ("request", fact.request_id.as_deref()),
        ("digest", Some(&fact.digest)),
        ("body", fact.is_erased().then_some("erased")),
    ]
    .into_iter()
    .enumerate()
    {
        if let Some(value) = value {
            field(&format!("cs{}Label", number + 1), label);
            field(&format!("cs{}", number + 1), value);
        }
    }
    if let Some(body) = body {
        field("msg", body);
    }
    event
}

/// In the header a pipe and a backslash are escaped; it has one line.
fn header(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(is_control, " ")
}

/// In a value an equals sign and a backslash are escaped, and line breaks are written as two characters. For other
/// control characters there is no way to write them, and syslog receivers each make something else of them.
fn extension(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r");
    text.replace(is_control, " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::fact;
    use super::*;

    #[test]
    fn an_event_is_what_the_guide_says() {
        let fact = fact("sign-in.refused", json!({ "reason": "a=b|c\\d\ne" }));
        let event = event(&fact, fact.body.as_deref());
        let version = env!("CARGO_PKG_VERSION");
        let expect = format!(
            "CEF:0|Cardea|Cardea|{version}|sign-in.refused|sign in refused|6|rt=1763779500000 externalId={} \
             cn1Label=seq cn1=7 cs1Label=subject cs1=user:ada cs2Label=actor cs2=anonymous \
             cs3Label=request cs3=req-1 cs4Label=digest cs4={} \
             msg={{\"reason\":\"a\\=b|c\\\\\\\\d\\\\ne\"}}",
            fact.id, fact.digest
        );
        assert_eq!(event, expect);
    }

    #[test]
    fn what_somebody_wrote_makes_no_field_and_no_header() {
        let mut fact = fact("a.b", json!({ "v": 1 }));
        fact.subject = "user:x cs9=admin\nCEF:0|".into();
        fact.request_id = Some("\u{1b}[2J\t.".into());
        fact.kind = "a.b|9|".into();
        let event = event(&fact, None);
        assert!(event.contains("a.b\\|9\\|") && event.contains("cs1=user:x cs9\\=admin\\nCEF:0|"), "{event}");
        assert!(event.contains("\\nCEF:0| cs2Label=actor"), "a value that ends like a header: {event}");
        assert!(event.contains(" cs3= [2J . "), "{event}");
        assert!(!event.contains(char::is_control));
    }
}
