//! A small table of routes, mounted, and what every answer of it has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_web::http::{Method, StatusCode};
use actix_web::test::{self, TestRequest};
use actix_web::web::to;
use actix_web::{App, HttpRequest, HttpResponse};
use kernel::Ctx;
use web::body::{Body, BodyError, Form};
use web::browser::{self, Browser};
use web::{Edge, Networks, Passage, Prebuilt, Refused, Route, Visibility, bounds};

fn table() -> Vec<Route> {
    vec![
        Route::new(web::Method::Get, "/things/{id}", Visibility::Public, || to(show)),
        Route::new(web::Method::Put, "/things/{id}", Visibility::Public, || to(keep)).body_limit(8),
        Route::new(web::Method::Post, "/form", Visibility::Browser, || to(form))
            .body_limit(64)
            .refused_by(refuse),
        Route::new(web::Method::Get, "/panic", Visibility::Public, || to(panic)).refused_by(refuse),
        Route::new(web::Method::Get, "/bytes", Visibility::Public, || to(bytes)),
        Route::new(web::Method::Get, "/health", Visibility::Operations, || to(show)),
        Route::new(web::Method::Get, "/shared", Visibility::Token, || to(panic)).refused_by(refuse),
        Route::new(web::Method::Post, "/shared", Visibility::Token, || to(keep)).body_limit(8).cross_origin(),
        Route::new(web::Method::Post, "/same", Visibility::Browser, || to(same)).body_limit(256),
    ]
}

async fn show(passage: Passage) -> HttpResponse {
    HttpResponse::Ok().body(format!("{} {}", passage.client(), passage.locale()))
}

async fn keep(body: Result<Body, BodyError>) -> HttpResponse {
    match body {
        Ok(Body(bytes)) => HttpResponse::Ok().body(bytes),
        Err(error) => {
            HttpResponse::build(StatusCode::from_u16(error.status()).unwrap()).body(error.to_string())
        }
    }
}

async fn form(Form(params): Form) -> HttpResponse {
    HttpResponse::Ok().body(params.one("a").ok().flatten().unwrap_or_default().to_owned())
}

async fn panic() -> HttpResponse {
    panic!("on purpose")
}

async fn bytes(request: HttpRequest) -> HttpResponse {
    Prebuilt::new("application/json", "{}", 60).respond(&request)
}

async fn same(request: HttpRequest, edge: actix_web::web::Data<Edge>, Form(params): Form) -> HttpResponse {
    let browser = Browser::of(&edge.ctx, &request);
    HttpResponse::Ok().body(browser.sent_form(&request, &edge.issuer, &params).to_string())
}

fn refuse(_: &Passage, refused: Refused) -> HttpResponse {
    let status = StatusCode::from_u16(refused.status()).unwrap();
    HttpResponse::build(status).body(format!("ours: {refused:?}"))
}

fn edge(issuer: &str) -> Arc<Edge> {
    Arc::new(Edge {
        ctx: Ctx::for_tests(7),
        issuer: issuer.parse().unwrap(),
        proxies: Networks::parse(&["10.0.0.0/8"]).unwrap(),
    })
}

