//! A person gives a user name and a password.
//!
//! An unknown name, an inactive account and a wrong password have one answer and take one time: each reads
//! the same rows, hashes once, and records one fact. Guessing is slowed per account and per address
//! (`attempts.rs`).
//!
//! To add a second factor: after [`authenticate`], where policy answers that more is needed.

pub(crate) mod attempts;
mod page;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use directory::authenticator::password::{self, PasswordError};
use directory::facts::SignInRefused;
use directory::session::{self, Session, SignIn};
use directory::user::{self, User};
use directory::{DirectoryError, fold};
use kernel::id::UserId;
use kernel::{Actor, Secret, Subject, Token};
use policy::Network;
use store::{Fact, Tx};
use web::body::{BodyError, Form};
use web::browser::Browser;
use web::{Params, Passage};

use crate::authorize::{self, Asked, Refusal};
use crate::error::{IdpError, answer_as_page};
use crate::judge::{self, Verdict};
use crate::pages::with_cookie;
use crate::{Idp, assurance, origin};
use attempts::Throttled;
use page::Entry;
#[cfg(test)]
pub(crate) use page::SignInPage;

/// The sign-in page.
pub(crate) const PATH: &str = "/sign-in";

/// `GET /sign-in` with an authorization request.
pub(crate) async fn get(idp: Data<Idp>, passage: Passage, request: HttpRequest) -> HttpResponse {
    let answer = show(&idp, &passage, &request).await;
    answer_as_page(&passage, answer)
}

async fn show(idp: &Idp, passage: &Passage, request: &HttpRequest) -> Result<HttpResponse, IdpError> {
    let asked = Asked::read(idp, request.query_string()).await?;
    let browser = Browser::of(idp.ctx(), request);
    let hint = asked.wishes.login_hint.as_deref().unwrap_or_default();
    let answer = page::show(idp, passage, &asked, &browser, Entry::Empty { hint });
    Ok(with_cookie(answer, browser.cookie()))
}

/// `POST /sign-in`.
pub(crate) async fn post(
    idp: Data<Idp>,
    passage: Passage,
    request: HttpRequest,
    form: Result<Form, BodyError>,
) -> HttpResponse {
    let answer = match form {
        Ok(Form(form)) => sign_in(&idp, &passage, &request, &form).await,
        Err(error) => Err(error.into()),
    };
    answer_as_page(&passage, answer)
}

async fn sign_in(
    idp: &Idp,
    passage: &Passage,
    request: &HttpRequest,
    form: &Params,
) -> Result<HttpResponse, IdpError> {
    let browser = Browser::of(idp.ctx(), request);
    if !browser.sent_form(request, &idp.issuer, form) {
        return Err(IdpError::ForeignForm);
    }
    let asked = Asked::read(idp, form.one("request")?.unwrap_or_default()).await?;
    let user_name = form.one("username")?.unwrap_or_default().trim();
    let password = Secret::new(form.one("password")?.unwrap_or_default().to_owned());
    let Some(user) = authenticate(idp, passage, &asked, user_name, password).await? else {
        return Ok(page::show(idp, passage, &asked, &browser, Entry::Wrong { user_name }));
    };
    if asked.wishes.only_user.as_ref().is_some_and(|only| *only != user.id.to_string()) {
        record_refusal(idp, passage, &asked, Some(&user), "other-user").await?;
        return Err(asked.send_back(idp, Refusal::OTHER_USER));
    }
    let reached = assurance::of_password();
    let network = judge::network(idp, passage.client());
    let decision = judge::judge(idp, &user, &asked.client, reached, network).await?;
    if let Some(verdict) = Verdict::of(&decision) {
        return judge::refuse(idp, passage, &asked, &user, &verdict).await;
    }
    let sign_in = SignIn {
        user: user.id,
        client: Some(asked.client.id.clone()),
        assurance: reached,
        amr: assurance::amr_of_password(),
        because: judge::in_words(decision.because()),
        lasts: idp.settings.session_time,
    };
    open(idp, passage, request, &asked, &sign_in).await
}

