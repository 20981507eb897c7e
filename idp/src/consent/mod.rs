//! A person is asked what an application of somebody else may know.
//!
//! It is the last step before a code, and [`crate::arrive`] decides whether it is needed: for third-party clients only,
//! when they ask for more than was consented to, or to be asked about anew (`prompt=consent`). The answer counts only
//! from the person who was shown the question. Whoever says no goes back to the application, which is told
//! `access_denied`.
//!
//! What it is not: it does not decide who may sign in. That is policy's, before anybody is asked.
//!
//! To add a scope that people are asked about: its words in [`page::learns`].

pub(crate) mod page;

use actix_web::HttpResponse;
use directory::consent;
use directory::session::Session;
use directory::user::User;
use web::Params;

use crate::arrive::{Onward, arrive, go, onward};
use crate::authorize::{Asked, Refusal};
use crate::destination::Destination;
use crate::error::IdpError;
use crate::pages::with_cookie;
use crate::session;
use crate::sign_in::refusal_in;
use crate::visit::{Sent, Visit, Visitor};

/// The page that asks.
pub(crate) const PATH: &str = "/consent";

/// Whether somebody must be asked before this is granted.
pub(crate) async fn is_needed(visit: &Visit<'_>, user: &User, asked: &Asked) -> Result<bool, IdpError> {
    if !asked.client.third_party || asked.consented {
        return Ok(false);
    }
    if asked.wishes.consent {
        return Ok(true);
    }
    let given = consent::get(&visit.idp.db, user.id, &asked.client.id).await?;
    Ok(!given.is_some_and(|given| given.covers(&asked.wishes.scope)))
}

/// `GET /consent` with an authorization request.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let destination = Destination::read(visit, visit.request.query_string()).await?;
    let session = session::of(visit).await?;
    let answer = match (onward(visit, &destination, session.as_ref()).await?, &destination) {
        (Onward::Consent(user), Destination::Application(asked)) => {
            page::show(visit, &destination, asked, &user)
        }
        (onward, _) => go(visit, &destination, session.as_ref(), onward).await?,
    };
    Ok(with_cookie(answer, visit.browser.cookie()))
}

/// `POST /consent`.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, decide).await
}

async fn decide(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let destination = Destination::read(visit, form.one("request")?.unwrap_or_default()).await?;
    let session = session::of(visit).await?;
    let onward = onward(visit, &destination, session.as_ref()).await?;
    match (onward, destination, session) {
        (Onward::Consent(user), Destination::Application(asked), Some(session)) => {
            // Somebody else has signed in since the question was shown: nobody answers for another.
            if form.one("user")? != Some(user.id.to_string().as_str()) {
                let destination = Destination::Application(asked);
                return Ok(crate::pages::see_other(&destination.by_way_of(PATH)));
            }
            match form.one("decision")? {
                Some("allow") => allow(visit, asked, &user, &session).await,
                _ => deny(visit, &asked, &user).await,
            }
        }
        (onward, destination, session) => go(visit, &destination, session.as_ref(), onward).await,
    }
}

async fn allow(
    visit: &Visit<'_>,
    mut asked: Box<Asked>,
    user: &User,
    session: &Session,
) -> Result<HttpResponse, IdpError> {
    let mut tx = visit.write_as(user.id).await?;
    let given = consent::give(&mut tx, user.id, &asked.client.id, &asked.wishes.scope).await;
    tx.end(given).await?;
    asked.consented = true;
    arrive(visit, &Destination::Application(asked), Some(session)).await
}

async fn deny(visit: &Visit<'_>, asked: &Asked, user: &User) -> Result<HttpResponse, IdpError> {
    let mut tx = visit.write_as(user.id).await?;
    let client = Some(asked.client.id.clone());
    refusal_in(&mut tx, Some(user), client, "consent-denied", visit.named_device());
    tx.commit().await?;
    Err(asked.send_back(visit.idp, Refusal::NO_CONSENT))
}
