//! Wrong requests to the SCIM server (errors: RFC 7644, section 3.12).

use reqwest::Method;
use sim::hr::Answer;
use world::Scene;

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

journeys!(malformed_scim_is_refused_and_changes_nothing, a_filter_on_an_unknown_attribute_is_refused,);

/// A SCIM error body with this status and type, and words that say what is wrong.
#[track_caller]
fn refused(answer: &Answer, status: u16, scim_type: &str) {
    assert_eq!((answer.status, answer.scim_type()), (status, scim_type), "{answer:?}");
    assert!(answer.content_type.starts_with("application/scim+json"), "{answer:?}");
    assert_eq!(answer.body["schemas"][0], ERROR, "{answer:?}");
    assert_eq!(answer.body["status"], status.to_string(), "{answer:?}");
    assert!(!answer.detail().is_empty(), "{answer:?}");
}

async fn malformed_scim_is_refused_and_changes_nothing(scene: &Scene) {
    let hr = &scene.stage.hr;
    let user = crate::steps::hire(&scene.stage, "Mira").await;
    let before = hr.user(&user.id).await.unwrap().body;
    let one = format!("Users/{}", user.id);
    for (method, path, body, scim_type) in [
        (Method::POST, "Users", "{\"userName\": ", "invalidSyntax"),
        (Method::POST, "Users", "[]", "invalidSyntax"),
        (
            Method::POST,
            "Users",
            "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"]}",
            "invalidValue",
        ),
        (Method::PATCH, &one, "{\"Operations\": 1}", "invalidSyntax"),
        (
            Method::PATCH,
            &one,
            "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":[\
             {\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"Half\"},\
             {\"op\":\"replace\",\"path\":\"emails[\",\"value\":\"x\"}]}",
            "invalidFilter",
        ),
    ] {
        refused(&hr.send(method, path, Some(body)).await.unwrap(), 400, scim_type);
    }
    assert_eq!(hr.user(&user.id).await.unwrap().body, before, "nothing is half-done");
}

async fn a_filter_on_an_unknown_attribute_is_refused(scene: &Scene) {
    let hr = &scene.stage.hr;
    for path in ["Users?filter=shoeSize%20eq%20%2242%22", "Groups?filter=userName%20eq%20%22ada%22"] {
        refused(&hr.send(Method::GET, path, None).await.unwrap(), 400, "invalidFilter");
    }
}
