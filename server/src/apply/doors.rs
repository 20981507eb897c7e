//! What a declaration says of doors: door systems with their access points and hours, and access profiles with
//! schedules and days.
//!
//! Short forms are for the file only: an item names every access point with the schedule that holds there, however the
//! file said it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use directory::declared::{self, Item, Kind};
use directory::door::UnknownCards;
use kernel::Day;
use serde::Deserialize;
use serde_json::json;
use toml::value::Datetime;

use super::file::{FileError, Read, secret};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DoorSystem {
    connector: String,
    secret_file: Option<PathBuf>,
    /// What becomes of cards on its list that are nobody's: `report`, or `quarantine`.
    #[serde(default)]
    unknown_cards: UnknownCards,
    /// The connector's own settings.
    #[serde(default)]
    config: serde_json::Value,
    /// Access point → what it leads into.
    #[serde(default)]
    access_points: BTreeMap<String, AccessPoint>,
    /// Schedule → the number of the time profile that it is here.
    #[serde(default)]
    schedules: BTreeMap<String, u8>,
}

/// `"lab"`, or `{ area = "lab", from = "hall" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the area that the access point leads into, or { area = \"…\", from = \"…\" }"
)]
enum AccessPoint {
    Into(String),
    Between(Between),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    /// What it leads into.
    area: String,
    /// What it leads out of: where one is who is let out.
    from: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessProfile {
    title: Option<String>,
    project: Option<String>,
    /// For each of its access points that names no other; by default always.
    schedule: Option<String>,
    access_points: Vec<ProfilePoint>,
    /// The first day, at each door by its local time.
    valid_from: Option<Datetime>,
    /// The last day.
    valid_until: Option<Datetime>,
}

/// `"lab-door"`, or `{ access_point = "lab-door", schedule = "office-hours" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of an access point, or { access_point = \"…\", schedule = \"…\" }"
)]
enum ProfilePoint {
    Named(String),
    OnSchedule(OnSchedule),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnSchedule {
    access_point: String,
    schedule: String,
}

/// A door system, after its access points.
pub(super) fn door_items(
    name: String,
    system: DoorSystem,
    read: Read<'_>,
    items: &mut Vec<Item>,
) -> Result<(), FileError> {
    let secret = match &system.secret_file {
        Some(file) => Some(secret(&format!("door_system {name}"), read, file)?),
        None => None,
    };
    for (point, leads) in system.access_points {
        let (area, from) = match leads {
            AccessPoint::Into(area) => (area, None),
            AccessPoint::Between(Between { area, from }) => (area, from),
        };
        let fields = json!({ "door_system": name, "area": area, "from": from });
        items.push(Item::new(Kind::AccessPoint, point, fields));
    }
    let schedules = Some(system.schedules).filter(|schedules| !schedules.is_empty());
    let fields = json!({
        "connector": system.connector, "config": system.config, "schedules": schedules,
        "unknown_cards": system.unknown_cards.said(),
    });
    items.push(Item::new(Kind::DoorSystem, name, fields).with_secret(secret));
    Ok(())
}

/// The name of an access point is its own, whatever door system it belongs to.
pub(super) fn check_access_points(systems: &BTreeMap<String, DoorSystem>) -> Result<(), FileError> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, system) in systems {
        for point in system.access_points.keys() {
            if let Some(other) = owners.insert(point, name) {
                return Err(FileError::Contradiction(format!(
                    "access point {point} is declared by door_system {other} and by door_system {name}: give one \
                     of them another name"
                )));
            }
        }
    }
    Ok(())
}

pub(super) fn profile_item(name: String, profile: AccessProfile) -> Result<Item, FileError> {
    let mut points: BTreeMap<String, Option<String>> = BTreeMap::new();
    for point in profile.access_points {
        let (point, schedule) = match point {
            ProfilePoint::Named(point) => (point, profile.schedule.clone()),
            ProfilePoint::OnSchedule(OnSchedule { access_point, schedule }) => (access_point, Some(schedule)),
        };
        if points.get(&point).is_some_and(|other| *other != schedule) {
            return Err(FileError::Contradiction(format!(
                "access_profile {name}: access point {point} has two schedules: choose one"
            )));
        }
        points.insert(point, schedule);
    }
    let points: Vec<serde_json::Value> =
        points.iter().map(|(point, schedule)| declared::profile_point(point, schedule.as_deref())).collect();
    let (from, until) =
        (day(&name, "valid_from", profile.valid_from)?, day(&name, "valid_until", profile.valid_until)?);
    if from.zip(until).is_some_and(|(from, until)| until < from) {
        return Err(FileError::Contradiction(format!(
            "access_profile {name}: valid_until {until} is before valid_from {from}",
            until = shown(until),
            from = shown(from)
        )));
    }
    let fields = json!({
        "title": profile.title.unwrap_or_else(|| name.clone()), "project": profile.project,
        "access_points": points, "valid_from": from, "valid_until": until,
    });
    Ok(Item::new(Kind::AccessProfile, name, fields))
}

fn shown(day: Option<Day>) -> String {
    day.map_or_else(String::new, |day| day.to_string())
}

