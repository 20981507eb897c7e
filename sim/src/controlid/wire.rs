//! The device's port: a wire in front of its web server, in clear or over TLS, which may be silent, cut, or lose
//! answers on their way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::shared::Shared;

/// More connections than these wait.
const AT_ONCE: usize = 64;

/// How long a client that was answered may go on talking.
const LINGER: Duration = Duration::from_secs(1);

/// Takes connections and passes them on to the web server `inside`.
pub(super) async fn accept(listener: TcpListener, inside: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= AT_ONCE {
            connections.join_next().await;
        }
        let Ok((outside, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            if let Err(error) = connect(outside, inside, &shared).await {
                tracing::debug!(%error, "a connection came to nothing");
            }
        });
    }
}

/// A connection to the device, with or without TLS.
trait Outside: AsyncRead + AsyncWrite + Unpin {
    /// What carries it.
    fn tcp(&self) -> &TcpStream;
}

impl Outside for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Outside for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn connect(mut outside: TcpStream, inside: SocketAddr, shared: &Shared) -> io::Result<()> {
    let (faults, tls) = {
        let state = shared.lock();
        (state.faults, state.options.tls.clone())
    };
    if faults.cut {
        return outside.set_zero_linger();
    }
    if faults.silent {
        return hear_out(&mut outside).await;
    }
    match tls {
        Some(tls) => converse(TlsAcceptor::from(tls).accept(outside).await?, inside, shared).await,
        None => converse(outside, inside, shared).await,
    }
}

async fn converse(mut outside: impl Outside, inside: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut answer = pass(&mut outside, inside).await?;
    if shared.lock().faults.loses_an_answer() {
        return outside.tcp().set_zero_linger();
    }
    if shared.lock().faults.holds_an_answer() {
        return hear_out(&mut outside).await;
    }
    if shared.lock().faults.truncate {
        cut_in_the_middle(&mut answer);
    }
    outside.write_all(&answer).await?;
    outside.shutdown().await?;
    // Whoever closes while the other side still talks resets the connection, and the answer may be lost with it.
    tokio::time::timeout(LINGER, hear_out(&mut outside)).await.unwrap_or(Ok(()))
}

/// Reads until the other side has nothing more to say.
async fn hear_out(outside: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    tokio::io::copy(outside, &mut tokio::io::sink()).await.map(drop)
}

/// Passes on what comes from outside, and gives the answer.
async fn pass(outside: &mut impl Outside, inside: SocketAddr) -> io::Result<Vec<u8>> {
    let mut inside = TcpStream::connect(inside).await?;
    let (mut from_inside, mut to_inside) = inside.split();
    let asking = async {
        // It fails if the web server has heard enough; the answer is still to come. That the client is gone is not
        // passed on: a device does what it was asked to, whoever waits for it.
        let _ = tokio::io::copy(outside, &mut to_inside).await;
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = asking => {}
        read = from_inside.read_to_end(&mut answer) => {
            if let Err(error) = read {
                tracing::debug!(%error, "the web server hung up");
            }
        }
    }
    Ok(answer)
}

/// Takes away the second half of the body.
fn cut_in_the_middle(answer: &mut Vec<u8>) {
    if let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
        let body_at = head + 4;
        answer.truncate(body_at + (answer.len() - body_at) / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_body_keeps_its_head() {
        let check = |text: &str, expect: &str| {
            let mut answer = text.as_bytes().to_vec();
            cut_in_the_middle(&mut answer);
            assert_eq!(answer, expect.as_bytes());
        };
        check("HTTP/1.1 200 -\r\nA: b\r\n\r\n{\"a\":1}", "HTTP/1.1 200 -\r\nA: b\r\n\r\n{\"a");
        check("HTTP/1.1 200 -\r\n\r\n", "HTTP/1.1 200 -\r\n\r\n");
        check("no head", "no head");
    }
}
