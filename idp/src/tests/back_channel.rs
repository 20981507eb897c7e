//! Applications hear that a sign-in has ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use directory::user;
use keys::{Alg, Expect};
use serde_json::{Value, json};
use store::{Lane, Origin, delivery};
use web::outbound::Answer as Said;

use super::world::{APP_HEARS, ISSUER, OTHER_HEARS, claims, invite, redeclare, redemption, undeclare};
use super::*;
use crate::logout::back_channel::{BackChannel, Post, SINK};

on_both_engines! {
    the_end_of_a_session_is_told_to_each_application_of_it,
    the_end_of_an_account_is_told_by_the_account_or_session_by_session,
    a_password_by_invitation_and_another_person_in_the_browser_are_told,
    who_was_not_there_or_does_not_listen_is_not_told,
    an_application_that_fails_is_told_again_with_the_same_id_and_in_order,
    an_application_that_refuses_is_a_dead_letter_with_its_reason,
    what_ended_is_not_guessed_when_the_body_of_the_fact_is_erased,
    what_another_release_recorded_waits_for_that_release,
    an_application_that_refuses_one_session_is_told_of_the_others,
    a_session_that_was_told_of_before_is_not_told_of_again,
    npm_jose_believes_a_logout_token_and_no_changed_one,
}

/// What was sent, and what is answered: 200 when nothing else was said.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    /// Address and token of each.
    sent: Vec<(String, String)>,
    answers: VecDeque<Result<Said, String>>,
}

#[async_trait]
impl Post for Ears {
    async fn post(&self, url: &str, media_type: &'static str, body: Vec<u8>) -> Result<Said, String> {
        assert_eq!(media_type, "application/x-www-form-urlencoded");
        let mut pairs = url::form_urlencoded::parse(&body).into_owned();
        let (name, token) = pairs.next().unwrap();
        assert_eq!((name.as_str(), pairs.next()), ("logout_token", None));
        let mut held = self.0.lock().unwrap();
        held.sent.push((url.to_owned(), token));
        held.answers.pop_front().unwrap_or(Ok(Said { status: 200, body: Vec::new() }))
    }
}

impl Ears {
    fn will_say(&self, status: u16, body: &str) {
        self.0.lock().unwrap().answers.push_back(Ok(Said { status, body: body.into() }));
    }

    /// Delivers what is due; the verified claims of what was sent, by address.
    async fn hear(&self, world: &World) -> Vec<(String, Value)> {
        let mut heard: Vec<_> =
            self.take(world).await.into_iter().map(|(url, token)| (url, opened(world, &token))).collect();
        heard.sort_by(|a, b| a.0.cmp(&b.0));
        heard
    }

    /// Delivers what is due; what was sent, in this order.
    async fn take(&self, world: &World) -> Vec<(String, String)> {
        let (db, keys) = (world.db.clone(), world.keys.clone());
        let sink = BackChannel::new(db, keys, world.idp.issuer.clone(), self.clone());
        Lane::new(SINK).drain(&world.db, Arc::new(sink)).await.unwrap();
        std::mem::take(&mut self.0.lock().unwrap().sent)
    }
}

/// The claims of a logout token, which must verify and be nothing else (Back-Channel Logout, section 2.4).
fn opened(world: &World, token: &str) -> Value {
    let (header, stated) = claims(token);
    let alg = if stated["aud"] == "app" { "RS256" } else { "ES256" };
    assert_eq!((&header["typ"], &header["alg"]), (&json!("logout+jwt"), &json!(alg)), "as the client states");
    let audience = stated["aud"].as_str();
    let expect = Expect { typ: "logout+jwt", algs: &Alg::ALL, issuer: ISSUER, audience };
    let claims = world.keys.verify_jwt(token, &expect).unwrap();
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    assert_eq!((&claims["events"], claims.get("nonce")), (&event, None));
    let now = world.ctx.now().as_secs();
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(now), Some(now + 120)));
    assert!(world.keys.verify_jwt(token, &Expect { typ: "JWT", ..expect }).is_err(), "it is no ID token");
    claims
}

