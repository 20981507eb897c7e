//! Opens, closes, widens and opens again.
//!
//! Each look is bounded, however many revocations wait: it reads one page of them and one of open tasks, and changes so
//! many tasks at most; the next one goes on from there. Nothing it reads grows with the journal: revocations that wait,
//! and tasks that are open, are each found along an index that holds no others.
//!
//! On several nodes each looks for itself: of two that open the same task one finds it open.

use std::sync::{Mutex, PoisonError};

use kernel::Timestamp;
use kernel::id::TaskId;
use store::{Db, Origin, Sql, StoreError, Tx, sql};

use super::standing::{Doors, Standing};
use super::{Concern, OpenDoor, PATIENCE, SENSITIVE, named, propose};
use crate::alert::REVOCATION_PATIENCE;
use crate::connector::AckLevel;
use crate::exposure::at_worst;
use crate::facts::{TaskClosed, TaskOpened, TaskReopened, TaskWidened};
use crate::placement::json;

/// How many revocations, and how many open tasks, are read in one look.
const PAGE: u32 = 500;
/// How many tasks are opened in one look, how many are closed or widened, and how many are opened again.
const AT_ONCE: u32 = 100;

/// Why a task is closed: what must not open was read not to.
const PROVEN: &str = "proven";
/// Why a task is closed: all that may be opened is wanted.
const WANTED_AGAIN: &str = "wanted-again";
/// Why a task is closed: nobody speaks any more to what the card may open.
const ABANDONED: &str = "abandoned";

/// Revocations that wait, have no open task, and were tried in vain or have waited since before `$1`. In order behind
/// `($2, $3)`. The page is cut before anything is joined to it, so that no engine begins with every card.
pub(super) const WAITING: Sql = sql!(
    "WITH waiting AS (SELECT s.name AS door_system, SUBSTR(d.subject, 12) AS credential_id, \
     d.created_at AS since FROM door_system s \
     JOIN delivery d ON d.sink = 'door:' || s.name AND d.priority = 1 AND d.due_at IS NOT NULL AND d.dead_at IS NULL \
     WHERE (d.created_at <= $1 OR (d.attempt > 0 AND d.last_error IS NOT NULL)) \
     AND (s.name, SUBSTR(d.subject, 12)) > ($2, $3) \
     AND NOT EXISTS (SELECT 1 FROM task t WHERE t.credential_id = SUBSTR(d.subject, 12) AND t.door_system = s.name \
     AND t.closed_at IS NULL) \
     ORDER BY s.name, SUBSTR(d.subject, 12) LIMIT $4) \
     SELECT w.door_system, w.credential_id, c.user_id, u.user_name, c.format, c.facility, c.number, \
     c.version AS credential_version, c.state = 'active' AND u.active AS is_in_order, p.wanted, p.rights, p.points, \
     p.credential_version = c.version AS is_current, w.since \
     FROM waiting w JOIN credential c ON c.id = w.credential_id JOIN users u ON u.id = c.user_id \
     LEFT JOIN placement p ON p.door_system = w.door_system AND p.credential_id = w.credential_id \
     ORDER BY w.door_system, w.credential_id"
);

/// Open tasks behind `($1, $2)`, each with its card as it stands, and the revocation that waits, if one does. The page
/// is cut before anything is joined to it.
pub(super) const OPEN: Sql = sql!(
    "WITH page AS (SELECT id, door_system, credential_id, user_id, doors, opened_at, accepted_by, accepted_at, \
     accepted_doors, accepted_version FROM task \
     WHERE closed_at IS NULL AND (credential_id, door_system) > ($1, $2) \
     ORDER BY credential_id, door_system LIMIT $3) \
     SELECT o.id, o.door_system, o.credential_id, o.user_id, u.user_name, c.format, c.facility, c.number, \
     c.version AS credential_version, c.state = 'active' AND u.active AS is_in_order, p.wanted, p.rights, p.points, \
     p.credential_version = c.version AS is_current, p.ack, o.doors, o.opened_at, o.accepted_by, o.accepted_at, \
     o.accepted_doors, o.accepted_version, d.created_at AS waits_since, d.due_at, \
     d.attempt > 0 AND d.last_error IS NOT NULL AND d.claimed_by IS NULL AS was_tried \
     FROM page o JOIN credential c ON c.id = o.credential_id JOIN users u ON u.id = o.user_id \
     LEFT JOIN placement p ON p.door_system = o.door_system AND p.credential_id = o.credential_id \
     LEFT JOIN delivery d ON d.sink = 'door:' || o.door_system AND d.subject = 'credential:' || o.credential_id \
     AND d.reconcile AND d.priority = 1 AND d.due_at IS NOT NULL AND d.dead_at IS NULL"
);

