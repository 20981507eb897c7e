//! Two processes on one PostgreSQL and one Redis, behind nginx.

use std::time::{Duration, Instant};

use server::stage::{CONTROL_ROOM, SUBSTATION, TRANSFORMER_HALL, at_device, payload};
use sim::controlid;
use sim::uhppote::Misbehaviour;
use world::{App, Ears, Engines, Nginx, Node, Served, VERIFIER, parts, skip, until};

use crate::steps::{Employee, PASSWORD, hire_at, person, set_password};

/// How long another node may believe in what one has revoked.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// Has the app told of each session that ends.
async fn listen(house: &Served, ears: &Ears) {
    let (app, declaration) = ("name = \"Grid Console\"\n", house.declaration());
    assert!(declaration.contains(app), "{declaration}");
    let listens = format!(
        "{app}backchannel_logout_uri = \"{}\"\nbackchannel_logout_session_required = true\n",
        ears.uri()
    );
    house.write("grid.toml", &declaration.replace(app, &listens));
    house.must(&["apply", "--yes", &house.path("grid.toml")]).await;
}

/// The app that asks a node itself, past nginx.
fn app_at(house: &Served, node: &Node) -> App {
    App::new(&node.address, world::REDIRECT_URI, &house.app_secret)
}

/// Whoever has nothing but the signed receipt and the published keys finds it good.
async fn is_good(house: &Served, signed: &str) {
    let jwks = reqwest::get(format!("{}/jwks/evidence", house.issuer)).await.unwrap().text().await.unwrap();
    house.write("receipt.jws", signed);
    house.write("evidence.jwks", &jwks);
    let (receipt, keys) = (house.path("receipt.jws"), house.path("evidence.jwks"));
    let said = house.must(&["receipt", "verify", &receipt, "--keys", &keys]).await;
    assert!(said.contains("GOOD"), "{said}");
}

