//! What ending means: a person who leaves is signed out at the commit, whatever the shape of the request.

use directory::credential;
use directory::facts::{UserActivated, UserDeactivated, UserDeleted};
use serde_json::json;

use crate::entra::shapes_of_active;
use crate::house::{House, USER, on_both_engines};

on_both_engines! {
    every_shape_of_deactivation_ends_sessions_and_is_a_fact
    reactivation_brings_no_session_back
    a_put_deactivates_too
    deleting_ends_everything_for_good
    deactivating_twice_is_one_fact
    a_user_is_made_inactive
}

async fn every_shape_of_deactivation_ends_sessions_and_is_a_fact(house: &House) {
    for (at, shape) in shapes_of_active(false).into_iter().enumerate() {
        let id = house.user(&format!("ada{at}"), json!({})).await;
        let sessions = [house.sign_in(&id).await, house.sign_in(&id).await];
        assert!(house.is_signed_in(&sessions[0]).await && house.is_signed_in(&sessions[1]).await);
        house.patch(&format!("Users/{id}"), json!([shape])).await.expect(200);
        assert!(
            !house.is_signed_in(&sessions[0]).await && !house.is_signed_in(&sessions[1]).await,
            "{shape}"
        );
        let [fact] = &house.facts::<UserDeactivated>(&id).await[..] else { panic!("one fact: {shape}") };
        assert_eq!(fact.ended.sessions, 2);
    }
    let facts = house.stored_facts("user.deactivated").await;
    assert!(facts.iter().all(|fact| fact.actor == format!("scim_connection:{}", house.connection)));
    assert!(facts.iter().all(|fact| fact.request_id.is_some()));
}

async fn reactivation_brings_no_session_back(house: &House) {
    let id = house.user("ada", json!({})).await;
    let session = house.sign_in(&id).await;
    let path = format!("Users/{id}");
    let (off, on) = (&shapes_of_active(false)[0], &shapes_of_active(true)[0]);
    // Entra ID sends false, true, false; and all in one PATCH is no change at all.
    house.patch(&path, json!([off])).await.expect(200);
    house.patch(&path, json!([on])).await.expect(200);
    assert!(!house.is_signed_in(&session).await);
    assert_eq!(house.facts::<UserActivated>(&id).await.len(), 1);
    let fresh = house.sign_in(&id).await;
    assert!(house.is_signed_in(&fresh).await);
    house.patch(&path, json!([off, on])).await.expect(200);
    assert!(house.is_signed_in(&fresh).await);
    house.patch(&path, json!([off])).await.expect(200);
    assert!(!house.is_signed_in(&fresh).await);
    assert_eq!(house.facts::<UserDeactivated>(&id).await.len(), 2);
}

async fn a_put_deactivates_too(house: &House) {
    let id = house.user("ada", json!({})).await;
    let session = house.sign_in(&id).await;
    let put = |more| json!({"schemas": [USER], "userName": "ada", "active": more});
    let path = format!("Users/{id}");
    house.send("PUT", &path, &json!({"schemas": [USER], "userName": "ada", "title": "x"})).await.expect(200);
    assert!(house.is_signed_in(&session).await, "silence ends nobody");
    house.send("PUT", &path, &put(json!(null))).await.expect(200);
    assert!(house.is_signed_in(&session).await, "nor does null");
    house.send("PUT", &path, &put(json!("False"))).await.expect(200);
    assert!(!house.is_signed_in(&session).await);
    assert_eq!(house.facts::<UserDeactivated>(&id).await.len(), 1);
}

async fn deleting_ends_everything_for_good(house: &House) {
    let id = house.user("ada", json!({})).await;
    let session = house.sign_in(&id).await;
    let (active, suspended) = (house.card(&id, "active").await, house.card(&id, "suspended").await);
    house.delete(&format!("Users/{id}")).await.expect(204);
    assert!(!house.is_signed_in(&session).await);
    for card in [active, suspended] {
        let card = credential::get(&house.db, card).await.unwrap().unwrap();
        assert_eq!(card.state, "revoked", "no card may ever come back");
    }
    let [fact] = &house.facts::<UserDeleted>(&id).await[..] else { panic!("one fact") };
    assert_eq!((fact.ended.sessions, fact.ended.credentials.len()), (1, 2));
}

async fn deactivating_twice_is_one_fact(house: &House) {
    let id = house.user("ada", json!({})).await;
    for shape in shapes_of_active(false) {
        house.patch(&format!("Users/{id}"), json!([shape])).await.expect(200);
    }
    assert_eq!(house.facts::<UserDeactivated>(&id).await.len(), 1);
}

async fn a_user_is_made_inactive(house: &House) {
    let id = house.user("ada", json!({"active": "False"})).await;
    assert_eq!(house.get(&format!("Users/{id}")).await.body["active"], false);
    assert!(house.facts::<UserDeactivated>(&id).await.is_empty(), "who never was active ended nothing");
}
