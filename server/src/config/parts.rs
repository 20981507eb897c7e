//! The sections of the configuration, each with safe defaults.

use std::path::PathBuf;

use serde::Deserialize;

/// `[http]`: listening.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Addresses to listen on.
    pub listen: Vec<String>,
    /// Addresses (or networks of nothing else) of proxies: their `X-Forwarded-For` counts, and behind an https
    /// issuer without `tls` they alone are served.
    pub trusted_proxies: Vec<String>,
    /// HTTPS by itself.
    pub tls: Option<Tls>,
    /// Threads that answer; by default one a core, four at most.
    pub workers: Option<usize>,
    /// Connections open at once, all together: as far as the system's limit of open files allows.
    pub connections: usize,
    /// Of those, from one address, a quarter of all at most; trusted proxies may have all.
    pub connections_per_address: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8080".into()],
            trusted_proxies: Vec::new(),
            tls: None,
            workers: None,
            connections: 8_000,
            connections_per_address: 1_000,
        }
    }
}

/// `[http.tls]`: PEM files, read again when the process starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[site]`: what policies may ask about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// The organisation's own networks: `Network::"internal"` in policies; all others are remote.
    pub internal_networks: Vec<String>,
    /// Where hours and weekdays are reckoned, e.g. `Europe/Helsinki`.
    pub time_zone: String,
}

impl Default for Site {
    fn default() -> Self {
        Self { internal_networks: Vec::new(), time_zone: "UTC".into() }
    }
}

/// `[database]`: a SQLite file unless `postgres` is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// The file; `cardea.sqlite` beside the configuration by default.
    pub sqlite: Option<PathBuf>,
    /// A PostgreSQL server instead.
    pub postgres: Option<Postgres>,
}

/// `[database.postgres]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// A file that holds `postgres://user:password@host:port/database`.
    pub url_file: PathBuf,
    /// At most this many connections.
    #[serde(default = "connections")]
    pub connections: u32,
}

fn connections() -> u32 {
    20
}

/// `[ephemeral]`: in this process unless `redis` is set. Several nodes need Redis.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ephemeral {
    /// A Redis server.
    pub redis: Option<Redis>,
}

/// `[ephemeral.redis]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// A file that holds `redis://user:password@host:port/number`.
    pub url_file: PathBuf,
    /// Keeps deployments that share a server apart.
    #[serde(default = "prefix")]
    pub prefix: String,
}

fn prefix() -> String {
    "cardea".into()
}

/// `[outbound]`: requests that we make to addresses that others name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Addresses or networks of the house that may be called, beside public ones.
    pub allow: Vec<String>,
}

/// `[doors]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Doors {
    /// How often everything that a door system holds is compared with what is wanted, in seconds, from 10 to 600; by
    /// default 300. How each is set is asked then, too, which must not take a quarter of an hour.
    pub sweep_seconds: Option<u64>,
}

/// `[sealing]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sealing {
    /// The key file; nobody but its owner may read it.
    pub key_file: PathBuf,
}

impl Default for Sealing {
    fn default() -> Self {
        Self { key_file: "sealing.key".into() }
    }
}

/// `[passwords]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Passwords {
    /// Threads that hash, 19 MiB each; by default one a core, four at most.
    pub threads: Option<usize>,
    /// How far they step back for everything else on the machine, from 0 to 19; by default 15.
    pub nice: Option<u8>,
    /// Memory of one hash in MiB. Never less than 19, as the next two never count below what they are by default.
    pub memory_mib: Option<u32>,
    /// Passes over it; by default 2.
    pub passes: Option<u32>,
    /// Lanes; by default 1.
    pub lanes: Option<u32>,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
    /// What is logged, e.g. `info` or `info,bridge=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
