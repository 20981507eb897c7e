//! What a plan says of hours, held against the door systems that must keep them.
//!
//! A schedule is a name; which hours it means is set at the devices, under a number that the door system names. So
//! every door system with an access point that somebody opens on a schedule must name its number, and the number must
//! be one that its connector can speak of. Whether a device knows a time profile of that number, nobody asks.
//!
//! A door system that asks us at each swipe keeps no hours: it is we who would have to know them.

use bridge::card::{Card, CardFormat};
use bridge::connector::{
    Access, Connector, DesiredCredential, Refusal, RevocationClass, Rights, Version, Want,
};
use directory::declared::{Item, Kind};
use kernel::Ctx;
use kernel::id::CredentialId;
use serde_json::Value;

use super::{ApplyError, text};

/// The time profiles that a door system names are of declared schedules, and of numbers that its connector can hold.
pub(super) fn check_time_profiles(
    ctx: &Ctx,
    system: &Item,
    connector: &dyn Connector,
    after: &[Item],
) -> Result<(), ApplyError> {
    let wrong = |problem: String| Err(ApplyError::Doors(format!("door system {}: {problem}", system.name)));
    for (schedule, number) in system.fields.get("schedules").and_then(Value::as_object).into_iter().flatten()
    {
        if !is_declared(schedule, after) {
            return wrong(undeclared(schedule));
        }
        if connector.descriptor().revocation == RevocationClass::R0 {
            return wrong(format!(
                "schedule {schedule:?}: it asks us at each swipe, and which hours a schedule is only devices know: say in \
                 a policy when somebody enters (context.time), or let its devices decide by themselves"
            ));
        }
        let Some(number) = number.as_u64().and_then(|number| u8::try_from(number).ok()) else {
            return wrong(format!("schedule {schedule:?}: {number} is no time profile's number"));
        };
        if let Some(refusal) = refuses(ctx, connector, number) {
            return wrong(format!("schedule {schedule:?}: {refusal}"));
        }
    }
    Ok(())
}

/// Every schedule of an access profile is declared, and named by the door system that must keep it.
pub(super) fn check_profiles(after: &[Item]) -> Result<(), ApplyError> {
    for profile in after.iter().filter(|item| item.kind == Kind::AccessProfile) {
        let points = profile.fields.get("access_points").and_then(Value::as_array).into_iter().flatten();
        for point in points {
            let word = |field: &str| point.get(field).and_then(Value::as_str);
            let (Some(point), Some(schedule)) = (word("access_point"), word("schedule")) else { continue };
            let found = check_scheduled(point, schedule, after);
            found.map_err(|problem| {
                ApplyError::Doors(format!("access profile {}: {problem}", profile.name))
            })?;
        }
    }
    Ok(())
}

fn check_scheduled(point: &str, schedule: &str, after: &[Item]) -> Result<(), String> {
    if !is_declared(schedule, after) {
        return Err(undeclared(schedule));
    }
    let find = |kind: Kind, name: &str| after.iter().find(|item| item.kind == kind && item.name == name);
    // What is not declared is told when it is written.
    let Some(system) = find(Kind::AccessPoint, point).map(|point| text(point, "door_system")) else {
        return Ok(());
    };
    let named =
        find(Kind::DoorSystem, &system).and_then(|system| system.fields.get("schedules")?.get(schedule));
    match named {
        Some(_) => Ok(()),
        None => Err(format!(
            "access point {point:?} opens on schedule {schedule:?}, and door system {system} does not say which of its \
             time profiles that is: write {schedule} = NUMBER under [door_system.{system}.schedules]"
        )),
    }
}

fn is_declared(schedule: &str, after: &[Item]) -> bool {
    after.iter().any(|item| item.kind == Kind::Schedule && item.name == schedule)
}

fn undeclared(schedule: &str) -> String {
    format!("schedule {schedule:?} is not declared: write [schedule.{schedule}]")
}

/// Why a connector cannot hold a right in the hours of this time profile, if that is the reason.
fn refuses(ctx: &Ctx, connector: &dyn Connector, number: u8) -> Option<Refusal> {
    let point = connector.access_points().into_iter().next()?;
    let card = connector.descriptor().card_formats.iter().find_map(|format| any_card(*format))?;
    let access = [(point, Access::TimeProfile(number))].into();
    let desired = DesiredCredential {
        // Nobody has it: any id will do.
        version: Version { credential: CredentialId::new(ctx), number: 0 },
        card,
        want: Want::Present(Rights { access, ..Rights::default() }),
    };
    connector.check(&desired).err().filter(|refusal| matches!(refusal, Refusal::TimeProfile { .. }))
}

