use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;

use super::super::row::{Cell, ints};
use super::super::store::{Dependents, Room};
use super::*;

const CARD: i64 = 528_281_023_086;

/// Two portals. Ana (user 1) has the card, a rule of her own (2) at portal 1 in office hours, and no group.
fn office() -> Store {
    let mut store = Store::factory(9, 2, Room { cards: 10, logs: 10 }, Dependents::Stay);
    let named = |numbers: &[(&'static str, i64)]| {
        let mut row = ints(numbers);
        row.insert("name", Cell::Text("x".to_owned()));
        row
    };
    let mut ana = named(&[]);
    ana.insert("registration", Cell::Text(String::new()));
    store.plant("users", &ana);
    store.plant("cards", &ints(&[("value", CARD), ("user_id", 1)]));
    store.plant("time_zones", &named(&[]));
    let mut span = ints(&[("time_zone_id", 2), ("start", 8 * 3600), ("end", 17 * 3600)]);
    span.extend(DAYS.map(|day| (day, Cell::Int(i64::from(!["sat", "sun"].contains(&day))))));
    span.extend(["hol1", "hol2", "hol3"].map(|day| (day, Cell::Int(0))));
    store.plant("time_spans", &span);
    store.plant("access_rules", &named(&[("type", 1), ("priority", 0)]));
    store.plant("access_rule_time_zones", &ints(&[("access_rule_id", 2), ("time_zone_id", 2)]));
    store.plant("portal_access_rules", &ints(&[("portal_id", 1), ("access_rule_id", 2)]));
    store.plant("user_access_rules", &ints(&[("user_id", 1), ("access_rule_id", 2)]));
    store
}

/// Local time as the device counts it.
fn at(when: DateTime) -> i64 {
    when.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second()
}

/// That hour of a Monday.
fn monday(hour: i8, minute: i8, second: i8) -> i64 {
    at(date(2026, 3, 2).at(hour, minute, second, 0))
}

fn change(store: &mut Store, object: &str, values: &[(&'static str, i64)]) {
    let object = super::super::schema::object(object).unwrap();
    store.modify(object, &ints(values), &|row: &Row| row::int(row, "id") == 1).unwrap();
}

#[test]
fn a_rule_opens_its_portal_in_its_hours() {
    let store = office();
    let check = |portal: i64, card: i64, at: i64, expect: u8| {
        assert_eq!(decide(&store, portal, card, at).event, expect, "portal {portal} at {at}");
    };
    check(1, CARD, monday(12, 0, 0), event::GRANTED);
    check(1, CARD + 1, monday(12, 0, 0), event::NOT_IDENTIFIED);
    check(2, CARD, monday(12, 0, 0), event::DENIED);
    check(3, CARD, monday(12, 0, 0), event::DENIED);
    check(1, CARD, monday(7, 59, 59), event::DENIED);
    check(1, CARD, monday(8, 0, 0), event::GRANTED);
    check(1, CARD, monday(17, 0, 0), event::GRANTED);
    check(1, CARD, monday(17, 0, 1), event::DENIED);
    check(1, CARD, at(date(2026, 3, 6).at(12, 0, 0, 0)), event::GRANTED); // Friday
    check(1, CARD, at(date(2026, 3, 7).at(12, 0, 0, 0)), event::DENIED); // Saturday
    check(1, CARD, at(date(2026, 3, 8).at(12, 0, 0, 0)), event::DENIED); // Sunday
    check(1, CARD, at(date(1969, 12, 31).at(12, 0, 0, 0)), event::GRANTED); // a Wednesday
}

#[test]
fn group_1_enters_everywhere_and_whoever_is_in_it() {
    let mut store = office();
    store.plant("user_groups", &ints(&[("user_id", 1), ("group_id", 1)]));
    assert_eq!(decide(&store, 2, CARD, monday(3, 0, 0)).event, event::GRANTED);
}

#[test]
fn a_rule_that_blocks_comes_first() {
    let mut store = office();
    store.plant("user_groups", &ints(&[("user_id", 1), ("group_id", 1)]));
    change(&mut store, "access_rules", &[("type", 0)]);
    assert_eq!(decide(&store, 1, CARD, monday(12, 0, 0)).event, event::DENIED);
}

#[test]
fn a_rule_without_a_time_zone_never_holds() {
    let mut store = office();
    let zones = super::super::schema::object("access_rule_time_zones").unwrap();
    store.destroy(zones, &|row: &Row| row::int(row, "access_rule_id") == 2).unwrap();
    assert_eq!(decide(&store, 1, CARD, monday(12, 0, 0)).event, event::DENIED);
}

#[test]
fn a_user_has_a_first_and_a_last_second() {
    let check = |begin: i64, end: i64, expect: u8| {
        let mut store = office();
        change(&mut store, "users", &[("begin_time", begin), ("end_time", end)]);
        let decision = decide(&store, 1, CARD, monday(12, 0, 0));
        assert_eq!(decision, Decision { event: expect, user_id: 1 }, "{begin} to {end}");
    };
    let noon = monday(12, 0, 0);
    check(0, 0, event::GRANTED);
    check(noon, noon, event::GRANTED);
    check(noon + 1, 0, event::DENIED);
    check(0, noon - 1, event::DENIED);
}

#[test]
fn a_card_whose_user_is_gone_identifies_nobody() {
    let mut store = office();
    store.destroy(super::super::schema::object("users").unwrap(), &|_: &Row| true).unwrap();
    let decision = decide(&store, 1, CARD, monday(12, 0, 0));
    assert_eq!(decision, Decision { event: event::NOT_IDENTIFIED, user_id: 0 });
}

#[test]
fn in_contingency_the_list_opens_too_or_alone() {
    let mut store = office();
    store.plant("contingency_cards", &ints(&[("value", 5)]));
    let noon = monday(12, 0, 0);
    let check = |contingency, card: i64, expect: u8| {
        let decision = decide_alone(&store, 1, card, noon, contingency);
        assert_eq!(decision.event, expect, "{contingency:?} {card}");
    };
    check(Contingency::Records, 5, event::GRANTED);
    check(Contingency::Records, CARD, event::GRANTED);
    check(Contingency::Records, 6, event::NOT_IDENTIFIED);
    check(Contingency::CardsOnly, 5, event::GRANTED);
    check(Contingency::CardsOnly, CARD, event::NOT_IDENTIFIED);
    assert_eq!(
        decide(&store, 1, 5, noon).event,
        event::NOT_IDENTIFIED,
        "the list counts in contingency only"
    );
}
