//! A person signs out: each module of the foundation's RP-initiated plan, and what else must hold.

use actix_web::test::TestRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::world::{GOODBYE, claims, query};
use super::*;

on_both_engines! {
    plain_signs_out_and_sends_back,
    bad_post_logout_redirect_uri_is_an_error_page,
    query_added_to_post_logout_redirect_uri_is_an_error_page,
    modified_id_token_hint_sends_nobody_anywhere,
    bad_id_token_hint_sends_nobody_anywhere,
    no_id_token_hint_sends_nobody_anywhere,
    no_params_asks_and_signs_out,
    only_state_asks_and_signs_out,
    no_post_logout_redirect_uri_signs_out_and_says_so,
    no_state_is_not_made_up,
    an_expired_hint_is_still_a_hint,
    a_hint_of_another_session_asks_first,
    a_hint_alone_signs_nobody_out_elsewhere,
    a_client_id_must_be_the_hints,
    a_post_from_another_site_is_asked_again_by_our_own_redirect,
    only_our_own_page_confirms,
    what_is_said_is_said_in_the_language_that_was_asked_for,
}

/// A browser in which Ada is signed in to `app`, and the ID token that `app` has of it.
async fn signed_in(world: &World) -> (Browser<'_>, Value) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let tokens = world.redeem(&code).await.json();
    (browser, tokens)
}

fn hint(tokens: &Value) -> &str {
    tokens["id_token"].as_str().unwrap()
}

async fn logout(browser: &Browser<'_>, parameters: &[(&str, &str)]) -> Answer {
    browser.get(&format!("/logout?{}", query(parameters))).await
}

/// Whether the provider still knows the browser.
async fn is_signed_in(browser: &Browser<'_>) -> bool {
    let answer = browser.authorize("app", &[("prompt", "none")]).await;
    match answer.sent("error").as_deref() {
        None => true,
        Some("login_required") => false,
        Some(other) => panic!("{other}"),
    }
}

#[track_caller]
fn asks(answer: &Answer) {
    assert_eq!((answer.status, answer.header("location")), (200, ""), "{}", answer.body);
    assert!(answer.body.contains("Do you want to sign out?"), "{}", answer.body);
}

#[track_caller]
fn says_goodbye(answer: &Answer) {
    assert_eq!((answer.status, answer.header("location")), (200, ""), "{}", answer.body);
    assert!(answer.body.contains("You are signed out"), "{}", answer.body);
}

/// The person presses the button of the question.
async fn confirm(browser: &Browser<'_>, page: &Answer) -> Answer {
    let (form_token, request) = (page.field("form_token"), page.field("request"));
    browser.post("/logout", &[("form_token", form_token.as_str()), ("request", &request)]).await
}

