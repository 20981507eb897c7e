//! A whole server on a free port, on both pairs of engines, and those who speak to it.
//!
//! - [`Scene`]: the house in this process among simulators, with a clock that can be moved.
//! - [`Served`]: the binary in a process of its own, which can be killed and has a log, on [`Engines`].
//! - [`Node`]: one process that serves a house, alone or beside others behind [`Nginx`].
//! - [`Relay`]: a way to a server that can be cut; [`Wire`]: a connection over which any bytes are said.
//! - [`PostOffice`]: a mail server, which can be closed and opened again.
//! - [`Apache`]: a web server that signs people in by its module.
//! - [`Chromium`]: a real browser without a window, with a [`VirtualAuthenticator`] if wanted.
//! - [`App`]: an application that a test plays by hand, step by step; [`Ears`]: where one is told that sessions have
//!   ended.
//! - [`parts`]: what `tests/run` provides: databases, real clients, the binary.
//!
//! What it is not: it asserts nothing. That is the journeys' part, in `tests/tests/journeys`.

mod apache;
mod app;
mod chromium;
mod ears;
mod engines;
mod nginx;
mod node;
mod post_office;
mod relay;
mod scene;
mod served;
mod until;
mod wire;

pub use apache::Apache;
pub use app::{Answer, App, CHALLENGE, VERIFIER};
pub use chromium::{Chromium, VirtualAuthenticator};
pub use ears::Ears;
pub use engines::Engines;
pub use nginx::Nginx;
pub use node::Node;
pub use parts::{self, skip};
pub use post_office::PostOffice;
pub use relay::Relay;
pub use scene::{MovableClock, NO_ENGINES, Scene};
pub use served::{REDIRECT_URI, Served, Spoken};
pub use until::{PATIENCE, until, within};
pub use wire::{Heard, Wire};
