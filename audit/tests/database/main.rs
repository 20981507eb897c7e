//! Sequence, checkpoints and verification on a database, on both engines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod erase;
mod export;
mod follow;
#[path = "../../../keys/tests/database/house.rs"]
mod house;
mod journal;
mod search;
mod sequence;
mod verify;
