//! What a caller can do about a failure.

use keys::KeysError;
use store::StoreError;

/// Why the journal could not be sequenced, signed or read. What is wrong *in* it is no error but a
/// [`Finding`](crate::Finding).
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The head of the chain does not fit the journal: somebody changed one of them. Run `audit verify`.
    #[error("the head of the chain does not fit the journal; run `cardea audit verify`")]
    Head,
    /// A checkpoint could not be signed.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
