//! The bridge: identity events become credentials in door systems, and are taken back at once, with proof.
//!
//! - [`connector`]: what every door system's connector promises; [`uhppote`] is one. [`conformance`] is the
//!   suite that each must pass unchanged.
//! - [`entitlement`]: what policy says a user holds, and the card that goes with it.
//! - [`entrance`]: who may enter now, where a door system asks at each swipe.
//! - [`placement`]: one credential on one door system: brings it to what is wanted, and proves it.
//! - [`configuration`]: after a policy, profile or door changed, everybody is looked at again.
//! - [`feed`]: what happened at the doors, as facts. [`sweep`]: what a door system holds and should not.
//! - [`quarantine`]: cards on a list that are nobody's, and what people decide about them.
//! - [`condition`]: what weakens our promise at a door, as alerts.
//! - [`receipt`]: the signed evidence of a revocation. [`alert`]: what somebody must look at.
//! - [`exposure`]: who could still open what. [`task`]: what somebody does about it meanwhile.
//! - [`systems`]: the door systems that run, each with a lane of its own.
//!
//! What it is not: it knows no SCIM and no sign-in. It hears of people through facts, and reads what is
//! wanted from the directory.
//!
//! To add a door system: see [`connector`].

pub mod alert;
pub mod card;
pub mod condition;
pub mod configuration;
pub mod conformance;
pub mod connector;
pub mod controlid;
pub mod entitlement;
pub mod entrance;
mod error;
pub mod exposure;
pub mod facts;
pub mod feed;
pub mod placement;
pub mod quarantine;
pub mod receipt;
pub mod sweep;
pub mod systems;
pub mod task;
pub mod uhppote;

pub use error::BridgeError;
