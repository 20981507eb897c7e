//! What a person signs in with: seen, added, removed; and recovery codes, shown once.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::authenticator::{self, Authenticator, Kind, recovery_code};
use kernel::Secret;
use kernel::id::{AuthenticatorId, UserId};
use web::Params;
use web::page::Frame;

use super::{METHODS, Person, moment, person};
use crate::Idp;
use crate::arrive::{Onward, go, onward};
use crate::destination::{Destination, Own};
use crate::error::IdpError;
use crate::pages::{see_other, with_cookie};
use crate::session;
use crate::steps::Way;
use crate::texts::{self, Texts};
use crate::visit::{Sent, Visit, Visitor};

/// The list.
#[derive(Template)]
#[template(path = "account-methods.html")]
pub(crate) struct MethodsPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) form_token: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) codes_left: usize,
    pub(crate) passkey_href: String,
    pub(crate) totp_href: String,
}

/// One authenticator as its owner reads it.
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) about: Option<&'static str>,
    pub(crate) added: String,
    pub(crate) used: Option<String>,
    pub(crate) removable: bool,
}

/// Recovery codes that were just made.
#[derive(Template)]
#[template(path = "account-codes.html")]
pub(crate) struct CodesPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) codes: Vec<&'a str>,
}

/// `GET /account/methods`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Methods).await?;
    let all = authenticator::of_user(&visit.idp.db, user.id).await?;
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let (codes, others): (Vec<_>, Vec<_>) =
        all.iter().partition(|authenticator| authenticator.kind() == Some(Kind::RecoveryCode));
    let page = MethodsPage {
        frame: &frame,
        t,
        form_token: visit.browser.form_token(),
        lines: others.into_iter().filter_map(|one| line(visit.idp, t, one)).collect(),
        codes_left: codes.len(),
        passkey_href: Own::Add(Way::Passkey).path(),
        totp_href: Own::Add(Way::Totp).path(),
    };
    Ok(with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie()))
}

fn line(idp: &Idp, t: &'static Texts, one: &Authenticator) -> Option<Line> {
    let kind = match one.kind()? {
        Kind::Password => &t.methods.password,
        Kind::Totp => &t.methods.totp,
        Kind::Passkey => &t.methods.passkey,
        Kind::RecoveryCode => &t.step_up.recovery_code,
    };
    let bound = |bound| if bound { t.methods.device_bound.as_str() } else { t.methods.synced.as_str() };
    Some(Line {
        id: one.id.to_string(),
        kind,
        name: one.name.clone().unwrap_or_default(),
        about: one.is_device_bound().map(bound),
        added: moment(idp, one.created_at),
        used: one.last_used_at.map(|at| moment(idp, at)),
        removable: one.kind() != Some(Kind::Password),
    })
}

/// `POST /account/methods`: takes one away, or makes new recovery codes.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, change).await
}

async fn change(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Methods).await?;
    match form.one("remove")? {
        Some(id) => remove(visit, user.id, id).await,
        None => make_codes(visit, user.id).await,
    }
}

/// Whether this may be done now; else where to go first.
async fn first(visit: &Visit<'_>, own: Own) -> Result<Option<HttpResponse>, IdpError> {
    let (session, destination) = (session::of(visit).await?, Destination::Own(own));
    match onward(visit, &destination, session.as_ref()).await? {
        Onward::There(_) => Ok(None),
        onward => Ok(Some(go(visit, &destination, session.as_ref(), onward).await?)),
    }
}

async fn remove(visit: &Visit<'_>, user: UserId, id: &str) -> Result<HttpResponse, IdpError> {
    let all = authenticator::of_user(&visit.idp.db, user).await?;
    let one = all.iter().find(|one| one.id.to_string() == id);
    // What is not there, is another's, or is a password is not removed here.
    let Some((id, way)) = one.and_then(removable) else { return Ok(see_other(METHODS)) };
    if let Some(elsewhere) = first(visit, Own::Remove(way)).await? {
        return Ok(elsewhere);
    }
    let mut tx = visit.write_as(user).await?;
    let removed = authenticator::remove(&mut tx, user, id).await;
    tx.end(removed).await?;
    Ok(see_other(METHODS))
}

fn removable(one: &Authenticator) -> Option<(AuthenticatorId, Way)> {
    match one.kind()? {
        Kind::Password => None,
        Kind::Totp => Some((one.id, Way::Totp)),
        Kind::Passkey => Some((one.id, Way::Passkey)),
        Kind::RecoveryCode => Some((one.id, Way::RecoveryCode)),
    }
}

async fn make_codes(visit: &Visit<'_>, user: UserId) -> Result<HttpResponse, IdpError> {
    if let Some(elsewhere) = first(visit, Own::Add(Way::RecoveryCode)).await? {
        return Ok(elsewhere);
    }
    let codes = recovery_code::generate(visit.idp.ctx());
    let mut tx = visit.write_as(user).await?;
    let replaced = recovery_code::replace(&mut tx, &visit.idp.sealing, user, &codes).await;
    tx.end(replaced).await?;
    Ok(show_codes(visit, &codes))
}

fn show_codes(visit: &Visit<'_>, codes: &[Secret<String>]) -> HttpResponse {
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let codes = codes.iter().map(|code| code.expose().as_str()).collect();
    frame.respond(StatusCode::OK, &CodesPage { frame: &frame, t, codes })
}
