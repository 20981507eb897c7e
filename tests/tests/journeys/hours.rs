//! Hours, days and whereabouts, through the whole server and by its commands.

use std::time::Duration;

use directory::credential;
use kernel::{Clock as _, SystemClock};
use server::stage::{CONTROL_ROOM, at_device};
use store::{Origin, sql};
use world::{Scene, Served, parts, skip, until};

use crate::steps::{Employee, card_gone, hire, hire_at, holds, journal_is_good};

journeys!(an_end_within_the_day_closes_every_door_at_that_hour);

async fn an_end_within_the_day_closes_every_door_at_that_hour(scene: &Scene) {
    let stage = &scene.stage;
    let db = &stage.house.db;
    let mira = hire(stage, "Mira").await;
    until("the card at the device", async || stage.device.holds(at_device(mira.card)).then_some(())).await;
    let card = credential::of_user(db, mira.id.parse().unwrap()).await.unwrap().remove(0);
    let mut tx = db.write(Origin::system()).await.unwrap();
    let end = tx.now().plus(Duration::from_secs(3_600));
    let done = credential::set_validity(&mut tx, &card, None, Some(end), None).await;
    tx.end(done).await.unwrap();
    until("both door systems to know it", async || {
        let (noted,): (i64,) = db.one(sql!("SELECT COUNT(*) FROM placement_due"), ()).await.unwrap();
        (noted == 2).then_some(())
    })
    .await;
    scene.clock.advance(Duration::from_secs(3_000));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(stage.controller.swipe(mira.card, CONTROL_ROOM).granted, "it is not over yet");

    scene.clock.advance(Duration::from_secs(600));
    card_gone(&stage.controller, mira.card).await;
    let gone = async || (!stage.device.holds(at_device(mira.card))).then_some(());
    until("the card absent from the device", gone).await;
    until("its absence proven at both", async || {
        let text = sql!("SELECT COUNT(*) FROM placement WHERE wanted = 'absent' AND ack >= 2");
        let (proven,): (i64,) = db.one(text, ()).await.unwrap();
        (proven == 2).then_some(())
    })
    .await;
    let ended = sql!("SELECT COUNT(*) FROM fact WHERE kind = 'placement.validity-ended'");
    assert_eq!(db.one::<(i64,)>(ended, ()).await.unwrap(), (2,));
    journal_is_good(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_is_valid_for_as_long_as_the_command_says() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { user_name, card, .. } = hire_at(&house, "Mira").await;
    let written = format!("h10301:{}:{}", card / 100_000, card % 100_000);
    let end = SystemClock.now().plus(Duration::from_secs(4)).to_string();
    let said = house.must(&["credential", "validity", &written, "--until", &end, "--who", "Guard"]).await;
    assert!(said.contains(&format!("{written} is valid until {end} now")), "{said}");
    card_gone(&house.controller, card).await;
    assert!(SystemClock.now().to_string() >= end, "not before its time");
    until("the card nowhere", async || (!house.holds(card)).then_some(())).await;

    house
        .must(&["credential", "validity", &user_name, "--from", "2001-01-01", "--until", "2098-12-31"])
        .await;
    until("the card back on the controller", async || holds(&house.controller, card).then_some(())).await;
    let days = async || {
        let held = house.controller.cards().into_iter().find(|held| held.number == card)?;
        Some((held.from.to_string(), held.to.to_string()))
    };
    assert_eq!(days().await, Some(("2001-01-01".into(), "2098-12-31".into())));
    house.must(&["credential", "validity", &user_name, "--always"]).await;
    until("no days any more", async || (days().await?.1 == "2099-12-31").then_some(())).await;
    for wrong in [
        &["credential", "validity", &user_name][..],
        &["credential", "validity", &user_name, "--until", "tomorrow"],
        &["credential", "validity", &user_name, "--from", "2026-13-01"],
        &["credential", "validity", &user_name, "--always", "--from", "2026-12-01"],
    ] {
        let said = house.cardea(wrong).await;
        assert_eq!(said.code, Some(64), "{wrong:?}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_where_is_shown_as_doors_tell_it() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    // A door of its own says which time profile a schedule is, and which way it leads.
    let declared = house
        .declaration()
        .replace(
            "control-room-door = \"control-room\"",
            "control-room-door = { area = \"control-room\", from = \"transformer-hall\" }",
        )
        .replace(
            "[card_pool.staff]",
            "[schedule.office-hours]\n[door_system.headquarters.schedules]\noffice-hours = 29\n\n[card_pool.staff]",
        );
    house.write("more.toml", &declared);
    let said = house.must(&["apply", "--yes", &house.path("more.toml")]).await;
    assert!(said.contains("schedules: - → {\"office-hours\":29}"), "{said}");
    assert!(said.contains("from: - → \"transformer-hall\""), "{said}");
    assert!(house.must(&["apply", &house.path("more.toml")]).await.contains("Nothing to change."));
    let checked = house.must(&["check"]).await;
    assert!(checked.contains("schedule office-hours is its time profile 29"), "{checked}");

    house.serve().await;
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    let nobody = house.must(&["presence"]).await;
    assert!(nobody.contains("0 person(s) whose whereabouts are known"), "{nobody}");
    assert!(house.controller.swipe(card, CONTROL_ROOM).granted);
    let there = until("somebody in the control room", async || {
        let said = house.must(&["presence"]).await;
        said.contains("1 person(s)").then_some(said)
    })
    .await;
    for words in ["Control room (control-room): 1", &user_name, "by control-room-door"] {
        assert!(there.contains(words), "{words} in:\n{there}");
    }
    let json: serde_json::Value = serde_json::from_str(&house.must(&["presence", "--json"]).await).unwrap();
    let (user, area) = (json[0]["user"].as_str(), json[0]["area"].as_str());
    assert_eq!((user, area), (Some(id.as_str()), Some("control-room")));
    let hall = house.must(&["presence", "--area", "transformer-hall"]).await;
    assert!(hall.contains("0 person(s)"), "{hall}");
    let nowhere = house.cardea(&["presence", "--area", "attic"]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.err.contains("no area is called \"attic\"; declared are: control-room"), "{nowhere:?}");
    house.hr().end_employment(&id).await.unwrap();
    assert!(house.must(&["presence"]).await.contains("0 person(s)"), "nothing is kept about who has left");
}
