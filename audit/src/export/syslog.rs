//! A message as syslog carries it: RFC 5424's header, RFC 5425's frame. Pure.

use store::StoredFact;

use super::Export;
use super::format::{message, severity_of};

/// "log audit" (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;
/// The longest that section 6 allows.
const HOST: usize = 255;
const MSGID: usize = 32;

/// A fact's message in its frame; header and message together are at most as long as the receiver takes. No byte order mark stands before it: most receivers would keep it as part of the message.
pub(super) fn frame(fact: &StoredFact, export: &Export) -> Vec<u8> {
    let priority = FACILITY * 8 + severity_of(&fact.kind) as u8;
    let (host, kind) = (name(&export.host, HOST), name(&fact.kind, MSGID));
    let mut line = format!("<{priority}>1 {} {host} cardea - {kind} - ", fact.at);
    line.push_str(&message(fact, export.format, export.largest.saturating_sub(line.len())));
    let mut frame = format!("{} ", line.len()).into_bytes();
    frame.extend_from_slice(line.as_bytes());
    frame
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
