//! Access tokens: what they say (RFC 9068), and whether one is in force.
//!
//! A token is checked in memory, its signature once; whether its grant lives, the directory is asked each time. That
//! makes a token dead at the commit of whatever ended its user, session or grant.
//!
//! A service's token rests on no grant: [`crate::token`] knows it.

use directory::session::grant::{self, Granted, LiveGrant};
use kernel::id::GrantId;
use keys::{Alg, Expect};
use serde::{Deserialize, Serialize};

use crate::Idp;
use crate::error::IdpError;

/// The `typ` of an access token (RFC 9068, section 2.1): no other kind of token of ours passes for one.
pub(crate) const TYPE: &str = "at+jwt";
/// People's access tokens are ours to verify, so they have the faster signature.
pub(crate) const ALG: Alg = Alg::Es256;

/// The claims of an access token (RFC 9068, section 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    /// Ourselves: userinfo is what it is for.
    pub(crate) aud: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    pub(crate) jti: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) auth_time: i64,
    pub(crate) acr: String,
    pub(crate) amr: Vec<String>,
    pub(crate) sid: String,
    /// The grant, a private claim.
    pub(crate) gid: GrantId,
}

/// The claims of a presented token, if it is an access token of ours and has not expired.
pub(crate) fn claims(idp: &Idp, presented: &str) -> Option<AccessClaims> {
    let issuer = idp.issuer.as_str();
    let expect = Expect { typ: TYPE, algs: &[ALG], issuer, audience: Some(issuer) };
    let claims = idp.keys.verify_jwt(presented, &expect).ok()?;
    serde_json::from_value(claims).ok()
}

/// The claims with the grant they rest on, if both are in force now. Its scope is the token's, which may be a part
/// of what was granted.
pub(crate) async fn in_force(
    idp: &Idp,
    presented: &str,
) -> Result<Option<(AccessClaims, LiveGrant)>, IdpError> {
    let Some(claims) = claims(idp, presented) else { return Ok(None) };
    let grant = grant::live(&idp.db, claims.gid).await?;
    Ok(grant.map(|grant| {
        let grant = LiveGrant { scope: claims.scope.clone(), ..grant };
        (claims, grant)
    }))
}

/// The same with the client of the grant, whose scope is what was granted.
pub(crate) async fn granted(idp: &Idp, presented: &str) -> Result<Option<(AccessClaims, Granted)>, IdpError> {
    let Some(claims) = claims(idp, presented) else { return Ok(None) };
    let granted = grant::live_with_client(&idp.db, claims.gid).await?;
    Ok(granted.map(|granted| (claims, granted)))
}
