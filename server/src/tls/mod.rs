//! HTTPS by itself: rustls with aws-lc, TLS 1.2 and 1.3.
//!
//! What it is not: it fetches and renews nothing. The files are read when the process starts; whoever renews
//! them starts it again.

use std::path::Path;
use std::sync::Arc;

use kernel::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;

mod certificate;

use certificate::Certificate;

/// Whoever must renew a certificate wants to know so many days before.
const SOON_DAYS: i64 = 14;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Why HTTPS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file.
    #[error("http.tls.certificate {0}: {1}")]
    Certificate(String, String),
    /// The key file.
    #[error("http.tls.key {0}: {1}")]
    Key(String, String),
    /// The two do not belong together, or rustls refuses them.
    #[error("http.tls: certificate and key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What is served with, if HTTPS is configured.
pub(crate) fn configured(config: &Config) -> Result<Option<ServerConfig>, TlsError> {
    let Some((chain, key)) = files(config)? else { return Ok(None) };
    let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Some(server))
}

type Files = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn files(config: &Config) -> Result<Option<Files>, TlsError> {
    let Some(tls) = &config.http.tls else { return Ok(None) };
    let key = config.path(&tls.key);
    let chain = chain(&config.path(&tls.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&key)
        .map_err(|error| TlsError::Key(key.display().to_string(), error.to_string()))?;
    Ok(Some((chain, key)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong =
        |error: &dyn std::fmt::Display| TlsError::Certificate(path.display().to_string(), error.to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .map_err(|error| wrong(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&error))?;
    if chain.is_empty() {
        return Err(wrong(&"it holds no PEM certificate"));
    }
    Ok(chain)
}

/// What `cardea check` says of the files: until when they serve, or what browsers will refuse.
pub(crate) fn examine(config: &Config, host: &str, now: Timestamp) -> Result<String, String> {
    let said = |error: TlsError| error.to_string();
    let Some((ders, key)) = files(config).map_err(said)? else {
        return Ok("none here: a proxy speaks https, or the issuer is http on localhost".into());
    };
    let key = CertifiedKey::from_der(ders.clone(), key, &aws_lc_rs::default_provider())
        .map_err(|error| said(error.into()))?;
    let chain: Vec<Certificate> = ders.iter().map(|der| Certificate::read(der)).collect::<Option<_>>().ok_or(
        "http.tls.certificate: a certificate in it cannot be read; is it X.509 in PEM, the server's own first?",
    )?;
    ResolvesServerCertUsingSni::new()
        .add(host, key)
        .map_err(|error| format!("http.tls.certificate is not for {host}, the issuer's name: {error}"))?;
    if !chain.windows(2).all(|pair| pair[0].issuer == pair[1].subject) {
        return Err(
            "http.tls.certificate: the certificates are out of order; the server's own comes first, \
                    and each next one issued the one before it"
                .into(),
        );
    }
    lasting(&chain, now)
}

fn lasting(chain: &[Certificate], now: Timestamp) -> Result<String, String> {
    let begins = chain.iter().map(|one| one.not_before).max().unwrap_or(now);
    let ends = chain.iter().map(|one| one.not_after).min().unwrap_or(now);
    let days = (ends.as_millis() - now.as_millis()).div_euclid(DAY_MS);
    match days {
        _ if now < begins => Err(format!("http.tls.certificate is not valid before {begins}")),
        ..0 => Err(format!("http.tls.certificate expired at {ends}; renew it")),
        0..SOON_DAYS => {
            Err(format!("http.tls.certificate expires at {ends}, in {days} day(s); renew it now"))
        }
        _ => Ok(format!("the certificate is valid until {ends}, {days} days from now")),
    }
}
