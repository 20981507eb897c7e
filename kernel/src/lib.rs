//! Words all rooms share: typed ids, clock, entropy, secrets, assurance, problems.
//!
//! What it is not: it does no IO, knows no database driver, no HTTP server and no room. A type belongs
//! here only when two rooms that may not import each other both need the word.
//!
//! To add a kind of id: one line in [`id`]. To add a shared word: a module of its own, exported here.

mod assurance;
mod ctx;
mod day;
pub mod id;
mod principal;
mod problem;
mod secret;
mod time;

pub use assurance::{Assurance, ProtectionClass, Sensitivity, UnknownWord};
pub use ctx::{Clock, Ctx, Entropy, ManualClock, SeededEntropy, SystemClock, SystemEntropy};
pub use day::{Day, NotADay};
pub use id::{Actor, RequestId, Subject};
pub use principal::Principal;
pub use problem::Problem;
pub use secret::{Secret, Token, TokenHash, constant_time_eq, sha256};
pub use time::Timestamp;
