//! What every page and call shares: the route table, the passage of a request, bounded bodies, problems, the
//! page kit, and the two ways out of the house: mail and guarded requests.
//!
//! - [`Route`], [`mount`], [`describe`]: the table of all endpoints. An endpoint that is not in it does not
//!   exist, and nothing runs outside the wrapper that `mount` puts around all of them.
//! - [`Passage`]: what is known about a request before any room sees it: its id, the client's address, the
//!   language, the row of the table.
//! - [`Issuer`]: the one address that links, discovery and tokens are made from. Never a header.
//! - [`bounds`], [`body`], [`Params`]: what a request may be, bodies with an end, parameters that know when they are
//!   repeated.
//! - [`connection`]: how many connections an address may have, and how long one may be open for nothing.
//! - [`page`], [`browser`], [`Texts`]: pages with a content security policy, forms that belong to one
//!   browser, texts in every language of [`Locale`].
//! - [`mail`]: letters that no text can forge, and the SMTP server that takes them.
//! - [`outbound`]: requests that we make ourselves, to addresses that others name.
//! - [`problem`], [`Prebuilt`]: RFC 9457 answers, and bytes made beforehand with an `ETag`.
//!
//! What it is not: it knows no room, no noun of the product and no database. Each protocol keeps its own
//! error form and hands it to its routes as a [`Refuse`].
//!
//! To add an endpoint: one line in the `routes()` of its room.

mod address;
pub mod body;
pub mod bounds;
pub mod browser;
pub mod connection;
mod issuer;
mod locale;
pub mod mail;
pub mod outbound;
pub mod page;
mod params;
mod passage;
mod prebuilt;
pub mod problem;
mod route;

pub use address::{Networks, NotANetwork};
pub use issuer::{BadIssuer, Issuer};
pub use locale::{Locale, Texts, TextsError, fill};
pub use params::{BadParams, Params, Repeated};
pub use passage::{Edge, Passage};
pub use prebuilt::Prebuilt;
pub use route::{Method, Refuse, Refused, Route, Visibility, describe, mount};
