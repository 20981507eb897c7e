//! The story without a person. Every step is confirmed from outside: by HR's HTTP answers, by the mail server, by the
//! apps, by the doors themselves. The database is not asked.

use std::time::Instant;

use serde_json::Value;
use sim::controlid::Seen;
use sim::hr::Person;
use sim::relying_party::Session;

use super::employee;
use super::evidence::{self, Witness};
use super::timeline::{Timeline, prove, until};
use crate::commands::{Failure, Outcome, say};
use crate::live::Play;
use crate::stage::{
    CONTROL_ROOM, DEPARTMENT, SUBSTATION, Stage, TRANSFORMER_HALL, at_device, clock, payload,
};

/// The rights that the declaration gives the department: door 1, always.
const CONTROL_ROOM_ONLY: [u8; 4] = [1, 0, 0, 0];
/// The controller's operations on one card: put, delete, read.
const PUT: u8 = 0x50;
const DELETE: u8 = 0x52;
const READ: u8 = 0x5a;

pub(super) async fn play(stage: &Stage) -> Outcome {
    say(format_args!("Cardea runs at {} on an empty database.", stage.house.issuer.as_str()));
    say("It is the real server; HR, mail, two apps and two door systems are simulators behind real sockets.");
    say(super::ABOUT);
    say("");
    let timeline = Timeline::begin();
    let person = Play::first_person();
    let (id, card) = join(stage, &timeline, &person).await?;
    let mut employee = employee::begin(stage, &timeline, &person).await?;
    employee::add_factors(stage, &timeline, &mut employee).await?;
    let session = employee::work(stage, &timeline, &mut employee).await?;
    walk(stage, &timeline, card).await?;
    let ended = leave(stage, &timeline, &id).await?;
    // The apps are asked at once: what died at the commit waits for no door, and no door waits for an app.
    let (app, told, door, gate) = tokio::join!(
        biased;
        look_again(stage, &timeline, &session),
        employee::told(stage, &timeline, &id, ended),
        door_forgets(stage, &timeline, card),
        gate_forgets(stage, &timeline, card)
    );
    app?;
    told?;
    door?;
    gate?;
    employee::locked_out(stage, &timeline, &mut employee).await?;
    receipt(stage, &timeline, &id, card).await?;
    journal(stage, &timeline).await?;
    say("");
    say("Every step was proven by the apps or the doors themselves.");
    Ok(())
}

/// HR hires; a card comes to the doors.
async fn join(stage: &Stage, timeline: &Timeline, person: &Person) -> Result<(String, u32), Failure> {
    stage.hr.test_connection().await?;
    let id = stage.hr.hire(person).await?;
    timeline.step("HR", format_args!("hires {} for {DEPARTMENT} (SCIM POST, 201)", person.display_name()));
    let held = until("a card on the controller", || stage.controller.cards().into_iter().next()).await?;
    let (card, doors) = (held.number, held.doors);
    prove(doors == CONTROL_ROOM_ONLY, format_args!("the card opens the control room only, not {doors:?}"))?;
    timeline.step(
        "door",
        format_args!("policy's card {card} is on the controller's list for the control room only"),
    );
    until("our own reading back of the card", || was_read_after(stage, PUT, card).then_some(())).await?;
    timeline.step("door", "the controller was asked afterwards what it holds, and showed the card");
    let opens = || stage.device.opens(SUBSTATION, at_device(card), clock(&stage.ctx)());
    until("the card at the substation", || opens().then_some(())).await?;
    timeline.step("gate", "the substation's device, of another maker, holds the same card");
    Ok((id, card))
}

/// Whether the controller was asked for a card after the last operation on it.
fn was_read_after(stage: &Stage, operation: u8, card: u32) -> bool {
    let about: Vec<u8> = stage
        .controller
        .requests()
        .iter()
        .filter(|seen| seen.card == Some(card))
        .map(|seen| seen.operation)
        .collect();
    let done = about.iter().rposition(|seen| *seen == operation);
    done.is_some_and(|done| about[done..].contains(&READ))
}

