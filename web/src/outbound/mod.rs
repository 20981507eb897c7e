//! Requests that we make ourselves, to addresses that others name: logout tokens, later webhooks.
//!
//! Whoever names an address could name one inside the house, and have us ask what they cannot reach. So: https
//! only; names are resolved here, each address that comes out must belong to everybody (`address.rs`) or be
//! allowed by the configuration, and the connection goes to the address that was checked, so a name that
//! answers differently the second time gains nothing. No redirect is followed, no proxy of the environment is
//! used, and time, head and body are bounded.
//!
//! What it is not: it keeps no connection and tries nothing again; a lane does. It is not for servers that the
//! operator names (database, Redis, SMTP, door systems): those may be anywhere.

mod address;
mod connection;
mod target;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::{Issuer, Networks};
use address::is_public;
use connection::Question;
use target::{Name, Target};

/// How long a request may take, all in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest body that is read.
const BODY: usize = 64 * 1024;
/// So many addresses of one name are tried.
const ADDRESSES: usize = 3;

/// Why a request was not answered, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Nothing is sent to such an address: correct it.
    #[error("{url:?} cannot be called: {reason}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It leads where only the house may go: correct it, or allow it in the configuration.
    #[error("{host} is {address}, which is not public; if it is meant, allow it in outbound.allow")]
    Forbidden {
        /// Whose address.
        host: String,
        /// The address.
        address: IpAddr,
    },
    /// The name leads nowhere: correct it, or try again later.
    #[error("{host} is not found: {reason}")]
    Unknown {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody answers there, or not in the way of TLS or HTTP: try again later.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The name.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// It took longer than [`PATIENCE`]: try again later. The request may have arrived.
    #[error("{host} did not answer within {} s", PATIENCE.as_secs())]
    TooSlow {
        /// The name.
        host: String,
    },
    /// The answer is larger than we read: its sender must mend it.
    #[error("the answer of {host} is larger than {BODY} bytes")]
    TooLarge {
        /// The name.
        host: String,
    },
}

/// What was answered. A redirect is an answer like any other: nobody follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, at most 64 KiB.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether it says that the request was taken: 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Finds the addresses of a name.
#[async_trait]
trait Names: Send + Sync {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect())
    }
}

/// A client for addresses that others name. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    allowed: Networks,
    at_home: bool,
    names: Arc<dyn Names>,
    tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Outbound {
    /// `allowed` are networks of the house that may be called all the same. Servers are believed by the system's
    /// authorities. Where the issuer is `http://localhost`, everything runs on this machine, which is then
    /// reached, too, in clear.
    #[must_use]
    pub fn new(issuer: &Issuer, allowed: Networks) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (known, _) = roots.add_parsable_certificates(found.certs);
        if known == 0 {
            tracing::warn!(errors = ?found.errors, "the system knows no authority: no https request can be made");
        }
        Self { allowed, at_home: !issuer.is_https(), names: Arc::new(SystemNames), tls: trusting(roots) }
    }

    /// Whether an address can be called, as far as its text says: for whoever takes it down.
    ///
    /// # Errors
    /// [`OutboundError::BadUrl`], or [`OutboundError::Forbidden`] for an address that is written in numbers.
    pub fn check(&self, url: &str) -> Result<(), OutboundError> {
        let target = Target::parse(url, self.at_home)?;
        match target.host {
            Name::Address(address) => self.admitted(&target, vec![address]).map(drop),
            Name::Domain(_) => Ok(()),
        }
    }

    /// Asks with `GET`.
    ///
    /// # Errors
    /// [`OutboundError`]. A status of 400 or above is none.
    pub async fn get(&self, url: &str) -> Result<Answer, OutboundError> {
        self.ask(url, Question { method: Method::GET, media_type: None, body: Vec::new() }).await
    }

    /// Sends a body with `POST`.
    ///
    /// # Errors
    /// As [`Outbound::get`].
    pub async fn post(
        &self,
        url: &str,
        media_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Answer, OutboundError> {
        self.ask(url, Question { method: Method::POST, media_type: Some(media_type), body }).await
    }

    async fn ask(&self, url: &str, question: Question) -> Result<Answer, OutboundError> {
        let target = Target::parse(url, self.at_home)?;
        let asked = tokio::time::timeout(PATIENCE, async {
            let addresses = self.addresses(&target).await?;
            let stream = connection::open(&target, &addresses, &self.tls).await?;
            connection::exchange(&target, stream, question).await
        });
        asked.await.unwrap_or_else(|_| Err(OutboundError::TooSlow { host: target.authority.clone() }))
    }

    /// The addresses that may be connected to. INVARIANT: connections go to nothing else.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, OutboundError> {
        let host = || target.authority.clone();
        let found = match &target.host {
            Name::Address(address) => vec![*address],
            Name::Domain(name) => self
                .names
                .addresses(name)
                .await
                .map_err(|error| OutboundError::Unknown { host: host(), reason: error.to_string() })?,
        };
        self.admitted(target, found)
    }

    fn admitted(&self, target: &Target, found: Vec<IpAddr>) -> Result<Vec<SocketAddr>, OutboundError> {
        let host = target.authority.clone();
        let Some(first) = found.first().map(IpAddr::to_canonical) else {
            return Err(OutboundError::Unknown { host, reason: "it has no address".into() });
        };
        let admitted: Vec<SocketAddr> = found
            .iter()
            .map(IpAddr::to_canonical)
            .filter(|address| self.admits(target, *address))
            .map(|address| SocketAddr::new(address, target.port))
            .take(ADDRESSES)
            .collect();
        if admitted.is_empty() {
            Err(OutboundError::Forbidden { host, address: first })
        } else {
            Ok(admitted)
        }
    }

    fn admits(&self, target: &Target, address: IpAddr) -> bool {
        let at_home = self.at_home && address.is_loopback();
        // In clear to this machine alone, whatever the name of it leads to.
        at_home || target.https && (is_public(address) || self.allowed.hold(address))
    }
}

fn trusting(roots: rustls::RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        // The provider and the versions are both fixed here.
        .expect("aws-lc speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
