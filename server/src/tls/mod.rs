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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair, date_time_ymd};

    use super::*;

    fn params(name: &str, until: i32) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(until, 6, 1);
        params
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn check(certificate: &str, key: &KeyPair, now: &str, expect: Result<&str, &str>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c.pem"), certificate).unwrap();
        std::fs::write(folder.path().join("k.pem"), key.serialize_pem()).unwrap();
        let text =
            "issuer = \"https://id.example.org\"\n[http.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"";
        let config = Config::parse(text, folder.path()).unwrap();
        match (examine(&config, "id.example.org", at(now)), expect) {
            (Ok(said), Ok(says)) | (Err(said), Err(says)) => {
                assert!(said.contains(says), "{says:?} in {said:?}")
            }
            (said, expect) => panic!("{said:?}, not {expect:?}"),
        }
    }

    #[test]
    fn whoever_runs_it_is_told_what_browsers_would_refuse() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let ours = params("id.example.org", 2027).self_signed(&key).unwrap().pem();
        let now = "2026-11-27T08:00:00Z";
        check(&ours, &key, now, Ok("valid until 2027-06-01"));
        check(&ours, &key, "2027-05-17T00:00:00Z", Ok("15 days from now"));
        check(&ours, &key, "2027-05-20T00:00:00Z", Err("in 12 day(s); renew it now"));
        check(&ours, &key, "2027-06-02T00:00:00Z", Err("expired at 2027-06-01"));
        check(&ours, &key, "2025-12-31T00:00:00Z", Err("is not valid before 2026-01-01"));
        check(&ours, &other, now, Err("cannot be used together"));
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, now, Err("http.tls"));
        let foreign = params("www.example.org", 2027).self_signed(&key).unwrap().pem();
        check(&foreign, &key, now, Err("is not for id.example.org"));
        // Beyond 2049 years have four digits (RFC 5280, section 4.1.2.5).
        let lasting = params("id.example.org", 2077).self_signed(&key).unwrap().pem();
        check(&lasting, &key, now, Ok("valid until 2077-06-01"));
    }

    #[test]
    fn a_chain_is_in_order_and_lasts_as_long_as_its_shortest() {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = params("Root", 2027);
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let issuer = Issuer::new(root, root_key);
        let ours = params("id.example.org", 2028).signed_by(&key, &issuer).unwrap().pem();
        let now = "2026-11-27T08:00:00Z";
        check(&format!("{ours}{root_pem}"), &key, now, Ok("valid until 2027-06-01"));
        check(&format!("{ours}{ours}"), &key, now, Err("out of order"));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let key = KeyPair::generate().unwrap();
        let der = params("id.example.org", 2027).self_signed(&key).unwrap().der().to_vec();
        assert!(Certificate::read(&der).is_some());
        // Up to the end of what is read; signatures are for rustls.
        for length in 0..200 {
            assert!(Certificate::read(&der[..length]).is_none(), "{length}");
        }
    }
}
