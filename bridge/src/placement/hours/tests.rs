//! A table of what is wanted when, and properties against a plain reckoning of who may pass.

use jiff::tz::offset;
use proptest::prelude::*;

use super::*;

/// `DOOR [SCHEDULE] [FROM..UNTIL]`, each day optional: `lab office 2026-11-01..2026-11-30`.
fn point(text: &str) -> WantedPoint {
    let mut words = text.split(' ');
    let access_point = words.next().unwrap_or_default().to_owned();
    let mut wanted = WantedPoint { access_point, schedule: None, valid_from: None, valid_until: None };
    for word in words {
        match word.split_once("..") {
            None => wanted.schedule = Some(word.to_owned()),
            Some((from, until)) => (wanted.valid_from, wanted.valid_until) = (day(from), day(until)),
        }
    }
    wanted
}

fn day(text: &str) -> Option<Day> {
    (!text.is_empty()).then(|| text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text} is no time"))
}

/// Two hours ahead of UTC; `office` is 2, `night` 3, `desk` another name of 2; `secret` it does not know.
fn terms(keeps_days: bool) -> Terms {
    let time_profiles = [("office", 2), ("night", 3), ("desk", 2)];
    Terms {
        time_profiles: time_profiles.map(|(name, number)| (name.to_owned(), number)).into(),
        time_zone: TimeZone::fixed(offset(2)),
        keeps_days,
    }
}

/// `lab:2 main:always 2026-11-01..2026-11-30`, or `absent`.
fn shown(want: &Want) -> String {
    let Want::Present(rights) = want else { return "absent".into() };
    let access = rights.access.iter().map(|(point, access)| match access {
        Access::Always => format!("{point}:always"),
        Access::TimeProfile(number) => format!("{point}:{number}"),
    });
    let date = |date: Option<jiff::civil::Date>| date.map_or(String::new(), |date| date.to_string());
    let days = format!("{}..{}", date(rights.valid_from), date(rights.valid_to));
    let words: Vec<String> = access.chain((days != "..").then_some(days)).collect();
    words.join(" ")
}

const NOON: &str = "2026-11-15T10:00:00Z";

#[track_caller]
fn check(points: &[&str], keeps_days: bool, expect: &str) -> Wanted {
    let points: Vec<WantedPoint> = points.iter().map(|text| point(text)).collect();
    let wanted = merge(&points, Validity::default(), &terms(keeps_days), at(NOON));
    assert_eq!(shown(&wanted.want), expect, "{points:?}");
    wanted
}

#[test]
fn always_includes_every_schedule_and_of_two_the_first_by_name_is_held_and_the_other_told() {
    for (points, expect, unheld) in [
        (&[] as &[&str], "absent", 0),
        (&["lab"], "lab:always", 0),
        (&["lab", "lab"], "lab:always", 0),
        (&["lab office"], "lab:2", 0),
        (&["lab office", "lab"], "lab:always", 0),
        (&["lab office", "lab night", "lab"], "lab:always", 0),
        (&["lab office", "main night"], "lab:2 main:3", 0),
        (&["lab office", "lab desk"], "lab:2", 0),
        (&["lab office", "lab night"], "lab:3", 1),
        (&["lab office", "lab night", "lab desk"], "lab:2", 1),
        (&["lab secret"], "absent", 1),
        (&["lab secret", "main"], "main:always", 1),
        (&["lab secret", "lab office"], "lab:2", 1),
        (&["lab secret", "lab"], "lab:always", 0),
    ] {
        let wanted = check(points, true, expect);
        assert_eq!(wanted.unheld.len(), unheld, "{points:?}: {:?}", wanted.unheld);
        assert_eq!(wanted.turn, None, "{points:?}");
    }
    let told = check(&["lab office", "lab night"], true, "lab:3").unheld.remove(0);
    assert!(told.starts_with("lab: open on schedule night and not on schedule office"), "{told}");
    let told = check(&["lab secret"], true, "absent").unheld.remove(0);
    assert!(told.contains("not open on schedule secret"), "{told}");
}

