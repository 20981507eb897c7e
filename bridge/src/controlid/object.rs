//! The objects of a device that we read and write, and how one asks for them (vendor's access API, "Objects").
//!
//! All ids are of 64 bits, and real ones are larger than what a double holds. What we do not name we do not ask for:
//! without `fields`, a device gives out password hashes.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A row of an object.
pub(super) trait Object: DeserializeOwned {
    const NAME: &'static str;
    const FIELDS: &'static [&'static str];
}

macro_rules! objects {
    ($($(#[$doc:meta])* $row:ident = $name:literal { $($(#[$attribute:meta])* $field:ident: $type:ty),+ $(,)? })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        pub(super) struct $row { $($(#[$attribute])* pub(super) $field: $type),+ }

        impl Object for $row {
            const NAME: &'static str = $name;
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    )+ };
}

objects! {
    /// A card that opens as its user does.
    CardRow = "cards" {
        id: i64,
        #[serde(deserialize_with = "number_or_none")]
        value: i64,
        user_id: i64,
    }
    /// A person to the device; to us, the holder of one card.
    User = "users" {
        id: i64,
        registration: String,
        #[serde(default)]
        begin_time: Option<i64>,
        #[serde(default)]
        end_time: Option<i64>,
    }
    UserRule = "user_access_rules" { user_id: i64, access_rule_id: i64 }
    UserGroup = "user_groups" { user_id: i64, group_id: i64 }
    GroupRule = "group_access_rules" { group_id: i64, access_rule_id: i64 }
    PortalRule = "portal_access_rules" { portal_id: i64, access_rule_id: i64 }
    RuleZone = "access_rule_time_zones" { access_rule_id: i64, time_zone_id: i64 }
    Zone = "time_zones" { id: i64, name: String }
    /// Hours of a time zone, in seconds of the day, with a flag for each day of the week and three kinds of holiday.
    Span = "time_spans" {
        time_zone_id: i64, start: i64, end: i64,
        sun: i64, mon: i64, tue: i64, wed: i64, thu: i64, fri: i64, sat: i64, hol1: i64, hol2: i64, hol3: i64,
    }
    /// A card that opens while a device that should ask its server cannot.
    Contingency = "contingency_cards" {
        id: i64,
        #[serde(deserialize_with = "number_or_none")]
        value: i64,
    }
    /// A number that a user types instead of a card.
    Pin = "pins" { user_id: i64 }
    /// Who administers the device.
    Role = "user_roles" { user_id: i64 }
    /// Itself, and the servers that it may ask.
    Server = "devices" { id: i64, name: String, ip: String }
    /// Something that happened.
    Log = "access_logs" {
        id: i64,
        time: i64,
        event: i64,
        #[serde(default)]
        portal_id: Option<i64>,
        #[serde(default, deserialize_with = "number_or_none")]
        card_value: i64,
    }
}

/// A number of a card. What a device writes above 63 bits, or in another way, is no card that we can name: it must not
/// keep us from reading the rows beside it.
fn number_or_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(from)?;
    let number = value.as_i64();
    if number.is_none() && !value.is_null() {
        tracing::warn!(%value, "a device knows a card that cannot be named");
    }
    Ok(number.unwrap_or(0))
}

/// A rule and what it does: allow, or block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Rule {
    pub(super) id: i64,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: i64,
}

impl Object for Rule {
    const NAME: &'static str = "access_rules";
    const FIELDS: &'static [&'static str] = &["id", "name", "type"];
}

impl Rule {
    pub(super) const BLOCKS: i64 = 0;
    pub(super) const ALLOWS: i64 = 1;
}

impl Span {
    /// The last second of a day, as the device's own pages write it.
    pub(super) const LAST: i64 = 86_399;

    /// Whether it leaves nothing out.
    pub(super) fn is_always(&self) -> bool {
        let Self { sun, mon, tue, wed, thu, fri, sat, hol1, hol2, hol3, .. } = *self;
        let days = [sun, mon, tue, wed, thu, fri, sat, hol1, hol2, hol3];
        self.start <= 0 && self.end >= Self::LAST && days.iter().all(|day| *day == 1)
    }

    /// The same as it is written.
    pub(super) fn always(time_zone_id: i64) -> Value {
        json!({
            "time_zone_id": time_zone_id, "start": 0, "end": Self::LAST,
            "sun": 1, "mon": 1, "tue": 1, "wed": 1, "thu": 1, "fri": 1, "sat": 1,
            "hol1": 1, "hol2": 1, "hol3": 1,
        })
    }
}

/// More elements of a list than this no device takes.
pub(super) const MOST: usize = 999;

