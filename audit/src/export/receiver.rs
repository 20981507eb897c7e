//! The way to a receiver: a connection, or a file.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::Timestamp;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use store::StoredFact;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::format::message;
use super::on_the_way::{Part, parts};
use super::socket::{self, Queue};
use super::{Export, Syslog, Target, syslog};

/// How long a connection may take to be made, or one part of what is written to be taken: a receiver may be slow, and
/// must not stand still.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The longest part that is written to a connection.
const PIECE: usize = 16 * 1024;
/// How long a receiver that asked for our certificate is listened to before anything is sent. In TLS 1.3 our side of
/// the handshake ends before the other has looked at it (RFC 8446, section 2, figure 1), so a refusal comes afterwards.
const VERDICT: Duration = Duration::from_secs(1);

/// An open way to a receiver.
pub(super) enum Receiver {
    Connection {
        read: ReadHalf<TlsStream<TcpStream>>,
        write: WriteHalf<TlsStream<TcpStream>>,
        presented: Arc<Presented>,
        queue: Queue,
    },
    File {
        file: File,
        path: PathBuf,
        inode: u64,
    },
}

/// Gives our certificate, if there is one, to whoever asks for it, and remembers that somebody did.
#[derive(Debug)]
pub(super) struct Presented {
    own: Arc<dyn ResolvesClientCert>,
    asked: AtomicBool,
}

impl ResolvesClientCert for Presented {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.own.resolve(issuers, schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.own.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.own.has_certs()
    }
}

impl Presented {
    fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Few receivers say what they have against a certificate, and many only hang up: so we say what we know.
    fn explain(&self, error: io::Error) -> io::Error {
        let why = match (self.was_asked(), self.has_certs()) {
            (false, _) => return error,
            (true, false) => "it asks for a certificate, and none is configured",
            (true, true) => "it asked for our certificate and may not accept it",
        };
        io::Error::new(error.kind(), format!("{error} ({why})"))
    }
}

/// Opens the way to a receiver and leaves it at that: nothing is sent, and no file is made.
///
/// # Errors
/// Why it cannot be reached, in words.
pub async fn try_to_reach(target: &Target, now: Timestamp) -> Result<(), String> {
    let tried = match target {
        Target::Syslog(_) => Receiver::open(target, now).await.map(drop),
        Target::File(path) => match OpenOptions::new().append(true).open(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => may_appear(path).await,
            opened => opened.map(drop),
        },
    };
    tried.map_err(|error| error.to_string())
}

