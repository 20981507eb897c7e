//! The sign-in page.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use web::browser::Browser;
use web::page::Frame;
use web::{Passage, fill};

use crate::authorize::Asked;
use crate::texts::{self, Texts};
use crate::{Idp, locale, recover};

/// A form with a user name and a password.
#[derive(Template)]
#[template(path = "sign-in.html")]
pub(crate) struct SignInPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) to: String,
    pub(crate) request: &'a str,
    pub(crate) form_token: String,
    pub(crate) user_name: &'a str,
    pub(crate) wrong: bool,
    /// Where a forgotten password is asked about, if that is possible here.
    pub(crate) recover: Option<&'static str>,
}

/// What has been entered so far.
pub(super) enum Entry<'a> {
    /// Nothing; the application may know a name.
    Empty { hint: &'a str },
    /// A name and a password that do not match.
    Wrong { user_name: &'a str },
}

/// The page for an authorization request.
pub(super) fn show(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    browser: &Browser,
    entry: Entry<'_>,
) -> HttpResponse {
    let locale = locale(passage, &asked.wishes.ui_locales);
    let frame = Frame::new(passage.id(), locale).leading_to(&asked.redirect_uri);
    let t = texts::of(locale);
    let (status, user_name, wrong) = match entry {
        Entry::Empty { hint } => (StatusCode::OK, hint, false),
        // Not 401, which needs a challenge that a page cannot give. Password managers read a 4xx as a failure.
        Entry::Wrong { user_name } => (StatusCode::UNPROCESSABLE_ENTITY, user_name, true),
    };
    let page = SignInPage {
        frame: &frame,
        t,
        to: fill(&t.sign_in.to, "client", &asked.client.name),
        request: &asked.request,
        form_token: browser.form_token(),
        user_name,
        wrong,
        recover: idp.settings.recovery_by_mail.then_some(recover::PATH),
    };
    frame.respond(status, &page)
}