/// The employee walks through the doors, and not through the other.
async fn walk(stage: &Stage, timeline: &Timeline, card: u32) -> Outcome {
    prove(stage.controller.swipe(card, CONTROL_ROOM).granted, "the swipe at the control room is granted")?;
    timeline.step("door", "the employee's swipe at the control room is granted");
    let opened = stage.device.swipe(SUBSTATION, at_device(card)).await.opened;
    prove(opened, "the swipe at the substation's gate is granted")?;
    timeline.step("gate", "the employee's swipe at the substation is granted");
    prove(!stage.controller.swipe(card, TRANSFORMER_HALL).granted, "the transformer hall stays shut")?;
    timeline.step("door", "the transformer hall, which no policy opens, stays shut");
    Ok(())
}

/// HR ends the employment; when that was answered.
async fn leave(stage: &Stage, timeline: &Timeline, id: &str) -> Result<Instant, Failure> {
    stage.hr.end_employment(id).await?;
    let ended = Instant::now();
    timeline.step("HR", "ends the employment (SCIM PATCH, \"op\":\"Replace\", \"value\":\"False\")");
    Ok(ended)
}

/// The controller's list loses the card, and is read.
async fn door_forgets(stage: &Stage, timeline: &Timeline, card: u32) -> Outcome {
    let holds = |number: u32| stage.controller.cards().iter().any(|card| card.number == number);
    until("the card absent from the controller", || (!holds(card)).then_some(())).await?;
    timeline.step("door", format_args!("the controller's list does not hold card {card} any more"));
    until("our own reading back of the absence", || was_read_after(stage, DELETE, card).then_some(()))
        .await?;
    timeline.step("door", "the controller was asked afterwards, and shows no such card");
    Ok(())
}

/// The other maker's device loses it, too, and is read: what was asked of it last is not whom to delete.
async fn gate_forgets(stage: &Stage, timeline: &Timeline, card: u32) -> Outcome {
    let card = at_device(card);
    until("the card absent from the substation", || (!stage.device.holds(card)).then_some(())).await?;
    timeline.step("gate", "the substation's device does not hold the card any more");
    let was_read = || {
        let asked = stage.device.requests();
        let gone = asked.iter().rposition(|seen| seen.path == "/destroy_objects.fcgi")?;
        let reads = |seen: &Seen| seen.path == "/load_objects.fcgi" && seen.body["object"] == "cards";
        asked[gone..].iter().any(reads).then_some(())
    };
    until("our own reading back at the substation", was_read).await?;
    timeline.step("gate", "the substation's device was asked afterwards, and shows no such card");
    Ok(())
}

/// The tokens are dead.
async fn look_again(stage: &Stage, timeline: &Timeline, session: &Session) -> Outcome {
    let introspected = stage.app.introspect(&session.access_token).await?;
    prove(introspected["active"] == false, "introspection says inactive")?;
    timeline.step("app", "Grid Console: introspection says the token is inactive");
    let refused = stage.app.userinfo(&session.access_token).await.err().and_then(|error| error.status());
    prove(refused == Some(401), format_args!("userinfo refuses the token with 401, not {refused:?}"))?;
    timeline.step("app", "Grid Console: userinfo refuses the token (401)");
    let refused = stage.app.refresh(session).await.err();
    let code = refused.as_ref().and_then(|error| error.code());
    prove(code == Some("invalid_grant"), format_args!("the refresh token is dead, not {refused:?}"))?;
    timeline.step("app", "Grid Console: the refresh token is dead (invalid_grant)");
    Ok(())
}