struct Answer {
    status: u16,
    body: String,
    headers: actix_web::http::header::HeaderMap,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask_at(issuer: &str, request: TestRequest) -> Answer {
    let edge = edge(issuer);
    let app = test::init_service(
        App::new()
            .app_data(actix_web::web::Data::from(edge.clone()))
            .configure(|config| web::mount(config, &edge, &table(), &[("/ours/", refuse)])),
    )
    .await;
    let (status, headers, body) = match test::try_call_service(&app, request.to_request()).await {
        Ok(answer) => {
            let (status, headers) = (answer.status(), answer.headers().clone());
            (status, headers, test::read_body(answer).await)
        }
        Err(error) => {
            let answer = error.error_response();
            let (status, headers) = (answer.status(), answer.headers().clone());
            (status, headers, actix_web::body::to_bytes(answer.into_body()).await.unwrap())
        }
    };
    Answer { status: status.as_u16(), body: String::from_utf8(body.to_vec()).unwrap(), headers }
}

async fn ask(request: TestRequest) -> Answer {
    ask_at("https://id.example.org", request).await
}

#[actix_web::test]
async fn a_wrong_method_is_told_the_right_ones_in_the_form_of_the_protocol() {
    let answer = ask(TestRequest::delete().uri("/things/7")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, PUT, HEAD"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.body.contains("method-not-allowed"), "{}", answer.body);
    let answer = ask(TestRequest::get().uri("/form")).await;
    assert_eq!((answer.status, answer.header("allow"), answer.body.as_str()), (405, "POST", "ours: Method"));
    let answer = ask(TestRequest::default().method(Method::OPTIONS).uri("/form")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
}

#[actix_web::test]
async fn an_unknown_path_is_refused_in_the_form_of_its_neighbours() {
    for path in ["/", "/thing", "/things", "/things/7/", "/things/7/8", "/FORM"] {
        let answer = ask(TestRequest::get().uri(path)).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (404, "application/problem+json"),
            "{path}"
        );
    }
    assert_eq!(ask(TestRequest::get().uri("/ours/x")).await.body, "ours: Unknown");
}

#[actix_web::test]
async fn what_comes_in_clear_is_served_to_named_proxies_only() {
    let at = |path, peer: &str| TestRequest::get().uri(path).peer_addr(format!("{peer}:9").parse().unwrap());
    for path in ["/things/7", "/nowhere", "/"] {
        let refused = ask(at(path, "192.0.2.1").insert_header(("x-forwarded-for", "10.1.2.3"))).await;
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (403, "application/problem+json"),
            "{path}"
        );
        assert!(refused.body.contains("not-encrypted"), "{}", refused.body);
        assert!(refused.body.contains("https://id.example.org"), "{}", refused.body);
        assert!(refused.body.contains("http.trusted_proxies"), "{}", refused.body);
        assert!(!refused.header("strict-transport-security").is_empty());
    }
    let by_proxy = at("/things/7", "10.1.2.3").insert_header(("x-forwarded-for", "203.0.113.9"));
    assert_eq!(ask(by_proxy).await.body, "203.0.113.9 en");
    assert_eq!(
        ask(at("/health", "192.0.2.1")).await.status,
        200,
        "whoever asks after our health is beside us"
    );
    assert_eq!(ask_at("http://localhost:8080", at("/things/7", "127.0.0.1")).await.status, 200);
}

#[actix_web::test]
async fn scripts_of_any_origin_may_call_what_is_marked_and_nothing_else() {
    let preflight = |path| {
        let request = TestRequest::default().method(Method::OPTIONS).uri(path);
        request
            .insert_header(("origin", "https://spa.example"))
            .insert_header(("access-control-request-method", "POST"))
    };
    let may = ask(preflight("/shared")).await;
    assert_eq!(may.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "Authorization, Content-Type"),
        ("access-control-max-age", "7200"),
        // With it a browser would send cookies along.
        ("access-control-allow-credentials", ""),
    ] {
        assert_eq!(may.header(name), value, "{name}");
    }
    let answer = ask(TestRequest::post().uri("/shared").set_payload("1234")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(answer.header("access-control-expose-headers"), "WWW-Authenticate, X-Request-Id");
    let refused = ask(TestRequest::post().uri("/shared").set_payload("123456789")).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (413, "*"));

    let asked = ask(TestRequest::default().method(Method::OPTIONS).uri("/shared")).await;
    assert_eq!((asked.status, asked.header("allow")), (405, "GET, POST, HEAD"), "no preflight");
    for path in ["/form", "/same", "/things/7", "/nowhere"] {
        let refused = ask(preflight(path)).await;
        assert!(matches!(refused.status, 404 | 405), "{path}: {}", refused.status);
        for name in ["access-control-allow-origin", "access-control-allow-methods"] {
            assert_eq!(refused.header(name), "", "{path}: {name}");
        }
    }
    assert_eq!(ask(TestRequest::get().uri("/shared")).await.header("access-control-allow-origin"), "");
}

#[actix_web::test]
async fn a_get_route_answers_head() {
    assert_eq!(ask(TestRequest::default().method(Method::HEAD).uri("/things/7")).await.status, 200);
}

