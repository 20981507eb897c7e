//! Steps that several journeys take.

use kernel::Token;
use serde_json::Value;
use server::stage::{DEPARTMENT, DOMAIN, Stage, payload};
use sim::browser::Browser;
use sim::hr::Person;
use sim::uhppote::Controller;
use world::{App, Served, until};

pub(crate) const PASSWORD: &str = "nine ducks on a cold river";

/// Somebody whom HR has hired and who has a card.
pub(crate) struct Employee {
    pub(crate) id: String,
    pub(crate) user_name: String,
    pub(crate) card: u32,
}

pub(crate) fn person(given_name: &str) -> Person {
    Person { department: Some(DEPARTMENT.into()), ..Person::new(given_name, "Holt", DOMAIN) }
}

/// HR hires somebody whose department opens the control room; the first and only card appears.
pub(crate) async fn hire(stage: &Stage, given_name: &str) -> Employee {
    let person = person(given_name);
    let id = stage.hr.hire(&person).await.unwrap();
    let card = until("a card on the controller", async || stage.only_card()).await;
    Employee { id, user_name: person.user_name, card }
}

/// The same at a server in a process of its own.
pub(crate) async fn hire_at(house: &Served, given_name: &str) -> Employee {
    let person = person(given_name);
    let id = house.hr().hire(&person).await.unwrap();
    let first = async || house.controller.cards().first().map(|card| card.number);
    let card = until("a card on the controller", first).await;
    Employee { id, user_name: person.user_name, card }
}

/// HR hires somebody, who follows the invitation and sets a password.
pub(crate) async fn join(stage: &Stage, given_name: &str) -> (Employee, Browser) {
    let employee = hire(stage, given_name).await;
    let mut browser = stage.browser();
    let link = stage.invite(&employee.user_name).await.unwrap();
    set_password(&mut browser, &link).await;
    (employee, browser)
}

pub(crate) async fn set_password(browser: &mut Browser, link: &str) {
    let page = browser.get(link.trim()).await.unwrap();
    let form = page.form_with("password").unwrap();
    let done = browser.submit(&form, &[("password", PASSWORD), ("password_again", PASSWORD)]).await.unwrap();
    assert_eq!(done.status, 200, "{}", done.text());
}

pub(crate) fn holds(controller: &Controller, card: u32) -> bool {
    controller.cards().iter().any(|held| held.number == card)
}

pub(crate) async fn card_gone(controller: &Controller, card: u32) {
    until("the card absent from the controller", async || (!holds(controller, card)).then_some(())).await;
}

/// The app of the stage, played by hand.
pub(crate) fn app(stage: &Stage) -> App {
    App::new(stage.house.issuer.as_str(), &stage.app.redirect_uri(), &stage.app_secret)
}

/// The employee's latest receipt, verified with the published keys, once it says what is expected.
pub(crate) async fn receipt(stage: &Stage, user: &str, says: impl Fn(&Value) -> bool) -> Value {
    let jwks = reqwest::get(stage.house.issuer.url("/jwks/evidence")).await.unwrap().bytes().await.unwrap();
    let user = user.parse().unwrap();
    let signed = until("a receipt that says so", async || {
        let edition = bridge::receipt::latest(&stage.house.db, user).await.unwrap()?;
        payload(&edition.document).filter(&says).map(|_| edition.document)
    })
    .await;
    keys::verify_evidence(keys::Evidence::Receipt, &signed, &jwks).unwrap()
}

/// The order has no gap, the chain holds, nothing was changed.
pub(crate) async fn journal_is_good(stage: &Stage) {
    let jwks = stage.house.keys.evidence_jwks().bytes.to_vec();
    let report = audit::verify(&stage.house.db, &jwks, None, |_| ()).await.unwrap();
    assert!(report.is_good() && report.facts > 0, "{report:?}");
}

/// Declares one more application, of low sensitivity, with more lines; its secret.
pub(crate) async fn declare(stage: &Stage, id: &str, redirect_uri: &str, more: &str) -> String {
    let secret = Token::generate(&stage.ctx, "app").expose().clone();
    std::fs::write(stage.folder.path().join(format!("{id}.secret")), &secret).unwrap();
    let declaration = format!(
        "[client.{id}]\nname = \"{id}\"\nsecret_file = \"{id}.secret\"\nredirect_uris = [\"{redirect_uri}\"]\n\
         sensitivity = \"low\"\n{more}"
    );
    let house = &stage.house;
    server::apply::apply(&house.db, &house.sealing, &declaration, stage.folder.path()).await.unwrap();
    secret
}
