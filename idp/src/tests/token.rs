//! A client exchanges its code.

use std::time::Duration;

use actix_web::test::TestRequest;
use serde_json::json;

use super::world::{ISSUER, claims, redemption};
use super::*;

on_both_engines! {
    a_code_becomes_an_id_token_and_an_access_token,
    each_client_authenticates_as_it_was_registered,
    who_does_not_authenticate_gets_nothing_and_uses_nothing_up,
    a_code_works_once_and_its_reuse_kills_what_it_gave,
    of_many_who_redeem_a_code_at_once_one_is_served_and_then_none,
    a_code_that_is_presented_wrongly_is_used_up,
    a_request_that_is_not_whole_uses_nothing_up,
    a_code_lasts_a_minute,
    a_code_of_somebody_who_is_gone_is_worth_nothing,
    what_is_no_form_is_refused_in_the_form_of_the_protocol,
}

const APP: Option<(&str, &str)> = Some(("app", "app-secret"));

async fn a_code_becomes_an_id_token_and_an_access_token(world: World) {
    let answer = world.browser().sign_in("app", &[("nonce", "n-0S6")]).await;
    let answer = world.redeem(&answer.code()).await;
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    let tokens = answer.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(tokens["scope"], "openid profile email");
    let (header, id) = claims(tokens["id_token"].as_str().unwrap());
    let (access_header, access) = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("JWT")));
    assert_eq!((&access_header["alg"], &access_header["typ"]), (&json!("ES256"), &json!("at+jwt")));
    let now = world.ctx.now().as_secs();
    let ada = world.ada.to_string();
    for (name, expect) in [
        ("iss", json!(ISSUER)),
        ("sub", json!(ada)),
        ("aud", json!("app")),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
        ("auth_time", json!(now)),
        ("nonce", json!("n-0S6")),
        ("acr", json!("aal1")),
        ("amr", json!(["pwd"])),
        ("sid", access["sid"].clone()),
    ] {
        assert_eq!(id[name], expect, "{name}");
    }
    for (name, expect) in [
        ("iss", json!(ISSUER)),
        ("sub", json!(ada)),
        ("aud", json!(ISSUER)),
        ("client_id", json!("app")),
        ("scope", json!("openid profile email")),
        ("exp", json!(now + 300)),
    ] {
        assert_eq!(access[name], expect, "{name}");
    }
    assert!(access["jti"].as_str().unwrap().len() >= 22);
    let expect = |audience| keys::Expect { typ: "JWT", algs: &[keys::Alg::Rs256], issuer: ISSUER, audience };
    let id_token = tokens["id_token"].as_str().unwrap();
    assert!(world.idp.keys.verify_jwt(id_token, &expect(Some("app"))).is_ok());
}

async fn each_client_authenticates_as_it_was_registered(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    let code = browser.authorize("app", &[]).await.code();
    let form = [
        &redemption(&code, CALLBACK, VERIFIER)[..],
        &[("client_id", "app"), ("client_secret", "app-secret")],
    ];
    assert_eq!(world.call("/token", None, &form.concat()).await.status, 200, "client_secret_post");

    let uri = "https://spa.example.org/callback?tenant=1";
    let code = browser.authorize("spa", &[]).await.code();
    let form = [&redemption(&code, uri, VERIFIER)[..], &[("client_id", "spa")]].concat();
    let answer = world.call("/token", None, &form).await;
    assert_eq!(answer.status, 200, "none: {}", answer.body);
    let (header, _) = claims(answer.json()["id_token"].as_str().unwrap());
    assert_eq!(header["alg"], "ES256", "as the client states");
}

async fn who_does_not_authenticate_gets_nothing_and_uses_nothing_up(world: World) {
    let code = world.browser().sign_in("app", &[]).await.code();
    let form = redemption(&code, CALLBACK, VERIFIER);
    let with = |more: &[(&'static str, &'static str)]| [&form[..], more].concat();
    for (client, form) in [
        (Some(("app", "wrong")), with(&[])),
        (Some(("nobody", "app-secret")), with(&[])),
        (Some(("spa", "anything")), with(&[])),
        (None, with(&[])),
        (None, with(&[("client_id", "app")])),
        (None, with(&[("client_id", "app"), ("client_secret", "wrong")])),
        (None, with(&[("client_id", "nobody")])),
        (None, with(&[("client_id", "spa"), ("client_secret", "anything")])),
        (None, with(&[("client_assertion", "x"), ("client_assertion_type", "y")])),
    ] {
        let answer = world.call("/token", client, &form).await;
        assert_eq!(answer.error(), (401, "invalid_client".into()), "{client:?} {form:?}");
        assert!(answer.header("www-authenticate").starts_with("Basic "), "{client:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let twice = world.call("/token", APP, &with(&[("client_secret", "app-secret")])).await;
    assert_eq!(twice.error(), (400, "invalid_request".into()));
    assert_eq!(world.redeem(&code).await.status, 200, "the code is still good");
}

async fn a_code_works_once_and_its_reuse_kills_what_it_gave(world: World) {
    let code = world.browser().sign_in("app", &[]).await.code();
    let tokens = world.redeem(&code).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(world.userinfo(access).await.status, 200);
    assert_eq!(world.redeem(&code).await.error(), (400, "invalid_grant".into()));
    assert_eq!(world.userinfo(access).await.status, 401);
    assert!(!world.is_active(access).await);
    let ended = world.facts("grant.ended").await;
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].1.as_str(), &ended[0].2["reason"]), ("client:app", &json!("code-reused")));
}

