//! The matrix: every endpoint of the route table, by every class of error. Each cell is refused in the form of its
//! protocol, says nothing that it should not, and leaves a server that answers.
//!
//! Rows come from the table itself, so a new endpoint is judged without a line here. To add a class of error: a
//! [`Cell`] in the function of its subject.
//!
//! What it is not: errors of meaning (an unknown client, a wrong verifier, an unknown attribute), which each protocol's
//! own tests have beside this folder's; nor the ports that devices speak to, whose tables stand with their connectors
//! (bridge/tests/controlid, bridge/tests/uhppote).
//!
//! What actix-http refuses itself has no form: such a request never became one that an endpoint could be found for.
//! Those cells are pinned as they are ([`Expect::Bare`]): a bare status, and the connection ends. Who breaks off in the
//! middle of a body, by a chunk that is none, is gone to it, and may hear nothing ([`Expect::RefusedOrCut`]).

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use server::stage::{Stage, StageOptions};
use web::{Method, Route, Visibility, bounds};
use world::{Heard, Scene, VERIFIER, Wire};

use super::draft::{Body, Draft, Framing};
use crate::steps::{PASSWORD, app, join};

journeys!(every_class_of_error_is_refused_in_the_form_of_every_endpoint);

/// Cells that are judged at once.
const AT_ONCE: usize = 8;
/// How long a cell may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is sent where a secret belongs, and must come back nowhere.
const MARKER: &str = "s3cret-that-nobody-may-give-back-to-anybody";

/// A protocol's form of an error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// A page.
    Page,
    /// RFC 6749, section 5.2.
    OAuth,
    /// RFC 7644, section 3.12.
    Scim,
    /// RFC 9457.
    Problem,
}

