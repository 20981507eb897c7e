//! When a card opens which portal, read off the rows that say so. Pure.
//!
//! A user opens a portal in the hours of the time zones of the rules that lead from the user, or a group of the user's,
//! to the portal; rules that block come before rules that allow (vendor's access API, "access rules").

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime, date};

use super::object::{
    CardRow, GroupRule, Pin, PortalRule, Role, Rule, RuleZone, Span, User, UserGroup, UserRule,
};
use crate::connector::{Access, AccessPointAddress, Deviation, Held, ReadBack, Reading};

/// All rows about some users.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) users: Vec<User>,
    pub(super) user_rules: Vec<UserRule>,
    pub(super) user_groups: Vec<UserGroup>,
    pub(super) group_rules: Vec<GroupRule>,
    pub(super) rules: Vec<Rule>,
    pub(super) portal_rules: Vec<PortalRule>,
    pub(super) rule_zones: Vec<RuleZone>,
    pub(super) spans: Vec<Span>,
    pub(super) pins: Vec<Pin>,
    pub(super) roles: Vec<Role>,
}

/// When a user opens a portal.
enum Opens {
    Never,
    At(Access),
    /// In hours that no wish of ours can mean.
    AtOtherHours,
}

impl Rows {
    /// What the device holds for a card, at the portals that the configuration names.
    pub(super) fn held(
        &self,
        card: &CardRow,
        portals: &BTreeMap<i64, AccessPointAddress>,
        unit: &str,
    ) -> ReadBack {
        let user = self.users.iter().find(|user| user.id == card.user_id);
        let valid_from = user.and_then(|user| day_of(user.begin_time));
        let valid_to = user.and_then(|user| day_of(user.end_time));
        let mut seen = ReadBack::default();
        let named = portals.iter().map(|(portal, point)| (*portal, Some(point)));
        let led_to = self.portal_rules.iter().map(|rule| rule.portal_id);
        let unnamed = led_to.filter(|portal| !portals.contains_key(portal)).collect::<BTreeSet<_>>();
        for (portal, point) in named.chain(unnamed.into_iter().map(|portal| (portal, None))) {
            let opens = self.opens(card.user_id, portal);
            let access = match opens {
                Opens::Never => None,
                Opens::At(access) => Some(access),
                Opens::AtOtherHours => {
                    seen.deviations.insert(Deviation::OtherHours { unit: unit.into(), door: portal });
                    Some(Access::Always)
                }
            };
            match point {
                Some(point) => {
                    let held = Held { access, valid_from, valid_to };
                    seen.points.insert(point.clone(), Reading::Held(held));
                }
                None if access.is_some() => {
                    seen.deviations.insert(Deviation::UnnamedDoor { unit: unit.into(), door: portal });
                }
                None => {}
            }
        }
        let has = |rows: bool, deviation| rows.then_some(deviation);
        let types = self.pins.iter().any(|pin| pin.user_id == card.user_id);
        let administers = self.roles.iter().any(|role| role.user_id == card.user_id);
        seen.deviations.extend(has(types, Deviation::Pin));
        seen.deviations.extend(has(administers, Deviation::Administrator { unit: unit.into() }));
        seen
    }

    fn opens(&self, user: i64, portal: i64) -> Opens {
        let (blocking, allowing): (BTreeSet<i64>, BTreeSet<i64>) = {
            let (mut blocking, mut allowing) = (BTreeSet::new(), BTreeSet::new());
            for rule in self.rules_of(user).into_iter().filter(|rule| self.leads_to(*rule, portal)) {
                let blocks = self.rules.iter().any(|row| row.id == rule && row.kind == Rule::BLOCKS);
                if blocks {
                    blocking.insert(rule)
                } else {
                    allowing.insert(rule)
                };
            }
            (blocking, allowing)
        };
        let zones: BTreeSet<i64> = allowing.iter().flat_map(|rule| self.zones_of(*rule)).collect();
        match (blocking.is_empty(), zones.len()) {
            (_, 0) => Opens::Never,
            // It may still block at some hours only: then this says more than is held, which is found, not missed.
            (false, _) => Opens::AtOtherHours,
            _ if zones.iter().any(|zone| self.is_always(*zone)) => Opens::At(Access::Always),
            (true, 1) => match zones.first().map(|zone| u8::try_from(*zone)) {
                Some(Ok(zone)) => Opens::At(Access::TimeProfile(zone)),
                _ => Opens::AtOtherHours,
            },
            (true, _) => Opens::AtOtherHours,
        }
    }

    fn rules_of(&self, user: i64) -> BTreeSet<i64> {
        let own = self.user_rules.iter().filter(|row| row.user_id == user).map(|row| row.access_rule_id);
        let groups: BTreeSet<i64> =
            self.user_groups.iter().filter(|row| row.user_id == user).map(|row| row.group_id).collect();
        let of_groups = self.group_rules.iter().filter(|row| groups.contains(&row.group_id));
        own.chain(of_groups.map(|row| row.access_rule_id)).collect()
    }

    fn leads_to(&self, rule: i64, portal: i64) -> bool {
        self.portal_rules.iter().any(|row| row.access_rule_id == rule && row.portal_id == portal)
    }

    fn zones_of(&self, rule: i64) -> impl Iterator<Item = i64> {
        self.rule_zones.iter().filter(move |row| row.access_rule_id == rule).map(|row| row.time_zone_id)
    }

