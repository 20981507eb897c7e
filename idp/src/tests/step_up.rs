//! One more step: what is asked, what it opens, and what it does not.

use std::time::Duration;

use directory::authenticator::passkey::Passkeys;
use futures_util::future::join_all;
use parts::passkey::{BE, BS, Claims, Device};
use serde_json::{Value, json};
use webauthn_authenticator_rs::WebauthnAuthenticator as _;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::world::{ISSUER, claims};
use super::*;

on_both_engines! {
    an_application_that_needs_two_factors_gets_them_one_step_at_a_time,
    a_passkey_is_a_sign_in_by_itself,
    a_passkey_is_the_strongest_second_step_and_others_can_be_chosen,
    a_recovery_code_works_once,
    the_cookie_from_before_a_step_is_dead_after_it,
    a_one_time_code_that_was_used_raises_nobody,
    an_answer_to_another_page_browser_or_origin_raises_nobody,
    guessing_at_one_time_codes_is_stopped_and_leaves_the_password_alone,
    each_factor_is_guessed_at_five_times_and_the_others_are_left_alone,
    of_two_hundred_codes_guessed_at_once_five_are_looked_at,
    a_wish_for_more_is_fulfilled_where_it_can_be,
    who_must_sign_in_anew_is_asked_once_and_no_older_session_will_do,
    a_session_is_left_alone_for_so_long_only_as_its_rung_allows,
    what_is_missing_is_set_up_where_policy_allows,
    nothing_is_added_with_less_than_what_there_is_to_show,
    a_page_left_open_raises_nobody_who_signed_in_since,
    a_cookie_planted_before_a_factor_is_set_up_is_dead_after_it,
    a_synced_passkey_resists_phishing_and_is_not_enough_where_the_key_must_not_leave,
}

async fn claims_of(world: &World, client: &str, uri: &str, code: &str) -> Value {
    let form = super::world::redemption(code, uri, VERIFIER);
    let answer = world.call("/token", Some((client, &format!("{client}-secret"))), &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    claims(answer.json()["id_token"].as_str().unwrap()).1
}

const MODERATE: &str = "https://moderate.example.org/callback";
const VAULT: &str = "https://vault.example.org/callback";

async fn an_application_that_needs_two_factors_gets_them_one_step_at_a_time(world: World) {
    let seed = world.give_totp().await;
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("moderate", &[]).await).await;
    assert!(page.body.contains("This application needs two factors."), "{}", page.body);
    assert!(
        page.header("content-security-policy").contains("form-action 'self' https://moderate.example.org;")
    );
    let wrong = browser.step(&page, "totp", "000000").await;
    assert_eq!(wrong.status, 422);
    let code = browser.step(&page, "totp", &world.code_of(&seed)).await.code();
    let said = claims_of(&world, "moderate", MODERATE, &code).await;
    assert_eq!((&said["acr"], &said["amr"]), (&json!("aal2"), &json!(["pwd", "otp", "mfa"])));
    let renewed = world.facts("session.renewed").await;
    assert_eq!(renewed.len(), 1);
    assert!(renewed[0].2["because"].to_string().contains("sign-in.moderate"), "{}", renewed[0].2);
    browser.authorize("moderate", &[("prompt", "none")]).await.code();
}

async fn a_passkey_is_a_sign_in_by_itself(world: World) {
    let mut device = world.give_passkey().await;
    let browser = world.browser();
    let page = browser.sign_in_page("vault", &[]).await;
    assert!(page.body.contains("username webauthn"), "{}", page.body);
    let answer = signed_by(&world, &mut device, &keys_of_ada(&world).await, &page);
    let code = browser.send_passkey(&page, "/sign-in", &answer).await.code();
    let said = claims_of(&world, "vault", VAULT, &code).await;
    assert_eq!((&said["acr"], &said["amr"]), (&json!("phrh"), &json!(["hwk", "user", "mfa"])));
    let again = world.browser();
    assert_eq!(again.send_passkey(&page, "/sign-in", &answer).await.status, 403, "another browser");
    let replayed = browser.send_passkey(&page, "/sign-in", &answer).await;
    assert_eq!(replayed.status, 422, "a challenge is good once");
}

/// The keys that Ada has, as a page asks for them.
pub(super) async fn keys_of_ada(world: &World) -> Value {
    let passkeys = Passkeys::new(&ISSUER.parse().unwrap(), "id.example.org").unwrap();
    let (known, _) = passkeys.ask_user(&world.db, world.ada).await.unwrap().unwrap();
    serde_json::to_value(known).unwrap()["publicKey"]["allowCredentials"].clone()
}

