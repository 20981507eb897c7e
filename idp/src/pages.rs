//! The pages that every journey shares: a message, and what a page needs to stand in.

use actix_web::HttpResponse;
use actix_web::cookie::Cookie;
use actix_web::http::{StatusCode, header};
use askama::Template;
use web::page::Frame;
use web::{Locale, Passage};

use crate::error::IdpError;
use crate::texts::{self, Errors, Message, Texts};

/// Something happened; what to do next.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct MessagePage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    /// What to tell those who run this, when it is their turn.
    pub(crate) reference: Option<&'a str>,
}

/// The page of an error.
pub(crate) fn of_error(passage: &Passage, error: &IdpError) -> HttpResponse {
    let (status, _) = error.as_page(&texts::of(Locale::En).errors);
    let mut answer = message(passage, status, |errors| error.as_page(errors).1);
    if let Some(seconds) = error.retry_after() {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// The page of a fixed message.
pub(crate) fn message(
    passage: &Passage,
    status: u16,
    choose: impl FnOnce(&'static Errors) -> &'static Message,
) -> HttpResponse {
    let t = texts::of(passage.locale());
    let frame = Frame::new(passage.id(), passage.locale());
    let Message { title, text } = choose(&t.errors);
    let page = MessagePage { frame: &frame, t, title, text, reference: Some(passage.id().as_str()) };
    frame.respond(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &page)
}

/// To another address, with GET (RFC 9700, section 4.12: never 307, which would repeat a posted password).
pub(crate) fn see_other(location: &str) -> HttpResponse {
    match header::HeaderValue::from_str(location) {
        Ok(location) => HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish(),
        // Not a URI: nobody can be sent there.
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// Sets a cookie that may have to be set.
pub(crate) fn with_cookie(mut answer: HttpResponse, cookie: Option<Cookie<'static>>) -> HttpResponse {
    if let Some(cookie) = cookie
        && let Err(error) = answer.add_cookie(&cookie)
    {
        tracing::error!(%error, "a cookie could not be set");
    }
    answer
}
