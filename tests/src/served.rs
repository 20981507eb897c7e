//! The binary `cardea` in a process of its own: made with its own commands, served, killed, served again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use kernel::{Clock as _, Ctx, SystemClock, Token};
use parts::free_port;
use server::config::Config;
use server::stage::{DEVICE, at_device, device};
use sim::browser::Browser;
use sim::controlid::Device;
use sim::hr::Hr;
use sim::uhppote::{Controller, ControllerOptions};
use store::DbConfig;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::app::App;
use crate::engines::Engines;
use crate::node::Node;

/// What the house declares in the demo, with gaps.
const DECLARATION: &str = include_str!("../../server/src/stage/grid.toml");
const SERIAL: u32 = 405_419_896;
/// Where nobody listens: the app is played by hand.
pub const REDIRECT_URI: &str = "http://localhost:9/callback";

/// The machine's clock as the simulators want it.
fn now() -> sim::Now {
    Arc::new(|| SystemClock.now().to_jiff().expect("now is a time"))
}

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A folder with a configuration, and perhaps a process that serves it.
pub struct Served {
    /// The folder; it goes with this value.
    pub folder: TempDir,
    /// Where the provider is found.
    pub issuer: String,
    /// The door controller of the headquarters (UHPPOTE).
    pub controller: Controller,
    /// The access controller of the substation (Control iD).
    pub device: Device,
    /// The password by which the house knows that device.
    pub device_password: String,
    /// HR's bearer token.
    pub hr_token: String,
    /// The app's secret.
    pub app_secret: String,
    /// The process that serves it, where one is enough.
    pub node: Node,
    binary: PathBuf,
    // Dropped after the process that uses them.
    engines: Engines,
}

impl Served {
    /// A folder made by `cardea init` and `cardea apply`, on SQLite. Nothing is served yet.
    ///
    /// # Panics
    /// If that fails: the test cannot go on.
    pub async fn prepare(binary: &Path) -> Self {
        Self::prepare_on(binary, Engines::light()).await
    }

    /// The same on a pair of engines.
    ///
    /// # Panics
    /// As [`Served::prepare`].
    pub async fn prepare_on(binary: &Path, engines: Engines) -> Self {
        let house = Self { engines, ..Self::empty(binary).await };
        house.must(&["init", &house.path(""), "--issuer", &house.issuer]).await;
        let config = fs::read_to_string(house.config()).expect("init wrote it");
        let mut config = config.replace("[log]\n", "[log]\nformat = \"json\"\nfilter = \"debug\"\n");
        for (section, url) in house.engines.sections() {
            house.write(&format!("{section}.url"), url);
            config.push_str(&format!("\n[{section}]\nurl_file = \"{section}.url\"\n"));
        }
        fs::write(house.config(), config).expect("the folder is ours");
        house.write("hr.token", &house.hr_token);
        house.write("grid-console.secret", &house.app_secret);
        house.write("switchgear-control.secret", Token::generate(&Ctx::system(), "app").expose());
        house.write("substation.password", &house.device_password);
        house.write("grid.toml", &house.declaration());
        house.must(&["apply", "--yes", &house.path("grid.toml")]).await;
        house
    }

    /// A folder with nothing in it, a controller and a free port.
    ///
    /// # Panics
    /// As [`Served::prepare`].
    pub async fn empty(binary: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("cardea-").tempdir().expect("a folder");
        let ctx = Ctx::system();
        let controller = Controller::start(SERIAL, ControllerOptions::new(now())).await;
        let device_password = Token::generate(&ctx, "door").expose().clone();
        let device = device(device_password.clone(), now()).await;
        let issuer = format!("http://localhost:{}", free_port());
        Self {
            node: Node::new(binary, folder.path().join("cardea.toml"), issuer.clone()),
            folder,
            issuer,
            controller: controller.expect("a controller"),
            device: device.expect("a device"),
            device_password,
            hr_token: Token::generate(&ctx, "hr").expose().clone(),
            app_secret: Token::generate(&ctx, "app").expose().clone(),
            binary: binary.into(),
            engines: Engines::light(),
        }
    }

