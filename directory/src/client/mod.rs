//! Applications that sign users in.

use kernel::{Sensitivity, TokenHash};
use store::{Db, JsonText, StoreError, sql};

/// An application.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Client {
    /// `client_id`, as the administrator named it.
    pub id: String,
    /// Raised by one at each change.
    pub version: i64,
    /// How to show it.
    pub name: String,
    /// SHA-256 of its secret; a public client has none.
    pub secret_hash: Option<String>,
    /// Where answers may go, compared exactly (RFC 9700, section 2.1). None: it signs nobody in
    /// ([`Client::is_service`]).
    pub redirect_uris: JsonText<Vec<String>>,
    /// How much it matters: `low`, `moderate`, `high`, `critical`.
    pub sensitivity: String,
    /// The undertaking it belongs to.
    pub project: Option<String>,
    /// How its ID tokens are signed, and a service's access tokens: `RS256` or `ES256`.
    pub id_token_alg: String,
    /// Whether it must use PKCE: `required`, or `optional` for one that keeps a secret.
    pub pkce: String,
    /// Whether it is given refresh tokens, where that was said: [`Client::may_refresh`].
    pub refresh_tokens: Option<bool>,
    /// Where a browser may be sent after signing out, compared exactly (RP-Initiated Logout 1.0, section 3).
    pub post_logout_redirect_uris: JsonText<Vec<String>>,
    /// Where logout tokens go; without, it is not told (Back-Channel Logout 1.0, section 2.2).
    pub backchannel_logout_uri: Option<String>,
    /// Whether each logout token must name a session.
    pub backchannel_logout_session_required: bool,
    /// Whether it belongs to somebody else: then each person is asked what it may know ([`crate::consent`]).
    pub third_party: bool,
}

impl Client {
    /// How much it matters. A word that cannot be read counts as the highest.
    #[must_use]
    pub fn sensitivity(&self) -> Sensitivity {
        self.sensitivity.parse().unwrap_or(Sensitivity::Critical)
    }

    /// Whether an answer may go there: exactly one of the registered ones.
    #[must_use]
    pub fn allows_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.0.iter().any(|registered| registered == uri)
    }

    /// Whether it keeps a secret at all.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        self.secret_hash.is_some()
    }

    /// Whether it is a service, which signs nobody in and acts for itself (RFC 6749, section 4.4): it keeps a secret,
    /// and no browser may be sent to it. So none that signs people in can take itself for one of them.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.is_confidential() && self.redirect_uris.0.is_empty()
    }

    /// Whether it must use PKCE. A client that keeps no secret must, and so must one whose word cannot be read
    /// (RFC 9700, section 2.1.1).
    #[must_use]
    pub fn requires_pkce(&self) -> bool {
        !self.is_confidential() || self.pkce != "optional"
    }

    /// Whether a browser that signed out may be sent there: exactly one of the registered ones.
    #[must_use]
    pub fn allows_return_to(&self, uri: &str) -> bool {
        self.post_logout_redirect_uris.0.iter().any(|registered| registered == uri)
    }

    /// Whether it is given refresh tokens: as declared, else if it keeps a secret. Who finds the refresh token of a
    /// client without one needs nothing else, so that is for its administrator to say (RFC 9700, section 2.2.2).
    #[must_use]
    pub fn may_refresh(&self) -> bool {
        self.refresh_tokens.unwrap_or(self.is_confidential())
    }

    /// Whether this is its secret, in constant time.
    #[must_use]
    pub fn has_secret(&self, presented: &str) -> bool {
        self.secret_hash.as_deref().is_some_and(|stored| TokenHash::of(presented).matches(stored))
    }
}

/// The client.
pub async fn get(db: &Db, id: &str) -> Result<Option<Client>, StoreError> {
    db.opt(
        sql!(
            "SELECT id, version, name, secret_hash, redirect_uris, sensitivity, project, id_token_alg, pkce, \
             refresh_tokens, post_logout_redirect_uris, backchannel_logout_uri, backchannel_logout_session_required, \
             third_party \
             FROM client WHERE id = $1"
        ),
        (id,),
    )
    .await
}

/// All clients, by id.
pub async fn all(db: &Db) -> Result<Vec<Client>, StoreError> {
    db.all(
        sql!(
            "SELECT id, version, name, secret_hash, redirect_uris, sensitivity, project, id_token_alg, pkce, \
             refresh_tokens, post_logout_redirect_uris, backchannel_logout_uri, backchannel_logout_session_required, \
             third_party \
             FROM client ORDER BY id"
        ),
        (),
    )
    .await
}