/// A swipe is denied, and the receipt says when each thing was proven.
async fn receipt(stage: &Stage, timeline: &Timeline, id: &str, card: u32) -> Outcome {
    prove(!stage.controller.swipe(card, CONTROL_ROOM).granted, "the next swipe is denied")?;
    timeline.step("door", "the next swipe at the control room is denied");
    let opened = stage.device.swipe(SUBSTATION, at_device(card)).await.opened;
    prove(!opened, "the next swipe at the substation is denied")?;
    timeline.step("gate", "the next swipe at the substation is denied");
    let (signed, receipt) = complete_receipt(stage, id, card).await?;
    let witnesses = [
        Witness::controller(&stage.controller.events(), card),
        Witness::device(&stage.device.rows("access_logs"), at_device(card)),
    ];
    evidence::check(&receipt, id, &witnesses)?;
    let level = |field: &str| receipt["doors"][0][field].as_str().unwrap_or_default().to_owned();
    timeline.step(
        "receipt",
        format_args!("both denials came back as events: {} {}", level("level"), level("level_words")),
    );
    let (file, keys) = (stage.folder.path().join("receipt.jws"), stage.folder.path().join("evidence.jwks"));
    let url = stage.house.issuer.url("/jwks/evidence");
    std::fs::write(&keys, reqwest::get(url).await?.error_for_status()?.bytes().await?)?;
    let (name, keys) = (file.display().to_string(), keys.display().to_string());
    for (document, expected) in [(evidence::tampered(&signed), 1), (signed, 0)] {
        std::fs::write(&file, document)?;
        let (code, said) = stage.cardea(&["receipt", "verify", &name, "--keys", &keys]).await?;
        prove(
            code == Some(expected),
            format_args!("cardea receipt verify ends with {expected}, not {code:?}: {said}"),
        )?;
    }
    timeline.step("receipt", "cardea receipt verify: good; with one character changed: refused");
    show(&receipt);
    Ok(())
}

/// The edition that names the observed denials. A denial counts once the absence is watched, so the card is
/// shown again and again, as its holder would.
async fn complete_receipt(stage: &Stage, id: &str, card: u32) -> Result<(String, Value), Failure> {
    let began = std::time::Instant::now();
    loop {
        let (code, said) = stage.cardea(&["receipt", "show", id, "--signed"]).await?;
        if let Some(receipt) = payload(said.trim()).filter(|receipt| code == Some(0) && is_observed(receipt))
        {
            prove(receipt["complete"] == true, "the receipt is complete")?;
            prove(receipt["user"] == id, "the receipt is about the employee")?;
            return Ok((said.trim().to_owned(), receipt));
        }
        prove(!stage.controller.swipe(card, CONTROL_ROOM).granted, "every further swipe is denied")?;
        let opened = stage.device.swipe(SUBSTATION, at_device(card)).await.opened;
        prove(!opened, "every further swipe is denied at the substation")?;
        prove(began.elapsed().as_secs() < 15, format_args!("a receipt at level A4, not: {said}"))?;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Every door was seen to refuse the card.
fn is_observed(receipt: &Value) -> bool {
    let doors = receipt["doors"].as_array().map(Vec::as_slice).unwrap_or_default();
    !doors.is_empty() && doors.iter().all(|door| door["level"] == "A4")
}

fn show(receipt: &Value) {
    let ended = &receipt["ended_at_commit"];
    say("");
    say(format_args!("  Receipt {}", receipt["id"].as_str().unwrap_or_default()));
    say(format_args!("    cause         {} at {}", receipt["cause"]["kind"], receipt["cause"]["at"]));
    say(format_args!(
        "    at the commit {} session(s), {} grant(s) ended",
        ended["sessions"], ended["grants"]
    ));
    for door in receipt["doors"].as_array().into_iter().flatten() {
        let text = |field: &str| door[field].as_str().unwrap_or("-").to_owned();
        let (at, system) = (text("access_point"), text("door_system"));
        say(format_args!("    {at} ({system})  {}  ({})", text("status"), text("tested_against")));
        say(format_args!("      A0 recorded         {}", text("requested_at")));
        say(format_args!("      A1 accepted         {}", text("accepted_at")));
        say(format_args!("      A2 read back absent {}  ({} ms)", text("read_back_at"), door["latency_ms"]));
        say(format_args!("      A4 denial observed  {}", text("denial_observed_at")));
    }
    for exposure in receipt["exposure"].as_array().into_iter().flatten() {
        say(format_args!("    still exposed: {} until {}", exposure["what"], exposure["until"]));
    }
    say("");
}

async fn journal(stage: &Stage, timeline: &Timeline) -> Outcome {
    let (code, said) = stage.cardea(&["audit", "verify"]).await?;
    prove(code == Some(0), format_args!("cardea audit verify agrees: {said}"))?;
    timeline.step("journal", format_args!("cardea audit verify: {}", said.trim()));
    Ok(())
}
