//! Followers: readers of the journal in the order of `seq`, each behind a durable cursor.
//!
//! They need no delivery rows. A follower that acts and then advances may act twice after a crash, never
//! not at all; what it emits carries the fact's id.

use crate::{Db, Origin, Sql, StoreError, StoredFact, Tx, sql};

/// How far a follower has come: the last `seq` it has dealt with, 0 at first.
pub async fn cursor(db: &Db, name: &str) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = db.opt(sql!("SELECT seq FROM follower WHERE name = $1"), (name,)).await?;
    Ok(row.map_or(0, |(seq,)| seq))
}

/// The next facts after a place in the order, `limit` at most.
pub async fn read(db: &Db, after: i64, limit: i64) -> Result<Vec<StoredFact>, StoreError> {
    db.all(
        sql!(
            "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
             WHERE seq > $1 ORDER BY seq LIMIT $2"
        ),
        (after, limit),
    )
    .await
}

/// Moves a follower's cursor from one place to a later one. `false` when somebody else has moved it.
pub async fn advance(db: &Db, name: &str, from: i64, to: i64) -> Result<bool, StoreError> {
    Ok(db.change(Origin::system(), moving(), (name, from, to), Vec::new()).await? == 1)
}

/// The same as part of a transaction, to any place: for a mark that goes forth and back with the facts that say so.
pub async fn move_in(tx: &mut Tx, name: &str, from: i64, to: i64) -> Result<bool, StoreError> {
    Ok(tx.run(moving(), (name, from, to)).await? == 1)
}

fn moving() -> Sql {
    sql!(
        "INSERT INTO follower (name, seq) VALUES ($1, $3) ON CONFLICT (name) DO UPDATE SET seq = $3 \
         WHERE follower.seq = $2"
    )
}
