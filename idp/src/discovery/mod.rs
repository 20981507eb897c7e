//! What we are and which keys we sign with (OpenID Connect Discovery 1.0, section 3; RFC 8414; RFC 7517).
//!
//! INVARIANT: it says only what is so. A feature enters this document with the code that has it.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use keys::Jwks;
use serde_json::json;
use web::{Issuer, Locale, Prebuilt};

use crate::{Idp, assurance, authorize, introspect, revoke, token, userinfo};

/// OpenID Connect Discovery, section 4.
pub(crate) const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
/// RFC 8414, section 3: the same document under the name that plain OAuth clients look for.
pub(crate) const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
/// The public keys.
pub(crate) const JWKS: &str = "/jwks";

/// How long the document may be kept, in seconds.
const METADATA_AGE: u32 = 3600;
/// How long keys may be kept, in seconds. New ones are announced a day before they sign.
const JWKS_AGE: u32 = 300;

/// The metadata, made once: it depends on the issuer alone.
pub(crate) fn metadata(issuer: &Issuer) -> Prebuilt {
    let confidential = ["client_secret_basic", "client_secret_post"];
    let claims: Vec<&str> = [&token::CLAIMS[..], &userinfo::CLAIMS[..]].concat();
    let any = ["client_secret_basic", "client_secret_post", "none"];
    let document = json!({
        "issuer": issuer.as_str(),
        "authorization_endpoint": issuer.url(authorize::PATH),
        "token_endpoint": issuer.url(token::PATH),
        "userinfo_endpoint": issuer.url(userinfo::PATH),
        "jwks_uri": issuer.url(JWKS),
        "introspection_endpoint": issuer.url(introspect::PATH),
        "revocation_endpoint": issuer.url(revoke::PATH),
        "scopes_supported": authorize::SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": any,
        "introspection_endpoint_auth_methods_supported": confidential,
        "revocation_endpoint_auth_methods_supported": any,
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": assurance::reachable(),
        "claims_supported": claims,
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "select_account", "consent"],
        "display_values_supported": ["page", "popup", "touch", "wap"],
        "ui_locales_supported": Locale::ALL.map(Locale::tag),
    });
    Prebuilt::new("application/json", document.to_string(), METADATA_AGE)
}

/// `GET` of either document.
pub(crate) async fn show(idp: Data<Idp>, request: HttpRequest) -> HttpResponse {
    idp.metadata.respond(&request)
}

/// `GET /jwks`.
pub(crate) async fn show_keys(idp: Data<Idp>, request: HttpRequest) -> HttpResponse {
    idp.published.of(&idp.keys.jwks()).respond(&request)
}

/// The keys as they were last sent: their bytes are copied when they change, not at each request.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<Option<(Arc<Jwks>, Prebuilt)>>);

impl Published {
    fn of(&self, jwks: &Arc<Jwks>) -> Prebuilt {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, ready)) = &*last
            && Arc::ptr_eq(of, jwks)
        {
            return ready.clone();
        }
        let (bytes, etag) = (jwks.bytes.clone(), jwks.etag.clone());
        let ready = Prebuilt::tagged("application/jwk-set+json", bytes, etag, JWKS_AGE);
        *last = Some((jwks.clone(), ready.clone()));
        ready
    }
}
