//! A person's whole life in a real browser, with a passkey and without; and a sign-in with nothing but the keyboard.
//!
//! What a page looks like is nobody's business here: elements are found by the names of their fields and by where
//! they lead.

use std::time::Duration;

use server::stage::Stage;
use sim::hr::Person;
use sim::relying_party::RelyingParty;
use totp_rs::Totp;
use url::Url;
use world::{Chromium, MovableClock, Scene, VirtualAuthenticator, parts, skip, until};

use crate::steps::{PASSWORD, person};
use crate::walker::{PASSKEY, PASSWORD_FIELD, SIGN_OUT_OF_APP, USER_NAME, Walker};

journeys!(
    on StageOptions { mail: true, ..StageOptions::default() };
    a_person_in_chromium_from_invitation_to_leaving,
    a_sign_in_in_chromium_with_the_keyboard_alone,
);

const CODE: &str = "input[name=code]";

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
/// So many things to use may be on a page.
const MOST_STOPS: usize = 40;
/// Keeps all that can be used on the page, strikes out what gets the focus and shows it, and gives how many there are.
const WATCH: &str = "\
    const all = [...document.querySelectorAll('a[href],button,input,select,textarea,summary')];\
    const usable = all.filter((one) => one.checkVisibility() && !one.disabled && one.type !== 'hidden');\
    window.unreached = new Set(usable);\
    const strike = (one) => {\
        const style = getComputedStyle(one);\
        if (style.outlineStyle !== 'none' || style.boxShadow !== 'none') unreached.delete(one);\
    };\
    document.addEventListener('focusin', (event) => strike(event.target));\
    strike(document.activeElement);\
    return usable.length;";
/// What is left of it, as markup.
const UNREACHED: &str = "return [...window.unreached].map((one) => one.outerHTML)";

async fn a_person_in_chromium_from_invitation_to_leaving(scene: &Scene) {
    let Some(driver) = parts::chromedriver() else { skip!("{}", parts::NO_CHROMIUM) };
    let browser = Chromium::open(&driver, &name(scene, "life")).await;
    browser
        .walk(async |browser| {
            let mut walker = Walker { browser, stage: &scene.stage, person: person("Mira") };
            walker.life().await;
        })
        .await;
}