/// A whole day; a time with it would mean another hour at each door.
fn day(profile: &str, key: &str, given: Option<Datetime>) -> Result<Option<Day>, FileError> {
    let Some(given) = given else { return Ok(None) };
    let day = given.to_string().parse::<Day>();
    day.map(Some).map_err(|error| {
        FileError::Contradiction(format!("access_profile {profile}: {key}: {given} is {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::super::file::Declaration;
    use super::*;

    fn read(text: &str) -> Result<Vec<Item>, FileError> {
        Declaration::parse(text)?.items(Path::new("nowhere"))
    }

    #[track_caller]
    fn check(text: &str, name: &str, expect: Value) {
        let items = read(text).unwrap_or_else(|error| panic!("{error}"));
        let item = items.iter().find(|item| item.name == name).expect("an item of that name");
        assert_eq!(item.fields, Item::new(item.kind, name, expect).fields);
    }

    #[track_caller]
    fn refuses(text: &str, because: &[&str]) {
        let error = read(text).unwrap_err().to_string();
        for words in because {
            assert!(error.contains(words), "{words:?} is not in: {error}");
        }
    }

    #[test]
    fn an_access_point_leads_into_an_area_and_may_lead_out_of_another() {
        let text = r#"
            [door_system.hq]
            connector = "x"
            [door_system.hq.access_points]
            door = "lab"
            hatch = { area = "lab" }
            gate = { area = "lab", from = "yard" }
            [door_system.hq.schedules]
            office-hours = 2
        "#;
        check(text, "door", json!({ "door_system": "hq", "area": "lab" }));
        check(text, "hatch", json!({ "door_system": "hq", "area": "lab" }));
        check(text, "gate", json!({ "door_system": "hq", "area": "lab", "from": "yard" }));
        check(text, "hq", json!({ "connector": "x", "schedules": { "office-hours": 2 } }));
        for wrong in ["3", "{ from = \"yard\" }", "{ area = \"lab\", to = \"yard\" }"] {
            let text = format!("[door_system.hq]\nconnector = \"x\"\naccess_points = {{ door = {wrong} }}\n");
            refuses(&text, &["the area that the access point leads into"]);
        }
        let system = "[door_system.hq]\nconnector = \"x\"\n[door_system.hq.schedules]\noffice-hours = ";
        refuses(&format!("{system}300"), &["300"]);
        refuses(&format!("{system}\"two\""), &["two"]);
    }

    #[test]
    fn a_profile_has_a_schedule_for_all_its_access_points_or_for_some() {
        let profile = |lines: &str| format!("[access_profile.p]\ntitle = \"P\"\n{lines}");
        let on = |point: &str, schedule: &str| json!({ "access_point": point, "schedule": schedule });
        check(
            &profile("access_points = [\"b\", \"a\"]"),
            "p",
            json!({ "title": "P", "access_points": ["a", "b"] }),
        );
        check(
            &profile("schedule = \"office\"\naccess_points = [\"b\", \"a\", \"b\"]"),
            "p",
            json!({ "title": "P", "access_points": [on("a", "office"), on("b", "office")] }),
        );
        check(
            &profile("access_points = [\"b\", { access_point = \"a\", schedule = \"night\" }]"),
            "p",
            json!({ "title": "P", "access_points": [on("a", "night"), "b"] }),
        );
        check(
            &profile(
                "schedule = \"office\"\naccess_points = [\"b\", { access_point = \"a\", schedule = \"night\" }]",
            ),
            "p",
            json!({ "title": "P", "access_points": [on("a", "night"), on("b", "office")] }),
        );
        refuses(
            &profile("access_points = [\"a\", { access_point = \"a\", schedule = \"night\" }]"),
            &["access_profile p", "access point a has two schedules"],
        );
        for wrong in ["3", "{ access_point = \"a\" }", "{ access_point = \"a\", hours = \"night\" }"] {
            let text = profile(&format!("access_points = [{wrong}]"));
            refuses(&text, &["the name of an access point, or"]);
        }
    }

    #[test]
    fn a_profile_is_valid_from_day_to_day() {
        let profile = |lines: &str| format!("[access_profile.p]\naccess_points = []\n{lines}");
        check(
            &profile("valid_from = 2026-11-01\nvalid_until = 2026-11-30"),
            "p",
            json!({
                "title": "p", "access_points": [], "valid_from": "2026-11-01", "valid_until": "2026-11-30",
            }),
        );
        let same = profile("valid_from = 2026-11-30\nvalid_until = 2026-11-30");
        assert!(read(&same).is_ok(), "one day");
        refuses(
            &profile("valid_from = 2026-11-30\nvalid_until = 2026-11-29"),
            &["access_profile p", "valid_until 2026-11-29 is before valid_from 2026-11-30"],
        );
        for wrong in ["2026-11-30T17:00:00", "2026-11-30T17:00:00Z", "17:00:00", "1999-01-01", "2150-01-01"] {
            let text = profile(&format!("valid_until = {wrong}"));
            refuses(&text, &["access_profile p: valid_until", "is not a day: expected one like 2026-12-31"]);
        }
        refuses(&profile("valid_until = \"2026-11-30\""), &["line 3"]);
        refuses(&profile("valid_until = 2026-11-31"), &["line 3"]);
    }
}
