//! What policy says at a sign-in.

use std::time::Duration;

use directory::group::{self, GroupProfile};
use directory::user::Profile;
use serde_json::json;
use store::{Ephemeral, Origin};

use super::world::profile;
use super::*;
use crate::Settings;

on_both_engines! {
    an_application_that_needs_more_than_a_password_says_so_and_why,
    a_session_that_is_too_weak_for_one_application_is_good_for_another,
    policy_decides_anew_each_time,
    acr_is_the_wish_that_was_satisfied_or_the_rung_reached,
    a_policy_that_changed_since_the_code_was_given_counts_when_it_is_presented,
    when_a_code_is_presented_policy_hears_where_the_person_was_and_what_was_proven,
    policy_knows_the_groups_within_groups_and_the_kind_of_employment,
    a_browser_is_known_to_be_somebodys_after_a_sign_in_and_nobody_elses,
    three_failed_attempts_just_now_stand_against_adding_a_factor,
    three_failed_attempts_just_now_make_a_sign_in_unusual_for_a_quarter_of_an_hour,
}

async fn an_application_that_needs_more_than_a_password_says_so_and_why(world: World) {
    let browser = world.browser();
    world.set_policies(NO_ENROLMENT);
    let page = browser.sign_in_page("vault", &[]).await;
    let answer = browser.enter(&page, "ada@example.org", PASSWORD).await;
    assert_eq!((answer.status, answer.header("location")), (403, ""));
    assert!(
        answer.body.contains("This critical application needs a phishing-resistant sign-in."),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("Two factors that resist phishing"), "{}", answer.body);
    assert!(
        answer.body.contains("https://vault.example.org/callback?error=access_denied"),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("Ask your administrator"), "{}", answer.body);
    assert!(browser.session().is_some(), "the password was right, and is enough for other applications");
    let refused = world.facts("sign-in.refused").await;
    let (subject, actor, body) = &refused[0];
    assert_eq!(*subject, format!("user:{}", world.ada));
    assert_eq!(*actor, format!("user:{}", world.ada));
    assert_eq!((&body["reason"], &body["client"]), (&json!("assurance-too-low"), &json!("vault")));
    assert!(body["because"].to_string().contains("sign-in.critical: This critical"), "{body}");
}

async fn a_session_that_is_too_weak_for_one_application_is_good_for_another(world: World) {
    let browser = world.browser();
    world.set_policies(NO_ENROLMENT);
    browser.sign_in("app", &[]).await.code();
    assert_eq!(browser.authorize("vault", &[]).await.status, 403);
    let silent = browser.authorize("vault", &[("prompt", "none")]).await;
    assert_eq!(silent.sent("error").as_deref(), Some("interaction_required"));
    browser.authorize("app", &[("prompt", "none")]).await.code();
    assert_eq!(world.facts("sign-in.refused").await.len(), 2);
}

async fn policy_decides_anew_each_time(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    world.set_policies(
        r#"@id("not-ada") @because("Grid Operations does not use this.")
        forbid (principal in Department::"Grid Operations", action == Action::"signIn", resource == Client::"app");"#,
    );
    let page = browser.authorize("app", &[]).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("Grid Operations does not use this."), "{}", page.body);
    assert!(!page.body.contains("What it needs"), "no assurance would help: {}", page.body);
    let silent = browser.authorize("app", &[("prompt", "none")]).await;
    assert_eq!(silent.sent("error").as_deref(), Some("access_denied"));
    browser.authorize("spa", &[]).await.code();
    world
        .policies
        .send_replace(std::sync::Arc::new(::policy::Policies::parse(&[::policy::BASELINE]).unwrap()));
    browser.authorize("app", &[]).await.code();
}

async fn acr_is_the_wish_that_was_satisfied_or_the_rung_reached(world: World) {
    let browser = world.browser();
    for wish in ["aal1", "aal2", "phr aal1", "urn:example:silver"] {
        let code = browser.sign_in("app", &[("acr_values", wish), ("prompt", "login")]).await.code();
        let tokens = world.redeem(&code).await.json();
        let (_, claims) = super::world::claims(tokens["id_token"].as_str().unwrap());
        assert_eq!(claims["acr"], json!("aal1"), "{wish}");
    }
}

/// A policy under which nobody adds anything to sign in with.
const NO_ENROLMENT: &str = r#"@id("no-enrolment") @because("Keys are handed out at the desk.")
    forbid (principal, action == Action::"enrol", resource);"#;

