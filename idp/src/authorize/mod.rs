//! An application asks for a sign-in (OpenID Connect Core 1.0, section 3.1.2; RFC 9700).
//!
//! The request is kept nowhere between two steps: it travels with the browser, and every step reads it anew
//! and trusts it as little as the first did. So there is nothing that fills up, runs out or could be mixed up
//! between tabs, and whoever changes it on the way has merely asked for something else. What must not be
//! forged, that a form was sent from our page by this browser, is the form token's business
//! ([`web::browser`]).
//!
//! Where a request goes with the session that is there, to the application or to another step first, is decided in one
//! place for all steps: [`crate::arrive`].
//!
//! Until client and redirect URI are known to be right, nobody is redirected anywhere; afterwards every
//! error goes to the application (RFC 6749, section 4.1.2.1).
//!
//! To support another parameter: a field of [`Wishes`], read in `wishes.rs`.

mod answer;
mod asked;
mod next;
mod wishes;

use actix_web::HttpResponse;
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::arrive::arrive;
use crate::destination::Destination;
use crate::error::{IdpError, answer_as_page};
use crate::pages::see_other;
use crate::session;
use crate::visit::{Visit, Visitor};

pub(crate) use answer::answer;
pub(crate) use asked::{Asked, LONGEST_REQUEST, WAY, may_redirect};
pub(crate) use next::{Next, next};
pub(crate) use wishes::{Prompt, Refusal, SCOPES, Wishes};

/// The authorization endpoint.
pub(crate) const PATH: &str = "/authorize";

/// `GET /authorize`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(proceed).await
}

async fn proceed(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let asked = Asked::read(visit.idp, visit.request.query_string()).await?;
    let destination = Destination::Application(Box::new(asked));
    let session = session::of(visit).await?;
    arrive(visit, &destination, session.as_ref()).await
}

/// `POST /authorize`: the same by GET. A post from another site's page comes without our `SameSite=Lax`
/// cookies, as if nobody were signed in; the redirect is ours, and carries them.
pub(crate) async fn post(passage: Passage, form: Result<Form, BodyError>) -> HttpResponse {
    let answer = form.map_err(IdpError::from).and_then(|Form(params)| by_get(&params));
    answer_as_page(&passage, answer)
}

fn by_get(params: &Params) -> Result<HttpResponse, IdpError> {
    let query = params.encode();
    if query.len() > LONGEST_REQUEST {
        return Err(IdpError::invalid_request("the request is too long"));
    }
    Ok(see_other(&format!("{PATH}?{query}")))
}
