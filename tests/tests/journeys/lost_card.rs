//! A card is lost, and somebody acts on it today: with the binary, beside a house that serves.

use world::{Served, parts, skip, until};

use crate::steps::{Employee, card_gone, hire_at, holds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_suspended_by_hand_is_off_until_a_hand_brings_it_back() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    let written = format!("h10301:{}:{}", card / 100_000, card % 100_000);

    let said = house.must(&["credential", "suspend", &written, "--who", "Guard"]).await;
    assert!(said.contains(&written), "{said}");
    card_gone(&house.controller, card).await;
    // HR's false and true bring back the account, and not the card.
    house.hr().end_employment(&id).await.unwrap();
    house.hr().rehire(&id).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!holds(&house.controller, card));

    house.must(&["credential", "resume", &user_name]).await;
    until("the card back on the controller", async || holds(&house.controller, card).then_some(())).await;
    house.must(&["credential", "revoke", &user_name]).await;
    card_gone(&house.controller, card).await;
    let there = async || house.controller.cards().first().map(|card| card.number);
    let next = until("the next card", there).await;
    assert_ne!(next, card);
    let lost = house.cardea(&["credential", "resume", &written]).await;
    assert_eq!(lost.code, Some(1), "{lost:?}");
    let nobody = house.cardea(&["credential", "suspend", "nobody@grid.example"]).await;
    assert!(nobody.code == Some(1) && nobody.err.contains("is no card"), "{nobody:?}");
}
