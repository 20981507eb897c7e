//! An access controller of Control iD (iDAccess and its relatives), as far as its web server and its readers show.
//!
//! It is made from the vendor's published documents and from what people with hardware wrote down, and from no client
//! of this house. It is strict: objects and fields that it does not know, other types than the documented ones,
//! references that lead nowhere and cards that are taken are refused, and a door opens only as its objects say. PyPI
//! `controlid-sdk`, a client that nobody here wrote, drives it in `tests/controlid_client.py`.
//!
//! - [`Device`] is the device on a port, with the hands of a tester.
//! - `schema`, `row`, `store`, `query` are its database; `settings` its configuration; `session` who is logged in.
//! - `command` and `objects` are what it can be asked; `refusal` is how it says no.
//! - `decision` is what it makes of a card alone, `online` what it asks its server, `outbox` what it sends by itself.
//! - `state` holds all of it, `shared` is that behind a lock, `wire` the port in front.
//!
//! Not confirmed by the vendor, hence options, or chosen here: what becomes of rows that refer to a destroyed one
//! ([`Dependents`]), who opens a door in contingency ([`Contingency`]), how long a session lives, the words of most
//! refusals, the status when the device is full, and that a lost notification does not come again.
//!
//! Over HTTPS it presents what it is given; which versions and suites real firmware speaks is not published.
//!
//! Deliberately not here: faces, fingers, codes and tags other than cards, holidays, rules of areas,
//! anti-passback, interlock, emergency and lockdown, joins and groups of a query, notifications other than changes of
//! objects and signs of life, images for the server, the push mode in which the device fetches its commands, the
//! clearing of expired users, backups, and changes of its network.
//!
//! To add an object: a row in `schema.rs`. To add a command: see `command.rs`. If that client knows it, a line in
//! `tests/controlid_client.py`.

mod command;
mod decision;
mod device;
mod hands;
mod misbehaviour;
mod objects;
mod online;
mod options;
mod outbox;
mod query;
mod refusal;
mod row;
mod schema;
mod session;
mod settings;
mod shared;
mod state;
mod store;
mod wire;

pub use decision::{Contingency, event};
pub use device::{Decided, Device, Swipe};
pub use hands::card_value;
pub use misbehaviour::Misbehaviour;
pub use options::DeviceOptions;
pub use state::{Counters, Seen};
pub use store::Dependents;
