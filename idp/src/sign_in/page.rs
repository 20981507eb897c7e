//! The sign-in page.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use web::page::Frame;

use crate::ceremony::{self, Asking, PasskeyForm};
use crate::destination::Destination;
use crate::error::IdpError;
use crate::recover;
use crate::texts::{self, Texts};
use crate::visit::Visit;

/// A form with a user name and a password, and one for a passkey.
#[derive(Template)]
#[template(path = "sign-in.html")]
pub(crate) struct SignInPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) to: String,
    pub(crate) request: &'a str,
    pub(crate) form_token: String,
    pub(crate) user_name: &'a str,
    pub(crate) problem: Option<&'static str>,
    pub(crate) passkey: Option<PasskeyForm>,
    /// Where a forgotten password is asked about, if that is possible here.
    pub(crate) recover: Option<&'static str>,
}

/// What has been entered so far.
pub(super) enum Entry<'a> {
    /// Nothing.
    Empty,
    /// A name and a password that do not match.
    Wrong { user_name: &'a str },
    /// A passkey that signs nobody in.
    NoSuchPasskey,
    /// A passkey, but the page was too old for it.
    TooLate,
}

impl Entry<'_> {
    fn problem(&self, t: &'static Texts) -> Option<&'static str> {
        match self {
            Entry::Empty => None,
            Entry::Wrong { .. } => Some(&t.sign_in.wrong),
            Entry::NoSuchPasskey => Some(&t.passkey.unknown),
            Entry::TooLate => Some(&t.passkey.too_late),
        }
    }
}

/// The page of a sign-in that leads somewhere.
pub(super) async fn show(
    visit: &Visit<'_>,
    destination: &Destination,
    entry: Entry<'_>,
) -> Result<HttpResponse, IdpError> {
    let passkey = ceremony::ask(visit, Asking::Anybody, super::PATH).await?;
    let frame = destination.frame(visit.passage).scripted(passkey.is_some());
    let t = texts::of(frame.locale);
    let problem = entry.problem(t);
    // Not 401, which needs a challenge that a page cannot give. Password managers read a 4xx as a failure.
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let user_name = match entry {
        Entry::Wrong { user_name } => user_name,
        _ => destination.login_hint(),
    };
    let page = SignInPage {
        frame: &frame,
        t,
        to: destination.in_words(t),
        request: &destination.carried(),
        form_token: visit.browser.form_token(),
        user_name,
        problem,
        passkey,
        recover: visit.idp.settings.recovery_by_mail.then_some(recover::PATH),
    };
    Ok(frame.respond(status, &page))
}
