//! The SCIM 2.0 server: schema registry, value tree, filter, patch, resources, discovery.
//!
//! The engine is pure: [`schema`] says which attributes there are, [`value`] reads and writes resources by
//! it, [`filter`] and [`path`] point into them, [`patch`] works out changes, [`list`] and [`error`] are the
//! messages around. It knows no database, no HTTP and no clock, so that every quirk of a client is a line
//! in a table of tests.
//!
//! Around it is the server: [`Scim`] with `resource` (rows of the directory as resources) and `endpoint`
//! ([`routes`], thin). What it is not: it holds no rule about accounts. What ends with a deactivation, who may
//! have which name, whose card is taken back: `directory` and its facts.
//!
//! To add an attribute or schema: data, in `schema/data/` or at run time through [`schema::Registry`]. To
//! understand one more client: a line in the tests of the module it concerns, then the code. To add a kind of
//! resource: see `resource`.

mod answer;
mod discovery;
mod endpoint;
pub mod error;
pub mod filter;
pub mod list;
pub mod patch;
pub mod path;
mod resource;
mod room;
#[cfg(test)]
mod samples;
pub mod schema;
pub mod value;

pub use answer::refuse;
pub use endpoint::routes;
pub use error::{ScimError, ScimType};
pub use room::Scim;
