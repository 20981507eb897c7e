//! Refresh tokens: an old access token is no end, and a new ID token must be about the same sign-in.

use super::*;

#[tokio::test]
async fn an_access_token_that_is_old_is_refreshed_behind_the_page() {
    let mut world = World::new().await;
    world.sign_in().await.unwrap();
    world.app.revoke("at-1").await.unwrap();
    assert!(world.home().await.text().contains("Signed in as"));
    let session = world.app.session_of(&world.browser).unwrap().session;
    assert_eq!((session.access_token.as_str(), session.refresh_token.as_deref()), ("at-2", Some("rt-2")));
}

#[tokio::test]
async fn a_session_is_refreshed_until_it_ends() {
    let mut world = World::new().await;
    let first = world.sign_in().await.unwrap();
    let second = world.app.refresh(&first).await.unwrap();
    assert_eq!((second.subject(), second.access_token.as_str()), ("u-1", "at-2"));
    assert_eq!(world.app.userinfo("at-2").await.unwrap()["sub"], "u-1");
    let again = world.app.refresh(&first).await.unwrap_err();
    assert_eq!((again.status(), again.code()), (Some(400), Some("invalid_grant")));
    world.set(Twist::NoIdToken);
    let third = world.app.refresh(&second).await.unwrap();
    assert_eq!((&third.claims, third.access_token.as_str()), (&second.claims, "at-3"));
    *world.op.session_ended.lock().unwrap() = true;
    assert_eq!(world.app.refresh(&third).await.unwrap_err().code(), Some("invalid_grant"));
    let without = Session { refresh_token: None, ..third };
    assert!(world.app.refresh(&without).await.unwrap_err().to_string().contains("no refresh token"));
}

#[tokio::test]
async fn a_refreshed_id_token_about_anything_else_is_not_believed() {
    for (twist, expect) in [
        (Twist::OtherSignIn, "sub is not that of the first"),
        (Twist::OtherNonce, "nonce"),
        (Twist::OtherIssuer, "issuer"),
        (Twist::OtherAudience, "audience"),
        (Twist::OtherKey, "ignature"),
        (Twist::OtherAccessTokenHash, "at_hash"),
        (Twist::Expired, "xpired"),
    ] {
        let mut world = World::new().await;
        let session = world.sign_in().await.unwrap();
        world.set(twist);
        let error = world.app.refresh(&session).await.unwrap_err();
        assert!(matches!(error, RelyingPartyError::IdToken(_)), "{twist:?}: {error}");
        assert!(error.to_string().contains(expect), "{twist:?}: {error}");
    }
}