/// What must become of a cell.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// Refused with one of these statuses, in the form of the endpoint.
    Refused(&'static [u16]),
    /// The same, or the connection ends without an answer.
    RefusedOrCut(&'static [u16]),
    /// Refused with 404, in the form of a path that nobody has.
    Nowhere(Form),
    /// Another path, whoever has it: refused, in this form.
    Elsewhere(Form),
    /// No error: answered as if the odd part was not there.
    Same,
    /// Refused below every endpoint, with this status and nothing else; then the connection ends.
    Bare(u16),
}

/// One wrong request.
struct Cell {
    class: &'static str,
    draft: Draft,
    /// Whether the client says no more before it hears.
    cut_short: bool,
    expect: Expect,
}

fn cell(class: &'static str, draft: Draft, expect: Expect) -> Cell {
    Cell { class, draft, cut_short: false, expect }
}

/// Who asks: everybody whom some endpoint lets in.
struct Guests {
    house: House,
    /// Of a client, as HTTP Basic.
    basic: String,
    access_token: String,
    hr_token: String,
    /// Of a browser that nobody is signed in with.
    cookies: String,
    form_token: String,
    /// A whole authorization request, from its path on.
    authorization: String,
    /// What may stand in no answer.
    secrets: Vec<String>,
}

/// Where the house is, and what it is called.
struct House {
    server: String,
    host: String,
}

impl House {
    fn of(stage: &Stage) -> Self {
        let port = stage.house.issuer.port();
        Self { server: format!("127.0.0.1:{port}"), host: format!("localhost:{port}") }
    }

    /// Something that is always there.
    async fn is_alive(&self) -> bool {
        let live = format!("GET /health/live HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        Wire::to(&self.server).await.ask(live.as_bytes()).await.is_some_and(|heard| heard.status == 200)
    }
}

impl Guests {
    async fn of(scene: &Scene) -> Self {
        let stage = &scene.stage;
        let (mira, mut browser) = join(stage, "Mira").await;
        let app = app(stage);
        let code = app.code(&mut browser, &mira.user_name, PASSWORD).await.unwrap();
        let tokens = app.exchange(&code, VERIFIER).await.unwrap();
        let access_token = tokens.body["access_token"].as_str().unwrap().to_owned();

        let authorization = app.authorization(&[]);
        let mut nobody = stage.browser();
        let form = nobody.get(&authorization).await.unwrap().form_with("password").unwrap();
        let form_token = form.controls.iter().find(|control| control.name == "form_token").unwrap();
        let cookies: Vec<String> =
            nobody.cookies().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let basic = basic("grid-console", &stage.app_secret);
        let mut secrets = vec![basic.clone(), access_token.clone(), MARKER.to_owned()];
        secrets.extend([stage.app_secret.clone(), stage.hr_token.clone()]);
        secrets.extend(nobody.cookies().map(|cookie| cookie.value.clone()));
        Self {
            house: House::of(stage),
            basic,
            access_token,
            hr_token: stage.hr_token.clone(),
            cookies: cookies.join("; "),
            form_token: form_token.value.clone(),
            authorization: authorization.strip_prefix(stage.house.issuer.as_str()).unwrap().to_owned(),
            secrets,
        }
    }
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
}

/// An endpoint of the table, and who may call it.
#[derive(Clone, Copy)]
struct Row<'a> {
    route: &'a Route,
    guests: &'a Guests,
}

impl Row<'_> {
    fn form(&self) -> Form {
        match self.route.visibility {
            _ if self.route.path.starts_with("/scim/") => Form::Scim,
            Visibility::Client | Visibility::Token => Form::OAuth,
            Visibility::Browser => Form::Page,
            Visibility::Public if self.route.path == "/" => Form::Page,
            Visibility::Public if self.route.path != "/jwks/evidence" => Form::OAuth,
            _ => Form::Problem,
        }
    }

    fn has_body(&self) -> bool {
        self.route.body_limit > 0
    }

    fn is(&self, method: Method, path: &str) -> bool {
        self.route.method == method && self.route.path == path
    }

    /// Something plausible in each gap.
    fn path(&self) -> String {
        self.route.path.replace("{id}", "0")
    }

    /// A form whose parameters mean something here.
    fn parameters(&self) -> String {
        let Guests { form_token, .. } = self.guests;
        match self.route.path {
            "/token" => format!("grant_type=authorization_code&code={MARKER}&code_verifier={VERIFIER}"),
            "/introspect" | "/revoke" => format!("token={MARKER}"),
            "/userinfo" => "some=thing".into(),
            _ => format!("form_token={form_token}&some=thing"),
        }
    }

    /// The request with nothing wrong about it but that it asks for nothing that is there.
    fn right(&self) -> Draft {
        let target =
            if self.is(Method::Get, "/authorize") { self.guests.authorization.clone() } else { self.path() };
        let (media, bytes) = match self.form() {
            Form::Scim => ("application/scim+json", "[]".to_owned()),
            _ => ("application/x-www-form-urlencoded", self.parameters()),
        };
        let body = Body { media: Some(media.into()), bytes: bytes.into_bytes(), framing: Framing::Length };
        let draft = Draft {
            method: format!("{:?}", self.route.method).to_uppercase(),
            target,
            version: "HTTP/1.1",
            headers: vec![("host", self.guests.house.host.clone())],
            body: self.has_body().then_some(body),
        };
        match (self.credential(), self.route.visibility) {
            (Some(credential), _) => draft.with("authorization", credential),
            (None, Visibility::Browser) => draft.with("cookie", &self.guests.cookies),
            (None, _) => draft,
        }
    }

    /// What lets a program in.
    fn credential(&self) -> Option<String> {
        match self.route.visibility {
            Visibility::Client => Some(format!("Basic {}", self.guests.basic)),
            Visibility::Token => Some(format!("Bearer {}", self.guests.access_token)),
            Visibility::ScimConnection => Some(format!("Bearer {}", self.guests.hr_token)),
            Visibility::Public | Visibility::Browser | Visibility::Operations => None,
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let all = [self.of_method_and_target(), self.of_headers(), self.of_credentials(), self.of_bodies()];
        all.into_iter().flatten().collect()
    }

    fn of_method_and_target(&self) -> Vec<Cell> {
        let path = self.path();
        // Nobody's path: refused as its neighbours would, which for programs is a problem.
        let nowhere = |target: &str| {
            Expect::Nowhere(if target.starts_with("/scim/") { Form::Scim } else { Form::Problem })
        };
        let mut cells = vec![
            cell(
                "unknown method",
                Draft { method: "PROPFIND".into(), ..self.right() },
                Expect::Refused(&[405]),
            ),
            cell("unknown parameter", self.right().asking("unknown=1&unknown=2"), Expect::Same),
            cell(
                "target too long",
                self.right().asking(&format!("a={}", "a".repeat(bounds::TARGET))),
                Expect::Refused(&[414]),
            ),
            cell("target far too long", self.right().asking(&"a".repeat(70_000)), Expect::Bare(400)),
            cell(
                "absolute target, another host",
                self.right()
                    .without("host")
                    .with("host", "evil.example")
                    .to(format!("http://evil.example{}", self.right().target)),
                Expect::Same,
            ),
        ];
        let around = match path.strip_prefix("/scim") {
            Some(rest) => format!("/scim/..{path}|/scim/{rest}|/scim{}", rest.replace("/v2/", "/v2%2F")),
            None => format!("/x/..{path}|/{path}|{path}%2F"),
        };
        for (class, target) in
            ["dots in the path", "empty segment", "encoded slash"].into_iter().zip(around.split('|'))
        {
            cells.push(cell(class, self.right().to(target), nowhere(target)));
        }
        // Nobody's, or it fills the gap of a row: there nobody is called so, or there are other methods.
        let form = if path.starts_with("/scim/") { Form::Scim } else { Form::Problem };
        let nul = self.right().to(format!("{path}%00"));
        cells.push(cell("NUL in the path", nul, Expect::Elsewhere(form)));
        // RFC 6749, section 3.1. Of other parameters the application is told, once it is known to be one.
        let twice = match (self.route.method, self.route.path) {
            (Method::Get, "/authorize") => "client_id=again",
            (Method::Get, "/logout") => "state=once&state=again",
            (Method::Get, "/sign-in") => "to=account&to=methods",
            _ => return cells,
        };
        cells.push(cell("a parameter twice", self.right().asking(twice), Expect::Refused(&[400])));
        cells
    }

    fn of_headers(&self) -> Vec<Cell> {
        let right = || self.right();
        let many = |count: usize| (0..count).fold(right(), |draft, _| draft.with("x-more", "y"));
        // HTTP/1.0 wants a length with every POST.
        let old = match self.has_body() {
            true => right(),
            false => right().framed(Framing::Length, ""),
        };
        let old = Draft { version: "HTTP/1.0", ..old };
        vec![
            cell(
                "header too long",
                right().with("x-long", "y".repeat(bounds::HEADER_BYTES)),
                Expect::Refused(&[431]),
            ),
            cell("too many headers", many(bounds::HEADERS), Expect::Refused(&[431])),
            cell("far too many headers", many(200), Expect::Bare(431)),
            cell("no host in HTTP/1.1", right().without("host"), Expect::Bare(400)),
            cell("no host in HTTP/1.0", old.without("host"), Expect::Same),
            cell("expectation", right().with("expect", "100-continue"), Expect::Same),
            cell("unknown expectation", right().with("expect", "miracles"), Expect::Same),
        ]
    }

    fn of_credentials(&self) -> Vec<Cell> {
        let Some(credential) = self.credential() else { return Vec::new() };
        let with =
            |credential: String| self.right().without("authorization").with("authorization", credential);
        let scheme = credential.split(' ').next().unwrap_or_default();
        let wrong = match self.route.visibility {
            Visibility::Client => basic("grid-console", MARKER),
            _ => MARKER.to_owned(),
        };
        let mut cells = vec![
            cell("no credentials", self.right().without("authorization"), Expect::Refused(&[401])),
            cell("wrong credentials", with(format!("{scheme} {wrong}")), Expect::Refused(&[401])),
            cell("credentials of another scheme", with(format!("Digest {MARKER}")), Expect::Refused(&[401])),
            cell("empty credentials", with(format!("{scheme} ")), Expect::Refused(&[401])),
            cell(
                "credentials too long",
                with(format!("{scheme} {}", "A".repeat(bounds::HEADER_BYTES / 2))),
                Expect::Refused(&[401]),
            ),
            cell("two credentials", self.right().with("authorization", &credential), Expect::Refused(&[400])),
        ];
        // RFC 6749, section 2.3; RFC 6750, section 2.
        let twice = match (self.route.visibility, self.has_body()) {
            (Visibility::Client, _) => self.right().saying_more(&format!("&client_secret={MARKER}")),
            (Visibility::Token, true) => self.right().saying_more(&format!("&access_token={MARKER}")),
            (Visibility::Token, false) => self.right().asking(&format!("access_token={MARKER}")),
            _ => return cells,
        };
        cells.push(cell("credentials in two places", twice, Expect::Refused(&[400])));
        cells
    }

    fn of_bodies(&self) -> Vec<Cell> {
        let right = || self.right();
        let limit = self.route.body_limit;
        let too_long = limit.max(bounds::IGNORED_BODY) + 1;
        let with = |name, value: &str| right().framed(Framing::Told, "0\r\n\r\n").with(name, value);
        let chunked = |more: &str| with("transfer-encoding", "chunked").with("transfer-encoding", more);
        let mut cells = vec![
            cell(
                "body too long",
                right().framed(Framing::Announced(too_long), "some"),
                Expect::Refused(&[413]),
            ),
            cell(
                "body too long, in chunks",
                right().framed(Framing::Chunked, "a".repeat(too_long)),
                Expect::Refused(&[413]),
            ),
            // What is before us and what is behind might disagree on where it ends (RFC 9112, section 6.3).
            cell(
                "length and chunks",
                with("transfer-encoding", "chunked").with("content-length", "5"),
                Expect::Bare(400),
            ),
            cell("two lengths", with("content-length", "5").with("content-length", "6"), Expect::Bare(400)),
            cell("two encodings", chunked("identity"), Expect::Bare(400)),
            cell("unknown encoding", with("transfer-encoding", "gzip, chunked"), Expect::Bare(400)),
            cell("length that is none", with("content-length", "+5"), Expect::Bare(400)),
        ];
        if !self.has_body() {
            cells.push(cell(
                "body that nobody asked for",
                right().framed(Framing::Length, "{}"),
                Expect::Same,
            ));
            return cells;
        }
        let half = right().body.map_or(0, |body| body.bytes.len() + 10);
        let bytes = right().body.map(|body| body.bytes).unwrap_or_default();
        let broken = right().framed(Framing::Announced(half), bytes);
        cells.push(Cell { cut_short: true, ..cell("body cut short", broken, Expect::Refused(&[400])) });
        // To actix-http such a client is gone: it writes what the handler says at once, and waits for nothing more.
        let bad_chunk = right().framed(Framing::Told, "zz\r\nsome\r\n").with("transfer-encoding", "chunked");
        cells.push(cell("chunk that is none", bad_chunk, Expect::RefusedOrCut(&[400])));
        cells.push(cell(
            "compressed body",
            right().with("content-encoding", "gzip"),
            Expect::Refused(&[415]),
        ));
        let media = right().body.and_then(|body| body.media).unwrap_or_default();
        let other = format!("{media}; charset=utf-16");
        cells.push(cell("another character set", right().of_media(Some(&other)), Expect::Refused(&[415])));
        // A token in the header needs no form.
        let not_a_form = if self.route.path == "/userinfo" { Expect::Same } else { Expect::Refused(&[415]) };
        cells.push(cell("another media type", right().of_media(Some("text/plain")), not_a_form));
        match self.form() {
            Form::Scim => self.of_json(&mut cells),
            _ => self.of_forms(&mut cells, not_a_form),
        }
        cells
    }

    fn of_json(&self, cells: &mut Vec<Cell>) {
        let says = |text: &str| self.right().saying(text);
        let deep = |levels: usize| says(&format!("{}1{}", "[".repeat(levels), "]".repeat(levels)));
        let refused = Expect::Refused(&[400]);
        cells.extend([
            // Some call JSON nothing.
            cell("no media type", self.right().of_media(None), Expect::Same),
            cell("empty body", says(""), refused),
            cell("no JSON", says("{\"userName\": "), refused),
            cell("JSON of another kind", says("7"), refused),
            cell("JSON too deep", deep(17), refused),
            cell("JSON far too deep", deep(100_000), refused),
            cell("a member twice", says("{\"schemas\": [], \"schemas\": []}"), refused),
            cell("not UTF-8", self.right().saying(b"\"\xff\"".to_vec()), refused),
            cell("half a surrogate", says("{\"userName\": \"\\ud800\"}"), refused),
        ]);
    }

    fn of_forms(&self, cells: &mut Vec<Cell>, not_a_form: Expect) {
        let more = |text: &str| self.right().saying_more(text);
        let name = self.parameters().split('=').next().unwrap_or_default().to_owned();
        let refused = Expect::Refused(&[400]);
        let is_page = self.form() == Form::Page;
        cells.extend([
            cell("no media type", self.right().of_media(None), not_a_form),
            cell("not UTF-8", self.right().saying(b"some=\xff".to_vec()), refused),
            cell("escape that is not UTF-8", more("&more=%ff"), refused),
            cell("NUL in a parameter", more("&more=%00"), refused),
            cell("too many parameters", more(&"&a=1".repeat(65)), refused),
        ]);
        // RFC 6749, section 3.1. An authorization request that is posted is judged where it is sent on to.
        let twice = more(&format!("&{name}=again"));
        match (self.route.path, is_page) {
            ("/authorize", _) => {}
            ("/userinfo", _) => {
                cells.push(cell("a parameter twice", more("&access_token=a&access_token=b"), refused))
            }
            (_, true) => cells.push(cell("a parameter twice", twice, Expect::Refused(&[403]))),
            (_, false) => {
                cells.push(cell("a parameter twice", twice, refused));
                cells.push(cell("empty body", self.right().saying(""), refused));
                let long = format!("{name}={}", "a".repeat(10_000));
                let expect = if self.route.path == "/token" { refused } else { Expect::Same };
                cells.push(cell("a parameter too long", self.right().saying(long), expect));
            }
        }
    }
}

async fn every_class_of_error_is_refused_in_the_form_of_every_endpoint(scene: &Scene) {
    let guests = Guests::of(scene).await;
    let routes = server::http::routes();
    let mut cells = Vec::new();
    for route in &routes {
        let row = Row { route, guests: &guests };
        let usual = ask(&guests.house, &row.right(), false).await.map_or(0, |heard| heard.status);
        assert!(is_an_answer(&row, usual), "{route:?} usually answers {usual}");
        cells.extend(row.cells().into_iter().map(|cell| (row, usual, cell)));
    }
    let count = cells.len();
    assert!(count > 20 * routes.len(), "{count} cells of {} endpoints", routes.len());
    let judged = stream::iter(cells).map(|(row, usual, cell)| async move {
        let fault = fault(&row, usual, &cell).await?;
        let method = format!("{:?}", row.route.method);
        Some(format!("{method:6} {:36} {:30} {fault}", row.route.path, cell.class))
    });
    let judged: Vec<Option<String>> = judged.buffer_unordered(AT_ONCE).collect().await;
    let mut faults: Vec<String> = judged.into_iter().flatten().collect();
    faults.sort_unstable();
    assert!(faults.is_empty(), "{} of {count} cells:\n{}", faults.len(), faults.join("\n"));
    assert!(guests.house.is_alive().await, "it still answers");
}

/// Why there is no answer.
#[derive(Debug)]
enum Silence {
    /// The connection ended without one.
    Cut,
    /// It took too long.
    Long,
}

async fn ask(house: &House, draft: &Draft, cut_short: bool) -> Result<Heard, Silence> {
    let asked = async {
        let mut wire = Wire::to(&house.server).await;
        if !cut_short {
            return wire.ask(&draft.bytes()).await;
        }
        wire.say(&draft.bytes()).await;
        wire.finish().await;
        wire.hear().await
    };
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| Silence::Long)?.ok_or(Silence::Cut)
}

