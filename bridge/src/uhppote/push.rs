//! Events that controllers push: only a hint to look now.
//!
//! A pushed event is one unacknowledged, unauthenticated datagram: it can be lost, doubled or forged. So
//! nothing of it is believed but that there may be something to read, and reading is done by index.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::message::{GetListener, Listener, SetListener, pushed_event};
use super::transport::Wire;
use crate::connector::lanes::Lane;
use crate::connector::port::Port;
use crate::connector::reminder::{RETRIED, Reminder};

/// Where we listen, once somebody wants to.
#[derive(Debug)]
pub(super) struct Ear {
    port: Port<UdpSocket>,
    reminder: Reminder,
}

impl Ear {
    pub(super) fn new(bind: SocketAddrV4) -> Self {
        Self { port: Port::new(bind), reminder: Reminder::default() }
    }

    /// Where controllers shall push to; `None` before the port is open.
    pub(super) fn address(&self) -> Option<SocketAddrV4> {
        match self.port.socket()?.local_addr().ok()? {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        }
    }

    /// Ends when one of the controllers hints. Meanwhile reminds them all where to push to.
    pub(super) async fn hinted(&self, wires: &[&Wire]) {
        let socket = self.port.opened(RETRIED, UdpSocket::bind, |error| self.tell_closed(&error)).await;
        tokio::select! {
            () = hear(socket, wires) => (),
            () = self.reminder.remind(wires, |wire| self.tell(wire)) => (),
        }
    }

    /// Of several processes one listens, so it may be as it should.
    fn tell_closed(&self, error: &io::Error) {
        tracing::warn!(
            listen = %self.port.bind(), %error, "cannot listen for door events; they are found by polling"
        );
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

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_port_that_another_has_is_told_once_and_taken_when_it_is_free() {
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(bind) = other.local_addr().unwrap() else { panic!("an address of IPv4") };
        let ear = Ear::new(bind);
        // Whoever waits for hints gives up and comes again.
        for is_told in [false, true] {
            assert_eq!(ear.port.is_told(), is_told);
            assert!(timeout(Duration::from_millis(50), ear.hinted(&[])).await.is_err());
        }
        drop(other);
        assert!(timeout(Duration::from_millis(50), ear.hinted(&[])).await.is_err());
        assert!(ear.address().is_some() && !ear.port.is_told());
    }
}
