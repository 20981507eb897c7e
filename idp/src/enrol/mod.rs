//! A person adds something to sign in with: an app for one-time codes, or a passkey.
//!
//! One comes here on the way to an application that needs more than is set up, or from the account pages. Whether it
//! may be added is asked anew at every step ([`crate::arrive`]): it needs a factor of at least its strength as far as
//! there is one, shown within [`FRESH`], and policy's permission. Whoever has proven to have the new one has signed in
//! with it, too: the session rises.
//!
//! Nothing is stored until it has been proven to work.

mod page;
mod passkey;
mod totp;

use std::time::Duration;

use actix_web::HttpResponse;
use directory::DirectoryError;
use directory::session::Session;
use directory::user::{self, User};
use web::Params;

use crate::account;
use crate::arrive::{Onward, arrive, go, onward};
use crate::authorize::WAY;
use crate::destination::{Destination, Own};
use crate::error::{IdpError, answer_as_page};
use crate::pages::{see_other, with_cookie};
use crate::session;
use crate::steps::Way;
use crate::visit::{Opened, Sent, Visit, Visitor};
#[cfg(test)]
pub(crate) use page::{EnrolPage, TotpOffer};

/// The page where something is added.
pub(crate) const PATH: &str = "/enrol";

/// How long ago somebody may have signed in, or taken a step, who changes what there is to sign in with.
pub(crate) const FRESH: Duration = Duration::from_secs(10 * 60);

/// Somebody who may add something now.
struct Adding<'a> {
    visit: &'a Visit<'a>,
    destination: &'a Destination,
    session: &'a Session,
    user: User,
    way: Way,
    because: Vec<policy::Reason>,
    others: Vec<Way>,
}

/// `GET /enrol` with where it leads.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let params = Params::parse(visit.request.query_string().as_bytes())?;
    let destination = Destination::read(visit, visit.request.query_string()).await?;
    let session = session::of(visit).await?;
    let adding = match adding(visit, &destination, session.as_ref(), &params).await? {
        Ok(adding) => adding,
        Err(onward) => return go(visit, &destination, session.as_ref(), onward).await,
    };
    let answer = match adding.way {
        Way::Totp => totp::offer(&adding)?,
        _ => passkey::offer(&adding, None).await?,
    };
    Ok(with_cookie(answer, visit.browser.cookie()))
}

/// Whoever may add something now, or where they go instead.
async fn adding<'a>(
    visit: &'a Visit<'a>,
    destination: &'a Destination,
    session: Option<&'a Session>,
    params: &Params,
) -> Result<Result<Adding<'a>, Onward>, IdpError> {
    let onward = onward(visit, destination, session).await?;
    let Some(session) = session else { return Ok(Err(onward)) };
    let (user, ways, because) = match (onward, destination) {
        (Onward::Enrol(step), _) => (step.user, step.ways, step.because),
        (Onward::There(_), Destination::Own(Own::Add(way))) if *way != Way::RecoveryCode => {
            let user = user::get(&visit.idp.db, session.user_id).await?;
            let Some(user) = user else { return Ok(Err(Onward::SignIn)) };
            (user, vec![*way], Vec::new())
        }
        (onward, _) => return Ok(Err(onward)),
    };
    let chosen = params.one(WAY)?.and_then(Way::of_word).filter(|way| ways.contains(way));
    let way = chosen.or(ways.first().copied()).ok_or(IdpError::failed("nothing to set up"))?;
    let offered = match destination {
        Destination::Application(_) => ways,
        Destination::Own(_) => vec![Way::Passkey, Way::Totp],
    };
    let others = offered.into_iter().filter(|other| *other != way).collect();
    Ok(Ok(Adding { visit, destination, session, user, way, because, others }))
}

/// `POST /enrol`.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, add).await
}

async fn add(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let destination = Destination::read(visit, form.one("request")?.unwrap_or_default()).await?;
    let session = session::of(visit).await?;
    match adding(visit, &destination, session.as_ref(), form).await? {
        Ok(adding) if adding.way == Way::Totp => totp::add(&adding, form).await,
        Ok(adding) => passkey::add(&adding, form).await,
        Err(onward) => go(visit, &destination, session.as_ref(), onward).await,
    }
}

/// On, after something was added and the session has risen.
async fn done(adding: &Adding<'_>, raised: Option<Opened>) -> Result<HttpResponse, IdpError> {
    let (visit, destination) = (adding.visit, adding.destination);
    let Some((session, token)) = raised else { return arrive(visit, destination, None).await };
    let answer = match destination {
        Destination::Application(_) => arrive(visit, destination, Some(&session)).await,
        Destination::Own(_) => Ok(see_other(account::METHODS)),
    };
    Ok(with_cookie(answer_as_page(visit.passage, answer), Some(session::cookie(&token))))
}

/// What could not be added for a reason that the person can do something about.
fn problem_of(error: &DirectoryError) -> Option<page::Problem> {
    match error {
        DirectoryError::Taken(_) => Some(page::Problem::Taken),
        DirectoryError::Invalid(_) => Some(page::Problem::TooMany),
        _ => None,
    }
}
