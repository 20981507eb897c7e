//! The route table: every endpoint of the house with who may call it.
//!
//! INVARIANT: [`mount`] is the only way an endpoint comes to exist, and takes nothing but table rows, so a
//! snapshot of [`describe`] is a snapshot of all there is.

use std::fmt;
use std::sync::Arc;

use actix_web::guard::{Guard, GuardContext};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};

use crate::passage::accompany;
use crate::{Edge, Passage, problem};

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

/// Why the house refuses before a handler runs, or after it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No route has this path: 404.
    Unknown,
    /// The path is known, not with this method: 405. `Allow` is set by the house.
    Method,
    /// The handler panicked: 500.
    Failed,
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
        let here: Vec<Route> = routes.iter().filter(|route| route.path == path).copied().collect();
        house = house.service(resource(path, &here));
    }
    let nowhere = move |request: HttpRequest, passage: Passage| async move {
        unknown.of(request.path())(&passage, Refused::Unknown)
    };
    let wrapper =
        from_fn(move |request, next| accompany(edge.clone(), unknown, plain.clone(), request, next));
    config.service(house.default_service(actix_web::web::to(nowhere)).wrap(wrapper));
}

fn resource(path: &'static str, routes: &[Route]) -> actix_web::Resource {
    let with =
        |resource: actix_web::Resource, route: &Route| resource.route((route.handler)().guard(Row(*route)));
    let resource = routes.iter().fold(actix_web::web::resource(path), with);
    let (allow, shared) = (methods(routes), shared_methods(routes));
    let first = routes.first().copied();
    resource.default_service(actix_web::web::to(move |request: HttpRequest, passage: Passage| {
        let (allow, shared) = (allow.clone(), shared.clone());
        async move {
            if let Some(route) = first {
                passage.enter(route);
            }
            match shared.filter(|_| is_preflight(&request)) {
                Some(shared) => preflight(shared),
                None => wrong_method(first, &passage, allow),
            }
        }
    }))
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

/// Chooses the row by its method, and tells the passage.
struct Row(Route);

impl Guard for Row {
    fn check(&self, request: &GuardContext<'_>) -> bool {
        let chosen = self.0.method.takes(&request.head().method);
        if chosen && let Some(passage) = request.req_data().get::<Passage>() {
            passage.enter(self.0);
        }
        chosen
    }
}

/// So that handlers can be given the row they answer for.
impl Route {
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Passage>().and_then(Passage::route)
    }
}
