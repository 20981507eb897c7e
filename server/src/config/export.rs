//! `[export.NAME]`: a receiver of the whole journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use audit::export::{Export, Format, LARGEST, OVERLAP, SETTLE, Syslog, Target};
use kernel::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;

use super::{Config, ConfigError};
use crate::tls::{Pair, TlsError};

/// `[export.NAME]`: exactly one of `syslog` and `file`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportTo {
    /// Host and port of a syslog receiver, spoken to over TLS.
    pub syslog: Option<String>,
    /// PEM of the only authority that the receiver's certificate may come from; without it, those of the system.
    pub authority: Option<PathBuf>,
    /// PEM of our own certificate and its chain, for a receiver that asks who we are. Read anew for each connection, as
    /// `key` and `authority` are.
    pub certificate: Option<PathBuf>,
    /// PEM of its private key.
    pub key: Option<PathBuf>,
    /// The organisation's IANA enterprise number: with it, syslog messages have structured data.
    pub enterprise_number: Option<u32>,
    /// A file to which lines are added.
    pub file: Option<PathBuf>,
    /// What each message is written as.
    #[serde(default)]
    pub format: Format,
    /// How long a connection must live on before what it carried counts as delivered, in seconds.
    pub settle_seconds: Option<u64>,
    /// The longest message, in bytes.
    pub longest_message: Option<usize>,
}

fn wrong(name: &str, key: &str, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Export { key: format!("{name}.{key}"), reason: reason.to_string() }
}

impl ExportTo {
    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
            return Err(wrong(name, "", "a name has 1 to 32 of a-z, 0-9 and -"));
        }
        match (&self.syslog, &self.file) {
            (None, None) => {
                return Err(wrong(name, "syslog", "say where to: syslog = \"host:6514\", or file"));
            }
            (Some(_), Some(_)) => return Err(wrong(name, "file", "choose syslog or file, not both")),
            (Some(address), None) => drop(server_name(name, address)?),
            (None, Some(_)) => self.check_file(name)?,
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => return Err(wrong(name, "certificate", "it needs a key")),
            (None, Some(_)) => return Err(wrong(name, "key", "it needs a certificate")),
            _ => {}
        }
        if self.enterprise_number == Some(0) {
            return Err(wrong(name, "enterprise_number", "expected your organisation's, from 1 on"));
        }
        // Below it, a receiver that is slow has perhaps not read yet what its machine has acknowledged. Above it, so
        // much may be on the way at once that little more is sent.
        if !(30..=300).contains(&self.settle().as_secs()) {
            return Err(wrong(name, "settle_seconds", "expected 30 to 300"));
        }
        if !(2_048..=1_048_576).contains(&self.largest()) {
            return Err(wrong(name, "longest_message", "expected 2048 to 1048576"));
        }
        Ok(())
    }

    /// What only a connection has.
    fn check_file(&self, name: &str) -> Result<(), ConfigError> {
        for (key, is_set) in [
            ("authority", self.authority.is_some()),
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
            ("enterprise_number", self.enterprise_number.is_some()),
        ] {
            if is_set {
                return Err(wrong(name, key, "a file has none"));
            }
        }
        Ok(())
    }

    /// Where to, as it was written.
    #[must_use]
    pub fn receiver(&self) -> String {
        let file = || self.file.as_deref().map(|file| file.display().to_string());
        self.syslog.clone().or_else(file).unwrap_or_default()
    }

    fn settle(&self) -> Duration {
        self.settle_seconds.map_or(SETTLE, Duration::from_secs)
    }

    fn largest(&self) -> usize {
        self.longest_message.unwrap_or(LARGEST)
    }
}

fn server_name(name: &str, address: &str) -> Result<ServerName<'static>, ConfigError> {
    let wrong = |reason| wrong(name, "syslog", reason);
    let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("expected host:port, e.g. siem:6514"))?;
    if port.parse::<u16>().is_ok_and(|port| port != 0) {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        return ServerName::try_from(host).map_err(|_| wrong("its host is neither a name nor an address"));
    }
    Err(wrong("its port is no port"))
}

/// The files that a connection rests on.
struct Files {
    name: String,
    authority: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

impl Files {
    fn own(&self) -> Result<Option<Pair>, TlsError> {
        let Some((certificate, key)) = &self.own else { return Ok(None) };
        Pair::read(&format!("export.{}", self.name), certificate, key).map(Some)
    }

