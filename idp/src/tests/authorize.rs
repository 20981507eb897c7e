//! An application asks for a sign-in.

use std::time::Duration;

use actix_web::test::TestRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::world::{ISSUER, request_of};
use super::*;

on_both_engines! {
    a_person_signs_in_and_the_application_gets_a_code,
    who_is_signed_in_is_not_asked_again,
    nobody_is_redirected_to_an_address_that_is_not_registered,
    every_other_error_goes_to_the_application_with_state_and_issuer,
    prompt_none_shows_no_page,
    a_hint_at_another_user_is_not_answered_with_this_one,
    prompt_login_and_max_age_ask_again_and_auth_time_moves,
    a_post_is_answered_with_a_redirect_of_our_own_first,
    what_is_reflected_is_escaped,
    the_page_speaks_the_language_that_is_asked_for,
}

async fn a_person_signs_in_and_the_application_gets_a_code(world: World) {
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    assert!(page.header("content-security-policy").contains("form-action 'self' https://app.example.org;"));
    assert_eq!(page.header("cache-control"), "no-store");
    let answer = browser.enter(&page, "ada@example.org", PASSWORD).await;
    assert!(answer.location().starts_with(&format!("{CALLBACK}?code=cdc_")), "{}", answer.location());
    assert_eq!(answer.sent("state").as_deref(), Some("a b&c"));
    assert_eq!(answer.sent("iss").as_deref(), Some(ISSUER));
    assert!(browser.session().unwrap().starts_with("cds_"));
}

async fn who_is_signed_in_is_not_asked_again(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    browser.authorize("app", &[]).await.code();
    let other = browser.authorize("spa", &[("prompt", "none")]).await;
    assert!(other.location().starts_with("https://spa.example.org/callback?tenant=1&code="));
    assert!(world.browser().authorize("app", &[]).await.location().starts_with("/sign-in?"));
}

async fn nobody_is_redirected_to_an_address_that_is_not_registered(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    for more in [
        [("redirect_uri", "https://evil.example/callback")],
        [("redirect_uri", "https://app.example.org/callback/")],
        [("redirect_uri", "https://app.example.org@evil.example/callback")],
        [("redirect_uri", "https://other.example.org/callback")],
        [("redirect_uri", "javascript:alert(1)")],
        [("redirect_uri", "")],
        [("client_id", "nobody")],
        [("client_id", "APP")],
        [("client_id", "")],
        [("client_id", "' OR 1=1 --")],
        [("client_id", "\0")],
    ] {
        let answer = browser.authorize("app", &more).await;
        assert_eq!((answer.status, answer.header("location")), (400, ""), "{more:?}");
        assert!(answer.header("content-type").starts_with("text/html"), "{more:?}");
        assert!(!answer.body.contains("evil.example"), "{}", answer.body);
    }
    for repeated in ["client_id=app", "client_id=other", "redirect_uri=https://evil.example/"] {
        let answer = browser.get(&format!("{}&{repeated}", request_of("app", &[]))).await;
        assert_eq!((answer.status, answer.header("location")), (400, ""), "{repeated}");
    }
}

async fn every_other_error_goes_to_the_application_with_state_and_issuer(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    for (more, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("scope", "profile"), "invalid_scope"),
        (("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"),
        (("request_uri", "https://evil.example/"), "request_uri_not_supported"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("prompt", "none login"), "invalid_request"),
        (("max_age", "soon"), "invalid_request"),
    ] {
        let answer = browser.authorize("app", &[more]).await;
        assert!(
            answer.location().starts_with(&format!("{CALLBACK}?error={error}&")),
            "{more:?} {}",
            answer.location()
        );
        assert_eq!(answer.sent("state").as_deref(), Some("a b&c"), "{more:?}");
        assert_eq!(answer.sent("iss").as_deref(), Some(ISSUER), "{more:?}");
        assert_eq!(answer.sent("code"), None);
    }
    let doubled = browser.get(&format!("{}&state=2", request_of("app", &[]))).await;
    assert_eq!((doubled.sent("error").as_deref(), doubled.sent("state")), (Some("invalid_request"), None));
}

