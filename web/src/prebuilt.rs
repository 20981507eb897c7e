//! Bytes made beforehand, with an `ETag`: for documents that many ask for and that seldom change.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A document that is ready to be sent, headers and all, to any origin: it holds nothing that is not public.
#[derive(Clone, Debug)]
pub struct Prebuilt {
    content_type: HeaderValue,
    bytes: Bytes,
    etag: HeaderValue,
    cache_control: HeaderValue,
}

impl Prebuilt {
    /// Bytes that may be kept for `max_age` seconds.
    #[must_use]
    pub fn new(content_type: &'static str, bytes: impl Into<Bytes>, max_age: u32) -> Self {
        let bytes = bytes.into();
        let digest = URL_SAFE_NO_PAD.encode(&kernel::sha256(&bytes)[..16]);
        Self::tagged(content_type, bytes, format!("\"{digest}\""), max_age)
    }

    /// The same with a strong `ETag` that is known already, quotes included: visible ASCII.
    #[must_use]
    pub fn tagged(content_type: &'static str, bytes: impl Into<Bytes>, etag: String, max_age: u32) -> Self {
        let header = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""));
        Self {
            content_type: HeaderValue::from_static(content_type),
            bytes: bytes.into(),
            etag: header(etag),
            cache_control: header(format!("public, max-age={max_age}")),
        }
    }

    /// The whole, or 304 for who has it already (RFC 9110, section 13.1.2).
    #[must_use]
    pub fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let known = request.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
        let matches = known.flat_map(|tags| tags.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || self.etag == tag.strip_prefix("W/").unwrap_or(tag)
        });
        let mut answer = if matches { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer
            .insert_header((header::ETAG, self.etag.clone()))
            .insert_header((header::CACHE_CONTROL, self.cache_control.clone()))
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")));
        if matches {
            answer.finish()
        } else {
            answer.content_type(self.content_type.clone()).body(self.bytes.clone())
        }
    }
}
