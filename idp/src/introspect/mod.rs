//! Whether a token is in force (RFC 7662). A client sees only its own tokens; everybody else's are inactive
//! to it, so nobody learns anything by asking.
//!
//! A refresh token is never active here: whoever asks guards a resource, and would let its bearer in.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::json;
use web::Params;
use web::body::{BodyError, Form};

use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, bearer, client_auth, token};

/// The introspection endpoint.
pub(crate) const PATH: &str = "/introspect";

/// RFC 7662, section 2.2.
#[derive(Serialize)]
struct Active<C> {
    active: bool,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(flatten)]
    claims: C,
}

impl<C: Serialize> Active<C> {
    fn answer(claims: C, username: Option<String>) -> HttpResponse {
        HttpResponse::Ok().json(Self { active: true, token_type: "Bearer", username, claims })
    }
}

/// `POST /introspect`.
pub(crate) async fn post(
    idp: Data<Idp>,
    request: HttpRequest,
    form: Result<Form, BodyError>,
) -> HttpResponse {
    let answer = match form {
        Ok(Form(form)) => introspect(&idp, &request, &form).await,
        Err(error) => Err(error.into()),
    };
    answer_as_oauth(answer)
}

async fn introspect(idp: &Idp, request: &HttpRequest, form: &Params) -> Result<HttpResponse, IdpError> {
    let presented = form.one("token");
    // Read together with the client it was given to, which is who asks, or is told nothing.
    let granted = match presented {
        Ok(Some(token)) => bearer::granted(idp, token).await?,
        _ => None,
    };
    let known = granted.as_ref().map(|(_, granted)| &granted.client);
    let client = client_auth::authenticate_confidential(idp, request, form, known).await?;
    let token = presented?.ok_or(IdpError::invalid_request("token is missing"))?;
    if let Some((claims, granted)) = granted.filter(|(claims, _)| claims.client_id == client.id) {
        return Ok(Active::answer(claims, Some(granted.grant.user_name)));
    }
    let of_service = token::service_claims(idp, token).filter(|claims| claims.is_of(&client));
    Ok(match of_service {
        Some(claims) => Active::answer(claims, None),
        None => HttpResponse::Ok().json(json!({ "active": false })),
    })
}
