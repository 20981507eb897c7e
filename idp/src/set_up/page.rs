//! The page that asks who administers first.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::authenticator::password::{self, Weakness};
use directory::set_up::Founder;
use kernel::Secret;
use web::mail::MailAddress;
use web::page::Frame;
use web::{Params, Repeated};

use crate::texts::{self, Texts};
use crate::visit::Visit;

/// A form with a person and a password.
#[derive(Template)]
#[template(path = "set-up.html")]
pub(crate) struct SetUpPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) token: &'a str,
    pub(crate) form_token: String,
    pub(crate) user_name: &'a str,
    pub(crate) display_name: &'a str,
    pub(crate) email: &'a str,
    pub(crate) problem: Option<&'static str>,
}

/// What has been entered so far, but for the password.
#[derive(Default)]
pub(super) struct Entry {
    user_name: String,
    display_name: String,
    email: String,
}

/// Why it will not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    UserName,
    Taken,
    DisplayName,
    Email,
    TooShort,
    TooLong,
    TooCommon,
    Differ,
}

impl Problem {
    fn in_words(self, t: &'static Texts) -> &'static str {
        match self {
            Self::UserName => &t.set_up.bad_user_name,
            Self::Taken => &t.set_up.taken,
            Self::DisplayName => &t.set_up.bad_display_name,
            Self::Email => &t.set_up.bad_email,
            Self::TooShort => &t.invitation.too_short,
            Self::TooLong => &t.invitation.too_long,
            Self::TooCommon => &t.invitation.too_common,
            Self::Differ => &t.invitation.differ,
        }
    }
}

impl Entry {
    pub(super) fn read(form: &Params) -> Result<Self, Repeated> {
        let text = |name| Ok(form.one(name)?.unwrap_or_default().trim().to_owned());
        Ok(Self { user_name: text("username")?, display_name: text("display_name")?, email: text("email")? })
    }

    pub(super) fn founder(&self) -> Founder {
        Founder {
            user_name: self.user_name.clone(),
            display_name: self.display_name.clone(),
            email: self.email.clone(),
        }
    }

    /// What can be seen without asking the directory.
    pub(super) fn problem(&self, password: &Secret<String>, again: &str) -> Option<Problem> {
        if self.user_name.is_empty() {
            return Some(Problem::UserName);
        }
        if self.display_name.is_empty() || self.display_name.contains('\0') {
            return Some(Problem::DisplayName);
        }
        if self.email.parse::<MailAddress>().is_err() {
            return Some(Problem::Email);
        }
        match password::check(password.expose(), &self.user_name) {
            Err(Weakness::TooShort) => Some(Problem::TooShort),
            Err(Weakness::TooLong) => Some(Problem::TooLong),
            Err(Weakness::Common | Weakness::OwnName) => Some(Problem::TooCommon),
            Ok(()) => (password.expose() != again).then_some(Problem::Differ),
        }
    }
}

/// Shows it.
pub(super) fn show(visit: &Visit<'_>, token: &str, entry: &Entry, problem: Option<Problem>) -> HttpResponse {
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = SetUpPage {
        frame: &frame,
        t,
        token,
        form_token: visit.browser.form_token(),
        user_name: &entry.user_name,
        display_name: &entry.display_name,
        email: &entry.email,
        problem: problem.map(|problem| problem.in_words(t)),
    };
    frame.respond(status, &page)
}
