//! A port for a server that must be told where to listen.

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;

/// Below the range from which connections get theirs: nobody takes it by chance from a server that was killed and is
/// started again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const TRIES: u8 = 100;

/// A loopback port that nobody listens on now. Another may take it first: whatever can bind port 0 by itself should.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let any = |n: u8| FIRST + u16::try_from(RandomState::new().hash_one(n) % u64::from(COUNT)).unwrap_or(0);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..TRIES).map(any).find(is_free).expect("a free port")
}
