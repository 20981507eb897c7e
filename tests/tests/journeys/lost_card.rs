//! A card is lost, and somebody acts on it today: its holder, on a page of the account; or somebody with the binary,
//! beside a house that serves.

use bridge::placement::{self, Placement};
use kernel::id::UserId;
use server::stage::{DOORS, Stage, at_device};
use sim::browser::{Browser, Page};
use world::{Scene, Served, parts, skip, until};

use crate::steps::{Employee, PASSWORD, hire_at, holds, join, journal_is_good, receipt};

journeys!(a_card_that_its_holder_reports_lost_is_off_both_door_systems_with_proof);

/// The page of the person's card, signed in if that is asked for.
async fn badge(stage: &Stage, browser: &mut Browser, user_name: &str) -> Page {
    let page = browser.get(&stage.house.issuer.url("/account/badge")).await.unwrap();
    match page.form_with("password") {
        Err(_) => page,
        Ok(form) => browser.submit(&form, &[("username", user_name), ("password", PASSWORD)]).await.unwrap(),
    }
}

async fn a_card_that_its_holder_reports_lost_is_off_both_door_systems_with_proof(scene: &Scene) {
    let stage = &scene.stage;
    let db = &stage.house.db;
    let (mira, mut browser) = join(stage, "Mira").await;
    let [control_room, _, substation] = DOORS;
    let at_the_substation = async || stage.device.holds(at_device(mira.card)).then_some(());
    until("the card at the substation", at_the_substation).await;
    assert!(stage.swipe(mira.card, control_room).await && stage.swipe(mira.card, substation).await);

    let page = badge(stage, &mut browser, &mira.user_name).await;
    let lost = page.form_with("lost").unwrap_or_else(|error| panic!("{error}"));
    let page = browser.submit(&lost, &[]).await.unwrap();
    let shut = page.status == 200 && page.form_with("lost").is_err();
    assert!(shut, "it opens nothing any more: {}", page.text());

    let user: UserId = mira.id.parse().unwrap();
    let placed = until("its absence proven at both door systems", async || {
        let placed = placement::of_user(db, user).await.unwrap();
        (placed.len() == 2 && placed.iter().all(Placement::is_proven_absent)).then_some(placed)
    })
    .await;
    let at: Vec<&str> = placed.iter().map(|placed| placed.door_system.as_str()).collect();
    assert_eq!(at, ["headquarters", "substation"]);
    assert!(!holds(&stage.controller, mira.card) && !stage.device.holds(at_device(mira.card)));
    let exposed = bridge::exposure::report(db).await.unwrap();
    assert!(exposed.is_none_known(), "{exposed:?}");
    assert!(!stage.swipe(mira.card, control_room).await && !stage.swipe(mira.card, substation).await);

    // The receipt of a later end knows that both lists had let go of it before.
    stage.hr.end_employment(&mira.id).await.unwrap();
    let proven = receipt(stage, &mira.id, |receipt| receipt["complete"] == true).await;
    let doors = proven["doors"].as_array().unwrap();
    let names: Vec<&str> = doors.iter().filter_map(|door| door["access_point"].as_str()).collect();
    assert_eq!(names, ["control-room-door", "substation-gate"], "{proven}");
    for door in doors {
        assert_eq!(door["status"], "revoked", "{door}");
        let read_back = door["read_back_at"].as_str().unwrap();
        assert!(read_back <= proven["cause"]["at"].as_str().unwrap(), "{proven}");
    }
    // It is lost, whatever HR says.
    stage.hr.rehire(&mira.id).await.unwrap();
    until("nothing to deliver", async || {
        let (waiting, _) = store::delivery::depth(db).await.unwrap();
        (waiting == 0).then_some(())
    })
    .await;
    assert!(!holds(&stage.controller, mira.card) && !stage.device.holds(at_device(mira.card)));
    journal_is_good(stage).await;
}

/// On both lists.
async fn there(house: &Served, card: u32) {
    until("the card on both lists", async || {
        (holds(&house.controller, card) && house.device.holds(at_device(card))).then_some(())
    })
    .await;
}

/// On neither list.
async fn gone(house: &Served, card: u32) {
    until("the card on neither list", async || (!house.holds(card)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_suspended_by_hand_is_off_until_a_hand_brings_it_back() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    there(&house, card).await;
    let written = format!("h10301:{}:{}", card / 100_000, card % 100_000);

    let said = house.must(&["credential", "suspend", &written, "--who", "Guard"]).await;
    assert!(said.contains(&written), "{said}");
    gone(&house, card).await;
    // HR's false and true bring back the account, and not the card.
    house.hr().end_employment(&id).await.unwrap();
    house.hr().rehire(&id).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!house.holds(card));
    let exposed = house.must(&["exposure"]).await;
    assert!(exposed.contains("0 card(s) could open what they must not"), "{exposed}");

    house.must(&["credential", "resume", &user_name]).await;
    there(&house, card).await;
    house.must(&["credential", "revoke", &user_name]).await;
    gone(&house, card).await;
    let next = async || house.controller.cards().first().map(|card| card.number);
    let next = until("the next card", next).await;
    assert_ne!(next, card);
    there(&house, next).await;
    let lost = house.cardea(&["credential", "resume", &written]).await;
    assert_eq!(lost.code, Some(1), "{lost:?}");
    let nobody = house.cardea(&["credential", "suspend", "nobody@grid.example"]).await;
    assert!(nobody.code == Some(1) && nobody.err.contains("is no card"), "{nobody:?}");
}
