//! What a person sees of the own account, and ends.

use std::time::Duration;

use directory::authenticator;
use directory::credential::{self, Credential};
use directory::declared::{self, Item, Kind};
use directory::door::entitlement;
use kernel::id::UserId;
use serde_json::json;
use store::Origin;

use super::*;

on_both_engines! {
    an_account_is_shown_to_its_owner_after_signing_in,
    taking_a_factor_away_needs_one_of_its_strength,
    nothing_is_added_or_taken_away_with_less_than_it_takes,
    recovery_codes_are_shown_once_and_work,
    a_person_ends_sessions_of_the_own_account_only,
    a_badge_is_shown_to_its_holder_and_no_number_whole,
    a_lost_badge_is_suspended_at_once_by_its_holder_only,
    a_lost_badge_that_somebody_changes_meanwhile_is_suspended_all_the_same,
    activity_is_told_in_words_and_pages_and_never_anothers,
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
    for path in [
        "/account",
        "/account/methods",
        "/account/sessions",
        "/account/apps",
        "/account/badge",
        "/account/activity",
    ] {
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

async fn nothing_is_added_or_taken_away_with_less_than_it_takes(world: World) {
    let (seed, _device) = (world.give_totp().await, world.give_passkey().await);
    let held = authenticator::of_user(&world.db, world.ada).await.unwrap();
    let id = |kind| held.iter().find(|one| one.kind() == Some(kind)).unwrap().id.to_string();
    let (totp, passkey) = (id(authenticator::Kind::Totp), id(authenticator::Kind::Passkey));
    let browser = world.browser();
    sign_in_to(&browser, "/account/methods").await;
    let page = browser.get("/account/methods").await;
    let leads_to_a_step = async |changes: &[(&str, &str)]| {
        for (field, value) in changes {
            let on = send(&browser, &page, "/account/methods", field, value).await;
            assert!(on.location().starts_with("/step-up?"), "{field}: {}", on.location());
        }
        let on = browser.get("/enrol?way=passkey&to=add-passkey").await;
        assert!(on.location().starts_with("/step-up?"), "{}", on.location());
        on
    };
    let with_password = [("make", "codes"), ("remove", totp.as_str()), ("remove", &passkey)];
    let on = leads_to_a_step(&with_password).await;
    let step = browser.step_page(&on).await;
    let (form_token, request) = (step.field("form_token"), step.field("request"));
    let empty = browser.post("/step-up", &[("form_token", &form_token), ("request", &request)]).await;
    assert_eq!((empty.status, world.facts("session.renewed").await.len()), (422, 0));
    leads_to_a_step(&with_password).await;
    // The code is worth a code, and no key.
    let code = world.code_of(&seed);
    let way = browser.get("/enrol?way=totp&to=add-totp").await.location().replacen('?', "?way=totp&", 1);
    let step = browser.get(&way).await;
    assert_eq!(browser.step(&step, "totp", &code).await.status, 303);
    leads_to_a_step(&[("remove", &passkey)]).await;
    for kind in ["authenticator.removed", "authenticator.added", "authenticator.recovery-codes-made"] {
        assert_eq!(world.facts(kind).await, [], "{kind}");
    }
    assert_eq!(authenticator::of_user(&world.db, world.ada).await.unwrap().len(), held.len());
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

/// A card of somebody from a pool, and what it opens.
async fn give_badge(world: &World, user: UserId) -> Credential {
    let all = declared::read_all(&world.db, &super::world::NoSecrets).await.unwrap();
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    if !all.iter().any(|item| item.kind == Kind::CardPool) {
        for item in [
            Item::new(Kind::Area, "yard", json!({ "title": "The <yard>", "protection_class": 2 })),
            Item::new(Kind::DoorSystem, "north", json!({ "connector": "uhppote", "config": {} })),
            Item::new(Kind::AccessPoint, "gate", json!({ "door_system": "north", "area": "yard" })),
            Item::new(Kind::AccessProfile, "staff", json!({ "title": "Staff", "access_points": ["gate"] })),
            Item::new(
                Kind::CardPool,
                "pool",
                json!({ "format": "h10301", "facility": 123, "first": 41_742, "last": 41_799 }),
            ),
        ] {
            declared::put(&mut tx, &item, None, &super::world::NoSecrets).await.unwrap();
        }
    }
    let card = credential::issue(&mut tx, user, "pool").await.unwrap().unwrap();
    let wanted = [("staff".to_owned(), "because".to_owned())];
    entitlement::settle(&mut tx, user, &wanted, &[card.id]).await.unwrap();
    tx.commit().await.unwrap();
    card
}

async fn a_badge_is_shown_to_its_holder_and_no_number_whole(world: World) {
    give_badge(&world, world.ada).await;
    let browser = world.browser();
    sign_in_to(&browser, "/account/badge").await;
    let page = browser.get("/account/badge").await;
    for text in ["••• 42", "Opens doors", "Staff", "The &#60;yard&#62;"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(!page.body.contains("41742") && !page.body.contains("123"), "{}", page.body);
    let stranger = world.browser();
    let bo = stranger.get(stranger.get("/account/badge").await.location()).await;
    stranger.enter(&bo, "bo@example.org", PASSWORD).await;
    let theirs = stranger.get("/account/badge").await;
    assert!(theirs.body.contains("You have no badge here") && !theirs.body.contains("Staff"));
}

async fn a_lost_badge_is_suspended_at_once_by_its_holder_only(world: World) {
    let card = give_badge(&world, world.ada).await;
    let state = async || credential::get(&world.db, card.id).await.unwrap().unwrap().state;
    let stranger = world.browser();
    let bo = stranger.get(stranger.get("/account/badge").await.location()).await;
    stranger.enter(&bo, "bo@example.org", PASSWORD).await;
    let form_token = bo.field("form_token");
    let form = [("form_token", form_token.as_str()), ("lost", &card.id.to_string())];
    assert_eq!(stranger.post("/account/badge", &form).await.location(), "/account/badge");
    assert_eq!(state().await, "active", "nobody loses the badge of another");
    let browser = world.browser();
    sign_in_to(&browser, "/account/badge").await;
    let page = browser.get("/account/badge").await;
    let lost = page.field("lost");
    send(&browser, &page, "/account/badge", "lost", &lost).await;
    assert_eq!(state().await, "suspended");
    let (subject, actor, body) = world.facts("credential.suspended").await.pop().unwrap();
    assert_eq!((subject, actor), (card.id.subject().to_string(), format!("user:{}", world.ada)));
    assert_eq!(body["who"], json!("Ada@example.org"));
    send(&browser, &page, "/account/badge", "lost", &lost).await;
    assert_eq!(world.facts("credential.suspended").await.len(), 1, "once is enough");
    // What a hand did, an account's return does not undo.
    world.set_active(false).await;
    world.set_active(true).await;
    assert_eq!(state().await, "suspended");
}

async fn a_lost_badge_that_somebody_changes_meanwhile_is_suspended_all_the_same(world: World) {
    let card = give_badge(&world, world.ada).await;
    let browser = world.browser();
    sign_in_to(&browser, "/account/badge").await;
    let page = browser.get("/account/badge").await;
    let lost = page.field("lost");
    let end = world.ctx.now().plus(Duration::from_secs(86_400));
    let card = credential::get(&world.db, card.id).await.unwrap().unwrap();
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    credential::set_validity(&mut tx, &card, None, Some(end), None).await.unwrap();
    let change = async {
        // By then the card was read, and who reports it waits for this one.
        tokio::time::sleep(Duration::from_millis(300)).await;
        tx.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(send(&browser, &page, "/account/badge", "lost", &lost), change);
    assert_eq!(answer.location(), "/account/badge");
    let seen = credential::get(&world.db, card.id).await.unwrap().unwrap();
    assert_eq!((seen.state.as_str(), seen.valid_until), ("suspended", Some(end)));
    assert_eq!(world.facts("credential.suspended").await.len(), 1);
}

async fn activity_is_told_in_words_and_pages_and_never_anothers(world: World) {
    let browser = world.browser();
    let stranger = world.browser();
    let bo = stranger.get(stranger.get("/account/activity").await.location()).await;
    stranger.enter(&bo, "bo@example.org", PASSWORD).await;
    for _ in 0..27 {
        world.advance(Duration::from_secs(60));
        let page = browser.sign_in_page("app", &[("prompt", "login")]).await;
        browser.enter(&page, "ada@example.org", PASSWORD).await.code();
    }
    world.advance(Duration::from_secs(60));
    let page = browser.sign_in_page("app", &[("prompt", "login")]).await;
    browser.enter(&page, "ada@example.org", "wrong").await;
    world.advance(Duration::from_secs(60));
    give_badge(&world, world.ada).await;
    let first = browser.get("/account/activity").await;
    let at = |text: &str| first.body.find(text).unwrap_or_else(|| panic!("{text}: {}", first.body));
    assert!(at("A badge was given to you") < at("the password or passkey was wrong"), "the newest first");
    assert!(first.body.contains("The &#60;app&#62; &#38; Co"));
    assert_eq!(first.body.matches("Signed in again").count(), 23);
    let older = first.body.split("href=\"/account/activity?before=").nth(1).unwrap();
    let older = older.split('"').next().unwrap();
    let second = browser.get(&format!("/account/activity?before={older}")).await;
    assert_eq!(second.body.matches("Signed in again").count(), 3, "{}", second.body);
    assert_eq!(second.body.matches("<strong>Signed in</strong>").count(), 1);
    assert!(!second.body.contains("?before="), "there is nothing older");
    // A place in the list is no key to another's.
    let theirs = stranger.get(&format!("/account/activity?before={older}")).await;
    assert!(!theirs.body.contains("Signed in again") && !theirs.body.contains("badge was given"));
    assert_eq!(stranger.get("/account/activity").await.body.matches("<strong>Signed in</strong>").count(), 1);
    for bad in ["x", "1", "1.x", "9.0193%27--"] {
        assert_eq!(browser.get(&format!("/account/activity?before={bad}")).await.status, 400, "{bad}");
    }
}