    fn is_always(&self, zone: i64) -> bool {
        self.spans.iter().any(|span| span.time_zone_id == zone && span.is_always())
    }
}

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// A device's wall clock at a number of its own: local time, written as if it were UTC.
pub(super) fn wall_clock(seconds: i64) -> Option<DateTime> {
    EPOCH.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}

/// The day of a bound of a user's validity; 0 is none.
fn day_of(seconds: Option<i64>) -> Option<Date> {
    wall_clock(seconds.filter(|seconds| *seconds != 0)?).map(DateTime::date)
}

/// The first second of a day, as a device counts.
pub(super) fn first_second(day: Date) -> i64 {
    day.at(0, 0, 0, 0).duration_since(EPOCH).as_secs()
}

/// The last second of a day.
pub(super) fn last_second(day: Date) -> i64 {
    first_second(day) + Span::LAST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn always(zone: i64) -> Span {
        serde_json::from_value(Span::always(zone)).unwrap()
    }

    /// User 1 has rule 10, and by group 5 rule 20; portal 1 is `a`, portal 2 `b`, portal 3 has no name.
    fn rows() -> Rows {
        Rows {
            users: vec![User { id: 1, registration: "x".into(), begin_time: None, end_time: Some(0) }],
            user_rules: vec![UserRule { user_id: 1, access_rule_id: 10 }],
            user_groups: vec![UserGroup { user_id: 1, group_id: 5 }],
            group_rules: vec![GroupRule { group_id: 5, access_rule_id: 20 }],
            rules: [10, 20].map(|id| Rule { id, name: String::new(), kind: 1 }).to_vec(),
            portal_rules: vec![PortalRule { portal_id: 1, access_rule_id: 10 }],
            rule_zones: vec![RuleZone { access_rule_id: 10, time_zone_id: 7 }],
            spans: vec![always(7)],
            ..Rows::default()
        }
    }

    fn seen(rows: &Rows) -> ReadBack {
        let portals = [(1, "a".into()), (2, "b".into())].into();
        rows.held(&CardRow { id: 1, value: 9, user_id: 1 }, &portals, "77")
    }

    fn access(rows: &Rows, point: &str) -> Option<Access> {
        match &seen(rows).points[&point.into()] {
            Reading::Held(held) => held.access,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_right_needs_user_rule_portal_and_hours() {
        assert_eq!((access(&rows(), "a"), access(&rows(), "b")), (Some(Access::Always), None));
        assert!(seen(&rows()).deviations.is_empty());
        let without = |cut: fn(&mut Rows)| {
            let mut rows = rows();
            cut(&mut rows);
            access(&rows, "a")
        };
        assert_eq!(without(|rows| rows.user_rules.clear()), None);
        assert_eq!(without(|rows| rows.portal_rules.clear()), None);
        assert_eq!(without(|rows| rows.rule_zones.clear()), None);
        assert_eq!(without(|rows| rows.spans[0].mon = 0), Some(Access::TimeProfile(7)));
    }

    #[test]
    fn a_group_gives_rights_as_well() {
        let mut rows = rows();
        rows.portal_rules.push(PortalRule { portal_id: 2, access_rule_id: 20 });
        rows.rule_zones.push(RuleZone { access_rule_id: 20, time_zone_id: 3 });
        assert_eq!(access(&rows, "b"), Some(Access::TimeProfile(3)));
    }

    #[test]
    fn what_no_wish_can_mean_is_a_deviation() {
        let other_hours = |door| Deviation::OtherHours { unit: "77".into(), door };
        let deviations = |change: fn(&mut Rows)| {
            let mut rows = rows();
            change(&mut rows);
            seen(&rows).deviations
        };
        // A second zone beside one that is not always; a number that no profile has; a rule that blocks.
        let two = deviations(|rows| {
            rows.spans.clear();
            rows.rule_zones.push(RuleZone { access_rule_id: 10, time_zone_id: 8 });
        });
        assert_eq!(two, [other_hours(1)].into());
        let high = deviations(|rows| {
            rows.spans.clear();
            rows.rule_zones[0].time_zone_id = 900;
        });
        assert_eq!(high, [other_hours(1)].into());
        let blocked = deviations(|rows| {
            rows.rules[1].kind = 0;
            rows.portal_rules.push(PortalRule { portal_id: 1, access_rule_id: 20 });
        });
        assert_eq!(blocked, [other_hours(1)].into());
        let unnamed = deviations(|rows| {
            rows.portal_rules.push(PortalRule { portal_id: 3, access_rule_id: 10 });
        });
        assert_eq!(unnamed, [Deviation::UnnamedDoor { unit: "77".into(), door: 3 }].into());
        let more = deviations(|rows| {
            rows.pins.push(Pin { user_id: 1 });
            rows.roles.push(Role { user_id: 1 });
            rows.pins.push(Pin { user_id: 2 });
        });
        assert_eq!(more, [Deviation::Pin, Deviation::Administrator { unit: "77".into() }].into());
    }

    #[test]
    fn validity_is_whole_days_of_the_devices_wall_clock() {
        let day = date(2026, 3, 29);
        assert_eq!((first_second(day), last_second(day)), (1_774_742_400, 1_774_828_799));
        for seconds in [first_second(day), last_second(day)] {
            assert_eq!(day_of(Some(seconds)), Some(day));
        }
        assert_eq!((day_of(Some(0)), day_of(None)), (None, None));
        assert_eq!(day_of(Some(i64::MAX)), None);
    }
}
