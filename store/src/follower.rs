//! Followers: readers of the journal in the order of `seq`, each behind a durable cursor.
//!
//! They need no delivery rows. A follower that acts and then advances may act twice after a crash, never
//! not at all; what it emits carries the fact's id.

use kernel::Timestamp;

use crate::{Db, Origin, Sql, StoreError, StoredFact, Tx, sql};

/// Where a follower stands that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Whose cursor it is.
    pub name: String,
    /// As [`cursor`] says.
    pub seq: i64,
    /// Since when it has not moved, or when it was first waited for, if that was later.
    pub moved_at: Timestamp,
}

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

/// Where each of these stands, in this order. They are those whom somebody waits for: should one that is not among them
/// be waited for again, that begins anew.
pub async fn waited_for(db: &Db, names: &[String]) -> Result<Vec<Standing>, StoreError> {
    let now = db.ctx().now();
    let known = sql!("SELECT name, seq, moved_at FROM follower WHERE moved_at IS NOT NULL");
    let known: Vec<Standing> = db.all(known, ()).await?;
    for other in known.iter().filter(|standing| !names.contains(&standing.name)) {
        let forgotten = sql!("UPDATE follower SET moved_at = NULL WHERE name = $1");
        db.change(Origin::system(), forgotten, (&other.name,), Vec::new()).await?;
    }
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        // What a clock that was ahead has noted is no time to wait from.
        let known = known.iter().find(|standing| standing.name == *name && standing.moved_at <= now);
        all.push(match known {
            Some(standing) => standing.clone(),
            None => begin_to_wait(db, name, now).await?,
        });
    }
    Ok(all)
}

async fn begin_to_wait(db: &Db, name: &str, now: Timestamp) -> Result<Standing, StoreError> {
    let text = sql!(
        "INSERT INTO follower (name, seq, moved_at) VALUES ($1, 0, $2) ON CONFLICT (name) DO UPDATE \
         SET moved_at = excluded.moved_at"
    );
    db.change(Origin::system(), text, (name, now), Vec::new()).await?;
    Ok(Standing { name: name.to_owned(), seq: cursor(db, name).await?, moved_at: now })
}

/// Moves a follower's cursor from one place to a later one. `false` when somebody else has moved it.
pub async fn advance(db: &Db, name: &str, from: i64, to: i64) -> Result<bool, StoreError> {
    let values = (name, from, to, db.ctx().now());
    Ok(db.change(Origin::system(), moving(), values, Vec::new()).await? == 1)
}

/// The same as part of a transaction, to any place: for a mark that goes forth and back with the facts that say so.
pub async fn move_in(tx: &mut Tx, name: &str, from: i64, to: i64) -> Result<bool, StoreError> {
    let values = (name, from, to, tx.now());
    Ok(tx.run(moving(), values).await? == 1)
}

fn moving() -> Sql {
    sql!(
        "INSERT INTO follower (name, seq, moved_at) VALUES ($1, $3, $4) ON CONFLICT (name) DO UPDATE \
         SET seq = excluded.seq, moved_at = excluded.moved_at WHERE follower.seq = $2"
    )
}
