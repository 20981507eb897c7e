//! Entitlement, and the card that goes with it.

use bridge::alert;
use bridge::facts::AlertOpened;
use directory::credential;
use directory::declared::Kind;
use directory::door::entitlement;
use sim::uhppote::Misbehaviour;
use store::{Sink as _, delivery};

use crate::world::{FACILITY, World, pool};

on_every_engine! {
    an_empty_pool_is_told_and_nothing_is_issued,
    a_card_that_the_panel_cannot_hold_is_not_issued_and_the_next_pool_is_tried,
    no_pool_that_fits_is_told_with_the_reason_of_each,
    a_pool_whose_later_numbers_do_not_fit_ends_with_those_that_do,
    who_is_not_entitled_any_more_needs_no_card_and_no_alert,
    a_decision_about_somebody_who_left_meanwhile_gives_nothing,
    a_panel_that_refuses_a_card_is_told_and_the_doors_that_were_lost_are_shut,
}

async fn no_card(world: &World) -> Vec<String> {
    let open = alert::open_alerts(world.db()).await.unwrap();
    assert!(open.iter().all(|alert| alert.kind == alert::NO_CARD), "{open:?}");
    let told: Vec<AlertOpened> = world.facts().await;
    told.into_iter().rev().take(open.len()).map(|alert| alert.detail).collect()
}

async fn an_empty_pool_is_told_and_nothing_is_issued(world: World) {
    world.undeclare(Kind::CardPool, "cards").await;
    world.declare(pool("small", "h10301", 9, 1, 1)).await;
    world.settle().await;
    world.carded("ada", "Staff").await;
    let bo = world.hire("bo", "Staff").await;
    world.settle().await;
    assert!(world.cards(bo).await.is_empty());
    assert_eq!(
        no_card(&world).await,
        ["entitled, but no card pool has a card that the doors can hold: pool small: it is used up"]
    );
    assert_eq!(entitlement::of_user(world.db(), bo).await.unwrap().len(), 1, "entitled all the same");
    // More cards: the user has one, and nobody must look any more.
    world.declare(pool("small", "h10301", 9, 1, 2)).await;
    world.settle().await;
    assert_eq!(world.card(bo).await.number, 2);
    assert!(no_card(&world).await.is_empty());
}

async fn a_card_that_the_panel_cannot_hold_is_not_issued_and_the_next_pool_is_tried(world: World) {
    world.undeclare(Kind::CardPool, "cards").await;
    world.declare(pool("a", "h10304", 300, 65_536, 70_000)).await;
    world.declare(pool("b", "h10302", 0, 1, 9)).await;
    world.declare(pool("c", "h10301", i64::from(FACILITY), 5, 9)).await;
    let (_, card) = world.carded("ada", "Staff").await;
    assert_eq!((card.format.as_str(), card.facility, card.number), ("h10301", i64::from(FACILITY), 5));
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    let drawn: Vec<i64> = credential::pools(world.db())
        .await
        .unwrap()
        .iter()
        .map(|pool| pool.next_number - pool.first_number)
        .collect();
    assert_eq!(drawn, [0, 0, 1], "no number of the others was used up");
}

async fn no_pool_that_fits_is_told_with_the_reason_of_each(world: World) {
    world.undeclare(Kind::CardPool, "cards").await;
    world.declare(pool("a", "h10304", 300, 65_536, 70_000)).await;
    world.declare(pool("b", "h10301", 256, 1, 9)).await;
    world.declare(pool("c", "h10301", 1, 65_536, 65_537)).await;
    let user = world.hire("ada", "Staff").await;
    world.settle().await;
    assert!(world.cards(user).await.is_empty());
    let told = no_card(&world).await;
    assert_eq!(told.len(), 1);
    for reason in [
        "pool a: hq: this door system cannot hold card h10304:300:65536: its readers send 26 bits (h10301), not h10304",
        "pool b: h10301 needs a facility of 0 to 255",
        "pool c: h10301 holds numbers of 0 to 65535",
    ] {
        assert!(told[0].contains(reason), "{}", told[0]);
    }
    assert!(world.panels.iter().all(|panel| panel.requests().is_empty()), "nothing was half-done");
}

async fn a_pool_whose_later_numbers_do_not_fit_ends_with_those_that_do(world: World) {
    world.undeclare(Kind::CardPool, "cards").await;
    world.declare(pool("edge", "h10301", 1, 65_535, 65_540)).await;
    let (_, card) = world.carded("ada", "Staff").await;
    assert_eq!(card.number, 65_535);
    let bo = world.hire("bo", "Staff").await;
    world.settle().await;
    assert!(world.cards(bo).await.is_empty());
    assert_eq!(no_card(&world).await.len(), 1);
}

async fn who_is_not_entitled_any_more_needs_no_card_and_no_alert(world: World) {
    world.undeclare(Kind::CardPool, "cards").await;
    let [ada, bo] = [world.hire("ada", "Staff").await, world.hire("bo", "Staff").await];
    world.settle().await;
    assert_eq!(no_card(&world).await.len(), 2);
    world.set_active(ada, false).await;
    world.move_to(bo, "Nothing").await;
    world.settle().await;
    assert!(no_card(&world).await.is_empty());
}

/// The account ends between the moment policy is asked and the moment its answer is carried out.
async fn a_decision_about_somebody_who_left_meanwhile_gives_nothing(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    world.set_active(user, true).await;
    let sink = bridge::entitlement::SINK;
    let claimed =
        delivery::claim(world.db(), sink, std::time::Duration::from_secs(30), 1, false).await.unwrap();
    // Held in its transaction until the end is ready to commit: on SQLite the decision waits for its turn, on
    // PostgreSQL for the account's row. Either way it was made before.
    let mut end = world.db().write(store::Origin::system()).await.unwrap();
    let seen = directory::user::get(world.db(), user).await.unwrap().unwrap();
    let deciding = tokio::spawn({
        let entitlement = world.node.entitlement();
        async move { entitlement.deliver(&claimed[0]).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let gone = directory::user::Profile {
        user_name: seen.user_name.clone(),
        external_id: None,
        display_name: seen.display_name.clone(),
        email: seen.email.clone(),
        department: seen.department.clone(),
        title: None,
        active: false,
        document: seen.document.clone(),
    };
    directory::user::update(&mut end, &seen, &gone, vec!["active".into()]).await.unwrap();
    end.commit().await.unwrap();
    deciding.await.unwrap().unwrap();
    assert_eq!(world.card(user).await.state, "suspended");
    world.settle().await;
    assert_eq!(world.card(user).await.state, "suspended");
    assert_eq!(world.opens(&card), None);
    assert!(entitlement::of_user(world.db(), user).await.unwrap().is_empty());
}

async fn a_panel_that_refuses_a_card_is_told_and_the_doors_that_were_lost_are_shut(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.panels[0].misbehave(Misbehaviour::RefusePuts);
    world.move_to(user, "Research").await;
    world.settle().await;
    assert_eq!(world.opens(&card), None, "better no door than the lost one");
    let open = alert::open_alerts(world.db()).await.unwrap();
    assert_eq!((open.len(), open[0].kind.as_str()), (1, alert::CANNOT_HOLD));
    assert_eq!(open[0].subject, format!("placement:hq/{}", card.id));
    world.panels[0].behave();
    world.pass(std::time::Duration::from_secs(61));
    world.settle().await;
    assert_eq!(world.opens(&card), Some(vec!["lab"]));
    assert!(alert::open_alerts(world.db()).await.unwrap().is_empty());
}
