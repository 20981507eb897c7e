//! What a person sees of the own account, and ends.

use serde_json::json;

use super::*;

on_both_engines! {
    an_account_is_shown_to_its_owner_after_signing_in,
    taking_a_factor_away_needs_one_of_its_strength,
    recovery_codes_are_shown_once_and_work,
    a_person_ends_sessions_of_the_own_account_only,
}

async fn sign_in_to(browser: &Browser<'_>, path: &str) -> Answer {
    let answer = browser.get(path).await;
    let page = browser.get(answer.location()).await;
    browser.enter(&page, "ada@example.org", PASSWORD).await
}

async fn send(browser: &Browser<'_>, page: &Answer, path: &str, field: &str, value: &str) -> Answer {
    let form_token = page.field("form_token");
    browser.post(path, &[("form_token", &form_token), (field, value)]).await
}

async fn an_account_is_shown_to_its_owner_after_signing_in(world: World) {
    let browser = world.browser();
    assert_eq!(browser.get("/account").await.location(), "/sign-in?to=account");
    assert_eq!(sign_in_to(&browser, "/account/sessions").await.location(), "/account/sessions");
    for path in ["/account", "/account/methods", "/account/sessions", "/account/apps"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("href=\"/account/methods\""), "{}", page.body);
    }
    browser.authorize("app", &[]).await.code();
    assert!(browser.get("/account/apps").await.body.contains("The &#60;app&#62; &#38; Co"));
    assert_eq!(browser.get("/sign-in?to=https://evil.example").await.status, 400);
}

async fn taking_a_factor_away_needs_one_of_its_strength(world: World) {
    let seed = world.give_totp().await;
    let browser = world.browser();
    sign_in_to(&browser, "/account/methods").await;
    let page = browser.get("/account/methods").await;
    let id = page.field("remove");
    let on = send(&browser, &page, "/account/methods", "remove", &id).await;
    let step = browser.step_page(&on).await;
    assert!(world.facts("authenticator.removed").await.is_empty());
    let back = browser.step(&step, "totp", &world.code_of(&seed)).await;
    assert_eq!(back.location(), "/account/methods");
    let stranger = world.browser();
    let bo = stranger.get(stranger.get("/account/methods").await.location()).await;
    stranger.enter(&bo, "bo@example.org", PASSWORD).await;
    let theirs = stranger.get("/account/methods").await;
    send(&stranger, &theirs, "/account/methods", "remove", &id).await;
    assert!(world.facts("authenticator.removed").await.is_empty(), "nobody takes away another's");
    send(&browser, &page, "/account/methods", "remove", &id).await;
    assert_eq!(world.facts("authenticator.removed").await[0].2["kind"], json!("totp"));
}

async fn recovery_codes_are_shown_once_and_work(world: World) {
    let browser = world.browser();
    sign_in_to(&browser, "/account/methods").await;
    let page = browser.get("/account/methods").await;
    let shown = send(&browser, &page, "/account/methods", "make", "codes").await;
    let codes: Vec<&str> = shown.body.split("<code>").skip(1).map(|rest| &rest[..19]).collect();
    assert_eq!((shown.status, codes.len()), (200, 10));
    assert!(!browser.get("/account/methods").await.body.contains(codes[0]));
    let other = world.browser();
    let step = other.step_page(&other.sign_in("moderate", &[]).await).await;
    other.step(&step, "recovery-code", codes[3]).await.code();
}

async fn a_person_ends_sessions_of_the_own_account_only(world: World) {
    let (here, there) = (world.browser(), world.browser());
    sign_in_to(&here, "/account/sessions").await;
    there.sign_in("app", &[]).await.code();
    let stranger = world.browser();
    let bo = stranger.get(stranger.get("/account/sessions").await.location()).await;
    stranger.enter(&bo, "bo@example.org", PASSWORD).await;
    let theirs = stranger.get("/account/sessions").await.field("session");
    let page = here.get("/account/sessions").await;
    send(&here, &page, "/account/sessions", "session", &theirs).await;
    assert_eq!(stranger.get("/account").await.status, 200, "another person's session stays");
    send(&here, &page, "/account/sessions", "others", "all").await;
    assert!(there.authorize("app", &[]).await.location().starts_with("/sign-in?"));
    assert_eq!(here.get("/account").await.status, 200);
    let own = here.get("/account/sessions").await.field("session");
    send(&here, &page, "/account/sessions", "session", &own).await;
    assert!(here.get("/account").await.location().starts_with("/sign-in?"));
}
