//! A person gives a user name and a password.
//!
//! An unknown name, an inactive account and a wrong password have one answer and take one time: each reads
//! the same rows, hashes once, and records one fact. Guessing is slowed per account and per address
//! (`attempts.rs`).
//!
//! To add a second factor: after [`authenticate`], where policy answers that more is needed.

mod attempts;
mod page;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use directory::authenticator::password;
use directory::facts::SignInRefused;
use directory::session::{self, SignIn};
use directory::user::{self, User};
use directory::{DirectoryError, fold};
use kernel::id::UserId;
use kernel::{Actor, Secret, Subject, Token};
use policy::Decision;
use store::{Fact, Tx};
use web::body::{BodyError, Form};
use web::browser::Browser;
use web::{Params, Passage};

use crate::authorize::{self, Asked, Refusal};
use crate::error::{IdpError, answer_as_page};
use crate::pages::with_cookie;
use crate::{Idp, assurance, judge, origin};
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
    let answer = page::show(passage, &asked, &browser, Entry::Empty { hint });
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
        return Ok(page::show(passage, &asked, &browser, Entry::Wrong { user_name }));
    };
    if asked.wishes.only_user.as_ref().is_some_and(|only| *only != user.id.to_string()) {
        return Err(asked.send_back(idp, Refusal::OTHER_USER));
    }
    let reached = assurance::of_password();
    match judge::judge(idp, &user, &asked.client, reached, passage.client()).await? {
        Decision::Allow { because, .. } => {
            let sign_in = SignIn {
                user: user.id,
                client: Some(asked.client.id.clone()),
                assurance: reached,
                amr: assurance::amr_of_password(),
                because: judge::in_words(&because),
                lasts: idp.settings.session_time,
            };
            open(idp, passage, request, &asked, &sign_in).await
        }
        decision => judge::refuse(idp, passage, &asked, &user, &decision).await,
    }
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
    attempts::begin(idp, &account, passage.client()).await?;
    let user = user::by_user_name(&idp.db, user_name).await?;
    // Who is not there is looked up, too: it takes as long.
    let id = user.as_ref().map_or_else(|| UserId::new(idp.ctx()), |user| user.id);
    let verifier = password::verifier(&idp.db, id).await?;
    let right = idp.hasher.verify(password, verifier).await?;
    match user {
        Some(user) if right && user.active => {
            attempts::succeeded(idp, &account).await?;
            Ok(Some(user))
        }
        user => {
            attempts::failed(idp, passage.client()).await?;
            let reason = if right { "inactive" } else { "wrong-credentials" };
            record_refusal(idp, passage, asked, user.as_ref(), reason).await?;
            Ok(None)
        }
    }
}

/// A name that nobody has is not recorded: it may be a password in the wrong field. The fact is then about the
/// application alone.
async fn record_refusal(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    user: Option<&User>,
    reason: &str,
) -> Result<(), IdpError> {
    let client = Subject::new("client", &asked.client.id);
    let body = SignInRefused {
        reason: reason.to_owned(),
        client: Some(asked.client.id.clone()),
        because: Vec::new(),
    };
    let fact = match user {
        Some(user) => Fact::new(user.id.subject(), &body).about(client),
        None => Fact::new(client, &body),
    };
    let mut tx = idp.db.write(origin(Actor::Anonymous, passage.id())).await?;
    tx.record(fact);
    Ok(tx.commit().await?)
}

/// Opens a session with a new id and grants what was asked for, in one transaction. Whatever session the
/// browser had before ends: nothing from before a sign-in is valid after it.
async fn open(
    idp: &Idp,
    passage: &Passage,
    request: &HttpRequest,
    asked: &Asked,
    sign_in: &SignIn,
) -> Result<HttpResponse, IdpError> {
    let earlier = crate::session::of(idp, request).await?;
    let mut tx = idp.db.write(origin(Actor::User(sign_in.user), passage.id())).await?;
    let outcome = open_in(&mut tx, earlier.as_ref(), asked, sign_in).await;
    match tx.end(outcome).await {
        Ok((token, code)) => {
            Ok(with_cookie(asked.redirect_with(idp, &code), Some(crate::session::cookie(&token))))
        }
        // Deactivated since the password was checked: as if it had been before.
        Err(DirectoryError::NotFound(_)) => {
            let browser = Browser::of(idp.ctx(), request);
            Ok(page::show(passage, asked, &browser, Entry::Wrong { user_name: "" }))
        }
        Err(error) => Err(error.into()),
    }
}

async fn open_in(
    tx: &mut Tx,
    earlier: Option<&session::Session>,
    asked: &Asked,
    sign_in: &SignIn,
) -> Result<(Token, Token), DirectoryError> {
    if let Some(earlier) = earlier {
        session::end(tx, earlier.id).await?;
    }
    let (session, token) = session::open(tx, sign_in).await?;
    let code = authorize::grant(tx, asked, &session).await?;
    Ok((token, code))
}
