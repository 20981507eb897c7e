//! Pure: Cedar policies in, decisions with reasons out. No IO.
//!
//! [`Policies::parse`] takes policy texts, checks them whole and cuts them into slices;
//! [`Policies::decide_sign_in`] and its siblings answer for any input, with a reason, and never panic.
//! Raising the assurance never turns allow into deny, and raising the risk never turns step-up or deny
//! into allow, because a policy that could is refused when it is loaded (`monotone.rs`).
//!
//! What it is not: it reads no clock, no directory and no file (the caller hands in plain structs), keeps
//! nothing between two decisions, and records nothing (inputs and decisions are serialisable, so that the
//! caller can). It does not compute the risk; it is told.
//!
//! A policy is [Cedar](https://www.cedarpolicy.com) text with an `@id` and a `@because`. This one says who
//! is born with a right:
//!
//! ```text
//! @id("control-room")
//! @because("Grid Operations works in the control room.")
//! permit (
//!     principal in Department::"Grid Operations",
//!     action == Action::"hold",
//!     resource == AccessProfile::"control-room"
//! );
//! ```
//!
//! (`@because_de` and the like say the same in another language), and this one asks for more when the risk rises:
//!
//! ```text
//! @id("risky")
//! @because("Something about this sign-in is unusual.")
//! forbid (principal, action == Action::"signIn", resource)
//! unless { context.risk <= 1 || context.assurance >= 3 };
//! ```
//!
//! To add an attribute: `schema.cedarschema`, the struct in `request.rs`, one line in `entities.rs`.
//! To add an action: the schema, `Action` in `schema.rs`, a request struct, and a `decide_…` in `decide.rs`.

mod decide;
mod entities;
mod methods;
mod monotone;
mod policies;
mod request;
mod schema;
mod slices;
mod text;

#[cfg(test)]
mod tests;

pub use decide::{Decision, HoldDecision, NO_PERMIT, Reason};
pub use methods::{Method, assurance_of};
pub use monotone::Breach;
pub use policies::{BASELINE, Place, Policies, PolicyError};
pub use request::{
    AccessProfile, AdministerRequest, Area, Circumstances, Client, EnrolRequest, EnterRequest, Factor,
    LocalTime, Network, Risk, SignInRequest, User,
};
