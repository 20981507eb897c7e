//! Which redirect URIs a client may register: to come back to after signing in, or after signing out.
//!
//! Answers go only to exactly what is registered ([`Client::allows_redirect_to`](crate::client::Client)), so what
//! a browser would read otherwise than we do must not be registered at all.

use url::Url;

/// Absolute, without fragment (RFC 6749, section 3.1.2); https, or http on a loopback name (RFC 8252,
/// section 7.3), or a private scheme with a dot in it (section 7.1).
///
/// # Errors
/// What is wrong, to be read after the URI.
pub fn check(uri: &str) -> Result<(), &'static str> {
    // RFC 3986, section 2. Browsers drop tabs, take `\` for `/`, and each encodes the rest as it likes.
    if !uri.bytes().all(is_uri_byte) {
        return Err("must be written in the characters of a URI, others as %XX");
    }
    let parsed = Url::parse(uri).map_err(|_| "is not an absolute URI")?;
    if uri.contains('#') {
        return Err("must not have a fragment");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not have user information");
    }
    match parsed.scheme() {
        "http" | "https" => check_web(uri, &parsed),
        private if private.contains('.') => Ok(()),
        _ => Err("must be https, or a private scheme such as com.example.app"),
    }
}

/// An address that we call ourselves: of those above, one on the web. Where it leads is checked at each call.
///
/// # Errors
/// As [`check`].
pub(super) fn check_called(uri: &str) -> Result<(), &'static str> {
    check(uri)?;
    if uri.starts_with("https://") || uri.starts_with("http://") {
        Ok(())
    } else {
        Err("must begin with https://")
    }
}

fn check_web(uri: &str, parsed: &Url) -> Result<(), &'static str> {
    // A parser for browsers forgives any number of slashes: `https:evil.example://app.example` leads to the first.
    let rest = uri.get(parsed.scheme().len()..).and_then(|rest| rest.strip_prefix("://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return Err("must name its host after ://, and nothing else");
    }
    if authority.contains('*') {
        return Err("must name one host: it is compared exactly, and * means nothing");
    }
    // Browsers decode %XX, and take 0x7f.1 for an address: what is meant must be what stands there.
    let is_read_so = |host: &str| host.eq_ignore_ascii_case(host_of(authority));
    if parsed.host_str().is_none_or(|host| !is_read_so(host)) {
        return Err("must write its host as browsers do: without %XX, an IP address in its usual form");
    }
    let local = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match parsed.scheme() {
        "http" if !local => Err("must be https (http is for localhost only)"),
        _ => Ok(()),
    }
}

