//! What benches of the whole server share: the real binary on the first core, people in it, and whoever asks it on the
//! second.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kernel::{Ctx, SystemClock, Token};
use sim::browser::{Browser, Redirects};
use sim::hr::{Hr, Person};

const CARDEA: &str = env!("CARGO_BIN_EXE_cardea");
pub(crate) const CALLBACK: &str = "http://localhost:9/callback";
pub(crate) const PASSWORD: &str = "nine ducks on a cold river";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Takes this process to the second core: the first is the server's.
pub(crate) fn step_aside() {
    let own = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", "1", &own]).stdout(Stdio::null()).status();
    assert!(pinned.is_ok_and(|status| status.success()), "two cores and taskset (util-linux) are needed");
}

/// A program on the server's core.
pub(crate) fn on_the_servers_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// Ended with the bench, however that ends.
pub(crate) struct Serving(pub(crate) Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// The server, with an application `app` and an HR system.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) issuer: String,
    pub(crate) hr_token: String,
    pub(crate) secret: String,
    serving: Arc<Serving>,
    folder: Arc<tempfile::TempDir>,
}

impl House {
    /// With what else is declared, after the database was filled. It has one hashing thread and logs what goes wrong.
    pub(crate) async fn open(declared: &str, fill: impl AsyncFnOnce(PathBuf)) -> Self {
        let ctx = Ctx::system();
        let folder = tempfile::tempdir().expect("a folder");
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let issuer = format!("http://localhost:{}", port.port());
        let config = folder.path().join("cardea.toml");
        let path = |name: &str| folder.path().join(name);
        let init = Command::new(CARDEA).arg("init").arg(folder.path()).args(["--issuer", &issuer]).output();
        assert!(init.expect("it runs").status.success());
        let more = "\n[passwords]\nthreads = 1\n\n[log]\nfilter = \"error\"\n";
        let text = std::fs::read_to_string(&config).expect("init wrote it");
        let text = text.replace("[log]\n", "").replace("[passwords]\n", "") + more;
        std::fs::write(&config, text).expect("the folder is ours");
        let [hr_token, secret] = ["hr", "app"].map(|kind| Token::generate(&ctx, kind).expose().clone());
        std::fs::write(path("hr.token"), &hr_token).expect("the folder is ours");
        std::fs::write(path("app.secret"), &secret).expect("the folder is ours");
        let declaration = format!(
            "[scim_connection.hr]\ntoken_file = \"hr.token\"\n\n[client.app]\nname = \"App\"\nsecret_file = \
             \"app.secret\"\nredirect_uris = [\"{CALLBACK}\"]\nsensitivity = \"low\"\n\n{declared}"
        );
        std::fs::write(path("app.toml"), declaration).expect("the folder is ours");
        cardea(&config, &["apply", "--yes", &path("app.toml").display().to_string()]);
        fill(path("cardea.sqlite")).await;
        let mut serve = on_the_servers_core(CARDEA);
        serve.arg("--config").arg(&config).arg("serve");
        let serving = Serving(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs"));
        let ready = format!("{issuer}/health/ready");
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (folder, serving) = (Arc::new(folder), Arc::new(serving));
        Self { issuer, hr_token, secret, serving, folder }
    }

    /// People with a password; their user names.
    pub(crate) async fn people(&self, count: usize) -> Vec<String> {
        let hr = Hr::new(&format!("{}/scim/v2", self.issuer), self.hr_token.clone()).expect("a URL");
        let config = self.folder.path().join("cardea.toml");
        let mut names = Vec::new();
        for number in 0..count {
            let person = Person::new(&format!("Person{number}"), "Holt", "grid.example");
            hr.hire(&person).await.expect("hired");
            let said = cardea(&config, &["invite", &person.user_name]);
            let link =
                said.split_whitespace().find(|word| word.starts_with("http")).expect("a link").to_owned();
            let mut browser = browser();
            let page = browser.get(&link).await.expect("the page");
            let form = page.form_with("password").expect("a form");
            let values = [("password", PASSWORD), ("password_again", PASSWORD)];
            assert_eq!(browser.submit(&form, &values).await.expect("an answer").status, 200);
            names.push(person.user_name);
        }
        names
    }

    /// What an application sends a browser to.
    pub(crate) fn authorization(&self) -> String {
        format!(
            "{}/authorize?response_type=code&client_id=app&redirect_uri={CALLBACK}&scope=openid&state=s\
             &code_challenge={CHALLENGE}&code_challenge_method=S256",
            self.issuer
        )
    }

    /// In a new browser; that, and the code.
    pub(crate) async fn sign_in(&self, user_name: &str) -> (Browser, String) {
        let mut browser = browser();
        browser.redirects = Redirects::Until(CALLBACK.into());
        let page = browser.get(&self.authorization()).await.expect("the page");
        let form = page.form_with("password").expect("a form");
        let page = browser.submit(&form, &[("username", user_name), ("password", PASSWORD)]).await;
        let at = page.expect("an answer").stopped_at.expect("the application is reached");
        let code = at.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
        (browser, code.expect("a code"))
    }

    /// The number of the server's process.
    pub(crate) fn process(&self) -> u32 {
        self.serving.0.id()
    }

    /// What it holds of memory.
    pub(crate) fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident.map_or("not told by this system".to_owned(), |resident| resident.trim().to_owned())
    }
}

pub(crate) fn browser() -> Browser {
    use kernel::Clock as _;
    Browser::new(Arc::new(|| SystemClock.now().to_jiff().expect("now is a time")))
}

fn cardea(config: &Path, arguments: &[&str]) -> String {
    let output = Command::new(CARDEA).arg("--config").arg(config).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
