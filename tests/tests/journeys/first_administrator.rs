//! From an empty folder to the first administrator, and to an application of somebody else, in a real browser: the link
//! that `cardea serve` prints, the key that administrators begin with, the question what others may know.

use std::fs;
use std::sync::Arc;

use kernel::{Clock as _, SystemClock, Token};
use sim::relying_party::{Registration, RelyingParty, RelyingPartyOptions};
use world::{Chromium, Served, parts, skip, until};

use crate::steps::PASSWORD;
use crate::walker::{PASSKEY, PASSWORD_FIELD, SIGN_OUT_OF_APP, USER_NAME};

const DENY: &str = "button[value=deny]";
const ALLOW: &str = "button[value=allow]";
const APP: &str = "roster";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    begin("files", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let Some(database) = parts::postgres() else { skip!("{}", parts::NO_POSTGRES) };
    begin("servers", Some(database.url())).await;
}

async fn begin(engines: &str, postgres: Option<&str>) {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let Some(driver) = parts::chromedriver() else { skip!("{}", parts::NO_CHROMIUM) };
    let mut house = Served::empty(&binary).await;
    house.must(&["init", &house.path(""), "--issuer", &house.issuer]).await;
    if let Some(url) = postgres {
        house.write("postgres.url", url);
        let config = fs::read_to_string(house.config()).unwrap();
        let other = config.replace("#: [database.postgres]\n#: url_file", "[database.postgres]\nurl_file");
        assert_ne!(other, config, "the sample says no more how PostgreSQL is named");
        house.write("cardea.toml", &other);
    }
    let now: sim::Now = Arc::new(|| SystemClock.now().to_jiff().unwrap());
    let app = RelyingParty::start(RelyingPartyOptions::new("Roster of Others", now)).await.unwrap();
    let secret = declare(&house, &app).await;
    house.serve().await;
    let registration = Registration {
        issuer: house.issuer.clone(),
        client_id: APP.into(),
        client_secret: Some(secret),
        scopes: vec!["profile".into(), "email".into()],
    };
    app.connect(registration).await.unwrap();
    let browser = Chromium::open(&driver, &format!("first administrator on {engines}")).await;
    browser
        .walk(async |browser| {
            let link = link_in(&house).await;
            set_up(browser, &house, &link).await;
            is_asked(browser, &house, &app).await;
            takes_it_back(browser, &house, &app).await;
        })
        .await;
    // Somebody administers: nobody else is offered to.
    assert_eq!(house.stop().await, Some(0));
    house.serve().await;
    assert_eq!(house.said().matches("/set-up?token=").count(), 1, "{}", house.said());
}

/// An application that is not the organisation's own.
async fn declare(house: &Served, app: &RelyingParty) -> String {
    let secret = Token::generate(&kernel::Ctx::system(), "app").expose().clone();
    house.write("roster.secret", &secret);
    let declaration = format!(
        "[client.{APP}]\nname = \"{}\"\nsecret_file = \"roster.secret\"\nredirect_uris = [\"{}\"]\n\
         sensitivity = \"low\"\nthird_party = true\n",
        app.name(),
        app.redirect_uri(),
    );
    house.write("roster.toml", &declaration);
    house.must(&["apply", "--yes", &house.path("roster.toml")]).await;
    secret
}

async fn link_in(house: &Served) -> String {
    until("a link to become the first administrator", async || {
        house.said().lines().find(|line| line.contains("/set-up?token=")).map(str::to_owned)
    })
    .await
}

async fn set_up(browser: &mut Chromium, house: &Served, link: &str) {
    assert!(link.starts_with(&format!("{}/set-up?token=", house.issuer)), "{link}");
    assert!(!house.log().contains("/set-up?token="), "the link is in the log, which travels");
    browser.open_url(link).await;
    browser.fill("input[name=display_name]", "Ida Founder").await;
    browser.fill("input[name=email]", "ida@grid.example").await;
    browser.fill(USER_NAME, "ida").await;
    browser.fill(PASSWORD_FIELD, PASSWORD).await;
    browser.fill("input[name=password_again]", PASSWORD).await;
    browser.step("the first administrator").await;
    let authenticator = browser.plug_in_authenticator().await;
    browser.click("form[action='/set-up'] button").await;
    browser.arrives_at(&format!("{}/enrol", house.issuer)).await;
    browser.fill("form[data-passkey] input[name=name]", "key of the founder").await;
    browser.step("a key to begin with").await;
    browser.click(PASSKEY).await;
    browser.arrives_at(&format!("{}/account/methods", house.issuer)).await;
    browser.says("key of the founder").await;
    browser.step("the key is added").await;
    assert_eq!(authenticator.credentials().await.len(), 1);
    browser.open_url(link).await;
    assert!(!browser.has("form[action='/set-up']").await, "the link works twice");
    browser.step_with("the link is good once", &[404]).await;
}

async fn is_asked(browser: &mut Chromium, house: &Served, app: &RelyingParty) {
    let asked = format!("{}/consent", house.issuer);
    browser.open_url(app.home().join("sign-in").unwrap().as_str()).await;
    browser.arrives_at(&asked).await;
    browser.says(app.name()).await;
    browser.says("Ida Founder").await;
    browser.step("what others may know").await;
    browser.click(DENY).await;
    browser.arrives_at(app.home().as_str()).await;
    assert!(!browser.has(SIGN_OUT_OF_APP).await, "nobody allowed that");
    assert!(app.sessions().is_empty());
    browser.step_with("not allowed", &[403]).await;
    browser.open_url(app.home().join("sign-in").unwrap().as_str()).await;
    browser.arrives_at(&asked).await;
    browser.click(ALLOW).await;
    browser.arrives_at(app.home().as_str()).await;
    browser.shows(SIGN_OUT_OF_APP).await;
    browser.step("allowed").await;
    browser.open_url(app.home().join("sign-in").unwrap().as_str()).await;
    browser.arrives_at(app.home().as_str()).await;
    browser.shows(SIGN_OUT_OF_APP).await;
}

async fn takes_it_back(browser: &mut Chromium, house: &Served, app: &RelyingParty) {
    browser.open_url(&format!("{}/account/apps", house.issuer)).await;
    browser.says(app.name()).await;
    browser.step("an application of others in the account").await;
    browser.click("form[action='/account/apps'] button").await;
    let gone = async || (!browser.has("form[action='/account/apps']").await).then_some(());
    until("the consent taken back", gone).await;
    browser.open_url(app.home().as_str()).await;
    browser.shows("a[href='/sign-in']").await;
    browser.step_with("what was granted is over", &[403]).await;
    browser.open_url(app.home().join("sign-in").unwrap().as_str()).await;
    browser.arrives_at(&format!("{}/consent", house.issuer)).await;
    browser.step("asked anew").await;
}
