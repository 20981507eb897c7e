//! A door system that asks us at each swipe: what the directory says at that moment counts, whatever stands on the
//! device's list.

use std::sync::Arc;
use std::time::Duration;

use bridge::alert;
use bridge::card::Card;
use bridge::condition::tell;
use bridge::connector::{AckLevel, Asked, Connector, DECIDES_ALONE, Finding, Health, UnitHealth, Verdict};
use bridge::entrance::KEPT;
use bridge::exposure;
use bridge::facts::{DeviationFound, DoorDecided, DoorDecisionsLost};
use bridge::feed::Feed;
use bridge::placement::{self, Door, sink_name};
use bridge::task::{self, Watch};
use directory::credential::{self, Credential, State};
use directory::declared::{Item, Kind};
use directory::door;
use jiff::tz::TimeZone;
use kernel::{Actor, Clock as _, Day, Secret, Timestamp};
use serde_json::json;
use sim::controlid::{Decided, Device, DeviceOptions, Misbehaviour, Swipe, card_value, event};
use store::{Origin, sql};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::hours::{profile, valid};
use crate::world::{HQ, World, access_profile, number, policies, until};

on_every_engine! {
    a_swipe_is_decided_by_us_and_the_reason_is_a_fact,
    a_card_that_ends_is_refused_at_the_next_swipe_before_its_device_hears_of_it,
    a_right_that_ends_is_refused_at_the_next_swipe_before_its_device_hears_of_it,
    a_policy_that_forbids_wins_over_the_right,
    whoever_is_not_known_at_this_door_is_refused,
    a_profile_and_a_card_open_from_their_first_day_to_their_end,
    what_opens_on_a_schedule_only_stays_shut_where_we_decide,
    a_policy_at_a_door_may_ask_who_is_on_site,
    a_door_system_that_was_changed_lets_nobody_in_by_what_it_was_before,
    nobody_waits_at_a_door_for_the_journal,
    nobody_enters_while_the_directory_cannot_be_read,
    decisions_that_do_not_fit_are_counted_in_the_journal,
    decisions_that_do_not_fit_are_counted_also_when_none_comes_after_them,
    whom_we_let_in_before_the_list_knows_it_is_no_deviation,
    whom_we_let_in_before_the_right_ended_was_let_in_by_us,
    whom_we_let_in_was_let_in_by_us_before_the_journal_knows_it,
    a_card_that_a_device_lets_in_without_asking_is_found_and_the_device_is_told,
    a_device_whose_clock_was_set_back_hides_nobody_whom_it_lets_in_without_asking,
    whom_we_let_in_where_a_clock_was_lost_was_let_in_by_us,
    our_refusal_proves_nothing_of_a_list,
    of_a_device_out_of_reach_task_exposure_and_receipt_say_the_same_and_promise_no_refusal,
    a_receipt_names_devices_that_do_not_decide_as_they_should,
    the_house_answers_and_records_while_it_runs,
}

pub(crate) const GATE: &str = "gate";
pub(crate) const DEVICE: i64 = 14_227_560_204_340_541;
const PASSWORD: &str = "a long password";

/// A device at the access point `vault`, where staff may enter.
pub(crate) struct Gate {
    device: Device,
}

impl Gate {
    async fn declare(world: &World) -> Self {
        let clock = world.clock.clone();
        let now = move || clock.now().to_jiff().expect("the clock stands in our century");
        let options = DeviceOptions {
            password: PASSWORD.into(),
            offset: jiff::tz::offset(0),
            ..DeviceOptions::new(DEVICE, Arc::new(now))
        };
        let device = Device::start(options).await.expect("a free port");
        let config = json!({
            "mode": "online",
            "devices": [
                {"device_id": DEVICE, "url": format!("http://{}", device.address()),
                 "portals": {"1": {"name": "vault", "door": 1}}},
            ],
            "login": "admin",
            "listen": "127.0.0.1:0",
            "timeout_ms": 250,
            "attempts": 2,
        });
        let system = Item::new(Kind::DoorSystem, GATE, json!({"connector": "controlid", "config": config}));
        world.declare(system.with_secret(Some(Secret::new(PASSWORD.into())))).await;
        let vault = json!({"door_system": GATE, "area": "house"});
        world.declare(Item::new(Kind::AccessPoint, "vault", vault)).await;
        world.declare(access_profile("staff", &["main", "vault"])).await;
        Self { device }
    }

