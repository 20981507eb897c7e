//! The cookie jar: RFC 6265 as browsers apply it today, prefixes included.

use jiff::{SignedDuration, Timestamp};
use url::{Host, Url};

/// A cookie as the browser holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Its name, prefix included.
    pub name: String,
    /// Its value, as sent.
    pub value: String,
    /// Only sent to this path and below it.
    pub path: String,
    /// Only sent over TLS, or to this machine.
    pub secure: bool,
    /// Out of reach of scripts.
    pub http_only: bool,
    /// `Strict`, `Lax` or `None`, if stated; what is not stated counts as `Lax`.
    pub same_site: Option<String>,
    host: String,
    /// Whether subdomains get it too (a `Domain` attribute was there).
    subdomains: bool,
    expires: Option<Timestamp>,
}

impl Cookie {
    /// Reads a `Set-Cookie` header of a response from `from`. Nothing if a browser would not keep it.
    fn read(header: &str, from: &Url, now: Timestamp) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let mut cookie = Self {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            path: default_path(from),
            secure: false,
            http_only: false,
            same_site: None,
            host: from.host_str()?.to_owned(),
            subdomains: false,
            expires: None,
        };
        let mut max_age = None;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "secure" => cookie.secure = true,
                "httponly" => cookie.http_only = true,
                "samesite" => cookie.same_site = Some(value.to_owned()),
                "domain" => cookie.widen(value)?,
                "max-age" => max_age = value.parse::<i64>().ok(),
                "expires" => cookie.expires = date(value),
                _ => (),
            }
        }
        if let Some(seconds) = max_age {
            // Max-Age wins over Expires (RFC 6265, section 5.3, step 3).
            cookie.expires =
                Some(now.saturating_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(now));
        }
        cookie.is_acceptable(from).then_some(cookie)
    }

    /// Takes a `Domain` attribute over; nothing if it is not a domain of the host's own.
    fn widen(&mut self, domain: &str) -> Option<()> {
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        if !is_within(&self.host, &domain) {
            return None;
        }
        self.subdomains = true;
        self.host = domain;
        Some(())
    }

    fn is_acceptable(&self, from: &Url) -> bool {
        let secure = self.secure && is_trustworthy(from);
        if self.name.starts_with("__Host-") {
            return secure && self.path == "/" && !self.subdomains;
        }
        !self.name.is_empty() && (secure || !self.secure && !self.name.starts_with("__Secure-"))
    }

    fn is_for(&self, url: &Url, crossing: Crossing) -> bool {
        let same_site = self.same_site.as_deref().unwrap_or("Lax");
        let may_cross = match crossing {
            Crossing::No => true,
            Crossing::Reading => !same_site.eq_ignore_ascii_case("Strict"),
            Crossing::Writing => same_site.eq_ignore_ascii_case("None"),
        };
        let host = url.host_str().unwrap_or_default();
        let host_fits = if self.subdomains { is_within(host, &self.host) } else { host == self.host };
        may_cross
            && host_fits
            && path_matches(url.path(), &self.path)
            && (!self.secure || is_trustworthy(url))
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.host, &self.path) == (&other.name, &other.host, &other.path)
    }
}

/// Whether a request comes from a page of another site, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crossing {
    /// It does not come from another site.
    No,
    /// A GET: the person goes there.
    Reading,
    /// A POST.
    Writing,
}

/// All cookies of one browser. Like in real ones, ports do not separate them.
#[derive(Clone, Debug, Default)]
pub(super) struct Jar(Vec<Cookie>);

impl Jar {
    /// Takes the `Set-Cookie` header over: keeps, replaces or, if it has expired, removes.
    pub(super) fn take(&mut self, header: &str, from: &Url, now: Timestamp) {
        let Some(cookie) = Cookie::read(header, from, now) else {
            tracing::debug!(%from, "a cookie that a browser does not keep");
            return;
        };
        self.0.retain(|other| !other.is_same(&cookie));
        self.0.push(cookie);
        self.expire(now);
    }

    /// The `Cookie` header for a request, if there is anything to send. Longest path first.
    pub(super) fn header(&mut self, url: &Url, crossing: Crossing, now: Timestamp) -> Option<String> {
        self.expire(now);
        let mut cookies: Vec<_> = self.0.iter().filter(|cookie| cookie.is_for(url, crossing)).collect();
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> =
            cookies.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Cookie> {
        self.0.iter()
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|cookie| cookie.name != name);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn expire(&mut self, now: Timestamp) {
        self.0.retain(|cookie| cookie.expires.is_none_or(|expires| expires > now));
    }
}

/// TLS, or a host that cannot be anywhere else than here (W3C Secure Contexts, section 3.1).
pub(super) fn is_trustworthy(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => is_within(name, "localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || local
}

fn is_within(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// RFC 6265, section 5.1.4.
fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(slash) => url.path()[..slash].to_owned(),
    }
}

/// RFC 6265, section 5.1.4.
fn path_matches(path: &str, of_cookie: &str) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || of_cookie.ends_with('/') || rest.starts_with('/'))
}