#[actix_web::test]
async fn a_panic_is_a_500_in_the_form_of_the_protocol() {
    let answer = ask(TestRequest::get().uri("/panic")).await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "ours: Failed"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(!answer.header("x-request-id").is_empty());
}

#[actix_web::test]
async fn every_answer_has_the_headers_of_the_house() {
    for path in ["/things/7", "/nowhere"] {
        let request = TestRequest::get().uri(path).insert_header(("x-request-id", "theirs"));
        let answer = ask(request).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
        assert_eq!(answer.header("x-request-id").len(), 16, "ours, not theirs");
    }
    let plain = ask_at("http://localhost:8080", TestRequest::get().uri("/things/7")).await;
    assert_eq!(plain.header("strict-transport-security"), "");
}

#[actix_web::test]
async fn the_passage_knows_address_and_language() {
    let from =
        |peer: &str| TestRequest::get().uri("/things/7").peer_addr(peer.parse::<SocketAddr>().unwrap());
    let forwarded = ("x-forwarded-for", "8.8.8.8, 203.0.113.9");
    let directly = ask_at("http://localhost:8080", from("192.0.2.1:9").insert_header(forwarded)).await;
    assert_eq!(directly.body, "192.0.2.1 en");
    let through_proxy =
        from("10.0.0.1:9").insert_header(forwarded).insert_header(("accept-language", "de-AT"));
    assert_eq!(ask(through_proxy).await.body, "203.0.113.9 de");
}

#[actix_web::test]
async fn a_body_ends_where_the_route_says() {
    let put = || TestRequest::put().uri("/things/7");
    let says = "the body is larger than the 8 bytes allowed here";
    assert_eq!(ask(put().set_payload("12345678")).await.body, "12345678");
    let announced = ask(put().set_payload("123456789")).await;
    assert_eq!((announced.status, announced.header("content-type")), (413, "application/problem+json"));
    assert!(announced.body.contains(says), "{}", announced.body);
    assert_eq!(ask(put().insert_header(("content-length", "99999999999"))).await.status, 413);
    // Whose length is not announced, or is a lie.
    let longer = ask(put().set_payload("123456789").insert_header(("content-length", "8"))).await;
    assert_eq!((longer.status, longer.body.as_str()), (413, says));
    assert_eq!(ask(put().insert_header(("content-encoding", "gzip")).set_payload("1")).await.status, 415);
}

#[actix_web::test]
async fn what_is_beyond_its_bounds_is_refused_in_the_form_of_the_protocol() {
    let post = || TestRequest::post().uri("/form").insert_header(("x-forwarded-for", "192.0.2.1"));
    let gzip = || post().insert_header(("content-encoding", "gzip")).set_payload("1");
    let twice =
        || post().append_header(("authorization", "Basic a")).append_header(("authorization", "Basic b"));
    let many = |request: TestRequest| {
        (0..=bounds::HEADERS).fold(request, |request, _| request.append_header(("x", "y")))
    };
    for (request, status, says) in [
        (post().uri(&format!("/form?{}", "a".repeat(bounds::TARGET))), 414, "ours: Target"),
        (many(post()), 431, "ours: Headers"),
        (twice(), 400, "ours: Repeated(\"Authorization\")"),
        (gzip(), 415, "ours: Body(Encoded)"),
        (post().set_payload("a".repeat(65)), 413, "ours: Body(TooLarge { limit: 64 })"),
        // The row is known by its path also when the method is wrong.
        (many(TestRequest::delete().uri("/form")), 431, "ours: Headers"),
    ] {
        let answer = ask(request).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, says));
        assert!(!answer.header("x-request-id").is_empty() && !answer.header("cache-control").is_empty());
    }
    // Where no body is read, one is passed over that does no harm.
    let get = || TestRequest::get().uri("/things/7");
    assert_eq!(ask(get().set_payload("{}")).await.status, 200);
    assert_eq!(ask(get().set_payload("a".repeat(bounds::IGNORED_BODY + 1))).await.status, 413);
}

