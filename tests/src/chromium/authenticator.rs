//! A passkey provider as the browser's own: WebDriver's virtual authenticator (WebAuthn Level 3, section 11).

use reqwest::Method;
use serde_json::{Value, json};
use thirtyfour::WebDriver;

/// A platform authenticator with discoverable credentials. Its owner is always there, consents, and is verified.
pub struct VirtualAuthenticator {
    driver: WebDriver,
    id: String,
}

impl VirtualAuthenticator {
    pub(super) async fn add(driver: WebDriver) -> Self {
        let traits = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "isUserConsenting": true,
        });
        let id = run(&driver, Method::POST, String::new(), Some(traits)).await;
        let id = id.as_str().expect("an authenticator has an id").to_owned();
        Self { driver, id }
    }

    /// The passkeys that it holds, each with `rpId`, `userHandle` and `isResidentCredential`.
    ///
    /// # Panics
    /// If the browser is closed.
    pub async fn credentials(&self) -> Vec<Value> {
        let credentials = run(&self.driver, Method::GET, format!("/{}/credentials", self.id), None).await;
        serde_json::from_value(credentials).expect("credentials are a list")
    }

    /// Whether its owner shows the right finger, or types the right PIN, from now on.
    ///
    /// # Panics
    /// If the browser is closed.
    pub async fn verify_owner(&self, verified: bool) {
        let body = json!({ "isUserVerified": verified });
        run(&self.driver, Method::POST, format!("/{}/uv", self.id), Some(body)).await;
    }
}

async fn run(driver: &WebDriver, method: Method, path: String, body: Option<Value>) -> Value {
    super::run(driver, method, format!("webauthn/authenticator{path}"), body).await
}
