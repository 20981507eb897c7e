//! Cards that no panel can hold, panels that cannot be reached.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bridge::alert::{NO_CARD, REVOCATION_WAITS, open_alerts};
use server::stage::Stage;
use sim::uhppote::Misbehaviour;
use store::sql;
use world::{Scene, until};

use crate::steps::{card_gone, hire, holds, person, receipt};

journeys!(
    a_pool_beyond_its_format_is_refused_and_nothing_is_written,
    hours_that_a_door_system_does_not_keep_are_refused_and_nothing_is_written,
    a_card_that_the_panel_cannot_hold_is_not_handed_out_and_somebody_is_told,
    an_unreachable_controller_keeps_the_revocation_and_somebody_is_told,
    a_controller_that_may_hold_a_card_is_not_left_behind,
);

async fn apply_with(stage: &Stage, from: &str, to: &str) -> Result<(), String> {
    let house = &stage.house;
    let declared = std::fs::read_to_string(stage.folder.path().join("grid.toml")).unwrap();
    let changed = declared.replace(from, to);
    assert_ne!(changed, declared);
    let applied = server::apply::apply(&house.db, &house.sealing, &changed, stage.folder.path()).await;
    applied.map(drop).map_err(|error| error.to_string())
}

async fn a_pool_beyond_its_format_is_refused_and_nothing_is_written(scene: &Scene) {
    let stage = &scene.stage;
    for (from, to, says) in [
        ("last = 1999", "last = 70000", "card pool staff: h10301 holds numbers of 0 to 65535"),
        ("facility = 123", "facility = 300", "card pool staff: h10301 needs a facility of 0 to 255"),
        ("\"h10301\"", "\"h10399\"", "card pool staff: unknown card format"),
    ] {
        let error = apply_with(stage, from, to).await.unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    let declared = std::fs::read_to_string(stage.folder.path().join("grid.toml")).unwrap();
    let plan =
        server::apply::apply(&stage.house.db, &stage.house.sealing, &declared, stage.folder.path()).await;
    assert!(plan.unwrap().is_empty());
}

async fn hours_that_a_door_system_does_not_keep_are_refused_and_nothing_is_written(scene: &Scene) {
    let house = &scene.stage.house;
    let folder = scene.stage.folder.path();
    let declared = std::fs::read_to_string(folder.join("grid.toml")).unwrap();
    let operators = "title = \"Grid operators\"\n";
    let scheduled = declared.replace(operators, &format!("{operators}schedule = \"office-hours\"\n"));
    assert_ne!(scheduled, declared);
    let schedule = "[schedule.office-hours]\n[door_system.headquarters.schedules]\n";
    for (more, says) in [
        (
            "",
            "access profile operators: schedule \"office-hours\" is not declared: write [schedule.office-hours]",
        ),
        (
            "[schedule.office-hours]",
            "door system headquarters does not say which of its time profiles that is: write office-hours = NUMBER \
             under [door_system.headquarters.schedules]",
        ),
        (&format!("{schedule}office-hours = 2"), "door system substation does not say which"),
        (
            &format!("{schedule}office-hours = 1"),
            "door system headquarters: schedule \"office-hours\": no time profile 1: this door system numbers them 2 to 254",
        ),
        (&format!("{schedule}lunch = 2"), "door system headquarters: schedule \"lunch\" is not declared"),
    ] {
        let text = format!("{scheduled}\n{more}\n");
        let applied = server::apply::apply(&house.db, &house.sealing, &text, folder).await;
        let error = applied.map(drop).unwrap_err().to_string();
        assert!(error.contains(says), "{more}: {error}");
    }
    let plan = server::apply::apply(&house.db, &house.sealing, &declared, folder).await;
    assert!(plan.unwrap().is_empty());
}

async fn a_card_that_the_panel_cannot_hold_is_not_handed_out_and_somebody_is_told(scene: &Scene) {
    let stage = &scene.stage;
    // 37 bits: more than this panel's readers send. Which doors a pool's cards are for is policy's to say.
    apply_with(stage, "\"h10301\"", "\"h10304\"").await.unwrap();
    let id = stage.hr.hire(&person("Mira")).await.unwrap();
    let subject = until("an alert", async || alert(stage, NO_CARD).await).await;
    assert_eq!(subject, format!("user:{id}"));
    let told: (String,) = stage
        .house
        .db
        .one(sql!("SELECT body FROM fact WHERE kind = 'alert.opened' AND subject = $1"), (&subject,))
        .await
        .unwrap();
    assert!(told.0.contains("its readers send 26 bits (h10301), not h10304"), "{told:?}");
    let drawn: (i64,) = stage.house.db.one(sql!("SELECT COUNT(*) FROM credential"), ()).await.unwrap();
    assert_eq!(drawn, (0,), "no number is used up");
    assert_eq!(stage.controller.cards(), [], "nothing else was put there instead");

    let declared = std::fs::read_to_string(stage.folder.path().join("grid.toml")).unwrap();
    let house = &stage.house;
    server::apply::apply(&house.db, &house.sealing, &declared, stage.folder.path()).await.unwrap();
    until("a card that fits", async || stage.only_card()).await;
    until("the alert closed", async || alert(stage, NO_CARD).await.is_none().then_some(())).await;
}

async fn alert(stage: &Stage, kind: &str) -> Option<String> {
    let open = open_alerts(&stage.house.db).await.unwrap();
    open.into_iter().find(|alert| alert.kind == kind).map(|alert| alert.subject)
}

async fn facts(stage: &Stage, kind: &str) -> i64 {
    let count: (i64,) =
        stage.house.db.one(sql!("SELECT COUNT(*) FROM fact WHERE kind = $1"), (kind,)).await.unwrap();
    count.0
}

/// What this process has logged since [`listen`]; tests that run in it share it.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen() {
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
    let _ = lines.with_writer(|| Log).try_init();
}

