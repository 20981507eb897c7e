//! The answer to a request that nothing stands against: a grant, and a code for it.

use actix_web::HttpResponse;
use directory::session::{Session, code, grant as grants};
use kernel::{Actor, Token};
use store::{StoreError, Tx};
use web::Passage;

use super::Asked;
use crate::error::IdpError;
use crate::pages::see_other;
use crate::{Idp, assurance, origin};

/// Answers from a session that is already there.
pub(crate) async fn answer(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    session: &Session,
) -> Result<HttpResponse, IdpError> {
    let mut tx = idp.db.write(origin(Actor::User(session.user_id), passage.id())).await?;
    let outcome = grant(&mut tx, asked, session).await;
    let code = tx.end(outcome).await?;
    Ok(asked.redirect_with(idp, &code))
}

/// Grants the client what it asked for in this session, and makes the code that carries it. The grant ends
/// with the session. If session or user end while this runs, the grant is born dead: whoever asks later asks
/// for all three.
pub(crate) async fn grant(tx: &mut Tx, asked: &Asked, session: &Session) -> Result<Token, StoreError> {
    let wishes = &asked.wishes;
    let acr = assurance::acr(&wishes.acr_values, session.assurance());
    let lasts = session.expires_at.since(tx.now());
    let grant = grants::create(tx, session, &asked.client.id, &wishes.scope, &acr, lasts).await?;
    code::issue(
        tx,
        grant,
        &asked.client.id,
        &asked.redirect_uri,
        wishes.nonce.as_deref(),
        &wishes.code_challenge,
    )
    .await
}

impl Asked {
    /// Takes the code to the application.
    pub(crate) fn redirect_with(&self, idp: &Idp, code: &Token) -> HttpResponse {
        see_other(&self.location(idp, &[("code", code.expose())]))
    }
}
