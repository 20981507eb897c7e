//! The answer to a request that nothing stands against: a grant, and a code for it.

use actix_web::HttpResponse;
use directory::consent;
use directory::session::grant::{self as grants, GrantRequest};
use directory::session::{Session, code};
use kernel::Token;
use policy::Network;
use store::{StoreError, Tx};

use super::Asked;
use crate::assurance;
use crate::error::IdpError;
use crate::pages::see_other;
use crate::visit::Visit;

/// Grants what was asked for in this session, and takes the code to the application. `None` when the consent that it
/// would rest on is not there (any more).
pub(crate) async fn answer(
    visit: &Visit<'_>,
    asked: &Asked,
    session: &Session,
    network: Network,
) -> Result<Option<HttpResponse>, IdpError> {
    let mut tx = visit.write_as(session.user_id).await?;
    let outcome = grant(&mut tx, asked, session, network).await;
    let code = tx.end(outcome).await?;
    Ok(code.map(|code| see_other(&asked.location(visit.idp, &[("code", code.expose())]))))
}

/// Grants the client what it asked for in this session, and makes the code that carries it. The grant ends
/// with the session. If session or user end while this runs, the grant is born dead: whoever asks later asks
/// for all three.
async fn grant(
    tx: &mut Tx,
    asked: &Asked,
    session: &Session,
    network: Network,
) -> Result<Option<Token>, StoreError> {
    let wishes = &asked.wishes;
    let client = &asked.client.id;
    if asked.client.third_party && !consent::hold(tx, session.user_id, client, &wishes.scope).await? {
        return Ok(None);
    }
    let wanted = GrantRequest {
        client,
        scope: &wishes.scope,
        acr: &assurance::acr(&wishes.acr_values, session.assurance()),
        network: network.as_str(),
        lasts: session.expires_at.since(tx.now()),
    };
    let grant = grants::create(tx, session, &wanted).await?;
    let (nonce, challenge) = (wishes.nonce.as_deref(), wishes.code_challenge.as_deref());
    code::issue(tx, grant, client, &asked.redirect_uri, nonce, challenge).await.map(Some)
}
