//! What the employee does in the story: opens the invitation, adds factors, signs in to both apps, and is signed out of
//! both by the provider. Proven by the mail server, by the pages in the browser, and by the apps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sim::authenticator::{AuthenticatorApp, SecurityKey};
use sim::browser::{Browser, Page};
use sim::hr::Person;
use sim::mail::Letter;
use sim::relying_party::{EndedBy, RelyingParty, Session};

use super::timeline::{Timeline, prove, until};
use crate::commands::{Failure, Outcome};
use crate::stage::{Stage, clock};

/// What the employee chooses.
const PASSWORD: &str = "nine ducks on a cold river";
/// What the assurance of a phishing-resistant sign-in is called, with a key that stays in its device and without.
const PHISHING_RESISTANT: [&str; 2] = ["phr", "phrh"];

/// Somebody with a browser, and things to sign in with.
pub(super) struct Employee {
    user_name: String,
    key: SecurityKey,
    /// The browser in use: on the first day one, on the next another.
    browser: Browser,
}

/// The letter is opened and a password is set.
pub(super) async fn begin(stage: &Stage, timeline: &Timeline, person: &Person) -> Result<Employee, Failure> {
    let letter = invitation(stage, &person.user_name).await?;
    timeline.step("mail", format_args!("a letter to {}: {:?}", person.user_name, letter.subject));
    let home = stage.house.issuer.as_str();
    let link = letter.links().into_iter().find(|link| link.as_str().starts_with(home));
    let link =
        link.ok_or_else(|| Failure::new(format!("NOT PROVEN: a link to {home} in {:?}", letter.text)))?;
    let mut browser = stage.browser();
    let page = browser.get(link.as_str()).await?;
    let form = page.form_with("password")?;
    let done = browser.submit(&form, &[("password", PASSWORD), ("password_again", PASSWORD)]).await?;
    prove(done.status == 200, format_args!("the password was set: {} {}", done.status, done.text()))?;
    timeline.step("employee", "follows the link in the letter and sets a password");
    let again = browser.get(link.as_str()).await?;
    prove(again.status >= 400, "the invitation works once only")?;
    let user_name = person.user_name.clone();
    let session = stage.app.sign_in(&mut browser, &user_name, PASSWORD).await?;
    prove(session.claims["acr"] == "aal1", "a low app asks for one factor")?;
    timeline.step(
        "app",
        "Grid Console (low): signed in with the password alone (PKCE, ID token verified, acr aal1)",
    );
    Ok(Employee { user_name, key: SecurityKey::default(), browser })
}

/// The letter that HR's hiring caused.
async fn invitation(stage: &Stage, address: &str) -> Result<Arc<Letter>, Failure> {
    let mail = stage.mail.as_ref().ok_or_else(|| Failure::new("the demo has a mail server"))?;
    until("a letter of invitation", || mail.letters_to(address).into_iter().next()).await
}

/// At the account pages: an app for one-time codes, then a passkey.
pub(super) async fn add_factors(stage: &Stage, timeline: &Timeline, employee: &mut Employee) -> Outcome {
    let browser = &mut employee.browser;
    let page = open_from_account(stage, browser, "add-totp").await?;
    let app = AuthenticatorApp::scan(&page, clock(&stage.ctx))?;
    let done = browser.submit(&page.form_with("code")?, &[("code", &app.code())]).await?;
    prove(done.status == 200, format_args!("the app was added: {} {}", done.status, done.text()))?;
    timeline.step("employee", "scans the key at /account and adds one-time codes (totp-rs)");
    let page = open_from_account(stage, browser, "add-passkey").await?;
    let done = employee.key.register(browser, &page).await?;
    prove(done.status == 200, format_args!("the passkey was added: {} {}", done.status, done.text()))?;
    timeline.step("employee", "adds a passkey on a security key of its own (webauthn-authenticator-rs)");
    Ok(())
}

/// Follows the link of the account pages that leads to this.
async fn open_from_account(stage: &Stage, browser: &mut Browser, to: &str) -> Result<Page, Failure> {
    let methods = browser.get(&stage.house.issuer.url("/account/methods")).await?;
    let leads = |query: &str| query.split('&').any(|pair| pair == format!("to={to}"));
    let link = methods.links().into_iter().find(|link| link.url.query().is_some_and(leads));
    let link = link.ok_or_else(|| {
        Failure::new(format!("NOT PROVEN: a way to {to} at {}: {}", methods.url, methods.text()))
    })?;
    Ok(browser.get(link.url.as_str()).await?)
}

