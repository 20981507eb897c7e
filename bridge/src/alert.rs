//! What somebody must look at: opened once, closed when it is right again, each with a fact and a log line.

use std::time::Duration;

use kernel::{Subject, Timestamp};
use store::{Db, Fact, Origin, StoreError, Tx, sql};

use crate::facts::{AlertClosed, AlertOpened};

/// A revocation waits for a door system longer than [`REVOCATION_PATIENCE`].
pub const REVOCATION_WAITS: &str = "revocation-waits";
/// A user is entitled, but there is no card to hand out.
pub const NO_CARD: &str = "no-card";
/// A door system cannot hold what is wanted.
pub const CANNOT_HOLD: &str = "cannot-hold";
/// A card on a door system belongs to nobody.
pub const ORPHAN: &str = "orphan-card";
/// A card that belongs to nobody was taken off a door system's list.
pub const QUARANTINED: &str = "card-quarantined";
/// So many cards on a door system belong to nobody that none is taken off.
pub const TOO_MANY_UNKNOWN: &str = "too-many-unknown";
/// Somebody's access ended, and no receipt can be signed for it.
pub const NO_RECEIPT: &str = "no-receipt";
/// What happens at an access point has not been read for longer than [`EVENTS_PATIENCE`].
pub const EVENTS_UNREAD: &str = "events-unread";

/// How long a revocation may wait before somebody is told.
pub const REVOCATION_PATIENCE: Duration = Duration::from_secs(30);
/// How long events may stay unread before somebody is told.
pub const EVENTS_PATIENCE: Duration = Duration::from_secs(300);

/// An alert that is open.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Alert {
    /// What is wrong.
    pub kind: String,
    /// With what: `kind:id`.
    pub subject: String,
    /// Since when.
    pub opened_at: Timestamp,
}

/// All that are open, oldest first.
pub async fn open_alerts(db: &Db) -> Result<Vec<Alert>, StoreError> {
    db.all(sql!("SELECT kind, subject, opened_at FROM alert WHERE closed_at IS NULL ORDER BY opened_at, kind, subject"), ())
        .await
}

/// Those of one kind that are open, by subject.
pub async fn open_of_kind(db: &Db, kind: &str) -> Result<Vec<Alert>, StoreError> {
    db.all(
        sql!(
            "SELECT kind, subject, opened_at FROM alert WHERE closed_at IS NULL AND kind = $1 ORDER BY subject"
        ),
        (kind,),
    )
    .await
}

/// How many are open.
pub async fn open_count(db: &Db) -> Result<i64, StoreError> {
    let (count,) = db.one(sql!("SELECT COUNT(*) FROM alert WHERE closed_at IS NULL"), ()).await?;
    Ok(count)
}

/// Opens one unless it is open. `true` when it is new.
pub async fn open(db: &Db, kind: &'static str, subject: &Subject, detail: &str) -> Result<bool, StoreError> {
    let body = AlertOpened { alert: kind.into(), detail: detail.into() };
    let now = db.ctx().now();
    let opened = db
        .change(
            Origin::system(),
            sql!(
                "INSERT INTO alert (kind, subject, opened_at) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING"
            ),
            (kind, subject, now),
            vec![Fact::new(subject.clone(), &body)],
        )
        .await?
        == 1;
    if opened {
        tracing::error!(alert = kind, subject = %subject, detail, "alert opened");
    }
    Ok(opened)
}

/// The same inside a transaction.
pub(crate) async fn open_in(
    tx: &mut Tx,
    kind: &'static str,
    subject: &Subject,
    detail: &str,
) -> Result<bool, StoreError> {
    let text =
        sql!("INSERT INTO alert (kind, subject, opened_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
    let opened = tx.run(text, (kind, subject, tx.now())).await? == 1;
    if opened {
        let body = AlertOpened { alert: kind.into(), detail: detail.into() };
        tx.record(Fact::new(subject.clone(), &body));
        tracing::error!(alert = kind, subject = %subject, detail, "alert opened");
    }
    Ok(opened)
}

/// Closes one if it is open. `true` when it was.
pub async fn close(db: &Db, kind: &'static str, subject: &Subject) -> Result<bool, StoreError> {
    let open: Option<(Timestamp,)> = db
        .opt(
            sql!("SELECT opened_at FROM alert WHERE kind = $1 AND subject = $2 AND closed_at IS NULL"),
            (kind, subject),
        )
        .await?;
    if open.is_none() {
        return Ok(false);
    }
    let mut tx = db.write(Origin::system()).await?;
    let closed = close_in(&mut tx, kind, subject).await;
    let closed = tx.end(closed).await?;
    if closed {
        tracing::info!(alert = kind, subject = %subject, "alert closed");
    }
    Ok(closed)
}

/// The same inside a transaction.
pub(crate) async fn close_in(tx: &mut Tx, kind: &'static str, subject: &Subject) -> Result<bool, StoreError> {
    let closed: Option<(Timestamp,)> = tx
        .opt(
            sql!(
                "UPDATE alert SET closed_at = $3 WHERE kind = $1 AND subject = $2 AND closed_at IS NULL \
                 RETURNING opened_at"
            ),
            (kind, subject, tx.now()),
        )
        .await?;
    let Some((opened_at,)) = closed else { return Ok(false) };
    tx.record(Fact::new(subject.clone(), &AlertClosed { alert: kind.into(), opened_at }));
    Ok(true)
}

/// One look at the lanes of door systems: a revocation that waits too long opens an alert for its system,
/// and the alert closes when none waits any more.
pub async fn watch_revocations(db: &Db) -> Result<(), StoreError> {
    let late = db.ctx().now().minus(REVOCATION_PATIENCE);
    let waiting: Vec<(String, i64, Timestamp)> = db
        .all(
            sql!(
                "SELECT s.name, COUNT(*), MIN(d.created_at) FROM door_system s JOIN delivery d \
                 ON d.sink = 'door:' || s.name AND d.priority = 1 AND d.due_at IS NOT NULL AND d.dead_at IS NULL \
                 AND d.created_at <= $1 GROUP BY s.name ORDER BY s.name"
            ),
            (late,),
        )
        .await?;
    let mut unwell = Vec::new();
    for (system, count, since) in waiting {
        let subject = Subject::new("door_system", system);
        let detail = format!(
            "{count} revocation(s) wait for this door system since {since}: until it is reached, these cards open \
             what they opened before. Reach it, or guard its doors."
        );
        open(db, REVOCATION_WAITS, &subject, &detail).await?;
        unwell.push(subject.to_string());
    }
    for alert in open_of_kind(db, REVOCATION_WAITS).await? {
        if let (false, Ok(subject)) = (unwell.contains(&alert.subject), alert.subject.parse()) {
            close(db, REVOCATION_WAITS, &subject).await?;
        }
    }
    Ok(())
}
