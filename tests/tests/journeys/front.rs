//! The front of the house: what somebody sees who came by the address bar, by a wrong link, by a script of another
//! origin, or with headers that name another house.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use world::Scene;

use crate::steps::person;

journeys!(
    the_address_alone_says_who_is_here,
    a_wrong_link_is_a_page_for_people_and_a_problem_for_programs,
    an_application_in_a_browser_can_sign_in_and_reads_nothing_else,
    whatever_host_is_claimed_links_are_made_from_the_issuer,
);

async fn get(url: String, headers: &[(&'static str, &str)]) -> (u16, HeaderMap, String) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request =
        headers.iter().fold(client.get(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
}

async fn the_address_alone_says_who_is_here(scene: &Scene) {
    for (language, says) in [("en", "You sign in here"), ("de", "Hier melden Sie sich an")] {
        let (status, headers, page) =
            get(scene.stage.house.issuer.url("/"), &[("accept-language", language)]).await;
        assert_eq!(status, 200, "{page}");
        assert!(page.contains(says) && page.contains("/.well-known/openid-configuration"), "{page}");
        assert!(!headers.contains_key("set-cookie"), "nobody is followed");
    }
}

async fn a_wrong_link_is_a_page_for_people_and_a_problem_for_programs(scene: &Scene) {
    let issuer = &scene.stage.house.issuer;
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (path, accept, media) in [
        ("/nowhere", browser, "text/html"),
        ("/sign-in/nowhere", browser, "text/html"),
        ("/nowhere", "*/*", "application/problem+json"),
        ("/nowhere", "application/json", "application/problem+json"),
        ("/scim/v2/Nowhere", browser, "application/scim+json"),
    ] {
        let (status, headers, body) = get(issuer.url(path), &[("accept", accept)]).await;
        assert_eq!(status, 404, "{path} {accept}: {body}");
        assert!(headers["content-type"].to_str().unwrap().starts_with(media), "{path} {accept}: {headers:?}");
    }
}

async fn an_application_in_a_browser_can_sign_in_and_reads_nothing_else(scene: &Scene) {
    let issuer = &scene.stage.house.issuer;
    let client = reqwest::Client::new();
    let preflight = async |path: &str, method: &str| {
        let asked = client.request(Method::OPTIONS, issuer.url(path)).header("origin", "https://spa.example");
        asked.header("access-control-request-method", method).send().await.unwrap()
    };
    for (path, method) in
        [("/token", "POST"), ("/userinfo", "GET"), ("/userinfo", "POST"), ("/revoke", "POST")]
    {
        let answer = preflight(path, method).await;
        assert_eq!(answer.status().as_u16(), 204, "{path}");
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
        assert!(headers["access-control-allow-methods"].to_str().unwrap().contains(method), "{path}");
        assert!(
            headers["access-control-allow-headers"].to_str().unwrap().contains("Authorization"),
            "{path}"
        );
        assert!(!headers.contains_key("access-control-allow-credentials"), "{path}");
        // What is refused can be read, too: an application must learn that its token is dead.
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let refused = client.request(method, issuer.url(path)).send().await.unwrap();
        assert!(refused.status().is_client_error(), "{path}");
        assert_eq!(refused.headers()["access-control-allow-origin"], "*", "{path}");
    }
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"] {
        let (status, headers, _) = get(issuer.url(path), &[("origin", "https://spa.example")]).await;
        assert_eq!((status, &headers["access-control-allow-origin"]), (200, &"*".parse().unwrap()), "{path}");
    }
    for path in
        ["/", "/authorize", "/sign-in", "/invitation", "/introspect", "/scim/v2/Users", "/health/ready"]
    {
        let answer = preflight(path, "POST").await;
        assert!(!answer.status().is_success(), "{path}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{path}");
        let (_, headers, _) = get(issuer.url(path), &[("origin", "https://spa.example")]).await;
        assert!(!headers.contains_key("access-control-allow-origin"), "{path}");
    }
}

async fn whatever_host_is_claimed_links_are_made_from_the_issuer(scene: &Scene) {
    let stage = &scene.stage;
    let issuer = &stage.house.issuer;
    let lies = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-port", "4711"),
        ("forwarded", "host=evil.example;proto=gopher"),
        ("x-original-url", "https://evil.example/"),
    ];
    let (status, _, text) = get(issuer.url("/.well-known/openid-configuration"), &lies).await;
    assert_eq!(status, 200);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metadata["issuer"], issuer.as_str());
    for (name, value) in metadata.as_object().unwrap() {
        let address = value.as_str().filter(|text| text.contains("://"));
        assert!(address.is_none_or(|text| text.starts_with(issuer.as_str())), "{name}: {value}");
    }
    let app = crate::steps::app(stage);
    for url in [issuer.url("/"), issuer.url("/nowhere"), app.authorization(&[])] {
        let (_, headers, page) = get(url.clone(), &lies).await;
        assert!(!format!("{headers:?}{page}").contains("evil.example"), "{url}: {headers:?} {page}");
    }

    let mira = person("Mira");
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": mira.user_name, "active": true,
    });
    let hire = reqwest::Client::new().post(issuer.url("/scim/v2/Users")).bearer_auth(&stage.hr_token);
    let hire = lies.iter().fold(hire, |request, (name, value)| request.header(*name, *value));
    let answer =
        hire.header("content-type", "application/scim+json").body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let made: Value = answer.json().await.unwrap();
    assert!(location.starts_with(&issuer.url("/scim/v2/Users/")), "{location}");
    assert_eq!(made["meta"]["location"], location);
    let link = stage.invite(&mira.user_name).await.unwrap();
    assert!(link.starts_with(&issuer.url("/invitation")), "{link}");
}