/// The active user of this name and password, if there is one.
async fn authenticate(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    user_name: &str,
    password: Secret<String>,
) -> Result<Option<User>, IdpError> {
    let account = fold(user_name);
    let attempt = match attempts::begin(idp, &attempts::SIGN_IN, &account, passage.client()).await? {
        Ok(attempt) => attempt,
        Err(throttled) => return Err(throttle(idp, passage, asked, user_name, throttled).await?),
    };
    let user = user::by_user_name(&idp.db, user_name).await?;
    // Who is not there is looked up, too: it takes as long.
    let id = user.as_ref().map_or_else(|| UserId::new(idp.ctx()), |user| user.id);
    let verifier = password::verifier(&idp.db, id).await?;
    let right = match idp.hasher.verify(password.clone(), verifier.clone()).await {
        Err(PasswordError::Busy) => {
            attempt.take_back(idp).await?;
            return Err(IdpError::Busy);
        }
        verified => verified?,
    };
    match user {
        Some(user) if right && user.active => {
            attempt.succeeded(idp).await?;
            keep_dear(idp, passage, user.id, password, verifier).await;
            Ok(Some(user))
        }
        user => {
            let reason = if right { "inactive" } else { "wrong-credentials" };
            record_refusal(idp, passage, asked, user.as_ref(), reason).await?;
            Ok(None)
        }
    }
}

/// Says that it is too much, and leaves a trace once in a window: not as often as somebody tries.
async fn throttle(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    user_name: &str,
    throttled: Throttled,
) -> Result<IdpError, IdpError> {
    if throttled.first {
        let user = user::by_user_name(&idp.db, user_name).await?;
        record_refusal(idp, passage, asked, user.as_ref(), throttled.reason).await?;
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
async fn record_refusal(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    user: Option<&User>,
    reason: &str,
) -> Result<(), IdpError> {
    let subject = user.map_or_else(|| Subject::new("user", "unknown"), |user| user.id.subject());
    let body = SignInRefused {
        reason: reason.to_owned(),
        client: Some(asked.client.id.clone()),
        because: Vec::new(),
    };
    let mut tx = idp.db.write(origin(Actor::Anonymous, passage.id())).await?;
    tx.record(Fact::new(subject, &body).about(Subject::new("client", &asked.client.id)));
    Ok(tx.commit().await?)
}

/// Signs the browser in and grants what was asked for, in one transaction. The browser's token is a new one in
/// any case: nothing from before a sign-in is valid after it.
async fn open(
    idp: &Idp,
    passage: &Passage,
    request: &HttpRequest,
    asked: &Asked,
    sign_in: &SignIn,
) -> Result<HttpResponse, IdpError> {
    let earlier = crate::session::of(idp, request).await?;
    let network = judge::network(idp, passage.client());
    let mut tx = idp.db.write(origin(Actor::User(sign_in.user), passage.id())).await?;
    let outcome = open_in(&mut tx, earlier.as_ref(), asked, sign_in, network).await;
    match tx.end(outcome).await {
        Ok((token, code)) => {
            Ok(with_cookie(asked.redirect_with(idp, &code), Some(crate::session::cookie(&token))))
        }
        // Deactivated since the password was checked: as if it had been before.
        Err(DirectoryError::NotFound(_)) => {
            let browser = Browser::of(idp.ctx(), request);
            Ok(page::show(idp, passage, asked, &browser, Entry::Wrong { user_name: "" }))
        }
        Err(error) => Err(error.into()),
    }
}

async fn open_in(
    tx: &mut Tx,
    earlier: Option<&Session>,
    asked: &Asked,
    sign_in: &SignIn,
    network: Network,
) -> Result<(Token, Token), DirectoryError> {
    let (session, token) = session_in(tx, earlier, sign_in).await?;
    let code = authorize::grant(tx, asked, &session, network).await?;
    Ok((token, code))
}

/// Whoever was signed in here already keeps the session, and with it what other applications were granted. The
/// session of somebody else ends: it may have been planted.
async fn session_in(
    tx: &mut Tx,
    earlier: Option<&Session>,
    sign_in: &SignIn,
) -> Result<(Session, Token), DirectoryError> {
    match earlier {
        Some(earlier) if earlier.user_id == sign_in.user => {
            if let Some(renewed) = session::renew(tx, earlier.id, sign_in).await? {
                return Ok(renewed);
            }
        }
        Some(earlier) => drop(session::end(tx, earlier.id).await?),
        None => {}
    }
    session::open(tx, sign_in).await
}
