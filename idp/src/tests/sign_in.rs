//! A person gives a user name and a password.

use std::time::Duration;

use actix_web::test::TestRequest;
use directory::authenticator::password::{self, Cost, Hasher};
use kernel::Timestamp;
use serde_json::{Value, json};
use store::{Ephemeral, sql};

use super::world::{ISSUER, claims};
use super::*;
use crate::Settings;

on_both_engines! {
    unknown_inactive_and_wrong_have_one_answer,
    every_refusal_is_recorded_with_its_reason_and_no_typed_name,
    a_user_name_is_known_in_any_case_and_with_spaces_around_it,
    a_sign_in_opens_a_session_and_says_why,
    who_signs_in_again_keeps_the_session_and_what_was_granted_in_it,
    a_code_says_what_was_proven_when_it_was_given,
    a_session_of_somebody_else_does_not_survive_a_sign_in,
    a_password_is_hashed_anew_when_hashing_has_become_dearer,
    a_session_ends_by_itself,
    a_session_lasts_as_its_rung_allows_and_no_step_prolongs_it,
    several_tabs_sign_in_at_once,
    a_form_of_another_browser_or_site_is_refused,
    a_request_that_was_changed_on_the_way_is_only_another_request,
    guessing_at_an_account_is_stopped_and_its_owner_too_for_a_while,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The page without what is new in each answer.
fn bare(answer: &Answer) -> (u16, String) {
    let nonce =
        answer.header("content-security-policy").split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    let bare = [answer.field("form_token"), answer.field("ceremony"), options(&answer.body)];
    (answer.status, bare.iter().fold(answer.body.replace(nonce, ""), |body, new| body.replace(new, "")))
}

/// What a passkey is asked: the challenge is new each time.
fn options(body: &str) -> String {
    body.split("data-options=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// What refusals have cost so far: hashing, facts, what the facts are about. (Signing keys are made meanwhile.)
async fn work(world: &World) -> [i64; 3] {
    let count = async |text| world.db.one::<(i64,)>(text, ()).await.unwrap().0;
    let runs = i64::try_from(world.hasher.runs()).unwrap();
    [
        runs,
        count(sql!("SELECT COUNT(*) FROM fact WHERE kind = 'sign-in.refused'")).await,
        count(sql!("SELECT COUNT(*) FROM fact_about WHERE kind = 'sign-in.refused'")).await,
    ]
}

async fn unknown_inactive_and_wrong_have_one_answer(world: World) {
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    let wrong = browser.enter(&page, "ada@example.org", "three blue ducks sang").await;
    let empty = browser.enter(&page, "ada@example.org", "").await;
    let before = work(&world).await;
    let unknown = browser.enter(&page, "eve@example.org", PASSWORD).await;
    let of_unknown = work(&world).await;
    world.set_active(false).await;
    let deactivated = work(&world).await;
    let inactive = browser.enter(&page, "ada@example.org", PASSWORD).await;
    let of_inactive = work(&world).await;
    let done = |from: [i64; 3], to: [i64; 3]| [to[0] - from[0], to[1] - from[1], to[2] - from[2]];
    assert_eq!(done(before, of_unknown), [1, 1, 1], "one hash, one fact, one thing that it is about");
    assert_eq!(done(deactivated, of_inactive), [1, 1, 1]);
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

async fn every_refusal_is_recorded_with_its_reason_and_no_typed_name(world: World) {
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    browser.enter(&page, "ada@example.org", "wrong").await;
    world.advance(Duration::from_millis(1));
    browser.enter(&page, "my secret password", "wrong").await;
    world.advance(Duration::from_millis(1));
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
            reason("user:unknown".into(), "wrong-credentials"),
            reason(ada, "inactive"),
        ]
    );
}

async fn a_user_name_is_known_in_any_case_and_with_spaces_around_it(world: World) {
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    browser.enter(&page, " ADA@Example.ORG ", PASSWORD).await.code();
}

async fn a_sign_in_opens_a_session_and_says_why(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    let opened = world.facts("session.opened").await;
    assert_eq!(opened.len(), 1);
    let (subject, actor, body) = &opened[0];
    assert_eq!((subject, actor), (&format!("user:{}", world.ada), &format!("user:{}", world.ada)));
    assert_eq!(
        (&body["assurance"], &body["amr"], &body["client"]),
        (&json!("aal1"), &json!(["pwd"]), &json!("app"))
    );
    let because = "sign-in: Every active user may sign in to the organisation's applications.";
    assert_eq!(body["because"], json!([because]));
}

async fn who_signs_in_again_keeps_the_session_and_what_was_granted_in_it(world: World) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let first = browser.session().unwrap();
    let before = world.redeem(&code).await.json();
    world.advance(Duration::from_secs(60));
    let code = browser.sign_in("app", &[("prompt", "login")]).await.code();
    let after = world.redeem(&code).await.json();
    let said = |tokens: &Value, name: &str| claims(tokens["id_token"].as_str().unwrap()).1[name].clone();
    assert_eq!(said(&before, "sid"), said(&after, "sid"), "one session");
    let moved = said(&after, "auth_time").as_i64().unwrap() - said(&before, "auth_time").as_i64().unwrap();
    assert_eq!(moved, 60);
    let access = before["access_token"].as_str().unwrap();
    assert_eq!(world.userinfo(access).await.status, 200, "other grants stay");
    let introspected = world.call("/introspect", Some(("app", "app-secret")), &[("token", access)]).await;
    assert_eq!(introspected.json()["auth_time"], said(&before, "auth_time"));
    assert_ne!(browser.session().unwrap(), first);
    let stale = world.browser();
    stale.cookies.borrow_mut().insert("__Host-cardea-session".into(), first);
    assert!(stale.authorize("app", &[]).await.location().starts_with("/sign-in?"), "the old cookie is dead");
    let count = async |kind| world.facts(kind).await.len();
    assert_eq!((count("session.opened").await, count("session.renewed").await), (1, 1));
    assert_eq!(count("session.ended").await, 0);
}

async fn a_code_says_what_was_proven_when_it_was_given(world: World) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let then = world.ctx.now().as_secs();
    world.advance(Duration::from_secs(30));
    browser.sign_in("app", &[("prompt", "login")]).await.code();
    let tokens = world.redeem(&code).await.json();
    assert_eq!(claims(tokens["id_token"].as_str().unwrap()).1["auth_time"], json!(then));
}

