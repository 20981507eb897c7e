//! A stage: the whole house in a fresh folder on a free port, and everything it speaks to, simulated behind
//! real sockets: HR, two apps, two door systems, a mail server if wanted. The demo plays on it, and so do the
//! journeys in `tests/`.

use std::path::PathBuf;
use std::process::Stdio;

use directory::{invitation, user};
use store::Origin;

use base64::Engine as _;
use kernel::{Actor, Ctx, Token};
use sim::browser::Browser;
use sim::controlid::{Device, DeviceOptions, card_value};
use sim::hr::Hr;
use sim::mail::MailServer;
use sim::relying_party::{Registration, RelyingParty, RelyingPartyOptions};
use sim::uhppote::{Controller, ControllerOptions};
use tempfile::TempDir;

use crate::apply::{self, ApplyError};
use crate::config::{Config, ConfigError, SAMPLE};
use crate::house::{House, OpenError, Running, listen};

/// The controller's serial number.
const SERIAL: u32 = 405_419_896;
/// The number of the device at the substation.
pub const DEVICE: i64 = 14_227_560_204_340_541;
/// The door that the story is about: door 1 of the controller.
pub const CONTROL_ROOM: u8 = 1;
/// A door that nobody in the story may open: door 2.
pub const TRANSFORMER_HALL: u8 = 2;
/// The gate that belongs to the same work, of another maker: portal 1 of the device.
pub const SUBSTATION: i64 = 1;
/// Every door, as the declaration names it.
pub const DOORS: [Door; 3] = [
    Door { name: "control-room-door", reader: Reader::Controller(CONTROL_ROOM) },
    Door { name: "transformer-hall-door", reader: Reader::Controller(TRANSFORMER_HALL) },
    Door { name: "substation-gate", reader: Reader::Device(SUBSTATION) },
];
/// The department whose people work in the control room.
pub const DEPARTMENT: &str = "Grid Operations";
/// The mail domain of the company.
pub const DOMAIN: &str = "grid.example";

/// A door of the stage.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// As the declaration names it.
    pub name: &'static str,
    reader: Reader,
}

/// Where the card is shown.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// A door of the UHPPOTE controller.
    Controller(u8),
    /// A portal of the Control iD device.
    Device(i64),
}