    /// Shows the card. No two swipes are at the same moment.
    async fn swipe(&self, world: &World, card: &Credential) -> Swipe {
        world.pass(Duration::from_millis(10));
        self.device.swipe(1, value(card)).await
    }

    /// Somebody at the device's own page.
    pub(crate) async fn hand(&self, command: &str, body: serde_json::Value) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = |command: &str| format!("{}{command}.fcgi", self.device.base_url());
        let login = json!({ "login": "admin", "password": PASSWORD });
        let session = client.post(url("login")).json(&login).send().await.expect("an answer");
        let session: serde_json::Value = session.json().await.expect("a session");
        let session = session["session"].as_str().expect("a session").to_owned();
        let done = client.post(url(command)).query(&[("session", session)]).json(&body).send().await;
        assert_eq!(done.expect("an answer").status(), 200, "{command} {body}");
    }

    async fn is_let_in(&self, world: &World, card: &Credential) -> bool {
        let swipe = self.swipe(world, card).await;
        assert_eq!(swipe.by, Decided::Server, "{swipe:?}");
        let expect = if swipe.opened { event::GRANTED } else { event::DENIED };
        assert_eq!(swipe.event, expect, "{swipe:?}");
        swipe.opened
    }
}

/// A device that asks, and what works for it, as far as a test says so.
pub(crate) struct Open {
    pub(crate) gate: Gate,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) attending: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.attending.abort();
    }
}

impl Open {
    pub(crate) async fn new(world: &World) -> Self {
        let gate = Gate::declare(world).await;
        world.reload().await;
        let connector = world.node.systems.connector(GATE).expect("an open door system");
        let answering = connector.clone();
        let attending = tokio::spawn(async move { answering.attend().await }).abort_handle();
        let open = Self { gate, connector, attending };
        until("the device asks us", || async { open.connector.health().await.is_well().then_some(()) }).await;
        open.settle(world).await;
        open
    }

    async fn settle(&self, world: &World) {
        let door = Arc::new(Door::new(world.db().clone(), GATE, self.connector.clone()));
        loop {
            world.settle().await;
            if world.node.drain(&sink_name(GATE), door.clone()).await == 0 {
                return;
            }
        }
    }

    async fn read(&self, world: &World) -> usize {
        let feed = Feed::new(world.db().clone(), GATE, self.connector.clone());
        let feed = feed.deciding(Some(world.node.entrance.clone()));
        feed.read().await.expect("the device answers").recorded
    }
}

fn value(card: &Credential) -> i64 {
    let facility = u16::try_from(card.facility).expect("a 26-bit card");
    card_value(facility, u32::try_from(card.number).expect("a 26-bit card"))
}

async fn by_hand(world: &World, card: &Credential, state: State) {
    let seen = credential::get(world.db(), card.id).await.unwrap().unwrap();
    let mut tx = world.db().write(Origin::of(Actor::Operator)).await.unwrap();
    let ended = match state {
        State::Active => credential::resume(&mut tx, &seen, Some("Guard")).await,
        _ => credential::end(&mut tx, &seen, state, Some("Guard")).await,
    };
    tx.end(ended).await.unwrap();
}

/// All decisions, oldest first, recorded now.
async fn decisions(world: &World) -> Vec<DoorDecided> {
    while world.node.entrance.record().await.expect("the journal takes it") > 0 {}
    let mut all: Vec<DoorDecided> = world.facts().await;
    all.sort_by_key(|decided| decided.at);
    all
}

