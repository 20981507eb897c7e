//! A client exchanges its code for tokens (RFC 6749, section 4.1.3; OpenID Connect Core, section 3.1.3), and its
//! refresh token for newer ones (sections 6 and 12).
//!
//! Each exchange is one transaction; hashing and policy come before it, signing after it.
//!
//! To add a grant type: a file here, and an arm in [`grant`].

mod exchange;
mod issue;
mod refresh;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use directory::client::Client;
use directory::session::grant::LiveGrant;
use directory::user;
use policy::{Decision, Network};
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, client_auth, judge};
use exchange::{Exchange, Exchanged, TokenRequest};
pub(crate) use issue::{ID_TOKEN, alg_of};
use issue::{Issue, Tokens};
use refresh::{RefreshRequest, Refreshed, Refreshing};

/// The token endpoint.
pub(crate) const PATH: &str = "/token";

/// The grant types that it takes.
pub(crate) const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];

/// The claims of an ID token, `sub` among them.
pub(crate) const CLAIMS: [&str; 11] =
    ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"];

/// `POST /token`.
pub(crate) async fn post(
    idp: Data<Idp>,
    passage: Passage,
    request: HttpRequest,
    form: Result<Form, BodyError>,
) -> HttpResponse {
    let answer = match form {
        Ok(Form(form)) => grant(&idp, &passage, &request, &form).await,
        Err(error) => Err(error.into()),
    };
    answer_as_oauth(answer)
}

async fn grant(
    idp: &Idp,
    passage: &Passage,
    request: &HttpRequest,
    form: &Params,
) -> Result<HttpResponse, IdpError> {
    let client = client_auth::authenticate(idp, request, form).await?;
    let tokens = match form.one("grant_type")? {
        Some("authorization_code") => by_code(idp, passage, &client, form).await?,
        Some("refresh_token") => by_refresh_token(idp, passage, &client, form).await?,
        Some(_) => return Err(IdpError::UnsupportedGrantType),
        None => return Err(IdpError::invalid_request("grant_type is missing")),
    };
    Ok(HttpResponse::Ok().insert_header((header::PRAGMA, "no-cache")).json(tokens))
}

async fn by_code(idp: &Idp, passage: &Passage, client: &Client, form: &Params) -> Result<Tokens, IdpError> {
    let token_request = TokenRequest::read(form, client.requires_pkce())?;
    // Before the code is used up: a code must not be spent on an answer that cannot be given.
    issue::be_ready(idp, client).await?;
    let jti = issue::jti(idp);
    let exchange = Exchange { idp, client, request: &token_request, id: passage.id() };
    let Exchanged { grant, nonce, refresh } = exchange.run(&jti).await?;
    issue::tokens(idp, Issue { client, grant: &grant, jti, nonce, refresh }).await
}

async fn by_refresh_token(
    idp: &Idp,
    passage: &Passage,
    client: &Client,
    form: &Params,
) -> Result<Tokens, IdpError> {
    if !client.may_refresh() {
        return Err(IdpError::UnauthorizedClient);
    }
    let request = RefreshRequest::read(form)?;
    issue::be_ready(idp, client).await?;
    let jti = issue::jti(idp);
    let refreshing = Refreshing { idp, client, request: &request, id: passage.id() };
    let Refreshed { grant, next } = refreshing.run(&jti).await?;
    // Without nonce: it belonged to the first answer (OpenID Connect Core, section 12.2).
    let issue = Issue { client, grant: &grant, jti, nonce: None, refresh: Some(next) };
    issue::tokens(idp, issue).await
}

/// What policy says about this person now, from where the person signed in, with what was proven then.
async fn decide(idp: &Idp, client: &Client, grant: &LiveGrant) -> Result<Decision, IdpError> {
    let user = user::get(&idp.db, grant.user_id).await?;
    let user = user.ok_or(IdpError::InvalidGrant("the sign-in has ended"))?;
    let network = match grant.network.as_str() {
        "internal" => Network::Internal,
        _ => Network::Remote,
    };
    let principal = user::principal(&idp.db, &user).await?;
    Ok(judge::judge(idp, principal, client, grant.assurance(), network))
}
