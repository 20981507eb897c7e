//! Giving facts their place.
//!
//! Facts that have none are found by exactly that (`seq IS NULL`, through a partial index), never by a
//! cursor: on PostgreSQL a fact with an older id may commit later, and a cursor would skip it for ever.
//! Within a batch the order is that of recording (`at`, `id`). All of a batch (the links, and the head that
//! moves from what it was) is one transaction: a crash leaves nothing half-done, and of two who try at once
//! the second finds the head moved and begins again.

use store::{Db, Origin, Sql, StoreError, Tx, Value, sql};

use crate::AuditError;
use crate::chain::{Envelope, Link};

/// So many facts in one transaction at most.
const BATCH: usize = 500;
/// So often in a row somebody else may be faster.
const TRIES: u32 = 100;

/// Where the chain ends, as the database says.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Head {
    pub(crate) seq: i64,
    chain: String,
    pub(crate) checkpoint_seq: i64,
    pub(crate) checkpoint_at: kernel::Timestamp,
}

impl Head {
    pub(crate) async fn read(db: &Db) -> Result<Self, StoreError> {
        db.one(sql!("SELECT seq, chain, checkpoint_seq, checkpoint_at FROM chain_head"), ()).await
    }

    /// `None` when the text in the database is no link.
    pub(crate) fn link(&self) -> Option<Link> {
        Link::parse(&self.chain)
    }
}

/// Gives every fact that waits its place in the chain; answers how many this call has placed. Safe at any
/// number of callers at once.
///
/// # Errors
/// [`AuditError::Head`] when the head was tampered with: the journal grows on, unsequenced.
pub async fn sequence(db: &Db) -> Result<u64, AuditError> {
    let mut placed = 0;
    let mut tries = 0;
    loop {
        match place_batch(db).await {
            Ok(0) => return Ok(placed),
            Ok(batch) => {
                placed += batch as u64;
                tries = 0;
            }
            Err(AuditError::Store(StoreError::Conflict)) if tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Waiting {
    id: String,
    at: i64,
    kind: String,
    subject: String,
    actor: String,
    request_id: Option<String>,
    digest: String,
}

impl Waiting {
    fn envelope(&self, seq: i64) -> Envelope<'_> {
        Envelope {
            seq,
            id: &self.id,
            at: self.at,
            kind: &self.kind,
            subject: &self.subject,
            actor: &self.actor,
            request_id: self.request_id.as_deref(),
            digest: &self.digest,
        }
    }
}

/// A fact and the place it is given.
struct Placed {
    id: String,
    seq: i64,
    link: Link,
}

async fn place_batch(db: &Db) -> Result<usize, AuditError> {
    let waiting: Vec<Waiting> = db
        .all(
            sql!(
                "SELECT id, at, kind, subject, actor, request_id, digest FROM fact WHERE seq IS NULL \
                 ORDER BY at, id LIMIT $1"
            ),
            (BATCH as i64,),
        )
        .await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    // Read after the facts: what was placed meanwhile has moved it, and then the writing below refuses.
    let head = Head::read(db).await?;
    let placed = link(&head, waiting)?;
    let count = placed.len();
    let mut tx = db.write(Origin::system()).await?;
    let written = write(&mut tx, &head, placed).await;
    tx.end(written).await.map_err(|error| match error {
        // A place that the head says is free is taken.
        StoreError::Taken { .. } => AuditError::Head,
        error => error.into(),
    })?;
    Ok(count)
}

fn link(head: &Head, waiting: Vec<Waiting>) -> Result<Vec<Placed>, AuditError> {
    let mut link = head.link().ok_or(AuditError::Head)?;
    // A head at the end of numbers was never given by us.
    let end = head.seq.checked_add(BATCH as i64).ok_or(AuditError::Head)?;
    let places = head.seq + 1..=end;
    let placed = waiting.into_iter().zip(places).map(|(fact, seq)| {
        link = link.next(&fact.envelope(seq));
        Placed { id: fact.id, seq, link }
    });
    Ok(placed.collect())
}

async fn write(tx: &mut Tx, head: &Head, placed: Vec<Placed>) -> Result<(), StoreError> {
    let Some(last) = placed.last() else { return Ok(()) };
    let moved = tx
        .run(
            sql!("UPDATE chain_head SET seq = $1, chain = $2 WHERE seq = $3 AND chain = $4"),
            (last.seq, last.link.to_string(), head.seq, &head.chain),
        )
        .await?;
    let count = placed.len() as u64;
    let (sql, values) = placing(placed);
    if moved == 1 && tx.run(sql, values).await? == count { Ok(()) } else { Err(StoreError::Conflict) }
}

/// One statement for the batch. It has a power of two of rows, so that there are ten texts to prepare and not
/// five hundred; the rows added name no fact.
fn placing(placed: Vec<Placed>) -> (Sql, Vec<Value>) {
    let rows = placed.len().next_power_of_two();
    let tuples: Vec<String> =
        (0..rows).map(|row| format!("(${}, ${}, ${})", 3 * row + 1, 3 * row + 2, 3 * row + 3)).collect();
    let text = format!(
        "WITH v (id, seq, chain) AS (VALUES {}) UPDATE fact SET seq = v.seq, chain = v.chain FROM v \
         WHERE fact.id = v.id AND fact.seq IS NULL",
        tuples.join(", ")
    );
    let mut values: Vec<Value> = Vec::with_capacity(3 * rows);
    for fact in placed {
        values.extend([fact.id.into(), fact.seq.into(), fact.link.to_string().into()]);
    }
    while values.len() < 3 * rows {
        values.extend(["".into(), 0i64.into(), "".into()]);
    }
    (Sql::assembled(text), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_one_of_ten_statements() {
        let statement = |count: usize| {
            let placed =
                (1..=count).map(|seq| Placed { id: seq.to_string(), seq: seq as i64, link: Link::BEGINNING });
            let (sql, values) = placing(placed.collect());
            assert!(values.len() <= 3 * 512, "SQLite takes 32,766 parameters at most");
            assert!(sql.text().contains(&format!("${}", values.len())));
            assert!(!sql.text().contains(&format!("${}", values.len() + 1)));
            sql.text().to_owned()
        };
        let mut texts: Vec<String> = (1..=BATCH).map(statement).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 10);
    }
}
