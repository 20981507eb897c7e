//! The browser against a small responder on a socket.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::*;
use crate::http::{Request, Responder, Response};

fn browser() -> Browser {
    Browser::new(Arc::new(|| jiff::Timestamp::UNIX_EPOCH))
}

/// Shows what it was sent: method, path, body and the headers that browsers are particular about.
fn mirror(request: &Request) -> Response {
    let header = |name| request.header(name).unwrap_or("-");
    let seen = format!(
        "{} {} [{}] cookie={} origin={} site={}",
        request.method,
        request.path,
        request.body,
        header("cookie"),
        header("origin"),
        header("sec-fetch-site"),
    );
    Response::new(200, "text/plain", seen)
}

async fn serve(request: Request) -> Response {
    let status = |path: &str| path[1..4].parse().unwrap();
    match request.path.as_str() {
        "/set" => mirror(&request)
            .with("Set-Cookie", "__Host-s=1; Path=/; Secure; HttpOnly; SameSite=Lax")
            .with("Set-Cookie", "here=2; Path=/set"),
        "/302" | "/303" | "/307" | "/308" => {
            let to = request.query("to").unwrap();
            Response::new(status(&request.path), "text/plain", "").with("Location", to)
        }
        "/loop" => Response::see_other("/loop"),
        "/form" => {
            let page = format!(
                "<form method=post action='{}'><input name=a></form><a href=/mirror>Look</a>",
                request.query("action").unwrap()
            );
            let with = |page: Response, name, header| match request.query(name) {
                Some(value) => page.with(header, value),
                None => page,
            };
            let page = with(Response::html(200, page), "csp", "Content-Security-Policy");
            with(page, "referrer", "Referrer-Policy")
        }
        "/large" => Response::html(200, "x".repeat(BODY + 1)),
        "/404" => Response::html(404, "<h1>Not here</h1>"),
        _ => mirror(&request),
    }
}

async fn responder() -> (Responder, String) {
    let responder = Responder::start((Ipv4Addr::LOCALHOST, 0).into(), serve).await.unwrap();
    let url = format!("http://localhost:{}", responder.address().port());
    (responder, url)
}

/// An address with a query.
fn with_query(base: &str, pairs: &[(&str, &str)]) -> String {
    Url::parse_with_params(base, pairs).unwrap().into()
}

#[tokio::test]
async fn cookies_come_back_and_are_seen_with_their_attributes() {
    let (_responder, base) = responder().await;
    let mut browser = browser();
    browser.get(&format!("{base}/set")).await.unwrap();
    let page = browser.get(&format!("{base}/mirror")).await.unwrap();
    assert_eq!(page.body, "GET /mirror [] cookie=__Host-s=1 origin=- site=none");
    assert!(browser.cookie("__Host-s").is_some_and(|cookie| cookie.http_only && cookie.secure));
    let page = browser.get(&format!("{base}/set")).await.unwrap();
    assert!(page.body.contains("cookie=here=2; __Host-s=1"), "{}", page.body);
    browser.forget_cookie("here");
    assert_eq!(browser.cookies().count(), 1);
    browser.forget_cookies();
    assert_eq!(browser.cookies().count(), 0);
}

#[tokio::test]
async fn redirects_are_followed_with_the_method_that_they_ask_for() {
    let (_responder, base) = responder().await;
    let to = format!("{base}/mirror");
    for (status, expect) in [
        ("302", "GET /mirror [] cookie=- origin=- site=same-origin".to_owned()),
        ("303", "GET /mirror [] cookie=- origin=- site=same-origin".to_owned()),
        ("307", format!("POST /mirror [a=x+y%26] cookie=- origin={base} site=same-origin")),
        ("308", format!("POST /mirror [a=x+y%26] cookie=- origin={base} site=same-origin")),
    ] {
        let url = with_query(&format!("{base}/{status}"), &[("to", "mirror")]);
        let page = browser().post_form(&url, &[("a", "x y&")]).await.unwrap();
        assert_eq!(page.body, expect);
        assert_eq!((page.url.as_str(), page.trail.len()), (to.as_str(), 2));
    }
}

#[tokio::test]
async fn redirects_end_somewhere() {
    let (_responder, base) = responder().await;
    let result = browser().get(&format!("{base}/loop")).await;
    assert!(matches!(result, Err(BrowserError::Redirects { trail }) if trail.len() == REDIRECTS + 1));
}

