//! What this crate does on a database, on both engines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod house;
mod key_ring;
mod reseal;