/// A policy that forbids the application to Ada's department.
const NOT_HERS: &str = r#"@id("not-hers") @because("Grid Operations does not use this any more.")
    forbid (principal in Department::"Grid Operations", action == Action::"signIn", resource);"#;

async fn a_policy_that_changed_since_the_code_was_given_counts_when_it_is_presented(world: World) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let token = world.redeem(&browser.authorize("app", &[]).await.code()).await.json();
    world.set_policies(NOT_HERS);
    let refused = world.redeem(&code).await;
    assert_eq!(refused.error(), (400, "invalid_grant".into()));
    let (subject, actor, body) = world.facts("sign-in.refused").await.pop().unwrap();
    assert_eq!((subject, actor.as_str()), (format!("user:{}", world.ada), "client:app"));
    assert_eq!((&body["reason"], &body["client"]), (&json!("denied-by-policy"), &json!("app")));
    assert!(body["because"].to_string().contains("not-hers"), "{body}");
    assert_eq!(world.facts("grant.ended").await.pop().unwrap().2["reason"], "denied-by-policy");
    world
        .policies
        .send_replace(std::sync::Arc::new(::policy::Policies::parse(&[::policy::BASELINE]).unwrap()));
    assert_eq!(world.redeem(&code).await.error(), (400, "invalid_grant".into()), "it is used up");
    assert_eq!(world.userinfo(token["access_token"].as_str().unwrap()).await.status, 200, "others stay");
}

async fn when_a_code_is_presented_policy_hears_where_the_person_was_and_what_was_proven(world: World) {
    // The application's server is somewhere else than the browser was.
    let settings =
        Settings { internal_networks: web::Networks::parse(&["10.0.0.0/8"]).unwrap(), ..Settings::default() };
    let (ephemeral, hasher) = (Ephemeral::in_memory(world.ctx.clone()), world.hasher.clone());
    let world = world.rebuilt(ephemeral, hasher, settings);
    world.set_policies(
        r#"@id("inside") @because("Only from inside.")
        forbid (principal, action == Action::"signIn", resource) when { context.network == Network::"remote" };"#,
    );
    let browser = world.browser();
    browser.address.set(Some("10.1.2.3".parse().unwrap()));
    let code = browser.sign_in("app", &[]).await.code();
    assert_eq!(world.redeem(&code).await.status, 200, "the person was inside");
    let code = browser.authorize("app", &[]).await.code();
    world.set_policies(
        r#"@id("two") @because("Two factors from now on.")
        forbid (principal, action == Action::"signIn", resource) unless { context.assurance >= 2 };"#,
    );
    assert_eq!(world.redeem(&code).await.error(), (400, "invalid_grant".into()));
    let refused = world.facts("sign-in.refused").await.pop().unwrap().2;
    assert_eq!(refused["reason"], "assurance-too-low");
    browser.address.set(Some("192.0.2.1".parse().unwrap()));
    assert!(browser.authorize("app", &[]).await.location().starts_with("/enrol?"));
}

