//! `[journal]`: how long bodies of facts are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use audit::Retention;
use audit::erase::{SHORTEST, USUAL};
use serde::Deserialize;

use super::{Config, ConfigError};
use crate::catalogue;

const DAY: u64 = 24 * 3600;
/// A hundred years; who wants more says for ever.
const MOST_DAYS: u64 = 36_500;

/// `[journal]`. Each time is days (`"400d"`), or `"forever"`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// How long bodies are kept of kinds that are not named below; by default 400 days.
    pub keep_bodies: Option<String>,
    /// Of single kinds (`door.event`), or of all that begin so (`door.`).
    pub keep_bodies_of: BTreeMap<String, String>,
}

fn wrong(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Journal { key: key.into(), reason: reason.into() }
}

impl Config {
    /// How long bodies of facts are kept.
    pub fn retention(&self) -> Result<Retention, ConfigError> {
        let usual = self.journal.keep_bodies.as_deref().map(|text| kept("keep_bodies", text)).transpose()?;
        let of_kind = |(name, text): (&String, &String)| -> Result<(String, Option<Duration>), ConfigError> {
            let key = format!("keep_bodies_of.{name:?}");
            is_known(&key, name)?;
            Ok((name.clone(), kept(&key, text)?))
        };
        let of = self.journal.keep_bodies_of.iter().map(of_kind).collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(Retention::new(usual.unwrap_or(Some(USUAL)), of))
    }
}

fn kept(key: &str, text: &str) -> Result<Option<Duration>, ConfigError> {
    if text == "forever" {
        return Ok(None);
    }
    let days = text.strip_suffix('d').filter(|days| days.bytes().all(|byte| byte.is_ascii_digit()));
    let days = days.and_then(|days| days.parse::<u64>().ok()).filter(|days| *days <= MOST_DAYS);
    let days = days.ok_or_else(|| {
        wrong(
            key,
            format!("{text:?} is no time; write days up to {MOST_DAYS}d, e.g. \"400d\", or \"forever\""),
        )
    })?;
    let kept = Duration::from_secs(days * DAY);
    if kept < SHORTEST {
        let least = SHORTEST.as_secs() / DAY;
        let because = "receipts, messages on their way and people who look back need them so long";
        return Err(wrong(key, format!("{text:?} is too short; write {least}d or more: {because}")));
    }
    Ok(Some(kept))
}

/// A kind of fact, or the beginning of one up to its dot.
fn is_known(key: &str, name: &str) -> Result<(), ConfigError> {
    let kinds = catalogue::kinds();
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.kind).collect();
    let beginnings: BTreeSet<&str> =
        kinds.iter().filter_map(|kind| Some(&kind[..=kind.find('.')?])).collect();
    let (is_known, like): (bool, Vec<&str>) = match name.ends_with('.') {
        true => (beginnings.contains(name), beginnings.into_iter().collect()),
        false => (kinds.contains(&name), kinds),
    };
    if is_known {
        return Ok(());
    }
    let near = similar::get_close_matches(name, &like, 3, 0.6);
    let near = if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) };
    Err(wrong(key, format!("no kind of fact is called so{near}. All are shown by: cardea audit kinds")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Retention, String> {
        let config = Config::parse(&format!("issuer = \"http://localhost:1\"\n{text}"), Path::new(""))?;
        config.check().map_err(|error| error.to_string())?;
        config.retention().map_err(|error| error.to_string())
    }

    fn days(days: u32) -> Option<Duration> {
        Some(Duration::from_secs(u64::from(days) * DAY))
    }

    #[test]
    fn bodies_are_kept_as_long_as_their_kind_is_said_to_be() {
        let usual = read("").unwrap();
        assert_eq!((usual.of("user.created"), usual.of("door.event")), (days(400), days(400)));
        let said = read(
            "[journal]\nkeep_bodies = \"forever\"\n[journal.keep_bodies_of]\n\"door.event\" = \"90d\"\n\
             \"sign-in.\" = \"30d\"",
        )
        .unwrap();
        assert_eq!((said.of("door.event"), said.of("sign-in.refused")), (days(90), days(30)));
        assert_eq!((said.of("door.events-lost"), said.of("user.created")), (None, None));
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, says) in [
            (
                "[journal]\nkeep_bodies = \"29d\"",
                "journal.keep_bodies: \"29d\" is too short; write 30d or more",
            ),
            ("[journal]\nkeep_bodies = \"1y\"", "journal.keep_bodies: \"1y\" is no time; write days"),
            ("[journal]\nkeep_bodies = \"+90d\"", "is no time"),
            ("[journal]\nkeep_bodies = \"d\"", "is no time"),
            ("[journal]\nkeep_bodies = \"36501d\"", "is no time; write days up to 36500d"),
            ("[journal]\nkeep = \"90d\"", "unknown field `keep`"),
            (
                "[journal.keep_bodies_of]\n\"door.events\" = \"90d\"",
                "journal.keep_bodies_of.\"door.events\": no kind of fact is called so; near it: door.event",
            ),
            ("[journal.keep_bodies_of]\n\"dor.\" = \"90d\"", "near it: door."),
            (
                "[journal.keep_bodies_of]\n\"xyzzy\" = \"90d\"",
                "is called so. All are shown by: cardea audit kinds",
            ),
            (
                "[journal.keep_bodies_of]\n\"door.event\" = \"7d\"",
                "journal.keep_bodies_of.\"door.event\": \"7d\"",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text:?} says {error:?}, not {says:?}");
        }
    }
}
