//! What policy says at a sign-in.

use serde_json::json;

use super::*;

#[actix_web::test]
async fn an_application_that_needs_more_than_a_password_says_so_and_why() {
    let world = World::new().await;
    let browser = world.browser();
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
    assert_eq!(browser.session(), None, "nobody is signed in by halves");
    let refused = world.facts("sign-in.refused").await;
    let (subject, actor, body) = &refused[0];
    assert_eq!(*subject, format!("user:{}", world.ada));
    assert_eq!(*actor, format!("user:{}", world.ada));
    assert_eq!((&body["reason"], &body["client"]), (&json!("assurance-too-low"), &json!("vault")));
    assert!(body["because"].to_string().contains("sign-in.critical: This critical"), "{body}");
}

#[actix_web::test]
async fn a_session_that_is_too_weak_for_one_application_is_good_for_another() {
    let world = World::new().await;
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    assert_eq!(browser.authorize("vault", &[]).await.status, 403);
    let silent = browser.authorize("vault", &[("prompt", "none")]).await;
    assert_eq!(silent.sent("error").as_deref(), Some("interaction_required"));
    browser.authorize("app", &[("prompt", "none")]).await.code();
    assert_eq!(world.facts("sign-in.refused").await.len(), 2);
}

#[actix_web::test]
async fn policy_decides_anew_each_time() {
    let world = World::new().await;
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

#[actix_web::test]
async fn acr_is_the_wish_that_was_satisfied_or_the_rung_reached() {
    let world = World::new().await;
    let browser = world.browser();
    for wish in ["aal1", "aal2", "phr aal1", "urn:example:silver"] {
        let code = browser.sign_in("app", &[("acr_values", wish), ("prompt", "login")]).await.code();
        let tokens = world.redeem(&code).await.json();
        let (_, claims) = super::world::claims(tokens["id_token"].as_str().unwrap());
        assert_eq!(claims["acr"], json!("aal1"), "{wish}");
    }
}
