//! The configuration file: TOML, every key with a safe default, unknown keys refused, secrets by file.
//!
//! Relative paths in it are taken from the file's own folder. What lives in the database (clients, policies,
//! doors) is not here: `cardea apply` writes that.

mod export;
mod journal;
mod mail;
mod nesting;
mod parts;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bridge::systems::SWEEP;
use jiff::tz::TimeZone;
use kernel::Secret;
use serde::Deserialize;
use store::DbConfig;
use web::{BadIssuer, Issuer, Networks, NotANetwork};

use crate::tls::TlsError;
use crate::{files, logging};

pub use export::ExportTo;
pub use journal::Journal;
pub use mail::{Mail, MailTls};
pub(crate) use nesting::read_toml;
pub use parts::{
    Database, Doors, Ephemeral, Http, Log, LogFormat, Outbound, Passwords, Postgres, Redis, Sealing, Site,
    Tls,
};

/// An annotated configuration with nothing but the issuer set; `{issuer}` is filled in by who writes it.
pub const SAMPLE: &str = include_str!("cardea.sample.toml");

/// What is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where people and apps find this deployment: `https://id.example.org`, or `http://localhost:8080`.
    pub issuer: String,
    /// Listening.
    #[serde(default)]
    pub http: Http,
    /// What policies may ask about.
    #[serde(default)]
    pub site: Site,
    /// The database.
    #[serde(default)]
    pub database: Database,
    /// Counters and short-lived values.
    #[serde(default)]
    pub ephemeral: Ephemeral,
    /// Letters; without it none is written.
    pub mail: Option<Mail>,
    /// Requests that we make to addresses that others name.
    #[serde(default)]
    pub outbound: Outbound,
    /// Receivers of the whole journal, by name.
    #[serde(default)]
    pub export: BTreeMap<String, ExportTo>,
    /// How long the journal keeps what.
    #[serde(default)]
    pub journal: Journal,
    /// The door systems, all of them.
    #[serde(default)]
    pub doors: Doors,
    /// The key that seals secrets at rest.
    #[serde(default)]
    pub sealing: Sealing,
    /// Password hashing.
    #[serde(default)]
    pub passwords: Passwords,
    /// Logging.
    #[serde(default)]
    pub log: Log,
    /// The folder that relative paths start from.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// Why a configuration cannot be used. Each says where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file.
    #[error("cannot read {}: {reason}. Make one with: cardea init", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Not TOML, or not these keys.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Line, column and what was expected.
        reason: String,
    },
    /// The issuer cannot be one.
    #[error("issuer: {0}")]
    Issuer(#[from] BadIssuer),
    /// A text is no address and no network.
    #[error("{key}: {reason}")]
    Network {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        reason: NotANetwork,
    },
    /// A text is no time zone.
    #[error("site.time_zone: {0:?} is none of the system's time zones; write it like Europe/Helsinki")]
    TimeZone(String),
    /// `[mail]`.
    #[error("mail.{key}: {reason}")]
    Mail {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// `[export.NAME]`.
    #[error("export.{key}: {reason}")]
    Export {
        /// Which key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate and its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// `[journal]`.
    #[error("journal.{key}: {reason}")]
    Journal {
        /// Which key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A file that holds a secret cannot be read.
    #[error("{key}: cannot read {}: {reason}", path.display())]
    Secret {
        /// Which key names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Two keys exclude each other, or one needs another.
    #[error("{0}")]
    Contradiction(String),
}

/// Far beyond any machine, and a number that every system can start.
const MOST_THREADS: usize = 1024;

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = files::read_text(path)
            .map_err(|error| ConfigError::Unreadable { path: path.into(), reason: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse(&text, &folder)
            .map_err(|reason| ConfigError::Malformed { path: path.into(), reason })
            .and_then(|config| config.check().map(|()| config))
    }

    /// Reads a text, as if it stood in `folder`. The error names line and column.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let mut config: Self = read_toml(text)?;
        config.folder = folder.to_path_buf();
        Ok(config)
    }

    /// What the file's form does not say: addresses are addresses, and no key contradicts another. Reads no file.
    pub fn check(&self) -> Result<(), ConfigError> {
        let issuer = self.issuer()?;
        self.proxies()?;
        self.idp()?;
        self.outbound()?;
        self.mail.as_ref().map(Mail::check).transpose()?;
        self.export.iter().try_for_each(|(name, to)| to.check(name))?;
        self.retention()?;
        let wrong = |text: &str| Err(ConfigError::Contradiction(text.into()));
        if self.database.sqlite.is_some() && self.database.postgres.is_some() {
            return wrong("database: choose sqlite or postgres, not both");
        }
        if self.http.listen.is_empty() {
            return wrong("http.listen: name at least one address, e.g. [\"127.0.0.1:8080\"]");
        }
        if let Some(address) = self.http.listen.iter().find(|text| text.parse::<SocketAddr>().is_err()) {
            return wrong(&format!(
                "http.listen: {address:?} is no address to listen on; write it like \"127.0.0.1:8080\" or \"[::]:443\""
            ));
        }
        if self.http.workers == Some(0) {
            return wrong("http.workers: at least one thread must answer; leave it out for one a core");
        }
        if self.http.connections == 0 || self.http.connections_per_address == 0 {
            return wrong("http.connections, http.connections_per_address: at least one must be let in");
        }
        if self.passwords.threads == Some(0) {
            return wrong("passwords.threads: at least one thread must hash; leave it out for one a core");
        }
        if self.passwords.threads.is_some_and(|threads| threads > MOST_THREADS) {
            return wrong(&format!("passwords.threads: {MOST_THREADS} at most, a core each is enough"));
        }
        if self.passwords.nice.is_some_and(|nice| nice > 19) {
            return wrong("passwords.nice: write 0 (hashing competes with all else) to 19 (it goes last)");
        }
        if self.doors.sweep_seconds.is_some_and(|seconds| !(10..=600).contains(&seconds)) {
            return wrong("doors.sweep_seconds: write 10 to 600; leave it out for 300");
        }
        if let Err(error) = logging::filter(&self.log) {
            return wrong(&format!("log.filter: {error}; write it like \"info\" or \"info,bridge=debug\""));
        }
        if issuer.is_https() && self.http.tls.is_none() && self.http.trusted_proxies.is_empty() {
            return wrong(
                "an https issuer needs http.tls (certificate and key), or http.trusted_proxies that name the proxy \
                 which speaks https for it",
            );
        }
        if !issuer.is_https() && self.http.tls.is_some() {
            return wrong("http.tls is set, but the issuer is http: write it as https");
        }
        Ok(())
    }

    /// The issuer, checked.
    pub fn issuer(&self) -> Result<Issuer, BadIssuer> {
        self.issuer.parse()
    }

    /// The proxies whose word counts.
    pub fn proxies(&self) -> Result<Networks, ConfigError> {
        networks("http.trusted_proxies", &self.http.trusted_proxies)
    }

    /// What the provider is set to.
    pub fn idp(&self) -> Result<idp::Settings, ConfigError> {
        let zone = &self.site.time_zone;
        Ok(idp::Settings {
            internal_networks: networks("site.internal_networks", &self.site.internal_networks)?,
            time_zone: TimeZone::get(zone).map_err(|_| ConfigError::TimeZone(zone.clone()))?,
            recovery_by_mail: self.mail.is_some(),
            ..idp::Settings::default()
        })
    }

    /// Networks of the house that may be called.
    pub fn outbound(&self) -> Result<Networks, ConfigError> {
        networks("outbound.allow", &self.outbound.allow)
    }

    /// How often door systems are swept.
    pub fn sweep(&self) -> Duration {
        self.doors.sweep_seconds.map_or(SWEEP, Duration::from_secs)
    }

    /// Which database.
    pub fn database(&self) -> Result<DbConfig, ConfigError> {
        match &self.database.postgres {
            Some(postgres) => Ok(DbConfig::Postgres {
                url: self.secret("database.postgres.url_file", &postgres.url_file)?,
                connections: postgres.connections,
            }),
            None => {
                let path = self.database.sqlite.clone().unwrap_or_else(|| "cardea.sqlite".into());
                Ok(DbConfig::Sqlite { path: self.path(&path) })
            }
        }
    }

    /// A secret from the file that a key names; the last line break does not belong to it.
    pub fn secret(&self, key: &'static str, file: &Path) -> Result<Secret<String>, ConfigError> {
        read_secret(&self.path(file)).map_err(|reason| ConfigError::Secret {
            key,
            path: self.path(file),
            reason,
        })
    }

    /// A path, taken from the configuration's folder when it is relative.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

fn networks(key: &'static str, texts: &[String]) -> Result<Networks, ConfigError> {
    Networks::parse(texts).map_err(|reason| ConfigError::Network { key, reason })
}

/// The text of a file that holds one secret.
pub fn read_secret(path: &Path) -> Result<Secret<String>, String> {
    secret_in(&files::read_text(path).map_err(|error| error.to_string())?)
}

/// The one secret of a file's text; the last line break does not belong to it.
pub(crate) fn secret_in(text: &str) -> Result<Secret<String>, String> {
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if secret.expose().is_empty() { Err("it is empty".into()) } else { Ok(secret) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, String> {
        let config = Config::parse(text, Path::new("/srv/cardea"))?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn an_issuer_is_all_it_needs() {
        let config = check("issuer = \"http://localhost:8080\"").unwrap();
        assert!(
            matches!(config.database().unwrap(), DbConfig::Sqlite { path } if path == Path::new("/srv/cardea/cardea.sqlite"))
        );
        assert_eq!(config.http.listen, ["127.0.0.1:8080"]);
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, says) in [
            ("", "missing field `issuer`"),
            ("issuer = \"http://localhost:1\"\nisuer = 1", "unknown field `isuer`"),
            ("issuer = \"http://localhost:1\"\n[http]\nlisten = []", "at least one address"),
            ("issuer = \"http://localhost:1\"\n[http]\nlisten = [\"8080\"]", "127.0.0.1:8080"),
            ("issuer = \"http://localhost:1\"\n[http]\nlisten = [\"127.0.0.1:65536\"]", "127.0.0.1:8080"),
            ("issuer = \"http://localhost:1\"\n[http]\nworkers = 0", "http.workers"),
            ("issuer = \"http://localhost:1\"\n[http]\nconnections_per_address = 0", "at least one"),
            ("issuer = \"http://localhost:1\"\n[passwords]\nthreads = 0", "passwords.threads"),
            ("issuer = \"http://localhost:1\"\n[passwords]\nthreads = 1025", "passwords.threads"),
            ("issuer = \"http://localhost:1\"\n[passwords]\nnice = 20", "passwords.nice"),
            ("issuer = \"http://localhost:1\"\n[doors]\nsweep_seconds = 9", "doors.sweep_seconds"),
            ("issuer = \"http://localhost:1\"\n[doors]\nsweep_seconds = 601", "doors.sweep_seconds"),
            ("issuer = \"http://localhost:1\"\n[log]\nfilter = \"info,bridge=loud\"", "log.filter"),
            ("issuer = \"http://id.example.org\"", "https"),
            ("issuer = \"https://192.0.2.1\"", "address"),
            ("issuer = \"https://id.example.org\"", "http.tls"),
            ("issuer = \"http://localhost:1\"\n[outbound]\nallow = [\"intranet\"]", "outbound.allow"),
            (
                "issuer = \"http://localhost:1\"\n[mail]\nurl = \"smtp://m.example.org\"",
                "missing field `from`",
            ),
            (
                "issuer = \"http://localhost:1\"\n[mail]\nurl = \"m.example.org\"\nfrom = \"a@b.example\"",
                "mail.url",
            ),
            (
                "issuer = \"http://localhost:1\"\n[mail]\nurl = \"smtp://m.example.org\"\nfrom = \"Cardea\"",
                "mail.from",
            ),
            (
                "issuer = \"http://localhost:1\"\n[mail]\nurl = \"smtp://m.example.org\"\nfrom = \"a@b.example\"\n\
                 tls = \"none\"",
                "TLS cannot be switched off",
            ),
            (
                "issuer = \"http://localhost:1\"\n[mail]\nurl = \"smtp://m.example.org\"\nfrom = \"a@b.example\"\n\
                 user = \"a\"",
                "password_file",
            ),
            ("issuer = \"http://localhost:1\"\n[http]\ntrusted_proxies = [\"proxy\"]", "trusted_proxies"),
            (
                "issuer = \"http://localhost:1\"\n[database]\nsqlite = \"a\"\n[database.postgres]\nurl_file = \"b\"",
                "not both",
            ),
            ("issuer = \"http://localhost:1\"\n[database]\npostgres = \"postgres://u:p@h/d\"", "postgres"),
        ] {
            let error = check(text).expect_err(text);
            assert!(error.contains(says), "{text:?} says {error:?}, not {says:?}");
        }
    }

    #[test]
    fn secrets_come_from_files_without_their_line_break() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("url"), "postgres://u:p@h/d\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let mut config = check("issuer = \"http://localhost:1\"").unwrap();
        config.folder = folder.path().into();
        assert_eq!(config.secret("k", Path::new("url")).unwrap().expose(), "postgres://u:p@h/d");
        for (file, says) in [("empty", "empty"), ("none", "No such file")] {
            assert!(config.secret("k", Path::new(file)).unwrap_err().to_string().contains(says));
        }
    }
}
