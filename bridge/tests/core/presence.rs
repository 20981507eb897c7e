//! Where people are, by what doors tell: in order, late, twice, and of strangers.

use std::time::Duration;

use bridge::connector::{Direction, DoorEvent, EventKind};
use bridge::feed::Feed;
use directory::credential::Credential;
use directory::declared::{Item, Kind};
use directory::presence::{self, KEPT};
use serde_json::{Value, json};
use sim::uhppote::Misbehaviour;

use crate::hand::Hand;
use crate::world::{HQ, World, held, number};

on_every_engine! {
    who_is_let_in_is_behind_that_door_until_another_lets_them_in,
    who_is_refused_or_unknown_is_nowhere_new,
    what_a_door_tells_late_writes_over_nothing_that_happened_later,
    events_that_come_again_change_nothing,
    who_is_let_out_is_before_the_door_or_nowhere,
    a_leaver_is_nowhere_also_by_a_door_that_opens_still,
}

/// Areas of their own: behind `main` the house, behind `lab` the lab, behind `yard` the yard. Out of the lab one comes
/// into the house.
async fn lay_out(world: &World) {
    for name in ["lab", "yard"] {
        let fields = json!({ "title": name, "protection_class": 3 });
        world.declare(Item::new(Kind::Area, name, fields)).await;
    }
    let point = |name: &str, fields: Value| Item::new(Kind::AccessPoint, name, fields);
    world.declare(point("lab", json!({ "door_system": HQ, "area": "lab", "from": "house" }))).await;
    world.declare(point("yard", json!({ "door_system": HQ, "area": "yard" }))).await;
    world.declare(crate::world::access_profile("staff", &["main", "lab", "yard"])).await;
    world.settle().await;
}

async fn read(world: &World) -> usize {
    world.node.feed().read().await.expect("a panel answers").recorded
}

/// Who is where: `name area`.
async fn present(world: &World) -> Vec<String> {
    let present = presence::list(world.db(), None).await.unwrap();
    present.iter().map(|person| format!("{} {}", person.user_name, person.area)).collect()
}

const MAIN: (usize, u8) = (0, 1);
const LAB: (usize, u8) = (0, 2);
const YARD: (usize, u8) = (1, 1);

/// Shows the card at a door, which opens; a second later the next thing happens.
fn enter(world: &World, card: &Credential, (panel, door): (usize, u8)) {
    assert!(world.panels[panel].swipe(number(card), door).granted);
    world.pass(Duration::from_secs(2));
}

async fn who_is_let_in_is_behind_that_door_until_another_lets_them_in(world: World) {
    lay_out(&world).await;
    let (_, ada) = world.carded("ada", "Staff").await;
    let (_, bo) = world.carded("bo", "Staff").await;
    assert_eq!(present(&world).await, [""; 0]);
    enter(&world, &ada, MAIN);
    read(&world).await;
    assert_eq!(present(&world).await, ["ada house"]);
    // Both through one door, in one page.
    enter(&world, &ada, LAB);
    enter(&world, &bo, LAB);
    enter(&world, &bo, MAIN);
    read(&world).await;
    assert_eq!(present(&world).await, ["bo house", "ada lab"]);
    let bo = presence::list(world.db(), None).await.unwrap().remove(0);
    let now = world.db().ctx().now();
    assert!(bo.access_point == "main" && bo.at <= now && now.since(bo.at).as_secs() < 600, "{bo:?}");
    world.pass(KEPT);
    assert_eq!(present(&world).await, [""; 0], "nobody stays so long");
}

async fn who_is_refused_or_unknown_is_nowhere_new(world: World) {
    lay_out(&world).await;
    let (_, ada) = world.carded("ada", "Staff").await;
    enter(&world, &ada, MAIN);
    assert!(world.panels[0].plant(held(4_200_001, [0, 1, 0, 0])));
    assert!(world.panels[0].swipe(4_200_001, 2).granted, "nobody's card");
    assert!(world.panels[0].plant(held(number(&ada), [1, 0, 0, 0])));
    assert!(!world.panels[0].swipe(number(&ada), 2).granted);
    assert_eq!(read(&world).await, 3);
    assert_eq!(present(&world).await, ["ada house"]);
}

