//! The way to the provider: discovery, the authorization request, the code, the tokens.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGrantType, CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType, CoreTokenResponse,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalProviderMetadata, AuthenticationFlow, AuthorizationCode,
    ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IssuerUrl, JsonWebKeySet, Nonce, NonceVerifier,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, ProviderMetadata, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse,
    TokenResponse as _,
};
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::back_channel::{self, Expected, LogoutToken, Unbelieved};
use super::{Registration, RelyingPartyError, Session};
use crate::Now;

/// More than any answer of a provider, in bytes.
const BODY: usize = 1024 * 1024;

/// What RFC 8414 and RFC 9207 add to OpenID Connect Discovery.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Additional {
    introspection_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Additional {}

type Metadata = ProviderMetadata<
    Additional,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type CoreErrorResponse = StandardErrorResponse<CoreErrorResponseType>;

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider whose metadata has been read.
pub(super) struct Provider {
    http: reqwest::Client,
    now: Now,
    registration: Registration,
    metadata: Metadata,
    client: Client,
}

/// A sign-in that has been begun: what must fit when the browser comes back.
pub(super) struct Begun {
    pub(super) state: String,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

impl Provider {
    pub(super) async fn discover(
        registration: Registration,
        redirect_uri: String,
        now: Now,
    ) -> Result<Self, RelyingPartyError> {
        let discovery = |error: &dyn std::error::Error| RelyingPartyError::Discovery(chain(error));
        let http = crate::client();
        let issuer = IssuerUrl::new(registration.issuer.clone()).map_err(|error| discovery(&error))?;
        let redirect = RedirectUrl::new(redirect_uri).map_err(|error| discovery(&error))?;
        let call = caller(&http);
        let metadata = Metadata::discover_async(issuer, &call).await.map_err(|error| discovery(&error))?;
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            ClientId::new(registration.client_id.clone()),
            registration.client_secret.clone().map(ClientSecret::new),
        )
        .set_redirect_uri(redirect);
        drop(call);
        Ok(Self { http, now, registration, metadata, client })
    }

