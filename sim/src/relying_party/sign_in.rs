//! The person before the browser: finds the fields, fills them in, says yes, and sees where it leads.

use url::Url;

use super::app::App;
use super::{RelyingPartyError, Session};
use crate::browser::{Browser, Control, Form, Page, Redirects};

/// More pages than any sign-in should have.
const PAGES: usize = 8;

/// What a person knows.
#[derive(Clone, Copy)]
pub(super) struct Person<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a str,
}

/// From the app through the provider and back. Without a person no form is filled in.
pub(super) async fn walk(
    app: &App,
    home: &Url,
    browser: &mut Browser,
    parameters: &[(&str, &str)],
    person: Option<Person<'_>>,
) -> Result<Session, RelyingPartyError> {
    app.provider()?;
    let redirects = std::mem::take(&mut browser.redirects);
    browser.forget_cookie(&app.session_cookie());
    let arrived = arrive(home, browser, parameters, person).await;
    browser.redirects = redirects;
    let page = arrived?;
    let key = browser.cookie(&app.session_cookie()).map(|cookie| cookie.value.clone());
    let local = key.and_then(|key| app.session(&key)).filter(|local| local.ended.is_none());
    local.map(|local| local.session).ok_or_else(|| refusal(&page))
}

/// The app's page at the end of the way.
async fn arrive(
    home: &Url,
    browser: &mut Browser,
    parameters: &[(&str, &str)],
    person: Option<Person<'_>>,
) -> Result<Page, RelyingPartyError> {
    let mut start = home.clone();
    start.set_path("/sign-in");
    start.query_pairs_mut().extend_pairs(parameters);
    debug_assert_eq!(browser.redirects, Redirects::Follow);
    let mut page = browser.get(start.as_str()).await?;
    let mut password_sent = false;
    for _ in 0..PAGES {
        if page.url.origin() == home.origin() {
            return Ok(page);
        }
        let (Some(person), Some(form)) = (person, choose(&page)) else { return Err(stuck(&page)) };
        let asks_password = field(&form, is_password).is_some();
        if asks_password && password_sent {
            // The same question again: the answer was not accepted.
            return Err(stuck(&page));
        }
        password_sent |= asks_password;
        page = browser.submit(&form, &values(&form, person)).await?;
    }
    Err(stuck(&page))
}

/// The form that a person would turn to: one that asks for something, else one that can be sent.
fn choose(page: &Page) -> Option<Form> {
    let forms = page.forms();
    let with = |is: fn(&Control) -> bool| forms.iter().find(|form| field(form, is).is_some());
    let asks = with(is_password).or_else(|| with(is_username)).or_else(|| with(says_yes));
    asks.or_else(|| forms.iter().find(|form| form.post)).cloned()
}

fn values<'a>(form: &'a Form, person: Person<'a>) -> Vec<(&'a str, &'a str)> {
    let username = field(form, is_username).map(|control| (control.name.as_str(), person.username));
    let password = field(form, is_password).map(|control| (control.name.as_str(), person.password));
    let yes = field(form, says_yes).map(|button| (button.name.as_str(), button.value.as_str()));
    [username, password, yes].into_iter().flatten().collect()
}

fn field(form: &Form, is: fn(&Control) -> bool) -> Option<&Control> {
    form.controls.iter().find(|control| is(control))
}

fn is_password(control: &Control) -> bool {
    control.kind == "password"
}

fn is_username(control: &Control) -> bool {
    let known = ["username", "user_name", "user", "login", "identifier", "email"];
    let fillable = matches!(control.kind.as_str(), "text" | "email");
    let names_itself = control.autocomplete.split(' ').any(|word| word == "username");
    fillable && (names_itself || known.contains(&control.name.to_lowercase().as_str()))
}

fn says_yes(control: &Control) -> bool {
    let yes = ["allow", "accept", "approve", "yes", "confirm", "continue"];
    control.kind == "submit"
        && !control.name.is_empty()
        && yes.contains(&control.value.to_lowercase().as_str())
}

/// What the app's page says instead of a session.
fn refusal(page: &Page) -> RelyingPartyError {
    let query =
        |name| page.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    match query("error") {
        Some(error) if page.status == 403 => {
            let description = query("error_description").unwrap_or_default();
            RelyingPartyError::SentBack { error, description }
        }
        _ => stuck(page),
    }
}

fn stuck(page: &Page) -> RelyingPartyError {
    let (url, text) = (Box::new(page.url.clone()), page.text());
    RelyingPartyError::Stuck { url, status: page.status, text }
}
