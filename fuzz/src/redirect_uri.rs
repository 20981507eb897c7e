//! Redirect URIs: as an administrator registers them, and as an application presents them.

use directory::client::Client;
use directory::declared::check_redirect_uri;
use idp::fuzzing::may_redirect;
use store::JsonText;
use url::Url;

/// What is registered leads where it seems to, and an answer goes to nothing but what is registered. Bytes are what is
/// registered, and perhaps behind a line break what is presented.
pub fn redirect_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (registered, presented) = text.split_once('\n').unwrap_or((text, text));
    let is_good = check_redirect_uri(registered).is_ok();
    if is_good {
        assert!(leads_where_it_seems_to(registered), "registered: {registered}");
    }
    let client = client(registered);
    let goes = may_redirect(&client, presented);
    assert!(!goes || presented == registered, "registered: {registered}, presented: {presented}");
    assert!(!is_good || may_redirect(&client, registered), "registered and not served: {registered}");
}

/// The same by other means: the letters after the scheme are the host that a browser goes to.
fn leads_where_it_seems_to(uri: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    let lower = uri.to_ascii_lowercase();
    let Some((scheme, rest)) = lower.split_once(':').filter(|_| uri.bytes().all(is_plain)) else {
        return false;
    };
    if !["http", "https"].contains(&scheme) {
        return scheme.contains('.');
    }
    let Some(rest) = rest.strip_prefix("//") else { return false };
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let host = match authority.find(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    let host_of_browser = Url::parse(uri).ok().and_then(|url| url.host_str().map(str::to_owned));
    host_of_browser.as_deref() == Some(host) && (scheme == "https" || is_local)
}

fn client(registered: &str) -> Client {
    Client {
        id: "app".into(),
        version: 1,
        name: "App".into(),
        secret_hash: None,
        redirect_uris: JsonText(vec![registered.to_owned()]),
        sensitivity: "low".into(),
        project: None,
        id_token_alg: "RS256".into(),
        pkce: "required".into(),
        refresh_tokens: None,
        post_logout_redirect_uris: JsonText(Vec::new()),
        backchannel_logout_uri: None,
        backchannel_logout_session_required: false,
        third_party: false,
    }
}
