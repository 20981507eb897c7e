//! Certificates with their keys, and HTTPS by itself: rustls with aws-lc, TLS 1.2 and 1.3.
//!
//! What it is not: it fetches and renews nothing. What HTTPS serves is read when the process starts; whoever renews it
//! starts the process again. What we show to a receiver of the journal is read anew for each connection.

use std::path::Path;
use std::sync::Arc;

use kernel::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;

mod certificate;

use certificate::Certificate;

/// The section of the configuration that HTTPS is set in.
const HTTPS: &str = "http.tls";
/// Whoever must renew a certificate wants to know so many days before.
const SOON_DAYS: i64 = 14;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Why a certificate and its key cannot be used. The first field is the section of the configuration that names them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file.
    #[error("{0}.certificate {1}: {2}")]
    Certificate(String, String, String),
    /// The key file.
    #[error("{0}.key {1}: {2}")]
    Key(String, String, String),
    /// The two do not belong together, or rustls refuses them.
    #[error("{0}: certificate and key cannot be used together: {1}")]
    Unusable(String, #[source] rustls::Error),
}

/// A certificate with its chain, and its key, as two files say.
pub(crate) struct Pair {
    section: String,
    key: CertifiedKey,
}

impl Pair {
    /// Reads both, which `section` of the configuration names, and has rustls compare them.
    pub(crate) fn read(section: &str, certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = chain(section, certificate)?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| TlsError::Key(section.into(), key.display().to_string(), error.to_string()))?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| TlsError::Unusable(section.into(), error))?;
        Ok(Self { section: section.into(), key })
    }

    /// What presents them, as a server or as a client.
    pub(crate) fn presented(self) -> Arc<SingleCertAndKey> {
        Arc::new(self.key.into())
    }

    /// Until when they can be used; an error when they cannot now, or not for long.
    pub(crate) fn lasting(&self, now: Timestamp) -> Result<String, String> {
        let ends = self.ends(now)?;
        let days = (ends.as_millis() - now.as_millis()).div_euclid(DAY_MS);
        match days {
            ..SOON_DAYS => {
                Err(format!("{}.certificate expires at {ends}, in {days} day(s); renew it now", self.section))
            }
            _ => Ok(format!("the certificate is valid until {ends}, {days} days from now")),
        }
    }

    /// When the first of the chain ends. An error when they cannot be used now, whatever the other side would say.
    pub(crate) fn ends(&self, now: Timestamp) -> Result<Timestamp, String> {
        let (section, chain) = (&self.section, self.certificates()?);
        let begins = chain.iter().map(|one| one.not_before).max().unwrap_or(now);
        let ends = chain.iter().map(|one| one.not_after).min().unwrap_or(now);
        if now < begins {
            return Err(format!("{section}.certificate is not valid before {begins}"));
        }
        if ends < now {
            return Err(format!("{section}.certificate expired at {ends}; renew it"));
        }
        Ok(ends)
    }

    fn certificates(&self) -> Result<Vec<Certificate>, String> {
        let chain: Option<Vec<_>> = self.key.cert.iter().map(|der| Certificate::read(der)).collect();
        chain.ok_or_else(|| {
            format!(
                "{}.certificate: a certificate in it cannot be read; is it X.509 in PEM, our own first?",
                self.section
            )
        })
    }
}

fn chain(section: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| {
        TlsError::Certificate(section.into(), path.display().to_string(), error.to_string())
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .map_err(|error| wrong(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&error))?;
    if chain.is_empty() {
        return Err(wrong(&"it holds no PEM certificate"));
    }
    Ok(chain)
}

/// What is served with, if HTTPS is configured.
pub(crate) fn configured(config: &Config) -> Result<Option<ServerConfig>, TlsError> {
    let Some(pair) = https(config)? else { return Ok(None) };
    let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unusable(HTTPS.into(), error))?
        .with_no_client_auth()
        .with_cert_resolver(pair.presented());
    Ok(Some(server))
}

fn https(config: &Config) -> Result<Option<Pair>, TlsError> {
    let Some(tls) = &config.http.tls else { return Ok(None) };
    Pair::read(HTTPS, &config.path(&tls.certificate), &config.path(&tls.key)).map(Some)
}

/// What `cardea check` says of the files: until when they serve, or what browsers will refuse.
pub(crate) fn examine(config: &Config, host: &str, now: Timestamp) -> Result<String, String> {
    let Some(pair) = https(config).map_err(|error| error.to_string())? else {
        return Ok("none here: a proxy speaks https, or the issuer is http on localhost".into());
    };
    let chain = pair.certificates()?;
    ResolvesServerCertUsingSni::new()
        .add(host, pair.key.clone())
        .map_err(|error| format!("http.tls.certificate is not for {host}, the issuer's name: {error}"))?;
    if !chain.windows(2).all(|two| two[0].issuer == two[1].subject) {
        return Err(
            "http.tls.certificate: the certificates are out of order; the server's own comes first, \
                    and each next one issued the one before it"
                .into(),
        );
    }
    pair.lasting(now)
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
