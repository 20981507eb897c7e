//! Whether somebody who is signed in has what they say.
//!
//! Every attempt is counted before the secret is looked at. What was right is used up in the transaction in which the
//! session rises, so a code that two tabs send at once raises one.

use directory::DirectoryError;
use directory::authenticator::{passkey, recovery_code, totp};
use directory::session::Session;
use kernel::id::AuthenticatorId;
use policy::Method;
use store::Tx;
use web::Params;

use crate::arrive::Step;
use crate::ceremony::{self, Answered, Asking};
use crate::destination::Destination;
use crate::error::IdpError;
use crate::sign_in::attempts::{self, Attempt};
use crate::sign_in::{record_refusal, throttle};
use crate::steps::Way;
use crate::texts::Texts;
use crate::visit::{Opened, Visit};
use crate::{assurance, judge, session};

/// What a step came to.
pub(super) enum Outcome {
    Raised(Opened),
    Wrong(Problem),
    /// It ended meanwhile: sign in again.
    SessionGone,
}

/// Why a step did not succeed, as far as the person can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Code,
    RecoveryCode,
    Passkey,
    TooLate,
}

impl Problem {
    const fn of(way: Way) -> Self {
        match way {
            Way::Passkey => Self::Passkey,
            Way::Totp => Self::Code,
            Way::RecoveryCode => Self::RecoveryCode,
        }
    }

    pub(super) fn in_words(self, t: &'static Texts) -> &'static str {
        match self {
            Self::Code => &t.step_up.wrong_code,
            Self::RecoveryCode => &t.step_up.wrong_recovery_code,
            Self::Passkey => &t.passkey.unknown,
            Self::TooLate => &t.passkey.too_late,
        }
    }
}

/// Something that is right as far as can be told before the transaction.
enum Found {
    Totp(AuthenticatorId, i64),
    RecoveryCode(AuthenticatorId),
    Passkey(passkey::Proof),
}

/// Looks at what was entered, and raises the session if it is right.
pub(super) async fn verify(
    visit: &Visit<'_>,
    destination: &Destination,
    step: &Step,
    session: &Session,
    way: Way,
    form: &Params,
) -> Result<Outcome, IdpError> {
    let user = &step.user;
    let attempt = match attempts::begin_factor(visit.idp, user.id, way, visit.passage.client()).await? {
        Ok(attempt) => attempt,
        Err(throttled) => return Err(throttle(visit, destination, Some(user), throttled).await?),
    };
    let found = match find(visit, step, way, form).await? {
        Ok(found) => found,
        Err(Problem::TooLate) => {
            attempt.take_back(visit.idp).await?;
            return Ok(Outcome::Wrong(Problem::TooLate));
        }
        Err(_) => return fail(visit, destination, step, way).await,
    };
    let mut tx = visit.write_as(user.id).await?;
    let raised = raise(&mut tx, visit, destination, step, session, &found).await;
    match tx.end(raised).await {
        Ok(Some(opened)) => succeed(visit, attempt, opened).await,
        Ok(None) => Ok(Outcome::SessionGone),
        Err(DirectoryError::NotFound(_)) => fail(visit, destination, step, way).await,
        Err(error) => Err(error.into()),
    }
}

async fn succeed(visit: &Visit<'_>, attempt: Attempt, opened: Opened) -> Result<Outcome, IdpError> {
    attempt.succeeded(visit.idp).await?;
    Ok(Outcome::Raised(opened))
}

async fn fail(
    visit: &Visit<'_>,
    destination: &Destination,
    step: &Step,
    way: Way,
) -> Result<Outcome, IdpError> {
    attempts::remember_failure(visit.idp, &step.user.user_name).await?;
    record_refusal(visit, destination, Some(&step.user), "wrong-factor").await?;
    Ok(Outcome::Wrong(Problem::of(way)))
}

async fn find(
    visit: &Visit<'_>,
    step: &Step,
    way: Way,
    form: &Params,
) -> Result<Result<Found, Problem>, IdpError> {
    let (db, sealing, user) = (&visit.idp.db, &visit.idp.sealing, step.user.id);
    let code = form.one("code")?.unwrap_or_default();
    let found = match way {
        Way::Totp => totp::matching(db, sealing, user, code).await?.map(|(id, at)| Found::Totp(id, at)),
        Way::RecoveryCode => recovery_code::matching(db, sealing, user, code).await?.map(Found::RecoveryCode),
        Way::Passkey => {
            let answer = form.one("passkey")?.unwrap_or_default();
            match ceremony::verify(visit, Asking::User(user), form, answer).await? {
                Answered::Proven(proof) => Some(Found::Passkey(proof)),
                Answered::TooLate => return Ok(Err(Problem::TooLate)),
                Answered::Wrong => None,
            }
        }
    };
    Ok(found.ok_or(Problem::of(way)))
}

/// [`DirectoryError::NotFound`] when it was used up or taken away meanwhile.
async fn raise(
    tx: &mut Tx,
    visit: &Visit<'_>,
    destination: &Destination,
    step: &Step,
    session: &Session,
    found: &Found,
) -> Result<Option<Opened>, DirectoryError> {
    let user = step.user.id;
    let (used, method) = match found {
        Found::Totp(id, at) => (totp::use_up(tx, user, *id, *at).await?, Method::Totp),
        Found::RecoveryCode(id) => (recovery_code::use_up(tx, user, *id).await?, Method::RecoveryCode),
        Found::Passkey(proof) => {
            (passkey::used(tx, proof).await?, assurance::passkey(proof.device_bound, proof.user_verified))
        }
    };
    if !used {
        return Err(DirectoryError::NotFound("authenticator"));
    }
    let because = judge::in_words(&step.because);
    session::raise(tx, visit, session, method, destination.client_id(), because).await
}
