//! What is asked of the kernel for a connection: to keep little for a receiver that is slow, to notice one that is gone
//! without a word, and to say what its machine has not acknowledged.
//!
//! A write over TCP is over when our own kernel has it, which then waits for the receiver as long as that takes a
//! little now and then. The system call that says how much waits needs `unsafe`; the same number stands in the kernel's
//! table of connections (proc_pid_net(5), `/proc/net/tcp`, `tx_queue`), which has a line for each.
//!
//! Elsewhere than on Linux nothing of this is done, and what was written counts as acknowledged.

use std::io;
#[cfg(target_os = "linux")]
use std::{
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    time::Duration,
};

use tokio::net::TcpStream;

/// What may wait in our kernel, in bytes, for which Linux takes twice as much memory. Over a way of 100 ms that is some
/// thousand facts a second, about what the overlap lets through.
#[cfg(target_os = "linux")]
const SEND_BUFFER: usize = 64 * 1024;
/// Before anything is sent.
#[cfg(target_os = "linux")]
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER)?;
    // While something waits, whether it is taken is asked of the table. TCP_USER_TIMEOUT would not do: where a
    // receiver's window is smaller than a segment of the loopback, Linux cuts a connection that gets on all the while.
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
    Ok(sockopt::set_tcp_keepcnt(stream, 2)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn prepare(_: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// What waits in our kernel for the other side of a connection.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Queue {
    table: &'static str,
    inode: String,
}

#[cfg(target_os = "linux")]
impl Queue {
    pub(super) async fn of(stream: &TcpStream) -> io::Result<Self> {
        let is_ipv6 = stream.local_addr()?.is_ipv6();
        let table = if is_ipv6 { "/proc/self/net/tcp6" } else { "/proc/self/net/tcp" };
        let socket = format!("/proc/self/fd/{}", stream.as_raw_fd());
        let found = tokio::fs::metadata(&socket).await.map_err(|error| unseen(&socket, &error))?;
        Ok(Self { table, inode: found.ino().to_string() })
    }

    /// Bytes that were written and are not acknowledged. `None` when the connection is not in the table: it has ended,
    /// or was passed over because others ended while the table was read.
    pub(super) async fn unacknowledged(&self) -> io::Result<Option<u64>> {
        let table = tokio::fs::read_to_string(self.table).await;
        let table = table.map_err(|error| unseen(self.table, &error))?;
        Ok(table.lines().find_map(|line| waiting(line, &self.inode)))
    }
}

#[cfg(target_os = "linux")]
fn unseen(path: &str, error: &io::Error) -> io::Error {
    let text =
        format!("{path} must be readable, to see what the receiver's machine has acknowledged: {error}");
    io::Error::new(error.kind(), text)
}

/// The fifth field has both queues in hexadecimal, what is sent before what was received; the tenth has the inode.
#[cfg(target_os = "linux")]
fn waiting(line: &str, inode: &str) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(4);
    let queues = fields.next()?;
    if fields.nth(4)? != inode {
        return None;
    }
    u64::from_str_radix(queues.split(':').next()?, 16).ok()
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Queue;

#[cfg(not(target_os = "linux"))]
impl Queue {
    pub(super) async fn of(_: &TcpStream) -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn unacknowledged(&self) -> io::Result<Option<u64>> {
        Ok(Some(0))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[test]
    fn a_line_of_the_table_says_what_waits_for_whom() {
        let line = "   3: 0100007F:C7B4 0100007F:A20F 01 003D0000:00000010 01:00000014 00000000     0        0 \
                    9031367 3 0000000000000000 20 4 30 10 -1";
        assert_eq!(waiting(line, "9031367"), Some(0x3d_0000));
        assert_eq!(waiting(line, "903136"), None);
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!((waiting(head, "9031367"), waiting("", "9031367")), (None, None));
    }

    #[tokio::test]
    async fn what_the_other_side_has_not_taken_is_known_and_is_little() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address).await else {
                assert!(address.starts_with('['), "every machine has {address}");
                continue;
            };
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut other, _) = listener.accept().await.unwrap();
            prepare(&stream).unwrap();
            let queue = Queue::of(&stream).await.unwrap();
            assert_eq!(queue.unacknowledged().await.unwrap(), Some(0));
            let mut written = 0;
            while let Ok(taken) = timeout(Duration::from_millis(500), stream.write(&[7; 16 * 1024])).await {
                written += taken.unwrap();
            }
            let waits = queue.unacknowledged().await.unwrap().unwrap();
            assert!(waits > 0 && waits < 4 * SEND_BUFFER as u64, "{waits} of {written}");
            other.read_exact(&mut vec![0; written]).await.unwrap();
            while queue.unacknowledged().await.unwrap() != Some(0) {
                sleep(Duration::from_millis(10)).await;
            }
            drop(stream);
            assert_eq!(queue.unacknowledged().await.unwrap(), None);
        }
    }
}
