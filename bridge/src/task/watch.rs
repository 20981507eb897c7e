//! Opens, closes and opens again.
//!
//! Each look is bounded, however many revocations wait: it reads one page of them and changes so many tasks at most;
//! the next one goes on from there. Nothing it reads grows with the journal: revocations that wait, and tasks that are
//! open, are each found along an index that holds no others.
//!
//! On several nodes each looks for itself: of two that open the same task one finds it open.

use std::sync::{Mutex, PoisonError};

use kernel::Timestamp;
use kernel::id::TaskId;
use store::{Db, Origin, Sql, StoreError, Tx, sql};

use super::standing::{Doors, Standing};
use super::{Concern, OpenDoor, PATIENCE, SENSITIVE, named, propose};
use crate::alert::REVOCATION_PATIENCE;
use crate::connector::{Access, AccessPointAddress, Want};
use crate::exposure::at_worst;
use crate::facts::{TaskClosed, TaskOpened, TaskReopened};
use crate::placement::{PRESENT, json};

/// How many revocations are read in one look.
const PAGE: u32 = 500;
/// How many tasks are opened, closed, or opened again in one look: each.
const AT_ONCE: u32 = 100;

/// Revocations that wait, have no open task, and were tried in vain or have waited since before `$1`. In order behind
/// `($2, $3)`. The page is cut before anything is joined to it, so that no engine begins with every card.
pub(super) const WAITING: Sql = sql!(
    "WITH waiting AS (SELECT s.name AS door_system, s.connector, SUBSTR(d.subject, 12) AS credential_id, \
     d.created_at AS since FROM door_system s \
     JOIN delivery d ON d.sink = 'door:' || s.name AND d.priority = 1 AND d.due_at IS NOT NULL AND d.dead_at IS NULL \
     WHERE (d.created_at <= $1 OR (d.attempt > 0 AND d.last_error IS NOT NULL)) \
     AND (s.name, SUBSTR(d.subject, 12)) > ($2, $3) \
     AND NOT EXISTS (SELECT 1 FROM task t WHERE t.credential_id = SUBSTR(d.subject, 12) AND t.door_system = s.name \
     AND t.closed_at IS NULL) \
     ORDER BY s.name, SUBSTR(d.subject, 12) LIMIT $4) \
     SELECT w.door_system, w.connector, w.credential_id, c.user_id, u.user_name, c.format, c.facility, c.number, \
     c.state = 'active' AND u.active AS is_in_order, p.wanted, p.rights, p.points, \
     p.credential_version = c.version AS is_current, w.since \
     FROM waiting w JOIN credential c ON c.id = w.credential_id JOIN users u ON u.id = c.user_id \
     LEFT JOIN placement p ON p.door_system = w.door_system AND p.credential_id = w.credential_id \
     ORDER BY w.door_system, w.credential_id"
);

/// Open tasks of which no revocation waits any more, because it was proven. (One that waits for a door system which is
/// gone is forgotten; that one is not proven.)
pub(super) const PROVEN: Sql = sql!(
    "SELECT t.id, t.door_system, t.credential_id, t.user_id, t.doors, t.opened_at, p.wanted, p.rights FROM task t \
     LEFT JOIN placement p ON p.door_system = t.door_system AND p.credential_id = t.credential_id \
     LEFT JOIN delivery d ON d.sink = 'door:' || t.door_system AND d.subject = 'credential:' || t.credential_id \
     AND d.reconcile AND d.priority = 1 AND d.due_at IS NOT NULL AND d.dead_at IS NULL \
     WHERE t.closed_at IS NULL AND d.id IS NULL AND (p.ack IS NULL OR p.ack >= 2) \
     ORDER BY t.credential_id, t.door_system LIMIT $1"
);

/// Open tasks whose risk was accepted until before now (`$1`).
pub(super) const PASSED: Sql = sql!(
    "SELECT id, door_system, credential_id, user_id, accepted_by, accepted_until FROM task \
     WHERE closed_at IS NULL AND accepted_until <= $1 ORDER BY accepted_until LIMIT $2"
);

