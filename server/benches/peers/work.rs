//! What is asked: the requests of each measurement, made beforehand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::load::{Answer, Connection, Script};
use crate::rig::{CALLBACK, House, VERIFIER};

/// How many connections there are.
pub(crate) const CONNECTIONS: usize = 32;
/// How many are on a page.
const PAGE: usize = 50;
/// How many requests a script has that asks for one thing after the other.
const MANY: usize = 1_000;

const FORM: &str = "application/x-www-form-urlencoded";
const SCIM: &str = "application/scim+json";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

type Scripts = Vec<Box<dyn Script>>;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Discovery,
    Jwks,
    ServiceEs256,
    ServiceRs256,
    Refresh,
    RefreshAlone,
    Code,
    Introspection,
    Userinfo,
    ScimPost,
    ScimPatch,
    ScimFilter,
    ScimPage,
}

/// Who asks: with a browser that is signed in, and the secrets of `app` and of the HR system.
pub(crate) struct Asker<'a> {
    pub(crate) house: &'a House,
    pub(crate) port: u16,
    /// The `Cookie` header of the browser.
    pub(crate) cookies: String,
    /// How many people are in the directory.
    pub(crate) users: usize,
}

/// The name that a person of the directory was filled in with.
pub(crate) fn user_name(number: usize) -> String {
    format!("crowd.{number}@grid.example")
}

/// A SCIM user as HR sends one.
pub(crate) fn document(user_name: &str) -> serde_json::Value {
    json!({
        "schemas": [USER], "userName": user_name, "displayName": format!("Somebody {user_name}"), "active": true,
        "name": { "givenName": "Somebody", "familyName": "Holt" }, "title": "Operator",
        "emails": [{ "value": user_name, "type": "work", "primary": true }],
    })
}

