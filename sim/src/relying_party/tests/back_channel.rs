//! Logout tokens: those that hold end sessions, and each thing that is wrong with one keeps it from doing so.

use reqwest::StatusCode;

use super::*;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl World {
    /// A logout token as it should be, with a number of its own.
    fn claims(&self, number: u32) -> Value {
        json!({
            "iss": self.op.issuer, "aud": "grid console", "sub": "u-1", "sid": "s-1", "iat": NOW, "exp": NOW + 120,
            "jti": format!("j-{number}"), "events": { EVENT: {} },
        })
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "logout+jwt", "kid": self.op.key()["kid"] })
    }

    async fn post(&self, token: &str) -> (StatusCode, String) {
        let uri = self.app.backchannel_logout_uri();
        let answer = crate::client().post(uri).form(&[("logout_token", token)]).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        (answer.status(), answer.text().await.unwrap())
    }

    async fn tell(&self, claims: &Value) -> (StatusCode, String) {
        self.post(&self.op.sign(&self.header(), claims)).await
    }
}

#[tokio::test]
async fn a_logout_token_ends_the_session_and_the_person_sees_it() {
    let mut world = World::new().await;
    let mut changes = world.app.changes();
    world.sign_in().await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(world.app.session_of(&world.browser).unwrap().ended, None);
    changes.mark_unchanged();
    assert_eq!(world.tell(&world.claims(1)).await, (StatusCode::OK, String::new()));
    assert!(changes.has_changed().unwrap());
    let ended = world.app.session_of(&world.browser).unwrap().ended.unwrap();
    assert_eq!((ended.by, ended.at.as_second()), (EndedBy::LogoutToken, NOW));
    let logouts = world.app.logouts();
    assert_eq!((logouts.len(), logouts[0].ended, logouts[0].token.jti.as_str()), (1, 1, "j-1"));
    let page = world.home().await;
    assert!(page.text().contains("You are signed out"), "{}", page.text());
    assert!(!page.text().contains("Substation"), "{}", page.text());
    // Signing in again opens another session; the old one stays over.
    world.sign_in().await.unwrap();
    assert!(world.home().await.text().contains("Signed in as"));
    assert_eq!(world.app.sessions().iter().filter(|local| local.ended.is_some()).count(), 1);
}

#[tokio::test]
async fn a_token_about_others_ends_nothing() {
    let mut world = World::new().await;
    world.sign_in().await.unwrap();
    let mut other = world.claims(1);
    other["sid"] = "s-2".into();
    assert_eq!(world.tell(&other).await.0, StatusCode::OK);
    assert!(world.home().await.text().contains("Signed in as"));
    assert_eq!(world.app.logouts()[0].ended, 0);
    // By subject alone it ends all of the subject's.
    let mut all = world.claims(2);
    all.as_object_mut().unwrap().remove("sid");
    assert_eq!(world.tell(&all).await.0, StatusCode::OK);
    assert!(world.home().await.text().contains("You are signed out"));
}

#[tokio::test]
async fn a_token_is_heard_once() {
    let mut world = World::new().await;
    assert_eq!(world.tell(&world.claims(1)).await.0, StatusCode::OK);
    world.sign_in().await.unwrap();
    let (status, said) = world.tell(&world.claims(1)).await;
    assert!(status == StatusCode::BAD_REQUEST && said.contains("was heard before"), "{said}");
    assert!(world.home().await.text().contains("Signed in as"));
}

#[tokio::test]
async fn a_token_with_anything_wrong_ends_nothing() {
    let mut world = World::new().await;
    world.sign_in().await.unwrap();
    let refused = async |token: &str, expect: &str| {
        let (status, said) = world.post(token).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{expect}");
        assert!(said.contains("invalid_request") && said.contains(expect), "{expect}: {said}");
    };
    for (claim, wrong, expect) in [
        ("iss", json!("http://other.test"), "iss is"),
        ("aud", json!("somebody"), "aud is"),
        ("aud", json!(["a", "b"]), "aud is"),
        ("iat", json!(NOW + 6), "iat is"),
        ("iat", json!(NOW - 126), "iat is"),
        ("iat", Value::Null, "no iat"),
        ("exp", json!(NOW - 5), "exp is"),
        ("exp", Value::Null, "no exp"),
        ("events", json!({}), "events is"),
        ("events", json!({ EVENT: "yes" }), "events is"),
        ("events", json!({ "http://schemas.openid.net/event/other": {} }), "events is"),
        ("nonce", json!(""), "it has a nonce"),
        ("jti", json!(""), "no jti"),
        ("sub", json!(7), "neither sub nor sid"),
    ] {
        let mut claims = world.claims(1);
        claims[claim] = wrong;
        if claim == "sub" {
            claims.as_object_mut().unwrap().remove("sid");
        }
        refused(&world.op.sign(&world.header(), &claims), expect).await;
    }
    for (name, wrong, expect) in [
        ("typ", json!("JWT"), "typ is"),
        ("typ", Value::Null, "typ is"),
        ("alg", json!("none"), "does not announce"),
        ("alg", json!("HS256"), "does not announce"),
        ("alg", json!("RS256"), "signature"),
        ("alg", json!(1), "alg is"),
        ("kid", json!("other"), "no key"),
    ] {
        let mut header = world.header();
        header[name] = wrong;
        refused(&world.op.sign(&header, &world.claims(1)), expect).await;
    }
    let good = world.op.sign(&world.header(), &world.claims(1));
    let other = world.op.sign(&world.header(), &world.claims(2));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (good, other) = (parts(&good), parts(&other));
    refused(&format!("{}.{}.{}", good[0], other[1], good[2]), "signature").await;
    refused(&format!("{}.{}.", good[0], good[1]), "signature").await;
    refused(&format!("{}.{}", good[0], good[1]), "not a signed token").await;
    refused("a.b.c", "not").await;
    refused("", "not a signed token").await;
    world.set(Twist::OtherKey);
    refused(&world.op.sign(&world.header(), &world.claims(1)), "signature").await;
    world.set(Twist::None);
    let nothing = crate::client().post(world.app.backchannel_logout_uri()).send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::BAD_REQUEST);
    assert!(world.home().await.text().contains("Signed in as"));
    assert!(world.app.logouts().is_empty());
    // What was refused did not use the number up.
    assert_eq!(world.tell(&world.claims(1)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_token_signed_after_a_rotation_is_believed() {
    let mut world = World::new().await;
    world.sign_in().await.unwrap();
    *world.op.keys.lock().unwrap() = key_pair();
    assert_eq!(world.tell(&world.claims(1)).await.0, StatusCode::OK);
    assert!(world.home().await.text().contains("You are signed out"));
}
