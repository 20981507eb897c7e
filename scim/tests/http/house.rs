//! A SCIM server over a database of each engine, in process, with a clock that moves when told to.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::test::{self, TestRequest};
use actix_web::web::Data;
use actix_web::{App, HttpServer, body};
use kernel::id::{CredentialId, ScimConnectionId, UserId};
use kernel::{Actor, Assurance, Clock as _, Ctx, ManualClock, Secret, SystemClock, Token};
use scim::Scim;
use serde_json::{Value as Json, json};
use store::{Db, DbConfig, Ephemeral, FactBody, Origin, Sinks, StoredFact, sql};
use web::{Edge, Issuer, Networks};

pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(crate) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub(crate) const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
pub(crate) const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
pub(crate) const BASE: &str = "https://id.example.org/scim/v2";

const REFUSED_BELOW: &[(&str, web::Refuse)] = &[("/scim/", scim::refuse)];

/// A server, and the token of the connection that it knows.
pub(crate) struct House {
    pub(crate) db: Db,
    pub(crate) connection: ScimConnectionId,
    pub(crate) token: Token,
    ephemeral: Ephemeral,
    clock: Arc<ManualClock>,
    _place: Place,
}

enum Place {
    Folder { _folder: tempfile::TempDir },
    Server { _database: parts::Database },
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// `Null` when there was none.
    pub(crate) body: Json,
}

