//! What becomes of a token: userinfo, introspection, revocation, and the end of what it rests on.

use std::time::Duration;

use actix_web::test::TestRequest;
use directory::session;
use serde_json::{Value, json};
use store::Origin;

use super::*;

on_both_engines! {
    userinfo_takes_the_token_in_header_or_form_and_never_in_the_url,
    only_a_whole_access_token_of_ours_is_one,
    introspection_tells_a_client_of_its_own_tokens_and_of_no_others,
    a_revoked_token_is_dead_and_so_is_its_grant,
    tokens_and_session_are_dead_at_the_commit_that_deactivates_their_user_and_stay_so,
    tokens_die_with_their_session_and_by_the_clock,
    no_token_outlives_its_session,
}

fn access(tokens: &Value) -> String {
    tokens["access_token"].as_str().unwrap().to_owned()
}

async fn userinfo_takes_the_token_in_header_or_form_and_never_in_the_url(world: World) {
    let token = access(&world.tokens().await);
    let bearer = |scheme: &str| ("authorization", format!("{scheme} {token}"));
    let get = || TestRequest::get().uri("/userinfo");
    let post = || TestRequest::post().uri("/userinfo");
    assert_eq!(world.ask(get().insert_header(bearer("Bearer"))).await.status, 200);
    assert_eq!(world.ask(get().insert_header(bearer("bearer"))).await.status, 200);
    assert_eq!(world.ask(post().insert_header(bearer("Bearer"))).await.status, 200);
    assert_eq!(world.ask(post().set_form([("access_token", &token)])).await.status, 200);
    let twice = post().insert_header(bearer("Bearer")).set_form([("access_token", &token)]);
    let in_url = TestRequest::get().uri(&format!("/userinfo?access_token={token}"));
    for request in [twice, in_url] {
        let answer = world.ask(request).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()));
        let challenge = "Bearer realm=\"cardea\", error=\"invalid_request\"";
        assert_eq!(answer.header("www-authenticate"), challenge, "RFC 6750, section 3.1");
    }
    for request in
        [get(), post(), get().insert_header(bearer("Basic")), get().insert_header(("authorization", "x"))]
    {
        let answer = world.ask(request).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer realm=\"cardea\""));
    }
}

async fn only_a_whole_access_token_of_ours_is_one(world: World) {
    let tokens = world.tokens().await;
    let token = access(&tokens);
    let id_token = tokens["id_token"].as_str().unwrap();
    let (header, rest) = token.split_once('.').unwrap();
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.", rest.split('.').next().unwrap());
    for bad in [
        "x",
        "",
        id_token,
        &token[..token.len() - 1],
        &format!("{token}x"),
        &format!("{header}.{header}.{}", rest.split('.').nth(1).unwrap()),
        &none,
        &"x".repeat(20_000),
    ] {
        let answer = world.userinfo(bad).await;
        assert_eq!(answer.status, 401, "{bad}");
        assert!(
            answer.header("www-authenticate").contains("error=\"invalid_token\"") || bad.is_empty(),
            "{bad}"
        );
        if !bad.is_empty() && bad.len() < 10_000 {
            assert!(!world.is_active(bad).await, "{bad}");
        }
    }
}

async fn introspection_tells_a_client_of_its_own_tokens_and_of_no_others(world: World) {
    let token = access(&world.tokens().await);
    let app = Some(("app", "app-secret"));
    let own = world
        .call("/introspect", app, &[("token", &token), ("token_type_hint", "refresh_token")])
        .await
        .json();
    for (name, expect) in [
        ("active", json!(true)),
        ("sub", json!(world.ada.to_string())),
        ("client_id", json!("app")),
        ("username", json!("Ada@example.org")),
        ("token_type", json!("Bearer")),
        ("scope", json!("openid profile email")),
        ("exp", json!(world.ctx.now().as_secs() + 300)),
    ] {
        assert_eq!(own[name], expect, "{name}");
    }
    let inactive = json!({ "active": false });
    let other = world.call("/introspect", Some(("other", "other-secret")), &[("token", &token)]).await;
    assert_eq!((other.status, other.json()), (200, inactive.clone()));
    assert_eq!(world.call("/introspect", app, &[("token", "x")]).await.json(), inactive);
    let public = world.call("/introspect", None, &[("token", &token), ("client_id", "spa")]).await;
    assert_eq!(public.error(), (401, "invalid_client".into()));
    let nobody = world.call("/introspect", None, &[("token", &token)]).await;
    assert_eq!(nobody.error(), (401, "invalid_client".into()));
    assert_eq!(world.call("/introspect", app, &[]).await.error(), (400, "invalid_request".into()));
}

async fn a_revoked_token_is_dead_and_so_is_its_grant(world: World) {
    let token = access(&world.tokens().await);
    let app = Some(("app", "app-secret"));
    let other = world.call("/revoke", Some(("other", "other-secret")), &[("token", &token)]).await;
    assert_eq!(other.error(), (400, "invalid_grant".into()));
    assert!(world.is_active(&token).await, "nobody revokes what is another's");
    assert_eq!(
        world.call("/revoke", None, &[("token", &token)]).await.error(),
        (401, "invalid_client".into())
    );
    assert_eq!(world.call("/revoke", app, &[("token", &token)]).await.status, 200);
    assert!(!world.is_active(&token).await);
    assert_eq!(world.userinfo(&token).await.status, 401);
    for again in [token.as_str(), "nonsense"] {
        assert_eq!(world.call("/revoke", app, &[("token", again)]).await.status, 200, "{again}");
    }
    let ended = world.facts("grant.ended").await;
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].1.as_str(), &ended[0].2["reason"]), ("client:app", &json!("revoked-by-client")));
}

async fn tokens_and_session_are_dead_at_the_commit_that_deactivates_their_user_and_stay_so(world: World) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let token = access(&world.redeem(&code).await.json());
    assert_eq!(world.userinfo(&token).await.status, 200);
    world.set_active(false).await;
    for _ in 0..2 {
        let answer = world.userinfo(&token).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").contains("invalid_token"));
        assert!(!world.is_active(&token).await);
        assert!(browser.authorize("app", &[]).await.location().starts_with("/sign-in?"));
        // Entra sends false, true, false: what was dead does not come back.
        world.set_active(true).await;
    }
}

async fn tokens_die_with_their_session_and_by_the_clock(world: World) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let token = access(&world.redeem(&code).await.json());
    let session = session::by_token(&world.db, &browser.session().unwrap()).await.unwrap().unwrap();
    let code = browser.authorize("app", &[]).await.code();
    let second = access(&world.redeem(&code).await.json());
    world.advance(Duration::from_secs(299));
    assert_eq!(world.userinfo(&token).await.status, 200);
    // The house allows clocks to be five seconds apart.
    world.advance(Duration::from_secs(6));
    assert_eq!(world.userinfo(&token).await.status, 401);
    assert_eq!(world.userinfo(&second).await.status, 401);
    let code = browser.authorize("app", &[]).await.code();
    let third = access(&world.redeem(&code).await.json());
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    assert!(session::end(&mut tx, session.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(world.userinfo(&third).await.status, 401);
}

async fn no_token_outlives_its_session(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    world.advance(Duration::from_secs(24 * 3600 - 60));
    let code = browser.authorize("app", &[]).await.code();
    assert_eq!(world.redeem(&code).await.json()["expires_in"], 60);
}
