//! A client gives a token back (RFC 7009): its grant ends, and with it every token of the same code.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use directory::session::{grant, refresh};
use kernel::Actor;
use kernel::id::GrantId;
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, bearer, client_auth, origin};

/// The revocation endpoint.
pub(crate) const PATH: &str = "/revoke";

/// `POST /revoke`.
pub(crate) async fn post(
    idp: Data<Idp>,
    passage: Passage,
    request: HttpRequest,
    form: Result<Form, BodyError>,
) -> HttpResponse {
    let answer = match form {
        Ok(Form(form)) => revoke(&idp, &passage, &request, &form).await,
        Err(error) => Err(error.into()),
    };
    answer_as_oauth(answer)
}

async fn revoke(
    idp: &Idp,
    passage: &Passage,
    request: &HttpRequest,
    form: &Params,
) -> Result<HttpResponse, IdpError> {
    let client = client_auth::authenticate(idp, request, form).await?;
    let token = form.one("token")?.ok_or(IdpError::invalid_request("token is missing"))?;
    // What is no token, or none any more, is as good as revoked (RFC 7009, section 2.2).
    let Some((grant, owner)) = owner(idp, token).await? else { return Ok(HttpResponse::Ok().finish()) };
    if owner != client.id {
        return Err(IdpError::InvalidGrant("the token was issued to another client"));
    }
    let mut tx = idp.db.write(origin(Actor::Client(client.id), passage.id())).await?;
    let ended = grant::end(&mut tx, grant, "revoked-by-client").await;
    tx.end(ended).await?;
    Ok(HttpResponse::Ok().finish())
}

/// The grant of an access or refresh token, and the client it was given to. A token says itself which it is, so
/// `token_type_hint` is not needed.
async fn owner(idp: &Idp, token: &str) -> Result<Option<(GrantId, String)>, IdpError> {
    match bearer::claims(idp, token) {
        Some(claims) => Ok(Some((claims.gid, claims.client_id))),
        None => Ok(refresh::owner(&idp.db, token).await?),
    }
}
