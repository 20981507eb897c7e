//! What we say about ourselves.

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use super::*;

on_both_engines! {
    the_metadata_is_what_we_are,
    a_hostile_host_changes_nothing_that_we_say,
    the_keys_are_public_and_known_by_their_tag,
    a_wrong_method_is_refused_as_a_page_or_as_json,
}

async fn the_metadata_is_what_we_are(world: World) {
    let answer = world.ask(TestRequest::get().uri("/.well-known/openid-configuration")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let document = answer.json();
    for (name, expect) in [
        ("issuer", json!("https://id.example.org")),
        ("authorization_endpoint", json!("https://id.example.org/authorize")),
        ("token_endpoint", json!("https://id.example.org/token")),
        ("userinfo_endpoint", json!("https://id.example.org/userinfo")),
        ("jwks_uri", json!("https://id.example.org/jwks")),
        ("introspection_endpoint", json!("https://id.example.org/introspect")),
        ("revocation_endpoint", json!("https://id.example.org/revoke")),
        ("end_session_endpoint", json!("https://id.example.org/logout")),
        ("backchannel_logout_supported", json!(true)),
        ("backchannel_logout_session_supported", json!(true)),
        ("grant_types_supported", json!(["authorization_code", "refresh_token", "client_credentials"])),
        ("response_types_supported", json!(["code"])),
        ("code_challenge_methods_supported", json!(["S256"])),
        ("acr_values_supported", json!(["aal1", "aal2", "phr", "phrh"])),
        ("ui_locales_supported", json!(["en", "de"])),
        ("request_parameter_supported", json!(false)),
        ("request_uri_parameter_supported", json!(false)),
    ] {
        assert_eq!(document[name], expect, "{name}");
    }
    assert!(document["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&json!("RS256")));
    assert!(document["scopes_supported"].as_array().unwrap().contains(&json!("openid")));
    let oauth = world.ask(TestRequest::get().uri("/.well-known/oauth-authorization-server")).await;
    assert_eq!(oauth.body, answer.body);
}

async fn a_hostile_host_changes_nothing_that_we_say(world: World) {
    let plain = world.ask(TestRequest::get().uri("/.well-known/openid-configuration")).await.body;
    let hostile = |path: &str| {
        TestRequest::get()
            .uri(path)
            .insert_header(("host", "evil.example"))
            .insert_header(("x-forwarded-host", "evil.example"))
            .insert_header(("x-forwarded-proto", "http"))
            .insert_header(("x-forwarded-prefix", "/evil.example"))
            .insert_header(("forwarded", "host=evil.example;proto=http"))
    };
    assert_eq!(world.ask(hostile("/.well-known/openid-configuration")).await.body, plain);
    let path = super::world::request_of("app", &[]);
    let answer = world.ask(hostile(&path)).await;
    assert!(answer.location().starts_with("/sign-in?"), "{}", answer.location());
    let page = world.ask(hostile(answer.location())).await;
    let refused = world.ask(hostile(&format!("{path}&prompt=none"))).await;
    assert_eq!(refused.sent("iss").as_deref(), Some("https://id.example.org"));
    for answer in [answer, page, refused] {
        let headers = format!("{:?}", answer.headers);
        assert!(
            !answer.body.contains("evil.example") && !headers.contains("evil.example"),
            "{headers} {}",
            answer.body
        );
    }
}

async fn the_keys_are_public_and_known_by_their_tag(world: World) {
    world.tokens().await;
    let answer = world.ask(TestRequest::get().uri("/jwks")).await;
    let keys = answer.json();
    let algs: Vec<&Value> = keys["keys"].as_array().unwrap().iter().map(|key| &key["alg"]).collect();
    assert!(algs.contains(&&json!("RS256")) && algs.contains(&&json!("ES256")), "{algs:?}");
    for key in keys["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
            assert_eq!(key[private], Value::Null, "{private}");
        }
        assert!(key["kid"].is_string() && key["use"] == "sig", "{key}");
    }
    let again =
        TestRequest::get().uri("/jwks").insert_header(("if-none-match", answer.header("etag").to_owned()));
    assert_eq!(world.ask(again).await.status, 304);
}

#[::core::prelude::v1::test]
fn the_route_table_of_this_room() {
    assert_eq!(
        web::describe(&crate::routes()),
        "\
GET / Public 0
GET /.well-known/oauth-authorization-server Public 0 cross-origin
GET /.well-known/openid-configuration Public 0 cross-origin
GET /account Browser 0
GET /account/activity Browser 0
GET /account/apps Browser 0
POST /account/apps Browser 16384
GET /account/badge Browser 0
POST /account/badge Browser 16384
GET /account/methods Browser 0
POST /account/methods Browser 16384
GET /account/sessions Browser 0
POST /account/sessions Browser 16384
GET /authorize Browser 0
POST /authorize Browser 16384
GET /consent Browser 0
POST /consent Browser 16384
GET /enrol Browser 0
POST /enrol Browser 49152
POST /introspect Client 16384
GET /invitation Browser 0
POST /invitation Browser 16384
GET /jwks Public 0 cross-origin
GET /logout Browser 0
POST /logout Browser 16384
GET /recover Browser 0
POST /recover Browser 16384
POST /revoke Client 16384 cross-origin
GET /set-up Browser 0
POST /set-up Browser 16384
GET /sign-in Browser 0
POST /sign-in Browser 16384
GET /step-up Browser 0
POST /step-up Browser 49152
POST /token Client 16384 cross-origin
GET /userinfo Token 0 cross-origin
POST /userinfo Token 16384 cross-origin
"
    );
}

async fn a_wrong_method_is_refused_as_a_page_or_as_json(world: World) {
    let page = world.ask(TestRequest::put().uri("/sign-in")).await;
    assert_eq!((page.status, page.header("allow")), (405, "GET, POST, HEAD"));
    assert!(page.header("content-type").starts_with("text/html"));
    let json = world.ask(TestRequest::delete().uri("/revoke")).await;
    assert_eq!((json.error(), json.header("allow")), ((405, "invalid_request".into()), "POST"));
}
