//! The application's ear: where it is told that sessions have ended (OpenID Connect Back-Channel Logout 1.0). It
//! outlives every crash of the house, and of some messages it says that it cannot take them now: they must come again.
//!
//! What it is not: it checks no signature. That is the business of an application that nobody here wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use server::stage::payload;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One message in so many is not taken when it comes first.
const REFUSED: usize = 4;
/// No request is longer.
const LONGEST: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Heard {
    /// The messages that were ever sent: what `jti` begins with, of one for each session.
    messages: BTreeSet<String>,
    /// The sessions that were told of, each with the `jti` of every token that was taken.
    sessions: BTreeMap<String, BTreeSet<String>>,
    refused: usize,
    doubled: usize,
    /// Nothing is taken.
    plugged: bool,
}

/// A listener on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Ears {
    port: u16,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ears {
    /// On a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let task = tokio::spawn(listen(listener, heard.clone()));
        Self { port, heard, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://localhost:{}/ended", self.port)
    }

    /// Takes nothing while it is plugged: whatever is told must come again.
    pub fn plug(&self, plugged: bool) {
        lock(&self.heard).plugged = plugged;
    }

    /// Whether the application knows that this session has ended.
    #[must_use]
    pub fn know(&self, session: &str) -> bool {
        lock(&self.heard).sessions.contains_key(session)
    }

    /// How many sessions it was told of, how many messages it did not take at first, and how many tokens came twice.
    #[must_use]
    pub fn tally(&self) -> (usize, usize, usize) {
        let heard = lock(&self.heard);
        (heard.sessions.len(), heard.refused, heard.doubled)
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(listener: TcpListener, heard: Arc<Mutex<Heard>>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let heard = heard.clone();
        // Whoever speaks may be killed in the midst of it.
        tokio::spawn(async move { converse(stream, &heard).await.ok() });
    }
}

async fn converse(mut stream: TcpStream, heard: &Mutex<Heard>) -> io::Result<()> {
    let body = read(&mut stream).await?;
    let status = if lock(heard).take(&body) { "200 OK" } else { "503 Service Unavailable" };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The body of a request.
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let length: usize = length.unwrap_or_default();
            if bytes.len() >= at + 4 + length {
                return Ok(bytes.split_off(at + 4));
            }
        }
        if bytes.len() > LONGEST || stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl Heard {
    /// Whether it is taken.
    fn take(&mut self, body: &[u8]) -> bool {
        let token = url::form_urlencoded::parse(body).find(|(name, _)| name == "logout_token");
        let claims = token.and_then(|(_, token)| payload(&token)).unwrap_or_default();
        let text = |name: &str| claims[name].as_str().map(str::to_owned);
        let (Some(jti), Some(session)) = (text("jti"), text("sid")) else {
            panic!("no logout token of a session: {claims}");
        };
        assert!(claims["events"].is_object() && claims["nonce"] == Value::Null, "{claims}");
        if self.plugged {
            return false;
        }
        let message = jti.split('.').next().unwrap_or_default().to_owned();
        if self.messages.insert(message) && self.messages.len().is_multiple_of(REFUSED) {
            self.refused += 1;
            return false;
        }
        let is_new = self.sessions.entry(session).or_default().insert(jti);
        self.doubled += usize::from(!is_new);
        true
    }
}