/// The demo's story, from hiring to the receipt. Left out is what needs an application with pages of its own or a mail
/// server: the letter (a command gives the link), one-time codes and the passkey, and the critical app that asks for
/// it. And nobody waits here until the refusals at both doors have come back as events (A4). `commands.rs` has the demo
/// prove all of that on one node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_on_two_nodes_ends_well_when_one_of_them_is_killed_in_its_middle() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let Some(nginx) = parts::nginx() else { skip!("{}", parts::NO_NGINX) };
    let Some(engines) = Engines::heavy() else { skip!("{}", world::NO_ENGINES) };
    let house = Served::prepare_on(&binary, engines).await;
    let ears = Ears::open().await;
    listen(&house, &ears).await;
    let (mut first, mut second) = (house.node("first"), house.node("second"));
    tokio::join!(first.serve(), second.serve());
    let proxy = Nginx::start(&nginx, &house.issuer, &[&first, &second]).await;

    // The first half: each request goes to whichever node is next.
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    until("the card at the substation", async || house.device.holds(at_device(card)).then_some(())).await;
    let link = house.must(&["invite", &user_name]).await;
    let mut browser = house.browser();
    set_password(&mut browser, link.lines().find(|line| line.starts_with("http")).unwrap()).await;
    let app = house.app();
    let code = app.code(&mut browser, &user_name, PASSWORD).await.unwrap();
    let tokens = app.exchange(&code, VERIFIER).await.unwrap();
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let (access, refresh) = (tokens.body["access_token"].as_str(), tokens.body["refresh_token"].as_str());
    let (access, refresh) = (access.unwrap().to_owned(), refresh.unwrap().to_owned());
    let session = payload(tokens.body["id_token"].as_str().unwrap()).unwrap()["sid"].clone();
    let session = session.as_str().unwrap();
    for node in [&first, &second] {
        assert_eq!(app_at(&house, node).introspect(&access).await.unwrap().body["active"], true);
        assert!(proxy.given_to(node) > 3, "both have served the story");
    }
    assert!(house.controller.swipe(card, CONTROL_ROOM).granted);
    assert!(!house.controller.swipe(card, TRANSFORMER_HALL).granted);
    let gate = house.device.swipe(SUBSTATION, at_device(card)).await;
    assert!(gate.opened, "{gate:?}");

    // The middle: HR's word is under way to doors and an app that do not hear, and the node that took it is gone.
    house.controller.misbehave(Misbehaviour::Silent);
    house.device.misbehave(controlid::Misbehaviour::Silent);
    ears.plug(true);
    let at_first = sim::hr::Hr::new(&format!("{}/scim/v2", first.address), house.hr_token.clone()).unwrap();
    at_first.end_employment(&id).await.unwrap();
    first.kill().await;
    is_dead_at_once(&app_at(&house, &second), &access).await;
    assert!(house.holds(card) && !ears.know(session), "neither door nor app has heard yet");

    // The second half: by the same address, on the node that is left.
    house.controller.behave();
    house.device.behave();
    ears.plug(false);
    until("the app told of its end", async || ears.know(session).then_some(())).await;
    assert_eq!(app.userinfo(&access).await.unwrap().status, 401);
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    assert_eq!(app.post("/token", &form).await.unwrap().refusal(), (400, "invalid_grant"));
    let form = browser.get(&app.authorization(&[])).await.unwrap().form_with("password").unwrap();
    let refused = browser.submit(&form, &[("username", &user_name), ("password", PASSWORD)]).await.unwrap();
    assert!(refused.text().contains("do not match"), "{}", refused.text());
    until("the card absent from both door systems", async || (!house.holds(card)).then_some(())).await;
    assert!(!house.controller.swipe(card, CONTROL_ROOM).granted);
    let gate = house.device.swipe(SUBSTATION, at_device(card)).await;
    assert!(!gate.opened, "{gate:?}");
    let (signed, receipt) = until("a complete receipt", async || {
        let said = house.cardea(&["receipt", "show", &id, "--signed"]).await;
        let receipt = payload(said.out.trim()).filter(|receipt| receipt["complete"] == true)?;
        Some((said.out, receipt))
    })
    .await;
    is_good(&house, &signed).await;
    let systems: Vec<_> =
        receipt["doors"].as_array().unwrap().iter().map(|door| door["door_system"].as_str()).collect();
    assert_eq!(systems, [Some("headquarters"), Some("substation")], "a line for each: {receipt}");
    assert!(house.must(&["audit", "verify"]).await.contains("0 findings"));

    // Whoever comes back finds everything as it is, and is given requests again.
    let before = proxy.given_to(&first);
    first.serve().await;
    let back = app_at(&house, &first);
    assert_eq!(back.introspect(&access).await.unwrap().body["active"], false);
    until("requests for the node that is back", async || {
        assert!(reqwest::get(&house.issuer).await.unwrap().status().is_success());
        (proxy.given_to(&first) > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_revokes_the_other_knows_within_a_second() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let Some(engines) = Engines::heavy() else { skip!("{}", world::NO_ENGINES) };
    let house = Served::prepare_on(&binary, engines).await;
    let (mut first, mut second) = (house.node("first"), house.node("second"));
    tokio::join!(first.serve(), second.serve());
    let hr = sim::hr::Hr::new(&format!("{}/scim/v2", first.address), house.hr_token.clone()).unwrap();
    let id = hr.hire(&person("Mira")).await.unwrap();
    let (at_first, at_second) = (app_at(&house, &first), app_at(&house, &second));
    let user_name = person("Mira").user_name;
    let link = house.must(&["invite", &user_name]).await;
    let link =
        link.lines().find(|line| line.starts_with("http")).unwrap().replace(&house.issuer, &first.address);
    let mut browser = house.browser();
    set_password(&mut browser, &link).await;
    let tokens = async |app: &App, browser: &mut sim::browser::Browser| {
        let code = app.code(browser, &user_name, PASSWORD).await.unwrap();
        let tokens = app.exchange(&code, VERIFIER).await.unwrap();
        tokens.body["access_token"].as_str().unwrap().to_owned()
    };
    // A token, by its app; an account, by HR. Each is told to one node and asked of the other.
    let access = tokens(&at_first, &mut browser).await;
    assert_eq!(at_second.introspect(&access).await.unwrap().body["active"], true);
    assert_eq!(at_second.post("/revoke", &[("token", &access)]).await.unwrap().status, 200);
    is_dead_at_once(&at_first, &access).await;
    let access = tokens(&at_first, &mut browser).await;
    assert_eq!(at_second.introspect(&access).await.unwrap().body["active"], true);
    hr.end_employment(&id).await.unwrap();
    is_dead_at_once(&at_second, &access).await;
}

/// Each node asks the database each time: the first answer is right already.
async fn is_dead_at_once(app: &App, access: &str) {
    let asked = Instant::now();
    let answer = app.introspect(access).await.unwrap();
    assert!(answer.status == 200 && answer.body["active"] == false, "{answer:?}");
    assert!(asked.elapsed() < KNOWN_WITHIN, "{:?}", asked.elapsed());
}
