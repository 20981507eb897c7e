//! What the server says about itself, to anybody (RFC 7644, section 4).

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use web::Prebuilt;

use super::request::{has_filter, id};
use crate::resource::not_found;
use crate::{Scim, ScimError};

pub(super) async fn config(room: Data<Scim>, request: HttpRequest) -> Result<HttpResponse, ScimError> {
    answer(&request, Some(&room.discovery().config))
}

pub(super) async fn resource_types(
    room: Data<Scim>,
    request: HttpRequest,
) -> Result<HttpResponse, ScimError> {
    answer(&request, Some(&room.discovery().resource_types.list))
}

pub(super) async fn resource_type(room: Data<Scim>, request: HttpRequest) -> Result<HttpResponse, ScimError> {
    answer(&request, room.discovery().resource_types.get(id(&request)))
}

pub(super) async fn schemas(room: Data<Scim>, request: HttpRequest) -> Result<HttpResponse, ScimError> {
    answer(&request, Some(&room.discovery().schemas.list))
}

pub(super) async fn schema(room: Data<Scim>, request: HttpRequest) -> Result<HttpResponse, ScimError> {
    answer(&request, room.discovery().schemas.get(id(&request)))
}

/// Other parameters are ignored here; a filter must be refused, since ignoring it would answer wrongly.
fn answer(request: &HttpRequest, document: Option<&Prebuilt>) -> Result<HttpResponse, ScimError> {
    if has_filter(request) {
        return Err(ScimError::plain(403, "discovery cannot be filtered: read it whole"));
    }
    let document = document.ok_or_else(|| not_found("document"))?;
    Ok(document.respond(request))
}
