//! What a letter says, in the person's language, as text and as HTML.

use askama::Template;
use directory::invitation::Purpose;
use directory::invitation::letter::Link;
use directory::user::User;
use jiff::tz::TimeZone;
use kernel::Timestamp;
use serde::Deserialize;
use web::{Issuer, Locale, fill};

use super::occasion::Occasion;
use crate::invitation_link;
use crate::texts::{self, Kinds, LinkLetter, Notice, Texts};

/// Everything that a letter says.
pub(crate) struct Words {
    pub(crate) subject: String,
    pub(crate) greeting: String,
    pub(crate) text: String,
    pub(crate) link: Option<LinkWords>,
    pub(crate) unexpected: String,
    pub(crate) closing: String,
}

/// A link and what is said about it.
pub(crate) struct LinkWords {
    pub(crate) href: String,
    pub(crate) action: String,
    pub(crate) copy: String,
    pub(crate) limit: String,
}

/// The letter for who reads HTML.
#[derive(Template)]
#[template(path = "mail/letter.html")]
struct Html<'a> {
    locale: Locale,
    words: &'a Words,
}

/// The same letter for everybody else.
#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct Text<'a> {
    words: &'a Words,
}

/// What the words of a letter are filled with.
pub(crate) struct Given<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) zone: &'a TimeZone,
    pub(crate) user_name: &'a str,
    pub(crate) name: Option<&'a str>,
    /// When it happened that the letter speaks of.
    pub(crate) at: Timestamp,
}

impl Given<'_> {
    fn fill(&self, text: &str) -> String {
        let filled = fill(text, "host", self.issuer.host());
        let filled = fill(&filled, "at", &shown(self.at, self.zone));
        // Last, since it may hold anything.
        fill(&filled, "user_name", &one_line(self.user_name))
    }
}

impl Words {
    pub(crate) fn of_link(locale: Locale, purpose: Purpose, link: &Link, given: &Given<'_>) -> Self {
        let t = texts::of(locale);
        let LinkLetter { subject, text, action, limit, unexpected } = match purpose {
            Purpose::Invitation => &t.mail.invitation,
            Purpose::Recovery => &t.mail.recovery,
        };
        let limit = fill(&given.fill(limit), "until", &shown(link.expires_at, given.zone));
        let link = LinkWords {
            href: invitation_link(given.issuer, &link.token),
            action: action.clone(),
            copy: t.mail.copy.clone(),
            limit,
        };
        Self { link: Some(link), ..Self::around(t, subject, text, unexpected, given) }
    }

    pub(crate) fn of_notice(locale: Locale, occasion: &Occasion, given: &Given<'_>) -> Self {
        let t = texts::of(locale);
        let (notice, kind) = match occasion {
            Occasion::Added(kind) => (&t.mail.authenticator_added, kind.as_str()),
            Occasion::Removed(kind) => (&t.mail.authenticator_removed, kind.as_str()),
            Occasion::PasswordSet | Occasion::Link(..) => (&t.mail.password_set, "password"),
        };
        let Notice { subject, text, unexpected } = notice;
        let text = fill(text, "what", named(&t.mail.kinds, kind));
        Self::around(t, subject, &text, unexpected, given)
    }

    fn around(t: &Texts, subject: &str, text: &str, unexpected: &str, given: &Given<'_>) -> Self {
        let greeting = match given.name {
            Some(name) => fill(&t.mail.greeting, "name", &one_line(name)),
            None => t.mail.greeting_nameless.clone(),
        };
        Self {
            subject: given.fill(subject),
            greeting,
            text: given.fill(text),
            link: None,
            unexpected: given.fill(unexpected),
            closing: given.fill(&t.mail.closing),
        }
    }

    /// As text and as HTML.
    pub(crate) fn render(&self, locale: Locale) -> Result<(String, String), askama::Error> {
        Ok((Text { words: self }.render()?, Html { locale, words: self }.render()?))
    }
}

fn named<'a>(kinds: &'a Kinds, kind: &str) -> &'a str {
    match kind {
        "password" => &kinds.password,
        "totp" => &kinds.totp,
        "passkey" => &kinds.passkey,
        "recovery-code" => &kinds.recovery_code,
        _ => &kinds.other,
    }
}

/// A value that somebody else wrote cannot begin a paragraph of its own in a letter of ours.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A moment as people write it, with its zone.
fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_jiff().map(|at| at.to_zoned(zone.clone()));
    zoned.map_or_else(|| at.to_string(), |zoned| zoned.strftime("%Y-%m-%d %H:%M %Z").to_string())
}

/// The language that HR says a person prefers, if it is one of ours (RFC 7643, section 4.1.1).
pub(super) fn language(user: &User) -> Option<Locale> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Languages {
        preferred_language: Option<String>,
        locale: Option<String>,
    }
    let Languages { preferred_language, locale } = serde_json::from_str(&user.document).ok()?;
    let tags = preferred_language.iter().chain(&locale).flat_map(|text| text.split([',', ';']));
    Locale::first_of(tags.map(|tag| tag.trim().split('_').next().unwrap_or_default()))
}
