//! The answer to a request that nothing stands against: a grant, and a code for it.

use actix_web::HttpResponse;
use directory::session::grant::{self as grants, GrantRequest};
use directory::session::{Session, code};
use kernel::{Actor, Token};
use policy::Network;
use store::{StoreError, Tx};
use web::Passage;

use super::Asked;
use crate::error::IdpError;
use crate::pages::see_other;
use crate::{Idp, assurance, judge, origin};

/// Answers from a session that is already there.
pub(crate) async fn answer(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    session: &Session,
) -> Result<HttpResponse, IdpError> {
    let mut tx = idp.db.write(origin(Actor::User(session.user_id), passage.id())).await?;
    let outcome = grant(&mut tx, asked, session, judge::network(idp, passage.client())).await;
    let code = tx.end(outcome).await?;
    Ok(asked.redirect_with(idp, &code))
}

/// Grants the client what it asked for in this session, and makes the code that carries it. The grant ends
/// with the session. If session or user end while this runs, the grant is born dead: whoever asks later asks
/// for all three.
pub(crate) async fn grant(
    tx: &mut Tx,
    asked: &Asked,
    session: &Session,
    network: Network,
) -> Result<Token, StoreError> {
    let wishes = &asked.wishes;
    let client = &asked.client.id;
    let wanted = GrantRequest {
        client,
        scope: &wishes.scope,
        acr: &assurance::acr(&wishes.acr_values, session.assurance()),
        network: network.as_str(),
        lasts: session.expires_at.since(tx.now()),
    };
    let grant = grants::create(tx, session, &wanted).await?;
    let (nonce, challenge) = (wishes.nonce.as_deref(), wishes.code_challenge.as_deref());
    code::issue(tx, grant, client, &asked.redirect_uri, nonce, challenge).await
}

impl Asked {
    /// Takes the code to the application.
    pub(crate) fn redirect_with(&self, idp: &Idp, code: &Token) -> HttpResponse {
        see_other(&self.location(idp, &[("code", code.expose())]))
    }
}
