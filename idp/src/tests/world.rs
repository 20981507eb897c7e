//! A provider with a few clients and one person, and the browser she uses.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ::policy::{BASELINE, Policies};
use actix_web::App;
use actix_web::cookie::Cookie;
use actix_web::http::header::{self, HeaderMap};
use actix_web::test::{self, TestRequest};
use actix_web::web::Data;
use directory::authenticator::passkey::{self, Passkeys};
use directory::authenticator::password::{self, Hasher};
use directory::authenticator::recovery_code;
use directory::authenticator::totp::{self, Seed};
use directory::declared::{self, Item, Kind, Sealer};
use directory::invitation::{Purpose, letter};
use directory::user::{self, Profile};
use kernel::id::{FactId, UserId};
use kernel::{Clock as _, Ctx, ManualClock, Secret, SystemClock, Token, TokenHash};
use keys::{KeyRing, RotationPolicy, SealingKeys};
use serde_json::{Value, json};
use store::{Db, DbConfig, Ephemeral, Origin, Sinks, StoredFact, sql};
use tokio::sync::watch;
use web::{Edge, Issuer, Networks};
use webauthn_authenticator_rs::WebauthnAuthenticator as _;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::step_up::seed_of;
use crate::{Idp, Settings, routes};

/// The proxy that speaks https before the house.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));

/// Makes of each async function of a [`World`] one test per engine, `NAME::sqlite` and `NAME::postgres`.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            use $crate::tests::world::World;

            #[actix_web::test]
            async fn sqlite() {
                super::$name(World::sqlite().await).await;
            }

            #[actix_web::test]
            async fn postgres() {
                let Some(world) = World::postgres().await else { return };
                super::$name(world).await;
            }
        }
    )+ };
}

pub(crate) const ISSUER: &str = "https://id.example.org";
pub(crate) const PASSWORD: &str = "three blue ducks sing";
pub(crate) const CALLBACK: &str = "https://app.example.org/callback";
pub(crate) const BASIC_CALLBACK: &str = "https://basic.example.org/callback";
/// The pair of RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// `(id, secret, sensitivity, redirect URI, algorithm)`. `basic` need not use PKCE; `guest` belongs to somebody else.
const CLIENTS: [(&str, Option<&str>, &str, &str, &str); 8] = [
    ("app", Some("app-secret"), "low", CALLBACK, "RS256"),
    ("basic", Some("basic-secret"), "low", BASIC_CALLBACK, "RS256"),
    ("guest", Some("guest-secret"), "low", "https://guest.example.com/callback", "ES256"),
    ("other", Some("other-secret"), "low", "https://other.example.org/callback", "ES256"),
    ("phone", None, "low", "org.example.phone:/callback", "ES256"),
    ("spa", None, "low", "https://spa.example.org/callback?tenant=1", "ES256"),
    ("moderate", Some("moderate-secret"), "moderate", "https://moderate.example.org/callback", "ES256"),
    ("vault", Some("vault-secret"), "critical", "https://vault.example.org/callback", "ES256"),
];

/// Where `app` has people sent when they signed out.
pub(crate) const GOODBYE: &str = "https://app.example.org/goodbye";
/// Where `app` and `other` hear of it.
pub(crate) const APP_HEARS: &str = "https://app.example.org/backchannel";
pub(crate) const OTHER_HEARS: &str = "https://other.example.org/backchannel";

/// What else is declared of a client. `phone` is given refresh tokens although it keeps no secret.
fn declared_more(id: &str) -> Value {
    match id {
        "app" => json!({
            "post_logout_redirect_uris": [GOODBYE, "https://app.example.org/bye?tenant=1"],
            "backchannel_logout_uri": APP_HEARS,
        }),
        "basic" => json!({ "pkce": "optional", "refresh_tokens": false }),
        "other" => json!({
            "post_logout_redirect_uris": ["https://other.example.org/"], "backchannel_logout_uri": OTHER_HEARS,
            "backchannel_logout_session_required": true,
        }),
        "guest" => json!({ "third_party": true }),
        "phone" => json!({ "refresh_tokens": true }),
        _ => json!({}),
    }
}

