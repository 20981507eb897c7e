//! Where a person is signed in, and ending it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::session::{self, Session};
use kernel::id::UserId;
use store::{StoreError, Tx};
use web::page::Frame;
use web::{Params, fill};

use super::{Person, SESSIONS, moment, person};
use crate::Idp;
use crate::destination::Own;
use crate::error::IdpError;
use crate::judge::rung_in_words;
use crate::pages::{see_other, with_cookie};
use crate::texts::{self, Texts};
use crate::visit::{Sent, Visit, Visitor};

/// The list.
#[derive(Template)]
#[template(path = "account-sessions.html")]
pub(crate) struct SessionsPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) form_token: String,
    pub(crate) lines: Vec<Line>,
    /// That there are more.
    pub(crate) more: Option<String>,
}

/// How many are shown.
pub(crate) const MOST: usize = 50;

/// One session as its owner reads it.
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) device: String,
    pub(crate) here: bool,
    pub(crate) rung: &'static str,
    pub(crate) signed_in: String,
    pub(crate) seen: String,
}

/// `GET /account/sessions`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let here = person(visit, Own::Sessions).await?;
    let all = session::of_user(&visit.idp.db, here.user.id).await?;
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let lines = all.iter().take(MOST).map(|session| line(visit.idp, t, &here, session)).collect();
    let others = all.len().saturating_sub(MOST);
    let more = (others > 0).then(|| fill(&t.sessions.more, "count", &others.to_string()));
    let page = SessionsPage { frame: &frame, t, form_token: visit.browser.form_token(), lines, more };
    Ok(with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie()))
}

fn line(idp: &Idp, t: &'static Texts, here: &Person, session: &Session) -> Line {
    let unknown = || t.sessions.unknown_device.clone();
    Line {
        id: session.id.to_string(),
        device: Some(session.device.clone()).filter(|device| !device.is_empty()).unwrap_or_else(unknown),
        here: session.id == here.session.id,
        rung: rung_in_words(t, session.assurance()),
        signed_in: moment(idp, session.authenticated_at),
        seen: moment(idp, session.seen_at),
    }
}

/// `POST /account/sessions`: ends one, or all but this.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, end).await
}

async fn end(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let here = person(visit, Own::Sessions).await?;
    // Only those of this person are looked at: an id of another's names nothing.
    let all = session::of_user(&visit.idp.db, here.user.id).await?;
    let named = form.one("session")?;
    let wanted = |session: &&Session| match named {
        Some(id) => session.id.to_string() == id,
        None => session.id != here.session.id,
    };
    end_all(visit, here.user.id, all.iter().filter(wanted)).await?;
    Ok(see_other(SESSIONS))
}

async fn end_all(
    visit: &Visit<'_>,
    user: UserId,
    sessions: impl Iterator<Item = &Session>,
) -> Result<(), IdpError> {
    let sessions: Vec<&Session> = sessions.collect();
    let mut tx = visit.write_as(user).await?;
    let ended = end_in(&mut tx, &sessions).await;
    Ok(tx.end(ended).await?)
}

async fn end_in(tx: &mut Tx, sessions: &[&Session]) -> Result<(), StoreError> {
    for session in sessions {
        session::end(tx, session.id).await?;
    }
    Ok(())
}
