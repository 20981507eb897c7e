//! A connection over which a test says any bytes, be they HTTP or not.
//!
//! What it is not: it knows no time. Whoever waits for what may never come says for how long.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// One answer, as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Heard {
    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// To a server, given as `host:port`.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn to(server: &str) -> Self {
        let stream = TcpStream::connect(server).await.expect("a server that listens");
        Self { stream, unread: Vec::new() }
    }

    /// Says it, and hears the answer, which may come before all was said; `None` when the connection ends without one.
    pub async fn ask(&mut self, bytes: &[u8]) -> Option<Heard> {
        let (mut read, mut write) = self.stream.split();
        let saying = async {
            // Whoever has answered may listen no more.
            let _ = write.write_all(bytes).await;
            pending::<Infallible>().await
        };
        tokio::select! {
            heard = hear(&mut read, &mut self.unread) => heard,
            never = saying => match never {},
        }
    }

    /// Says the same again and again, with a pause between, until an answer or the end.
    pub async fn trickle(&mut self, piece: &[u8], pause: Duration) -> Option<Heard> {
        let (mut read, mut write) = self.stream.split();
        let saying = async {
            while write.write_all(piece).await.is_ok() {
                sleep(pause).await;
            }
            pending::<Infallible>().await
        };
        tokio::select! {
            heard = hear(&mut read, &mut self.unread) => heard,
            never = saying => match never {},
        }
    }

    /// Says it; `false` when nobody takes it any more.
    pub async fn say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Says no more.
    pub async fn finish(&mut self) {
        // Who is gone needs not be told.
        let _ = self.stream.shutdown().await;
    }

    /// Hears one answer; `None` when the connection ends without one.
    pub async fn hear(&mut self) -> Option<Heard> {
        hear(&mut self.stream, &mut self.unread).await
    }

    /// Hears whatever comes until the connection ends.
    pub async fn end(&mut self) -> Vec<u8> {
        while more(&mut self.stream, &mut self.unread).await.is_some() {}
        std::mem::take(&mut self.unread)
    }
}

/// The next answer that is one: 100 is none yet.
async fn hear(read: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Option<Heard> {
    loop {
        let heard = one(read, unread).await?;
        if heard.status != 100 {
            return Some(heard);
        }
    }
}

async fn one(read: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Option<Heard> {
    let body_at = loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        more(read, unread).await?;
    };
    let rest = unread.split_off(body_at);
    let head = String::from_utf8_lossy(&std::mem::replace(unread, rest)).into_owned();
    let status = head.split(' ').nth(1)?.get(..3)?.parse().ok()?;
    let mut heard = Heard { status, head, body: String::new() };
    let length = match heard.header("content-length") {
        Some(length) => length.parse().ok()?,
        None => 0,
    };
    while unread.len() < length {
        more(read, unread).await?;
    }
    let rest = unread.split_off(length);
    heard.body = String::from_utf8_lossy(&std::mem::replace(unread, rest)).into_owned();
    Some(heard)
}

/// Something more, unless the connection has ended.
async fn more(read: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Option<()> {
    read.read_buf(unread).await.ok().filter(|read| *read > 0).map(drop)
}
