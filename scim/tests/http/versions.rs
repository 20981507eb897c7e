//! Entity tags: `If-Match` and `If-None-Match`.

use serde_json::{Value as Json, json};

use crate::house::{GROUP, House, USER, on_both_engines};

on_both_engines! {
    who_has_the_version_already_is_not_sent_it_again
    a_change_of_another_version_is_refused
    a_group_has_versions_too
}

async fn who_has_the_version_already_is_not_sent_it_again(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    for (tag, status) in [
        ("W/\"1\"", 304),
        ("\"1\"", 304),
        ("*", 304),
        ("W/\"0\", W/\"1\"", 304),
        ("W/\"2\"", 200),
        ("1", 200),
    ] {
        let request = house.request("GET", &path).insert_header(("if-none-match", tag));
        let answer = house.ask(request).await.expect(status);
        assert_eq!(answer.header("etag"), "W/\"1\"", "{tag}");
        assert_eq!(answer.body == Json::Null, status == 304, "{tag}");
    }
    house.patch(&path, json!([{"op": "replace", "path": "title", "value": "x"}])).await.expect(200);
    house.ask(house.request("GET", &path).insert_header(("if-none-match", "W/\"1\""))).await.expect(200);
}

async fn a_change_of_another_version_is_refused(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    let put = |title: &str| json!({"schemas": [USER], "userName": "ada", "title": title});
    let patch = |title: &str| json!({"Operations": [{"op": "replace", "path": "title", "value": title}]});
    for tag in ["W/\"2\"", "nonsense", "W/\"0\", W/\"7\"", ""] {
        for request in [
            house.with_body("PUT", &path, &put("x")),
            house.with_body("PATCH", &path, &patch("x")),
            house.request("DELETE", &path),
        ] {
            let answer = house.ask(request.insert_header(("if-match", tag))).await.refused(412, "");
            assert!(answer.body["detail"].as_str().unwrap().contains("W/\"1\""), "{}", answer.body);
        }
    }
    let matching = |request: actix_web::test::TestRequest, tag: &'static str| {
        house.ask(request.insert_header(("if-match", tag)))
    };
    let answer = matching(house.with_body("PUT", &path, &put("a")), "W/\"1\"").await.expect(200);
    assert_eq!(answer.header("etag"), "W/\"2\"");
    matching(house.with_body("PATCH", &path, &patch("b")), "\"2\"").await.expect(200);
    let same = matching(house.with_body("PATCH", &path, &patch("b")), "W/\"3\"").await.expect(200);
    assert_eq!(same.header("etag"), "W/\"3\"");
    matching(house.with_body("PATCH", &path, &patch("b")), "W/\"2\"").await.refused(412, "");
    matching(house.with_body("PATCH", &path, &patch("c")), "*").await.expect(200);
    matching(house.request("DELETE", &path), "W/\"4\"").await.expect(204);
    matching(house.request("DELETE", &path), "*").await.refused(404, "");
}

async fn a_group_has_versions_too(house: &House) {
    let user = house.user("ada", json!({})).await;
    let path = format!("Groups/{}", house.group("Staff", &[]).await);
    let add = json!({"Operations": [{"op": "add", "path": "members", "value": [{"value": user}]}]});
    let with = |tag: &'static str| house.with_body("PATCH", &path, &add).insert_header(("if-match", tag));
    house.ask(with("W/\"2\"")).await.refused(412, "");
    assert_eq!(house.ask(with("W/\"1\"")).await.expect(200).header("etag"), "W/\"2\"");
    assert_eq!(house.ask(with("W/\"2\"")).await.expect(200).header("etag"), "W/\"2\"", "nobody joined");
    let put = json!({"schemas": [GROUP], "displayName": "Crew"});
    let stale = house.with_body("PUT", &path, &put).insert_header(("if-match", "W/\"1\""));
    house.ask(stale).await.refused(412, "");
    let request = house.request("GET", &path).insert_header(("if-none-match", "W/\"2\""));
    house.ask(request).await.expect(304);
    house.ask(house.request("DELETE", &path).insert_header(("if-match", "W/\"1\""))).await.refused(412, "");
    house.ask(house.request("DELETE", &path).insert_header(("if-match", "W/\"2\""))).await.expect(204);
}
