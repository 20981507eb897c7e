//! What a caller of the key ring can do about a failure.

use store::StoreError;

use crate::{Alg, SealError};

/// Why keys cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeysError {
    /// The key file is not the one that this database was used with: put the right one back.
    #[error("signing key {kid} cannot be opened: {source}")]
    Sealed {
        /// Which signing key.
        kid: String,
        /// What is wrong with it.
        source: SealError,
    },
    /// A value sealed for another table cannot be opened: put the right key file back.
    #[error("{place} cannot be opened: {source}")]
    SealedValue {
        /// Table, column and row.
        place: String,
        /// What is wrong with it.
        source: SealError,
    },
    /// The first key of this algorithm is still being made; try again.
    #[error("no {0} key can sign yet; try again in a moment")]
    NotReady(Alg),
    /// What was to be signed is no JSON object.
    #[error("what is to be signed is not a JSON object: {0}")]
    NotAnObject(String),
    /// The rotation's times contradict each other.
    #[error("rotation: a key must sign for longer than it is announced before")]
    Rotation,
    /// The cryptographic library refused; nothing was signed or stored.
    #[error("{0} failed in the cryptographic library")]
    Crypto(&'static str),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