    /// The address that a browser is sent to.
    pub(super) fn begin(&self, parameters: &[(&str, String)]) -> (Url, Begun) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut request = self.client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        for scope in &self.registration.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        for (name, value) in parameters {
            request = request.add_extra_param((*name).to_owned(), value.clone());
        }
        let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
        (url, Begun { state: state.into_secret(), nonce, verifier })
    }

    /// The `iss` of an authorization response: must be the issuer, and be there if it was announced (RFC 9207).
    pub(super) fn is_from_here(&self, iss: Option<&str>) -> bool {
        let announced = self.metadata.additional_metadata().authorization_response_iss_parameter_supported;
        iss.map_or(!announced, |iss| iss == self.registration.issuer)
    }

    /// Exchanges the code, verifies the ID token and asks userinfo.
    pub(super) async fn finish(&self, code: String, begun: Begun) -> Result<Session, RelyingPartyError> {
        let tokens = self.exchange(code, begun.verifier).await?;
        let id_token = tokens
            .id_token()
            .ok_or_else(|| RelyingPartyError::IdToken("there is none in the token response".into()))?;
        self.verify(id_token, tokens.access_token(), || &begun.nonce).await?;
        let id_token = id_token.to_string();
        let claims = payload(&id_token)?;
        let access_token = tokens.access_token().secret().clone();
        let userinfo = self.userinfo(&access_token).await?;
        if userinfo["sub"] != claims["sub"] {
            // OpenID Connect Core, section 5.3.2.
            return Err(malformed("userinfo", "about somebody else than the ID token"));
        }
        let refresh_token = tokens.refresh_token().map(|token| token.secret().clone());
        Ok(Session { claims, userinfo, access_token, id_token, refresh_token })
    }

    async fn exchange(
        &self,
        code: String,
        verifier: PkceCodeVerifier,
    ) -> Result<CoreTokenResponse, RelyingPartyError> {
        let request = self.client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|_| RelyingPartyError::NoEndpoint("token endpoint"))?;
        let call = caller(&self.http);
        let response = request.set_pkce_verifier(verifier).request_async(&call).await;
        response.map_err(|error| refusal("token", error))
    }

    /// Trades the refresh token for new tokens. An ID token among them must be about the same sign-in
    /// (OpenID Connect Core, section 12.2).
    pub(super) async fn refresh(&self, session: &Session) -> Result<Session, RelyingPartyError> {
        let step = "refresh";
        let held =
            session.refresh_token.clone().ok_or_else(|| malformed(step, "there is no refresh token"))?;
        let held = RefreshToken::new(held);
        let request = self.client.exchange_refresh_token(&held);
        let request = request.map_err(|_| RelyingPartyError::NoEndpoint("token endpoint"))?;
        let call = caller(&self.http);
        let tokens: CoreTokenResponse =
            request.request_async(&call).await.map_err(|error| refusal(step, error))?;
        let mut fresh = session.clone();
        if let Some(id_token) = tokens.id_token() {
            let first = session.claims["nonce"].as_str();
            let same = |nonce: Option<&Nonce>| {
                let same = nonce.is_none_or(|nonce| Some(nonce.secret().as_str()) == first);
                if same { Ok(()) } else { Err("nonce mismatch".to_owned()) }
            };
            self.verify(id_token, tokens.access_token(), || same).await?;
            fresh.id_token = id_token.to_string();
            fresh.claims = same_sign_in(&session.claims, payload(&fresh.id_token)?)?;
        }
        fresh.access_token.clone_from(tokens.access_token().secret());
        if let Some(next) = tokens.refresh_token() {
            fresh.refresh_token = Some(next.secret().clone());
        }
        Ok(fresh)
    }

    /// Verifies by the keys read at discovery; after a rotation, by those of now.
    async fn verify<N: NonceVerifier>(
        &self,
        token: &CoreIdToken,
        access: &AccessToken,
        nonce: impl Fn() -> N,
    ) -> Result<(), RelyingPartyError> {
        let unknown =
            ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey);
        let verifier = self.verifier(self.metadata.jwks().clone());
        if token.claims(&verifier, nonce()).err() != Some(unknown) {
            return check(token, &verifier, access, nonce());
        }
        check(token, &self.verifier(self.keys_of_now().await?), access, nonce())
    }

    async fn keys_of_now(&self) -> Result<CoreJsonWebKeySet, RelyingPartyError> {
        let call = caller(&self.http);
        let keys = JsonWebKeySet::fetch_async(self.metadata.jwks_uri(), &call).await;
        keys.map_err(|error| RelyingPartyError::Discovery(chain(&error)))
    }

    /// A logout token, believed; by the keys read at discovery, and after a rotation by those of now.
    pub(super) async fn verify_logout(&self, token: &str) -> Result<LogoutToken, RelyingPartyError> {
        let announced = self.metadata.id_token_signing_alg_values_supported().iter().cloned();
        let algorithms: Vec<_> = announced.filter(is_public_key).collect();
        let expected = Expected {
            issuer: &self.registration.issuer,
            client_id: &self.registration.client_id,
            now: (self.now)().as_second(),
            algorithms: &algorithms,
        };
        let unbelieved = |error: Unbelieved| malformed("logout token", error.to_string());
        match back_channel::verify(token, self.metadata.jwks(), &expected) {
            Err(Unbelieved::Key(_)) => {
                let keys = self.keys_of_now().await?;
                back_channel::verify(token, &keys, &expected).map_err(unbelieved)
            }
            known => known.map_err(unbelieved),
        }
    }

    fn verifier(&self, keys: CoreJsonWebKeySet) -> CoreIdTokenVerifier<'static> {
        let client = ClientId::new(self.registration.client_id.clone());
        let announced = self.metadata.id_token_signing_alg_values_supported().iter().cloned();
        let now = Arc::clone(&self.now);
        CoreIdTokenVerifier::new_public_client(client, self.metadata.issuer().clone(), keys)
            .set_allowed_algs(announced.filter(is_public_key))
            .set_time_fn(move || {
                chrono::DateTime::from_timestamp_millis(now().as_millisecond()).unwrap_or_default()
            })
    }

    pub(super) async fn userinfo(&self, access_token: &str) -> Result<Value, RelyingPartyError> {
        let endpoint = self.metadata.userinfo_endpoint();
        let endpoint = endpoint.ok_or(RelyingPartyError::NoEndpoint("userinfo endpoint"))?;
        let request = self.http.get(endpoint.url().clone()).bearer_auth(access_token);
        let claims = json("userinfo", answer("userinfo", request).await?)?;
        if claims["sub"].is_string() { Ok(claims) } else { Err(malformed("userinfo", "no sub")) }
    }

    pub(super) async fn introspect(&self, token: &str) -> Result<Value, RelyingPartyError> {
        let endpoint = &self.metadata.additional_metadata().introspection_endpoint;
        let endpoint = endpoint.as_ref().ok_or(RelyingPartyError::NoEndpoint("introspection endpoint"))?;
        let said = json("introspection", answer("introspection", self.about(endpoint, token)).await?)?;
        if said["active"].is_boolean() { Ok(said) } else { Err(malformed("introspection", "no active")) }
    }

    pub(super) async fn revoke(&self, token: &str) -> Result<(), RelyingPartyError> {
        let endpoint = &self.metadata.additional_metadata().revocation_endpoint;
        let endpoint = endpoint.as_ref().ok_or(RelyingPartyError::NoEndpoint("revocation endpoint"))?;
        answer("revocation", self.about(endpoint, token)).await.map(|_| ())
    }

    /// A question about a token, with client authentication (RFC 6749, section 2.3.1).
    fn about(&self, endpoint: &Url, token: &str) -> reqwest::RequestBuilder {
        let request = self.http.post(endpoint.clone());
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let id = &self.registration.client_id;
        match &self.registration.client_secret {
            Some(secret) => request.basic_auth(encode(id), Some(encode(secret))).form(&[("token", token)]),
            None => request.form(&[("token", token), ("client_id", id.as_str())]),
        }
    }
}

