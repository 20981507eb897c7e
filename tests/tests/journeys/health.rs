//! Readiness says no when work cannot be done, and yes again when it can.

use std::time::Duration;

use kernel::Ctx;
use reqwest::StatusCode;
use serde_json::Value;
use server::stage::{Stage, StageOptions};
use url::Url;
use world::{App, Relay, Scene, parts, skip, until};

/// What readiness says to loopback.
async fn ready(stage: &Stage) -> (u16, Value) {
    let answer = reqwest::get(stage.house.issuer.url("/health/ready")).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn not_ready(stage: &Stage, part: &str) -> String {
    until("a server that is not ready", async || {
        let (status, said) = ready(stage).await;
        assert_eq!(status == 200, said["ready"] == true, "{said}");
        (status == 503 && said[part] != "ok").then(|| said[part].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_off_its_databases_is_not_ready() {
    let Some(scene) = Scene::heavy(StageOptions::default()).await else { skip!("{}", world::NO_ENGINES) };
    let (status, said) = ready(&scene.stage).await;
    assert_eq!((status, &said["database"]), (200, &Value::from("ok")));
    scene.clock.put_wrong(Duration::from_secs(60));
    let says = not_ready(&scene.stage, "database").await;
    assert!(says.contains("clock"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_a_node_is_alive_and_not_ready() {
    let scene = Scene::light(StageOptions::default()).await;
    scene.stage.house.db.close().await;
    not_ready(&scene.stage, "database").await;
    let live = reqwest::get(scene.stage.house.issuer.url("/health/live")).await.unwrap();
    assert_eq!(live.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nobody_signs_in_and_a_node_is_not_ready_until_it_is_back() {
    let Some(keyspace) = parts::redis() else { skip!("{}", parts::NO_REDIS) };
    let mut url = Url::parse(keyspace.url()).unwrap();
    let relay = Relay::to(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(6379))).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(relay.address().port())).unwrap();
    let options =
        StageOptions { redis: Some(url.into()), binary: parts::binary(), ..StageOptions::default() };
    let stage = Stage::set(&Ctx::system(), options).await.unwrap();
    assert_eq!(ready(&stage).await.0, 200);
    let app = App::new(stage.house.issuer.as_str(), &stage.app.redirect_uri(), &stage.app_secret);
    let mut browser = stage.browser();
    let form = browser.get(&app.authorization(&[])).await.unwrap().form_with("password").unwrap();

    relay.cut();
    not_ready(&stage, "ephemeral").await;
    let fields = [("username", "mira.holt@grid.example"), ("password", "nine ducks on a cold river")];
    let page = browser.submit(&form, &fields).await.unwrap();
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(page.header("retry-after").is_some());

    relay.mend();
    until("a server that is ready", async || (ready(&stage).await.0 == 200).then_some(())).await;
    assert_eq!(browser.submit(&form, &fields).await.unwrap().status, 422, "a stranger is told so again");
    stage.strike().await;
}
