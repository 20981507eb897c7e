//! The Basic OP plan of the OpenID Foundation's conformance suite and its Config OP plan, as far as this provider
//! answers to them: one test per module, named in the line above it. The client `basic` does as the suite does:
//! RS256, a secret, no PKCE.
//!
//! To add a module: a test here, with the module's name.

use std::time::Duration;

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use super::world::{BASIC_CALLBACK, ISSUER, claims, query, redeclare, refreshing};
use super::*;

on_both_engines! {
    the_happy_flow,
    a_request_without_a_response_type_is_refused,
    an_id_token_is_signed_with_a_published_rs256_key,
    nobody_gets_an_unsigned_id_token,
    userinfo_is_asked_in_three_ways,
    a_nonce_is_optional_for_a_code,
    each_scope_gives_its_claims_at_userinfo,
    parameters_and_scopes_have_no_order,
    a_display_is_a_wish,
    prompt_login_asks_again_and_auth_time_moves,
    prompt_none_answers_at_once,
    max_age_asks_again_when_it_is_over_and_only_then,
    an_unknown_parameter_is_ignored,
    an_id_token_is_a_hint,
    hints_and_locales_are_no_error,
    acr_values_are_a_wish_that_is_answered,
    a_code_that_is_used_again_is_refused_and_its_token_is_dead,
    an_unregistered_redirect_uri_gets_a_page,
    a_request_may_be_posted,
    a_client_may_post_its_secret,
    a_request_object_is_refused_and_never_ignored,
    an_essential_name_is_given,
    a_refresh_token_gives_the_next_tokens,
    a_client_may_use_pkce_that_need_not,
    the_metadata_is_valid_and_promises_what_is_given,
    pkce_cannot_be_taken_away_or_added_on_the_way,
    who_must_use_pkce_cannot_do_without,
}

const BASIC: Option<(&str, &str)> = Some(("basic", "basic-secret"));

/// A request as the suite makes it, with more parameters, which override the usual ones.
fn request(more: &[(&str, &str)]) -> String {
    let usual = [
        ("client_id", "basic"),
        ("redirect_uri", BASIC_CALLBACK),
        ("scope", "openid"),
        ("state", "suite-state"),
        ("nonce", "suite-nonce"),
        ("response_type", "code"),
    ];
    let usual = usual.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let pairs: Vec<(&str, &str)> =
        usual.chain(more.iter().copied()).filter(|(_, value)| !value.is_empty()).collect();
    format!("/authorize?{}", query(&pairs))
}

/// What becomes of a request when Ada signs in where she is asked to.
async fn ask(browser: &Browser<'_>, more: &[(&str, &str)]) -> Answer {
    let answer = browser.get(&request(more)).await;
    if !answer.location().starts_with("/sign-in?") {
        return answer;
    }
    let page = browser.get(answer.location()).await;
    browser.enter(&page, "ada@example.org", PASSWORD).await
}

async fn redeem(world: &World, code: &str, more: &[(&str, &str)]) -> Answer {
    let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", BASIC_CALLBACK)];
    world.call("/token", BASIC, &[&form[..], more].concat()).await
}

