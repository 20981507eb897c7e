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
        "backchannel_logout_uri = \"{}\"\nbackchannel_logout_session_required = true\n",
        apache.backchannel_logout_uri()
    );
    let secret = declare(stage, "apache", &apache.redirect_uri(), &hears).await;
    apache.start(&program, stage.house.issuer.as_str(), "apache", &secret).await;
    let (mira, _) = join(stage, "Mira").await;

    let mut browser = stage.browser();
    let page = browser.get(&apache.page()).await.unwrap();
    let form = page.form_with("password").unwrap_or_else(|error| panic!("{error}: {}", apache.log()));
    let page = browser
        .submit(&form, &[("username", mira.user_name.as_str()), ("password", PASSWORD)])
        .await
        .unwrap();
    assert_eq!(
        (page.url.as_str(), page.text().trim()),
        (apache.page().as_str(), Apache::INSIDE),
        "{}",
        apache.log()
    );

    let first = refreshed(&mut browser, &apache).await;
    let second = refreshed(&mut browser, &apache).await;
    assert_eq!(second["id_token"]["sub"], mira.id, "{second}");
    for token in ["access_token", "refresh_token"] {
        assert!(second[token].is_string() && first[token] != second[token], "{token}: {}", apache.log());
    }

    stage.hr.end_employment(&mira.id).await.unwrap();
    let mut browser = Some(browser);
    until("Apache asks for a sign-in again", async || {
        let mut asking = browser.take().unwrap();
        let page = asking.get(&apache.page()).await.unwrap();
        browser = Some(asking);
        page.form_with("password").is_ok().then_some(())
    })
    .await;
    until("Apache was told, and did not only ask", async || apache.was_told().then_some(())).await;
}

async fn refreshed(browser: &mut Browser, apache: &Apache) -> Value {
    let page = browser.get(&apache.refreshed()).await.unwrap();
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{}: {}", page.body, apache.log()))
}
