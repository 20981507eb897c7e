//! The chain: each fact's link is a hash of the link before and of the fact's envelope.
//!
//! `link(n) = SHA-256(link(n-1) ‖ envelope(n))`, with 32 zero bytes before the first. The envelope is all of
//! a fact but its salt and body, for which their digest stands, so that these can be erased. Every text in
//! it is preceded by its length: no two envelopes have the same bytes.
//!
//! **Never changes**: a journal must verify for years. A different form gets another domain and begins with
//! a checkpoint.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::sha256;
use serde::{Deserialize, Serialize};

/// What the bytes are, so that they are no other document's.
const DOMAIN: &[u8] = b"cardea fact envelope 1";

/// A place in the chain: the hash of everything up to and with one fact.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link([u8; 32]);

impl Link {
    /// Before the first fact.
    pub const BEGINNING: Link = Link([0; 32]);

    /// Reads 43 characters of base64url. `None` when the text is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The link of the fact that comes next.
    #[must_use]
    pub(crate) fn next(&self, envelope: &Envelope<'_>) -> Self {
        let mut bytes = self.0.to_vec();
        envelope.write(&mut bytes);
        Self(sha256(&bytes))
    }
}

impl TryFrom<String> for Link {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        Link::parse(&text).ok_or("a link has 43 characters of base64url")
    }
}

impl From<Link> for String {
    fn from(link: Link) -> String {
        link.to_string()
    }
}

/// 43 characters of base64url.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What of a fact is chained for ever, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    pub(crate) seq: i64,
    pub(crate) id: &'a str,
    pub(crate) at: i64,
    pub(crate) kind: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) actor: &'a str,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) digest: &'a str,
}

impl Envelope<'_> {
    fn write(&self, bytes: &mut Vec<u8>) {
        text(bytes, DOMAIN);
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        text(bytes, self.id.as_bytes());
        bytes.extend_from_slice(&self.at.to_be_bytes());
        text(bytes, self.kind.as_bytes());
        text(bytes, self.subject.as_bytes());
        text(bytes, self.actor.as_bytes());
        bytes.push(u8::from(self.request_id.is_some()));
        text(bytes, self.request_id.unwrap_or_default().as_bytes());
        text(bytes, self.digest.as_bytes());
    }
}

/// Eight bytes of length, big-endian, then the bytes.
fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text);
}

/// The salted digest of a body, as the journal keeps it.
pub(crate) fn digest(salt: &str, body: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(format!("{salt}{body}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACT: Envelope<'static> = Envelope {
        seq: 1,
        id: "019dcd65-0000-7000-8000-000000000001",
        at: 1_795_305_600_000,
        kind: "user.deactivated",
        subject: "user:019dcd65-0000-7000-8000-000000000002",
        actor: "scim_connection:019dcd65-0000-7000-8000-000000000003",
        request_id: Some("abcdefghijklmnop"),
        digest: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
    };

    fn bytes(envelope: &Envelope<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        envelope.write(&mut bytes);
        bytes
    }

    /// Computed with another program from the description above.
    #[test]
    fn the_first_links_are_what_they_always_were() {
        let first = Link::BEGINNING.next(&FACT);
        assert_eq!(first.to_string(), "hnrJT7H8S5g_-A2SGmYzNNzxEmPb8rtc_U2krD435OU");
        let second = first.next(&Envelope { seq: 2, request_id: None, ..FACT });
        assert_eq!(second.to_string(), "sNsEweAFvuUpJ4cyNX_T1eYD8OGafwWT5YAZO7vqTsU");
    }

    #[test]
    fn links_read_back_and_nothing_else_does() {
        let link = Link::BEGINNING.next(&FACT);
        assert_eq!(Link::parse(&link.to_string()), Some(link));
        assert_eq!(Link::BEGINNING.to_string(), "A".repeat(43), "as the migration writes it");
        for other in
            ["", "A", &"A".repeat(42), &"A".repeat(44), &format!("{}=", "A".repeat(43)), &"!".repeat(43)]
        {
            assert_eq!(Link::parse(other), None, "{other}");
        }
    }

    #[test]
    fn absent_and_empty_differ() {
        assert_ne!(
            bytes(&Envelope { request_id: None, ..FACT }),
            bytes(&Envelope { request_id: Some(""), ..FACT })
        );
    }

    fn texts() -> impl Strategy<Value = [String; 5]> {
        // Few letters, so that moving them from one field to the next happens often.
        proptest::array::uniform5("[ab]{0,3}")
    }

    fn envelope<'a>(seq: i64, at: i64, texts: &'a [String; 5], request_id: Option<&'a str>) -> Envelope<'a> {
        let [id, kind, subject, actor, digest] = texts;
        Envelope { seq, id, at, kind, subject, actor, request_id, digest }
    }

    proptest! {
        #[test]
        fn different_envelopes_have_different_bytes(
            one in texts(), two in texts(), seq in (0i64..3, 0i64..3), at in (0i64..3, 0i64..3),
            request in (proptest::option::of("[ab]{0,2}"), proptest::option::of("[ab]{0,2}"))
        ) {
            let one = envelope(seq.0, at.0, &one, request.0.as_deref());
            let two = envelope(seq.1, at.1, &two, request.1.as_deref());
            prop_assert_eq!(one == two, bytes(&one) == bytes(&two));
        }

        #[test]
        fn a_link_depends_on_everything_before(first in texts(), changed in texts(), last in texts()) {
            prop_assume!(first != changed);
            let chain = |begin: &[String; 5]| {
                let first = Link::BEGINNING.next(&envelope(1, 0, begin, None));
                first.next(&envelope(2, 0, &last, None))
            };
            prop_assert_ne!(chain(&first), chain(&changed));
        }
    }
}