async fn policy_knows_the_groups_within_groups_and_the_kind_of_employment(world: World) {
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    let group =
        |name: &str| GroupProfile { display_name: name.into(), external_id: None, document: "{}".into() };
    let inner = group::create(&mut tx, &group("Inner"), &[world.ada.to_string()]).await.unwrap();
    let outer = group::create(&mut tx, &group("Outer"), &[inner.id.to_string()]).await.unwrap();
    tx.commit().await.unwrap();
    world.change_ada(Profile { document: r#"{"userType":"Contractor"}"#.into(), ..profile() }).await;
    let browser = world.browser();
    let id = outer.id.to_string();
    for condition in [
        r#"principal in Group::"Inner", action == Action::"signIn", resource) when { true"#.to_owned(),
        r#"principal in Group::"Outer", action == Action::"signIn", resource) when { true"#.to_owned(),
        format!(r#"principal in Group::"{id}", action == Action::"signIn", resource) when {{ true"#),
        r#"principal, action == Action::"signIn", resource) when { principal has employee_type && principal.employee_type == "Contractor""#
            .to_owned(),
    ] {
        world.set_policies("");
        browser.sign_in("app", &[("prompt", "login")]).await.code();
        world.set_policies(&format!(r#"@id("x") @because("No.") forbid ({condition} }};"#));
        assert_eq!(browser.authorize("app", &[]).await.status, 403, "{condition}");
    }
}

async fn a_browser_is_known_to_be_somebodys_after_a_sign_in_and_nobody_elses(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    world.set_policies(
        r#"@id("known") @because("Only from a browser that we know.")
        forbid (principal, action == Action::"signIn", resource) unless { context.device_known };"#,
    );
    let enter = async |browser: &Browser<'_>, user_name: &str| {
        browser.cookies.borrow_mut().remove("__Host-cardea-session");
        let page = browser.sign_in_page("app", &[]).await;
        browser.enter(&page, user_name, PASSWORD).await
    };
    enter(&browser, "ada@example.org").await.code();
    let new = world.browser();
    for (who, from) in [("ada@example.org", &new), ("bo@example.org", &browser)] {
        let refused = enter(from, who).await;
        assert_eq!(refused.status, 403, "{who}");
        assert!(refused.body.contains("Only from a browser that we know."), "{}", refused.body);
    }
    // What somebody made up opens nothing either.
    new.cookies.borrow_mut().insert("__Host-cardea-device".into(), "s1.made.up".into());
    assert_eq!(enter(&new, "ada@example.org").await.status, 403);
    let cookie = browser.cookies.borrow()["__Host-cardea-device"].clone();
    new.cookies.borrow_mut().insert("__Host-cardea-device".into(), cookie);
    enter(&new, "ada@example.org").await.code();
}

async fn three_failed_attempts_just_now_stand_against_adding_a_factor(world: World) {
    let guess = async || {
        let browser = world.browser();
        let page = browser.sign_in_page("app", &[]).await;
        assert_eq!(browser.enter(&page, "Ada@example.org", "wrong").await.status, 422);
    };
    let adding = async || {
        let browser = world.browser();
        let page = browser.get(browser.get("/enrol?way=totp&to=add-totp").await.location()).await;
        browser.enter(&page, "ada@example.org", PASSWORD).await
    };
    guess().await;
    guess().await;
    assert_eq!(adding().await.location(), "/enrol?way=totp&to=add-totp", "that happens to anybody");
    guess().await;
    let refused = adding().await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("Several attempts to sign in to this account failed"), "{}", refused.body);
    let facts = world.facts("sign-in.refused").await;
    assert!(facts.iter().any(|(.., body)| body["because"].to_string().contains("enrol.after-failures")));
    world.advance(Duration::from_secs(15 * 60));
    assert_eq!(adding().await.location(), "/enrol?way=totp&to=add-totp");
}

async fn three_failed_attempts_just_now_make_a_sign_in_unusual_for_a_quarter_of_an_hour(world: World) {
    let seed = world.give_totp().await;
    world.set_policies(
        r#"@id("calm") @because("Somebody tries passwords at this account.")
        @because_de("Jemand probiert bei diesem Konto Passwörter.")
        forbid (principal, action == Action::"signIn", resource)
        unless { context.risk <= 1 || context.assurance >= 2 };"#,
    );
    // The owner's success after the second forgives none of them.
    for (failures, later, unusual) in [(2, 0, false), (1, 0, true), (0, 15 * 60 - 1, true), (0, 1, false)] {
        let guesser = world.browser();
        let page = guesser.sign_in_page("app", &[]).await;
        for _ in 0..failures {
            assert_eq!(guesser.enter(&page, "ada@example.org", "wrong").await.status, 422);
        }
        world.advance(Duration::from_secs(later));
        let browser = world.browser();
        let answer = browser.sign_in("app", &[("ui_locales", "de")]).await;
        let expect = if unusual { "/step-up?" } else { CALLBACK };
        assert!(answer.location().starts_with(expect), "{failures} {later}: {}", answer.location());
        if unusual {
            let page = browser.step_page(&answer).await;
            assert!(page.body.contains("Jemand probiert bei diesem Konto Passwörter."), "{}", page.body);
            browser.step(&page, "totp", &world.code_of(&seed)).await.code();
        }
        let bo = world.browser();
        let page = bo.sign_in_page("app", &[]).await;
        bo.enter(&page, "bo@example.org", PASSWORD).await.code();
    }
    let renewed = world.facts("session.renewed").await;
    let because = renewed[0].2["because"].to_string();
    assert!(because.contains("calm: Somebody tries"), "{because}: facts keep the policy's own words");
}
