//! Where a request may be sent: read from a text that somebody else wrote.

use std::net::IpAddr;

use hyper::Uri;
use url::{Host, Url};

use super::OutboundError;

/// A checked address. Names are not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: Name,
    pub(super) port: u16,
    pub(super) https: bool,
    /// As the `Host` header says it.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: Uri,
}

/// A host as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Address(IpAddr),
    Domain(String),
}

impl Target {
    /// `at_home`: this deployment is one for trying out on a single machine, so http to it is allowed.
    pub(super) fn parse(text: &str, at_home: bool) -> Result<Self, OutboundError> {
        let wrong = |reason| OutboundError::BadUrl { url: text.to_owned(), reason };
        let url = Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
        let host = match url.host() {
            Some(Host::Ipv4(address)) => Name::Address(address.into()),
            Some(Host::Ipv6(address)) => Name::Address(address.into()),
            Some(Host::Domain(name)) => Name::Domain(name.to_owned()),
            None => return Err(wrong("it names no host")),
        };
        let https = match url.scheme() {
            "https" => true,
            "http" if at_home && host.is_this_machine() => false,
            _ => return Err(wrong("it must begin with https://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a user or password"));
        }
        if url.fragment().is_some() {
            return Err(wrong("it has a fragment, which no server sees"));
        }
        let (Some(port), Some(bare)) = (url.port_or_known_default(), url.host_str()) else {
            return Err(wrong("it names no port"));
        };
        let authority = url.port().map_or_else(|| bare.to_owned(), |port| format!("{bare}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path()).parse().map_err(|_| wrong("its path cannot be sent"))?;
        Ok(Self { host, port, https, authority, path })
    }
}

impl Name {
    fn is_this_machine(&self) -> bool {
        match self {
            Name::Address(address) => address.to_canonical().is_loopback(),
            Name::Domain(name) => name == "localhost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, at_home: bool) -> Option<(String, u16, String)> {
        let target = Target::parse(text, at_home).ok()?;
        Some((target.authority, target.port, target.path.to_string()))
    }

    #[test]
    fn an_address_is_https_and_has_nothing_hidden_in_it() {
        let of = |authority: &str, port, path: &str| Some((authority.to_owned(), port, path.to_owned()));
        for (text, expect) in [
            ("https://app.example.org/logout?a=b", of("app.example.org", 443, "/logout?a=b")),
            ("https://app.example.org:8443", of("app.example.org:8443", 8443, "/")),
            ("https://APP.example.org:443/", of("app.example.org", 443, "/")),
            ("https://192.0.2.7/", of("192.0.2.7", 443, "/")),
            ("https://[2001:db8::7]:8443/", of("[2001:db8::7]:8443", 8443, "/")),
            ("https://2130706433/", of("127.0.0.1", 443, "/")),
            ("https://app.example.org/a b\u{e9}", of("app.example.org", 443, "/a%20b%C3%A9")),
        ] {
            assert_eq!(check(text, false), expect, "{text}");
        }
        for text in [
            "",
            "app.example.org",
            "http://app.example.org/",
            "http://localhost/",
            "http://127.0.0.1/",
            "ftp://app.example.org/",
            "file:///etc/passwd",
            "gopher://app.example.org/",
            "https://ada@app.example.org/",
            "https://ada:secret@app.example.org/",
            "https://app.example.org/#x",
            "https://",
        ] {
            assert_eq!(check(text, false), None, "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_when_we_are_at_home() {
        for text in
            ["http://localhost:9000/x", "http://127.0.0.1:9000/", "http://[::1]/", "http://127.9.9.9/"]
        {
            assert!(check(text, true).is_some(), "{text}");
        }
        for text in [
            "http://app.example.org/",
            "http://10.0.0.1/",
            "http://localhost.example.org/",
            "http://0.0.0.0/",
        ] {
            assert!(check(text, true).is_none(), "{text}");
        }
    }
}
