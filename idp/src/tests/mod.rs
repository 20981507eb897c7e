//! The journeys, in this process, over either database: as a browser and as an application see them.

#[macro_use]
mod world;

mod account;
mod authorize;
mod back_channel;
mod conformance;
mod consent;
mod discovery;
mod ending;
mod invitation;
mod logout;
mod mail;
mod matrix;
mod pages;
mod policy;
mod recovery;
mod refresh;
mod service;
mod set_up;
mod sign_in;
mod statements;
mod step_up;
mod throttling;
mod token;
mod walk;

use world::{Answer, Browser, CALLBACK, CHALLENGE, PASSWORD, VERIFIER, World};