async fn a_session_of_somebody_else_does_not_survive_a_sign_in(world: World) {
    let attacker = world.browser();
    let page = attacker.sign_in_page("app", &[]).await;
    let code = attacker.enter(&page, "bo@example.org", PASSWORD).await.code();
    let planted = attacker.session().unwrap();
    let tokens = world.redeem(&code).await.json();
    let victim = world.browser();
    victim.cookies.borrow_mut().insert("__Host-cardea-session".into(), planted.clone());
    let code = victim.sign_in("app", &[("prompt", "login")]).await.code();
    assert_ne!(victim.session().unwrap(), planted);
    assert!(attacker.authorize("app", &[]).await.location().starts_with("/sign-in?"));
    assert_eq!(world.userinfo(tokens["access_token"].as_str().unwrap()).await.status, 401);
    let hers = world.redeem(&code).await.json();
    let said = |tokens: &Value| claims(tokens["id_token"].as_str().unwrap()).1;
    assert_ne!(said(&hers)["sid"], said(&tokens)["sid"], "another session, not a renewed one");
    assert_eq!(said(&hers)["sub"], json!(world.ada.to_string()));
    let ended = world.facts("session.ended").await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].0, format!("user:{}", world.bo));
}

async fn a_password_is_hashed_anew_when_hashing_has_become_dearer(world: World) {
    let before = password::verifier(&world.db, world.ada).await.unwrap().unwrap();
    let dear = Hasher::with_cost(2, Cost { passes: 3, ..Cost::FLOOR });
    let world = {
        let ephemeral = Ephemeral::in_memory(world.ctx.clone());
        world.rebuilt(ephemeral, dear, Settings::default())
    };
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    assert_eq!(browser.enter(&page, "ada@example.org", "wrong").await.status, 422);
    let unchanged = password::verifier(&world.db, world.ada).await.unwrap();
    assert_eq!(unchanged.as_deref(), Some(before.as_str()), "only who knows it has it hashed anew");
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
    let after = password::verifier(&world.db, world.ada).await.unwrap().unwrap();
    assert!(after.starts_with("$argon2id$v=19$m=19456,t=3,p=1$"), "{after}");
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
    assert_eq!(password::verifier(&world.db, world.ada).await.unwrap(), Some(after), "once");
    assert_eq!(world.facts("authenticator.password-rehashed").await.len(), 1);
}

async fn a_session_ends_by_itself(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    world.advance(DAY - Duration::from_secs(1));
    browser.authorize("app", &[]).await.code();
    world.advance(Duration::from_secs(1));
    assert!(browser.authorize("app", &[]).await.location().starts_with("/sign-in?"));
}

async fn a_session_lasts_as_its_rung_allows_and_no_step_prolongs_it(world: World) {
    let (seed, mut device) = (world.give_totp().await, world.give_passkey().await);
    let newest = sql!("SELECT expires_at FROM session ORDER BY id DESC LIMIT 1");
    let ends = async || world.db.one::<(Timestamp,)>(newest.clone(), ()).await.unwrap().0;
    let browser = world.browser();
    let begun = world.ctx.now();
    let at = browser.sign_in("moderate", &[]).await;
    assert_eq!(ends().await, begun.plus(DAY));
    world.advance(Duration::from_secs(60));
    let page = browser.get(&at.location().replacen('?', "?way=totp&", 1)).await;
    browser.step(&page, "totp", &world.code_of(&seed)).await.code();
    assert_eq!(ends().await, begun.plus(DAY), "as long as before");
    world.advance(Duration::from_secs(60));
    let page = browser.step_page(&browser.authorize("vault", &[]).await).await;
    browser.passkey(&page, "/step-up", &mut device).await.code();
    assert_eq!(ends().await, world.ctx.now().plus(DAY / 2), "what may do more lasts less");

    let (late, begun) = (world.browser(), world.ctx.now());
    late.sign_in("app", &[]).await;
    world.advance(DAY - Duration::from_secs(60));
    let page = late.step_page(&late.authorize("vault", &[]).await).await;
    late.passkey(&page, "/step-up", &mut device).await.code();
    assert_eq!(ends().await, begun.plus(DAY), "what is left is not made more");
}

async fn several_tabs_sign_in_at_once(world: World) {
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

async fn a_form_of_another_browser_or_site_is_refused(world: World) {
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

async fn a_request_that_was_changed_on_the_way_is_only_another_request(world: World) {
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

async fn guessing_at_an_account_is_stopped_and_its_owner_too_for_a_while(world: World) {
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
    world.advance(Duration::from_secs(300));
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
    for _ in 0..9 {
        assert_eq!(browser.enter(&page, "ada@example.org", "wrong").await.status, 422);
    }
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
}
