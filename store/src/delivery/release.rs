//! Claims of processes that died are given back at once, not only when their leases run out.
//!
//! What it is not: a fence. Who is taken for dead and lives finishes a claim that does not count any more, and the
//! row is looked at once more.

use crate::{Db, Origin, Sql, StoreError, Tx, sql};

/// From this attempt on a row waits for its lease: what kills whoever delivers it must not do so without a pause.
const RELEASED_ATTEMPTS: i64 = 4;

/// Makes due what processes that are gone have claimed. On PostgreSQL each living one holds its advisory lock; on
/// SQLite whoever asks is the only one (see [`Db::serve`]).
pub(crate) async fn release_dead(db: &Db) -> Result<(), StoreError> {
    let text = sql!(
        "SELECT DISTINCT claimed_by FROM delivery WHERE claimed_by IS NOT NULL AND claimed_by <> $1 \
         ORDER BY claimed_by"
    );
    let holders: Vec<(i64,)> = db.all(text, (db.own_number(),)).await?;
    for (holder,) in holders {
        if db.is_postgres() && !is_gone(db, holder).await? {
            continue;
        }
        let mut tx = db.write(Origin::system()).await?;
        let released = release(&mut tx, holder).await;
        tx.end(released).await?;
    }
    Ok(())
}

async fn release(tx: &mut Tx, holder: i64) -> Result<(), StoreError> {
    if tx.is_postgres() && !is_still_gone(tx, holder).await? {
        return Ok(());
    }
    let released: Vec<(String,)> = tx
        .all(
            sql!(
                "UPDATE delivery SET due_at = $2, claim = claim + 1, claimed_by = NULL WHERE claimed_by = $1 \
                 AND due_at > $2 AND dead_at IS NULL AND attempt < $3 RETURNING sink"
            ),
            (holder, tx.now(), RELEASED_ATTEMPTS),
        )
        .await?;
    if !released.is_empty() {
        tracing::info!(deliveries = released.len(), "what a process that died had claimed is due again");
    }
    released.iter().for_each(|(sink,)| tx.wake(sink));
    Ok(())
}

/// Outside any transaction: nearly always it is a neighbour that lives.
async fn is_gone(db: &Db, holder: i64) -> Result<bool, StoreError> {
    let (gone,) = db.one(TAKE, (holder,)).await?;
    Ok(gone)
}

/// Held until the commit: nobody else releases the same meanwhile.
async fn is_still_gone(tx: &mut Tx, holder: i64) -> Result<bool, StoreError> {
    let (gone,) = tx.one(TAKE, (holder,)).await?;
    Ok(gone)
}

/// Let go by itself at the end of the transaction.
const TAKE: Sql = sql!("SELECT pg_try_advisory_xact_lock($1)");
