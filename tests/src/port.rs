//! A port for a server that must be told where to listen.

use std::net::TcpListener;

/// A loopback port that nobody listens on now. Another may take it first: whatever can bind port 0 by itself should.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
