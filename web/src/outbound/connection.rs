//! One connection for one request: opened to a checked address, used once, closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::target::{Name, Target};
use super::{Answer, BODY, OutboundError};

/// The largest head of an answer, in bytes, and the most headers in it.
const HEAD: usize = 16 * 1024;
const HEADERS: usize = 64;

/// What is asked.
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) media_type: Option<&'static str>,
    pub(super) body: Vec<u8>,
}

/// A stream to the server, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first of these addresses that answers.
pub(super) async fn open(
    target: &Target,
    addresses: &[SocketAddr],
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, OutboundError> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) if target.https => return secured(target, stream, tls).await,
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => failed = error,
        }
    }
    Err(unreachable(target, failed))
}

async fn secured(
    target: &Target,
    stream: TcpStream,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, OutboundError> {
    let name = match &target.host {
        Name::Address(address) => ServerName::from(*address),
        Name::Domain(name) => {
            ServerName::try_from(name.clone()).map_err(|error| unreachable(target, error))?
        }
    };
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| unreachable(target, error))?))
}

fn unreachable(target: &Target, reason: impl std::fmt::Display) -> OutboundError {
    OutboundError::Unreachable { host: target.authority.clone(), reason: reason.to_string() }
}

/// Asks, and reads the answer as far as it may go.
pub(super) async fn exchange(
    target: &Target,
    stream: Box<dyn Stream>,
    question: Question,
) -> Result<Answer, OutboundError> {
    let request = request(target, question).map_err(|error| unreachable(target, error))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(target, error))?;
    // Ends with this function, whatever happens: dropping the set ends its task.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| unreachable(target, error))?;
    read(target, answer).await
}

fn request(target: &Target, question: Question) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(question.method)
        .uri(target.path.clone())
        .header(header::HOST, &target.authority)
        .header(header::USER_AGENT, "cardea")
        .header(header::CONNECTION, "close");
    if let Some(media_type) = question.media_type {
        request = request.header(header::CONTENT_TYPE, media_type);
    }
    request.body(Full::new(Bytes::from(question.body)))
}

async fn read(target: &Target, answer: Response<Incoming>) -> Result<Answer, OutboundError> {
    let too_large = || OutboundError::TooLarge { host: target.authority.clone() };
    let status = answer.status().as_u16();
    let mut incoming = answer.into_body();
    if incoming.size_hint().lower() > BODY as u64 {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| unreachable(target, error))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > BODY {
            return Err(too_large());
        }
        body.extend_from_slice(&data);
    }
    Ok(Answer { status, body })
}
