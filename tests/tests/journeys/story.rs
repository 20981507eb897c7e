//! The whole story in this process, on both pairs of engines: every step seen by HR, the app or the door.

use server::stage::{CONTROL_ROOM, SUBSTATION, TRANSFORMER_HALL, at_device};
use world::{Scene, until};

use crate::steps::{PASSWORD, card_gone, hire, journal_is_good, receipt, set_password};

journeys!(a_life_from_hiring_to_proof);

async fn a_life_from_hiring_to_proof(scene: &Scene) {
    let stage = &scene.stage;
    stage.hr.test_connection().await.unwrap();
    let mira = hire(stage, "Mira").await;

    let link = stage.invite(&mira.user_name).await.unwrap();
    let mut browser = stage.browser();
    set_password(&mut browser, &link).await;
    assert_eq!(browser.get(&link).await.unwrap().status, 410, "an invitation works once");

    let session = stage.app.sign_in(&mut browser, &mira.user_name, PASSWORD).await.unwrap();
    assert_eq!(session.claims["acr"], "aal1");
    assert_eq!(session.subject(), mira.id);
    assert_eq!(stage.app.introspect(&session.access_token).await.unwrap()["active"], true);
    assert!(stage.controller.swipe(mira.card, CONTROL_ROOM).granted);
    assert!(!stage.controller.swipe(mira.card, TRANSFORMER_HALL).granted);
    let at_substation = at_device(mira.card);
    until("the card at the substation", async || stage.device.holds(at_substation).then_some(())).await;
    assert!(stage.device.swipe(SUBSTATION, at_substation).await.opened);

    stage.hr.end_employment(&mira.id).await.unwrap();
    // At the commit, so no waiting here.
    assert_eq!(stage.app.introspect(&session.access_token).await.unwrap()["active"], false);
    assert_eq!(stage.app.userinfo(&session.access_token).await.unwrap_err().status(), Some(401));
    let silent = stage.app.sign_in_silently(&mut browser).await.unwrap_err();
    assert_eq!(silent.code(), Some("login_required"), "{silent}");
    let again = stage.app.sign_in(&mut browser, &mira.user_name, PASSWORD).await;
    assert!(again.is_err(), "the password of a leaver opens nothing");

    card_gone(&stage.controller, mira.card).await;
    let proven = receipt(stage, &mira.id, |receipt| receipt["complete"] == true).await;
    assert_eq!(proven["user"], mira.id);
    assert_eq!(proven["cause"]["kind"], "user.deactivated");
    let doors = proven["doors"].as_array().unwrap().iter();
    let doors: Vec<_> = doors.map(|door| (door["access_point"].as_str(), door["status"].as_str())).collect();
    let revoked = Some("revoked");
    assert_eq!(doors, [(Some("control-room-door"), revoked), (Some("substation-gate"), revoked)]);
    assert_eq!(proven["ended_at_commit"]["sessions"], 1);
    assert!(!stage.controller.swipe(mira.card, CONTROL_ROOM).granted);
    assert!(!stage.device.holds(at_substation));
    assert!(!stage.device.swipe(SUBSTATION, at_substation).await.opened);
    // A denial proves only once the absence is, and whoever is refused tries again.
    let denied = receipt(stage, &mira.id, |receipt| {
        assert!(!stage.controller.swipe(mira.card, CONTROL_ROOM).granted);
        receipt["doors"][0]["level"] == "A4"
    })
    .await;
    assert!(denied["doors"][0]["denial_observed_at"].is_string(), "{denied}");
    journal_is_good(stage).await;
}