/// A symmetric signature would make the client secret a signing key.
fn is_public_key(algorithm: &CoreJwsSigningAlgorithm) -> bool {
    use CoreJwsSigningAlgorithm::{HmacSha256, HmacSha384, HmacSha512, None};
    !matches!(algorithm, HmacSha256 | HmacSha384 | HmacSha512 | None)
}

fn check(
    token: &CoreIdToken,
    verifier: &CoreIdTokenVerifier<'_>,
    access: &AccessToken,
    nonce: impl NonceVerifier,
) -> Result<(), RelyingPartyError> {
    let bad = |error: &dyn std::error::Error| RelyingPartyError::IdToken(chain(error));
    let claims = token.claims(verifier, nonce).map_err(|error| bad(&error))?;
    let Some(stated) = claims.access_token_hash() else { return Ok(()) };
    let algorithm = token.signing_alg().map_err(|error| bad(&error))?;
    let key = token.signing_key(verifier).map_err(|error| bad(&error))?;
    let computed = AccessTokenHash::from_token(access, algorithm, key).map_err(|error| bad(&error))?;
    if computed == *stated {
        Ok(())
    } else {
        Err(RelyingPartyError::IdToken("at_hash is that of another access token".into()))
    }
}

/// What the token endpoint said instead of tokens.
fn refusal(step: &'static str, error: RequestTokenError<io::Error, CoreErrorResponse>) -> RelyingPartyError {
    match error {
        RequestTokenError::ServerResponse(said) => RelyingPartyError::Refused {
            step,
            status: 400,
            error: said.error().to_string(),
            description: said.error_description().cloned().unwrap_or_default(),
        },
        RequestTokenError::Request(source) => RelyingPartyError::Network { step, source: Box::new(source) },
        error => malformed(step, chain(&error)),
    }
}

