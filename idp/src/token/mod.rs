//! A client exchanges its code for tokens (RFC 6749, section 4.1.3; OpenID Connect Core, section 3.1.3).
//!
//! The exchange is one transaction; hashing comes before it and signing after it.

mod exchange;
mod issue;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use kernel::Actor;
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, client_auth, origin};
use exchange::{Exchange, TokenRequest, exchange};

/// The token endpoint.
pub(crate) const PATH: &str = "/token";

/// `POST /token`.
pub(crate) async fn post(
    idp: Data<Idp>,
    passage: Passage,
    request: HttpRequest,
    form: Result<Form, BodyError>,
) -> HttpResponse {
    let answer = match form {
        Ok(Form(form)) => grant(&idp, &passage, &request, &form).await,
        Err(error) => Err(error.into()),
    };
    answer_as_oauth(answer)
}

async fn grant(
    idp: &Idp,
    passage: &Passage,
    request: &HttpRequest,
    form: &Params,
) -> Result<HttpResponse, IdpError> {
    let client = client_auth::authenticate(idp, request, form).await?;
    let token_request = TokenRequest::read(form)?;
    // Before the code is used up: a code must not be spent on an answer that cannot be given.
    issue::be_ready(idp, &client).await?;
    let mut tx = idp.db.write(origin(Actor::Client(client.id.clone()), passage.id())).await?;
    let outcome = exchange(&mut tx, &token_request, &client).await;
    match tx.end(outcome).await? {
        Exchange::Granted { grant, nonce } => {
            let tokens = issue::tokens(idp, &client, &grant, nonce).await?;
            Ok(HttpResponse::Ok().insert_header((header::PRAGMA, "no-cache")).json(tokens))
        }
        Exchange::Refused(why) => Err(IdpError::InvalidGrant(why)),
    }
}