/// What Ada's device answers on the sign-in page. A soft device finds nothing by itself: it is told which keys there
/// are, and whose.
pub(super) fn signed_by(world: &World, device: &mut SoftPasskey, keys: &Value, page: &Answer) -> String {
    let mut request: Value = page.options();
    request["publicKey"]["allowCredentials"] = keys.clone();
    let request = serde_json::from_value(request).unwrap();
    let mut answer = device.do_authentication(ISSUER.parse().unwrap(), request).unwrap();
    answer.response.user_handle = Some(uuid_bytes(&world.ada.to_string()));
    serde_json::to_string(&answer).unwrap()
}

fn uuid_bytes(id: &str) -> Vec<u8> {
    let digits: Vec<u8> = id.bytes().filter(|byte| *byte != b'-').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

async fn a_synced_passkey_resists_phishing_and_is_not_enough_where_the_key_must_not_leave(world: World) {
    let right = Claims::right(ISSUER, "id.example.org");
    let synced = Claims { flags: right.flags | BE | BS, ..right };
    let device = Device::new("a-key-in-a-cloud");
    world.give_key_of(|asked| device.register(asked, synced)).await;
    let sign = |page: &Answer, counter: u32, handle: Option<&[u8]>| {
        device.authenticate(&page.options(), Claims { counter, ..synced }, handle).to_string()
    };
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("vault", &[]).await).await;
    let code = browser.send_passkey(&page, "/step-up", &sign(&page, 7, None)).await.code();
    let said = claims_of(&world, "vault", VAULT, &code).await;
    assert_eq!((&said["acr"], &said["amr"]), (&json!("phr"), &json!(["pwd", "swk", "user", "mfa"])));
    let alone = world.browser();
    let page = alone.sign_in_page("vault", &[("acr_values", "phrh")]).await;
    let handle = uuid_bytes(&world.ada.to_string());
    let code = alone.send_passkey(&page, "/sign-in", &sign(&page, 8, Some(&handle))).await.code();
    let said = claims_of(&world, "vault", VAULT, &code).await;
    assert_eq!((&said["acr"], &said["amr"]), (&json!("phr"), &json!(["swk", "user", "mfa"])));
    world.set_policies(
        r#"@id("bound") @because("Only with a key that stays on its device.")
        forbid (principal, action == Action::"signIn", resource == Client::"vault")
        unless { context.assurance >= 4 };"#,
    );
    let silent = browser.authorize("vault", &[("prompt", "none")]).await;
    assert_eq!(silent.sent("error").as_deref(), Some("interaction_required"));
    let on = browser.authorize("vault", &[]).await;
    assert!(on.location().starts_with("/enrol?"), "{}", on.location());
    let page = browser.get(on.location()).await;
    assert!(page.body.contains("Only with a key that stays on its device."), "{}", page.body);
}

async fn a_passkey_is_the_strongest_second_step_and_others_can_be_chosen(world: World) {
    let (seed, mut device) = (world.give_totp().await, world.give_passkey().await);
    let browser = world.browser();
    let at = browser.sign_in("moderate", &[]).await;
    let page = browser.step_page(&at).await;
    assert!(page.body.contains("data-passkey=\"get\"") && page.body.contains("way=totp"), "{}", page.body);
    let other = browser.get(&at.location().replacen('?', "?way=totp&", 1)).await;
    browser.step(&other, "totp", &world.code_of(&seed)).await.code();
    let page = browser.step_page(&browser.authorize("vault", &[]).await).await;
    assert!(!page.body.contains("way=totp"), "a code is not enough here: {}", page.body);
    let code = browser.passkey(&page, "/step-up", &mut device).await.code();
    let said = claims_of(&world, "vault", VAULT, &code).await;
    assert_eq!((&said["acr"], &said["amr"]), (&json!("phrh"), &json!(["pwd", "otp", "hwk", "user", "mfa"])));
}

async fn a_recovery_code_works_once(world: World) {
    let codes = world.give_recovery_codes().await;
    let first = codes[0].expose().to_uppercase();
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("moderate", &[]).await).await;
    browser.step(&page, "recovery-code", &first).await.code();
    let other = world.browser();
    let page = other.step_page(&other.sign_in("moderate", &[]).await).await;
    assert_eq!(other.step(&page, "recovery-code", &first).await.status, 422);
    assert_eq!(world.facts("authenticator.used").await[0].2["left"], json!(9));
}

