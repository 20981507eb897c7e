//! A person is asked what an application of somebody else may know, and takes it back.

use std::time::Duration;

use serde_json::json;

use super::world::{redeclare, undeclare};
use super::*;

on_both_engines! {
    who_signs_in_to_an_application_of_others_is_asked_once,
    more_than_was_consented_to_is_asked_about,
    an_application_may_have_people_asked_anew,
    without_a_page_an_application_hears_that_consent_is_required,
    who_says_no_grants_nothing,
    a_question_is_answered_by_whom_it_was_put_to,
    the_organisations_own_applications_ask_nobody,
    what_is_taken_back_ends_what_was_granted,
    nobody_takes_back_for_another,
    a_consent_goes_with_its_application_and_its_person,
    policy_comes_before_the_question,
}

/// Follows a redirect of our own to the page that asks.
async fn question(browser: &Browser<'_>, answer: &Answer) -> Answer {
    let location = answer.location().to_owned();
    assert!(location.starts_with("/consent?"), "{location}");
    let page = browser.get(&location).await;
    assert_eq!(page.status, 200, "{}", page.body);
    page
}

/// Ada signs in to `guest` and allows it what it asks for.
async fn allow(browser: &Browser<'_>) -> String {
    let answer = browser.sign_in("guest", &[]).await;
    let page = question(browser, &answer).await;
    browser.decide(&page, "allow").await.code()
}

async fn redeem(world: &World, code: &str) -> Answer {
    let form = world::redemption(code, "https://guest.example.com/callback", VERIFIER);
    world.call("/token", Some(("guest", "guest-secret")), &form).await
}

async fn who_signs_in_to_an_application_of_others_is_asked_once(world: World) {
    let browser = world.browser();
    let answer = browser.sign_in("guest", &[]).await;
    let page = question(&browser, &answer).await;
    for text in ["The &#60;guest&#62; &#38; Co", "Ada Lovelace", "your mail address"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(!page.body.contains("your telephone number"), "it did not ask for that");
    let expect = "form-action 'self' https://guest.example.com;";
    assert!(page.header("content-security-policy").contains(expect));
    let code = browser.decide(&page, "allow").await.code();
    assert_eq!(redeem(&world, &code).await.status, 200);
    browser.authorize("guest", &[]).await.code();
    browser.authorize("guest", &[("scope", "openid email"), ("prompt", "none")]).await.code();
    let facts = world.facts("consent.given").await;
    let expect = json!({ "v": 1, "client": "guest", "scope": "openid profile email" });
    let ada = format!("user:{}", world.ada);
    assert_eq!(facts, [(ada.clone(), ada, expect)]);
}

async fn more_than_was_consented_to_is_asked_about(world: World) {
    let browser = world.browser();
    allow(&browser).await;
    let more = [("scope", "openid phone")];
    let answer = browser.authorize("guest", &more).await;
    let page = question(&browser, &answer).await;
    browser.decide(&page, "allow").await.code();
    browser.authorize("guest", &[("scope", "openid profile email phone")]).await.code();
}

async fn an_application_may_have_people_asked_anew(world: World) {
    let browser = world.browser();
    allow(&browser).await;
    let answer = browser.authorize("guest", &[("prompt", "consent")]).await;
    let page = question(&browser, &answer).await;
    browser.decide(&page, "allow").await.code();
    assert_eq!(world.facts("consent.given").await.len(), 2);
    world.advance(Duration::from_secs(1));
    let answer = browser.sign_in("guest", &[("prompt", "login consent")]).await;
    let page = question(&browser, &answer).await;
    browser.decide(&page, "allow").await.code();
}

async fn without_a_page_an_application_hears_that_consent_is_required(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    let answer = browser.authorize("guest", &[("prompt", "none")]).await;
    assert!(answer.location().starts_with("https://guest.example.com/callback?error=consent_required&"));
    assert_eq!(answer.sent("state").as_deref(), Some("a b&c"));
}

async fn who_says_no_grants_nothing(world: World) {
    let browser = world.browser();
    let answer = browser.sign_in("guest", &[]).await;
    let page = question(&browser, &answer).await;
    let refused = browser.decide(&page, "deny").await;
    assert_eq!(refused.sent("error").as_deref(), Some("access_denied"));
    assert_eq!(refused.sent("code"), None);
    for decision in ["", "ALLOW", "yes"] {
        assert_eq!(browser.decide(&page, decision).await.sent("error").as_deref(), Some("access_denied"));
    }
    assert!(world.facts("consent.given").await.is_empty());
    assert!(world.facts("grant.created").await.is_empty());
    let told = world.facts("sign-in.refused").await;
    assert_eq!(told.len(), 4);
    for (_, actor, body) in told {
        assert_eq!((&body["reason"], &body["client"]), (&json!("consent-denied"), &json!("guest")));
        assert_eq!(actor, format!("user:{}", world.ada));
    }
    question(&browser, &browser.authorize("guest", &[]).await).await;
    let stranger = world.browser();
    assert_eq!(stranger.decide(&page, "allow").await.status, 403, "a form belongs to one browser");
}

async fn a_question_is_answered_by_whom_it_was_put_to(world: World) {
    let browser = world.browser();
    let answer = browser.sign_in("guest", &[]).await;
    let page = question(&browser, &answer).await;
    // In another tab, somebody else signs in.
    let other = browser.sign_in_page("app", &[("prompt", "login")]).await;
    browser.enter(&other, "bo@example.org", PASSWORD).await.code();
    let again = browser.decide(&page, "allow").await;
    assert!(world.facts("consent.given").await.is_empty());
    let page = question(&browser, &again).await;
    assert!(page.body.contains("bo@example.org"), "{}", page.body);
    browser.decide(&page, "allow").await.code();
    assert_eq!(world.facts("consent.given").await[0].0, format!("user:{}", world.bo));
}

async fn the_organisations_own_applications_ask_nobody(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[("prompt", "consent")]).await.code();
    assert!(world.facts("consent.given").await.is_empty());
    let page = browser.get("/account/apps").await;
    assert!(!page.body.contains("name=\"withdraw\""), "{}", page.body);
}

