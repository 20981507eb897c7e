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
    let port = parts::free_port();
    // Nobody listens at the other addresses: the browser stops before it goes there.
    let [redirect_uri, portal, good_bye] =
        ["app-that-stays", "portal", "good-bye"].map(|path| format!("http://localhost:9/{path}"));
    let hears = format!("backchannel_logout_uri = \"http://localhost:{port}/backchannel\"\n");
    let secret = declare(stage, "app-that-stays", &redirect_uri, &hears).await;
    let leads_back = format!("post_logout_redirect_uris = [\"{good_bye}\"]\n");
    let portal_secret = declare(stage, "portal", &portal, &leads_back).await;
    let config = json!({
        "issuer": stage.house.issuer.as_str(),
        "client_id": "app-that-stays",
        "client_secret": secret,
        "redirect_uri": redirect_uri,
        "username": mira.user_name,
        "password": PASSWORD,
        "id_token_alg": "ES256",
        "backchannel_port": port,
        "portal": {
            "client_id": "portal",
            "client_secret": portal_secret,
            "redirect_uri": portal,
            "post_logout_redirect_uri": good_bye,
        },
        "hr": { "scim": stage.house.issuer.url("/scim/v2"), "token": stage.hr_token },
    });
    let said = parts::run_node_client(&clients, "sessions.mjs", &config)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    for proven in ["ok", "rotated", "signed_out_elsewhere", "deactivated"] {
        assert_eq!(said[proven], true, "{proven}: {said}");
    }
}
