//! The route table: every endpoint of the house with who may call it.
//!
//! INVARIANT: [`mount`] is the only way an endpoint comes to exist, and takes nothing but table rows, so a
//! snapshot of [`describe`] is a snapshot of all there is.

use std::fmt;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{HttpServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::guard::{Guard, GuardContext};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::ServiceConfig;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};

use crate::body::BodyError;
use crate::passage::accompany;
use crate::{Edge, Passage, bounds, problem};

/// An HTTP method that routes may have. `GET` answers `HEAD`, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "their names say it: RFC 9110, section 9")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    fn takes(self, method: &actix_web::http::Method) -> bool {
        method.as_str() == self.as_str() || self == Method::Get && *method == actix_web::http::Method::HEAD
    }
}

/// Who may call an endpoint. The handler enforces it; tests call each as nobody and look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// Anybody.
    Public,
    /// A person's browser, signed in or not.
    Browser,
    /// An OAuth client, authenticated as it was registered.
    Client,
    /// Whoever holds an access token.
    Token,
    /// An HR system with the token of its SCIM connection.
    ScimConnection,
    /// Those who run this deployment; no data of people.
    Operations,
}

/// Why the house refuses before a handler runs, or after it broke. As text, what the caller did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No route has this path: 404.
    #[error("there is nothing at this address")]
    Unknown,
    /// The path is known, not with this method: 405. `Allow` is set by the house.
    #[error("this address does not know that method; the Allow header names those it knows")]
    Method,
    /// The handler panicked: 500.
    #[error("something failed on our side")]
    Failed,
    /// Path and query are longer than [`bounds::TARGET`]: 414.
    #[error("the address is longer than {} bytes", bounds::TARGET)]
    Target,
    /// More headers than [`bounds::HEADERS`], or longer ones than [`bounds::HEADER_BYTES`]: 431.
    #[error(
        "there are more than {} headers, or they are longer than {} bytes",
        bounds::HEADERS,
        bounds::HEADER_BYTES
    )]
    Headers,
    /// A header that may come once came again: 400.
    #[error("the header {0} was sent more than once")]
    Repeated(&'static str),
    /// The body is not one that this route takes.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl Refused {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Refused::Unknown => 404,
            Refused::Method => 405,
            Refused::Failed => 500,
            Refused::Target => 414,
            Refused::Headers => 431,
            Refused::Repeated(_) => 400,
            Refused::Body(error) => error.status(),
        }
    }
}

/// A protocol's form of a refusal.
pub type Refuse = fn(&Passage, Refused) -> HttpResponse;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may call it.
    pub visibility: Visibility,
    /// At most this many bytes of body are read.
    pub body_limit: usize,
    /// Whether scripts of any origin may call it and read its answer.
    pub cross_origin: bool,
    /// The protocol's form of a refusal.
    pub refuse: Refuse,
    /// What answers.
    pub handler: fn() -> actix_web::Route,
}

impl Route {
    /// A row for requests without a body, refused with problems. Write the handler as
    /// `|| actix_web::web::to(show)`.
    #[must_use]
    pub const fn new(
        method: Method,
        path: &'static str,
        visibility: Visibility,
        handler: fn() -> actix_web::Route,
    ) -> Self {
        Self {
            method,
            path,
            visibility,
            body_limit: 0,
            cross_origin: false,
            refuse: problem::refuse,
            handler,
        }
    }

    /// The same with a body of at most so many bytes.
    #[must_use]
    pub const fn body_limit(self, bytes: usize) -> Self {
        Self { body_limit: bytes, ..self }
    }

    /// The same for scripts of any origin, too: applications that run in a browser. Any origin is safe where no
    /// cookie counts, and only there: whoever calls brings its own proof, or needs none.
    #[must_use]
    pub const fn cross_origin(self) -> Self {
        Self { cross_origin: true, ..self }
    }

    /// The same with another form of refusal.
    #[must_use]
    pub const fn refused_by(self, refuse: Refuse) -> Self {
        Self { refuse, ..self }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?} {}", self.method.as_str(), self.path, self.visibility, self.body_limit)?;
        f.write_str(if self.cross_origin { " cross-origin" } else { "" })
    }
}

/// The whole table as text, sorted by path, a line each: for a test that holds it against a reviewed copy.
#[must_use]
pub fn describe(routes: &[Route]) -> String {
    let mut sorted: Vec<&Route> = routes.iter().collect();
    sorted.sort_by_key(|route| (route.path, route.method));
    sorted.iter().map(|route| format!("{route:?}\n")).collect()
}

/// Which form a refusal has below which path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknown(&'static [(&'static str, Refuse)]);

