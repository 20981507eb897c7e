//! Signing out: an application asks for it (OpenID Connect RP-Initiated Logout 1.0), and every application of the
//! session is told (`back_channel.rs`).
//!
//! Whoever comes with an ID token of this very session is signed out at once and sent back. Everybody else who is
//! signed in is asked first, or any page could sign people out; and nobody is sent anywhere without a valid hint,
//! or any page could have us send them.
//!
//! An ID token says who asks, not that its bearer may end things elsewhere: what ends is the session of this
//! browser. A hint that is found in a log signs nobody out.

mod asked;
pub mod back_channel;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::session::{self as sessions, Session};
use web::body::Form;
use web::browser::FORM_TOKEN;
use web::page::Frame;
use web::{Params, Passage};

use crate::authorize::LONGEST_REQUEST;
use crate::error::IdpError;
use crate::pages::{MessagePage, see_other, with_cookie};
use crate::texts::{self, Texts};
use crate::visit::{Sent, Visit, Visitor};
use crate::{locale, session};
use asked::Asked;

/// The end session endpoint.
pub(crate) const PATH: &str = "/logout";

/// The question whether to sign out.
#[derive(Template)]
#[template(path = "logout.html")]
pub(crate) struct LogoutPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) form_token: String,
    pub(crate) request: &'a str,
}

/// `GET /logout`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(proceed).await
}

async fn proceed(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let asked = Asked::read(visit.idp, visit.request.query_string()).await?;
    match session::of(visit).await? {
        Some(session) if !asked.is_about(&session) => Ok(question(visit, &asked)),
        session => sign_out(visit, &asked, session.as_ref()).await,
    }
}

/// `POST /logout`: the answer to our question, or an application's request. A post from another site's page comes
/// without our `SameSite=Lax` cookies, as if nobody were signed in; the redirect is ours, and carries them.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    match form {
        Ok(Form(form)) if !form.has(FORM_TOKEN) => visitor.sees(async |_| by_get(&form)).await,
        form => visitor.sends(form, confirm).await,
    }
}

async fn confirm(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let asked = Asked::read(visit.idp, form.one("request")?.unwrap_or_default()).await?;
    let session = session::of(visit).await?;
    sign_out(visit, &asked, session.as_ref()).await
}

fn by_get(params: &Params) -> Result<HttpResponse, IdpError> {
    let query = params.encode();
    if query.len() > LONGEST_REQUEST {
        return Err(IdpError::invalid_request("the request is too long"));
    }
    Ok(see_other(&format!("{PATH}?{query}")))
}

/// Ends the session, with every grant made in it, and has the browser forget it.
async fn sign_out(
    visit: &Visit<'_>,
    asked: &Asked,
    session: Option<&Session>,
) -> Result<HttpResponse, IdpError> {
    if let Some(session) = session {
        let mut tx = visit.write_as(session.user_id).await?;
        let ended = sessions::end(&mut tx, session.id).await;
        tx.end(ended).await?;
    }
    let answer = match asked.back() {
        Some(back) => see_other(&back),
        None => done(visit.passage, asked),
    };
    Ok(with_cookie(answer, Some(session::forget())))
}

fn question(visit: &Visit<'_>, asked: &Asked) -> HttpResponse {
    let locale = locale(visit.passage, &asked.ui_locales);
    let frame = Frame::new(visit.passage.id(), locale);
    let frame = match &asked.return_to {
        Some(uri) => frame.leading_to(uri),
        None => frame,
    };
    let page = LogoutPage {
        frame: &frame,
        t: texts::of(locale),
        form_token: visit.browser.form_token(),
        request: &asked.request,
    };
    with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie())
}

fn done(passage: &Passage, asked: &Asked) -> HttpResponse {
    let locale = locale(passage, &asked.ui_locales);
    let (frame, t) = (Frame::new(passage.id(), locale), texts::of(locale));
    let (title, text) = (t.logout.done.as_str(), t.logout.done_text.as_str());
    frame.respond(StatusCode::OK, &MessagePage { frame: &frame, t, title, text, reference: None })
}