/// Door system and credential; empty at the beginning.
type Position = (String, String);

/// Looks after tasks: run [`Watch::look`] again and again.
pub struct Watch {
    db: Db,
    /// How far the revocations that wait were looked at.
    after: Mutex<Position>,
}

#[derive(sqlx::FromRow)]
struct Waiting {
    #[sqlx(flatten)]
    standing: Standing,
    since: Timestamp,
}

/// A revocation that somebody must see to.
struct Due {
    waiting: Waiting,
    doors: Vec<OpenDoor>,
}

#[derive(sqlx::FromRow)]
struct Proven {
    id: TaskId,
    #[sqlx(flatten)]
    concern: Concern,
    doors: String,
    opened_at: Timestamp,
    wanted: Option<String>,
    rights: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Passed {
    id: TaskId,
    #[sqlx(flatten)]
    concern: Concern,
    accepted_by: String,
    accepted_until: Timestamp,
}

impl Watch {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, after: Mutex::default() }
    }

    /// One look: closes what is proven, opens again what was accepted until now, and opens what must be seen to.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.close_proven().await?;
        self.reopen_passed().await?;
        self.open_due().await
    }

    async fn close_proven(&self) -> Result<(), StoreError> {
        let proven: Vec<Proven> = self.db.all(PROVEN, (AT_ONCE,)).await?;
        if proven.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        let closed = close(&mut tx, &proven).await;
        let count = tx.end(closed).await?;
        if count > 0 {
            tracing::info!(count, "tasks closed");
        }
        Ok(())
    }

    async fn reopen_passed(&self) -> Result<(), StoreError> {
        let passed: Vec<Passed> = self.db.all(PASSED, (self.db.ctx().now(), AT_ONCE)).await?;
        if passed.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        let reopened = reopen(&mut tx, &passed).await;
        let count = tx.end(reopened).await?;
        if count > 0 {
            tracing::error!(
                count,
                "tasks are open again: their risk was accepted until now; see: cardea task list"
            );
        }
        Ok(())
    }

    async fn open_due(&self) -> Result<(), StoreError> {
        let now = self.db.ctx().now();
        let mut page = self.page(self.after(), now).await?;
        if page.is_empty() && self.after() != Position::default() {
            // Behind the last one: from the beginning.
            page = self.page(Position::default(), now).await?;
        }
        let (due, after) = self.judge(page, now).await?;
        if !due.is_empty() {
            let mut tx = self.db.write(Origin::system()).await?;
            let opened = open(&mut tx, &due).await;
            let count = tx.end(opened).await?;
            if count > 0 {
                tracing::error!(count, "tasks opened: cards open what they must not; see: cardea task list");
            }
        }
        *self.after.lock().unwrap_or_else(PoisonError::into_inner) = after;
        Ok(())
    }

    fn after(&self) -> Position {
        self.after.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn page(&self, after: Position, now: Timestamp) -> Result<Vec<Waiting>, StoreError> {
        let (door_system, credential) = after;
        self.db.all(WAITING, (now.minus(REVOCATION_PATIENCE), door_system, credential, PAGE)).await
    }

    /// What of a page must be seen to, and how far it was looked at.
    async fn judge(&self, page: Vec<Waiting>, now: Timestamp) -> Result<(Vec<Due>, Position), StoreError> {
        let mut after = Position::default();
        let mut due = Vec::new();
        if page.is_empty() {
            return Ok((due, after));
        }
        let doors = Doors::read(&self.db).await?;
        for waiting in page {
            if due.len() == AT_ONCE as usize {
                break;
            }
            let standing = &waiting.standing;
            after = (standing.door_system.clone(), standing.credential_id.to_string());
            // Without the directory first: most that wait need nothing yet.
            if standing.is_noted() && is_due(&standing.opens(&doors), waiting.since, now) {
                let doors = standing.still_opens(&self.db, &doors).await?;
                if is_due(&doors, waiting.since, now) {
                    due.push(Due { waiting, doors });
                }
            }
        }
        Ok((due, after))
    }
}

