//! The journeys, in this process, over either database: as a browser and as an application see them.

#[macro_use]
mod world;

mod authorize;
mod conformance;
mod discovery;
mod ending;
mod invitation;
mod mail;
mod pages;
mod policy;
mod recovery;
mod server;
mod sign_in;
mod throttling;
mod token;

use world::{Answer, Browser, CALLBACK, CHALLENGE, PASSWORD, VERIFIER, World};