impl House {
    /// On a SQLite file.
    pub(crate) async fn on_a_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
        Self::open(&config, Place::Folder { _folder: folder }).await
    }

    /// On a fresh PostgreSQL database; `None`, with a word about it, when there is no server. In CI there is.
    pub(crate) async fn on_a_server() -> Option<Self> {
        let database = parts::or_skip(parts::postgres(), parts::NO_POSTGRES)?;
        let config = DbConfig::Postgres { url: Secret::new(database.url().to_owned()), connections: 8 };
        Some(Self::open(&config, Place::Server { _database: database }).await)
    }

    async fn open(config: &DbConfig, place: Place) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let mut ctx = Ctx::system();
        ctx.clock = clock.clone();
        let db = Db::open(config, ctx.clone(), Sinks::default()).await.unwrap();
        let (connection, token) = (ScimConnectionId::new(&ctx), Token::generate(&ctx, "scim"));
        let insert = sql!(
            "INSERT INTO scim_connection (id, version, name, token_hash, updated_at) VALUES ($1, 1, $2, $3, $4)"
        );
        let row = (connection, "hr", token.hash().as_str().to_owned(), ctx.now());
        db.change(Origin::system(), insert, row, Vec::new()).await.unwrap();
        let ephemeral = Ephemeral::in_memory(ctx);
        Self { db, connection, token, ephemeral, clock, _place: place }
    }

    pub(crate) fn scim(&self) -> Scim {
        Scim::new(self.db.clone(), self.ephemeral.clone(), "https://id.example.org".parse().unwrap())
    }

    /// Serves on a free port until stopped; the address of the SCIM root there.
    pub(crate) fn serve(&self) -> (String, ServerHandle) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let issuer: Issuer = origin.parse().unwrap();
        let scim = Data::new(Scim::new(self.db.clone(), self.ephemeral.clone(), issuer.clone()));
        let edge = Arc::new(Edge { ctx: self.db.ctx().clone(), issuer, proxies: Networks::default() });
        let app = move || {
            App::new()
                .app_data(scim.clone())
                .configure(|config| web::mount(config, &edge, &scim::routes(), REFUSED_BELOW))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        (format!("{origin}/scim/v2"), handle)
    }

    /// Moves the clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Sends a request as it is, without a token.
    pub(crate) async fn ask(&self, request: TestRequest) -> Answer {
        let issuer = "https://id.example.org".parse().unwrap();
        let edge = Arc::new(Edge { ctx: self.db.ctx().clone(), issuer, proxies: Networks::default() });
        let app = test::init_service(
            App::new()
                .app_data(Data::new(self.scim()))
                .configure(|config| web::mount(config, &edge, &scim::routes(), REFUSED_BELOW)),
        )
        .await;
        let answer = match test::try_call_service(&app, request.to_request()).await {
            Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
            Err(error) => error.error_response(),
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = body::to_bytes(answer.into_body()).await.unwrap();
        let body = match &bytes[..] {
            [] => Json::Null,
            bytes => serde_json::from_slice(bytes)
                .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(bytes))),
        };
        Answer { status, headers, body }
    }

    /// A request of the connection.
    pub(crate) fn request(&self, method: &str, path: &str) -> TestRequest {
        TestRequest::default()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(&format!("/scim/v2/{path}"))
            .insert_header(("authorization", format!("Bearer {}", self.token.expose())))
    }

    /// The same with a JSON body.
    pub(crate) fn with_body(&self, method: &str, path: &str, body: &Json) -> TestRequest {
        self.request(method, path)
            .insert_header(("content-type", "application/scim+json"))
            .set_payload(body.to_string())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(self.request("GET", path)).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Json) -> Answer {
        self.ask(self.with_body(method, path, body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(self.request("DELETE", path)).await
    }

    /// A PATCH with these operations.
    pub(crate) async fn patch(&self, path: &str, operations: Json) -> Answer {
        self.send("PATCH", path, &json!({ "schemas": [PATCH], "Operations": operations })).await
    }

    /// A list with this filter; `more` is what follows in the address.
    pub(crate) async fn filter(&self, kind: &str, filter: &str, more: &str) -> Answer {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        self.get(&format!("{kind}?filter={filter}{more}")).await
    }

    /// The ids that a filter finds, which are also as many as it says.
    pub(crate) async fn found(&self, kind: &str, filter: &str) -> Vec<String> {
        let answer = self.filter(kind, filter, "").await.expect(200);
        let ids = answer.ids();
        assert_eq!(answer.body["totalResults"], ids.len(), "{filter}");
        ids
    }

    /// Makes a user of this name with a few more attributes, and gives its id.
    pub(crate) async fn user(&self, user_name: &str, more: Json) -> String {
        let mut body = json!({ "schemas": [USER], "userName": user_name });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.send("POST", "Users", &body).await.expect(201).id()
    }

    /// Makes a group of this name, and gives its id.
    pub(crate) async fn group(&self, display_name: &str, members: &[&str]) -> String {
        let members: Vec<Json> = members.iter().map(|member| json!({ "value": member })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": display_name, "members": members });
        self.send("POST", "Groups", &body).await.expect(201).id()
    }

    /// Ids of the members of a group, sorted.
    pub(crate) async fn members(&self, group: &str) -> Vec<String> {
        let answer = self.get(&format!("Groups/{group}")).await.expect(200);
        let members = answer.body["members"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> =
            members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// The facts of one kind about a user or group, oldest first.
    pub(crate) async fn facts<B: FactBody>(&self, subject: &str) -> Vec<B> {
        let facts = self.stored_facts(B::KIND).await;
        let about = facts.iter().filter(|fact| fact.subject.ends_with(&format!(":{subject}")));
        about.map(|fact| fact.read().unwrap()).collect()
    }

    /// The facts of one kind, oldest first.
    pub(crate) async fn stored_facts(&self, kind: &str) -> Vec<StoredFact> {
        let text = sql!(
            "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
             WHERE kind = $1 ORDER BY at, id"
        );
        self.db.all(text, (kind,)).await.unwrap()
    }

    /// How many facts there are.
    pub(crate) async fn fact_count(&self) -> i64 {
        self.db.one::<(i64,)>(sql!("SELECT COUNT(*) FROM fact"), ()).await.unwrap().0
    }

    /// Signs somebody in, and gives what the browser's cookie holds.
    pub(crate) async fn sign_in(&self, user: &str) -> Token {
        let user: UserId = user.parse().unwrap();
        let sign_in = directory::session::SignIn {
            user,
            client: None,
            assurance: Assurance::Aal1,
            amr: vec!["pwd".into()],
            because: Vec::new(),
            lasts: Duration::from_secs(3_600),
            methods: vec!["password".into()],
            idle: None,
            device: String::new(),
        };
        let mut tx = self.db.write(Origin::of(Actor::User(user))).await.unwrap();
        let opened = directory::session::open(&mut tx, &sign_in).await;
        tx.end(opened).await.unwrap().1
    }

    /// Gives somebody a card in this state.
    pub(crate) async fn card(&self, user: &str, state: &str) -> CredentialId {
        let id = CredentialId::new(self.db.ctx());
        let insert = sql!(
            "INSERT INTO credential (id, version, user_id, kind, format, facility, number, state, issued_at, updated_at) \
             SELECT $1, 1, $2, 'card', 'h10301', 7, COUNT(*), $3, $4, $4 FROM credential"
        );
        let row = (id, user, state, self.db.ctx().now());
        self.db.change(Origin::system(), insert, row, Vec::new()).await.unwrap();
        id
    }

    pub(crate) async fn is_signed_in(&self, token: &Token) -> bool {
        directory::session::by_token(&self.db, token.expose()).await.unwrap().is_some()
    }
}

impl Answer {
    /// The same, when it has this status and is of the protocol's form.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        if self.body != Json::Null {
            assert_eq!(self.header("content-type"), "application/scim+json");
        }
        self
    }

    /// Holds an error against its status and keyword, which is empty when there is none.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, scim_type: &str) -> Self {
        let this = self.expect(status);
        assert_eq!(this.body["schemas"], json!([ERROR]));
        assert_eq!(this.body["status"], status.to_string(), "the status is text");
        assert_eq!(this.body["scimType"].as_str().unwrap_or_default(), scim_type, "{}", this.body);
        assert!(this.body["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{}", this.body);
        this
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.body)).to_owned()
    }

    /// The ids of a list, in its order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let resources = self.body["Resources"].as_array().cloned().unwrap_or_default();
        resources.iter().map(|resource| resource["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Each named `async fn name(house: &House)` as a test on both engines.
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        mod on_a_file {
            $(#[actix_web::test]
            async fn $name() {
                super::$name(&crate::house::House::on_a_file().await).await;
            })*
        }
        mod on_a_server {
            $(#[actix_web::test]
            async fn $name() {
                if let Some(house) = crate::house::House::on_a_server().await {
                    super::$name(&house).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_engines;