/// The tokens of a request, and what the ID token says.
async fn tokens(world: &World, browser: &Browser<'_>, more: &[(&str, &str)]) -> (Value, Value) {
    let answer = redeem(world, &ask(browser, more).await.code(), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let tokens = answer.json();
    let (_, said) = claims(tokens["id_token"].as_str().unwrap());
    (tokens, said)
}

fn access(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap()
}

async fn metadata(world: &World) -> Value {
    world.ask(TestRequest::get().uri("/.well-known/openid-configuration")).await.json()
}

/// `oidcc-server`
async fn the_happy_flow(world: World) {
    let answer = ask(&world.browser(), &[]).await;
    assert_eq!(answer.sent("state").as_deref(), Some("suite-state"));
    let tokens = redeem(&world, &answer.code(), &[]).await.json();
    let (_, said) = claims(tokens["id_token"].as_str().unwrap());
    let now = world.ctx.now().as_secs();
    for (name, expect) in [
        ("iss", json!(ISSUER)),
        ("aud", json!("basic")),
        ("sub", json!(world.ada.to_string())),
        ("nonce", json!("suite-nonce")),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
    ] {
        assert_eq!(said[name], expect, "{name}");
    }
    assert!(said["at_hash"].is_string());
    assert_eq!(tokens["token_type"], "Bearer");
    let redeemed = world.facts("grant.redeemed").await;
    assert_eq!(redeemed.len(), 1);
    let (_, of_access) = claims(access(&tokens));
    assert_eq!(redeemed[0].2["token"], of_access["jti"], "the journal knows which token was given");
}

/// `oidcc-response-type-missing`
async fn a_request_without_a_response_type_is_refused(world: World) {
    let answer = world.browser().get(&request(&[("response_type", "")])).await;
    assert_eq!(answer.sent("error").as_deref(), Some("invalid_request"));
    assert_eq!(answer.sent("state").as_deref(), Some("suite-state"));
}

/// `oidcc-idtoken-signature`
async fn an_id_token_is_signed_with_a_published_rs256_key(world: World) {
    let (tokens, _) = tokens(&world, &world.browser(), &[]).await;
    let (header, _) = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(header["alg"], "RS256");
    let keys = world.ask(TestRequest::get().uri("/jwks")).await.json();
    let published = keys["keys"].as_array().unwrap();
    assert_eq!(
        published.iter().filter(|key| key["kid"] == header["kid"] && key["alg"] == "RS256").count(),
        1
    );
}

/// `oidcc-idtoken-unsigned`
async fn nobody_gets_an_unsigned_id_token(world: World) {
    let metadata = metadata(&world).await;
    let algs = metadata["id_token_signing_alg_values_supported"].as_array().unwrap();
    assert!(algs.contains(&json!("RS256")) && !algs.contains(&json!("none")), "{algs:?}");
}

/// `oidcc-userinfo-get`, `oidcc-userinfo-post-header`, `oidcc-userinfo-post-body`
async fn userinfo_is_asked_in_three_ways(world: World) {
    let (tokens, said) = tokens(&world, &world.browser(), &[]).await;
    let bearer = ("authorization", format!("Bearer {}", access(&tokens)));
    for asked in [
        TestRequest::get().uri("/userinfo").insert_header(bearer.clone()),
        TestRequest::post().uri("/userinfo").insert_header(bearer.clone()),
        TestRequest::post().uri("/userinfo").set_form([("access_token", access(&tokens))]),
    ] {
        let answer = world.ask(asked).await;
        assert_eq!((answer.status, &answer.json()["sub"]), (200, &said["sub"]), "{}", answer.body);
    }
}

/// `oidcc-ensure-request-without-nonce-succeeds-for-code-flow`
async fn a_nonce_is_optional_for_a_code(world: World) {
    let (_, said) = tokens(&world, &world.browser(), &[("nonce", "")]).await;
    assert_eq!(said.get("nonce"), None);
}

/// `oidcc-scope-profile`, `-email`, `-address`, `-phone`, `-all`
async fn each_scope_gives_its_claims_at_userinfo(world: World) {
    let browser = world.browser();
    let updated = world.ctx.now().as_secs();
    let profile = json!({
        "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "middle_name": "King",
        "nickname": "Ada", "preferred_username": "Ada@example.org", "zoneinfo": "Europe/London",
        "locale": "en-GB", "updated_at": updated,
    });
    // The primary one of two.
    let address = json!({ "address": {
        "street_address": "12 St James's Square", "locality": "London", "postal_code": "SW1Y 4JH", "country": "GB",
    }});
    let email = json!({ "email": "ada@example.org" });
    let phone = json!({ "phone_number": "+44 20 7946 0000" });
    for (scope, expect) in [
        ("openid", vec![]),
        ("openid profile", vec![&profile]),
        ("openid email", vec![&email]),
        ("openid address", vec![&address]),
        ("openid phone", vec![&phone]),
        ("openid profile email address phone", vec![&profile, &email, &address, &phone]),
    ] {
        let (tokens, said) = tokens(&world, &browser, &[("scope", scope)]).await;
        let mut whole = json!({ "sub": world.ada.to_string() });
        for part in expect {
            whole.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        assert_eq!(tokens["scope"], scope);
        assert_eq!(world.userinfo(access(&tokens)).await.json(), whole, "{scope}");
        assert_eq!(said.get("email").or(said.get("name")), None, "claims come from userinfo");
    }
    let bo = world.browser();
    let page = bo.get(&request(&[("scope", "openid profile email address phone")])).await;
    let page = bo.get(page.location()).await;
    let code = bo.enter(&page, "bo@example.org", PASSWORD).await.code();
    let tokens = redeem(&world, &code, &[]).await.json();
    let known = json!({
        "sub": world.bo.to_string(), "preferred_username": "bo@example.org", "updated_at": updated,
    });
    assert_eq!(world.userinfo(access(&tokens)).await.json(), known, "nothing is claimed that nobody knows");
}

/// `oidcc-alternate-happy-flow`
async fn parameters_and_scopes_have_no_order(world: World) {
    let path = request(&[("scope", "email openid profile")]);
    let (endpoint, query) = path.split_once('?').unwrap();
    let turned: Vec<&str> = query.rsplit('&').collect();
    let browser = world.browser();
    ask(&browser, &[]).await.code();
    let code = browser.get(&format!("{endpoint}?{}", turned.join("&"))).await.code();
    let tokens = redeem(&world, &code, &[]).await.json();
    assert_eq!(tokens["scope"], "openid profile email");
}

/// `oidcc-display-page`, `oidcc-display-popup`
async fn a_display_is_a_wish(world: World) {
    for display in ["page", "popup"] {
        tokens(&world, &world.browser(), &[("display", display)]).await;
    }
}

/// `oidcc-prompt-login`
async fn prompt_login_asks_again_and_auth_time_moves(world: World) {
    let browser = world.browser();
    let (_, first) = tokens(&world, &browser, &[]).await;
    world.advance(Duration::from_secs(2));
    let asked = browser.get(&request(&[("prompt", "login")])).await;
    assert!(asked.location().starts_with("/sign-in?"), "really asked");
    let (_, second) = tokens(&world, &browser, &[("prompt", "login")]).await;
    assert_eq!(first["sub"], second["sub"]);
    assert!(second["auth_time"].as_i64() > first["auth_time"].as_i64());
}

/// `oidcc-prompt-none-not-logged-in`, `oidcc-prompt-none-logged-in`
async fn prompt_none_answers_at_once(world: World) {
    let browser = world.browser();
    let nobody = browser.get(&request(&[("prompt", "none")])).await;
    assert_eq!(nobody.sent("error").as_deref(), Some("login_required"));
    let (_, first) = tokens(&world, &browser, &[]).await;
    world.advance(Duration::from_secs(2));
    let code = browser.get(&request(&[("prompt", "none")])).await.code();
    let silent = redeem(&world, &code, &[]).await.json();
    let (_, second) = claims(silent["id_token"].as_str().unwrap());
    assert_eq!((&second["sub"], &second["auth_time"]), (&first["sub"], &first["auth_time"]));
}

/// `oidcc-max-age-1`, `oidcc-max-age-10000`
async fn max_age_asks_again_when_it_is_over_and_only_then(world: World) {
    let browser = world.browser();
    let (_, first) = tokens(&world, &browser, &[]).await;
    world.advance(Duration::from_secs(2));
    let code = browser.get(&request(&[("max_age", "10000")])).await.code();
    let tokens_of_code = redeem(&world, &code, &[]).await.json();
    let (_, same) = claims(tokens_of_code["id_token"].as_str().unwrap());
    assert_eq!(same["auth_time"], first["auth_time"]);
    let asked = browser.get(&request(&[("max_age", "1")])).await;
    assert!(asked.location().starts_with("/sign-in?"));
    let (_, again) = tokens(&world, &browser, &[("max_age", "1")]).await;
    assert_eq!(again["auth_time"], json!(world.ctx.now().as_secs()));
}

/// `oidcc-ensure-request-with-unknown-parameter-succeeds`
async fn an_unknown_parameter_is_ignored(world: World) {
    tokens(&world, &world.browser(), &[("extra", "foobar")]).await;
}

/// `oidcc-id-token-hint`
async fn an_id_token_is_a_hint(world: World) {
    let browser = world.browser();
    let (first, said) = tokens(&world, &browser, &[]).await;
    let hint = first["id_token"].as_str().unwrap();
    let code = browser.get(&request(&[("prompt", "none"), ("id_token_hint", hint)])).await.code();
    let second = redeem(&world, &code, &[]).await.json();
    assert_eq!(claims(second["id_token"].as_str().unwrap()).1["sub"], said["sub"]);
}

/// `oidcc-login-hint`, `oidcc-ui-locales`, `oidcc-claims-locales`
async fn hints_and_locales_are_no_error(world: World) {
    for more in [("login_hint", "bob@example.com"), ("ui_locales", "se"), ("claims_locales", "se")] {
        tokens(&world, &world.browser(), &[more]).await;
    }
}

/// `oidcc-ensure-request-with-acr-values-succeeds`
async fn acr_values_are_a_wish_that_is_answered(world: World) {
    let metadata = metadata(&world).await;
    let supported = metadata["acr_values_supported"][0].as_str().unwrap();
    let (_, said) = tokens(&world, &world.browser(), &[("acr_values", supported)]).await;
    assert_eq!(said["acr"], supported);
}

/// `oidcc-codereuse`, `oidcc-codereuse-30seconds`
async fn a_code_that_is_used_again_is_refused_and_its_token_is_dead(world: World) {
    for pause in [0, 30, 120] {
        let code = ask(&world.browser(), &[]).await.code();
        let tokens = redeem(&world, &code, &[]).await.json();
        world.advance(Duration::from_secs(pause));
        assert_eq!(world.userinfo(access(&tokens)).await.status, 200);
        assert_eq!(redeem(&world, &code, &[]).await.error(), (400, "invalid_grant".into()));
        assert_eq!(world.userinfo(access(&tokens)).await.status, 401, "after {pause} s");
    }
    let code = ask(&world.browser(), &[]).await.code();
    let form =
        [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", BASIC_CALLBACK)];
    let second = world.call("/token", Some(("app", "app-secret")), &form).await;
    assert_eq!(second.error(), (400, "invalid_request".into()), "a second client, which must use PKCE");
    let verifier = [&form[..], &[("code_verifier", VERIFIER)]].concat();
    let second = world.call("/token", Some(("app", "app-secret")), &verifier).await;
    assert_eq!(second.error(), (400, "invalid_grant".into()), "a second client");
}

/// `oidcc-ensure-registered-redirect-uri`
async fn an_unregistered_redirect_uri_gets_a_page(world: World) {
    let other = format!("{BASIC_CALLBACK}/other");
    let answer = world.browser().get(&request(&[("redirect_uri", &other)])).await;
    assert_eq!((answer.status, answer.header("location")), (400, ""));
    assert!(answer.header("content-type").starts_with("text/html"));
}

/// `oidcc-ensure-post-request-succeeds`
async fn a_request_may_be_posted(world: World) {
    let path = request(&[]);
    let form = path.split_once('?').unwrap().1.to_owned();
    let browser = world.browser();
    ask(&browser, &[]).await.code();
    let post = TestRequest::post()
        .uri("/authorize")
        .insert_header(("content-type", "application/x-www-form-urlencoded"))
        .set_payload(form);
    let ours = browser.send(post).await;
    browser.get(ours.location()).await.code();
}

/// `oidcc-server-client-secret-post`
async fn a_client_may_post_its_secret(world: World) {
    let code = ask(&world.browser(), &[]).await.code();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", BASIC_CALLBACK),
        ("client_id", "basic"),
        ("client_secret", "basic-secret"),
    ];
    assert_eq!(world.call("/token", None, &form).await.status, 200);
}

/// `oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported`,
/// `oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported`,
/// `oidcc-ensure-request-object-with-redirect-uri`
async fn a_request_object_is_refused_and_never_ignored(world: World) {
    let browser = world.browser();
    ask(&browser, &[]).await.code();
    for (more, error) in [
        (("request", "eyJhbGciOiJub25lIn0.eyJzdGF0ZSI6IngifQ."), "request_not_supported"),
        (("request_uri", "https://rp.example.org/request"), "request_uri_not_supported"),
    ] {
        let answer = browser.get(&request(&[more])).await;
        assert_eq!(answer.sent("error").as_deref(), Some(error));
    }
}

/// `oidcc-claims-essential`: the parameter is not supported, which the metadata say; a name is given by scope.
async fn an_essential_name_is_given(world: World) {
    assert_eq!(metadata(&world).await["claims_parameter_supported"], json!(false));
    let essential = r#"{"userinfo":{"name":{"essential":true}}}"#;
    let more = [("claims", essential), ("scope", "openid profile")];
    let (tokens, _) = tokens(&world, &world.browser(), &more).await;
    assert_eq!(world.userinfo(access(&tokens)).await.json()["name"], "Ada Lovelace");
}

/// `oidcc-refresh-token`: the new ID token is of the same sign-in, and the second client gets nothing.
async fn a_refresh_token_gives_the_next_tokens(world: World) {
    redeclare(&world, "basic", |item| drop(item.fields.insert("refresh_tokens".into(), json!(true)))).await;
    let (tokens, first) = tokens(&world, &world.browser(), &[("scope", "openid offline_access")]).await;
    let form = refreshing(tokens["refresh_token"].as_str().unwrap());
    world.advance(Duration::from_secs(1));
    let next = world.call("/token", BASIC, &form).await.json();
    let (_, second) = claims(next["id_token"].as_str().unwrap());
    for name in ["iss", "sub", "aud", "auth_time"] {
        assert_eq!(first[name], second[name], "{name}");
    }
    assert!(second["iat"].as_i64() > first["iat"].as_i64());
    assert_ne!(access(&tokens), access(&next));
    assert_eq!(world.userinfo(access(&next)).await.json()["sub"], first["sub"]);
    let second_client = world.call("/token", Some(("app", "app-secret")), &form).await;
    assert_eq!(second_client.error(), (400, "invalid_grant".into()));
}

/// `oidcc-ensure-request-with-valid-pkce-succeeds`
async fn a_client_may_use_pkce_that_need_not(world: World) {
    let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let browser = world.browser();
    let code = ask(&browser, &pkce).await.code();
    assert_eq!(redeem(&world, &code, &[("code_verifier", VERIFIER)]).await.status, 200);
    let wrong = "x".repeat(43);
    let code = ask(&browser, &pkce).await.code();
    let refused = redeem(&world, &code, &[("code_verifier", &wrong)]).await;
    assert_eq!(refused.error(), (400, "invalid_grant".into()));
}

/// `oidcc-discovery-endpoint-verification`
async fn the_metadata_is_valid_and_promises_what_is_given(world: World) {
    let metadata = metadata(&world).await;
    assert_eq!(metadata["issuer"], ISSUER);
    for (name, value) in metadata.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            assert!(value.as_str().unwrap().starts_with("https://"), "{name}");
        }
        let says_whether = name.ends_with("parameter_supported") || name.starts_with("backchannel_logout");
        if name.ends_with("_supported") {
            let lists = value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
            assert!(if says_whether { value.is_boolean() } else { lists }, "{name}");
        }
    }
    let all = |name: &str| -> Vec<String> { serde_json::from_value(metadata[name].clone()).unwrap() };
    assert_eq!(all("scopes_supported"), ["openid", "profile", "email", "address", "phone"]);
    let more = [("scope", "openid profile email address phone")];
    let (tokens, said) = tokens(&world, &world.browser(), &more).await;
    let info = world.userinfo(access(&tokens)).await.json();
    let mut given: Vec<&String> =
        said.as_object().unwrap().keys().chain(info.as_object().unwrap().keys()).collect();
    given.sort();
    given.dedup();
    let mut promised = all("claims_supported");
    promised.sort();
    assert_eq!(given, promised.iter().collect::<Vec<_>>(), "exactly what is given to somebody known in full");
}

