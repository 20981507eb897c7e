//! The first administrator: whoever has the link that the server showed when it was started.
//!
//! The page is there while nobody administers ([`directory::set_up`]), and nowhere afterwards. It makes the account,
//! signs it in and leads on to a second factor. Looking at it uses nothing up.
//!
//! What it is not: a registration. Everybody else comes from HR.

mod page;

use actix_web::HttpResponse;
use directory::DirectoryError;
use directory::authenticator::password;
use directory::set_up::{self, Founder};
use kernel::{Actor, Secret, Token};
use policy::Method;
use store::Tx;
use web::{Issuer, Params};

use crate::destination::Own;
use crate::error::IdpError;
use crate::pages::{see_other, with_cookie};
use crate::session::{self, Proven};
use crate::steps::Way;
use crate::visit::{Opened, Sent, Visit, Visitor};
use crate::{Idp, origin};
#[cfg(test)]
pub(crate) use page::SetUpPage;
use page::{Entry, Problem};

/// The page.
pub(crate) const PATH: &str = "/set-up";

/// The link to show to whoever runs the server.
#[must_use]
pub fn set_up_link(issuer: &Issuer, token: &Token) -> String {
    // A token is letters, digits, `-` and `_`.
    issuer.url(&format!("{PATH}?token={}", token.expose()))
}

/// `GET /set-up?token=…`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let params = Params::parse(visit.request.query_string().as_bytes())?;
    let token = good(visit.idp, &params).await?;
    Ok(with_cookie(page::show(visit, token, &Entry::default(), None), visit.browser.cookie()))
}

/// The token of a link that can be used now.
///
/// # Errors
/// As if the page did not exist once somebody administers, whatever the link.
async fn good<'a>(idp: &Idp, params: &'a Params) -> Result<&'a str, IdpError> {
    if !set_up::is_open(&idp.db).await? {
        return Err(IdpError::NothingHere);
    }
    let token = params.one("token")?.unwrap_or_default();
    match set_up::is_good(&idp.db, idp.issuer.as_str(), token).await? {
        true => Ok(token),
        false => Err(IdpError::SetUpLinkGone),
    }
}

/// `POST /set-up`.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, set_up).await
}

async fn set_up(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let token = good(visit.idp, form).await?;
    let entry = Entry::read(form)?;
    let password = Secret::new(form.one("password")?.unwrap_or_default().to_owned());
    let again = form.one("password_again")?.unwrap_or_default();
    if let Some(problem) = entry.problem(&password, again) {
        return Ok(page::show(visit, token, &entry, Some(problem)));
    }
    let verifier = visit.idp.hasher.hash(visit.idp.ctx(), password).await?;
    let earlier = session::of_or_idle(visit).await?;
    // Nobody is there yet in whose name it could be done.
    let mut tx = visit.idp.db.write(origin(Actor::Anonymous, visit.passage.id())).await?;
    let made = make(&mut tx, visit, earlier.as_ref(), token, &entry.founder(), &verifier).await;
    match tx.end(made).await {
        Ok((_, cookie)) => {
            Ok(with_cookie(see_other(&second_factor(visit.idp)), Some(session::cookie(&cookie))))
        }
        Err(DirectoryError::Taken(_)) => Ok(page::show(visit, token, &entry, Some(Problem::Taken))),
        Err(DirectoryError::Invalid(_)) => Ok(page::show(visit, token, &entry, Some(Problem::UserName))),
        // Somebody was faster: with this link, or with another one.
        Err(DirectoryError::NotFound(_)) => Err(IdpError::SetUpLinkGone),
        Err(error) => Err(error.into()),
    }
}

/// Account, membership, password and session are one change: nobody administers without a way in.
async fn make(
    tx: &mut Tx,
    visit: &Visit<'_>,
    earlier: Option<&directory::session::Session>,
    token: &str,
    founder: &Founder,
    verifier: &str,
) -> Result<Opened, DirectoryError> {
    let user = set_up::make(tx, visit.idp.issuer.as_str(), token, founder).await?;
    password::set(tx, user.id, verifier, None).await?;
    let proven = Proven { user: user.id, methods: &[Method::Password], client: None, because: Vec::new() };
    session::open(tx, visit, earlier, proven).await
}

/// Where a second factor is added: the strongest that works at this address.
fn second_factor(idp: &Idp) -> String {
    let way = if idp.passkeys.is_some() { Way::Passkey } else { Way::Totp };
    Own::Add(way).path()
}