/// Open tasks whose risk was accepted until before now (`$1`).
pub(super) const PASSED: Sql = sql!(
    "SELECT id, door_system, credential_id, user_id, accepted_by, accepted_until FROM task \
     WHERE closed_at IS NULL AND accepted_until <= $1 ORDER BY accepted_until LIMIT $2"
);

/// Door system and credential, or the other way round; empty at the beginning.
type Position = (String, String);

/// How far a walk has come. Only one look at a time goes on from there.
#[derive(Default)]
struct Walked(Mutex<Position>);

impl Walked {
    fn get(&self) -> Position {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, after: Position) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = after;
    }
}

/// Looks after tasks: run [`Watch::look`] again and again.
pub struct Watch {
    db: Db,
    /// Over the revocations that wait.
    waiting: Walked,
    /// Over the tasks that are open.
    open: Walked,
}

#[derive(sqlx::FromRow)]
struct Waiting {
    #[sqlx(flatten)]
    standing: Standing,
    since: Timestamp,
}

/// A revocation that somebody must see to, and what is told about it.
struct Due {
    waiting: Waiting,
    told: TaskOpened,
}

/// A task that is open, and how its card stands now.
#[derive(sqlx::FromRow)]
struct OpenTask {
    id: TaskId,
    #[sqlx(flatten)]
    standing: Standing,
    /// How far what is wanted is proven; `None` when nothing was ever noted.
    ack: Option<i64>,
    doors: String,
    opened_at: Timestamp,
    accepted_by: Option<String>,
    accepted_at: Option<Timestamp>,
    accepted_doors: Option<String>,
    accepted_version: Option<i64>,
    /// Since when a revocation waits, if one does; when it is due, and whether it was tried in vain since it was told.
    waits_since: Option<Timestamp>,
    due_at: Option<Timestamp>,
    was_tried: Option<bool>,
}

/// What is to be done about an open task.
enum Change {
    /// Nothing is left to do: why.
    Close(&'static str),
    /// More may be opened than it names, or than was accepted. What is told about it.
    Widen(TaskWidened),
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
        Self { db, waiting: Walked::default(), open: Walked::default() }
    }

