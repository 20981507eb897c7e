//! A person sets a first password.

use std::time::Duration;

use directory::invitation;
use store::Origin;

use super::world::invite;
use super::*;

on_both_engines! {
    an_invitation_sets_a_password_once,
    a_bad_password_is_refused_with_its_reason_and_uses_nothing_up,
    a_link_that_is_used_up_replaced_too_old_or_invented_is_refused_alike,
    of_many_who_use_an_invitation_at_once_one_sets_the_password,
    an_invitation_form_belongs_to_one_browser,
    a_second_invitation_ends_what_was_signed_in_with_the_first_password,
}

const NEW: &str = "four green geese march";

async fn submit(browser: &Browser<'_>, page: &Answer, password: &str, again: &str) -> Answer {
    let (form_token, token) = (page.field("form_token"), page.field("token"));
    let form = [
        ("form_token", form_token.as_str()),
        ("token", &token),
        ("username", "ignored"),
        ("password", password),
        ("password_again", again),
    ];
    browser.post("/invitation", &form).await
}

async fn open(world: &World, browser: &Browser<'_>) -> Answer {
    let link = crate::invitation_link(&world.idp.issuer, &invite(world).await);
    let page = browser.get(link.strip_prefix("https://id.example.org").unwrap()).await;
    assert_eq!(page.status, 200, "{}", page.body);
    page
}

async fn an_invitation_sets_a_password_once(world: World) {
    let browser = world.browser();
    let page = open(&world, &browser).await;
    assert_eq!(page.field("username"), "Ada@example.org");
    let done = submit(&browser, &page, NEW, NEW).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(done.body.contains("Your password is set"), "{}", done.body);
    let again = submit(&browser, &page, PASSWORD, PASSWORD).await;
    assert_eq!(again.status, 410);
    let page = browser.sign_in_page("app", &[]).await;
    assert_eq!(browser.enter(&page, "ada@example.org", PASSWORD).await.status, 422);
    browser.enter(&page, "ada@example.org", NEW).await.code();
    let (subject, actor, body) = world.facts("authenticator.password-set").await.pop().unwrap();
    assert_eq!((subject, actor), (format!("user:{}", world.ada), format!("user:{}", world.ada)));
    assert!(body["invitation"].is_string());
}

async fn a_bad_password_is_refused_with_its_reason_and_uses_nothing_up(world: World) {
    let browser = world.browser();
    let page = open(&world, &browser).await;
    let long = "x1".repeat(150);
    let marks = "e\u{301}".repeat(14);
    for (password, again, expect) in [
        ("", "", "at least 15 characters"),
        ("too short", "too short", "at least 15 characters"),
        (long.as_str(), long.as_str(), "at most 256 characters"),
        // Fourteen characters, however many marks they were typed with.
        (marks.as_str(), marks.as_str(), "at least 15 characters"),
        ("CorrectHorseBatteryStaple", "CorrectHorseBatteryStaple", "easy to guess"),
        ("ada-ada-ada-ada-ada", "ada-ada-ada-ada-ada", "easy to guess"),
        (NEW, "four green geese swim", "differ"),
        (NEW, "", "differ"),
    ] {
        let answer = submit(&browser, &page, password, again).await;
        assert_eq!(answer.status, 422, "{password}");
        assert!(answer.body.contains(expect), "{password}: {}", answer.body);
        assert!(!answer.body.contains(NEW), "a password is never sent back");
    }
    assert_eq!(submit(&browser, &page, NEW, NEW).await.status, 200);
}

async fn a_link_that_is_used_up_replaced_too_old_or_invented_is_refused_alike(world: World) {
    let browser = world.browser();
    let first = open(&world, &browser).await;
    let second = open(&world, &browser).await;
    let gone = |answer: Answer| {
        assert_eq!(answer.status, 410, "{}", answer.body);
        assert!(answer.body.contains("This link cannot be used any more"), "{}", answer.body);
    };
    gone(submit(&browser, &first, NEW, NEW).await);
    gone(browser.get("/invitation?token=cdi_invented").await);
    gone(browser.get("/invitation").await);
    world.advance(Duration::from_secs(72 * 3600));
    gone(submit(&browser, &second, NEW, NEW).await);
    let third = open(&world, &browser).await;
    world.set_active(false).await;
    world.set_active(true).await;
    gone(submit(&browser, &third, NEW, NEW).await);
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    let foreign = invitation::create(&mut tx, "https://old.example.org", world.ada).await.unwrap();
    tx.commit().await.unwrap();
    gone(browser.get(&format!("/invitation?token={}", foreign.expose())).await);
}

async fn of_many_who_use_an_invitation_at_once_one_sets_the_password(world: World) {
    let browser = world.browser();
    let page = open(&world, &browser).await;
    let all = (0..4).map(|_| submit(&browser, &page, NEW, NEW));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(all).await.into_iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 410, 410, 410]);
}

async fn an_invitation_form_belongs_to_one_browser(world: World) {
    let page = open(&world, &world.browser()).await;
    let stranger = world.browser();
    assert_eq!(submit(&stranger, &page, NEW, NEW).await.status, 403);
}

async fn a_second_invitation_ends_what_was_signed_in_with_the_first_password(world: World) {
    let thief = world.browser();
    let code = thief.sign_in("app", &[]).await.code();
    let token = world.redeem(&code).await.json()["access_token"].as_str().unwrap().to_owned();
    let waiting = thief.authorize("app", &[]).await.code();
    let browser = world.browser();
    let page = open(&world, &browser).await;
    assert_eq!(submit(&browser, &page, NEW, NEW).await.status, 200);
    assert!(thief.authorize("app", &[]).await.location().starts_with("/sign-in?"));
    assert_eq!(world.userinfo(&token).await.status, 401);
    assert_eq!(world.redeem(&waiting).await.error(), (400, "invalid_grant".into()));
    let (_, _, body) = world.facts("authenticator.password-set").await.pop().unwrap();
    assert_eq!(body["ended"], serde_json::json!({ "sessions": 1, "grants": 2, "codes": 1 }));
}
