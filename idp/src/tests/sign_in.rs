//! A person gives a user name and a password.

use std::time::Duration;

use actix_web::test::TestRequest;
use serde_json::json;

use super::world::ISSUER;
use super::*;

/// The page without what is new in each answer.
fn bare(answer: &Answer) -> (u16, String) {
    let nonce =
        answer.header("content-security-policy").split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    let token = answer.field("form_token");
    (answer.status, answer.body.replace(nonce, "").replace(&token, ""))
}

#[actix_web::test]
async fn unknown_inactive_and_wrong_have_one_answer() {
    let world = World::new().await;
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    let wrong = browser.enter(&page, "ada@example.org", "three blue ducks sang").await;
    let empty = browser.enter(&page, "ada@example.org", "").await;
    let unknown = browser.enter(&page, "eve@example.org", PASSWORD).await;
    world.set_active(false).await;
    let inactive = browser.enter(&page, "ada@example.org", PASSWORD).await;
    let (status, body) = bare(&wrong);
    assert_eq!(status, 422);
    assert!(body.contains("User name and password do not match"), "{body}");
    assert_eq!(bare(&empty), (status, body.clone()));
    assert_eq!(bare(&inactive), (status, body.clone()));
    assert_eq!(bare(&unknown), (status, body.replace("ada@example.org", "eve@example.org")));
    let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&unknown));
    assert_eq!(names(&wrong), names(&inactive));
    assert_eq!(browser.session(), None);
}

#[actix_web::test]
async fn every_refusal_is_recorded_with_its_reason_and_no_typed_name() {
    let world = World::new().await;
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    browser.enter(&page, "ada@example.org", "wrong").await;
    world.ctx.advance_for_tests(Duration::from_millis(1));
    browser.enter(&page, "my secret password", "wrong").await;
    world.ctx.advance_for_tests(Duration::from_millis(1));
    world.set_active(false).await;
    browser.enter(&page, "ada@example.org", PASSWORD).await;
    let reason = |subject: String, reason: &str| {
        let body = json!({ "reason": reason, "client": "app", "because": [], "v": 1 });
        (subject, "anonymous".to_owned(), body)
    };
    let ada = format!("user:{}", world.ada);
    assert_eq!(
        world.facts("sign-in.refused").await,
        [
            reason(ada.clone(), "wrong-credentials"),
            reason("client:app".into(), "wrong-credentials"),
            reason(ada, "inactive"),
        ]
    );
}

#[actix_web::test]
async fn a_user_name_is_known_in_any_case_and_with_spaces_around_it() {
    let world = World::new().await;
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    browser.enter(&page, " ADA@Example.ORG ", PASSWORD).await.code();
}

#[actix_web::test]
async fn each_sign_in_has_a_new_session_and_ends_the_one_before() {
    let world = World::new().await;
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let first = browser.session().unwrap();
    let tokens = world.redeem(&code).await.json();
    browser.sign_in("app", &[("prompt", "login")]).await.code();
    assert_ne!(browser.session().unwrap(), first);
    assert_eq!(world.userinfo(tokens["access_token"].as_str().unwrap()).await.status, 401);
    let stale = world.browser();
    stale.cookies.borrow_mut().insert("__Host-cardea-session".into(), first);
    assert!(stale.authorize("app", &[]).await.location().starts_with("/sign-in?"));
    let opened = world.facts("session.opened").await;
    assert_eq!(opened.len(), 2);
    assert_eq!(world.facts("session.ended").await.len(), 1);
    let (subject, actor, body) = &opened[0];
    assert_eq!((subject, actor), (&format!("user:{}", world.ada), &format!("user:{}", world.ada)));
    assert_eq!(
        (&body["assurance"], &body["amr"], &body["client"]),
        (&json!("aal1"), &json!(["pwd"]), &json!("app"))
    );
    let because = "sign-in: Every active user may sign in to the organisation's applications.";
    assert_eq!(body["because"], json!([because]));
}

#[actix_web::test]
async fn a_session_that_somebody_planted_is_not_kept() {
    let world = World::new().await;
    let attacker = world.browser();
    attacker.sign_in("app", &[]).await;
    let planted = attacker.session().unwrap();
    let victim = world.browser();
    victim.cookies.borrow_mut().insert("__Host-cardea-session".into(), planted.clone());
    victim.sign_in("app", &[("prompt", "login")]).await.code();
    assert_ne!(victim.session().unwrap(), planted);
    assert!(attacker.authorize("app", &[]).await.location().starts_with("/sign-in?"));
}

