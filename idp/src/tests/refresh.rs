//! A client exchanges its refresh token.

use std::time::Duration;

use serde_json::{Value, json};
use store::sql;

use super::world::{claims, redeclare, redemption, refreshing};
use super::*;

on_both_engines! {
    a_code_gives_a_refresh_token_and_each_use_gives_the_next,
    a_refresh_token_is_good_for_its_client_only,
    the_scope_may_be_narrowed_and_never_widened,
    a_lost_answer_is_given_again_for_ten_seconds_and_then_the_grant_ends,
    a_token_whose_successor_was_used_is_reused_at_once,
    of_many_who_present_a_token_at_once_all_get_the_same_successor,
    the_clients_that_are_given_refresh_tokens_are_those_declared,
    what_is_no_refresh_token_is_refused,
    policy_is_asked_at_each_refresh_and_what_it_forbids_ends,
    a_refresh_token_ends_with_the_session_it_rests_on,
    a_revoked_refresh_token_ends_its_grant_and_introspection_never_knows_one,
}

const APP: Option<(&str, &str)> = Some(("app", "app-secret"));
const OTHER: Option<(&str, &str)> = Some(("other", "other-secret"));

fn refresh_token(tokens: &Value) -> String {
    tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
}

fn access_token(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap()
}

async fn reasons(world: &World) -> Vec<Value> {
    world.facts("grant.ended").await.into_iter().map(|(_, _, body)| body["reason"].clone()).collect()
}

async fn a_code_gives_a_refresh_token_and_each_use_gives_the_next(world: World) {
    let code = world.browser().sign_in("app", &[("nonce", "n-0S6")]).await.code();
    let first = world.redeem(&code).await.json();
    assert_eq!(refresh_token(&first).len(), 4 + 43, "a prefix and 256 bits");
    world.advance(Duration::from_secs(280));
    let answer = world.refresh(&refresh_token(&first)).await;
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    let second = answer.json();
    world.advance(Duration::from_secs(280));
    let third = world.refresh(&refresh_token(&second)).await.json();
    let all = [&first, &second, &third].map(refresh_token);
    assert!(all[0] != all[1] && all[1] != all[2] && all.iter().all(|token| token.starts_with("cdr_")));
    assert_eq!((&third["scope"], &third["expires_in"]), (&json!("openid profile email"), &json!(300)));
    assert_eq!(world.userinfo(access_token(&third)).await.json()["name"], "Ada Lovelace");
    let (_, before) = claims(first["id_token"].as_str().unwrap());
    let (_, after) = claims(third["id_token"].as_str().unwrap());
    for name in ["iss", "sub", "aud", "auth_time", "acr", "amr", "sid"] {
        assert_eq!(before[name], after[name], "{name}: OpenID Connect Core, section 12.2");
    }
    assert_eq!((after.get("nonce"), &after["iat"]), (None, &json!(world.ctx.now().as_secs())));
    let facts = world.facts("grant.refreshed").await;
    assert_eq!(facts.len(), 2);
    let (_, access) = claims(access_token(&third));
    assert_eq!((facts[1].1.as_str(), &facts[1].2["token"]), ("client:app", &access["jti"]));
    assert_eq!(facts[1].2["again"], false);
}

async fn a_refresh_token_is_good_for_its_client_only(world: World) {
    let token = refresh_token(&world.tokens().await);
    let form = refreshing(&token);
    let as_phone = [&form[..], &[("client_id", "phone")]].concat();
    let as_app = [&form[..], &[("client_id", "app")]].concat();
    for (client, form, expect) in [
        (OTHER, &form[..], (400, "invalid_grant")),
        (None, &as_phone[..], (400, "invalid_grant")),
        (None, &as_app[..], (401, "invalid_client")),
        (Some(("app", "wrong")), &form[..], (401, "invalid_client")),
    ] {
        let answer = world.call("/token", client, form).await;
        assert_eq!(answer.error(), (expect.0, expect.1.into()), "{client:?}");
    }
    assert_eq!(world.refresh(&token).await.status, 200, "it is still good for its own");
}

async fn the_scope_may_be_narrowed_and_never_widened(world: World) {
    let token = refresh_token(&world.tokens().await);
    let with = async |token: &str, scope: &str| {
        let form = [&refreshing(token)[..], &[("scope", scope)]].concat();
        world.call("/token", APP, &form).await
    };
    for wider in ["openid phone", "openid profile email address", "openid admin", "profile"] {
        assert_eq!(with(&token, wider).await.error(), (400, "invalid_scope".into()), "{wider}");
    }
    let narrow = with(&token, "email openid").await.json();
    assert_eq!(narrow["scope"], "openid email");
    let said = world.userinfo(access_token(&narrow)).await.json();
    assert_eq!((&said["email"], said.get("name")), (&json!("ada@example.org"), None));
    let whole = world.refresh(&refresh_token(&narrow)).await.json();
    assert_eq!(whole["scope"], "openid profile email", "what was granted can be asked for again");
}