fn logged(what: &str) -> bool {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).lines().any(|line| line.contains(what) && line.contains(REVOCATION_WAITS))
}

async fn an_unreachable_controller_keeps_the_revocation_and_somebody_is_told(scene: &Scene) {
    listen();
    let stage = &scene.stage;
    let mira = hire(stage, "Mira").await;
    stage.controller.misbehave(Misbehaviour::Silent);
    stage.hr.end_employment(&mira.id).await.unwrap();
    let pending = receipt(stage, &mira.id, |receipt| receipt["complete"] == false).await;
    assert_eq!(pending["doors"][0]["status"], "pending", "nothing below A2 is called revoked");
    scene.clock.advance(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(alert(stage, REVOCATION_WAITS).await, None, "20 s are not too long yet");

    scene.clock.advance(Duration::from_secs(11));
    let subject = until("an alert", async || alert(stage, REVOCATION_WAITS).await).await;
    assert_eq!(subject, "door_system:headquarters");
    assert_eq!(facts(stage, "alert.opened").await, 1);
    until("a line in the log", async || logged("alert opened").then_some(())).await;
    assert!(holds(&stage.controller, mira.card));
    let ready = reqwest::get(stage.house.issuer.url("/health/ready")).await.unwrap().text().await.unwrap();
    assert!(ready.contains("\"alerts\":1"), "{ready}");

    stage.controller.behave();
    let moved = async || {
        // Past the pause after the last failure, which is 60 s at most.
        scene.clock.advance(Duration::from_secs(5));
        (!holds(&stage.controller, mira.card)).then_some(())
    };
    until("the card absent from the controller", moved).await;
    card_gone(&stage.controller, mira.card).await;
    until("the alert closed", async || alert(stage, REVOCATION_WAITS).await.is_none().then_some(())).await;
    assert_eq!(facts(stage, "alert.closed").await, 1);
    until("a line in the log", async || logged("alert closed").then_some(())).await;
    let proven = receipt(stage, &mira.id, |receipt| receipt["complete"] == true).await;
    assert_eq!(proven["doors"][0]["status"], "revoked");
}

/// Prunes, as an administrator would who takes the door out of the file.
async fn drop_control_room(stage: &Stage) -> Result<(), String> {
    let house = &stage.house;
    let declared = std::fs::read_to_string(stage.folder.path().join("grid.toml")).unwrap();
    let dropped = declared
        .replace("1 = \"control-room-door\", ", "")
        .replace("control-room-door = \"control-room\"\n", "")
        .replace("[\"control-room-door\"]", "[]");
    let wanted = server::apply::Declaration::parse(&dropped).unwrap().items(stage.folder.path()).unwrap();
    let nothing = server::apply::Abandon::Nothing;
    let plan = server::apply::plan(&house.db, &house.sealing, wanted, true, nothing).await;
    let plan = plan.map_err(|error| error.to_string())?;
    let done = server::apply::carry_out(&house.db, &house.sealing, &plan, nothing).await;
    done.map_err(|error| error.to_string())
}

async fn a_controller_that_may_hold_a_card_is_not_left_behind(scene: &Scene) {
    let stage = &scene.stage;
    let mira = hire(stage, "Mira").await;
    let address = stage.controller.address().to_string();
    for (from, to, says) in [
        (
            "serial = 405419896",
            "serial = 405419897",
            "405419897 door 1 would take the place of 405419896 door 1",
        ),
        (address.as_str(), "127.0.0.1:9", "405419896 door 1 would be looked for at 127.0.0.1:9"),
    ] {
        let error = apply_with(stage, from, to).await.unwrap_err();
        assert!(error.contains(says) && error.contains("First take \"control-room-door\" off"), "{error}");
    }
    let error = drop_control_room(stage).await.unwrap_err();
    assert!(error.contains("1 card(s) may stand on the list"), "{error}");
    assert!(holds(&stage.controller, mira.card), "the controller is still ours to speak to");

    // Silence proves nothing.
    stage.controller.misbehave(Misbehaviour::Silent);
    stage.hr.end_employment(&mira.id).await.unwrap();
    receipt(stage, &mira.id, |receipt| receipt["complete"] == false).await;
    assert!(drop_control_room(stage).await.is_err());
    stage.controller.behave();
    let moved = async || {
        scene.clock.advance(Duration::from_secs(5));
        (!holds(&stage.controller, mira.card)).then_some(())
    };
    until("the card absent from the controller", moved).await;
    receipt(stage, &mira.id, |receipt| receipt["complete"] == true).await;
    drop_control_room(stage).await.unwrap();
    assert!(!holds(&stage.controller, mira.card));
}
