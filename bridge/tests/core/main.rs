//! The bridge's core over real UDP against simulated controllers, each test with a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

#[macro_use]
mod world;

mod hand;
mod unit;

mod asked;
mod condition;
mod configuration;
mod crash;
mod doors_open;
mod events;
mod findings;
mod hand_held;
mod hours;
mod life;
mod model;
mod nodes;
mod overtaking;
mod pools;
mod presence;
mod quarantine;
mod reach;
mod receipts;
mod stopping;
mod sweeping;
mod tasks;
