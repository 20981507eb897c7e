//! `[export.NAME]`: a receiver of the whole journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use audit::export::{Export, Format, LARGEST, SETTLE, Syslog, Target};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;

use super::{Config, ConfigError};

/// `[export.NAME]`: exactly one of `syslog` and `file`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportTo {
    /// Host and port of a syslog receiver, spoken to over TLS.
    pub syslog: Option<String>,
    /// PEM of the only authority that the receiver's certificate may come from; without it, those of the system.
    pub authority: Option<PathBuf>,
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
        match (&self.syslog, &self.file, &self.authority) {
            (None, None, _) => {
                return Err(wrong(name, "syslog", "say where to: syslog = \"host:6514\", or file"));
            }
            (Some(_), Some(_), _) => return Err(wrong(name, "file", "choose syslog or file, not both")),
            (None, Some(_), Some(_)) => return Err(wrong(name, "authority", "a file has none")),
            (Some(address), ..) => drop(server_name(name, address)?),
            (None, Some(_), None) => {}
        }
        // Below it, what is still on the way could count as delivered: a dead connection is noticed after 20 s. Above
        // it, so much may be on the way at once that little more is sent.
        if !(30..=300).contains(&self.settle().as_secs()) {
            return Err(wrong(name, "settle_seconds", "expected 30 to 300"));
        }
        if !(2_048..=1_048_576).contains(&self.largest()) {
            return Err(wrong(name, "longest_message", "expected 2048 to 1048576"));
        }
        Ok(())
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

impl Config {
    /// Every receiver, with what its files hold.
    pub fn exports(&self) -> Result<Vec<Export>, ConfigError> {
        self.export.iter().map(|(name, to)| self.export(name, to)).collect()
    }

    fn export(&self, name: &str, to: &ExportTo) -> Result<Export, ConfigError> {
        let target = match (&to.syslog, &to.file) {
            (Some(address), _) => Target::Syslog(Syslog {
                address: address.clone(),
                name: server_name(name, address)?,
                tls: Arc::new(self.trusting(name, to)?),
            }),
            (None, Some(file)) => Target::File(self.path(file)),
            (None, None) => return Err(wrong(name, "syslog", "say where to")),
        };
        let host = self.issuer()?.host().to_owned();
        let (settle, largest) = (to.settle(), to.largest());
        Ok(Export { name: name.to_owned(), target, format: to.format, host, settle, largest })
    }

    fn trusting(&self, name: &str, to: &ExportTo) -> Result<ClientConfig, ConfigError> {
        let mut roots = RootCertStore::empty();
        match &to.authority {
            Some(file) => {
                let path = self.path(file);
                let wrong =
                    |reason: String| wrong(name, "authority", format!("{}: {reason}", path.display()));
                let found = CertificateDer::pem_file_iter(&path).map_err(|error| wrong(error.to_string()))?;
                for certificate in found {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("it holds no certificate".into()));
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong(name, "syslog", error))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Vec<Export>, String> {
        let text = format!("issuer = \"http://localhost:1\"\n{text}");
        let config = Config::parse(&text, Path::new("/srv/cardea"))?;
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
}
