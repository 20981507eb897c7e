//! A client exchanges its code for tokens (RFC 6749, section 4.1.3; OpenID Connect Core, section 3.1.3).
//!
//! The exchange is one transaction; hashing and policy come before it, signing after it.

mod exchange;
mod issue;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, client_auth};
use exchange::{Exchange, Exchanged, TokenRequest};

/// The token endpoint.
pub(crate) const PATH: &str = "/token";

/// The claims of an ID token, `sub` among them.
pub(crate) const CLAIMS: [&str; 11] =
    ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"];

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
    let token_request = TokenRequest::read(form, client.requires_pkce())?;
    // Before the code is used up: a code must not be spent on an answer that cannot be given.
    issue::be_ready(idp, &client).await?;
    let jti = issue::jti(idp);
    let exchange = Exchange { idp, client: &client, request: &token_request, id: passage.id() };
    let Exchanged { grant, nonce } = exchange.run(&jti).await?;
    let tokens = issue::tokens(idp, &client, &grant, jti, nonce).await?;
    Ok(HttpResponse::Ok().insert_header((header::PRAGMA, "no-cache")).json(tokens))
}
