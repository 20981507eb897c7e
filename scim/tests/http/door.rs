//! Who is let in, and what the protocol's own form of a refusal is.

use actix_web::test::TestRequest;
use kernel::{Ctx, Token};
use serde_json::{Value as Json, json};

use crate::house::{House, USER, on_both_engines};

on_both_engines! {
    nobody_is_let_in_without_the_token_of_a_connection
    the_scheme_has_no_case
    what_is_not_json_is_refused_as_syntax
    a_body_ends_where_the_route_says
    a_body_is_json_of_either_name
    a_wrong_method_and_an_unknown_path_are_refused_in_the_protocols_form
    a_connection_is_nobody_and_says_so
    what_can_be_no_id_is_nobodys
    a_wrong_value_says_which_and_why
    no_text_breaks_the_database
}

async fn nobody_is_let_in_without_the_token_of_a_connection(house: &House) {
    let id = house.user("ada", json!({})).await;
    let other = Token::generate(&Ctx::for_tests(3), "scim");
    let routes = [
        ("GET", "Users".to_owned()),
        ("POST", "Users".into()),
        ("POST", ".search".into()),
        ("GET", "Me".into()),
        ("PATCH", "Me".into()),
        ("POST", "Users/.search".into()),
        ("GET", format!("Users/{id}")),
        ("PUT", format!("Users/{id}")),
        ("PATCH", format!("Users/{id}")),
        ("DELETE", format!("Users/{id}")),
        ("GET", "Groups".into()),
        ("POST", "Groups".into()),
        ("POST", "Groups/.search".into()),
        ("GET", format!("Groups/{id}")),
        ("PUT", format!("Groups/{id}")),
        ("PATCH", format!("Groups/{id}")),
        ("DELETE", format!("Groups/{id}")),
    ];
    let wrong = format!("Bearer {}", other.expose());
    let basic = format!("Basic {}", house.token.expose());
    let hash = format!("Bearer {}", house.token.hash().as_str());
    let headers: [(Option<&str>, &str); 6] = [
        (None, r#"Bearer realm="scim""#),
        (Some("Bearer"), r#"Bearer realm="scim""#),
        (Some("Bearer "), r#"Bearer realm="scim""#),
        (Some(&basic), r#"Bearer realm="scim""#),
        (Some(&wrong), r#"Bearer realm="scim", error="invalid_token""#),
        (Some(&hash), r#"Bearer realm="scim", error="invalid_token""#),
    ];
    for (method, path) in routes {
        for (authorization, challenge) in headers {
            // A body that is no JSON: who calls is asked before what they say.
            let mut request =
                TestRequest::default().method(method.parse().unwrap()).uri(&format!("/scim/v2/{path}"));
            request = request.set_payload("{");
            if let Some(authorization) = authorization {
                request = request.insert_header(("authorization", authorization));
            }
            let answer = house.ask(request).await.refused(401, "");
            assert_eq!(answer.header("www-authenticate"), challenge, "{method} {path} {authorization:?}");
        }
    }
    house.get(&format!("Users/{id}")).await.expect(200);
}

async fn the_scheme_has_no_case(house: &House) {
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = ("authorization", format!("{scheme} {}", house.token.expose()));
        house.ask(TestRequest::get().uri("/scim/v2/Users").insert_header(header)).await.expect(200);
    }
}

async fn what_is_not_json_is_refused_as_syntax(house: &House) {
    let id = house.user("ada", json!({})).await;
    let one = format!("Users/{id}");
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (method, path) in
        [("POST", "Users"), ("PUT", one.as_str()), ("PATCH", one.as_str()), ("POST", "Users/.search")]
    {
        let twice =
            r#"{"schemas": [], "userName": "ada", "active": true, "active": false, "Operations": []}"#;
        house.ask(house.request(method, path).set_payload(twice)).await.refused(400, "invalidSyntax");
        for body in
            ["", "{", "nonsense", "{\"userName\": \"\\ud800\"}", "[]", "\"text\"", "7", "\u{0}", &deep]
        {
            let request =
                house.request(method, path).insert_header(("content-type", "application/scim+json"));
            house.ask(request.set_payload(body.to_owned())).await.refused(400, "invalidSyntax");
        }
    }
    for body in [json!({}), json!({"Operations": []}), json!({"Operations": [{"op": "merge"}]})] {
        house.send("PATCH", &one, &body).await.refused(400, "invalidSyntax");
    }
}

async fn a_body_ends_where_the_route_says(house: &House) {
    let body = json!({ "schemas": [USER], "userName": "ada", "title": "x".repeat(1024 * 1024) });
    house.send("POST", "Users", &body).await.refused(413, "");
    assert!(house.found("Users", r#"userName eq "ada""#).await.is_empty(), "nothing is half-done");
}

async fn a_body_is_json_of_either_name(house: &House) {
    for (at, content_type) in
        ["application/scim+json", "application/json", "Application/SCIM+JSON; charset=utf-8"]
            .iter()
            .enumerate()
    {
        let body = json!({ "schemas": [USER], "userName": format!("ada{at}") });
        let request = house.request("POST", "Users").set_payload(body.to_string());
        house.ask(request.insert_header(("content-type", *content_type))).await.expect(201);
    }
    let body = json!({ "schemas": [USER], "userName": "nobody" }).to_string();
    for content_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded"] {
        let request = house.request("POST", "Users").insert_header(("content-type", content_type));
        house.ask(request.set_payload(body.clone())).await.refused(415, "");
    }
    let packed = house.request("POST", "Users").insert_header(("content-encoding", "gzip"));
    house.ask(packed.set_payload(body.clone())).await.refused(415, "");
    house.ask(house.request("POST", "Users").set_payload(body)).await.expect(201);
}

async fn a_wrong_method_and_an_unknown_path_are_refused_in_the_protocols_form(house: &House) {
    let answer = house.delete("Users").await.refused(405, "");
    assert_eq!(answer.header("allow"), "GET, POST, HEAD");
    let answer = house.ask(house.request("POST", "Users/x")).await.refused(405, "");
    assert_eq!(answer.header("allow"), "GET, PUT, PATCH, DELETE, HEAD");
    house.ask(house.request("GET", "Users/.search")).await.refused(405, "");
    house.ask(house.request("POST", "Schemas")).await.refused(405, "");
    for path in ["", "users", "Users/", "Users/x/y", "Nothing", "Bulk"] {
        house.get(path).await.refused(404, "");
    }
}

async fn a_connection_is_nobody_and_says_so(house: &House) {
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        house.ask(house.request(method, "Me")).await.refused(501, "");
    }
}

async fn what_can_be_no_id_is_nobodys(house: &House) {
    let id = house.user("ada", json!({})).await;
    let group = house.group("Staff", &[]).await;
    let upper = id.to_uppercase();
    for id in ["x", "00000000-0000-7000-8000-000000000000", "%00", "%ff", "a%20b", &upper, &group] {
        house.get(&format!("Users/{id}")).await.refused(404, "");
        house.delete(&format!("Users/{id}")).await.refused(404, "");
        let active = json!([{"op": "replace", "path": "active", "value": false}]);
        house.patch(&format!("Users/{id}"), active).await.refused(404, "");
        let body = json!({ "schemas": [USER], "userName": "bob" });
        house.send("PUT", &format!("Users/{id}"), &body).await.refused(404, "");
    }
    house.get(&format!("Groups/{id}")).await.refused(404, "");
}

async fn a_wrong_value_says_which_and_why(house: &House) {
    for (more, about) in [
        (json!({}), "userName"),
        (json!({"userName": " "}), "userName"),
        (json!({"userName": 7}), "userName"),
        (json!({"userName": "x".repeat(2_000)}), "userName"),
        (json!({"userName": "line\nbreak"}), "userName"),
        (json!({"userName": "x", "externalId": "x".repeat(2_000)}), "externalId"),
        (json!({"userName": "x", "active": "perhaps"}), "active"),
        (json!({"userName": "x", "emails": [{"primary": true}, {"primary": true, "value": "b"}]}), "emails"),
    ] {
        let mut body = json!({ "schemas": [USER] });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let answer = house.send("POST", "Users", &body).await.refused(400, "invalidValue");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(about), "{detail}");
    }
    let group = json!({ "schemas": [crate::house::GROUP], "displayName": "g", "members": [{"value": "x".repeat(2_000)}] });
    house.send("POST", "Groups", &group).await.refused(400, "invalidValue");
    assert_eq!(house.get("Users").await.expect(200).body["totalResults"], 0);
    assert_eq!(house.get("Groups").await.expect(200).body["totalResults"], 0);
}

async fn no_text_breaks_the_database(house: &House) {
    house.group("Staff", &[]).await;
    for text in ["'", "\\\"", "%", "\\\\", "\u{10ffff}", &"x".repeat(3_000)] {
        for (kind, name) in [
            ("Users", "userName"),
            ("Users", "externalId"),
            ("Users", "id"),
            ("Groups", "displayName"),
            ("Groups", "members"),
            ("Groups", "externalId"),
        ] {
            let filter = format!("{name} eq \"{text}\"");
            assert!(house.found(kind, &filter).await.is_empty(), "{filter}");
            let not = format!("displayName eq \"Staff\" and not ({name} eq \"{text}\")");
            let all = if kind == "Groups" { 1 } else { 0 };
            assert_eq!(house.found(kind, &not).await.len(), all, "{not}");
        }
    }
    house.filter("Users", r#"userName eq "a\u0000b""#, "").await.refused(400, "invalidFilter");
    let nul = json!({ "schemas": [USER], "userName": "ada", "title": "a\u{0}b" });
    house.send("POST", "Users", &nul).await.refused(400, "invalidValue");
    let nul = json!({"schemas": [USER], "userName": "ada", "x\u{0}": Json::Null});
    house.send("POST", "Users", &nul).await.expect(201);
}
