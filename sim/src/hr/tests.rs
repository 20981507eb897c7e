//! The client against a responder that plays back one answer and shows what it was asked.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::http::{Request, Responder, Response};

const TOKEN: &str = "scim_secret";

/// A server that gives the same answer to everything.
struct Server {
    responder: Responder,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    async fn with(status: u16, body: &Value) -> Self {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        Self::answering(Response::new(status, "application/scim+json; charset=utf-8", text)).await
    }

    async fn answering(response: Response) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let handle = move |request: Request| {
            log.lock().unwrap().push(request);
            let response = response.clone();
            async move { response }
        };
        let responder = Responder::start((Ipv4Addr::LOCALHOST, 0).into(), handle).await.unwrap();
        Self { responder, asked }
    }

    fn hr(&self) -> Hr {
        Hr::new(&format!("http://{}/scim/v2/", self.responder.address()), TOKEN).unwrap()
    }

    /// Method, path, decoded query and body of the only request.
    fn asked(&self) -> (String, String, String, Value) {
        let asked = self.asked.lock().unwrap();
        let [request] = &asked[..] else { panic!("{} requests instead of one", asked.len()) };
        assert_eq!(request.header("authorization"), Some("Bearer scim_secret"));
        assert_eq!(request.header("accept"), Some("application/scim+json"));
        let body = if request.body.is_empty() {
            assert_eq!(request.header("content-type"), None);
            Value::Null
        } else {
            assert_eq!(request.header("content-type"), Some("application/scim+json"));
            serde_json::from_str(&request.body).unwrap()
        };
        let query: Vec<_> = url::form_urlencoded::parse(request.query.as_bytes())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (request.method.clone(), request.path.clone(), query.join("&"), body)
    }
}

fn empty() -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 0 })
}

fn found(resource: Value) -> Value {
    json!({ "totalResults": 1, "Resources": [resource] })
}

#[tokio::test]
async fn the_connection_test_expects_empty_lists_of_users_and_groups() {
    let server = Server::with(200, &empty()).await;
    let hr = server.hr();
    hr.test_connection().await.unwrap();
    hr.test_connection().await.unwrap();
    let asked = server.asked.lock().unwrap().clone();
    let [users, groups, again, _] = &asked[..] else { panic!("{} requests", asked.len()) };
    assert_eq!((users.path.as_str(), groups.path.as_str()), ("/scim/v2/Users", "/scim/v2/Groups"));
    let filter = users.query("filter").unwrap();
    assert!(filter.starts_with("userName eq \"") && filter.len() == 50, "{filter}");
    assert_ne!(again.query("filter").unwrap(), filter, "another one each time");
    assert_eq!(groups.query("excludedAttributes").as_deref(), Some("members"));

    let wrong =
        [(200, found(json!({ "id": "u-1" }))), (404, Value::Null), (200, json!({})), (200, Value::Null)];
    for (status, body) in wrong {
        assert!(Server::with(status, &body).await.hr().test_connection().await.is_err(), "{status} {body}");
    }
}

#[tokio::test]
async fn a_user_is_found_or_not() {
    let server = Server::with(200, &found(json!({ "id": "u-1", "active": false }))).await;
    let user = server.hr().find("Ada@nordgrid.example").await.unwrap().unwrap();
    assert_eq!((user.id.as_str(), user.active), ("u-1", Some(false)));
    let query = r#"filter=userName eq "Ada@nordgrid.example""#;
    assert_eq!(server.asked(), ("GET".into(), "/scim/v2/Users".into(), query.into(), Value::Null));
    assert_eq!(Server::with(200, &empty()).await.hr().find("ada").await.unwrap(), None);
    let two = json!({ "totalResults": 2, "Resources": [{ "id": "1" }, { "id": "2" }] });
    assert!(Server::with(200, &two).await.hr().find("ada").await.is_err());
}

#[tokio::test]
async fn a_new_employee_is_posted() {
    let server = Server::with(201, &json!({ "id": "u-1" })).await;
    let person = Person::new("Ada", "Lovelace", "nordgrid.example");
    assert_eq!(server.hr().hire(&person).await.unwrap(), "u-1");
    let (method, path, query, body) = server.asked();
    assert_eq!((method.as_str(), path.as_str(), query.as_str()), ("POST", "/scim/v2/Users", ""));
    assert_eq!(body, person.to_scim());
}

/// The step sends a PATCH with this one operation.
async fn check_patch<F>(path: &str, operation: Value, act: F)
where
    F: AsyncFnOnce(&Hr) -> Result<(), HrError>,
{
    let server = Server::with(204, &Value::Null).await;
    act(&server.hr()).await.unwrap();
    let (method, asked, query, body) = server.asked();
    assert_eq!((method.as_str(), asked.as_str(), query.as_str()), ("PATCH", path, ""));
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"];
    assert_eq!(body, json!({ "schemas": schemas, "Operations": [operation] }));
}