fn date(value: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(value).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn jar(from: &str, headers: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for header in headers {
            jar.take(header, &url(from), NOW);
        }
        jar
    }

    #[test]
    fn a_cookie_goes_back_where_it_may() {
        let check = |from: &str, header: &str, to: &str, expect: Option<&str>| {
            let seen = jar(from, &[header]).header(&url(to), Crossing::No, NOW);
            assert_eq!(seen.as_deref(), expect, "{header} from {from} to {to}");
        };
        let home = "http://localhost:1/a/b";
        check(home, "k=v", home, Some("k=v"));
        check(home, "k=v", "http://localhost:2/a/c", Some("k=v")); // ports do not separate
        check(home, "k=v", "http://other.test/a/b", None);
        check(home, "k", home, None);
        check(home, "=v", home, None);
        check(home, "k=v=w; HttpOnly", home, Some("k=v=w"));
        // Paths.
        check(home, "k=v", "http://localhost:1/a", Some("k=v"));
        check(home, "k=v", "http://localhost:1/", None);
        check(home, "k=v; Path=/", "http://localhost:1/", Some("k=v"));
        check(home, "k=v; path=/x", "http://localhost:1/x/y", Some("k=v"));
        check(home, "k=v; Path=/x", "http://localhost:1/xy", None);
        check(home, "k=v; Path=x", "http://localhost:1/a/z", Some("k=v"));
        // Secure, and what counts as secure.
        check(home, "k=v; Secure", home, Some("k=v"));
        check("http://127.0.0.1:1/", "k=v; Secure", "http://127.0.0.1:1/", Some("k=v"));
        check("http://app.localhost/", "k=v; Secure", "http://app.localhost/", Some("k=v"));
        check("http://other.test/", "k=v; Secure", "http://other.test/", None);
        check("https://other.test/", "k=v; Secure", "https://other.test/", Some("k=v"));
        check("https://other.test/", "k=v; Secure", "http://other.test/", None);
        check("http://notlocalhost/", "k=v; Secure", "http://notlocalhost/", None);
        // Prefixes.
        check(home, "__Host-k=v; Secure; Path=/", home, Some("__Host-k=v"));
        check(home, "__Host-k=v; Path=/", home, None);
        check(home, "__Host-k=v; Secure", home, None);
        check(home, "__Host-k=v; Secure; Path=/; Domain=localhost", home, None);
        check(home, "__Secure-k=v; Secure", home, Some("__Secure-k=v"));
        check(home, "__Secure-k=v", home, None);
        // Domains.
        let shop = "http://shop.other.test/";
        check(shop, "k=v", "http://other.test/", None);
        check(shop, "k=v; Domain=.other.test", "http://other.test/", Some("k=v"));
        check(shop, "k=v; Domain=other.test", "http://a.shop.other.test/", Some("k=v"));
        check(shop, "k=v; Domain=another.test", shop, None);
        check("http://other.test/", "k=v", "http://shop.other.test/", None);
    }

    #[test]
    fn the_longest_path_comes_first_and_the_latest_value_wins() {
        let from = "http://localhost/a/b/c";
        let mut jar = jar(from, &["k=1; Path=/", "l=2; Path=/a/b", "k=3; Path=/", "k=4; Path=/a"]);
        assert_eq!(jar.header(&url(from), Crossing::No, NOW).as_deref(), Some("l=2; k=4; k=3"));
    }

    #[test]
    fn a_cookie_ends_when_it_is_told_to() {
        let check = |end: &str, after: i64, expect: bool| {
            let mut jar = jar("http://localhost/", &[&format!("k=v; {end}")]);
            let then = NOW + SignedDuration::from_secs(after);
            assert_eq!(
                jar.header(&url("http://localhost/"), Crossing::No, then).is_some(),
                expect,
                "{end} after {after} s"
            );
        };
        check("Max-Age=60", 59, true);
        check("Max-Age=60", 60, false);
        check("Max-Age=0", 0, false);
        check("Max-Age=-1", 0, false);
        check("Expires=Thu, 01 Jan 1970 00:01:00 GMT", 59, true);
        check("Expires=Thu, 01 Jan 1970 00:01:00 GMT", 60, false);
        check("Expires=Thu, 01 Jan 1970 00:01:00 GMT; Max-Age=120", 60, true);
        check("Expires=soon", 1_000_000, true);
        check("Path=/", 1_000_000, true);
    }

    #[test]
    fn an_expired_cookie_removes_the_one_before() {
        let mut jar = jar("http://localhost/", &["k=v; Path=/", "k=; Path=/; Max-Age=0"]);
        assert_eq!(jar.header(&url("http://localhost/"), Crossing::No, NOW), None);
        assert_eq!(jar.iter().count(), 0);
    }

    #[test]
    fn same_site_cookies_do_not_come_along_from_elsewhere() {
        let check = |same_site: &str, crossing: Crossing, expect: bool| {
            let mut jar = jar("http://localhost/", &[&format!("k=v; Secure{same_site}")]);
            let seen = jar.header(&url("http://localhost/"), crossing, NOW).is_some();
            assert_eq!(seen, expect, "{same_site} {crossing:?}");
        };
        for (same_site, reading, writing) in [
            ("; SameSite=Strict", false, false),
            ("; SameSite=Lax", true, false),
            ("", true, false),
            ("; SameSite=none", true, true),
        ] {
            check(same_site, Crossing::No, true);
            check(same_site, Crossing::Reading, reading);
            check(same_site, Crossing::Writing, writing);
        }
    }

    #[test]
    fn what_a_tester_looks_at_is_kept() {
        let jar = jar("http://localhost/", &["__Host-s=1; Path=/; Secure; HttpOnly; SameSite=Lax"]);
        let cookie = jar.iter().next().unwrap();
        assert!(cookie.secure && cookie.http_only);
        assert_eq!(cookie.same_site.as_deref(), Some("Lax"));
    }
}
