//! The page at `/`: who answers here. People come to it by the address bar; applications never do.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use web::Passage;
use web::page::Frame;

use crate::discovery;
use crate::texts::{self, Texts};

pub(crate) const PATH: &str = "/";

/// Who we are, and where applications read the rest.
#[derive(Template)]
#[template(path = "home.html")]
pub(crate) struct HomePage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) discovery: &'static str,
}

pub(crate) async fn get(passage: Passage) -> HttpResponse {
    let frame = Frame::new(passage.id(), passage.locale());
    let t = texts::of(passage.locale());
    frame.respond(StatusCode::OK, &HomePage { frame: &frame, t, discovery: discovery::OPENID_CONFIGURATION })
}
