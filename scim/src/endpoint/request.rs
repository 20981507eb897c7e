//! What a request says: its query, body and conditions.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};
use serde_json::Value as Json;
use url::form_urlencoded;
use web::body::{Body, BodyError, media_type};

use crate::ScimError;
use crate::error::ScimType;
use crate::list::Query;
use crate::resource::{Condition, Tags};

/// The JSON of a body. Google and others call it `application/json`; some call it nothing.
pub(super) fn json(request: &HttpRequest, body: Result<Body, BodyError>) -> Result<Json, ScimError> {
    let Body(bytes) = body.map_err(|error| ScimError::plain(error.status(), error.to_string()))?;
    match media_type(request).as_deref() {
        None | Some("" | "application/scim+json" | "application/json") => crate::value::parse(&bytes),
        Some(_) => Err(ScimError::plain(415, "send application/scim+json or application/json")),
    }
}

/// The query of the address.
pub(super) fn query(request: &HttpRequest) -> Result<Query, ScimError> {
    Query::parse(request.query_string())
}

/// Whether the address holds a filter, in whatever form.
pub(super) fn has_filter(request: &HttpRequest) -> bool {
    let mut parameters = form_urlencoded::parse(request.query_string().as_bytes());
    parameters.any(|(name, value)| name.eq_ignore_ascii_case("filter") && !value.is_empty())
}

/// The query in the body of a search (RFC 7644, section 3.4.3).
pub(super) fn search(body: &Json) -> Result<Query, ScimError> {
    let entries = body
        .as_object()
        .ok_or_else(|| ScimError::new(ScimType::InvalidSyntax, "the body must be a JSON object"))?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(entries.iter().map(|(name, value)| (name, plain(value))));
    Query::parse(&query.finish())
}

/// A value as it would stand in an address.
fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// What `If-Match` demands.
pub(super) fn condition(request: &HttpRequest) -> Condition {
    Condition(tags(request, header::IF_MATCH))
}

/// Whether the client has this version already (`If-None-Match`).
pub(super) fn has(request: &HttpRequest, version: i64) -> bool {
    tags(request, header::IF_NONE_MATCH).is_some_and(|tags| tags.hold(version))
}

fn tags(request: &HttpRequest, name: HeaderName) -> Option<Tags> {
    // A value that is no text is a tag of nobody's, not silence.
    Tags::parse(request.headers().get_all(name).map(|value| value.to_str().unwrap_or_default()))
}

/// The last segment of the address.
pub(super) fn id(request: &HttpRequest) -> &str {
    request.match_info().get("id").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_search_reads_as_its_query_would() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "attributes": ["userName", "emails"], "excludedAttributes": null,
            "filter": "userName eq \"a&b\"", "StartIndex": 3, "count": 10, "sortBy": "title",
            "sortOrder": "descending",
        });
        let raw = "attributes=userName,emails&filter=userName%20eq%20%22a%26b%22&startIndex=3&count=10\
                   &sortBy=title&sortOrder=descending";
        assert_eq!(search(&body).unwrap(), Query::parse(raw).unwrap());
        assert_eq!(search(&json!({})).unwrap(), Query::default());
        for bad in [json!([]), json!({"filter": 7}), json!({"count": "many"}), json!({"sortBy": "a b"})] {
            assert_eq!(search(&bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
