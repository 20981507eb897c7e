//! A person gives a user name and a password, or a passkey that says itself whose it is.
//!
//! An unknown name, an inactive account and a wrong password have one answer and take one time: each reads
//! the same rows, hashes once, and records one fact. Guessing is slowed per account, per factor and per address
//! (`attempts.rs`).
//!
//! Whoever is right is signed in, as far as that goes: a session opens at the rung that was reached, and
//! [`crate::arrive`] sees what is still missing for where the person wants to go.

pub(crate) mod attempts;
mod page;
mod passkey;

use actix_web::HttpResponse;
use directory::authenticator::password::{self, PasswordError};
use directory::facts::SignInRefused;
use directory::user::{self, User};
use directory::{DirectoryError, fold};
use kernel::id::UserId;
use kernel::{Actor, Secret, Subject};
use policy::Method;
use store::{Fact, Tx};
use web::{Params, Passage};

use crate::arrive::arrive;
use crate::authorize::Refusal;
use crate::destination::Destination;
use crate::error::{IdpError, answer_as_page};
use crate::pages::with_cookie;
use crate::session::{self, Proven};
use crate::visit::{Opened, Sent, Visit, Visitor};
use crate::{Idp, assurance, judge, origin};
use attempts::Throttled;
use page::Entry;
#[cfg(test)]
pub(crate) use page::SignInPage;

/// The sign-in page.
pub(crate) const PATH: &str = "/sign-in";

/// `GET /sign-in` with an authorization request.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let mut destination = Destination::read(visit, visit.request.query_string()).await?;
    destination.begin(visit)?;
    let answer = page::show(visit, &destination, Entry::Empty).await?;
    Ok(with_cookie(answer, visit.browser.cookie()))
}

/// `POST /sign-in`.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, sign_in).await
}

async fn sign_in(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let mut destination = Destination::read(visit, form.one("request")?.unwrap_or_default()).await?;
    destination.begin(visit)?;
    match form.one("passkey")? {
        Some(answer) => passkey::sign_in(visit, &destination, form, answer).await,
        None => with_password(visit, &destination, form).await,
    }
}

