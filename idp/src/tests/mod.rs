//! The journeys, in this process, over a SQLite file: as a browser and as an application see them.

mod authorize;
mod discovery;
mod ending;
mod invitation;
mod pages;
mod policy;
mod sign_in;
mod token;
mod world;

use world::{Answer, Browser, CALLBACK, CHALLENGE, PASSWORD, VERIFIER, World};