#[actix_web::test]
async fn a_form_is_a_form() {
    let post = || TestRequest::post().uri("/form");
    let form = ("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    assert_eq!(ask(post().insert_header(form).set_payload("a=x+y")).await.body, "x y");
    assert_eq!(
        ask(post().insert_header(("content-type", "text/plain")).set_payload("a=x")).await.status,
        415
    );
    assert_eq!(ask(post().set_payload("a=x")).await.status, 415);
    assert_eq!(ask(post().insert_header(form).set_payload("a=%00")).await.status, 400);
    assert_eq!(ask(post().insert_header(form).set_payload("a".repeat(65))).await.status, 413);
}

#[actix_web::test]
async fn who_has_the_bytes_already_is_not_sent_them_again() {
    let get = || TestRequest::get().uri("/bytes");
    let answer = ask(get()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let etag = answer.header("etag").to_owned();
    for (known, status) in [
        (etag.clone(), 304),
        (format!("W/{etag}"), 304),
        (format!("\"other\", {etag}"), 304),
        ("*".into(), 304),
        ("\"other\"".into(), 200),
    ] {
        let answer = ask(get().insert_header(("if-none-match", known.clone()))).await;
        assert_eq!((answer.status, answer.header("etag")), (status, etag.as_str()), "{known}");
    }
}

#[actix_web::test]
async fn a_form_belongs_to_one_browser_and_comes_from_our_page() {
    let ctx = Ctx::for_tests(1);
    let browser = Browser::of(&ctx, &TestRequest::get().to_http_request());
    let cookie = browser.cookie().unwrap();
    assert_eq!(
        cookie.to_string().split_once('=').unwrap().1.split_once(';').unwrap().1,
        " HttpOnly; SameSite=Lax; Secure; Path=/"
    );
    let other = Browser::of(&ctx, &TestRequest::get().to_http_request());
    let post = |token: String, headers: &[(&'static str, &'static str)], with_cookie: bool| {
        let mut request = TestRequest::post().uri("/same").set_form([(browser::FORM_TOKEN, token)]);
        for header in headers {
            request = request.insert_header(*header);
        }
        if with_cookie {
            request = request.cookie(cookie.clone());
        }
        async move { ask(request).await.body }
    };
    let right = || browser.form_token();
    let ours = ("origin", "https://id.example.org");
    assert_eq!(post(right(), &[], true).await, "true");
    assert_eq!(post(right(), &[ours], true).await, "true");
    assert_eq!(post(right(), &[("origin", "null"), ("sec-fetch-site", "same-origin")], true).await, "true");
    assert_eq!(post(right(), &[("origin", "null")], true).await, "false");
    assert_eq!(post(right(), &[("origin", "https://evil.example")], true).await, "false");
    assert_eq!(post(right(), &[ours, ("sec-fetch-site", "same-site")], true).await, "false");
    assert_eq!(post(right(), &[ours, ("sec-fetch-site", "cross-site")], true).await, "false");
    assert_eq!(post(right(), &[ours], false).await, "false");
    assert_eq!(post(other.form_token(), &[ours], true).await, "false");
    assert_eq!(post(String::new(), &[ours], true).await, "false");
}

#[actix_web::test]
async fn the_table_reads_as_text() {
    assert_eq!(
        web::describe(&table()),
        "GET /bytes Public 0\nPOST /form Browser 64\nGET /health Operations 0\nGET /panic Public 0\n\
         POST /same Browser 256\nGET /shared Token 0\nPOST /shared Token 8 cross-origin\n\
         GET /things/{id} Public 0\nPUT /things/{id} Public 8\n"
    );
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn one_line_is_logged_for_a_request_and_no_secret_in_it() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let answer = ask(TestRequest::put()
        .uri("/things/hunter2?token=hunter2")
        .insert_header(("authorization", "Bearer hunter2"))
        .insert_header(("cookie", "__Host-cardea-session=hunter2"))
        .insert_header(("x-request-id", "hunter2"))
        .insert_header(("user-agent", "hunter2"))
        .set_payload("hunter2"))
    .await;
    assert_eq!(answer.body, "hunter2");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    for field in [
        r#""http.method":"PUT""#,
        r#""http.route":"/things/{id}""#,
        r#""http.status":200"#,
        r#""http.latency_us":"#,
        r#""client.address":"#,
        &format!(r#""request.id":"{}""#, answer.header("x-request-id")),
    ] {
        assert!(text.contains(field), "{field}: {text}");
    }
}