pub(crate) struct World {
    pub(crate) ctx: Ctx,
    clock: Arc<ManualClock>,
    pub(crate) db: Db,
    pub(crate) idp: Data<Idp>,
    pub(crate) ada: UserId,
    pub(crate) bo: UserId,
    pub(crate) policies: watch::Sender<Arc<Policies>>,
    pub(crate) hasher: Hasher,
    pub(crate) keys: KeyRing,
    sealing: SealingKeys,
    edge: Arc<Edge>,
    /// Held for its end, which removes the database.
    place: Place,
}

#[expect(dead_code, reason = "held to be dropped")]
enum Place {
    Folder(tempfile::TempDir),
    Server(parts::Database),
}

pub(crate) struct NoSecrets;

impl Sealer for NoSecrets {
    fn seal(&self, _: &str, _: &Secret<String>) -> String {
        String::new()
    }
    fn open(&self, _: &str, _: &str) -> Result<Secret<String>, String> {
        Err("there are none".into())
    }
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
        Self::open(&config, Place::Folder(folder)).await
    }

    /// `None`, with a reason on the output, where there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = parts::or_skip(parts::postgres(), parts::NO_POSTGRES)?;
        let config = DbConfig::Postgres { url: Secret::new(database.url().to_owned()), connections: 16 };
        Some(Self::open(&config, Place::Server(database)).await)
    }

    /// A new one on the same engine.
    pub(crate) async fn another(self) -> Self {
        match &self.place {
            Place::Folder(_) => Self::sqlite().await,
            Place::Server(_) => Self::postgres().await.unwrap(),
        }
    }

    async fn open(config: &DbConfig, place: Place) -> Self {
        // The machine's time: a database server refuses who is too far from it.
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let mut ctx = Ctx::for_tests(7);
        ctx.clock = clock.clone();
        let db = Db::open(config, ctx.clone(), Sinks::default()).await.unwrap();
        let sealing = SealingKeys::generate(&ctx);
        let keys = KeyRing::open(db.clone(), sealing.clone(), RotationPolicy::default()).await.unwrap();
        let hasher = Hasher::new(2);
        let issuer: Issuer = ISSUER.parse().unwrap();
        let (policies, receiver) = watch::channel(Arc::new(Policies::parse(&[BASELINE]).unwrap()));
        let ephemeral = Ephemeral::in_memory(ctx.clone());
        let proxies = Networks::parse(&[PROXY.to_string()]).unwrap();
        let edge = Arc::new(Edge { ctx: ctx.clone(), issuer: issuer.clone(), proxies });
        let idp = Idp::new(
            db.clone(),
            keys.clone(),
            receiver,
            hasher.clone(),
            ephemeral,
            issuer,
            Settings::default(),
        );
        let (ada, bo) = fill(&db, &hasher).await;
        Self { ctx, clock, db, idp: Data::new(idp), ada, bo, policies, hasher, keys, sealing, edge, place }
    }

    /// The same house with other counters, another hasher or other settings.
    pub(crate) fn rebuilt(mut self, ephemeral: Ephemeral, hasher: Hasher, settings: Settings) -> Self {
        let (db, keys, issuer) = (self.db.clone(), self.keys.clone(), self.idp.issuer.clone());
        let policies = self.policies.subscribe();
        self.idp = Data::new(Idp::new(db, keys, policies, hasher.clone(), ephemeral, issuer, settings));
        self.hasher = hasher;
        self
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(crate) async fn ask(&self, request: TestRequest) -> Answer {
        let app = App::new()
            .app_data(self.idp.clone())
            .configure(|config| web::mount(config, &self.edge, &routes(), &[]));
        let app = test::init_service(app).await;
        let answer = test::call_service(&app, request.to_request()).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = String::from_utf8(test::read_body(answer).await.to_vec()).unwrap();
        Answer { status, headers, body }
    }

    /// A form from an application, authenticated by HTTP Basic where a client is named.
    pub(crate) async fn call(
        &self,
        path: &str,
        client: Option<(&str, &str)>,
        form: &[(&str, &str)],
    ) -> Answer {
        let mut request = TestRequest::post().uri(path).set_form(form);
        if let Some((id, secret)) = client {
            use base64::Engine as _;
            let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
            request = request.insert_header(("authorization", format!("Basic {credentials}")));
        }
        self.ask(request).await
    }

    /// Redeems a code of `app`.
    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        self.call("/token", Some(("app", "app-secret")), &redemption(code, CALLBACK, VERIFIER)).await
    }

    /// Presents a refresh token as `app`.
    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.call("/token", Some(("app", "app-secret")), &refreshing(token)).await
    }

    /// Signs Ada in to `app` in a new browser; the answer of the token endpoint.
    pub(crate) async fn tokens(&self) -> Value {
        let code = self.browser().sign_in("app", &[]).await.code();
        let answer = self.redeem(&code).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        self.ask(
            TestRequest::get().uri("/userinfo").insert_header(("authorization", format!("Bearer {token}"))),
        )
        .await
    }

    pub(crate) async fn is_active(&self, token: &str) -> bool {
        let answer = self.call("/introspect", Some(("app", "app-secret")), &[("token", token)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["active"].as_bool().unwrap()
    }

    /// Gives Ada an app for one-time codes whose first code is used up.
    pub(crate) async fn give_totp(&self) -> Seed {
        let seed = Seed::generate(&self.ctx);
        let now = self.ctx.now();
        let step = seed.step_of(&seed.code_at(now).unwrap(), now, None).unwrap();
        let mut tx = self.db.write(Origin::system()).await.unwrap();
        totp::add(&mut tx, &self.sealing, self.ada, "Phone", &seed, step).await.unwrap();
        tx.commit().await.unwrap();
        self.advance(Duration::from_secs(30));
        seed
    }

    /// Gives Ada a security key that keeps its key.
    pub(crate) async fn give_passkey(&self) -> SoftPasskey {
        let mut device = SoftPasskey::new(true);
        let made = |asked: &Value| {
            let asked = serde_json::from_value(asked.clone()).unwrap();
            serde_json::to_value(device.do_registration(ISSUER.parse().unwrap(), asked).unwrap()).unwrap()
        };
        self.give_key_of(made).await;
        device
    }

    /// Gives Ada a passkey of whatever makes one.
    pub(crate) async fn give_key_of(&self, make: impl FnOnce(&Value) -> Value) {
        let passkeys = Passkeys::new(&ISSUER.parse().unwrap(), "id.example.org").unwrap();
        let ada = user::get(&self.db, self.ada).await.unwrap().unwrap();
        let (asked, state) = passkeys.begin_adding(&self.db, &ada).await.unwrap();
        let answer = make(&serde_json::to_value(asked).unwrap());
        let new = passkeys.finish_adding(&serde_json::from_value(answer).unwrap(), &state).unwrap();
        let mut tx = self.db.write(Origin::system()).await.unwrap();
        passkey::add(&mut tx, self.ada, "Key", &new).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Gives Ada recovery codes.
    pub(crate) async fn give_recovery_codes(&self) -> Vec<Secret<String>> {
        let codes = recovery_code::generate(&self.ctx);
        let mut tx = self.db.write(Origin::system()).await.unwrap();
        recovery_code::replace(&mut tx, &self.sealing, self.ada, &codes).await.unwrap();
        tx.commit().await.unwrap();
        codes
    }

    /// A link of a letter to who forgot the password, as a path.
    pub(crate) async fn recovery_link(&self) -> String {
        let (issuer, fact) = (&self.idp.issuer, FactId::new(&self.ctx));
        let link = letter::link(&self.db, &self.sealing, ISSUER, fact, self.ada, Purpose::Recovery).await;
        let link = crate::invitation_link(issuer, &link.unwrap().unwrap().token);
        link.strip_prefix(ISSUER).unwrap().to_owned()
    }

    /// The code that an app shows now.
    pub(crate) fn code_of(&self, seed: &Seed) -> String {
        seed.code_at(self.ctx.now()).unwrap()
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { world: self, address: Cell::default(), cookies: RefCell::default() }
    }

    /// Changes Ada as HR does.
    pub(crate) async fn change_ada(&self, profile: Profile) {
        let seen = user::get(&self.db, self.ada).await.unwrap().unwrap();
        let mut tx = self.db.write(Origin::system()).await.unwrap();
        user::update(&mut tx, &seen, &profile, vec!["active".into()]).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn set_active(&self, active: bool) {
        self.change_ada(Profile { active, ..profile() }).await;
    }

    pub(crate) fn set_policies(&self, text: &str) {
        let policies = Policies::parse(&[BASELINE, ("test.cedar", text)]).unwrap();
        self.policies.send_replace(Arc::new(policies));
    }

    /// Subject, actor and body of all facts of a kind that requests caused. In the order they were recorded as
    /// far as the clock was moved between them.
    pub(crate) async fn facts(&self, kind: &str) -> Vec<(String, String, Value)> {
        let facts: Vec<StoredFact> = self
            .db
            .all(
                sql!(
                    "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
                     WHERE kind = $1 ORDER BY id"
                ),
                (kind,),
            )
            .await
            .unwrap();
        let of_requests = facts.into_iter().filter(|fact| fact.request_id.is_some());
        let read =
            |fact: StoredFact| (fact.subject, fact.actor, serde_json::from_str(&fact.body.unwrap()).unwrap());
        of_requests.map(read).collect()
    }
}

pub(crate) fn profile() -> Profile {
    let document = json!({
        "userName": "Ada@example.org", "locale": "en-GB", "timezone": "Europe/London", "nickName": "Ada",
        "name": { "givenName": "Ada", "familyName": "Lovelace", "middleName": "King" },
        "addresses": [
            { "type": "home", "locality": "Marylebone" },
            { "type": "work", "primary": true, "streetAddress": "12 St James's Square", "locality": "London",
              "postalCode": "SW1Y 4JH", "country": "GB" },
        ],
        "phoneNumbers": [{ "value": "+44 20 7946 0000", "type": "work" }],
    });
    Profile {
        user_name: "Ada@example.org".into(),
        external_id: None,
        display_name: Some("Ada Lovelace".into()),
        email: Some("ada@example.org".into()),
        department: Some("Grid Operations".into()),
        title: None,
        active: true,
        document: document.to_string(),
    }
}

/// Who is known by nothing but a name.
fn bo() -> Profile {
    let document = json!({ "userName": "bo@example.org" }).to_string();
    let user_name = "bo@example.org".to_owned();
    Profile { user_name, display_name: None, email: None, department: None, document, ..profile() }
}

async fn fill(db: &Db, hasher: &Hasher) -> (UserId, UserId) {
    let verifier = hasher.hash(db.ctx(), Secret::new(PASSWORD.into())).await.unwrap();
    let mut tx = db.write(Origin::system()).await.unwrap();
    for (id, secret, sensitivity, redirect_uri, alg) in CLIENTS {
        let mut fields = json!({
            "name": format!("The <{id}> & Co"), "secret_hash": secret.map(|s| TokenHash::of(s).as_str().to_owned()),
            "redirect_uris": [redirect_uri], "sensitivity": sensitivity, "id_token_alg": alg,
        });
        let more = declared_more(id).as_object().cloned().unwrap_or_default();
        fields.as_object_mut().unwrap().extend(more);
        declared::put(&mut tx, &Item::new(Kind::Client, id, fields), None, &NoSecrets).await.unwrap();
    }
    let ada = user::create(&mut tx, &profile()).await.unwrap();
    let bo = user::create(&mut tx, &bo()).await.unwrap();
    for user in [&ada, &bo] {
        password::set(&mut tx, user.id, &verifier, None).await.unwrap();
    }
    tx.commit().await.unwrap();
    (ada.id, bo.id)
}

/// The form that redeems a code.
pub(crate) fn redemption<'a>(
    code: &'a str,
    redirect_uri: &'a str,
    verifier: &'a str,
) -> [(&'a str, &'a str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ]
}

/// The form that presents a refresh token.
pub(crate) fn refreshing(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The OAuth error code.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.body);
        self.header("location")
    }

    /// A parameter of the address that this redirects to.
    pub(crate) fn sent(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(self.location()).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    pub(crate) fn code(&self) -> String {
        self.sent("code").unwrap_or_else(|| panic!("no code: {}", self.location()))
    }

    /// What a page asks a passkey, in JSON.
    pub(crate) fn options<T: serde::de::DeserializeOwned>(&self) -> T {
        let text = self.body.split("data-options=\"").nth(1).unwrap_or_else(|| panic!("{}", self.body));
        let text = unescaped(text.split('"').next().unwrap());
        serde_json::from_str(&text).unwrap()
    }

    /// The value of a form field on this page.
    pub(crate) fn field(&self, name: &str) -> String {
        let at =
            self.body.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("{name}: {}", self.body));
        let tag = self.body[at..].split('>').next().unwrap();
        let value = tag.split("value=\"").nth(1).map_or("", |rest| rest.split('"').next().unwrap());
        unescaped(value)
    }
}

