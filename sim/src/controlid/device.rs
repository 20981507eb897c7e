//! The device on its port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use super::options::DeviceOptions;
use super::outbox;
use super::shared::Shared;
use super::state::State;
use super::wire;
use crate::http::{Request, Responder};

/// Who decided at a swipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The device, in standalone mode.
    Device,
    /// The server, in online mode.
    Server,
    /// The device, because the server does not answer.
    Contingency,
    /// The server does not answer, and the device may not decide.
    Nobody,
}

/// What came of a card at a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swipe {
    /// One of [`event`](super::event), or what the server said instead.
    pub event: u8,
    /// Whose card it was taken for; 0 is nobody's.
    pub user_id: i64,
    /// The number of its access log, if it was written down.
    pub log: Option<i64>,
    /// Whether the portal opened.
    pub opened: bool,
    /// Who decided.
    pub by: Decided,
}

/// An access controller on a loopback port. Dropping it ends it.
pub struct Device {
    pub(super) shared: Arc<Shared>,
    address: SocketAddr,
    url: Url,
    tasks: [JoinHandle<()>; 2],
    /// The web server behind the port.
    _responder: Responder,
}

impl Device {
    /// Takes a free loopback port and answers from then on.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(options: DeviceOptions) -> io::Result<Self> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(free).await?;
        let address = listener.local_addr()?;
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{address}/")).map_err(io::Error::other)?;
        let (notes, waiting) = mpsc::channel(outbox::WAITING);
        let shared = Arc::new(Shared::new(State::new(options, address.port()), notes));
        let answering = Arc::clone(&shared);
        let answer = move |request: Request| {
            let shared = Arc::clone(&answering);
            async move { shared.answer(request).await }
        };
        let responder = Responder::start(free, answer).await?;
        let wire = tokio::spawn(wire::accept(listener, responder.address(), Arc::clone(&shared)));
        let outbox = tokio::spawn(outbox::run(Arc::clone(&shared), waiting));
        Ok(Self { shared, address, url, tasks: [wire, outbox], _responder: responder })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as an address of the web, with the `/` at its end.
    #[must_use]
    pub fn base_url(&self) -> &Url {
        &self.url
    }

    /// Shows a card at a portal. The device or its server decides, an access log is written, and the monitor is told.
    pub async fn swipe(&self, portal: i64, card: i64) -> Swipe {
        self.shared.swipe(portal, card).await
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
