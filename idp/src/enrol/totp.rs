//! An app for one-time codes: it gets the seed, and shows by its first code that it has it.

use actix_web::HttpResponse;
use directory::DirectoryError;
use directory::authenticator::totp::{self, Seed};
use kernel::id::UserId;
use policy::Method;
use serde::{Deserialize, Serialize};
use store::Tx;
use web::Params;

use super::page::{self, Offer, Problem, TotpOffer};
use super::{Adding, done, problem_of};
use crate::error::IdpError;
use crate::sealed::{self, Purpose};
use crate::visit::Opened;
use crate::{judge, session};

/// Fetching a phone takes a while.
const SEED: Purpose = Purpose::new("totp-seed", 15);
/// Light modules that belong around a QR code (ISO/IEC 18004).
const QUIET: i32 = 4;

#[derive(Serialize, Deserialize)]
struct Offered {
    user: UserId,
    seed: Vec<u8>,
}

/// Offers a new seed.
pub(super) fn offer(adding: &Adding<'_>) -> Result<HttpResponse, IdpError> {
    let (idp, user) = (adding.visit.idp, adding.user.id);
    let seed = Seed::generate(idp.ctx());
    let offered = Offered { user, seed: seed.as_bytes().to_vec() };
    let sealed = sealed::seal(idp, &adding.visit.browser, SEED, offered)?;
    Ok(page::show(adding, handover(adding, &seed, sealed)?, None))
}

fn handover(adding: &Adding<'_>, seed: &Seed, sealed: String) -> Result<Offer, IdpError> {
    let issuer = adding.visit.idp.issuer.host();
    let handover = seed.handover(issuer, &adding.user.user_name);
    let handover = handover.ok_or(IdpError::failed("a seed does not fit into a QR code"))?;
    Ok(Offer::Totp(TotpOffer {
        seed: sealed,
        uri: handover.uri.expose().clone(),
        key: handover.key.expose().clone(),
        qr_path: handover.qr_path.expose().clone(),
        qr_side: handover.qr_size + 2 * QUIET,
    }))
}

/// Adds it, if the code is one that the app shows now.
pub(super) async fn add(adding: &Adding<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let (idp, visit) = (adding.visit.idp, adding.visit);
    let sealed = form.one("seed")?.unwrap_or_default();
    let kept = sealed::open::<Offered>(idp, &visit.browser, SEED, sealed);
    let Some(kept) = kept.filter(|kept| kept.value.user == adding.user.id) else { return offer(adding) };
    let Some(seed) = Seed::from_bytes(&kept.value.seed) else { return offer(adding) };
    let code = form.one("code")?.unwrap_or_default();
    let Some(step) = seed.step_of(code, idp.ctx().now(), None) else {
        let again = handover(adding, &seed, sealed.to_owned())?;
        return Ok(page::show(adding, again, Some(Problem::WrongCode)));
    };
    if !kept.use_once(idp).await? {
        return offer(adding);
    }
    let name = form.one("name")?.unwrap_or_default();
    let mut tx = visit.write_as(adding.user.id).await?;
    let added = add_in(&mut tx, adding, name, &seed, step).await;
    match tx.end(added).await {
        Ok(raised) => done(adding, raised).await,
        Err(error) => match problem_of(&error) {
            Some(problem) => {
                Ok(page::show(adding, handover(adding, &seed, sealed.to_owned())?, Some(problem)))
            }
            None => Err(error.into()),
        },
    }
}

async fn add_in(
    tx: &mut Tx,
    adding: &Adding<'_>,
    name: &str,
    seed: &Seed,
    step: i64,
) -> Result<Option<Opened>, DirectoryError> {
    totp::add(tx, &adding.visit.idp.sealing, adding.user.id, name, seed, step).await?;
    let (client, because) = (adding.destination.client_id(), judge::in_words(&adding.because));
    session::raise(tx, adding.visit, adding.session, Method::Totp, client, because).await
}
