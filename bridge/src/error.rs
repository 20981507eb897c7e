//! What can go wrong in the bridge itself, beside what connectors report.

use directory::DirectoryError;
use keys::KeysError;
use store::{SinkError, StoreError};

/// Why the bridge could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A stored value is out of its range: the configuration was changed behind our back.
    #[error("{0}")]
    Inconsistent(String),
    /// The directory refused.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A key is missing or broken.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BridgeError> for SinkError {
    fn from(error: BridgeError) -> Self {
        match error {
            BridgeError::Store(error) | BridgeError::Directory(DirectoryError::Store(error)) => {
                Self::Store(error)
            }
            BridgeError::Inconsistent(_) => Self::Dead(error.to_string()),
            other => Self::Retry(other.to_string()),
        }
    }
}
