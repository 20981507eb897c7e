//! To which applications a person is signed in.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use directory::session::apps;
use web::Passage;
use web::page::Frame;

use super::{Person, moment, person};
use crate::Idp;
use crate::destination::Own;
use crate::error::{IdpError, answer_as_page};
use crate::pages::with_cookie;
use crate::texts::{self, Texts};
use crate::visit::Visit;

/// The list: name, and when the person last signed in there.
#[derive(Template)]
#[template(path = "account-apps.html")]
pub(crate) struct AppsPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) lines: Vec<(String, String)>,
}

/// `GET /account/apps`.
pub(crate) async fn get(idp: Data<Idp>, passage: Passage, request: HttpRequest) -> HttpResponse {
    let answer = show(&idp, &passage, &request).await;
    answer_as_page(&passage, answer)
}

async fn show(idp: &Idp, passage: &Passage, request: &HttpRequest) -> Result<HttpResponse, IdpError> {
    let visit = Visit::new(idp, passage, request);
    let Person { user, .. } = match person(&visit, Own::Apps).await? {
        Ok(person) => person,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let all = apps::of_user(&idp.db, user.id).await?;
    let frame = Frame::new(passage.id(), passage.locale());
    let t = texts::of(frame.locale);
    let lines = all.into_iter().map(|app| (app.name, moment(idp, app.last_at))).collect();
    let page = AppsPage { frame: &frame, t, lines };
    Ok(with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie()))
}