async fn with_password(
    visit: &Visit<'_>,
    destination: &Destination,
    form: &Params,
) -> Result<HttpResponse, IdpError> {
    let user_name = form.one("username")?.unwrap_or_default().trim();
    let password = Secret::new(form.one("password")?.unwrap_or_default().to_owned());
    let Some(user) = authenticate(visit, destination, user_name, password).await? else {
        return page::show(visit, destination, Entry::Wrong { user_name }).await;
    };
    if let Some(refused) = refuse_another(visit, destination, &user).await? {
        return Err(refused);
    }
    let because = because(visit, destination, &user, Method::Password).await?;
    let earlier = session::of_or_idle(visit).await?;
    let mut tx = visit.write_as(user.id).await?;
    let client = destination.client_id();
    let proven = Proven { user: user.id, methods: &[Method::Password], client, because };
    let opened = session::open(&mut tx, visit, earlier.as_ref(), proven).await;
    match tx.end(opened).await {
        Ok(opened) => onwards(visit, destination, opened).await,
        // Deactivated since the password was checked: as if it had been before.
        Err(DirectoryError::NotFound(_)) => {
            page::show(visit, destination, Entry::Wrong { user_name: "" }).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer when the application asked for somebody else.
async fn refuse_another(
    visit: &Visit<'_>,
    destination: &Destination,
    user: &User,
) -> Result<Option<IdpError>, IdpError> {
    let Some(asked) = destination.asked() else { return Ok(None) };
    if !destination.is_for_another_than(&user.id.to_string()) {
        return Ok(None);
    }
    record_refusal(visit, destination, Some(user), "other-user").await?;
    Ok(Some(asked.send_back(visit.idp, Refusal::OTHER_USER)))
}

/// Why policy asks for this much and no more, or for more than this.
async fn because(
    visit: &Visit<'_>,
    destination: &Destination,
    user: &User,
    method: Method,
) -> Result<Vec<String>, IdpError> {
    let Some(client) = destination.client() else { return Ok(Vec::new()) };
    let scene = judge::scene(visit, user).await;
    let principal = visit.principal(user).await?;
    let decision = judge::judge(visit.idp, principal, client, assurance::of(&[method]), scene);
    Ok(judge::in_words(decision.because()))
}

/// On with a session that was just opened, and its new cookie.
async fn onwards(
    visit: &Visit<'_>,
    destination: &Destination,
    (session, token): Opened,
) -> Result<HttpResponse, IdpError> {
    let answer = arrive(visit, destination, Some(&session)).await;
    Ok(with_cookie(answer_as_page(visit.passage, answer), Some(session::cookie(&token))))
}

/// The active user of this name and password, if there is one.
async fn authenticate(
    visit: &Visit<'_>,
    destination: &Destination,
    user_name: &str,
    password: Secret<String>,
) -> Result<Option<User>, IdpError> {
    let idp = visit.idp;
    let account = fold(user_name);
    let attempt = match attempts::begin(idp, &attempts::SIGN_IN, &account, visit.passage.client()).await? {
        Ok(attempt) => attempt,
        Err(throttled) => {
            let user = user::by_user_name(&idp.db, user_name).await?;
            return Err(throttle(visit, destination, user.as_ref(), throttled).await?);
        }
    };
    let user = user::by_user_name(&idp.db, user_name).await?;
    // Who is not there is looked up, too: it takes as long.
    let id = user.as_ref().map_or_else(|| UserId::new(idp.ctx()), |user| user.id);
    let verifier = password::verifier(&idp.db, id).await?;
    let right = match idp.hasher.verify(password.clone(), verifier.clone()).await {
        Err(PasswordError::Busy) => {
            attempt.take_back(idp).await?;
            return Err(IdpError::Crowded);
        }
        verified => verified?,
    };
    match user {
        Some(user) if right && user.active => {
            attempt.succeeded(idp).await?;
            keep_dear(idp, visit.passage, user.id, password, verifier).await;
            Ok(Some(user))
        }
        user => {
            attempts::remember_failure(idp, user_name).await?;
            let reason = if right { "inactive" } else { "wrong-credentials" };
            record_refusal(visit, destination, user.as_ref(), reason).await?;
            Ok(None)
        }
    }
}

/// Says that it is too much, and leaves a trace once in a window: not as often as somebody tries.
pub(crate) async fn throttle(
    visit: &Visit<'_>,
    destination: &Destination,
    user: Option<&User>,
    throttled: Throttled,
) -> Result<IdpError, IdpError> {
    if throttled.first {
        record_refusal(visit, destination, user, throttled.reason).await?;
    }
    Ok(IdpError::Throttled { retry_after: throttled.retry_after })
}

/// Hashes a password that was right anew, when hashing has become dearer since it was set. That it could not be
/// done is no reason to turn its owner away.
async fn keep_dear(
    idp: &Idp,
    passage: &Passage,
    user: UserId,
    password: Secret<String>,
    verifier: Option<String>,
) {
    let Some(verifier) = verifier.filter(|verifier| idp.hasher.is_outdated(verifier)) else { return };
    let kept: Result<bool, IdpError> = async {
        let anew = idp.hasher.hash(idp.ctx(), password).await?;
        let mut tx = idp.db.write(origin(Actor::User(user), passage.id())).await?;
        let kept = password::rehash(&mut tx, user, &verifier, &anew).await;
        Ok(tx.end(kept).await?)
    }
    .await;
    if let Err(error) = kept {
        tracing::warn!(%error, "a password could not be hashed anew; the next sign-in tries again");
    }
}

/// A name that nobody has is not recorded: it may be a password in the wrong field. In its place stands a user
/// who is nobody, so that as many rows are written as for somebody.
pub(crate) async fn record_refusal(
    visit: &Visit<'_>,
    destination: &Destination,
    user: Option<&User>,
    reason: &str,
) -> Result<(), IdpError> {
    let mut tx = visit.idp.db.write(origin(Actor::Anonymous, visit.passage.id())).await?;
    refusal_in(&mut tx, user, destination.client_id(), reason, visit.named_device());
    Ok(tx.commit().await?)
}

/// The same in a transaction that is there.
pub(crate) fn refusal_in(
    tx: &mut Tx,
    user: Option<&User>,
    client: Option<String>,
    reason: &str,
    device: Option<String>,
) {
    let subject = user.map_or_else(|| Subject::new("user", "unknown"), |user| user.id.subject());
    let reason = reason.to_owned();
    let body = SignInRefused { reason, client: client.clone(), because: Vec::new(), device };
    let fact = Fact::new(subject, &body);
    tx.record(match client {
        Some(client) => fact.about(Subject::new("client", &client)),
        None => fact,
    });
}