/// Ada signs in to `app` and `other` in one browser; the `sid`.
async fn at_both(world: &World) -> (Browser<'_>, String) {
    let browser = world.browser();
    let code = browser.sign_in("app", &[]).await.code();
    let tokens = world.redeem(&code).await.json();
    let code = browser.authorize("other", &[]).await.code();
    let form = redemption(&code, "https://other.example.org/callback", VERIFIER);
    let at_other = world.call("/token", Some(("other", "other-secret")), &form).await;
    assert_eq!(at_other.status, 200, "{}", at_other.body);
    let (_, id) = claims(tokens["id_token"].as_str().unwrap());
    (browser, id["sid"].as_str().unwrap().to_owned())
}

async fn sign_out(browser: &Browser<'_>) {
    let page = browser.get("/logout").await;
    let (form_token, request) = (page.field("form_token"), page.field("request"));
    let done = browser.post("/logout", &[("form_token", form_token.as_str()), ("request", &request)]).await;
    assert_eq!(done.status, 200);
}

async fn the_end_of_a_session_is_told_to_each_application_of_it(world: World) {
    let (browser, sid) = at_both(&world).await;
    let ears = Ears::default();
    assert!(ears.hear(&world).await.is_empty(), "nothing has ended");
    sign_out(&browser).await;
    let heard = ears.hear(&world).await;
    let urls: Vec<&str> = heard.iter().map(|(url, _)| url.as_str()).collect();
    assert_eq!(urls, [APP_HEARS, OTHER_HEARS]);
    for ((_, claims), aud) in heard.iter().zip(["app", "other"]) {
        assert_eq!(
            (&claims["aud"], &claims["sub"], &claims["sid"]),
            (&json!(aud), &json!(world.ada.to_string()), &json!(sid))
        );
    }
    assert_ne!(heard[0].1["jti"], heard[1].1["jti"]);
    assert!(ears.hear(&world).await.is_empty(), "once");
}

async fn the_end_of_an_account_is_told_by_the_account_or_session_by_session(world: World) {
    let ears = Ears::default();
    let (_, first) = at_both(&world).await;
    let (_, second) = at_both(&world).await;
    world.set_active(false).await;
    let heard = ears.hear(&world).await;
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert_eq!(
        (heard[0].0.as_str(), heard[0].1.get("sid")),
        (APP_HEARS, None),
        "every session of the account"
    );
    let mut sids: Vec<&str> = heard[1..].iter().map(|(_, claims)| claims["sid"].as_str().unwrap()).collect();
    sids.sort_unstable();
    let mut expect = [first.as_str(), second.as_str()];
    expect.sort_unstable();
    assert_eq!(sids, expect, "who knows sessions only is told of each");
    for (_, claims) in &heard {
        assert_eq!(claims["sub"], world.ada.to_string());
    }
    world.set_active(true).await;
    at_both(&world).await;
    let seen = user::get(&world.db, world.ada).await.unwrap().unwrap();
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    user::delete(&mut tx, &seen).await.unwrap();
    tx.commit().await.unwrap();
    let heard = ears.hear(&world).await;
    assert_eq!(heard[0].1["sub"], world.ada.to_string());
    assert!(heard.iter().any(|(url, _)| url == OTHER_HEARS));
}

async fn a_password_by_invitation_and_another_person_in_the_browser_are_told(world: World) {
    let ears = Ears::default();
    let (browser, sid) = at_both(&world).await;
    let link = crate::invitation_link(&world.idp.issuer, &invite(&world).await);
    let page = world.browser();
    let form = page.get(link.strip_prefix(ISSUER).unwrap()).await;
    let (form_token, token) = (form.field("form_token"), form.field("token"));
    let new = "four green geese march";
    let fields =
        [("form_token", form_token.as_str()), ("token", &token), ("password", new), ("password_again", new)];
    assert_eq!(page.post("/invitation", &fields).await.status, 200);
    let heard = ears.hear(&world).await;
    assert_eq!((heard.len(), heard[0].1.get("sid"), &heard[1].1["sid"]), (2, None, &json!(sid)));

    let page = browser.sign_in_page("app", &[]).await;
    browser.enter(&page, "ada@example.org", new).await.code();
    assert!(ears.hear(&world).await.is_empty());
    let page = browser.sign_in_page("app", &[("prompt", "login")]).await;
    browser.enter(&page, "bo@example.org", PASSWORD).await.code();
    let heard = ears.hear(&world).await;
    assert_eq!(heard.len(), 1, "Ada's session ends when Bo signs in there");
    assert_eq!(heard[0].1["sub"], world.ada.to_string());
}

