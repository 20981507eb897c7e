//! The page of one more step.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use web::fill;
use web::page::Frame;

use super::verify::Problem;
use crate::arrive::Step;
use crate::authorize::WAY;
use crate::ceremony::{self, Asking, PasskeyForm};
use crate::destination::Destination;
use crate::error::IdpError;
use crate::steps::Way;
use crate::texts::{self, Texts};
use crate::visit::Visit;

/// A form for one more proof, and the other ways.
#[derive(Template)]
#[template(path = "step-up.html")]
pub(crate) struct StepUpPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) to: String,
    pub(crate) because: Vec<&'a str>,
    pub(crate) request: &'a str,
    pub(crate) form_token: String,
    /// The word of the way.
    pub(crate) way: &'static str,
    /// Of a code to be typed: its label, a hint and whether it is of digits. None for a passkey.
    pub(crate) code: Option<Code>,
    pub(crate) passkey: Option<PasskeyForm>,
    pub(crate) problem: Option<&'static str>,
    /// Address and text of each other way.
    pub(crate) others: Vec<(String, &'static str)>,
    pub(crate) back: String,
    pub(crate) back_href: &'a str,
}

/// A code that is typed.
pub(crate) struct Code {
    pub(crate) label: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) digits: bool,
}

impl Code {
    pub(crate) fn of(way: Way, t: &'static Texts) -> Option<Self> {
        match way {
            Way::Passkey => None,
            Way::Totp => Some(Self { label: &t.step_up.totp, hint: &t.step_up.totp_hint, digits: true }),
            Way::RecoveryCode => {
                let (label, hint) = (t.step_up.recovery_code.as_str(), t.step_up.recovery_code_hint.as_str());
                Some(Self { label, hint, digits: false })
            }
        }
    }
}

/// Shows it.
pub(super) async fn show(
    visit: &Visit<'_>,
    destination: &Destination,
    step: &Step,
    way: Way,
    problem: Option<Problem>,
) -> Result<HttpResponse, IdpError> {
    let passkey = match way {
        Way::Passkey => ceremony::ask(visit, Asking::User(step.user.id), super::PATH).await?,
        _ => None,
    };
    let frame = destination.frame(visit.passage).scripted(passkey.is_some());
    let t = texts::of(frame.locale);
    let carried = destination.carried();
    let page = StepUpPage {
        frame: &frame,
        t,
        to: destination.in_words(t),
        because: step.because.iter().map(|reason| reason.because_in(frame.locale.tag())).collect(),
        request: &carried,
        form_token: visit.browser.form_token(),
        way: way.word(),
        code: Code::of(way, t),
        passkey,
        problem: problem.map(|problem| problem.in_words(t)),
        others: others(step, way, &carried, t),
        back: fill(&t.refused.back, "client", destination.name(t)),
        back_href: &destination.way_back(visit.idp),
    };
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(frame.respond(status, &page))
}

fn others(step: &Step, way: Way, carried: &str, t: &'static Texts) -> Vec<(String, &'static str)> {
    let others = step.ways.iter().filter(|other| **other != way);
    others
        .map(|other| (format!("{}?{WAY}={}&{carried}", super::PATH, other.word()), choice(*other, t)))
        .collect()
}

fn choice(way: Way, t: &'static Texts) -> &'static str {
    match way {
        Way::Passkey => &t.step_up.use_passkey,
        Way::Totp => &t.step_up.use_totp,
        Way::RecoveryCode => &t.step_up.use_recovery_code,
    }
}
