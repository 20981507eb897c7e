//! Apache with `mod_auth_openidc` as the application.

use serde_json::Value;
use sim::browser::Browser;
use world::{Apache, Scene, parts, skip, until};

use crate::steps::{PASSWORD, declare, join};

journeys!(mod_auth_openidc_signs_in_refreshes_and_is_told_of_the_end);

async fn mod_auth_openidc_signs_in_refreshes_and_is_told_of_the_end(scene: &Scene) {
    let Some(program) = parts::apache() else { skip!("{}", parts::NO_APACHE) };
    let stage = &scene.stage;
    let mut apache = Apache::new();
    // The module knows a session by its sid alone.
    let hears = format!(
        "backchannel_logout_uri = \"{}\"\nbackchannel_logout_session_required = true\n\
         post_logout_redirect_uris = [\"{}\"]\n",
        apache.backchannel_logout_uri(),
        apache.outside()
    );
    let secret = declare(stage, "apache", &apache.redirect_uri(), &hears).await;
    apache.start(&program, stage.house.issuer.as_str(), "apache", &secret).await;
    let (mira, _) = join(stage, "Mira").await;

    let mut browser = stage.browser();
    sign_in(&apache, &mut browser, &mira.user_name).await;
    let again = browser.get(&apache.page()).await.unwrap();
    assert_eq!(again.trail.len(), 1, "it has a session of its own: {:?}", again.trail);

    let first = refreshed(&mut browser, &apache).await;
    let second = refreshed(&mut browser, &apache).await;
    assert_eq!(second["id_token"]["sub"], mira.id, "{second}");
    for token in ["access_token", "refresh_token"] {
        assert!(second[token].is_string() && first[token] != second[token], "{token}: {}", apache.log());
    }

    // Whoever signs out here is signed out at the other application, too.
    stage.app.sign_in(&mut browser, &mira.user_name, PASSWORD).await.unwrap();
    let page = browser.get(&apache.sign_out()).await.unwrap();
    assert_eq!(page.url.as_str(), apache.outside(), "{}", page.text());
    until("the other application was told", async || stage.app.session_of(&browser)?.ended).await;
    // It is itself told, too, and may say that it has no such session any more.
    until("Apache was told", async || (apache.logouts().len() == 1).then_some(())).await;

    sign_in(&apache, &mut browser, &mira.user_name).await;
    stage.hr.end_employment(&mira.id).await.unwrap();
    until("Apache asks for a sign-in again", async || {
        browser.get(&apache.page()).await.unwrap().form_with("password").ok()
    })
    .await;
    let told = apache.logouts();
    assert!(told.len() > 1 && told[1..].iter().all(|status| status == "200"), "it was told: {told:?}");
}

/// From the protected page through the provider's and back.
async fn sign_in(apache: &Apache, browser: &mut Browser, user_name: &str) {
    let page = browser.get(&apache.page()).await.unwrap();
    let form = page.form_with("password").unwrap_or_else(|error| panic!("{error}: {}", apache.log()));
    let page = browser.submit(&form, &[("username", user_name), ("password", PASSWORD)]).await.unwrap();
    let seen = (page.url.as_str(), page.text());
    assert_eq!(seen, (apache.page().as_str(), Apache::INSIDE.to_owned()), "{}", apache.log());
}

async fn refreshed(browser: &mut Browser, apache: &Apache) -> Value {
    let page = browser.get(&apache.refreshed()).await.unwrap();
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{}: {}", page.body, apache.log()))
}