/// Whether somebody must see to what was tried in vain since then.
fn is_due(doors: &[OpenDoor], since: Timestamp, now: Timestamp) -> bool {
    let is_sensitive = |door: &OpenDoor| door.protection_class >= Some(SENSITIVE);
    !doors.is_empty() && (since <= now.minus(PATIENCE) || doors.iter().any(is_sensitive))
}

/// Opens each unless it is open. Answers how many are new.
async fn open(tx: &mut Tx, due: &[Due]) -> Result<usize, StoreError> {
    let mut count = 0;
    for Due { waiting, doors } in due {
        let standing = &waiting.standing;
        let id = TaskId::new(tx.ctx());
        let points: Vec<&str> = doors.iter().map(|door| door.access_point.as_str()).collect();
        let opened = tx
            .run(
                sql!(
                    "INSERT INTO task (id, door_system, credential_id, user_id, doors, since, opened_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
                ),
                (
                    id,
                    &standing.door_system,
                    standing.credential_id,
                    standing.user_id,
                    json(&points),
                    waiting.since,
                    tx.now(),
                ),
            )
            .await?;
        if opened == 1 {
            tx.record(standing.concern().fact(id, &standing.opened(waiting.since, doors)));
            count += 1;
        }
    }
    Ok(count)
}

async fn close(tx: &mut Tx, proven: &[Proven]) -> Result<usize, StoreError> {
    let mut count = 0;
    for task in proven {
        let text = sql!("UPDATE task SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL");
        if tx.run(text, (task.id, tx.now())).await? == 1 {
            let Concern { door_system, credential_id, user_id } = task.concern.clone();
            let body = TaskClosed {
                credential: credential_id,
                user: user_id,
                door_system,
                by: task.by().into(),
                opened_at: task.opened_at,
            };
            tx.record(task.concern.fact(task.id, &body));
            count += 1;
        }
    }
    Ok(count)
}

async fn reopen(tx: &mut Tx, passed: &[Passed]) -> Result<usize, StoreError> {
    let mut count = 0;
    for task in passed {
        // Only what was accepted until then: somebody may have accepted it for longer meanwhile.
        let text = sql!(
            "UPDATE task SET accepted_by = NULL, accepted_because = NULL, accepted_at = NULL, accepted_until = NULL \
             WHERE id = $1 AND closed_at IS NULL AND accepted_until = $2"
        );
        if tx.run(text, (task.id, task.accepted_until)).await? == 1 {
            let Concern { door_system, credential_id, user_id } = task.concern.clone();
            let body = TaskReopened {
                credential: credential_id,
                user: user_id,
                door_system,
                who: task.accepted_by.clone(),
                until: task.accepted_until,
            };
            tx.record(task.concern.fact(task.id, &body));
            count += 1;
        }
    }
    Ok(count)
}

impl Standing {
    fn concern(&self) -> Concern {
        Concern {
            door_system: self.door_system.clone(),
            credential_id: self.credential_id,
            user_id: self.user_id,
        }
    }

    fn opened(&self, since: Timestamp, doors: &[OpenDoor]) -> TaskOpened {
        let descriptor = self.descriptor();
        let decides = descriptor.as_ref().map(|descriptor| descriptor.revocation);
        let proposed = propose(&self.door_system, decides, doors);
        TaskOpened {
            credential: self.credential_id,
            user: self.user_id,
            door_system: self.door_system.clone(),
            card: self.card(),
            doors: doors.to_vec(),
            since,
            until: at_worst(descriptor.as_ref()),
            proposed: proposed.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Proven {
    /// Why nothing is left to do.
    fn by(&self) -> &'static str {
        let rights = self.rights.as_deref().map(serde_json::from_str::<Want>).and_then(Result::ok);
        let opens_again = |point: String| match &rights {
            Some(Want::Present(rights)) => {
                rights.access.get(&AccessPointAddress(point)) == Some(&Access::Always)
            }
            _ => false,
        };
        let is_wanted = self.wanted.as_deref() == Some(PRESENT);
        match is_wanted && named(&self.doors).into_iter().all(opens_again) {
            true => "wanted-again",
            false => "proven",
        }
    }
}