async fn what_a_door_tells_late_writes_over_nothing_that_happened_later(world: World) {
    lay_out(&world).await;
    let (_, ada) = world.carded("ada", "Staff").await;
    enter(&world, &ada, YARD);
    enter(&world, &ada, MAIN);
    world.panels[1].misbehave(Misbehaviour::Silent);
    read(&world).await;
    assert_eq!(present(&world).await, ["ada house"]);
    world.panels[1].behave();
    assert_eq!(read(&world).await, 1, "the yard, of before");
    assert_eq!(present(&world).await, ["ada house"]);
    enter(&world, &ada, YARD);
    read(&world).await;
    assert_eq!(present(&world).await, ["ada yard"]);
}

async fn events_that_come_again_change_nothing(world: World) {
    lay_out(&world).await;
    let (_, ada) = world.carded("ada", "Staff").await;
    enter(&world, &ada, LAB);
    enter(&world, &ada, MAIN);
    read(&world).await;
    let first = presence::list(world.db(), None).await.unwrap();
    let forgotten = store::sql!("DELETE FROM event_cursor");
    world.db().change(store::Origin::system(), forgotten, (), vec![]).await.unwrap();
    assert_eq!(read(&world).await, 0);
    assert_eq!(presence::list(world.db(), None).await.unwrap(), first);
}

/// A door tells of this card, whatever happens at the doors.
async fn tell(
    world: &World,
    index: u64,
    card: &Credential,
    at: &str,
    direction: Option<Direction>,
    ago: Duration,
) {
    let event = DoorEvent {
        id: format!("told/{index}"),
        index,
        kind: EventKind::AccessGranted,
        at: Some(world.db().ctx().now().minus(ago)),
        access_point: Some(at.into()),
        direction,
        card: Some(format!("h10301:{}:{}", card.facility, card.number).parse().unwrap()),
        vendor: String::new(),
    };
    let teller = Hand::telling(world.node.connector(), event);
    assert_eq!(Feed::new(world.db().clone(), HQ, teller).read().await.unwrap().recorded, 1);
}

async fn who_is_let_out_is_before_the_door_or_nowhere(world: World) {
    lay_out(&world).await;
    let (_, ada) = world.carded("ada", "Staff").await;
    let ago = Duration::from_secs;
    for (index, door, direction, seconds, expect) in [
        (1, "lab", Some(Direction::In), 600, &["ada lab"][..]),
        (2, "lab", Some(Direction::Out), 500, &["ada house"]),
        (3, "yard", None, 400, &["ada yard"]),
        // Nobody says what lies before the yard.
        (4, "yard", Some(Direction::Out), 300, &[]),
        (5, "lab", Some(Direction::In), 350, &[]),
        // A door whose clock is ahead tells of now, and of nothing later.
        (6, "main", None, 0, &["ada house"]),
    ] {
        tell(&world, index, &ada, door, direction, ago(seconds)).await;
        assert_eq!(present(&world).await, expect, "{index}");
    }
}

async fn a_leaver_is_nowhere_also_by_a_door_that_opens_still(world: World) {
    lay_out(&world).await;
    let (user, ada) = world.carded("ada", "Staff").await;
    enter(&world, &ada, MAIN);
    read(&world).await;
    world.panels[0].misbehave(Misbehaviour::Silent);
    world.set_active(user, false).await;
    world.settle().await;
    assert_eq!(present(&world).await, [""; 0]);
    world.panels[0].behave();
    assert!(world.panels[0].swipe(number(&ada), 1).granted, "the panel has not heard of it");
    assert_eq!(read(&world).await, 1);
    let (rows,): (i64,) = world.one(store::sql!("SELECT COUNT(*) FROM presence")).await;
    assert_eq!(rows, 0, "nothing is kept about who has left");
}
