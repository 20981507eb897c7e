//! The issuer: the one address that everything we say about ourselves is made from.
//!
//! What it is not: it is never read from a `Host`, `Forwarded` or `X-Forwarded-*` header. Who can send those
//! could otherwise write the links in our mails.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Where this deployment is found: `https://id.example.org`, or `http://localhost:8080` for trying out.
///
/// Always in its one canonical spelling, without a path: clients compare it as text (OpenID Connect
/// Discovery, section 4.3), cookies are `__Host-`, and passkeys are bound to the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    origin: String,
    host: String,
    port: u16,
    https: bool,
}

/// Why a text cannot be the issuer, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIssuer {
    /// Not a URL.
    #[error("the issuer {0:?} is not a URL; write it like `https://id.example.org`")]
    NotAUrl(String),
    /// Neither https nor http on localhost.
    #[error("the issuer {0:?} must begin with `https://`; plain http is for `http://localhost` only")]
    NotHttps(String),
    /// An address instead of a name.
    #[error(
        "the issuer {0:?} is an IP address, on which browsers refuse passkeys; give it a name \
         (on this machine: `http://localhost:PORT`)"
    )]
    Address(String),
    /// A user, path, query or fragment.
    #[error("the issuer {0:?} has more than scheme, name and port; write it as `{1}`")]
    TooMuch(String, String),
    /// Right, but not as clients will compare it.
    #[error("write the issuer {0:?} as `{1}`: clients compare it letter by letter")]
    NotCanonical(String, String),
}

impl Issuer {
    /// The issuer as it stands in `iss`, without a slash at the end. It is also the origin of every page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// A URL below it. `path` begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        debug_assert!(path.starts_with('/'), "{path}");
        format!("{}{path}", self.origin)
    }

    /// The name without scheme and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that browsers go to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether browsers reach it over TLS. Everything but `localhost` is.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }
}

impl FromStr for Issuer {
    type Err = BadIssuer;

    fn from_str(text: &str) -> Result<Self, BadIssuer> {
        let url = Url::parse(text).map_err(|_| BadIssuer::NotAUrl(text.into()))?;
        let https = match (url.scheme(), url.host()) {
            ("http" | "https", Some(Host::Ipv4(_) | Host::Ipv6(_))) => {
                return Err(BadIssuer::Address(text.into()));
            }
            ("https", Some(Host::Domain(_))) => true,
            ("http", Some(Host::Domain("localhost"))) => false,
            _ => return Err(BadIssuer::NotHttps(text.into())),
        };
        let origin = url.origin().ascii_serialization();
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !bare || url.fragment().is_some() || url.path() != "/" {
            return Err(BadIssuer::TooMuch(text.into(), origin));
        }
        if origin != text {
            return Err(BadIssuer::NotCanonical(text.into(), origin));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        Ok(Self { host: url.host_str().unwrap_or_default().to_owned(), origin, port, https })
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_or_localhost_in_its_canonical_spelling() {
        for text in [
            "https://id.example.org",
            "https://id.example.org:8443",
            "https://localhost",
            "http://localhost",
            "http://localhost:8080",
            "https://xn--mnchen-3ya.example",
        ] {
            let issuer: Issuer = text.parse().unwrap();
            assert_eq!(issuer.as_str(), text);
            assert_eq!(issuer.url("/jwks"), format!("{text}/jwks"));
        }
        let issuer: Issuer = "http://localhost:8080".parse().unwrap();
        assert_eq!((issuer.host(), issuer.is_https()), ("localhost", false));
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for (text, expect) in [
            ("", "is not a URL"),
            ("id.example.org", "is not a URL"),
            ("https://", "is not a URL"),
            ("ftp://id.example.org", "must begin with `https://`"),
            ("http://id.example.org", "must begin with `https://`"),
            ("http://localhost.example.org", "must begin with `https://`"),
            ("javascript:alert(1)", "must begin with `https://`"),
            ("https://192.0.2.1", "refuse passkeys"),
            ("http://127.0.0.1:8080", "refuse passkeys"),
            ("https://[::1]:8443", "refuse passkeys"),
            ("https://2130706433", "refuse passkeys"),
            ("https://id.example.org/auth", "write it as `https://id.example.org`"),
            ("https://id.example.org/?a=b", "write it as `https://id.example.org`"),
            ("https://id.example.org#top", "write it as `https://id.example.org`"),
            ("https://ada@id.example.org", "write it as `https://id.example.org`"),
            ("https://id.example.org/", "as `https://id.example.org`"),
            ("https://ID.example.org", "as `https://id.example.org`"),
            ("https://id.example.org:443", "as `https://id.example.org`"),
            ("http://localhost:80", "as `http://localhost`"),
            (" https://id.example.org", "as `https://id.example.org`"),
        ] {
            let error = text.parse::<Issuer>().unwrap_err().to_string();
            assert!(error.contains(expect), "{text:?}: {error}");
        }
    }
}