/// No module: RFC 9700, section 4.8.2.
async fn pkce_cannot_be_taken_away_or_added_on_the_way(world: World) {
    let browser = world.browser();
    let code = ask(&browser, &[]).await.code();
    let added = redeem(&world, &code, &[("code_verifier", VERIFIER)]).await;
    assert_eq!(added.error(), (400, "invalid_grant".into()), "its challenge was taken away");
    let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let code = ask(&browser, &pkce).await.code();
    assert_eq!(redeem(&world, &code, &[]).await.error(), (400, "invalid_grant".into()), "no verifier");
    assert_eq!(
        redeem(&world, &code, &[("code_verifier", VERIFIER)]).await.error(),
        (400, "invalid_grant".into()),
        "and the code is used up"
    );
    let reasons: Vec<Value> =
        world.facts("grant.ended").await.into_iter().map(|(_, _, body)| body["reason"].clone()).collect();
    assert_eq!(reasons, [json!("code-misused"), json!("code-misused")]);
}

/// No module: RFC 9700, section 2.1.1.
async fn who_must_use_pkce_cannot_do_without(world: World) {
    for client in ["app", "spa"] {
        let path = super::world::request_of(client, &[("code_challenge", ""), ("code_challenge_method", "")]);
        let answer = world.browser().get(&path).await;
        assert_eq!(answer.sent("error").as_deref(), Some("invalid_request"), "{client}");
        assert!(answer.sent("error_description").unwrap().contains("PKCE"), "{client}");
    }
}
