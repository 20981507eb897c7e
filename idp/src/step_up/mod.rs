//! One more thing is asked of somebody who is signed in: a passkey, a one-time code, or a recovery code.
//!
//! What is asked follows from what is required and what is set up ([`crate::steps`]); the reason stands on the page and
//! in the fact. What is proven is added to the session, which rises and gets another token; then it is seen anew what
//! is still missing ([`crate::arrive`]).

mod page;
mod verify;

use actix_web::HttpResponse;
use directory::session::Session;
use web::Params;

use crate::arrive::{Onward, Step, arrive, go, onward};
use crate::authorize::WAY;
use crate::destination::Destination;
use crate::error::{IdpError, answer_as_page};
use crate::pages::with_cookie;
use crate::session;
use crate::steps::Way;
use crate::visit::{Sent, Visit, Visitor};
#[cfg(test)]
pub(crate) use page::{Code, StepUpPage};
use verify::Outcome;

/// The page of one more step.
pub(crate) const PATH: &str = "/step-up";

/// `GET /step-up` with where it leads.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let destination = Destination::read(visit, visit.request.query_string()).await?;
    let session = session::of(visit).await?;
    match onward(visit, &destination, session.as_ref()).await? {
        Onward::StepUp(step) => {
            let params = Params::parse(visit.request.query_string().as_bytes())?;
            let way = chosen(&step, &params)?;
            let answer = page::show(visit, &destination, &step, way, None).await?;
            Ok(with_cookie(answer, visit.browser.cookie()))
        }
        onward => go(visit, &destination, session.as_ref(), onward).await,
    }
}

/// The way that the person chose, if it leads there, else the strongest.
fn chosen(step: &Step, params: &Params) -> Result<Way, IdpError> {
    let chosen = params.one(WAY)?.and_then(Way::of_word).filter(|way| step.ways.contains(way));
    chosen.or(step.ways.first().copied()).ok_or(IdpError::failed("a step without a way"))
}

/// `POST /step-up`.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, step).await
}

async fn step(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let destination = Destination::read(visit, form.one("request")?.unwrap_or_default()).await?;
    let session = session::of(visit).await?;
    // What is asked now, not what was asked when the page was shown.
    match (onward(visit, &destination, session.as_ref()).await?, &session) {
        (Onward::StepUp(step), Some(session)) => answer(visit, &destination, &step, session, form).await,
        (onward, session) => go(visit, &destination, session.as_ref(), onward).await,
    }
}

async fn answer(
    visit: &Visit<'_>,
    destination: &Destination,
    step: &Step,
    session: &Session,
    form: &Params,
) -> Result<HttpResponse, IdpError> {
    let way = chosen(step, form)?;
    match verify::verify(visit, destination, step, session, way, form).await? {
        Outcome::Raised((session, token)) => {
            let answer = arrive(visit, destination, Some(&session)).await;
            Ok(with_cookie(answer_as_page(visit.passage, answer), Some(session::cookie(&token))))
        }
        Outcome::Wrong(problem) => page::show(visit, destination, step, way, Some(problem)).await,
        Outcome::SessionGone => arrive(visit, destination, None).await,
    }
}