#[test]
fn days_are_whole_days_at_the_door_and_say_when_to_look_again() {
    // What is wanted at noon of the 15th, when it changes, and whether something ends then.
    for (points, keeps_days, expect, turn) in [
        (
            &["lab 2026-11-01..2026-11-30"][..],
            true,
            "lab:always 2026-11-01..2026-11-30",
            Some("2026-11-30T22:00:00Z-"),
        ),
        (&["lab 2026-11-01..2026-11-30"], false, "lab:always", Some("2026-11-30T22:00:00Z-")),
        (&["lab ..2026-11-15"], true, "lab:always ..2026-11-15", Some("2026-11-15T22:00:00Z-")),
        (&["lab ..2026-11-14"], true, "absent", None),
        (&["lab 2026-11-15.."], true, "lab:always 2026-11-15..", None),
        // What has not begun is given with its first day where the system keeps it, and waits elsewhere.
        (&["lab 2026-11-16.."], true, "lab:always 2026-11-16..", Some("2026-11-15T22:00:00Z+")),
        (&["lab 2026-11-16.."], false, "absent", Some("2026-11-15T22:00:00Z+")),
        (
            &["lab 2026-11-16..", "main 2026-11-17.."],
            true,
            "lab:always 2026-11-16..",
            Some("2026-11-15T22:00:00Z+"),
        ),
        (&["lab 2026-11-16..", "main"], true, "main:always", Some("2026-11-15T22:00:00Z+")),
        // The first end ends for all; that midnight what goes on is given anew.
        (
            &["lab ..2026-11-30", "main"],
            true,
            "lab:always main:always ..2026-11-30",
            Some("2026-11-30T22:00:00Z-"),
        ),
        (
            &["lab ..2026-11-30", "lab ..2026-12-24"],
            true,
            "lab:always ..2026-12-24",
            Some("2026-11-30T22:00:00Z-"),
        ),
        (&["lab ..2026-11-30", "lab"], true, "lab:always", Some("2026-11-30T22:00:00Z-")),
        (&["lab ..2026-11-30", "lab office"], true, "lab:always ..2026-11-30", Some("2026-11-30T22:00:00Z-")),
        (&["lab office ..2026-11-30", "lab"], true, "lab:always", Some("2026-11-30T22:00:00Z-")),
        (&["lab office ..2026-11-14", "lab night"], true, "lab:3", None),
        (&["lab 2026-11-01..", "main 2026-11-05.."], true, "lab:always main:always 2026-11-01..", None),
        (&["lab 2026-11-30..2026-11-01"], true, "absent", None),
    ] {
        let wanted = check(points, keeps_days, expect);
        let shown = wanted.turn.map(|turn| (turn.at, turn.takes_away));
        let turn = turn.map(|text| (at(&text[..text.len() - 1]), text.ends_with('-')));
        assert_eq!(shown, turn, "{points:?}");
        assert_eq!(wanted.is_to_come, expect.ends_with(" 2026-11-16.."), "{points:?}");
    }
}

#[test]
fn a_card_that_is_valid_for_a_time_opens_nothing_outside_it() {
    for (from, until, expect, turn) in [
        (None, None, "lab:always ..2026-11-30", Some("2026-11-30T22:00:00Z")),
        // An end within a day is that day to the system, and that hour to us.
        (None, Some("2026-11-15T15:00:00Z"), "lab:always ..2026-11-15", Some("2026-11-15T15:00:00Z")),
        (None, Some("2026-11-15T22:00:00Z"), "lab:always ..2026-11-15", Some("2026-11-15T22:00:00Z")),
        (None, Some("2026-11-15T22:00:00.001Z"), "lab:always ..2026-11-16", Some("2026-11-15T22:00:00.001Z")),
        (None, Some("2026-12-24T15:00:00Z"), "lab:always ..2026-11-30", Some("2026-11-30T22:00:00Z")),
        (None, Some(NOON), "absent", None),
        (Some("2026-11-20"), None, "lab:always 2026-11-20..2026-11-30", Some("2026-11-19T22:00:00Z")),
        (Some("2026-12-01"), None, "absent", None),
        (Some("2026-11-20"), Some("2026-11-19T22:00:00Z"), "absent", None),
    ] {
        let card = Validity { from: from.and_then(day), until: until.map(at) };
        let wanted = merge(&[point("lab ..2026-11-30")], card, &terms(true), at(NOON));
        assert_eq!((shown(&wanted.want).as_str(), wanted.turn.map(|turn| turn.at)), (expect, turn.map(at)));
    }
}

const HOUR: i64 = 3_600_000;

/// Days around noon of the 15th, so close together that they meet.
fn any_day() -> impl Strategy<Value = Option<Day>> {
    proptest::option::of((12u8..19).prop_map(|n| format!("2026-11-{n}").parse::<Day>().expect("a day")))
}

fn any_points() -> impl Strategy<Value = Vec<WantedPoint>> {
    let access_point = prop_oneof![Just("lab"), Just("main"), Just("yard")].prop_map(str::to_owned);
    let schedule = prop_oneof![Just("office"), Just("night"), Just("desk"), Just("secret")];
    let schedule = proptest::option::of(schedule.prop_map(str::to_owned));
    let point = (access_point, schedule, any_day(), any_day()).prop_map(
        |(access_point, schedule, valid_from, valid_until)| WantedPoint {
            access_point,
            schedule,
            valid_from,
            valid_until,
        },
    );
    proptest::collection::vec(point, 0..6)
}

