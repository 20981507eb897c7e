//! A real browser without a window, driven over WebDriver: what scripts, policies and keys really do there.
//!
//! A test walks in it with [`Chromium::walk`], step by step. Whatever the browser complains of in its console, a
//! violated content security policy included, fails the step in which it was said. The pictures of all steps are
//! written to `target/walk` when the walk fails, or when `CARDEA_WALK_PICTURES` is set.
//!
//! What it is not: it knows no page. Elements are found by CSS selectors that the test writes, which should name
//! what a page must have (fields, links) and not how it looks.

mod authenticator;

use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures_util::FutureExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::prelude::*;
use thirtyfour::{LoggingPrefsLogLevel, RequestData, SessionId};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::until::{LOOK, PATIENCE};
pub use authenticator::VirtualAuthenticator;

/// No window, nothing that speaks to anybody but the pages, and no sandbox, which root has none of.
const SWITCHES: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en",
    "--window-size=1100,1200",
];

/// Where pictures go.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/walk");

/// The driver's process, all that it has started, and the folder of their files. Dropping it ends them at once.
struct Driver {
    process: Child,
    _folder: TempDir,
}

impl Driver {
    /// Starts it on a free port, and gives its address.
    async fn start(program: &Path) -> (Self, String) {
        let folder = tempfile::Builder::new().prefix("cardea-chromium-").tempdir().expect("a folder");
        let mut command = std::process::Command::new(program);
        // A group of its own, so that the browser ends with the driver; and its profiles end with the folder.
        command.arg("--port=0").env("TMPDIR", folder.path()).env("HOME", folder.path()).process_group(0);
        let mut process = Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let driver = Self { process, _folder: folder };
        let started = "started successfully on port ";
        let port = loop {
            let line = lines.next_line().await.expect("it can be read").expect("chromedriver starts");
            if let Some((_, port)) = line.split_once(started) {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // Else the driver would stop at a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (driver, format!("http://127.0.0.1:{port}"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let Some(id) = self.process.id() else { return };
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
    }
}

/// One browser with one tab.
pub struct Chromium {
    driver: WebDriver,
    name: String,
    pictures: Vec<(String, Vec<u8>)>,
    // Dropped after the session that uses it.
    _process: Driver,
}

impl Chromium {
    /// Opens one. `program` is what [`parts::chromedriver`](crate::parts::chromedriver) gives; pictures are called
    /// by the name of the walk.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn open(program: &Path, name: &str) -> Self {
        let (process, address) = Driver::start(program).await;
        let mut wanted = DesiredCapabilities::chrome();
        for switch in SWITCHES {
            wanted.add_arg(switch).expect("a switch is a string");
        }
        wanted.set_browser_log_level(LoggingPrefsLogLevel::Warning).expect("a level is a string");
        let driver = WebDriver::new(address, wanted).await.expect("Chromium starts");
        Self { driver, name: name.into(), pictures: Vec::new(), _process: process }
    }

    /// Walks, and closes the browser afterwards, also after a panic.
    ///
    /// # Panics
    /// If the walk does.
    pub async fn walk(mut self, walk: impl AsyncFnOnce(&mut Self)) {
        let walked = AssertUnwindSafe(walk(&mut self)).catch_unwind().await;
        if walked.is_err() {
            self.take_picture("failed").await;
        }
        if walked.is_err() || std::env::var_os("CARDEA_WALK_PICTURES").is_some() {
            self.write_pictures();
        }
        // A browser that cannot be closed is ended with its driver.
        let _ = self.driver.quit().await;
        if let Err(panic) = walked {
            resume_unwind(panic);
        }
    }

    /// A step of the walk is done: the browser must not have complained.
    ///
    /// # Panics
    /// If it has.
    pub async fn step(&mut self, name: &str) {
        self.step_with(name, &[]).await;
    }

    /// The same where pages came with these statuses of failure, of which the browser tells in its console.
    ///
    /// # Panics
    /// If it complained of anything else.
    pub async fn step_with(&mut self, name: &str, statuses: &[u16]) {
        self.take_picture(name).await;
        let complaints = self.driver.browser_log().await.expect("the browser has a log");
        let expected: Vec<String> = statuses.iter().map(|status| format!("a status of {status} ")).collect();
        let complaints: Vec<String> = complaints
            .into_iter()
            .map(|entry| format!("{} {}", entry.level, entry.message))
            .filter(|said| !expected.iter().any(|status| said.contains(status)))
            .collect();
        assert!(complaints.is_empty(), "{name}: the browser complains: {complaints:#?}");
    }

    /// Goes to an address, as if it were typed into the address bar.
    ///
    /// # Panics
    /// If nothing comes.
    pub async fn open_url(&self, url: &str) {
        self.driver.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Where the tab is.
    ///
    /// # Panics
    /// If the browser does not say.
    pub async fn url(&self) -> Url {
        self.driver.current_url().await.expect("a tab is somewhere")
    }

    /// Waits until the tab is at an address that begins so.
    ///
    /// # Panics
    /// If it does not come there.
    pub async fn arrives_at(&self, start: &str) {
        let there = async || self.url().await.as_str().starts_with(start).then_some(());
        self.see(&format!("the browser at {start}"), there).await;
    }

    /// Waits until the page has an element that a person can see.
    ///
    /// # Panics
    /// If it has none.
    pub async fn shows(&self, css: &str) -> WebElement {
        let visible = async || {
            let element = self.driver.find(By::Css(css)).await.ok()?;
            element.is_displayed().await.ok()?.then_some(element)
        };
        self.see(css, visible).await
    }

    /// Whether the page has an element now that a person can see.
    pub async fn has(&self, css: &str) -> bool {
        let Ok(element) = self.driver.find(By::Css(css)).await else { return false };
        element.is_displayed().await.unwrap_or_default()
    }

    /// Waits until the page says something.
    ///
    /// # Panics
    /// If it does not.
    pub async fn says(&self, words: &str) {
        let said = async || self.text().await.contains(words).then_some(());
        self.see(&format!("{words:?} on the page"), said).await;
    }

    /// All that can be read on the page now.
    pub async fn text(&self) -> String {
        let Ok(body) = self.driver.find(By::Tag("body")).await else { return String::new() };
        body.text().await.unwrap_or_default()
    }

    /// Types into a field that is shown.
    ///
    /// # Panics
    /// If there is none.
    pub async fn fill(&self, css: &str, text: &str) {
        self.shows(css).await.send_keys(text).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Clicks on what is shown.
    ///
    /// # Panics
    /// If it cannot be clicked.
    pub async fn click(&self, css: &str) {
        self.shows(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses a key, or types, wherever the focus is.
    ///
    /// # Panics
    /// If the browser takes no keys.
    pub async fn type_keys(&self, keys: &str) {
        self.driver.action_chain().send_keys(keys).perform().await.expect("a browser takes keys");
    }

    /// What the script's `return` gives.
    ///
    /// # Panics
    /// If it fails or gives something else.
    pub async fn ask<T: serde::de::DeserializeOwned>(&self, script: &str) -> T {
        let answer = self.driver.execute(script, Vec::new()).await.expect("a script that runs");
        answer.convert().expect("what the script gives")
    }

    /// From the next page on, browses as a browser does that offers passkeys only when a page asks for one (WebAuthn
    /// Level 3, section 5.1.4.3: conditional mediation is optional).
    ///
    /// # Panics
    /// If the browser cannot.
    pub async fn forget_conditional_mediation(&self) {
        let script = "if (window.PublicKeyCredential) \
                      PublicKeyCredential.isConditionalMediationAvailable = async () => false;";
        let told = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": { "source": script },
        });
        run(&self.driver, Method::POST, "goog/cdp/execute".into(), Some(told)).await;
    }

    /// A security key or a phone's passkeys, from now on.
    ///
    /// # Panics
    /// If the driver has none.
    pub async fn plug_in_authenticator(&self) -> VirtualAuthenticator {
        VirtualAuthenticator::add(self.driver.clone()).await
    }

    /// Looks until something is seen, and says where the browser is if it is not.
    async fn see<T>(&self, expected: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let looking = async {
            loop {
                match look().await {
                    Some(seen) => return seen,
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(seen) => seen,
            Err(_) => panic!("{expected}: not at {}, which says: {}", self.url().await, self.text().await),
        }
    }

    async fn take_picture(&mut self, name: &str) {
        // A tab that is between two pages has no picture, which is no reason to fail.
        if let Ok(picture) = self.driver.screenshot_as_png().await {
            self.pictures.push((name.to_owned(), picture));
        }
    }

    fn write_pictures(&self) {
        let folder = PathBuf::from(PICTURES).join(&self.name);
        // Those of the walk before; there may be none.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        for (number, (name, picture)) in self.pictures.iter().enumerate() {
            let name = format!("{:02} {name}.png", number + 1);
            std::fs::write(folder.join(name), picture).expect("a picture is a file");
        }
    }
}

/// A command that WebDriver itself does not have: what follows the session in its path, and what it is told.
#[derive(Debug)]
struct Extension {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl FormatRequestData for Extension {
    fn format_request(&self, session_id: &SessionId) -> RequestData {
        let request = RequestData::new(self.method.clone(), format!("session/{session_id}/{}", self.path));
        match &self.body {
            Some(body) => request.add_body(body.clone()),
            None => request,
        }
    }
}

async fn run(driver: &WebDriver, method: Method, path: String, body: Option<Value>) -> Value {
    let answer = driver.cmd(Extension { method, path, body }).await.expect("the driver knows the command");
    answer.value_json().expect("an answer has a value")
}
