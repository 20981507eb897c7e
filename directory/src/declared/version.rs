//! Nobody overwrites what they did not see: between the difference that is shown and the change that is made
//! somebody else may have changed it.

use store::{StoreError, Tx, sql};

use super::{Item, Kind};

/// Takes what was read for changing or deleting it: its next version.
///
/// # Errors
/// [`StoreError::Conflict`] when it is not there in this version (any more).
pub(super) async fn take(tx: &mut Tx, seen: &Item) -> Result<i64, StoreError> {
    let version = seen.version.ok_or(StoreError::Conflict)?;
    let raise = match seen.kind {
        Kind::Client => sql!("UPDATE client SET version = version + 1 WHERE id = $1 AND version = $2"),
        Kind::ScimConnection => {
            sql!("UPDATE scim_connection SET version = version + 1 WHERE name = $1 AND version = $2")
        }
        Kind::Policy => sql!("UPDATE policy SET version = version + 1 WHERE name = $1 AND version = $2"),
        Kind::Area => sql!("UPDATE area SET version = version + 1 WHERE name = $1 AND version = $2"),
        Kind::Schedule => sql!("UPDATE schedule SET version = version + 1 WHERE name = $1 AND version = $2"),
        Kind::DoorSystem => {
            sql!("UPDATE door_system SET version = version + 1 WHERE name = $1 AND version = $2")
        }
        Kind::AccessPoint => {
            sql!("UPDATE access_point SET version = version + 1 WHERE name = $1 AND version = $2")
        }
        Kind::AccessProfile => {
            sql!("UPDATE access_profile SET version = version + 1 WHERE name = $1 AND version = $2")
        }
        Kind::CardPool => sql!("UPDATE card_pool SET version = version + 1 WHERE name = $1 AND version = $2"),
    };
    tx.run_versioned(raise, (&seen.name, version)).await?;
    Ok(version + 1)
}