async fn the_cookie_from_before_a_step_is_dead_after_it(world: World) {
    let seed = world.give_totp().await;
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("moderate", &[]).await).await;
    let before = browser.session().unwrap();
    browser.step(&page, "totp", &world.code_of(&seed)).await.code();
    assert_ne!(browser.session().unwrap(), before);
    let thief = world.browser();
    thief.cookies.borrow_mut().insert("__Host-cardea-session".into(), before);
    for client in ["app", "moderate"] {
        assert!(thief.authorize(client, &[]).await.location().starts_with("/sign-in?"), "{client}");
    }
}

async fn a_one_time_code_that_was_used_raises_nobody(world: World) {
    let seed = world.give_totp().await;
    let code = world.code_of(&seed);
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("moderate", &[]).await).await;
    browser.step(&page, "totp", &code).await.code();
    let thief = world.browser();
    let page = thief.step_page(&thief.sign_in("moderate", &[]).await).await;
    assert_eq!(thief.step(&page, "totp", &code).await.status, 422);
    let silent = thief.authorize("moderate", &[("prompt", "none")]).await;
    assert_eq!(silent.sent("error").as_deref(), Some("interaction_required"));
}

async fn an_answer_to_another_page_browser_or_origin_raises_nobody(world: World) {
    let mut device = world.give_passkey().await;
    let browser = world.browser();
    let at = browser.sign_in("vault", &[]).await;
    let (page, other) = (browser.step_page(&at).await, browser.step_page(&at).await);
    let mut answer_at = |origin: &str| {
        let answer = device.do_authentication(origin.parse().unwrap(), page.options());
        answer.ok().map(|answer| serde_json::to_string(&answer).unwrap())
    };
    let right = answer_at(super::world::ISSUER).unwrap();
    assert_eq!(browser.send_passkey(&other, "/step-up", &right).await.status, 422, "another challenge");
    // A client may refuse to ask at all: then there is nothing to send.
    if let Some(elsewhere) = answer_at("https://id.example.org:8443") {
        let page = browser.step_page(&at).await;
        assert_eq!(browser.send_passkey(&page, "/step-up", &elsewhere).await.status, 422);
    }
    let stranger = world.browser();
    let bo = stranger.sign_in_page("vault", &[]).await;
    stranger.enter(&bo, "bo@example.org", PASSWORD).await;
    let stolen = stranger.send_passkey(&page, "/step-up", &right).await;
    assert_eq!(stolen.status, 403, "the form is another browser's");
    browser.send_passkey(&page, "/step-up", &right).await.code();
}

async fn guessing_at_one_time_codes_is_stopped_and_leaves_the_password_alone(world: World) {
    let seed = world.give_totp().await;
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("moderate", &[]).await).await;
    for _ in 0..5 {
        assert_eq!(browser.step(&page, "totp", "000000").await.status, 422);
    }
    let right = world.code_of(&seed);
    let stopped = browser.step(&page, "totp", &right).await;
    assert_eq!((stopped.status, stopped.header("retry-after")), (429, "300"));
    browser.sign_in("app", &[("prompt", "login")]).await.code();
    let page = browser.step_page(&browser.authorize("moderate", &[]).await).await;
    assert_eq!(
        browser.step(&page, "totp", &right).await.status,
        429,
        "the password buys no guess at the code"
    );
    world.advance(Duration::from_secs(300));
    browser.step(&page, "totp", &world.code_of(&seed)).await.code();
}

async fn each_factor_is_guessed_at_five_times_and_the_others_are_left_alone(world: World) {
    let (seed, mut device) = (world.give_totp().await, world.give_passkey().await);
    let codes = world.give_recovery_codes().await;
    let browser = world.browser();
    let at = browser.sign_in("moderate", &[]).await;
    let stopped = |answer: &Answer| (answer.status, answer.header("retry-after").to_owned());
    for _ in 0..5 {
        let page = browser.step_page(&at).await;
        assert_eq!(browser.send_passkey(&page, "/step-up", "{}").await.status, 422);
        assert_eq!(browser.step(&page, "recovery-code", "aaaaa-aaaaa").await.status, 422);
    }
    let page = browser.step_page(&at).await;
    let right = browser.step(&page, "recovery-code", codes[0].expose()).await;
    assert_eq!(stopped(&right), (429, "300".into()));
    assert_eq!(stopped(&browser.passkey(&page, "/step-up", &mut device).await), (429, "300".into()));
    browser.step(&page, "totp", &world.code_of(&seed)).await.code();
    let told = world.facts("sign-in.refused").await;
    let throttled = told.iter().filter(|(.., body)| body["reason"] == "throttled-factor").count();
    assert_eq!((told.len(), throttled), (12, 2), "one for each factor");
}