/// Whether the folder is there in which a file will be made.
async fn may_appear(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tokio::fs::metadata(folder).await?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

impl Receiver {
    pub(super) async fn open(target: &Target, now: Timestamp) -> io::Result<Self> {
        match target {
            Target::Syslog(syslog) => tokio::time::timeout(PATIENCE, connect(syslog, now)).await?,
            Target::File(path) => {
                let (file, inode) = append_to(path).await?;
                Ok(Self::File { file, path: path.clone(), inode })
            }
        }
    }

    /// Whether what was written is safe at once: then nothing has to settle.
    pub(super) const fn is_safe_at_once(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Facts, each as one message, in parts that are sent one after the other. To a connection they are small, since it
    /// may be slow; to a file they are one, since each is synced.
    pub(super) fn parts(&self, export: &Export, facts: &[StoredFact]) -> VecDeque<Part> {
        let messages = facts.iter().filter_map(|fact| {
            let message = match self {
                Self::Connection { .. } => syslog::frame(fact, export),
                Self::File { .. } => line(fact, export),
            };
            Some((fact.seq?, message))
        });
        let longest = if self.is_safe_at_once() { usize::MAX } else { PIECE };
        parts(messages, longest)
    }

    /// Writes a part, to the end: to a file so that it is safe there.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Connection { write, .. } => {
                let sending = async {
                    write.write_all(bytes).await?;
                    write.flush().await
                };
                tokio::time::timeout(PATIENCE, sending).await?
            }
            Self::File { file, path, inode } => {
                // Whoever turns over logs has moved it away: what comes belongs into a new one. In the old one nothing
                // of ours is unfinished, since each part ends with a look at what became of it.
                if inode_at(path).await != Some(*inode) {
                    (*file, *inode) = append_to(path).await?;
                }
                file.write_all(bytes).await?;
                file.flush().await?;
                file.sync_data().await
            }
        }
    }

    /// How many bytes of what was sent still wait on our side, if that can be told now. Encryption makes more of them,
    /// so of ours it is never more.
    pub(super) async fn waiting(&mut self) -> io::Result<Option<u64>> {
        match self {
            Self::Connection { queue, .. } => queue.unacknowledged().await,
            Self::File { .. } => Ok(Some(0)),
        }
    }

    /// Why a connection was cut that has yet to show that it is one.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        match self {
            Self::Connection { presented, .. } => presented.explain(error),
            Self::File { .. } => error,
        }
    }

    /// Ends when the receiver has ended. Syslog receivers say nothing; what they say all the same is passed over.
    pub(super) async fn ended(&mut self) -> io::Error {
        match self {
            Self::Connection { read, .. } => {
                let mut said = [0; 1_024];
                loop {
                    match read.read(&mut said).await {
                        Ok(0) => return closed(),
                        Ok(_) => {}
                        // Without a farewell: rustls would say so at length.
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return closed(),
                        Err(error) => return error,
                    }
                }
            }
            Self::File { .. } => std::future::pending().await,
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")
}

async fn connect(syslog: &Syslog, now: Timestamp) -> io::Result<Receiver> {
    let read = syslog.tls.clone();
    let encryption = tokio::task::spawn_blocking(move || read(now)).await.map_err(io::Error::other)?;
    let mut encryption = encryption.map_err(io::Error::other)?;
    let own = encryption.client_auth_cert_resolver.clone();
    let presented = Arc::new(Presented { own, asked: AtomicBool::new(false) });
    encryption.client_auth_cert_resolver = presented.clone();
    let stream = TcpStream::connect(&syslog.address).await?;
    stream.set_nodelay(true)?;
    socket::prepare(&stream)?;
    let queue = Queue::of(&stream).await?;
    let connected = TlsConnector::from(Arc::new(encryption)).connect(syslog.name.clone(), stream).await;
    let (read, write) = tokio::io::split(connected.map_err(|error| presented.explain(error))?);
    let asked = presented.was_asked();
    let mut receiver = Receiver::Connection { read, write, presented, queue };
    if asked && let Ok(error) = tokio::time::timeout(VERDICT, receiver.ended()).await {
        return Err(receiver.explain(error));
    }
    Ok(receiver)
}

/// As a line of a file.
fn line(fact: &StoredFact, export: &Export) -> Vec<u8> {
    let mut line = message(fact, export.format, export.largest);
    line.push('\n');
    line.into_bytes()
}

async fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path).await?;
    let length = file.seek(io::SeekFrom::End(0)).await?;
    if length > 0 {
        file.seek(io::SeekFrom::End(-1)).await?;
        let mut last = [0];
        file.read_exact(&mut last).await?;
        // The line that was being written when we were killed: it comes again, whole.
        if last != *b"\n" {
            file.write_all(b"\n").await?;
        }
    }
    // Of what is open, not of what has that name by now.
    let inode = file.metadata().await?.ino();
    Ok((file, inode))
}

async fn inode_at(path: &Path) -> Option<u64> {
    Some(tokio::fs::metadata(path).await.ok()?.ino())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A name that now leads to a full disk and now to a file, and is turned over at any moment.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_full_disk_did_not_take_is_told_whenever_the_file_is_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("facts"), folder.path().join("kept"));
        let (link, name, kept) = (folder.path().join("link"), path.clone(), file.clone());
        let lead_to = move |to: &Path| {
            symlink(to, &link).unwrap();
            std::fs::rename(&link, &name).unwrap();
        };
        std::fs::write(&file, "").unwrap();
        lead_to(&file);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let turning = std::thread::spawn(move || {
            for to in [Path::new("/dev/full"), &kept].into_iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                lead_to(to);
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let (target, now) = (Target::File(path), Timestamp::from_millis(0));
        let (mut taken, mut told) = (BTreeSet::new(), 0);
        for number in 0..300 {
            let mut receiver = Receiver::open(&target, now).await.unwrap();
            let bytes = format!("{number} {}\n", "x".repeat(40_000));
            match receiver.send(bytes.as_bytes()).await {
                Ok(()) => _ = taken.insert(number.to_string()),
                Err(_) => told += 1,
            }
        }
        is_over.store(true, Ordering::Relaxed);
        turning.join().unwrap();
        let kept = std::fs::read_to_string(&file).unwrap();
        let kept: BTreeSet<String> =
            kept.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(kept, taken);
        assert!(told > 0 && !taken.is_empty(), "{told} of 300 were told: this test tries nothing");
    }
}