    /// What a connection is encrypted with by what the files say now.
    fn read(&self, now: Timestamp) -> Result<ClientConfig, String> {
        let own = self.own().map_err(|error| error.to_string())?;
        if let Some(own) = &own {
            own.ends(now)?;
        }
        self.encryption(own).map_err(|error| error.to_string())
    }

    fn encryption(&self, own: Option<Pair>) -> Result<ClientConfig, ConfigError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong(&self.name, "syslog", error))?;
        let builder = builder.with_root_certificates(self.authorities()?);
        Ok(match own {
            Some(own) => builder.with_client_cert_resolver(own.presented()),
            None => builder.with_no_client_auth(),
        })
    }

    fn authorities(&self) -> Result<RootCertStore, ConfigError> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.authority else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        let wrong = |reason: String| wrong(&self.name, "authority", format!("{}: {reason}", path.display()));
        let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("it holds no certificate".into()));
        }
        Ok(roots)
    }
}

impl Config {
    /// Every receiver. What its files hold is read again for each connection; what cannot be used is told now.
    pub fn exports(&self) -> Result<Vec<Export>, ConfigError> {
        self.export.iter().map(|(name, to)| self.export_to(name, to)).collect()
    }

    /// One receiver.
    pub(crate) fn export_to(&self, name: &str, to: &ExportTo) -> Result<Export, ConfigError> {
        let target = match (&to.syslog, &to.file) {
            (Some(address), _) => {
                let files = self.export_files(name, to);
                // That it is out of its time is no reason not to start.
                files.encryption(files.own()?)?;
                Target::Syslog(Syslog {
                    address: address.clone(),
                    name: server_name(name, address)?,
                    tls: Arc::new(move |now: Timestamp| files.read(now)),
                })
            }
            (None, Some(file)) => Target::File(self.path(file)),
            (None, None) => return Err(wrong(name, "syslog", "say where to")),
        };
        let host = self.issuer()?.host().to_owned();
        let (settle, largest, enterprise) = (to.settle(), to.largest(), to.enterprise_number);
        let (name, format, overlap) = (name.to_owned(), to.format, OVERLAP);
        Ok(Export { name, target, format, host, settle, overlap, largest, enterprise })
    }

    /// Until when our certificate for a receiver can be used, if there is one, or why it cannot.
    pub(crate) fn export_certificate(
        &self,
        name: &str,
        to: &ExportTo,
        now: Timestamp,
    ) -> Option<Result<String, String>> {
        let own = self.export_files(name, to).own().map_err(|error| error.to_string()).transpose()?;
        Some(own.and_then(|own| own.lasting(now)))
    }

