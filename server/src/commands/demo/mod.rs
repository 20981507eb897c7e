//! `cardea demo`: the real server, and simulators that speak to it over real sockets.
//!
//! The example is an energy company, an essential entity under NIS2: a control room behind a door and a substation behind
//! another maker's, an app called Grid Console that asks for little, one called Switchgear Control that asks for a
//! passkey, an HR system that speaks SCIM in Entra ID's shapes, and a mail server.

mod employee;
mod evidence;
mod person;
mod script;
mod timeline;

use std::sync::Arc;

use clap::Args;
use kernel::Ctx;

use super::stop::Stop;
use super::{Failure, Outcome};
use crate::config::{Log, LogFormat};
use crate::logging;
use crate::stage::{Stage, StageOptions};

/// What everybody who sees the demo must know of it.
const ABOUT: &str = "The example is an energy company, an essential entity under NIS2. The door connectors\n\
                     are contract-tested, not device-tested: no vendor's device has been behind them yet.";

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Play the story without a person: prints a timeline, and ends with 0 only if the apps and the doors
    /// themselves confirmed every step.
    #[arg(long)]
    script: bool,
    /// The port of the identity provider; by default a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The port of the live page; by default a free one.
    #[arg(long, default_value_t = 0)]
    live_port: u16,
    /// Log what the server does, too.
    #[arg(long, short)]
    verbose: bool,
}

impl Demo {
    pub(super) async fn run(self, ctx: Ctx) -> Outcome {
        let filter = if self.verbose { "info" } else { "error" };
        logging::start(&Log { format: LogFormat::Text, filter: filter.into() });
        let options = StageOptions { port: self.port, mail: true, ..StageOptions::default() };
        let mut stop = Stop::listen()?;
        let stage = Arc::new(tokio::select! {
            set = Stage::set(&ctx, options) => set?,
            () = stop.asked() => return Ok(()),
        });
        let outcome = match self.script {
            true => tokio::select! {
                played = script::play(&stage) => played,
                () = stop.asked() => Err(Failure::new("stopped before the end of the story")),
            },
            false => person::attend(&stage, self.live_port, &mut stop).await,
        };
        // Whoever played on it has let go of it.
        if let Some(stage) = Arc::into_inner(stage) {
            stage.strike().await;
        }
        outcome
    }
}
