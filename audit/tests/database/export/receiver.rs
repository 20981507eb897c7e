//! A receiver of ours, which reads as slowly as a test wants and tells what it has read.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parts::Received;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certificates;

/// Syslog over TLS. What it has read it keeps; what only its machine has is lost when it is killed.
pub(super) struct Receiver {
    pub(super) address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// Bytes a second, or as many as there are.
    pace: Mutex<Option<usize>>,
    /// What was read over each connection.
    read: Mutex<Vec<Vec<u8>>>,
    connections: Mutex<Vec<JoinHandle<()>>>,
}

impl Receiver {
    /// One that reads so many bytes a second of each connection.
    pub(super) fn start(pace: Option<usize>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // What its machine takes beforehand is soon read.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(8).unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(State { pace: Mutex::new(pace), ..State::default() });
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, accepting }
    }

    /// Killed and started again, with another pace.
    pub(super) fn kill(&self, pace: Option<usize>) {
        *self.state.pace.lock().unwrap() = pace;
        for connection in self.state.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// How many connections were made.
    pub(super) fn connections(&self) -> usize {
        self.state.read.lock().unwrap().len()
    }

    /// Each message that it has read to its end, whichever connection it came over.
    pub(super) fn received(&self) -> Vec<Received> {
        self.state.read.lock().unwrap().iter().flat_map(|bytes| messages(bytes)).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
        self.kill(None);
    }
}

fn encryption() -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(certificates().join("server.pem")).unwrap();
    let chain: Vec<CertificateDer<'static>> = chain.map(|certificate| certificate.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_file(certificates().join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let acceptor = TlsAcceptor::from(Arc::new(encryption()));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = {
            let mut read = state.read.lock().unwrap();
            read.push(Vec::new());
            read.len() - 1
        };
        let reading = tokio::spawn(read(acceptor.clone(), stream, state.clone(), connection));
        state.connections.lock().unwrap().push(reading);
    }
}

async fn read(acceptor: TlsAcceptor, stream: TcpStream, state: Arc<State>, connection: usize) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let pace = *state.pace.lock().unwrap();
    let mut bytes = vec![0; pace.map_or(16 * 1024, |pace| pace / 10)];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        state.read.lock().unwrap()[connection].extend_from_slice(&bytes[..count]);
        if pace.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Frames (RFC 5425, section 4.3) without structured data. The last may be only half there.
fn messages(mut bytes: &[u8]) -> Vec<Received> {
    let mut found = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let Some(line) = bytes.get(space + 1..space + 1 + length) else { break };
        let fields: Vec<&str> = std::str::from_utf8(line).unwrap().splitn(8, ' ').collect();
        let (id, text) = (fields[5].to_owned(), fields[7].to_owned());
        found.push(Received { structured_data: Value::Null, id, text });
        bytes = &bytes[space + 1 + length..];
    }
    found
}
