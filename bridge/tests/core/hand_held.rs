//! Cards that a person suspends, revokes and brings back, against what HR says meanwhile.

use bridge::alert;
use directory::credential::{self, Credential, State};
use directory::facts::CredentialSuspended;

use crate::world::World;

on_every_engine! {
    a_card_suspended_by_hand_stays_off_whatever_hr_says,
    a_card_of_a_leaver_that_is_reported_lost_does_not_come_back_with_the_account,
    a_person_brings_a_card_back_and_the_account_no_other,
    who_has_a_card_suspended_by_hand_gets_no_other_one,
    who_loses_a_card_for_good_gets_the_next_one,
}

async fn by_hand(world: &World, card: &Credential, state: State) {
    let seen = credential::get(world.db(), card.id).await.unwrap().unwrap();
    let mut tx = world.db().write(store::Origin::of(kernel::Actor::Operator)).await.unwrap();
    let ended = match state {
        State::Active => credential::resume(&mut tx, &seen, Some("Guard")).await,
        _ => credential::end(&mut tx, &seen, state, Some("Guard")).await,
    };
    tx.end(ended).await.unwrap();
    world.settle().await;
}

async fn a_card_suspended_by_hand_stays_off_whatever_hr_says(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    by_hand(&world, &card, State::Suspended).await;
    assert_eq!(world.opens(&card), None);
    assert!(world.placement(&card).await.is_proven_absent());
    for active in [false, true] {
        world.set_active(user, active).await;
        world.settle().await;
        assert_eq!(world.opens(&card), None, "active: {active}");
    }
    let told: Vec<CredentialSuspended> = world.facts().await;
    assert_eq!(told.iter().map(|fact| fact.who.as_deref()).collect::<Vec<_>>(), [Some("Guard")]);
}

async fn a_card_of_a_leaver_that_is_reported_lost_does_not_come_back_with_the_account(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    world.set_active(user, false).await;
    world.settle().await;
    by_hand(&world, &card, State::Suspended).await;
    world.set_active(user, true).await;
    world.settle().await;
    assert_eq!((world.opens(&card), world.card(user).await.state.as_str()), (None, "suspended"));
}

async fn a_person_brings_a_card_back_and_the_account_no_other(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    by_hand(&world, &card, State::Suspended).await;
    by_hand(&world, &card, State::Active).await;
    assert_eq!(world.opens(&card), Some(vec!["main"]));
    // From here on it goes and comes with the account again.
    for (active, opens) in [(false, None), (true, Some(vec!["main"]))] {
        world.set_active(user, active).await;
        world.settle().await;
        assert_eq!(world.opens(&card), opens);
    }
}

async fn who_has_a_card_suspended_by_hand_gets_no_other_one(world: World) {
    let (user, card) = world.carded("ada", "Staff").await;
    by_hand(&world, &card, State::Suspended).await;
    world.move_to(user, "Grounds").await;
    world.settle().await;
    assert_eq!(world.card(user).await.id, card.id, "the only one");
    assert!(alert::open_alerts(world.db()).await.unwrap().is_empty(), "nobody must find a card");
}

async fn who_loses_a_card_for_good_gets_the_next_one(world: World) {
    let (user, lost) = world.carded("ada", "Staff").await;
    by_hand(&world, &lost, State::Revoked).await;
    assert_eq!(world.opens(&lost), None);
    let cards = world.cards(user).await;
    let [_, next] = &cards[..] else { panic!("{cards:?}") };
    assert_eq!(world.opens(next), Some(vec!["main"]));
}
