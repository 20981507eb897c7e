//! Sealing anew what older sealing keys sealed, so that their lines can leave the key file.

use std::path::Path;
use std::time::Duration;

use store::{Db, Fact, Origin, Sql, StoreError, Tx};

use crate::seal::beginning;
use crate::{KeyFileError, KeysError, SIGNING_KEY, SealedColumn, SealingKeys, ValuesResealed};

/// So many values in one transaction at most.
const PAGE: i64 = 100;

/// Twice as long as a node may take to read a changed key file ([`KeyRing::maintain`](crate::KeyRing::maintain) runs
/// each minute): who has not read it by then does not run.
const READ_BY_ALL: Duration = Duration::from_secs(120);

/// Why a key stays in the key file.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// The file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Nodes may still seal with it: they read the file once a minute.
    #[error(
        "the key file was changed a moment ago and some node may still seal with {kid:?}; try again in {seconds} s"
    )]
    TooSoon {
        /// The key.
        kid: String,
        /// How long to wait.
        seconds: u64,
    },
    /// It is needed.
    #[error("key {kid:?} still seals {values} values of {column}; reseal first")]
    InUse {
        /// The key.
        kid: String,
        /// `table.column`.
        column: String,
        /// How many.
        values: i64,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Step 3: seals every value anew that the current key has not sealed; answers how many. Signing keys are among
/// them; `others` names the columns of other rooms.
///
/// Safe beside writers: a value that changes meanwhile is left as it is. Interrupted, it may be run again.
pub async fn reseal(db: &Db, sealing: &SealingKeys, others: &[SealedColumn]) -> Result<u64, KeysError> {
    let mut resealed = 0;
    for column in all(others) {
        resealed += reseal_column(db, sealing, column).await?;
    }
    Ok(resealed)
}

/// Step 4: takes a key out of the file that seals nothing any more. `others` as in [`reseal`].
///
/// # Errors
/// [`RetireError`]; then the file is as it was.
pub async fn retire_key(db: &Db, path: &Path, kid: &str, others: &[SealedColumn]) -> Result<(), RetireError> {
    let sealing = SealingKeys::load(path)?;
    if sealing.current() == kid {
        return Err(KeyFileError::Seals { kid: kid.into() }.into());
    }
    let since = db.ctx().now().since(SealingKeys::changed_at(path)?);
    let seconds = READ_BY_ALL.saturating_sub(since).as_secs();
    if seconds > 0 {
        return Err(RetireError::TooSoon { kid: kid.into(), seconds });
    }
    for column in all(others) {
        let beginning = beginning(kid);
        let length = i64::try_from(beginning.len()).unwrap_or(i64::MAX);
        let (values,): (i64,) = db.one(column.sealed_by(), (beginning, length)).await?;
        if values > 0 {
            let column = format!("{}.{}", column.table, column.column);
            return Err(RetireError::InUse { kid: kid.into(), column, values });
        }
    }
    SealingKeys::remove_key(path, kid)?;
    tracing::info!(kid, "a sealing key was retired");
    Ok(())
}

fn all(others: &[SealedColumn]) -> impl Iterator<Item = SealedColumn> {
    std::iter::once(SIGNING_KEY).chain(others.iter().copied())
}

async fn reseal_column(db: &Db, sealing: &SealingKeys, column: SealedColumn) -> Result<u64, KeysError> {
    let mut resealed = 0;
    let mut after = String::new();
    loop {
        let page: Vec<(String, String)> = db.all(column.page(), (&after, PAGE)).await?;
        let Some((last, _)) = page.last() else { return Ok(resealed) };
        after.clone_from(last);
        // Opened and sealed before the transaction: nothing waits for it.
        let changes = page
            .into_iter()
            .filter(|(_, old)| !sealing.sealed_with_current(old))
            .map(|(row, old)| anew(db, sealing, column, row, old))
            .collect::<Result<Vec<_>, _>>()?;
        if !changes.is_empty() {
            resealed += replace(db, sealing, column, changes).await?;
        }
    }
}

struct Change {
    row: String,
    old: String,
    new: String,
}

fn anew(
    db: &Db,
    sealing: &SealingKeys,
    column: SealedColumn,
    row: String,
    old: String,
) -> Result<Change, KeysError> {
    let place = column.at(&row);
    let value = sealing
        .open(place, &old)
        .map_err(|source| KeysError::SealedValue { place: place.to_string(), source })?;
    let new = sealing.seal(db.ctx(), place, value.expose());
    Ok(Change { row, old, new })
}

async fn replace(
    db: &Db,
    sealing: &SealingKeys,
    column: SealedColumn,
    changes: Vec<Change>,
) -> Result<u64, KeysError> {
    let mut tx = db.write(Origin::system()).await?;
    let outcome = replace_each(&mut tx, column, &changes).await;
    if let Ok(values @ 1..) = outcome {
        let body = ValuesResealed { table: column.table.into(), column: column.column.into(), values };
        tx.record(Fact::new(kernel::Subject::new("sealing_key", sealing.current()), &body));
    }
    Ok(tx.end(outcome).await?)
}

async fn replace_each(tx: &mut Tx, column: SealedColumn, changes: &[Change]) -> Result<u64, StoreError> {
    let mut replaced = 0;
    for change in changes {
        replaced += tx.run(column.replacement(), (&change.row, &change.old, &change.new)).await?;
    }
    Ok(replaced)
}

/// INVARIANT: only the `'static` names that [`SealedColumn::new`] was given become part of these texts.
impl SealedColumn {
    fn page(&self) -> Sql {
        let Self { table, column, key, .. } = self;
        Sql::assembled(format!(
            "SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL AND {key} > $1 ORDER BY {key} LIMIT $2"
        ))
    }

    /// How many values begin so: `$1`, of `$2` characters.
    fn sealed_by(&self) -> Sql {
        let Self { table, column, .. } = self;
        Sql::assembled(format!(
            "SELECT COUNT(*) FROM {table} WHERE SUBSTR({column}, 1, CAST($2 AS INTEGER)) = $1"
        ))
    }

    /// The old text is the fence: no two sealed texts are alike.
    fn replacement(&self) -> Sql {
        let Self { table, column, key, .. } = self;
        let raise = if self.versioned { ", version = version + 1" } else { "" };
        Sql::assembled(format!("UPDATE {table} SET {column} = $3{raise} WHERE {key} = $1 AND {column} = $2"))
    }
}
