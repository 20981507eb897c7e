//! A newcomer walks the demo in a real browser by its pages alone: from the live page through letter, apps and door,
//! and back to it, which tells of everything as it happens.

use reqwest::Method;
use serde_json::{Value, json};
use server::live::{Live, Play};
use server::stage::StageOptions;
use sim::relying_party::RelyingParty;
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::{RequestData, SessionId};
use web::Locale;
use world::{Chromium, parts, skip, until};

use crate::live::Shown;
use crate::walker::{PASSKEY, Walker};

/// The button with which a card is shown at the door that opens for it.
const DOOR: &str = "article form:has(input[value='control-room-door']) button";
const END: &str = "article form[action='/end'] button";
/// How many places somebody is signed in at.
const SIGNED_IN: &str = "return document.querySelectorAll('article .where li:not(.over)').length";
/// How many red lines are drawn to their end.
const RED_LINES: &str = "\
    const crossed = [...document.querySelectorAll('article .revoked .number, article .over .at')];\
    const whole = (one) => getComputedStyle(one, '::after').transform === 'matrix(1, 0, 0, 1, 0, 0)';\
    return crossed.filter(whole).length";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_in_chromium_walks_the_demo_by_its_pages_on_sqlite() {
    by_its_pages(StageOptions { mail: true, ..StageOptions::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_in_chromium_walks_the_demo_by_its_pages_on_postgres() {
    let (Some(database), Some(keyspace)) = (parts::postgres(), parts::redis()) else {
        skip!("{}", world::NO_ENGINES)
    };
    let (postgres, redis) = (Some(database.url().to_owned()), Some(keyspace.url().to_owned()));
    by_its_pages(StageOptions { mail: true, postgres, redis, ..StageOptions::default() }).await;
}

async fn by_its_pages(options: StageOptions) {
    let Some(driver) = parts::chromedriver() else { skip!("{}", parts::NO_CHROMIUM) };
    let engines = if options.postgres.is_some() { "servers" } else { "files" };
    let shown = Shown::open(options).await;
    let browser = Chromium::open(&driver, &format!("newcomer on {engines}")).await;
    browser
        .walk(async |browser| {
            let person = Play::first_person();
            let mut newcomer = Walker { browser, stage: &shown.stage, person };
            newcomer.walk_the_demo(&shown.live).await;
        })
        .await;
    everybody_finds_the_way_on_it(&shown.live).await;
    shown.close().await;
}

impl Walker<'_> {
    async fn walk_the_demo(&mut self, live: &Live) {
        self.be_hired(live).await;
        self.open_the_letter().await;
        self.choose_password().await;
        self.enter_both_apps(live).await;

        self.open_live_page(live).await;
        until("the provider and both apps", async || {
            (self.browser.ask::<usize>(SIGNED_IN).await == 3).then_some(())
        })
        .await;
        self.walk_through_the_door().await;
        self.lose_everything().await;
        self.try_the_door_again().await;
        self.is_still_on_the_page().await;
        self.show_how_it_ended().await;
    }

    async fn open_live_page(&self, live: &Live) {
        self.browser.open_url(live.home()).await;
        // Gone as soon as the page is loaded anew.
        let marked: bool = self.browser.ask("return window.isStillHere = true").await;
        assert!(marked);
    }

    async fn is_still_on_the_page(&self) {
        let is_there: bool = self.browser.ask("return window.isStillHere === true").await;
        assert!(is_there, "a button loaded the page, or the page loaded itself");
    }

    async fn be_hired(&mut self, live: &Live) {
        self.open_live_page(live).await;
        assert!(!self.browser.has("article").await, "somebody works here already");
        self.browser.step("nobody works here yet").await;
        self.browser.click("form[action='/hire'] button").await;
        self.browser.shows(END).await;
        self.browser.says("on the list").await;
        self.browser.says(&format!("Mailbox of {}: 1", self.person.display_name())).await;
        self.is_still_on_the_page().await;
        self.browser.step("hired, with a card and a letter").await;
    }

    async fn open_the_letter(&mut self) {
        self.browser.click("article a[href*='?to=']").await;
        self.browser.click("a[href^='/letters/']").await;
        // The letter stands in a frame in which nothing runs, a driver's scripts neither. Below it stands its text.
        self.browser.click("summary").await;
        let link = "pre a[href*='/invitation?token=']";
        self.browser.shows(link).await;
        self.browser.step("the letter").await;
        self.browser.click(link).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/invitation")).await;
    }

    /// By the way there that the live page shows.
    async fn go_from_live_page_to(&self, app: &RelyingParty, live: &Live) {
        self.browser.open_url(live.home()).await;
        self.browser.click(&format!("nav a[href='{}']", app.home())).await;
        self.browser.click("a[href='/sign-in']").await;
    }

    async fn enter_both_apps(&mut self, live: &Live) {
        self.go_from_live_page_to(&self.stage.app, live).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/sign-in")).await;
        self.give_password().await;
        self.arrives_in(&self.stage.app).await;
        self.browser.step("signed in at the low app").await;

        // The password was given and is not enough: nobody has to look for where a passkey is added.
        let authenticator = self.browser.plug_in_authenticator().await;
        self.go_from_live_page_to(&self.stage.control, live).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/enrol")).await;
        self.browser.fill("form[data-passkey] input[name=name]", "my laptop").await;
        self.browser.step("the critical app leads to a passkey").await;
        self.browser.click(PASSKEY).await;
        self.arrives_in(&self.stage.control).await;
        assert_eq!(authenticator.credentials().await.len(), 1);
        let said = self.browser.text().await;
        assert!(said.contains("phr"), "a phishing-resistant sign-in: {said}");
        self.browser.step("signed in at the critical app").await;
    }

    async fn walk_through_the_door(&mut self) {
        self.browser.click(DOOR).await;
        self.browser.says("card: the control room door opens.").await;
        // The door's own word, too.
        self.browser.says("The control room door opens for").await;
        self.browser.step("the door opens").await;
    }

    async fn lose_everything(&mut self) {
        self.browser.click(END).await;
        self.browser.shows("article .card.revoked").await;
        until("a red line through the card at both door systems and both apps", async || {
            (self.browser.ask::<usize>(RED_LINES).await == 4).then_some(())
        })
        .await;
        let said = self.browser.text().await;
        assert_eq!(said.matches("by logout token").count(), 2, "both apps heard it by themselves: {said}");
        // The last that changes by itself: from here on no button moves before it is pressed.
        self.browser.says("2 of 2 proven").await;
        self.browser.step("the red line").await;
    }

    async fn try_the_door_again(&mut self) {
        // A denial counts once the absence is watched, so its holder tries again.
        until("a denial that was seen", async || {
            self.browser.click(DOOR).await;
            self.browser.says("card: the control room door stays shut.").await;
            self.browser.text().await.contains("was seen to refuse the card of").then_some(())
        })
        .await;
        self.browser.step("the door stays shut").await;
    }

    /// To eyes of several kinds.
    async fn show_how_it_ended(&mut self) {
        for (scheme, width) in [("light", 1400), ("dark", 1400), ("light", 380)] {
            let page = self.browser.shows("main").await;
            for look in Look::of(scheme, width) {
                page.handle().cmd(look).await.unwrap();
            }
            until("nothing in motion", async || {
                let moving: usize = self.browser.ask("return document.getAnimations().length").await;
                (moving == 0).then_some(())
            })
            .await;
            self.browser.step(&format!("the end, {scheme}, {width} wide")).await;
        }
    }
}

/// A command of Chromium's own that changes how a page is looked at.
#[derive(Debug)]
struct Look {
    command: &'static str,
    params: Value,
}

impl Look {
    fn of(scheme: &str, width: u32) -> [Self; 2] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let is_phone = width < 600;
        // On a phone everything stands one under the other.
        let height = if is_phone { 3200 } else { 1200 };
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        [
            Self { command: "Emulation.setEmulatedMedia", params: json!({ "features": features }) },
            Self { command: "Emulation.setDeviceMetricsOverride", params: screen },
        ]
    }
}

impl FormatRequestData for Look {
    fn format_request(&self, session_id: &SessionId) -> RequestData {
        RequestData::new(Method::POST, format!("session/{session_id}/goog/cdp/execute"))
            .add_body(json!({ "cmd": self.command, "params": self.params }))
    }
}

/// In every language, judged by axe-core as every page is: `tests/clients/pages.mjs`. Opened as a file, the page hears
/// of nothing and says so, which is judged with it.
async fn everybody_finds_the_way_on_it(live: &Live) {
    let Some(clients) = parts::or_skip(parts::node_clients(), parts::NO_NODE_CLIENTS) else { return };
    let folder = tempfile::tempdir().unwrap();
    for locale in Locale::ALL {
        let asked = reqwest::Client::new().get(live.home()).header("accept-language", locale.tag());
        let page = asked.send().await.unwrap().text().await.unwrap();
        assert!(page.contains("class=\"card revoked\""), "{page}");
        let folder = folder.path().join(locale.tag());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("live.html"), page).unwrap();
    }
    let mut node = tokio::process::Command::new("node");
    let judged = node.arg(clients.join("pages.mjs")).arg(folder.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}{}", String::from_utf8_lossy(&judged.stderr));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["checked"], json!(2 * Locale::ALL.len()), "light and dark");
}
