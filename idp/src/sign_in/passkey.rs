//! Signing in with a passkey alone: the browser finds it by our name, and it says whose it is.

use actix_web::HttpResponse;
use directory::DirectoryError;
use directory::authenticator::passkey::{self, Proof};
use directory::session::Session;
use directory::user::{self, User};
use store::Tx;
use web::Params;

use super::page::{self, Entry};
use super::{attempts, because, onwards, record_refusal, refuse_another, throttle};
use crate::assurance;
use crate::ceremony::{self, Answered, Asking};
use crate::destination::Destination;
use crate::error::IdpError;
use crate::session::{self, Proven};
use crate::visit::{Opened, Visit};

pub(super) async fn sign_in(
    visit: &Visit<'_>,
    destination: &Destination,
    form: &Params,
    answer: &str,
) -> Result<HttpResponse, IdpError> {
    let attempt = match attempts::begin_unknown(visit.idp, visit.passage.client()).await? {
        Ok(attempt) => attempt,
        Err(throttled) => return Err(throttle(visit, destination, None, throttled).await?),
    };
    let proof = match ceremony::verify(visit, Asking::Anybody, form, answer).await? {
        Answered::Proven(proof) => proof,
        Answered::TooLate => {
            attempt.take_back(visit.idp).await?;
            return page::show(visit, destination, Entry::TooLate).await;
        }
        Answered::Wrong => return refuse(visit, destination, None, "wrong-credentials").await,
    };
    let Some(user) = user::get(&visit.idp.db, proof.user).await?.filter(|user| user.active) else {
        return refuse(visit, destination, None, "inactive").await;
    };
    attempt.succeeded(visit.idp).await?;
    if let Some(refused) = refuse_another(visit, destination, &user).await? {
        return Err(refused);
    }
    match open(visit, destination, &user, &proof).await? {
        Some(opened) => onwards(visit, destination, opened).await,
        None => refuse(visit, destination, Some(&user), "wrong-credentials").await,
    }
}

async fn refuse(
    visit: &Visit<'_>,
    destination: &Destination,
    user: Option<&User>,
    reason: &str,
) -> Result<HttpResponse, IdpError> {
    record_refusal(visit, destination, user, reason).await?;
    page::show(visit, destination, Entry::NoSuchPasskey).await
}

/// `None` when the passkey was used or taken away meanwhile, or the account ended.
async fn open(
    visit: &Visit<'_>,
    destination: &Destination,
    user: &User,
    proof: &Proof,
) -> Result<Option<Opened>, IdpError> {
    let method = assurance::passkey(proof.device_bound, proof.user_verified);
    let because = because(visit, destination, user, method).await?;
    let earlier = session::of_or_idle(visit).await?;
    let methods = &[method];
    let proven = Proven { user: user.id, methods, client: destination.client_id(), because };
    let mut tx = visit.write_as(user.id).await?;
    let opened = open_in(&mut tx, visit, earlier.as_ref(), proof, proven).await;
    match tx.end(opened).await {
        Ok(opened) => Ok(Some(opened)),
        Err(DirectoryError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn open_in(
    tx: &mut Tx,
    visit: &Visit<'_>,
    earlier: Option<&Session>,
    proof: &Proof,
    proven: Proven<'_>,
) -> Result<Opened, DirectoryError> {
    if !passkey::used(tx, proof).await? {
        return Err(DirectoryError::NotFound("passkey"));
    }
    session::open(tx, visit, earlier, proven).await
}
