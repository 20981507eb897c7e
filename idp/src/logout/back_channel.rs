//! Tells applications that a sign-in has ended (OpenID Connect Back-Channel Logout 1.0).
//!
//! Which applications are told of which end, the directory decides in the transaction of the end
//! ([`directory::session::LOGOUT_SINK`]); here each is sent its logout token. The message is a delivery: tried
//! again until the application takes it, dead-lettered when it says that it never will, and for ever the same
//! `jti`. An application's messages keep their order, and one that is slow delays nobody else's.
//!
//! A session that ends is told by `sub` and `sid`; an account by `sub` alone, which ends every session of it. An
//! application that knows sessions by `sid` only is sent a token for each of them instead.
//!
//! What it is not: it ends nothing here. That was done at the commit that recorded the fact.

use async_trait::async_trait;
use directory::client::{self, Client};
use directory::facts::SessionEnded;
use directory::session::{LOGOUT_SINK, ended_of};
use keys::{KeyRing, KeysError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::{Db, Delivery, FactBody as _, Settled, SinkError, StoredFact};
use url::form_urlencoded;
use web::Issuer;
use web::outbound::{Answer, Outbound};

use crate::token::alg_of;

/// The sink's name.
pub const SINK: &str = LOGOUT_SINK;

/// The `typ` of a logout token (section 2.4): no other kind of token passes for one.
const TYPE: &str = "logout+jwt";
/// What a logout token is about (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a logout token is valid, in seconds: two minutes at most (section 2.4).
const LASTS: i64 = 120;
/// How much of an application's reason is kept, in characters.
const REASON: usize = 200;
const FORM: &str = "application/x-www-form-urlencoded";

/// How requests leave the house: bounded in time, well below a lane's lease, and to addresses outside only.
#[async_trait]
pub trait Post: Send + Sync + 'static {
    /// Sends a body with `POST` and follows no redirect.
    ///
    /// # Errors
    /// Why no answer came, in words for the operator.
    async fn post(&self, url: &str, media_type: &'static str, body: Vec<u8>) -> Result<Answer, String>;
}

#[async_trait]
impl Post for Outbound {
    async fn post(&self, url: &str, media_type: &'static str, body: Vec<u8>) -> Result<Answer, String> {
        Self::post(self, url, media_type, body).await.map_err(|error| error.to_string())
    }
}

/// The claims of a logout token (section 2.4). There is never a `nonce`: it must not pass for an ID token.
#[derive(Debug, Serialize)]
struct LogoutClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    events: Map<String, Value>,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
}

/// The sink.
pub struct BackChannel<P> {
    db: Db,
    keys: KeyRing,
    issuer: Issuer,
    post: P,
}

impl<P: Post> BackChannel<P> {
    /// The sink over its parts.
    #[must_use]
    pub fn new(db: Db, keys: KeyRing, issuer: Issuer, post: P) -> Self {
        Self { db, keys, issuer, post }
    }

    async fn tell(&self, delivery: &Delivery) -> Result<(), SinkError> {
        // Deleted meanwhile, or not told any more: there is nobody to tell.
        let Some(client) = client::get(&self.db, delivery.subject_id()).await? else { return Ok(()) };
        let Some(uri) = &client.backchannel_logout_uri else { return Ok(()) };
        let fact = delivery.fact(&self.db).await?;
        let fact = fact.ok_or_else(|| SinkError::Dead("the fact is gone".into()))?;
        let sub = fact.subject.strip_prefix("user:").unwrap_or_default();
        let mut refused = None;
        for sid in self.sessions(&client, &fact, sub).await? {
            let token = self.token(&client, delivery, sub, sid.as_deref()).await?;
            let body =
                form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
            match taken(self.post.post(uri, FORM, body.into_bytes()).await) {
                // It may know this session no more, but the next one still.
                Err(SinkError::Dead(reason)) => refused = Some(reason),
                answer => answer?,
            }
        }
        refused.map_or(Ok(()), |reason| Err(SinkError::Dead(reason)))
    }