async fn a_lost_answer_is_given_again_for_ten_seconds_and_then_the_grant_ends(world: World) {
    let tokens = world.tokens().await;
    let token = refresh_token(&tokens);
    let next = world.refresh(&token).await.json();
    world.advance(Duration::from_millis(9_999));
    let again = world.refresh(&token).await.json();
    assert_eq!(refresh_token(&again), refresh_token(&next));
    assert_ne!(access_token(&again), access_token(&next));
    assert_eq!(world.userinfo(access_token(&again)).await.status, 200);
    assert_eq!(world.facts("grant.refreshed").await[1].2["again"], true);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.refresh(&token).await.error(), (400, "invalid_grant".into()));
    for access in [&tokens, &next, &again].map(access_token) {
        assert_eq!(world.userinfo(access).await.status, 401);
        assert!(!world.is_active(access).await);
    }
    assert_eq!(world.refresh(&refresh_token(&next)).await.error(), (400, "invalid_grant".into()));
    assert_eq!(reasons(&world).await, ["refresh-reused"]);
}

async fn a_token_whose_successor_was_used_is_reused_at_once(world: World) {
    let first = refresh_token(&world.tokens().await);
    let second = refresh_token(&world.refresh(&first).await.json());
    let third = world.refresh(&second).await.json();
    assert_eq!(world.refresh(&first).await.error(), (400, "invalid_grant".into()), "its answer was not lost");
    assert_eq!(world.refresh(&refresh_token(&third)).await.error(), (400, "invalid_grant".into()));
    assert_eq!(world.userinfo(access_token(&third)).await.status, 401);
    assert_eq!(reasons(&world).await, ["refresh-reused"]);
}

async fn of_many_who_present_a_token_at_once_all_get_the_same_successor(world: World) {
    let token = refresh_token(&world.tokens().await);
    let answers = futures_util::future::join_all((0..20).map(|_| world.refresh(&token))).await;
    let next: Vec<String> = answers.iter().map(|answer| refresh_token(&answer.json())).collect();
    assert!(next.iter().all(|token| *token == next[0]), "one family");
    let (rows,): (i64,) = world.db.one(sql!("SELECT COUNT(*) FROM refresh_token"), ()).await.unwrap();
    assert_eq!(rows, 2);
    let facts = world.facts("grant.refreshed").await;
    assert_eq!(facts.iter().filter(|(.., body)| body["again"] == false).count(), 1);
    assert_eq!(world.refresh(&next[0]).await.status, 200);
}

async fn the_clients_that_are_given_refresh_tokens_are_those_declared(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await;
    for (client, secret, redirect_uri, expect) in [
        ("app", Some("app-secret"), CALLBACK, true),
        ("basic", Some("basic-secret"), "https://basic.example.org/callback", false),
        ("spa", None, "https://spa.example.org/callback?tenant=1", false),
        ("phone", None, "org.example.phone:/callback", true),
    ] {
        let code = browser.authorize(client, &[]).await.code();
        let form = [&redemption(&code, redirect_uri, VERIFIER)[..], &[("client_id", client)]].concat();
        let credentials = secret.map(|secret| (client, secret));
        let tokens = world.call("/token", credentials, &form).await;
        assert_eq!(tokens.status, 200, "{client}: {}", tokens.body);
        let token = tokens.json()["refresh_token"].as_str().map(str::to_owned);
        assert_eq!(token.is_some(), expect, "{client}");
        let form = refreshing(token.as_deref().unwrap_or("cdr_x"));
        let answer = world.call("/token", credentials, &[&form[..], &[("client_id", client)]].concat()).await;
        if expect {
            assert_eq!(answer.status, 200, "{client}: {}", answer.body);
        } else {
            assert_eq!(answer.error(), (400, "unauthorized_client".into()), "{client}");
        }
    }
    let token = refresh_token(&world.tokens().await);
    redeclare(&world, "app", |item| drop(item.fields.insert("refresh_tokens".into(), json!(false)))).await;
    assert_eq!(world.refresh(&token).await.error(), (400, "unauthorized_client".into()), "from now on not");
}

