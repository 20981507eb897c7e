//! A UHPPOTE UT0311-L04 door controller, as far as its network port and its readers show.
//!
//! The vendor publishes no specification; the wire facts are those that the `uhppoted` project reverse-engineered
//! and tested (64-byte packets over UDP). Where that project's own simulator is lenient, this one is not: validity
//! dates and time profiles are enforced at every swipe, and a malformed request gets no answer, as at the real
//! panel, but is counted.
//!
//! - [`Controller`] is the panel on a socket, with the hands of a tester.
//! - `packet`, `request` and `panel` are the pure halves: bytes, what was asked, and what the panel does about it.
//!
//! Deliberately not here: anti-passback, interlock, keypads, task lists, first-card, PC control, set-address and
//! factory reset. The panel stays silent on those and counts them as [`Rejection::Opcode`].
//!
//! To add an operation: a variant in `request.rs`, an arm in `panel.rs`, a row in each of their tables, and a line
//! in `tests/uhppoted_client.py`.

mod card;
mod controller;
mod decision;
mod event;
mod misbehaviour;
mod packet;
mod panel;
mod profile;
mod request;

pub use card::Card;
pub use controller::{Controller, ControllerOptions, Firmware, Seen};
pub use decision::{Swipe, reason};
pub use event::{Event, kind};
pub use misbehaviour::Misbehaviour;
pub use packet::Rejection;
pub use panel::{Door, DoorMode};
pub use profile::{Profile, Segment};
