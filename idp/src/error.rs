//! What can go wrong, sorted by what the caller can do, with one form for applications and one for people.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use directory::DirectoryError;
use directory::authenticator::passkey::PasskeyError;
use directory::authenticator::password::PasswordError;
use keys::KeysError;
use serde_json::json;
use store::{EphemeralError, StoreError};
use web::body::BodyError;
use web::{BadParams, Passage, Refused, Repeated};

use crate::pages;
use crate::texts::Message;

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdpError {
    /// Malformed: mend the request.
    #[error("{0}")]
    InvalidRequest(Cow<'static, str>),
    /// Unknown client, wrong secret, or no secret where one is needed.
    #[error("the client could not be authenticated")]
    InvalidClient,
    /// The code or token cannot be used: begin again.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// Another grant type than ours.
    #[error("grant_type must be authorization_code, refresh_token or client_credentials")]
    UnsupportedGrantType,
    /// A grant type that was not declared for this client.
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    /// A token that cannot be ended before its time.
    #[error("a service's token cannot be revoked: it dies by itself within minutes")]
    UnsupportedTokenType,
    /// More than was granted, or less than is needed.
    #[error("{0}")]
    InvalidScope(&'static str),
    /// The body was not taken.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The browser is sent to this address: to the application, which is told, or to sign in first.
    #[error("sent elsewhere")]
    Elsewhere(String),
    /// Nobody may be redirected anywhere: no such client.
    #[error("there is no such client")]
    UnknownClient,
    /// Nobody may be redirected anywhere: not an address of this client.
    #[error("the redirect_uri is not registered for this client")]
    UnregisteredRedirect,
    /// A form that was made for another browser, or sent from another site's page.
    #[error("the form was not made for this browser")]
    ForeignForm,
    /// An invitation that is used up, too old, or never was.
    #[error("the invitation cannot be used any more")]
    InvitationGone,
    /// A link for the first administrator that is used up, too old, or never was.
    #[error("the set-up link cannot be used any more")]
    SetUpLinkGone,
    /// A page that is not there (any more).
    #[error("there is nothing here")]
    NothingHere,
    /// Passwords are not recovered by mail here: ask the administrator.
    #[error("mail is not set up")]
    NoRecovery,
    /// Too many wrong passwords: wait.
    #[error("too many attempts")]
    Throttled {
        /// How long to wait at most.
        retry_after: Duration,
    },
    /// More people sign in at once than wait for a hashing thread: not this one's fault, and over in a moment.
    #[error("too many sign-ins at once; try again in a moment")]
    Crowded,
    /// Try again in a moment.
    #[error("too busy to answer; try again in a moment")]
    Busy,
    /// Our fault, and nothing that the caller can do.
    #[error("something failed on our side")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl IdpError {
    pub(crate) fn invalid_request(text: impl Into<Cow<'static, str>>) -> Self {
        IdpError::InvalidRequest(text.into())
    }

    /// A failure that no caller can cause: see the log.
    pub(crate) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        IdpError::Failed(error.into())
    }

    /// Logs what only we can mend, once, with its causes.
    fn log(&self) {
        if let IdpError::Failed(cause) = self {
            let mut causes = cause.to_string();
            let mut next = cause.source();
            while let Some(cause) = next {
                causes = format!("{causes}: {cause}");
                next = cause.source();
            }
            tracing::error!(error = causes, "a request failed");
        }
    }

    /// HTTP status and OAuth error code (RFC 6749, section 5.2).
    fn as_oauth(&self) -> (u16, &'static str) {
        match self {
            IdpError::InvalidRequest(_) | IdpError::ForeignForm | IdpError::UnregisteredRedirect => {
                (400, "invalid_request")
            }
            IdpError::Body(error) => (error.status(), "invalid_request"),
            IdpError::InvalidClient | IdpError::UnknownClient => (401, "invalid_client"),
            IdpError::InvalidGrant(_) | IdpError::InvitationGone | IdpError::SetUpLinkGone => {
                (400, "invalid_grant")
            }
            IdpError::NoRecovery | IdpError::NothingHere => (404, "invalid_request"),
            IdpError::UnsupportedGrantType => (400, "unsupported_grant_type"),
            IdpError::UnauthorizedClient(_) => (400, "unauthorized_client"),
            IdpError::UnsupportedTokenType => (400, "unsupported_token_type"),
            IdpError::InvalidScope(_) => (400, "invalid_scope"),
            IdpError::Throttled { .. } | IdpError::Crowded => (429, "temporarily_unavailable"),
            IdpError::Busy => (503, "temporarily_unavailable"),
            IdpError::Failed(_) | IdpError::Elsewhere(_) => (500, "server_error"),
        }
    }

    /// HTTP status and text of the page.
    pub(crate) fn as_page(&self, texts: &'static crate::texts::Errors) -> (u16, &'static Message) {
        match self {
            IdpError::UnknownClient | IdpError::InvalidClient => (400, &texts.unknown_client),
            IdpError::UnregisteredRedirect => (400, &texts.unregistered_redirect),
            IdpError::ForeignForm => (403, &texts.foreign_form),
            IdpError::InvitationGone => (410, &texts.invitation_gone),
            IdpError::SetUpLinkGone => (410, &texts.set_up_link_gone),
            IdpError::NothingHere => (404, &texts.not_found),
            IdpError::NoRecovery => (404, &texts.no_recovery),
            IdpError::Throttled { .. } => (429, &texts.throttled),
            IdpError::Crowded => (429, &texts.busy),
            IdpError::Busy => (503, &texts.busy),
            IdpError::Body(error) => (error.status(), &texts.invalid_request),
            IdpError::InvalidRequest(_)
            | IdpError::InvalidGrant(_)
            | IdpError::UnsupportedGrantType
            | IdpError::UnauthorizedClient(_)
            | IdpError::UnsupportedTokenType
            | IdpError::InvalidScope(_) => (400, &texts.invalid_request),
            IdpError::Failed(_) | IdpError::Elsewhere(_) => (500, &texts.failed),
        }
    }

    /// Seconds after which it is worth trying again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            IdpError::Throttled { retry_after } => Some(retry_after.as_secs()),
            IdpError::Crowded | IdpError::Busy => Some(2),
            _ => None,
        }
    }
}