/// No failure of ours. That a connection is nobody is said with 501 (RFC 7644, section 3.11).
fn is_an_answer(row: &Row<'_>, status: u16) -> bool {
    (200..500).contains(&status) || status == 501 && row.route.path == "/scim/v2/Me"
}

/// What is wrong about a cell, if anything is.
async fn fault(row: &Row<'_>, usual: u16, cell: &Cell) -> Option<String> {
    if let Expect::Bare(status) = cell.expect {
        return bare_fault(&row.guests.house, &cell.draft.bytes(), status).await;
    }
    let heard = match ask(&row.guests.house, &cell.draft, cell.cut_short).await {
        Ok(heard) => heard,
        Err(Silence::Cut) if matches!(cell.expect, Expect::RefusedOrCut(_)) => return None,
        Err(silence) => return Some(format!("no answer: {silence:?}")),
    };
    let status = heard.status;
    let (right, form) = match cell.expect {
        Expect::Refused(statuses) | Expect::RefusedOrCut(statuses) => {
            (statuses.contains(&status), row.form())
        }
        Expect::Nowhere(form) => (status == 404, form),
        Expect::Elsewhere(form) => ((400..500).contains(&status), form),
        Expect::Same | Expect::Bare(_) => (status == usual, row.form()),
    };
    if !right || !is_an_answer(row, status) {
        return Some(format!(
            "{status} (usually {usual}), not {:?}: {}",
            cell.expect,
            shortened(&heard.body)
        ));
    }
    let said = format!("{}{}", heard.head, heard.body);
    if let Some(leak) = leak(row.guests, &said) {
        return Some(format!("{status} tells {leak}"));
    }
    if let Some(missing) = missing_header(&heard) {
        return Some(format!("{status} has no {missing}"));
    }
    if status == 405 && heard.header("allow").is_none() {
        return Some("405 names no method".into());
    }
    let refused = (400..500).contains(&status) || status == 501;
    let why = refused.then(|| form_fault(row, form, &heard)).flatten()?;
    Some(format!("{status} is not {form:?}: {why}: {}", shortened(&heard.body)))
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

/// What an answer may not tell: who was let in and how, and what we are made of.
fn leak(guests: &Guests, said: &str) -> Option<&'static str> {
    if guests.secrets.iter().any(|secret| said.contains(secret)) {
        return Some("a secret that was sent");
    }
    if said.contains("evil.example") {
        return Some("the host that was claimed");
    }
    let inside =
        ["panicked", "backtrace", ".rs:", "SELECT ", "INSERT ", "UPDATE ", "sqlx", "SQLite", "PostgreSQL"];
    inside.into_iter().find(|word| said.contains(word))
}

