//! Tasks: when one is opened, what it says, who accepts what until when, and how it closes.

use std::time::Duration;

use bridge::alert::{self, watch_revocations};
use bridge::exposure;
use bridge::facts::{RiskAccepted, TaskClosed, TaskCompensated, TaskOpened, TaskReopened, TaskWidened};
use bridge::task::{
    self, LONGEST_ACCEPTANCE, LONGEST_NAME, LONGEST_TEXT, OpenDoor, State, Task, TaskError, Watch,
};
use directory::credential::Credential;
use directory::declared::{Item, Kind};
use kernel::id::{TaskId, UserId};
use kernel::{Actor, Timestamp};
use serde_json::json;
use sim::uhppote::{Controller, Misbehaviour};
use store::{Origin, sql};

use crate::world::{HQ, SERIALS, World, access_profile, door_system};

on_every_engine! {
    a_revocation_is_an_alert_after_thirty_seconds_and_a_task_after_five_minutes,
    at_a_door_of_class_three_a_task_is_opened_when_the_first_attempt_has_failed,
    at_a_door_of_class_three_that_nobody_tries_a_task_is_opened_after_thirty_seconds,
    a_task_closes_by_itself_when_the_revocation_is_proven,
    a_task_names_the_doors_that_are_not_proven_and_no_others,
    a_door_that_a_mover_lost_is_a_task_until_it_was_read,
    access_that_was_given_back_leaves_nothing_to_do,
    a_controller_that_is_abandoned_leaves_no_task_and_no_proof,
    a_card_that_never_stood_at_a_door_system_is_no_task_there,
    a_risk_is_accepted_by_name_for_a_time_and_the_task_is_open_again_when_it_has_passed,
    what_was_accepted_covers_neither_a_worse_door_nor_another_end_of_the_card,
    what_was_accepted_of_one_door_is_not_of_another,
    what_was_accepted_of_a_door_is_over_when_it_leads_to_something_worse,
    what_was_given_back_and_taken_again_in_one_outage_is_accepted_by_nobody,
    what_was_done_is_noted_and_closes_nothing,
    what_cannot_be_taken_is_refused_in_words,
    exposure_names_the_task_beside_the_card,
    a_receipt_names_what_is_done_about_a_door_until_it_is_proven,
    of_two_nodes_that_look_at_once_one_opens_the_task,
    an_outage_with_many_revocations_is_seen_to_page_by_page,
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

async fn look(world: &World) {
    Watch::new(world.db().clone()).look().await.unwrap();
}

async fn tasks(world: &World, all: bool) -> Vec<Task> {
    task::list(world.db(), all, 1_000).await.unwrap()
}

async fn only_task(world: &World) -> Task {
    let mut open = tasks(world, false).await;
    assert_eq!(open.len(), 1, "{open:?}");
    open.remove(0)
}

fn doors(task: &Task) -> Vec<&str> {
    task.doors.iter().map(|door| door.access_point.as_str()).collect()
}

/// Somebody whose access ended five minutes ago, while this panel was silent.
async fn outage(world: &World, department: &str, panel: usize) -> (UserId, Credential, Task) {
    let (user, card) = world.carded("ada", department).await;
    world.panels[panel].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    world.pass(Duration::from_secs(301));
    look(world).await;
    (user, card, only_task(world).await)
}

/// All panels answer again, and what waited was done.
async fn back(world: &World) {
    world.panels.iter().for_each(Controller::behave);
    world.pass(Duration::from_secs(61));
    world.settle().await;
    look(world).await;
}

/// From now on the lab is of class 3.
async fn guard_the_lab(world: &World) {
    world.declare(Item::new(Kind::Area, "vault", json!({"title": "The vault", "protection_class": 3}))).await;
    world.declare(Item::new(Kind::AccessPoint, "lab", json!({"door_system": HQ, "area": "vault"}))).await;
    world.settle().await;
}

async fn accept(world: &World, task: TaskId, time: Duration) -> Timestamp {
    let until = world.db().ctx().now().plus(time);
    let origin = Origin::of(Actor::Operator);
    task::accept(world.db(), origin, task, " Jo Field ", "the building is empty", until).await.unwrap();
    until
}

async fn attempts(world: &World) -> i64 {
    let text = sql!("SELECT attempt FROM delivery WHERE sink = 'door:hq' AND priority = 1");
    let (attempts,): (i64,) = world.one(text).await;
    attempts
}

async fn a_revocation_is_an_alert_after_thirty_seconds_and_a_task_after_five_minutes(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.panels[0].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    look(&world).await;
    assert!(tasks(&world, true).await.is_empty(), "class 2 is not urgent");
    world.pass(Duration::from_secs(31));
    watch_revocations(world.db()).await.unwrap();
    look(&world).await;
    assert_eq!(alert::open_of_kind(world.db(), alert::REVOCATION_WAITS).await.unwrap().len(), 1);
    assert!(tasks(&world, true).await.is_empty(), "not yet");
    world.pass(Duration::from_secs(270));
    look(&world).await;
    look(&world).await;
    let task = only_task(&world).await;
    assert_eq!((task.state, task.user, task.user_name.as_str()), (State::Open, user, "ada"));
    assert_eq!((task.credential, task.door_system.as_str()), (card.id, HQ));
    assert_eq!(task.card, format!("h10301:{}:{}", card.facility, card.number));
    let main =
        OpenDoor { access_point: "main".into(), area: Some("The house".into()), protection_class: Some(2) };
    assert_eq!(task.doors, [main]);
    assert_eq!(task.until, "until the panel can be reached again");
    assert_eq!(
        task.proposed,
        ["take the card back from its holder", "have those who work at main look out for the card"]
    );
    assert!(task.since < task.opened_at, "{task:?}");
    assert!(task.to_string().contains("of ada at main [The house, class 2] (hq): must not since "), "{task}");
    let told: Vec<TaskOpened> = world.facts().await;
    assert_eq!(told.len(), 1, "it is opened once");
    assert_eq!((&told[0].doors, &told[0].proposed), (&task.doors, &task.proposed));
}

async fn at_a_door_of_class_three_a_task_is_opened_when_the_first_attempt_has_failed(world: World) {
    guard_the_lab(&world).await;
    let (staff, _) = world.carded("ada", "Staff").await;
    let (research, _) = world.carded("rey", "Research").await;
    world.panels[0].misbehave(Misbehaviour::Silent);
    world.set_active(staff, false).await;
    world.set_active(research, false).await;
    look(&world).await;
    assert!(tasks(&world, true).await.is_empty(), "it may be proven in a moment");
    world.settle().await;
    look(&world).await;
    let task = only_task(&world).await;
    assert_eq!((task.user, doors(&task)), (research, vec!["lab"]));
    assert_eq!(task.proposed, ["put a guard at lab", "take the card back from its holder"]);
}

async fn at_a_door_of_class_three_that_nobody_tries_a_task_is_opened_after_thirty_seconds(world: World) {
    guard_the_lab(&world).await;
    let (user, _) = world.carded("rey", "Research").await;
    world.set_active(user, false).await;
    world.pass(Duration::from_secs(20));
    look(&world).await;
    assert!(tasks(&world, true).await.is_empty());
    world.pass(Duration::from_secs(11));
    look(&world).await;
    assert_eq!(doors(&only_task(&world).await), ["lab"]);
}

async fn a_task_closes_by_itself_when_the_revocation_is_proven(world: World) {
    let (_, card, task) = outage(&world, "Staff", 0).await;
    world.panels[0].behave();
    look(&world).await;
    assert_eq!(only_task(&world).await.id, task.id, "back is not yet proven");
    back(&world).await;
    assert!(world.placement(&card).await.is_proven_absent());
    assert!(tasks(&world, false).await.is_empty());
    let closed = &tasks(&world, true).await[0];
    assert_eq!((closed.id, closed.state, doors(closed)), (task.id, State::Closed, vec!["main"]));
    assert!(closed.closed_at.is_some() && closed.proposed.is_empty(), "{closed:?}");
    let told: Vec<TaskClosed> = world.facts().await;
    assert_eq!((told.len(), told[0].by.as_str()), (1, "proven"));
}

async fn a_task_names_the_doors_that_are_not_proven_and_no_others(world: World) {
    let (_, _, task) = outage(&world, "Grounds", 1).await;
    assert_eq!(doors(&task), ["yard"], "main has let go");
}

async fn a_door_that_a_mover_lost_is_a_task_until_it_was_read(world: World) {
    let (user, card) = world.carded("ada", "Grounds").await;
    world.panels[1].misbehave(Misbehaviour::Silent);
    world.move_to(user, "Staff").await;
    world.settle().await;
    world.pass(Duration::from_secs(301));
    look(&world).await;
    assert_eq!(doors(&only_task(&world).await), ["yard"], "main is still theirs");
    back(&world).await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    assert!(tasks(&world, false).await.is_empty());
    assert_eq!(world.facts::<TaskClosed>().await[0].by, "proven");
}

async fn access_that_was_given_back_leaves_nothing_to_do(world: World) {
    let (user, card, _) = outage(&world, "Staff", 0).await;
    world.set_active(user, true).await;
    back(&world).await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    assert!(tasks(&world, false).await.is_empty());
    assert_eq!(world.facts::<TaskClosed>().await[0].by, "wanted-again");
}

async fn a_controller_that_is_abandoned_leaves_no_task_and_no_proof(world: World) {
    let (user, card, task) = outage(&world, "Grounds", 1).await;
    assert_eq!(doors(&task), ["yard"]);
    // It burned down, says somebody.
    world.declare(access_profile("grounds", &["main"])).await;
    world.undeclare(Kind::AccessPoint, "yard").await;
    let first = world.panels[0].address().to_string();
    let left = json!([{"serial": SERIALS[0], "address": first, "doors": {"1": "main", "2": "lab"}}]);
    world.declare(door_system(&world.panels, &json!({ "controllers": left }))).await;
    look(&world).await;
    assert_eq!(only_task(&world).await.id, task.id, "the revocation waits still");
    world.reload().await;
    world.pass(Duration::from_secs(61));
    world.settle().await;
    look(&world).await;
    assert!(tasks(&world, false).await.is_empty());
    assert_eq!(world.facts::<TaskClosed>().await[0].by, "abandoned");
    assert!(!world.placement(&card).await.is_proven());
    assert!(!world.receipt(user).await.unwrap().complete, "nobody has read it");
}

async fn a_card_that_never_stood_at_a_door_system_is_no_task_there(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    let config =
        json!({"controllers": [{"serial": 909_090, "address": "127.0.0.1:9", "doors": {"1": "annex"}}]});
    let annex = json!({"connector": "uhppote", "config": config});
    world.declare(Item::new(Kind::DoorSystem, "annex", annex)).await;
    world.reload().await;
    world.set_active(user, false).await;
    world.settle().await;
    world.pass(Duration::from_secs(301));
    let text = sql!(
        "SELECT COUNT(*) FROM delivery WHERE sink = 'door:annex' AND priority = 1 AND due_at IS NOT NULL"
    );
    let (waiting,): (i64,) = world.one(text).await;
    assert_eq!(waiting, 1, "nobody works there");
    look(&world).await;
    assert!(tasks(&world, true).await.is_empty());
}

async fn a_risk_is_accepted_by_name_for_a_time_and_the_task_is_open_again_when_it_has_passed(world: World) {
    let (_, _, task) = outage(&world, "Staff", 0).await;
    let until = accept(&world, task.id, HOUR).await;
    let seen = only_task(&world).await;
    let accepted = seen.accepted.as_ref().unwrap();
    assert_eq!((seen.state, accepted.by.as_str()), (State::Accepted, "Jo Field"));
    assert_eq!(accepted.until, until.to_string());
    assert_eq!(task::count(world.db()).await.unwrap(), (1, 1));
    let before = attempts(&world).await;
    world.pass(Duration::from_secs(1_800));
    world.settle().await;
    look(&world).await;
    assert!(attempts(&world).await > before, "it is tried on");
    assert_eq!(only_task(&world).await.state, State::Accepted);
    world.pass(Duration::from_secs(1_801));
    assert_eq!(only_task(&world).await.state, State::Open, "whether or not somebody has looked");
    look(&world).await;
    look(&world).await;
    let seen = only_task(&world).await;
    assert_eq!((seen.id, seen.state, seen.accepted), (task.id, State::Open, None));
    let told: Vec<TaskReopened> = world.facts().await;
    assert_eq!((told.len(), told[0].who.as_str(), told[0].until), (1, "Jo Field", until));

    // Longer than before, and proven in that time.
    accept(&world, task.id, HOUR).await;
    accept(&world, task.id, 2 * HOUR).await;
    world.pass(HOUR + Duration::from_secs(1));
    look(&world).await;
    assert_eq!(only_task(&world).await.state, State::Accepted);
    back(&world).await;
    assert!(tasks(&world, false).await.is_empty());
    assert_eq!(tasks(&world, true).await[0].accepted.as_ref().unwrap().by, "Jo Field");
    let told: Vec<RiskAccepted> = world.facts().await;
    assert!(told.iter().all(|fact| fact.because == "the building is empty"), "{told:?}");
    assert_eq!((told.len(), world.facts::<TaskReopened>().await.len()), (3, 1));
}

/// A mover who lost the yard while nothing answers, and somebody who has accepted that for 30 days.
async fn accepted_yard(world: &World) -> (UserId, Task) {
    let (user, _) = world.carded("ada", "Grounds").await;
    world.panels.iter().for_each(|panel| panel.misbehave(Misbehaviour::Silent));
    world.move_to(user, "Staff").await;
    world.settle().await;
    world.pass(Duration::from_secs(301));
    look(world).await;
    let task = only_task(world).await;
    assert_eq!(doors(&task), ["yard"]);
    accept(world, task.id, 30 * DAY).await;
    let task = only_task(world).await;
    assert_eq!(task.state, State::Accepted);
    assert_eq!(task.accepted.as_ref().map(|risk| risk.doors.clone()), Some(vec!["yard".into()]));
    (user, task)
}

async fn what_was_accepted_covers_neither_a_worse_door_nor_another_end_of_the_card(world: World) {
    world.declare(Item::new(Kind::Area, "safe", json!({"title": "The safe", "protection_class": 4}))).await;
    world.declare(Item::new(Kind::AccessPoint, "main", json!({"door_system": HQ, "area": "safe"}))).await;
    world.settle().await;
    let (user, task) = accepted_yard(&world).await;
    world.pass(DAY);
    world.set_active(user, false).await;
    // Before anybody has looked.
    let seen = only_task(&world).await;
    assert_eq!((seen.id, seen.state, doors(&seen)), (task.id, State::Open, vec!["main", "yard"]));
    assert_eq!((&seen.accepted, task::count(world.db()).await.unwrap()), (&None, (1, 0)));
    let accepted = async || {
        world.node.drain_receipts().await;
        let receipt = world.receipt(user).await.unwrap();
        let named = receipt.doors.iter().map(|door| {
            let risk = door.task.as_ref().and_then(|task| task.accepted.clone());
            (door.access_point.clone(), risk.map(|risk| risk.by))
        });
        named.collect::<Vec<_>>()
    };
    let by_nobody = || vec![("main".to_owned(), None::<String>), ("yard".to_owned(), None)];
    assert_eq!(accepted().await, by_nobody());
    world.settle().await;
    look(&world).await;
    look(&world).await;
    let told: Vec<TaskWidened> = world.facts().await;
    assert_eq!((told.len(), told[0].void.as_deref()), (1, Some("Jo Field")));
    assert_eq!((&told[0].doors, told[0].proposed[0].as_str()), (&seen.doors, "put a guard at main"));
    assert_eq!((only_task(&world).await.state, accepted().await), (State::Open, by_nobody()));
    // Somebody who knows of both may accept both.
    accept(&world, task.id, HOUR).await;
    assert_eq!(only_task(&world).await.state, State::Accepted);
    let by_jo = |door: &str| (door.to_owned(), Some("Jo Field".to_owned()));
    assert_eq!(accepted().await, [by_jo("main"), by_jo("yard")]);
    let told: Vec<RiskAccepted> = world.facts().await;
    assert_eq!(told[1].doors, ["main", "yard"]);
}

async fn what_was_accepted_of_one_door_is_not_of_another(world: World) {
    let (user, task) = accepted_yard(&world).await;
    world.move_to(user, "Office at home").await;
    world.settle().await;
    let seen = only_task(&world).await;
    assert_eq!((seen.id, seen.state, doors(&seen)), (task.id, State::Open, vec!["main", "yard"]));
    assert!(seen.what().starts_with("the risk of yard is accepted by Jo Field until "), "{}", seen.what());
    look(&world).await;
    let seen = only_task(&world).await;
    assert_eq!((seen.state, seen.accepted), (State::Open, None));
    assert_eq!(world.facts::<TaskWidened>().await.len(), 1);
}

async fn what_was_accepted_of_a_door_is_over_when_it_leads_to_something_worse(world: World) {
    let (user, task) = accepted_yard(&world).await;
    world.declare(Item::new(Kind::Area, "safe", json!({"title": "The safe", "protection_class": 4}))).await;
    let lies_before = async |area: &str| {
        let yard = Item::new(Kind::AccessPoint, "yard", json!({"door_system": HQ, "area": area}));
        world.declare(yard).await;
        world.settle().await;
    };
    lies_before("safe").await;
    // Before anybody has looked.
    let seen = only_task(&world).await;
    assert_eq!((seen.id, seen.state, &seen.accepted), (task.id, State::Open, &None));
    let until = world.db().ctx().now().plus(HOUR);
    let early = task::accept(world.db(), Origin::of(Actor::Operator), task.id, "Jo", "because", until).await;
    assert!(matches!(early, Err(TaskError::Invalid(_))), "nobody was told of it: {early:?}");
    look(&world).await;
    look(&world).await;
    let told: Vec<TaskWidened> = world.facts().await;
    assert_eq!((told.len(), told[0].user, told[0].void.as_deref()), (1, user, Some("Jo Field")));
    assert_eq!((told[0].doors[0].protection_class, told[0].doors.len()), (Some(4), 1));
    assert_eq!(only_task(&world).await.accepted, None);
    // Somebody who knows what it leads to may accept that; less is accepted with it.
    accept(&world, task.id, HOUR).await;
    lies_before("house").await;
    look(&world).await;
    assert_eq!(only_task(&world).await.state, State::Accepted);
    assert_eq!(world.facts::<TaskWidened>().await.len(), 1);
}

async fn what_was_given_back_and_taken_again_in_one_outage_is_accepted_by_nobody(world: World) {
    let (user, card, first) = outage(&world, "Staff", 0).await;
    accept(&world, first.id, 30 * DAY).await;
    world.set_active(user, true).await;
    world.settle().await;
    look(&world).await;
    assert!(tasks(&world, false).await.is_empty() && !world.placement(&card).await.is_proven());
    assert_eq!(world.facts::<TaskClosed>().await[0].by, "wanted-again");
    world.set_active(user, false).await;
    world.settle().await;
    look(&world).await;
    let second = only_task(&world).await;
    assert!(second.id != first.id && second.state == State::Open, "{second:?}");
    // The same so fast that nobody has looked in between.
    accept(&world, second.id, 30 * DAY).await;
    world.set_active(user, true).await;
    world.settle().await;
    world.set_active(user, false).await;
    let seen = only_task(&world).await;
    assert_eq!((seen.id, seen.state, &seen.accepted), (second.id, State::Open, &None));
    world.settle().await;
    look(&world).await;
    let told: Vec<TaskWidened> = world.facts().await;
    assert_eq!((told.len(), told[0].void.as_deref()), (1, Some("Jo Field")));
    assert_eq!(only_task(&world).await.accepted, None);
}

async fn what_was_done_is_noted_and_closes_nothing(world: World) {
    let (_, _, task) = outage(&world, "Staff", 0).await;
    let origin = || Origin::of(Actor::Operator);
    task::note_done(world.db(), origin(), task.id, "Jo Field", "took the card back").await.unwrap();
    task::note_done(world.db(), origin(), task.id, "Sam Reed", "locked the gate").await.unwrap();
    look(&world).await;
    let seen = only_task(&world).await;
    let done = seen.done.as_ref().unwrap();
    assert_eq!(
        (seen.state, done.by.as_str(), done.what.as_str()),
        (State::Open, "Sam Reed", "locked the gate")
    );
    let told: Vec<TaskCompensated> = world.facts().await;
    assert_eq!(
        told.iter().map(|fact| fact.what.as_str()).collect::<Vec<_>>(),
        ["took the card back", "locked the gate"]
    );
    back(&world).await;
    let late = task::note_done(world.db(), origin(), task.id, "Jo Field", "came back").await;
    assert!(matches!(late, Err(TaskError::Closed { id, .. }) if id == task.id), "{late:?}");
}

async fn what_cannot_be_taken_is_refused_in_words(world: World) {
    let (_, _, task) = outage(&world, "Staff", 0).await;
    let now = world.db().ctx().now();
    let soon = now.plus(HOUR);
    let long = "x".repeat(LONGEST_NAME + 1);
    let longer = "x".repeat(LONGEST_TEXT + 1);
    for (who, because, until, says) in [
        ("", "because", soon, "say who accepts the risk: it must not be empty"),
        (" \u{a0}", "because", soon, "say who accepts the risk: it must not be empty"),
        ("Jo\u{1b}[2J", "because", soon, "say who accepts the risk in one line, without control characters"),
        (long.as_str(), "because", soon, "say who accepts the risk in 200 characters at most"),
        ("Jo", " ", soon, "say why the risk is accepted: it must not be empty"),
        ("Jo", longer.as_str(), soon, "say why the risk is accepted in 1000 characters at most"),
        ("Jo", "because", now.minus(HOUR), "is not to come: say until when the risk is accepted"),
        ("Jo", "because", now, "is not to come"),
        (
            "Jo",
            "because",
            now.plus(LONGEST_ACCEPTANCE + HOUR),
            "is too far: a risk is accepted for 90 days at most",
        ),
    ] {
        let origin = Origin::of(Actor::Operator);
        let refused = task::accept(world.db(), origin, task.id, who, because, until).await.unwrap_err();
        assert!(matches!(refused, TaskError::Invalid(_)), "{refused:?}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let origin = || Origin::of(Actor::Operator);
    let refused = task::note_done(world.db(), origin(), task.id, "Jo", "").await.unwrap_err();
    assert_eq!(refused.to_string(), "say what was done: it must not be empty");
    let refused = task::note_done(world.db(), origin(), task.id, "Jo", &longer).await.unwrap_err();
    assert_eq!(refused.to_string(), "say what was done in 1000 characters at most");
    let nobodys = TaskId::new(world.db().ctx());
    let refused = task::accept(world.db(), origin(), nobodys, "Jo", "because", soon).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("there is no task {nobodys}; see: cardea task list --all"));
    assert_eq!(only_task(&world).await.state, State::Open);
    assert!(world.facts::<RiskAccepted>().await.is_empty());
    back(&world).await;
    let soon = world.db().ctx().now().plus(HOUR);
    let late = task::accept(world.db(), origin(), task.id, "Jo", "because", soon).await.unwrap_err();
    assert!(late.to_string().contains("was closed at"), "{late}");
}

async fn exposure_names_the_task_beside_the_card(world: World) {
    let (_, _, task) = outage(&world, "Staff", 0).await;
    let line = async || exposure::report(world.db()).await.unwrap().cards[0].to_string();
    let said = line().await;
    let proposed = format!("; task {}: proposed: take the card back from its holder", task.id);
    assert!(said.contains(&proposed), "{said}");
    let until = accept(&world, task.id, HOUR).await;
    let said = line().await;
    assert!(said.contains(&format!("the risk is accepted by Jo Field until {until}")), "{said}");
    let found = exposure::report(world.db()).await.unwrap();
    assert!(!found.is_none_known(), "who accepts a risk still has it");
    assert_eq!(found.cards[0].task.as_ref().map(|task| task.state), Some(State::Accepted));
}

async fn a_receipt_names_what_is_done_about_a_door_until_it_is_proven(world: World) {
    let (user, _, task) = outage(&world, "Grounds", 1).await;
    world.node.drain_receipts().await;
    let receipt = world.receipt(user).await.unwrap();
    let [main, yard] = &receipt.doors[..] else { panic!("{receipt:?}") };
    assert_eq!(main.task, None, "it is proven");
    let named = yard.task.as_ref().unwrap();
    assert_eq!((named.id.clone(), &named.proposed), (task.id.to_string(), &task.proposed));
    assert_eq!((&named.accepted, &named.done), (&None, &None));

    accept(&world, task.id, HOUR).await;
    let origin = Origin::of(Actor::Operator);
    task::note_done(world.db(), origin, task.id, "Sam Reed", "locked the gate").await.unwrap();
    world.node.drain_receipts().await;
    let next = world.receipt(user).await.unwrap();
    let named = next.doors[1].task.as_ref().unwrap();
    assert_eq!(named.accepted.as_ref().map(|risk| risk.by.as_str()), Some("Jo Field"));
    assert_eq!(named.done.as_ref().map(|done| done.what.as_str()), Some("locked the gate"));
    assert!(next.revision > receipt.revision && !next.complete, "an accepted risk is no proof: {next:?}");

    world.pass(HOUR);
    look(&world).await;
    world.node.drain_receipts().await;
    let passed = world.receipt(user).await.unwrap();
    assert_eq!(passed.doors[1].task.as_ref().map(|named| named.accepted.is_some()), Some(false));

    back(&world).await;
    world.settle().await;
    let last = world.receipt(user).await.unwrap();
    assert!(last.complete && last.doors.iter().all(|door| door.task.is_none()), "{last:?}");
}

async fn of_two_nodes_that_look_at_once_one_opens_the_task(world: World) {
    let (user, _) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    let other = world.another_node().await;
    world.pass(Duration::from_secs(301));
    let (ours, theirs) = (Watch::new(world.db().clone()), Watch::new(other.db.clone()));
    let (ours, theirs) = tokio::join!(ours.look(), theirs.look());
    assert!(ours.is_ok() && theirs.is_ok(), "{ours:?} {theirs:?}");
    only_task(&world).await;
    assert_eq!(world.facts::<TaskOpened>().await.len(), 1);
}

async fn an_outage_with_many_revocations_is_seen_to_page_by_page(world: World) {
    let mut users = Vec::new();
    for n in 0..300 {
        users.push(world.hire(&format!("leaver{n}"), "Staff").await);
    }
    world.settle().await;
    for user in users {
        world.set_active(user, false).await;
    }
    world.pass(Duration::from_secs(301));
    let watch = Watch::new(world.db().clone());
    for opened in [100, 200, 300, 300, 300] {
        watch.look().await.unwrap();
        assert_eq!(task::count(world.db()).await.unwrap().0, opened);
    }
    assert_eq!(world.facts::<TaskOpened>().await.len(), 300);
    world.settle().await;
    for left in [200, 100, 0, 0] {
        watch.look().await.unwrap();
        assert_eq!(task::count(world.db()).await.unwrap().0, left);
    }
    assert_eq!(world.facts::<TaskClosed>().await.len(), 300);
}