impl Walker<'_> {
    async fn life(&mut self) {
        let id = self.stage.hr.hire(&self.person).await.unwrap();
        self.accept_invitation().await;

        self.sign_in_at(&self.stage.app).await;
        self.browser.step("signed in at the low app").await;
        self.add_totp().await;
        let authenticator = self.browser.plug_in_authenticator().await;
        self.add_passkey().await;
        assert_eq!(authenticator.credentials().await.len(), 1);
        assert_eq!(authenticator.credentials().await[0]["isResidentCredential"], true);

        // The sign-in page asks for a passkey by itself, and the authenticator answers unless its owner is away.
        self.sign_out().await;
        authenticator.verify_owner(false).await;
        self.sign_in_at(&self.stage.app).await;
        self.browser.step("the low app asks for the password alone").await;
        authenticator.verify_owner(true).await;
        self.show_passkey_at(&self.stage.control).await;
        self.pass_without_a_question(&self.stage.app).await;

        self.sign_out().await;
        self.go_to_sign_in_of(&self.stage.control).await;
        self.arrives_in(&self.stage.control).await;
        self.browser.step("signed in by the passkey that the page asked for").await;
        self.pass_without_a_question(&self.stage.app).await;
        self.look_at_account().await;

        self.sign_out().await;
        authenticator.verify_owner(false).await;
        self.go_to_sign_in_of(&self.stage.control).await;
        self.press_passkey(&authenticator).await;
        self.arrives_in(&self.stage.control).await;
        self.pass_without_a_question(&self.stage.app).await;
        authenticator.verify_owner(false).await;
        self.leave(&id).await;
        self.is_refused(&authenticator).await;
    }

    async fn accept_invitation(&mut self) {
        let link = invitation(self.stage, &self.person).await;
        self.browser.open_url(link.as_str()).await;
        self.choose_password().await;
    }

    /// From the page of an app to the provider's.
    async fn go_to_sign_in_of(&mut self, app: &RelyingParty) {
        self.browser.open_url(app.home().as_str()).await;
        self.browser.click("a[href='/sign-in']").await;
    }

    async fn sign_in_at(&mut self, app: &RelyingParty) {
        self.go_to_sign_in_of(app).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/sign-in")).await;
        self.give_password().await;
        self.arrives_in(app).await;
    }

    async fn open_account(&self, path: &str) {
        self.browser.open_url(&self.stage.house.issuer.url(path)).await;
    }

    async fn add_totp(&mut self) {
        self.open_account("/account").await;
        self.browser.click("a[href='/account/methods']").await;
        self.browser.click("a[href*='to=add-totp']").await;
        let key = self.browser.shows("a[href^='otpauth:']").await.attr("href").await.unwrap().unwrap();
        self.browser.step("a key to scan").await;
        let app = Totp::from_url(&key).unwrap();
        self.browser.fill(CODE, &self.code_of(&app)).await;
        self.browser.click("form:has(input[name=code]) button").await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/account/methods")).await;
        self.browser.step("one-time codes added").await;
    }

    /// The house takes no code twice: each is one of a new half minute.
    fn code_of(&self, app: &Totp) -> String {
        let now = self.stage.ctx.now().as_secs();
        app.generate(u64::try_from(now).unwrap()).to_string()
    }

    async fn add_passkey(&mut self) {
        self.browser.click("a[href*='to=add-passkey']").await;
        self.browser.fill("form[data-passkey] input[name=name]", "my laptop").await;
        self.browser.click(PASSKEY).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/account/methods")).await;
        self.browser.says("my laptop").await;
        self.browser.step("a passkey added").await;
    }

    async fn sign_out(&mut self) {
        self.open_account("/logout").await;
        self.browser.step("the question whether to sign out").await;
        self.browser.click("form[action='/logout'] button").await;
        let gone = async || (!self.browser.has("form[action='/logout']").await).then_some(());
        until("the question answered", gone).await;
        // The apps heard it by themselves.
        for app in [&self.stage.app, &self.stage.control] {
            signed_out(app).await;
        }
        self.browser.step("signed out").await;
    }

    async fn show_passkey_at(&mut self, app: &RelyingParty) {
        self.go_to_sign_in_of(app).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/step-up")).await;
        self.browser.shows(PASSKEY).await;
        assert!(!self.browser.has(PASSWORD_FIELD).await, "the password was given");
        self.browser.step("the critical app asks for the passkey").await;
        self.browser.click(PASSKEY).await;
        self.arrives_in(app).await;
        let said = self.browser.text().await;
        assert!(said.contains("phr"), "a phishing-resistant sign-in: {said}");
        self.browser.step("signed in at the critical app").await;
    }

    async fn pass_without_a_question(&mut self, app: &RelyingParty) {
        // Whether the app has a session of its own or not, this asks the provider.
        self.browser.open_url(app.home().join("sign-in").unwrap().as_str()).await;
        self.arrives_in(app).await;
        self.browser.step(&format!("no question at {}", app.name())).await;
    }

    /// Nothing is typed: the passkey says who it is.
    async fn press_passkey(&mut self, authenticator: &VirtualAuthenticator) {
        self.browser.arrives_at(&self.stage.house.issuer.url("/sign-in")).await;
        self.browser.shows(PASSKEY).await;
        self.browser.step("the passkey's button").await;
        self.browser.click(PASSKEY).await;
        // Nobody was there.
        self.browser.shows("form[data-passkey] [role=alert]").await;
        self.browser.step("no passkey came").await;
        authenticator.verify_owner(true).await;
        self.browser.click(PASSKEY).await;
    }

    async fn look_at_account(&mut self) {
        for (path, says) in [
            ("/account", self.person.display_name()),
            ("/account/methods", "my laptop".into()),
            ("/account/sessions", "Chrom".into()),
            ("/account/apps", self.stage.app.name().into()),
            ("/account/apps", self.stage.control.name().into()),
        ] {
            self.open_account("/account").await;
            self.browser.click(&format!("a[href='{path}']")).await;
            self.browser.says(&says).await;
            self.browser.step(&format!("{} says {says}", path.replace('/', " "))).await;
        }
    }

    async fn leave(&mut self, id: &str) {
        self.stage.hr.end_employment(id).await.unwrap();
        self.open_account("/account").await;
        self.browser.shows(USER_NAME).await;
        self.browser.step("a leaver is signed out at the next page").await;
        for app in [&self.stage.app, &self.stage.control] {
            signed_out(app).await;
            self.browser.open_url(app.home().as_str()).await;
            self.browser.shows("a[href='/sign-in']").await;
            assert!(!self.browser.has(SIGN_OUT_OF_APP).await);
            self.browser.step(&format!("signed out of {}", app.name())).await;
        }
    }

    /// Neither password nor passkey opens anything again.
    async fn is_refused(&mut self, authenticator: &VirtualAuthenticator) {
        self.go_to_sign_in_of(&self.stage.app).await;
        self.give_password().await;
        self.browser.shows("[role=alert]").await;
        self.browser.shows(PASSWORD_FIELD).await;
        self.browser.step_with("the password of a leaver is refused", &[422]).await;

        // Else the authenticator would answer the page that refuses it, too, again and again.
        self.browser.forget_conditional_mediation().await;
        self.go_to_sign_in_of(&self.stage.app).await;
        authenticator.verify_owner(true).await;
        self.browser.click(PASSKEY).await;
        self.browser.shows(":not(form) > [role=alert]").await;
        self.browser.shows(PASSWORD_FIELD).await;
        self.browser.step_with("the passkey of a leaver is refused", &[422]).await;
    }
}

