//! Bodies with an end: as many bytes as the route allows, within 30 seconds.
//!
//! What a request says of its body (how long it is, that it is compressed) was judged before a handler runs
//! ([`crate::bounds`]). What only reading tells, the extractors fail with: take `Result<Body, BodyError>` in a handler
//! to answer in the protocol's own form.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;

use crate::{BadParams, Params, Route, problem};

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes of a body.
#[derive(Clone, Debug)]
pub struct Body(pub Bytes);

/// A form, `application/x-www-form-urlencoded`.
#[derive(Clone, Debug)]
pub struct Form(pub Params);

/// Why a body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the route allows.
    #[error("the body is larger than the {limit} bytes allowed here")]
    TooLarge {
        /// How many are.
        limit: usize,
    },
    /// It did not arrive within 30 seconds.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The connection broke, or the framing was wrong.
    #[error("the body could not be read")]
    Broken,
    /// It has a `Content-Encoding`.
    #[error("the body must not be compressed")]
    Encoded,
    /// It says that it is written in another character set.
    #[error("the body must be in UTF-8")]
    Charset,
    /// A form was expected.
    #[error("the body must be application/x-www-form-urlencoded")]
    NotAForm,
    /// The form cannot be read.
    #[error(transparent)]
    Params(#[from] BadParams),
}

impl BodyError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            BodyError::TooLarge { .. } => 413,
            BodyError::TooSlow => 408,
            BodyError::Encoded | BodyError::Charset | BodyError::NotAForm => 415,
            BodyError::Broken | BodyError::Params(_) => 400,
        }
    }
}

impl ResponseError for BodyError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::BAD_REQUEST)
    }

    fn error_response(&self) -> HttpResponse {
        problem::respond(&problem::of_body(*self))
    }
}

/// The media type of a request in lower case, without parameters.
#[must_use]
pub fn media_type(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

async fn read(request: HttpRequest, payload: Payload) -> Result<Bytes, BodyError> {
    let limit = Route::of(&request).map_or(0, |route| route.body_limit);
    in_time(PATIENCE, collect(payload, limit)).await
}

/// The whole body, however many bytes come now and then.
async fn in_time(
    patience: Duration,
    body: impl Future<Output = Result<Bytes, BodyError>>,
) -> Result<Bytes, BodyError> {
    actix_web::rt::time::timeout(patience, body).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, BodyError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

impl FromRequest for Body {
    type Error = BodyError;
    type Future = LocalBoxFuture<'static, Result<Self, BodyError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request.clone(), payload.take());
        Box::pin(async move { read.await.map(Self) })
    }
}

impl FromRequest for Form {
    type Error = BodyError;
    type Future = LocalBoxFuture<'static, Result<Self, BodyError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let read = read(request.clone(), payload.take());
        Box::pin(async move {
            let bytes = read.await?;
            if !is_form {
                return Err(BodyError::NotAForm);
            }
            Ok(Self(Params::parse(&bytes)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[actix_web::test]
    async fn a_body_that_trickles_is_given_up() {
        let trickle = stream::unfold((), |()| async {
            actix_web::rt::time::sleep(Duration::from_millis(5)).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        let payload = Payload::Stream { payload: trickle.boxed_local() };
        let slow = in_time(Duration::from_millis(50), collect(payload, 1_000_000)).await;
        assert_eq!(slow.map_err(|error| (error, error.status())), Err((BodyError::TooSlow, 408)));
        let whole = Payload::Stream { payload: stream::iter([Ok(Bytes::from_static(b"xy"))]).boxed_local() };
        assert_eq!(in_time(PATIENCE, collect(whole, 2)).await, Ok(Bytes::from_static(b"xy")));
    }
}
