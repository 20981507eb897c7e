//! A person who forgot the password asks for a link by mail.
//!
//! Whoever asks learns nothing. A name that nobody has, an account that is not active and one without a mail
//! address have one answer and cost one time: each is looked up by the same statement, and each records one fact
//! that goes to the mail sink. Only there is it found out whether there is anybody to write to. How often somebody
//! may ask is counted per account and per address, whether or not the account exists.
//!
//! What it is not: the link proves one factor, the mail box. It sets a password and adds or removes nothing else;
//! a second factor stays and is asked for.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::{fold, user};
use kernel::{Actor, Subject};
use store::Fact;
use web::page::Frame;
use web::{Params, Passage};

use crate::error::IdpError;
use crate::mail::RecoveryAsked;
use crate::pages::{MessagePage, with_cookie};
use crate::sign_in::attempts::{self, Limits};
use crate::texts::{self, Texts};
use crate::visit::{Sent, Visit, Visitor};
use crate::{Idp, origin};

/// The page of a forgotten password.
pub(crate) const PATH: &str = "/recover";

/// Three letters in a quarter of an hour fill no mail box.
const LIMITS: Limits = Limits {
    name: "recover",
    window: Duration::from_secs(15 * 60),
    per_account: 3,
    per_address: 30,
    per_site: 300,
};

/// A form with a user name.
#[derive(Template)]
#[template(path = "recover.html")]
pub(crate) struct RecoverPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) form_token: String,
}

/// `GET /recover`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(async |visit| show(visit)).await
}

fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    if !visit.idp.settings.recovery_by_mail {
        return Err(IdpError::NoRecovery);
    }
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let (t, form_token) = (texts::of(frame.locale), visit.browser.form_token());
    let page = frame.respond(StatusCode::OK, &RecoverPage { frame: &frame, t, form_token });
    Ok(with_cookie(page, visit.browser.cookie()))
}

/// `POST /recover`.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, ask).await
}

async fn ask(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let (idp, passage) = (visit.idp, visit.passage);
    if !idp.settings.recovery_by_mail {
        return Err(IdpError::NoRecovery);
    }
    let user_name = form.one("username")?.unwrap_or_default().trim();
    let begun = attempts::begin(idp, &LIMITS, &fold(user_name), passage.client()).await?;
    if let Err(throttled) = begun {
        return Err(IdpError::Throttled { retry_after: throttled.retry_after });
    }
    record(idp, passage, user_name).await?;
    Ok(sent(passage))
}

/// The same for everybody, whoever the name belongs to.
async fn record(idp: &Idp, passage: &Passage, user_name: &str) -> Result<(), IdpError> {
    let user = user::by_user_name(&idp.db, user_name).await?;
    let subject = user.map_or_else(|| Subject::new("user", "unknown"), |user| user.id.subject());
    let body = RecoveryAsked { language: passage.locale().tag().to_owned() };
    let mut tx = idp.db.write(origin(Actor::Anonymous, passage.id())).await?;
    tx.record(Fact::new(subject, &body));
    Ok(tx.commit().await?)
}

fn sent(passage: &Passage) -> HttpResponse {
    let frame = Frame::new(passage.id(), passage.locale());
    let t = texts::of(passage.locale());
    let (title, text) = (t.recovery.sent.as_str(), t.recovery.sent_text.as_str());
    frame.respond(StatusCode::OK, &MessagePage { frame: &frame, t, title, text, reference: None })
}
