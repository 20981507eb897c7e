//! The page where something to sign in with is added.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use web::fill;
use web::page::Frame;

use super::Adding;
use crate::authorize::WAY;
use crate::ceremony::PasskeyForm;
use crate::destination::{Destination, Own};
use crate::steps::Way;
use crate::texts::{self, Texts};

/// One thing to add, and what else would do.
#[derive(Template)]
#[template(path = "enrol.html")]
pub(crate) struct EnrolPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) title: &'static str,
    pub(crate) to: String,
    pub(crate) because: Vec<&'a str>,
    pub(crate) request: &'a str,
    pub(crate) form_token: String,
    pub(crate) way: &'static str,
    pub(crate) totp: Option<TotpOffer>,
    pub(crate) passkey: Option<PasskeyForm>,
    pub(crate) problem: Option<&'static str>,
    pub(crate) others: Vec<(String, &'static str)>,
    pub(crate) back: String,
    pub(crate) back_href: &'a str,
}

/// A seed in three forms, and sealed for the way back.
pub(crate) struct TotpOffer {
    pub(crate) seed: String,
    pub(crate) uri: String,
    pub(crate) key: String,
    pub(crate) qr_path: String,
    /// The side of the QR code with its quiet zone.
    pub(crate) qr_side: i32,
}

/// What is offered.
pub(super) enum Offer {
    Totp(TotpOffer),
    Passkey(PasskeyForm),
    /// Passkeys cannot work at this address.
    Nothing,
}

/// Why something was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    WrongCode,
    Passkey,
    TooLate,
    Taken,
    TooMany,
}

impl Problem {
    fn in_words(self, t: &'static Texts) -> &'static str {
        match self {
            Self::WrongCode => &t.enrol.wrong_code,
            Self::Passkey => &t.enrol.passkey_failed,
            Self::TooLate => &t.passkey.too_late,
            Self::Taken => &t.enrol.taken,
            Self::TooMany => &t.enrol.too_many,
        }
    }
}

/// Shows it.
pub(super) fn show(adding: &Adding<'_>, offer: Offer, problem: Option<Problem>) -> HttpResponse {
    let (visit, destination) = (adding.visit, adding.destination);
    let scripted = matches!(offer, Offer::Passkey(_));
    let frame = destination.frame(visit.passage).scripted(scripted);
    let t = texts::of(frame.locale);
    let carried = destination.carried();
    let (totp, passkey, impossible) = match offer {
        Offer::Totp(totp) => (Some(totp), None, None),
        Offer::Passkey(passkey) => (None, Some(passkey), None),
        Offer::Nothing => (None, None, Some(t.enrol.passkeys_impossible.as_str())),
    };
    let page = EnrolPage {
        frame: &frame,
        t,
        title: if adding.way == Way::Totp { &t.enrol.totp_title } else { &t.enrol.passkey_title },
        to: destination.in_words(t),
        because: adding.because.iter().map(|reason| reason.because_in(frame.locale.tag())).collect(),
        request: &carried,
        form_token: visit.browser.form_token(),
        way: adding.way.word(),
        totp,
        passkey,
        problem: problem.map(|problem| problem.in_words(t)).or(impossible),
        others: adding.others.iter().map(|way| other(*way, destination, &carried, t)).collect(),
        back: fill(&t.refused.back, "client", destination.name(t)),
        back_href: &destination.way_back(visit.idp),
    };
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    frame.respond(status, &page)
}

fn other(way: Way, destination: &Destination, carried: &str, t: &'static Texts) -> (String, &'static str) {
    let text = if way == Way::Totp { &t.enrol.totp_instead } else { &t.enrol.passkey_instead };
    let href = match destination {
        Destination::Application(_) => format!("{}?{WAY}={}&{carried}", super::PATH, way.word()),
        // Each is a page of its own, with its own question to policy.
        Destination::Own(_) => Own::Add(way).path(),
    };
    (href, text)
}
