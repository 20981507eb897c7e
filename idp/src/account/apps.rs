//! To which applications a person is signed in, and what those of others may know: seen and taken back.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::consent::{self, Consent};
use directory::session::apps::{self, App};
use web::Params;
use web::page::Frame;

use super::{APPS, Person, moment, person};
use crate::Idp;
use crate::consent::page::learns;
use crate::destination::Own;
use crate::error::IdpError;
use crate::pages::{see_other, with_cookie};
use crate::texts::{self, Texts};
use crate::visit::{Sent, Visit, Visitor};

/// The list.
#[derive(Template)]
#[template(path = "account-apps.html")]
pub(crate) struct AppsPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) form_token: String,
    pub(crate) lines: Vec<Line>,
}

/// One application as its user reads it.
pub(crate) struct Line {
    pub(crate) client: String,
    pub(crate) name: String,
    /// When the person last signed in there, if that sign-in lives.
    pub(crate) signed_in: Option<String>,
    /// What it may know, if a consent says so.
    pub(crate) consent: Option<Consented>,
}

/// What an application may know, and since when.
pub(crate) struct Consented {
    pub(crate) learns: Vec<&'static str>,
    pub(crate) given: String,
}

/// `GET /account/apps`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Apps).await?;
    let signed_in = apps::of_user(&visit.idp.db, user.id).await?;
    let consents = consent::of_user(&visit.idp.db, user.id).await?;
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let form_token = visit.browser.form_token();
    let page = AppsPage { frame: &frame, t, form_token, lines: lines(visit.idp, t, signed_in, consents) };
    Ok(with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie()))
}

/// By name: those that the person is signed in to, and those that may know something.
fn lines(idp: &Idp, t: &'static Texts, signed_in: Vec<App>, consents: Vec<Consent>) -> Vec<Line> {
    let mut lines: BTreeMap<(String, String), Line> = BTreeMap::new();
    let mut line = |name: &str, client: &str, fill: &dyn Fn(&mut Line)| {
        let (name, client) = (name.to_owned(), client.to_owned());
        let empty = Line { client: client.clone(), name: name.clone(), signed_in: None, consent: None };
        fill(lines.entry((name, client)).or_insert(empty));
    };
    for app in &signed_in {
        line(&app.name, &app.client_id, &|line| line.signed_in = Some(moment(idp, app.last_at)));
    }
    for given in &consents {
        let consented = || Consented { learns: learns(t, &given.scope), given: moment(idp, given.given_at) };
        line(&given.client_name, &given.client_id, &|line| line.consent = Some(consented()));
    }
    lines.into_values().collect()
}

/// `POST /account/apps`: takes a consent back.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, withdraw).await
}

async fn withdraw(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Apps).await?;
    let client = form.one("withdraw")?.unwrap_or_default();
    let mut tx = visit.write_as(user.id).await?;
    let withdrawn = consent::withdraw(&mut tx, user.id, client).await;
    tx.end(withdrawn).await?;
    Ok(see_other(APPS))
}
