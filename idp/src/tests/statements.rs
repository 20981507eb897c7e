//! What tokens cost the database.
//!
//! A statement is counted for whoever waits for it ([`store::Db::statements`]): reads, statements of a transaction, and
//! the savepoint that one of several statements needs. BEGIN, COMMIT and the writing of facts are shared by all who
//! commit together, and not counted.

use super::service::{FORM, SERVICE};
use super::world::{redemption, refreshing};
use super::*;

on_both_engines! {
    no_token_path_makes_more_than_two_calls,
}

const MOST: u64 = 2;
const APP: Option<(&str, &str)> = Some(("app", "app-secret"));

async fn no_token_path_makes_more_than_two_calls(world: World) {
    super::service::declare(&world, "ES256").await;
    // Warm: each kind of token was asked for once.
    world.tokens().await;
    world.call("/token", SERVICE, &FORM).await;
    let code = world.browser().sign_in("app", &[]).await.code();
    let again = world.browser().sign_in("app", &[]).await.code();

    let before = world.db.statements();
    let tokens = world.call("/token", APP, &redemption(&code, CALLBACK, VERIFIER)).await;
    let of_code = world.db.statements() - before;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let tokens = tokens.json();
    let access = tokens["access_token"].as_str().unwrap();
    let refresh_token = tokens["refresh_token"].as_str().unwrap();

    let service = world.call("/token", SERVICE, &FORM).await.json();
    let service = service["access_token"].as_str().unwrap();
    let token = |token| vec![("token", token)];
    let table = [
        ("client_credentials", "/token", SERVICE, FORM.to_vec(), 200, 1),
        ("refresh", "/token", APP, refreshing(refresh_token).to_vec(), 200, 2),
        ("introspection", "/introspect", APP, token(access), 200, 1),
        ("introspection of a service's", "/introspect", SERVICE, token(service), 200, 1),
        ("introspection of another's", "/introspect", Some(("other", "other-secret")), token(access), 200, 2),
        ("introspection of nothing", "/introspect", APP, token("x"), 200, 1),
        ("a refresh token that there is not", "/token", APP, refreshing("cdr_x").to_vec(), 400, 2),
        ("revocation of a refresh token", "/revoke", APP, token(refresh_token), 200, 2),
        ("revocation of an access token", "/revoke", APP, token(access), 200, 2),
    ];
    let mut counted = vec![("code", of_code, 2)];
    let before = world.db.statements();
    assert_eq!(world.userinfo(access).await.status, 200);
    counted.push(("userinfo", world.db.statements() - before, 1));
    for (what, path, client, form, status, expect) in table {
        let before = world.db.statements();
        let answer = world.call(path, client, &form).await;
        let calls = world.db.statements() - before;
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        counted.push((what, calls, expect));
    }
    for (what, calls, expect) in counted {
        assert!(calls <= MOST, "{what}: {calls} calls");
        assert_eq!(calls, expect, "{what}: say so here if it needs fewer now");
    }
    // What is presented wrongly takes a transaction with more: that also shows that this counts at all.
    let before = world.db.statements();
    let wrong =
        world.call("/token", Some(("other", "other-secret")), &redemption(&again, CALLBACK, VERIFIER)).await;
    assert_eq!(wrong.error(), (400, "invalid_grant".into()));
    assert!(world.db.statements() - before > MOST);
}