    fn export_files(&self, name: &str, to: &ExportTo) -> Files {
        let own = to.certificate.as_deref().zip(to.key.as_deref());
        Files {
            name: name.to_owned(),
            authority: to.authority.as_deref().map(|file| self.path(file)),
            own: own.map(|(certificate, key)| (self.path(certificate), self.path(key))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn read(text: &str) -> Result<Vec<Export>, String> {
        read_in(Path::new("/srv/cardea"), text)
    }

    fn read_in(folder: &Path, text: &str) -> Result<Vec<Export>, String> {
        let text = format!("issuer = \"http://localhost:1\"\n{text}");
        let config = Config::parse(&text, folder)?;
        config.check().map_err(|error| error.to_string())?;
        config.exports().map_err(|error| error.to_string())
    }

    #[test]
    fn a_receiver_is_where_and_little_else() {
        let exports =
            read("[export.siem]\nsyslog = \"siem.example.org:6514\"\n[export.disk]\nfile = \"facts.jsonl\"");
        let exports = exports.unwrap();
        let names: Vec<&str> = exports.iter().map(|export| export.name.as_str()).collect();
        assert_eq!(names, ["disk", "siem"]);
        assert!(
            matches!(&exports[0].target, Target::File(path) if path == Path::new("/srv/cardea/facts.jsonl"))
        );
        assert!(
            matches!(&exports[1].target, Target::Syslog(syslog) if syslog.address == "siem.example.org:6514")
        );
        assert_eq!(
            (exports[1].format, exports[1].settle, exports[1].largest),
            (Format::Json, SETTLE, LARGEST)
        );
        assert_eq!(exports[1].host, "localhost");
        assert!(read("[export.siem]\nsyslog = \"[2001:db8::7]:6514\"\nformat = \"cef\"").is_ok());
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, says) in [
            ("[export.siem]", "export.siem.syslog: say where to"),
            ("[export.siem]\nsyslog = \"a:1\"\nfile = \"b\"", "export.siem.file: choose"),
            ("[export.siem]\nsyslog = \"siem\"", "export.siem.syslog: expected host:port"),
            ("[export.siem]\nsyslog = \"siem:0\"", "export.siem.syslog: its port"),
            ("[export.siem]\nsyslog = \"a b:1\"", "export.siem.syslog: its host"),
            ("[export.siem]\nfile = \"a\"\nauthority = \"b\"", "export.siem.authority: a file"),
            ("[export.siem]\nfile = \"a\"\nkey = \"b\"", "export.siem.key: a file"),
            ("[export.siem]\nfile = \"a\"\nenterprise_number = 1", "export.siem.enterprise_number: a file"),
            (
                "[export.siem]\nsyslog = \"a:1\"\nenterprise_number = 0",
                "export.siem.enterprise_number: expected",
            ),
            (
                "[export.siem]\nsyslog = \"a:1\"\ncertificate = \"b\"",
                "export.siem.certificate: it needs a key",
            ),
            ("[export.siem]\nsyslog = \"a:1\"\nkey = \"b\"", "export.siem.key: it needs a certificate"),
            (
                "[export.siem]\nsyslog = \"a:1\"\ncertificate = \"none.pem\"\nkey = \"b\"",
                "export.siem.certificate /srv/cardea/none.pem: ",
            ),
            ("[export.siem]\nfile = \"a\"\nformat = \"xml\"", "unknown variant `xml`"),
            ("[export.siem]\nfile = \"a\"\nsettle_seconds = 29", "export.siem.settle_seconds: expected 30"),
            ("[export.siem]\nfile = \"a\"\nlongest_message = 100", "export.siem.longest_message"),
            ("[export.siem]\nfile = \"a\"\nport = 1", "unknown field `port`"),
            ("[export.\"Si em\"]\nfile = \"a\"", "a name has"),
            (
                "[export.siem]\nsyslog = \"a:1\"\nauthority = \"none.pem\"",
                "export.siem.authority: /srv/cardea/none.pem",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn our_certificate_is_read_anew_for_each_connection() {
        let folder = tempfile::tempdir().unwrap();
        let write = |key: &KeyPair, of: &KeyPair, until: i32| {
            let mut params = CertificateParams::new(["cardea.example.org".to_owned()]).unwrap();
            params.not_before = date_time_ymd(2026, 1, 1);
            params.not_after = date_time_ymd(until, 6, 1);
            let certificate = params.self_signed(of).unwrap();
            std::fs::write(folder.path().join("own.pem"), certificate.pem()).unwrap();
            std::fs::write(folder.path().join("own.key"), key.serialize_pem()).unwrap();
        };
        let text =
            "[export.siem]\nsyslog = \"siem.example.org:6514\"\ncertificate = \"own.pem\"\nkey = \"own.key\"";
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        write(&key, &other, 2027);
        let mixed = read_in(folder.path(), text).unwrap_err();
        assert!(mixed.contains("export.siem: certificate and key cannot be used together"), "{mixed}");
        // One that has expired is no reason not to start.
        write(&key, &key, 2026);
        let exports = read_in(folder.path(), text).unwrap();
        let Target::Syslog(siem) = &exports[0].target else { panic!("a syslog receiver") };
        let now = Timestamp::from_millis(
            "2026-11-27T08:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond(),
        );
        let read = || (siem.tls)(now).map(|tls| tls.client_auth_cert_resolver.has_certs());
        let expired = read().unwrap_err();
        assert!(expired.contains("export.siem.certificate expired at 2026-06-01"), "{expired}");
        write(&key, &key, 2027);
        assert_eq!(read(), Ok(true));
        write(&other, &key, 2027);
        let mixed = read().unwrap_err();
        assert!(mixed.contains("export.siem: certificate and key cannot be used together"), "{mixed}");
        write(&other, &other, 2028);
        assert_eq!(read(), Ok(true));
        std::fs::remove_file(folder.path().join("own.key")).unwrap();
        assert!(read().unwrap_err().contains("own.key: "), "unreadable");
        let none = read_in(folder.path(), "[export.siem]\nsyslog = \"siem.example.org:6514\"").unwrap();
        let Target::Syslog(siem) = &none[0].target else { panic!("a syslog receiver") };
        assert!(!(siem.tls)(now).unwrap().client_auth_cert_resolver.has_certs());
    }
}
