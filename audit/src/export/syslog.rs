//! A message as syslog carries it: RFC 5424's header, RFC 5425's frame. Pure.

use store::StoredFact;

use super::format::severity_of;

/// "log audit" (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;
/// The longest that section 6 allows.
const HOST: usize = 255;
const MSGID: usize = 32;

/// A message in its frame. No byte order mark stands before it: most receivers would keep it as part of the message.
pub(super) fn frame(fact: &StoredFact, host: &str, message: &str) -> Vec<u8> {
    let priority = FACILITY * 8 + severity_of(&fact.kind) as u8;
    let (host, kind) = (name(host, HOST), name(&fact.kind, MSGID));
    let line = format!("<{priority}>1 {} {host} cardea - {kind} - {message}", fact.at);
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

    use super::super::tests::fact;
    use super::*;

    #[test]
    fn a_frame_counts_the_bytes_of_its_message() {
        let fact = fact("sign-in.refused", json!({ "v": 1 }));
        let frame = String::from_utf8(frame(&fact, "id.example.org", "é {\"a\": 1}")).unwrap();
        let (count, line) = frame.split_once(' ').unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), line.len());
        let expect = "<108>1 2025-11-22T02:45:00.000Z id.example.org cardea - sign-in.refused - é {\"a\": 1}";
        assert_eq!(line, expect);
    }

    #[test]
    fn a_name_has_no_space_and_no_surprise() {
        assert_eq!(name("a b\nc\u{e9}d", 255), "abcd");
        assert_eq!((name(" ", 255), name(&"x".repeat(40), 32).len()), ("-".into(), 32));
    }
}
