//! Answers in the form of the protocol: resources, lists and errors.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use web::{Passage, Refused};

use crate::ScimError;

/// The media type of everything that is answered (RFC 7644, section 8.1).
pub(crate) const MEDIA_TYPE: &str = "application/scim+json";
/// Names what a request said and nobody here understands.
pub(crate) const IGNORED: &str = "x-scim-ignored";
/// Longest value of that header, in bytes.
const MAX_IGNORED_BYTES: usize = 1_024;
/// When to come back after a 503, in seconds.
const RETRY_AFTER: u32 = 1;

impl ResponseError for ScimError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        if let Some(scim_type) = self.scim_type {
            tracing::info!(scim.error = ?scim_type, "refused");
        }
        let mut answer = HttpResponse::build(self.status_code());
        if self.status == 503 {
            answer.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        json(&mut answer, self)
    }
}

/// The form in which the house refuses below `/scim/`: a [`web::Refuse`].
#[must_use]
pub fn refuse(passage: &Passage, refused: Refused) -> HttpResponse {
    let error = match refused {
        Refused::Unknown => ScimError::plain(
            404,
            "there is nothing at this address; /scim/v2/ResourceTypes says what there is",
        ),
        Refused::Method => ScimError::plain(
            405,
            "this address does not know that method; the Allow header names those it knows",
        ),
        Refused::Failed => {
            let why =
                format!("something failed on our side; the log says more under request id {}", passage.id());
            ScimError::plain(500, why)
        }
        refused => ScimError::plain(refused.status(), refused.to_string()),
    };
    error.error_response()
}

/// The answer with this body.
pub(crate) fn json(answer: &mut HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(bytes) => answer.content_type(MEDIA_TYPE).body(bytes),
        // What we serialise are JSON values and messages with text keys.
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// The value of [`IGNORED`]; names that no header can carry are left out.
pub(crate) fn ignored(names: &[String]) -> Option<String> {
    let mut value = String::new();
    for name in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic())) {
        let comma = if value.is_empty() { "" } else { ", " };
        if value.len() + comma.len() + name.len() > MAX_IGNORED_BYTES {
            break;
        }
        value = format!("{value}{comma}{name}");
    }
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expect: Option<&str>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(ignored(&names).as_deref(), expect, "{names:?}");
    }

    #[test]
    fn ignored_names_fit_into_a_header() {
        check(&[], None);
        check(&["password"], Some("password"));
        check(&["password", "urn:x:y"], Some("password, urn:x:y"));
        check(&["näme", "a b", "line\nbreak", "ok"], Some("ok"));
        check(&["näme"], None);
        let long = "x".repeat(1_000);
        check(&[&long, &long], Some(&long));
        check(&[&"x".repeat(2_000)], None);
    }

    #[test]
    fn who_finds_us_busy_is_told_when_to_come_back() {
        let answer = ScimError::plain(503, "busy").error_response();
        assert_eq!(answer.headers().get("retry-after").unwrap(), "1");
        assert_eq!(answer.headers().get("content-type").unwrap(), MEDIA_TYPE);
    }
}
