//! Wrong requests to the OpenID Connect provider.

use sim::browser::Redirects;
use world::{Scene, VERIFIER};

use crate::steps::{PASSWORD, app, join};

journeys!(
    an_unknown_redirect_uri_gets_a_page_and_no_redirect,
    a_reused_code_is_refused_and_takes_its_token_with_it,
    a_wrong_verifier_is_refused_and_gives_nothing,
);

async fn an_unknown_redirect_uri_gets_a_page_and_no_redirect(scene: &Scene) {
    let mut browser = scene.stage.browser();
    browser.redirects = Redirects::Stay;
    for (changed, to) in [("redirect_uri", "https://evil.example/callback"), ("client_id", "nobody")] {
        let page = browser.get(&app(&scene.stage).authorization(&[(changed, to)])).await.unwrap();
        assert_eq!((page.status, &page.stopped_at), (400, &None), "{}", page.text());
        assert!(page.header("content-type").is_some_and(|media| media.starts_with("text/html")));
        assert_eq!(page.header("location"), None);
        assert!(!page.body.contains("evil.example"), "{}", page.body);
    }
}

async fn a_reused_code_is_refused_and_takes_its_token_with_it(scene: &Scene) {
    let (mira, mut browser) = join(&scene.stage, "Mira").await;
    let app = app(&scene.stage);
    let code = app.code(&mut browser, &mira.user_name, PASSWORD).await.unwrap();
    let tokens = app.exchange(&code, VERIFIER).await.unwrap();
    let token = tokens.body["access_token"].as_str().unwrap();
    assert_eq!(app.introspect(token).await.unwrap().body["active"], true);
    assert_eq!(app.exchange(&code, VERIFIER).await.unwrap().refusal(), (400, "invalid_grant"));
    assert_eq!(app.introspect(token).await.unwrap().body, serde_json::json!({"active": false}));
    assert_eq!(app.userinfo(token).await.unwrap().status, 401);
}

async fn a_wrong_verifier_is_refused_and_gives_nothing(scene: &Scene) {
    let (mira, mut browser) = join(&scene.stage, "Mira").await;
    let app = app(&scene.stage);
    let code = app.code(&mut browser, &mira.user_name, PASSWORD).await.unwrap();
    let wrong = VERIFIER.replace('d', "e");
    let refused = app.exchange(&code, &wrong).await.unwrap();
    assert_eq!(refused.refusal(), (400, "invalid_grant"));
    assert!(refused.body.get("access_token").is_none(), "{refused:?}");
    assert!(refused.body["error_description"].is_string(), "{refused:?}");
}