/// An answer for an application: as it is, or the error as JSON (RFC 6749, section 5.2).
pub(crate) fn answer_as_oauth(answer: Result<HttpResponse, IdpError>) -> HttpResponse {
    answer.unwrap_or_else(|error| {
        error.log();
        let (status, code) = error.as_oauth();
        let mut answer = oauth_error(status, code, &error.to_string());
        if let Some(seconds) = error.retry_after() {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if matches!(error, IdpError::InvalidClient) {
            let basic = header::HeaderValue::from_static("Basic realm=\"cardea\", charset=\"UTF-8\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        answer
    })
}

/// An answer for a person: as it is, a redirect to where the browser belongs, or the error as a page.
pub(crate) fn answer_as_page(passage: &Passage, answer: Result<HttpResponse, IdpError>) -> HttpResponse {
    match answer {
        Ok(answer) => answer,
        Err(IdpError::Elsewhere(location)) => pages::see_other(&location),
        Err(error) => {
            error.log();
            pages::of_error(passage, &error)
        }
    }
}

fn oauth_error(status: u16, code: &str, description: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
        .insert_header((header::PRAGMA, "no-cache"))
        .json(json!({ "error": code, "error_description": description }))
}

/// How OAuth endpoints refuse before their handler runs: a [`web::Refuse`].
#[must_use]
pub fn refuse_as_oauth(_: &Passage, refused: Refused) -> HttpResponse {
    match refused {
        Refused::Unknown => oauth_error(404, "invalid_request", "there is no such endpoint"),
        Refused::Method => oauth_error(405, "invalid_request", "use the method that the Allow header names"),
        Refused::Failed => oauth_error(500, "server_error", "something failed on our side"),
        refused => oauth_error(refused.status(), "invalid_request", &refused.to_string()),
    }
}

/// How pages refuse before their handler runs: a [`web::Refuse`].
#[must_use]
pub fn refuse_as_page(passage: &Passage, refused: Refused) -> HttpResponse {
    match refused {
        Refused::Unknown => pages::message(passage, 404, |errors| &errors.not_found),
        Refused::Method => pages::message(passage, 405, |errors| &errors.invalid_request),
        Refused::Failed => pages::message(passage, 500, |errors| &errors.failed),
        refused => pages::message(passage, refused.status(), |errors| &errors.invalid_request),
    }
}

impl From<Repeated> for IdpError {
    fn from(error: Repeated) -> Self {
        IdpError::invalid_request(error.to_string())
    }
}

impl From<BadParams> for IdpError {
    fn from(error: BadParams) -> Self {
        IdpError::Body(error.into())
    }
}

impl From<StoreError> for IdpError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Conflict => IdpError::Busy,
            // Not for the caller to mend, and over as soon as the clock is right: readiness says what it is.
            error @ StoreError::Clock(_) => {
                tracing::error!(%error, "a change was refused");
                IdpError::Busy
            }
            error => IdpError::failed(error),
        }
    }
}

impl From<DirectoryError> for IdpError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => error.into(),
            // Somebody was faster; trying again reads anew.
            DirectoryError::VersionMismatch => IdpError::Busy,
            error => IdpError::failed(error),
        }
    }
}

impl From<KeysError> for IdpError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::NotReady(_) => IdpError::Busy,
            error => IdpError::failed(error),
        }
    }
}

impl From<PasswordError> for IdpError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => IdpError::Crowded,
            error => IdpError::failed(error),
        }
    }
}

/// What a person can mend is sorted out before ([`crate::ceremony`]).
impl From<PasskeyError> for IdpError {
    fn from(error: PasskeyError) -> Self {
        match error {
            PasskeyError::Directory(error) => error.into(),
            error => IdpError::failed(error),
        }
    }
}

/// Without its counters nobody signs in: guessing would be free.
impl From<EphemeralError> for IdpError {
    fn from(error: EphemeralError) -> Self {
        tracing::error!(%error, "counting attempts failed");
        IdpError::Busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_met_somebody_faster_is_told_to_come_back() {
        for error in [
            IdpError::from(DirectoryError::VersionMismatch),
            IdpError::from(DirectoryError::from(StoreError::Conflict)),
            IdpError::from(StoreError::Conflict),
            IdpError::from(StoreError::Busy),
            IdpError::from(StoreError::Clock(5_000)),
        ] {
            let answer = answer_as_oauth(Err(error));
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "2");
        }
    }
}
