//! Connections: how many one address may have, and how long one may be open with nothing asked over it.
//!
//! actix-http bounds the head of the first request and the rest between two. It does not bound the head of the second
//! (whose first byte ends the rest), nor how long a client takes to read its answer, nor how long it goes on sending
//! what nobody reads. For whoever wants to hold on to us each would do, and so each connection has a watch of its own:
//! when no request has been under way for [`QUIET`], it is cut, whatever the reason.
//!
//! What it is not: it bounds no request that is under way. Its body has a time ([`crate::body`]), and so has
//! everything that handlers wait for. And it knows HTTP/1.1 only, where a connection has one request at a time: what
//! many requests at once could keep of us over HTTP/2, a watch of the socket would not see.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use actix_web::rt;
use actix_web::rt::task::JoinHandle;
use actix_web::rt::time::sleep;

use crate::Networks;

/// How long a connection may be open with no request under way: to rest, to send the head of the next one, and to read
/// the answer of the last one.
pub const QUIET: Duration = Duration::from_secs(30);

/// Counts the connections of a process by the address that they come from, and watches each. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    per_address: usize,
    quiet: Duration,
    proxies: Networks,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Connections {
    /// At most so many from one address, and none for longer than `quiet` without a request. Proxies of ours bring
    /// everybody's: they may have as many as they like.
    #[must_use]
    pub fn new(per_address: usize, quiet: Duration, proxies: Networks) -> Self {
        Self(Arc::new(Counted { per_address, quiet, proxies, open: Mutex::default() }))
    }

    /// A connection begins: a second handle of its socket, and what belongs to it. To be called by the worker that
    /// will serve it. It is cut at once when its address has too many.
    pub fn begin(&self, socket: TcpStream, belongings: &mut Extensions) {
        // Who has no address any more is gone already.
        let Ok(peer) = socket.peer_addr() else { return };
        let line = Rc::new(Line { socket, quiet_since: Cell::new(Some(Instant::now())) });
        let Some(place) = self.place(peer.ip()) else {
            tracing::debug!(client.address = %peer.ip(), "too many connections from one address");
            return line.cut();
        };
        let watch = rt::spawn(watch(line.clone(), self.0.quiet));
        belongings.insert(Connection { line, watch, _place: place });
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let network = network(address);
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= self.0.per_address && !self.0.proxies.hold(address) {
            return None;
        }
        *count += 1;
        Some(Place { counted: self.0.clone(), network })
    }
}

/// Whoever has an address of IPv6 has all that share its first 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// One connection counted, until it is dropped.
#[derive(Debug)]
struct Place {
    counted: Arc<Counted>,
    network: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counted.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// What belongs to an open connection; it goes with it.
#[derive(Debug)]
pub(crate) struct Connection {
    line: Rc<Line>,
    watch: JoinHandle<()>,
    _place: Place,
}

#[derive(Debug)]
struct Line {
    socket: TcpStream,
    /// When the last request ended; `None` while one is under way.
    quiet_since: Cell<Option<Instant>>,
}

impl Line {
    /// Both ways: who serves it finds it ended, and so does the client.
    fn cut(&self) {
        // What cannot be shut is shut already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Connection {
    /// A request is under way, until what is returned is dropped.
    pub(crate) fn request(&self) -> UnderWay {
        self.line.quiet_since.set(None);
        UnderWay(self.line.clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watch.abort();
        // The watch has a handle of the socket until it is gone.
        self.line.cut();
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct UnderWay(Rc<Line>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.quiet_since.set(Some(Instant::now()));
    }
}

/// Cuts a connection over which nothing has been under way for so long.
async fn watch(line: Rc<Line>, quiet: Duration) {
    loop {
        let left = line.quiet_since.get().map_or(quiet, |since| quiet.saturating_sub(since.elapsed()));
        if left.is_zero() {
            return line.cut();
        }
        sleep(left).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A connection as it begins, and its other end.
    fn connect(connections: &Connections, listener: &TcpListener) -> (Extensions, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        let mut belongings = Extensions::new();
        connections.begin(served, &mut belongings);
        (belongings, client)
    }

    fn is_cut(client: &TcpStream) -> bool {
        client.set_nonblocking(false).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.peek(&mut [0]).unwrap() == 0
    }

    fn is_open(client: &TcpStream) -> bool {
        client.set_nonblocking(true).unwrap();
        client.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    #[actix_web::test]
    async fn an_address_has_so_many_connections_and_a_proxy_as_many_as_it_likes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connections = Connections::new(2, Duration::from_secs(60), Networks::default());
        let (first, _client) = connect(&connections, &listener);
        let (second, _other) = connect(&connections, &listener);
        let (third, client) = connect(&connections, &listener);
        assert!(first.contains::<Connection>() && second.contains::<Connection>());
        assert!(!third.contains::<Connection>() && is_cut(&client));
        drop(first);
        let (fourth, _client) = connect(&connections, &listener);
        assert!(fourth.contains::<Connection>(), "one has ended");
        drop((second, fourth));
        assert_eq!(connections.0.open.lock().unwrap().len(), 0, "who is gone is forgotten");

        let proxies = Networks::parse(&["127.0.0.1"]).unwrap();
        let connections = Connections::new(0, Duration::from_secs(60), proxies);
        assert!(connect(&connections, &listener).0.contains::<Connection>());
    }

    #[actix_web::test]
    async fn a_connection_is_cut_when_nothing_was_under_way_for_too_long() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let quiet = Duration::from_millis(200);
        let connections = Connections::new(9, quiet, Networks::default());
        let (busy, client) = connect(&connections, &listener);
        let (idle, other) = connect(&connections, &listener);
        let request = busy.get::<Connection>().unwrap().request();
        sleep(3 * quiet).await;
        assert!(is_cut(&other), "nothing was asked over it");
        assert!(is_open(&client), "a request is under way");
        drop(request);
        sleep(3 * quiet).await;
        assert!(is_cut(&client));
        drop((busy, idle));
    }

    #[test]
    fn an_address_of_ipv6_is_its_network() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
    }
}
