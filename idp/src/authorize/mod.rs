//! An application asks for a sign-in (OpenID Connect Core 1.0, section 3.1.2; RFC 9700).
//!
//! The request is kept nowhere between two steps: it travels with the browser, and every step reads it anew
//! and trusts it as little as the first did. So there is nothing that fills up, runs out or could be mixed up
//! between tabs, and whoever changes it on the way has merely asked for something else. What must not be
//! forged, that a form was sent from our page by this browser, is the form token's business
//! ([`web::browser`]).
//!
//! Until client and redirect URI are known to be right, nobody is redirected anywhere; afterwards every
//! error goes to the application (RFC 6749, section 4.1.2.1).
//!
//! To support another parameter: a field of [`Wishes`], read in `wishes.rs`.

mod answer;
mod asked;
mod next;
mod wishes;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use directory::user;
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::error::{IdpError, answer_as_page};
use crate::judge::{self, Verdict};
use crate::pages::see_other;
use crate::{Idp, session, sign_in};

pub(crate) use answer::{answer, grant};
pub(crate) use asked::{Asked, LONGEST_REQUEST};
use next::{Next, next};
pub(crate) use wishes::{Prompt, Refusal, SCOPES, Wishes};

/// The authorization endpoint.
pub(crate) const PATH: &str = "/authorize";

/// `GET /authorize`.
pub(crate) async fn get(idp: Data<Idp>, passage: Passage, request: HttpRequest) -> HttpResponse {
    let answer = proceed(&idp, &passage, &request).await;
    answer_as_page(&passage, answer)
}

async fn proceed(idp: &Idp, passage: &Passage, request: &HttpRequest) -> Result<HttpResponse, IdpError> {
    let asked = Asked::read(idp, request.query_string()).await?;
    let session = session::of(idp, request).await?;
    match next(&asked.wishes, session.as_ref(), idp.ctx().now()) {
        Next::SignIn => Ok(sign_in(&asked)),
        Next::Refuse(refusal) => Err(asked.send_back(idp, refusal)),
        Next::Answer(session) => {
            let Some(user) = user::get(&idp.db, session.user_id).await? else { return Ok(sign_in(&asked)) };
            let network = judge::network(idp, passage.client());
            let decision = judge::judge(idp, &user, &asked.client, session.assurance(), network).await?;
            match Verdict::of(&decision) {
                None => answer(idp, passage, &asked, session).await,
                Some(verdict) => judge::refuse(idp, passage, &asked, &user, &verdict).await,
            }
        }
    }
}

fn sign_in(asked: &Asked) -> HttpResponse {
    see_other(&format!("{}?{}", sign_in::PATH, asked.request))
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
