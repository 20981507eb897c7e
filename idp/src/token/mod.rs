//! A client exchanges its code for tokens (RFC 6749, section 4.1.3; OpenID Connect Core, section 3.1.3), and its
//! refresh token for newer ones (sections 6 and 12); a service asks for one of its own (RFC 6749, section 4.4).
//!
//! Each exchange is one transaction; hashing and policy come before it, signing after it. A call to the database costs
//! more than all else but a signature, so no grant type makes more than two: what is presented is read together with
//! all that it rests on, the client among it, and used up by one statement. A test counts them.
//!
//! To add a grant type: a file here, and an arm in [`grant`].

mod exchange;
mod issue;
mod refresh;
mod service;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use directory::client::Client;
use directory::session;
use directory::session::code::Code;
use directory::session::grant::Basis;
use directory::session::refresh::Refresh;
use policy::{Decision, Network};
use serde::Serialize;
use web::body::{BodyError, Form};
use web::{Params, Passage};

use crate::error::{IdpError, answer_as_oauth};
use crate::{Idp, client_auth, judge};
use exchange::{Exchange, Exchanged, TokenRequest};
pub(crate) use issue::{ID_TOKEN, alg_of};
use issue::{Issue, Tokens};
use refresh::{RefreshRequest, Refreshed, Refreshing};
pub(crate) use service::{Noted, ServiceClaims, service_claims};

/// The token endpoint.
pub(crate) const PATH: &str = "/token";

/// The grant types that it takes.
pub(crate) const GRANT_TYPES: [&str; 3] = ["authorization_code", "refresh_token", "client_credentials"];

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
    let found = Found::of(idp, form).await?;
    let client = client_auth::authenticate(idp, request, form, found.client()).await?;
    match form.one("grant_type")? {
        Some("authorization_code") => by_code(idp, passage, &client, form, found).await.map(answer),
        Some("refresh_token") => by_refresh_token(idp, passage, &client, form, found).await.map(answer),
        Some("client_credentials") => service::token(idp, passage, &client, form).await.map(answer),
        Some(_) => Err(IdpError::UnsupportedGrantType),
        None => Err(IdpError::invalid_request("grant_type is missing")),
    }
}

fn answer(tokens: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::PRAGMA, "no-cache")).json(tokens)
}

/// What a client presents, read with all that it rests on before anything is looked at: the client itself is part of
/// it.
enum Found {
    Code(Code),
    Refresh(Refresh),
    /// Nothing is presented, or what is not there.
    Nothing,
}

impl Found {
    /// What is wrong with the form is told later, to a client that has authenticated.
    async fn of(idp: &Idp, form: &Params) -> Result<Self, IdpError> {
        let presented = |name| form.one(name).ok().flatten();
        Ok(match (presented("grant_type"), presented("code"), presented("refresh_token")) {
            (Some("authorization_code"), Some(presented), _) => {
                session::code::find(&idp.db, presented).await?.map_or(Found::Nothing, Found::Code)
            }
            (Some("refresh_token"), _, Some(presented)) => {
                session::refresh::find(&idp.db, presented).await?.map_or(Found::Nothing, Found::Refresh)
            }
            _ => Found::Nothing,
        })
    }

    /// The client that it was given to.
    fn client(&self) -> Option<&Client> {
        match self {
            Found::Code(code) => Some(&code.basis.granted.client),
            Found::Refresh(refresh) => Some(&refresh.basis.granted.client),
            Found::Nothing => None,
        }
    }

    fn code(self) -> Option<Code> {
        if let Found::Code(code) = self { Some(code) } else { None }
    }

    fn refresh(self) -> Option<Refresh> {
        if let Found::Refresh(refresh) = self { Some(refresh) } else { None }
    }
}

async fn by_code(
    idp: &Idp,
    passage: &Passage,
    client: &Client,
    form: &Params,
    found: Found,
) -> Result<Tokens, IdpError> {
    let token_request = TokenRequest::read(form, client.requires_pkce())?;
    // Before the code is used up: a code must not be spent on an answer that cannot be given.
    issue::be_ready(idp, client).await?;
    let jti = issue::jti(idp);
    let exchange = Exchange { idp, client, request: &token_request, id: passage.id() };
    let Exchanged { grant, nonce, refresh } = exchange.run(found.code(), &jti).await?;
    issue::tokens(idp, Issue { client, grant: &grant, jti, nonce, refresh }).await
}

async fn by_refresh_token(
    idp: &Idp,
    passage: &Passage,
    client: &Client,
    form: &Params,
    found: Found,
) -> Result<Tokens, IdpError> {
    if !client.may_refresh() {
        return Err(IdpError::UnauthorizedClient(
            "this client is given no refresh tokens; its administrator may declare refresh_tokens = true",
        ));
    }
    let request = RefreshRequest::read(form)?;
    issue::be_ready(idp, client).await?;
    let jti = issue::jti(idp);
    let refreshing = Refreshing { idp, client, request: &request, id: passage.id() };
    let Refreshed { grant, next } = refreshing.run(found.refresh(), &jti).await?;
    // Without nonce: it belonged to the first answer (OpenID Connect Core, section 12.2).
    let issue = Issue { client, grant: &grant, jti, nonce: None, refresh: Some(next) };
    issue::tokens(idp, issue).await
}

/// What policy says about this person now, from where the person signed in, with what was proven then.
fn decide(idp: &Idp, client: &Client, basis: &Basis) -> Decision {
    let grant = &basis.granted.grant;
    let network = match grant.network.as_str() {
        "internal" => Network::Internal,
        _ => Network::Remote,
    };
    judge::judge(idp, basis.principal(), client, grant.assurance(), network)
}
