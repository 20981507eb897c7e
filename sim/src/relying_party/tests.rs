//! The app against a small provider on a socket, which can be told to do wrong.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::http::Response;

mod back_channel;
mod refreshing;

/// 2 March 2026, noon.
const NOW: i64 = 1_772_452_800;
const SECRET: &str = "s e/cret";

/// One thing that the provider does wrong, or differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twist {
    None,
    Consent,
    IdentifierFirst,
    OtherNonce,
    OtherAudience,
    OtherIssuer,
    Expired,
    OtherAccessTokenHash,
    OtherKey,
    Unsigned,
    NoIdToken,
    OtherSubject,
    OtherState,
    NoIss,
    WrongIss,
    Denied,
    BadCode,
    OtherSignIn,
}

struct Op {
    issuer: String,
    keys: Mutex<EcdsaKeyPair>,
    twist: Mutex<Twist>,
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
    revoked: Mutex<Vec<String>>,
    session_ended: Mutex<bool>,
    /// The number of the access token that was given out last, and its refresh token's.
    given: Mutex<u32>,
}

impl Op {
    fn twist(&self) -> Twist {
        *self.twist.lock().unwrap()
    }

    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/.well-known/openid-configuration") => json_response(200, &self.metadata()),
            ("GET", "/keys") => json_response(200, &json!({ "keys": [self.key()] })),
            ("GET", "/authorize") => self.authorize(request),
            ("POST", "/sign-in") => self.sign_in(request),
            ("POST", "/consent") => self.back(request),
            ("POST", "/token") => self.token(request),
            ("GET", "/userinfo") => self.userinfo(request),
            ("POST", "/introspect") => self.introspect(request),
            ("POST", "/revoke") => self.revoke(request),
            _ => json_response(404, &json!({})),
        }
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "jwks_uri": at("/keys"),
            "introspection_endpoint": at("/introspect"),
            "revocation_endpoint": at("/revoke"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "none", "HS256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn key(&self) -> Value {
        let keys = self.keys.lock().unwrap();
        let point = keys.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": part(1..9), "x": part(1..33), "y": part(33..65) })
    }

    fn authorize(&self, request: &Request) -> Response {
        let query = request.query.clone();
        if request.query("prompt").as_deref() == Some("none") && *self.session_ended.lock().unwrap() {
            return self
                .redirect(request, &[("error", "login_required"), ("error_description", "nobody is here")]);
        }
        if request.cookie("op") == Some("ada") {
            return self.back(&Request { body: query, ..request.clone() });
        }
        self.form("/sign-in", &query, "", self.twist() != Twist::IdentifierFirst)
    }

    /// A form that carries the authorization request along.
    fn form(&self, action: &str, query: &str, message: &str, password: bool) -> Response {
        let hidden = hidden(query);
        let password = if password { "<input type=password name=pass>" } else { "" };
        Response::html(
            200,
            format!(
                "<p>{message}</p><form method=post action=/language><button name=to value=de>Deutsch</button></form>\
                 <form method=post action={action}>{hidden}<input name=account autocomplete='username webauthn'>\
                 {password}<button>Sign in</button></form>"
            ),
        )
    }

    fn sign_in(&self, request: &Request) -> Response {
        let carried = carried(&request.body);
        if request.form("pass").is_none() {
            return self.form("/sign-in", &carried, "", true);
        }
        if request.form("account").as_deref() != Some("ada")
            || request.form("pass").as_deref() != Some("right")
        {
            return self.form("/sign-in", &carried, "Wrong name or password", true);
        }
        if self.twist() == Twist::Consent {
            let page = format!(
                "<form method=post action=/consent>{}<button name=answer value=no>No</button>\
                 <button name=answer value=allow>Yes</button></form>",
                hidden(&carried)
            );
            return Response::html(200, page);
        }
        self.back(&Request { body: carried, ..request.clone() })
    }

    /// Back to the app with a code, or what the twist makes of it.
    fn back(&self, request: &Request) -> Response {
        let asked = Request { query: carried(&request.body), ..request.clone() };
        let denied = request.form("answer").is_some_and(|answer| answer != "allow");
        if denied || self.twist() == Twist::Denied {
            return self.redirect(&asked, &[("error", "access_denied"), ("error_description", "not today")]);
        }
        let mut codes = self.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        let asked_for = url::form_urlencoded::parse(asked.query.as_bytes()).into_owned().collect();
        codes.insert(code.clone(), asked_for);
        self.redirect(&asked, &[("code", &code)]).with("Set-Cookie", "op=ada; Path=/; HttpOnly")
    }

    fn redirect(&self, asked: &Request, parameters: &[(&str, &str)]) -> Response {
        let mut to: Url = asked.query("redirect_uri").unwrap().parse().unwrap();
        let state = asked.query("state").unwrap();
        let twist = self.twist();
        let state = if twist == Twist::OtherState { "other" } else { state.as_str() };
        to.query_pairs_mut().extend_pairs(parameters).append_pair("state", state);
        match twist {
            Twist::NoIss => (),
            Twist::WrongIss => drop(to.query_pairs_mut().append_pair("iss", "http://other.test")),
            _ => drop(to.query_pairs_mut().append_pair("iss", &self.issuer)),
        }
        Response::see_other(to)
    }

    fn is_client(&self, request: &Request) -> bool {
        let expect = format!("Basic {}", STANDARD.encode("grid+console:s+e%2Fcret"));
        request.header("authorization") == Some(&expect)
    }

    fn token(&self, request: &Request) -> Response {
        let error = |error: &str| {
            json_response(400, &json!({ "error": error, "error_description": "says the test" }))
        };
        if !self.is_client(request) {
            return error("invalid_client");
        }
        if request.form("grant_type").as_deref() == Some("refresh_token") {
            return self.refresh(request);
        }
        let code = request.form("code").unwrap();
        let Some(asked) = self.codes.lock().unwrap().remove(&code) else { return error("invalid_grant") };
        let verifier = request.form("code_verifier").unwrap();
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        let fits = asked["code_challenge"] == challenge && asked["code_challenge_method"] == "S256";
        let redirected = request.form("redirect_uri").as_ref() == asked.get("redirect_uri");
        if !fits || !redirected || self.twist() == Twist::BadCode {
            return error("invalid_grant");
        }
        *self.given.lock().unwrap() = 1;
        let mut tokens = json!({ "access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "refresh_token": "rt-1" });
        if self.twist() != Twist::NoIdToken {
            tokens["id_token"] = self.id_token(&asked, "at-1").into();
        }
        json_response(200, &tokens)
    }

    /// Each refresh token is good once.
    fn refresh(&self, request: &Request) -> Response {
        let mut given = self.given.lock().unwrap();
        let good = request.form("refresh_token") == Some(format!("rt-{given}"));
        if !good || *self.session_ended.lock().unwrap() {
            return json_response(
                400,
                &json!({ "error": "invalid_grant", "error_description": "it has ended" }),
            );
        }
        *given += 1;
        let access = format!("at-{given}");
        let mut tokens = json!({ "access_token": access, "token_type": "Bearer", "expires_in": 300 });
        tokens["refresh_token"] = format!("rt-{given}").into();
        if self.twist() != Twist::NoIdToken {
            let asked = HashMap::from([("client_id".to_owned(), "grid console".to_owned())]);
            tokens["id_token"] = self.id_token(&asked, &access).into();
        }
        json_response(200, &tokens)
    }

    fn id_token(&self, asked: &HashMap<String, String>, access: &str) -> String {
        let twist = self.twist();
        let or = |is: Twist, other: &str, usual: &str| {
            if twist == is { other.to_owned() } else { usual.to_owned() }
        };
        let hash = |token: &str| URL_SAFE_NO_PAD.encode(&sha256(token.as_bytes())[..16]);
        let mut claims = json!({
            "iss": or(Twist::OtherIssuer, "http://other.test", &self.issuer),
            "aud": or(Twist::OtherAudience, "somebody", &asked["client_id"]),
            "sub": or(Twist::OtherSignIn, "u-2", "u-1"),
            "sid": "s-1",
            "iat": NOW - 60,
            "exp": if twist == Twist::Expired { NOW - 1 } else { NOW + 60 },
            "at_hash": hash(&or(Twist::OtherAccessTokenHash, "at-0", access)),
            "acr": asked.get("acr_values").map_or("aal1", String::as_str),
            "house": "claims without a name of their own survive",
        });
        let nonce = asked.get("nonce").map(|nonce| or(Twist::OtherNonce, "other", nonce));
        let nonce = nonce.or((twist == Twist::OtherNonce).then(|| "other".to_owned()));
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        let algorithm = or(Twist::Unsigned, "none", "ES256");
        let token = self.sign(&json!({ "alg": algorithm, "kid": self.key()["kid"] }), &claims);
        match token.rsplit_once('.') {
            Some((signed, _)) if twist == Twist::Unsigned => format!("{signed}."),
            _ => token,
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let other = key_pair();
        let keys = self.keys.lock().unwrap();
        let keys = if self.twist() == Twist::OtherKey { &other } else { &*keys };
        let signature = keys.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn holds(&self, token: &str) -> bool {
        token == format!("at-{}", self.given.lock().unwrap())
            && !self.revoked.lock().unwrap().iter().any(|revoked| revoked == token)
    }

    fn userinfo(&self, request: &Request) -> Response {
        let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.holds(token)) {
            let challenge = "Bearer error=\"invalid_token\", error_description=\"the session has ended\"";
            return Response::new(401, "text/plain", "").with("WWW-Authenticate", challenge);
        }
        let sub = if self.twist() == Twist::OtherSubject { "u-2" } else { "u-1" };
        json_response(200, &json!({ "sub": sub, "name": "Ada <Lovelace>", "email": "ada@x.example" }))
    }

    fn introspect(&self, request: &Request) -> Response {
        if !self.is_client(request) {
            return json_response(401, &json!({ "error": "invalid_client" }));
        }
        let token = request.form("token").unwrap();
        json_response(200, &json!({ "active": self.holds(&token) }))
    }

    fn revoke(&self, request: &Request) -> Response {
        if !self.is_client(request) {
            return json_response(401, &json!({ "error": "invalid_client" }));
        }
        self.revoked.lock().unwrap().push(request.form("token").unwrap());
        Response::new(200, "text/plain", "")
    }
}

fn hidden(query: &str) -> String {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.map(|(name, value)| format!("<input type=hidden name='{name}' value='{value}'>")).collect()
}

/// The authorization request among the fields of a form.
fn carried(body: &str) -> String {
    let pairs = url::form_urlencoded::parse(body.as_bytes());
    let carried = pairs.filter(|(name, _)| !matches!(&**name, "account" | "pass" | "answer"));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(carried).finish()
}

fn json_response(status: u16, body: &Value) -> Response {
    Response::new(status, "application/json", body.to_string())
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

fn key_pair() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn now() -> Now {
    Arc::new(|| jiff::Timestamp::from_second(NOW).unwrap())
}

struct World {
    op: Arc<Op>,
    app: RelyingParty,
    browser: Browser,
    _responder: Responder,
}

impl World {
    async fn unconnected() -> Self {
        // The provider must know its own address, which it only gets by listening.
        let shared: Arc<OnceOp> = Arc::default();
        let handler = Arc::clone(&shared);
        let answer = move |request: Request| {
            let response = handler.get().unwrap().answer(&request);
            async move { response }
        };
        let responder = Responder::start((Ipv4Addr::LOCALHOST, 0).into(), answer).await.unwrap();
        let op = shared.get_or_init(|| {
            Arc::new(Op {
                issuer: format!("http://localhost:{}", responder.address().port()),
                keys: Mutex::new(key_pair()),
                twist: Mutex::new(Twist::None),
                codes: Mutex::default(),
                revoked: Mutex::default(),
                session_ended: Mutex::new(false),
                given: Mutex::new(0),
            })
        });
        let app = RelyingParty::start(RelyingPartyOptions::new("Grid Console", now())).await.unwrap();
        Self { op: Arc::clone(op), app, browser: Browser::new(now()), _responder: responder }
    }

    async fn new() -> Self {
        let world = Self::unconnected().await;
        world.app.connect(world.registration()).await.unwrap();
        world
    }

    async fn with(twist: Twist) -> Self {
        let world = Self::new().await;
        world.set(twist);
        world
    }

    fn set(&self, twist: Twist) {
        *self.op.twist.lock().unwrap() = twist;
    }

    fn registration(&self) -> Registration {
        Registration {
            issuer: self.op.issuer.clone(),
            client_id: "grid console".into(),
            client_secret: Some(SECRET.into()),
            scopes: vec!["profile".into()],
        }
    }

    async fn sign_in(&mut self) -> Result<Session, RelyingPartyError> {
        self.app.sign_in(&mut self.browser, "ada", "right").await
    }

    async fn home(&mut self) -> crate::browser::Page {
        self.browser.get(self.app.home().as_str()).await.unwrap()
    }
}

type OnceOp = std::sync::OnceLock<Arc<Op>>;

#[tokio::test]
async fn a_person_signs_in_and_the_app_knows_who_it_is() {
    for twist in [Twist::None, Twist::Consent, Twist::IdentifierFirst] {
        let mut world = World::with(twist).await;
        let session = world.sign_in().await.unwrap();
        assert_eq!((session.subject(), session.access_token.as_str()), ("u-1", "at-1"), "{twist:?}");
        assert_eq!(session.userinfo["name"], "Ada <Lovelace>");
        assert_eq!(session.claims["house"], "claims without a name of their own survive");
        assert!(!format!("{session:?}").contains("at-1"), "tokens are not shown");
        let page = world.home().await;
        assert!(page.text().contains("Signed in as Ada <Lovelace>"), "{}", page.text());
    }
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_not_believed() {
    let check = async |twist: Twist, expect: &str| {
        let mut world = World::with(twist).await;
        let error = world.sign_in().await.unwrap_err();
        assert!(matches!(&error, RelyingPartyError::Stuck { status: 400, .. }), "{twist:?}: {error}");
        assert!(error.to_string().contains(expect), "{twist:?}: {error}");
        assert!(world.home().await.text().contains("Nobody is signed in"), "{twist:?}");
    };
    check(Twist::OtherNonce, "nonce").await;
    check(Twist::OtherAudience, "audience").await;
    check(Twist::OtherIssuer, "issuer").await;
    check(Twist::Expired, "xpired").await;
    check(Twist::OtherAccessTokenHash, "at_hash").await;
    check(Twist::OtherKey, "ignature").await;
    check(Twist::Unsigned, "No signature").await;
    check(Twist::NoIdToken, "there is none").await;
    check(Twist::OtherSubject, "somebody else").await;
    check(Twist::OtherState, "no sign-in was begun").await;
    check(Twist::NoIss, "iss").await;
    check(Twist::WrongIss, "iss").await;
    check(Twist::BadCode, "invalid_grant").await;
}

#[tokio::test]
async fn the_provider_may_send_back_with_an_error() {
    let mut world = World::with(Twist::Denied).await;
    let error = world.sign_in().await.unwrap_err();
    assert_eq!(error.code(), Some("access_denied"));
    assert_eq!(error.to_string(), "sent back with access_denied: not today");
}

#[tokio::test]
async fn a_wrong_password_leaves_the_person_on_the_providers_page() {
    let mut world = World::new().await;
    let error = world.app.sign_in(&mut world.browser, "ada", "wrong").await.unwrap_err();
    let RelyingPartyError::Stuck { url, text, .. } = &error else { panic!("{error}") };
    assert_eq!(url.path(), "/sign-in");
    assert!(text.starts_with("Wrong name or password"), "{text}");
}

#[tokio::test]
async fn a_session_at_the_provider_signs_in_silently_until_it_ends() {
    let mut world = World::new().await;
    world.sign_in().await.unwrap();
    assert_eq!(world.app.sign_in_silently(&mut world.browser).await.unwrap().subject(), "u-1");
    *world.op.session_ended.lock().unwrap() = true;
    let error = world.app.sign_in_silently(&mut world.browser).await.unwrap_err();
    assert_eq!(error.code(), Some("login_required"));
}

#[tokio::test]
async fn without_a_session_silence_gets_nowhere() {
    // This provider shows a form although it was told to ask nothing.
    let mut world = World::new().await;
    let error = world.app.sign_in_silently(&mut world.browser).await.unwrap_err();
    assert!(matches!(error, RelyingPartyError::Stuck { status: 200, .. }), "{error}");
}

#[tokio::test]
async fn parameters_are_handed_on() {
    let mut world = World::new().await;
    let parameters = [("acr_values", "aal2"), ("scope", "everything")];
    let session = world.app.sign_in_with(&mut world.browser, "ada", "right", &parameters).await.unwrap();
    assert_eq!(session.claims["acr"], "aal2");
}

#[tokio::test]
async fn the_app_lets_go_when_the_provider_does() {
    let mut world = World::new().await;
    let session = world.sign_in().await.unwrap();
    assert_eq!(world.app.userinfo(&session.access_token).await.unwrap()["sub"], "u-1");
    assert_eq!(world.app.introspect(&session.access_token).await.unwrap()["active"], true);
    world.app.revoke(&session.access_token).await.unwrap();
    *world.op.session_ended.lock().unwrap() = true;
    assert_eq!(world.app.introspect(&session.access_token).await.unwrap()["active"], false);
    let error = world.app.userinfo(&session.access_token).await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(401), Some("invalid_token")));
    let page = world.home().await;
    assert_eq!(page.status, 403);
    assert!(
        page.text().contains("Access has ended") && page.text().contains("invalid_grant"),
        "{}",
        page.text()
    );
    assert!(world.home().await.text().contains("You are signed out"));
    assert!(world.sign_in().await.is_err(), "the provider's own session is over, too");
}

#[tokio::test]
async fn signing_out_of_the_app_is_not_signing_out_at_the_provider() {
    let mut world = World::new().await;
    world.sign_in().await.unwrap();
    let page = world.home().await;
    let page = world.browser.submit(&page.form().unwrap(), &[]).await.unwrap();
    assert!(page.text().contains("Nobody is signed in"));
    let page = world.browser.click(&page, "Sign in").await.unwrap();
    assert!(page.text().contains("Signed in as"), "the provider asked nothing again");
}

#[tokio::test]
async fn a_callback_belongs_to_the_browser_that_was_sent_away() {
    let mut world = World::new().await;
    world.browser.redirects = crate::browser::Redirects::Until(world.app.redirect_uri());
    let start = world.app.home().join("sign-in").unwrap();
    let page = world.browser.get(start.as_str()).await.unwrap();
    let form = page.form_with("pass").unwrap();
    let page = world.browser.submit(&form, &[("account", "ada"), ("pass", "right")]).await.unwrap();
    let callback = page.stopped_at.unwrap();
    let mut stranger = Browser::new(now());
    let page = stranger.get(callback.as_str()).await.unwrap();
    assert_eq!(page.status, 400);
    assert!(page.text().contains("no sign-in was begun"), "{}", page.text());
}

#[tokio::test]
async fn keys_may_rotate_behind_the_apps_back() {
    let mut world = World::new().await;
    *world.op.keys.lock().unwrap() = key_pair();
    assert_eq!(world.sign_in().await.unwrap().subject(), "u-1");
}

#[tokio::test]
async fn before_it_is_connected_the_app_says_so() {
    let mut world = World::unconnected().await;
    assert_eq!(world.home().await.status, 503);
    assert!(matches!(world.sign_in().await, Err(RelyingPartyError::NotConnected)));
    assert!(matches!(world.app.userinfo("at-1").await, Err(RelyingPartyError::NotConnected)));
    let elsewhere = Registration { issuer: format!("{}/", world.op.issuer), ..world.registration() };
    let error = world.app.connect(elsewhere).await.unwrap_err();
    assert!(matches!(error, RelyingPartyError::Discovery(_)), "{error}");
    let nowhere = Registration { issuer: "http://127.0.0.1:1".into(), ..world.registration() };
    assert!(matches!(world.app.connect(nowhere).await, Err(RelyingPartyError::Discovery(_))));
}

#[tokio::test]
async fn a_client_with_a_wrong_secret_is_refused() {
    let mut world = World::new().await;
    let wrong = Registration { client_secret: Some("wrong".into()), ..world.registration() };
    world.app.connect(wrong).await.unwrap();
    assert_eq!(world.app.introspect("at-1").await.unwrap_err().status(), Some(401));
    assert_eq!(world.app.revoke("at-1").await.unwrap_err().code(), Some("invalid_client"));
    assert!(world.sign_in().await.unwrap_err().to_string().contains("invalid_client"));
    let public = Registration { client_secret: None, ..world.registration() };
    world.app.connect(public).await.unwrap();
    assert_eq!(world.app.introspect("at-1").await.unwrap_err().status(), Some(401));
}

#[tokio::test]
async fn an_unknown_page_is_missing() {
    let mut world = World::new().await;
    let page = world.browser.get(world.app.home().join("nowhere").unwrap().as_str()).await.unwrap();
    assert_eq!(page.status, 404);
}
