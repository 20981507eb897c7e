//! Sealing anew what older sealing keys sealed, so that their lines can leave the key file.

use store::{Db, Fact, Origin, Sql, StoreError, Tx};

use crate::{KeysError, SealedColumn, SealingKeys, ValuesResealed};

/// So many values in one transaction at most.
const PAGE: i64 = 100;

/// Seals every value of a column anew that the current key has not sealed; answers how many. Run it when all
/// nodes have loaded the new key file, and again until it answers 0: then the old key's line may go.
///
/// Safe beside writers: a value that changes meanwhile is left as it is. Interrupted, it may be run again.
pub async fn reseal(db: &Db, sealing: &SealingKeys, column: SealedColumn) -> Result<u64, KeysError> {
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

    /// The old text is the fence: no two sealed texts are alike.
    fn replacement(&self) -> Sql {
        let Self { table, column, key, .. } = self;
        let raise = if self.versioned { ", version = version + 1" } else { "" };
        Sql::assembled(format!("UPDATE {table} SET {column} = $3{raise} WHERE {key} = $1 AND {column} = $2"))
    }
}