impl Unknown {
    pub(crate) fn of(self, path: &str) -> Refuse {
        let below = self.0.iter().find(|(prefix, _)| path.starts_with(prefix));
        below.map_or(problem::refuse, |(_, refuse)| *refuse)
    }
}

/// Paths that are answered over connections in clear, too: whoever asks after our health is beside us.
#[derive(Clone, Debug)]
pub(crate) struct Plain(Arc<[&'static str]>);

impl Plain {
    fn of(routes: &[Route]) -> Self {
        let of_operations = routes.iter().filter(|route| route.visibility == Visibility::Operations);
        Self(of_operations.map(|route| route.path).collect())
    }

    pub(crate) fn holds(&self, path: &str) -> bool {
        self.0.contains(&path)
    }
}

/// Makes the application answer for this table, and for nothing else.
///
/// `unknown` names prefixes below which a path that no route has is refused in a protocol's own form; all
/// others get a problem.
pub fn mount(
    config: &mut ServiceConfig,
    edge: &Arc<Edge>,
    routes: &[Route],
    unknown: &'static [(&'static str, Refuse)],
) {
    let (edge, unknown, plain) = (edge.clone(), Unknown(unknown), Plain::of(routes));
    let mut paths: Vec<&'static str> = routes.iter().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut house = actix_web::web::scope("");
    for path in paths {
        house = house
            .service(resource(path, routes.iter().filter(|route| route.path == path).copied().collect()));
    }
    let nowhere = move |request: HttpRequest, passage: Passage| async move {
        unknown.of(request.path())(&passage, Refused::Unknown)
    };
    let wrapper =
        from_fn(move |request, next| accompany(edge.clone(), unknown, plain.clone(), request, next));
    config.service(house.default_service(actix_web::web::to(nowhere)).wrap(wrapper));
}

fn resource(path: &'static str, routes: Arc<[Route]>) -> impl HttpServiceFactory {
    let with = |resource: actix_web::Resource, route: &Route| {
        resource.route((route.handler)().guard(Row(route.method)))
    };
    let resource = routes.iter().fold(actix_web::web::resource(path), with);
    let (allow, shared) = (methods(&routes), shared_methods(&routes));
    let first = routes.first().copied();
    let resource =
        resource.default_service(actix_web::web::to(move |request: HttpRequest, passage: Passage| {
            let (allow, shared) = (allow.clone(), shared.clone());
            async move {
                match shared.filter(|_| is_preflight(&request)) {
                    Some(shared) => preflight(shared),
                    None => wrong_method(first, &passage, allow),
                }
            }
        }));
    resource.wrap(from_fn(move |request, next| within_bounds(routes.clone(), request, next)))
}

/// Around every path: tells the passage which row it is about, and refuses in its form what is beyond its bounds.
async fn within_bounds(
    routes: Arc<[Route]>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let row = routes.iter().find(|route| route.method.takes(request.method())).copied();
    let (Some(passage), Some(route)) = (Passage::of(request.request()), row.or(routes.first().copied()))
    else {
        return next.call(request).await;
    };
    passage.enter(route);
    match bounds::exceeded(&request, row) {
        Some(refused) => Ok(request.into_response((route.refuse)(&passage, refused))),
        None => next.call(request).await,
    }
}

fn wrong_method(route: Option<Route>, passage: &Passage, allow: HeaderValue) -> HttpResponse {
    let refuse = route.map_or(problem::refuse as Refuse, |route| route.refuse);
    let mut answer = refuse(passage, Refused::Method);
    answer.headers_mut().insert(header::ALLOW, allow);
    answer
}

/// A browser asks whether a script of another origin may (Fetch standard, "CORS-preflight request").
fn is_preflight(request: &HttpRequest) -> bool {
    *request.method() == actix_web::http::Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// It may: with any origin, without cookies, with the headers that OAuth needs.
fn preflight(methods: HeaderValue) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "7200"))
        .finish()
}

/// The methods that scripts of other origins may use here, if any.
fn shared_methods(routes: &[Route]) -> Option<HeaderValue> {
    let shared: Vec<Route> = routes.iter().filter(|route| route.cross_origin).copied().collect();
    (!shared.is_empty()).then(|| methods(&shared))
}

fn methods(routes: &[Route]) -> HeaderValue {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static("GET"))
}

/// Chooses the row by its method.
struct Row(Method);

impl Guard for Row {
    fn check(&self, request: &GuardContext<'_>) -> bool {
        self.0.takes(&request.head().method)
    }
}

/// So that handlers can be given the row they answer for.
impl Route {
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Passage>().and_then(Passage::route)
    }
}
