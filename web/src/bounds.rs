//! What a request may be before a handler sees it: the limits that every endpoint shares, and the body limit of its
//! row. Whatever is beyond them is refused in the protocol's own form, as soon as it is known which endpoint was meant.
//!
//! What it is not: it is not the first bound. The parser of actix-http refuses more than 96 headers, a head of more
//! than 128 KiB and a target of more than 64 KiB by itself, with a bare status: there is no request yet that an
//! endpoint could answer. And it reads no body: that is [`crate::body`]'s part, with an end and within a time.
//!
//! To add a bound: a constant with its unit, a question in `exceeded`, a variant of [`Refused`].

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap};

use crate::body::BodyError;
use crate::{Refused, Route};

/// The longest path with its query, in bytes. The longest authorization request has half of it.
pub const TARGET: usize = 16 * 1024;
/// The most headers; cookies count as one, into however many headers a proxy has split them. A browser behind two
/// proxies sends some forty.
pub const HEADERS: usize = 64;
/// All headers together, names and values, in bytes. The longest token that is looked at has half of it.
pub const HEADER_BYTES: usize = 32 * 1024;
/// The longest body that is passed over where none is read, in bytes: some clients send `{}` along with a DELETE. Its
/// length must be announced.
pub const IGNORED_BODY: usize = 1024;

/// Headers that may come once. Whoever stands before us and looks at the other one would see another request.
const ONCE: [&str; 2] = ["Authorization", "Content-Type"];
/// Character sets in which our parameters and JSON read as in UTF-8, or are found not to be.
const CHARSETS: [&str; 4] = ["utf-8", "utf8", "us-ascii", "iso-8859-1"];

/// The first bound that a request exceeds. `row` is what it asks for, unless the path has no such method.
pub(crate) fn exceeded(request: &ServiceRequest, row: Option<Route>) -> Option<Refused> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET {
        return Some(Refused::Target);
    }
    let headers = request.headers();
    // Browsers send each by itself over HTTP/2, and proxies should put them together again (RFC 9113, section 8.2.3).
    let more_cookies = headers.get_all(header::COOKIE).count().saturating_sub(1);
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if headers.len() - more_cookies > HEADERS || bytes.sum::<usize>() > HEADER_BYTES {
        return Some(Refused::Headers);
    }
    if let Some(name) = ONCE.into_iter().find(|name| headers.get_all(*name).count() > 1) {
        return Some(Refused::Repeated(name));
    }
    row.and_then(|row| body(headers, row.body_limit).err()).map(Refused::Body)
}

/// What can be said of a body before it is read.
fn body(headers: &HeaderMap, limit: usize) -> Result<(), BodyError> {
    // Of unknown length: chunked. The two never come together.
    let streams = headers.contains_key(header::TRANSFER_ENCODING);
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let announced = announced.unwrap_or(0_u64);
    if limit == 0 && !streams && announced == 0 {
        return Ok(());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(BodyError::Encoded);
    }
    if charset(headers).is_some_and(|charset| !CHARSETS.contains(&charset.as_str())) {
        return Err(BodyError::Charset);
    }
    let most = if limit == 0 { IGNORED_BODY } else { limit };
    if limit == 0 && streams || announced > most as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(())
}

/// The `charset` of the media type, in lower case.
fn charset(headers: &HeaderMap) -> Option<String> {
    let media = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = media.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.next().map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn check(request: TestRequest, limit: usize, expect: Option<Refused>) {
        let row = Route::new(crate::Method::Post, "/x", crate::Visibility::Public, actix_web::web::post)
            .body_limit(limit);
        let request = request.to_srv_request();
        assert_eq!(exceeded(&request, Some(row)), expect, "{:?}", request.headers());
    }

    fn long(length: usize) -> TestRequest {
        TestRequest::post().uri(&format!("/{}", "a".repeat(length - 1)))
    }

    fn header(name: &'static str, value: &str) -> TestRequest {
        TestRequest::post().insert_header((name, value))
    }

    #[test]
    fn a_request_ends_somewhere() {
        check(long(TARGET), 9, None);
        check(long(TARGET + 1), 9, Some(Refused::Target));
        let many = |name: &'static str, count: usize| {
            (0..count).fold(header("cookie", "a=1"), |request, _| request.append_header((name, "y=2")))
        };
        check(many("x", HEADERS - 1), 9, None);
        check(many("x", HEADERS), 9, Some(Refused::Headers));
        check(many("cookie", 2 * HEADERS), 9, None);
        check(header("x", &"y".repeat(HEADER_BYTES - 1)), 9, None);
        check(header("x", &"y".repeat(HEADER_BYTES)), 9, Some(Refused::Headers));
    }

    #[test]
    fn who_says_twice_who_calls_says_nothing() {
        let twice = |name: &'static str| header(name, "Bearer a").append_header((name, "Bearer a"));
        check(twice("authorization"), 0, Some(Refused::Repeated("Authorization")));
        check(twice("content-type"), 0, Some(Refused::Repeated("Content-Type")));
        check(twice("cookie"), 0, None);
    }

    #[test]
    fn a_body_is_judged_by_what_is_said_of_it() {
        let too_large = |limit| Some(Refused::Body(BodyError::TooLarge { limit }));
        check(header("content-length", "9"), 9, None);
        check(header("content-length", "10"), 9, too_large(9));
        check(header("content-length", "99999999999"), 9, too_large(9));
        check(header("transfer-encoding", "chunked"), 9, None);
        // Where none is read.
        check(header("content-length", "0"), 0, None);
        check(header("content-length", "1024"), 0, None);
        check(header("content-length", "1025"), 0, too_large(0));
        check(header("transfer-encoding", "chunked"), 0, too_large(0));
        check(header("content-encoding", "gzip"), 9, Some(Refused::Body(BodyError::Encoded)));
        check(header("content-encoding", "gzip"), 0, None);
        for (media, expect) in [
            ("application/json", None),
            ("application/json; charset=UTF-8", None),
            ("application/x-www-form-urlencoded; charset=\"ISO-8859-1\"", None),
            ("application/json;charset=utf-16", Some(Refused::Body(BodyError::Charset))),
            ("application/json; a=b; CHARSET=cp037", Some(Refused::Body(BodyError::Charset))),
        ] {
            check(header("content-type", media), 9, expect);
        }
    }
}