/// Every local session of an app is over.
async fn signed_out(app: &RelyingParty) {
    let over = async || app.sessions().iter().all(|local| local.ended.is_some()).then_some(());
    until(&format!("nobody signed in at {}", app.name()), over).await;
}

/// The link in the letter that HR's hiring caused.
async fn invitation(stage: &Stage, person: &Person) -> Url {
    let mail = stage.mail.as_ref().unwrap();
    let letter = until("an invitation", async || mail.letters_to(&person.email).into_iter().next()).await;
    let home = stage.house.issuer.as_str();
    letter.links().into_iter().find(|link| link.as_str().starts_with(home)).unwrap()
}

/// What pictures are called by: one folder for each pair of engines.
fn name(scene: &Scene, what: &str) -> String {
    format!("{what} on {}", scene.engines())
}

async fn a_sign_in_in_chromium_with_the_keyboard_alone(scene: &Scene) {
    let Some(driver) = parts::chromedriver() else { skip!("{}", parts::NO_CHROMIUM) };
    let browser = Chromium::open(&driver, &name(scene, "keyboard")).await;
    browser
        .walk(async |browser| {
            let person = person("Mira");
            scene.stage.hr.hire(&person).await.unwrap();
            let mut walker = Walker { browser, stage: &scene.stage, person };
            walker.type_everything(&scene.clock).await;
        })
        .await;
}

