//! How a client says who it is (RFC 6749, section 2.3): HTTP Basic, its secret in the form, or its id alone
//! when it can keep no secret and proves itself by PKCE.

use actix_web::HttpRequest;
use actix_web::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::client::{self, Client};
use kernel::Secret;
use url::form_urlencoded;
use web::Params;

use crate::Idp;
use crate::error::IdpError;

/// Parameters of client authentication that may come once.
const ONCE: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];

/// What a client presented.
#[derive(Debug)]
struct Presented {
    id: String,
    secret: Option<Secret<String>>,
}

/// The client that sent a request. `known` is one that was read along with something else of the request: it is taken
/// if it is the one that was named, and else the named one is read.
///
/// # Errors
/// [`IdpError::InvalidClient`] for an unknown client, a wrong secret, and a confidential client without one;
/// [`IdpError::InvalidRequest`] for a client that authenticates twice.
pub(crate) async fn authenticate(
    idp: &Idp,
    request: &HttpRequest,
    form: &Params,
    known: Option<&Client>,
) -> Result<Client, IdpError> {
    let header = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let presented = presented(header, form)?;
    let client = match known.filter(|known| known.id == presented.id) {
        Some(known) => known.clone(),
        None => client::get(&idp.db, &presented.id).await?.ok_or(IdpError::InvalidClient)?,
    };
    let proven = match &presented.secret {
        Some(secret) => client.has_secret(secret.expose()),
        None => !client.is_confidential(),
    };
    if proven { Ok(client) } else { Err(IdpError::InvalidClient) }
}

/// The same for endpoints that public clients may not use: whoever knows a public client's id could.
pub(crate) async fn authenticate_confidential(
    idp: &Idp,
    request: &HttpRequest,
    form: &Params,
    known: Option<&Client>,
) -> Result<Client, IdpError> {
    let client = authenticate(idp, request, form, known).await?;
    if client.is_confidential() { Ok(client) } else { Err(IdpError::InvalidClient) }
}

fn presented(header: Option<&str>, form: &Params) -> Result<Presented, IdpError> {
    if let Some(repeated) = form.repeated(&ONCE) {
        return Err(repeated.into());
    }
    if form.has("client_assertion") || form.has("client_assertion_type") {
        return Err(IdpError::InvalidClient);
    }
    let (id, secret) = (form.one("client_id")?, form.one("client_secret")?);
    let Some(header) = header else {
        let id = id.ok_or(IdpError::InvalidClient)?.to_owned();
        return Ok(Presented { id, secret: secret.map(|secret| Secret::new(secret.to_owned())) });
    };
    if secret.is_some() {
        return Err(IdpError::invalid_request("the client authenticates twice: by header and in the form"));
    }
    let presented = basic(header).ok_or(IdpError::InvalidClient)?;
    if id.is_some_and(|id| id != presented.id) {
        return Err(IdpError::invalid_request("client_id differs from the one in the Authorization header"));
    }
    Ok(presented)
}

/// RFC 6749, section 2.3.1: id and secret are each form-encoded before they are joined.
fn basic(header: &str) -> Option<Presented> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (id, secret) = credentials.split_once(':')?;
    let (id, secret) = (decode(id), decode(secret));
    let sound = !id.is_empty() && !secret.is_empty() && !id.contains('\0');
    sound.then(|| Presented { id, secret: Some(Secret::new(secret)) })
}

fn decode(encoded: &str) -> String {
    // Clients that do not encode are understood as long as their texts have neither `+` nor `%`.
    let pair = format!("={}", encoded.replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[track_caller]
    fn check(header: Option<&str>, form: &str, expect: Result<(&str, Option<&str>), &str>) {
        let form = Params::parse(form.as_bytes()).unwrap();
        let presented = presented(header, &form);
        let got = match &presented {
            Ok(presented) => {
                Ok((presented.id.as_str(), presented.secret.as_ref().map(|s| s.expose().as_str())))
            }
            Err(IdpError::InvalidClient) => Err("invalid_client"),
            Err(IdpError::InvalidRequest(_)) => Err("invalid_request"),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(got, expect, "{header:?} {form:?}");
    }

    #[test]
    fn each_way_to_authenticate_is_understood() {
        check(Some(&header("app:s3cret")), "", Ok(("app", Some("s3cret"))));
        check(Some(&header("app:s3cret").replace("Basic", "bAsIc")), "", Ok(("app", Some("s3cret"))));
        check(Some(&header("app:s3cret")), "client_id=app", Ok(("app", Some("s3cret"))));
        check(Some(&header("my%20app:a%3Ab%2Bc+d")), "", Ok(("my app", Some("a:b+c d"))));
        check(Some(&header("app:a:b=c&d")), "", Ok(("app", Some("a:b=c&d"))));
        check(None, "client_id=app&client_secret=s3cret", Ok(("app", Some("s3cret"))));
        check(None, "client_id=app", Ok(("app", None)));
        check(None, "client_id=app&client_secret=", Ok(("app", None)));
    }

    #[test]
    fn half_or_doubled_authentication_is_refused() {
        let right = header("app:s3cret");
        check(None, "", Err("invalid_client"));
        check(None, "client_secret=s3cret", Err("invalid_client"));
        check(Some(&right), "client_secret=s3cret", Err("invalid_request"));
        check(Some(&right), "client_id=other", Err("invalid_request"));
        check(None, "client_id=app&client_id=app", Err("invalid_request"));
        check(None, "client_id=app&client_secret=a&client_secret=b", Err("invalid_request"));
        check(Some(&right), "client_assertion=x&client_assertion_type=y", Err("invalid_client"));
        for bad in
            ["", "Basic", "Basic ", "Basic !", "Bearer x", &header("app"), &header(":s"), &header("app:")]
        {
            check(Some(bad), "client_id=app", Err("invalid_client"));
        }
    }

    proptest! {
        #[test]
        fn what_a_client_encodes_we_decode(id in "[^\0]{1,20}", secret in ".{1,20}") {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let header = header(&format!("{}:{}", encode(&id), encode(&secret)));
            let presented = basic(&header).unwrap();
            prop_assert_eq!(presented.id, id);
            prop_assert!(presented.secret.is_some_and(|decoded| *decoded.expose() == secret));
        }

        #[test]
        fn no_header_makes_it_panic(header in "(Basic )?.{0,60}") {
            drop(basic(&header));
        }
    }
}
