//! Claiming: which rows are due, and leasing them.
//!
//! What a claim costs must not grow with the rows that wait for later, are done or are worked on: both texts
//! ask for one priority at a time, so that the index `delivery_due` gives the rows in the wanted order and
//! the first is enough.

use std::time::Duration;

use kernel::Timestamp;

use super::{Delivery, Priority};
use crate::sql::placeholders;
use crate::{Db, Sql, StoreError, Value};

/// A reconciler's row is free by itself, a message only when none before it waits for the same sink and subject.
const FREE: &str = "dead_at IS NULL AND (reconcile OR NOT EXISTS (SELECT 1 FROM delivery e WHERE e.sink = d.sink \
                    AND e.subject = d.subject AND NOT e.reconcile AND e.dead_at IS NULL AND e.position < d.position))";

/// Claims up to `limit` due rows of a sink for `lease`, revocations first. With `revocations_only` nothing
/// else is claimed.
pub async fn claim(
    db: &Db,
    sink: &str,
    lease: Duration,
    limit: i64,
    revocations_only: bool,
) -> Result<Vec<Delivery>, StoreError> {
    let mut claimed = claim_free(db, sink, lease, limit, Priority::Revocation, &[]).await?;
    let left = limit - i64::try_from(claimed.len()).unwrap_or(limit);
    if left > 0 && !revocations_only {
        claimed.extend(claim_free(db, sink, lease, left, Priority::Normal, &[]).await?);
    }
    Ok(claimed)
}

/// Claims due rows of one priority, none of them about a subject that the caller is busy with.
pub(crate) async fn claim_free(
    db: &Db,
    sink: &str,
    lease: Duration,
    limit: i64,
    priority: Priority,
    busy: &[&str],
) -> Result<Vec<Delivery>, StoreError> {
    let now = db.ctx().now();
    let (until, holder) = (now.plus(lease), db.holder());
    let mut values: Vec<Value> =
        vec![sink.into(), (priority as i64).into(), now.into(), until.into(), limit.into(), holder.into()];
    values.extend(busy.iter().map(Value::from));
    let mut claimed: Vec<Delivery> =
        db.change_returning(claim_text(db.is_postgres(), busy.len()), values).await?;
    claimed.sort_by_key(|delivery| delivery.created_at);
    Ok(claimed)
}

fn claim_text(locking: bool, busy: usize) -> Sql {
    let (others, lock) = (not_busy(7, busy), if locking { " FOR UPDATE SKIP LOCKED" } else { "" });
    Sql::assembled(format!(
        "WITH picked AS (SELECT id FROM delivery d WHERE sink = $1 AND priority = $2 AND due_at <= $3 AND {FREE}{others} \
         ORDER BY due_at, position LIMIT $5{lock}) \
         UPDATE delivery SET due_at = $4, attempt = attempt + 1, claim = claim + 1, claimed_by = $6 \
         WHERE id IN (SELECT id FROM picked) \
         RETURNING id, sink, subject, fact, reconcile, version, priority, attempt, claim, created_at, last_error"
    ))
}

/// Due revocations of reconcilers, not claimed: each as the attempt that it would be. For whoever is the only one
/// to take them. Nothing is written, so that whoever dies leaves the row due as it was.
pub(crate) async fn due_revocations(
    db: &Db,
    sink: &str,
    limit: i64,
    busy: &[&str],
) -> Result<Vec<Delivery>, StoreError> {
    let mut values: Vec<Value> = vec![sink.into(), db.ctx().now().into(), limit.into()];
    values.extend(busy.iter().map(Value::from));
    db.all(due_text(busy.len()), values).await
}

fn due_text(busy: usize) -> Sql {
    let (others, revocation) = (not_busy(4, busy), Priority::Revocation as i64);
    Sql::assembled(format!(
        "SELECT id, sink, subject, fact, reconcile, version, priority, attempt + 1 AS attempt, claim, created_at, \
         last_error FROM delivery d WHERE sink = $1 AND priority = {revocation} AND due_at <= $2 \
         AND dead_at IS NULL AND reconcile{others} ORDER BY due_at, position LIMIT $3"
    ))
}

