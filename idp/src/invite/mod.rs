//! A person who was invited sets a first password, or one who forgot it sets another.
//!
//! The link carries a single-use token. Looking at the page uses nothing up, so a mail scanner that follows
//! links does no harm; the password is hashed before the transaction that uses the invitation up.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::authenticator::password::{self, Weakness};
use directory::invitation::{self, Invitation, Purpose};
use directory::user::{self, User};
use kernel::{Secret, Token};
use store::Tx;
use web::page::Frame;
use web::{Issuer, Params, Passage};

use crate::Idp;
use crate::error::IdpError;
use crate::pages::{MessagePage, with_cookie};
use crate::texts::{self, Texts};
use crate::visit::{Sent, Visit, Visitor};

/// The page of an invitation.
pub(crate) const PATH: &str = "/invitation";

/// The link to send to the person who is invited.
#[must_use]
pub fn invitation_link(issuer: &Issuer, token: &Token) -> String {
    // A token is letters, digits, `-` and `_`.
    issuer.url(&format!("{PATH}?token={}", token.expose()))
}

/// A form with a new password.
#[derive(Template)]
#[template(path = "invitation.html")]
pub(crate) struct InvitationPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) intro: &'a str,
    pub(crate) token: &'a str,
    pub(crate) form_token: String,
    pub(crate) user_name: &'a str,
    pub(crate) problem: Option<&'static str>,
}

/// `GET /invitation?token=…`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let params = Params::parse(visit.request.query_string().as_bytes())?;
    let (token, invitation, user) = find(visit.idp, &params).await?;
    let page = page(visit, token, (&invitation, &user), None);
    Ok(with_cookie(page, visit.browser.cookie()))
}

/// The invitation of a token that can be used now, with who is invited.
async fn find<'a>(idp: &Idp, params: &'a Params) -> Result<(&'a str, Invitation, User), IdpError> {
    let token = params.one("token")?.ok_or(IdpError::InvitationGone)?;
    let invitation =
        invitation::find(&idp.db, idp.issuer.as_str(), token).await?.ok_or(IdpError::InvitationGone)?;
    let user = user::get(&idp.db, invitation.user_id).await?.ok_or(IdpError::InvitationGone)?;
    Ok((token, invitation, user))
}

fn page(
    visit: &Visit<'_>,
    token: &str,
    (invitation, user): (&Invitation, &User),
    problem: Option<&'static str>,
) -> HttpResponse {
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let form_token = visit.browser.form_token();
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let intro = match invitation.purpose() {
        Purpose::Invitation => &t.invitation.intro,
        Purpose::Recovery => &t.invitation.intro_recovery,
    };
    let user_name = &user.user_name;
    let page = InvitationPage { frame: &frame, t, intro, token, form_token, user_name, problem };
    frame.respond(status, &page)
}

/// `POST /invitation`.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, set_password).await
}

async fn set_password(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let (token, invitation, user) = find(visit.idp, form).await?;
    let password = Secret::new(form.one("password")?.unwrap_or_default().to_owned());
    let again = Secret::new(form.one("password_again")?.unwrap_or_default().to_owned());
    let t = texts::of(visit.passage.locale());
    if let Some(problem) = problem_of(t, &password, &again, &user.user_name) {
        return Ok(page(visit, token, (&invitation, &user), Some(problem)));
    }
    let verifier = visit.idp.hasher.hash(visit.idp.ctx(), password).await?;
    let mut tx = visit.write_as(user.id).await?;
    let outcome = set_in(&mut tx, &invitation, &verifier).await;
    tx.end(outcome).await?;
    Ok(done(visit.passage, t))
}

/// Of many who use the invitation at once, one sets the password.
async fn set_in(tx: &mut Tx, invitation: &Invitation, verifier: &str) -> Result<(), IdpError> {
    if !invitation::use_up(tx, invitation.id).await? {
        return Err(IdpError::InvitationGone);
    }
    Ok(password::set(tx, invitation.user_id, verifier, Some(invitation.id)).await?)
}

/// Why this cannot be the password, in the person's language.
fn problem_of(
    t: &'static Texts,
    password: &Secret<String>,
    again: &Secret<String>,
    user_name: &str,
) -> Option<&'static str> {
    if let Err(weakness) = password::check(password.expose(), user_name) {
        return Some(match weakness {
            Weakness::TooShort => &t.invitation.too_short,
            Weakness::TooLong => &t.invitation.too_long,
            Weakness::Common | Weakness::OwnName => &t.invitation.too_common,
        });
    }
    (password.expose() != again.expose()).then_some(t.invitation.differ.as_str())
}

fn done(passage: &Passage, t: &'static Texts) -> HttpResponse {
    let frame = Frame::new(passage.id(), passage.locale());
    let (title, text) = (t.invitation.done.as_str(), t.invitation.done_text.as_str());
    frame.respond(StatusCode::OK, &MessagePage { frame: &frame, t, title, text, reference: None })
}
