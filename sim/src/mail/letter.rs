//! A letter as its reader sees it.

use mail_parser::{MessageParser, MimeHeaders as _};
use url::Url;

/// A letter that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its number, from 1, in the order of taking.
    pub number: usize,
    /// Who the envelope says it is from.
    pub from: String,
    /// Who the envelope says it is for.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// `Message-ID`, without brackets.
    pub id: String,
    /// The content as text.
    pub text: String,
    /// The content as HTML; empty if there is none.
    pub html: String,
}

impl Letter {
    /// Whatever was taken is a letter, however little of it can be read.
    pub(super) fn read(number: usize, from: String, to: Vec<String>, bytes: &[u8]) -> Self {
        let message = MessageParser::default().parse(bytes).unwrap_or_default();
        // The parser would make each of the two out of the other; what was not sent is not shown.
        let html = message.html_part(0).filter(|part| {
            part.content_type().is_some_and(|kind| kind.subtype().is_some_and(|subtype| subtype == "html"))
        });
        let html = html.and_then(|part| part.text_contents()).unwrap_or_default();
        Self {
            number,
            from,
            to,
            subject: message.subject().unwrap_or_default().to_owned(),
            id: message.message_id().unwrap_or_default().to_owned(),
            text: message.body_text(0).unwrap_or_default().replace("\r\n", "\n"),
            html: html.to_owned(),
        }
    }

    /// The addresses that its text names, each on a line or between spaces.
    #[must_use]
    pub fn links(&self) -> Vec<Url> {
        self.text.split_whitespace().filter_map(link).collect()
    }

    /// Whether it was for this address.
    #[must_use]
    pub fn is_to(&self, address: &str) -> bool {
        self.to.iter().any(|to| to.eq_ignore_ascii_case(address))
    }
}

/// A word that is an address on the web.
pub(super) fn link(word: &str) -> Option<Url> {
    let is_web = word.starts_with("https://") || word.starts_with("http://");
    Url::parse(word).ok().filter(|_| is_web)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: &str = "From: Cardea <cardea@grid.example>\r\nTo: mira.holt@grid.example\r\n\
        Subject: =?utf-8?q?Willkommen=2C_M=C3=ADra?=\r\nMessage-ID: <d-1@localhost>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        F=C3=BCr dich:\r\nhttp://localhost:8080/invitation?token=3Dabc=\r\ndef\r\n--b\r\n\
        Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        PHA+RsO8ciBkaWNoPC9wPg==\r\n--b--\r\n";

    #[test]
    fn a_letter_is_read_through_its_encodings() {
        let letter = Letter::read(7, "a@x".into(), vec!["Mira.Holt@grid.example".into()], LETTER.as_bytes());
        assert_eq!((letter.number, letter.subject.as_str()), (7, "Willkommen, Míra"));
        assert_eq!((letter.id.as_str(), letter.html.as_str()), ("d-1@localhost", "<p>Für dich</p>"));
        assert!(letter.text.starts_with("Für dich:\nhttp"), "{}", letter.text);
        let links: Vec<_> = letter.links().iter().map(Url::to_string).collect();
        assert_eq!(links, ["http://localhost:8080/invitation?token=abcdef"]);
        assert!(letter.is_to("mira.holt@GRID.example") && !letter.is_to("mira@grid.example"));
    }

    #[test]
    fn what_can_hardly_be_read_is_a_letter_all_the_same() {
        let plain = Letter::read(1, String::new(), Vec::new(), b"Subject: Hi\r\n\r\nthere\r\n");
        assert_eq!((plain.subject.as_str(), plain.text.trim(), plain.html.as_str()), ("Hi", "there", ""));
        assert_eq!(Letter::read(1, String::new(), Vec::new(), b"\xff\x00").subject, "");
        assert_eq!(link("ftp://x/"), None);
        assert_eq!(link("javascript:alert(1)"), None);
    }
}