    /// The sessions to be named, one token each; `None` stands for all of the account's.
    async fn sessions(
        &self,
        client: &Client,
        fact: &StoredFact,
        sub: &str,
    ) -> Result<Vec<Option<String>>, SinkError> {
        if fact.kind == SessionEnded::KIND {
            let SessionEnded { session, .. } = fact.read().ok_or_else(|| unread(fact))?;
            return Ok(vec![Some(session)]);
        }
        if !client.backchannel_logout_session_required {
            return Ok(vec![None]);
        }
        let user = sub.parse().map_err(|_| SinkError::Dead("the fact is about no user".into()))?;
        let ended = ended_of(&self.db, user, &client.id).await?;
        Ok(ended.into_iter().map(|id| Some(id.to_string())).collect())
    }

    async fn token(
        &self,
        client: &Client,
        delivery: &Delivery,
        sub: &str,
        sid: Option<&str>,
    ) -> Result<String, SinkError> {
        let iat = self.db.ctx().now().as_secs();
        // Of one delivery there may be a token for each session.
        let jti = sid.map_or_else(|| delivery.id.to_string(), |sid| format!("{}.{sid}", delivery.id));
        let mut events = Map::new();
        events.insert(EVENT.into(), json!({}));
        let iss = self.issuer.as_str();
        let claims = LogoutClaims { iss, aud: &client.id, iat, exp: iat + LASTS, jti, events, sub, sid };
        let signed = self.keys.sign_jwt(alg_of(client), TYPE, &claims).await;
        signed.map_err(|error: KeysError| SinkError::Retry(error.to_string()))
    }
}

/// Why it is not known which session ended. To end all of the account's instead would end living ones.
fn unread(fact: &StoredFact) -> SinkError {
    match fact.is_erased() {
        // Of a dead letter that is given another life late.
        true => SinkError::Dead("which session ended is not known any more: the body was erased".into()),
        false => {
            SinkError::Retry("another release recorded which session ended; this one cannot read it".into())
        }
    }
}

/// What an answer means (section 2.8): 200, which some frameworks make 204, is a yes, and 400 a no that stays one.
/// Everything else may be different next time.
fn taken(answer: Result<Answer, String>) -> Result<(), SinkError> {
    match answer {
        Ok(Answer { status: 200 | 204, .. }) => Ok(()),
        Ok(Answer { status: 400, body }) => {
            let reason: String = String::from_utf8_lossy(&body).chars().take(REASON).collect();
            Err(SinkError::Dead(format!("the application refused it: {}", reason.trim())))
        }
        Ok(Answer { status, .. }) => Err(SinkError::Retry(format!("the application answered {status}"))),
        Err(reason) => Err(SinkError::Retry(reason)),
    }
}

#[async_trait]
impl<P: Post> store::Sink for BackChannel<P> {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        self.tell(delivery).await.map(|()| Settled::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_are_a_yes_one_is_a_no_for_ever_and_others_are_tried_again() {
        let answer = |status| taken(Ok(Answer { status, body: b"no such session\n".to_vec() }));
        for status in [200, 204] {
            assert!(answer(status).is_ok(), "{status}");
        }
        for status in [201, 301, 302, 307, 401, 403, 404, 405, 415, 429, 500, 501, 502, 503, 504] {
            let refused = answer(status).unwrap_err();
            assert!(
                matches!(&refused, SinkError::Retry(reason) if reason.contains(&status.to_string())),
                "{refused}"
            );
        }
        let dead = answer(400).unwrap_err();
        assert!(matches!(&dead, SinkError::Dead(reason) if reason.ends_with(": no such session")), "{dead}");
        let long = taken(Ok(Answer { status: 400, body: vec![0xff; 60_000] })).unwrap_err();
        assert!(long.to_string().chars().count() < 300);
        assert!(matches!(taken(Err("timed out".into())), Err(SinkError::Retry(_))));
    }
}
