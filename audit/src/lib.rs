//! Sequence and hash chain over the journal, and their verification.
//!
//! Facts are committed without an order. The audit follower gives each its place (`seq`: 1, 2, … without a
//! gap) and links it to the one before (`chain`), and from time to time signs how the chain stands. Whoever
//! then changes, removes or inserts a line, or cuts the end off, is found by [`verify`], with the line.
//!
//! What it can and cannot prove: the chain alone is no secret, so whoever may write the database can also
//! compute it anew from the changed line on. What stops that is a checkpoint: its signature needs the
//! sealing key, which is not in the database. Whoever has both, or removes the end together with every
//! checkpoint over it, is found only with a checkpoint that is kept elsewhere; each one is therefore also
//! written to the log. Erasing a body together with its salt is allowed and leaves the chain whole.
//!
//! [`export`] hands every fact on to others; [`search`] finds some again; [`mod@erase`] erases bodies whose time is
//! over.
//!
//! What it is not: it interprets no body, and records nothing but what became of handing on and of erasing.

mod chain;
mod checkpoint;
pub mod erase;
mod error;
pub mod export;
mod finding;
mod follow;
#[cfg(test)]
#[path = "../../keys/tests/database/house.rs"]
mod house;
mod search;
mod sequence;
mod verify;
mod walk;

pub use chain::Link;
pub use checkpoint::{Checkpoint, checkpoint};
pub use erase::{Eraser, Retention};
pub use error::AuditError;
pub use finding::{Finding, Report, What};
pub use follow::{CheckpointPolicy, Follower, follow};
pub use search::{Search, search};
pub use sequence::sequence;
pub use verify::{Progress, verify};

use store::FactKind;

/// Every kind of fact that this room records.
pub const FACTS: &[FactKind] = &[
    FactKind::of::<export::ExportCut>(),
    FactKind::of::<export::ExportResumed>(),
    FactKind::of::<erase::BodiesErased>(),
];
