//! One database and one journal.
//!
//! - [`Db`] and [`Tx`]: SQLite or PostgreSQL behind one SQL text (`sql!`, `$1` parameters, tuples in,
//!   `derive(FromRow)` out). On SQLite commits are shared: see `writer/`.
//! - [`Fact`]: every change records one in its own transaction, `tx.record(fact)`. The journal is the
//!   audit source, the outbox and the feed; nothing is logged twice. [`FactKind`] describes what is recorded.
//! - [`delivery`]: a fact on its way to one sink, with lease and fence; [`lane`] runs a sink.
//! - [`follower`]: readers of the journal in the order of `seq`.
//! - [`Ephemeral`]: counters and short-lived values, in memory or on Redis.
//!
//! What it is not: it knows no noun of the product. Tables and rules of users, doors and tokens live in
//! the room that owns them, with their SQL beside them.
//!
//! **Invariants.** Only this crate names SQLite or PostgreSQL. A [`Tx`] awaits nothing but SQL: never
//! hash, send or render while one is open. Nobody answers before the commit of the group their reads came
//! from: leave a transaction by [`Tx::commit`], [`Tx::refuse`] or [`Tx::end`], not by dropping it, when
//! what was read in it decides the answer.

mod catalogue;
mod db;
pub mod delivery;
mod ephemeral;
mod error;
pub mod follower;
mod journal;
pub mod lane;
mod lease;
mod listen;
mod readers;
mod serve;
mod sql;
mod start;
mod tx;
mod writer;

pub use catalogue::{FACTS, FactKind};
pub use db::{Db, Row};
pub use delivery::{Address, Delivery, Priority, Sinks};
pub use ephemeral::{Ephemeral, EphemeralError};
pub use error::StoreError;
pub use journal::{Fact, FactBody, Origin, SALT_LENGTH, StoredFact, newest};
pub use lane::{Lane, Settled, Sink, SinkError};
pub use lease::Lease;
pub use serve::Serving;
pub use sql::{JsonText, Params, Sql, Value};
pub use start::{DbConfig, StartError};
pub use tx::Tx;