/// What the last decision was, why, and by which policies.
async fn last(world: &World) -> (bool, Vec<String>, Vec<String>) {
    let decided = decisions(world).await.pop().expect("a decision");
    (decided.granted, decided.because, decided.policies)
}

fn refused(because: &str, policy: Option<&str>) -> (bool, Vec<String>, Vec<String>) {
    (false, vec![because.into()], policy.into_iter().map(str::to_owned).collect())
}

async fn a_swipe_is_decided_by_us_and_the_reason_is_a_fact(world: World) {
    let open = Open::new(&world).await;
    let (user, card) = world.carded("ada", "Staff").await;
    // The device's list knows nothing of it yet.
    assert!(open.gate.is_let_in(&world, &card).await);
    open.settle(&world).await;
    assert!(open.gate.device.holds(value(&card)));
    assert!(open.gate.is_let_in(&world, &card).await);
    let all = decisions(&world).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let expect = DoorDecided {
        door_system: GATE.into(),
        access_point: "vault".into(),
        card: Some(format!("h10301:{}:{}", card.facility, card.number)),
        credential: Some(card.id),
        user: Some(user),
        granted: true,
        because: vec!["An access profile that you hold opens this area.".into()],
        policies: vec!["enter".into()],
        at: all[1].at,
        lost_before: 0,
        refused_before: 0,
    };
    assert_eq!(all[1], expect);
}