/// An authority without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_a_browser_reads_as_we_do_is_registered() {
        let web = "must be https, or a private";
        for (uri, expect) in [
            ("https://app.example/callback", ""),
            ("https://app.example", ""),
            ("https://app.example:8443/cb?tenant=1&x=%20y", ""),
            ("https://xn--bcher-kva.example/cb", ""),
            ("https://[2001:db8::1]/cb", ""),
            ("http://localhost:8080/cb", ""),
            ("http://127.0.0.1/cb", ""),
            ("http://[::1]:49152/cb", ""),
            ("com.example.app:/cb", ""),
            ("com.example.app://cb", ""),
            ("", "not an absolute URI"),
            ("/callback", "not an absolute URI"),
            ("//app.example/cb", "not an absolute URI"),
            ("app.example/cb", "not an absolute URI"),
            ("https://", "not an absolute URI"),
            ("https://app.example:99999/", "not an absolute URI"),
            ("https://app.example/cb#", "fragment"),
            ("https://app.example/cb#x", "fragment"),
            ("com.example.app:/cb#x", "fragment"),
            ("https://app@evil.example/cb", "user information"),
            ("https://app.example:x@evil.example/cb", "user information"),
            ("https://@evil.example/cb", "host"),
            ("https://:@evil.example/cb", "host"),
            ("http://localhost@evil.example/cb", "user information"),
            ("https:evil.example/cb", "host"),
            ("https:/evil.example/cb", "host"),
            ("https:///evil.example/cb", "host"),
            ("https:evil.example://app.example/cb", "host"),
            ("https://*.example/cb", "one host"),
            ("https://app%2Eexample/cb", "as browsers do"),
            ("https://0x7f.1/cb", "as browsers do"),
            ("http://127.1/cb", "as browsers do"),
            ("https://[2001:db8:0:0:0:0:0:1]/cb", "as browsers do"),
            ("HTTPS://App.Example:443/cb", ""),
            ("http://[::1]/cb", ""),
            ("http://app.example/cb", "localhost only"),
            ("http://localhost.evil.example/cb", "localhost only"),
            ("http://127.0.0.1.evil.example/cb", "localhost only"),
            ("http://127.0.0.2/cb", "localhost only"),
            ("http://0.0.0.0/cb", "localhost only"),
            ("http://[::]/cb", "localhost only"),
            ("javascript:alert(1)", web),
            ("JavaScript:alert(1)//com.example", web),
            ("data:text/html,x", web),
            ("vbscript:x", web),
            ("file:///etc/passwd", web),
            ("blob:https://app.example/x", web),
            ("myapp:/cb", web),
            ("ftp://app.example/cb", web),
            ("https://app.example\\@evil.example/cb", "characters"),
            ("https://app.example/\tcb", "characters"),
            ("https://app.example/cb\r\nSet-Cookie:x", "characters"),
            ("java\nscript:alert(1)", "characters"),
            (" https://app.example/cb", "characters"),
            ("https://app.example/cb ", "characters"),
            ("https://bücher.example/cb", "characters"),
            ("https://app.example/\0", "characters"),
            ("https://app.example/<x>", "characters"),
        ] {
            let got = check(uri).err().unwrap_or("");
            assert!(got.contains(expect) && got.is_empty() == expect.is_empty(), "{uri:?}: {got:?}");
        }
    }

    #[test]
    fn only_an_address_on_the_web_is_called() {
        for (uri, expect) in [
            ("https://app.example/logout?x=1", ""),
            ("http://localhost:8080/logout", ""),
            ("com.example.app:/logout", "https://"),
            ("http://app.example/logout", "localhost only"),
            ("https://app.example/logout#x", "fragment"),
            ("ftp://app.example/", "must be https"),
        ] {
            let got = check_called(uri).err().unwrap_or("");
            assert!(got.contains(expect) && got.is_empty() == expect.is_empty(), "{uri:?}: {got:?}");
        }
    }

    proptest! {
        /// Whatever is accepted has a scheme that runs no script, and on the web goes to the host that stands there.
        #[test]
        fn nothing_accepted_leads_elsewhere(
            scheme in "(https|http|javascript|data|[a-z.]{1,8})(:|:/|://|:///)",
            rest in "(localhost|127\\.0\\.0\\.1|app\\.example|evil@app\\.example|[ -~\u{0}-\u{1f}é]{0,12})",
            end in "[/?#@:\\\\.a-z0-9\t]{0,8}",
        ) {
            let uri = format!("{scheme}{rest}{end}");
            if check(&uri).is_ok() {
                let parsed = Url::parse(&uri).unwrap();
                prop_assert!(uri.is_ascii() && !uri.contains(['#', '\\', '\t', '\n', ' ']), "{}", uri);
                prop_assert!(matches!(parsed.scheme(), "http" | "https") || parsed.scheme().contains('.'), "{}", uri);
                if parsed.scheme() == "https" {
                    let host = parsed.host_str().unwrap();
                    prop_assert!(uri.to_ascii_lowercase().starts_with(&format!("https://{host}")), "{} {}", uri, host);
                }
                if parsed.scheme() == "http" {
                    let host = parsed.host_str().unwrap();
                    prop_assert!(["localhost", "127.0.0.1", "[::1]"].contains(&host), "{} {}", uri, host);
                }
            }
        }
    }
}
