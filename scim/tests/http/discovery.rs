//! What the server says about itself.

use actix_web::test::TestRequest;
use serde_json::json;

use crate::house::{BASE, ENTERPRISE, GROUP, House, LIST, USER, on_both_engines};

on_both_engines! {
    discovery_needs_no_token
    discovery_cannot_be_filtered
    what_is_announced_is_true
    every_document_is_where_it_says
    what_is_announced_as_unique_is_refused_when_it_is_taken
}

async fn discovery_needs_no_token(house: &House) {
    for path in ["ServiceProviderConfig", "ResourceTypes", "ResourceTypes/User", "Schemas"] {
        let request = || TestRequest::get().uri(&format!("/scim/v2/{path}"));
        let answer = house.ask(request()).await.expect(200);
        let etag = answer.header("etag").to_owned();
        assert!(!etag.is_empty());
        house.ask(request().insert_header(("if-none-match", etag))).await.expect(304);
    }
}

async fn discovery_cannot_be_filtered(house: &House) {
    for path in ["ServiceProviderConfig", "ResourceTypes", "ResourceTypes/User", "Schemas"] {
        for filter in ["name%20eq%20%22User%22", "nonsense("] {
            house.get(&format!("{path}?filter={filter}")).await.refused(403, "");
        }
        for other in ["startIndex=1&x=y", "count=abc", "sortBy=a%20b", "filter="] {
            house.get(&format!("{path}?{other}")).await.expect(200);
        }
    }
}

async fn what_is_announced_is_true(house: &House) {
    let config = house.get("ServiceProviderConfig").await.expect(200).body;
    assert_eq!(config["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]));
    assert_eq!(config["meta"]["location"], format!("{BASE}/ServiceProviderConfig"));
    let supported: Vec<(&str, bool)> = ["patch", "bulk", "filter", "changePassword", "sort", "etag"]
        .into_iter()
        .map(|name| (name, config[name]["supported"].as_bool().unwrap()))
        .collect();
    let expect = [
        ("patch", true),
        ("bulk", false),
        ("filter", true),
        ("changePassword", false),
        ("sort", true),
        ("etag", true),
    ];
    assert_eq!(supported, expect);
    assert_eq!(config["filter"]["maxResults"], 1_000);
    assert_eq!(config["authenticationSchemes"][0]["type"], "oauthbearertoken");
}

async fn every_document_is_where_it_says(house: &House) {
    for (list, ids) in [("ResourceTypes", &["User", "Group"][..]), ("Schemas", &[USER, GROUP, ENTERPRISE])] {
        let all = house.get(list).await.expect(200).body;
        assert_eq!(all["schemas"], json!([LIST]));
        let documents = all["Resources"].as_array().unwrap();
        assert_eq!(all["totalResults"], documents.len());
        for document in documents {
            let location = document["meta"]["location"].as_str().unwrap();
            let path = location.strip_prefix(&format!("{BASE}/")).unwrap();
            assert_eq!(&house.get(path).await.expect(200).body, document);
            house.get(&path.to_uppercase().replacen(&list.to_uppercase(), list, 1)).await.expect(200);
            house.get(&path.replace(':', "%3A")).await.expect(200);
        }
        for id in ids {
            assert!(documents.iter().any(|document| document["id"] == *id), "{id}");
        }
        house.get(&format!("{list}/Nothing")).await.refused(404, "");
    }
    let types = house.get("ResourceTypes/User").await.expect(200).body;
    assert_eq!(types["endpoint"], "/Users");
    assert_eq!(types["schemaExtensions"], json!([{"schema": ENTERPRISE, "required": false}]));
}

/// Names are kept apart by indexes of the directory, not by the registry: what the one announces the other must do.
async fn what_is_announced_as_unique_is_refused_when_it_is_taken(house: &House) {
    let mut tried = 0;
    for (urn, endpoint) in [(USER, "Users"), (ENTERPRISE, "Users"), (GROUP, "Groups")] {
        let schema = house.get(&format!("Schemas/{urn}")).await.expect(200).body;
        let attributes = schema["attributes"].as_array().unwrap();
        let parts = attributes.iter().filter_map(|attribute| attribute["subAttributes"].as_array()).flatten();
        assert!(parts.clone().all(|part| part["uniqueness"] == "none"), "no part of {urn} is kept apart");
        for unique in attributes.iter().filter(|attribute| attribute["uniqueness"] != "none") {
            assert_ne!(urn, ENTERPRISE, "no attribute of an extension is kept apart");
            let mut body = json!({"schemas": [urn], "userName": "a", "displayName": "a"});
            body[unique["name"].as_str().unwrap()] = json!("Taken");
            house.send("POST", endpoint, &body).await.expect(201);
            house.send("POST", endpoint, &body).await.refused(409, "uniqueness");
            tried += 1;
        }
    }
    assert_eq!(tried, 2);
}
