//! `form-action` of a content security policy (CSP 3, section 6.4.1): where a form of the page may lead.
//!
//! As in Chromium, it is asked for the form's own action and for every redirect behind it.

use url::Url;

use super::cookie::is_trustworthy;

/// The `form-action` directives of one page; all of them must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FormAction(Vec<String>);

impl FormAction {
    /// Collects the directives from the values of `Content-Security-Policy` headers.
    pub(super) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Self {
        let directives = headers.flat_map(|header| header.split(',')).filter_map(|policy| {
            let mut directives = policy.split(';').filter_map(|directive| {
                let (name, sources) = directive.trim().split_once(' ').unwrap_or((directive.trim(), ""));
                name.eq_ignore_ascii_case("form-action").then(|| sources.trim().to_owned())
            });
            directives.next()
        });
        Self(directives.collect())
    }

    /// The directive that forbids to go from `page` to `to`, if one does.
    pub(super) fn forbids(&self, page: &Url, to: &Url) -> Option<&str> {
        let allows =
            |sources: &&String| sources.split_ascii_whitespace().any(|source| matches(source, page, to));
        self.0.iter().find(|sources| !allows(sources)).map(String::as_str)
    }
}

/// CSP 3, section 6.7.2.8, without paths in sources: they are not asked after a redirect anyway.
fn matches(source: &str, page: &Url, to: &Url) -> bool {
    match source.to_ascii_lowercase().as_str() {
        "'self'" => page.origin() == to.origin(),
        "'none'" => false,
        "*" => matches!(to.scheme(), "http" | "https"),
        scheme if scheme.ends_with(':') => to.scheme() == scheme.trim_end_matches(':'),
        source => host_matches(source, page, to),
    }
}

fn host_matches(source: &str, page: &Url, to: &Url) -> bool {
    let (scheme, rest) = source.split_once("://").unwrap_or((page.scheme(), source));
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let default_port = if to.scheme() == "https" { 443 } else { 80 };
    let to_port = to.port().unwrap_or(default_port);
    let port_fits = match port {
        "" => to_port == default_port,
        "*" => true,
        port => port.parse() == Ok(to_port),
    };
    let to_host = to.host_str().unwrap_or_default();
    let host_fits = match host.strip_prefix('*') {
        Some(suffix) => to_host.len() > suffix.len() && to_host.ends_with(suffix),
        None => to_host == host,
    };
    scheme == to.scheme() && port_fits && host_fits
}

/// What `Sec-Fetch-Site` says about going from a page to an address (W3C Fetch Metadata, section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    SameOrigin,
    SameSite,
    CrossSite,
}

impl Relation {
    /// Sites are told apart by scheme and host here, without a list of public suffixes.
    pub(super) fn between(from: &Url, to: &Url) -> Self {
        if from.origin() == to.origin() {
            Self::SameOrigin
        } else if from.scheme() == to.scheme() && from.host() == to.host() {
            Self::SameSite
        } else {
            Self::CrossSite
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SameOrigin => "same-origin",
            Self::SameSite => "same-site",
            Self::CrossSite => "cross-site",
        }
    }
}

/// Fetch metadata is only sent to where nobody listens in (section 2).
pub(super) fn tells_metadata(to: &Url) -> bool {
    is_trustworthy(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_form_leads_only_where_the_policy_lets_it() {
        let check = |policy: &str, to: &str, expect: bool| {
            let form_action = FormAction::read([policy].into_iter());
            let forbidden = form_action.forbids(&url("http://localhost:8080/sign-in"), &url(to));
            assert_eq!(forbidden.is_none(), expect, "{policy}: {to}");
        };
        let (home, app) = ("http://localhost:8080/x", "http://localhost:9000/callback");
        check("default-src 'none'", app, true); // form-action does not fall back
        check("default-src 'none'; form-action 'self'", home, true);
        check("default-src 'none'; form-action 'self'", app, false);
        check("form-action 'self' http://localhost:9000", app, true);
        check("Form-Action http://localhost:9000/other", app, true);
        check("form-action http://localhost:9001", app, false);
        check("form-action https://localhost:9000", app, false);
        check("form-action localhost:*", app, true);
        check("form-action localhost", app, false);
        check("form-action localhost", "http://localhost/", true);
        check("form-action http:", app, true);
        check("form-action https:", app, false);
        check("form-action *", app, true);
        check("form-action 'none'", home, false);
        check("form-action", home, false);
        check("form-action http://*.app.test", "http://a.app.test/", true);
        check("form-action http://*.app.test", "http://app.test/", false);
        check("form-action *, form-action 'self'", app, false); // two policies, both count
    }

    #[test]
    fn sites_are_told_apart_by_scheme_and_host() {
        let check = |to: &str, expect: &str| {
            assert_eq!(Relation::between(&url("http://localhost:1/"), &url(to)).name(), expect, "{to}");
        };
        check("http://localhost:1/x", "same-origin");
        check("http://localhost:2/", "same-site");
        check("https://localhost:1/", "cross-site");
        check("http://127.0.0.1:1/", "cross-site");
    }
}