/// The claims of a later ID token, if they are about the same sign-in as the first.
fn same_sign_in(first: &Value, later: Value) -> Result<Value, RelyingPartyError> {
    match ["iss", "sub", "aud", "auth_time"].into_iter().find(|claim| first[claim] != later[claim]) {
        Some(claim) => Err(RelyingPartyError::IdToken(format!("{claim} is not that of the first"))),
        None => Ok(later),
    }
}

/// All claims of a verified token, also those that the crate has no names for.
fn payload(token: &str) -> Result<Value, RelyingPartyError> {
    let part = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    claims.ok_or_else(|| RelyingPartyError::IdToken("its payload is not JSON".into()))
}

/// The crate's idea of an HTTP client over ours.
fn caller(http: &reqwest::Client) -> impl Fn(HttpRequest) -> BoxedResponse {
    let http = http.clone();
    move |request| {
        let http = http.clone();
        Box::pin(async move { call(&http, request).await })
    }
}

type BoxedResponse = std::pin::Pin<Box<dyn Future<Output = io::Result<HttpResponse>> + Send>>;

async fn call(http: &reqwest::Client, request: HttpRequest) -> io::Result<HttpResponse> {
    let request = request.try_into().map_err(io::Error::other)?;
    let mut response = http.execute(request).await.map_err(io::Error::other)?;
    let mut answer = openidconnect::http::Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let body = body(&mut response).await?;
    answer.body(body).map_err(io::Error::other)
}

async fn body(response: &mut reqwest::Response) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(io::Error::other)? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY {
            return Err(io::Error::other("an answer of more than 1 MiB"));
        }
    }
    Ok(body)
}

/// The body of a 200; any other status is a refusal.
async fn answer(step: &'static str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, RelyingPartyError> {
    let network = |source| RelyingPartyError::Network { step, source };
    let mut response = request.send().await.map_err(|error| network(error.into()))?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = body(&mut response).await.map_err(|error| network(error.into()))?;
    if status == 200 {
        return Ok(body);
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let part = |name| said[name].as_str().map(str::to_owned).or_else(|| challenge(&headers, name));
    let error = part("error").unwrap_or_default();
    Err(RelyingPartyError::Refused {
        step,
        status,
        error,
        description: part("error_description").unwrap_or_default(),
    })
}

/// A parameter of a `Bearer` challenge (RFC 6750, section 3).
fn challenge(headers: &HeaderMap, name: &str) -> Option<String> {
    let challenge = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let parameters = challenge.strip_prefix("Bearer ")?;
    let start = format!("{name}=\"");
    let values = parameters.match_indices(&start).filter(|(at, _)| {
        let before = parameters[..*at].trim_end();
        before.is_empty() || before.ends_with(',')
    });
    let value = values.into_iter().next().map(|(at, start)| &parameters[at + start.len()..])?;
    value.split('"').next().map(str::to_owned)
}

fn json(step: &'static str, body: Vec<u8>) -> Result<Value, RelyingPartyError> {
    serde_json::from_slice(&body).map_err(|error| malformed(step, error.to_string()))
}

fn malformed(step: &'static str, reason: impl Into<String>) -> RelyingPartyError {
    RelyingPartyError::Malformed { step, reason: reason.into() }
}

/// An error with its causes: the crate's outermost message says little.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_why() {
        let check = |header: &'static str, name: &str, expect: Option<&str>| {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, header.parse().unwrap())]);
            assert_eq!(challenge(&headers, name).as_deref(), expect, "{name} in {header}");
        };
        let full = r#"Bearer realm="x", error="invalid_token", error_description="it has ended""#;
        check(full, "error", Some("invalid_token"));
        check(full, "error_description", Some("it has ended"));
        check(full, "scope", None);
        check(r#"Bearer error_description="a",error="b""#, "error", Some("b"));
        check("Bearer", "error", None);
        check("Basic realm=\"x\"", "realm", None);
    }
}