#[actix_web::test]
async fn a_session_ends_by_itself() {
    let world = World::new().await;
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    world.ctx.advance_for_tests(Duration::from_secs(12 * 3600 - 1));
    browser.authorize("app", &[]).await.code();
    world.ctx.advance_for_tests(Duration::from_secs(1));
    assert!(browser.authorize("app", &[]).await.location().starts_with("/sign-in?"));
}

#[actix_web::test]
async fn several_tabs_sign_in_at_once() {
    let world = World::new().await;
    let browser = world.browser();
    let first = browser.sign_in_page("app", &[("state", "first")]).await;
    let second = browser.sign_in_page("spa", &[("state", "second")]).await;
    let second = browser.enter(&second, "ada@example.org", PASSWORD).await;
    let first = browser.enter(&first, "ada@example.org", PASSWORD).await;
    assert_eq!(first.sent("state").as_deref(), Some("first"));
    assert!(first.location().starts_with(CALLBACK));
    assert_eq!(second.sent("state").as_deref(), Some("second"));
    assert!(second.location().starts_with("https://spa.example.org/"));
}

#[actix_web::test]
async fn a_form_of_another_browser_or_site_is_refused() {
    let world = World::new().await;
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    let stranger = world.browser();
    let foreign = stranger.enter(&page, "ada@example.org", PASSWORD).await;
    assert_eq!(foreign.status, 403);
    stranger.sign_in_page("app", &[]).await;
    assert_eq!(stranger.enter(&page, "ada@example.org", PASSWORD).await.status, 403);
    let (form_token, request) = (page.field("form_token"), page.field("request"));
    let form = [
        ("form_token", form_token.as_str()),
        ("request", &request),
        ("username", "ada@example.org"),
        ("password", PASSWORD),
    ];
    let post = |header: (&'static str, &'static str)| {
        browser.send(TestRequest::post().uri("/sign-in").insert_header(header).set_form(form))
    };
    assert_eq!(post(("origin", "https://evil.example")).await.status, 403);
    assert_eq!(post(("sec-fetch-site", "cross-site")).await.status, 403);
    assert_eq!(browser.session(), None);
    assert!(world.facts("sign-in.refused").await.is_empty(), "nothing was looked at");
    post(("origin", ISSUER)).await.code();
}

#[actix_web::test]
async fn a_request_that_was_changed_on_the_way_is_only_another_request() {
    let world = World::new().await;
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    let form_token = page.field("form_token");
    let post = |request: String| {
        let form_token = form_token.clone();
        let browser = &browser;
        async move {
            let form = [
                ("form_token", form_token.as_str()),
                ("request", &request),
                ("username", "ada@example.org"),
                ("password", PASSWORD),
            ];
            browser.post("/sign-in", &form).await
        }
    };
    let request = page.field("request");
    let evil = post(request.replace("app.example.org", "evil.example")).await;
    assert_eq!((evil.status, evil.header("location")), (400, ""));
    assert_eq!(post(String::new()).await.status, 400);
    let weaker = post(request.replace("S256", "plain")).await;
    assert_eq!(weaker.sent("error").as_deref(), Some("invalid_request"));
    assert_eq!(browser.session(), None);
}

#[actix_web::test]
async fn guessing_at_an_account_is_stopped_and_its_owner_too_for_a_while() {
    let world = World::new().await;
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    for user_name in ["ada@example.org", "nobody@example.org"] {
        for _ in 0..10 {
            assert_eq!(browser.enter(&page, user_name, "wrong").await.status, 422);
        }
        let answer = browser.enter(&page, user_name, PASSWORD).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, "300"), "{user_name}");
    }
    assert_eq!(
        browser.enter(&page, "ADA@example.org", PASSWORD).await.status,
        429,
        "one account, one counter"
    );
    world.ctx.advance_for_tests(Duration::from_secs(300));
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
    for _ in 0..9 {
        assert_eq!(browser.enter(&page, "ada@example.org", "wrong").await.status, 422);
    }
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
}

#[actix_web::test]
async fn guesses_at_once_are_counted_one_by_one() {
    let world = World::new().await;
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    let guesses = (0..20).map(|_| browser.enter(&page, "ada@example.org", "wrong"));
    let answers = futures_util::future::join_all(guesses).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 422).count();
    assert_eq!(looked_at, 10);
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 10);
}
