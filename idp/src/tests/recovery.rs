//! A person forgot the password.

use std::time::Duration;

use actix_web::test::TestRequest;
use directory::invitation;
use directory::user::{self, Profile};
use store::{Origin, delivery, sql};

use super::mail::{Office, path_in, profile, set_password};
use super::*;

on_both_engines! {
    whoever_asks_gets_one_answer_and_leaves_one_trace_and_only_a_person_gets_a_letter,
    a_recovery_sets_a_password_once_and_signs_out_everywhere,
    a_recovery_is_over_after_half_an_hour_or_when_a_newer_one_was_sent,
    asking_for_a_recovery_ends_no_invitation_and_using_either_ends_both,
    links_are_made_from_the_issuer_whatever_the_request_says,
    asking_is_slowed_per_account_and_per_address_alike_for_nobody_and_somebody,
    the_letter_is_in_the_language_of_the_page,
    a_form_of_another_browser_asks_nothing,
    where_no_mail_is_set_up_nobody_is_led_to_ask,
    a_password_from_a_letter_is_one_factor_and_the_second_is_asked_for,
}

const NEW: &str = "four green geese march";

async fn ask(browser: &Browser<'_>, user_name: &str) -> Answer {
    let page = browser.get("/recover").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let form_token = page.field("form_token");
    browser.post("/recover", &[("form_token", &form_token), ("username", user_name)]).await
}

/// A page without what is new in each answer.
fn shown(answer: &Answer) -> (u16, String) {
    let (before, rest) = answer.body.split_once("nonce=\"").unwrap();
    (answer.status, format!("{before}{}", rest.split_once('"').unwrap().1))
}

async fn whoever_asks_gets_one_answer_and_leaves_one_trace_and_only_a_person_gets_a_letter(world: World) {
    let office = Office::open(world);
    let world = &office.world;
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    user::create(&mut tx, &Profile { active: false, ..profile("gone@example.org") }).await.unwrap();
    user::create(&mut tx, &Profile { email: None, ..profile("no-mail@example.org") }).await.unwrap();
    tx.commit().await.unwrap();
    office.letters().await;
    let count = async || {
        let text = sql!(
            "SELECT (SELECT COUNT(*) FROM fact WHERE request_id IS NOT NULL), (SELECT COUNT(*) FROM delivery)"
        );
        world.db.one::<(i64, i64)>(text, ()).await.unwrap()
    };
    let mut answers = Vec::new();
    for name in ["ADA@example.org", "nobody@example.org", "gone@example.org", "no-mail@example.org", "", "🦆"]
    {
        let before = count().await;
        answers.push(shown(&ask(&world.browser(), name).await));
        assert_eq!(count().await, (before.0 + 1, before.1 + 1), "{name}: one fact, on its way to one sink");
    }
    assert_eq!(answers[0].0, 200);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let letters = office.letters().await;
    let to: Vec<String> = letters.iter().map(|letter| letter.to.to_string()).collect();
    assert_eq!(to, ["ada@example.org"]);
    assert_eq!(delivery::depth(&world.db).await.unwrap(), (0, 0), "nothing is left waiting");
    let asked = world.facts("recovery.asked").await;
    let of_nobody = asked.iter().filter(|(subject, ..)| subject == "user:unknown").count();
    assert_eq!((asked.len(), of_nobody), (6, 3), "a name that nobody has is not kept");
}