fn unescaped(text: &str) -> String {
    [("&#38;", "&"), ("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'")]
        .iter()
        .rev()
        .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

/// A query or form as text.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A browser: cookies, and the pages of a sign-in.
pub(crate) struct Browser<'a> {
    world: &'a World,
    /// Where it is, if not anywhere.
    pub(crate) address: Cell<Option<IpAddr>>,
    pub(crate) cookies: RefCell<BTreeMap<String, String>>,
}

impl Browser<'_> {
    pub(crate) async fn send(&self, mut request: TestRequest) -> Answer {
        if let Some(address) = self.address.get() {
            request = request
                .peer_addr((PROXY, 50_000).into())
                .insert_header((header::X_FORWARDED_FOR, address.to_string()));
        }
        for (name, value) in self.cookies.borrow().iter() {
            request = request.cookie(Cookie::new(name.clone(), value.clone()));
        }
        let answer = self.world.ask(request).await;
        for line in answer.headers.get_all("set-cookie") {
            let cookie = Cookie::parse(line.to_str().unwrap().to_owned()).unwrap();
            assert!(cookie.name().starts_with("__Host-"), "{cookie}");
            assert_eq!(
                (cookie.secure(), cookie.http_only(), cookie.path()),
                (Some(true), Some(true), Some("/"))
            );
            assert_eq!(cookie.same_site(), Some(actix_web::cookie::SameSite::Lax));
            let mut cookies = self.cookies.borrow_mut();
            match cookie.max_age() {
                Some(age) if age.is_zero() => drop(cookies.remove(cookie.name())),
                _ => drop(cookies.insert(cookie.name().to_owned(), cookie.value().to_owned())),
            }
        }
        answer
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.send(TestRequest::get().uri(uri)).await
    }

    pub(crate) async fn post(&self, uri: &str, form: &[(&str, &str)]) -> Answer {
        let request = TestRequest::post().uri(uri).insert_header(("origin", ISSUER)).set_form(form);
        self.send(request).await
    }

    /// Sends the browser to authorize for a client, with more parameters, which override the usual ones.
    pub(crate) async fn authorize(&self, client: &str, more: &[(&str, &str)]) -> Answer {
        self.get(&request_of(client, more)).await
    }

    /// The page that is shown when a person must sign in.
    pub(crate) async fn sign_in_page(&self, client: &str, more: &[(&str, &str)]) -> Answer {
        let answer = self.authorize(client, more).await;
        let location = answer.location().to_owned();
        assert!(location.starts_with("/sign-in?"), "{location}");
        let page = self.get(&location).await;
        assert_eq!(page.status, 200, "{}", page.body);
        page
    }

    /// Fills in the form of a page.
    pub(crate) async fn enter(&self, page: &Answer, user_name: &str, password: &str) -> Answer {
        let (form_token, request) = (page.field("form_token"), page.field("request"));
        let form = [
            ("form_token", form_token.as_str()),
            ("request", &request),
            ("username", user_name),
            ("password", password),
        ];
        self.post("/sign-in", &form).await
    }

    /// Ada signs in.
    pub(crate) async fn sign_in(&self, client: &str, more: &[(&str, &str)]) -> Answer {
        let page = self.sign_in_page(client, more).await;
        self.enter(&page, "ada@example.org", PASSWORD).await
    }

    /// Sends a code from the page of one more step.
    pub(crate) async fn step(&self, page: &Answer, way: &str, code: &str) -> Answer {
        let (form_token, request) = (page.field("form_token"), page.field("request"));
        let form = [("form_token", form_token.as_str()), ("request", &request), ("way", way), ("code", code)];
        self.post("/step-up", &form).await
    }

    /// Answers with a passkey what a page asks.
    pub(crate) async fn passkey(&self, page: &Answer, path: &str, device: &mut SoftPasskey) -> Answer {
        let answer = device.do_authentication(ISSUER.parse().unwrap(), page.options()).unwrap();
        self.send_passkey(page, path, &serde_json::to_string(&answer).unwrap()).await
    }

    pub(crate) async fn send_passkey(&self, page: &Answer, path: &str, answer: &str) -> Answer {
        let (form_token, request) = (page.field("form_token"), page.field("request"));
        let ceremony = page.field("ceremony");
        let form = [
            ("form_token", form_token.as_str()),
            ("request", &request),
            ("way", "passkey"),
            ("ceremony", &ceremony),
            ("passkey", answer),
        ];
        self.post(path, &form).await
    }

    /// Follows a redirect of our own to the page of one more step.
    pub(crate) async fn step_page(&self, answer: &Answer) -> Answer {
        let location = answer.location().to_owned();
        assert!(location.starts_with("/step-up?"), "{location}");
        let page = self.get(&location).await;
        assert_eq!(page.status, 200, "{}", page.body);
        page
    }

    /// Answers what an application of others may know.
    pub(crate) async fn decide(&self, page: &Answer, decision: &str) -> Answer {
        let [form_token, request, user] = ["form_token", "request", "user"].map(|name| page.field(name));
        let form = [
            ("form_token", form_token.as_str()),
            ("request", &request),
            ("user", &user),
            ("decision", decision),
        ];
        self.post("/consent", &form).await
    }

    /// Adds the app for one-time codes that a page offers, with its first code.
    pub(crate) async fn enrol_totp(&self, page: &Answer) -> (Seed, Answer) {
        let key = page.body.split("<code>").nth(1).unwrap_or_else(|| panic!("{}", page.body));
        let seed = seed_of(key.split("</code>").next().unwrap());
        let code = self.world.code_of(&seed);
        let [form_token, request, sealed] = ["form_token", "request", "seed"].map(|name| page.field(name));
        let form = [
            ("form_token", form_token.as_str()),
            ("request", &request),
            ("way", "totp"),
            ("seed", &sealed),
            ("code", &code),
            ("name", "Phone"),
        ];
        (seed, self.post("/enrol", &form).await)
    }

    pub(crate) fn session(&self) -> Option<String> {
        self.cookies.borrow().get("__Host-cardea-session").cloned()
    }
}