pub(super) async fn of_two_hundred_codes_guessed_at_once_five_are_looked_at(world: World) {
    world.give_totp().await;
    let guess = |n: u8| {
        let (idp, user) = (&world.idp, world.ada);
        let address = std::net::IpAddr::from([192, 0, 2, n]);
        async move {
            let way = crate::steps::Way::Totp;
            crate::sign_in::attempts::begin_factor(idp, user, way, address).await.unwrap().is_ok()
        }
    };
    let looked_at = join_all((0..200).map(guess)).await.into_iter().filter(|through| *through).count();
    assert_eq!(looked_at, 5);
}

async fn a_wish_for_more_is_fulfilled_where_it_can_be(world: World) {
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    browser.authorize("app", &[("acr_values", "aal2")]).await.code();
    let seed = world.give_totp().await;
    browser.authorize("app", &[("acr_values", "aal2"), ("prompt", "none")]).await.code();
    browser.authorize("app", &[("acr_values", "phr aal1")]).await.code();
    let page = browser.step_page(&browser.authorize("app", &[("acr_values", "phr aal2")]).await).await;
    let code = browser.step(&page, "totp", &world.code_of(&seed)).await.code();
    let said = claims_of(&world, "app", CALLBACK, &code).await;
    assert_eq!(said["acr"], json!("aal2"));
}

async fn who_must_sign_in_anew_is_asked_once_and_no_older_session_will_do(world: World) {
    let seed = world.give_totp().await;
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("moderate", &[]).await).await;
    browser.step(&page, "totp", &world.code_of(&seed)).await.code();
    world.advance(Duration::from_secs(60));
    for more in [("prompt", "login"), ("max_age", "0")] {
        let at = browser.sign_in("moderate", &[more]).await;
        let page = browser.step_page(&at).await;
        world.advance(Duration::from_secs(30));
        browser.step(&page, "totp", &world.code_of(&seed)).await.code();
        // The session is strong enough now, but older than the next request.
        world.advance(Duration::from_secs(1));
        let direct = super::world::request_of("moderate", &[more]).replacen("/authorize", "/step-up", 1);
        assert!(browser.get(&direct).await.location().starts_with("/sign-in?"), "{more:?}");
        world.advance(Duration::from_secs(60));
    }
}

async fn a_session_is_left_alone_for_so_long_only_as_its_rung_allows(world: World) {
    let (seed, mut device) = (world.give_totp().await, world.give_passkey().await);
    let browser = world.browser();
    let at = browser.sign_in("moderate", &[]).await;
    let page = browser.get(&at.location().replacen('?', "?way=totp&", 1)).await;
    browser.step(&page, "totp", &world.code_of(&seed)).await.code();
    world.advance(Duration::from_secs(3599));
    browser.authorize("moderate", &[]).await.code();
    world.advance(Duration::from_secs(3599));
    browser.authorize("moderate", &[]).await.code();
    world.advance(Duration::from_secs(3600));
    assert!(browser.authorize("app", &[]).await.location().starts_with("/sign-in?"));
    let page = browser.step_page(&browser.sign_in("vault", &[]).await).await;
    browser.passkey(&page, "/step-up", &mut device).await.code();
    assert_eq!(world.facts("session.opened").await.len(), 1, "whoever comes back keeps the session");
    world.advance(Duration::from_secs(900));
    assert!(browser.authorize("app", &[]).await.location().starts_with("/sign-in?"));
}

async fn what_is_missing_is_set_up_where_policy_allows(world: World) {
    let browser = world.browser();
    let at = browser.sign_in("moderate", &[]).await;
    assert!(at.location().starts_with("/enrol?"), "{}", at.location());
    let page = browser.get(&at.location().replacen('?', "?way=totp&", 1)).await;
    let key = page.body.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();
    let seed = seed_of(&key);
    let (form_token, request, sealed) = (page.field("form_token"), page.field("request"), page.field("seed"));
    let send = async |code: &str| {
        let form = [
            ("form_token", form_token.as_str()),
            ("request", &request),
            ("way", "totp"),
            ("seed", &sealed),
            ("code", code),
            ("name", "My phone"),
        ];
        browser.post("/enrol", &form).await
    };
    assert_eq!(send("000000").await.status, 422);
    let code = send(&world.code_of(&seed)).await.code();
    let said = claims_of(&world, "moderate", MODERATE, &code).await;
    assert_eq!(said["acr"], json!("aal2"), "who shows that it works has signed in with it");
    let added = world.facts("authenticator.added").await;
    assert_eq!((added.len(), &added[0].2["kind"]), (1, &json!("totp")));
    assert!(send(&world.code_of(&seed)).await.sent("code").is_some(), "nothing is missing any more");
    assert_eq!(world.facts("authenticator.added").await.len(), 1);
}