fn not_busy(first: usize, count: usize) -> String {
    if count == 0 { String::new() } else { format!(" AND subject NOT IN ({})", placeholders(first, count)) }
}

/// When the next free row of each priority becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Outlook {
    pub(crate) revocation: Option<Timestamp>,
    pub(crate) normal: Option<Timestamp>,
}

/// Looks without claiming, and without the writer: cheap enough to do at every wake-up.
pub(crate) async fn outlook(db: &Db, sink: &str, busy: &[&str]) -> Result<Outlook, StoreError> {
    let mut values: Vec<Value> = vec![sink.into()];
    values.extend(busy.iter().map(Value::from));
    db.one(outlook_text(busy.len()), values).await
}

fn outlook_text(busy: usize) -> Sql {
    let others = not_busy(2, busy);
    let next = |priority: Priority| {
        format!(
            "(SELECT due_at FROM delivery d WHERE sink = $1 AND priority = {} AND due_at IS NOT NULL AND {FREE}{others} \
             ORDER BY due_at, position LIMIT 1)",
            priority as i64
        )
    };
    let (revocation, normal) = (next(Priority::Revocation), next(Priority::Normal));
    Sql::assembled(format!("SELECT {revocation} AS revocation, {normal} AS normal"))
}

/// When the next row of a sink that nothing stands before becomes due, if any waits.
pub async fn next_due(db: &Db, sink: &str) -> Result<Option<Timestamp>, StoreError> {
    let Outlook { revocation, normal } = outlook(db, sink, &[]).await?;
    Ok(revocation.into_iter().chain(normal).min())
}

#[cfg(test)]
mod tests {
    use kernel::Ctx;

    use super::*;
    use crate::{DbConfig, Sinks};

    async fn plan(db: &Db, text: &Sql) -> Vec<String> {
        let explain = Sql::assembled(format!("EXPLAIN QUERY PLAN {}", text.text()));
        let steps: Vec<(i64, i64, i64, String)> = db.all(explain, ()).await.unwrap();
        steps.into_iter().map(|(.., step)| step).collect()
    }

    async fn open(folder: &tempfile::TempDir) -> Db {
        let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
        Db::open(&config, Ctx::for_tests(1), Sinks::default()).await.unwrap()
    }

    /// SQLite's plans; PostgreSQL's depend on its statistics.
    #[tokio::test]
    async fn claims_and_looks_take_their_rows_in_order_from_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder).await;
        let texts = [claim_text(false, 0), claim_text(false, 3), outlook_text(0), outlook_text(3)];
        for text in texts.into_iter().chain([due_text(0), due_text(3)]) {
            let steps = plan(&db, &text).await;
            let by_index =
                |step: &String| step.contains("USING INDEX delivery_due (sink=? AND priority=? AND due_at");
            assert!(steps.iter().any(by_index), "{steps:#?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "sorted: {steps:#?}");
            assert!(!steps.iter().any(|step| step.starts_with("SCAN d")), "all rows: {steps:#?}");
        }
    }

    /// The index of order leaves dead letters out, so a crowd of them costs a look nothing.
    #[tokio::test]
    async fn whether_a_message_is_first_is_one_probe_that_meets_no_dead_letter() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder).await;
        for text in [claim_text(false, 0), outlook_text(0)] {
            let steps = plan(&db, &text).await;
            let probe = "SEARCH e USING INDEX delivery_order (sink=? AND subject=? AND position<?)";
            assert!(steps.iter().any(|step| step.contains(probe)), "{steps:#?}");
        }
        let index = Sql::assembled("SELECT sql FROM sqlite_master WHERE name = 'delivery_order'".into());
        let (sql,): (String,) = db.one(index, ()).await.unwrap();
        assert!(sql.ends_with("WHERE NOT reconcile AND dead_at IS NULL"), "{sql}");
    }

    #[tokio::test]
    async fn the_depth_is_counted_along_indexes_that_leave_out_what_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let steps = plan(&open(&folder).await, &crate::delivery::DEPTH).await;
        for index in ["delivery_due", "delivery_held_back", "delivery_dead"] {
            assert!(steps.iter().any(|step| step.contains(&format!("INDEX {index}"))), "{index}: {steps:#?}");
        }
    }
}
