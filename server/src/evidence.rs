//! The keys with which receipts and checkpoints are verified, for ever: `/jwks/evidence`.

use actix_web::{HttpRequest, HttpResponse, web};
use keys::KeyRing;
use kit::{Method, Prebuilt, Route, Visibility};

use ::web as kit;

/// How long the key set may be kept, in seconds: keys are only ever added.
const KEEP: u32 = 300;

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new(Method::Get, "/jwks/evidence", Visibility::Public, || web::to(keys))]
}

async fn keys(request: HttpRequest, ring: web::Data<KeyRing>) -> HttpResponse {
    let jwks = ring.evidence_jwks();
    Prebuilt::new("application/jwk-set+json", jwks.bytes.to_vec(), KEEP).respond(&request)
}
