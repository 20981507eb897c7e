//! Simulators for the demo and the tests: a UHPPOTE controller, a Control iD device, a browser with authenticators, an
//! HR client, a mail server, a relying party.
//!
//! They are independent witnesses. They speak over real sockets only, carry their own codecs, and import no
//! other crate of this house: what they say about the product is seen from outside, as a door, a person, an
//! HR department or an app would see it.
//!
//! - [`uhppote`]: a door controller on a UDP port, with hands for the tester (swipe, plant, misbehave, cut power).
//! - [`controlid`]: an access controller with a web server, built from the vendor's published API.
//! - [`browser`]: cookies, redirects, forms and the form part of a content security policy; no scripts.
//! - [`authenticator`]: an app with one-time codes and a security key, for what the browser's pages ask.
//! - [`hr`]: SCIM 2.0 in the request shapes of Entra ID's provisioning job.
//! - [`mail`]: a mail server that takes letters and shows them.
//! - [`relying_party`]: a small web app that signs people in with OpenID Connect.
//!
//! Deliberately not here: anything that reads the product's database, and anything that is needed in production.
//! To add a simulator, give it a folder, a `start` that binds port 0, and a test with a client nobody here wrote.

use std::sync::Arc;

pub mod authenticator;
pub mod browser;
pub mod controlid;
pub mod hr;
mod http;
mod look;
pub mod mail;
pub mod relying_party;
pub mod uhppote;

/// An HTTP client that keeps to itself: no proxy, no redirects, and an end to waiting.
///
/// # Panics
/// If it cannot be set up, which without TLS has no reason to happen.
fn client() -> reqwest::Client {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30));
    client.build().expect("an HTTP client without TLS")
}

/// The clock of a simulator. Simulators never read one themselves, so a test may move time.
pub type Now = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;