/// Some card of a format.
fn any_card(format: CardFormat) -> Option<Card> {
    if format == CardFormat::Uid {
        return Card::uid(&[1, 2, 3, 4]).ok();
    }
    let has_facility = format.layout().is_some_and(|layout| layout.facility_bits > 0);
    Card::new(format, has_facility.then_some(1), 1).ok()
}

#[cfg(test)]
mod tests {
    use bridge::connector::Opening;
    use kernel::Secret;
    use serde_json::json;

    use super::*;

    /// A house with one door, `door`, at a UHPPOTE controller that calls `office` by this number.
    fn items(number: Value, profile: Value) -> Vec<Item> {
        let config = json!({
            "controllers": [{"serial": 7, "address": "10.0.0.5:60000", "doors": {"1": "door"}}],
        });
        let system = json!({ "connector": "uhppote", "config": config, "schedules": { "office": number } });
        vec![
            Item::new(Kind::Schedule, "office", json!({ "title": "Office" })),
            Item::new(Kind::Schedule, "night", json!({ "title": "Night" })),
            Item::new(Kind::DoorSystem, "hq", system),
            Item::new(Kind::AccessPoint, "door", json!({ "door_system": "hq", "area": "lab" })),
            Item::new(Kind::AccessProfile, "p", json!({ "title": "P", "access_points": [profile] })),
        ]
    }

    fn check(items: &[Item]) -> Result<(), String> {
        let ctx = Ctx::for_tests(1);
        let system = items.iter().find(|item| item.kind == Kind::DoorSystem).unwrap();
        let config = system.fields.get("config").unwrap();
        let opening = Opening { secret: system.secret.clone(), ..Opening::new(&ctx, config) };
        let connector = bridge::connector::open(&text(system, "connector"), opening).unwrap();
        let time_profiles = check_time_profiles(&ctx, system, connector.as_ref(), items);
        time_profiles.and_then(|()| check_profiles(items)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_schedule_is_declared_named_by_the_door_system_and_of_a_number_that_it_knows() {
        let on = |schedule: &str| json!({ "access_point": "door", "schedule": schedule });
        for (number, profile, expect) in [
            (json!(2), on("office"), None),
            (json!(254), on("office"), None),
            (json!(2), json!("door"), None),
            (json!(2), json!({ "access_point": "elsewhere", "schedule": "office" }), None),
            (
                json!(1),
                json!("door"),
                Some(
                    "door system hq: schedule \"office\": no time profile 1: this door system numbers them 2 to 254",
                ),
            ),
            (json!(255), json!("door"), Some("door system hq: schedule \"office\": no time profile 255")),
            (
                json!(300),
                json!("door"),
                Some("door system hq: schedule \"office\": 300 is no time profile's number"),
            ),
            (
                json!(2),
                on("noon"),
                Some("access profile p: schedule \"noon\" is not declared: write [schedule.noon]"),
            ),
            (
                json!(2),
                on("night"),
                Some(
                    "access profile p: access point \"door\" opens on schedule \"night\", and door system hq does not say",
                ),
            ),
        ] {
            let found = check(&items(number.clone(), profile.clone())).err();
            let said = found.as_deref().unwrap_or_default();
            assert!(
                expect.map_or(said.is_empty(), |expect| said.starts_with(expect)),
                "{number} {profile}: {said}"
            );
        }
        let mut undeclared = items(json!(2), json!("door"));
        undeclared.retain(|item| item.name != "office");
        let said = check(&undeclared).unwrap_err();
        assert!(said.starts_with("door system hq: schedule \"office\" is not declared"), "{said}");
    }

    #[test]
    fn a_door_system_that_asks_us_at_each_swipe_keeps_no_hours() {
        let on_schedule = json!({ "access_point": "door", "schedule": "office" });
        for (mode, expect) in [
            ("standalone", None),
            ("online", Some("door system hq: schedule \"office\": it asks us at each swipe")),
        ] {
            let portal = match mode {
                "online" => json!({"name": "door", "door": 1}),
                _ => json!("door"),
            };
            let config = json!({
                "login": "cardea", "mode": mode, "listen": "127.0.0.1:0",
                "devices": [{"device_id": 7, "url": "http://10.0.0.7", "portals": {"1": portal}}],
            });
            let system = json!({ "connector": "controlid", "config": config, "schedules": { "office": 2 } });
            let system = Item::new(Kind::DoorSystem, "hq", system);
            let mut items = items(json!(2), on_schedule.clone());
            items.retain(|item| item.kind != Kind::DoorSystem);
            items.push(system.with_secret(Some(Secret::new("a long password".into()))));
            let found = check(&items).err();
            let said = found.as_deref().unwrap_or_default();
            assert!(expect.map_or(said.is_empty(), |expect| said.starts_with(expect)), "{mode}: {said}");
        }
    }
}
