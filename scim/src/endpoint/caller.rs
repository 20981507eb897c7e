//! Who calls: an HR system with the token of its SCIM connection (RFC 6750).

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use directory::scim_connection;
use futures_util::future::LocalBoxFuture;
use kernel::Actor;
use store::Origin;
use web::Passage;

use crate::{Scim, ScimError};

/// An authenticated SCIM connection. An extractor: it refuses before a handler runs.
pub(super) struct Caller {
    /// On whose behalf changes are made, and in answer to which request.
    pub(super) origin: Origin,
    /// What the administrator calls the connection.
    pub(super) name: String,
}

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotLetIn {
    /// No bearer token was sent.
    #[error("send the token of the SCIM connection: Authorization: Bearer …")]
    NoToken,
    /// It is no connection's token.
    #[error("this token belongs to no SCIM connection; it may have been replaced")]
    WrongToken,
    /// It could not be checked.
    #[error(transparent)]
    Failed(ScimError),
}

impl ResponseError for NotLetIn {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Failed(error) => error.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let challenge = match self {
            Self::Failed(error) => return error.error_response(),
            // Who sent nothing did nothing wrong (RFC 6750, section 3.1).
            Self::NoToken => r#"Bearer realm="scim""#,
            Self::WrongToken => r#"Bearer realm="scim", error="invalid_token""#,
        };
        let mut answer = ScimError::plain(401, self.to_string()).error_response();
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
        answer
    }
}

impl FromRequest for Caller {
    type Error = NotLetIn;
    type Future = LocalBoxFuture<'static, Result<Self, NotLetIn>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let room = request.app_data::<Data<Scim>>().cloned();
        let passage = Passage::from_request(request, payload).into_inner();
        let token = bearer(request).map(str::to_owned);
        Box::pin(async move {
            let (Some(room), Ok(passage)) = (room, passage) else {
                tracing::error!("a SCIM endpoint was mounted without its room");
                return Err(NotLetIn::Failed(ScimError::plain(500, "this server is not set up")));
            };
            let token = token.ok_or(NotLetIn::NoToken)?;
            let found = scim_connection::by_token(room.db(), &token).await;
            let connection = found.map_err(|error| NotLetIn::Failed(error.into()))?;
            let connection = connection.ok_or(NotLetIn::WrongToken)?;
            let actor = Actor::ScimConnection(connection.id);
            let origin = Origin { actor, request: Some(passage.id().clone()) };
            Ok(Self { origin, name: connection.name })
        })
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}