/// Which rows are meant. There is none that means all: a deletion without a condition empties the object.
#[derive(Clone, Debug)]
pub(super) enum Which<'a> {
    /// Whose number is one of these.
    Numbers(&'static str, &'a [i64]),
    /// Whose text is one of these.
    Texts(&'static str, &'a [String]),
    /// Whose number is at least this.
    From(&'static str, i64),
}

impl Which<'_> {
    /// Whether a row is one that is meant: old firmware is said to pass over conditions without a word.
    pub(super) fn fits(&self, row: &Value) -> bool {
        match self {
            Self::Numbers(field, numbers) => {
                row[*field].as_i64().is_some_and(|number| numbers.contains(&number))
            }
            Self::Texts(field, texts) => {
                row[*field].as_str().is_some_and(|text| texts.iter().any(|known| known == text))
            }
            Self::From(field, number) => row[*field].as_i64().is_some_and(|found| found >= *number),
        }
    }

    /// As the device reads it, for an object.
    pub(super) fn of(&self, object: &str) -> Value {
        match self {
            Self::Numbers(field, numbers) => json!({ object: { *field: numbers } }),
            Self::Texts(field, texts) => json!({ object: { *field: texts } }),
            Self::From(field, number) => {
                json!([{ "object": object, "field": field, "operator": ">=", "value": number }])
            }
        }
    }
}

/// The body that asks for rows.
pub(super) fn load<T: Object>(which: Option<&Which<'_>>, limit: Option<usize>) -> Value {
    let mut body = json!({ "object": T::NAME, "fields": T::FIELDS });
    if let Some(which) = which {
        body["where"] = which.of(T::NAME);
    }
    if let Some(limit) = limit {
        body["order"] = json!(["id", "ascending"]);
        body["limit"] = json!(limit);
    }
    body
}

/// The rows in an answer.
///
/// INVARIANT: nothing is read, and above all nothing deleted, that was not asked about.
///
/// # Errors
/// Why they are none, in words.
pub(super) fn rows<T: Object>(mut answer: Value, which: Option<&Which<'_>>) -> Result<Vec<T>, String> {
    let words = |error: serde_json::Error| error.to_string();
    let rows = answer.get_mut(T::NAME).map(Value::take).unwrap_or_default();
    let rows: Vec<Value> = serde_json::from_value(rows).map_err(words)?;
    if !rows.iter().all(|row| which.is_none_or(|which| which.fits(row))) {
        return Err(format!("other {} than were asked for", T::NAME));
    }
    serde_json::from_value(Value::Array(rows)).map_err(words)
}

/// The body that makes rows.
pub(super) fn create<T: Object>(values: &[Value]) -> Value {
    json!({ "object": T::NAME, "values": values })
}

/// The body that changes rows.
pub(super) fn modify<T: Object>(values: &Value, which: &Which<'_>) -> Value {
    json!({ "object": T::NAME, "values": values, "where": which.of(T::NAME) })
}

/// The body that deletes rows.
pub(super) fn destroy<T: Object>(which: &Which<'_>) -> Value {
    json!({ "object": T::NAME, "where": which.of(T::NAME) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_the_vendor_writes_them() {
        assert_eq!(
            load::<CardRow>(Some(&Which::Numbers("value", &[8])), None),
            json!({"object": "cards", "fields": ["id", "value", "user_id"], "where": {"cards": {"value": [8]}}})
        );
        assert_eq!(
            load::<Log>(Some(&Which::From("id", 5)), Some(64)),
            json!({
                "object": "access_logs", "fields": ["id", "time", "event", "portal_id", "card_value"],
                "where": [{"object": "access_logs", "field": "id", "operator": ">=", "value": 5}],
                "order": ["id", "ascending"], "limit": 64,
            })
        );
        assert_eq!(
            destroy::<CardRow>(&Which::Numbers("value", &[8])),
            json!({"object": "cards", "where": {"cards": {"value": [8]}}})
        );
        assert_eq!(
            modify::<User>(&json!({"end_time": 0}), &Which::Numbers("id", &[7])),
            json!({"object": "users", "values": {"end_time": 0}, "where": {"users": {"id": [7]}}})
        );
        assert_eq!(
            create::<UserRule>(&[json!({"user_id": 1, "access_rule_id": 2})]),
            json!({"object": "user_access_rules", "values": [{"user_id": 1, "access_rule_id": 2}]})
        );
    }

    #[test]
    fn always_leaves_nothing_out() {
        let always: Span = serde_json::from_value(Span::always(3)).unwrap();
        assert!(always.is_always());
        assert!(!Span { hol2: 0, ..always.clone() }.is_always());
        assert!(!Span { end: 86_398, ..always.clone() }.is_always());
        assert!(!Span { start: 1, ..always }.is_always());
    }
}
