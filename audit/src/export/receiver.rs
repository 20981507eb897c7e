//! The way to a receiver: a connection, or a file.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use store::StoredFact;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::format::message;
use super::{Export, Syslog, Target, syslog};

/// How long a connection may take to be made, or one piece of what is written to be taken: a receiver may be slow, and
/// must not stand still.
const PATIENCE: Duration = Duration::from_secs(10);
const PIECE: usize = 16 * 1024;
/// What was sent and is not acknowledged by the receiver's machine for so long cuts the connection. Less than any
/// time to settle should be: or what is still on the way would count as delivered.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// An open way to a receiver.
pub(super) enum Receiver {
    Connection { read: ReadHalf<TlsStream<TcpStream>>, write: WriteHalf<TlsStream<TcpStream>> },
    File { file: File, path: PathBuf, inode: u64 },
}

impl Receiver {
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Syslog(syslog) => tokio::time::timeout(PATIENCE, connect(syslog)).await?,
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

    /// Writes facts, each as one message.
    pub(super) async fn send(&mut self, export: &Export, facts: &[StoredFact]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for fact in facts {
            match self {
                Self::Connection { .. } => bytes.extend(syslog::frame(fact, export)),
                Self::File { .. } => {
                    bytes.extend_from_slice(message(fact, export.format, export.largest).as_bytes());
                    bytes.push(b'\n');
                }
            }
            if bytes.len() >= PIECE {
                self.write(&bytes).await?;
                bytes.clear();
            }
        }
        self.write(&bytes).await?;
        self.flush().await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Connection { write, .. } => {
                for piece in bytes.chunks(PIECE) {
                    tokio::time::timeout(PATIENCE, write.write_all(piece)).await??;
                }
                Ok(())
            }
            Self::File { file, path, inode } => {
                // Whoever turns over logs has moved it away: what comes belongs into a new one.
                if inode_at(path).await != Some(*inode) {
                    (*file, *inode) = append_to(path).await?;
                }
                file.write_all(bytes).await
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Connection { write, .. } => tokio::time::timeout(PATIENCE, write.flush()).await?,
            Self::File { file, .. } => {
                file.flush().await?;
                file.sync_data().await
            }
        }
    }

    /// Ends when the receiver has ended. Syslog receivers say nothing; what they say all the same is passed over.
    pub(super) async fn ended(&mut self) -> io::Error {
        match self {
            Self::Connection { read, .. } => {
                let mut said = [0; 1_024];
                loop {
                    match read.read(&mut said).await {
                        Ok(0) => {
                            return io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection");
                        }
                        Ok(_) => {}
                        Err(error) => return error,
                    }
                }
            }
            Self::File { .. } => std::future::pending().await,
        }
    }
}

async fn connect(syslog: &Syslog) -> io::Result<Receiver> {
    let stream = TcpStream::connect(&syslog.address).await?;
    stream.set_nodelay(true)?;
    notice_silence(&stream)?;
    let stream = TlsConnector::from(syslog.tls.clone()).connect(syslog.name.clone(), stream).await?;
    let (read, write) = tokio::io::split(stream);
    Ok(Receiver::Connection { read, write })
}

/// A machine that is gone without a word cuts the connection, too.
#[cfg(target_os = "linux")]
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    let unacknowledged = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, unacknowledged)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    Ok(sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?)
}

#[cfg(not(target_os = "linux"))]
fn notice_silence(_: &TcpStream) -> io::Result<()> {
    Ok(())
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
