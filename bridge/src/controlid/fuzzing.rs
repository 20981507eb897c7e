//! Whatever a device may say, read in every way in which we read: the door of the fuzz target `controlid_json`.
//!
//! What it is not: a part of the connector. Nothing of the house goes through it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use kernel::Secret;
use serde_json::Value;
use url::Url;

use super::events;
use super::object::{self, CardRow, Contingency, Log, Object, Which};
use super::online::Question;
use super::push::{self, Monitor};
use super::rights::{self, Rows};
use super::transport::{PATIENCE, Refused, Session, SystemInformation, Wire, refusal};
use crate::connector::lanes::Unanswered;
use crate::connector::{AccessPointAddress, DoorEvent, ReadBack};

/// The card that is asked about.
pub const CARD: i64 = 123 << 32 | 45_678;

/// Asks nobody.
static WIRE: LazyLock<Wire> = LazyLock::new(|| {
    let url = Url::parse("http://192.0.2.1").expect("a fixed address");
    Wire::new(77, url, None, "cardea".into(), Secret::new("a secret".to_owned()), PATIENCE)
});

/// What it came to.
#[derive(Debug, Default)]
pub struct Heard {
    /// All that is kept of it in words: for logs, alerts and answers.
    pub words: Vec<String>,
    /// The numbers of the rows that were read of [`CARD`].
    pub cards: Vec<i64>,
    /// The same as the connector says it.
    pub held: Vec<ReadBack>,
    /// The rows of an access log as events.
    pub events: Vec<DoorEvent>,
    /// Who sent it, when it is a notification.
    pub speaker: Option<i64>,
    /// The numbers of a question at a door by their names, when it was read as one.
    pub question: Option<[(&'static str, i64); 3]>,
}

/// Reads it in every way.
#[must_use]
pub fn hear(said: &[u8]) -> Heard {
    let mut heard = Heard { speaker: push::speaker(said).flatten(), ..Heard::default() };
    heard.question = Question::read(said).map(|question| {
        let Question { device_id, portal_id, user_id, .. } = question;
        [("device_id", device_id), ("portal_id", portal_id), ("user_id", user_id)]
    });
    heard.note(WIRE.read::<Session>("login", said));
    if let Some(information) = heard.note(WIRE.read::<SystemInformation>("system_information", said)) {
        heard.words.push(information.firmware());
        // What clock it shows decides nothing here, but must be read.
        let _ = information.time.and_then(rights::wall_clock);
    }
    let Refused(why) = refusal(said);
    heard.words.push(why);
    if let Some(answer) = heard.note(WIRE.read::<Value>("load_objects", said)) {
        heard.words.push(Monitor::read(&answer).to_string());
        heard.hear_rows(&answer);
    }
    heard
}

impl Heard {
    fn note<T>(&mut self, read: Result<T, Unanswered>) -> Option<T> {
        read.map_err(|unanswered| self.words.push(unanswered.words())).ok()
    }

    fn rows<T: Object>(&mut self, answer: &Value, which: Option<&Which<'_>>) -> Vec<T> {
        let rows = object::rows::<T>(answer.clone(), which);
        let rows = rows.map_err(|what| WIRE.garbled("load_objects", what));
        self.note(rows).unwrap_or_default()
    }

    /// The answer may hold rows of every kind at once.
    fn hear_rows(&mut self, answer: &Value) {
        let portals: BTreeMap<i64, AccessPointAddress> = [(1, "hq/main".into()), (2, "hq/lab".into())].into();
        let of_card = Which::Numbers("value", &[CARD]);
        let cards: Vec<CardRow> = self.rows(answer, Some(&of_card));
        let contingency: Vec<Contingency> = self.rows(answer, Some(&of_card));
        let rows = Rows {
            users: self.rows(answer, None),
            user_rules: self.rows(answer, None),
            user_groups: self.rows(answer, None),
            group_rules: self.rows(answer, None),
            rules: self.rows(answer, None),
            portal_rules: self.rows(answer, None),
            rule_zones: self.rows(answer, None),
            spans: self.rows(answer, None),
            pins: self.rows(answer, None),
            roles: self.rows(answer, None),
        };
        self.held.extend(cards.iter().map(|card| rows.held(card, &portals, "77")));
        let numbers = cards.iter().map(|card| card.value);
        self.cards.extend(numbers.chain(contingency.iter().map(|card| card.value)));
        let log: Vec<Log> = self.rows(answer, None);
        self.events.extend(log.iter().map(|row| events::normalised("77", row, &portals, &TimeZone::UTC)));
    }
}
