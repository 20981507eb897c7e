//! The HTTP endpoints (RFC 7644, section 3.2), all below [`ROOT`].
//!
//! Handlers are thin: the caller is checked ([`caller`]), the body read ([`request`]), one function of the room
//! called, and its outcome rendered. Errors are [`crate::ScimError`] throughout, and answer in its form.
//!
//! To add an endpoint: a row in [`routes`] and a handler.

mod caller;
mod discovery;
mod request;
mod resource;

use actix_web::web::to;
use directory::group::Group;
use directory::user::User;
use web::{Method, Route, Visibility};

use crate::answer::refuse;
use crate::resource::Noun;
use crate::value::MAX_BODY_BYTES;

/// Where everything is.
pub(crate) const ROOT: &str = "/scim/v2";

/// The rows of the route table. Handlers want `actix_web::web::Data<Scim>`.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut routes = vec![
        public("/scim/v2/ServiceProviderConfig", || to(discovery::config)),
        public("/scim/v2/ResourceTypes", || to(discovery::resource_types)),
        public("/scim/v2/ResourceTypes/{id}", || to(discovery::resource_type)),
        public("/scim/v2/Schemas", || to(discovery::schemas)),
        public("/scim/v2/Schemas/{id}", || to(discovery::schema)),
        with_body(Method::Post, "/scim/v2/.search", || to(resource::search_everything)),
    ];
    let methods = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];
    routes.extend(methods.map(|method| closed(method, "/scim/v2/Me", || to(resource::me))));
    routes.extend(of::<User>("/scim/v2/Users", "/scim/v2/Users/.search", "/scim/v2/Users/{id}"));
    routes.extend(of::<Group>("/scim/v2/Groups", "/scim/v2/Groups/.search", "/scim/v2/Groups/{id}"));
    routes
}

type Handler = fn() -> actix_web::Route;

fn of<N: Noun>(all: &'static str, search: &'static str, one: &'static str) -> [Route; 7] {
    [
        closed(Method::Get, all, || to(resource::list::<N>)),
        with_body(Method::Post, all, || to(resource::create::<N>)),
        with_body(Method::Post, search, || to(resource::search::<N>)),
        closed(Method::Get, one, || to(resource::show::<N>)),
        with_body(Method::Put, one, || to(resource::replace::<N>)),
        with_body(Method::Patch, one, || to(resource::patch::<N>)),
        closed(Method::Delete, one, || to(resource::delete::<N>)),
    ]
}

fn public(path: &'static str, handler: Handler) -> Route {
    Route::new(Method::Get, path, Visibility::Public, handler).refused_by(refuse)
}

/// Every handler of such a row takes a [`caller::Caller`].
fn closed(method: Method, path: &'static str, handler: Handler) -> Route {
    Route::new(method, path, Visibility::ScimConnection, handler).refused_by(refuse)
}

fn with_body(method: Method, path: &'static str, handler: Handler) -> Route {
    closed(method, path, handler).body_limit(MAX_BODY_BYTES)
}
