//! HTTPS by itself: rustls with aws-lc, TLS 1.2 and 1.3.

use std::path::Path;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

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
    #[error("http.tls: certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Reads certificate and key.
pub(crate) fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| {
        TlsError::Certificate(certificate.display().to_string(), error.to_string())
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| wrong(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&error))?;
    if chain.is_empty() {
        return Err(wrong(&"it holds no PEM certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::Key(key.display().to_string(), error.to_string()))?;
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}
