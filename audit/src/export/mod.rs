//! The journal for others: every fact, in its order, to a SIEM over syslog or into a file.
//!
//! At least once. Over a network that says more than it seems to: a receiver that is killed has taken what it loses,
//! and no write over TCP tells. So a fact counts as delivered only when the receiver's machine was seen to have
//! acknowledged it and the connection has lived on for [`Export::settle`] afterwards; after any cut everything else is
//! sent anew, under the same id: whoever counts distinct ids counts each fact once. How much may come twice is bounded
//! ([`Export::overlap`]).
//!
//! What it is not: it filters nothing and drops nothing. A receiver that is slow, full or gone holds up its own
//! exporter, for some weeks the erasing of bodies that it has not been sent ([`erase`](mod@crate::erase)), and nothing
//! else.
//!
//! It has no certificate of its own unless one is configured; what a receiver says against one is why a connection was
//! cut. Files with certificates are read anew for each connection, so that renewed ones count without a restart.
//!
//! To add a receiver: a variant of [`Target`], and how it is written to in `receiver.rs`. To add a format: a variant of
//! [`Format`] and its function in `format.rs`.

mod cef;
mod format;
mod on_the_way;
mod outage;
mod receiver;
mod run;
mod socket;
mod syslog;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kernel::Timestamp;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use schemars::JsonSchema;
use store::FactBody;

pub use format::{Format, json_line, kinds_that_stand_out};
pub use outage::{Outage, Standing, standing};
pub use receiver::try_to_reach;
pub use run::Exporter;

/// How many facts may be on their way without being settled, unless somebody says otherwise.
pub const OVERLAP: i64 = 100_000;
/// How long a connection must live on before what it carried counts as delivered, unless the configuration says
/// otherwise.
pub const SETTLE: Duration = Duration::from_secs(60);
/// The longest message, in bytes, unless the configuration says otherwise: what RFC 5425, section 4.3.1, asks every
/// receiver to take.
pub const LARGEST: usize = 8_192;

/// Where the journal is sent, and as what.
#[derive(Clone, Debug)]
pub struct Export {
    /// The configuration's name for it: its cursor, and the subject of its facts.
    pub name: String,
    /// Where.
    pub target: Target,
    /// As what.
    pub format: Format,
    /// Who we are: the issuer's host.
    pub host: String,
    /// How long a connection must live on before what it carried counts as delivered.
    pub settle: Duration,
    /// How many facts may be on their way without being settled: what is sent anew at most.
    pub overlap: i64,
    /// The longest message, in bytes, its header included. The body of a fact that is longer stays behind, and its
    /// digest says so.
    pub largest: usize,
    /// The IANA enterprise number under which syslog messages have structured data (RFC 5424, section 6.3.2); none
    /// without.
    pub enterprise: Option<u32>,
}

/// Where facts go.
#[derive(Clone, Debug)]
pub enum Target {
    /// Syslog over TLS (RFC 5425), each message in RFC 5424's form.
    Syslog(Syslog),
    /// Lines at the end of a file, which another program may move away.
    File(PathBuf),
}

/// What a connection is encrypted with, or why there is nothing of the kind now: asked for each connection. It may read
/// files.
pub type Encryption = Arc<dyn Fn(Timestamp) -> Result<ClientConfig, String> + Send + Sync>;

/// A syslog receiver.
#[derive(Clone)]
pub struct Syslog {
    /// Host and port.
    pub address: String,
    /// Whom its certificate must name.
    pub name: ServerName<'static>,
    /// Whom its certificate may come from, and who we are to it.
    pub tls: Encryption,
}

impl std::fmt::Debug for Syslog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Syslog")
            .field("address", &self.address)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The name of an exporter's cursor in the journal.
pub(crate) fn cursor_of(name: &str) -> String {
    format!("export:{name}")
}

/// An exporter cannot reach its receiver, or was cut off. Nothing is lost: it goes on where it was, when it can. It is
/// said once, however long it lasts and whichever nodes try.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
pub struct ExportCut {
    /// Why, in words, as it began.
    pub reason: String,
    /// After which place in the journal everything will be sent (again).
    pub after: i64,
}

impl FactBody for ExportCut {
    const KIND: &'static str = "export.cut";
    const ABOUT: &'static [&'static str] = &["export"];
}

/// An exporter reaches its receiver again, on whichever node. It ends the latest `export.cut`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
pub struct ExportResumed {
    /// After which place in the journal everything is sent (again).
    pub after: i64,
}

impl FactBody for ExportResumed {
    const KIND: &'static str = "export.resumed";
    const ABOUT: &'static [&'static str] = &["export"];
}

#[cfg(test)]
mod tests {
    use kernel::id::FactId;
    use kernel::{Ctx, Timestamp};
    use serde_json::Value;
    use store::StoredFact;

    pub(super) fn export() -> super::Export {
        super::Export {
            name: "siem".into(),
            target: super::Target::File("facts.jsonl".into()),
            format: super::Format::Json,
            host: "id.example.org".into(),
            settle: super::SETTLE,
            overlap: super::OVERLAP,
            largest: super::LARGEST,
            enterprise: None,
        }
    }

    /// A fact about Ada, the seventh of the journal.
    pub(super) fn fact(kind: &str, body: Value) -> StoredFact {
        StoredFact {
            id: FactId::new(&Ctx::for_tests(1)),
            at: Timestamp::from_millis(1_763_779_500_000),
            kind: kind.into(),
            subject: "user:ada".into(),
            actor: "anonymous".into(),
            request_id: Some("req-1".into()),
            digest: "d".repeat(43),
            salt: Some("s".repeat(22)),
            body: Some(body.to_string()),
            seq: Some(7),
            chain: None,
        }
    }
}
