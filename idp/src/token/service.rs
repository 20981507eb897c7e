//! A service asks for a token for itself (RFC 6749, section 4.4; RFC 9068): a client that keeps a secret and signs
//! nobody in, since no redirect URI is declared for it.
//!
//! Nothing is kept of such a token. It carries a mark of the client's declaration, and is in force for us while that is
//! the current one: whatever changes about the client, its secret among it, ends all its tokens. Whoever verifies it
//! without asking us learns that when it expires, minutes later.
//!
//! What it is not: no person's token. It opens no userinfo, and policies, which speak of persons, are not asked.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use directory::client::Client;
use directory::facts::ClientSignedIn;
use kernel::{Actor, Subject, Timestamp, TokenHash};
use keys::{Alg, Expect};
use serde::{Deserialize, Serialize};
use store::Fact;
use web::{Params, Passage};

use super::issue;
use crate::error::IdpError;
use crate::{Idp, bearer, origin};

/// How often it is noted that a service goes on.
const NOTE: Duration = Duration::from_secs(60);
/// How long the mark of a declaration is, in characters of 6 bits.
const MARK: usize = 16;

/// The answer (RFC 6749, section 4.4.3): without refresh token, since the secret is at hand.
#[derive(Serialize)]
pub(super) struct ServiceTokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
}

/// The claims of a service's access token (RFC 9068, section 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceClaims {
    iss: String,
    sub: String,
    aud: String,
    pub(crate) client_id: String,
    jti: String,
    iat: i64,
    exp: i64,
    /// See [`mark`]; a private claim.
    cver: String,
}

impl ServiceClaims {
    /// Whether it is a token of this client, as it is declared now.
    pub(crate) fn is_of(&self, client: &Client) -> bool {
        client.is_service() && self.client_id == client.id && self.cver == mark(client)
    }
}

/// A mark of how a client is declared now: of its version, and of its secret, since a client that is deleted and
/// declared again begins with the first version again.
fn mark(client: &Client) -> String {
    let secret_hash = client.secret_hash.as_deref().unwrap_or_default();
    let whole = TokenHash::of(&format!("{}\n{secret_hash}", client.version));
    whole.as_str().chars().take(MARK).collect()
}

/// The claims of a presented token, if it is a service's and has not expired.
pub(crate) fn service_claims(idp: &Idp, presented: &str) -> Option<ServiceClaims> {
    let issuer = idp.issuer.as_str();
    let expect = Expect { typ: bearer::TYPE, algs: &Alg::ALL, issuer, audience: Some(issuer) };
    let claims = idp.keys.verify_jwt(presented, &expect).ok()?;
    serde_json::from_value(claims).ok()
}

/// Makes a token for a client that has authenticated.
pub(super) async fn token(
    idp: &Idp,
    passage: &Passage,
    client: &Client,
    form: &Params,
) -> Result<ServiceTokens, IdpError> {
    if !client.is_service() {
        return Err(IdpError::UnauthorizedClient(
            "only a client that keeps a secret and has no redirect_uris acts for itself",
        ));
    }
    if form.one("scope")?.is_some() {
        return Err(IdpError::InvalidScope("scopes are for people's data; a service is given none"));
    }
    let (now, lasts) = (idp.ctx().now(), idp.settings.token_time);
    let (jti, issuer) = (issue::jti(idp), idp.issuer.as_str().to_owned());
    let claims = ServiceClaims {
        sub: client.id.clone(),
        aud: issuer.clone(),
        iss: issuer,
        client_id: client.id.clone(),
        jti,
        iat: now.as_secs(),
        exp: now.plus(lasts).as_secs(),
        cver: mark(client),
    };
    let access_token = idp.keys.sign_jwt(issue::alg_of(client), bearer::TYPE, &claims).await?;
    note(idp, passage, &claims).await?;
    Ok(ServiceTokens { access_token, token_type: "Bearer", expires_in: lasts.as_secs() })
}

/// Says in the journal that a service was given a token, unless that was said of it a moment ago.
async fn note(idp: &Idp, passage: &Passage, claims: &ServiceClaims) -> Result<(), IdpError> {
    let client = &claims.client_id;
    if !idp.noted.is_due(client, idp.ctx().now()) {
        return Ok(());
    }
    let mut tx = idp.db.write(origin(Actor::Client(client.clone()), passage.id())).await?;
    tx.record(Fact::new(Subject::new("client", client), &ClientSignedIn { token: claims.jti.clone() }));
    tx.commit().await?;
    idp.noted.done(client, idp.ctx().now());
    Ok(())
}

/// When each service was last noted, by this node.
#[derive(Debug, Default)]
pub(crate) struct Noted(Mutex<HashMap<String, Timestamp>>);

impl Noted {
    /// Several who ask before it is done are all told yes: better twice than not at all.
    fn is_due(&self, client: &str, now: Timestamp) -> bool {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get(client).is_none_or(|at| now.since(*at) >= NOTE)
    }

    fn done(&self, client: &str, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(client.to_owned(), now);
    }
}
