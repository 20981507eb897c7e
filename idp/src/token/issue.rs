//! Tokens for a grant.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::client::Client;
use directory::session::grant::LiveGrant;
use kernel::{Timestamp, sha256};
use keys::Alg;
use serde::Serialize;
use serde_json::json;

use crate::Idp;
use crate::bearer::{self, AccessClaims};
use crate::error::IdpError;

/// The answer of the token endpoint (RFC 6749, section 5.1; OpenID Connect Core, section 3.1.3.3).
#[derive(Serialize)]
pub(super) struct Tokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    id_token: String,
    scope: String,
}

/// The claims of an ID token (OpenID Connect Core, section 2).
#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    exp: i64,
    iat: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    acr: &'a str,
    amr: &'a [String],
    sid: String,
    at_hash: String,
}

/// How this client's ID tokens are signed. A word that cannot be read counts as the standard's default.
fn alg_of(client: &Client) -> Alg {
    client.id_token_alg.parse().unwrap_or(Alg::Rs256)
}

/// Waits, for ten seconds at most, until this client's ID tokens can be signed: in the first moments of a new
/// deployment its RSA key is still being made.
pub(super) async fn be_ready(idp: &Idp, client: &Client) -> Result<(), IdpError> {
    let alg = alg_of(client);
    if alg == Alg::Rs256 && !idp.rs256_is_ready.load(Ordering::Relaxed) {
        idp.keys.sign_jwt(alg, "probe", &json!({})).await?;
        idp.rs256_is_ready.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// The id of an access token to be made.
pub(super) fn jti(idp: &Idp) -> String {
    URL_SAFE_NO_PAD.encode(idp.ctx().random::<16>())
}

/// Makes the tokens of a grant.
pub(super) async fn tokens(
    idp: &Idp,
    client: &Client,
    grant: &LiveGrant,
    jti: String,
    nonce: Option<String>,
) -> Result<Tokens, IdpError> {
    let now = idp.ctx().now();
    let lasts = idp.settings.token_time.min(grant.expires_at.since(now));
    let expires = now.plus(lasts);
    let access = access_claims(idp, grant, jti, now, expires);
    let access_token = idp.keys.sign_jwt(bearer::ALG, bearer::TYPE, &access).await?;
    let id = IdClaims {
        iss: &access.iss,
        sub: access.sub.clone(),
        aud: &client.id,
        exp: access.exp,
        iat: access.iat,
        auth_time: access.auth_time,
        nonce,
        acr: &access.acr,
        amr: &access.amr,
        sid: access.sid.clone(),
        at_hash: at_hash(&access_token),
    };
    let id_token = idp.keys.sign_jwt(alg_of(client), "JWT", &id).await?;
    Ok(Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: lasts.as_secs(),
        id_token,
        scope: grant.scope.clone(),
    })
}

fn access_claims(
    idp: &Idp,
    grant: &LiveGrant,
    jti: String,
    now: Timestamp,
    expires: Timestamp,
) -> AccessClaims {
    AccessClaims {
        iss: idp.issuer.as_str().to_owned(),
        sub: grant.user_id.to_string(),
        aud: idp.issuer.as_str().to_owned(),
        client_id: grant.client_id.clone(),
        scope: grant.scope.clone(),
        jti,
        iat: now.as_secs(),
        exp: expires.as_secs(),
        auth_time: grant.authenticated_at.as_secs(),
        acr: grant.acr.clone(),
        amr: grant.amr.0.clone(),
        sid: grant.session_id.to_string(),
        gid: grant.id,
    }
}

/// OpenID Connect Core, section 3.1.3.6: the left half of the digest that the ID token's algorithm uses, which
/// is SHA-256 for both of ours.
fn at_hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&sha256(access_token.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_hash_is_the_left_half_of_the_digest() {
        // OpenID Connect Core, appendix A.3.
        assert_eq!(at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
