//! The log of a whole journey, at `debug`, holds nothing with which somebody could get in.

use kernel::Ctx;
use world::{Served, VERIFIER, parts, skip};

use crate::steps::{Employee, PASSWORD, card_gone, hire_at, set_password};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_life_holds_no_secret() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let mut secrets = vec![
        ("HR's token", house.hr_token.clone()),
        ("the app's secret", house.app_secret.clone()),
        ("the password", PASSWORD.to_owned()),
        ("the code verifier", VERIFIER.to_owned()),
        ("the device's password", house.device_password.clone()),
    ];
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    let link = house.must(&["invite", &user_name]).await;
    secrets.push(("the invitation", link.trim().rsplit(['/', '=', '#']).next().unwrap().to_owned()));
    let mut browser = house.browser();
    set_password(&mut browser, &link).await;

    let app = house.app();
    let wrong = format!("wrong-{}", kernel::Token::generate(&Ctx::system(), "x").expose());
    let page = browser.get(&app.authorization(&[])).await.unwrap();
    let form = page.form_with("password").unwrap();
    for hidden in form.controls.iter().filter(|control| control.kind == "hidden" && control.name != "request")
    {
        secrets.push(("a form's token", hidden.value.clone()));
    }
    let refused = browser.submit(&form, &[("username", &user_name), ("password", &wrong)]).await.unwrap();
    assert_eq!(refused.status, 422);
    secrets.push(("a wrong password", wrong));
    let code = app.code(&mut browser, &user_name, PASSWORD).await.unwrap();
    let tokens = app.exchange(&code, VERIFIER).await.unwrap();
    assert_eq!(tokens.status, 200, "{tokens:?}");
    for name in ["access_token", "id_token"] {
        let token = tokens.body[name].as_str().unwrap().to_owned();
        app.introspect(&token).await.unwrap();
        app.userinfo(&token).await.unwrap();
        app.post("/revoke", &[("token", &token)]).await.unwrap();
        secrets.push((name, token));
    }
    // A reused code is refused, and is worth a line.
    assert_eq!(app.exchange(&code, VERIFIER).await.unwrap().refusal(), (400, "invalid_grant"));
    secrets.push(("the code", code));
    for cookie in browser.cookies() {
        secrets.push(("a cookie", cookie.value.clone()));
    }
    house.hr().end_employment(&id).await.unwrap();
    card_gone(&house.controller, card).await;
    let sessions = house.device.sessions();
    assert!(!sessions.is_empty(), "the house spoke to the device");
    for session in sessions {
        let in_a_query: String = url::form_urlencoded::byte_serialize(session.as_bytes()).collect();
        secrets.extend([("a session at the device", session), ("the same in a query", in_a_query)]);
    }
    assert_eq!(house.stop().await, Some(0));

    let key_file = std::fs::read_to_string(house.folder.path().join("sealing.key")).unwrap();
    for line in key_file.lines().filter(|line| !line.starts_with('#')) {
        secrets.push(("the sealing key", line.split(' ').nth(1).unwrap().to_owned()));
    }
    let log = house.log();
    // All of it went through what is searched here.
    for step in ["/scim/v2/Users", "/invitation", "/sign-in", "/token", "/introspect", "/userinfo", "/revoke"]
    {
        assert!(log.contains(step), "{step} is not in the log");
    }
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not a JSON line: {line}");
    }
    for (what, secret) in secrets {
        assert!(secret.len() >= 16, "{what} is too short to be looked for: {secret:?}");
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "the log tells {what}");
    }
}