    /// One look: closes what is proven, widens what may open more, opens again what was accepted until now, and opens
    /// what must be seen to.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.review().await?;
        self.reopen_passed().await?;
        self.open_due().await
    }

    async fn review(&self) -> Result<(), StoreError> {
        let from = self.open.get();
        let is_behind = from != Position::default();
        let mut page = self.open_tasks(from).await?;
        if page.is_empty() && is_behind {
            // Behind the last one: from the beginning.
            page = self.open_tasks(Position::default()).await?;
        }
        let (changes, after) = self.judge_open(page).await?;
        if !changes.is_empty() {
            let mut tx = self.db.write(Origin::system()).await?;
            let changed = change(&mut tx, &changes).await;
            let Changed { closed, widened } = tx.end(changed).await?;
            if closed > 0 {
                tracing::info!(count = closed, "tasks closed");
            }
            if widened > 0 {
                tracing::error!(
                    count = widened,
                    "tasks widened: cards open more than was told or accepted; see: cardea task list"
                );
            }
        }
        self.open.set(after);
        Ok(())
    }

    async fn open_tasks(&self, after: Position) -> Result<Vec<OpenTask>, StoreError> {
        let (credential, door_system) = after;
        let mut page: Vec<OpenTask> = self.db.all(OPEN, (credential, door_system, PAGE)).await?;
        page.sort_by_key(OpenTask::position);
        Ok(page)
    }

    /// What of a page must be changed, and how far it was looked at.
    async fn judge_open(
        &self,
        page: Vec<OpenTask>,
    ) -> Result<(Vec<(OpenTask, Change)>, Position), StoreError> {
        let (mut changes, mut after) = (Vec::new(), Position::default());
        if page.is_empty() {
            return Ok((changes, after));
        }
        let (doors, now) = (Doors::read(&self.db).await?, self.db.ctx().now());
        for task in page {
            if changes.len() == AT_ONCE as usize {
                break;
            }
            after = task.position();
            let still = task.standing.still_opens(&self.db, &doors).await?;
            if let Some(change) = task.change(still, &doors, now) {
                changes.push((task, change));
            }
        }
        Ok((changes, after))
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
        let (from, now) = (self.waiting.get(), self.db.ctx().now());
        let is_behind = from != Position::default();
        let mut page = self.page(from, now).await?;
        if page.is_empty() && is_behind {
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
        self.waiting.set(after);
        Ok(())
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
                let still = standing.still_opens(&self.db, &doors).await?;
                if is_due(&still, waiting.since, now) {
                    let told = standing.opened(waiting.since, still, &doors);
                    due.push(Due { waiting, told });
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
    for Due { waiting, told } in due {
        let standing = &waiting.standing;
        let id = TaskId::new(tx.ctx());
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
                    named_by(&told.doors),
                    waiting.since,
                    tx.now(),
                ),
            )
            .await?;
        if opened == 1 {
            tx.record(standing.concern().fact(id, told));
            count += 1;
        }
    }
    Ok(count)
}

/// How many tasks were changed.
#[derive(Default)]
struct Changed {
    closed: usize,
    widened: usize,
}

async fn change(tx: &mut Tx, changes: &[(OpenTask, Change)]) -> Result<Changed, StoreError> {
    let mut changed = Changed::default();
    for (task, change) in changes {
        match change {
            Change::Close(by) => changed.closed += usize::from(task.close(tx, by).await?),
            Change::Widen(told) => changed.widened += usize::from(task.widen(tx, told).await?),
        }
    }
    Ok(changed)
}

