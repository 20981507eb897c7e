//! Driving a real client, in Node.js or Python, against a running server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// How long a client may take for its whole journey.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client did not finish its journey.
#[derive(Debug)]
pub struct ClientError {
    /// What it printed as its result, or null: `{"ok": false, "step": …, "error": …}`.
    pub result: Value,
    /// What it wrote to its standard error, or why it could not be run.
    pub stderr: String,
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the client failed: {}\n{}", self.result, self.stderr)
    }
}

impl std::error::Error for ClientError {}

/// Runs `script` of the folder [`node_clients`](super::node_clients) with `config` and gives its result:
/// what a script takes and gives stands at its head.
///
/// # Errors
/// If it cannot be run, takes longer than a minute, prints no JSON, or ends with another status than 0.
pub async fn run_node_client(clients: &Path, script: &str, config: &Value) -> Result<Value, ClientError> {
    run(Command::new("node"), clients, script, config).await
}

/// The same for a client that also trusts the certificates of a PEM file.
///
/// # Errors
/// As [`run_node_client`].
pub async fn run_node_client_trusting(
    certificate: &Path,
    clients: &Path,
    script: &str,
    config: &Value,
) -> Result<Value, ClientError> {
    let mut node = Command::new("node");
    node.env("NODE_EXTRA_CA_CERTS", certificate);
    run(node, clients, script, config).await
}

async fn run(mut node: Command, clients: &Path, script: &str, config: &Value) -> Result<Value, ClientError> {
    let failed = |stderr: String| ClientError { result: Value::Null, stderr };
    let running = node
        .arg(clients.join(script))
        .env("CARDEA_CLIENT_CONFIG", config.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running)
        .await
        .map_err(|_| failed(format!("{script} took longer than {PATIENCE:?}")))?
        .map_err(|error| failed(format!("node: {error}")))?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let result = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    if output.status.success() && !result.is_null() {
        Ok(result)
    } else {
        Err(ClientError { result, stderr })
    }
}

/// Runs `script` in the Python that [`python`](super::python) gives. Each line that it prints is a wish, which `fulfil`
/// does, or looks at, where the script cannot; what that gives is the line that the script reads next.
///
/// # Panics
/// If it cannot be run, or ends with another status than 0: what it was not satisfied with is in its standard error.
pub async fn run_python_client(
    python: &Path,
    script: &Path,
    arguments: &[String],
    mut fulfil: impl AsyncFnMut(&str) -> String,
) {
    let mut client = Command::new(python)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python runs");
    let mut answers = client.stdin.take().expect("it is piped");
    let mut wishes = BufReader::new(client.stdout.take().expect("it is piped")).lines();
    while let Some(wish) = wishes.next_line().await.expect("it can be read") {
        let answer = format!("{}\n", fulfil(wish.as_str()).await);
        answers.write_all(answer.as_bytes()).await.expect("it reads on");
    }
    assert!(client.wait().await.expect("it ends").success(), "the client was not satisfied: see above");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip;
    use crate::{NO_NODE_CLIENTS, node_clients};

    #[tokio::test]
    async fn a_journey_that_cannot_start_says_at_which_step() {
        let Some(clients) = node_clients() else { skip!("{NO_NODE_CLIENTS}") };
        // Port 9 of the loopback address: nobody listens there.
        let config = serde_json::json!({
            "issuer": "http://localhost:9", "client_id": "app", "client_secret": "s",
            "redirect_uri": "http://localhost:9/callback", "username": "u", "password": "p",
        });
        let error = run_node_client(&clients, "openid_client.mjs", &config).await.unwrap_err();
        assert_eq!(error.result["ok"], false);
        assert_eq!(error.result["step"], "discovery", "{error}");
    }
}