#[tokio::test]
async fn it_stops_where_it_is_told_to() {
    let (_responder, base) = responder().await;
    let first = with_query(&format!("{base}/303"), &[("to", "http://app.test/callback?code=1")]);
    let url = with_query(&format!("{base}/302"), &[("to", &first)]);
    let mut browser = browser();
    browser.redirects = Redirects::Until("http://app.test/callback".into());
    let page = browser.get(&url).await.unwrap();
    assert_eq!((page.status, page.trail.len()), (303, 2));
    assert_eq!(page.stopped_at.unwrap().as_str(), "http://app.test/callback?code=1");
    browser.redirects = Redirects::Stay;
    let page = browser.get(&url).await.unwrap();
    assert_eq!((page.status, page.stopped_at.unwrap().as_str()), (302, first.as_str()));
}

#[tokio::test]
async fn a_form_says_where_it_comes_from() {
    let (_responder, base) = responder().await;
    let (_other, elsewhere) = responder().await;
    let local = base.replace("localhost", "127.0.0.1");
    let check = async |page: &str, action: &str, referrer: &str, origin: &str, site: &str| {
        let mut browser = browser();
        browser.get(&format!("{base}/set")).await.unwrap();
        let url = with_query(&format!("{page}/form"), &[("action", action), ("referrer", referrer)]);
        let page = browser.get(&url).await.unwrap();
        let seen = browser.submit(&page.form().unwrap(), &[("a", "1")]).await.unwrap();
        assert_eq!(seen.status, 200);
        let cookie = if site == "cross-site" { "-" } else { "__Host-s=1" };
        let expect = format!("POST /mirror [a=1] cookie={cookie} origin={origin} site={site}");
        assert_eq!(seen.body, expect, "{url}");
    };
    check(&base, "/mirror", "same-origin", &base, "same-origin").await;
    check(&base, "/mirror", "no-referrer", "null", "same-origin").await;
    check(&base, &format!("{elsewhere}/mirror"), "", &base, "same-site").await;
    // An address is another site than a name: SameSite=Lax keeps the cookie back.
    check(&local, &format!("{base}/mirror"), "", &local, "cross-site").await;
    let across = with_query(&format!("{elsewhere}/307"), &[("to", &format!("{base}/mirror"))]);
    check(&base, &across, "", "null", "same-site").await;
}

#[tokio::test]
async fn a_forged_post_comes_without_the_cookie_and_the_redirect_behind_it_with() {
    let (_responder, base) = responder().await;
    let mut browser = browser();
    browser.get(&format!("{base}/set")).await.unwrap();
    let seen = browser.post_form_from("http://evil.test/", &format!("{base}/mirror"), &[]).await.unwrap();
    assert_eq!(seen.body, "POST /mirror [] cookie=- origin=http://evil.test site=cross-site");
    let url = with_query(&format!("{base}/303"), &[("to", "/mirror")]);
    let seen = browser.post_form_from("http://evil.test/", &url, &[]).await.unwrap();
    assert_eq!(seen.body, "GET /mirror [] cookie=__Host-s=1 origin=- site=cross-site");
}

#[tokio::test]
async fn form_action_counts_over_redirects() {
    let (_responder, base) = responder().await;
    let (_app, app) = responder().await;
    let check = async |csp: &str, expect: bool| {
        let action = with_query(&format!("{base}/303"), &[("to", &format!("{app}/mirror"))]);
        let url = with_query(&format!("{base}/form"), &[("action", &action), ("csp", csp)]);
        let mut browser = browser();
        let page = browser.get(&url).await.unwrap();
        let result = browser.submit(&page.form().unwrap(), &[]).await;
        assert_eq!(result.is_ok(), expect, "{csp}: {result:?}");
        assert!(expect || matches!(result, Err(BrowserError::FormAction { .. })));
    };
    check("default-src 'self'", true).await;
    check("form-action 'self'", false).await;
    check(&format!("form-action 'self' {app}"), true).await;
}

#[tokio::test]
async fn links_are_clicked_and_error_pages_are_pages() {
    let (_responder, base) = responder().await;
    let mut browser = browser();
    let url = with_query(&format!("{base}/form"), &[("action", "/")]);
    let page = browser.get(&url).await.unwrap();
    let seen = browser.click(&page, "Look").await.unwrap();
    assert!(seen.body.ends_with("site=same-origin"), "{}", seen.body);
    assert!(matches!(browser.click(&page, "Hide").await, Err(BrowserError::NoLink { .. })));
    let page = browser.get(&format!("{base}/404")).await.unwrap();
    assert_eq!((page.status, page.text().as_str()), (404, "Not here"));
}

#[tokio::test]
async fn what_cannot_be_reached_is_said() {
    let (responder, base) = responder().await;
    let mut browser = browser();
    assert!(matches!(browser.get("nowhere").await, Err(BrowserError::Url(..))));
    assert!(matches!(browser.get(&format!("{base}/large")).await, Err(BrowserError::TooLarge(_))));
    drop(responder);
    // The port may stay open for the moment that the task takes to end.
    while browser.get(&base).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(browser.get(&base).await, Err(BrowserError::Network { .. })));
}
