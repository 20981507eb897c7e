//! A message as syslog carries it: RFC 5424's header and structured data, RFC 5425's frame. Pure.
//!
//! Everything is in the message. The structured data repeats what is asked for most, for receivers that sort by it
//! without reading messages. Its name must carry an enterprise number (section 6.3.2), and the product has none: so it
//! is there only where the organisation gives its own.

use std::fmt::Write as _;

use store::StoredFact;

use super::Export;
use super::format::{is_control, message, severity_of};

/// "log audit" (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;
/// The longest that section 6 allows.
const HOST: usize = 255;
const MSGID: usize = 32;

/// A fact's message in its frame; header and message together are at most as long as the receiver takes. No byte order
/// mark stands before it: most receivers would keep it as part of the message.
pub(super) fn frame(fact: &StoredFact, export: &Export) -> Vec<u8> {
    let priority = FACILITY * 8 + severity_of(&fact.kind) as u8;
    let (host, kind) = (name(&export.host, HOST), name(&fact.kind, MSGID));
    let structured = structured_data(fact, export.enterprise);
    let mut line = format!("<{priority}>1 {} {host} cardea - {kind} {structured} ", fact.at);
    line.push_str(&message(fact, export.format, export.largest.saturating_sub(line.len())));
    let mut frame = format!("{} ", line.len()).into_bytes();
    frame.extend_from_slice(line.as_bytes());
    frame
}

/// One element, or the dash that stands for none.
fn structured_data(fact: &StoredFact, enterprise: Option<u32>) -> String {
    let Some(enterprise) = enterprise else { return "-".into() };
    let mut element = format!("[fact@{enterprise}");
    let (id, seq) = (fact.id.to_string(), fact.seq.map(|seq| seq.to_string()));
    for (name, value) in [
        ("id", Some(id.as_str())),
        ("seq", seq.as_deref()),
        ("subject", Some(fact.subject.as_str())),
        ("actor", Some(fact.actor.as_str())),
        ("request", fact.request_id.as_deref()),
    ] {
        if let Some(value) = value {
            // Writing into a String cannot fail.
            let _ = write!(element, " {name}=\"{}\"", parameter(value));
        }
    }
    element.push(']');
    element
}

/// Quotes, backslashes and closing brackets are escaped (section 6.3.3). Control characters are not sent: there is no
/// way to write them, and each receiver makes something else of them (section 6.4). The message has them in JSON's
/// form.
fn parameter(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            text.push('\\');
        }
        text.push(if is_control(c) { ' ' } else { c });
    }
    text
}

/// Printable ASCII without spaces, or the dash that stands for nothing.
fn name(text: &str, longest: usize) -> String {
    let name: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if name.is_empty() { "-".into() } else { name }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{export, fact};
    use super::*;

    #[test]
    fn a_frame_counts_the_bytes_of_its_message() {
        let fact = fact("sign-in.refused", json!({ "name": "é" }));
        let frame = String::from_utf8(frame(&fact, &export())).unwrap();
        let (count, line) = frame.split_once(' ').unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), line.len());
        let expect = "<108>1 2025-11-22T02:45:00.000Z id.example.org cardea - sign-in.refused - {\"id\":\"";
        assert!(line.starts_with(expect) && line.ends_with("\"body\":{\"name\":\"é\"}}"), "{line}");
    }

    #[test]
    fn structured_data_is_one_element_whatever_somebody_is_called() {
        let mut fact = fact("door.decided", json!({ "v": 1 }));
        fact.subject = "door:a\"b\\c]d \u{e9}\u{2603}\n]x=\"".into();
        fact.request_id = None;
        let export = Export { enterprise: Some(32_473), ..export() };
        let frame = String::from_utf8(frame(&fact, &export)).unwrap();
        let expect = format!(
            " door.decided [fact@32473 id=\"{}\" seq=\"7\" subject=\"door:a\\\"b\\\\c\\]d \u{e9}\u{2603} \\]x=\\\"\" \
             actor=\"anonymous\"] {{\"id\":",
            fact.id
        );
        assert!(frame.contains(&expect), "{expect} in {frame}");
        assert!(!frame.contains(is_control), "{frame}");
    }

    #[test]
    fn header_and_message_together_are_no_longer_than_a_receiver_takes() {
        for length in 7_000..8_300 {
            let fact = fact("user.created", json!({ "name": "x".repeat(length) }));
            let frame = frame(&fact, &export());
            assert!(frame.len() <= export().largest + "8192 ".len(), "{length}: {}", frame.len());
        }
    }

    #[test]
    fn a_name_has_no_space_and_no_surprise() {
        assert_eq!(name("a b\nc\u{e9}d", 255), "abcd");
        assert_eq!((name(" ", 255), name(&"x".repeat(40), 32).len()), ("-".into(), 32));
    }
}
