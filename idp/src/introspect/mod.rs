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

use crate::bearer::AccessClaims;
use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, bearer, client_auth};

/// The introspection endpoint.
pub(crate) const PATH: &str = "/introspect";

/// RFC 7662, section 2.2.
#[derive(Serialize)]
struct Active {
    active: bool,
    token_type: &'static str,
    username: String,
    #[serde(flatten)]
    claims: AccessClaims,
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
    let client = client_auth::authenticate_confidential(idp, request, form).await?;
    let token = form.one("token")?.ok_or(IdpError::invalid_request("token is missing"))?;
    let in_force = bearer::in_force(idp, token).await?;
    Ok(match in_force.filter(|(claims, _)| claims.client_id == client.id) {
        Some((claims, grant)) => {
            let active = Active { active: true, token_type: "Bearer", username: grant.user_name, claims };
            HttpResponse::Ok().json(active)
        }
        None => HttpResponse::Ok().json(json!({ "active": false })),
    })
}