async fn prompt_none_shows_no_page(world: World) {
    let browser = world.browser();
    let none = |more: &[(&'static str, &'static str)]| [&[("prompt", "none")], more].concat();
    let error = |answer: Answer| answer.sent("error");
    assert_eq!(error(browser.authorize("app", &none(&[])).await).as_deref(), Some("login_required"));
    browser.sign_in("app", &[]).await;
    browser.authorize("app", &none(&[])).await.code();
    world.advance(Duration::from_secs(61));
    browser.authorize("app", &none(&[("max_age", "10000")])).await.code();
    let stale = browser.authorize("app", &none(&[("max_age", "60")])).await;
    assert_eq!(error(stale).as_deref(), Some("login_required"));
    world.set_active(false).await;
    assert_eq!(error(browser.authorize("app", &none(&[])).await).as_deref(), Some("login_required"));
}

async fn a_hint_at_another_user_is_not_answered_with_this_one(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    let hint = |sub: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(format!("{{\"sub\":\"{sub}\"}}")));
    let (own, other) = (hint(&world.ada.to_string()), hint("somebody"));
    browser.authorize("app", &[("prompt", "none"), ("id_token_hint", &own)]).await.code();
    let answer = browser.authorize("app", &[("prompt", "none"), ("id_token_hint", &other)]).await;
    assert_eq!(answer.sent("error").as_deref(), Some("login_required"));
    let answer = browser.sign_in("app", &[("id_token_hint", &other)]).await;
    assert_eq!(answer.sent("error").as_deref(), Some("login_required"));
}

async fn prompt_login_and_max_age_ask_again_and_auth_time_moves(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    for more in [("prompt", "login"), ("max_age", "30"), ("prompt", "select_account")] {
        world.advance(Duration::from_secs(31));
        let code = browser.sign_in("app", &[more]).await.code();
        let tokens = world.redeem(&code).await.json();
        let (_, claims) = super::world::claims(tokens["id_token"].as_str().unwrap());
        assert_eq!(claims["auth_time"].as_i64(), Some(world.ctx.now().as_secs()), "{more:?}");
    }
}

async fn a_post_is_answered_with_a_redirect_of_our_own_first(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    let path = request_of("app", &[]);
    let form = path.split_once('?').unwrap().1;
    let post = |body: String| {
        TestRequest::post()
            .uri("/authorize")
            .insert_header(("content-type", "application/x-www-form-urlencoded"))
            .insert_header(("origin", "https://app.example.org"))
            .insert_header(("sec-fetch-site", "cross-site"))
            .set_payload(body)
    };
    // As a browser sends it from another site: without our cookies.
    let answer = world.ask(post(form.to_owned())).await;
    assert_eq!(answer.location(), path);
    browser.get(answer.location()).await.code();
    let long = world.ask(post(format!("{form}&x={}", "y".repeat(8 * 1024)))).await;
    assert_eq!((long.status, long.header("location")), (400, ""));
    let longer = world.ask(post(format!("{form}&x={}", "y".repeat(17 * 1024)))).await;
    assert_eq!((longer.status, longer.header("location")), (413, ""));
    assert!(longer.header("content-type").starts_with("text/html"));
}

async fn what_is_reflected_is_escaped(world: World) {
    let evil = "\"'><script>alert(1)</script>";
    let more = [("state", evil), ("login_hint", evil), ("nonce", evil), ("x", evil)];
    let browser = world.browser();
    let page = browser.sign_in_page("app", &more).await;
    assert!(!page.body.contains("<script") && !page.body.contains("The <app>"), "{}", page.body);
    assert_eq!(page.field("username"), evil);
    let again = browser.enter(&page, evil, "wrong").await;
    assert!(again.status == 422 && !again.body.contains("<script"), "{}", again.body);
    let answer = browser.enter(&again, "ada@example.org", PASSWORD).await;
    assert_eq!(answer.sent("state").as_deref(), Some(evil));
}

async fn the_page_speaks_the_language_that_is_asked_for(world: World) {
    let browser = world.browser();
    let german = browser.sign_in_page("app", &[("ui_locales", "fr de-AT en")]).await;
    assert!(
        german.body.contains("<html lang=\"de\">") && german.body.contains("Anmelden"),
        "{}",
        german.body
    );
    assert_eq!(german.header("content-language"), "de");
    let path = request_of("app", &[]).replacen("/authorize", "/sign-in", 1);
    let accepted = browser.send(TestRequest::get().uri(&path).insert_header(("accept-language", "de"))).await;
    assert!(accepted.body.contains("<html lang=\"de\">"));
    let wish = browser
        .sign_in_page("app", &[("ui_locales", "en"), ("display", "popup"), ("claims_locales", "se")])
        .await;
    assert!(wish.body.contains("<html lang=\"en\">"));
}
