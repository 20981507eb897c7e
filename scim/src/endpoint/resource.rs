//! Resources: one set of handlers for every kind.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::Value as Json;
use web::body::{Body, BodyError};

use super::caller::Caller;
use super::request::{condition, has, id, json, query, search as search_query};
use crate::answer::{self, IGNORED};
use crate::resource::{Done, Edit, Noun, Wanted, tag};
use crate::value::{Projection, read};
use crate::{Scim, ScimError, patch as operations};

type Answer = Result<HttpResponse, ScimError>;

/// `GET /Users`
pub(super) async fn list<N: Noun>(room: Data<Scim>, caller: Caller, request: HttpRequest) -> Answer {
    let page = room.list::<N>(&caller.origin.actor, &query(&request)?).await?;
    Ok(answer::json(&mut HttpResponse::Ok(), &page))
}

/// `POST /Users/.search`
pub(super) async fn search<N: Noun>(
    room: Data<Scim>,
    caller: Caller,
    request: HttpRequest,
    body: Result<Body, BodyError>,
) -> Answer {
    let query = search_query(&json(&request, body)?)?;
    Ok(answer::json(&mut HttpResponse::Ok(), &room.list::<N>(&caller.origin.actor, &query).await?))
}

/// `POST /.search`
pub(super) async fn search_everything(
    room: Data<Scim>,
    caller: Caller,
    request: HttpRequest,
    body: Result<Body, BodyError>,
) -> Answer {
    let query = search_query(&json(&request, body)?)?;
    Ok(answer::json(&mut HttpResponse::Ok(), &room.list_everything(&caller.origin.actor, &query).await?))
}

/// `GET /Users/{id}`
pub(super) async fn show<N: Noun>(room: Data<Scim>, _: Caller, request: HttpRequest) -> Answer {
    let projection = query(&request)?.projection(N::kind(&room));
    let row: N = room.get(id(&request)).await?;
    if has(&request, row.version()) {
        return Ok(tagged(&mut HttpResponse::NotModified(), &row).finish());
    }
    let body = one(&room, &row, &projection).await?;
    Ok(answer::json(tagged(&mut HttpResponse::Ok(), &row), &body))
}

/// `POST /Users`
pub(super) async fn create<N: Noun>(
    room: Data<Scim>,
    caller: Caller,
    request: HttpRequest,
    body: Result<Body, BodyError>,
) -> Answer {
    let kind = N::kind(&room);
    let projection = query(&request)?.projection(kind);
    let body = read(kind, &json(&request, body)?)?;
    let done: Done<N> = room.create(&caller.origin, body).await?;
    let shown = one(&room, &done.row, &projection).await?;
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, room.location(kind, &done.row.id())));
    Ok(answer::json(reported(tagged(&mut answer, &done.row), &caller, &done.ignored), &shown))
}

/// `PUT /Users/{id}`
pub(super) async fn replace<N: Noun>(
    room: Data<Scim>,
    caller: Caller,
    request: HttpRequest,
    body: Result<Body, BodyError>,
) -> Answer {
    let kind = N::kind(&room);
    let projection = query(&request)?.projection(kind);
    let edit = Edit::Replace(read(kind, &json(&request, body)?)?);
    let done = room.change(&caller.origin, id(&request), &edit, &condition(&request)).await?;
    changed::<N>(&room, &caller, &done, &projection).await
}

/// `PATCH /Users/{id}`. A group with many members is not sent back, unless without them: 204 then (RFC 7644,
/// section 3.5.2).
pub(super) async fn patch<N: Noun>(
    room: Data<Scim>,
    caller: Caller,
    request: HttpRequest,
    body: Result<Body, BodyError>,
) -> Answer {
    let kind = N::kind(&room);
    let projection = query(&request)?.projection(kind);
    let edit = Edit::Patch(operations::read(&json(&request, body)?)?);
    let done: Done<N> = room.change(&caller.origin, id(&request), &edit, &condition(&request)).await?;
    if done.row.is_small(room.db(), &Wanted::shown(kind, &projection)).await? {
        return changed(&room, &caller, &done, &projection).await;
    }
    let mut answer = HttpResponse::NoContent();
    Ok(reported(tagged(&mut answer, &done.row), &caller, &done.ignored).finish())
}

/// `DELETE /Users/{id}`
pub(super) async fn delete<N: Noun>(room: Data<Scim>, caller: Caller, request: HttpRequest) -> Answer {
    room.delete::<N>(&caller.origin, id(&request), &condition(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `/Me` (RFC 7644, section 3.11): a connection is nobody's.
pub(super) async fn me(_: Caller) -> Answer {
    Err(ScimError::plain(501, "this connection stands for no user: ask /Users for one by userName"))
}

async fn changed<N: Noun>(room: &Scim, caller: &Caller, done: &Done<N>, projection: &Projection) -> Answer {
    let shown = one(room, &done.row, projection).await?;
    let mut answer = HttpResponse::Ok();
    Ok(answer::json(reported(tagged(&mut answer, &done.row), caller, &done.ignored), &shown))
}

async fn one<N: Noun>(room: &Scim, row: &N, projection: &Projection) -> Result<Json, ScimError> {
    let shown = room.show(std::slice::from_ref(row), projection).await?;
    Ok(shown.into_iter().next().unwrap_or_default())
}

fn tagged<'a, N: Noun>(answer: &'a mut HttpResponseBuilder, row: &N) -> &'a mut HttpResponseBuilder {
    answer.insert_header((header::ETAG, tag(row.version())))
}

/// Tells client and log what was ignored.
fn reported<'a>(
    answer: &'a mut HttpResponseBuilder,
    caller: &Caller,
    names: &[String],
) -> &'a mut HttpResponseBuilder {
    if names.is_empty() {
        return answer;
    }
    tracing::info!(scim.connection = caller.name, scim.ignored = ?names, "ignored what means nothing here");
    if let Some(names) = answer::ignored(names) {
        answer.insert_header((IGNORED, names));
    }
    answer
}