/// A request with headers, and a body if it has one.
fn request(port: u16, line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nhost: localhost:{port}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// A value that stands in a JSON text, between quotes and without any that is escaped.
fn json_text<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

impl Asker<'_> {
    pub(crate) async fn scripts(&self, work: Work) -> Scripts {
        match work {
            Work::Discovery => self.same("GET /.well-known/openid-configuration", &[], ""),
            Work::Jwks => self.same("GET /jwks", &[], ""),
            Work::ServiceEs256 => self.service("service-es256"),
            Work::ServiceRs256 => self.service("service-rs256"),
            Work::Refresh => self.refreshes(CONNECTIONS).await,
            Work::RefreshAlone => self.refreshes(1).await,
            Work::Code => (0..CONNECTIONS).map(|_| Box::new(self.flow()) as Box<dyn Script>).collect(),
            Work::Introspection => {
                let basic = basic("app", &self.house.secret);
                let headers = [("authorization", basic.as_str()), ("content-type", FORM)];
                let introspection = |(token, _): (String, String)| {
                    self.one("POST /introspect", &headers, &format!("token={token}"))
                };
                self.families(CONNECTIONS).await.into_iter().map(introspection).collect()
            }
            Work::Userinfo => {
                let userinfo = |(token, _): (String, String)| {
                    let bearer = format!("Bearer {token}");
                    self.one("GET /userinfo", &[("authorization", bearer.as_str())], "")
                };
                self.families(CONNECTIONS).await.into_iter().map(userinfo).collect()
            }
            Work::ScimPost => {
                (0..CONNECTIONS).map(|number| Box::new(self.hiring(number)) as Box<dyn Script>).collect()
            }
            Work::ScimPatch => self.patches().await,
            Work::ScimFilter => self.one_after_the_other(|number| {
                let name = user_name(number * 7_919 % self.users.max(1)).replace('@', "%40");
                format!("GET /scim/v2/Users?filter=userName%20eq%20%22{name}%22")
            }),
            Work::ScimPage => self.one_after_the_other(|number| {
                let pages = (self.users / PAGE).max(1);
                format!("GET /scim/v2/Users?startIndex={}&count={PAGE}", number % pages * PAGE + 1)
            }),
        }
    }

    fn one(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Box<dyn Script> {
        Box::new(Cycle { requests: vec![request(self.port, line, headers, body)], at: 0 })
    }

    /// Every connection asks the same.
    fn same(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Scripts {
        (0..CONNECTIONS).map(|_| self.one(line, headers, body)).collect()
    }

    fn service(&self, client: &str) -> Scripts {
        let basic = basic(client, &self.house.secret);
        let headers = [("authorization", basic.as_str()), ("content-type", FORM)];
        self.same("POST /token", &headers, "grant_type=client_credentials")
    }

    /// Each connection asks about another thing each time, and begins at a place of its own.
    fn one_after_the_other(&self, line: impl Fn(usize) -> String) -> Scripts {
        let bearer = format!("Bearer {}", self.house.hr_token);
        let headers = [("authorization", bearer.as_str()), ("accept", SCIM)];
        let requests = |first: usize| -> Vec<Vec<u8>> {
            let lines = (0..MANY).map(|number| line(first + number));
            lines.map(|line| request(self.port, &line, &headers, "")).collect()
        };
        let script = |number: usize| Cycle { requests: requests(number * MANY / 3), at: 0 };
        (0..CONNECTIONS).map(|number| Box::new(script(number)) as Box<dyn Script>).collect()
    }

    fn flow(&self) -> Flow {
        let authorization = self.house.authorization();
        let path = authorization.strip_prefix(&self.house.issuer).expect("our own address");
        let authorize = request(self.port, &format!("GET {path}"), &[("cookie", self.cookies.as_str())], "");
        let (port, basic) = (self.port, basic("app", &self.house.secret));
        Flow { authorize, port, basic, redemption: None }
    }

    /// New sign-ins of the browser to `app`: access and refresh token of each.
    async fn families(&self, count: usize) -> Vec<(String, String)> {
        let mut connection = Connection::open(self.port).await;
        let mut families = Vec::new();
        while families.len() < count {
            let mut flow = self.flow();
            let answer = connection.ask(flow.request()).await;
            assert!(!flow.hear(&answer), "it has a code, and no tokens yet");
            let answer = connection.ask(flow.request()).await;
            let token = |name| json_text(answer.body, name).map(str::to_owned);
            let tokens = token("access_token").zip(token("refresh_token"));
            families.push(tokens.unwrap_or_else(|| panic!("no tokens: {}", answer.text())));
        }
        families
    }

    async fn refreshes(&self, count: usize) -> Scripts {
        let basic = basic("app", &self.house.secret);
        let families = self.families(count).await.into_iter();
        let refresh = |(_, token): (String, String)| {
            let mut script = Refresh { port: self.port, basic: basic.clone(), request: Vec::new() };
            script.present(&token);
            Box::new(script) as Box<dyn Script>
        };
        families.map(refresh).collect()
    }

    fn hiring(&self, number: usize) -> Hiring {
        let bearer = format!("Bearer {}", self.house.hr_token);
        let mut hiring = Hiring { port: self.port, bearer, line: number, hired: 0, request: Vec::new() };
        hiring.prepare();
        hiring
    }

    /// Each connection has a person of its own.
    async fn patches(&self) -> Scripts {
        let mut connection = Connection::open(self.port).await;
        let mut scripts = Scripts::new();
        for number in 0..CONNECTIONS {
            let mut hiring = self.hiring(CONNECTIONS + number);
            let answer = connection.ask(hiring.request()).await;
            let id =
                json_text(answer.body, "id").unwrap_or_else(|| panic!("no id: {}", answer.text())).to_owned();
            assert!(hiring.hear(&answer));
            let patch = |active: bool| {
                let body = json!({
                    "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "active", "value": active }],
                });
                let headers = [("authorization", hiring.bearer.as_str()), ("content-type", SCIM)];
                request(self.port, &format!("PATCH /scim/v2/Users/{id}"), &headers, &body.to_string())
            };
            scripts.push(Box::new(Cycle { requests: vec![patch(false), patch(true)], at: 0 }) as Box<dyn Script>);
        }
        scripts
    }
}

/// These requests in turns, each of which is answered with 200.
struct Cycle {
    requests: Vec<Vec<u8>>,
    at: usize,
}

impl Script for Cycle {
    fn request(&self) -> &[u8] {
        &self.requests[self.at]
    }

    fn hear(&mut self, answer: &Answer<'_>) -> bool {
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.at = (self.at + 1) % self.requests.len();
        true
    }
}

/// A refresh token for the next one.
struct Refresh {
    port: u16,
    basic: String,
    request: Vec<u8>,
}

impl Refresh {
    fn present(&mut self, token: &str) {
        let headers = [("authorization", self.basic.as_str()), ("content-type", FORM)];
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        self.request = request(self.port, "POST /token", &headers, &body);
    }
}

impl Script for Refresh {
    fn request(&self) -> &[u8] {
        &self.request
    }

    fn hear(&mut self, answer: &Answer<'_>) -> bool {
        let next = json_text(answer.body, "refresh_token").unwrap_or_else(|| panic!("{}", answer.text()));
        self.present(next);
        true
    }
}

/// A code for a browser that is signed in, and tokens for the code.
struct Flow {
    authorize: Vec<u8>,
    port: u16,
    basic: String,
    /// Once there is a code.
    redemption: Option<Vec<u8>>,
}

impl Script for Flow {
    fn request(&self) -> &[u8] {
        self.redemption.as_deref().unwrap_or(&self.authorize)
    }

    fn hear(&mut self, answer: &Answer<'_>) -> bool {
        if self.redemption.take().is_some() {
            assert_eq!(answer.status, 200, "{}", answer.text());
            return true;
        }
        let head = String::from_utf8_lossy(answer.head);
        let code =
            head.split_once("code=").map(|(_, rest)| rest.split(['&', '\r']).next().unwrap_or_default());
        let code = code.unwrap_or_else(|| panic!("no code: {}", answer.text()));
        let redirect_uri = CALLBACK.replace(':', "%3A").replace('/', "%2F");
        let headers = [("authorization", self.basic.as_str()), ("content-type", FORM)];
        let body = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}&code_verifier={VERIFIER}"
        );
        self.redemption = Some(request(self.port, "POST /token", &headers, &body));
        false
    }
}

/// Somebody new each time.
struct Hiring {
    port: u16,
    bearer: String,
    line: usize,
    hired: usize,
    request: Vec<u8>,
}

impl Hiring {
    fn prepare(&mut self) {
        let body = document(&format!("new.{}.{}@grid.example", self.line, self.hired)).to_string();
        let headers = [("authorization", self.bearer.as_str()), ("content-type", SCIM)];
        self.request = request(self.port, "POST /scim/v2/Users", &headers, &body);
        self.hired += 1;
    }
}

impl Script for Hiring {
    fn request(&self) -> &[u8] {
        &self.request
    }

    fn hear(&mut self, answer: &Answer<'_>) -> bool {
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.prepare();
        true
    }
}