impl Walker<'_> {
    async fn type_everything(&mut self, clock: &MovableClock) {
        let link = invitation(self.stage, &self.person).await;
        self.browser.open_url(link.as_str()).await;
        self.reaches_everything("the invitation").await;
        // Where the page begins, the first field has the focus.
        self.browser.open_url(link.as_str()).await;
        self.has_focus(PASSWORD_FIELD).await;
        self.type_and(PASSWORD, TAB).await;
        self.type_and(PASSWORD, ENTER).await;
        until("the password was set", async || (!self.browser.has(PASSWORD_FIELD).await).then_some(())).await;
        self.browser.step("the password is set").await;

        self.open_account("/account").await;
        self.type_password().await;
        self.tab_to("a[href='/account/methods']").await;
        self.browser.type_keys(ENTER).await;
        self.browser.shows("a[href*='to=add-totp']").await;
        self.reaches_everything("ways to sign in").await;
        self.tab_to("a[href*='to=add-totp']").await;
        self.browser.type_keys(ENTER).await;
        let key = self.browser.shows("a[href^='otpauth:']").await.attr("href").await.unwrap().unwrap();
        let app = Totp::from_url(&key).unwrap();
        self.reaches_everything("a key to scan").await;
        self.tab_to(CODE).await;
        self.type_and(&self.code_of(&app), ENTER).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/account/methods")).await;

        self.tab_to("a[href='/account/sessions']").await;
        self.browser.type_keys(ENTER).await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/account/sessions")).await;
        self.reaches_everything("where one is signed in").await;
        self.open_account("/logout").await;
        self.reaches_everything("the question whether to sign out").await;
        self.tab_to("form[action='/logout'] button").await;
        self.browser.type_keys(ENTER).await;
        let gone = async || (!self.browser.has("form[action='/logout']").await).then_some(());
        until("the question answered", gone).await;

        // No code works twice, so the next one is another half minute's.
        clock.advance(Duration::from_secs(60));
        let stronger = self.stage.app.home().join("sign-in?acr_values=aal2").unwrap();
        self.browser.open_url(stronger.as_str()).await;
        self.browser.shows(PASSWORD_FIELD).await;
        self.reaches_everything("the sign-in").await;
        self.browser.open_url(stronger.as_str()).await;
        self.type_password().await;
        self.browser.arrives_at(&self.stage.house.issuer.url("/step-up")).await;
        self.reaches_everything("one more step").await;
        self.tab_to(CODE).await;
        self.type_and(&self.code_of(&app), ENTER).await;
        self.arrives_in(&self.stage.app).await;
        let said = self.browser.text().await;
        assert!(said.contains("aal2") && said.contains("otp"), "{said}");
        self.browser.step("signed in with a code").await;
    }

    /// The first field that is empty has the focus.
    async fn type_password(&mut self) {
        self.browser.shows(PASSWORD_FIELD).await;
        self.has_focus(USER_NAME).await;
        self.type_and(&self.person.user_name.clone(), TAB).await;
        self.has_focus(PASSWORD_FIELD).await;
        self.type_and(PASSWORD, ENTER).await;
        until("the password was taken", async || (!self.browser.has(PASSWORD_FIELD).await).then_some(()))
            .await;
    }

    async fn type_and(&self, text: &str, key: &str) {
        self.browser.type_keys(text).await;
        self.browser.type_keys(key).await;
    }

    async fn is_focused(&self, css: &str) -> bool {
        self.browser.ask(&format!("return document.activeElement.matches({css:?})")).await
    }

    async fn has_focus(&self, css: &str) {
        until(&format!("the focus on {css}"), async || self.is_focused(css).await.then_some(())).await;
    }

    /// Presses Tab until the focus is there.
    async fn tab_to(&self, css: &str) {
        self.browser.shows(css).await;
        for _ in 0..MOST_STOPS {
            if self.is_focused(css).await {
                return;
            }
            self.browser.type_keys(TAB).await;
        }
        panic!("{css} cannot be reached by Tab on {}", self.browser.url().await);
    }

    /// Presses Tab all around the page: everything that can be used must be stopped at, and be seen to be.
    async fn reaches_everything(&mut self, page: &str) {
        self.browser.step(page).await;
        let usable: usize = self.browser.ask(WATCH).await;
        assert!((1..MOST_STOPS).contains(&usable), "{page}: {usable} things can be used");
        // From the last the focus leaves the page, and comes back to the first.
        self.browser.type_keys(&TAB.repeat(usable + 3)).await;
        let unreached: Vec<String> = self.browser.ask(UNREACHED).await;
        assert!(unreached.is_empty(), "{page}: not reached by Tab, or not seen to be: {unreached:#?}");
    }
}
