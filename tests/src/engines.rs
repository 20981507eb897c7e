//! What a served house keeps its data in: one of the two pairs of engines.

use parts::{Database, Keyspace};

/// A database and what counts beside it. Both go with this value.
#[derive(Debug, Default)]
pub struct Engines {
    database: Option<Database>,
    keyspace: Option<Keyspace>,
}

impl Engines {
    /// A SQLite file, and memory.
    #[must_use]
    pub fn light() -> Self {
        Self::default()
    }

    /// PostgreSQL and Redis; `None` when one of them is missing.
    #[must_use]
    pub fn heavy() -> Option<Self> {
        Some(Self { database: Some(parts::postgres()?), keyspace: Some(parts::redis()?) })
    }

    /// The sections of the configuration that name them, each with the URL that belongs into a file.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let database = self.database.as_ref().map(|database| ("database.postgres", database.url()));
        let keyspace = self.keyspace.as_ref().map(|keyspace| ("ephemeral.redis", keyspace.url()));
        database.into_iter().chain(keyspace)
    }
}