async fn reopen(tx: &mut Tx, passed: &[Passed]) -> Result<usize, StoreError> {
    let mut count = 0;
    for task in passed {
        // Only what was accepted until then: somebody may have accepted it for longer meanwhile.
        let text = sql!(
            "UPDATE task SET accepted_by = NULL, accepted_because = NULL, accepted_at = NULL, accepted_until = NULL, \
             accepted_doors = NULL, accepted_version = NULL \
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

    fn opened(&self, since: Timestamp, still: Vec<OpenDoor>, doors: &Doors) -> TaskOpened {
        TaskOpened {
            credential: self.credential_id,
            user: self.user_id,
            door_system: self.door_system.clone(),
            card: self.card(),
            since,
            until: at_worst(doors.descriptor(&self.door_system)),
            proposed: self.proposed(&still, doors),
            doors: still,
        }
    }

    /// What to do about what may still be opened, in words.
    fn proposed(&self, still: &[OpenDoor], doors: &Doors) -> Vec<String> {
        let decides = doors.descriptor(&self.door_system).map(|descriptor| descriptor.revocation);
        propose(&self.door_system, decides, still).iter().map(ToString::to_string).collect()
    }
}

/// The access points of doors, as a task names them.
fn named_by(doors: &[OpenDoor]) -> String {
    json(&doors.iter().map(|door| door.access_point.as_str()).collect::<Vec<_>>())
}

impl OpenTask {
    fn position(&self) -> Position {
        (self.standing.credential_id.to_string(), self.standing.door_system.clone())
    }

    /// What is to be done about it, if anything. `still`: what the card may open and must not.
    fn change(&self, still: Vec<OpenDoor>, doors: &Doors, now: Timestamp) -> Option<Change> {
        let Some(since) = self.waits_since else {
            let is_proven = self.ack.is_none_or(|ack| ack >= AckLevel::ReadBack as i64);
            return match is_proven {
                true => Some(Change::Close(self.by())),
                // What waits for doors that are configured no more is done or forgotten; they can never be read.
                false => self.standing.is_abandoned(doors).then_some(Change::Close(ABANDONED)),
            };
        };
        if still.is_empty() && !self.standing.opens(doors).is_empty() {
            return Some(Change::Close(WANTED_AGAIN));
        }
        // While its first attempt is under way it may be proven in a moment.
        let is_nobody_at_it = self.due_at.is_some_and(|due| due <= now.minus(REVOCATION_PATIENCE));
        let is_in_vain = self.was_tried == Some(true) || is_nobody_at_it;
        let is_more = self.is_void(&still) || is_due(&self.added(&still), since, now);
        (is_in_vain && is_more).then(|| Change::Widen(self.widened(still, doors)))
    }

    fn widened(&self, still: Vec<OpenDoor>, doors: &Doors) -> TaskWidened {
        let standing = &self.standing;
        TaskWidened {
            credential: standing.credential_id,
            user: standing.user_id,
            door_system: standing.door_system.clone(),
            proposed: standing.proposed(&still, doors),
            doors: still,
            void: self.accepted_by.clone(),
        }
    }

    /// What may be opened and it does not name.
    fn added(&self, still: &[OpenDoor]) -> Vec<OpenDoor> {
        let told = named(&self.doors);
        still.iter().filter(|door| !told.contains(&door.access_point)).cloned().collect()
    }

    /// Whether somebody has accepted less than what may be opened, or of an older state of the credential.
    fn is_void(&self, still: &[OpenDoor]) -> bool {
        let accepted = named(self.accepted_doors.as_deref().unwrap_or_default());
        let is_covered = self.accepted_version == Some(self.standing.credential_version)
            && still.iter().all(|door| accepted.contains(&door.access_point));
        self.accepted_by.is_some() && !is_covered && !still.is_empty()
    }

    /// Why nothing is left to do.
    fn by(&self) -> &'static str {
        match self.standing.is_told_to_open(&named(&self.doors)) {
            true => WANTED_AGAIN,
            false => PROVEN,
        }
    }

    /// `false` when it was closed meanwhile.
    async fn close(&self, tx: &mut Tx, by: &str) -> Result<bool, StoreError> {
        let text = sql!("UPDATE task SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL");
        if tx.run(text, (self.id, tx.now())).await? == 0 {
            return Ok(false);
        }
        let concern = self.standing.concern();
        let body = TaskClosed {
            credential: concern.credential_id,
            user: concern.user_id,
            door_system: concern.door_system.clone(),
            by: by.into(),
            opened_at: self.opened_at,
        };
        tx.record(concern.fact(self.id, &body));
        Ok(true)
    }

    /// `false` when somebody has accepted it, widened or closed it since it was judged.
    async fn widen(&self, tx: &mut Tx, told: &TaskWidened) -> Result<bool, StoreError> {
        let text = sql!(
            "UPDATE task SET doors = $2, accepted_by = NULL, accepted_because = NULL, accepted_at = NULL, \
             accepted_until = NULL, accepted_doors = NULL, accepted_version = NULL \
             WHERE id = $1 AND closed_at IS NULL AND doors = $3 AND COALESCE(accepted_at, 0) = $4"
        );
        let accepted_at = self.accepted_at.unwrap_or(Timestamp::EPOCH);
        if tx.run(text, (self.id, named_by(&told.doors), &self.doors, accepted_at)).await? == 0 {
            return Ok(false);
        }
        tx.record(self.standing.concern().fact(self.id, told));
        Ok(true)
    }
}
