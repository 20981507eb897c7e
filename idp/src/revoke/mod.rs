//! A client gives a token back (RFC 7009): its grant ends, and with it every token of the same code.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use directory::client::Client;
use directory::session::{grant, refresh};
use kernel::Actor;
use kernel::id::UserId;
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::bearer::AccessClaims;
use crate::error::{IdpError, answer_as_oauth};
use crate::token::{ServiceClaims, service_claims};
use crate::{Idp, bearer, client_auth, origin};

/// The revocation endpoint.
pub(crate) const PATH: &str = "/revoke";

const ANOTHERS: IdpError = IdpError::InvalidGrant("the token was issued to another client");

/// `POST /revoke`.
pub(crate) async fn post(
    idp: Data<Idp>,
    passage: Passage,
    request: HttpRequest,
    form: Result<Form, BodyError>,
) -> HttpResponse {
    let answer = match form {
        Ok(Form(form)) => revoke(&idp, &passage, &request, &form).await,
        Err(error) => Err(error.into()),
    };
    answer_as_oauth(answer)
}

async fn revoke(
    idp: &Idp,
    passage: &Passage,
    request: &HttpRequest,
    form: &Params,
) -> Result<HttpResponse, IdpError> {
    let presented = form.one("token");
    let owner = match presented {
        Ok(Some(token)) => owner(idp, token).await?,
        _ => Owner::Nobody,
    };
    let client = client_auth::authenticate(idp, request, form, owner.client()).await?;
    presented?.ok_or(IdpError::invalid_request("token is missing"))?;
    let (grant, user, client_id) = match owner {
        Owner::OfAccess(claims) => (claims.gid, claims.sub.parse().ok(), claims.client_id),
        Owner::OfRefresh(owner) => (owner.grant_id, Some(owner.user_id), owner.client.id),
        Owner::OfService(claims) if claims.client_id != client.id => return Err(ANOTHERS),
        Owner::OfService(claims) if claims.is_of(&client) => return Err(IdpError::UnsupportedTokenType),
        // What is no token, or none any more, is as good as revoked (RFC 7009, section 2.2).
        Owner::OfService(_) | Owner::Nobody => return Ok(HttpResponse::Ok().finish()),
    };
    if client_id != client.id {
        return Err(ANOTHERS);
    }
    let user: UserId = user.ok_or(IdpError::invalid_request("the token names no user"))?;
    let origin = origin(Actor::Client(client.id), passage.id());
    grant::revoke(&idp.db, origin, grant, (user, &client_id), "revoked-by-client").await?;
    Ok(HttpResponse::Ok().finish())
}

/// To whom a token belongs.
enum Owner {
    OfAccess(AccessClaims),
    OfRefresh(refresh::Owner),
    OfService(ServiceClaims),
    Nobody,
}

impl Owner {
    /// The client, where it was read along.
    fn client(&self) -> Option<&Client> {
        if let Owner::OfRefresh(owner) = self { Some(&owner.client) } else { None }
    }
}

/// A token says itself which it is, so `token_type_hint` is not needed.
async fn owner(idp: &Idp, token: &str) -> Result<Owner, IdpError> {
    if let Some(claims) = bearer::claims(idp, token) {
        return Ok(Owner::OfAccess(claims));
    }
    if let Some(claims) = service_claims(idp, token) {
        return Ok(Owner::OfService(claims));
    }
    Ok(refresh::owner(&idp.db, token).await?.map_or(Owner::Nobody, Owner::OfRefresh))
}