/// The next morning, in a browser that knows nothing: the low app asks for no more than before, the critical one for
/// the passkey and for nothing else.
pub(super) async fn work(
    stage: &Stage,
    timeline: &Timeline,
    employee: &mut Employee,
) -> Result<Session, Failure> {
    let mut browser = stage.browser();
    let session = stage.app.sign_in(&mut browser, &employee.user_name, PASSWORD).await?;
    prove(
        session.claims["acr"] == "aal1",
        format_args!("the low app still asks for one factor: {}", session.claims),
    )?;
    timeline.step("app", "Grid Console (low): in a new browser the password is still enough (acr aal1)");
    let asked = browser.get(stage.control.home().join("sign-in")?.as_str()).await?;
    prove(
        SecurityKey::is_asked_for(&asked),
        format_args!("the critical app asks for the passkey: {}", asked.text()),
    )?;
    for other in ["password", "code"] {
        let asked = asked.form_with(other).is_ok();
        prove(!asked, format_args!("the critical app asks for no {other}"))?;
    }
    timeline.step("app", "Switchgear Control (critical): asks for the passkey, and for nothing else");
    let page = employee.key.show(&mut browser, &asked).await?;
    let local = stage.control.session_of(&browser).filter(|local| local.ended.is_none());
    let local = local
        .ok_or_else(|| Failure::new(format!("NOT PROVEN: signed in at {}: {}", page.url, page.text())))?;
    check_strength(&local.session.claims)?;
    let (acr, amr) = (&local.session.claims["acr"], &local.session.claims["amr"]);
    timeline.step("app", format_args!("Switchgear Control (critical): signed in (acr {acr}, amr {amr})"));
    prove(stage.app.introspect(&session.access_token).await?["active"] == true, "the token is active")?;
    let silent = stage.app.sign_in_silently(&mut browser).await;
    prove(silent.is_ok(), format_args!("the browser's session signs in silently: {:?}", silent.err()))?;
    timeline.step("app", "Grid Console: the browser's session signs in without a question (prompt=none)");
    let fresh = stage.app.refresh(&session).await?;
    prove(fresh.access_token != session.access_token, "a refresh token brings a new access token")?;
    timeline.step("app", "Grid Console: a refresh token brings new tokens");
    employee.browser = browser;
    Ok(fresh)
}

/// What the critical app's ID token says of how the person signed in.
fn check_strength(claims: &Value) -> Outcome {
    let acr = claims["acr"].as_str().unwrap_or_default();
    prove(PHISHING_RESISTANT.contains(&acr), format_args!("acr is phishing-resistant: {claims}"))?;
    let amr = claims["amr"].as_array().map(Vec::as_slice).unwrap_or_default();
    let says = |method: &str| amr.iter().any(|one| one == method);
    prove(says("pwd") && (says("hwk") || says("swk")), format_args!("amr names password and key: {claims}"))?;
    prove(!says("otp"), format_args!("no one-time code was asked for: {claims}"))
}

/// Both apps heard, by themselves, that it is over: a logout token that each has verified ended its own sessions.
pub(super) async fn told(stage: &Stage, timeline: &Timeline, id: &str, since: Instant) -> Outcome {
    for app in [&stage.app, &stage.control] {
        let name = app.name();
        let heard = until(&format!("a logout token at {name}"), || heard(app, id)).await?;
        let mut sessions = app.sessions().into_iter().filter(|local| local.session.subject() == id);
        let over = sessions.all(|local| local.ended.is_some_and(|ended| ended.by == EndedBy::LogoutToken));
        prove(over, format_args!("{name} ended every session of the employee for it"))?;
        let after = in_words(heard.saturating_duration_since(since));
        timeline
            .step("app", format_args!("{name}: a valid logout token came, its session is gone ({after})"));
    }
    Ok(())
}

/// When the app heard a logout token about this subject that ended something there.
fn heard(app: &RelyingParty, subject: &str) -> Option<Instant> {
    let is_about = |sub: &Option<String>| sub.as_deref() == Some(subject);
    let mut heard =
        app.logouts().into_iter().filter(|logout| is_about(&logout.token.sub) && logout.ended > 0);
    heard.next().map(|logout| logout.heard)
}

fn in_words(after: Duration) -> String {
    match after.is_zero() {
        true => "before HR had its answer".into(),
        false => format!("{:.1} ms after HR's answer", after.as_secs_f64() * 1000.0),
    }
}

/// The person sees it, and comes in no more: not even with everything that there is to show.
pub(super) async fn locked_out(stage: &Stage, timeline: &Timeline, employee: &mut Employee) -> Outcome {
    for app in [&stage.app, &stage.control] {
        let page = employee.browser.get(app.home().as_str()).await?;
        let shown = page.text().contains("You are signed out");
        prove(shown, format_args!("{} shows that it is over: {}", app.name(), page.text()))?;
    }
    timeline.step("employee", "reloads both apps: signed out");
    let silent = stage.app.sign_in_silently(&mut employee.browser).await.err();
    let code = silent.as_ref().and_then(|error| error.code());
    prove(code == Some("login_required"), format_args!("the browser's session is gone, not {silent:?}"))?;
    timeline.step("app", "Grid Console: the browser's session is gone (prompt=none: login_required)");
    let refused = stage.app.sign_in(&mut employee.browser, &employee.user_name, PASSWORD).await;
    prove(refused.is_err(), "the password opens nothing any more")?;
    timeline.step("employee", "tries the password again: refused");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The story must be able to fail where the critical app let somebody in with less, or asked for more.
    #[test]
    fn a_sign_in_that_is_weaker_or_asked_for_more_is_a_failure() {
        let check = |acr: &str, amr: Value, expect: bool| {
            let claims = json!({ "acr": acr, "amr": amr });
            assert_eq!(check_strength(&claims).is_ok(), expect, "{claims}");
        };
        check("phrh", json!(["pwd", "hwk", "user", "mfa"]), true);
        check("phr", json!(["pwd", "swk", "user", "mfa"]), true);
        check("aal2", json!(["pwd", "hwk", "user", "mfa"]), false);
        check("", json!(["pwd", "hwk"]), false);
        check("phrh", json!(["pwd", "otp", "hwk", "mfa"]), false);
        check("phrh", json!(["pwd", "mfa"]), false);
        check("phrh", json!(["hwk", "user"]), false);
        check("phrh", json!(null), false);
    }
}