fn any_moment() -> impl Strategy<Value = Timestamp> {
    (-100..100i64).prop_map(|hours| Timestamp::from_millis(at(NOON).as_millis() + hours * HOUR))
}

fn any_card() -> impl Strategy<Value = Validity> {
    let until = prop_oneof![2 => Just(None), 1 => any_moment().prop_map(Some)];
    (any_day(), until).prop_map(|(from, until)| Validity { from, until })
}

/// Whether an access profile opens its access point at a moment, by the words of who declared it.
fn opens(point: &WantedPoint, card: Validity, zone: &TimeZone, at: Timestamp) -> bool {
    let Some(today) = Day::of(at, zone) else { return false };
    let has_begun = |from: Option<Day>| from.is_none_or(|from| from <= today);
    has_begun(point.valid_from)
        && has_begun(card.from)
        && point.valid_until.is_none_or(|until| today <= until)
        && card.until.is_none_or(|until| at < until)
}

/// When a system that holds this opens an access point at a moment: never, always, or in a time profile's hours.
fn held(want: &Want, point: &AccessPointAddress, zone: &TimeZone, at: Timestamp) -> Option<Access> {
    let Want::Present(rights) = want else { return None };
    let today = Day::of(at, zone)?.date();
    let in_days =
        rights.valid_from.is_none_or(|from| from <= today) && rights.valid_to.is_none_or(|to| today <= to);
    rights.access.get(point).copied().filter(|_| in_days)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// While we look at each turn: also at a system that keeps no days.
    #[test]
    fn nothing_is_held_that_is_not_wanted(
        points in any_points(), card in any_card(), now in any_moment(), keeps_days: bool, later in 0..48i64,
    ) {
        let terms = terms(keeps_days);
        let wanted = merge(&points, card, &terms, now);
        let then = Timestamp::from_millis(now.as_millis() + later * HOUR);
        let then = wanted.turn.map_or(then, |turn| then.min(turn.at.minus(Duration::from_millis(1))));
        for name in ["lab", "main", "yard"] {
            let open: Vec<&WantedPoint> = points
                .iter()
                .filter(|point| point.access_point == name && opens(point, card, &terms.time_zone, then))
                .collect();
            let is_open = |number: Option<u8>| open.iter().any(|point| match &point.schedule {
                None => true,
                Some(schedule) => number.is_some() && terms.time_profiles.get(schedule).copied() == number,
            });
            match held(&wanted.want, &name.into(), &terms.time_zone, then) {
                None => {}
                Some(Access::Always) => prop_assert!(is_open(None), "{name}: {wanted:?}"),
                Some(Access::TimeProfile(number)) => prop_assert!(is_open(Some(number)), "{name}: {wanted:?}"),
            }
            // And what is wanted is held, unless somebody is told why it is not.
            if wanted.unheld.is_empty() && !open.is_empty() {
                prop_assert!(
                    held(&wanted.want, &name.into(), &terms.time_zone, then).is_some(),
                    "{name} is shut: {wanted:?}"
                );
            }
        }
    }

    /// We are cut off, and look at no turn: a system that keeps days lets nobody in too long.
    #[test]
    fn a_system_that_keeps_days_holds_nothing_too_long_by_itself(
        points in any_points(), from in any_day(), now in any_moment(), later in 0..240i64,
    ) {
        let (terms, card) = (terms(true), Validity { from, until: None });
        let wanted = merge(&points, card, &terms, now);
        let then = Timestamp::from_millis(now.as_millis() + later * HOUR);
        for name in ["lab", "main", "yard"] {
            let is_open = points
                .iter()
                .any(|point| point.access_point == name && opens(point, card, &terms.time_zone, then));
            let held = held(&wanted.want, &name.into(), &terms.time_zone, then);
            prop_assert!(held.is_none() || is_open, "{name}: {wanted:?}");
        }
    }

    #[test]
    fn what_is_wanted_stays_until_the_turn_and_no_order_changes_it(
        mut points in any_points(), card in any_card(), now in any_moment(), later in 0..240i64,
    ) {
        let terms = terms(true);
        let wanted = merge(&points, card, &terms, now);
        let then = Timestamp::from_millis(now.as_millis() + later * HOUR);
        if wanted.turn.is_none_or(|turn| then < turn.at) {
            prop_assert_eq!(merge(&points, card, &terms, then), wanted.clone());
        }
        prop_assert!(wanted.turn.is_none_or(|turn| turn.at > now), "a turn that is over is no turn");
        points.reverse();
        prop_assert_eq!(merge(&points, card, &terms, now), wanted);
    }
}