async fn plain_signs_out_and_sends_back(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    let cookie = browser.cookies.borrow().clone();
    let with = [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", GOODBYE), ("state", "a b&c")];
    let answer = logout(&browser, &with).await;
    assert_eq!(answer.location(), format!("{GOODBYE}?state=a+b%26c"));
    assert_eq!(browser.session(), None, "the browser forgets it");
    assert!(!is_signed_in(&browser).await);
    // Somebody who kept a copy of the cookie has nothing.
    *browser.cookies.borrow_mut() = cookie;
    assert!(!is_signed_in(&browser).await);
    assert_eq!(world.userinfo(tokens["access_token"].as_str().unwrap()).await.status, 401);
    let refreshed = world.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(refreshed.error(), (400, "invalid_grant".into()));
    let ended = world.facts("session.ended").await;
    assert_eq!((ended.len(), ended[0].1.clone()), (1, format!("user:{}", world.ada)));
    let again = logout(&browser, &with).await;
    assert_eq!(again.location(), format!("{GOODBYE}?state=a+b%26c"), "twice is as good as once");
    let (browser, tokens) = signed_in(&world).await;
    let tenant = "https://app.example.org/bye?tenant=1";
    let with = [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", tenant), ("state", "x")];
    assert_eq!(logout(&browser, &with).await.location(), format!("{tenant}&state=x"));
}

async fn not_there(world: &World, uri: &str) {
    let (browser, tokens) = signed_in(world).await;
    let with = [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", uri), ("state", "x")];
    let answer = logout(&browser, &with).await;
    assert_eq!((answer.status, answer.header("location")), (400, ""), "{uri}: {}", answer.body);
    assert!(answer.body.contains("unknown address"), "{}", answer.body);
}

async fn bad_post_logout_redirect_uri_is_an_error_page(world: World) {
    for uri in [
        "https://evil.example/",
        "https://app.example.org/callback",
        "https://other.example.org/",
        "https://app.example.org/goodbye/",
        "https://app.example.org/goodbye#x",
        "javascript:alert(1)",
        "//evil.example",
    ] {
        not_there(&world, uri).await;
    }
}

async fn query_added_to_post_logout_redirect_uri_is_an_error_page(world: World) {
    not_there(&world, &format!("{GOODBYE}?foo=bar")).await;
    not_there(&world, "https://app.example.org/bye?tenant=1&foo=bar").await;
}

/// With this hint the person is asked, and then told; the application is sent nobody.
async fn sends_nobody(world: &World, hint: Option<&str>) {
    let (browser, _) = signed_in(world).await;
    let mut with = vec![("post_logout_redirect_uri", GOODBYE), ("state", "x"), ("client_id", "app")];
    with.extend(hint.map(|hint| ("id_token_hint", hint)));
    let page = logout(&browser, &with).await;
    asks(&page);
    assert!(!page.header("content-security-policy").contains("app.example.org"));
    assert!(is_signed_in(&browser).await, "nothing happens before the person says so");
    says_goodbye(&confirm(&browser, &page).await);
    assert!(!is_signed_in(&browser).await);
}

fn rewritten(
    token: &str,
    header: Option<&Value>,
    change: impl FnOnce(&mut Value),
    keep_signature: bool,
) -> String {
    let (given, mut payload) = claims(token);
    change(&mut payload);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = if keep_signature { token.rsplit('.').next().unwrap() } else { "" };
    format!("{}.{}.{signature}", part(header.unwrap_or(&given)), part(&payload))
}

async fn modified_id_token_hint_sends_nobody_anywhere(world: World) {
    let tokens = world.tokens().await;
    let none = json!({ "alg": "none", "typ": "JWT" });
    sends_nobody(&world, Some(&rewritten(hint(&tokens), Some(&none), |_| (), false))).await;
    let other_user = |payload: &mut Value| payload["sub"] = json!("somebody");
    sends_nobody(&world, Some(&rewritten(hint(&tokens), None, other_user, true))).await;
}

async fn bad_id_token_hint_sends_nobody_anywhere(world: World) {
    let tokens = world.tokens().await;
    let (_, payload) = claims(hint(&tokens));
    let elsewhere = World::sqlite().await;
    let forged = elsewhere.keys.sign_jwt(keys::Alg::Rs256, "JWT", &payload).await.unwrap();
    sends_nobody(&world, Some(&forged)).await;
    // A token of ours that is no ID token.
    sends_nobody(&world, tokens["access_token"].as_str()).await;
    sends_nobody(&world, Some("nonsense")).await;
}

async fn no_id_token_hint_sends_nobody_anywhere(world: World) {
    sends_nobody(&world, None).await;
}

async fn no_params_asks_and_signs_out(world: World) {
    let (browser, _) = signed_in(&world).await;
    let page = browser.get("/logout").await;
    asks(&page);
    says_goodbye(&confirm(&browser, &page).await);
    assert!(!is_signed_in(&browser).await);
    says_goodbye(&browser.get("/logout").await);
    says_goodbye(&world.browser().get("/logout").await);
}

async fn only_state_asks_and_signs_out(world: World) {
    let (browser, _) = signed_in(&world).await;
    let page = logout(&browser, &[("state", "x")]).await;
    asks(&page);
    says_goodbye(&confirm(&browser, &page).await);
    assert!(!is_signed_in(&browser).await);
}

async fn no_post_logout_redirect_uri_signs_out_and_says_so(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    says_goodbye(&logout(&browser, &[("id_token_hint", hint(&tokens)), ("state", "x")]).await);
    assert!(!is_signed_in(&browser).await);
}

async fn no_state_is_not_made_up(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    let with =
        [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", GOODBYE), ("logout_hint", "x")];
    assert_eq!(logout(&browser, &with).await.location(), GOODBYE);
    assert!(!is_signed_in(&browser).await);
}

async fn an_expired_hint_is_still_a_hint(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    world.advance(std::time::Duration::from_secs(3_600));
    let with = [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", GOODBYE)];
    assert_eq!(logout(&browser, &with).await.location(), GOODBYE);
    assert!(!is_signed_in(&browser).await);
}

async fn a_hint_of_another_session_asks_first(world: World) {
    let elsewhere = world.tokens().await;
    let (browser, _) = signed_in(&world).await;
    let with = [("id_token_hint", hint(&elsewhere)), ("post_logout_redirect_uri", GOODBYE)];
    let page = logout(&browser, &with).await;
    asks(&page);
    assert!(page.header("content-security-policy").contains("form-action 'self' https://app.example.org;"));
    assert!(is_signed_in(&browser).await);
    assert_eq!(confirm(&browser, &page).await.location(), GOODBYE, "who asks is known");
    assert!(!is_signed_in(&browser).await);
    assert_eq!(world.userinfo(elsewhere["access_token"].as_str().unwrap()).await.status, 200);
}

async fn a_hint_alone_signs_nobody_out_elsewhere(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    let with = [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", GOODBYE)];
    assert_eq!(logout(&world.browser(), &with).await.location(), GOODBYE);
    assert!(is_signed_in(&browser).await);
}

async fn a_client_id_must_be_the_hints(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    let with = |client: &'static str| {
        [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", GOODBYE), ("client_id", client)]
    };
    asks(&logout(&browser, &with("other")).await);
    assert_eq!(logout(&browser, &[with("app"), with("app")].concat()).await.status, 400, "twice");
    assert_eq!(logout(&browser, &with("app")).await.location(), GOODBYE);
}

async fn a_post_from_another_site_is_asked_again_by_our_own_redirect(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    let with = [("id_token_hint", hint(&tokens)), ("post_logout_redirect_uri", GOODBYE), ("state", "x")];
    // Without cookies, as a browser sends it.
    let post = TestRequest::post().uri("/logout").insert_header(("origin", "https://app.example.org"));
    let answer = world.ask(post.set_form(with)).await;
    let location = answer.location().to_owned();
    assert!(location.starts_with("/logout?id_token_hint="), "{location}");
    assert_eq!(browser.get(&location).await.location(), format!("{GOODBYE}?state=x"));
    assert!(!is_signed_in(&browser).await);
}

async fn only_our_own_page_confirms(world: World) {
    let (browser, _) = signed_in(&world).await;
    let page = browser.get("/logout").await;
    let (form_token, request) = (page.field("form_token"), page.field("request"));
    let foreign = world.browser();
    let theirs = foreign.get("/logout?state=x").await;
    says_goodbye(&theirs);
    for (origin, token) in [("https://evil.example", form_token.as_str()), (super::world::ISSUER, "x")] {
        let post = TestRequest::post().uri("/logout").insert_header(("origin", origin));
        let answer = browser.send(post.set_form([("form_token", token), ("request", &request)])).await;
        assert_eq!(answer.status, 403, "{origin} {token}");
    }
    assert!(is_signed_in(&browser).await);
}

async fn what_is_said_is_said_in_the_language_that_was_asked_for(world: World) {
    let (browser, tokens) = signed_in(&world).await;
    let page = logout(&browser, &[("ui_locales", "fr de")]).await;
    assert!(page.body.contains("Möchten Sie sich abmelden?"), "{}", page.body);
    let done = logout(&browser, &[("id_token_hint", hint(&tokens)), ("ui_locales", "de")]).await;
    assert!(done.body.contains("Sie sind abgemeldet"), "{}", done.body);
}
