//! The table of endpoints, and what each tells nobody.

use web::{Method, Route, Visibility, describe};
use world::Scene;

#[test]
fn the_table_is_the_reviewed_one() {
    let routes = describe(&server::http::routes());
    let reviewed = include_str!("routes.txt");
    assert_eq!(
        routes, reviewed,
        "review the difference, then write it into tests/tests/journeys/routes.txt:\n{routes}"
    );
}

journeys!(nobody_is_answered_as_each_endpoint_demands);

async fn nobody_is_answered_as_each_endpoint_demands(scene: &Scene) {
    let issuer = &scene.stage.house.issuer;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for route in server::http::routes() {
        for token in [None, Some("somebody-elses-token-of-a-plausible-length")] {
            let request = http.request(method(route.method), issuer.url(&path(&route)));
            let request = match token {
                None => request,
                Some(token) => request.bearer_auth(token),
            };
            let request = match route.body_limit {
                0 => request,
                _ => request.header("content-type", media_type(&route)).body(body(&route)),
            };
            let answer = request.send().await.unwrap();
            let (status, challenge) =
                (answer.status().as_u16(), answer.headers().contains_key("www-authenticate"));
            let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
            let text = answer.text().await.unwrap();
            match route.visibility {
                Visibility::Client | Visibility::Token | Visibility::ScimConnection => {
                    assert_eq!(status, 401, "{route:?}: {text}");
                    assert!(challenge, "{route:?} does not say how to authenticate");
                    assert!(!text.contains(server::stage::DOMAIN), "{route:?}: {text}");
                }
                Visibility::Public | Visibility::Operations if route.path.contains('{') => {
                    assert_eq!(status, 404, "{route:?}: {text}");
                }
                Visibility::Public | Visibility::Operations => assert_eq!(status, 200, "{route:?}: {text}"),
                Visibility::Browser => match location {
                    // A post becomes the same by GET; a page of one's own asks who it is.
                    Some(to) => {
                        let asks = ["/authorize?", "/logout?", "/sign-in?to="]
                            .iter()
                            .any(|to_one| to.starts_with(to_one));
                        assert!(status == 303 && asks, "{route:?}: {status} {to}");
                    }
                    // Nobody is signed in, so nothing is left to end.
                    None if route.path == "/logout" => assert_eq!(status, 200, "{route:?}: {text}"),
                    None => assert!((400..500).contains(&status), "{route:?}: {status} {text}"),
                },
            }
        }
    }
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// With something plausible in each gap.
fn path(route: &Route) -> String {
    let segment = |segment: &'static str| if segment.starts_with('{') { "0" } else { segment };
    route.path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn media_type(route: &Route) -> &'static str {
    match route.visibility {
        Visibility::ScimConnection => "application/scim+json",
        _ => "application/x-www-form-urlencoded",
    }
}

fn body(route: &Route) -> &'static str {
    match route.visibility {
        Visibility::ScimConnection => "{}",
        _ => "token=0",
    }
}
