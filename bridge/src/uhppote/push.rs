//! Events that controllers push: only a hint to look now.
//!
//! A pushed event is one unacknowledged, unauthenticated datagram: it can be lost, doubled or forged. So
//! nothing of it is believed but that there may be something to read, and reading is done by index.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use super::message::{GetListener, Listener, SetListener, pushed_event};
use super::transport::Wire;
use crate::connector::lanes::Lane;
use crate::connector::reminder::{RETRIED, Reminder};

/// Where we listen, once somebody wants to.
#[derive(Debug)]
pub(super) struct Ear {
    bind: SocketAddrV4,
    socket: OnceCell<UdpSocket>,
    reminder: Reminder,
}

impl Ear {
    pub(super) fn new(bind: SocketAddrV4) -> Self {
        Self { bind, socket: OnceCell::new(), reminder: Reminder::default() }
    }

    /// Where controllers shall push to; `None` before the port is open.
    pub(super) fn address(&self) -> Option<SocketAddrV4> {
        match self.socket.get()?.local_addr().ok()? {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        }
    }

    /// Ends when one of the controllers hints. Meanwhile reminds them all where to push to.
    pub(super) async fn hinted(&self, wires: &[&Wire]) {
        let socket = loop {
            match self.socket.get_or_try_init(|| UdpSocket::bind(self.bind)).await {
                Ok(socket) => break socket,
                Err(error) => {
                    tracing::warn!(listen = %self.bind, %error, "cannot listen for door events; polling finds them");
                    sleep(RETRIED).await;
                }
            }
        };
        tokio::select! {
            () = hear(socket, wires) => (),
            () = self.reminder.remind(wires, |wire| self.tell(wire)) => (),
        }
    }

    /// Whether the controller pushes to us now.
    async fn tell(&self, wire: &Wire) -> bool {
        let Some(address) = self.address() else { return false };
        let ours = Listener { address, interval: 0 };
        match wire.ask(Lane::Grants, &GetListener).await {
            Ok(listener) if listener == ours => true,
            Ok(_) => wire.ask(Lane::Grants, &SetListener(ours)).await == Ok(true),
            Err(_) => false,
        }
    }
}

/// Ends at the first event of a controller of ours. What else has come by then is the same hint.
async fn hear(socket: &UdpSocket, wires: &[&Wire]) {
    let mut buffer = [0; super::packet::LENGTH + 1];
    let known = |datagram: &[u8], from: SocketAddr| {
        pushed_event(datagram).is_some_and(|(serial, _)| {
            wires.iter().any(|wire| wire.serial() == serial && from.ip() == *wire.address().ip())
        })
    };
    loop {
        // The system reports another's trouble here now and then; it concerns no datagram of ours.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        if known(&buffer[..length], from) {
            drain(socket, &mut buffer);
            return;
        }
    }
}

fn drain(socket: &UdpSocket, buffer: &mut [u8]) {
    for _ in 0..1000 {
        if socket.try_recv_from(buffer).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return;
        }
    }
}
