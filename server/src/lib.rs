//! The binary `cardea`: configuration, wiring, commands. The only crate that knows every room.
//!
//! - [`config`]: the configuration file. [`apply`]: what lives in the database, declared in a file.
//! - [`house`]: everything opened, run, and stopped in order. [`http`]: the route table, served.
//! - [`commands`]: one file a command. [`catalogue`]: every kind of fact. `stage`: the house among simulators, for the
//!   demo and for tests; `live`: a page that shows it.
//!
//! What it is not: it decides nothing. Whatever it does beyond wiring belongs into a room.
//!
//! To add a command: a file in `commands/`, a variant in [`commands::Command`].

pub mod apply;
pub mod catalogue;
pub mod commands;
pub mod config;
mod descriptors;
mod evidence;
mod files;
pub mod health;
pub mod house;
pub mod http;
#[cfg(feature = "demo")]
pub mod live;
pub mod logging;
pub mod policies;
#[cfg(feature = "demo")]
pub mod stage;
mod tls;
