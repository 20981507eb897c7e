//! The way to one device: TCP, and over it TLS where the configuration names the device's certificate.
//!
//! A device presents a certificate that it made itself, so no authority vouches for it: the configuration says which
//! one it is, and no other is taken. Names and dates in it count for nothing then. That the device has the key to it
//! is verified in each handshake as everywhere: anybody can show a copy of a certificate.
//!
//! What this is not: it trusts no authority, shows no certificate of ours, and is not how devices reach us (`push`,
//! `online`): they call over HTTP without TLS.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How often a connection that is kept is asked whether the device is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Why there is no connection, or no answer over it.
pub(super) type Failure = Box<dyn StdError + Send + Sync>;

/// What asks one device.
pub(super) type Client = legacy::Client<Connector, Full<Bytes>>;

/// Asks a device over TLS if it presents `certificate`, or else in clear. `patience` is for a handshake, and for what
/// was sent and nobody took.
pub(super) fn client(certificate: Option<Fingerprint>, patience: Duration) -> Client {
    let mut tcp = HttpConnector::new();
    // An address of https without a certificate is never asked in clear.
    tcp.enforce_http(certificate.is_none());
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(patience));
    let tls = certificate.map(|certificate| TlsConnector::from(pinning(certificate)));
    legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(Connector { tcp, tls, patience })
}

/// The SHA-256 of a whole certificate in DER: what browsers and `openssl x509 -fingerprint -sha256` show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(kernel::sha256(certificate))
    }

    /// From 64 hexadecimal digits, with or without colons, or from base64.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = text.replace(':', "");
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            let bytes: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
            return Some(Self(bytes));
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whoever answers presents another certificate than the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the certificate presented has SHA-256 {presented}, and not {named} as certificate_sha256 says; was it made anew, or \
     does another answer for the device? Compare it at the device before you enter it"
)]
pub(super) struct AnotherCertificate {
    presented: Fingerprint,
    named: Fingerprint,
}

impl AnotherCertificate {
    /// If that is behind an error.
    pub(super) fn behind(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(another) = error.downcast_ref::<Self>() {
                return Some(*another);
            }
            next = error.source();
        }
        None
    }

    /// If it is why a handshake failed: rustls keeps reasons of ours, and says nothing of them as a source.
    fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
                other.downcast_ref::<Self>().copied()
            }
            _ => None,
        }
    }
}

/// Takes one certificate and no other.
#[derive(Debug)]
struct Pinned {
    certificate: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

fn pinning(certificate: Fingerprint) -> Arc<ClientConfig> {
    let provider = aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        // The provider and the versions are both fixed here.
        .expect("aws-lc speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { certificate, algorithms }))
        .with_no_client_auth();
    Arc::new(config)
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (presented, named) = (Fingerprint::of(end_entity), self.certificate);
        if presented == named {
            return Ok(ServerCertVerified::assertion());
        }
        let another = OtherError(Arc::new(AnotherCertificate { presented, named }));
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(another)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Makes the connections to one device.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Option<TlsConnector>,
    patience: Duration,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.tcp.poll_ready(context).map_err(Failure::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // An IPv6 address stands in brackets there.
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = self.tls.clone().map(|tls| (tls, host));
        Box::pin(connect(self.tcp.call(uri), tls, self.patience))
    }
}

async fn connect<E: StdError + Send + Sync + 'static>(
    tcp: impl Future<Output = Result<TokioIo<TcpStream>, E>> + Send,
    tls: Option<(TlsConnector, String)>,
    patience: Duration,
) -> Result<Stream, Failure> {
    let tcp = tcp.await?.into_inner();
    let Some((tls, host)) = tls else { return Ok(Stream::over(tcp)) };
    // It goes to the device as a hint, and is compared with nothing.
    let name = ServerName::try_from(host)?;
    match tokio::time::timeout(patience, tls.connect(name, tcp)).await? {
        Ok(encrypted) => Ok(Stream::over(encrypted)),
        Err(error) => Err(match AnotherCertificate::of(&error) {
            Some(another) => another.into(),
            None => error.into(),
        }),
    }
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, with or without TLS.
pub(super) struct Stream(TokioIo<Box<dyn Duplex>>);

impl Stream {
    fn over(stream: impl Duplex + 'static) -> Self {
        let stream: Box<dyn Duplex> = Box::new(stream);
        Self(TokioIo::new(stream))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_tools_show_it_and_in_no_other_way() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8).unwrap());
        let expect = Fingerprint(bytes);
        let digits = expect.to_string();
        let pairs: Vec<&str> = (0..32).map(|at| &digits[2 * at..2 * at + 2]).collect();
        let base64 = STANDARD.encode(bytes);
        for text in [digits.clone(), digits.to_uppercase(), pairs.join(":"), base64.clone()] {
            assert_eq!(Fingerprint::read(&text), Some(expect), "{text}");
        }
        for text in [
            String::new(),
            digits[2..].to_owned(),
            format!("{digits}00"),
            digits.replace('f', "g"),
            digits.replacen("08", "+8", 1),
            base64[4..].to_owned(),
        ] {
            assert_eq!(Fingerprint::read(&text), None, "{text}");
        }
    }
}