async fn who_was_not_there_or_does_not_listen_is_not_told(world: World) {
    let ears = Ears::default();
    let browser = world.browser();
    browser.sign_in("spa", &[]).await.code();
    sign_out(&browser).await;
    assert_eq!(delivery::depth(&world.db).await.unwrap(), (0, 0), "nobody of this session listens");

    let (browser, _) = at_both(&world).await;
    sign_out(&browser).await;
    redeclare(&world, "app", |item| drop(item.fields.remove("backchannel_logout_uri"))).await;
    undeclare(&world, "other").await;
    assert!(ears.hear(&world).await.is_empty(), "nobody is there to be told any more");
    assert_eq!(delivery::depth(&world.db).await.unwrap(), (0, 0));
}

async fn an_application_that_fails_is_told_again_with_the_same_id_and_in_order(world: World) {
    let ears = Ears::default();
    let mut sids = Vec::new();
    for _ in 0..2 {
        let browser = world.browser();
        let code = browser.sign_in("app", &[]).await.code();
        let (_, id) = claims(world.redeem(&code).await.json()["id_token"].as_str().unwrap());
        sids.push(id["sid"].clone());
        sign_out(&browser).await;
        world.advance(Duration::from_millis(5));
    }
    ears.will_say(503, "");
    let first = ears.hear(&world).await;
    assert_eq!((first.len(), &first[0].1["sid"]), (1, &sids[0]), "the second waits for the first");
    ears.0.lock().unwrap().answers.push_back(Err("it did not answer within 5 s".into()));
    world.advance(Duration::from_secs(61));
    let second = ears.hear(&world).await;
    assert_eq!((&second[0].1["jti"], &second[0].1["sid"]), (&first[0].1["jti"], &sids[0]));
    world.advance(Duration::from_secs(61));
    let last = ears.hear(&world).await;
    let told: Vec<&Value> = last.iter().map(|(_, claims)| &claims["sid"]).collect();
    assert_eq!(told, [&sids[0], &sids[1]]);
    assert_eq!(last[0].1["jti"], first[0].1["jti"]);
    assert_ne!(last[1].1["jti"], first[0].1["jti"]);
    assert_eq!(delivery::depth(&world.db).await.unwrap(), (0, 0));
}

