//! What a caller of the directory can do about a failure.

use keys::SealError;
use store::StoreError;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another one has this name, external id or number.
    #[error("{0} is already taken")]
    Taken(&'static str),
    /// The version the caller saw is no longer the current one: read again.
    #[error("it was changed meanwhile; read it again")]
    VersionMismatch,
    /// There is no such thing (any more).
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A value is out of its range; the text says which and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// A sealed value does not open; the text says what to do.
    #[error("a sealed value does not open: {0}")]
    Sealed(#[from] SealError),
    /// The database failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for DirectoryError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict => DirectoryError::VersionMismatch,
            StoreError::Taken { table_and_columns } => match table_and_columns.as_str() {
                "users_user_name_key" => DirectoryError::Taken("userName"),
                "users_external_id" => DirectoryError::Taken("externalId"),
                "groups_display_name_key" => DirectoryError::Taken("displayName"),
                "scim_connection_token_hash" => DirectoryError::Taken("token of the SCIM connection"),
                "credential_format_facility_number" => DirectoryError::Taken("card number"),
                _ => DirectoryError::Store(error),
            },
            _ => DirectoryError::Store(error),
        }
    }
}
