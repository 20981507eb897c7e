//! Whether a card opens a portal: the decision that the device takes alone.
//!
//! Blocking rules come before those that allow, as the vendor says. A rule counts when it is the user's own or one of
//! a group of the user, belongs to the portal, and one of its time zones holds. Not said, and taken here: both ends of
//! a span and of a user's validity belong to it, a rule without a time zone never holds, and a card without its user
//! identifies nobody.
//!
//! Deliberately not here: holidays, rules of areas, anti-passback, interlock, emergency and lockdown.

use super::row::{self, Row};
use super::store::Store;

/// What happened at a portal, as an access log has it.
pub mod event {
    /// Nobody was identified.
    pub const NOT_IDENTIFIED: u8 = 3;
    /// Somebody was identified and not let in.
    pub const DENIED: u8 = 6;
    /// Somebody was let in.
    pub const GRANTED: u8 = 7;
    /// Somebody was identified, and the decision is pending.
    pub const PENDING: u8 = 8;
    /// Opened over the network, and nobody said why.
    pub const REMOTE: u8 = 10;
    /// No answer, and nothing is done.
    pub const NO_RESPONSE: u8 = 14;
}

/// Who opens a door while the server is not there.
///
/// The vendor says that contingency works like standalone, from the device's own records, and that the list of
/// contingency cards is available then. Whether the list adds to the records or replaces them is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Contingency {
    /// Whoever the records let in, and the cards of the list.
    #[default]
    Records,
    /// The cards of the list, nobody else.
    CardsOnly,
}

/// The fields of a span, in the order of the week.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const A_DAY: i64 = 86_400;

/// What the device makes of a card by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// One of [`event`].
    pub(super) event: u8,
    /// 0 is nobody.
    pub(super) user_id: i64,
}

/// The user whose card it is.
pub(super) fn identify(store: &Store, card: i64) -> Option<&Row> {
    store.find("users", "id", row::int(store.find("cards", "value", card)?, "user_id"))
}

/// Decides as in standalone mode. `at` is local time, in seconds.
pub(super) fn decide(store: &Store, portal: i64, card: i64, at: i64) -> Decision {
    let Some(user) = identify(store, card) else {
        return Decision { event: event::NOT_IDENTIFIED, user_id: 0 };
    };
    let user_id = row::int(user, "id");
    let (begin, end) = (row::int(user, "begin_time"), row::int(user, "end_time"));
    let valid = (begin == 0 || at >= begin) && (end == 0 || at <= end);
    let granted = valid && allows(store, portal, at, &rules_of(store, user_id));
    Decision { event: if granted { event::GRANTED } else { event::DENIED }, user_id }
}

/// Decides as in contingency.
pub(super) fn decide_alone(
    store: &Store,
    portal: i64,
    card: i64,
    at: i64,
    contingency: Contingency,
) -> Decision {
    if store.find("contingency_cards", "value", card).is_some() {
        let rules = store.rows("contingency_card_access_rules").iter();
        let rules: Vec<i64> = rules.map(|row| row::int(row, "access_rule_id")).collect();
        if allows(store, portal, at, &rules) {
            return Decision { event: event::GRANTED, user_id: 0 };
        }
    }
    match contingency {
        Contingency::Records => decide(store, portal, card, at),
        Contingency::CardsOnly => Decision { event: event::NOT_IDENTIFIED, user_id: 0 },
    }
}

/// The rules of a user, directly and by groups.
fn rules_of(store: &Store, user_id: i64) -> Vec<i64> {
    let linked = |object: &str, from: &str, id: i64, to: &str| -> Vec<i64> {
        let rows = store.rows(object).iter().filter(|row| row::int(row, from) == id);
        rows.map(|row| row::int(row, to)).collect()
    };
    let mut rules = linked("user_access_rules", "user_id", user_id, "access_rule_id");
    for group in linked("user_groups", "user_id", user_id, "group_id") {
        rules.extend(linked("group_access_rules", "group_id", group, "access_rule_id"));
    }
    rules
}

/// Whether one of the rules allows and none of them blocks.
fn allows(store: &Store, portal: i64, at: i64, rules: &[i64]) -> bool {
    let of_portal = |rule: i64| {
        let mut links = store.rows("portal_access_rules").iter();
        links.any(|row| row::int(row, "portal_id") == portal && row::int(row, "access_rule_id") == rule)
    };
    let counting = rules.iter().copied().filter(|rule| of_portal(*rule) && holds(store, *rule, at));
    let kinds: Vec<i64> =
        counting.filter_map(|rule| Some(row::int(store.find("access_rules", "id", rule)?, "type"))).collect();
    !kinds.contains(&0) && kinds.contains(&1)
}

/// Whether one of the rule's time zones holds.
fn holds(store: &Store, rule: i64, at: i64) -> bool {
    let (second, day) = (at.rem_euclid(A_DAY), at.div_euclid(A_DAY));
    // The first of January 1970 was a Thursday.
    let day = usize::try_from((day + 4).rem_euclid(7)).map_or(DAYS[0], |day| DAYS[day]);
    let zones = store.rows("access_rule_time_zones").iter();
    let mut zones = zones.filter(|row| row::int(row, "access_rule_id") == rule);
    zones.any(|zone| {
        let mut spans = store.rows("time_spans").iter();
        spans.any(|span| {
            row::int(span, "time_zone_id") == row::int(zone, "time_zone_id")
                && row::int(span, day) == 1
                && (row::int(span, "start")..=row::int(span, "end")).contains(&second)
        })
    })
}

#[cfg(test)]
mod tests;