async fn of_many_who_redeem_a_code_at_once_one_is_served_and_then_none(world: World) {
    let code = world.browser().sign_in("app", &[]).await.code();
    let answers = futures_util::future::join_all((0..8).map(|_| world.redeem(&code))).await;
    let served: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(served.len(), 1);
    for answer in served {
        let access = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(world.userinfo(&access).await.status, 401, "somebody among them was a thief");
    }
}

async fn a_code_that_is_presented_wrongly_is_used_up(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    let other = Some(("other", "other-secret"));
    let verifier = "x".repeat(43);
    for (client, redirect_uri, verifier) in [
        (APP, CALLBACK, verifier.as_str()),
        (APP, CALLBACK, CHALLENGE),
        (APP, "https://app.example.org/callback?", VERIFIER),
        (APP, "https://evil.example/", VERIFIER),
        (other, CALLBACK, VERIFIER),
        (other, "https://other.example.org/callback", VERIFIER),
    ] {
        let code = browser.authorize("app", &[]).await.code();
        let answer = world.call("/token", client, &redemption(&code, redirect_uri, verifier)).await;
        assert_eq!(answer.error(), (400, "invalid_grant".into()), "{client:?} {redirect_uri} {verifier}");
        assert_eq!(
            world.redeem(&code).await.error(),
            (400, "invalid_grant".into()),
            "{client:?} {redirect_uri}"
        );
    }
    let reasons: Vec<_> =
        world.facts("grant.ended").await.into_iter().map(|(_, _, body)| body["reason"].clone()).collect();
    assert_eq!(reasons, vec![json!("code-misused"); 6]);
}

async fn a_request_that_is_not_whole_uses_nothing_up(world: World) {
    let code = world.browser().sign_in("app", &[]).await.code();
    let whole = redemption(&code, CALLBACK, VERIFIER);
    for missing in 0..whole.len() {
        let form: Vec<_> =
            whole.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair).collect();
        let answer = world.call("/token", APP, &form).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "without {}", whole[missing].0);
        let doubled = [&whole[..], &[whole[missing]]].concat();
        let answer = world.call("/token", APP, &doubled).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "with two {}", whole[missing].0);
    }
    let unsupported = world.call("/token", APP, &[("grant_type", "password"), ("username", "ada")]).await;
    assert_eq!(unsupported.error(), (400, "unsupported_grant_type".into()));
    let truncated = world.redeem(&code[..code.len() - 1]).await;
    assert_eq!(truncated.error(), (400, "invalid_grant".into()));
    assert_eq!(world.redeem(&code).await.status, 200, "the code is still good");
}

async fn a_code_lasts_a_minute(world: World) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    world.advance(Duration::from_millis(59_999));
    assert_eq!(world.redeem(&code).await.status, 200);
    let code = browser.authorize("app", &[]).await.code();
    world.advance(Duration::from_secs(60));
    assert_eq!(world.redeem(&code).await.error(), (400, "invalid_grant".into()));
    assert_eq!(world.facts("grant.ended").await.last().unwrap().2["reason"], "code-expired");
}

async fn a_code_of_somebody_who_is_gone_is_worth_nothing(world: World) {
    let code = world.browser().sign_in("app", &[]).await.code();
    world.set_active(false).await;
    world.set_active(true).await;
    assert_eq!(world.redeem(&code).await.error(), (400, "invalid_grant".into()));
}

async fn what_is_no_form_is_refused_in_the_form_of_the_protocol(world: World) {
    let post = || TestRequest::post().uri("/token");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (request, status) in [
        (post().insert_header(form).set_payload("a".repeat(16 * 1024 + 1)), 413),
        (post().insert_header(("content-type", "application/json")).set_payload("{}"), 415),
        (post().insert_header(form).insert_header(("content-encoding", "gzip")).set_payload("x"), 415),
        (post().insert_header(form).set_payload("code=%00"), 400),
        (post().insert_header(form).set_payload("a=1&".repeat(65)), 400),
        (TestRequest::get().uri("/token"), 405),
    ] {
        let answer = world.ask(request).await;
        assert_eq!(answer.error(), (status, "invalid_request".into()));
        assert!(!answer.json()["error_description"].as_str().unwrap().is_empty());
    }
    assert_eq!(world.ask(TestRequest::get().uri("/token")).await.header("allow"), "POST");
}
