//! A service asks for a token for itself.

use std::time::Duration;

use directory::declared::{self, Item, Kind};
use kernel::TokenHash;
use serde_json::{Value, json};
use store::Origin;

use super::world::{ISSUER, NoSecrets, claims, redeclare, undeclare};
use super::*;

on_both_engines! {
    a_service_is_given_a_token_for_itself_signed_as_it_is_declared,
    only_a_service_acts_for_itself_and_it_does_nothing_else,
    a_services_token_is_a_key_to_no_persons_data,
    a_services_token_dies_with_its_declaration_and_by_the_clock,
    a_services_token_stays_dead_when_its_client_is_declared_again_with_another_secret,
    that_a_service_is_at_work_is_noted_once_a_minute,
}

/// What a service is declared as.
pub(super) const SERVICE: Option<(&str, &str)> = Some(("meters", "meters-secret"));
pub(super) const FORM: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// Declares it.
pub(super) async fn declare(world: &World, alg: &str) {
    declare_with(world, alg, "meters-secret").await;
}

async fn declare_with(world: &World, alg: &str, secret: &str) {
    let fields = json!({
        "name": "Meters", "secret_hash": TokenHash::of(secret).as_str(), "redirect_uris": [],
        "sensitivity": "low", "id_token_alg": alg,
    });
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    let item = Item::new(Kind::Client, "meters", fields);
    declared::put(&mut tx, &item, None, &NoSecrets).await.unwrap();
    tx.commit().await.unwrap();
}

async fn token(world: &World) -> String {
    let answer = world.call("/token", SERVICE, &FORM).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn introspected(world: &World, token: &str) -> Value {
    world.call("/introspect", SERVICE, &[("token", token)]).await.json()
}

async fn a_service_is_given_a_token_for_itself_signed_as_it_is_declared(world: World) {
    declare(&world, "ES256").await;
    for alg in ["ES256", "RS256"] {
        redeclare(&world, "meters", |item| drop(item.fields.insert("id_token_alg".into(), json!(alg)))).await;
        let answer = world.call("/token", SERVICE, &FORM).await;
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
        let tokens = answer.json();
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert_eq!(tokens.as_object().unwrap().len(), 3, "neither ID token nor refresh token: {tokens}");
        let (header, access) = claims(tokens["access_token"].as_str().unwrap());
        assert_eq!((&header["alg"], &header["typ"]), (&json!(alg), &json!("at+jwt")));
        let now = world.ctx.now().as_secs();
        for (name, expect) in [
            ("iss", json!(ISSUER)),
            ("sub", json!("meters")),
            ("aud", json!(ISSUER)),
            ("client_id", json!("meters")),
            ("iat", json!(now)),
            ("exp", json!(now + 300)),
        ] {
            assert_eq!(access[name], expect, "{name}");
        }
        assert!(access["jti"].as_str().unwrap().len() >= 22);
        let told = introspected(&world, tokens["access_token"].as_str().unwrap()).await;
        assert_eq!(
            (&told["active"], &told["sub"], told.get("username")),
            (&json!(true), &json!("meters"), None)
        );
    }
}

async fn only_a_service_acts_for_itself_and_it_does_nothing_else(world: World) {
    declare(&world, "ES256").await;
    let unauthorized = (400, "unauthorized_client".to_owned());
    let app = world.call("/token", Some(("app", "app-secret")), &FORM).await;
    assert_eq!(app.error(), unauthorized, "it signs people in, and could take itself for one of them");
    let public = world.call("/token", None, &[FORM[0], ("client_id", "spa")]).await;
    assert_eq!(public.error(), unauthorized);
    for wrong in [Some(("meters", "wrong")), Some(("nobody", "meters-secret")), None] {
        let answer = world.call("/token", wrong, &[FORM[0], ("client_id", "meters")]).await;
        assert!(answer.status == 401 || answer.status == 400, "{wrong:?}: {}", answer.body);
        assert!(answer.json().get("access_token").is_none(), "{wrong:?}");
    }
    let scope = world.call("/token", SERVICE, &[FORM[0], ("scope", "openid")]).await;
    assert_eq!(scope.error(), (400, "invalid_scope".into()));
    let twice = world.call("/token", SERVICE, &[FORM[0], FORM[0]]).await;
    assert_eq!(twice.error(), (400, "invalid_request".into()));
    let page = world.browser().authorize("meters", &[]).await;
    assert_eq!(page.status, 400, "nobody is sent to it: {}", page.body);
}

async fn a_services_token_is_a_key_to_no_persons_data(world: World) {
    declare(&world, "ES256").await;
    let token = token(&world).await;
    let userinfo = world.userinfo(&token).await;
    assert_eq!(userinfo.status, 401);
    assert!(userinfo.header("www-authenticate").contains("invalid_token"));
    assert!(!world.is_active(&token).await, "to another client it says nothing");
    let persons = world.tokens().await;
    let persons = persons["access_token"].as_str().unwrap();
    assert_eq!(introspected(&world, persons).await, json!({ "active": false }));
}

async fn a_services_token_dies_with_its_declaration_and_by_the_clock(world: World) {
    declare(&world, "ES256").await;
    let active = async |token: &str| introspected(&world, token).await["active"] == true;
    let first = token(&world).await;
    let revoked = world.call("/revoke", SERVICE, &[("token", &first)]).await;
    assert_eq!(revoked.error(), (400, "unsupported_token_type".into()), "we do not say what is not so");
    let others = world.call("/revoke", Some(("app", "app-secret")), &[("token", &first)]).await;
    assert_eq!(others.error(), (400, "invalid_grant".into()));
    assert!(active(&first).await);
    redeclare(&world, "meters", |item| drop(item.fields.insert("name".into(), json!("Readers")))).await;
    assert!(!active(&first).await, "whatever changed, it may have been the secret");
    assert_eq!(world.call("/revoke", SERVICE, &[("token", &first)]).await.status, 200, "as good as revoked");
    let second = token(&world).await;
    assert!(active(&second).await);
    world.advance(Duration::from_secs(305));
    assert!(!active(&second).await);
    let third = token(&world).await;
    assert!(active(&third).await);
    undeclare(&world, "meters").await;
    assert_eq!(world.call("/token", SERVICE, &FORM).await.error(), (401, "invalid_client".into()));
    declare(&world, "ES256").await;
    // It is the first version again, and the token is of the second.
    assert!(!active(&third).await);
}

async fn a_services_token_stays_dead_when_its_client_is_declared_again_with_another_secret(world: World) {
    declare(&world, "ES256").await;
    let first = token(&world).await;
    undeclare(&world, "meters").await;
    declare_with(&world, "ES256", "another-secret").await;
    let told = world.call("/introspect", Some(("meters", "another-secret")), &[("token", &first)]).await;
    assert_eq!(told.json(), json!({ "active": false }), "both are of a first version");
}

async fn that_a_service_is_at_work_is_noted_once_a_minute(world: World) {
    declare(&world, "ES256").await;
    let first = token(&world).await;
    for _ in 0..3 {
        token(&world).await;
        world.advance(Duration::from_secs(19));
    }
    let noted = world.facts("client.signed-in").await;
    assert_eq!(noted.len(), 1);
    let (subject, actor, body) = &noted[0];
    assert_eq!((subject.as_str(), actor.as_str()), ("client:meters", "client:meters"));
    assert_eq!(body["token"], claims(&first).1["jti"]);
    world.advance(Duration::from_secs(3));
    token(&world).await;
    assert_eq!(world.facts("client.signed-in").await.len(), 2);
}
