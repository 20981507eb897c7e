//! The passage of a request through the house: the wrapper around every endpoint.
//!
//! It gives each request an id, finds out the client's address and language, writes one log line, sets the
//! headers that every answer has, and turns a panic into the error form of the protocol.
//!
//! What it is not: it trusts nothing that it is sent. A request id from outside is ignored, a forwarded
//! address counts only from a named proxy, and neither query strings, cookies, bodies nor tokens are logged;
//! the log says the route, not the path, since paths may carry them.

use std::cell::Cell;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse};
use futures_util::FutureExt as _;
use kernel::{Ctx, RequestId};
use tracing::Instrument as _;

use crate::address::UNKNOWN;
use crate::connection::Connection;
use crate::route::{Plain, Refused, Unknown};
use crate::{Issuer, Locale, Networks, Route, problem};

/// What the edge of the house needs to know.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Clock and entropy.
    pub ctx: Ctx,
    /// Where this deployment is found.
    pub issuer: Issuer,
    /// Proxies whose `X-Forwarded-For` counts, and who may speak https for us.
    pub proxies: Networks,
}

impl Edge {
    /// Whether what a peer sends went in clear where browsers were promised https: neither we nor a proxy of
    /// ours has taken the encryption off.
    fn is_in_clear(&self, request: &ServiceRequest) -> bool {
        let by_proxy = || request.peer_addr().is_none_or(|peer| self.proxies.hold(peer.ip()));
        self.issuer.is_https() && !request.app_config().secure() && !by_proxy()
    }
}

/// What is known about a request before any room sees it. An extractor; cheap to clone.
#[derive(Clone, Debug)]
pub struct Passage(Rc<Known>);

#[derive(Debug)]
struct Known {
    id: RequestId,
    client: IpAddr,
    locale: Locale,
    wants_page: bool,
    route: Cell<Option<Route>>,
}

impl Passage {
    /// Our id of the request, in each log line and fact that it causes, and in `x-request-id`.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.0.id
    }

    /// The client's address: the peer, or what named proxies say. `0.0.0.0` when they do not say: unknown, and in
    /// nobody's network.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.0.client
    }

    /// The language that the browser asks for.
    #[must_use]
    pub fn locale(&self) -> Locale {
        self.0.locale
    }

    /// Whether it is a browser that asks for something to look at.
    #[must_use]
    pub fn wants_page(&self) -> bool {
        self.0.wants_page
    }

    /// The row of the table, once it is known.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        self.0.route.get()
    }

    pub(crate) fn enter(&self, route: Route) {
        self.0.route.set(Some(route));
    }

    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    fn begin(edge: &Edge, request: &ServiceRequest) -> Self {
        let headers = request.headers();
        let texts = |name: HeaderName| {
            let all: Vec<&str> = headers.get_all(name).filter_map(|value| value.to_str().ok()).collect();
            all.into_iter()
        };
        let peer = request.peer_addr().map_or(UNKNOWN, |peer| peer.ip());
        Self(Rc::new(Known {
            id: RequestId::new(&edge.ctx),
            client: edge.proxies.client(peer, texts(header::X_FORWARDED_FOR)),
            locale: texts(header::ACCEPT_LANGUAGE).next().map(Locale::accepted).unwrap_or_default(),
            wants_page: texts(header::ACCEPT).any(|accept| accept.contains("text/html")),
            route: Cell::new(None),
        }))
    }
}

impl FromRequest for Passage {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    /// Fails only for a handler that was not mounted by [`crate::mount`].
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request).ok_or_else(|| actix_web::error::ErrorInternalServerError("not mounted")))
    }
}

/// The wrapper. `unknown` answers for paths that no route has; `plain` are paths that are answered in clear, too.
pub(crate) async fn accompany(
    edge: Arc<Edge>,
    unknown: Unknown,
    plain: Plain,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let _under_way = request.conn_data::<Connection>().map(Connection::request);
    let passage = Passage::begin(&edge, &request);
    let method = request.method().clone();
    let path_form = unknown.of(request.path());
    let span = tracing::info_span!("request", request.id = %passage.id(), http.method = %method);
    request.extensions_mut().insert(passage.clone());
    let started = Instant::now();
    let mut answer = if edge.is_in_clear(&request) && !plain.holds(request.path()) {
        Answer::Whole(request.into_response(problem::in_clear(&edge.issuer)))
    } else {
        match AssertUnwindSafe(next.call(request)).catch_unwind().instrument(span.clone()).await {
            Ok(Ok(answer)) => Answer::Whole(answer),
            Ok(Err(error)) => Answer::Bare(error.error_response()),
            Err(panic) => {
                let _entered = span.enter();
                tracing::error!(panic.message = message(panic.as_ref()), "a request panicked");
                let refuse = passage.route().map_or(path_form, |route| route.refuse);
                Answer::Bare(refuse(&passage, Refused::Failed))
            }
        }
    };
    let _entered = span.enter();
    answer.dress(&edge, &passage);
    record(&passage, answer.status(), started);
    answer.give()
}

/// An answer; a bare one has lost its request on the way.
enum Answer {
    Whole(ServiceResponse<BoxBody>),
    Bare(HttpResponse),
}

impl Answer {
    fn status(&self) -> u16 {
        match self {
            Answer::Whole(answer) => answer.status().as_u16(),
            Answer::Bare(answer) => answer.status().as_u16(),
        }
    }

    fn dress(&mut self, edge: &Edge, passage: &Passage) {
        let headers = match self {
            Answer::Whole(answer) => answer.headers_mut(),
            Answer::Bare(answer) => answer.headers_mut(),
        };
        set_headers(headers, edge, passage);
    }

    fn give(self) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
        match self {
            Answer::Whole(answer) => Ok(answer),
            Answer::Bare(answer) => {
                Err(actix_web::error::InternalError::from_response("answered", answer).into())
            }
        }
    }
}

fn set_headers(headers: &mut HeaderMap, edge: &Edge, passage: &Passage) {
    let mut default = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::REFERRER_POLICY, "no-referrer");
    default(header::CACHE_CONTROL, "no-store");
    default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    if passage.route().is_some_and(|route| route.cross_origin) {
        default(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        default(header::ACCESS_CONTROL_EXPOSE_HEADERS, "WWW-Authenticate, X-Request-Id");
    }
    if edge.issuer.is_https() {
        default(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if let Ok(id) = HeaderValue::from_str(passage.id().as_str()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

fn record(passage: &Passage, status: u16, started: Instant) {
    let route = passage.route().map_or("-", |route| route.path);
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        http.route = route,
        http.status = status,
        http.latency_us = micros,
        client.address = %passage.client(),
        "answered"
    );
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}
