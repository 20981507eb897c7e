//! A letter, and the addresses and the id in its head.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Timestamp, sha256};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use super::MailError;
use crate::Issuer;

/// The longest address (RFC 5321, section 4.5.3.1.3, without the brackets).
const LONGEST_ADDRESS: usize = 254;

/// The text is no mail address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mail address; write it like ada@example.org")]
pub struct NotAMailAddress(String);

/// An address that letters can go to: no spaces, no line breaks, at most 254 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress(Address);

impl FromStr for MailAddress {
    type Err = NotAMailAddress;

    fn from_str(text: &str) -> Result<Self, NotAMailAddress> {
        let wrong = || NotAMailAddress(text.to_owned());
        // Quoted local parts may hold almost anything; nobody has one, and they are how headers are forged.
        let odd = |c: char| c.is_whitespace() || c.is_control() || "\"<>,;:\\()".contains(c);
        if text.len() > LONGEST_ADDRESS || text.contains(odd) {
            return Err(wrong());
        }
        text.parse().map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who letters come from: an address, perhaps with a name before it: `Cardea <cardea@example.org>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(Mailbox);

impl FromStr for Sender {
    type Err = NotAMailAddress;

    fn from_str(text: &str) -> Result<Self, NotAMailAddress> {
        let wrong = || NotAMailAddress(text.to_owned());
        let mailbox: Mailbox = text.parse().map_err(|_| wrong())?;
        let name = mailbox.name.as_deref().unwrap_or_default();
        if name.chars().any(char::is_control) {
            return Err(wrong());
        }
        mailbox.email.to_string().parse::<MailAddress>()?;
        Ok(Self(mailbox))
    }
}

/// What a letter is known by for ever: made from an id of ours, so that a double has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId(String);

impl MessageId {
    /// Of what this id names, here: `<id@host>` (RFC 5322, section 3.6.4). `id` is one of our typed ids.
    #[must_use]
    pub fn new(id: impl fmt::Display, issuer: &Issuer) -> Self {
        Self(format!("<{id}@{}>", issuer.host()))
    }

    /// With its brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands between the parts of the letter: the same in a double, and nothing that a text could hold.
    fn boundary(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(format!("cardea.mail\n{}", self.0).as_bytes()))
    }
}

/// A letter to one person. The same content stands in it twice: as text, and as HTML for who prefers that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub to: MailAddress,
    /// One line.
    pub subject: String,
    /// The content as text.
    pub text: String,
    /// The content as HTML, which loads nothing.
    pub html: String,
    /// What it is known by.
    pub id: MessageId,
    /// When it was written.
    pub date: Timestamp,
}

impl Letter {
    /// As it goes over the wire.
    ///
    /// # Errors
    /// [`MailError::Refused`] for a subject of more than one line.
    pub(super) fn message(&self, from: &Sender) -> Result<Message, MailError> {
        if self.subject.chars().any(char::is_control) {
            return Err(MailError::Refused("the subject is more than one line".into()));
        }
        let parts = MultiPart::alternative()
            .boundary(self.id.boundary())
            .singlepart(SinglePart::plain(self.text.clone()))
            .singlepart(SinglePart::html(self.html.clone()));
        let message = Message::builder()
            .from(from.0.clone())
            .to(Mailbox::new(None, self.to.0.clone()))
            .date(on(self.date))
            .message_id(Some(self.id.0.clone()))
            .subject(self.subject.as_str())
            // Nobody's holiday note answers a machine (RFC 3834, section 5; the second is Exchange's word for it).
            .raw_header(fixed("Auto-Submitted", "auto-generated"))
            .raw_header(fixed("X-Auto-Response-Suppress", "All"));
        message.multipart(parts).map_err(|error| MailError::Refused(error.to_string()))
    }
}

fn fixed(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn on(date: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(date.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(to: &str, subject: &str, text: &str) -> Letter {
        let issuer: Issuer = "https://id.example.org:8443".parse().unwrap();
        Letter {
            to: to.parse().unwrap(),
            subject: subject.into(),
            text: text.into(),
            html: format!("<!doctype html><p>{text}</p>"),
            id: MessageId::new("0192aa", &issuer),
            date: Timestamp::from_secs(1_795_305_600),
        }
    }

    fn wire(letter: &Letter) -> String {
        let from: Sender = "Cardea <cardea@example.org>".parse().unwrap();
        String::from_utf8(letter.message(&from).unwrap().formatted()).unwrap()
    }

    /// The names of the headers before the first empty line.
    fn headers(wire: &str) -> Vec<String> {
        let head = wire.split("\r\n\r\n").next().unwrap();
        let first = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
        let mut names: Vec<String> =
            head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).map(first).collect();
        names.sort();
        names
    }

    const HEADERS: [&str; 9] = [
        "auto-submitted",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "subject",
        "to",
        "x-auto-response-suppress",
    ];

    #[test]
    fn a_letter_says_who_when_and_that_a_machine_wrote_it() {
        let wire = wire(&letter("ada@example.org", "Hello", "Good day"));
        for line in [
            "From: Cardea <cardea@example.org>\r\n",
            "To: ada@example.org\r\n",
            "Date: Sun, 22 Nov 2026 00:00:00 +0000\r\n",
            "Message-ID: <0192aa@id.example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Subject: Hello\r\n",
        ] {
            assert!(wire.contains(line), "{line} in {wire}");
        }
        assert_eq!(headers(&wire), HEADERS);
    }

    #[test]
    fn a_double_is_the_same_to_the_last_byte() {
        let letter = letter("ada@example.org", "Grüße", "Schöne Grüße");
        assert_eq!(wire(&letter), wire(&letter));
    }

    #[test]
    fn only_plain_addresses_are_written_to() {
        for text in ["ada@example.org", "a+b@sub.example.org", "josé@example.org", "ada@bücher.example"] {
            assert_eq!(text.parse::<MailAddress>().unwrap().to_string(), text);
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example.org\r\nBcc: eve@example.org",
            "ada@example.org\nX: y",
            "ada@example.org, eve@example.org",
            "Ada <ada@example.org>",
            "\"ada\r\nBcc: eve\"@example.org",
            "\"a b\"@example.org",
            "ada @example.org",
            "ada@exam ple.org",
            "ada@example.org>\u{0} RCPT TO:<eve@example.org",
            "ada(comment)@example.org",
            &long,
        ] {
            assert!(text.parse::<MailAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_sender_may_have_a_name_of_one_line() {
        for text in ["cardea@example.org", "Cardea <cardea@example.org>", "\"Küche, Keller\" <k@example.org>"]
        {
            assert!(text.parse::<Sender>().is_ok(), "{text:?}");
        }
        for text in
            ["", "Cardea", "Cardea <cardea>", "Car\r\ndea <c@example.org>", "\"a\r\nB: c\" <c@example.org>"]
        {
            assert!(text.parse::<Sender>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_subject_of_two_lines_is_not_sent() {
        let from: Sender = "cardea@example.org".parse().unwrap();
        for subject in ["Hello\r\nBcc: eve@example.org", "Hello\n", "Hello\u{0}", "a\rb", "a\u{85}b"] {
            let refused = letter("ada@example.org", subject, "x").message(&from);
            assert!(matches!(refused, Err(MailError::Refused(_))), "{subject:?}");
        }
    }

    proptest! {
        #[test]
        fn no_content_makes_a_header(subject in "\\PC{0,120}", text in "(\\PC|\r|\n){0,200}") {
            let letter = letter("ada@example.org", &subject, &text);
            prop_assert_eq!(headers(&wire(&letter)), HEADERS);
        }
    }
}