async fn what_is_no_refresh_token_is_refused(world: World) {
    let tokens = world.tokens().await;
    let token = refresh_token(&tokens);
    let code = world.browser().sign_in("app", &[]).await.code();
    for bad in [
        &token[..token.len() - 1],
        &format!("{token}x"),
        &token.replace("cdr_", "cdc_"),
        &token.to_uppercase(),
        &format!(" {token}"),
        "cdr_",
        "x",
        access_token(&tokens),
        tokens["id_token"].as_str().unwrap(),
        &code,
    ] {
        assert_eq!(world.refresh(bad).await.error(), (400, "invalid_grant".into()), "{bad}");
    }
    let as_access = world.userinfo(&token).await;
    assert_eq!(as_access.status, 401, "it opens nothing itself");
    let as_code = world.redeem(&token).await;
    assert_eq!(as_code.error(), (400, "invalid_grant".into()));
    for (form, why) in [
        (vec![("grant_type", "refresh_token")], "missing"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "")], "empty"),
        ([&refreshing(&token)[..], &[("refresh_token", "x")]].concat(), "twice"),
        ([&refreshing(&token)[..], &[("grant_type", "refresh_token")]].concat(), "two grant types"),
        (vec![("refresh_token", token.as_str())], "no grant type"),
    ] {
        assert_eq!(world.call("/token", APP, &form).await.error(), (400, "invalid_request".into()), "{why}");
    }
    assert_eq!(world.refresh(&token).await.status, 200, "none of it used it up");
}

async fn policy_is_asked_at_each_refresh_and_what_it_forbids_ends(world: World) {
    let forbid = |unless: &str| {
        format!(
            r#"@id("not-now") @because("Not now.")
            forbid (principal, action == Action::"signIn", resource == Client::"app") {unless};"#
        )
    };
    for (policy, reason) in [
        (forbid(""), "denied-by-policy"),
        (forbid("unless { context.assurance >= 2 }"), "assurance-too-low"),
        (forbid("unless { context.network == Network::\"internal\" }"), "denied-by-policy"),
    ] {
        world.set_policies("");
        let tokens = world.tokens().await;
        let next = world.refresh(&refresh_token(&tokens)).await.json();
        world.set_policies(&policy);
        let before = world.facts("sign-in.refused").await.len();
        assert_eq!(
            world.refresh(&refresh_token(&next)).await.error(),
            (400, "invalid_grant".into()),
            "{policy}"
        );
        let refused = world.facts("sign-in.refused").await;
        assert_eq!(refused.len(), before + 1);
        assert!(refused.iter().any(|(_, actor, body)| actor == "client:app" && body["reason"] == reason));
        world.set_policies("");
        assert_eq!(world.refresh(&refresh_token(&next)).await.error(), (400, "invalid_grant".into()));
        assert_eq!(world.userinfo(access_token(&next)).await.status, 401, "what policy forbids has ended");
    }
}

async fn a_refresh_token_ends_with_the_session_it_rests_on(world: World) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let token = refresh_token(&world.redeem(&code).await.json());
    world.advance(Duration::from_secs(24 * 3600 - 60));
    let late = world.refresh(&token).await.json();
    assert_eq!(late["expires_in"], 60);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.refresh(&refresh_token(&late)).await.error(), (400, "invalid_grant".into()));
    assert!(reasons(&world).await.is_empty(), "it ran out, nobody ended it");
    directory::session::sweep(&world.db, 100).await.unwrap();
    world.advance(Duration::from_secs(25 * 3600));
    directory::session::sweep(&world.db, 100).await.unwrap();
    let (rows,): (i64,) = world.db.one(sql!("SELECT COUNT(*) FROM refresh_token"), ()).await.unwrap();
    assert_eq!(rows, 0, "it goes with its grant");
}

async fn a_revoked_refresh_token_ends_its_grant_and_introspection_never_knows_one(world: World) {
    let tokens = world.tokens().await;
    let token = refresh_token(&tokens);
    assert!(!world.is_active(&token).await, "who guards a resource must not take it for an access token");
    let given_back = [("token", token.as_str()), ("token_type_hint", "access_token")];
    assert_eq!(world.call("/revoke", OTHER, &given_back).await.error(), (400, "invalid_grant".into()));
    assert!(world.is_active(access_token(&tokens)).await);
    let next = world.refresh(&token).await.json();
    // An older one of the family will do.
    assert_eq!(world.call("/revoke", APP, &given_back).await.status, 200);
    assert_eq!(world.refresh(&refresh_token(&next)).await.error(), (400, "invalid_grant".into()));
    assert!(!world.is_active(access_token(&next)).await);
    assert_eq!(reasons(&world).await, ["revoked-by-client"]);
}