async fn a_card_that_ends_is_refused_at_the_next_swipe_before_its_device_hears_of_it(world: World) {
    let open = Open::new(&world).await;
    let (user, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    assert!(open.gate.is_let_in(&world, &card).await);
    // Nothing reaches the device; what it asks still leaves.
    open.gate.device.misbehave(Misbehaviour::Silent);
    by_hand(&world, &card, State::Suspended).await;
    assert!(!open.gate.is_let_in(&world, &card).await);
    assert!(open.gate.device.holds(value(&card)), "its list has not heard of it");
    assert_eq!(last(&world).await, refused("This card is suspended.", None));
    by_hand(&world, &card, State::Active).await;
    assert!(open.gate.is_let_in(&world, &card).await);
    world.set_active(user, false).await;
    assert!(!open.gate.is_let_in(&world, &card).await);
    world.delete(user).await;
    assert!(!open.gate.is_let_in(&world, &card).await);
    assert_eq!(last(&world).await, refused("This card is revoked.", None));
}

async fn a_right_that_ends_is_refused_at_the_next_swipe_before_its_device_hears_of_it(world: World) {
    let open = Open::new(&world).await;
    let (user, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    open.gate.device.misbehave(Misbehaviour::Silent);
    // Nobody has settled yet what they are entitled to now.
    world.move_to(user, "Research").await;
    assert!(!open.gate.is_let_in(&world, &card).await);
    assert!(open.gate.device.holds(value(&card)), "its list has not heard of it");
    assert_eq!(last(&world).await, refused("No rule permits this.", Some("no-permit")));
    world.move_to(user, "Staff").await;
    assert!(open.gate.is_let_in(&world, &card).await);
    // So it is with policies.
    let nobody = r#"@id("nobody") @because("Nobody.") forbid (principal, action == Action::"hold", resource == AccessProfile::"staff");"#;
    world.node.policies.send_replace(Arc::new(policies(nobody)));
    assert!(!open.gate.is_let_in(&world, &card).await);
    assert_eq!(last(&world).await, refused("No rule permits this.", Some("no-permit")));
}

async fn a_policy_that_forbids_wins_over_the_right(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    let night = r#"@id("night") @because("Nobody works here now.")
        forbid (principal, action == Action::"enter", resource == Area::"house");"#;
    world.node.policies.send_replace(Arc::new(policies(night)));
    assert!(!open.gate.is_let_in(&world, &card).await);
    assert_eq!(last(&world).await, refused("Nobody works here now.", Some("night")));
    world.node.policies.send_replace(Arc::new(policies("")));
    assert!(open.gate.is_let_in(&world, &card).await);
    // A card is one factor.
    world.declare(Item::new(Kind::Area, "house", json!({"title": "The house", "protection_class": 3}))).await;
    assert!(!open.gate.is_let_in(&world, &card).await);
    assert_eq!(
        last(&world).await,
        refused("This area needs two factors at the door.", Some("enter.class-3"))
    );
}

fn asked(point: &str, card: Option<Card>) -> Asked {
    Asked { access_point: point.into(), card, time_zone: TimeZone::UTC, refused_before: 0 }
}

async fn whoever_is_not_known_at_this_door_is_refused(world: World) {
    Gate::declare(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    let hers = shown(&card);
    let stranger = Card::h10301(9, 9);
    let decides = |door_system: &str| world.node.entrance.of(door_system, 1);
    for (door_system, question, because) in [
        (GATE, asked("vault", Some(stranger)), "This card is nobody's."),
        (GATE, asked("vault", None), "No card was shown."),
        // A door system is answered about its own doors, also when the card opens the other.
        (GATE, asked("main", Some(hers)), "main is no access point of gate."),
        (GATE, asked("nowhere", Some(hers)), "nowhere is no access point of gate."),
        ("nothing", asked("vault", Some(hers)), "vault is no access point of nothing."),
    ] {
        let verdict = decides(door_system).decide(&question).await;
        assert_eq!(verdict, Verdict::denied(because), "{door_system} {question:?}");
    }
    assert!(decides(GATE).decide(&asked("vault", Some(hers))).await.granted);
    assert!(decides(HQ).decide(&asked("main", Some(hers))).await.granted);
    assert!(!decides(HQ).decide(&asked("lab", Some(hers))).await.granted);
}

fn shown(card: &Credential) -> Card {
    format!("h10301:{}:{}", card.facility, card.number).parse().expect("a 26-bit card")
}

/// What is said of a card at `vault` now, where clocks show this.
async fn said_in(world: &World, card: &Credential, time_zone: TimeZone) -> (bool, String) {
    let question = Asked { time_zone, ..asked("vault", Some(shown(card))) };
    let verdict = world.node.entrance.of(GATE, 1).decide(&question).await;
    (verdict.granted, verdict.because)
}

async fn said(world: &World, card: &Credential) -> (bool, String) {
    said_in(world, card, TimeZone::UTC).await
}

const NO_RULE: &str = "No rule permits this.";

async fn a_profile_and_a_card_open_from_their_first_day_to_their_end(world: World) {
    const DAY: Duration = Duration::from_secs(86_400);
    Gate::declare(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    let now = || -> Timestamp { world.db().ctx().now() };
    let today = || Day::of(now(), &TimeZone::UTC).expect("our century");
    let tomorrow = || Day::of(now().plus(DAY), &TimeZone::UTC).expect("our century");
    let staff = |days: serde_json::Value| profile("staff", &[("main", None), ("vault", None)], &days);
    world.declare(staff(json!({ "valid_from": tomorrow() }))).await;
    assert_eq!(said(&world, &card).await, (false, NO_RULE.into()));
    world.pass(DAY);
    assert!(said(&world, &card).await.0, "its first day");
    world.declare(staff(json!({ "valid_until": today() }))).await;
    // By the door's own clock.
    for hours in [-12, 0, 14] {
        let place = TimeZone::fixed(jiff::tz::offset(hours));
        let there = Day::of(now(), &place).expect("our century");
        assert_eq!(said_in(&world, &card, place).await.0, there <= today(), "{hours}");
    }
    world.pass(DAY);
    assert_eq!(said(&world, &card).await, (false, NO_RULE.into()));

    world.declare(staff(json!({}))).await;
    let end = now().plus(Duration::from_secs(3_600));
    valid(&world, &card, None, Some(end)).await;
    assert!(said(&world, &card).await.0);
    world.pass(Duration::from_secs(3_600));
    assert_eq!(said(&world, &card).await, (false, format!("This card was valid until {end}.")));
    let first = tomorrow();
    valid(&world, &card, Some(first), None).await;
    assert_eq!(said(&world, &card).await, (false, format!("This card is not valid before {first}.")));
    world.pass(DAY);
    assert!(said(&world, &card).await.0);
}

async fn what_opens_on_a_schedule_only_stays_shut_where_we_decide(world: World) {
    Gate::declare(&world).await;
    world.declare(Item::new(Kind::Schedule, "office", json!({ "title": "Office" }))).await;
    world.declare(profile("staff", &[("main", None), ("vault", Some("office"))], &json!({}))).await;
    let (_, card) = world.carded("ada", "Grounds").await;
    let because = format!("{NO_RULE} It opens on schedule office only, whose hours nobody knows here.");
    assert_eq!(said(&world, &card).await, (false, because));
    world.declare(profile("grounds", &[("yard", None), ("vault", None)], &json!({}))).await;
    assert!(said(&world, &card).await.0, "another profile opens it always");
}

async fn a_policy_at_a_door_may_ask_who_is_on_site(world: World) {
    Gate::declare(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    let inner = r#"@id("inner") @because("Come in by the main door first.")
        forbid (principal, action == Action::"enter", resource)
        unless { context has presence && context.presence };"#;
    world.node.policies.send_replace(Arc::new(policies(inner)));
    assert_eq!(said(&world, &card).await, (false, "Come in by the main door first.".into()));
    assert!(world.panels[0].swipe(number(&card), 1).granted);
    world.node.feed().read().await.expect("the panels answer");
    assert!(said(&world, &card).await.0);
}

async fn a_door_system_that_was_changed_lets_nobody_in_by_what_it_was_before(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    assert!(open.gate.is_let_in(&world, &card).await);
    // The relay is that of another door from now on. What runs by the old configuration has not ended.
    let mut config = door::system(world.db(), GATE).await.unwrap().unwrap().config.0;
    config["devices"][0]["portals"]["1"]["door"] = json!(2);
    let changed = Item::new(Kind::DoorSystem, GATE, json!({"connector": "controlid", "config": config}));
    world.declare(changed.with_secret(Some(Secret::new(PASSWORD.into())))).await;
    assert!(!open.gate.is_let_in(&world, &card).await);
    let because = "gate was configured otherwise, and does not work by that yet.";
    assert_eq!(last(&world).await, refused(because, None));
    let successor = world.node.entrance.of(GATE, 2);
    assert!(successor.decide(&asked("vault", Some(shown(&card)))).await.granted);
}

async fn nobody_waits_at_a_door_for_the_journal(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    // Somebody holds the writer, and so does whoever records.
    let tx = world.db().write(Origin::system()).await.unwrap();
    let entrance = world.node.entrance.clone();
    assert!(open.gate.is_let_in(&world, &card).await);
    let recording = tokio::spawn(async move { entrance.record().await });
    assert!(open.gate.is_let_in(&world, &card).await);
    tx.commit().await.unwrap();
    recording.await.unwrap().unwrap();
    assert_eq!(decisions(&world).await.len(), 2);
}

async fn nobody_enters_while_the_directory_cannot_be_read(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    assert!(open.gate.is_let_in(&world, &card).await);
    world.db().close().await;
    assert!(!open.gate.is_let_in(&world, &card).await);
}

/// Somebody holds the table of cards for longer than anybody waits at a door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_enters_while_the_directory_is_too_slow() {
    let Some(world) = World::postgres().await else { return };
    Gate::declare(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    let question = asked("vault", Some(shown(&card)));
    let gate = world.node.entrance.of(GATE, 1);
    assert!(gate.decide(&question).await.granted);
    let mut held = world.db().write(Origin::system()).await.unwrap();
    held.run(sql!("LOCK TABLE credential IN ACCESS EXCLUSIVE MODE"), ()).await.unwrap();
    assert!(!gate.decide(&question).await.granted);
    held.refuse().await.unwrap();
    let late = "the directory gave no answer within 800 ms";
    assert_eq!(last(&world).await, refused(late, None));
    assert!(gate.decide(&question).await.granted);
}

async fn decisions_that_do_not_fit_are_counted_in_the_journal(world: World) {
    let gate = world.node.entrance.of(GATE, 1);
    for _ in 0..KEPT + 10 {
        gate.decide(&asked("vault", None)).await;
    }
    let kept = decisions(&world).await;
    assert_eq!((kept.len(), kept.iter().map(|decided| decided.lost_before).sum::<u64>()), (KEPT, 0));
    gate.decide(&asked("vault", None)).await;
    let all = decisions(&world).await;
    assert_eq!(
        (all.len(), all.iter().map(|decided| decided.lost_before).sum::<u64>()),
        (KEPT + 1, 10),
        "the next one says so"
    );
}

async fn decisions_that_do_not_fit_are_counted_also_when_none_comes_after_them(world: World) {
    let gate = world.node.entrance.of(GATE, 1);
    for _ in 0..KEPT + 10 {
        gate.decide(&asked("vault", None)).await;
    }
    // Everything stops.
    let (_stop, stopped) = watch::channel(true);
    world.node.entrance.clone().record_until(stopped).await;
    assert_eq!(world.facts::<DoorDecided>().await.len(), KEPT);
    let lost: Vec<DoorDecisionsLost> = world.facts().await;
    assert_eq!(lost, [DoorDecisionsLost { door_system: GATE.into(), count: 10 }]);
}

async fn whom_we_let_in_before_the_list_knows_it_is_no_deviation(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    by_hand(&world, &card, State::Suspended).await;
    open.settle(&world).await;
    open.read(&world).await;
    by_hand(&world, &card, State::Active).await;
    assert!(!open.gate.device.holds(value(&card)), "its absence is proven, and watched");
    assert!(open.gate.is_let_in(&world, &card).await);
    assert_eq!(open.read(&world).await, 1);
    assert_eq!(world.facts::<DeviationFound>().await.len(), 0);
}

async fn alone(world: &World) -> Vec<String> {
    let open = alert::open_of_kind(world.db(), DECIDES_ALONE).await.unwrap();
    open.into_iter().map(|open| open.subject).collect()
}

async fn whom_we_let_in_before_the_right_ended_was_let_in_by_us(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    assert!(open.gate.is_let_in(&world, &card).await);
    assert_eq!(decisions(&world).await.len(), 1);
    by_hand(&world, &card, State::Suspended).await;
    assert_eq!(open.read(&world).await, 1);
    assert_eq!(alone(&world).await, [""; 0]);
}

async fn whom_we_let_in_was_let_in_by_us_before_the_journal_knows_it(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Research").await;
    // No list knows it there.
    let anybody =
        r#"@id("anybody") @because("Come in.") permit (principal, action == Action::"enter", resource);"#;
    world.node.policies.send_replace(Arc::new(policies(anybody)));
    assert!(open.gate.is_let_in(&world, &card).await);
    // Somebody holds the writer, and whoever records waits for it.
    let tx = world.db().write(Origin::system()).await.unwrap();
    let (entrance, reading) = (world.node.entrance.clone(), open.read(&world));
    let recording = tokio::spawn(async move { entrance.record().await });
    let letting_go = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        tx.commit().await.unwrap();
    };
    let (recorded, ()) = tokio::join!(reading, letting_go);
    recording.await.unwrap().unwrap();
    assert_eq!(recorded, 1);
    assert_eq!(alone(&world).await, [""; 0]);
    // Nor is it found afterwards, when it waits no more.
    assert!(open.gate.is_let_in(&world, &card).await);
    assert_eq!(decisions(&world).await.len(), 2, "each stands there once");
    assert_eq!(open.read(&world).await, 1);
    assert_eq!(alone(&world).await, [""; 0]);
}

async fn a_card_that_a_device_lets_in_without_asking_is_found_and_the_device_is_told(world: World) {
    let open = Open::new(&world).await;
    let (user, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    by_hand(&world, &card, State::Suspended).await;
    open.settle(&world).await;
    open.read(&world).await;
    // Somebody with a laptop has it decide alone, and puts the card back.
    open.gate.hand("set_configuration", json!({ "general": { "online": "0" } })).await;
    assert!(open.gate.device.plant_at(1, value(&card)));
    let swipe = open.gate.swipe(&world, &card).await;
    assert!(swipe.opened && swipe.by == Decided::Device, "{swipe:?}");
    assert_eq!(open.read(&world).await, 1);
    assert_eq!(alone(&world).await, ["access_point:vault"]);
    let found: Vec<DeviationFound> = world.facts().await;
    let found: Vec<_> = found.iter().map(|found| (found.finding.as_str(), found.credential)).collect();
    assert_eq!(found, [("opened", Some(card.id))]);
    world.set_active(user, false).await;
    world.node.drain_receipts().await;
    let said = world.receipt(user).await.unwrap().exposure;
    let says = "the device at vault (gate) decides by its own lists";
    assert!(said.iter().any(|exposure| exposure.what.starts_with(says)), "{said:?}");
    // Told until it asks again.
    open.gate.hand("set_configuration", json!({ "general": { "online": "1" } })).await;
    tell(world.db(), GATE, &open.connector.health().await).await.unwrap();
    assert_eq!(alone(&world).await, [""; 0]);
    // A card that is nobody's was let in by nobody here.
    open.gate.hand("set_configuration", json!({ "general": { "online": "0" } })).await;
    assert!(open.gate.device.plant_at(1, card_value(9, 9)));
    assert!(open.gate.device.swipe(1, card_value(9, 9)).await.opened);
    open.read(&world).await;
    assert_eq!(alone(&world).await, ["access_point:vault"]);
}

async fn a_device_whose_clock_was_set_back_hides_nobody_whom_it_lets_in_without_asking(world: World) {
    let open = Open::new(&world).await;
    open.gate.hand("set_configuration", json!({ "general": { "online": "0" } })).await;
    open.gate.device.misbehave(Misbehaviour::LoseClock);
    let stranger = card_value(9, 9);
    assert!(open.gate.device.plant_at(1, stranger));
    // Nobody has read its log since it was to ask: this may be from before.
    assert!(open.gate.device.swipe(1, stranger).await.opened);
    assert_eq!(open.read(&world).await, 1);
    assert_eq!(alone(&world).await, [""; 0]);
    // What is read after that happened after it.
    assert!(open.gate.device.swipe(1, stranger).await.opened);
    assert_eq!(open.read(&world).await, 1);
    assert_eq!(alone(&world).await, ["access_point:vault"]);
}

async fn whom_we_let_in_where_a_clock_was_lost_was_let_in_by_us(world: World) {
    let open = Open::new(&world).await;
    let (_, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    open.read(&world).await;
    open.gate.device.misbehave(Misbehaviour::LoseClock);
    assert!(open.gate.is_let_in(&world, &card).await);
    assert_eq!(decisions(&world).await.len(), 1);
    by_hand(&world, &card, State::Suspended).await;
    assert_eq!(open.read(&world).await, 1);
    assert_eq!(alone(&world).await, [""; 0]);
}

async fn our_refusal_proves_nothing_of_a_list(world: World) {
    let open = Open::new(&world).await;
    let (user, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    world.set_active(user, false).await;
    open.settle(&world).await;
    open.read(&world).await;
    // Somebody has put it back, and we refuse it all the same.
    assert!(open.gate.device.plant_at(1, value(&card)));
    assert!(!open.gate.is_let_in(&world, &card).await);
    assert_eq!(open.read(&world).await, 1);
    let placed = placement::get(world.db(), GATE, card.id).await.unwrap().unwrap();
    assert_eq!(placed.level(), AckLevel::ReadBack);
    assert_eq!(open.connector.descriptor().top_ack(), AckLevel::ReadBack);
    open.settle(&world).await;
    let receipt = world.receipt(user).await.unwrap();
    let door = receipt.doors.iter().find(|door| door.door_system == GATE).unwrap();
    assert_eq!((door.level, &door.denial_observed_at), (AckLevel::ReadBack, &None));
}

async fn of_a_device_out_of_reach_task_exposure_and_receipt_say_the_same_and_promise_no_refusal(
    world: World,
) {
    let open = Open::new(&world).await;
    let (user, card) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    open.gate.device.misbehave(Misbehaviour::Cut);
    world.set_active(user, false).await;
    open.settle(&world).await;
    world.pass(Duration::from_secs(301));
    Watch::new(world.db().clone()).look().await.unwrap();
    world.node.drain_receipts().await;
    let until = "until the panel can be reached again";
    let tasks = task::list(world.db(), false, 10).await.unwrap();
    let said: Vec<_> = tasks.iter().map(|task| (task.door_system.as_str(), task.until.as_str())).collect();
    assert_eq!(said, [(GATE, until)]);
    let exposed = exposure::report(world.db()).await.unwrap();
    let said: Vec<_> =
        exposed.cards.iter().map(|card| (card.door_system.as_str(), card.until.as_str())).collect();
    assert_eq!(said, [(GATE, until)]);
    let bypass = exposed.bypasses.iter().find(|bypass| bypass.door_system == GATE).unwrap();
    assert_eq!([bypass.what], open.connector.descriptor().bypasses, "those of a device that asks us");
    let receipt = world.receipt(user).await.unwrap();
    let what = format!("credential {} at vault ({GATE})", card.id);
    let named = receipt.exposure.iter().find(|exposure| exposure.what == what).unwrap();
    assert_eq!(named.until, until);
}

async fn a_receipt_names_devices_that_do_not_decide_as_they_should(world: World) {
    let open = Open::new(&world).await;
    let (user, _) = world.carded("ada", "Staff").await;
    open.settle(&world).await;
    let findings = vec![Finding::AsksAnother, Finding::DecidesAlone, Finding::WouldDecideAlone];
    let device = UnitHealth { unit: DEVICE.to_string(), findings, ..UnitHealth::default() };
    tell(world.db(), GATE, &Health { units: vec![device.clone()] }).await.unwrap();
    // Where nobody entered.
    tell(world.db(), "gatehouse", &Health { units: vec![device] }).await.unwrap();
    world.set_active(user, false).await;
    open.settle(&world).await;
    world.node.drain_receipts().await;
    let receipt = world.receipt(user).await.unwrap();
    assert!(receipt.complete, "{receipt:?}");
    let of_devices = receipt.exposure.iter().filter(|exposure| exposure.what.starts_with("device "));
    let said: Vec<&str> = of_devices.map(|exposure| exposure.what.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for (said, says) in said.iter().zip([
        "asks another server who may enter",
        "decides by its own lists and does not ask us",
        "would decide by its own lists while it cannot ask us",
    ]) {
        assert!(said.starts_with(&format!("device {GATE}/{DEVICE} {says}")), "{said}");
    }
}

async fn the_house_answers_and_records_while_it_runs(world: World) {
    let gate = Gate::declare(&world).await;
    let working = world.node.run();
    let user = world.hire("ada", "Staff").await;
    let card = until("a card", || async { world.cards(user).await.pop() }).await;
    until("it opens, and we decided so", || async {
        let swipe = gate.swipe(&world, &card).await;
        (swipe.opened && swipe.by == Decided::Server).then_some(())
    })
    .await;
    by_hand(&world, &card, State::Suspended).await;
    assert!(!gate.is_let_in(&world, &card).await);
    until("both are in the journal", || async {
        let all: Vec<DoorDecided> = world.facts().await;
        let said = |granted: bool| all.iter().any(|decided| decided.granted == granted);
        (said(true) && said(false)).then_some(())
    })
    .await;
    working.stop().await;
}