pub(super) fn seed_of(key: &str) -> directory::authenticator::totp::Seed {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for letter in key.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = letters.iter().position(|known| *known == letter).unwrap();
        bits = bits << 5 | u32::try_from(value).unwrap();
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    directory::authenticator::totp::Seed::from_bytes(&bytes).unwrap()
}

async fn nothing_is_added_with_less_than_what_there_is_to_show(world: World) {
    let seed = world.give_totp().await;
    let browser = world.browser();
    browser.sign_in("app", &[]).await.code();
    // A key is missing for the vault, but a password alone adds none where there is a second factor.
    for path in [
        "/enrol?to=add-passkey".to_owned(),
        super::world::request_of("vault", &[]).replacen("/authorize", "/enrol", 1),
    ] {
        let answer = browser.get(&path).await;
        assert!(answer.location().starts_with("/step-up?"), "{path}: {}", answer.location());
    }
    let page = browser.step_page(&browser.get("/enrol?to=add-passkey").await).await;
    let on = browser.step(&page, "totp", &world.code_of(&seed)).await;
    assert_eq!(on.location(), "/enrol?way=passkey&to=add-passkey");
    let on = on.location().to_owned();
    let page = browser.get(&on).await;
    assert_eq!(page.status, 200, "{}", page.body);
    // What was shown long ago does not count.
    world.advance(Duration::from_secs(601));
    assert!(browser.get(&on).await.location().starts_with("/sign-in?"));
    let mut device = webauthn_authenticator_rs::softpasskey::SoftPasskey::new(true);
    let answer = device.do_registration(super::world::ISSUER.parse().unwrap(), page.options()).unwrap();
    let late = browser.send_passkey(&page, "/enrol", &serde_json::to_string(&answer).unwrap()).await;
    assert!(late.location().starts_with("/sign-in?"), "{}", late.location());
    assert!(world.facts("authenticator.added").await.is_empty());
}

async fn a_cookie_planted_before_a_factor_is_set_up_is_dead_after_it(world: World) {
    let browser = world.browser();
    let at = browser.sign_in("moderate", &[]).await;
    let planted = browser.session().unwrap();
    let page = browser.get(&at.location().replacen('?', "?way=totp&", 1)).await;
    browser.enrol_totp(&page).await.1.code();
    assert_ne!(browser.session().unwrap(), planted);
    let thief = world.browser();
    thief.cookies.borrow_mut().insert("__Host-cardea-session".into(), planted);
    for client in ["app", "moderate"] {
        assert!(thief.authorize(client, &[]).await.location().starts_with("/sign-in?"), "{client}");
    }
}

async fn a_page_left_open_raises_nobody_who_signed_in_since(world: World) {
    let mut device = world.give_passkey().await;
    let browser = world.browser();
    let page = browser.step_page(&browser.sign_in("vault", &[]).await).await;
    let right = device.do_authentication(ISSUER.parse().unwrap(), page.options()).unwrap();
    let right = serde_json::to_string(&right).unwrap();
    let entrance = browser.sign_in_page("app", &[("prompt", "login")]).await;
    browser.enter(&entrance, "bo@example.org", PASSWORD).await.code();
    let on = browser.send_passkey(&page, "/step-up", &right).await;
    assert!(on.location().starts_with("/enrol?"), "Bo has no key to be asked for: {}", on.location());
    assert!(world.facts("session.renewed").await.is_empty());
    let offer = browser.get(on.location()).await;
    let mut bos = SoftPasskey::new(true);
    let made = bos.do_registration(ISSUER.parse().unwrap(), offer.options()).unwrap();
    browser.send_passkey(&offer, "/enrol", &serde_json::to_string(&made).unwrap()).await.code();
    // With a password only, the step is asked of him now. Ada's challenge is not used up yet, but it is hers.
    browser.enter(&entrance, "bo@example.org", PASSWORD).await.code();
    let anew = browser.send_passkey(&page, "/step-up", &right).await;
    assert_eq!(anew.status, 422, "{}", anew.body);
    let refused = world.facts("sign-in.refused").await;
    let bo = format!("user:{}", world.bo);
    assert_eq!(refused.len(), 1);
    assert_eq!((&refused[0].0, &refused[0].2["reason"]), (&bo, &json!("wrong-factor")));
    assert_eq!(world.facts("session.renewed").await.len(), 2, "the key that he added, and his password");
    browser.passkey(&anew, "/step-up", &mut bos).await.code();
    let renewed = world.facts("session.renewed").await;
    assert!(renewed.len() == 3 && renewed.iter().all(|(whose, ..)| *whose == bo), "{renewed:?}");
}