async fn an_application_that_refuses_is_a_dead_letter_with_its_reason(world: World) {
    let ears = Ears::default();
    let (browser, _) = at_both(&world).await;
    sign_out(&browser).await;
    ears.will_say(400, r#"{"error":"invalid_request"}"#);
    ears.will_say(204, "");
    assert_eq!(ears.hear(&world).await.len(), 2);
    let dead = delivery::dead(&world.db, 9).await.unwrap();
    assert_eq!((dead.len(), dead[0].sink.as_str()), (1, SINK));
    let why = dead[0].last_error.as_deref().unwrap();
    assert!(why.contains("invalid_request"), "{why}");
    world.advance(Duration::from_secs(3_600));
    assert!(ears.hear(&world).await.is_empty(), "it is not tried again by itself");
    assert!(delivery::retry(&world.db, Origin::system(), dead[0].id).await.unwrap());
    assert_eq!(ears.hear(&world).await.len(), 1, "it is when somebody says so");
}

async fn what_ended_is_not_guessed_when_the_body_of_the_fact_is_erased(world: World) {
    let ears = Ears::default();
    let (browser, _) = at_both(&world).await;
    sign_out(&browser).await;
    let erase = store::sql!("UPDATE fact SET body = NULL, salt = NULL WHERE kind = 'session.ended'");
    assert_eq!(world.db.change(Origin::system(), erase, (), Vec::new()).await.unwrap(), 1);
    assert!(ears.hear(&world).await.is_empty(), "no application ends every session of the account");
    let dead = delivery::dead(&world.db, 9).await.unwrap();
    assert_eq!(dead.len(), 2);
    assert!(dead[0].last_error.as_deref().unwrap().contains("erased"), "{dead:?}");
}

/// As while nodes of two releases run side by side.
async fn what_another_release_recorded_waits_for_that_release(world: World) {
    let ears = Ears::default();
    let (browser, _) = at_both(&world).await;
    sign_out(&browser).await;
    let later = store::sql!(
        "UPDATE fact SET body = REPLACE(body, '\"v\":1', '\"v\":2') WHERE kind = 'session.ended'"
    );
    assert_eq!(world.db.change(Origin::system(), later, (), Vec::new()).await.unwrap(), 1);
    assert!(ears.hear(&world).await.is_empty());
    assert_eq!(delivery::depth(&world.db).await.unwrap(), (2, 0), "nothing is given up");
    let why = delivery::waiting(&world.db, 9).await.unwrap().remove(0).last_error.unwrap();
    assert!(why.contains("another release") && !why.contains("erased"), "{why}");
    let read = store::sql!(
        "UPDATE fact SET body = REPLACE(body, '\"v\":2', '\"v\":1') WHERE kind = 'session.ended'"
    );
    assert_eq!(world.db.change(Origin::system(), read, (), Vec::new()).await.unwrap(), 1);
    world.advance(Duration::from_secs(61));
    assert_eq!(ears.hear(&world).await.len(), 2);
}

async fn an_application_that_refuses_one_session_is_told_of_the_others(world: World) {
    let ears = Ears::default();
    at_both(&world).await;
    at_both(&world).await;
    world.set_active(false).await;
    // `app` is told by the account, `other` session by session.
    for _ in 0..3 {
        ears.will_say(400, "no such session");
    }
    assert_eq!(ears.hear(&world).await.len(), 3);
    assert_eq!(delivery::dead(&world.db, 9).await.unwrap().len(), 2, "and the operator reads of it");
}

async fn a_session_that_was_told_of_before_is_not_told_of_again(world: World) {
    let ears = Ears::default();
    let (browser, _) = at_both(&world).await;
    sign_out(&browser).await;
    assert_eq!(ears.hear(&world).await.len(), 2);
    world.set_active(false).await;
    assert!(ears.hear(&world).await.is_empty());
}

/// What the library says of a token, run in Node.js; `None` where it is not installed.
fn by_jose(world: &World, token: &str, client: &str, sid: &str) -> Option<Value> {
    let folder = parts::or_skip(parts::node_clients(), parts::NO_NODE_CLIENTS)?;
    let jwks: Value = serde_json::from_slice(&world.keys.jwks().bytes).unwrap();
    let config = json!({
        "issuer": ISSUER, "client_id": client, "jwks": jwks, "token": token, "sub": world.ada.to_string(), "sid": sid,
    });
    let script = folder.join("logout_token.mjs");
    let mut node = std::process::Command::new("node");
    let output = node.arg(script).env("CARDEA_CLIENT_CONFIG", config.to_string()).output().unwrap();
    let said = serde_json::from_slice(&output.stdout);
    Some(said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

async fn npm_jose_believes_a_logout_token_and_no_changed_one(world: World) {
    let ears = Ears::default();
    let (browser, sid) = at_both(&world).await;
    sign_out(&browser).await;
    for (url, token) in ears.take(&world).await {
        let (client, alg) = if url == APP_HEARS { ("app", "RS256") } else { ("other", "ES256") };
        let Some(said) = by_jose(&world, &token, client, &sid) else { return };
        assert_eq!((&said["ok"], &said["alg"]), (&json!(true), &json!(alg)), "{said}");
        let changed = token.replacen(&token[token.len() - 20..], "AAAAAAAAAAAAAAAAAAAA", 1);
        assert_eq!(by_jose(&world, &changed, client, &sid).unwrap()["ok"], false);
        assert_eq!(by_jose(&world, &token, "spa", &sid).unwrap()["ok"], false);
    }
}