/// A header that every answer has.
fn missing_header(heard: &Heard) -> Option<&'static str> {
    let all = [
        "x-request-id",
        "x-content-type-options",
        "referrer-policy",
        "cache-control",
        "content-security-policy",
    ];
    all.into_iter().find(|name| heard.header(name).is_none_or(str::is_empty))
}

/// What of a refusal is not in the form of its protocol.
fn form_fault(row: &Row<'_>, form: Form, heard: &Heard) -> Option<&'static str> {
    let media = heard.header("content-type").unwrap_or_default();
    let body: Value = serde_json::from_str(&heard.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
    let cached = heard.header("cache-control") != Some("no-store");
    let challenged = heard.header("www-authenticate").is_some();
    if heard.status == 401 && !challenged {
        return Some("no challenge (RFC 9110, section 15.5.2)");
    }
    match form {
        _ if cached => Some("it may be cached"),
        Form::Page if !media.starts_with("text/html") => Some("no HTML"),
        Form::Page if !heard.body.contains("<html lang=") => Some("no page"),
        Form::Page => {
            let policy = heard.header("content-security-policy").unwrap_or_default();
            (!policy.contains("form-action 'self'")).then_some("no policy of a page")
        }
        // Who presented nothing is told how, and nothing else (RFC 6750, section 3.1).
        Form::OAuth if row.route.visibility == Visibility::Token && heard.status == 401 => None,
        Form::OAuth if media != "application/json" => Some("no JSON"),
        Form::OAuth => {
            (!text("error") || !text("error_description")).then_some("no error with a description")
        }
        Form::Scim if media != "application/scim+json" => Some("no SCIM"),
        Form::Scim if body["status"].as_str() != Some(&*heard.status.to_string()) => Some("another status"),
        Form::Scim if body["schemas"][0] != "urn:ietf:params:scim:api:messages:2.0:Error" => {
            Some("no error message")
        }
        Form::Scim => (!text("detail")).then_some("no detail"),
        Form::Problem if media != "application/problem+json" => Some("no problem"),
        Form::Problem if body["status"] != heard.status => Some("another status"),
        Form::Problem => (!text("type") || !text("title")).then_some("no type and title"),
    }
}

/// What is wrong about an answer that the parser gives: a status, nothing that was said, and the end.
async fn bare_fault(house: &House, bytes: &[u8], status: u16) -> Option<String> {
    let asked = async {
        let mut wire = Wire::to(&house.server).await;
        let heard = wire.ask(bytes).await;
        (heard, wire.end().await)
    };
    let Ok((heard, after)) = tokio::time::timeout(PATIENCE, asked).await else {
        return Some("the connection does not end".into());
    };
    let Some(heard) = heard else { return Some("no answer".into()) };
    if heard.status != status {
        return Some(format!("{}, not a bare {status}", heard.status));
    }
    if !heard.body.is_empty() || heard.header("x-request-id").is_some() {
        return Some(format!("an endpoint answered after all: {status} {}", shortened(&heard.body)));
    }
    (!after.is_empty()).then(|| format!("{} bytes behind a bare {status}: a second answer", after.len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_and_ends_its_connection() {
    let scene = Scene::light(StageOptions::default()).await;
    let house = House::of(&scene.stage);
    let request =
        |line: &str, headers: &str| format!("{line}\r\nhost: {}\r\n{headers}\r\n", house.host).into_bytes();
    let (get, post) = ("GET /health/live HTTP/1.1", "POST /token HTTP/1.1");
    let behind = |headers: &str, body: &str| {
        [request(post, headers), body.as_bytes().to_vec(), request(get, "")].concat()
    };
    for (what, bytes, status) in [
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400),
        ("a version that is none", request("GET /health/live HTTP/3.7", ""), 400),
        ("no target", request("GET", ""), 400),
        ("a target with a space", request("GET /health live HTTP/1.1", ""), 400),
        ("a target that is no path", request("GET health/live HTTP/1.1", ""), 400),
        ("two hosts", request(get, "host: evil.example\r\n"), 400),
        ("NUL in a header", request(get, "x: a\0b\r\n"), 400),
        ("a space before the colon", request(get, "content-length : 5\r\n"), 400),
        ("a line that goes on", request(get, "x: a\r\n b: c\r\n"), 400),
        ("a head beyond every bound", request(get, &format!("x: {}\r\n", "y".repeat(256 * 1024))), 431),
        ("a request behind two lengths", behind("content-length: 0\r\ncontent-length: 5\r\n", ""), 400),
        (
            "a request behind chunks and a length",
            behind("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
            400,
        ),
    ] {
        assert_eq!(bare_fault(&house, &bytes, status).await, None, "{what}");
    }
    assert!(house.is_alive().await, "it still answers");
    scene.end().await;
}
