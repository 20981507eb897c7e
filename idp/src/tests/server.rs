//! Servers that tests are given by environment variables, and a PostgreSQL database of a test's own.

use std::io::Write as _;
use std::process::{Command, Stdio};

use kernel::{Ctx, Secret};
use store::DbConfig;
use url::Url;

/// A PostgreSQL database that is dropped at the end.
pub(crate) struct ServerDatabase {
    admin: Url,
    name: String,
}

impl ServerDatabase {
    /// `None`, with a reason on the output, where there is no server.
    pub(crate) fn create() -> Option<Self> {
        let admin: Url = address("CARDEA_TEST_POSTGRES", "no PostgreSQL")?.parse().unwrap();
        let random: [u8; 8] = Ctx::system().random();
        let name = random.iter().fold(String::from("cardea_idp_"), |name, byte| format!("{name}{byte:02x}"));
        let how = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
        psql(&admin, &format!("CREATE DATABASE {name} {how};"));
        Some(Self { admin, name })
    }

    pub(crate) fn config(&self) -> DbConfig {
        let mut url = self.admin.clone();
        url.set_path(&self.name);
        DbConfig::Postgres { url: Secret::new(url.to_string()), connections: 16 }
    }
}

impl Drop for ServerDatabase {
    fn drop(&mut self) {
        // Not while a failed test unwinds: what stays goes with its cluster.
        if !std::thread::panicking() {
            psql(&self.admin, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE);", self.name));
        }
    }
}

/// Where a server is; without it the test is skipped, in CI it fails.
pub(crate) fn address(variable: &str, missing: &str) -> Option<String> {
    if let Ok(url) = std::env::var(variable) {
        return Some(url);
    }
    let reason = format!("{missing}: {variable} is not set");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI skips nothing: {reason}");
    let line = format!("{}: {reason}\n", std::thread::current().name().unwrap_or("a test"));
    // A reason that cannot be told is no reason to fail.
    let _ = write!(std::io::stdout(), "SKIP {line}");
    if let Ok(file) = std::env::var("CARDEA_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
    None
}

/// Runs a script. The password goes by the environment.
fn psql(at: &Url, script: &str) {
    let mut child = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"])
        .env("PGHOST", at.host_str().unwrap_or("127.0.0.1"))
        .env("PGPORT", at.port().unwrap_or(5432).to_string())
        .env("PGUSER", at.username())
        .env("PGPASSWORD", at.password().unwrap_or_default())
        .env("PGDATABASE", at.path().trim_start_matches('/'))
        .env("PGOPTIONS", "--client-min-messages=warning")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
