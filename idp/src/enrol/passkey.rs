//! A passkey or security key: the browser makes it, for our name only.

use actix_web::HttpResponse;
use directory::DirectoryError;
use directory::authenticator::passkey::{self, New, PasskeyError};
use kernel::id::UserId;
use serde::{Deserialize, Serialize};
use store::Tx;
use web::Params;

use super::page::{self, Offer, Problem};
use super::{Adding, done, problem_of};
use crate::ceremony::PasskeyForm;
use crate::error::IdpError;
use crate::sealed::{self, Purpose};
use crate::visit::Opened;
use crate::{assurance, judge, session};

const MAKING: Purpose = Purpose::new("passkey-making", 5);

#[derive(Serialize, Deserialize)]
struct State {
    user: UserId,
    state: passkey::Adding,
}

/// Asks the browser to make one.
pub(super) async fn offer(adding: &Adding<'_>, problem: Option<Problem>) -> Result<HttpResponse, IdpError> {
    let (idp, user) = (adding.visit.idp, &adding.user);
    let Some(passkeys) = &idp.passkeys else { return Ok(page::show(adding, Offer::Nothing, problem)) };
    let (creation, state) = passkeys.begin_adding(&idp.db, user).await?;
    let options = serde_json::to_string(&creation).map_err(IdpError::failed)?;
    let state = State { user: user.id, state };
    let ceremony = sealed::seal(idp, &adding.visit.browser, MAKING, state)?;
    let form = PasskeyForm { action: super::PATH, kind: "create", options, ceremony };
    Ok(page::show(adding, Offer::Passkey(form), problem))
}

/// Adds it, if the browser's answer is to what this browser was asked.
pub(super) async fn add(adding: &Adding<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let new = match made(adding, form).await? {
        Ok(new) => new,
        Err(problem) => return offer(adding, Some(problem)).await,
    };
    let name = form.one("name")?.unwrap_or_default();
    let mut tx = adding.visit.write_as(adding.user.id).await?;
    let added = add_in(&mut tx, adding, name, &new).await;
    match tx.end(added).await {
        Ok(raised) => done(adding, raised).await,
        Err(error) => match problem_of(&error) {
            Some(problem) => offer(adding, Some(problem)).await,
            None => Err(error.into()),
        },
    }
}

async fn made(adding: &Adding<'_>, form: &Params) -> Result<Result<New, Problem>, IdpError> {
    let idp = adding.visit.idp;
    let Some(passkeys) = &idp.passkeys else { return Ok(Err(Problem::Passkey)) };
    let sealed = form.one("ceremony")?.unwrap_or_default();
    let kept = sealed::open::<State>(idp, &adding.visit.browser, MAKING, sealed);
    let Some(kept) = kept.filter(|kept| kept.value.user == adding.user.id) else {
        return Ok(Err(Problem::TooLate));
    };
    if !kept.use_once(idp).await? {
        return Ok(Err(Problem::TooLate));
    }
    let Ok(answer) = serde_json::from_str(form.one("passkey")?.unwrap_or_default()) else {
        return Ok(Err(Problem::Passkey));
    };
    match passkeys.finish_adding(&answer, &kept.value.state) {
        Ok(new) => Ok(Ok(new)),
        Err(PasskeyError::NotVerified(why)) => {
            tracing::info!(why, "a new passkey was refused");
            Ok(Err(Problem::Passkey))
        }
        Err(error) => Err(error.into()),
    }
}

async fn add_in(
    tx: &mut Tx,
    adding: &Adding<'_>,
    name: &str,
    new: &New,
) -> Result<Option<Opened>, DirectoryError> {
    passkey::add(tx, adding.user.id, name, new).await?;
    let method = assurance::passkey(new.is_device_bound(), true);
    let (client, because) = (adding.destination.client_id(), judge::in_words(&adding.because));
    session::raise(tx, adding.visit, adding.session, method, client, because).await
}
