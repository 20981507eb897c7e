//! What the rooms share: users and groups, what they sign in with, sessions and grants, clients, doors and
//! credentials. A folder per noun, its rules and its SQL side by side.
//!
//! What it is not: it speaks no protocol. SCIM, OpenID Connect and door systems are rooms of their own, which
//! meet only here and through the facts of [`facts`].
//!
//! A **rule** is what is true at a commit, without IO: when `active` falls, `user::update` ends sessions,
//! grants, codes and takes credentials off every list, in its own transaction. Whatever must leave the house is
//! a sink's work and begins with the fact.
//!
//! To add a noun: a folder here, a migration, its facts in [`facts`].

pub mod authenticator;
pub mod client;
pub mod consent;
pub mod credential;
pub mod declared;
pub mod door;
mod error;
pub mod facts;
pub mod group;
pub mod invitation;
mod name;
pub mod policy;
pub mod presence;
pub mod scim_connection;
pub mod session;
pub mod set_up;
pub mod user;

pub use error::DirectoryError;
pub use name::{LONGEST_NAME, fold};
