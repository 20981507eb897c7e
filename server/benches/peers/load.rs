//! A load generator that costs little: one thread, requests that are made beforehand, as many connections as there are
//! scripts, each of which asks the next as soon as it was answered.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// An answer as it came.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// Whatever it is, for whoever expected another.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(self.head), String::from_utf8_lossy(self.body))
    }
}

/// What one connection asks, again and again.
pub(crate) trait Script: Send + Sync {
    /// The next request, whole.
    fn request(&self) -> &[u8];
    /// Hears the answer and makes the next request ready; whether a piece of work is done with it.
    fn hear(&mut self, answer: &Answer<'_>) -> bool;
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, buffer: vec![0; 16 * 1024] }
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> Answer<'_> {
        self.stream.write_all(request).await.expect("it takes the request");
        let (mut filled, mut whole): (usize, Option<(usize, usize)>) = (0, None);
        while whole.is_none_or(|(head, length)| filled < head + length) {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.expect("it answers");
            assert!(read > 0, "it hung up: {}", String::from_utf8_lossy(&self.buffer[..filled]));
            filled += read;
            whole = whole.or_else(|| head_of(&self.buffer[..filled]));
        }
        let (head, length) = whole.expect("a head");
        let (head, rest) = self.buffer.split_at(head);
        let status = std::str::from_utf8(&head[9..12]).ok().and_then(|status| status.parse().ok());
        Answer { status: status.expect("a status"), head, body: &rest[..length] }
    }
}

/// How long the head is, once it is there, and the body behind it.
fn head_of(read: &[u8]) -> Option<(usize, usize)> {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let name = b"content-length:";
    let mut lines = read[..end].split(|byte| *byte == b'\n');
    let length = lines.find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then(|| std::str::from_utf8(value).ok()?.trim().parse().ok())?
    });
    Some((end + 4, length.unwrap_or(0)))
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) per_second: f64,
    /// In milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Runs the scripts, a connection each, and counts what was begun after they were warm. Gives them back as they are
/// then.
pub(crate) async fn run(
    port: u16,
    scripts: Vec<Box<dyn Script>>,
    warm: Duration,
    time: Duration,
) -> (Vec<Box<dyn Script>>, Figure) {
    let begin = Instant::now() + warm;
    let mut all = JoinSet::new();
    for script in scripts {
        all.spawn(drive(port, script, begin, begin + time));
    }
    let (mut scripts, mut times) = (Vec::new(), Vec::new());
    while let Some(done) = all.join_next().await {
        let (script, own) = done.expect("every answer is as it should be");
        scripts.push(script);
        times.extend(own);
    }
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        time.map_or(0.0, |micros| f64::from(*micros) / 1e3)
    };
    let per_second = times.len() as f64 / time.as_secs_f64();
    let figure = Figure { per_second, p50: at(50), p99: at(99) };
    (scripts, figure)
}

/// How long each piece of work took, in microseconds, that was begun between two instants.
async fn drive(
    port: u16,
    mut script: Box<dyn Script>,
    begin: Instant,
    end: Instant,
) -> (Box<dyn Script>, Vec<u32>) {
    let mut connection = Connection::open(port).await;
    let mut times = Vec::with_capacity(1 << 15);
    let mut began = Instant::now();
    while began < end {
        loop {
            let answer = connection.ask(script.request()).await;
            if script.hear(&answer) {
                break;
            }
        }
        let now = Instant::now();
        if began >= begin {
            times.push(u32::try_from((now - began).as_micros()).unwrap_or(u32::MAX));
        }
        began = now;
    }
    (script, times)
}
