//! Somebody at work with a real browser: what several walks do there.

use server::stage::Stage;
use sim::hr::Person;
use sim::relying_party::RelyingParty;
use world::{Chromium, until};

use crate::steps::PASSWORD;

pub(crate) const USER_NAME: &str = "input[name=username]:not([readonly])";
pub(crate) const PASSWORD_FIELD: &str = "input[name=password]";
/// The button of a form that asks the browser for a passkey.
pub(crate) const PASSKEY: &str = "form[data-passkey] button";
/// What an app shows to whom it lets in.
pub(crate) const SIGN_OUT_OF_APP: &str = "form[action='/sign-out'] button";

/// Somebody at work with a browser.
pub(crate) struct Walker<'a> {
    pub(crate) browser: &'a mut Chromium,
    pub(crate) stage: &'a Stage,
    pub(crate) person: Person,
}

impl Walker<'_> {
    /// At the page of an invitation.
    pub(crate) async fn choose_password(&mut self) {
        let shown = self.browser.shows("input[name=username]").await;
        assert_eq!(shown.prop("value").await.unwrap().as_ref(), Some(&self.person.user_name));
        self.browser.step("the invitation").await;
        self.browser.fill(PASSWORD_FIELD, PASSWORD).await;
        self.browser.fill("input[name=password_again]", PASSWORD).await;
        self.browser.click("form:has(input[name=password]) button").await;
        until("the password was set", async || (!self.browser.has(PASSWORD_FIELD).await).then_some(())).await;
        self.browser.step("the password is set").await;
    }

    pub(crate) async fn give_password(&mut self) {
        self.browser.fill(USER_NAME, &self.person.user_name).await;
        self.browser.fill(PASSWORD_FIELD, PASSWORD).await;
        self.browser.click("form:has(input[name=password]) button").await;
    }

    pub(crate) async fn arrives_in(&self, app: &RelyingParty) {
        self.browser.arrives_at(app.home().as_str()).await;
        self.browser.shows(SIGN_OUT_OF_APP).await;
    }
}
