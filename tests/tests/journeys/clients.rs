//! Clients that nobody here wrote.

use serde_json::json;
use world::{Scene, parts, skip};

use crate::steps::{PASSWORD, declare, join};

journeys!(
    npm_openid_client_signs_in_and_is_refused_where_it_must_be,
    npm_openid_client_refreshes_and_is_told_of_the_end,
);

async fn npm_openid_client_signs_in_and_is_refused_where_it_must_be(scene: &Scene) {
    let Some(clients) = parts::node_clients() else { skip!("{}", parts::NO_NODE_CLIENTS) };
    let stage = &scene.stage;
    let (mira, _) = join(stage, "Mira").await;
    let config = json!({
        "issuer": stage.house.issuer.as_str(),
        "client_id": "grid-console",
        "client_secret": stage.app_secret,
        "redirect_uri": stage.app.redirect_uri(),
        "username": mira.user_name,
        "password": PASSWORD,
        "scope": "openid profile email",
        "id_token_alg": "ES256",
    });
    let said = parts::run_node_client(&clients, "openid_client.mjs", &config)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(said["ok"], true, "{said}");
    assert_eq!(said["id_token"]["alg"], "ES256");
    assert_eq!(said["id_token"]["claims"]["sub"], mira.id);
    assert_eq!(said["userinfo"]["sub"], mira.id);
    assert_eq!(said["wrong_verifier"], "invalid_grant");
    assert_eq!(said["code_reuse"], "invalid_grant");
    assert_eq!(said["revoked"], true);
}

async fn npm_openid_client_refreshes_and_is_told_of_the_end(scene: &Scene) {
    let Some(clients) = parts::node_clients() else { skip!("{}", parts::NO_NODE_CLIENTS) };
    let stage = &scene.stage;
    let (mira, _) = join(stage, "Mira").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let redirect_uri = format!("http://localhost:{port}/callback");
    let hears = format!("backchannel_logout_uri = \"http://localhost:{port}/backchannel\"\n");
    let secret = declare(stage, "app-that-stays", &redirect_uri, &hears).await;
    let config = json!({
        "issuer": stage.house.issuer.as_str(),
        "client_id": "app-that-stays",
        "client_secret": secret,
        "redirect_uri": redirect_uri,
        "username": mira.user_name,
        "password": PASSWORD,
        "id_token_alg": "ES256",
        "port": port,
        "scim": stage.house.issuer.url("/scim/v2"),
        "scim_token": stage.hr_token,
    });
    let said = parts::run_node_client(&clients, "logged_out.mjs", &config)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(said["ok"], true, "{said}");
    assert_eq!(said["told"]["sub"], mira.id);
    for refused in ["reuse", "after_reuse", "after_logout"] {
        assert_eq!(said[refused], "invalid_grant", "{refused}");
    }
}