/// Why a stage could not be set, or what happened on it.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The house could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its sealing key.
    #[error(transparent)]
    Sealing(#[from] keys::KeyFileError),
    /// The declaration.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// HR.
    #[error(transparent)]
    Hr(#[from] sim::hr::HrError),
    /// The app.
    #[error(transparent)]
    App(#[from] sim::relying_party::RelyingPartyError),
    /// A file or socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// There is nobody of this name to invite.
    #[error("there is no active user {0:?}; HR makes users over SCIM")]
    Nobody(String),
}

/// What a stage is made of.
#[derive(Clone, Debug, Default)]
pub struct StageOptions {
    /// The port of the identity provider; 0 takes a free one.
    pub port: u16,
    /// `postgres://…` instead of a SQLite file.
    pub postgres: Option<String>,
    /// `redis://…` instead of memory.
    pub redis: Option<String>,
    /// The program `cardea`, for commands; by default this very program.
    pub binary: Option<PathBuf>,
    /// Whether there is a mail server. Without one nobody is sent a letter, and invitations are handed over.
    pub mail: bool,
}

/// Everything that a story needs.
pub struct Stage {
    /// Clock and entropy.
    pub ctx: Ctx,
    /// The house that runs.
    pub house: House,
    /// HR: SCIM over HTTP.
    pub hr: Hr,
    /// The app "Grid Console", of low sensitivity.
    pub app: RelyingParty,
    /// The secret of the app.
    pub app_secret: String,
    /// The app "Switchgear Control", of critical sensitivity.
    pub control: RelyingParty,
    /// The mail server, where one is wanted.
    pub mail: Option<MailServer>,
    /// HR's bearer token.
    pub hr_token: String,
    /// The door controller of the headquarters (UHPPOTE).
    pub controller: Controller,
    /// The access controller of the substation (Control iD).
    pub device: Device,
    /// The folder with configuration, keys and database.
    pub folder: TempDir,
    /// The configuration file.
    pub config: PathBuf,
    binary: Option<PathBuf>,
    running: Running,
}

impl Stage {
    /// Sets everything up. An empty folder, a new database, new keys.
    pub async fn set(ctx: &Ctx, options: StageOptions) -> Result<Self, StageError> {
        let folder = tempfile::Builder::new().prefix("cardea-").tempdir()?;
        let listener = listen(&format!("127.0.0.1:{}", options.port))?;
        let issuer = format!("http://localhost:{}", listener.local_addr()?.port());
        let now = clock(ctx);
        let controller = Controller::start(SERIAL, ControllerOptions::new(now.clone())).await?;
        let password = write_secret(ctx, &folder, "door", "substation.password")?;
        let device = device(password, now.clone()).await?;
        let app = RelyingParty::start(RelyingPartyOptions::new("Grid Console", now.clone())).await?;
        let control = RelyingParty::start(RelyingPartyOptions::new("Switchgear Control", now)).await?;
        let mail = if options.mail { Some(MailServer::start().await?) } else { None };
        let config = write_config(ctx, &folder, &issuer, &options, mail.as_ref())?;
        let secret = |prefix, file| write_secret(ctx, &folder, prefix, file);
        let hr_token = secret("hr", "hr.token")?;
        let app_secret = secret("app", "grid-console.secret")?;
        let control_secret = secret("app", "switchgear-control.secret")?;
        let declaration = declaration(&app, &control, &controller, &device, push_port()?);
        std::fs::write(folder.path().join("grid.toml"), &declaration)?;
        let house = House::open(Config::read(&config)?, ctx.clone()).await?;
        apply::apply(&house.db, &house.sealing, &declaration, folder.path()).await?;
        let running = house.clone().run(vec![listener]).await?;
        app.connect(registration(&issuer, "grid-console", &app_secret)).await?;
        control.connect(registration(&issuer, "switchgear-control", &control_secret)).await?;
        let hr = Hr::new(&format!("{issuer}/scim/v2"), hr_token.clone())?;
        let (ctx, binary) = (ctx.clone(), options.binary);
        Ok(Self {
            ctx,
            house,
            hr,
            app,
            app_secret,
            control,
            mail,
            hr_token,
            controller,
            device,
            folder,
            config,
            binary,
            running,
        })
    }

    /// Ends everything; the folder goes with it.
    pub async fn strike(self) {
        if let Err(error) = self.running.stop().await {
            tracing::error!(%error, "the house did not end well");
        }
        self.controller.stop().await;
    }

    /// A browser of its own.
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(clock(&self.ctx))
    }

    /// A single-use link with which an employee sets a password.
    pub async fn invite(&self, user_name: &str) -> Result<String, StageError> {
        let user = user::by_user_name(&self.house.db, user_name).await?.filter(|user| user.active);
        let user = user.ok_or_else(|| StageError::Nobody(user_name.to_owned()))?;
        let mut tx = self.house.db.write(Origin::of(Actor::Operator)).await?;
        let token = invitation::create(&mut tx, self.house.issuer.as_str(), user.id).await;
        Ok(idp::invitation_link(&self.house.issuer, &tx.end(token).await?))
    }

    /// The number of a card as the controller knows it: facility × 100,000 + number.
    #[must_use]
    pub fn only_card(&self) -> Option<u32> {
        self.controller.cards().first().map(|card| card.number)
    }

    /// Shows a card, by the controller's number, at a door: whether it opens.
    pub async fn swipe(&self, card: u32, door: Door) -> bool {
        match door.reader {
            Reader::Controller(number) => self.controller.swipe(card, number).granted,
            Reader::Device(portal) => self.device.swipe(portal, at_device(card)).await.opened,
        }
    }

    /// Runs the program `cardea` with this stage's configuration, and answers exit code and output.
    pub async fn cardea(&self, arguments: &[&str]) -> Result<(Option<i32>, String), StageError> {
        let program = self.binary.clone().map_or_else(std::env::current_exe, Ok)?;
        let output = tokio::process::Command::new(program)
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

/// The house's clock as the simulators want it.
#[must_use]
pub fn clock(ctx: &Ctx) -> sim::Now {
    let ctx = ctx.clone();
    std::sync::Arc::new(move || ctx.now().to_jiff().unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// A card of the controller as the device numbers it.
#[must_use]
pub fn at_device(card: u32) -> i64 {
    // The facility of a 26-bit card has 8 bits.
    card_value(u16::try_from(card / 100_000).unwrap_or(u16::MAX), card % 100_000)
}

/// The access controller of the substation, with the password that we know it by.
///
/// # Errors
/// If there is no port.
pub async fn device(password: String, now: sim::Now) -> Result<Device, std::io::Error> {
    let offset = jiff::tz::Offset::UTC;
    Device::start(DeviceOptions {
        login: "cardea".into(),
        password,
        offset,
        ..DeviceOptions::new(DEVICE, now)
    })
    .await
}

fn registration(issuer: &str, client_id: &str, secret: &str) -> Registration {
    Registration {
        issuer: issuer.into(),
        client_id: client_id.into(),
        client_secret: Some(secret.into()),
        scopes: vec!["profile".into(), "email".into()],
    }
}

fn write_config(
    ctx: &Ctx,
    folder: &TempDir,
    issuer: &str,
    options: &StageOptions,
    mail: Option<&MailServer>,
) -> Result<PathBuf, StageError> {
    let path = folder.path().join("cardea.toml");
    keys::SealingKeys::create_file(&folder.path().join("sealing.key"), ctx)?;
    let mut text = SAMPLE.replace("{issuer}", issuer);
    for (section, url) in [("database.postgres", &options.postgres), ("ephemeral.redis", &options.redis)] {
        if let Some(url) = url {
            let file = format!("{section}.url");
            std::fs::write(folder.path().join(&file), url)?;
            text.push_str(&format!("\n[{section}]\nurl_file = \"{file}\"\n"));
        }
    }
    if let Some(mail) = mail {
        let (url, from) = (format!("smtp://{}", mail.address()), format!("Cardea <cardea@{DOMAIN}>"));
        text.push_str(&format!("\n[mail]\nurl = \"{url}\"\nfrom = \"{from}\"\ntls = \"none\"\n"));
    }
    std::fs::write(&path, text)?;
    Ok(path)
}

/// A new secret, in the file that the declaration names.
fn write_secret(
    ctx: &Ctx,
    folder: &TempDir,
    prefix: &'static str,
    file: &str,
) -> Result<String, std::io::Error> {
    let secret = Token::generate(ctx, prefix).expose().clone();
    std::fs::write(folder.path().join(file), &secret)?;
    Ok(secret)
}

/// A free UDP port on which the controller's pushed events are heard.
fn push_port() -> Result<u16, std::io::Error> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn declaration(
    app: &RelyingParty,
    control: &RelyingParty,
    controller: &Controller,
    device: &Device,
    push_port: u16,
) -> String {
    include_str!("grid.toml")
        .replace("{console.callback}", &app.redirect_uri())
        .replace("{console.backchannel}", &app.backchannel_logout_uri())
        .replace("{control.callback}", &control.redirect_uri())
        .replace("{control.backchannel}", &control.backchannel_logout_uri())
        .replace("{serial}", &controller.serial().to_string())
        .replace("{controller}", &controller.address().to_string())
        .replace("{push}", &format!("127.0.0.1:{push_port}"))
        .replace("{device_id}", &DEVICE.to_string())
        .replace("{device}", device.base_url().as_str())
        .replace("{notices}", "127.0.0.1:0")
}

/// What a compact JWS says, unverified.
#[must_use]
pub fn payload(jws: &str) -> Option<serde_json::Value> {
    let payload = jws.split('.').nth(1)?;
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
