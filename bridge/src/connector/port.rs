//! The port at which devices reach us: opened when somebody wants to listen, and tried again while it cannot be. That
//! it cannot is said once, however often somebody gives up waiting and comes back.
//!
//! What this is not: it hears nothing, and knows no protocol. What is heard there is the connector's.

use std::io;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::sleep;

/// A port and its socket. It outlives the wait for one hint.
#[derive(Debug)]
pub(crate) struct Port<S> {
    bind: SocketAddrV4,
    socket: OnceCell<S>,
    /// It was said that the port cannot be opened.
    is_told: AtomicBool,
}

impl<S> Port<S> {
    pub(crate) fn new(bind: SocketAddrV4) -> Self {
        Self { bind, socket: OnceCell::new(), is_told: AtomicBool::new(false) }
    }

    /// Where it is to be, by the configuration.
    pub(crate) const fn bind(&self) -> SocketAddrV4 {
        self.bind
    }

    /// What listens there; `None` before it is open.
    pub(crate) fn socket(&self) -> Option<&S> {
        self.socket.get()
    }

    /// Opens it, unless it is open, and waits until that has worked: it is tried again after `again`. `tell` is called
    /// for the first failure in a row.
    pub(crate) async fn opened<F>(
        &self,
        again: Duration,
        open: impl Fn(SocketAddrV4) -> F,
        tell: impl Fn(io::Error),
    ) -> &S
    where
        F: Future<Output = io::Result<S>>,
    {
        let socket = loop {
            match self.socket.get_or_try_init(|| open(self.bind)).await {
                Ok(socket) => break socket,
                Err(error) => {
                    if !self.is_told.swap(true, Ordering::Relaxed) {
                        tell(error);
                    }
                    sleep(again).await;
                }
            }
        };
        if self.is_told.swap(false, Ordering::Relaxed) {
            tracing::info!(listen = %self.bind, "devices are listened to");
        }
        socket
    }

    #[cfg(test)]
    pub(crate) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicUsize;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn that_a_port_cannot_be_opened_is_told_once_however_often_somebody_waits_for_it() {
        let port: Port<u8> = Port::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
        let (tried, told, free) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let open = |_: SocketAddrV4| {
            tried.fetch_add(1, Ordering::SeqCst);
            std::future::ready(match free.load(Ordering::SeqCst) {
                true => Ok(7_u8),
                false => Err(io::Error::from(io::ErrorKind::AddrInUse)),
            })
        };
        let tell = |_: io::Error| {
            told.fetch_add(1, Ordering::SeqCst);
        };
        // Whoever waits gives up and comes again.
        for _ in 0..3 {
            let opened = timeout(Duration::from_secs(2), port.opened(Duration::from_secs(30), open, tell));
            assert!(opened.await.is_err(), "nobody has it");
        }
        // Whoever does not give up tries it again.
        let opened = timeout(Duration::from_secs(70), port.opened(Duration::from_secs(30), open, tell));
        assert!(opened.await.is_err(), "nobody has it");
        assert_eq!((tried.load(Ordering::SeqCst), told.load(Ordering::SeqCst)), (6, 1));
        free.store(true, Ordering::SeqCst);
        assert_eq!(*port.opened(Duration::from_secs(30), open, tell).await, 7);
        assert!(port.socket() == Some(&7) && !port.is_told(), "the next time is told again");
    }
}
