//! A refresh token for the next one, and for tokens of the same grant (RFC 6749, section 6; RFC 9700, section
//! 4.14.2).
//!
//! The next token is derived from the presented one with a key that only the house has. So every node gives the
//! same answer to the same token, and nothing is kept of it but its hash. When a used token is answered again and
//! when its grant ends instead, [`directory::session::refresh`] says.

use directory::client::Client;
use directory::session::grant::{self, Basis, LiveGrant};
use directory::session::refresh::{self, PREFIX, Refresh, Worth};
use kernel::{Actor, RequestId, Secret, Token};
use store::Origin;
use web::Params;

use super::decide;
use crate::authorize::SCOPES;
use crate::error::IdpError;
use crate::judge::Verdict;
use crate::{Idp, origin};

/// What keeps this use of the house's key apart from others.
const PURPOSE: &str = "refresh-token";

const ENDED: IdpError =
    IdpError::InvalidGrant("there is no such refresh token, or what it rests on has ended");

/// What a client presents.
#[derive(Debug, PartialEq)]
pub(super) struct RefreshRequest<'a> {
    token: &'a str,
    scope: Option<&'a str>,
}

impl<'a> RefreshRequest<'a> {
    pub(super) fn read(form: &'a Params) -> Result<Self, IdpError> {
        let token =
            form.one("refresh_token")?.ok_or(IdpError::invalid_request("refresh_token is missing"))?;
        Ok(Self { token, scope: form.one("scope")? })
    }

    /// The scope that is asked for now: what was granted, or a part of it. The next refresh may ask for all of it again
    /// (RFC 6749, section 6).
    fn narrow(&self, granted: &str) -> Result<String, IdpError> {
        let Some(asked) = self.scope else { return Ok(granted.to_owned()) };
        let asked: Vec<&str> = asked.split(' ').filter(|word| !word.is_empty()).collect();
        let was_granted = |word: &&str| granted.split(' ').any(|scope| scope == *word);
        if !asked.iter().all(was_granted) {
            return Err(IdpError::InvalidScope("scope asks for more than was granted"));
        }
        // Userinfo and the ID token need it.
        if !asked.contains(&SCOPES[0]) {
            return Err(IdpError::InvalidScope("scope must contain openid"));
        }
        let kept: Vec<&str> = SCOPES.into_iter().filter(|scope| asked.contains(scope)).collect();
        Ok(kept.join(" "))
    }
}

/// What a refresh token is worth.
#[derive(Debug)]
pub(super) struct Refreshed {
    /// With the scope that was asked for.
    pub(super) grant: LiveGrant,
    pub(super) next: Token,
}

/// A refresh that is being made by an authenticated client.
pub(super) struct Refreshing<'a> {
    pub(super) idp: &'a Idp,
    pub(super) client: &'a Client,
    pub(super) request: &'a RefreshRequest<'a>,
    pub(super) id: &'a RequestId,
}

impl Refreshing<'_> {
    /// Exchanges the refresh token that was found for what is presented, for an access token with this `jti`.
    ///
    /// Policy is asked as it is asked for a code. What it no longer allows ends.
    pub(super) async fn run(&self, found: Option<Refresh>, jti: &str) -> Result<Refreshed, IdpError> {
        let found = self.own(found)?;
        let (worth, basis) = (found.worth(self.idp.ctx().now()), found.basis);
        if worth == Worth::Spent {
            return Err(self.reused(&basis.granted.grant).await?);
        }
        let scope = self.request.narrow(&basis.granted.grant.scope)?;
        self.ask_policy(&basis).await?;
        let grant = LiveGrant { scope, ..basis.granted.grant };
        let next = match worth {
            Worth::Answered(hash) => self.again(&grant, &hash, jti).await?,
            _ => self.rotate(&grant, jti).await?,
        };
        Ok(Refreshed { grant, next })
    }

    /// A token that another client holds is not that client's, and stays good for its own.
    fn own(&self, found: Option<Refresh>) -> Result<Refresh, IdpError> {
        found.filter(|found| found.basis.granted.client.id == self.client.id).ok_or(ENDED)
    }

    async fn rotate(&self, grant: &LiveGrant, jti: &str) -> Result<Token, IdpError> {
        let next = self.successors().next().ok_or(ENDED)?;
        let (db, presented) = (&self.idp.db, self.request.token);
        if refresh::rotate(db, self.origin(), presented, grant, &next, jti).await? {
            return Ok(next);
        }
        // Somebody presented it at the same time, or all has ended meanwhile.
        let found = self.own(refresh::find(db, presented).await?)?;
        match found.worth(self.idp.ctx().now()) {
            Worth::Answered(hash) => self.again(grant, &hash, jti).await,
            Worth::Spent => Err(self.reused(grant).await?),
            Worth::Fresh => Err(IdpError::Busy),
        }
    }

    /// The same answer to a token that was used a moment ago.
    async fn again(&self, grant: &LiveGrant, hash: &str, jti: &str) -> Result<Token, IdpError> {
        // No key that is here derives it: the sealing key was changed in this very moment.
        let next = self.successors().find(|next| next.hash().matches(hash)).ok_or(ENDED)?;
        refresh::answer_again(&self.idp.db, self.origin(), grant, jti).await?;
        Ok(next)
    }

    /// Of two who have it, one is a thief: nobody keeps anything.
    async fn reused(&self, grant: &LiveGrant) -> Result<IdpError, IdpError> {
        self.end(grant, "refresh-reused", None).await?;
        Ok(IdpError::InvalidGrant("the refresh token was used before; sign in again"))
    }

    /// What follows from the presented token, by the current key first.
    fn successors(&self) -> impl Iterator<Item = Token> {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let derived = self.idp.keys.derive(PURPOSE, self.request.token.as_bytes());
        derived.into_iter().map(|bytes| Secret::new(format!("{PREFIX}_{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    async fn ask_policy(&self, basis: &Basis) -> Result<(), IdpError> {
        let decision = decide(self.idp, self.client, basis);
        let Some(verdict) = Verdict::of(&decision) else { return Ok(()) };
        self.end(&basis.granted.grant, verdict.reason, Some(&verdict)).await?;
        Err(IdpError::InvalidGrant("policy no longer allows this sign-in"))
    }

    async fn end(
        &self,
        grant: &LiveGrant,
        reason: &str,
        verdict: Option<&Verdict<'_>>,
    ) -> Result<(), IdpError> {
        let mut tx = self.idp.db.write(self.origin()).await?;
        let ended = grant::end(&mut tx, grant.id, reason).await;
        if let Some(verdict) = verdict {
            verdict.record(&mut tx, grant.user_id, &self.client.id);
        }
        tx.end(ended).await?;
        Ok(())
    }

    fn origin(&self) -> Origin {
        origin(Actor::Client(self.client.id.clone()), self.id)
    }
}
