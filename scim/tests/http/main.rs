//! The SCIM endpoints over HTTP, on both engines: `house.rs` holds the server, each other file one theme.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod at_once;
mod checkers;
mod discovery;
mod door;
mod entra;
mod groups;
mod house;
mod hr;
mod leaver;
mod lists;
mod okta;
mod users;
mod versions;
