//! What the store promises, on every engine: SQLite, and a real PostgreSQL (`CARDEA_TEST_POSTGRES`, an admin
//! URL); Ephemeral in memory, and on a real Redis (`CARDEA_TEST_REDIS`). A test without its server is skipped
//! with the reason, and fails when `CI` is `true`.
//!
//! To add a rule: an async function of [`house::House`] in the module of its subject, named in the module's
//! `on_every_engine!`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[macro_use]
mod house;
mod wire;

mod claims;
mod deliveries;
mod ephemeral;
mod followers;
mod journal;
mod kills;
mod lanes;
mod shared_commits;
mod sql_texts;
mod start;
mod transactions;
