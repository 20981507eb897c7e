//! What the server says about itself (RFC 7644, section 4): bytes made once, when the room is built.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use web::Prebuilt;

use crate::answer::MEDIA_TYPE;
use crate::list::ListResponse;
use crate::resource::MAX_PAGE;
use crate::schema::{Registry, SERVICE_PROVIDER_CONFIG_URN};

/// How long clients may keep them, in seconds.
const MAX_AGE: u32 = 300;

/// The discovery documents.
pub(crate) struct Discovery {
    pub(crate) config: Prebuilt,
    pub(crate) resource_types: Documents,
    pub(crate) schemas: Documents,
}

/// A list, and each of it under its id.
pub(crate) struct Documents {
    pub(crate) list: Prebuilt,
    one: HashMap<String, Prebuilt>,
}

impl Discovery {
    /// The documents of a registry for the SCIM root `base`.
    pub(crate) fn new(registry: &Registry, base: &str) -> Self {
        Self {
            config: prebuilt(&service_provider_config(base)),
            resource_types: Documents::new(registry.resource_types().iter().map(|kind| kind.document(base))),
            schemas: Documents::new(registry.schemas().map(|schema| schema.document(base))),
        }
    }
}

impl Documents {
    fn new(documents: impl Iterator<Item = Json>) -> Self {
        let all: Vec<Json> = documents.collect();
        let one = all.iter().map(|document| (key(document["id"].as_str().unwrap_or("")), prebuilt(document)));
        let one = one.collect();
        let total_results = all.len() as u64;
        let list = ListResponse { total_results, start_index: 1, resources: all };
        Self { list: prebuilt(&list), one }
    }

    /// The document of this id, in any case.
    pub(crate) fn get(&self, id: &str) -> Option<&Prebuilt> {
        self.one.get(&key(id))
    }
}

fn key(id: &str) -> String {
    id.to_ascii_lowercase()
}

fn prebuilt(document: &impl serde::Serialize) -> Prebuilt {
    // JSON values and messages of ours always serialise.
    Prebuilt::new(MEDIA_TYPE, serde_json::to_vec(document).unwrap_or_default(), MAX_AGE)
}

/// RFC 7643, section 5.
fn service_provider_config(base: &str) -> Json {
    json!({
        "schemas": [SERVICE_PROVIDER_CONFIG_URN],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MAX_PAGE },
        // Passwords are set by their owners, through an invitation; see `resource/change.rs`.
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The token of the SCIM connection, in the Authorization header.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}
