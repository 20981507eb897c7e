//! Languages: which one a person reads, and the texts in each.

use std::fmt;

use serde::de::DeserializeOwned;

/// A language that every text exists in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Locale {
    /// English: what everybody gets who asks for nothing we have.
    #[default]
    En,
    /// German.
    De,
}

impl Locale {
    /// All of them.
    pub const ALL: [Locale; 2] = [Locale::En, Locale::De];

    /// The BCP 47 tag, for `lang` and `ui_locales_supported`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Locale::En => "en",
            Locale::De => "de",
        }
    }

    /// The best of ours for a list in order of preference, e.g. `ui_locales` (OpenID Connect Core, 3.1.2.1).
    #[must_use]
    pub fn first_of<'a>(tags: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        tags.into_iter().find_map(|tag| {
            let language = tag.trim().split('-').next().unwrap_or_default();
            Locale::ALL.into_iter().find(|locale| locale.tag().eq_ignore_ascii_case(language))
        })
    }

    /// The best of ours for an `Accept-Language` header (RFC 9110, section 12.5.4).
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let mut ranges: Vec<(f32, &str)> = header.split(',').take(32).filter_map(range).collect();
        ranges.sort_by(|a, b| b.0.total_cmp(&a.0));
        Self::first_of(ranges.into_iter().map(|(_, tag)| tag)).unwrap_or_default()
    }
}

fn range(text: &str) -> Option<(f32, &str)> {
    let (tag, weight) = text.split_once(';').unwrap_or((text, "q=1"));
    let weight: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
    (weight > 0.0).then_some((weight, tag))
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// Why texts cannot be used: a key is missing, unknown or of the wrong form.
#[derive(Debug, thiserror::Error)]
#[error("messages in {locale}: {reason}")]
pub struct TextsError {
    locale: Locale,
    #[source]
    reason: toml::de::Error,
}

/// A room's texts in each language. Keys are the fields of `T`, so a template that names a missing one does
/// not compile; with `deny_unknown_fields`, a file that lacks one or has one too many does not load.
#[derive(Clone, Debug)]
pub struct Texts<T> {
    en: T,
    de: T,
}

impl<T: DeserializeOwned> Texts<T> {
    /// Reads the message files, TOML each.
    ///
    /// # Errors
    /// Names the language, the line and the key.
    pub fn read(en: &str, de: &str) -> Result<Self, TextsError> {
        let read = |locale, text| toml::from_str(text).map_err(|reason| TextsError { locale, reason });
        Ok(Self { en: read(Locale::En, en)?, de: read(Locale::De, de)? })
    }
}

impl<T> Texts<T> {
    /// The texts in one language.
    #[must_use]
    pub fn of(&self, locale: Locale) -> &T {
        match locale {
            Locale::En => &self.en,
            Locale::De => &self.de,
        }
    }
}

/// Puts a value into a text: `fill("Sign in to {client}", "client", "Payroll")`. The template escapes it.
#[must_use]
pub fn fill(text: &str, name: &str, value: &str) -> String {
    text.replace(&format!("{{{name}}}"), value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn the_language_is_the_first_of_ours_that_is_accepted() {
        for (header, expect) in [
            ("", Locale::En),
            ("de", Locale::De),
            ("de-AT, en;q=0.8", Locale::De),
            ("DE", Locale::De),
            ("en;q=0.8, de;q=0.9", Locale::De),
            ("fr, de;q=0.5, en;q=0.4", Locale::De),
            ("fr, *", Locale::En),
            ("de;q=0, en", Locale::En),
            ("de;q=nonsense, en", Locale::En),
            ("de;level=1", Locale::En),
            ("den", Locale::En),
            (";;;,,,=", Locale::En),
        ] {
            assert_eq!(Locale::accepted(header), expect, "{header:?}");
        }
        assert_eq!(Locale::first_of("fr-CA de en".split(' ')), Some(Locale::De));
        assert_eq!(Locale::first_of(["fr"]), None);
    }

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Two {
        hello: String,
        bye: String,
    }

    #[test]
    fn texts_are_complete_in_every_language_or_do_not_load() {
        let en = "hello = 'Hello {name}'\nbye = 'Bye'";
        let texts = Texts::<Two>::read(en, "hello = 'Hallo {name}'\nbye = 'Tschüss'").unwrap();
        assert_eq!(fill(&texts.of(Locale::De).hello, "name", "Ada"), "Hallo Ada");
        let missing = Texts::<Two>::read(en, "hello = 'Hallo'").unwrap_err().to_string();
        assert!(missing.contains("in de") && missing.contains("bye"), "{missing}");
        let unknown = Texts::<Two>::read(&format!("{en}\nmore = ''"), en).unwrap_err().to_string();
        assert!(unknown.contains("in en") && unknown.contains("more"), "{unknown}");
    }
}