    /// What was applied.
    #[must_use]
    pub fn declaration(&self) -> String {
        DECLARATION
            .replace("{console.callback}", REDIRECT_URI)
            .replace("{control.callback}", "http://localhost:9/callback")
            // Nobody listens for logout tokens here.
            .replace("backchannel_logout_uri = \"{console.backchannel}\"\n", "")
            .replace("backchannel_logout_uri = \"{control.backchannel}\"\n", "")
            .replace("{serial}", &SERIAL.to_string())
            .replace("{controller}", &self.controller.address().to_string())
            .replace("listen = \"{push}\"\n", "")
            .replace("{device_id}", &DEVICE.to_string())
            .replace("{device}", self.device.base_url().as_str())
            .replace("listen = \"{notices}\"\n", "")
    }

    /// Whether either door system has a card, by the controller's number, on its list.
    #[must_use]
    pub fn holds(&self, card: u32) -> bool {
        let at_headquarters = self.controller.cards().iter().any(|held| held.number == card);
        at_headquarters || self.device.holds(at_device(card))
    }

    /// A path in the folder, as an argument.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> String {
        self.path("cardea.toml")
    }

    /// Its database, for whoever looks into it.
    ///
    /// # Panics
    /// If the configuration cannot be read.
    #[must_use]
    pub fn database(&self) -> DbConfig {
        let config = Config::read(Path::new(&self.config())).expect("a configuration");
        config.database().expect("a database")
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("the folder is ours");
    }

    /// HR's job, with its own token.
    ///
    /// # Panics
    /// If the issuer is no URL.
    #[must_use]
    pub fn hr(&self) -> Hr {
        Hr::new(&format!("{}/scim/v2", self.issuer), self.hr_token.clone()).expect("an issuer is a URL")
    }

    /// The app, played by hand.
    #[must_use]
    pub fn app(&self) -> App {
        App::new(&self.issuer, REDIRECT_URI, &self.app_secret)
    }

    /// A browser of its own.
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(now())
    }

    /// Runs a command with this configuration.
    ///
    /// # Panics
    /// If it cannot be run.
    pub async fn cardea(&self, arguments: &[&str]) -> Spoken {
        let mut command = self.command();
        let output = command.args(arguments).stdin(Stdio::null()).output().await.expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Spoken { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Runs a command that must succeed, and gives what it said.
    ///
    /// # Panics
    /// If it does not end with 0.
    pub async fn must(&self, arguments: &[&str]) -> String {
        let said = self.cardea(arguments).await;
        assert_eq!(said.code, Some(0), "cardea {arguments:?}: {said:?}");
        said.out
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.config()).kill_on_drop(true);
        command
    }

    /// Another process that serves the same house, on a port of its own. Its folder, keys and declaration are these.
    ///
    /// # Panics
    /// If its configuration cannot be written.
    #[must_use]
    pub fn node(&self, name: &str) -> Node {
        let address = format!("127.0.0.1:{}", free_port());
        let config = fs::read_to_string(self.config()).expect("init wrote it");
        let listens = format!("listen = [\"{}\"]", self.issuer.replace("http://localhost", "127.0.0.1"));
        assert!(config.contains(&listens), "{listens} in {config}");
        let config = config.replace(&listens, &format!("listen = [\"{address}\"]"));
        let file = format!("{name}.toml");
        self.write(&file, &config);
        Node::new(&self.binary, self.folder.path().join(file), format!("http://{address}"))
    }

    /// See [`Node::serve`].
    ///
    /// # Panics
    /// As there.
    pub async fn serve(&mut self) {
        self.node.serve().await;
    }

    /// See [`Node::start`].
    ///
    /// # Panics
    /// As there.
    pub fn start(&mut self) {
        self.node.start();
    }

    /// See [`Node::kill`].
    ///
    /// # Panics
    /// As there.
    pub async fn kill(&mut self) {
        self.node.kill().await;
    }

    /// Gives the process away: to whoever ends it while others still speak to the house.
    ///
    /// # Panics
    /// If none runs.
    pub fn release(&mut self) -> Child {
        self.node.release()
    }

    /// See [`Node::stop`].
    ///
    /// # Panics
    /// As there.
    pub async fn stop(&mut self) -> Option<i32> {
        self.node.stop().await
    }

    /// See [`Node::said`].
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn said(&self) -> String {
        self.node.said()
    }

    /// See [`Node::log`].
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn log(&self) -> String {
        self.node.log()
    }
}
