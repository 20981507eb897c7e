//! What a person sees of the own account, and ends: what one signs in with, where one is signed in, to which
//! applications, the badge, and what happened.
//!
//! Every page needs a session and no more; what changes the ways to sign in needs what [`crate::arrive`] says.
//!
//! What it is not: it shows nobody else's account, and changes nothing that HR writes.
//!
//! To add a page: a module with its handlers, a variant of [`Own`], a line in `templates/account-nav.html`.

pub(crate) mod activity;
pub(crate) mod apps;
pub(crate) mod badge;
pub(crate) mod methods;
pub(crate) mod sessions;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::session::{self as sessions_of, Session};
use directory::user::{self, User};
use kernel::Timestamp;
use web::page::Frame;

use crate::destination::{Destination, Own};
use crate::error::IdpError;
use crate::pages::with_cookie;
use crate::texts::{self, Texts};
use crate::visit::{Visit, Visitor};
use crate::{Idp, session, sign_in};

/// The overview.
pub(crate) const PATH: &str = "/account";
/// What one signs in with.
pub(crate) const METHODS: &str = "/account/methods";
/// Where one is signed in.
pub(crate) const SESSIONS: &str = "/account/sessions";
/// To which applications.
pub(crate) const APPS: &str = "/account/apps";
/// What one carries to a door.
pub(crate) const BADGE: &str = "/account/badge";
/// What happened.
pub(crate) const ACTIVITY: &str = "/account/activity";

/// Somebody who looks at the own account.
struct Person {
    session: Session,
    user: User,
}

/// Who is signed in here.
///
/// # Errors
/// [`IdpError::Elsewhere`]: sign in first.
async fn person(visit: &Visit<'_>, own: Own) -> Result<Person, IdpError> {
    let sign_in = || IdpError::Elsewhere(Destination::Own(own).by_way_of(sign_in::PATH));
    let session = session::of(visit).await?.ok_or_else(sign_in)?;
    let user = user::get(&visit.idp.db, session.user_id).await?.ok_or_else(sign_in)?;
    sessions_of::touch(&visit.idp.db, &session).await?;
    Ok(Person { session, user })
}

/// The overview.
#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct AccountPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) name: &'a str,
    pub(crate) user_name: &'a str,
}

/// `GET /account`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Overview).await?;
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let name = user.display_name.as_deref().unwrap_or(&user.user_name);
    let page = AccountPage { frame: &frame, t, name, user_name: &user.user_name };
    Ok(with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie()))
}

/// A moment as it is written at this place: `2026-11-27 09:45`.
fn moment(idp: &Idp, at: Timestamp) -> String {
    let zoned = at.to_jiff().map(|at| at.to_zoned(idp.settings.time_zone.clone()));
    zoned.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}
