//! What else happens to people: they come back, go for good, change their minds, move.

use server::stage::{CONTROL_ROOM, DEPARTMENT, TRANSFORMER_HALL};
use world::{Scene, until};

use crate::steps::{PASSWORD, card_gone, hire, holds, join, journal_is_good, person, receipt};

journeys!(
    somebody_who_comes_back_gets_the_same_card_and_no_session,
    deleting_a_user_revokes_for_good_and_the_receipt_says_so,
    false_true_false_ends_with_no_access,
    a_mover_loses_one_door_and_gains_another,
);

async fn somebody_who_comes_back_gets_the_same_card_and_no_session(scene: &Scene) {
    let stage = &scene.stage;
    let (mira, mut browser) = join(stage, "Mira").await;
    let session = stage.app.sign_in(&mut browser, &mira.user_name, PASSWORD).await.unwrap();
    stage.hr.end_employment(&mira.id).await.unwrap();
    card_gone(&stage.controller, mira.card).await;

    stage.hr.rehire(&mira.id).await.unwrap();
    let card = until("a card on the controller", async || stage.only_card()).await;
    assert_eq!(card, mira.card);
    assert!(stage.controller.swipe(card, CONTROL_ROOM).granted);
    assert_eq!(stage.app.introspect(&session.access_token).await.unwrap()["active"], false);
    assert!(stage.app.userinfo(&session.access_token).await.is_err());
    let silent = stage.app.sign_in_silently(&mut browser).await.unwrap_err();
    assert_eq!(silent.code(), Some("login_required"), "{silent}");
}

async fn deleting_a_user_revokes_for_good_and_the_receipt_says_so(scene: &Scene) {
    let stage = &scene.stage;
    let (mira, mut browser) = join(stage, "Mira").await;
    let session = stage.app.sign_in(&mut browser, &mira.user_name, PASSWORD).await.unwrap();
    stage.hr.delete(&mira.id).await.unwrap();
    assert_eq!(stage.hr.user(&mira.id).await.unwrap_err().status(), Some(404));
    assert_eq!(stage.app.introspect(&session.access_token).await.unwrap()["active"], false);
    card_gone(&stage.controller, mira.card).await;
    assert!(!stage.controller.swipe(mira.card, CONTROL_ROOM).granted);
    let proven = receipt(stage, &mira.id, |receipt| receipt["complete"] == true).await;
    assert_eq!(proven["cause"]["kind"], "user.deleted");
    assert_eq!(proven["doors"][0]["status"], "revoked");

    // Somebody of the same name is somebody else, with another card.
    let other = hire(stage, "Mira").await;
    assert_ne!((&other.id, other.card), (&mira.id, mira.card));
    assert_ne!(other.card, mira.card);
    assert!(!holds(&stage.controller, mira.card));
    journal_is_good(stage).await;
}

async fn false_true_false_ends_with_no_access(scene: &Scene) {
    let stage = &scene.stage;
    let mira = hire(stage, "Mira").await;
    stage.hr.end_employment(&mira.id).await.unwrap();
    stage.hr.rehire(&mira.id).await.unwrap();
    stage.hr.end_employment(&mira.id).await.unwrap();
    let last = |receipt: &serde_json::Value| {
        receipt["complete"] == true && receipt["doors"].as_array().is_some_and(|doors| !doors.is_empty())
    };
    receipt(stage, &mira.id, last).await;
    card_gone(&stage.controller, mira.card).await;
    until("nothing to deliver", async || {
        let (waiting, _) = store::delivery::depth(&stage.house.db).await.unwrap();
        (waiting == 0).then_some(())
    })
    .await;
    assert!(!holds(&stage.controller, mira.card));
    assert!(!stage.controller.swipe(mira.card, CONTROL_ROOM).granted);
    let last = receipt(stage, &mira.id, last).await;
    assert_eq!(last["cause"]["kind"], "user.deactivated");
    journal_is_good(stage).await;
}

const HIGH_VOLTAGE: &str = r#"
[policy.high-voltage]
text = '''
@id("high-voltage")
@because("High Voltage works in the transformer hall.")
permit (
    principal in Department::"High Voltage",
    action == Action::"hold",
    resource == AccessProfile::"high-voltage"
);
'''
"#;

async fn a_mover_loses_one_door_and_gains_another(scene: &Scene) {
    let stage = &scene.stage;
    let house = &stage.house;
    let declared = std::fs::read_to_string(stage.folder.path().join("grid.toml")).unwrap() + HIGH_VOLTAGE;
    server::apply::apply(&house.db, &house.sealing, &declared, stage.folder.path()).await.unwrap();
    let mira = hire(stage, "Mira").await;
    let opens = |door| stage.controller.swipe(mira.card, door).granted;
    assert_eq!((opens(CONTROL_ROOM), opens(TRANSFORMER_HALL)), (true, false));

    stage.hr.move_department(&mira.id, "High Voltage").await.unwrap();
    until("the other door only", async || (!opens(CONTROL_ROOM) && opens(TRANSFORMER_HALL)).then_some(()))
        .await;
    assert_eq!(stage.only_card(), Some(mira.card), "it is the same card");

    stage.hr.move_department(&mira.id, "Accounting").await.unwrap();
    card_gone(&stage.controller, mira.card).await;
    stage.hr.move_department(&mira.id, DEPARTMENT).await.unwrap();
    until("the first door again", async || opens(CONTROL_ROOM).then_some(())).await;
    assert!(!opens(TRANSFORMER_HALL));

    // Whoever belongs to neither department opens neither door.
    let nobody = sim::hr::Person { department: None, ..person("Noor") };
    stage.hr.hire(&nobody).await.unwrap();
    assert_eq!(stage.only_card(), Some(mira.card));
}
