//! RFC 9457 answers: the error form of our own API, and of whatever has none of its own.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use kernel::Problem;

use crate::body::BodyError;
use crate::{Issuer, Passage, Refused};

/// The refusal of whatever has no form of its own: a [`Refuse`](crate::Refuse).
#[must_use]
pub fn refuse(passage: &Passage, refused: Refused) -> HttpResponse {
    respond(&match refused {
        Refused::Unknown => Problem::new(404, "not-found", "There is nothing here."),
        Refused::Method => Problem::new(405, "method-not-allowed", "This address does not know that method.")
            .detail("The Allow header names those it knows."),
        Refused::Failed => Problem::new(500, "failed", "Something failed on our side.")
            .detail(format!("The log says more under request id {}.", passage.id())),
        Refused::Target => {
            Problem::new(414, "target-too-long", "The address is too long.").detail(refused.to_string())
        }
        Refused::Headers => Problem::new(431, "headers-too-large", "The headers are too many or too long.")
            .detail(refused.to_string()),
        Refused::Repeated(_) => {
            Problem::new(400, "header-repeated", "A header came more than once.").detail(refused.to_string())
        }
        Refused::Body(error) => of_body(error),
    })
}

/// A body that was not taken.
pub(crate) fn of_body(error: BodyError) -> Problem {
    Problem::new(error.status(), "body", "The body was not taken.").detail(error.to_string())
}

/// The refusal of what came in clear although the issuer is https.
pub(crate) fn in_clear(issuer: &Issuer) -> HttpResponse {
    let problem = Problem::new(403, "not-encrypted", "This server is spoken to over https only.");
    respond(&problem.detail(format!(
        "Go to {issuer}. If you run it: name the proxy that speaks https in http.trusted_proxies, or set http.tls."
    )))
}

/// The answer for a problem.
#[must_use]
pub fn respond(problem: &Problem) -> HttpResponse {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A struct of texts and a number always serialises.
    let body = serde_json::to_vec(problem).unwrap_or_default();
    HttpResponse::build(status).content_type("application/problem+json").body(body)
}