#[tokio::test]
async fn changes_are_patched_as_entra_does() {
    let user = "/scim/v2/Users/u-1";
    let group = "/scim/v2/Groups/g-1";
    let of_enterprise =
        |name: &str| format!("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:{name}");
    let off = json!({ "op": "Replace", "path": "active", "value": "False" });
    check_patch(user, off, async |hr| hr.end_employment("u-1").await).await;
    let on = json!({ "op": "Replace", "path": "active", "value": "True" });
    check_patch(user, on, async |hr| hr.rehire("u-1").await).await;
    let moved = json!({ "op": "Replace", "path": of_enterprise("department"), "value": "Security" });
    check_patch(user, moved, async |hr| hr.move_department("u-1", "Security").await).await;
    let managed = json!({ "op": "Replace", "path": of_enterprise("manager"), "value": "u-2" });
    check_patch(user, managed, async |hr| hr.set_manager("u-1", Some("u-2")).await).await;
    let unmanaged = json!({ "op": "Replace", "path": of_enterprise("manager"), "value": "" });
    check_patch(user, unmanaged, async |hr| hr.set_manager("u-1", None).await).await;
    let added = json!({
        "op": "Add",
        "path": "members",
        "value": [{ "$ref": null, "value": "u-1" }, { "$ref": null, "value": "u-2" }]
    });
    check_patch(group, added, async |hr| hr.add_members("g-1", &["u-1", "u-2"]).await).await;
    let removed = json!({ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": "u-1" }] });
    check_patch(group, removed, async |hr| hr.remove_members("g-1", &["u-1"]).await).await;
}

#[tokio::test]
async fn a_patch_may_be_answered_with_or_without_a_body() {
    Server::with(204, &Value::Null).await.hr().rehire("u-1").await.unwrap();
    Server::with(200, &json!({ "id": "u-1" })).await.hr().rehire("u-1").await.unwrap();
    assert_eq!(
        Server::with(202, &Value::Null).await.hr().rehire("u-1").await.unwrap_err().status(),
        Some(202)
    );
}

#[tokio::test]
async fn groups_are_made_found_and_deleted() {
    let server = Server::with(201, &json!({ "id": "g-1" })).await;
    assert_eq!(server.hr().create_group("8aa1", "Operators").await.unwrap(), "g-1");
    let expect = json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:Group",
            "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
        ],
        "externalId": "8aa1",
        "displayName": "Operators",
        "meta": { "resourceType": "Group" }
    });
    assert_eq!(server.asked(), ("POST".into(), "/scim/v2/Groups".into(), String::new(), expect));

    let server = Server::with(200, &found(json!({ "id": "g-1" }))).await;
    assert!(server.hr().find_group("Operators").await.unwrap().is_some());
    let query = r#"excludedAttributes=members&filter=displayName eq "Operators""#;
    assert_eq!(server.asked().2, query);

    let server = Server::with(200, &found(json!({ "id": "g-1" }))).await;
    assert!(server.hr().is_member("g-1", "u-1").await.unwrap());
    assert_eq!(server.asked().2, r#"excludedAttributes=members&filter=id eq "g-1" and members eq "u-1""#);

    let server = Server::with(204, &Value::Null).await;
    server.hr().delete_group("g-1").await.unwrap();
    assert_eq!(server.asked(), ("DELETE".into(), "/scim/v2/Groups/g-1".into(), String::new(), Value::Null));
}

#[tokio::test]
async fn a_user_is_read_and_deleted() {
    let server = Server::with(200, &json!({ "id": "u-1", "active": true })).await;
    assert_eq!(server.hr().user("u-1").await.unwrap().active, Some(true));
    assert_eq!(server.asked().1, "/scim/v2/Users/u-1");
    let server = Server::with(204, &Value::Null).await;
    server.hr().delete("u-1").await.unwrap();
    assert_eq!(server.asked(), ("DELETE".into(), "/scim/v2/Users/u-1".into(), String::new(), Value::Null));
    let gone = Server::with(404, &json!({ "status": "404" })).await.hr().delete("u-1").await.unwrap_err();
    assert_eq!(gone.status(), Some(404));
}

#[tokio::test]
async fn an_error_says_what_was_done_and_what_the_server_said() {
    let taken = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "scimType": "uniqueness",
        "detail": "userName is taken",
        "status": "409"
    });
    let hr = Server::with(409, &taken).await;
    let error = hr.hr().hire(&Person::new("Ada", "Lovelace", "x.example")).await.unwrap_err();
    assert_eq!(error.to_string(), "hire ada.lovelace@x.example: 409 uniqueness userName is taken");
    assert_eq!(error.status(), Some(409));

    let check = async |response: Response, expect: &str| {
        let error = Server::answering(response).await.hr().user("u-1").await.unwrap_err();
        assert!(matches!(error, HrError::Malformed { .. }) && error.to_string().contains(expect), "{error}");
    };
    check(Response::new(200, "application/json", "{\"id\":\"u-1\"}"), "media type").await;
    check(Response::new(200, "application/scim+json", "{}"), "no id").await;
    check(Response::new(200, "application/scim+json", "{\"id\":\"\"}"), "no id").await;
    check(Response::new(200, "application/scim+json", "not json"), "no id").await;

    let nowhere = Hr::new("http://127.0.0.1:1/scim", TOKEN).unwrap();
    assert!(matches!(nowhere.find("ada").await, Err(HrError::Network { .. })));
    assert!(matches!(Hr::new("nonsense", TOKEN), Err(HrError::Address(_))));
    assert!(matches!(Hr::new("mailto:hr@x.example", TOKEN), Err(HrError::Address(_))));
}

#[tokio::test]
async fn anything_can_be_sent() {
    let response = Response::new(400, "application/scim+json", "{\"scimType\":\"invalidSyntax\"}")
        .with("ETag", "W/\"1\"")
        .with("Location", "http://x.test/Users/1");
    let server = Server::answering(response).await;
    let answer = server.hr().send(Method::POST, "Users", Some("{")).await.unwrap();
    assert_eq!((answer.status, answer.scim_type()), (400, "invalidSyntax"));
    assert_eq!(answer.etag.as_deref(), Some("W/\"1\""));
    assert_eq!(answer.location.as_deref(), Some("http://x.test/Users/1"));
    assert_eq!(server.asked.lock().unwrap()[0].body, "{");
}