async fn what_is_taken_back_ends_what_was_granted(world: World) {
    let browser = world.browser();
    let code = allow(&browser).await;
    let tokens = redeem(&world, &code).await.json();
    let token = tokens["access_token"].as_str().unwrap();
    let waiting = browser.authorize("guest", &[]).await.code();
    let own = browser.authorize("app", &[]).await.code();
    assert_eq!(world.userinfo(token).await.status, 200);
    let page = browser.get("/account/apps").await;
    assert!(page.body.contains("your mail address"), "{}", page.body);
    let form_token = page.field("form_token");
    let form = [("form_token", form_token.as_str()), ("withdraw", &page.field("withdraw"))];
    assert_eq!(browser.post("/account/apps", &form).await.location(), "/account/apps");
    assert_eq!(world.userinfo(token).await.status, 401);
    assert_eq!(redeem(&world, &waiting).await.error(), (400, "invalid_grant".into()));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let again = world.call("/token", Some(("guest", "guest-secret")), &world::refreshing(refresh)).await;
    assert_eq!(again.error(), (400, "invalid_grant".into()));
    assert_eq!(world.redeem(&own).await.status, 200, "nothing else ends");
    question(&browser, &browser.authorize("guest", &[]).await).await;
    let expect = json!({ "v": 1, "client": "guest", "scope": "openid profile email", "grants": 2 });
    assert_eq!(world.facts("consent.withdrawn").await[0].2, expect);
    assert!(!browser.get("/account/apps").await.body.contains("guest"));
    browser.post("/account/apps", &form).await;
    assert_eq!(world.facts("consent.withdrawn").await.len(), 1, "what is gone is not taken back again");
}

async fn nobody_takes_back_for_another(world: World) {
    let browser = world.browser();
    let code = allow(&browser).await;
    let stranger = world.browser();
    let bo = stranger.get(stranger.get("/account/apps").await.location()).await;
    stranger.enter(&bo, "bo@example.org", PASSWORD).await;
    let form_token = bo.field("form_token");
    stranger.post("/account/apps", &[("form_token", form_token.as_str()), ("withdraw", "guest")]).await;
    let page = browser.get("/account/apps").await;
    let foreign = [("form_token", form_token.as_str()), ("withdraw", "guest")];
    assert_eq!(browser.post("/account/apps", &foreign).await.status, 403);
    assert!(page.body.contains("guest") && world.facts("consent.withdrawn").await.is_empty());
    assert_eq!(redeem(&world, &code).await.status, 200);
}

async fn a_consent_goes_with_its_application_and_its_person(world: World) {
    let browser = world.browser();
    allow(&browser).await;
    undeclare(&world, "guest").await;
    assert!(directory::consent::of_user(&world.db, world.ada).await.unwrap().is_empty());
    redeclare(&world, "app", |app| {
        app.fields.insert("third_party".into(), json!(true));
    })
    .await;
    let page = question(&browser, &browser.authorize("app", &[]).await).await;
    browser.decide(&page, "allow").await.code();
    let ada = directory::user::get(&world.db, world.ada).await.unwrap().unwrap();
    let mut tx = world.db.write(store::Origin::system()).await.unwrap();
    directory::user::delete(&mut tx, &ada).await.unwrap();
    tx.commit().await.unwrap();
    assert!(directory::consent::of_user(&world.db, world.ada).await.unwrap().is_empty());
}

async fn policy_comes_before_the_question(world: World) {
    world.set_policies(
        "@id(\"no\") @because(\"Not this one.\") forbid (principal, action == Action::\"signIn\", resource) \
         when { resource == Client::\"guest\" };",
    );
    let browser = world.browser();
    let answer = browser.sign_in("guest", &[]).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(world.facts("consent.given").await.is_empty());
    let path = world::request_of("guest", &[]).replacen("/authorize", "/consent", 1);
    assert_eq!(browser.get(&path).await.status, 403);
}
