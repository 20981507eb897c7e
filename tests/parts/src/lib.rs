//! Parts that a test needs beside the house itself: a database of its own on a real PostgreSQL or Redis,
//! real clients (scripts in Node.js and Python, Chromium, Apache), real syslog receivers, the built binary, and a free
//! port for whatever must be told where to listen.
//!
//! `tests/run` starts and installs all but the port and says where they are, in the environment. Each function here
//! gives `None` when its part is missing, and the test then says so with [`skip!`], or [`or_skip`] in a function
//! that hands the `None` on:
//!
//! ```ignore
//! let Some(database) = parts::postgres() else { skip!("{}", parts::NO_POSTGRES) };
//! ```
//!
//! What it is not: it starts no server and installs nothing; it knows no room and imports no crate of the house, so
//! that every suite can use it, the store's own included.
//!
//! To add a part: an environment variable that `tests/run` exports, and a function here that reads it.

mod client;
pub mod passkey;
mod port;
mod postgres;
mod redis;
mod skip;
mod syslog;

use std::ffi::OsString;
use std::path::PathBuf;

pub use client::{ClientError, run_node_client, run_node_client_trusting, run_python_client};
pub use port::free_port;
pub use postgres::{Database, NO_POSTGRES, postgres, postgres_made, postgres_sorting_as_english};
pub use redis::{Keyspace, NO_REDIS, redis, redis_server};
pub use skip::{or_skip, report_skip};
pub use syslog::{Collector, NO_RSYSLOG, NO_SYSLOG_NG, Received};

/// Why a test without [`python`] is skipped.
pub const NO_PYTHON: &str = "no Python clients: CARDEA_PYTHON is not set (tests/run sets it)";
/// Why a test without [`node_clients`] is skipped.
pub const NO_NODE_CLIENTS: &str = "no Node.js clients: CARDEA_NODE_CLIENTS is not set (tests/run sets it)";
/// Why a test without [`chromedriver`] is skipped.
pub const NO_CHROMIUM: &str = "no Chromium: CARDEA_CHROMEDRIVER is not set (tests/run sets it)";
/// Why a test without [`apache`] is skipped.
pub const NO_APACHE: &str = "no Apache with mod_auth_openidc: CARDEA_APACHE is not set (tests/run sets it)";
/// Why a test without [`nginx`] is skipped.
pub const NO_NGINX: &str = "no nginx: CARDEA_NGINX is not set (tests/run sets it)";
/// Why a test without [`binary`] is skipped.
pub const NO_BINARY: &str = "no binary: CARDEA_BIN is not set (tests/run sets it)";

/// The Python in which `tests/clients/requirements.txt` is installed (`CARDEA_PYTHON`).
#[must_use]
pub fn python() -> Option<PathBuf> {
    from_environment("CARDEA_PYTHON").map(PathBuf::from)
}

/// The folder with the Node.js scripts and their installed packages (`CARDEA_NODE_CLIENTS`).
#[must_use]
pub fn node_clients() -> Option<PathBuf> {
    from_environment("CARDEA_NODE_CLIENTS").map(PathBuf::from)
}

/// The WebDriver of an installed Chromium (`CARDEA_CHROMEDRIVER`).
#[must_use]
pub fn chromedriver() -> Option<PathBuf> {
    from_environment("CARDEA_CHROMEDRIVER").map(PathBuf::from)
}

/// The program `apache2`, where Debian has installed it with `mod_auth_openidc` (`CARDEA_APACHE`).
#[must_use]
pub fn apache() -> Option<PathBuf> {
    from_environment("CARDEA_APACHE").map(PathBuf::from)
}

/// The program `nginx` (`CARDEA_NGINX`).
#[must_use]
pub fn nginx() -> Option<PathBuf> {
    from_environment("CARDEA_NGINX").map(PathBuf::from)
}

/// The built binary `cardea` (`CARDEA_BIN`).
#[must_use]
pub fn binary() -> Option<PathBuf> {
    from_environment("CARDEA_BIN").map(PathBuf::from)
}

/// A variable that is set and not empty.
fn from_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