async fn a_recovery_sets_a_password_once_and_signs_out_everywhere(world: World) {
    let office = Office::open(world);
    let world = &office.world;
    let tokens = world.tokens().await;
    let token = tokens["access_token"].as_str().unwrap();
    assert!(world.is_active(token).await);
    let browser = world.browser();
    ask(&browser, "ada@example.org").await;
    let letter = office.letters().await.remove(0);
    assert_eq!(letter.subject, "Choose a new password for id.example.org");
    let page = browser.get(&path_in(&letter)).await;
    assert!(page.body.contains("you are signed out everywhere"), "{}", page.body);
    assert!(world.is_active(token).await, "looking ends nothing");
    assert_eq!(set_password(&browser, &page, NEW).await.status, 200);
    assert!(!world.is_active(token).await);
    assert_eq!(set_password(&browser, &page, PASSWORD).await.status, 410);
    let page = browser.sign_in_page("app", &[]).await;
    assert_eq!(browser.enter(&page, "ada@example.org", PASSWORD).await.status, 422);
    browser.enter(&page, "ada@example.org", NEW).await.code();
    assert_eq!(office.letters().await.remove(0).subject, "Your password for id.example.org was set");
}

async fn a_recovery_is_over_after_half_an_hour_or_when_a_newer_one_was_sent(world: World) {
    let office = Office::open(world);
    let browser = office.world.browser();
    let mut paths = Vec::new();
    for _ in 0..2 {
        ask(&browser, "ada@example.org").await;
        paths.push(path_in(&office.letters().await.remove(0)));
    }
    assert_ne!(paths[0], paths[1]);
    assert_eq!(browser.get(&paths[0]).await.status, 410, "a newer one was sent");
    assert_eq!(browser.get(&paths[1]).await.status, 200);
    office.world.advance(invitation::RECOVERY_TIME - Duration::from_secs(1));
    assert_eq!(browser.get(&paths[1]).await.status, 200);
    office.world.advance(Duration::from_secs(1));
    assert_eq!(browser.get(&paths[1]).await.status, 410);
}

async fn asking_for_a_recovery_ends_no_invitation_and_using_either_ends_both(world: World) {
    let office = Office::open(world);
    let browser = office.world.browser();
    for use_recovery in [true, false] {
        let invited = world::invite(&office.world).await;
        let invitation = format!("/invitation?token={}", invited.expose());
        ask(&browser, "ada@example.org").await;
        let recovery = path_in(&office.letters().await.remove(0));
        assert_eq!(browser.get(&invitation).await.status, 200, "anybody may ask; that ends nothing");
        let used = if use_recovery { &recovery } else { &invitation };
        let page = browser.get(used).await;
        assert_eq!(set_password(&browser, &page, NEW).await.status, 200);
        for path in [&invitation, &recovery] {
            assert_eq!(browser.get(path).await.status, 410, "{use_recovery} {path}");
        }
        office.letters().await;
    }
}

async fn links_are_made_from_the_issuer_whatever_the_request_says(world: World) {
    let office = Office::open(world);
    let browser = office.world.browser();
    let form_token = browser.get("/recover").await.field("form_token");
    let request = TestRequest::post()
        .uri("/recover")
        .insert_header(("host", "evil.example"))
        .insert_header(("x-forwarded-host", "evil.example"))
        .insert_header(("x-forwarded-proto", "http"))
        .insert_header(("forwarded", "host=evil.example;proto=http"))
        .insert_header(("x-original-host", "evil.example"))
        .insert_header(("origin", world::ISSUER))
        .set_form([("form_token", form_token.as_str()), ("username", "ada@example.org")]);
    assert_eq!(browser.send(request).await.status, 200);
    let letter = office.letters().await.remove(0);
    assert!(!format!("{letter:?}").contains("evil"), "{letter:?}");
    assert!(path_in(&letter).starts_with("/invitation?token="));
}