/// An authorization request as a path.
pub(crate) fn request_of(client: &str, more: &[(&str, &str)]) -> String {
    let redirect_uri = CLIENTS.iter().find(|(id, ..)| *id == client).map_or(CALLBACK, |(.., uri, _)| uri);
    let usual = [
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("state", "a b&c"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let usual = usual.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let pairs: Vec<(&str, &str)> = usual.chain(more.iter().copied()).collect();
    format!("/authorize?{}", query(&pairs))
}

/// What a token of ours says.
pub(crate) fn claims(jwt: &str) -> (Value, Value) {
    use base64::Engine as _;
    let part = |at: usize| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwt.split('.').nth(at).unwrap());
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    };
    (part(0), part(1))
}

/// Changes the declaration of a client.
pub(crate) async fn redeclare(world: &World, id: &str, change: impl FnOnce(&mut Item)) {
    let all = declared::read_all(&world.db, &NoSecrets).await.unwrap();
    let before = all.into_iter().find(|item| item.kind == Kind::Client && item.name == id).unwrap();
    let mut after = before.clone();
    change(&mut after);
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    declared::put(&mut tx, &after, Some(&before), &NoSecrets).await.unwrap();
    tx.commit().await.unwrap();
}

/// Deletes a client.
pub(crate) async fn undeclare(world: &World, id: &str) {
    let all = declared::read_all(&world.db, &NoSecrets).await.unwrap();
    let item = all.into_iter().find(|item| item.kind == Kind::Client && item.name == id).unwrap();
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    declared::delete(&mut tx, &item).await.unwrap();
    tx.commit().await.unwrap();
}

/// A new link for the first administrator, as a path.
pub(crate) async fn set_up_link(world: &World) -> Option<String> {
    let offered = directory::set_up::offer(&world.db, Origin::system(), ISSUER).await.unwrap();
    let link = crate::set_up_link(&world.idp.issuer, &offered?.0);
    Some(link.strip_prefix(ISSUER).unwrap().to_owned())
}

/// A new invitation for Ada.
pub(crate) async fn invite(world: &World) -> Token {
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    let token = directory::invitation::create(&mut tx, ISSUER, world.ada).await.unwrap();
    tx.commit().await.unwrap();
    token
}
