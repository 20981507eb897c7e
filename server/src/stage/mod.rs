//! The stage: a fresh folder with configuration and keys, the server, and everything it speaks to.

use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use kernel::{Ctx, Token};
use sim::hr::Hr;
use sim::relying_party::{Registration, RelyingParty, RelyingPartyOptions};
use sim::uhppote::{Controller, ControllerOptions};
use tempfile::TempDir;

use crate::apply;
use crate::commands::Failure;
use crate::commands::init::SAMPLE;
use crate::config::Config;
use crate::house::{House, Running, listen};

/// The controller's serial number.
const SERIAL: u32 = 405_419_896;
/// The door that the story is about: door 1 of the controller.
pub(super) const CONTROL_ROOM: u8 = 1;
/// A door that nobody in the story may open: door 2.
pub(super) const TRANSFORMER_HALL: u8 = 2;
/// The department whose people work in the control room.
pub(super) const DEPARTMENT: &str = "Grid Operations";
/// The mail domain of the company.
pub(super) const DOMAIN: &str = "grid.example";

/// Everything that the story needs.
pub(super) struct Stage {
    pub(super) ctx: Ctx,
    pub(super) house: House,
    pub(super) hr: Hr,
    pub(super) app: RelyingParty,
    pub(super) controller: Controller,
    pub(super) folder: TempDir,
    pub(super) config: PathBuf,
    running: Running,
}

impl Stage {
    /// Sets everything up. An empty folder, a new database, new keys.
    pub(super) async fn set(ctx: &Ctx, port: u16) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("cardea-demo-").tempdir()?;
        let listener = listen(&format!("127.0.0.1:{port}"))?;
        let issuer = format!("http://localhost:{}", listener.local_addr()?.port());
        let now = clock(ctx);
        let controller = Controller::start(SERIAL, ControllerOptions::new(now.clone())).await?;
        let app = RelyingParty::start(RelyingPartyOptions::new("Grid Console", now)).await?;
        let config = write_config(ctx, &folder, &issuer)?;
        let (hr_token, app_secret) = (Token::generate(ctx, "hr"), Token::generate(ctx, "app"));
        std::fs::write(folder.path().join("hr.token"), hr_token.expose())?;
        std::fs::write(folder.path().join("grid-console.secret"), app_secret.expose())?;
        let declaration = declaration(&app.redirect_uri(), &controller, push_port()?);
        std::fs::write(folder.path().join("grid.toml"), &declaration)?;
        let house = House::open(Config::read(&config)?, ctx.clone()).await?;
        apply::apply(&house.db, &house.sealing, &declaration, folder.path()).await?;
        let running = house.clone().run(vec![listener]).await?;
        app.connect(Registration {
            issuer: issuer.clone(),
            client_id: "grid-console".into(),
            client_secret: Some(app_secret.expose().clone()),
            scopes: vec!["profile".into(), "email".into()],
        })
        .await?;
        let hr = Hr::new(&format!("{issuer}/scim/v2"), hr_token.expose().clone())?;
        Ok(Self { ctx: ctx.clone(), house, hr, app, controller, folder, config, running })
    }

    /// Ends everything; the folder goes with it.
    pub(super) async fn strike(self) {
        self.running.stop().await;
        self.controller.stop().await;
    }

    /// The number of a card as the controller knows it: facility × 100,000 + number.
    pub(super) fn only_card(&self) -> Option<u32> {
        self.controller.cards().first().map(|card| card.number)
    }

    /// Runs this very program with the demo's configuration, and answers exit code and output.
    pub(super) async fn cardea(&self, arguments: &[&str]) -> Result<(Option<i32>, String), Failure> {
        let output = tokio::process::Command::new(std::env::current_exe()?)
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code(), text))
    }
}

pub(super) fn clock(ctx: &Ctx) -> sim::Now {
    let ctx = ctx.clone();
    std::sync::Arc::new(move || ctx.now().to_jiff().unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

fn write_config(ctx: &Ctx, folder: &TempDir, issuer: &str) -> Result<PathBuf, Failure> {
    let path = folder.path().join("cardea.toml");
    keys::SealingKeys::create_file(&folder.path().join("sealing.key"), ctx)?;
    std::fs::write(&path, SAMPLE.replace("{issuer}", issuer))?;
    Ok(path)
}

/// A free UDP port on which the controller's pushed events are heard.
fn push_port() -> Result<u16, Failure> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn declaration(redirect_uri: &str, controller: &Controller, push_port: u16) -> String {
    include_str!("grid.toml")
        .replace("{redirect_uri}", redirect_uri)
        .replace("{serial}", &controller.serial().to_string())
        .replace("{controller}", &controller.address().to_string())
        .replace("{push}", &format!("127.0.0.1:{push_port}"))
}

/// What a compact JWS says; its signature is for `cardea receipt verify`.
pub(super) fn payload(jws: &str) -> Option<serde_json::Value> {
    let payload = jws.split('.').nth(1)?;
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