async fn asking_is_slowed_per_account_and_per_address_alike_for_nobody_and_somebody(world: World) {
    let office = Office::open(world);
    let browser = office.world.browser();
    for name in ["ada@example.org", "nobody@example.org"] {
        for _ in 0..3 {
            assert_eq!(ask(&browser, name).await.status, 200, "{name}");
        }
        let stopped = ask(&browser, name).await;
        assert_eq!((stopped.status, stopped.header("retry-after").is_empty()), (429, false), "{name}");
    }
    assert_eq!(office.letters().await.len(), 3, "of somebody's three, and of nobody's none");
    // The address has asked eight times; it may twenty-two times more.
    for turn in 0..22 {
        assert_eq!(ask(&browser, &format!("guess{turn}")).await.status, 200, "{turn}");
    }
    assert_eq!(ask(&browser, "somebody-else").await.status, 429);
    let page = browser.sign_in_page("app", &[]).await;
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
    office.world.advance(Duration::from_secs(15 * 60));
    assert_eq!(ask(&browser, "ada@example.org").await.status, 200);
}

async fn the_letter_is_in_the_language_of_the_page(world: World) {
    let office = Office::open(world);
    let browser = office.world.browser();
    let request = || TestRequest::default().insert_header(("accept-language", "de-CH, en;q=0.5"));
    let page = browser.send(request().uri("/recover")).await;
    assert!(page.body.contains("Passwort vergessen?"), "{}", page.body);
    let form = [("form_token", page.field("form_token")), ("username", "ada@example.org".to_owned())];
    let post = request().method(actix_web::http::Method::POST).uri("/recover").set_form(form);
    let sent = browser.send(post.insert_header(("origin", world::ISSUER))).await;
    assert!(sent.body.contains("Bitte sehen Sie in Ihre Mail"), "{}", sent.body);
    assert_eq!(office.letters().await.remove(0).subject, "Ein neues Passwort für id.example.org");
}

async fn a_form_of_another_browser_asks_nothing(world: World) {
    let office = Office::open(world);
    let form_token = office.world.browser().get("/recover").await.field("form_token");
    let form = [("form_token", form_token.as_str()), ("username", "ada@example.org")];
    assert_eq!(office.world.browser().post("/recover", &form).await.status, 403);
    assert!(office.letters().await.is_empty());
}

async fn where_no_mail_is_set_up_nobody_is_led_to_ask(world: World) {
    let browser = world.browser();
    assert_eq!(browser.get("/recover").await.status, 404);
    let page = browser.sign_in_page("app", &[]).await;
    assert!(!page.body.contains("/recover"));
    let form_token = page.field("form_token");
    let form = [("form_token", form_token.as_str()), ("username", "ada@example.org")];
    assert_eq!(browser.post("/recover", &form).await.status, 404);
    let office = Office::open(world);
    let page = office.world.browser().sign_in_page("app", &[]).await;
    assert!(
        page.body.contains("<a class=\"back\" href=\"/recover\">Forgot your password?</a>"),
        "{}",
        page.body
    );
}

/// As after any sign-in with a password: the letter proved one mail box.
async fn a_password_from_a_letter_is_one_factor_and_the_second_is_asked_for(world: World) {
    let seed = world.give_totp().await;
    let office = Office::open(world);
    let world = &office.world;
    office.letters().await;
    ask(&world.browser(), "ada@example.org").await;
    let recovery = path_in(&office.letters().await.remove(0));
    for by_recovery in [true, false] {
        let browser = world.browser();
        let invitation = async || super::world::invite(world).await.expose().clone();
        let path =
            if by_recovery { recovery.clone() } else { format!("/invitation?token={}", invitation().await) };
        let page = browser.get(&path).await;
        assert_eq!(set_password(&browser, &page, NEW).await.status, 200);
        assert!(browser.session().is_none(), "a password was set, nobody is signed in");
        let page = browser.sign_in_page("moderate", &[]).await;
        let step = browser.step_page(&browser.enter(&page, "ada@example.org", NEW).await).await;
        for path in ["/enrol?way=totp&to=add-totp", "/enrol?way=passkey&to=add-passkey"] {
            let on = browser.get(path).await;
            assert!(on.location().starts_with("/step-up?"), "{path}: {}", on.location());
        }
        browser.step(&step, "totp", &world.code_of(&seed)).await.code();
        world.advance(Duration::from_secs(30));
    }
}
