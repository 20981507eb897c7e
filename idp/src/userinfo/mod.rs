//! Who the user of an access token is (OpenID Connect Core, section 5.3; RFC 6750).

mod claims;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use web::Params;
use web::body::{BodyError, Form};

use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, bearer};

pub(crate) use claims::CLAIMS;

/// The userinfo endpoint.
pub(crate) const PATH: &str = "/userinfo";

/// `GET /userinfo`.
pub(crate) async fn get(idp: Data<Idp>, request: HttpRequest) -> HttpResponse {
    answer(&idp, &request, &Params::default()).await
}

/// `POST /userinfo`, with the token in the header or in the form.
pub(crate) async fn post(
    idp: Data<Idp>,
    request: HttpRequest,
    form: Result<Form, BodyError>,
) -> HttpResponse {
    match form {
        Ok(Form(form)) => answer(&idp, &request, &form).await,
        // A post with the header has no need of a form.
        Err(BodyError::NotAForm) => answer(&idp, &request, &Params::default()).await,
        Err(error) => refuse(error.into()),
    }
}

async fn answer(idp: &Idp, request: &HttpRequest, form: &Params) -> HttpResponse {
    let token = match presented(request, form) {
        Ok(Some(token)) => token,
        Ok(None) => return challenge(HttpResponse::Unauthorized().finish(), ""),
        Err(error) => return refuse(error),
    };
    match bearer::in_force(idp, &token).await {
        Ok(Some((_, grant))) => HttpResponse::Ok().json(claims::of(&grant)),
        Ok(None) => {
            let error = r#", error="invalid_token", error_description="the access token is not in force""#;
            challenge(HttpResponse::Unauthorized().finish(), error)
        }
        Err(error) => refuse(error),
    }
}

/// Every refusal that is the request's fault carries the challenge (RFC 6750, section 3).
fn refuse(error: IdpError) -> HttpResponse {
    let answer = answer_as_oauth(Err(error));
    match answer.status() {
        StatusCode::BAD_REQUEST => challenge(answer, r#", error="invalid_request""#),
        _ => answer,
    }
}

/// Who presented nothing is told how, who presented something is told what is wrong.
fn challenge(mut answer: HttpResponse, error: &str) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer realm=\"cardea\"{error}")) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    answer
}

/// The token, in one of the two ways that do not end up in logs (RFC 6750, sections 2.1 and 2.2; RFC 9700,
/// section 4.3.2: never in the query).
fn presented(request: &HttpRequest, form: &Params) -> Result<Option<String>, IdpError> {
    if Params::parse(request.query_string().as_bytes())?.has("access_token") {
        return Err(IdpError::invalid_request(
            "send the access token in the Authorization header, not in the URL",
        ));
    }
    let header = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    match (header, form.one("access_token")?) {
        (Some(_), Some(_)) => Err(IdpError::invalid_request("the access token was sent twice")),
        (Some(header), None) => {
            let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            Ok(token.map(|(_, token)| token.trim().to_owned()))
        }
        (None, token) => Ok(token.map(str::to_owned)),
    }
}
