//! What the directory promises, on both engines: SQLite, and a real PostgreSQL (`CARDEA_TEST_POSTGRES`, an admin
//! URL). A test without its server is skipped with the reason, and fails when `CI` is `true`.
//!
//! To add a rule: an async function of [`house::House`] in the module of its subject, named in the module's
//! `on_both_engines!`.
#![expect(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod house;
mod people;

mod alive;
mod authenticators;
mod credentials;
mod declarations;
mod emails;
mod ending;
mod facts;
mod forged_passkeys;
mod groups;
mod model;
mod presence;
mod principals;
mod queries;
mod races;
mod ripple;
mod sessions;
mod users;
